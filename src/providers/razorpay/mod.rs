//! Razorpay: settings, what an account there can do, and how its API is called. Orders become requests in `qr`, `refund`,
//! `mandate` and `debit`, answers become what we know in the same place; `wire` and `mandate_wire` are the JSON, `classify`
//! the meaning of errors.
//!
//! It keeps nothing between calls, and sends every request that changes something exactly once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;

use super::http::{Answer, Call, HttpClient, NoAnswer, Party, Url};
use super::{AskError, CallError, Cause, Mandates, Provider, QrCodes, Refunds, Sending, Settlements, Webhooks};
use crate::domain::account::{
    AccountName, Capabilities, DoubtCure, MandateCapability, Operation, OperationCapability, ProviderId, QrUsageCapability,
    RefundCapability, SettlementCapability,
};
use crate::domain::fact::Evidence;
use crate::domain::money::Money;
use crate::domain::qr::Usage;
use crate::domain::refund::RefundSpeed;
use crate::held::Held;

mod classify;
mod debit;
mod mandate;
mod mandate_wire;
mod order;
mod payment;
mod qr;
mod refund;
mod settlement;
#[cfg(test)]
mod tests;
mod violations;
mod webhook;
mod wire;

/// The bank is asked for three days about a payment that got no answer, and a callback may come a day late.
const LATE_WINDOW: Duration = Duration::from_hours(4 * 24);
/// Older payments can't be refunded: six months, and UPI's 180 days are a little less [6.5, upi.md 10].
const REFUND_AGE_MAX: Duration = Duration::from_hours(180 * 24);
/// A payment is settled on the second working day after it was captured [7.1].
const SETTLEMENT_CYCLE_DAYS: u32 = 2;
/// The most items of a page. The provider refuses more.
const PAGE: usize = 100;
/// The times that the provider's lists can be asked about.
const SECONDS_MIN: i64 = 946_684_800;
const SECONDS_MAX: i64 = 4_765_046_400;
/// The most characters of an id. The provider's own have about twenty.
const ID_CHARS_MAX: usize = 64;

/// An account at Razorpay, as configured.
#[derive(Clone, Debug)]
pub struct RazorpaySettings {
    /// Scheme and host, without the `v1` of its paths.
    pub base_url: String,
    pub key: Held<ApiKey>,
    /// All are accepted: after a change, older callbacks still come with the older one.
    pub webhook_secrets: Held<Vec<SecretString>>,
    /// `acc_…`; where set, callbacks that name another account are not read.
    pub account_id: Option<String>,
    /// Of one call.
    pub timeout: Duration,
    pub deadline_floor: Duration,
    /// How far ahead a code's `close_by` must and may lie. The documentation has two rules; which one holds for an account
    /// is to be found out.
    pub close_by_min: Duration,
    pub close_by_max: Duration,
    /// The most characters of a note's value.
    pub notes_value_max: usize,
    /// The merchant's category, four digits: mandates of some permit more.
    pub mcc: Option<String>,
}

/// What calls are made as. The two come and go together: a new key has a new id and a new secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: String,
    /// The first is used.
    pub secrets: Vec<SecretString>,
}

/// What a merchant can't do with a mandate [8.6].
const NO_UPDATE: &str = "at Razorpay a mandate can't be changed: it has to be made anew";
const NO_PAUSE: &str = "at Razorpay only the payer can pause a mandate, in the UPI app";
const NO_RESUME: &str = "at Razorpay only the payer can resume a mandate, in the UPI app";

/// `account` at Razorpay, ready to be called through `http`.
pub fn provider(account: AccountName, settings: RazorpaySettings, http: HttpClient) -> Provider {
    let RazorpaySettings {
        base_url,
        key,
        webhook_secrets,
        account_id,
        timeout,
        deadline_floor,
        close_by_min,
        close_by_max,
        notes_value_max,
        mcc,
    } = settings;
    let line = http.line().clone();
    let party = Party { account: account.clone(), provider: ProviderId::Razorpay };
    let api = Api { http, party, base: base_url.parse().ok(), key, timeout };
    let limits = qr::Limits { close_by_min, close_by_max, notes_value_max };
    let codes = Arc::new(qr::RazorpayQrCodes { api: api.clone(), limits });
    let refunds = Arc::new(refund::RazorpayRefunds { api: api.clone(), notes_value_max });
    let mandates = Arc::new(mandate::RazorpayMandates { api: api.clone(), notes_value_max, mcc: mcc.clone() });
    let debits = Arc::new(debit::RazorpayDebits { api: api.clone(), notes_value_max });
    let settlements = Arc::new(settlement::RazorpaySettlements { api: api.clone() });
    Provider {
        id: ProviderId::Razorpay,
        account,
        line,
        capabilities: capabilities((close_by_min, close_by_max), mcc),
        call_timeout: timeout,
        deadline_floor,
        late_window: LATE_WINDOW,
        carries_our_ref: true,
        qr: Some(QrCodes {
            creation: codes.clone(),
            drawing: None,
            closing: Some(codes.clone()),
            enquiry: Some(codes.clone()),
            search: Some(codes.clone()),
            of_payment: Some(codes),
        }),
        refunds: Some(Refunds { creation: refunds.clone(), enquiry: refunds.clone(), of_payment: Some(refunds), sum: None }),
        mandates: Some(Mandates {
            creation: mandates.clone(),
            linking: Some(mandates.clone()),
            enquiry: mandates.clone(),
            revoking: Some(mandates),
            notices: debits.clone(),
            notice_enquiry: Some(debits.clone()),
            execution: debits,
            payments: Arc::new(order::RazorpayOrders { api: api.clone() }),
            order_before_attempt: true,
        }),
        settlements: Some(Settlements { listing: settlements.clone(), report: Some(settlements) }),
        payments: Some(Arc::new(payment::RazorpayPayments { api })),
        webhooks: Webhooks {
            proved: Some(Arc::new(webhook::RazorpayWebhooks::new(webhook_secrets, account_id))),
            hints: None,
            acknowledgement: "",
        },
    }
}

/// `lives`: the shortest and the longest life that a single-use code can be given.
fn capabilities(lives: (Duration, Duration), mcc: Option<String>) -> Capabilities {
    let operation = |(operation, doubt)| OperationCapability { operation, doubt, missing: None };
    let missing = |(operation, why)| OperationCapability { operation, doubt: DoubtCure::None, missing: Some(why) };
    let operations = [
        (Operation::CreateQr, DoubtCure::Lookup),
        (Operation::CloseQr, DoubtCure::Lookup),
        (Operation::FetchPayment, DoubtCure::Lookup),
        // The same header and the same bytes bring the first refund once more [6.4].
        (Operation::CreateRefund, DoubtCure::SafeResend),
        (Operation::CreateMandate, DoubtCure::Lookup),
        (Operation::RevokeMandate, DoubtCure::Lookup),
        (Operation::CreateDebit, DoubtCure::Lookup),
        (Operation::ExecuteDebit, DoubtCure::Lookup),
        // Nothing is asked of the provider: what is not executed is not debited.
        (Operation::CancelDebit, DoubtCure::Lookup),
        (Operation::FetchSettlements, DoubtCure::Lookup),
    ];
    let lacking = [(Operation::UpdateMandate, NO_UPDATE), (Operation::PauseMandate, NO_PAUSE), (Operation::ResumeMandate, NO_RESUME)];
    let usage = |usage, open_amount, expiry| QrUsageCapability {
        usage,
        missing: None,
        amount_min: Money::from_paise(qr::AMOUNT_MIN_PAISE),
        amount_max: None,
        open_amount,
        expiry,
        fixed_amount: true,
        payments_observable: true,
        unobservable_allowed: false,
        callback_evidence: Evidence::Signature,
        doubt: DoubtCure::Lookup,
        close_missing: None,
        upi_link: true,
        required_fields: &[],
    };
    Capabilities {
        operations: operations.map(operation).into_iter().chain(lacking.map(missing)).collect(),
        qr: vec![usage(Usage::SingleUse, false, Some(lives)), usage(Usage::MultipleUse, true, None)],
        refunds: Some(RefundCapability {
            speeds: &[RefundSpeed::Normal, RefundSpeed::Instant],
            partial: true,
            amount_min: Money::from_paise(refund::AMOUNT_MIN_PAISE),
            payment_age_max: Some(REFUND_AGE_MAX),
            one_at_a_time: false,
        }),
        mandates: Some(MandateCapability {
            patterns: mandate::patterns(),
            payer_vpa: false,
            approval_link: true,
            block_funds: false,
            irrevocable: false,
            day_required: true,
            amount_min: Money::from_paise(mandate::MAX_AMOUNT_MIN_PAISE),
            amount_max: mandate::amount_max(mcc.as_deref()),
            required_fields: &["payer_name", "payer_phone", "payer_email"],
            notice_always: true,
            mcc,
        }),
        settlements: Some(SettlementCapability { lines: true, cycle_days: SETTLEMENT_CYCLE_DAYS }),
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
    key: Held<ApiKey>,
    timeout: Duration,
}

/// Which items of a list to look at.
struct Range {
    from: Timestamp,
    to: Option<Timestamp>,
    /// The list is not read further; what is asked for then stays open.
    pages_max: usize,
}

/// How a walk through a list ended.
enum Walked<T> {
    Found(T),
    ToTheEnd,
    /// The list is longer than what is read of it.
    CutOff,
}

impl Api {
    /// Sends a request that changes something, once; its answer, if that is a success.
    async fn act<T: Serialize>(
        &self,
        operation: Operation,
        sending: Sending,
        path: &[&str],
        body: Option<&T>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let answer = self.post(operation, path, HeaderMap::new(), body, timeout).await?;
        success(operation, sending, answer)
    }

    /// The same for what is asked by a PUT without a body.
    async fn put(&self, operation: Operation, path: &[&str], timeout: Duration) -> Result<Answer, CallError> {
        let answer = self.send::<()>(operation, Method::PUT, path, HeaderMap::new(), None, timeout).await?;
        success(operation, Sending::First, answer)
    }

    /// Sends a request that changes something, once; its answer, whatever that says. `more` headers go with it.
    async fn post<T: Serialize>(
        &self,
        operation: Operation,
        path: &[&str],
        more: HeaderMap,
        body: Option<&T>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        self.send(operation, Method::POST, path, more, body, timeout).await
    }

    async fn send<T: Serialize>(
        &self,
        operation: Operation,
        method: Method,
        path: &[&str],
        more: HeaderMap,
        body: Option<&T>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let call = || {
            let mut headers = self.headers()?;
            headers.extend(more);
            let call = Call { operation: operation.as_str(), method, url: self.url(path, &[])?, headers, body: None, timeout };
            match body {
                Some(body) => call.json(body),
                None => Ok(call),
            }
        };
        let sent = match call() {
            Ok(call) => self.http.send(&self.party, call).await,
            Err(error) => Err(error),
        };
        sent.map_err(|error| match error {
            NoAnswer::NotSent(cause) => CallError::NotDelivered(cause),
            NoAnswer::Lost(cause) => CallError::InDoubt(cause),
        })
    }

    /// Asks what changes nothing; the answer, if that is a success.
    async fn ask(&self, operation: &'static str, path: &[&str], query: &[(&str, String)]) -> Result<Answer, AskError> {
        let call = Call::get(operation, self.url(path, query)?, self.headers()?, self.timeout);
        let answer = self.http.send(&self.party, call).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(classify::classify_question(answer.status, wire::failure(&answer.body).as_ref()))
    }

    /// Hands the items of a list to `visit`, page by page, until it breaks off, the list ends, or the pages are over.
    ///
    /// The list is newest first, so that what comes while we read moves items to later pages: some are seen twice, none is
    /// missed.
    async fn search<T>(
        &self,
        operation: &'static str,
        path: &[&str],
        range: Range,
        mut visit: impl FnMut(&RawValue) -> Result<ControlFlow<T>, AskError> + Send,
    ) -> Result<Walked<T>, AskError> {
        let Range { from, to, pages_max } = range;
        for page in 0..pages_max {
            let mut query = vec![("from", seconds(from)), ("count", PAGE.to_string()), ("skip", (page * PAGE).to_string())];
            query.extend(to.map(|to| ("to", seconds(to))));
            let answer = self.ask(operation, path, &query).await?;
            let page = page_of(&answer)?;
            for item in &page.items {
                if let ControlFlow::Break(found) = visit(item)? {
                    return Ok(Walked::Found(found));
                }
            }
            if page.items.len() < PAGE {
                return Ok(Walked::ToTheEnd);
            }
        }
        Ok(Walked::CutOff)
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, NoAnswer> {
        let not_sent = |text: &str| NoAnswer::NotSent(Cause(text.to_owned()));
        let mut url = self.base.clone().ok_or_else(|| not_sent("the configured base_url is no URL"))?;
        url.path_segments_mut().map_err(|()| not_sent("the configured base_url has no place for a path"))?.pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn headers(&self) -> Result<HeaderMap, NoAnswer> {
        let key = self.key.get();
        let authorization = key.secrets.first().and_then(|secret| basic(&key.id, secret));
        let authorization = authorization.ok_or_else(|| NoAnswer::NotSent(Cause("no key secret is configured".to_owned())))?;
        Ok(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
    }
}

/// The answer to a request that changes something, if it is a success.
fn success(operation: Operation, sending: Sending, answer: Answer) -> Result<Answer, CallError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    Err(classify::classify(operation, sending == Sending::First, answer.status, wire::failure(&answer.body).as_ref()))
}

/// The page of a list that an answer is.
fn page_of(answer: &Answer) -> Result<wire::Page, wire::Unreadable> {
    let page: wire::Page = wire::read("list", &answer.body)?;
    match page.count {
        Some(count) if count != page.items.len() as u64 => Err(unreadable("a list has another length than it says")),
        _ => Ok(page),
    }
}

fn longer_than(pages: usize) -> AskError {
    AskError::Unanswered(Cause(format!("the list is longer than the {} items that are read of it", pages * PAGE)))
}

/// The credentials as a header that shows in no log. Its first word is case-sensitive at this provider.
fn basic(key_id: &str, secret: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{key_id}:{}", secret.expose_secret())))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn unreadable(text: &str) -> wire::Unreadable {
    wire::Unreadable(text.to_owned())
}

/// To a question it is all the same whether it arrived.
impl From<NoAnswer> for AskError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::NotSent(cause) | NoAnswer::Lost(cause) => AskError::Unanswered(cause),
        }
    }
}

impl From<wire::Unreadable> for AskError {
    fn from(error: wire::Unreadable) -> Self {
        AskError::Unanswered(Cause(error.0))
    }
}

/// An answer to a request that we can't read is doubt, whatever its status.
impl From<wire::Unreadable> for CallError {
    fn from(error: wire::Unreadable) -> Self {
        CallError::InDoubt(Cause(error.0))
    }
}

/// An entity's id: what goes into paths and references is a plain word.
fn id(what: &str, id: Option<String>) -> Result<String, wire::Unreadable> {
    let plain = |id: &String| id.len() <= ID_CHARS_MAX && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    id.filter(plain).ok_or_else(|| unreadable(&format!("the {what} has no id, or none that is a plain word")))
}

/// That an entity that says what it is says the right thing.
fn is_a(what: &'static str, entity: Option<&str>) -> Result<(), wire::Unreadable> {
    match entity {
        Some(other) if other != what => Err(unreadable(&format!("an entity of another kind stands where a {what} should"))),
        _ => Ok(()),
    }
}

/// A time as the provider's lists can be asked about it.
fn seconds(time: Timestamp) -> String {
    time.as_second().clamp(SECONDS_MIN, SECONDS_MAX).to_string()
}

fn time(seconds: i64) -> Result<Timestamp, wire::Unreadable> {
    Timestamp::from_second(seconds).map_err(|_| unreadable("a time is beyond every calendar"))
}
