//! What to do about an error, by its reason. Exhaustive, so that a new reason doesn't go without advice.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;

use super::arguments::duration_shown;
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
        ErrorReason::RefundExceedsPayment => "look at the payment: `upistream payment get` shows what is refunded already".to_owned(),
        ErrorReason::RefundInDoubt | ErrorReason::ContradictionBlocks => {
            format!("resolve what is not known about {resource}: `upistream admin doubts` lists it")
        }
        ErrorReason::RuleForbids => match said("next_permitted_time") {
            Some(time) => format!("ask again at {time} or later"),
            None => "waiting doesn't help: the rule forbids this request as it is".to_owned(),
        },
        ErrorReason::UndecodableRequest | ErrorReason::UnknownMethod => {
            "use the upistream command of the service's own release: `upistream --version`".to_owned()
        }
        ErrorReason::RequestTooLarge => "ask for less at once".to_owned(),
        ErrorReason::Internal if outcome == Some("NOT_SENT") => "look at the service's log; ask again when the fault is gone".to_owned(),
        ErrorReason::Internal => format!("{}; the service's log says what went wrong", asked.repeat()),
    }
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

    #[test]
    fn a_lost_history_says_where_to_go_on() {
        let asked = Asked { address: "http://a", key: None, deadline: None };
        let metadata = BTreeMap::from([("earliest_token".to_owned(), "AbC".to_owned())]);
        let step = next_step(Code::OutOfRange, Some(ErrorReason::HistoryLost), Some("NOT_SENT"), &metadata, None, &asked);
        assert!(step.ends_with("`upistream events tail --from AbC`"), "{step}");
    }
}
