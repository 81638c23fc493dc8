//! Worked links, each against the writer, the strict check and the lenient reader.

use jiff::civil::date;

use super::*;
use crate::domain::money::Amount;
use crate::domain::personal::Vpa;

pub(super) const V1: &str = "upi://pay?ver=01&mode=01&pa=demostores.qr@examplebank&pn=Demo%20Stores&mc=5411&cu=INR&qrMedium=04";
pub(super) const V2: &str = "upi://pay?ver=01&mode=15&pa=demostores.qr@examplebank&pn=Demo%20Stores&mc=5411&tr=ORD20260101000123&tn=Order%20123&am=499.50&cu=INR&qrMedium=06&QRexpire=2026-01-01T10:05:00%2B05:30";
pub(super) const V3: &str = "upi://pay?pa=demostores.qr@examplebank&pn=Demo%20Stores&mc=5411&tid=EXB0a1b2c3d4e5f60718293a4b5c6d7e8f9&tr=ORD20260101000124&am=10.00&cu=INR&mode=04";
pub(super) const V4: &str = "upi://mandate?pa=demostores.qr@examplebank&pn=Demo%20Stores&mn=Gold%20Plan&tid=EXB0a1b2c3d4e5f60718293a4b5c6d7e8f9&tr=MND20260101000001&mc=5968&am=499.00&amrule=MAX&fam=1.00&cu=INR&validitystart=01012026&validityend=31122026&recur=MONTHLY&recurvalue=5&recurtype=AFTER&rev=Y&block=N&txnType=CREATE&mode=04&purpose=14";
pub(super) const V5: &str = "upi://mandate?pa=demobroker.ipo@examplebank&pn=Demo%20Broker&mn=IPO%20Application&tid=EXB0f1e2d3c4b5a69788796a5b4c3d2e1f0&tr=OTM20260101000001&mc=6211&am=14950.00&amrule=MAX&cu=INR&validitystart=01012026&validityend=10012026&recur=ONETIME&rev=N&block=Y&txnType=CREATE&mode=04&purpose=01";

// As two providers' own documentation prints them, and a mandate in a third's manner.
pub(super) const EKO: &str =
    "upi://pay?ver=01&mode=01&pa=rpy.qreko100000000000000@icici&pn=Eko&tr=RZPNbC4dEf5GhI6jKqrv2&cu=INR&mc=4814&qrMedium=04&tn=PaymenttoEko";
pub(super) const OQPAY: &str = "upi://pay?pa=demo.payu@axisbank&pn=DEMO STORES PRIVATE LIMITED&tr=27000000001&tid=PPPL27000000001010126160001a1b2c3d4&am=500.00&cu=INR&tn=UPIIntent";
pub(super) const RAZORPAY: &str = "upi://mandate?pa=merchant@examplebank&pn=Example&tr=EXM2026010504150619&am=1500.00&fam=1.00&amrule=MAX&cu=INR&recur=MONTHLY&recurtype=AFTER&recurvalue=5&validitystart=05012026&validityend=01012030&rev=Y&txnType=CREATE&mode=04&purpose=14&block=N&mc=5411";

fn payee() -> Payee {
    Payee { vpa: Vpa::parse("demostores.qr@examplebank").unwrap(), name: "Demo Stores".to_owned(), mcc: Mcc::parse("5411") }
}

fn rupees(text: &str) -> Amount {
    Amount::from_rupees_text(text).unwrap()
}

fn violations(text: &str) -> Vec<String> {
    strict_violations(text).iter().map(Violation::to_string).collect()
}

/// The parameters in no order, to compare links whose writers only order them differently.
fn sorted(text: &str) -> Vec<(String, String)> {
    let link = UpiLink::parse(text).unwrap();
    let mut sorted: Vec<_> = link.parameters().iter().map(|p| (p.name.clone(), p.value.clone())).collect();
    sorted.sort();
    sorted
}

#[test]
fn a_static_qr_is_written() {
    let link = PayLink::static_qr(payee()).medium(QrMedium::Physical);
    assert_eq!(link.text().unwrap(), V1);
    let read = UpiLink::parse(V1).unwrap();
    assert_eq!((read.kind(), read.mode(), read.is_dynamic()), (LinkKind::Pay, Some("01"), false));
    assert_eq!((read.pn(), read.mc(), read.value("qrmedium")), (Some("Demo Stores"), Some("5411"), Some("04")));
}

#[test]
fn a_dynamic_qr_is_written() {
    let link = PayLink::dynamic_qr(payee(), rupees("499.50"), "ORD20260101000123")
        .note("Order 123")
        .medium(QrMedium::Web)
        .expires("2026-01-01T04:35:00Z".parse().unwrap());
    assert_eq!(link.text().unwrap(), V2);
    let read = UpiLink::parse(V2).unwrap();
    assert_eq!((read.am(), read.tr()), (Some(rupees("499.50")), Some("ORD20260101000123")));
    assert_eq!((read.tn(), read.is_dynamic()), (Some("Order 123"), true));
    assert_eq!(read.value("QRexpire"), Some("2026-01-01T10:05:00+05:30"));
}

#[test]
fn an_intent_is_written() {
    let link = PayLink::intent(payee(), rupees("10"), "ORD20260101000124").transaction_id("EXB0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    let expected = format!("{V3}&ver=01");
    assert_eq!(sorted(&link.text().unwrap()), sorted(&expected));
    assert_eq!(UpiLink::parse(V3).unwrap().tid(), Some("EXB0a1b2c3d4e5f60718293a4b5c6d7e8f9"));
}

#[test]
fn a_monthly_mandate_is_written_and_read_back() {
    let day = Day { number: 5, rule: DayRule::After };
    let link = MandateLink {
        payee: Payee { mcc: Mcc::parse("5968"), ..payee() },
        name: Some("Gold Plan".to_owned()),
        transaction_id: Some("EXB0a1b2c3d4e5f60718293a4b5c6d7e8f9".to_owned()),
        reference: Some("MND20260101000001".to_owned()),
        note: None,
        mode: Some(Mode::Intent),
        purpose: Some("14".to_owned()),
        terms: MandateTerms {
            amount: rupees("499"),
            rule: AmountRule::Max,
            first_amount: Some(rupees("1")),
            recurrence: Recurrence::new(Pattern::Monthly, Some(day)).unwrap(),
            validity: Validity::new(date(2026, 1, 1), date(2026, 12, 31)).unwrap(),
            revocable: true,
            block: false,
        },
    };
    assert_eq!(link.text().unwrap(), V4);
    assert_eq!(MandateLink::parse(V4).unwrap(), link);
}

#[test]
fn a_one_time_block_is_read_and_written_again() {
    let link = MandateLink::parse(V5).unwrap();
    assert_eq!(link.text().unwrap(), V5);
    assert_eq!(link.terms.recurrence.pattern(), Pattern::OneTime);
    assert_eq!(link.terms.recurrence.day(), None);
    assert_eq!((link.terms.block, link.terms.revocable), (true, false));
    assert!(link.terms.validity.contains(date(2026, 1, 10)));
    assert!(!link.terms.validity.contains(date(2026, 1, 11)));
}

#[test]
fn valid_links_have_no_violations() {
    for text in [V1, V2, V3, V4, V5, EKO] {
        assert_eq!(violations(text), [""; 0], "{text}");
    }
}

#[test]
fn invalid_links_have_the_violations_they_were_made_for() {
    let shop = "upi://pay?pa=demostores.qr@examplebank&pn=Demo%20Stores";
    // Whether the lenient reader takes it, and what the strict check says.
    let check = |text: &str, readable: bool, expected: &[&str]| {
        assert_eq!(violations(text), expected, "{text}");
        assert_eq!(UpiLink::parse(text).is_ok(), readable, "{text}");
    };
    check("upi://pay?pa=demostores.qr@examplebank&pn=Demo Stores&am=499.50&cu=INR", true, &["`pn` has a raw space: it must be `%20`"]);
    check("upi://pay?pa=demostores.qr&pn=Demo%20Stores&am=499.50&cu=INR", false, &["`pa` has no handle: a VPA is `name@handle`"]);
    check("upi://pay?ver=01&mode=15&pa=demostores.qr@examplebank&pn=Demo%20Stores&cu=INR", true, &["`am` is needed", "`tr` is needed"]);
    check(&format!("{shop}&am=499.505&cu=INR"), false, &["`am` has more than two decimals: a paisa is the smallest unit"]);
    check(&format!("{shop}&am=0.00&cu=INR"), false, &["`am` must be above zero"]);
    check(&format!("{shop}&am=10.00&cu=USD"), false, &["`cu` must be INR"]);
    check(&format!("{shop}&tr=ORD-2026/0001&am=10.00&cu=INR"), true, &["`tr` must have 4 to 35 letters and digits"]);
    check(&format!("{shop}&am=10.00&am=1.00&cu=INR"), false, &["`am` is there twice"]);
}

#[test]
fn a_mandate_with_four_faults_is_told_all_four() {
    let text = V4
        .replace("fam=1.00", "fam=999.00")
        .replace("validityend=31122026", "validityend=31122025")
        .replace("recur=MONTHLY&recurvalue=5", "recur=WEEKLY&recurvalue=9")
        .replace("block=N", "block=Y");
    let expected = [
        "`fam` is above `am`",
        "`validityend` is before `validitystart`",
        "`recurvalue` must be 1 to 7 for WEEKLY",
        "`block` must be N for a recurring mandate",
    ];
    assert_eq!(violations(&text), expected);
    let read: Vec<_> = MandateLink::parse(&text).unwrap_err().iter().map(Violation::to_string).collect();
    assert_eq!(read, expected);
    assert!(UpiLink::parse(&text).is_ok());
}

#[test]
fn providers_links_are_read_whatever_the_strict_check_says() {
    assert_eq!(violations(OQPAY), ["`pn` has a raw space: it must be `%20`"]);
    let oqpay = UpiLink::parse(OQPAY).unwrap();
    assert_eq!(oqpay.pn(), Some("DEMO STORES PRIVATE LIMITED"));
    assert_eq!((oqpay.am(), oqpay.tr()), (Some(rupees("500")), Some("27000000001")));

    assert_eq!(violations(RAZORPAY), ["`mn` is needed", "`tid` is needed"]);
    let razorpay = MandateLink::parse(RAZORPAY).unwrap();
    assert_eq!((&razorpay.name, &razorpay.transaction_id), (&None, &None));
    assert_eq!(razorpay.terms.validity.end(), date(2030, 1, 1));
    assert_eq!(razorpay.text().unwrap_err().len(), 2);
}

#[test]
fn a_first_debit_of_the_whole_amount_is_read_and_not_written() {
    let text = V4.replace("fam=1.00", "fam=499.00");
    assert!(MandateLink::parse(&text).is_ok());
    assert_eq!(violations(&text), ["`fam` must be below `am`"]);
}

#[test]
fn rules_of_mandates_name_their_field() {
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(V4.contains(from) || V5.contains(from), "{from}");
        let text = if V4.contains(from) { V4 } else { V5 };
        assert_eq!(violations(&text.replace(from, to)), expected, "{from} -> {to}");
    };
    check("fam=1.00", "fam=0.00", &["`fam` must be above zero"]);
    check("amrule=MAX", "amrule=ABOUT", &["`amrule` must be MAX or EXACT"]);
    check("&amrule=MAX", "", &["`amrule` is needed"]);
    check("recur=MONTHLY", "recur=HOURLY", &["`recur` is no recurrence pattern of UPI"]);
    check("recur=MONTHLY", "recur=monthly", &["`recur` must be in upper case"]);
    check("recurtype=AFTER", "recurtype=ABOUT", &["`recurtype` must be ON, BEFORE or AFTER"]);
    check("&recurvalue=5&recurtype=AFTER", "", &["`recurvalue` is needed", "`recurtype` is needed"]);
    check("recurvalue=5", "recurvalue=-5", &["`recurvalue` must be the number of a day"]);
    check("recur=MONTHLY&recurvalue=5", "recur=FORTNIGHTLY&recurvalue=17", &["`recurvalue` must be 1 to 16 for FORTNIGHTLY"]);
    check("recur=MONTHLY", "recur=DAILY", &["`recurvalue` has no meaning for DAILY", "`recurtype` has no meaning for DAILY"]);
    check("validitystart=01012026", "validitystart=31022026", &["`validitystart` must be a date, ddMMyyyy"]);
    check("validitystart=01012026", "validitystart=20260101", &["`validitystart` must be a date, ddMMyyyy"]);
    check("block=N", "block=maybe", &["`block` must be Y or N"]);
    check("purpose=14", "purpose=01", &["`purpose` must be 14 for a recurring mandate"]);
    check("txnType=CREATE", "txnType=REVOKE", &["`txnType` must be CREATE"]);
    check("rev=N&block=Y", "rev=N&block=N", &["`rev` must be Y for a one-time mandate that blocks nothing"]);
    // Reserve Pay: a single block, debited many times.
    check(
        "recur=ONETIME&rev=N&block=Y&txnType=CREATE&mode=04&purpose=01",
        "recur=ASPRESENTED&rev=N&block=Y&txnType=CREATE&mode=04&purpose=77",
        &[],
    );
}

#[test]
fn rules_of_payments_name_their_field() {
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(V2.contains(from), "{from}");
        assert_eq!(violations(&V2.replace(from, to)), expected, "{from} -> {to}");
    };
    check("upi://pay?", "UPI://pay?", &["`link` must start with `upi://pay?`, in lower case"]);
    check("upi://pay?", "upi://pay/?", &["`link` must start with `upi://pay?`, in lower case"]);
    check("upi://pay?", "upi://collect?", &["`link` is neither `upi://pay?…` nor `upi://mandate?…`"]);
    check("demostores.qr@", "demo_stores@", &["`pa` has a `_`, which some apps refuse"]);
    check("demostores.qr@", &format!("{}@", "a".repeat(40)), &["`pa` is longer than the 50 characters that every app takes"]);
    check("pn=Demo%20Stores", "pn=", &["`pn` is empty: leave it out"]);
    check("&pn=Demo%20Stores", "", &["`pn` is needed"]);
    check("pn=Demo%20Stores", "pn=Tom%20&%20Jerry", &["`link` has something between two `&` that is no `name=value`"]);
    check("&mc=5411", "&amp;mc=5411", &["`link` has something between two `&` that is no `name=value`"]);
    check("mc=5411", "MC=5411", &["`MC` is spelled `mc`"]);
    check("mc=5411", "mc=5411&mc=5411", &["`mc` is there twice"]);
    check("mc=5411", "mc=grocer", &["`mc` must have four digits"]);
    check("tr=ORD20260101000123", "tr=ORD", &["`tr` must have 4 to 35 letters and digits"]);
    check("tn=Order%20123", "tn=Order%20%23123", &["`tn` must have 1 to 50 letters, digits and spaces"]);
    check("am=499.50", "am=499.5", &["`am` must be written with exactly two decimals and no leading zeros"]);
    check("am=499.50", "am=499.50&mam=500.00", &["`mam` is above `am`"]);
    check("cu=INR", "cu=inr", &["`cu` must be INR"]);
    check("qrMedium=06", "qrMedium=00", &["`qrMedium` must be a medium of two digits, 01 to 06"]);
    check("mode=15", "mode=99", &["`mode` must be a mode of two digits, 00 to 24"]);
    check("%2B05:30", "+05:30", &["`QRexpire` has a raw `+`, which many readers take for a space: it must be `%2B`"]);
    check("cu=INR", "cu=INR&url=ftp://x", &["`url` must start with `https://` or `http://`"]);
    check("cu=INR", "cu=INR&sign=abc", &["`sign` must be the last parameter"]);
    check("cu=INR", "cu=INR&zz=1", &[]);
}

#[test]
fn the_writer_says_everything_it_can_not_write() {
    let payee = Payee { vpa: Vpa::parse("shop_1@okaxis").unwrap(), name: String::new(), mcc: None };
    let link = PayLink::dynamic_qr(payee, rupees("1"), "A/1").note("Order #1");
    let fields: Vec<_> = link.text().unwrap_err().into_iter().map(|v| v.field).collect();
    assert_eq!(fields, ["pa", "pn", "tr", "tn"]);
}

#[test]
fn no_violation_and_no_error_quotes_an_address() {
    let text = "upi://pay?pa=asha_verma@okaxis&pa=asha.verma@okaxis&cu=USD";
    assert!(violations(text).iter().all(|violation| !violation.contains("asha")));
    assert!(!UpiLink::parse(text).unwrap_err().to_string().contains("asha"));
}
