//! One merchant's desk at a provider: its books, and what acting on them needs. What is done there is the provider's
//! affair; this is what all have in common.

use secrecy::SecretString;
use serde_json::Value;

use super::agenda::Agenda;
use super::clearing::RefundEnd;
use super::control::{ControlError, PayOptions};
use super::dice::Dice;
use super::mandates::{DebitEnd, NoticeEnd, PayerAct};
use super::simulated::{Asked, Reply, Simulated};
use super::switches::Switches;
use super::webhooks::{Manner, News, Queue};
use super::{eko, enkash, oqpay, razorpay};

pub struct Desk<'a, M, B> {
    pub merchant: &'a M,
    pub books: &'a mut B,
    /// The account's name.
    pub account: &'a str,
    pub dice: &'a mut Dice,
    pub queue: &'a mut Queue,
    pub switches: &'a Switches,
    pub now_ms: i64,
    /// Lists and searches don't show what is younger.
    pub list_lag_ms: i64,
    /// Where the sandbox itself is reached: `http://127.0.0.1:PORT`.
    pub base_url: &'a str,
    callbacks: Callbacks<'a>,
}

/// A desk's surroundings, whosever it is.
pub struct Surroundings<'a> {
    pub account: &'a str,
    pub dice: &'a mut Dice,
    pub queue: &'a mut Queue,
    pub switches: &'a Switches,
    pub now_ms: i64,
    pub list_lag_ms: i64,
    pub base_url: &'a str,
    pub callbacks: Callbacks<'a>,
}

/// How the merchant is told of things.
#[derive(Clone, Copy)]
pub struct Callbacks<'a> {
    pub provider: Simulated,
    /// What signs them; None where the provider signs nothing.
    pub secret: Option<&'a SecretString>,
    pub spread_ms: u64,
    /// Whether the merchant registered a URL.
    pub has_url: bool,
}

impl<'a, M, B> Desk<'a, M, B> {
    pub fn new(merchant: &'a M, books: &'a mut B, surroundings: Surroundings<'a>) -> Self {
        let Surroundings { account, dice, queue, switches, now_ms, list_lag_ms, base_url, callbacks } = surroundings;
        Self { merchant, books, account, dice, queue, switches, now_ms, list_lag_ms, base_url, callbacks }
    }

    pub fn now(&self) -> i64 {
        self.now_ms / 1_000
    }

    /// Whether lists show what was made at `created_ms`.
    pub fn is_listed(&self, created_ms: i64) -> bool {
        self.list_lag_ms == 0 || created_ms.saturating_add(self.list_lag_ms) <= self.now_ms
    }

    /// Tells the merchant what came of one happening, in the order it came; nothing goes where no URL is known.
    pub fn tell(&mut self, mut news: Vec<News>) {
        news.retain(|news| self.callbacks.has_url || news.url.is_some());
        self.queue.push(news, &self.manner(), self.dice);
    }

    /// Sends what never happened: once, and with a signature that doesn't fit where there are signatures.
    pub fn forge(&mut self, news: News) {
        if self.callbacks.has_url || news.url.is_some() {
            self.queue.push_forged(news, &self.manner(), self.dice);
        }
    }

    fn manner(&self) -> Manner<'a> {
        let Callbacks { provider, secret, spread_ms, .. } = self.callbacks;
        let strict_order = provider == Simulated::Razorpay && self.switches.strict_order;
        Manner { provider, account: self.account, secret, now_ms: self.now_ms, spread_ms, strict_order }
    }
}

/// Books in which it stands what happens by itself.
pub trait Appointments {
    type Due: Ord;

    fn agenda(&mut self) -> &mut Agenda<Self::Due>;
}

impl<M, B: Appointments> Desk<'_, M, B> {
    pub fn appoint(&mut self, at_ms: i64, what: B::Due) {
        self.books.agenda().appoint(at_ms, what);
    }

    /// Does by `act` what fell due, each thing at its own time. True if there was anything.
    pub fn do_what_is_due(&mut self, mut act: impl FnMut(&mut Self, &B::Due)) -> bool {
        let now_ms = self.now_ms;
        let mut any = false;
        while let Some((at_ms, what)) = self.books.agenda().take_due(now_ms) {
            self.now_ms = at_ms;
            act(self, &what);
            any = true;
        }
        self.now_ms = now_ms;
        any
    }
}

/// What every simulated provider does at a merchant's desk: for its callers, for the clock, and for whoever plays the
/// payer and the bank.
pub trait Provider {
    /// Does what an authenticated caller asked for, and answers.
    fn answer(&mut self, asked: &Asked) -> Reply;

    /// Does what fell due, each thing at its own time. True if there was anything.
    fn keep_appointments(&mut self) -> bool;

    /// A payer scans a code: its id or the text inside it. Answers the payment's id.
    fn pay_qr(&mut self, code: &str, pay: &PayOptions) -> Result<String, ControlError>;

    /// The bank says no to a payment that waits for it.
    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError>;

    /// The bank says yes after all.
    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError>;

    /// Money that had arrived is taken back.
    fn reverse_payment(&mut self, id: &str) -> Result<(), ControlError>;

    /// A callback leaves as if a payment on the code had succeeded; in the books nothing happens.
    fn send_forged(&mut self, code: &str, amount: Option<i64>) -> Result<(), ControlError>;

    /// The codes as the provider prints them, newest first.
    fn print_qrs(&self) -> Vec<Value>;

    /// The payments as the provider prints them, newest first.
    fn print_payments(&self) -> Vec<Value>;
}

/// What becomes of money once it came, at the desks of providers who say something of it.
pub trait Clearing {
    /// The merchant refunds in the dashboard: `amount` in paise, or all that is left. Answers the refund's id where it has
    /// one that the merchant gets to see.
    fn refund_payment(&mut self, payment: &str, amount: Option<i64>) -> Result<Option<String>, ControlError>;

    /// How a refund turns out.
    fn end_refund(&mut self, id: &str, how: RefundEnd) -> Result<(), ControlError>;

    /// The refunds as the provider prints them, newest first.
    fn print_refunds(&self) -> Vec<Value>;

    /// Settles at once all that waits for it, whatever its age. Answers the settlement's id.
    fn settle(&mut self) -> Result<String, ControlError>;

    /// The settlements as the provider prints them, newest first.
    fn print_settlements(&self) -> Vec<Value>;
}

/// Mandates and the debits made by them, at the desks of providers who have them.
pub trait Mandates {
    /// The payer acts: `id` is the mandate's, its order's, or the text of its link.
    fn decide_mandate(&mut self, id: &str, act: PayerAct) -> Result<(), ControlError>;

    /// What becomes of a notice that waits: by its id, or its order's.
    fn end_notice(&mut self, id: &str, how: NoticeEnd) -> Result<(), ControlError>;

    /// How an executed debit turns out: by its payment's id, or its order's.
    fn end_debit(&mut self, id: &str, how: &DebitEnd) -> Result<(), ControlError>;

    /// The mandates as the provider prints them, newest first.
    fn print_mandates(&self) -> Vec<Value>;
}

/// A desk, at whichever provider it stands.
pub enum AnyDesk<'a> {
    Razorpay(razorpay::desk::Desk<'a>),
    Enkash(enkash::Desk<'a>),
    Oqpay(oqpay::Desk<'a>),
    Eko(eko::Desk<'a>),
}

impl AnyDesk<'_> {
    /// None where the provider's refunds and settlements are nobody's to ask for.
    pub fn clearing(&mut self) -> Option<&mut (dyn Clearing + '_)> {
        match self {
            Self::Razorpay(desk) => Some(desk),
            Self::Enkash(desk) => Some(desk),
            Self::Oqpay(_) | Self::Eko(_) => None,
        }
    }

    /// None where the provider has no mandates.
    pub fn mandates(&mut self) -> Option<&mut (dyn Mandates + '_)> {
        match self {
            Self::Razorpay(desk) => Some(desk),
            Self::Enkash(desk) => Some(desk),
            Self::Oqpay(_) | Self::Eko(_) => None,
        }
    }

    pub fn provider(&mut self) -> &mut (dyn Provider + '_) {
        match self {
            Self::Razorpay(desk) => desk,
            Self::Enkash(desk) => desk,
            Self::Oqpay(desk) => desk,
            Self::Eko(desk) => desk,
        }
    }
}
