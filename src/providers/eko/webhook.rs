//! Callbacks: nothing signs them, so all that they give is a reason to ask about a transaction. One URL serves all products
//! of the account, and codes do not always come with the service's own number: whether a transaction is about a code of ours
//! shows when it is asked about.

use super::wire;
use crate::providers::reading::{id, read};
use crate::providers::told::token;
use crate::providers::{Hint, HintCallback, HintingCallbacks, NotUnderstood};

/// Callbacks that prove nothing.
pub struct EkoHints;

impl HintingCallbacks for EkoHints {
    fn hint(&self, body: &[u8]) -> Result<HintCallback, NotUnderstood> {
        let wire::Callback { tid, client_ref_id, tx_status, account, ifsc, recipient_name, beneficiary_account_type } =
            read("callback", body)?;
        let event = match tx_status {
            Some(word) => format!("tx_status {}", token(&word)),
            None => "no tx_status".to_owned(),
        };
        if account.is_some() || ifsc.is_some() || recipient_name.is_some() || beneficiary_account_type.is_some() {
            return Ok(HintCallback::Foreign { event });
        }
        // Of a code this is its `utility_acc_no`; of other products it may be anything.
        let refs = id("QR code", client_ref_id).into_iter().collect();
        // Anybody may have sent it: the claim is not even looked at, the provider itself will say how it stands.
        Ok(HintCallback::Hint(Hint { event, refs, payment_ref: Some(id("transaction", tid)?), claim: None }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::providers::fuzz_cases;
    use crate::providers::mutation::{json_value, mutated};

    const ACCEPTED: &str = include_str!("../../../tests/golden/eko/callback.accepted.json");
    const CREDITED: &str = include_str!("../../../tests/golden/eko/callback.credited.json");
    const CREDITED_AT_ONCE: &str = include_str!("../../../tests/golden/eko/callback.credited_at_once.json");

    #[test]
    fn a_transfer_to_somebody_is_other_business() {
        for field in ["account", "ifsc", "recipient_name", "beneficiary_account_type"] {
            let mut document: Value = serde_json::from_str(ACCEPTED).expect("the golden document is JSON");
            document[field] = json!("something");
            let read = EkoHints.hint(document.to_string().as_bytes());
            assert!(matches!(read, Ok(HintCallback::Foreign { .. })), "{field}");
            document[field] = Value::Null;
            assert!(hint(&document.to_string()).is_ok(), "{field}");
        }
    }

    fn hint(body: &str) -> Result<Hint, NotUnderstood> {
        match EkoHints.hint(body.as_bytes())? {
            HintCallback::Hint(hint) => Ok(hint),
            HintCallback::Foreign { event } => panic!("{event} is not foreign"),
        }
    }

    fn hint_with(changes: Value) -> Result<Hint, NotUnderstood> {
        let mut document: Value = serde_json::from_str(ACCEPTED).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            document[key] = value.clone();
        }
        hint(&document.to_string())
    }

    fn about(event: &str, code: &str, transaction: &str) -> Hint {
        let refs = vec![code.to_owned()];
        Hint { event: event.to_owned(), refs, payment_ref: Some(transaction.to_owned()), claim: None }
    }

    #[test]
    fn the_documented_callbacks_are_read_field_by_field() {
        assert_eq!(hint(ACCEPTED).ok(), Some(about("tx_status 5", "cust_OP4pC3SsrcKk8R", "3251640145")));
        assert_eq!(hint(CREDITED).ok(), Some(about("tx_status 0", "cust_ODZBaalmGJjU4w", "3251569095")));
        assert_eq!(hint(CREDITED_AT_ONCE).ok(), Some(about("tx_status 0", "cust_MAQHG5z2g0k9FK", "2886142533")));
    }

    #[test]
    fn whatever_else_it_says_is_a_hint() {
        let documented = hint(ACCEPTED).ok();
        for code in [json!("59"), json!(85), json!("45"), json!(null), json!([])] {
            assert_eq!(hint_with(json!({"service_code": code, "amount": "x", "timestamp": 7, "fee": {}})).ok(), documented);
        }
        assert_eq!(hint_with(json!({"tid": "3251640145", "tx_status": "5"})).ok(), documented);
        let other_product = hint_with(json!({"client_ref_id": "PAY OUT #1", "tx_status": "asha@bank"})).expect("it is a hint");
        assert_eq!((other_product.event.as_str(), other_product.refs.len()), ("tx_status (not a plain word)", 0));
        let without_code = hint_with(json!({"client_ref_id": null, "tx_status": null})).expect("it is a hint");
        assert_eq!((without_code.event.as_str(), without_code.payment_ref.as_deref()), ("no tx_status", Some("3251640145")));
    }

    #[test]
    fn without_a_transaction_it_is_not_understood() {
        for tid in [json!(null), json!(""), json!("32/51"), json!(1.5), json!([1]), json!("..")] {
            assert!(hint_with(json!({"tid": tid})).is_err(), "{tid}");
        }
        for body in ["", "{", "[]", "null", "7", "{}", "tid=3251640145", r#"{"tid":1,"tid":2}"#] {
            assert!(hint(body).is_err(), "{body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

        #[test]
        fn whatever_is_changed_in_a_callback_it_is_about_the_transaction_that_it_names(
            place in any::<prop::sample::Index>(),
            value in json_value(),
        ) {
            let document = mutated(ACCEPTED, &place, value);
            let Ok(hint) = hint(&document.to_string()) else { return Ok(()) };
            let tid = document["tid"].to_string();
            prop_assert_eq!(hint.payment_ref.as_deref(), Some(tid.trim_matches('"')));
            prop_assert_eq!(hint.claim, None);
        }

        #[test]
        fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = EkoHints.hint(&body);
        }
    }
}
