//! Orders as the terms of Razorpay's requests, and all that it would refuse of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::tests::{at, now, order, payer};
use super::*;
use crate::domain::personal::{Email, Phone, Vpa};

const ORDER_REQUEST: &str = include_str!("../../../../../tests/golden/razorpay/mandate_order.request.json");

#[test]
fn the_terms_are_those_of_the_documented_request() {
    let documented: Value = serde_json::from_str(ORDER_REQUEST).expect("the golden document is JSON");
    let mut terms = serde_json::to_value(to_terms(&order())).expect("it is JSON");
    // The end of the last day in India; the document's own time is within that day.
    assert_eq!(terms["expire_at"], 1_893_522_599);
    assert_eq!(at("2030-01-01T18:29:59Z").as_second(), 1_893_522_599);
    terms["expire_at"] = documented["token"]["expire_at"].clone();
    assert_eq!(terms, documented["token"]);

    let with = |pattern, day| serde_json::to_string(&to_terms(&MandateOrder { pattern, day, ..order() })).expect("it is JSON");
    let day = |number, rule| Some(Day { number, rule });
    let start = r#"{"max_amount":150000,"expire_at":1893522599,"frequency":"#;
    assert_eq!(with(Pattern::AsPresented, None), format!(r#"{start}"as_presented"}}"#));
    assert_eq!(with(Pattern::Daily, day(1, DayRule::On)), format!(r#"{start}"daily"}}"#), "a day that means nothing is not sent");
    let weekly = format!(r#"{start}"weekly","recurring_value":4,"recurring_type":"on"}}"#);
    assert_eq!(with(Pattern::Weekly, day(4, DayRule::On)), weekly);
    let half_yearly = format!(r#"{start}"half_yearly","recurring_value":31,"recurring_type":"before"}}"#);
    assert_eq!(with(Pattern::HalfYearly, day(31, DayRule::Before)), half_yearly);
    for pattern in [Pattern::BiMonthly, Pattern::OneTime] {
        assert_eq!(to_terms(&MandateOrder { pattern, ..order() }), None);
    }
}

#[test]
fn a_link_asks_for_nothing_else_than_was_ordered() {
    let collected = Money::from_paise(100);
    let check = |parameters: &str, fits: bool| {
        let text = format!("upi://mandate?pa=merchant@examplebank{parameters}");
        assert_eq!(check_link(&text, &order(), collected).is_ok(), fits, "{text}");
    };
    check("&am=1500.00&fam=1.00&amrule=MAX&recur=MONTHLY&recurtype=AFTER&recurvalue=5", true);
    check("", true);
    check("&am=1500&fam=1&amrule=max&recur=EVERY_MOON&xyz=1", true);
    check("&am=1500.01", false);
    check("&am=15000", false);
    check("&am=1500.00&fam=1500.00", false);
    check("&fam=0", false);
    check("&fam=one", false);
    check("&amrule=EXACT", false);
    check("&recur=DAILY", false);
    check("&cu=USD", false);
    check("&am=1500&am=15", false);
    for text in ["", "https://rzp.io/i/Ab3Cd9Ef", "upi://pay?pa=merchant@examplebank&am=1500.00", "upi://mandate?pn=nobody"] {
        assert!(check_link(text, &order(), collected).is_err(), "{text}");
    }
    let error = check_link("upi://mandate?pa=asha@okaxis&am=1", &order(), collected).expect_err("it is another amount").0;
    assert!(!error.contains("asha"), "{error}");
}

fn found(order: &MandateOrder, mcc: Option<&str>) -> Vec<String> {
    violations(order, amount_max(mcc), 256, now()).into_iter().map(|violation| violation.field).collect()
}

#[test]
fn violations_are_found_all_at_once_and_by_field() {
    let check = |order: MandateOrder, expected: &[&str]| assert_eq!(found(&order, None), expected, "{order:?}");
    let nothing: &[&str] = &[];
    check(order(), nothing);
    let amount = |paise| MandateOrder { max_amount: Money::from_paise(paise), ..order() };
    check(amount(100), nothing);
    check(amount(99), &["max_amount"]);
    check(amount(9_999_900), nothing);
    check(amount(9_999_901), &["max_amount"]);
    assert_eq!(found(&amount(20_000_000), Some("6211")), nothing);
    assert_eq!(found(&amount(20_000_001), Some("5960")), ["max_amount"]);
    assert_eq!(found(&amount(20_000_000), Some("5411")), ["max_amount"]);

    check(MandateOrder { amount_rule: AmountRule::Exact, ..order() }, &["amount_rule"]);
    check(MandateOrder { block_funds: true, revocable: false, ..order() }, &["block_funds", "revocable"]);
    check(MandateOrder { purpose: "01".to_owned(), ..order() }, &["purpose"]);
    check(MandateOrder { approval_expire_time: Some(now()), ..order() }, &["approval_expire_time"]);
    check(MandateOrder { name: "🍵".to_owned(), description: "🍵".to_owned(), ..order() }, &["name", "description"]);

    let from = |text| MandateOrder { valid_from: at(text), ..order() };
    check(from("2026-01-01T18:29:59Z"), nothing);
    check(from("2026-01-01T18:30:00Z"), &["valid_from"]);
    let until = |text| MandateOrder { valid_until: at(text), ..order() };
    check(until("2026-01-01T05:00:00Z"), nothing);
    check(until("2025-12-31T18:29:59Z"), &["valid_until"]);
    check(until("2055-12-31T18:29:59Z"), nothing);
    check(until("2055-12-31T18:30:00Z"), &["valid_until"]);

    let notes = |count: usize| (0..count).map(|index| (format!("k{index}"), String::new())).collect::<BTreeMap<_, _>>();
    check(MandateOrder { notes: notes(14), ..order() }, nothing);
    check(MandateOrder { notes: notes(15), ..order() }, &["notes"]);
    let taken = BTreeMap::from([("upistream_ref".to_owned(), "é".repeat(257))]);
    check(MandateOrder { notes: taken, ..order() }, &["notes[\"upistream_ref\"]", "notes[\"upistream_ref\"]"]);
}

#[test]
fn a_day_is_named_where_there_is_one_and_todays_with_on() {
    let check = |pattern, day: Option<(u8, DayRule)>, expected: &[&str]| {
        let day = day.map(|(number, rule)| Day { number, rule });
        assert_eq!(found(&MandateOrder { pattern, day, ..order() }, None), expected, "{pattern:?} {day:?}");
    };
    let nothing: &[&str] = &[];
    for pattern in patterns() {
        let expected = if pattern.days().is_some() { &["debit_day"][..] } else { nothing };
        check(pattern, None, expected);
    }
    check(Pattern::BiMonthly, Some((1, DayRule::After)), &["frequency"]);
    check(Pattern::OneTime, None, &["frequency"]);
    check(Pattern::Daily, Some((1, DayRule::After)), &["debit_day"]);
    check(Pattern::Weekly, Some((7, DayRule::Before)), nothing);
    check(Pattern::Weekly, Some((8, DayRule::Before)), &["debit_day"]);
    check(Pattern::Yearly, Some((31, DayRule::After)), nothing);
    check(Pattern::Yearly, Some((0, DayRule::After)), &["debit_day"]);
    // It is Thursday, the first.
    check(Pattern::Weekly, Some((4, DayRule::On)), nothing);
    check(Pattern::Weekly, Some((1, DayRule::On)), &["debit_day"]);
    check(Pattern::Monthly, Some((1, DayRule::On)), nothing);
    check(Pattern::Monthly, Some((4, DayRule::On)), &["debit_day"]);
}

#[test]
fn a_payer_is_named_as_customers_are() {
    let check = |change: fn(&mut MandatePayer), expected: &[&str]| {
        let mut order = order();
        change(&mut order.payer);
        assert_eq!(found(&order, None), expected, "{:?}", order.payer);
    };
    check(|payer| *payer = MandatePayer::default(), &["payer_name", "payer_phone", "payer_email"]);
    check(|payer| payer.vpa = Vpa::parse("asha@okaxis").ok(), &["payer_vpa"]);
    check(|payer| payer.name = PersonName::parse("Al").ok(), &["payer_name"]);
    check(|payer| payer.name = PersonName::parse(&"a".repeat(50)).ok(), &[]);
    check(|payer| payer.name = PersonName::parse(&"a".repeat(51)).ok(), &["payer_name"]);
    check(|payer| payer.name = PersonName::parse("D'Souza, Ana").ok(), &["payer_name"]);
    check(|payer| payer.name = PersonName::parse("D'Souza / Ana-Maria (M.) @2").ok(), &[]);
    check(|payer| payer.phone = Phone::parse("+44 20 7946 0000").ok(), &["payer_phone"]);
    check(|payer| payer.phone = Phone::parse("+91 90000-00001").ok(), &[]);
    check(|payer| payer.email = Email::parse(&format!("{}@a.in", "a".repeat(59))).ok(), &[]);
    check(|payer| payer.email = Email::parse(&format!("{}@a.in", "a".repeat(60))).ok(), &["payer_email"]);
}

#[test]
fn a_payer_is_shown_in_bodies_alone() {
    let order =
        MandateOrder { max_amount: Money::ZERO, payer: MandatePayer { name: PersonName::parse("#Asha#").ok(), ..payer() }, ..order() };
    let shown = format!("{:?}", violations(&order, amount_max(None), 256, now()));
    assert!(!shown.contains("Asha") && !shown.contains("9000000001") && !shown.contains("example.com"), "{shown}");
}
