//! What an order read back tells: how the code stands, and which of its attempts was the payment. Paid or not is decided
//! by the order's status, never by an attempt's alone. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{is_plain, time, wire};
use crate::domain::money::Money;
use crate::domain::payment::{Payer, PaymentSnapshot, PaymentStatus};
use crate::domain::personal::Vpa;
use crate::domain::qr::{CloseReason, QrCode, QrSnapshot, QrStatus};
use crate::providers::reading::{Unreadable, bank_reference, id, read, unreadable};
use crate::providers::{Cause, Listed, told};

/// An order, as far as it must be read.
pub struct ReadOrder {
    pub id: String,
    pub our_ref: Option<String>,
    pub amount: Money,
    pub status: QrStatus,
    /// When it was changed last, or made.
    time: Option<Timestamp>,
    transactions: Vec<Result<wire::Transaction, Unreadable>>,
}

/// Which attempt at a paid order was the payment.
#[derive(Debug, PartialEq, Eq)]
enum Paid {
    /// This one says so, or is the only one there is.
    Transaction(String),
    /// None says so.
    Untold,
}

impl ReadOrder {
    pub fn read(json: &[u8]) -> Result<Self, Unreadable> {
        let wire::Order { order_id, merchant_order_id, amount, currency, status, created, last_modified, transactions } =
            read("order", json)?;
        if currency.is_some_and(|currency| currency != "INR") {
            return Err(unreadable("the order is in another currency than INR"));
        }
        let at = [last_modified, created].into_iter().flatten().find_map(|text| time(&text));
        let closed = |reason| QrStatus::Closed { reason: Some(reason), at };
        // The vocabulary of the guide and of the schema together [P5] [P28]. What others have defended against is not here:
        // an unheard-of status is no news.
        let status = match status.as_deref() {
            Some("CREATED" | "CHECKOUT_RENDERED" | "ATTEMPTED" | "PAYMENT_CONFIRMATION_PENDING") => QrStatus::Active,
            Some("PAID") => closed(CloseReason::Paid),
            Some("CANCELLED") => closed(CloseReason::Cancelled),
            Some("EXPIRED") => closed(CloseReason::Expired),
            Some(unheard) => return Err(Unreadable(format!("the order has the unheard-of status `{}`", told::token(unheard)))),
            None => return Err(unreadable("the order has no status")),
        };
        let transactions = transactions.unwrap_or_default();
        Ok(Self {
            id: id("order", order_id)?,
            our_ref: merchant_order_id,
            amount: amount.filter(|amount| *amount > Money::ZERO).ok_or_else(|| unreadable("the order has no amount"))?,
            status,
            time: at,
            transactions: each_once(transactions.iter().map(|transaction| read("transaction", transaction.get().as_bytes())).collect()),
        })
    }

    pub fn is_paid(&self) -> bool {
        matches!(self.status, QrStatus::Closed { reason: Some(CloseReason::Paid), .. })
    }

    /// The order as a code: what a payer scans is not part of it.
    pub fn to_snapshot(&self) -> QrSnapshot {
        QrSnapshot {
            provider_ref: self.id.clone(),
            our_ref: self.our_ref.clone(),
            amount: Some(self.amount),
            code: QrCode::default(),
            status: self.status.clone(),
        }
    }

    /// Whether the order is paid and does not say by which attempt.
    pub fn leaves_open_which_was_paid(&self) -> bool {
        self.is_paid() && self.paid() == Paid::Untold
    }

    /// The payments of the order. `succeeded`: an attempt that is known to have succeeded from elsewhere.
    pub fn payments(&self, succeeded: Option<&str>) -> Listed {
        let mut listed = Listed { is_fresh: true, ..Listed::default() };
        let paid = match (self.is_paid().then(|| self.paid()), succeeded) {
            (Some(Paid::Transaction(id)), _) => Some(id),
            (Some(Paid::Untold), Some(succeeded)) => Some(succeeded.to_owned()),
            (Some(Paid::Untold), None) => {
                listed.unreadable.push(Cause("the order is paid and does not say by which attempt".to_owned()));
                None
            }
            (None, _) => None,
        };
        let (mut is_told, mut might_be_told) = (false, false);
        for transaction in &self.transactions {
            match transaction.as_ref().map_err(|error| Cause(error.0.clone())).and_then(|one| self.payment(one, paid.as_deref())) {
                Ok(Some(payment)) => {
                    is_told |= paid.as_deref() == Some(payment.provider_ref.as_str());
                    listed.readable.push(payment);
                }
                Ok(None) => {}
                Err(cause) => {
                    might_be_told = true;
                    listed.unreadable.push(cause);
                }
            }
        }
        // Only of an attempt that is not in the list does the order speak alone: one that can't be read may have come with
        // another sum.
        if let (Some(paid), false, false) = (paid, is_told, might_be_told) {
            match self.payment_alone(&paid) {
                Ok(payment) => listed.readable.push(payment),
                Err(error) => listed.unreadable.push(Cause(error.0)),
            }
        }
        listed
    }

    /// Which attempt was the payment: one succeeds at most, so it is the one that says so, or the only one [P5].
    fn paid(&self) -> Paid {
        let ids = |wanted: &dyn Fn(&wire::Transaction) -> bool| -> Vec<String> {
            let readable = self.transactions.iter().filter_map(|transaction| transaction.as_ref().ok());
            readable.filter(|transaction| wanted(transaction)).filter_map(|transaction| transaction.transaction_id.clone()).collect()
        };
        let succeeded = ids(&|transaction| matches!(status_of(transaction), Some("SUCCESS" | "REFUNDED" | "PARTIALLY_REFUNDED")));
        let all = ids(&|_| true);
        match (succeeded.as_slice(), all.as_slice()) {
            ([one], _) => Paid::Transaction(one.clone()),
            ([], [only]) if self.transactions.len() == 1 && self.says_nothing(only) => Paid::Transaction(only.clone()),
            _ => Paid::Untold,
        }
    }

    /// Whether the attempt has no status that speaks against it.
    fn says_nothing(&self, id: &str) -> bool {
        let of_it = |transaction: &&wire::Transaction| transaction.transaction_id.as_deref() == Some(id);
        let transaction = self.transactions.iter().filter_map(|transaction| transaction.as_ref().ok()).find(of_it);
        transaction.is_some_and(|transaction| status_of(transaction).is_none())
    }

    /// An attempt as a payment; `None`: no payer has made anything of it yet.
    fn payment(&self, transaction: &wire::Transaction, paid: Option<&str>) -> Result<Option<PaymentSnapshot>, Cause> {
        let readable = |error: Unreadable| Cause(error.0);
        let transaction_id = id("transaction", transaction.transaction_id.clone()).map_err(readable)?;
        // A payer may be charged more than the order's amount [enkash 13], and which of the sums holds that surcharge is not
        // known of `transactionAmount`: it is `amount` that is to be compared [enkash 8.3].
        let amount = transaction.amount.or(transaction.transaction_amount).unwrap_or(self.amount);
        let failed = |code: &str| PaymentStatus::Failed { code: code.to_owned(), message: told::message(transaction.txn_msg.as_deref()) };
        let (status, refunded) = match status_of(transaction) {
            _ if paid == Some(transaction_id.as_str()) => match status_of(transaction) {
                Some("REFUNDED") => (PaymentStatus::Captured, Some(amount)),
                Some("SUCCESS") => (PaymentStatus::Captured, Some(Money::ZERO)),
                // How much was given back is not told, or whether anything was.
                _ => (PaymentStatus::Captured, None),
            },
            // The order decides: an attempt that says success before its order does is not the merchant's money yet.
            // One that was authorized may still fail [6.2, 6.4].
            Some("AUTHORIZED" | "SUCCESS" | "PENDING_WITH_BANK" | "PENDING" | "PROCESS" | "PROCESSING") => (PaymentStatus::Pending, None),
            Some(code @ ("FAILED" | "CANCELLED" | "EXPIRED" | "TIMEOUT")) => (failed(code), None),
            Some("CREATED") | None => return Ok(None),
            Some(unheard) => return Err(Cause(format!("the transaction has the unheard-of status `{}`", told::token(unheard)))),
        };
        if amount <= Money::ZERO {
            return Err(Cause("the transaction's amount is none".to_owned()));
        }
        let at = [&transaction.last_modified, &transaction.created].into_iter().flatten().find_map(|text| time(text)).or(self.time);
        let pay_time = at.ok_or_else(|| Cause("neither the transaction nor its order has a time".to_owned()))?;
        Ok(Some(PaymentSnapshot {
            provider_ref: transaction_id,
            status,
            amount,
            fee: None,
            tax: None,
            refunded,
            rrn: bank_reference(transaction.bank_transaction_id.clone()),
            upi_transaction_id: None,
            payer: Payer { vpa: transaction.vpa.as_ref().and_then(|text| Vpa::parse(text).ok()), ..Payer::default() },
            pay_time,
            payee: None,
            credited: None,
            provider_status: None,
        }))
    }

    /// The payment of a paid order that lists no such attempt.
    fn payment_alone(&self, paid: &str) -> Result<PaymentSnapshot, Unreadable> {
        let alone = wire::Transaction { transaction_id: Some(paid.to_owned()).filter(|id| is_plain(id)), ..wire::Transaction::default() };
        let payment = self.payment(&alone, Some(paid)).map_err(|cause| Unreadable(cause.0))?;
        payment.ok_or_else(|| unreadable("the paid attempt can't be read"))
    }
}

/// Of attempts under one id it is not known which to believe: none.
fn each_once(transactions: Vec<Result<wire::Transaction, Unreadable>>) -> Vec<Result<wire::Transaction, Unreadable>> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for id in transactions.iter().flatten().filter_map(|transaction| transaction.transaction_id.as_ref()) {
        *times.entry(id.clone()).or_default() += 1;
    }
    let is_repeated = |id: &String| times.get(id).is_some_and(|times| *times > 1);
    let checked = transactions.into_iter().map(|transaction| match transaction {
        Ok(transaction) if transaction.transaction_id.as_ref().is_some_and(is_repeated) => {
            Err(unreadable("the order has two transactions under one id"))
        }
        other => other,
    });
    checked.collect()
}

pub(super) fn status_of(transaction: &wire::Transaction) -> Option<&str> {
    transaction.transaction_status.as_deref().or(transaction.status.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ORDER: &str = include_str!("../../../tests/golden/enkash/order.json");

    fn order(changes: Value) -> Result<ReadOrder, Unreadable> {
        let mut document: Value = serde_json::from_str(ORDER).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            document["payload"][key] = value.clone();
        }
        ReadOrder::read(document["payload"].to_string().as_bytes())
    }

    /// Each payment as id, status and paise.
    fn payments(changes: Value, succeeded: Option<&str>) -> (Vec<(String, &'static str, i64)>, usize) {
        let listed = order(changes).expect("it is readable").payments(succeeded);
        assert!(listed.is_fresh);
        let told = |payment: &PaymentSnapshot| (payment.provider_ref.clone(), payment.status.fact_name(), payment.amount.paise());
        (listed.readable.iter().map(told).collect(), listed.unreadable.len())
    }

    fn attempt(id: &str, status: Value) -> Value {
        json!({"transactionId": id, "created": "2026-01-05T10:00:00Z", "lastModified": "2026-01-05T10:01:00Z", "status": status})
    }

    fn one(id: &str, status: &'static str) -> Vec<(String, &'static str, i64)> {
        vec![(id.to_owned(), status, 49_900)]
    }

    #[test]
    fn the_documented_order_is_read_field_by_field() {
        let read = order(json!({})).expect("it is readable");
        let at: Timestamp = "2026-01-05T10:00:00Z".parse().expect("a time");
        assert_eq!((read.id.as_str(), read.our_ref.as_deref(), read.amount), ("ORD1", Some("inv-1001"), Money::from_paise(49_900)));
        assert_eq!(read.status, QrStatus::Closed { reason: Some(CloseReason::Paid), at: Some(at) });
        let listed = read.payments(None);
        let [payment] = listed.readable.as_slice() else { panic!("{listed:?}") };
        assert_eq!(
            (payment.provider_ref.as_str(), &payment.status, payment.amount),
            ("EK1", &PaymentStatus::Captured, Money::from_paise(49_900))
        );
        assert_eq!((payment.rrn.as_deref(), payment.pay_time), (Some("600000000001"), at));
    }

    #[test]
    fn paid_or_not_is_the_orders_to_say() {
        let with = |order_status: &str, status: &str| json!({"status": order_status, "transactions": [attempt("EK1", json!(status))]});
        assert_eq!(payments(with("ATTEMPTED", "SUCCESS"), None), (one("EK1", "seen_pending"), 0));
        assert_eq!(payments(with("ATTEMPTED", "AUTHORIZED"), None), (one("EK1", "seen_pending"), 0));
        assert_eq!(payments(with("ATTEMPTED", "PENDING_WITH_BANK"), None), (one("EK1", "seen_pending"), 0));
        assert_eq!(payments(with("ATTEMPTED", "FAILED"), None), (one("EK1", "seen_failed"), 0));
        assert_eq!(payments(with("ATTEMPTED", "CREATED"), None), (Vec::new(), 0), "a fetched code is no payment");
        assert_eq!(payments(with("ATTEMPTED", "NEWS"), None), (Vec::new(), 1));
        assert_eq!(payments(with("PAID", "SUCCESS"), None), (one("EK1", "seen_captured"), 0));
        assert_eq!(payments(with("PAID", "REFUNDED"), None), (one("EK1", "seen_captured"), 0));
        assert_eq!(payments(with("PAID", "FAILED"), None), (one("EK1", "seen_failed"), 1), "which one was it, then?");
    }

    #[test]
    fn how_much_was_given_back_is_told_where_it_is_all_or_nothing() {
        let all = Some(Money::from_paise(49_900));
        for (status, refunded) in [("SUCCESS", Some(Money::ZERO)), ("REFUNDED", all), ("PARTIALLY_REFUNDED", None)] {
            let listed = order(json!({"transactions": [attempt("EK1", json!(status))]})).expect("it is readable").payments(None);
            let told: Vec<_> = listed.readable.iter().map(|payment| (payment.status.fact_name(), payment.refunded)).collect();
            assert_eq!(told, [("seen_captured", refunded)], "{status}");
        }
        let untold = order(json!({"transactions": [{"transactionId": "EK1"}]})).expect("it is readable").payments(None);
        assert_eq!(untold.readable[0].refunded, None);
    }

    #[test]
    fn which_attempt_was_paid_follows_where_it_is_not_said() {
        let bare = |ids: &[&str]| json!({"transactions": ids.iter().map(|id| json!({"transactionId": id})).collect::<Vec<_>>()});
        assert_eq!(payments(bare(&["EK1"]), None), (one("EK1", "seen_captured"), 0), "at most one succeeds, and it is the only one");
        assert_eq!(payments(bare(&["EK1", "EK2"]), None), (Vec::new(), 1), "one of two is not guessed");
        assert_eq!(payments(bare(&["EK1", "EK2"]), Some("EK2")), (one("EK2", "seen_captured"), 0));
        assert_eq!(payments(bare(&[]), Some("EK3")), (one("EK3", "seen_captured"), 0));
        assert_eq!(payments(bare(&[]), None), (Vec::new(), 1));
        let two = json!({"transactions": [attempt("EK1", json!("FAILED")), attempt("EK2", json!("SUCCESS"))]});
        let both = vec![("EK1".to_owned(), "seen_failed", 49_900), ("EK2".to_owned(), "seen_captured", 49_900)];
        assert_eq!(payments(two, None), (both, 0));
        let repeated = json!({"transactions": [attempt("EK1", json!("FAILED")), attempt("EK1", json!("SUCCESS"))]});
        assert_eq!(payments(repeated, None), (Vec::new(), 3), "one id stands for one attempt");
    }

    #[test]
    fn the_sum_that_came_is_the_attempts_where_it_is_told() {
        let mut paid = attempt("EK1", json!("SUCCESS"));
        paid["transactionAmount"] = json!("400.50");
        assert_eq!(payments(json!({"transactions": [&paid]}), None).0, [("EK1".to_owned(), "seen_captured", 40_050)]);
        // With a surcharge the one is higher than the other.
        paid["transactionAmount"] = json!(510.80);
        paid["amount"] = json!(499);
        assert_eq!(payments(json!({"transactions": [&paid]}), None).0, one("EK1", "seen_captured"));
    }

    #[test]
    fn a_sum_that_can_not_be_read_is_not_replaced_by_the_orders() {
        for amount in [json!(499.005), json!(0), json!(-1), json!("five"), json!([499])] {
            let mut paid = attempt("EK1", json!("SUCCESS"));
            paid["amount"] = amount.clone();
            let (readable, unreadable) = payments(json!({"transactions": [paid]}), Some("EK1"));
            assert!(readable.is_empty() && unreadable > 0, "{amount}");
        }
    }

    #[test]
    fn what_is_not_certain_is_not_read() {
        for changes in [
            json!({"status": "SUCCESS"}),
            json!({"status": null}),
            json!({"amount": null}),
            json!({"amount": 0}),
            json!({"amount": 499.005}),
            json!({"amount": {"value": 499}}),
            json!({"currency": "USD"}),
            json!({"orderId": null}),
            json!({"orderId": "ORD/1"}),
        ] {
            assert!(order(changes.clone()).is_err(), "{changes}");
        }
        for changes in [json!({"amount": "499.00"}), json!({"merchantName": {"x": []}, "customParameters": []}), json!({"currency": null})]
        {
            assert!(order(changes.clone()).is_ok(), "{changes}");
        }
    }
}
