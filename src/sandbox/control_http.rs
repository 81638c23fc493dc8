//! The control interface by HTTP, JSON in and out. Loopback only, and no browser: a page that
//! somebody visits must not be able to make payments up, so requests with an `Origin` are refused.
//!
//! | method and path (below `/control`) | body | answer |
//! |---|---|---|
//! | `POST /{provider}/{account}/pay` | `{"qr": id or text, "amount"?, "vpa"?, "outcome"?, "any_amount"?}`, amounts in paise; at Razorpay also `{"order": id, …}` | `{"payment_id"}` |
//! | `POST /{provider}/{account}/authorize_late` | `{"payment_id"}` | `{}` |
//! | `POST /{provider}/{account}/fail` | `{"payment_id"}` | `{}` |
//! | `POST /{provider}/{account}/reverse` | `{"payment_id"}` | `{}` |
//! | `POST /{provider}/{account}/forge` | `{"qr": id or text, "amount"?}` | `{}`: a callback tells of a payment that never was |
//! | `POST /razorpay/{account}/capture` | `{"payment_id"}` | `{}` |
//! | `POST /{provider}/{account}/refund` | `{"payment_id", "amount"?}`: all that is left where nothing is said | `{"refund_id"}`, null at EnKash |
//! | `POST /{provider}/{account}/end_refund` | `{"refund_id", "how"}`: `processed`, `failed` or `slow_down`; EnKash's refunds go by their `requestId` | `{}` |
//! | `POST /{provider}/{account}/settle` | | `{"settlement_id"}`: of all that was not settled yet |
//! | `POST /razorpay/{account}/settle_bulk` | `{"lines", "seed"}` | a settlement of made-up lines: `{"id", "lines", "gross", "fee", "tax", "net"}` |
//! | `POST /razorpay/{account}/recon_fault` | `{"kind"}`: `missing`, `doubled`, `in_other_settlement_too` with an `entity_id`, `off_by` with `paise` too, `settlement_off_by` with a `settlement_id` and `paise`, `unknown` | `{"id"}` of the line or settlement |
//! | `DELETE /razorpay/{account}/recon_faults` | | `{}`: all are mended |
//! | `POST /{provider}/{account}/decide_mandate` | `{"mandate": its id, its order's, or its link's text, "act"}`: `approve`, `reject`, `pause`, `resume` or `revoke` | `{}`: the payer acts |
//! | `POST /{provider}/{account}/end_notice` | `{"notice": its id, or its order's, "how"}`: `delivered` or `failed` | `{}` |
//! | `POST /{provider}/{account}/end_debit` | `{"debit": its payment's id, or its order's, "how"}`: `collected`, or `failed` with a `reason`; one that failed may be collected late | `{}` |
//! | `GET /{provider}/{account}/qr_codes`, `…/payments`, `…/refunds`, `…/settlements`, `…/mandates` | | `{"items": […]}`, newest first |
//! | `POST /faults` | `{"account"?, "operation"?, "kind", "times"?, "after"?}` | `{}` |
//! | `POST /webhook_faults` | `{"account"?, "event"?, "kind", "times"?}` | `{}` |
//! | `DELETE /faults` | | `{}`: both kinds are forgotten |
//! | `POST /webhooks/release` | | `{}` |
//! | `POST /webhook_url` | `{"account", "url"}` | `{}` |
//! | `GET`, `POST /clock` | `{"advance_ms"}` | `{"now_ms", "now"}` |
//! | `POST /list_lag` | `{"seconds"}` | `{}` |
//! | `GET`, `POST /switches` | all that differ from the default | the switches |
//! | `GET /seen`, `/deliveries` | | `{"items": […]}`, oldest first |
//!
//! `{provider}` is `razorpay`, `enkash`, `oqpay` or `eko`; what a provider has no such thing of is refused. A `kind` without settings is a string (`"answer_lost"`), one with settings an object
//! (`{"delay": {"ms": 50}}`). Errors are `{"error": text}` with 400, 404 or 409.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::razorpay::link;
use super::server::json as respond;
use super::{ControlError, DebitEnd, Inner, NoticeEnd, Outcome, PayOptions, PayerAct, ReconFault, RefundEnd, Sandbox, Simulated};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    qr: Option<String>,
    order: Option<String>,
    amount: Option<i64>,
    vpa: Option<String>,
    #[serde(default)]
    outcome: Outcome,
    #[serde(default)]
    any_amount: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentId {
    payment_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refund {
    payment_id: String,
    amount: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndRefund {
    refund_id: String,
    how: RefundEnd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideMandate {
    mandate: String,
    act: PayerAct,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndNotice {
    notice: String,
    how: NoticeEnd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndDebit {
    debit: String,
    how: DebitEnd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkWish {
    lines: usize,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongRecon {
    kind: ReconFault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forgery {
    qr: String,
    amount: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookUrl {
    account: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lag {
    seconds: u64,
}

/// Why a control request was not done.
enum Refusal {
    NoSuchPath,
    Unreadable(String),
    Control(ControlError),
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

/// `path` is what comes after `/control/`.
pub async fn answer(inner: &Arc<Inner>, parts: &Parts, path: &str, body: &[u8]) -> Response {
    if parts.headers.contains_key(header::ORIGIN) {
        return respond(403, json!({ "error": "the control interface is not for browsers" }).to_string());
    }
    let sandbox = Sandbox { inner: inner.clone() };
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    let (status, value) = match act(&sandbox, parts.method.as_str(), &segments, body).await {
        Ok(value) => (200, value),
        Err(Refusal::NoSuchPath) => (404, json!({ "error": "there is no such path" })),
        Err(Refusal::Unreadable(text)) => (400, json!({ "error": text })),
        Err(Refusal::Control(error)) => {
            let status = match &error {
                ControlError::UnknownAccount(_) | ControlError::NotFound(_) => 404,
                ControlError::WrongState { .. }
                | ControlError::Full
                | ControlError::TooManyFaults(_)
                | ControlError::NothingToSettle(_) => 409,
                ControlError::AmountNeeded(_)
                | ControlError::WrongAmount { .. }
                | ControlError::BadAmount
                | ControlError::TooLittle(_)
                | ControlError::NotWholeRupees
                | ControlError::BadCount(_)
                | ControlError::NotOffered(_)
                | ControlError::BadUrl(_) => 400,
            };
            (status, json!({ "error": error.to_string() }))
        }
    };
    respond(status, value.to_string())
}

async fn act(sandbox: &Sandbox, method: &str, path: &[&str], body: &[u8]) -> Result<Value, Refusal> {
    let done = Ok(json!({}));
    match (method, path) {
        ("POST", ["faults"]) => {
            sandbox.fault(read(body)?)?;
            done
        }
        ("DELETE", ["faults"]) => {
            sandbox.clear_faults();
            done
        }
        ("POST", ["webhook_faults"]) => {
            sandbox.webhook_fault(read(body)?)?;
            done
        }
        ("POST", ["webhooks", "release"]) => {
            sandbox.release_webhooks();
            done
        }
        ("POST", ["webhook_url"]) => {
            let WebhookUrl { account, url } = read(body)?;
            sandbox.set_webhook_url(&account, &url)?;
            done
        }
        ("POST", ["clock"]) => {
            sandbox.advance(Duration::from_millis(read::<Advance>(body)?.advance_ms));
            Ok(clock(sandbox))
        }
        ("GET", ["clock"]) => Ok(clock(sandbox)),
        ("POST", ["list_lag"]) => {
            sandbox.set_list_lag(read::<Lag>(body)?.seconds);
            done
        }
        ("POST", ["switches"]) => {
            sandbox.switches(read(body)?);
            Ok(json!(sandbox.current_switches()))
        }
        ("GET", ["switches"]) => Ok(json!(sandbox.current_switches())),
        ("GET", ["seen"]) => Ok(items(sandbox.seen())),
        ("GET", ["deliveries"]) => Ok(items(sandbox.deliveries())),
        (method, [provider, account, what]) => {
            let provider = Simulated::of_name(provider).ok_or(Refusal::NoSuchPath)?;
            let known = sandbox.inner.account(account).is_some_and(|account| account.merchant.provider() == provider);
            if !known {
                return Err(ControlError::UnknownAccount((*account).to_owned()).into());
            }
            act_at(sandbox, method, account, what, body).await
        }
        _ => Err(Refusal::NoSuchPath),
    }
}

/// What is done at one account.
async fn act_at(sandbox: &Sandbox, method: &str, account: &str, what: &str, body: &[u8]) -> Result<Value, Refusal> {
    match (method, what) {
        ("POST", "pay") => return pay(sandbox, account, read(body)?).await,
        ("POST", "authorize_late") => sandbox.authorize_late(account, &read::<PaymentId>(body)?.payment_id).await?,
        ("POST", "capture") => sandbox.capture(account, &read::<PaymentId>(body)?.payment_id).await?,
        ("POST", "fail") => sandbox.fail_payment(account, &read::<PaymentId>(body)?.payment_id).await?,
        ("POST", "reverse") => sandbox.reverse_payment(account, &read::<PaymentId>(body)?.payment_id).await?,
        ("POST", "refund") => {
            let Refund { payment_id, amount } = read(body)?;
            let id = sandbox.refund_payment(account, &payment_id, amount).await?;
            return Ok(json!({ "refund_id": id }));
        }
        ("POST", "end_refund") => {
            let EndRefund { refund_id, how } = read(body)?;
            sandbox.end_refund(account, &refund_id, how).await?;
        }
        ("POST", "decide_mandate") => {
            let DecideMandate { mandate, act } = read(body)?;
            sandbox.decide_mandate(account, &mandate, act).await?;
        }
        ("POST", "end_notice") => {
            let EndNotice { notice, how } = read(body)?;
            sandbox.end_notice(account, &notice, how).await?;
        }
        ("POST", "end_debit") => {
            let EndDebit { debit, how } = read(body)?;
            sandbox.end_debit(account, &debit, how).await?;
        }
        ("POST", "settle") => return Ok(json!({ "settlement_id": sandbox.settle(account).await? })),
        ("POST", "settle_bulk") => {
            let BulkWish { lines, seed } = read(body)?;
            return Ok(json!(sandbox.settle_bulk(account, lines, seed).await?));
        }
        ("POST", "recon_fault") => {
            let WrongRecon { kind } = read(body)?;
            return Ok(json!({ "id": sandbox.recon_fault(account, kind).await? }));
        }
        ("DELETE", "recon_faults") => sandbox.mend_recon(account).await?,
        ("POST", "forge") => {
            let Forgery { qr, amount } = read(body)?;
            sandbox.send_forged(account, &qr, amount).await?;
        }
        ("GET", "qr_codes") => return Ok(items(sandbox.qr_codes(account)?)),
        ("GET", "refunds") => return Ok(items(sandbox.refunds(account)?)),
        ("GET", "settlements") => return Ok(items(sandbox.settlements(account)?)),
        ("GET", "mandates") => return Ok(items(sandbox.mandates(account)?)),
        ("GET", "payments") => return Ok(items(sandbox.payments(account)?)),
        _ => return Err(Refusal::NoSuchPath),
    }
    Ok(json!({}))
}

async fn pay(sandbox: &Sandbox, account: &str, pay: Pay) -> Result<Value, Refusal> {
    let Pay { qr, order, amount, vpa, outcome, any_amount } = pay;
    let options = PayOptions { amount, vpa, outcome, any_amount };
    let payment_id = match (qr, order) {
        (Some(qr), None) => sandbox.pay_qr(account, &qr, options).await?,
        (None, Some(order)) => sandbox.pay_order(account, &order, options).await?,
        _ => {
            return Err(Refusal::Unreadable("say what is paid: `qr` or `order`".to_owned()));
        }
    };
    Ok(json!({ "payment_id": payment_id }))
}

/// The picture behind a code's `image_url`, as SVG.
pub fn picture(inner: &Inner, name: &str) -> Response {
    let text = inner.read(|state, _| {
        inner.config.accounts.iter().find_map(|account| {
            let qrs = &state.razorpay.get(&account.name)?.qrs;
            let qr = qrs.newest_first().find(|qr| qr.picture == name)?;
            Some(link::write(qr, &account.name))
        })
    });
    match text.and_then(|text| qrcode::QrCode::new(text).ok()) {
        Some(code) => {
            let svg = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(256, 256).build();
            ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Unreadable(error.to_string()))
}

fn items(items: Vec<impl Serialize>) -> Value {
    json!({ "items": items })
}

fn clock(sandbox: &Sandbox) -> Value {
    let now = sandbox.now();
    json!({ "now_ms": now.as_millisecond(), "now": now })
}
