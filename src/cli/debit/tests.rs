//! What is typed is what is asked, and what is answered is what is shown.

use super::super::arguments::from_pb;
use super::super::console::captured::console;
use super::super::mandate::desk::{Asked, debit, desk};
use super::super::table::block;
use super::super::testing::{at, inr, typed};
use super::*;

const CREATE: &str = "debit create mndt_1 --amount 499.00 --after 2026-03-05T11:00 --manual --reference march --label plan=gold --note by=web \
                      --description March --key k1";
const TELLS: &str = "`upistream events tail --resource dbt_1` tells when it is through";

#[tokio::test]
async fn what_is_typed_is_what_is_asked() {
    let (address, desk) = desk().await;
    let first = typed(&address, CREATE).await;
    let again = typed(&address, CREATE).await;

    let expected = pb::CreateDebitRequest {
        idempotency_key: "k1".to_owned(),
        mandate_id: "mndt_1".to_owned(),
        reference: "march".to_owned(),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        amount: Some(inr(49_900)),
        auto_execute: Some(false),
        execute_after: Some(to_pb("2026-03-05T05:30:00Z".parse().unwrap())),
        description: "March".to_owned(),
        notes: [("by".to_owned(), "web".to_owned())].into(),
    };
    assert_eq!(desk.asked(), [Asked::CreateDebit(expected.clone()), Asked::CreateDebit(expected)]);
    let by_itself = format!("it is executed by itself at 2026-02-18 15:32:00 IST. {TELLS}\n");
    assert_eq!((first.exit_code, first.err.as_str()), (0, by_itself.as_str()));
    assert_eq!(again.err, format!("an earlier request with --key k1 did this; shown as it is now\n{by_itself}"));
}

#[tokio::test]
async fn a_key_and_a_time_are_told_before_anything_is_sent() {
    let (address, desk) = desk().await;
    let told = typed(&address, "debit create mndt_1 --amount 499 --after 2d").await;
    let all = desk.asked();
    let [Asked::CreateDebit(asked)] = all.as_slice() else { panic!("another request") };
    let key = &asked.idempotency_key;
    let after = from_pb(asked.execute_after.as_ref().unwrap()).unwrap();
    let expected = format!("idempotency key: {key}\nto repeat this very request: --key {key} --after {after}\n");
    assert!(told.err.starts_with(&expected), "{}", told.err);
    assert_eq!(asked.auto_execute, None);
}

#[tokio::test]
async fn one_debit_shows_its_notice_and_when_it_is_permitted() {
    let (address, _) = desk().await;
    let told = typed(&address, "debit get dbt_7").await;
    let expected = "\
id                   dbt_7
account              shop
provider             razorpay
state                SCHEDULED
revision             3
create_time          2026-02-17 15:30:00 IST
mandate_id           mndt_1
amount               ₹499.00
executes             by itself, at the first permitted time
cycle                2026-02
notice               sent 2026-02-17 15:31:00 IST
                     delivered 2026-02-17 15:32:00 IST
                     too old after 2026-02-20 15:30:00 IST
next_permitted_time  2026-02-18 15:32:00 IST
";
    assert_eq!(told.out, expected);
}

fn attempted() -> pb::Debit {
    let failed = |number: i32, reason: pb::FailureReason, code: &str, payment_id: &str| pb::DebitAttempt {
        number,
        start_time: Some(at(24 * 60 * i64::from(number))),
        end_time: Some(at(24 * 60 * i64::from(number) + 1)),
        payment_id: payment_id.to_owned(),
        failure: Some(pb::Failure { reason: reason.into(), provider_code: code.to_owned(), ..pb::Failure::default() }),
    };
    let under_way = pb::DebitAttempt { end_time: None, failure: None, ..failed(3, pb::FailureReason::Unspecified, "", "pay_3") };
    pb::Debit {
        state: pb::DebitState::Executing.into(),
        notify_count: 2,
        notify_deliver_time: None,
        attempts: vec![
            failed(1, pb::FailureReason::InsufficientFunds, "U30", "pay_1"),
            failed(2, pb::FailureReason::NotSent, "", ""),
            under_way,
        ],
        next_permitted_time: None,
        ..debit()
    }
}

#[test]
fn attempts_stand_one_a_line_with_their_outcome() {
    let said = |debit: &pb::Debit| {
        let pairs = told(debit, wire::tree("Debit", debit)).pairs();
        let wanted = pairs.into_iter().filter(|(name, _)| ["state", "notice", "attempts", "executes"].contains(&name.as_str()));
        block(&console().0, &wanted.collect::<Vec<_>>())
    };
    let expected = "\
state     EXECUTING
executes  by itself, at the first permitted time
notice    sent 2026-02-17 15:31:00 IST, number 2
          not known to be delivered
          too old after 2026-02-20 15:30:00 IST
attempts  1  2026-02-18 15:30:00 IST  failed: INSUFFICIENT_FUNDS (U30)  pay_1
          2  2026-02-19 15:30:00 IST  failed: NOT_SENT
          3  2026-02-20 15:30:00 IST  not known yet                     pay_3";
    assert_eq!(said(&attempted()), expected);

    let succeeded = pb::DebitAttempt { end_time: Some(at(60)), ..attempted().attempts.remove(2) };
    let by_hand = pb::Debit { attempts: vec![succeeded], auto_execute: false, notify_count: 0, in_doubt: true, ..attempted() };
    let expected = "\
state     EXECUTING, in doubt
executes  when told by `upistream debit execute`
notice    none sent
attempts  3  2026-02-20 15:30:00 IST  succeeded  pay_3";
    assert_eq!(said(&by_hand), expected);
}

#[tokio::test]
async fn executing_and_cancelling_are_asked_for_with_their_key() {
    let (address, desk) = desk().await;
    let executed = typed(&address, "debit execute dbt_1 --key e1").await;
    let cancelled = typed(&address, "debit cancel dbt_1 --key c1").await;
    let (id, key) = ("dbt_1".to_owned(), str::to_owned);
    let expected = [
        Asked::ExecuteDebit(pb::ExecuteDebitRequest { idempotency_key: key("e1"), id: id.clone() }),
        Asked::CancelDebit(pb::CancelDebitRequest { idempotency_key: key("c1"), id }),
    ];
    assert_eq!(desk.asked(), expected);
    assert_eq!(executed.err, format!("an attempt is under way; its outcome may take a day or more. {TELLS}\n"));
    assert_eq!(cancelled.err, "nothing was debited, and nothing will be\n");
    assert!(cancelled.out.contains("\nstate        CANCELLED\n"), "{}", cancelled.out);
}

#[tokio::test]
async fn too_early_says_from_when_on() {
    let (address, _) = desk().await;
    let told = typed(&address, "debit execute dbt_early --key e1").await;
    let expected = "\
error: the payer was told less than 24 hours ago
  reason               RULE_FORBIDS (FAILED_PRECONDITION)
  outcome              NOT_SENT: nothing was done, and it won't be
  next_permitted_time  2026-02-18T10:00:00Z
  resource_id          dbt_early
  rule                 pre_debit_notice
next step: permitted from 2026-02-18 15:30:00 IST on: repeat the command then, with --key e1
";
    assert_eq!((told.exit_code, told.err.as_str()), (1, expected));
}

#[tokio::test]
async fn a_list_asks_with_its_filters() {
    let (address, desk) = desk().await;
    let line =
        "debit list --account shop --mandate mndt_1 --state scheduled --state executing --reference march --label plan=gold --limit 5";
    let told = typed(&address, line).await;
    let expected = pb::ListDebitsRequest {
        account: "shop".to_owned(),
        page_size: 5,
        states: vec![pb::DebitState::Scheduled.into(), pb::DebitState::Executing.into()],
        reference: "march".to_owned(),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        mandate_id: "mndt_1".to_owned(),
        ..pb::ListDebitsRequest::default()
    };
    assert_eq!((desk.asked(), told.err.as_str()), (vec![Asked::ListDebits(expected)], "no debits\n"));
}

#[test]
fn debits_stand_in_columns() {
    let succeeded = pb::Debit {
        id: "dbt_22".to_owned(),
        state: pb::DebitState::Succeeded.into(),
        amount: Some(inr(10_000_000)),
        payment_id: "pay_3".to_owned(),
        contradictions: vec![pb::Contradiction::default()],
        reference: "march".to_owned(),
        ..attempted()
    };
    let expected = "\
ID      STATE                          AMOUNT  CYCLE    ATTEMPTS  NEXT (IST)           MANDATE  PAYMENT  REFERENCE  CREATED (IST)
dbt_1   SCHEDULED                     ₹499.00  2026-02         0  2026-02-18 15:32:00  mndt_1                       2026-02-17 15:30:00
dbt_22  SUCCEEDED, contradicted  ₹1,00,000.00  2026-02         3                       mndt_1   pay_3    march      2026-02-17 15:30:00";
    assert_eq!(told::table(&[debit(), succeeded]).text(&console().0), expected);
}

#[test]
fn where_a_debit_stands_says_what_to_do() {
    let check = |debit: pb::Debit, expected: &str| {
        let (console, _, err) = console();
        note_way(&console, &debit);
        assert_eq!(err.text(), expected);
    };
    let in_state = |state: pb::DebitState| pb::Debit { state: state.into(), ..debit() };
    check(in_state(pb::DebitState::Requested), &format!("the payer is being told of it, which comes before any attempt. {TELLS}\n"));
    check(
        pb::Debit { notify_count: 0, ..in_state(pb::DebitState::Requested) },
        &format!("the payer is told of it in time for 2026-02-18 15:32:00 IST, not before: a notice gets too old. {TELLS}\n"),
    );
    check(
        pb::Debit { auto_execute: false, ..in_state(pb::DebitState::Notified) },
        "it waits for you from 2026-02-18 15:32:00 IST on: `upistream debit execute dbt_1`\n",
    );
    check(
        pb::Debit { requires_payer_approval: true, next_permitted_time: None, ..in_state(pb::DebitState::Notified) },
        &format!(
            "the amount is above the limit for debits without a PIN: the payer must approve this one in his UPI app\n\
             it is executed by itself when that is permitted. {TELLS}\n"
        ),
    );
    let retried = pb::Debit { attempts: attempted().attempts[..1].to_vec(), ..in_state(pb::DebitState::Executing) };
    check(retried, &format!("an attempt failed, and the next is made by itself at 2026-02-18 15:32:00 IST. {TELLS}\n"));
    check(
        pb::Debit { in_doubt: true, ..attempted() },
        "it is not known yet whether the payer was debited, and no further attempt is made until it is. `upistream debit get dbt_1` shows when \
         it is; `upistream admin doubts` lists what only a person can decide\n",
    );
    check(
        pb::Debit { payment_id: "pay_3".to_owned(), ..in_state(pb::DebitState::Succeeded) },
        "its payment: `upistream payment get pay_3`\n",
    );
    check(
        in_state(pb::DebitState::Failed),
        "no further attempt is made: `failure` says why, and each attempt. Before asking the payer for the same money anew, see that none of \
         them succeeded after all\n",
    );
    let cancelling = pb::Debit {
        pending_change: Some(pb::PendingChange { operation: pb::Operation::Cancel.into(), since: Some(at(5)) }),
        contradictions: vec![pb::Contradiction::default()],
        ..in_state(pb::DebitState::Cancelled)
    };
    check(
        cancelling,
        "the provider said what can't be true together with this: look at its dashboard, then decide with `upistream admin resolve dbt_1`\n\
         the cancel was asked for, and its outcome is not known yet. `upistream events tail --resource dbt_1` tells when it is settled\n\
         nothing was debited, and nothing will be\n",
    );
}
