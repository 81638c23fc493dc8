//! Payment Notify, which debits have too [enkash 11.7], and the callback about a mandate. How the one's `checksum` is made is
//! not published [enkash 10], and the other has none: a callback proves nothing and is only a reason to ask. Of all that it
//! says only ids are read.

use super::mandate_wire::MandateNews;
use super::{is_plain, wire};
use crate::providers::reading::read;
use crate::providers::{Hint, HintCallback, HintingCallbacks, NotUnderstood, told};

/// Callbacks about one account.
pub struct EnkashWebhooks;

impl HintingCallbacks for EnkashWebhooks {
    fn hint(&self, body: &[u8]) -> Result<HintCallback, NotUnderstood> {
        let notify: wire::Notify = read("callback", body)?;
        let wire::Notify { order_id, unique_transaction_id, transaction_id, order_status, transaction_status } = notify;
        let plain = |id: Option<String>| id.filter(|id| is_plain(id));
        let payment_ref = plain(transaction_id);
        // EnKash's own order id first; whose id `orderId` is here is not known.
        let mut refs: Vec<String> = [unique_transaction_id, order_id].into_iter().filter_map(plain).collect();
        refs.dedup();
        // What it has of a mandate is no reason not to read what it has of a payment.
        let MandateNews { reference_id, mandate_id, status } = read("callback", body).unwrap_or_default();
        let word = |status: Option<String>| status.map_or_else(|| "?".to_owned(), |status| told::token(&status));
        let event = if refs.is_empty() && payment_ref.is_none() {
            format!("mandate {}", word(status))
        } else {
            format!("payment_notify {} {}", word(order_status), word(transaction_status))
        };
        refs.extend([reference_id, mandate_id].into_iter().filter_map(plain));
        if refs.is_empty() && payment_ref.is_none() {
            return Err(NotUnderstood("it names no order, transaction or mandate".to_owned()));
        }
        Ok(HintCallback::Hint(Hint { event, refs, payment_ref, claim: None }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::providers::fuzz_cases;
    use crate::providers::mutation::mutated_texts;

    const NOTIFY: &str = include_str!("../../../tests/golden/enkash/payment_notify.json");
    const MANDATE: &str = include_str!("../../../tests/golden/enkash/mandate_callback.json");

    fn hint(changes: Value) -> Result<Hint, NotUnderstood> {
        let mut document: Value = serde_json::from_str(NOTIFY).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            document[key] = value.clone();
        }
        match EnkashWebhooks.hint(document.to_string().as_bytes())? {
            HintCallback::Hint(hint) => Ok(hint),
            HintCallback::Foreign { event } => panic!("{event} is nobody else's"),
        }
    }

    #[test]
    fn of_the_documented_callback_only_its_ids_are_read() {
        let expected = Hint {
            event: "payment_notify PAID SUCCESS".to_owned(),
            refs: vec!["ORD1".to_owned()],
            payment_ref: Some("EK1".to_owned()),
            claim: None,
        };
        assert_eq!(hint(json!({})).ok(), Some(expected.clone()));
        let with_our_id = hint(json!({"orderId": "u1abcdef"})).expect("it is understood");
        assert_eq!(with_our_id.refs, ["ORD1", "u1abcdef"], "whose id it is is not known: both are looked for");
        for changes in [json!({"amount": "x", "checksum": null}), json!({"txnDate": 5, "cardScheme": null, "news": {}})] {
            assert_eq!(hint(changes.clone()).ok(), Some(expected.clone()), "{changes}");
        }
    }

    #[test]
    fn without_an_id_there_is_nothing_to_ask() {
        let nothing = json!({"orderId": null, "uniqueTransactionId": "../x", "transactionId": []});
        assert!(hint(nothing).is_err());
        assert!(EnkashWebhooks.hint(b"<html>").is_err());
        assert!(EnkashWebhooks.hint(b"[]").is_err());
    }

    #[test]
    fn a_callback_about_a_mandate_gives_its_ids_in_both_spellings() {
        let hint = |body: &str| match EnkashWebhooks.hint(body.as_bytes()) {
            Ok(HintCallback::Hint(Hint { event, refs, payment_ref, claim })) => {
                assert_eq!((payment_ref, claim), (None, None));
                Some((event, refs))
            }
            _ => None,
        };
        let refs = || vec!["m1001".to_owned(), "MD1".to_owned()];
        // Where its state stands in it is not readable.
        assert_eq!(hint(MANDATE), Some(("mandate ?".to_owned(), refs())));
        let snake = r#"{"reference_id": "m1001", "mandate_id": "MD1", "umn": "x@examplebank", "status": "ACTIVE"}"#;
        assert_eq!(hint(snake), Some(("mandate ACTIVE".to_owned(), refs())));
        assert_eq!(
            hint(r#"{"referenceId": "m1001", "status": "a@b"}"#),
            Some(("mandate (not a plain word)".to_owned(), vec!["m1001".to_owned()]))
        );
        assert_eq!(hint(r#"{"umn": "x@examplebank"}"#), None, "by that alone nothing can be asked");
    }

    #[test]
    fn a_callback_about_a_debit_is_one_about_a_payment() {
        let debit = hint(json!({"mandateId": "MD1"})).expect("it is understood");
        assert_eq!(debit.event, "payment_notify PAID SUCCESS");
        assert_eq!((debit.refs, debit.payment_ref.as_deref()), (vec!["ORD1".to_owned(), "MD1".to_owned()], Some("EK1")));
        let unclear = hint(json!({"mandateId": "MD1", "mandate_id": "MD2"})).expect("what it says of the payment is clear");
        assert_eq!(unclear.refs, ["ORD1"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

        #[test]
        fn no_callback_makes_it_panic_or_name_what_is_no_plain_word(
            text in prop_oneof![mutated_texts(NOTIFY, &["../x", "ORD1", "a@b", "PAID"]), mutated_texts(MANDATE, &["../x", "MD1", "a@b", "ACTIVE"])],
        ) {
            let Ok(HintCallback::Hint(hint)) = EnkashWebhooks.hint(text.as_bytes()) else { return Ok(()) };
            prop_assert!(hint.refs.iter().chain(&hint.payment_ref).all(|id| is_plain(id)));
            prop_assert!(!hint.event.contains('@') && hint.claim.is_none());
        }
    }
}
