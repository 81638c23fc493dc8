//! OQPay: settings, what an account there can do, and how its API is called. It makes codes that are paid once and tells of
//! payments; it can't be asked about anything, and nothing signs what it tells.
//!
//! A request carries no reference of ours. So nothing is ever sent twice: a second send would make a second code.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::http::{Answer, Call, HttpClient, NoAnswer, Party, Url};
use super::{Provider, QrCodes, Webhooks};
use crate::domain::account::{AccountName, Capabilities, DoubtCure, Operation, OperationCapability, ProviderId, QrUsageCapability};
use crate::domain::fact::Evidence;
use crate::domain::money::Money;
use crate::domain::personal::Vpa;
use crate::domain::qr::Usage;
use crate::held::Held;

mod classify;
mod qr;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

/// Nothing in a code's text tells an app that its five minutes are over, so a payer may be late; and no schedule is
/// published by which callbacks are repeated. A day covers both.
const LATE_WINDOW: Duration = Duration::from_hours(24);
/// What the provider's page of callbacks asks for.
const ACKNOWLEDGEMENT: &str = r#"{"status":"1","message":"Transaction completed successfully"}"#;

const NO_MULTIPLE_USE: &str = "OQPay documents only codes for one payment of a fixed amount";
const NO_CLOSE: &str = "OQPay documents no way to close a code; it ends by itself some minutes after it was made";
const NO_REFUND: &str = "OQPay documents no refund";
const NO_MANDATES: &str = "OQPay documents no mandates";
const NO_SETTLEMENTS: &str = "OQPay documents no settlements";
const NO_FETCH: &str = "OQPay documents no way to ask about a payment";

/// Whether callbacks from an address are taken for the provider's own.
pub type CallbacksProve = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// An account at OQPay, as configured.
#[derive(Clone)]
pub struct OqpaySettings {
    /// Scheme and host, without the `api/V5` of its paths.
    pub base_url: String,
    pub keys: Held<Keys>,
    /// `Some`: that a callback came to the secret URL from such an address is evidence enough. `None`: callbacks prove
    /// nothing.
    pub callbacks_prove: Option<CallbacksProve>,
    /// Where payments may be collected besides the code's own address; a payment elsewhere is not the merchant's. Empty:
    /// payees are not compared, since the provider's own examples have another one in the callback than in the code.
    pub payee_vpas: Vec<Vpa>,
    /// Of one call.
    pub timeout: Duration,
    pub deadline_floor: Duration,
}

/// What calls are made as.
#[derive(Clone)]
pub struct Keys {
    /// All that authenticates the account in the documented calls. The first is used.
    pub registration_ids: Vec<SecretString>,
    /// Sent as a bearer token besides, where the provider asks for one: its documentation has none.
    pub bearer_token: Option<SecretString>,
}

/// `account` at OQPay, ready to be called through `http`.
pub fn provider(account: AccountName, settings: OqpaySettings, http: HttpClient) -> Provider {
    let OqpaySettings { base_url, keys, callbacks_prove, payee_vpas, timeout, deadline_floor } = settings;
    let payees = webhook::Payees(payee_vpas);
    let line = http.line().clone();
    let party = Party { account: account.clone(), provider: ProviderId::Oqpay };
    let api = Api { http, party, base: base_url.parse().ok(), keys };
    let evidence = if callbacks_prove.is_some() { Evidence::UrlSecret } else { Evidence::Unproven };
    Provider {
        id: ProviderId::Oqpay,
        account,
        line,
        capabilities: capabilities(evidence),
        call_timeout: timeout,
        deadline_floor,
        late_window: LATE_WINDOW,
        carries_our_ref: false,
        qr: Some(QrCodes {
            creation: Arc::new(qr::OqpayQrCodes { api }),
            drawing: None,
            closing: None,
            enquiry: None,
            search: None,
            of_payment: None,
        }),
        refunds: None,
        mandates: None,
        settlements: None,
        payments: None,
        webhooks: Webhooks {
            proved: callbacks_prove.map(|prove| Arc::new(webhook::OqpayWebhooks { prove, payees: payees.clone() }) as _),
            // Also where addresses are listed: one that is missing there must not lose a payment that can't be asked for.
            hints: Some(Arc::new(webhook::OqpayHints { payees })),
            acknowledgement: ACKNOWLEDGEMENT,
        },
    }
}

/// `evidence`: what callbacks prove.
fn capabilities(evidence: Evidence) -> Capabilities {
    let operation = |operation, missing| OperationCapability { operation, doubt: DoubtCure::None, missing };
    let usage = |usage, missing| QrUsageCapability {
        usage,
        missing,
        amount_min: Money::from_paise(qr::AMOUNT_MIN_PAISE),
        amount_max: None,
        open_amount: false,
        expiry: None,
        fixed_amount: true,
        payments_observable: true,
        unobservable_allowed: false,
        callback_evidence: evidence,
        doubt: DoubtCure::None,
        close_missing: Some(NO_CLOSE),
        upi_link: true,
        required_fields: &[],
    };
    let of_mandates = Operation::OF_MANDATES.map(|missing| operation(missing, Some(NO_MANDATES)));
    let mut operations = vec![
        operation(Operation::CreateQr, None),
        operation(Operation::CloseQr, Some(NO_CLOSE)),
        operation(Operation::FetchPayment, Some(NO_FETCH)),
        operation(Operation::CreateRefund, Some(NO_REFUND)),
        operation(Operation::FetchSettlements, Some(NO_SETTLEMENTS)),
    ];
    operations.extend(of_mandates);
    Capabilities {
        operations,
        qr: vec![usage(Usage::SingleUse, None), usage(Usage::MultipleUse, Some(NO_MULTIPLE_USE))],
        refunds: None,
        mandates: None,
        settlements: None,
    }
}

/// How the API is called: where, and as whom.
#[derive(Clone)]
struct Api {
    http: HttpClient,
    party: Party,
    /// `None`: what is configured is no URL, and every call ends before it is sent.
    base: Option<Url>,
    /// Looked at anew with each call.
    keys: Held<Keys>,
}

impl Api {
    /// Sends a request that changes something, once.
    async fn act<T: Serialize>(&self, operation: Operation, path: &[&str], body: &T, timeout: Duration) -> Result<Answer, NoAnswer> {
        let call = Call::post(operation.as_str(), self.url(path)?, self.headers()?, timeout).json(body)?;
        self.http.send(&self.party, call).await
    }

    fn registration_id(&self) -> Result<SecretString, NoAnswer> {
        let id = self.keys.get().registration_ids.first().filter(|id| !id.expose_secret().is_empty()).cloned();
        id.ok_or_else(|| not_sent("no registration id is configured"))
    }

    fn url(&self, path: &[&str]) -> Result<Url, NoAnswer> {
        let mut url = self.base.clone().ok_or_else(|| not_sent("the configured base_url is no URL"))?;
        url.path_segments_mut().map_err(|()| not_sent("the configured base_url has no place for a path"))?.pop_if_empty().extend(path);
        Ok(url)
    }

    fn headers(&self) -> Result<HeaderMap, NoAnswer> {
        let keys = self.keys.get();
        let Some(token) = &keys.bearer_token else { return Ok(HeaderMap::new()) };
        let authorization = bearer(token).ok_or_else(|| not_sent("the configured bearer token can't stand in a header"))?;
        Ok(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
    }
}

/// The token as a header that shows in no log.
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn not_sent(text: &str) -> NoAnswer {
    NoAnswer::NotSent(super::Cause(text.to_owned()))
}
