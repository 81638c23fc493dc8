//! What a person is told when something goes wrong: one line what, what is known about it, one line what to do next. The
//! same for programs as JSON. Pure, but for the printing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::advice::{self, Asked};
use super::arguments::duration_shown;
use super::console::{Console, Tone};
use super::table::{self, Cell};
use crate::grpc::pb::ErrorReason;

#[derive(Debug)]
pub enum Failure {
    /// Whoever read our output has enough (`| head`). No failure.
    NobodyReads,
    /// What was typed can't be meant.
    Usage {
        what: String,
        next: String,
    },
    Failed(Box<Report>),
}

/// What is known. In JSON what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub field_violations: Vec<Violation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    pub next_step: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub field: String,
    pub description: String,
}

/// The domain of our own ErrorInfo; another's says nothing about outcomes.
const DOMAIN: &str = "upistream";
/// The client library's text when it stops waiting.
const TIMED_OUT: &str = "Timeout expired";

impl Failure {
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Failed(Box::new(Report { message: what.into(), next_step: next.into(), ..Report::default() }))
    }

    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), next: next.into() }
    }

    pub fn of_status(status: &Status, asked: &Asked<'_>) -> Self {
        Self::Failed(Box::new(Report::of_status(status, asked)))
    }

    /// Says it, and answers the exit code.
    pub fn show(&self, console: &Console, json: bool) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Usage { what, next } => {
                console.note(&format!("error: {what}\nnext step: {next}"));
                2
            }
            Self::Failed(report) => {
                console.note(&if json { report.json() } else { report.text(&console.of_notes()) });
                1
            }
        }
    }
}

impl Report {
    pub fn of_status(status: &Status, asked: &Asked<'_>) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let mut metadata: BTreeMap<String, String> = info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default();
        let outcome = metadata.remove("outcome");
        let reason = info.map(|info| info.reason.clone());
        let known = reason.as_deref().and_then(|reason| ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")));
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
        let message = match (info.is_some(), status.code(), status.message()) {
            (false, Code::Cancelled, TIMED_OUT) => {
                format!("no answer from {} within {}", asked.address, asked.deadline.map(duration_shown).unwrap_or_default())
            }
            (false, code, "") => format!("{} answered {}", asked.address, code_name(code)),
            (false, _, message) => format!("{}: {message}", asked.address),
            (true, _, message) => message.to_owned(),
        };
        Self {
            message,
            code: Some(code_name(status.code())),
            next_step: advice::next_step(status.code(), known, outcome.as_deref(), &metadata, retry_after, asked),
            // Who is told nothing must take it for unknown.
            outcome: outcome.or_else(|| (!asked.is_read()).then(|| "UNKNOWN".to_owned())),
            reason,
            metadata,
            field_violations: violations
                .iter()
                .map(|violation| Violation { field: violation.field.clone(), description: violation.description.clone() })
                .collect(),
            retry_after_ms: retry_after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(&serde_json::json!({ "error": self })).expect("names are texts and there are no floats")
    }

    fn text(&self, console: &Console) -> String {
        let mut known: Vec<(String, Cell)> = Vec::new();
        let mut add = |name: &str, value: &str| known.push((format!("  {name}"), value.into()));
        match (&self.reason, &self.code) {
            (Some(reason), Some(code)) => add("reason", &format!("{reason} ({code})")),
            (None, Some(code)) => add("code", code),
            (_, None) => (),
        }
        if let Some(outcome) = &self.outcome {
            add("outcome", &outcome_shown(outcome));
        }
        for Violation { field, description } in &self.field_violations {
            // The list's last entry may only say that there are more.
            add("field", &if field.is_empty() { description.clone() } else { format!("{field}: {description}") });
        }
        for (name, value) in &self.metadata {
            add(name, value);
        }
        if let Some(ms) = self.retry_after_ms {
            add("retry after", &duration_shown(Duration::from_millis(ms)));
        }
        let mut lines = vec![format!("{} {}", console.paint(Tone::Bad, "error:"), one_line(&self.message))];
        if !known.is_empty() {
            lines.push(table::block(console, &known));
        }
        lines.push(format!("{} {}", console.paint(Tone::Strong, "next step:"), self.next_step));
        lines.join("\n")
    }
}

fn outcome_shown(outcome: &str) -> String {
    let meaning = match outcome {
        "NOT_SENT" => "nothing was done, and it won't be",
        "DEFINITE" => "it is decided; nothing moved",
        "UNKNOWN" => "it may have been done",
        _ => return outcome.to_owned(),
    };
    format!("{outcome}: {meaning}")
}

/// As gRPC writes its codes: `NOT_FOUND`.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::super::console::captured::console;
    use super::*;

    const CREATE: Asked<'_> = Asked { address: "http://[::1]:50051", key: Some("order-1"), deadline: Some(Duration::from_secs(10)) };
    const READ: Asked<'_> = Asked { key: None, ..CREATE };

    fn ours(code: Code, reason: &str, metadata: &[(&str, &str)], more: impl FnOnce(&mut ErrorDetails)) -> Status {
        let metadata =
            metadata.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<std::collections::HashMap<_, _>>();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        more(&mut details);
        Status::with_error_details(code, "the message", details)
    }

    #[track_caller]
    fn shown(status: &Status, asked: &Asked<'_>, expected: &str) {
        let (console, ..) = console();
        assert_eq!(Report::of_status(status, asked).text(&console), expected);
    }

    #[test]
    fn a_reused_key_names_the_fields_and_the_way_out() {
        let metadata = [("outcome", "NOT_SENT"), ("differing_fields", "amount,name"), ("resource_id", "qr_1")];
        let status = ours(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", &metadata, |_| ());
        let expected = "\
error: the message
  reason            IDEMPOTENCY_KEY_REUSED (ALREADY_EXISTS)
  outcome           NOT_SENT: nothing was done, and it won't be
  differing_fields  amount,name
  resource_id       qr_1
next step: for a new wish leave --key out or give another; for the old one repeat exactly what was asked for then";
        shown(&status, &CREATE, expected);
    }

    #[test]
    fn every_violation_has_its_line() {
        let status = ours(Code::InvalidArgument, "INVALID_FIELDS", &[("outcome", "NOT_SENT")], |details| {
            details.add_bad_request_violation("amount", "must be above zero");
            details.add_bad_request_violation("reference", "has more than 64 characters");
        });
        let expected = "\
error: the message
  reason   INVALID_FIELDS (INVALID_ARGUMENT)
  outcome  NOT_SENT: nothing was done, and it won't be
  field    amount: must be above zero
  field    reference: has more than 64 characters
next step: correct these fields and ask again; the same --key may be used";
        shown(&status, &CREATE, expected);
    }

    #[test]
    fn a_wait_is_said() {
        let status = ours(Code::Unavailable, "PROVIDER_UNAVAILABLE", &[("outcome", "NOT_SENT"), ("provider", "razorpay")], |details| {
            details.set_retry_info(Some(Duration::from_secs(2)));
        });
        let expected = "\
error: the message
  reason       PROVIDER_UNAVAILABLE (UNAVAILABLE)
  outcome      NOT_SENT: nothing was done, and it won't be
  provider     razorpay
  retry after  2s
next step: ask again in 2s, with --key order-1";
        shown(&status, &CREATE, expected);
    }

    #[test]
    fn a_mutation_that_nobody_answered_is_repeated_with_its_key() {
        let status = Status::cancelled(TIMED_OUT);
        let expected = "\
error: no answer from http://[::1]:50051 within 10s
  code     CANCELLED
  outcome  UNKNOWN: it may have been done
next step: repeat the same command with --key order-1: it will not be done twice";
        shown(&status, &CREATE, expected);
    }

    #[test]
    fn a_read_that_nobody_answered_is_just_asked_again() {
        let expected = "\
error: http://[::1]:50051: connection reset
  code  UNKNOWN
next step: ask again; if it stays so, look whether the service runs at http://[::1]:50051";
        shown(&Status::unknown("connection reset"), &READ, expected);
    }

    #[test]
    fn the_info_of_another_domain_says_nothing_about_the_outcome() {
        let details = ErrorDetails::with_error_info(
            "LIMIT",
            "proxy.example",
            std::collections::HashMap::from([("outcome".into(), "NOT_SENT".into())]),
        );
        let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        let report = Report::of_status(&status, &CREATE);
        assert_eq!((report.reason, report.outcome.as_deref()), (None, Some("UNKNOWN")));
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let status = ours(Code::NotFound, "NOT_FOUND", &[("outcome", "NOT_SENT")], |_| ());
        let json: serde_json::Value = serde_json::from_str(&Report::of_status(&status, &READ).json()).unwrap();
        assert_eq!(json["error"]["code"], "NOT_FOUND");
        assert_eq!(json["error"]["outcome"], "NOT_SENT");
        assert!(json["error"].get("metadata").is_none());
    }

    #[test]
    fn exit_codes() {
        let (console, _, err) = console();
        assert_eq!(Failure::NobodyReads.show(&console, false), 0);
        assert_eq!(err.text(), "");
        assert_eq!(Failure::usage("a", "b").show(&console, false), 2);
        assert_eq!(Failure::new("c", "d").show(&console, false), 1);
        assert_eq!(err.text(), "error: a\nnext step: b\nerror: c\nnext step: d\n");
    }

    #[test]
    fn codes_are_named_as_grpc_does() {
        assert_eq!(code_name(Code::FailedPrecondition), "FAILED_PRECONDITION");
        assert_eq!(code_name(Code::Ok), "OK");
    }
}
