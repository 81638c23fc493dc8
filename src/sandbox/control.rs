//! Playing the payer, the bank and bad luck, from Rust. `control_http.rs` offers the same by HTTP.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::desk::{AnyDesk, Provider};
use super::faults::{Fault, WebhookFault};
use super::razorpay;
use super::state::SeenRequest;
use super::webhooks::Delivery;
use super::{RazorpaySecrets, Sandbox, Simulated, Switches};

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

/// How a payment is to turn out, for whoever plays the payer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Captured,
    Authorized,
    Failed,
    Pending,
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
    #[error("an amount here is more than {0} paise")]
    TooLittle(i64),
    #[error("an amount here is whole rupees")]
    NotWholeRupees,
    #[error("what waits to be settled comes to {0} paise, and less than one is not paid out")]
    NothingToSettle(i64),
    #[error("a settlement here has 1 to {0} lines")]
    BadCount(usize),
    #[error("{} has no such thing", .0.name())]
    NotOffered(Simulated),
}

impl PayOptions {
    /// The payer's address.
    pub(super) fn vpa(&self) -> &str {
        self.vpa.as_deref().unwrap_or(VPA_DEFAULT)
    }
}

impl Sandbox {
    /// A payer scans a code: its id or the text inside it. Answers the payment's id.
    pub async fn pay_qr(&self, account: &str, code: &str, pay: PayOptions) -> Result<String, ControlError> {
        self.at_desk(account, |desk| desk.pay_qr(code, &pay))
    }

    /// A payer pays an order at Razorpay, as a checkout would. Answers the payment's id.
    pub async fn pay_order(&self, account: &str, id: &str, pay: PayOptions) -> Result<String, ControlError> {
        self.at_razorpay(account, |desk| desk.pay_order(id, &pay))
    }

    /// The bank says yes after all, to a payment that waits for it or, where the provider knows such a thing, that
    /// failed.
    pub async fn authorize_late(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| desk.authorize_late(id))
    }

    /// The merchant captures in Razorpay's dashboard.
    pub async fn capture(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_razorpay(account, |desk| desk.capture_by_hand(id))
    }

    /// The bank says no to a payment that waits for it.
    pub async fn fail_payment(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| desk.fail_payment(id))
    }

    /// Money that had arrived is taken back.
    pub async fn reverse_payment(&self, account: &str, id: &str) -> Result<(), ControlError> {
        self.at_desk(account, |desk| desk.reverse_payment(id))
    }

    /// Somebody who knows the code's ids sends a callback of his own: as if `amount`, or what the code asks for, had
    /// been paid. It goes out once, with a signature that doesn't fit where there are signatures; nothing was paid.
    pub async fn send_forged(&self, account: &str, code: &str, amount: Option<i64>) -> Result<(), ControlError> {
        self.at_desk(account, |desk| desk.send_forged(code, amount))
    }

    pub fn set_webhook_url(&self, account: &str, url: &str) -> Result<(), ControlError> {
        self.check_account(account)?;
        let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        parsed.ok_or_else(|| ControlError::BadUrl(url.to_owned()))?;
        self.inner.change(|state, _| state.webhook_urls.insert(account.to_owned(), url.to_owned()));
        Ok(())
    }

    /// The account's merchant at Razorpay makes new secrets. A restart of the sandbox takes them back.
    pub fn set_razorpay_secrets(&self, account: &str, secrets: RazorpaySecrets) -> Result<(), ControlError> {
        self.check_account(account)?;
        self.inner.change(|state, _| state.razorpay_secrets.insert(account.to_owned(), secrets));
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
        self.look_at_desk(account, |desk| desk.print_qrs())
    }

    /// The account's payments as the provider prints them, newest first.
    pub fn payments(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_desk(account, |desk| desk.print_payments())
    }

    fn at_desk<R>(&self, account: &str, act: impl FnOnce(&mut dyn Provider) -> Result<R, ControlError>) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        inner.change(|state, now_ms| act(inner.desk(state, account, now_ms).provider()))
    }

    pub(super) fn at_razorpay<R>(
        &self,
        account: &str,
        act: impl FnOnce(&mut razorpay::desk::Desk<'_>) -> Result<R, ControlError>,
    ) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        inner.change(|state, now_ms| match inner.desk(state, account, now_ms) {
            AnyDesk::Razorpay(mut desk) => act(&mut desk),
            AnyDesk::Enkash(_) | AnyDesk::Oqpay(_) | AnyDesk::Eko(_) => Err(ControlError::NotOffered(account.merchant.provider())),
        })
    }

    fn look_at_desk<R>(&self, account: &str, look: impl FnOnce(&dyn Provider) -> R) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        Ok(inner.read(|state, now_ms| look(inner.desk(state, account, now_ms).provider())))
    }

    fn check_account(&self, name: &str) -> Result<(), ControlError> {
        let known = self.inner.account(name).is_some();
        if known { Ok(()) } else { Err(ControlError::UnknownAccount(name.to_owned())) }
    }
}

/// What is paid: `asked` unless the payer says otherwise, and `fixed` where nothing else is taken.
pub(super) fn amount_of(id: &str, pay: &PayOptions, asked: Option<i64>, fixed: Option<i64>) -> Result<i64, ControlError> {
    let amount = pay.amount.or(asked).ok_or_else(|| ControlError::AmountNeeded(id.to_owned()))?;
    if !(1..=AMOUNT_MAX).contains(&amount) {
        return Err(ControlError::BadAmount);
    }
    match fixed {
        Some(expected) if amount != expected && !pay.any_amount => Err(ControlError::WrongAmount { id: id.to_owned(), expected }),
        _ => Ok(amount),
    }
}
