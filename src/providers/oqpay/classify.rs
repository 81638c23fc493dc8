//! What an answer that is no success lets us conclude: a list of what is certainly not done, and doubt for the rest. Pure.

use http::StatusCode;

use super::wire::Answer;
use crate::providers::told::{message, token};
use crate::providers::{CallError, Cause, Sending};

/// The status of the documented error, in its body.
const ERROR: &str = "ERROR";

/// What an answer without success to a creation lets us conclude. Where an earlier send of the same request may have
/// arrived, no answer to this one proves that nothing happened.
pub fn classify(sending: Sending, status: StatusCode, answer: Option<&Answer>) -> CallError {
    match (status.as_u16(), answer) {
        // The one error that is documented (seed 002). A success has no `status` beside its data, an error no `success`.
        (400, Some(answer)) if sending == Sending::First && is_documented(answer) => {
            CallError::Refused { code: token(answer.sub_code.as_deref().unwrap_or("400")), message: message(answer.message.as_deref()) }
        }
        // Who asks was not accepted, or too much was asked for.
        (401 | 403 | 429, _) if sending == Sending::First => CallError::NotDelivered(cause(status, answer)),
        _ => CallError::InDoubt(cause(status, answer)),
    }
}

fn is_documented(answer: &Answer) -> bool {
    let Answer { success, data, status, sub_code: _, message: _ } = answer;
    success.is_none() && data.is_none() && status.as_deref() == Some(ERROR)
}

fn cause(status: StatusCode, answer: Option<&Answer>) -> Cause {
    let status = status.as_u16();
    Cause(match answer.and_then(|answer| answer.sub_code.as_deref()) {
        Some(code) => format!("it answered with status {status}, code {}", token(code)),
        None => format!("it answered with status {status} and no error that can be read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::reading::read;

    const ANSWER_400: &str = include_str!("../../../tests/golden/oqpay/error.json");

    /// A status, a body, and what they mean for a first send.
    const TABLE: &[(u16, &str, &str)] = &[
        (400, ANSWER_400, "refused"),
        (400, r#"{"status": "ERROR", "subCode": 400, "message": null}"#, "refused"),
        (400, r#"{"status": "ERROR"}"#, "refused"),
        (400, r#"{"status": "error", "subCode": "400"}"#, "in_doubt"),
        (400, r#"{"status": "PENDING", "subCode": "400"}"#, "in_doubt"),
        (400, r#"{"success": false, "status": "ERROR", "subCode": "400"}"#, "in_doubt"),
        (400, r#"{"success": true, "status": "ERROR", "subCode": "400"}"#, "in_doubt"),
        (400, r#"{"status": "ERROR", "subCode": "400", "data": {}}"#, "in_doubt"),
        (400, "{}", "in_doubt"),
        (400, "<html>", "in_doubt"),
        (401, "", "not_delivered"),
        (403, ANSWER_400, "not_delivered"),
        (429, "<html>", "not_delivered"),
        (404, ANSWER_400, "in_doubt"),
        (302, "", "in_doubt"),
        (408, "", "in_doubt"),
        (409, ANSWER_400, "in_doubt"),
        (500, ANSWER_400, "in_doubt"),
        (502, "", "in_doubt"),
        (200, ANSWER_400, "in_doubt"),
    ];

    fn meant(sending: Sending, status: u16, body: &str) -> &'static str {
        let status = StatusCode::from_u16(status).expect("the table has statuses of HTTP");
        match classify(sending, status, read("answer", body.as_bytes()).ok().as_ref()) {
            CallError::Refused { .. } => "refused",
            CallError::NotDelivered(_) => "not_delivered",
            CallError::InDoubt(_) => "in_doubt",
        }
    }

    #[test]
    fn what_every_answer_means_on_a_first_send() {
        for (status, body, expected) in TABLE {
            assert_eq!(meant(Sending::First, *status, body), *expected, "{status} {body}");
        }
    }

    #[test]
    fn no_answer_to_a_later_send_proves_anything() {
        for (status, body, _) in TABLE {
            assert_eq!(meant(Sending::Again, *status, body), "in_doubt", "{status} {body}");
        }
    }

    #[test]
    fn neither_a_refusal_nor_a_cause_names_anybody() {
        let body = r#"{"status": "ERROR", "subCode": "asha@bank", "message": "asha@bank has no VPA"}"#;
        let answer: Answer = serde_json::from_str(body).expect("it is JSON");
        let CallError::Refused { code, message } = classify(Sending::First, StatusCode::BAD_REQUEST, Some(&answer)) else {
            panic!("it is refused")
        };
        assert_eq!((code.as_str(), message.as_str()), ("(not a plain word)", "… has no VPA"));
        let doubt = classify(Sending::First, StatusCode::BAD_GATEWAY, Some(&answer)).to_string();
        assert!(!doubt.contains("asha"), "{doubt}");
    }
}
