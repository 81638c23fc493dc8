//! EnKash: settings, what an account there can do, and how its API is called. A code to be paid once is an order and its
//! dynamic QR code; a code for many payments is one of their UPI QR codes. `wire` is the JSON, `classify` the meaning of
//! errors, `login` brings the token that `TokenCache` keeps, `words` is what has to be configured before there are mandates.
//!
//! It keeps nothing between calls but the token, and sends every request that changes something exactly once.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;

use super::http::{Call, HttpClient, NoAnswer, Party, Url};
use super::reading::{Unreadable, read, unreadable};
use super::token::{CallFailed, LoginTold, NoToken, Random, SealKey, Token, TokenCache, TokenParts, TokenShelf};
use super::{AskError, CallError, Cause, Mandates, Provider, QrCodes, Refunds, Sending, Settlements, Webhooks, indian_time};
use crate::domain::account::{
    AccountName, Capabilities, DoubtCure, Operation, OperationCapability, ProviderId, QrUsageCapability, RefundCapability,
    SettlementCapability,
};
use crate::domain::fact::Evidence;
use crate::domain::money::Money;
use crate::domain::qr::Usage;
use crate::domain::refund::RefundSpeed;
use crate::held::Held;

mod classify;
mod debit;
#[cfg(test)]
mod fuzz;
mod login;
mod mandate;
mod mandate_wire;
mod order;
mod payment;
mod qr;
mod refund;
mod settlement;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;
mod words;

pub use words::{AmountUnit, EnkashMandateSettings, MandatePaths, MandateWord, Naming, NoticeWord};

/// Nothing is published on how long a failed attempt may still succeed; UPI asks banks for three days.
const LATE_WINDOW: Duration = Duration::from_hours(4 * 24);
/// Payments by UPI are refunded within 180 days [upi.md 10]; EnKash publishes no age.
const REFUND_AGE_MAX: Duration = Duration::from_hours(180 * 24);
/// Nothing is published on when a payment is settled; `T1` is the middle one of the cycles of its splits [P20].
const SETTLEMENT_CYCLE_DAYS: u32 = 1;
/// The most characters of an id. EnKash's own have about twenty.
const ID_CHARS_MAX: usize = 64;
/// `amount.value` of an order is at least 0.01 [P3].
const AMOUNT_MIN_PAISE: i64 = 1;
/// Where our reference stands in `order_lookup_path`.
const MERCHANT_ORDER_ID: &str = "{merchantOrderId}";

/// Milliseconds since 1970, as the service's clock shows them.
pub type NowMs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// An account at EnKash, as configured.
#[derive(Clone)]
pub struct EnkashSettings {
    /// Scheme and host.
    pub base_url: String,
    pub keys: Held<Keys>,
    /// Whether the token goes out as `Bearer …` (the documented form) or bare (what one live caller had to do).
    pub bearer: bool,
    /// Where an order is found by our reference, with `{merchantOrderId}` in it. The path is not published; `None`: a lost
    /// answer can't be looked up.
    pub order_lookup_path: Option<String>,
    /// Whether codes may be made whose payments nobody hears of.
    pub allow_unobservable_qr: bool,
    /// Where Payment Notify goes: holds the unguessable part of our URL.
    pub notify_url: Held<Option<SecretString>>,
    /// `None`: how mandates are spoken of is not known, and there are none.
    pub mandates: Option<EnkashMandateSettings>,
    /// The merchant's category: four digits.
    pub mcc: Option<String>,
    /// Of one call.
    pub timeout: Duration,
    pub deadline_floor: Duration,
    pub now_ms: NowMs,
}

/// What calls and logins are made as.
#[derive(Clone)]
pub struct Keys {
    pub access_key: String,
    /// The first is used.
    pub secret_keys: Vec<SecretString>,
    /// The login's `API-Key`; `None`: the access key is sent in its place, as one live caller does [code B].
    pub api_key: Option<SecretString>,
}

/// What the access token is kept with.
pub struct Tokens {
    /// Shared by all replicas where they share a store.
    pub shelf: Arc<dyn TokenShelf>,
    pub key: Option<SealKey>,
    pub random: Random,
    pub told: LoginTold,
}

/// `account` at EnKash, ready to be called through `http`.
pub fn provider(account: AccountName, settings: EnkashSettings, http: HttpClient, tokens: Tokens) -> Provider {
    let EnkashSettings {
        base_url,
        keys,
        bearer,
        order_lookup_path,
        allow_unobservable_qr,
        notify_url,
        mandates,
        mcc,
        timeout,
        deadline_floor,
        now_ms,
    } = settings;
    let line = http.line().clone();
    let party = Party { account: account.clone(), provider: ProviderId::Enkash };
    let base: Option<Url> = base_url.parse().ok();
    let login = login::EnkashLogin {
        http: http.clone(),
        party: party.clone(),
        url: base.as_ref().and_then(|base| below(base, &["api", "v0", "merchant", "token"], &[])),
        keys: keys.clone(),
        now_ms: now_ms.clone(),
    };
    let Tokens { shelf, key, random, told } = tokens;
    let tokens = TokenCache::new(TokenParts { account: account.clone(), login: Arc::new(login), shelf, key, random, told });
    let api = Api { http, party, base, keys, bearer, timeout, tokens };
    let doubt = if order_lookup_path.is_some() { DoubtCure::Lookup } else { DoubtCure::None };
    let refunds = Arc::new(refund::EnkashRefunds { api: api.clone() });
    let codes = Arc::new(qr::EnkashQrCodes { api: api.clone(), order_lookup_path, notify_url });
    Provider {
        id: ProviderId::Enkash,
        account,
        line,
        capabilities: capabilities(doubt, allow_unobservable_qr, mandates.as_ref(), mcc),
        call_timeout: timeout,
        deadline_floor,
        late_window: LATE_WINDOW,
        carries_our_ref: true,
        qr: Some(QrCodes {
            creation: codes.clone(),
            drawing: Some(codes.clone()),
            closing: Some(codes.clone()),
            enquiry: Some(codes.clone()),
            search: Some(codes),
            of_payment: None,
        }),
        refunds: Some(Refunds { creation: refunds.clone(), enquiry: refunds.clone(), of_payment: None, sum: Some(refunds) }),
        mandates: mandates.map(|settings| with_mandates(&api, settings, now_ms)),
        settlements: Some(Settlements { listing: Arc::new(settlement::EnkashSettlements { api: api.clone() }), report: None }),
        payments: Some(Arc::new(payment::EnkashPayments { api })),
        webhooks: Webhooks { proved: None, hints: Some(Arc::new(webhook::EnkashWebhooks)), acknowledgement: "" },
    }
}

fn with_mandates(api: &Api, settings: EnkashMandateSettings, now_ms: NowMs) -> Mandates {
    let settings = Arc::new(settings);
    let mandates = Arc::new(mandate::EnkashMandates { api: api.clone(), settings: settings.clone(), now_ms });
    let debits = Arc::new(debit::EnkashDebits { api: api.clone(), settings });
    Mandates {
        creation: mandates.clone(),
        linking: None,
        enquiry: mandates.clone(),
        revoking: Some(mandates),
        notices: debits.clone(),
        notice_enquiry: None,
        execution: debits.clone(),
        payments: debits,
        order_before_attempt: false,
    }
}

/// `doubt`: how the lost answer to an order is found out.
fn capabilities(
    doubt: DoubtCure,
    unobservable_allowed: bool,
    mandates: Option<&EnkashMandateSettings>,
    mcc: Option<String>,
) -> Capabilities {
    let operation = |operation, doubt| OperationCapability { operation, doubt, missing: None };
    let single = QrUsageCapability {
        usage: Usage::SingleUse,
        missing: None,
        amount_min: Money::from_paise(AMOUNT_MIN_PAISE),
        amount_max: None,
        open_amount: false,
        fixed_amount: true,
        expiry: None,
        payments_observable: true,
        unobservable_allowed: false,
        callback_evidence: Evidence::Enquiry,
        doubt,
        close_missing: Some("EnKash publishes no way to close an order; it ends by itself"),
        upi_link: false,
        required_fields: &[],
    };
    let multiple = QrUsageCapability {
        usage: Usage::MultipleUse,
        open_amount: true,
        // How a payment to such a code is reported is not published.
        payments_observable: false,
        unobservable_allowed,
        // By the reference that the code carries.
        doubt: DoubtCure::Lookup,
        close_missing: None,
        ..single.clone()
    };
    let operations = [
        operation(Operation::CreateQr, doubt),
        operation(Operation::CloseQr, DoubtCure::Lookup),
        operation(Operation::FetchPayment, DoubtCure::Lookup),
        // That it was made can be seen; that it will not be, never. What a repetition does is not published.
        operation(Operation::CreateRefund, DoubtCure::None),
        operation(Operation::FetchSettlements, DoubtCure::Lookup),
    ];
    Capabilities {
        operations: operations.into_iter().chain(words::operations(mandates)).collect(),
        qr: vec![single, multiple],
        refunds: Some(RefundCapability {
            speeds: &[RefundSpeed::Normal],
            partial: true,
            amount_min: Money::from_paise(refund::AMOUNT_MIN_PAISE),
            payment_age_max: Some(REFUND_AGE_MAX),
            one_at_a_time: true,
        }),
        mandates: words::capability(mandates, mcc),
        settlements: Some(SettlementCapability { lines: false, cycle_days: SETTLEMENT_CYCLE_DAYS }),
    }
}

/// How the API is called: where, as whom, and for how long.
#[derive(Clone)]
struct Api {
    http: HttpClient,
    party: Party,
    /// `None`: what is configured is no URL, and every call ends before it is sent.
    base: Option<Url>,
    /// Looked at anew with each call.
    keys: Held<Keys>,
    bearer: bool,
    timeout: Duration,
    tokens: TokenCache,
}

/// One request, to be put together anew for each token.
struct Request {
    operation: &'static str,
    method: Method,
    url: Result<Url, Cause>,
    body: Option<Vec<u8>>,
}

/// An answer, and what it is wrapped in, if that can be read.
struct Wrapped {
    status: http::StatusCode,
    envelope: Option<wire::Envelope>,
}

/// What the answer to a question says.
enum Told {
    Payload(Box<RawValue>),
    /// A failure in the documented form, under a status that says nothing else.
    Failure(Cause),
}

/// Why there is no answer.
enum Unanswered {
    NoToken(NoToken),
    NoAnswer(NoAnswer),
}

impl Api {
    fn request(&self, operation: &'static str, method: Method, path: &[&str], query: &[(&str, String)]) -> Request {
        let url = self.base.as_ref().and_then(|base| below(base, path, query));
        let url = url.ok_or_else(|| Cause("the configured base_url is no URL that a path can be put below".to_owned()));
        Request { operation, method, url, body: None }
    }

    /// A request at a path of the configuration, which may have a query.
    fn request_at(&self, operation: &'static str, method: Method, path: &str) -> Request {
        let url = self.base.as_ref().and_then(|base| format!("{}{path}", base.as_str().trim_end_matches('/')).parse().ok());
        let url = url.ok_or_else(|| Cause("the configured base_url and path are no URL together".to_owned()));
        Request { operation, method, url, body: None }
    }

    /// Sends a request that changes something, once; what its answer carries, if that is a success.
    async fn act(&self, request: Request, sending: Sending, timeout: Duration) -> Result<Box<RawValue>, CallError> {
        let Wrapped { status, envelope } = self.send(&request, timeout).await?;
        if !classify::is_success(status, envelope.as_ref()) {
            return Err(classify::classify(sending, status, envelope.as_ref()));
        }
        Ok(payload(envelope)?)
    }

    /// Asks what changes nothing.
    async fn ask(&self, request: Request) -> Result<Told, AskError> {
        let Wrapped { status, envelope } = self.send(&request, self.timeout).await?;
        let code = envelope.as_ref().and_then(|envelope| envelope.response_code);
        match code {
            Some(0) if status.is_success() => Ok(Told::Payload(payload(envelope)?)),
            Some(code) if code != 0 && classify::says_no(status) => Ok(Told::Failure(classify::cause(status, Some(code)))),
            code => Err(AskError::Unanswered(classify::cause(status, code))),
        }
    }

    /// What an answer carries that must be there.
    async fn ask_for(&self, request: Request) -> Result<Box<RawValue>, AskError> {
        match self.ask(request).await? {
            Told::Payload(payload) => Ok(payload),
            Told::Failure(cause) => Err(AskError::Unanswered(cause)),
        }
    }

    async fn send(&self, request: &Request, timeout: Duration) -> Result<Wrapped, Unanswered> {
        self.tokens.with_token(timeout, |token, left| self.send_with(request, token, left)).await
    }

    async fn send_with(&self, request: &Request, token: Token, timeout: Duration) -> Result<Wrapped, CallFailed<Unanswered>> {
        let call = self.call(request, &token, timeout).map_err(Unanswered::NoAnswer)?;
        let answer = self.http.send(&self.party, call).await.map_err(Unanswered::NoAnswer)?;
        let envelope: Option<wire::Envelope> = read("answer", &answer.body).ok();
        if classify::refuses_token(answer.status, envelope.as_ref()) {
            return Err(CallFailed::TokenRefused);
        }
        Ok(Wrapped { status: answer.status, envelope })
    }

    fn call(&self, request: &Request, token: &Token, timeout: Duration) -> Result<Call, NoAnswer> {
        let not_sent = |cause: &Cause| NoAnswer::NotSent(cause.clone());
        let url = request.url.as_ref().map_err(not_sent)?.clone();
        let mut headers = self.headers(token)?;
        if request.body.is_some() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = request.body.clone().map(Into::into);
        Ok(Call { operation: request.operation, method: request.method.clone(), url, headers, body, timeout })
    }

    fn headers(&self, token: &Token) -> Result<HeaderMap, NoAnswer> {
        let secret = |text: String| {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| NoAnswer::NotSent(Cause("a key has characters that no header can have".to_owned())))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let token = token.text().expose_secret();
        let authorization = if self.bearer { format!("Bearer {token}") } else { token.to_owned() };
        Ok(HeaderMap::from_iter([
            (AUTHORIZATION, secret(authorization)?),
            (HeaderName::from_static("merchantaccesskey"), secret(self.keys.get().access_key.clone())?),
        ]))
    }
}

impl Request {
    fn json<T: Serialize>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = Some(body),
            Err(_) => self.url = Err(Cause("the request can't be written as JSON".to_owned())),
        }
        self
    }
}

/// `base` with a path below it.
fn below(base: &Url, path: &[&str], query: &[(&str, String)]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Some(url)
}

fn payload(envelope: Option<wire::Envelope>) -> Result<Box<RawValue>, Unreadable> {
    envelope.and_then(|envelope| envelope.payload).ok_or_else(|| unreadable("the answer carries nothing"))
}

impl From<NoToken> for Unanswered {
    fn from(none: NoToken) -> Self {
        Unanswered::NoToken(none)
    }
}

impl From<Unanswered> for CallError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NoToken(none) => none.into(),
            Unanswered::NoAnswer(NoAnswer::NotSent(cause)) => CallError::NotDelivered(cause),
            Unanswered::NoAnswer(NoAnswer::Lost(cause)) => CallError::InDoubt(cause),
        }
    }
}

/// To a question it is all the same whether it arrived.
impl From<Unanswered> for AskError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NoToken(none) => none.into(),
            Unanswered::NoAnswer(NoAnswer::NotSent(cause) | NoAnswer::Lost(cause)) => AskError::Unanswered(cause),
        }
    }
}

/// Rupees as a JSON number with two decimals.
fn decimal(amount: Money) -> Result<Box<RawValue>, CallError> {
    RawValue::from_string(amount.rupees_text()).map_err(|_| CallError::NotDelivered(Cause("the amount can't be written".to_owned())))
}

fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A time of theirs: RFC 3339, or without an offset, and then India's [enkash 5, inferred].
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        indian_time::in_india(civil)
    })
}
