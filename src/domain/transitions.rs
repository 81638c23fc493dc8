//! The whole of what can be learned, as tables: every state against every fact, as a callback tells it and as a fresh
//! look at the provider shows it. A new state or fact shows up in the difference everywhere it matters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::event::{Fact, Record};
use super::fact::{Evidence, Failure, FailureReason, Learned};
use super::header::Header;
use super::id::{Id, Kind, Partition};
use super::money::Money;
use super::payment::{Payer, Payment, PaymentFact, PaymentSnapshot, PaymentState, PaymentStatus, RefundTotals};
use super::qr::{CloseReason, Qr, QrCode, QrFact, QrOrder, QrSnapshot, QrState, QrStatus, Usage};
use super::refund::{Refund, RefundFact, RefundOrigin, RefundSnapshot, RefundSpeed, RefundState, RefundStatus, Settled, SettledRefund};
use super::settlement::{EntriesRead, Settlement, SettlementFact, SettlementSnapshot, SettlementState, SettlementStatus};
use crate::domain::account::ProviderId;

mod mandates;
mod orders;

const AMOUNT: Money = Money::from_paise(49_900);

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_240_000 + second).unwrap()
}

fn header(kind: Kind) -> Header {
    Header {
        id: Id::new(kind, Partition(1), 1, 1),
        account: "shop".parse().unwrap(),
        provider: ProviderId::Razorpay,
        provider_ref: Some("ref_1".to_owned()),
        our_ref: None,
        revision: 3,
        reference: String::new(),
        labels: BTreeMap::new(),
        create_time: time(0),
        update_time: time(0),
        contradictions: Vec::new(),
        claim: Some("claim".to_owned()),
        operator_note: None,
        traceparent: None,
        has_unknown_parts: false,
    }
}

fn failure() -> Failure {
    Failure { reason: FailureReason::ProviderFailed, message: String::new(), provider_code: String::new(), provider_message: String::new() }
}

fn qr(state: QrState, closing: bool) -> Record {
    let order = QrOrder {
        usage: Usage::SingleUse,
        amount: Some(AMOUNT),
        name: String::new(),
        description: String::new(),
        expire_time: None,
        notes: BTreeMap::new(),
        customer: None,
    };
    let mut qr = Qr { state, code: Some(QrCode::default()), ..Qr::requested(header(Kind::Qr), order) };
    if qr.state == QrState::Requested {
        qr.header.provider_ref = None;
    }
    if closing {
        let Ok(Learned::Moved(next, _)) = qr.learn(&QrFact::CloseAsked { claim: "c".to_owned() }, Evidence::Answer, time(1)) else {
            panic!("an active code can be closed");
        };
        qr = next;
    }
    Record::Qr(qr)
}

/// A code whose payment came before the answer to its creation.
fn paid_before_the_answer() -> Record {
    let received = Fact::Qr(QrFact::Received { amount: AMOUNT, closes: false });
    match qr(QrState::Requested, false).learn(&received, Evidence::Signature, time(1)) {
        Ok(Learned::Moved(next, _)) => next,
        _ => panic!("money may come before the answer"),
    }
}

/// A code that the provider has, and whose text is still to be fetched.
fn registered() -> Record {
    let registered = Fact::Qr(QrFact::Registered { provider_ref: "ref_1".to_owned() });
    match qr(QrState::Requested, false).learn(&registered, Evidence::Answer, time(1)) {
        Ok(Learned::Moved(next, _)) => next,
        _ => panic!("a code that was asked for can be registered"),
    }
}

fn seen(status: QrStatus) -> Fact {
    Fact::Qr(QrFact::Seen(QrSnapshot {
        provider_ref: "ref_1".to_owned(),
        our_ref: None,
        amount: Some(AMOUNT),
        code: QrCode::default(),
        status,
    }))
}

fn payment(state: PaymentState) -> Record {
    Record::Payment(Payment {
        header: header(Kind::Payment),
        state,
        qr: None,
        debit: None,
        mandate: None,
        expected: Some(AMOUNT),
        amount: AMOUNT,
        fee: None,
        tax: None,
        refunded: Money::ZERO,
        refunds: RefundTotals::default(),
        refunded_explained: None,
        settled: None,
        rrn: None,
        upi_transaction_id: None,
        payer: Payer::default(),
        pay_time: time(0),
        reported: false,
        credit: None,
        expected_payee: None,
        payee: None,
        provider_statuses: Vec::new(),
    })
}

fn snapshot(status: PaymentStatus, amount: Money) -> Fact {
    Fact::Payment(PaymentFact::Seen(Box::new(PaymentSnapshot {
        provider_ref: "ref_1".to_owned(),
        status,
        amount,
        fee: None,
        tax: None,
        refunded: Some(Money::ZERO),
        rrn: None,
        upi_transaction_id: None,
        payer: Payer::default(),
        pay_time: time(0),
        payee: None,
        credited: None,
        provider_status: None,
    })))
}

/// What somebody says who may be anybody.
fn claim(amount: Money) -> Fact {
    match snapshot(PaymentStatus::Captured, amount) {
        Fact::Payment(PaymentFact::Seen(snapshot)) => Fact::Payment(PaymentFact::Claimed(snapshot)),
        other => other,
    }
}

/// A payment of which only such a callback has told.
fn reported() -> Record {
    match payment(PaymentState::Pending) {
        Record::Payment(payment) => Record::Payment(Payment { reported: true, ..payment }),
        other => other,
    }
}

/// One line for each state and fact: what a callback's word does, and what a fresh look does.
fn table(records: &[(&str, Record)], facts: &[(&str, Fact)]) -> String {
    let mut table = String::new();
    let state_width = records.iter().map(|(name, _)| name.len() + 1).fold(11, usize::max);
    let fact_width = facts.iter().map(|(name, _)| name.len()).fold(26, usize::max);
    for (state, record) in records {
        for (fact_name, fact) in facts {
            let told = outcome(record, fact, Evidence::Signature);
            let looked = outcome(record, fact, Evidence::Enquiry);
            let line = if told == looked { told } else { format!("{told} | {looked}") };
            writeln!(table, "{state:<state_width$} {fact_name:<fact_width$} {line}").unwrap();
        }
        table.push('\n');
    }
    table
}

fn outcome(record: &Record, fact: &Fact, evidence: Evidence) -> String {
    match record.learn(fact, evidence, time(10)) {
        Ok(Learned::Moved(next, event)) => {
            assert_eq!(next.header().revision, record.header().revision + 1, "each write is one revision");
            format!("-> {} ({}){}", next.state_name(), event.as_str(), mandates::aside(record, &next))
        }
        Ok(Learned::AlreadyKnown) => "== known".to_owned(),
        Ok(Learned::AskFirst) => "?? ask first".to_owned(),
        Err(_) => "!! contradiction".to_owned(),
    }
}

/// Compares line by line, so that a difference names its state and fact.
fn check(table: &str, expected: &str) {
    let lines = |text: &str| text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    if lines(table) != lines(expected) {
        println!("{table}");
    }
    assert_eq!(lines(table), lines(expected));
}

#[test]
fn every_state_of_a_code_against_every_fact() {
    let closed = QrState::Closed { reason: Some(CloseReason::Paid), at: time(5) };
    let records = [
        ("requested", qr(QrState::Requested, false)),
        ("asked,paid", paid_before_the_answer()),
        ("registered", registered()),
        ("active", qr(QrState::Active, false)),
        ("closing", qr(QrState::Active, true)),
        ("closed", qr(closed, false)),
        ("failed", qr(QrState::Failed(failure()), false)),
    ];
    let refusal = || ("CODE".to_owned(), "words".to_owned());
    let (code, message) = refusal();
    let facts = [
        ("seen_active", seen(QrStatus::Active)),
        ("seen_closed", seen(QrStatus::Closed { reason: Some(CloseReason::Paid), at: Some(time(5)) })),
        ("registered", Fact::Qr(QrFact::Registered { provider_ref: "ref_1".to_owned() })),
        ("registered as another", Fact::Qr(QrFact::Registered { provider_ref: "ref_2".to_owned() })),
        ("answer_lost", Fact::Qr(QrFact::AnswerLost)),
        ("adopted", Fact::Qr(QrFact::Adopted { provider_ref: "ref_1".to_owned() })),
        ("expired", Fact::Qr(QrFact::Expired)),
        ("payment_missing", Fact::Qr(QrFact::PaymentMissing)),
        ("refused", Fact::Qr(QrFact::Refused { code: code.clone(), message: message.clone() })),
        ("not_sent", Fact::Qr(QrFact::NotSent { message: message.clone() })),
        ("absent", Fact::Qr(QrFact::Absent)),
        ("duplicate", Fact::Qr(QrFact::Duplicate { of: Id::new(Kind::Qr, Partition(1), 2, 2) })),
        ("close_asked", Fact::Qr(QrFact::CloseAsked { claim: "another".to_owned() })),
        ("close_asked again", Fact::Qr(QrFact::CloseAsked { claim: "c".to_owned() })),
        ("close_refused", Fact::Qr(QrFact::CloseRefused { code, message })),
        ("close_not_made", Fact::Qr(QrFact::CloseNotMade)),
        ("close_not_sent", Fact::Qr(QrFact::CloseNotSent)),
        ("received", Fact::Qr(QrFact::Received { amount: AMOUNT, closes: false })),
        ("received, closes", Fact::Qr(QrFact::Received { amount: AMOUNT, closes: true })),
        ("taken_back", Fact::Qr(QrFact::TakenBack { amount: AMOUNT })),
        ("contradictions_resolved", Fact::Qr(QrFact::ContradictionsResolved)),
    ];
    check(&table(&records, &facts), include_str!("transitions/qr.txt"));
}

/// A refund of this much came.
fn moved(amount: Money) -> Fact {
    let after = RefundTotals { pending: amount, ..RefundTotals::default() };
    Fact::Payment(PaymentFact::RefundMoved { before: RefundTotals::default(), after })
}

fn settled() -> Settled {
    Settled { entry: Id::new(Kind::SettlementEntry, Partition(1), 1, 1), settlement: None, at: time(9) }
}

#[test]
fn every_state_of_a_payment_against_every_fact() {
    let records = [
        ("pending", payment(PaymentState::Pending)),
        ("reported", reported()),
        ("authorized", payment(PaymentState::Authorized)),
        ("succeeded", payment(PaymentState::Succeeded)),
        ("mismatched", payment(PaymentState::Mismatched)),
        ("failed", payment(PaymentState::Failed(failure()))),
        ("reversed", payment(PaymentState::Reversed)),
    ];
    let failed = PaymentStatus::Failed { code: String::new(), message: String::new() };
    let facts = [
        ("seen_pending", snapshot(PaymentStatus::Pending, AMOUNT)),
        ("seen_authorized", snapshot(PaymentStatus::Authorized, AMOUNT)),
        ("seen_captured", snapshot(PaymentStatus::Captured, AMOUNT)),
        ("seen_captured, another sum", snapshot(PaymentStatus::Captured, Money::from_paise(1))),
        ("seen_failed", snapshot(failed, AMOUNT)),
        ("seen_reversed", snapshot(PaymentStatus::Reversed, AMOUNT)),
        ("seen_failed_or_reversed", snapshot(PaymentStatus::FailedOrReversed { code: String::new(), message: String::new() }, AMOUNT)),
        ("seen_undecided", snapshot(PaymentStatus::Undecided, AMOUNT)),
        ("claimed", claim(AMOUNT)),
        ("claimed, another sum", claim(Money::from_paise(1))),
        ("misplaced", Fact::Payment(PaymentFact::Misplaced)),
        ("refund_moved", moved(AMOUNT)),
        ("refund_moved, too much", moved(Money::from_paise(AMOUNT.paise() + 1))),
        ("refunded_unknown", Fact::Payment(PaymentFact::RefundedUnknown)),
        ("refunds_listed", Fact::Payment(PaymentFact::RefundsListed { shown: AMOUNT, failed: AMOUNT })),
        ("settled", Fact::Payment(PaymentFact::Settled(Some(settled())))),
        ("confirmed", Fact::Payment(PaymentFact::Confirmed)),
        ("denied", Fact::Payment(PaymentFact::Denied)),
        ("contradictions_resolved", Fact::Payment(PaymentFact::ContradictionsResolved)),
    ];
    check(&table(&records, &facts), include_str!("transitions/payment.txt"));
}

fn refund(state: RefundState) -> Record {
    let pending = state == RefundState::Pending;
    Record::Refund(Refund {
        header: Header { provider_ref: (state != RefundState::Requested).then(|| "ref_1".to_owned()), ..header(Kind::Refund) },
        state,
        origin: RefundOrigin::Ours,
        payment: Id::new(Kind::Payment, Partition(1), 1, 1),
        payment_ref: "pay_1".to_owned(),
        amount: AMOUNT,
        speed_requested: Some(RefundSpeed::Normal),
        speed_processed: pending.then_some(RefundSpeed::Normal),
        description: String::new(),
        notes: BTreeMap::new(),
        rrn: None,
        arn: None,
        process_time: None,
        fee: None,
        tax: None,
        refunded_before: Money::ZERO,
        duplicate_of: None,
        answer_lost: false,
        settled: None,
    })
}

fn shown(status: RefundStatus, amount: Money, provider_ref: &str) -> Fact {
    Fact::Refund(RefundFact::Seen(RefundSnapshot {
        provider_ref: Some(provider_ref.to_owned()),
        our_ref: None,
        payment_ref: "pay_1".to_owned(),
        amount,
        status,
        speed_requested: None,
        speed_processed: Some(RefundSpeed::Normal),
        rrn: None,
        arn: None,
        process_time: None,
    }))
}

#[test]
fn every_state_of_a_refund_against_every_fact() {
    let records = [
        ("requested", refund(RefundState::Requested)),
        ("pending", refund(RefundState::Pending)),
        ("succeeded", refund(RefundState::Succeeded)),
        ("failed", refund(RefundState::Failed(failure()))),
    ];
    let failed = RefundStatus::Failed { code: String::new(), message: String::new() };
    let facts = [
        ("seen_pending", shown(RefundStatus::Pending, AMOUNT, "ref_1")),
        ("seen_processed", shown(RefundStatus::Processed, AMOUNT, "ref_1")),
        ("seen_failed", shown(failed, AMOUNT, "ref_1")),
        ("seen_undecided", shown(RefundStatus::Undecided, AMOUNT, "ref_1")),
        ("seen, another sum", shown(RefundStatus::Processed, Money::from_paise(1), "ref_1")),
        ("seen as another", shown(RefundStatus::Processed, AMOUNT, "ref_2")),
        ("answer_lost", Fact::Refund(RefundFact::AnswerLost)),
        ("refused", Fact::Refund(RefundFact::Refused { code: String::new(), message: String::new() })),
        ("not_sent", Fact::Refund(RefundFact::NotSent { message: String::new() })),
        ("absent", Fact::Refund(RefundFact::Absent)),
        ("adopted", Fact::Refund(RefundFact::Adopted { provider_ref: None })),
        ("duplicate", Fact::Refund(RefundFact::Duplicate { of: Id::new(Kind::Refund, Partition(1), 2, 2) })),
        ("settled", Fact::Refund(RefundFact::Settled(Some(SettledRefund { settled: settled(), fee: Money::ZERO, tax: Money::ZERO })))),
        ("contradictions_resolved", Fact::Refund(RefundFact::ContradictionsResolved)),
    ];
    check(&table(&records, &facts), include_str!("transitions/refund.txt"));
}

#[test]
fn every_state_of_a_settlement_against_every_fact() {
    let settlement = |state| {
        let entries = EntriesRead::default();
        let header = header(Kind::Settlement);
        Record::Settlement(Settlement {
            header,
            state,
            amount: AMOUNT,
            fee: Money::ZERO,
            tax: Money::ZERO,
            utr: None,
            settle_time: None,
            entries,
        })
    };
    let seen = |status| {
        let provider_ref = "ref_1".to_owned();
        let (fee, tax) = (Money::ZERO, Money::ZERO);
        Fact::Settlement(SettlementFact::Seen(SettlementSnapshot {
            provider_ref,
            amount: AMOUNT,
            fee,
            tax,
            utr: None,
            status,
            settle_time: None,
        }))
    };
    let records = [
        ("created", settlement(SettlementState::Created)),
        ("processed", settlement(SettlementState::Processed)),
        ("failed", settlement(SettlementState::Failed(failure()))),
    ];
    let read = EntriesRead { count: 1, net: AMOUNT, complete: true };
    let facts = [
        ("seen_created", seen(SettlementStatus::Created)),
        ("seen_processed", seen(SettlementStatus::Processed)),
        ("seen_failed", seen(SettlementStatus::Failed)),
        ("seen_undecided", seen(SettlementStatus::Undecided)),
        ("entries_read", Fact::Settlement(SettlementFact::EntriesRead(read))),
        ("contradictions_resolved", Fact::Settlement(SettlementFact::ContradictionsResolved)),
    ];
    check(&table(&records, &facts), include_str!("transitions/settlement.txt"));
}
