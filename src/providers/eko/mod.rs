//! Eko: settings, what an account there can do, and how its API is called. Each mobile number has one code, which never ends
//! and leaves the amount to the payer; asking again for the code of a number brings the same code, so that is safe.
//!
//! Nothing signs its callbacks: what they say is asked for.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::http::{Answer, Call, HttpClient, NoAnswer, Party, Url};
use super::reading::{Unreadable, read, unreadable};
use super::{AskError, CallError, Cause, Provider, QrCodes, Sending, Webhooks};
use crate::domain::account::{
    AccountName, Capabilities, DoubtCure, Operation, OperationCapability, ProviderId, QrUsageCapability, SettlementCapability,
};
use crate::domain::fact::Evidence;
use crate::domain::money::Money;
use crate::domain::qr::Usage;
use crate::held::Held;

mod classify;
mod payment;
mod qr;
mod signing;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

/// The money is credited one or two working days after it was taken (seed 003, E1), and refunds come later still. No page
/// says by when the last word is spoken: this covers two weekends and a holiday.
const LATE_WINDOW: Duration = Duration::from_hours(14 * 24);
/// A payment must be of more than three rupees (seed 003).
const AMOUNT_MIN_PAISE: i64 = 301;
/// The service whose codes are on the Razorpay rail: their text is told. On the AU rail (85) only a picture is.
const RAZORPAY_RAIL: u32 = 59;

const NO_SINGLE_USE: &str = "Eko has one code for each mobile number; even its codes with an amount are not told apart by what was ordered, nor closed by a payment";
const NO_CLOSE: &str = "Eko documents no way to close a code";
const NO_REFUND: &str = "Eko publishes no refund of what is paid to a code";
const NO_MANDATES: &str = "Eko documents no mandates";
const NO_SETTLEMENTS: &str = "Eko publishes no list of settlements; its callback says when a payment was credited";

/// An account at Eko, as configured.
#[derive(Clone)]
pub struct EkoSettings {
    /// Host and context path, such as `https://api.eko.in/ekoicici`, without the `v3` of its paths.
    pub base_url: String,
    pub keys: Held<Keys>,
    /// The partner's registered mobile number.
    pub initiator_id: String,
    pub user_code: String,
    /// Whether the service is activated before the first code is asked for. What the provider answers where it is active
    /// already is not documented: if it then refuses, and no code is made, this is to be off.
    pub activate_service: bool,
    /// 59 or 85.
    pub service_code: u32,
    /// Of one call.
    pub timeout: Duration,
    pub deadline_floor: Duration,
    /// Milliseconds since 1970: signatures hold for the moment.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What calls are made as.
#[derive(Clone)]
pub struct Keys {
    pub developer_key: String,
    /// What calls are signed with. The first is used.
    pub access_keys: Vec<SecretString>,
}

/// `account` at Eko, ready to be called through `http`.
pub fn provider(account: AccountName, settings: EkoSettings, http: HttpClient) -> Provider {
    let EkoSettings { base_url, keys, initiator_id, user_code, activate_service, service_code, timeout, deadline_floor, now_ms } = settings;
    let line = http.line().clone();
    let party = Party { account: account.clone(), provider: ProviderId::Eko };
    let base = base_url.parse().ok();
    let api = Api { http, party, base, keys, initiator_id, user_code, timeout, now_ms };
    let activation = if activate_service { OnceCell::new() } else { OnceCell::new_with(Some(())) };
    Provider {
        id: ProviderId::Eko,
        account,
        line,
        capabilities: capabilities(service_code),
        call_timeout: timeout,
        deadline_floor,
        late_window: LATE_WINDOW,
        carries_our_ref: false,
        qr: Some(QrCodes {
            creation: Arc::new(qr::EkoQrCodes { api: api.clone(), service_code, activation }),
            drawing: None,
            closing: None,
            enquiry: None,
            search: None,
            of_payment: None,
        }),
        refunds: None,
        mandates: None,
        settlements: None,
        payments: Some(Arc::new(payment::EkoPayments { api })),
        webhooks: Webhooks { proved: None, hints: Some(Arc::new(webhook::EkoHints)), acknowledgement: "" },
    }
}

fn capabilities(service_code: u32) -> Capabilities {
    let usage = |usage, missing| QrUsageCapability {
        usage,
        missing,
        amount_min: Money::from_paise(AMOUNT_MIN_PAISE),
        amount_max: None,
        open_amount: true,
        expiry: None,
        fixed_amount: false,
        payments_observable: true,
        unobservable_allowed: false,
        callback_evidence: Evidence::Enquiry,
        doubt: DoubtCure::SafeResend,
        close_missing: Some(NO_CLOSE),
        upi_link: service_code == RAZORPAY_RAIL,
        required_fields: &["customer.phone"],
    };
    let no_mandates = |operation| OperationCapability { operation, doubt: DoubtCure::None, missing: Some(NO_MANDATES) };
    let mut operations = vec![
        OperationCapability { operation: Operation::CreateQr, doubt: DoubtCure::SafeResend, missing: None },
        OperationCapability { operation: Operation::CloseQr, doubt: DoubtCure::None, missing: Some(NO_CLOSE) },
        OperationCapability { operation: Operation::FetchPayment, doubt: DoubtCure::Lookup, missing: None },
        OperationCapability { operation: Operation::CreateRefund, doubt: DoubtCure::None, missing: Some(NO_REFUND) },
        OperationCapability { operation: Operation::FetchSettlements, doubt: DoubtCure::None, missing: Some(NO_SETTLEMENTS) },
    ];
    operations.extend(Operation::OF_MANDATES.map(no_mandates));
    Capabilities {
        operations,
        qr: vec![usage(Usage::MultipleUse, None), usage(Usage::SingleUse, Some(NO_SINGLE_USE))],
        refunds: None,
        // Its callback tells of each payment alone that it was credited.
        mandates: None,
        settlements: Some(SettlementCapability { lines: true, cycle_days: CREDIT_CYCLE_DAYS }),
    }
}

/// T+2 working days in one revision of Eko's page, T+1 in another [eko 6.3].
const CREDIT_CYCLE_DAYS: u32 = 2;

/// How the API is called: where, as whom, and for how long.
#[derive(Clone)]
struct Api {
    http: HttpClient,
    party: Party,
    /// `None`: what is configured is no URL, and every call ends before it is sent.
    base: Option<Url>,
    /// Looked at anew with each call.
    keys: Held<Keys>,
    initiator_id: String,
    user_code: String,
    timeout: Duration,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Api {
    /// Sends a request that changes something, once; the data of its answer, if that is a success.
    async fn act<T: Serialize, D: DeserializeOwned>(
        &self,
        sending: Sending,
        path: &[&str],
        body: &T,
        timeout: Duration,
    ) -> Result<D, CallError> {
        match self.send(Operation::CreateQr.as_str(), Method::POST, path, body, timeout).await {
            Ok(answer) => {
                let envelope = read("answer", &answer.body).ok();
                if classify::is_success(answer.status, envelope.as_ref()) {
                    Ok(data(envelope)?)
                } else {
                    Err(classify::classify(sending, answer.status, envelope.as_ref()))
                }
            }
            Err(NoAnswer::NotSent(cause)) => Err(CallError::NotDelivered(cause)),
            Err(NoAnswer::Lost(cause)) => Err(CallError::InDoubt(cause)),
        }
    }

    /// Activates the service for the account's user code. To activate it once more is harmless, whatever came of this.
    async fn activate(&self, service_code: u32, timeout: Duration) -> Result<(), Cause> {
        let service_code = service_code.to_string();
        let path = ["v3", "admin", "network", "agent", &self.user_code, "service", &service_code, "activate"];
        let body = wire::Activate { initiator_id: &self.initiator_id };
        let not_active = |cause: Cause| Cause(format!("the service could not be activated: {cause}"));
        let answer = self.send("ActivateService", Method::PUT, &path, &body, timeout).await;
        let answer = answer.map_err(|(NoAnswer::NotSent(cause) | NoAnswer::Lost(cause))| not_active(cause))?;
        let envelope = read("answer", &answer.body).ok();
        if classify::is_success(answer.status, envelope.as_ref()) {
            return Ok(());
        }
        Err(not_active(classify::cause(answer.status, envelope.as_ref())))
    }

    /// Asks what changes nothing; the data of the answer, if that is a success.
    async fn ask<D: DeserializeOwned>(&self, operation: &'static str, path: &[&str]) -> Result<D, AskError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().append_pair("initiator_id", &self.initiator_id).append_pair("user_code", &self.user_code);
        let answer = self.http.send(&self.party, Call::get(operation, url, self.headers()?, self.timeout)).await?;
        let envelope = read("answer", &answer.body).ok();
        if classify::is_success(answer.status, envelope.as_ref()) {
            return Ok(data(envelope)?);
        }
        Err(classify::classify_question(answer.status, envelope.as_ref()))
    }

    async fn send<T: Serialize>(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        body: &T,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let call = Call { operation, method, url: self.url(path)?, headers: self.headers()?, body: None, timeout };
        self.http.send(&self.party, call.json(body)?).await
    }

    fn url(&self, path: &[&str]) -> Result<Url, NoAnswer> {
        let mut url = self.base.clone().ok_or_else(|| not_sent("the configured base_url is no URL"))?;
        url.path_segments_mut().map_err(|()| not_sent("the configured base_url has no place for a path"))?.pop_if_empty().extend(path);
        Ok(url)
    }

    /// The headers that authenticate one call, signed for this moment.
    fn headers(&self) -> Result<HeaderMap, NoAnswer> {
        let keys = self.keys.get();
        let developer_key = HeaderValue::try_from(keys.developer_key.as_str()).ok().map(sensitive);
        let developer_key = developer_key.ok_or_else(|| not_sent("the configured developer key can't stand in a header"))?;
        let access_key = keys.access_keys.first().ok_or_else(|| not_sent("no access key is configured"))?;
        let timestamp = (self.now_ms)().to_string();
        let signed = HeaderValue::try_from(signing::secret_key(access_key, &timestamp)).expect("base64 is plain");
        Ok(HeaderMap::from_iter([
            (HeaderName::from_static("developer_key"), developer_key),
            (HeaderName::from_static("secret-key"), sensitive(signed)),
            (HeaderName::from_static("secret-key-timestamp"), HeaderValue::try_from(timestamp).expect("digits are plain")),
        ]))
    }
}

/// What a success carries.
fn data<D: DeserializeOwned>(envelope: Option<wire::Envelope>) -> Result<D, Unreadable> {
    let data = envelope.and_then(|envelope| envelope.data).ok_or_else(|| unreadable("the answer has no data"))?;
    read("data of the answer", data.get().as_bytes())
}

/// What is left of `timeout` since `started`.
fn left(timeout: Duration, started: Instant) -> Option<Duration> {
    timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero())
}

/// A header that shows in no log.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn not_sent(text: &str) -> NoAnswer {
    NoAnswer::NotSent(Cause(text.to_owned()))
}
