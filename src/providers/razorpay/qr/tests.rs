//! The documents of Razorpay's about codes, field by field, and orders as its requests.

use serde_json::{Value, json};

use super::*;

const QR_CODE: &str = include_str!("../../../../tests/golden/razorpay/qr_code.json");
const NOW: i64 = 1_767_239_900;

fn at(seconds: i64) -> Timestamp {
    time(seconds).expect("a time of our days")
}

/// What is read of the documented code, with `changes` made to it. A null takes the field away.
fn read_with(changes: Value) -> Result<QrSnapshot, Unreadable> {
    let mut document: Value = serde_json::from_str(QR_CODE).expect("the golden document is JSON");
    for (key, value) in changes.as_object().expect("changes are an object") {
        let fields = document.as_object_mut().expect("a code is an object");
        if value.is_null() {
            fields.remove(key)
        } else {
            fields.insert(key.clone(), value.clone())
        };
    }
    to_snapshot(wire::read("QR code", document.to_string().as_bytes())?)
}

fn documented() -> QrSnapshot {
    QrSnapshot {
        provider_ref: "qr_Pz3dM6vX0tJ4Fb".to_owned(),
        our_ref: None,
        amount: Some(Money::from_paise(45_000)),
        code: QrCode {
            upi_link: String::new(),
            image_url: "https://rzp.io/i/Xy12Zab3".to_owned(),
            expire_time: Some(at(1_767_243_500)),
            ..QrCode::default()
        },
        status: QrStatus::Active,
    }
}

/// The vendor's page of this call, literally.
#[test]
fn the_code_of_the_vendors_page_is_read_field_by_field() {
    let seed = include_str!("../../../../tests/golden/razorpay/seed_004_qr_code.json");
    let read = to_snapshot(wire::read("QR code", seed.as_bytes()).expect("it is JSON")).expect("it is readable");
    let expected = QrSnapshot {
        provider_ref: "qr_FuZIYx6rMbP6gs".to_owned(),
        our_ref: None,
        amount: Some(Money::from_paise(300)),
        code: QrCode { image_url: "https://rzp.io/i/oCswTOcCo".to_owned(), expire_time: Some(at(1_681_615_838)), ..QrCode::default() },
        status: QrStatus::Active,
    };
    assert_eq!(read, expected);
}

#[test]
fn the_documented_code_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    let link = "upi://pay?pa=shop@examplebank&tr=RZPPz3dM6vX0tJ4Fbqrv2";
    let read = read_with(json!({"image_content": link, "notes": {"bill": "381", "upistream_ref": "ref1"}}));
    let code = QrCode { upi_link: link.to_owned(), ..documented().code };
    assert_eq!(read, Ok(QrSnapshot { our_ref: Some("ref1".to_owned()), code, ..documented() }));
}

#[test]
fn what_comes_in_several_forms_is_read_in_all_of_them() {
    for notes in [json!([]), json!(null), json!(""), json!("{}"), json!({}), json!({"upistream_ref": 7}), json!({"upistream_ref": null})] {
        assert_eq!(read_with(json!({"notes": notes})), Ok(documented()), "{notes}");
    }
    let without_time = QrSnapshot { code: QrCode { expire_time: None, ..documented().code }, ..documented() };
    for (close_by, expected) in [
        (json!("1767243500"), documented()),
        (json!(null), without_time.clone()),
        (json!(0), without_time.clone()),
        (json!(""), without_time),
    ] {
        assert_eq!(read_with(json!({"close_by": close_by})), Ok(expected), "{close_by}");
    }
    for unused in ["entity", "name", "usage", "type", "description", "closed_at", "customer_id", "created_at", "payments_count_received"] {
        assert_eq!(read_with(json!({unused: null})), Ok(documented()), "{unused}");
    }
    assert_eq!(read_with(json!({"tax_invoice": {"number": 1.5}, "name": 4, "customer_id": []})), Ok(documented()));
}

#[test]
fn a_code_has_an_amount_where_it_is_fixed() {
    let check = |changes: Value, amount: Option<i64>| {
        assert_eq!(read_with(changes.clone()).map(|code| code.amount), Ok(amount.map(Money::from_paise)), "{changes}");
    };
    check(json!({"fixed_amount": false, "payment_amount": null}), None);
    check(json!({"fixed_amount": false, "payment_amount": 0}), None);
    check(json!({"fixed_amount": null, "payment_amount": null}), None);
    check(json!({"fixed_amount": null}), Some(45_000));
    check(json!({"payment_amount": 1}), Some(1));
}

#[test]
fn a_closed_code_says_why_as_far_as_is_known() {
    let check = |changes: Value, reason: Option<CloseReason>, closed_at: Option<i64>| {
        let mut changes = changes;
        changes["status"] = json!("closed");
        let status = QrStatus::Closed { reason, at: closed_at.map(at) };
        assert_eq!(read_with(changes.clone()).map(|code| code.status), Ok(status), "{changes}");
    };
    check(json!({"close_reason": "on_demand", "closed_at": NOW}), Some(CloseReason::Cancelled), Some(NOW));
    check(json!({"close_reason": "paid", "closed_at": "1767239900"}), Some(CloseReason::Paid), Some(NOW));
    check(json!({"close_reason": "expired_or_so", "closed_at": NOW}), None, Some(NOW));
    check(json!({"closed_at": 1_767_243_500}), Some(CloseReason::Expired), Some(1_767_243_500));
    check(json!({"closed_at": 1_767_243_499}), None, Some(1_767_243_499));
    check(json!({}), None, None);
    check(json!({"close_by": null}), None, None);
}

#[test]
fn what_is_not_certain_is_not_read() {
    let unreadable = [
        json!({"payment_amount": 450.5}),
        json!({"payment_amount": "45000"}),
        json!({"payment_amount": 0}),
        json!({"payment_amount": -1}),
        json!({"payment_amount": null}),
        json!({"fixed_amount": "true"}),
        json!({"status": "paused"}),
        json!({"status": null}),
        json!({"close_by": "soon"}),
        json!({"close_by": -1.5}),
        json!({"close_by": "99999999999999999999"}),
        json!({"close_by": i64::MAX}),
        json!({"id": null}),
        json!({"id": 7}),
        json!({"id": "qr_/close"}),
        json!({"entity": "payment"}),
    ];
    for changes in unreadable {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
}

fn order(usage: Usage) -> QrOrder {
    QrOrder {
        usage,
        amount: Some(Money::from_paise(45_000)),
        name: "Counter 4".to_owned(),
        description: "Bill 381".to_owned(),
        expire_time: None,
        notes: BTreeMap::from([("bill".to_owned(), "381".to_owned())]),
        customer: None,
    }
}

#[test]
fn an_order_becomes_the_documented_request() {
    let check = |order: QrOrder, expected: Value| assert_eq!(serde_json::to_value(to_request(&order, "ref1")).ok(), Some(expected));

    let notes = json!({"bill": "381", "upistream_ref": "ref1"});
    check(
        QrOrder { expire_time: Some(at(1_767_243_500)), ..order(Usage::SingleUse) },
        json!({
            "type": "upi_qr", "usage": "single_use", "name": "Counter 4", "description": "Bill 381", "fixed_amount": true,
            "payment_amount": 45_000, "close_by": 1_767_243_500, "notes": notes,
        }),
    );
    check(
        QrOrder { amount: None, name: String::new(), description: String::new(), ..order(Usage::MultipleUse) },
        json!({"type": "upi_qr", "usage": "multiple_use", "fixed_amount": false, "notes": notes}),
    );
    check(
        QrOrder { notes: BTreeMap::new(), ..order(Usage::SingleUse) },
        json!({
            "type": "upi_qr", "usage": "single_use", "name": "Counter 4", "description": "Bill 381", "fixed_amount": true,
            "payment_amount": 45_000, "notes": {"upistream_ref": "ref1"},
        }),
    );
}

#[test]
fn violations_are_found_all_at_once_and_by_field() {
    let limits = Limits { close_by_min: Duration::from_secs(900), close_by_max: Duration::from_secs(7_200), notes_value_max: 256 };
    let check = |order: QrOrder, expected: &[&str]| {
        let found = violations(&order, &limits, at(NOW));
        let fields: Vec<_> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, expected, "{found:?}");
    };
    let single = || order(Usage::SingleUse);
    let multiple = || order(Usage::MultipleUse);
    let notes = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();

    check(single(), &[]);
    check(multiple(), &[]);
    check(QrOrder { amount: None, ..multiple() }, &[]);
    check(QrOrder { amount: None, ..single() }, &["amount"]);
    check(QrOrder { amount: Some(Money::from_paise(1)), ..single() }, &[]);
    check(QrOrder { amount: Some(Money::ZERO), ..multiple() }, &["amount"]);

    for (ahead, expected) in [(899, &["expire_time"][..]), (900, &[]), (7_200, &[]), (7_201, &["expire_time"]), (-5, &["expire_time"])] {
        check(QrOrder { expire_time: Some(at(NOW + ahead)), ..single() }, expected);
    }
    check(QrOrder { expire_time: Some(at(NOW + 900)), ..multiple() }, &["expire_time"]);
    let found = violations(&QrOrder { expire_time: Some(at(NOW)), ..single() }, &limits, at(NOW));
    assert_eq!(found[0].description, "must lie between 900 and 7200 seconds from now for this account");

    check(QrOrder { name: "é".repeat(255), description: "é".repeat(2048), ..single() }, &[]);
    check(QrOrder { name: "é".repeat(256), description: "é".repeat(2049), ..single() }, &["name", "description"]);
    check(QrOrder { name: "नाम ☕".to_owned(), ..single() }, &[]);
    check(QrOrder { name: "🍵".to_owned(), description: "🍵".to_owned(), ..single() }, &["name", "description"]);

    let pairs = |count: usize| (0..count).map(|index| (format!("k{index}"), String::new())).collect();
    check(QrOrder { notes: pairs(14), ..single() }, &[]);
    check(QrOrder { notes: pairs(15), ..single() }, &["notes"]);
    check(QrOrder { notes: notes(&[("upistream_ref", "x")]), ..single() }, &["notes[\"upistream_ref\"]"]);
    check(QrOrder { notes: notes(&[("", "x"), ("bill", "🍵")]), ..single() }, &["notes[\"\"]", "notes[\"bill\"]"]);
    check(QrOrder { notes: notes(&[("bill", &"é".repeat(256))]), ..single() }, &[]);
    check(QrOrder { notes: notes(&[("bill", &"é".repeat(257))]), ..single() }, &["notes[\"bill\"]"]);
    let long_key = "k".repeat(257);
    check(QrOrder { notes: notes(&[(&long_key, "x")]), ..single() }, &[&format!("notes[{long_key:?}]")]);

    check(QrOrder { amount: None, expire_time: Some(at(NOW)), name: "🍵".to_owned(), ..single() }, &["amount", "expire_time", "name"]);
}
