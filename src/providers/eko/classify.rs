//! What an answer that is no success lets us conclude: a list of what is certainly not done, and doubt for the rest. Pure.

use http::StatusCode;

use super::wire::Envelope;
use crate::providers::told::{message, token};
use crate::providers::{AskError, CallError, Cause, Sending};

/// The `status` of a success. Pages disagree about the other fields that say something of the kind.
const SUCCESS: &str = "0";
/// "TID does not exist" (E6).
const NO_SUCH_TID: &str = "168";

/// The messages of answers that made no code. The first three are the documented errors of this very call (seed 003); the
/// others come before anything is looked at (E6).
const REFUSALS: &[&str] = &[
    "Failed to create a customer ID",
    "Customer ID is null",
    "Failed to generate QR",
    "Agent not allowed",
    "Agent not allowed to do this transaction",
    "Customer not allowed",
    "No mapping rule matched",
    "No Key for Response",
    "Kindly use your production key",
];

/// The statuses of answers of the gateway: the signature, the service or our address is not accepted, there is no such path
/// or method, the body is of a wrong kind, or too much was asked for (E6, seed 003).
const NOT_ACTED_ON: &[u16] = &[403, 404, 405, 415, 429];

/// Whether an answer is a success: its body has to say so too.
pub fn is_success(status: StatusCode, envelope: Option<&Envelope>) -> bool {
    status.is_success() && envelope.is_some_and(|envelope| envelope.status.as_deref() == Some(SUCCESS))
}

/// What an answer without success to a creation lets us conclude. Where an earlier send of the same request may have
/// arrived, no answer to this one proves that nothing happened.
pub fn classify(sending: Sending, status: StatusCode, envelope: Option<&Envelope>) -> CallError {
    match envelope {
        Some(envelope) if sending == Sending::First && status == StatusCode::OK && is_refusal(envelope) => CallError::Refused {
            code: token(envelope.status.as_deref().unwrap_or_default()),
            message: message(envelope.message.as_deref()),
        },
        _ if sending == Sending::First && NOT_ACTED_ON.contains(&status.as_u16()) => CallError::NotDelivered(cause(status, envelope)),
        _ => CallError::InDoubt(cause(status, envelope)),
    }
}

/// What an answer without success to a question about a transaction lets us conclude.
pub fn classify_question(status: StatusCode, envelope: Option<&Envelope>) -> AskError {
    let absent = envelope.is_some_and(|envelope| envelope.status.as_deref() == Some(NO_SUCH_TID));
    if status == StatusCode::OK && absent { AskError::Absent } else { AskError::Unanswered(cause(status, envelope)) }
}

fn is_refusal(envelope: &Envelope) -> bool {
    let Envelope { status, message, data: _ } = envelope;
    let plain = |text: &str| text.trim().trim_end_matches('.').to_ascii_lowercase();
    let told = message.as_deref().map(plain);
    status.as_deref().is_some_and(|status| status != SUCCESS) && REFUSALS.iter().any(|refusal| told == Some(plain(refusal)))
}

/// What a failure was, for logs.
pub fn cause(status: StatusCode, envelope: Option<&Envelope>) -> Cause {
    let status = status.as_u16();
    Cause(match envelope.and_then(|envelope| envelope.status.as_deref()) {
        Some(code) => format!("it answered with status {status}, code {}", token(code)),
        None => format!("it answered with status {status} and no error that can be read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::reading::read;

    const FAILED: &str = include_str!("../../../tests/golden/eko/failure.json");
    const NO_TID: &str = include_str!("../../../tests/golden/eko/no_such_tid.json");

    /// A status, a body, and what they mean for a first creation and for a question.
    const TABLE: &[(u16, &str, &str, &str)] = &[
        (200, FAILED, "refused", "unanswered"),
        (200, r#"{"status": 463, "message": "Customer ID is null"}"#, "refused", "unanswered"),
        (200, r#"{"status": "1", "message": "failed to create a customer id."}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "Agent not allowed"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "Agent not allowed to do this transaction"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "Customer not allowed"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "No mapping rule matched"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "No Key for Response"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "Kindly use your production key"}"#, "refused", "unanswered"),
        (200, r#"{"status": 1, "message": "Something new"}"#, "in_doubt", "unanswered"),
        (200, r#"{"status": 1, "message": "QR made. Failed to generate QR"}"#, "in_doubt", "unanswered"),
        (200, r#"{"status": 1}"#, "in_doubt", "unanswered"),
        (200, r#"{"message": "Failed to generate QR"}"#, "in_doubt", "unanswered"),
        (200, r#"{"status": 0, "message": "Failed to generate QR"}"#, "in_doubt", "unanswered"),
        (200, NO_TID, "in_doubt", "absent"),
        (200, r#"{"status": "168"}"#, "in_doubt", "absent"),
        (200, r#"{"response_status_id": 168, "status": 1}"#, "in_doubt", "unanswered"),
        (200, "<html>", "in_doubt", "unanswered"),
        (201, FAILED, "in_doubt", "unanswered"),
        (400, FAILED, "in_doubt", "unanswered"),
        (401, "", "in_doubt", "unanswered"),
        (403, "<html>", "not_delivered", "unanswered"),
        (404, "", "not_delivered", "unanswered"),
        (404, NO_TID, "not_delivered", "unanswered"),
        (405, "", "not_delivered", "unanswered"),
        (415, "", "not_delivered", "unanswered"),
        (429, "", "not_delivered", "unanswered"),
        (302, "", "in_doubt", "unanswered"),
        (500, FAILED, "in_doubt", "unanswered"),
        (500, NO_TID, "in_doubt", "unanswered"),
        (503, "", "in_doubt", "unanswered"),
        (504, "", "in_doubt", "unanswered"),
    ];

    fn meant(sending: Sending, status: u16, body: &str) -> &'static str {
        let status = StatusCode::from_u16(status).expect("the table has statuses of HTTP");
        let envelope = read("answer", body.as_bytes()).ok();
        match classify(sending, status, envelope.as_ref()) {
            CallError::Refused { .. } => "refused",
            CallError::NotDelivered(_) => "not_delivered",
            CallError::InDoubt(_) => "in_doubt",
        }
    }

    #[test]
    fn what_every_answer_means() {
        for (status, body, creation, question) in TABLE {
            assert_eq!(meant(Sending::First, *status, body), *creation, "{status} {body}");
            let status = StatusCode::from_u16(*status).expect("the table has statuses of HTTP");
            let answer = match classify_question(status, read("answer", body.as_bytes()).ok().as_ref()) {
                AskError::Absent => "absent",
                AskError::Unanswered(_) => "unanswered",
            };
            assert_eq!(answer, *question, "{status} {body}");
        }
    }

    #[test]
    fn no_answer_to_a_later_send_proves_anything() {
        for (status, body, ..) in TABLE {
            assert_eq!(meant(Sending::Again, *status, body), "in_doubt", "{status} {body}");
        }
    }

    #[test]
    fn every_refusal_is_in_the_table() {
        for refusal in REFUSALS {
            let in_table = |body: &&str| body.to_lowercase().contains(&refusal.to_lowercase());
            assert!(TABLE.iter().any(|(_, body, creation, _)| *creation == "refused" && in_table(body)), "{refusal}");
        }
    }

    #[test]
    fn a_success_is_said_in_the_body() {
        let check = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("a status of HTTP");
            is_success(status, read("answer", body.as_bytes()).ok().as_ref())
        };
        assert!(check(200, r#"{"status": 0}"#) && check(200, r#"{"status": "0"}"#) && check(201, r#"{"status": 0}"#));
        for body in ["{}", r#"{"status": 1}"#, r#"{"status": null}"#, r#"{"status": 0.0}"#, r#"{"response_status_id": 0}"#, "", "[]"] {
            assert!(!check(200, body), "{body}");
        }
        assert!(!check(500, r#"{"status": 0}"#));
    }

    #[test]
    fn a_cause_repeats_no_text_of_the_provider() {
        let envelope = serde_json::from_str(r#"{"status": "asha@bank", "message": "asha@bank"}"#).ok();
        let error = classify(Sending::First, StatusCode::OK, envelope.as_ref()).to_string();
        assert!(!error.contains("asha"), "{error}");
    }
}
