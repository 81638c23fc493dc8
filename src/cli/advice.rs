//! What to do about an error, by its reason. Exhaustive, so that a new reason doesn't go without advice.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;

use super::arguments::duration_shown;
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
        ErrorReason::Unauthenticated => "give a credential that the service knows".to_owned(),
        ErrorReason::PermissionDenied => {
            format!("have `{}` given to this caller in the service's configuration", said("permission").unwrap_or("the permission"))
        }
        ErrorReason::IdempotencyKeyReused if said("differing_fields") == Some("expire_time") => {
            "repeat it with the time of then: a duration in --expires means another time each time".to_owned()
        }
        ErrorReason::IdempotencyKeyReused => {
            "for a new wish leave --key out or give another; for the old one repeat exactly what was asked for then".to_owned()
        }
        ErrorReason::IdempotencyInFlight | ErrorReason::StoreInDoubt => asked.repeat(),
        ErrorReason::ChangePending => format!("wait until the pending change of {resource} is settled (`upistream events tail` shows it)"),
        ErrorReason::StateForbids => format!("look at {resource} as it is now; ask again only when its state has changed"),
        ErrorReason::ProviderRefused => {
            format!("correct what the provider didn't like (`failure` of {resource} says more) and ask with a new key")
        }
        ErrorReason::ProviderLacksCapability => "see what each account can do: `upistream account list --capabilities`".to_owned(),
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
            (Some(time), _) => format!("ask again at {time} or later{}", asked.with_key()),
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
            "ask again at 2026-02-17T10:00:00Z or later, with --key return-1",
        );
    }

    #[test]
    fn a_lost_history_says_where_to_go_on() {
        let asked = Asked { address: "http://a", key: None, deadline: None };
        let metadata = BTreeMap::from([("earliest_token".to_owned(), "AbC".to_owned())]);
        let step = next_step(Code::OutOfRange, Some(ErrorReason::HistoryLost), Some("NOT_SENT"), &metadata, None, &asked);
        assert!(step.ends_with("`upistream events tail --from AbC`"), "{step}");
    }
}
