//! Playing the payer, the bank and bad luck, from Rust. `control_http.rs` offers the same by HTTP.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::{Fault, WebhookFault};
use super::razorpay::desk::Desk;
use super::razorpay::life::{Bill, declined};
use super::razorpay::payment::{self, PaymentForm, Status};
use super::razorpay::qr::QrForm;
use super::razorpay::{Outcome, link};
use super::state::SeenRequest;
use super::webhooks::Delivery;
use super::{Sandbox, Switches};

const VPA_DEFAULT: &str = "asha.rao@examplebank";
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// What the payer does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PayOptions {
    /// In paise. None pays what the code, its text or the order asks for.
    pub amount: Option<i64>,
    pub vpa: Option<String>,
    pub outcome: Outcome,
    /// Pays another amount than a fixed one, which real apps don't let a payer do.
    pub any_amount: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("there is no account `{0}`")]
    UnknownAccount(String),
    #[error("there is no `{0}` on this account")]
    NotFound(String),
    #[error("say how much: `{0}` takes any amount")]
    AmountNeeded(String),
    #[error("`{id}` takes {expected} paise and nothing else")]
    WrongAmount { id: String, expected: i64 },
    #[error("an amount is 1 to {AMOUNT_MAX} paise")]
    BadAmount,
    #[error("`{id}` is {state}")]
    WrongState { id: String, state: String },
    #[error("the account holds all the payments it can")]
    Full,
    #[error("{0} faults wait already")]
    TooManyFaults(&'static str),
    #[error("`{0}` is no http URL")]
    BadUrl(String),
}

impl Sandbox {
    /// A payer scans a code: its id or the text inside it. Answers the payment's id.
    pub async fn pay_qr(&self, account: &str, code: &str, pay: PayOptions) -> Result<String, ControlError> {
        self.at_desk(account, |desk| {
            let scanned = link::read(code);
            let id = scanned.as_ref().map_or(code, |(id, _)| id.as_str()).to_owned();
            desk.expire_qr(&id, true);
            let qr = desk.books.qrs.get(&id).ok_or_else(|| ControlError::NotFound(id.clone()))?;
            if qr.is_closed() && desk.switches.closed_code_cannot_be_paid {
                return Err(ControlError::WrongState { id, state: "closed".to_owned() });
            }
            let asked = scanned.and_then(|(_, amount)| amount).or(qr.payment_amount);
            let amount = amount_of(&id, &pay, asked, qr.payment_amount)?;
            let vpa = pay.vpa.unwrap_or_else(|| VPA_DEFAULT.to_owned());
            check_room(desk)?;
            Ok(desk.pay(Bill { amount, vpa, qr_id: Some(id), order_id: None }, pay.outcome))
        })
    }

    /// A payer pays an order, as a checkout would. Answers the payment's id.
    pub async fn pay_order(&self, account: &str, id: &str, pay: PayOptions) -> Result<String, ControlError> {
        self.at_desk(account, |desk| {
            let order = desk.books.orders.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
            if order.is_paid() {
                return Err(ControlError::WrongState { id: id.to_owned(), state: "paid".to_owned() });
            }
            let due = order.amount - order.paid;
            let amount = amount_of(id, &pay, Some(due), Some(due).filter(|_| !order.partial))?;
            let outcome = match (pay.outcome, order.auto_capture.unwrap_or(desk.switches.auto_capture)) {
                (Outcome::Captured, false) => Outcome::Authorized,
                (outcome, _) => outcome,
            };
            let vpa = pay.vpa.unwrap_or_else(|| VPA_DEFAULT.to_owned());
            check_room(desk)?;
            Ok(desk.pay(Bill { amount, vpa, qr_id: None, order_id: Some(id.to_owned()) }, outcome))
        })
    }

    /// The bank says yes after all: a `created` or `failed` payment becomes `authorized`, and
    /// `captured` where the account captures by itself.
    pub async fn authorize_late(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| {
            let payment = desk.books.payments.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
            if !desk.may_authorize_late(payment) {
                return Err(wrong_state(id, payment.status));
            }
            let order = payment.order_id.as_ref().and_then(|order| desk.books.orders.get(order));
            let captures = order.and_then(|order| order.auto_capture).unwrap_or(desk.switches.auto_capture);
            let mut news = Vec::new();
            desk.authorize(id, &mut news);
            if captures {
                desk.capture(id, &mut news);
            }
            desk.tell(news);
            Ok(())
        })
    }

    /// The merchant captures in the provider's dashboard.
    pub async fn capture(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| {
            let payment = desk.books.payments.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
            if payment.status != Status::Authorized {
                return Err(wrong_state(id, payment.status));
            }
            let mut news = Vec::new();
            desk.capture(id, &mut news);
            desk.tell(news);
            Ok(())
        })
    }

    /// The bank says no to a payment that waits for it.
    pub async fn fail_payment(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| {
            let payment = desk.books.payments.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
            if payment.status != Status::Created {
                return Err(wrong_state(id, payment.status));
            }
            let mut news = Vec::new();
            desk.fail(id, declined(), &mut news);
            desk.tell(news);
            Ok(())
        })
    }

    pub fn set_webhook_url(&self, account: &str, url: &str) -> Result<(), ControlError> {
        self.check_account(account)?;
        let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        parsed.ok_or_else(|| ControlError::BadUrl(url.to_owned()))?;
        self.inner.change(|state, _| state.webhook_urls.insert(account.to_owned(), url.to_owned()));
        Ok(())
    }

    /// Puts the sandbox's clock forward; what becomes due happens before this returns, the sending
    /// of webhooks right after.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
        self.inner.change(|_, _| ());
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.inner.clock.now_ms()).unwrap_or(Timestamp::MAX)
    }

    pub fn fault(&self, fault: Fault) -> Result<(), ControlError> {
        let added = self.inner.change(|state, _| state.faults.add(fault));
        if added { Ok(()) } else { Err(ControlError::TooManyFaults("call")) }
    }

    pub fn webhook_fault(&self, fault: WebhookFault) -> Result<(), ControlError> {
        let added = self.inner.change(|state, _| state.queue.faults.add(fault));
        if added { Ok(()) } else { Err(ControlError::TooManyFaults("webhook")) }
    }

    /// Forgets the faults that still wait. Held webhooks stay held.
    pub fn clear_faults(&self) {
        self.inner.change(|state, _| {
            state.faults.clear();
            state.queue.faults.clear();
        });
    }

    pub fn release_webhooks(&self) {
        self.inner.change(|state, now_ms| state.queue.release(now_ms));
    }

    /// Lists and searches don't show what is younger than this on the sandbox's clock.
    pub fn set_list_lag(&self, seconds: u64) {
        let lag_ms = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.inner.change(|state, _| state.list_lag_ms = lag_ms);
    }

    /// Sets all switches at once.
    pub fn switches(&self, switches: Switches) {
        self.inner.change(|state, _| state.switches = switches);
    }

    pub fn current_switches(&self) -> Switches {
        self.inner.read(|state, _| state.switches.clone())
    }

    /// What the simulated provider was asked, oldest first.
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.inner.read(|state, _| state.seen.iter().cloned().collect())
    }

    /// Every attempt to deliver a webhook, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.inner.read(|state, _| state.queue.deliveries().cloned().collect())
    }

    /// The account's codes as the provider prints them, newest first.
    pub fn qr_codes(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_desk(account, |desk| desk.books.qrs.newest_first().map(|qr| to_value(desk.view_qr(qr, QrForm::Answer))).collect())
    }

    /// The account's payments as the provider prints them, newest first.
    pub fn payments(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_desk(account, |desk| {
            let payments = desk.books.payments.newest_first();
            payments.map(|payment| to_value(payment::view(payment, PaymentForm::Answer))).collect()
        })
    }

    fn at_desk<R>(&self, account: &str, act: impl FnOnce(&mut Desk<'_>) -> Result<R, ControlError>) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        let spread_ms = inner.config.event_spread_ms;
        inner.change(|state, now_ms| act(&mut state.desk(account, now_ms, spread_ms, &inner.base_url)))
    }

    fn look_at_desk<R>(&self, account: &str, look: impl FnOnce(&Desk<'_>) -> R) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        Ok(inner.read(|state, now_ms| look(&state.desk(account, now_ms, 0, &inner.base_url))))
    }

    fn check_account(&self, name: &str) -> Result<(), ControlError> {
        let known = self.inner.account(name).is_some();
        if known { Ok(()) } else { Err(ControlError::UnknownAccount(name.to_owned())) }
    }
}

/// What is paid: `asked` unless the payer says otherwise, and `fixed` where nothing else is taken.
fn amount_of(id: &str, pay: &PayOptions, asked: Option<i64>, fixed: Option<i64>) -> Result<i64, ControlError> {
    let amount = pay.amount.or(asked).ok_or_else(|| ControlError::AmountNeeded(id.to_owned()))?;
    if !(1..=AMOUNT_MAX).contains(&amount) {
        return Err(ControlError::BadAmount);
    }
    match fixed {
        Some(expected) if amount != expected && !pay.any_amount => Err(ControlError::WrongAmount { id: id.to_owned(), expected }),
        _ => Ok(amount),
    }
}

fn check_room(desk: &Desk<'_>) -> Result<(), ControlError> {
    if desk.books.payments.is_full() { Err(ControlError::Full) } else { Ok(()) }
}

fn wrong_state(id: &str, status: Status) -> ControlError {
    ControlError::WrongState { id: id.to_owned(), state: format!("{status:?}").to_lowercase() }
}

fn to_value(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("our own views have string keys and no failing parts")
}
