//! Errors as clients see them: one `match` turns ours into gRPC's. The cause is in the log; the client gets code,
//! reason and what it may do.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::pb::ErrorReason as Reason;
use super::violations::{Violations, cut};
use crate::domain::caller::Permission;
use crate::domain::id::{Id, Kind};
use crate::engine::{Error, Outcome};
use crate::providers::Violation;

pub(super) const DOMAIN: &str = "upistream";
const REASON_PREFIX: &str = "ERROR_REASON_";
/// Violations that a status's message names; its details have the others too.
const IN_MESSAGE_MAX: usize = 3;
/// Bytes of a status's message. It travels in two headers, in one of them with three bytes for each that is not plain.
const MESSAGE_BYTES_MAX: usize = 600;

/// A reason's name in `ErrorInfo`.
fn reason_name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches(REASON_PREFIX)
}

/// An outcome's name in the metadata.
pub(super) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "NOT_SENT",
        Outcome::Definite => "DEFINITE",
        Outcome::Unknown => "UNKNOWN",
    }
}

/// The change that can be pending of a resource: there is one for each kind that has any.
fn change_of(id: &Id) -> &'static str {
    match id.kind() {
        Kind::Mandate => "REVOKE",
        Kind::Qr => "CLOSE",
        Kind::Payment
        | Kind::Refund
        | Kind::Debit
        | Kind::Settlement
        | Kind::SettlementEntry
        | Kind::SettlementBreak
        | Kind::SettlementSync
        | Kind::Event
        | Kind::Quarantined => "UNSPECIFIED",
    }
}

/// The status of an error of the engine.
pub(super) fn status(error: &Error) -> Status {
    let mut metadata = HashMap::from([("outcome".to_owned(), outcome_name(error.outcome()).to_owned())]);
    let mut add = |key: &str, value: String| {
        metadata.insert(key.to_owned(), value);
    };
    let mut retry_after: Option<Duration> = None;
    let mut violations: Vec<Violation> = Vec::new();
    let (code, reason) = match error {
        Error::Invalid(all) => {
            violations = Violations::to_be_told(all);
            (Code::InvalidArgument, Reason::InvalidFields)
        }
        Error::NotFound { .. } => (Code::NotFound, Reason::NotFound),
        Error::KeyReused { id, fields } => {
            add("resource_id", id.to_string());
            add("differing_fields", fields.join(","));
            (Code::AlreadyExists, Reason::IdempotencyKeyReused)
        }
        Error::InFlight { retry_after: after } => {
            retry_after = Some(*after);
            (Code::Aborted, Reason::IdempotencyInFlight)
        }
        Error::ChangePending { id } => {
            add("resource_id", id.to_string());
            add("operation", change_of(id).to_owned());
            retry_after = Some(Duration::from_secs(1));
            (Code::Aborted, Reason::ChangePending)
        }
        Error::StateForbids { state, .. } => {
            add("state", state.to_uppercase());
            (Code::FailedPrecondition, Reason::StateForbids)
        }
        Error::RefundExceedsPayment { id, left } => {
            add("resource_id", id.to_string());
            add("refundable_minor_units", left.paise().to_string());
            (Code::FailedPrecondition, Reason::RefundExceedsPayment)
        }
        Error::RefundInDoubt { id } => {
            add("resource_id", id.to_string());
            retry_after = Some(Duration::from_secs(5));
            (Code::Aborted, Reason::RefundInDoubt)
        }
        Error::ContradictionBlocks { id } => {
            add("resource_id", id.to_string());
            (Code::FailedPrecondition, Reason::ContradictionBlocks)
        }
        Error::RuleForbids { rule, next_permitted_time, .. } => {
            add("rule", (*rule).to_owned());
            if let Some(time) = next_permitted_time {
                add("next_permitted_time", time.to_string());
            }
            (Code::FailedPrecondition, Reason::RuleForbids)
        }
        Error::Refused { id, code, replayed, .. } => {
            add("resource_id", id.to_string());
            add("provider_code", code.clone());
            if *replayed {
                add("replayed", "true".to_owned());
            }
            (Code::FailedPrecondition, Reason::ProviderRefused)
        }
        Error::Lacks { operation, .. } => {
            add("operation", (*operation).to_owned());
            (Code::FailedPrecondition, Reason::ProviderLacksCapability)
        }
        Error::ProviderUnavailable { id, retry_after: after } => {
            if let Some(id) = id {
                add("resource_id", id.to_string());
            }
            retry_after = Some(*after);
            (Code::Unavailable, Reason::ProviderUnavailable)
        }
        Error::DeadlineTooShort { .. } => (Code::DeadlineExceeded, Reason::DeadlineTooShort),
        Error::StoreUnavailable { retry_after: after } | Error::SendingHeld { retry_after: after } => {
            retry_after = Some(*after);
            (Code::Unavailable, Reason::StoreUnavailable)
        }
        Error::StoreInDoubt { retry_after: after } => {
            retry_after = Some(*after);
            (Code::Aborted, Reason::StoreInDoubt)
        }
        Error::InvalidToken(_) => (Code::InvalidArgument, Reason::InvalidToken),
        Error::HistoryLost { earliest_token, earliest_time } => {
            add("earliest_token", earliest_token.clone());
            if let Some(time) = earliest_time {
                add("earliest_time", time.to_string());
            }
            (Code::OutOfRange, Reason::HistoryLost)
        }
        Error::HistoryRewound { earliest_token } => {
            add("earliest_token", earliest_token.clone());
            (Code::OutOfRange, Reason::HistoryRewound)
        }
        Error::Exhausted { limit, retry_after: after, .. } => {
            add("limit", limit.to_string());
            retry_after = Some(*after);
            (Code::ResourceExhausted, Reason::ResourceExhausted)
        }
        Error::Draining { retry_after: after } => {
            retry_after = Some(*after);
            (Code::Unavailable, Reason::Draining)
        }
        Error::Internal => (Code::Internal, Reason::Internal),
    };
    let mut details = ErrorDetails::with_error_info(reason_name(reason), DOMAIN, metadata);
    let message = cut(message(error, &violations), MESSAGE_BYTES_MAX);
    for violation in &violations {
        details.add_bad_request_violation(&violation.field, &violation.description);
    }
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}

/// The error for people. A provider's own words about a refusal are part of it.
fn message(error: &Error, violations: &[Violation]) -> String {
    match error {
        Error::Refused { message, .. } if !message.is_empty() => format!("{error}: {message}"),
        Error::Invalid(_) => {
            let named = violations.iter().take(IN_MESSAGE_MAX);
            let named: Vec<String> = named.map(|violation| format!("`{}` {}", violation.field, violation.description)).collect();
            let more = if violations.len() > IN_MESSAGE_MAX { "; and more" } else { "" };
            format!("{error}: {}{more}", named.join("; "))
        }
        _ => error.to_string(),
    }
}

/// The status of a call of nobody who is known. `why` names nothing of what was shown.
pub(super) fn unauthenticated(why: &str) -> Status {
    let metadata = HashMap::from([("outcome".to_owned(), outcome_name(Outcome::NotSent).to_owned())]);
    let details = ErrorDetails::with_error_info(reason_name(Reason::Unauthenticated), DOMAIN, metadata);
    Status::with_error_details(Code::Unauthenticated, why, details)
}

/// The status of a call for which the caller would need one of `permissions`.
pub(super) fn permission_denied(permissions: &[Permission]) -> Status {
    let names: Vec<&str> = permissions.iter().map(|permission| permission.as_str()).collect();
    let metadata = HashMap::from([
        ("outcome".to_owned(), outcome_name(Outcome::NotSent).to_owned()),
        ("permission".to_owned(), names.first().copied().unwrap_or_default().to_owned()),
    ]);
    let details = ErrorDetails::with_error_info(reason_name(Reason::PermissionDenied), DOMAIN, metadata);
    let message = format!("the caller lacks the permission {}", names.join(" or "));
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// The status of a stream that was ended because the caller no longer sees all of its accounts.
pub(super) fn account_revoked() -> Status {
    let metadata = HashMap::from([("outcome".to_owned(), outcome_name(Outcome::NotSent).to_owned())]);
    let details = ErrorDetails::with_error_info(reason_name(Reason::PermissionDenied), DOMAIN, metadata);
    Status::with_error_details(Code::PermissionDenied, "the caller no longer sees an account of this stream: subscribe again", details)
}

/// Why the framework refused a call before the engine was entered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Undecodable,
    TooLarge,
    UnknownMethod,
}

/// The status of a call that the framework refused: nothing was done.
pub(super) fn refused_by_framework(refusal: Refusal, request_bytes_max: usize) -> Status {
    let mut metadata = HashMap::from([("outcome".to_owned(), outcome_name(Outcome::NotSent).to_owned())]);
    let (code, reason, message) = match refusal {
        Refusal::Undecodable => (
            Code::InvalidArgument,
            Reason::UndecodableRequest,
            "the request can't be decoded: its bytes are no such message, or are compressed in a way that is not supported",
        ),
        Refusal::TooLarge => {
            metadata.insert("limit".to_owned(), request_bytes_max.to_string());
            (Code::ResourceExhausted, Reason::RequestTooLarge, "the request is too large")
        }
        Refusal::UnknownMethod => (Code::Unimplemented, Reason::UnknownMethod, "there is no such method"),
    };
    let details = ErrorDetails::with_error_info(reason_name(reason), DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_its_reason_and_outcome() {
        let status = status(&Error::Draining { retry_after: Duration::from_secs(1) });
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DRAINING", "upistream"));
        assert_eq!(info.metadata["outcome"], "NOT_SENT");
        assert!(details.retry_info().is_some());
    }

    #[test]
    fn a_pending_change_is_named() {
        for (id, operation) in [("qr_01KE0000000000000000000000", "CLOSE"), ("mndt_01KE0000000000000000000000", "REVOKE")] {
            let details = status(&Error::ChangePending { id: id.parse().unwrap() }).get_error_details();
            let metadata = &details.error_info().unwrap().metadata;
            assert_eq!((metadata["resource_id"].as_str(), metadata["operation"].as_str()), (id, operation));
        }
    }

    #[test]
    fn an_error_fits_into_the_headers_that_proxies_take() {
        let violation = |_| Violation { field: "🪔".repeat(500), description: "✗".repeat(500) };
        let refused = Error::Refused {
            id: "qr_01KE0000000000000000000000".parse().unwrap(),
            code: "x".repeat(64),
            message: "🪔".repeat(500),
            replayed: true,
        };
        for error in [Error::Invalid((0..10_000).map(violation).collect()), refused] {
            let mut headers = http::HeaderMap::new();
            status(&error).add_header(&mut headers).unwrap();
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 8 * 1024, "{bytes} bytes");
        }
    }

    #[test]
    fn unavailable_is_never_said_of_an_unknown_outcome() {
        let after = Duration::from_secs(1);
        for error in [Error::StoreInDoubt { retry_after: after }, Error::InFlight { retry_after: after }, Error::Internal] {
            assert_eq!(error.outcome(), Outcome::Unknown);
            assert_ne!(status(&error).code(), Code::Unavailable, "{error}");
        }
    }
}
