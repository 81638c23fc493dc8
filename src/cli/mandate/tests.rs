//! What is typed is what is asked, and what is answered is what is shown.

use clap::Parser as _;

use super::super::Cli;
use super::super::arguments::from_pb;
use super::super::console::captured::console;
use super::super::table::block;
use super::super::testing::{at, inr, typed};
use super::desk::{Asked, active, desk, mandate};
use super::*;

const CREATE: &str = "mandate create --account shop --max-amount 1500.50 --exact --frequency monthly --day 5 --rule before --from 2026-03-01 \
                      --until 2027-12-31 --name Gold-plan --payer-vpa asha@examplebank --payer-name Asha --payer-phone 9876500001 \
                      --payer-email asha@example.com --irrevocable --approve-until 2026-02-18T10:00 --reference member-17 --label plan=gold \
                      --note by=web --description membership --key k1";

#[tokio::test]
async fn what_is_typed_is_what_is_asked() {
    let (address, desk) = desk().await;
    let first = typed(&address, CREATE).await;
    let again = typed(&address, CREATE).await;

    let day = |text: &str| Some(to_pb(text.parse().unwrap()));
    let expected = pb::CreateMandateRequest {
        idempotency_key: "k1".to_owned(),
        account: "shop".to_owned(),
        reference: "member-17".to_owned(),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        max_amount: Some(inr(150_050)),
        amount_rule: pb::MandateAmountRule::Exact.into(),
        frequency: pb::MandateFrequency::Monthly.into(),
        debit_day: Some(5),
        debit_day_rule: pb::MandateDebitDayRule::Before.into(),
        valid_from: day("2026-03-01T00:00:00+05:30"),
        valid_until: day("2027-12-31T23:59:59+05:30"),
        block_funds: false,
        revocable: Some(false),
        payer_vpa: "asha@examplebank".to_owned(),
        payer_name: "Asha".to_owned(),
        payer_phone: "9876500001".to_owned(),
        payer_email: "asha@example.com".to_owned(),
        purpose: String::new(),
        name: "Gold-plan".to_owned(),
        description: "membership".to_owned(),
        approval_expire_time: day("2026-02-18T10:00:00+05:30"),
        notes: [("by".to_owned(), "web".to_owned())].into(),
    };
    assert_eq!(desk.asked(), [1, 2].map(|_| Asked::CreateMandate(Box::new(expected.clone()))));
    let scan = "the payer scans the code, or opens the link on his phone, and approves in his UPI app. `upistream events tail --resource \
                mndt_1` tells when he did\n";
    assert_eq!((first.exit_code, first.err.as_str()), (0, scan));
    assert_eq!(again.err, format!("an earlier request with --key k1 did this; shown as it is now\n{scan}"));
}

#[tokio::test]
async fn what_is_left_out_is_left_to_the_service() {
    let (address, desk) = desk().await;
    let line = "mandate create --account shop --max-amount 499 --frequency as-presented --until 2027-12-31 --name Gold";
    let told = typed(&address, &format!("{line} --approve-until 30m")).await;
    let all = desk.asked();
    let [Asked::CreateMandate(asked)] = all.as_slice() else { panic!("another request") };
    let key = &asked.idempotency_key;
    let until = from_pb(asked.approval_expire_time.as_ref().unwrap()).unwrap();
    let expected = format!("idempotency key: {key}\nto repeat this very request: --key {key} --approve-until {until}\n");
    assert!(told.err.starts_with(&expected), "{}", told.err);
    assert_eq!((asked.valid_from, asked.revocable, asked.debit_day), (None, None, None));
    assert_eq!((asked.amount_rule(), asked.debit_day_rule()), (pb::MandateAmountRule::Max, pb::MandateDebitDayRule::Unspecified));
}

#[test]
fn terms_that_say_nothing_are_refused_before_anything_is_sent() {
    let create = "upistream mandate create --max-amount 499 --frequency monthly --until 2027-12-31 --name Gold";
    let check = |line: &str, right: bool| {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parsed.is_ok(), right, "{line}");
    };
    check(create, true);
    check(&format!("{create} --day 5 --rule after"), true);
    check(&format!("{create} --day 5"), false);
    check(&format!("{create} --rule after"), false);
    check(&format!("{create} --day 0 --rule on"), false);
    check(&format!("{create} --day 32 --rule on"), false);
    check(&create.replace("499", "499.505"), false);
    check(&create.replace("2027-12-31", "365d"), false);
    check(&create.replace("monthly", "sometimes"), false);
    check("upistream mandate update mndt_1", false);
    check("upistream mandate update mndt_1 --max-amount 1 --until 2027-12-31", true);
}

/// What stands for the code when it is drawn.
fn drawn(link: &str) -> String {
    console().0.qr_code(link).unwrap()
}

#[tokio::test]
async fn a_new_mandate_shows_its_terms_and_the_code_to_scan() {
    let (address, _) = desk().await;
    let told = typed(&address, CREATE).await;
    let link = mandate().approval_link;
    let expected = format!(
        "\
id             mndt_1
account        shop
provider       razorpay
provider_ref   order_Ab3dEf
state          AWAITING_APPROVAL
revision       2
create_time    2026-02-17 15:30:00 IST
amount         at most ₹1,500.00
frequency      monthly, on or before the 5th
valid          from 2026-02-17 until 2026-02-18, these days included
revocable      yes
approval_link  {link}
purpose        14
name           Gold plan
debits         none yet

{}

",
        drawn(&link)
    );
    assert_eq!(told.out, expected);
}

#[tokio::test]
async fn programs_get_every_field_and_no_picture() {
    let (address, _) = desk().await;
    let told = typed(&address, &format!("{CREATE} --json")).await;
    assert_eq!(told.out.lines().count(), 1, "{}", told.out);
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(json["state"], "MANDATE_STATE_AWAITING_APPROVAL");
    assert_eq!(json["frequency"], "MANDATE_FREQUENCY_MONTHLY");
    assert_eq!(json["debit_day"], 5);
    assert_eq!(json["debit_count"], 0);
    assert_eq!(json["valid_until"], "2026-02-18T10:00:00Z");
}

#[tokio::test]
async fn one_that_is_active_tells_what_was_debited() {
    let (address, _) = desk().await;
    let told = typed(&address, "mandate get mndt_7").await;
    let lines: Vec<&str> = told.out.lines().filter(|line| ["state", "umn", "debits"].iter().any(|name| line.starts_with(name))).collect();
    let expected = ["state          ACTIVE", "umn            0a1b2c@examplebank", "debits         3, ₹4,499.00 in all"];
    assert_eq!(lines, expected, "{}", told.out);
    assert!(!told.out.contains('█'), "{}", told.out);
    let expected = "\
debits can be made: `upistream debit create mndt_7 --amount 1500.00`
its debits: `upistream debit list --account shop --mandate mndt_7`
";
    assert_eq!(told.err, expected);
}

#[tokio::test]
async fn changes_are_asked_for_with_their_key() {
    let (address, desk) = desk().await;
    let updated = typed(&address, "mandate update mndt_1 --max-amount 2000 --until 2028-12-31 --key u1").await;
    let resumed = typed(&address, "mandate resume mndt_1 --key r1").await;
    let revoked = typed(&address, "mandate revoke mndt_1 --key v1").await;

    let (id, key) = ("mndt_1".to_owned(), str::to_owned);
    let update = pb::UpdateMandateRequest {
        idempotency_key: key("u1"),
        id: id.clone(),
        max_amount: Some(inr(200_000)),
        valid_until: Some(to_pb("2028-12-31T23:59:59+05:30".parse().unwrap())),
    };
    let expected = [
        Asked::UpdateMandate(update),
        Asked::ResumeMandate(pb::ResumeMandateRequest { idempotency_key: key("r1"), id: id.clone() }),
        Asked::RevokeMandate(pb::RevokeMandateRequest { idempotency_key: key("v1"), id }),
    ];
    assert_eq!(desk.asked(), expected);
    assert!(updated.out.contains("\nstate           ACTIVE, update pending\n"), "{}", updated.out);
    let pending = "\npending_change  update to ₹2,000.00 until 2028-12-31, asked for 2026-02-17 15:35:00 IST\n";
    assert!(updated.out.contains(pending), "{}", updated.out);
    let expected = "\
the payer has to approve the new terms. `upistream events tail --resource mndt_1` tells when it is settled
its debits: `upistream debit list --account shop --mandate mndt_1`
";
    assert_eq!(updated.err, expected);
    assert_eq!([resumed.exit_code, revoked.exit_code], [0, 0]);
    assert!(revoked.out.contains("\nstate          REVOKED\n"), "{}", revoked.out);
}

#[tokio::test]
async fn what_the_provider_lacks_says_what_to_do_instead() {
    let (address, _) = desk().await;
    let told = typed(&address, "mandate pause mndt_1 --key p1").await;
    let expected = "\
error: only the payer can pause
  reason     PROVIDER_LACKS_CAPABILITY (FAILED_PRECONDITION)
  outcome    NOT_SENT: nothing was done, and it won't be
  account    shop
  operation  PauseMandate
  provider   razorpay
next step: make no debits of it meanwhile and cancel those that wait (`upistream debit cancel`), or end it for good \
(`upistream mandate revoke`); see what each account can do: `upistream account list --capabilities`
";
    assert_eq!((told.exit_code, told.err.as_str()), (1, expected));
}

#[tokio::test]
async fn a_pending_change_says_what_to_wait_for() {
    let (address, _) = desk().await;
    let told = typed(&address, "mandate revoke mndt_busy --key v1").await;
    let expected = "next step: wait until the pending revoke of mndt_busy is settled (`upistream events tail --resource mndt_busy` shows it); \
                    then ask again later, with --key v1\n";
    assert!(told.err.ends_with(expected), "{}", told.err);
}

#[tokio::test]
async fn a_list_asks_with_its_filters() {
    let (address, desk) = desk().await;
    let line = "mandate list --account shop --state active --state awaiting-approval --reference member-17 --label plan=gold --limit 5";
    let told = typed(&address, line).await;
    let expected = pb::ListMandatesRequest {
        account: "shop".to_owned(),
        page_size: 5,
        states: vec![pb::MandateState::Active.into(), pb::MandateState::AwaitingApproval.into()],
        reference: "member-17".to_owned(),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        ..pb::ListMandatesRequest::default()
    };
    assert_eq!((desk.asked(), told.err.as_str()), (vec![Asked::ListMandates(expected)], "no mandates\n"));
}

#[test]
fn mandates_stand_in_columns() {
    let pausing = pb::Mandate {
        id: "mndt_22".to_owned(),
        max_amount: Some(inr(49_900)),
        amount_rule: pb::MandateAmountRule::Exact.into(),
        frequency: pb::MandateFrequency::AsPresented.into(),
        debit_day: None,
        pending_change: Some(pb::PendingChange { operation: pb::Operation::Pause.into(), since: Some(at(5)) }),
        contradictions: vec![pb::Contradiction::default()],
        reference: "member-17".to_owned(),
        ..active()
    };
    let expected = "\
ID       STATE                                           AMOUNT  HOW OFTEN                      DEBITS    DEBITED  UNTIL       NAME       REFERENCE  CREATED (IST)
mndt_1   AWAITING_APPROVAL                    at most ₹1,500.00  monthly, on or before the 5th       0      ₹0.00  2026-02-18  Gold plan             2026-02-17 15:30:00
mndt_22  ACTIVE, pause pending, contradicted    exactly ₹499.00  as presented                        3  ₹4,499.00  2026-02-18  Gold plan  member-17  2026-02-17 15:30:00";
    assert_eq!(told::table(&[mandate(), pausing]).text(&console().0), expected);
}

#[test]
fn how_often_is_said_in_words() {
    let check = |frequency: pb::MandateFrequency, day: Option<(i32, pb::MandateDebitDayRule)>, expected: &str| {
        let mandate = pb::Mandate {
            frequency: frequency.into(),
            debit_day: day.map(|(number, _)| number),
            debit_day_rule: day.map(|(_, rule)| rule).unwrap_or_default().into(),
            ..mandate()
        };
        let pairs = told(&mandate, wire::tree("Mandate", &mandate)).pairs();
        let said = pairs.iter().find(|(name, _)| name == "frequency").map(|(_, cell)| cell.text.as_str());
        assert_eq!(said, Some(expected));
        assert!(pairs.iter().all(|(name, _)| !name.starts_with("debit_day")), "{}", block(&console().0, &pairs));
    };
    use pb::MandateDebitDayRule::{After, Before, On};
    use pb::MandateFrequency as Frequency;
    check(Frequency::OneTime, None, "once");
    check(Frequency::Daily, None, "daily");
    check(Frequency::Weekly, Some((1, On)), "weekly, on Monday");
    check(Frequency::Weekly, Some((7, Before)), "weekly, on or before Sunday");
    check(Frequency::Fortnightly, Some((2, After)), "fortnightly, on or after day 2 of the half-month");
    check(Frequency::Monthly, Some((31, On)), "monthly, on the 31st");
    check(Frequency::Monthly, Some((12, After)), "monthly, on or after the 12th");
    check(Frequency::Bimonthly, None, "every two months");
    check(Frequency::Quarterly, Some((22, Before)), "quarterly, on or before the 22nd");
    check(Frequency::HalfYearly, Some((3, On)), "half-yearly, on the 3rd");
    check(Frequency::Yearly, Some((1, On)), "yearly, on the 1st");
    check(Frequency::AsPresented, None, "as presented");
}

#[test]
fn where_a_mandate_stands_says_what_to_do() {
    let check = |mandate: pb::Mandate, expected: &str| {
        let (console, _, err) = console();
        note_way(&console, &mandate);
        assert_eq!(err.text(), expected);
    };
    let in_state = |state: pb::MandateState| pb::Mandate { state: state.into(), debit_count: 0, ..active() };
    let unapproved = |state: pb::MandateState| pb::Mandate { approve_time: None, ..in_state(state) };
    let doubted = pb::Mandate { in_doubt: true, ..unapproved(pb::MandateState::Requested) };
    check(
        doubted,
        "on its way: it is not known yet whether the provider acted. `upistream mandate get mndt_1` shows when it is; `upistream admin doubts` \
         lists what only a person can decide\n",
    );
    check(
        unapproved(pb::MandateState::Requested),
        "on its way: the provider's answer is not in yet. `upistream mandate get mndt_1` shows when it is\n",
    );
    check(
        pb::Mandate { approval_link: String::new(), ..mandate() },
        "the payer is asked in his UPI app. `upistream events tail --resource mndt_1` tells when he did\n",
    );
    check(
        pb::Mandate { approval_link: "https://pay.example/i/1".to_owned(), ..mandate() },
        "the payer approves at https://pay.example/i/1. `upistream events tail --resource mndt_1` tells when he did\n",
    );
    check(
        in_state(pb::MandateState::Paused),
        "no debit is executed until it is resumed: `upistream mandate resume mndt_1`, or by the payer where he paused it\n",
    );
    check(
        unapproved(pb::MandateState::Rejected),
        "the payer did not approve it, so nothing can be debited: ask anew with `upistream mandate create`, with a new key\n",
    );
    check(
        unapproved(pb::MandateState::Failed),
        "it was never made: `failure` says why. Ask anew with `upistream mandate create`, with a new key\n",
    );
    let not_paused = pb::Mandate { failure: Some(pb::Failure::default()), ..in_state(pb::MandateState::Active) };
    check(
        not_paused,
        "the last change that was asked for did not happen: `failure` says why\n\
         debits can be made: `upistream debit create mndt_1 --amount 1500.00`\n",
    );
    // Approved once, and over.
    for over in [pb::MandateState::Expired, pb::MandateState::Revoked, pb::MandateState::Completed] {
        check(in_state(over), "");
    }
}

#[test]
fn an_approval_says_how_long_there_is() {
    let check = |minutes: i64, expected: &str| {
        let asked = pb::Mandate { approval_expire_time: Some(at(30)), ..mandate() };
        let said = told::approval(&asked, "mndt_1", from_pb(&at(minutes)).unwrap());
        assert_eq!(said, format!("the payer scans the code, or opens the link on his phone, and approves in his UPI app{expected}"));
    };
    let tells = "`upistream events tail --resource mndt_1` tells when he did";
    check(0, &format!(", for 30m from now. {tells}"));
    check(30, &format!(". {tells}"));
}
