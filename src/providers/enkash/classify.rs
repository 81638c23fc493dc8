//! What an answer that is no success lets us conclude. EnKash publishes no table of codes: `response_code` 0 is success and
//! any other value a failure [code A], 117 is a refused token [code B]. Pure.

use http::StatusCode;

use super::wire::Envelope;
use crate::providers::told::message;
use crate::providers::{CallError, Cause, Sending};

/// A token that is not taken (any more).
const TOKEN_REFUSED: i64 = 117;

/// Whether the answer says that the token is the reason. Then nothing was done.
pub fn refuses_token(status: StatusCode, envelope: Option<&Envelope>) -> bool {
    status == StatusCode::UNAUTHORIZED || envelope.and_then(|envelope| envelope.response_code) == Some(TOKEN_REFUSED)
}

pub fn is_success(status: StatusCode, envelope: Option<&Envelope>) -> bool {
    status.is_success() && envelope.and_then(|envelope| envelope.response_code) == Some(0)
}

/// Whether a failure in the documented form under this status is about what was asked for. Which statuses failures have is
/// not published [enkash 2.2]: a server's fault, a refused caller and throttling say nothing of it.
pub fn says_no(status: StatusCode) -> bool {
    status.is_success() || matches!(status.as_u16(), 400 | 404 | 409 | 422)
}

/// What an answer without success to a request that makes or cancels a code, or makes a mandate, lets us conclude.
///
/// A failure in the documented form counts as a refusal of the first send: what is made here is an order or a code whose
/// text nobody has fetched, so even if it did exist nobody could pay it; or a mandate that nobody would ever debit.
/// A server's fault (5xx), an answer in another form, one that names an id all the same: doubt.
pub fn classify(sending: Sending, status: StatusCode, envelope: Option<&Envelope>) -> CallError {
    let code = envelope.and_then(|envelope| envelope.response_code);
    match (code, envelope) {
        _ if status == StatusCode::TOO_MANY_REQUESTS => CallError::NotDelivered(cause(status, code)),
        (Some(code @ (..=-1 | 1..)), Some(envelope)) if says_no(status) && sending == Sending::First && !names_something(envelope) => {
            CallError::Refused { code: code.to_string(), message: message(envelope.response_message.as_deref()) }
        }
        _ => CallError::InDoubt(cause(status, code)),
    }
}

/// What an answer without success to a notice lets us conclude. A failure in the documented form counts as a refusal of the
/// first send: a notice moves nothing, so no harm is done if the payer got it all the same.
pub fn classify_notice(sending: Sending, status: StatusCode, envelope: Option<&Envelope>) -> CallError {
    let code = envelope.and_then(|envelope| envelope.response_code);
    match (code, envelope) {
        _ if status == StatusCode::TOO_MANY_REQUESTS => CallError::NotDelivered(cause(status, code)),
        (Some(code @ (..=-1 | 1..)), Some(envelope)) if says_no(status) && sending == Sending::First => {
            CallError::Refused { code: code.to_string(), message: message(envelope.response_message.as_deref()) }
        }
        _ => CallError::InDoubt(cause(status, code)),
    }
}

/// What an answer without success to a refund, a debit or a revoke lets us conclude. No failure of them is published, so none
/// is known to come before any effect: in whatever form it comes, the money may be on its way.
pub fn classify_unlisted(sending: Sending, status: StatusCode, envelope: Option<&Envelope>) -> CallError {
    let cause = cause(status, envelope.and_then(|envelope| envelope.response_code));
    match (status, sending) {
        (StatusCode::TOO_MANY_REQUESTS, Sending::First) => CallError::NotDelivered(cause),
        _ => CallError::InDoubt(cause),
    }
}

pub fn cause(status: StatusCode, code: Option<i64>) -> Cause {
    match code {
        Some(code) => Cause(format!("answered {} with the code {code}", status.as_u16())),
        None => Cause(format!("answered {} without a code", status.as_u16())),
    }
}

/// Whether a failure carries an object, as successes do.
fn names_something(envelope: &Envelope) -> bool {
    envelope.payload.as_ref().is_some_and(|payload| {
        let text = payload.get();
        let names = ["\"orderId\"", "\"qrCodeId\"", "\"mandateId\"", "\"mandate_id\""];
        text.starts_with('{') && names.into_iter().any(|name| text.contains(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(sending: Sending, status: u16, body: &str) -> String {
        let envelope: Option<Envelope> = serde_json::from_str(body).ok();
        match classify(sending, StatusCode::from_u16(status).expect("a status"), envelope.as_ref()) {
            CallError::Refused { code, message } => format!("refused {code} {message}"),
            CallError::NotDelivered(_) => "not delivered".to_owned(),
            CallError::InDoubt(_) => "doubt".to_owned(),
        }
    }

    #[test]
    fn only_a_failure_in_the_documented_form_is_a_refusal() {
        let failed = r#"{"response_code": 156, "response_message": "Amount is invalid", "payload": "Amount is invalid"}"#;
        assert_eq!(concluded(Sending::First, 200, failed), "refused 156 Amount is invalid");
        assert_eq!(concluded(Sending::First, 400, failed), "refused 156 Amount is invalid");
        assert_eq!(concluded(Sending::Again, 200, failed), "doubt");
        assert_eq!(concluded(Sending::First, 500, failed), "doubt");
        assert_eq!(concluded(Sending::First, 403, failed), "doubt");
        assert_eq!(concluded(Sending::First, 429, failed), "not delivered");
        assert_eq!(concluded(Sending::First, 429, "<html>"), "not delivered");
        for body in ["<html>", "{}", r#"{"response_code": null}"#, r#"{"response_code": 0}"#] {
            assert_eq!(concluded(Sending::First, 200, body), "doubt", "{body}");
        }
        let made_all_the_same = r#"{"response_code": 9, "payload": {"orderId": "ORD1"}}"#;
        assert_eq!(concluded(Sending::First, 200, made_all_the_same), "doubt");
    }

    #[test]
    fn no_failure_of_a_refund_is_a_refusal() {
        let failed: Option<Envelope> = serde_json::from_str(r#"{"response_code": 156, "response_message": "No."}"#).ok();
        for status in [200, 302, 400, 404, 409, 422, 429, 500, 503] {
            for (sending, envelope) in [(Sending::First, failed.as_ref()), (Sending::First, None), (Sending::Again, failed.as_ref())] {
                let error = classify_unlisted(sending, StatusCode::from_u16(status).expect("a status"), envelope);
                let was_not_taken = matches!(error, CallError::NotDelivered(_));
                assert_eq!(was_not_taken, status == 429 && sending == Sending::First, "{status}");
                assert!(was_not_taken || matches!(error, CallError::InDoubt(_)), "{status}");
            }
        }
    }

    #[test]
    fn a_refused_token_is_told_by_status_or_code() {
        let envelope = |body: &str| serde_json::from_str::<Envelope>(body).ok();
        let refused = envelope(r#"{"response_code": 117, "payload": "Token is invalid."}"#);
        assert!(refuses_token(StatusCode::OK, refused.as_ref()));
        assert!(refuses_token(StatusCode::UNAUTHORIZED, None));
        assert!(!refuses_token(StatusCode::FORBIDDEN, envelope("{}").as_ref()));
    }
}
