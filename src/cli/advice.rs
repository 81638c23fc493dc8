//! What to do about an error, by its reason. Exhaustive, so that a new reason doesn't go without advice.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;

use super::arguments::{duration_shown, shown};
use crate::domain::money::Money;
use crate::grpc::pb::ErrorReason;

/// What was asked, as far as advice hangs on it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub address: &'a str,
    /// The idempotency key of a mutation; none for a read.
    pub key: Option<&'a str>,
    pub deadline: Option<Duration>,
}

impl Asked<'_> {
    pub fn is_read(&self) -> bool {
        self.key.is_none()
    }

    fn with_key(&self) -> String {
        self.key.map(|key| format!(", with --key {}", quoted(key))).unwrap_or_default()
    }

    /// The same as part of a command.
    fn key_argument(&self) -> String {
        self.key.map(|key| format!(" --key {}", quoted(key))).unwrap_or_default()
    }

    fn repeat(&self) -> String {
        match self.key {
            Some(key) => format!("repeat the same command with --key {}: it will not be done twice", quoted(key)),
            None => format!("ask again; if it stays so, look whether the service runs at {}", self.address),
        }
    }
}

pub fn next_step(
    code: Code,
    reason: Option<ErrorReason>,
    outcome: Option<&str>,
    metadata: &BTreeMap<String, String>,
    retry_after: Option<Duration>,
    asked: &Asked<'_>,
) -> String {
    let said = |name: &str| metadata.get(name).map(String::as_str);
    let resource = said("resource_id").unwrap_or("the resource");
    let later = match retry_after {
        Some(wait) => format!("ask again in {}{}", duration_shown(wait), asked.with_key()),
        None => format!("ask again later{}", asked.with_key()),
    };
    let Some(reason) = reason else {
        return match code {
            Code::Unimplemented => format!("look whether {} is an upistream of this release: `upistream --version`", asked.address),
            _ => asked.repeat(),
        };
    };
    match reason {
        ErrorReason::Unspecified => asked.repeat(),
        ErrorReason::InvalidFields if asked.is_read() => "correct these fields and ask again".to_owned(),
        ErrorReason::InvalidFields => "correct these fields and ask again; the same --key may be used".to_owned(),
        ErrorReason::NotFound => {
            "look at the id and the account: `upistream account list` shows the accounts, `list` commands the ids".to_owned()
        }
        ErrorReason::Unauthenticated => {
            "show a key that the service knows: UPISTREAM_API_KEY, or --api-key-file FILE; its operator makes one by `upistream caller new`"
                .to_owned()
        }
        ErrorReason::PermissionDenied if said("permission").is_none() => {
            "subscribe again: the accounts that are left are followed".to_owned()
        }
        ErrorReason::PermissionDenied => {
            format!("have `{}` given to this caller in the service's configuration", said("permission").unwrap_or("the permission"))
        }
        ErrorReason::IdempotencyKeyReused => match said("differing_fields").and_then(option_of_time) {
            Some(option) => format!("repeat it with the time of then: a duration in {option} means another time each time"),
            None => "for a new wish leave --key out or give another; for the old one repeat exactly what was asked for then".to_owned(),
        },
        ErrorReason::IdempotencyInFlight | ErrorReason::StoreInDoubt => asked.repeat(),
        ErrorReason::ChangePending => {
            let change = said("operation").map_or("change".to_owned(), str::to_ascii_lowercase);
            let follow = said("resource_id").map(|id| format!(" --resource {}", quoted(id))).unwrap_or_default();
            format!("wait until the pending {change} of {resource} is settled (`upistream events tail{follow}` shows it); then {later}")
        }
        ErrorReason::StateForbids => state_forbids(said("state"), said("resource_id")),
        ErrorReason::ProviderRefused => {
            format!("correct what the provider didn't like (`failure` of {resource} says more) and ask with a new key")
        }
        ErrorReason::ProviderLacksCapability => {
            let instead = said("operation").and_then(instead_of).map(|instead| format!("{instead}; ")).unwrap_or_default();
            format!("{instead}see what each account can do: `upistream account list --capabilities`")
        }
        ErrorReason::ProviderUnavailable | ErrorReason::StoreUnavailable | ErrorReason::ResourceExhausted | ErrorReason::Draining => later,
        ErrorReason::DeadlineTooShort => "ask again with a longer --deadline, such as 15s".to_owned(),
        ErrorReason::HistoryLost | ErrorReason::HistoryRewound => {
            let from = said("earliest_token").unwrap_or("earliest");
            format!("read the resources anew by their `list` commands, then go on with `upistream events tail --from {from}`")
        }
        ErrorReason::InvalidToken => "begin without the token; for events that is `--from earliest` or `--from latest`".to_owned(),
        ErrorReason::RefundExceedsPayment => {
            let payment = said("resource_id").map_or_else(|| "PAYMENT".to_owned(), quoted);
            match said("refundable_minor_units").and_then(|paise| paise.parse::<i64>().ok()).map(Money::from_paise) {
                Some(left) if left.paise() > 0 => format!(
                    "{} of the payment is left: `upistream refund create --payment {payment} --amount {}{}`",
                    left.display(),
                    left.rupees_text(),
                    asked.key_argument()
                ),
                Some(_) => format!("nothing of the payment is left: {}", shows_refunds(&payment)),
                None => format!("ask for what is left of the payment: {}", shows_refunds(&payment)),
            }
        }
        // Where the refund can't be named, its payment is.
        ErrorReason::RefundInDoubt if resource.starts_with("pay_") => {
            format!("wait until the refund that is under way is through ({}), then {later}", shows_refunds(&quoted(resource)))
        }
        ErrorReason::RefundInDoubt => {
            let see = said("resource_id")
                .map_or_else(|| "`upistream admin doubts`".to_owned(), |id| format!("`upistream refund get {}`", quoted(id)));
            format!("wait until {resource} is through: {see} shows how it stands; then {later}")
        }
        ErrorReason::ContradictionBlocks => {
            let id = said("resource_id").map_or_else(|| "ID".to_owned(), quoted);
            format!(
                "find out which is true about {resource}: `upistream admin doubts --kind contradiction` lists it, `upistream admin resolve {id}` decides"
            )
        }
        ErrorReason::RuleForbids => match (said("next_permitted_time"), said("rule")) {
            (Some(time), _) => {
                let time = time.parse().map_or_else(|_| time.to_owned(), |time| format!("{} IST", shown(time)));
                format!("permitted from {time} on: repeat the command then{}", asked.with_key())
            }
            (None, Some("refund_age")) => {
                "the payment is too old: `upistream account list --capabilities` shows how old one may be; send the money another way"
                    .to_owned()
            }
            (None, rule) => format!(
                "waiting doesn't help: the rule{} forbids this request as it is",
                rule.map(|rule| format!(" {rule}")).unwrap_or_default()
            ),
        },
        ErrorReason::UndecodableRequest | ErrorReason::UnknownMethod => {
            "use the upistream command of the service's own release: `upistream --version`".to_owned()
        }
        ErrorReason::RequestTooLarge => "ask for less at once".to_owned(),
        ErrorReason::Internal if outcome == Some("NOT_SENT") => "look at the service's log; ask again when the fault is gone".to_owned(),
        ErrorReason::Internal => format!("{}; the service's log says what went wrong", asked.repeat()),
    }
}

fn shows_refunds(payment: &str) -> String {
    format!("`upistream refund list --payment {payment}` shows its refunds")
}

/// The option that takes a duration, where nothing but its time differs from the first request's.
fn option_of_time(differing_fields: &str) -> Option<&'static str> {
    match differing_fields {
        "expire_time" => Some("--expires"),
        "approval_expire_time" => Some("--approve-until"),
        "execute_after" => Some("--after"),
        _ => None,
    }
}

/// Some states say by themselves what has to happen first.
fn state_forbids(state: Option<&str>, id: Option<&str>) -> String {
    let look = id.and_then(shows).map(|shows| format!(" ({shows})")).unwrap_or_default();
    match state {
        Some("AWAITING_APPROVAL") => format!("the payer has to approve it first{look}"),
        Some("PAUSED") => {
            let id = id.map_or_else(|| "ID".to_owned(), quoted);
            format!("have it resumed first: `upistream mandate resume {id}`, or by the payer where he paused it")
        }
        Some("REVOKED" | "REJECTED" | "EXPIRED" | "COMPLETED") => {
            "that mandate is over for good: make a new one with `upistream mandate create`".to_owned()
        }
        Some("EXECUTING") => format!("an attempt was begun: wait for its outcome{look}, never ask for the same money anew"),
        _ => {
            format!("look at {} as it is now{look}; ask again only when its state has changed", id.unwrap_or("the resource"))
        }
    }
}

/// What can be done in place of what a provider can't.
fn instead_of(operation: &str) -> Option<&'static str> {
    match operation {
        "PauseMandate" => Some(
            "make no debits of it meanwhile and cancel those that wait (`upistream debit cancel`), or end it for good (`upistream mandate revoke`)",
        ),
        "UpdateMandate" => Some("have the payer approve a new mandate on the new terms (`upistream mandate create`), then revoke this one"),
        "ResumeMandate" => Some("have the payer resume it in his UPI app"),
        _ => None,
    }
}

/// The command that shows a resource, by the kind that its id begins with.
fn shows(id: &str) -> Option<String> {
    let noun = match id.split_once('_')?.0 {
        "qr" => "qr",
        "pay" => "payment",
        "rfnd" => "refund",
        "mndt" => "mandate",
        "dbt" => "debit",
        "setl" => "settlement",
        _ => return None,
    };
    Some(format!("`upistream {noun} get {}` shows it", quoted(id)))
}

/// What a resource with a contradiction needs.
pub fn contradicted(id: &str) -> String {
    format!(
        "the provider said what can't be true together with this: look at its dashboard, then decide with `upistream admin resolve {}`",
        quoted(id)
    )
}

/// As a shell takes it back.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("order-1"), "order-1");
        assert_eq!(quoted("it's mine; rm x"), r"'it'\''s mine; rm x'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn every_reason_has_one_line_of_advice() {
        let asked = Asked { address: "http://a", key: Some("k"), deadline: None };
        let all = (0..64).filter_map(|number| ErrorReason::try_from(number).ok());
        let mut count = 0;
        for reason in all {
            for asked in [asked, Asked { key: None, ..asked }] {
                let step = next_step(Code::Internal, Some(reason), Some("UNKNOWN"), &BTreeMap::new(), None, &asked);
                assert!(!step.is_empty() && !step.contains('\n') && !step.ends_with('.'), "{reason:?}: {step}");
            }
            count += 1;
        }
        assert_eq!(count, 28);
    }

    #[track_caller]
    fn check(reason: ErrorReason, metadata: &[(&str, &str)], expected: &str) {
        let asked = Asked { address: "http://a", key: Some("return-1"), deadline: None };
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let retry_after = (reason == ErrorReason::RefundInDoubt).then_some(Duration::from_secs(5));
        assert_eq!(next_step(Code::FailedPrecondition, Some(reason), Some("NOT_SENT"), &metadata, retry_after, &asked), expected);
    }

    #[test]
    fn a_refund_that_is_too_much_says_how_much_is_left() {
        check(
            ErrorReason::RefundExceedsPayment,
            &[("resource_id", "pay_1"), ("refundable_minor_units", "3790050")],
            "₹37,900.50 of the payment is left: `upistream refund create --payment pay_1 --amount 37900.50 --key return-1`",
        );
        check(
            ErrorReason::RefundExceedsPayment,
            &[("resource_id", "pay_1"), ("refundable_minor_units", "0")],
            "nothing of the payment is left: `upistream refund list --payment pay_1` shows its refunds",
        );
        check(
            ErrorReason::RefundExceedsPayment,
            &[("resource_id", "pay_1")],
            "ask for what is left of the payment: `upistream refund list --payment pay_1` shows its refunds",
        );
    }

    #[test]
    fn a_refund_that_must_wait_says_for_which() {
        check(
            ErrorReason::RefundInDoubt,
            &[("resource_id", "rfnd_1")],
            "wait until rfnd_1 is through: `upistream refund get rfnd_1` shows how it stands; then ask again in 5s, with --key return-1",
        );
        check(
            ErrorReason::RefundInDoubt,
            &[("resource_id", "pay_1")],
            "wait until the refund that is under way is through (`upistream refund list --payment pay_1` shows its refunds), then ask again \
             in 5s, with --key return-1",
        );
    }

    #[test]
    fn what_blocks_and_what_forbids_is_named() {
        check(
            ErrorReason::ContradictionBlocks,
            &[("resource_id", "rfnd_1")],
            "find out which is true about rfnd_1: `upistream admin doubts --kind contradiction` lists it, `upistream admin resolve rfnd_1` \
             decides",
        );
        check(
            ErrorReason::RuleForbids,
            &[("rule", "refund_age")],
            "the payment is too old: `upistream account list --capabilities` shows how old one may be; send the money another way",
        );
        check(ErrorReason::RuleForbids, &[("rule", "notice")], "waiting doesn't help: the rule notice forbids this request as it is");
        check(
            ErrorReason::RuleForbids,
            &[("rule", "notice"), ("next_permitted_time", "2026-02-17T10:00:00Z")],
            "permitted from 2026-02-17 15:30:00 IST on: repeat the command then, with --key return-1",
        );
        check(
            ErrorReason::RuleForbids,
            &[("rule", "notice"), ("next_permitted_time", "soon")],
            "permitted from soon on: repeat the command then, with --key return-1",
        );
    }

    #[test]
    fn a_change_that_is_pending_is_waited_for() {
        check(
            ErrorReason::ChangePending,
            &[("resource_id", "mndt_1"), ("operation", "REVOKE")],
            "wait until the pending revoke of mndt_1 is settled (`upistream events tail --resource mndt_1` shows it); then ask again later, \
             with --key return-1",
        );
        check(
            ErrorReason::ChangePending,
            &[],
            "wait until the pending change of the resource is settled (`upistream events tail` shows it); then ask again later, with --key \
             return-1",
        );
    }

    #[test]
    fn a_state_that_forbids_says_what_must_happen_first() {
        check(
            ErrorReason::StateForbids,
            &[("resource_id", "mndt_1"), ("state", "AWAITING_APPROVAL")],
            "the payer has to approve it first (`upistream mandate get mndt_1` shows it)",
        );
        check(
            ErrorReason::StateForbids,
            &[("resource_id", "mndt_1"), ("state", "PAUSED")],
            "have it resumed first: `upistream mandate resume mndt_1`, or by the payer where he paused it",
        );
        check(
            ErrorReason::StateForbids,
            &[("state", "REVOKED")],
            "that mandate is over for good: make a new one with `upistream mandate create`",
        );
        check(
            ErrorReason::StateForbids,
            &[("resource_id", "dbt_1"), ("state", "EXECUTING")],
            "an attempt was begun: wait for its outcome (`upistream debit get dbt_1` shows it), never ask for the same money anew",
        );
        check(
            ErrorReason::StateForbids,
            &[("resource_id", "qr_1"), ("state", "CLOSED")],
            "look at qr_1 as it is now (`upistream qr get qr_1` shows it); ask again only when its state has changed",
        );
        check(ErrorReason::StateForbids, &[], "look at the resource as it is now; ask again only when its state has changed");
    }

    #[test]
    fn what_a_provider_lacks_is_done_another_way() {
        let table = "see what each account can do: `upistream account list --capabilities`";
        check(ErrorReason::ProviderLacksCapability, &[("operation", "CloseQr")], table);
        check(
            ErrorReason::ProviderLacksCapability,
            &[("operation", "PauseMandate")],
            &format!(
                "make no debits of it meanwhile and cancel those that wait (`upistream debit cancel`), or end it for good (`upistream mandate \
                 revoke`); {table}"
            ),
        );
        check(
            ErrorReason::ProviderLacksCapability,
            &[("operation", "UpdateMandate")],
            &format!("have the payer approve a new mandate on the new terms (`upistream mandate create`), then revoke this one; {table}"),
        );
    }

    #[test]
    fn a_time_that_was_a_duration_is_repeated_as_the_time_of_then() {
        for (field, option) in [("expire_time", "--expires"), ("approval_expire_time", "--approve-until"), ("execute_after", "--after")] {
            check(
                ErrorReason::IdempotencyKeyReused,
                &[("differing_fields", field)],
                &format!("repeat it with the time of then: a duration in {option} means another time each time"),
            );
        }
    }

    #[test]
    fn a_lost_history_says_where_to_go_on() {
        let asked = Asked { address: "http://a", key: None, deadline: None };
        let metadata = BTreeMap::from([("earliest_token".to_owned(), "AbC".to_owned())]);
        let step = next_step(Code::OutOfRange, Some(ErrorReason::HistoryLost), Some("NOT_SENT"), &metadata, None, &asked);
        assert!(step.ends_with("`upistream events tail --from AbC`"), "{step}");
    }
}
