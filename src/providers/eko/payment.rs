//! Payments: a transaction that Eko shows, as our picture of it.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::Api;
use super::wire;
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::payment::{Payer, PaymentSnapshot, PaymentStatus};
use crate::domain::personal::Vpa;
use crate::providers::reading::{Unreadable, bank_reference, id, unreadable};
use crate::providers::told::{message, token};
use crate::providers::{AskError, KnownQr, PaymentOrigin, Payments, ShownPayment, indian_time};

/// Payments of one account.
pub struct EkoPayments {
    pub(super) api: Api,
}

#[async_trait]
impl Payments for EkoPayments {
    /// By `tid`: what else a transaction has is shared by all payments to a code.
    async fn fetch(&self, provider_ref: &str, _code: Option<&KnownQr>) -> Result<ShownPayment, AskError> {
        let path = ["v3", "tools", "reference", "transaction", provider_ref];
        let asked = i64::try_from((self.api.now_ms)()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let shown = to_payment(self.api.ask(Operation::FetchPayment.as_str(), &path).await?, asked)?;
        if shown.snapshot.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another transaction than was asked for").into());
        }
        Ok(shown)
    }
}

/// Their transaction as our picture of a payment, and of the code that it came through.
/// `asked`: stands for the time of one that has none which can be read: what the inquiry shows of a payment to a code is not
/// documented, and its time is no reason to lose sight of its money.
pub fn to_payment(transaction: wire::Transaction, asked: Option<Timestamp>) -> Result<ShownPayment, Unreadable> {
    let wire::Transaction {
        tid,
        tx_status,
        txstatus_desc,
        client_ref_id,
        amount,
        fee,
        gst,
        currency,
        bank_ref_num,
        customer_vpa,
        timestamp,
    } = transaction;
    if currency.is_some_and(|currency| currency != "INR") {
        return Err(unreadable("the transaction is in another currency than INR"));
    }
    let amount = amount.filter(|amount| *amount > Money::ZERO).ok_or_else(|| unreadable("the transaction has no amount"))?;
    let word = tx_status.ok_or_else(|| unreadable("the transaction has no status"))?;
    let (status, credited) = status(&word, txstatus_desc.as_deref());
    let pay_time =
        timestamp.as_deref().and_then(time).or(asked).ok_or_else(|| unreadable("the transaction has no time that can be read"))?;
    let snapshot = PaymentSnapshot {
        provider_ref: id("transaction", tid)?,
        status,
        amount,
        fee,
        tax: gst,
        refunded: None,
        rrn: bank_reference(bank_ref_num),
        upi_transaction_id: None,
        // A payer that can't be read is no reason to lose sight of his payment.
        payer: Payer { vpa: customer_vpa.and_then(|text| Vpa::parse(&text).ok()), ..Payer::default() },
        pay_time,
        payee: None,
        credited,
        provider_status: Some(token(&word)),
    };
    let origin = match client_ref_id {
        Some(code) => PaymentOrigin::Named { provider_ref: Some(code), our_ref: None },
        None => PaymentOrigin::Untold,
    };
    Ok(ShownPayment { snapshot, origin })
}

/// What a `tx_status` means for a payment to a code (section 6.4 of the facts), and whether the merchant has the money.
fn status(word: &str, description: Option<&str>) -> (PaymentStatus, Option<bool>) {
    match word {
        // Credited to the partner's wallet.
        "0" => (PaymentStatus::Captured, Some(true)),
        // One word for a payment that never was and for one that is taken back.
        "1" => (PaymentStatus::FailedOrReversed { code: word.to_owned(), message: message(description) }, None),
        "2" => (PaymentStatus::Pending, None),
        "4" => (PaymentStatus::Reversed, None),
        // "Hold" elsewhere; of a code's payment it says that the customer has paid and the credit is to come.
        "5" => (PaymentStatus::Captured, Some(false)),
        // 3 is a refund that somebody still decides on; what is unheard of is to be taken for undecided (E19).
        _ => (PaymentStatus::Undecided, None),
    }
}

/// A time in one of the three shapes that are in use (section 9): UTC, India's without saying so, and India's said aloud.
fn time(text: &str) -> Option<Timestamp> {
    let said_aloud = || DateTime::strptime("%a %b %d %H:%M:%S IST %Y", text).ok().and_then(indian_time::in_india);
    text.parse().ok().or_else(|| indian_time::read(text)).or_else(said_aloud)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::providers::fuzz_cases;
    use crate::providers::mutation::{json_value, mutated};
    use crate::providers::reading::read;

    const INQUIRY: &str = include_str!("../../../tests/golden/eko/inquiry.json");

    fn read_document(document: &Value) -> Result<ShownPayment, Unreadable> {
        to_payment(super::super::data(read("answer", document.to_string().as_bytes()).ok())?, None)
    }

    /// What is read of the documented transaction, with `changes` made to it.
    fn read_with(changes: Value) -> Result<ShownPayment, Unreadable> {
        let mut document: Value = serde_json::from_str(INQUIRY).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            document["data"][key] = value.clone();
        }
        read_document(&document)
    }

    fn snapshot_with(changes: Value) -> PaymentSnapshot {
        read_with(changes).expect("it is read").snapshot
    }

    fn documented() -> PaymentSnapshot {
        PaymentSnapshot {
            provider_ref: "3251640145".to_owned(),
            status: PaymentStatus::Captured,
            amount: Money::from_paise(2_100_000),
            fee: Some(Money::from_paise(708)),
            tax: None,
            refunded: None,
            rrn: Some("418662185728".to_owned()),
            upi_transaction_id: None,
            payer: Payer::default(),
            pay_time: "2024-07-04T05:40:37Z".parse().expect("a time of our days"),
            payee: None,
            credited: Some(false),
            provider_status: Some("5".to_owned()),
        }
    }

    #[test]
    fn the_documented_transaction_is_read_field_by_field() {
        let origin = PaymentOrigin::Named { provider_ref: Some("cust_NbC4aB1cD2eF3g".to_owned()), our_ref: None };
        assert_eq!(read_with(json!({})), Ok(ShownPayment { snapshot: documented(), origin }));
    }

    #[test]
    fn numbers_and_texts_say_the_same() {
        let as_numbers =
            json!({"tx_status": 5, "tid": 3_251_640_145_u64, "amount": 21_000, "fee": 7.08, "bank_ref_num": 418_662_185_728_u64});
        assert_eq!(snapshot_with(as_numbers), documented());
        assert_eq!(snapshot_with(json!({"amount": "2.1E4", "new": {"deep": [1]}})), documented());
        let with_tax = PaymentSnapshot { tax: Some(Money::from_paise(108)), ..documented() };
        assert_eq!(snapshot_with(json!({"gst": 1.08})), with_tax);
        let with_payer = snapshot_with(json!({"customer_vpa": "abcde@okhdfcbank"}));
        assert_eq!(with_payer.payer.vpa, Vpa::parse("abcde@okhdfcbank").ok());
        let bare = json!({"customer_vpa": "nobody", "currency": null, "fee": null, "bank_ref_num": null, "client_ref_id": ""});
        let ShownPayment { snapshot, origin } = read_with(bare).expect("it is read");
        assert_eq!((snapshot, origin), (PaymentSnapshot { fee: None, rrn: None, ..documented() }, PaymentOrigin::Untold));
    }

    #[test]
    fn each_status_has_one_meaning() {
        let failed = |message: &str| PaymentStatus::FailedOrReversed { code: "1".to_owned(), message: message.to_owned() };
        for (word, status, credited) in [
            ("0", PaymentStatus::Captured, Some(true)),
            ("1", failed("Fail"), None),
            ("2", PaymentStatus::Pending, None),
            ("3", PaymentStatus::Undecided, None),
            ("4", PaymentStatus::Reversed, None),
            ("5", PaymentStatus::Captured, Some(false)),
            ("10", PaymentStatus::Undecided, None),
            ("00", PaymentStatus::Undecided, None),
            ("Success", PaymentStatus::Undecided, None),
        ] {
            let read = snapshot_with(json!({"tx_status": word, "txstatus_desc": "Fail"}));
            assert_eq!((read.status, read.credited, read.provider_status.as_deref()), (status, credited, Some(word)));
        }
        let unkind = snapshot_with(json!({"tx_status": 1, "txstatus_desc": "asha@bank said no"}));
        assert_eq!(unkind.status, failed("… said no"));
    }

    #[test]
    fn the_three_shapes_of_time_are_told_apart() {
        let check = |text: &str, utc: &str| assert_eq!(time(text), utc.parse().ok(), "{text}");
        check("2024-07-04T05:40:37.000Z", "2024-07-04T05:40:37Z");
        check("2025-01-21T07:07:20.562Z", "2025-01-21T07:07:20.562Z");
        check("2024-07-04 11:10:37", "2024-07-04T05:40:37Z");
        check("Tue Jan 09 14:09:02 IST 2024", "2024-01-09T08:39:02Z");
        for text in ["", "yesterday", "2024-07-04T05:40:37", "2024-07-04", "Tue Jan 09 14:09:02 UTC 2024", "Wed Jan 09 14:09:02 IST 2024"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_near_money_is_read_exactly_or_not_at_all() {
        let unreadable = [
            json!({"amount": null}),
            json!({"amount": 0}),
            json!({"amount": "-1"}),
            json!({"amount": "21,000"}),
            json!({"amount": 210.005}),
            json!({"amount": {}}),
            json!({"fee": "seven"}),
            json!({"gst": 1.085}),
            json!({"currency": "USD"}),
            json!({"tx_status": null}),
            json!({"tx_status": 5.5}),
            json!({"timestamp": null}),
            json!({"timestamp": "soon"}),
            json!({"tid": null}),
            json!({"tid": "3251/640145"}),
        ];
        for changes in unreadable {
            assert!(read_with(changes.clone()).is_err(), "{changes}");
        }
        for key in ["fee", "amount", "timestamp"] {
            let error = read_with(json!({key: "asha@bank"})).expect_err("it is unreadable").to_string();
            assert!(!error.contains("asha"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

        #[test]
        fn whatever_is_changed_in_a_transaction_no_amount_is_invented(place in any::<prop::sample::Index>(), value in json_value()) {
            let document = mutated(INQUIRY, &place, value);
            let Ok(ShownPayment { snapshot, .. }) = read_document(&document) else { return Ok(()) };
            let amount = document["data"]["amount"].to_string();
            prop_assert_eq!(crate::providers::rupees::exactly(amount.trim_matches('"')), Ok(snapshot.amount));
            let word = &document["data"]["tx_status"];
            let says = |digit: u64| word.as_u64() == Some(digit) || word.as_str() == Some(&digit.to_string());
            prop_assert_eq!(snapshot.status == PaymentStatus::Captured, says(0) || says(5));
        }

        #[test]
        fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = read::<wire::Transaction>("transaction", &body).map(|transaction| to_payment(transaction, None));
        }
    }
}
