//! Mandates and debits: every state against every fact.

use super::*;
use crate::domain::debit::{
    AttemptFailure, Debit, DebitFact, DebitOrder, DebitPlan, DebitShare, FailureMeaning, Next, Notice, NoticeSnapshot, NoticeState,
    NoticeStatus,
};
use crate::domain::mandate::{
    Mandate, MandateFact, MandateOrder, MandatePayer, MandateSnapshot, MandateState, MandateStatus, Registration,
};
use crate::domain::upi::{AmountRule, Pattern};

pub(super) const CYCLE: &str = "2026-01";

pub(super) fn mandate_order(pattern: Pattern) -> MandateOrder {
    MandateOrder {
        max_amount: AMOUNT,
        amount_rule: AmountRule::Max,
        pattern,
        day: None,
        valid_from: time(0),
        valid_until: time(365 * 86_400),
        block_funds: false,
        revocable: true,
        payer: MandatePayer::default(),
        purpose: "14".to_owned(),
        name: "Gym".to_owned(),
        description: String::new(),
        approval_expire_time: None,
        notes: BTreeMap::new(),
    }
}

pub(super) fn debit_id(number: u128) -> Id {
    Id::new(Kind::Debit, Partition(1), 1, number)
}

pub(super) fn payment_id(number: u128) -> Id {
    Id::new(Kind::Payment, Partition(1), 1, number)
}

/// What a step changes besides the state, where that decides what may follow: whether an attempt is under way, and what
/// is kept beside the record.
pub(super) fn aside(before: &Record, after: &Record) -> String {
    let mut words = Vec::new();
    let open = |record: &Record| match record {
        Record::Debit(debit) => debit.open_attempt().is_some(),
        Record::Mandate(mandate) => mandate.attempt_open.is_some(),
        _ => false,
    };
    match (open(before), open(after)) {
        (false, true) => words.push("attempt opens"),
        (true, false) => words.push("attempt ends"),
        (true, true) | (false, false) => {}
    }
    match (before, after) {
        (Record::Mandate(before), Record::Mandate(after)) => {
            match (before.taken.len(), after.taken.len()) {
                (few, more) if few < more => words.push("cycle taken"),
                (more, few) if few < more => words.push("cycle free"),
                _ => {}
            }
            if after.debit_count > before.debit_count {
                words.push("counted");
            }
            if after.change_failure.is_some() && before.change_failure.is_none() {
                words.push("change failed");
            }
        }
        (Record::Debit(_), Record::Debit(after)) => match after.next_step_time {
            Some(step) if step == SOON => words.push("step soon"),
            Some(step) if step == UNTIL => words.push("waits"),
            _ => {}
        },
        _ => return String::new(),
    }
    if after.header().contradictions.len() > before.header().contradictions.len() {
        words.push("kept contradiction");
    }
    if words.is_empty() { String::new() } else { format!(", {}", words.join(", ")) }
}

fn mandate(state: MandateState) -> Mandate {
    let is_at_provider = state != MandateState::Requested;
    let bare = Mandate::requested(header(Kind::Mandate), mandate_order(Pattern::Monthly));
    let header = Header { provider_ref: is_at_provider.then(|| "ref_1".to_owned()), ..bare.header.clone() };
    Mandate { header, state, registration: is_at_provider.then(|| registration("order_1")), ..bare }
}

fn registration(provider_ref: &str) -> Registration {
    Registration { provider_ref: provider_ref.to_owned(), customer_ref: None, amount: None }
}

/// The mandate after facts that it takes.
fn told(mandate: Mandate, facts: &[MandateFact]) -> Record {
    let learn = |mandate: Mandate, fact: &MandateFact| match mandate.learn(fact, Evidence::Answer, time(1)) {
        Ok(Learned::Moved(next, _)) => next,
        other => panic!("{}: {other:?}", fact.name()),
    };
    Record::Mandate(facts.iter().fold(mandate, learn))
}

fn revoke_asked(claim: &str) -> MandateFact {
    MandateFact::RevokeAsked { claim: claim.to_owned() }
}

fn moves(debit: u128, before: &DebitShare, after: &DebitShare) -> MandateFact {
    MandateFact::DebitMoved { debit: debit_id(debit), before: before.clone(), after: after.clone() }
}

/// The shares of a debit in its life.
struct Shares {
    none: DebitShare,
    waiting: DebitShare,
    open: DebitShare,
    /// One that failed and is under way again.
    again: DebitShare,
    collected: DebitShare,
    contradicted: DebitShare,
}

fn shares() -> Shares {
    let none = DebitShare::default();
    let waiting = DebitShare { cycle: Some(CYCLE.to_owned()), ..none.clone() };
    Shares {
        open: DebitShare { attempt_open: true, begun: Some(time(5)), ..waiting.clone() },
        again: DebitShare { attempt_open: true, ..waiting.clone() },
        collected: DebitShare { collected: Some(AMOUNT), ..waiting.clone() },
        contradicted: DebitShare { contradicted: true, ..waiting.clone() },
        none,
        waiting,
    }
}

fn shows(change: impl FnOnce(&mut MandateSnapshot)) -> Fact {
    let mut snapshot = MandateSnapshot { provider_ref: Some("ref_1".to_owned()), ..MandateSnapshot::of(MandateStatus::Active) };
    change(&mut snapshot);
    Fact::Mandate(MandateFact::Seen(snapshot))
}

fn shows_status(status: MandateStatus) -> Fact {
    shows(|snapshot| snapshot.status = status)
}

#[test]
fn every_state_of_a_mandate_against_every_fact() {
    let Shares { none, waiting, open, again, collected, contradicted } = shares();
    let with_umn = |mandate: Mandate| Mandate { umn: Some("umn@examplebank".to_owned()), ..mandate };
    let active = || with_umn(mandate(MandateState::Active));
    let one_time = Mandate { order: mandate_order(Pattern::OneTime), ..active() };
    let bare = DebitShare { attempt_open: true, begun: Some(time(5)), ..DebitShare::default() };
    let records = [
        ("requested", told(mandate(MandateState::Requested), &[])),
        ("registered", told(mandate(MandateState::Requested), &[MandateFact::Registered(registration("order_1"))])),
        ("awaiting", told(mandate(MandateState::AwaitingApproval), &[])),
        ("awaiting,revoking", told(mandate(MandateState::AwaitingApproval), &[revoke_asked("c")])),
        ("active", told(active(), &[])),
        ("active,revoking", told(active(), &[revoke_asked("c")])),
        ("active,debit", told(active(), &[moves(1, &none, &waiting)])),
        ("active,attempt", told(active(), &[moves(1, &none, &waiting), moves(1, &waiting, &open)])),
        ("active,collected", told(active(), &[moves(1, &none, &collected)])),
        ("active,other debit", told(active(), &[moves(2, &none, &waiting), moves(2, &waiting, &open)])),
        ("one-time,attempt", told(one_time, &[moves(1, &none, &bare)])),
        ("paused", told(with_umn(mandate(MandateState::Paused)), &[])),
        ("revoked", told(mandate(MandateState::Revoked), &[])),
        ("rejected", told(mandate(MandateState::Rejected(failure())), &[])),
        ("expired", told(mandate(MandateState::Expired(None)), &[])),
        ("expired,unapproved", told(mandate(MandateState::Expired(Some(failure()))), &[])),
        ("completed", told(mandate(MandateState::Completed), &[])),
        ("failed", told(Mandate { registration: None, ..mandate(MandateState::Failed(failure())) }, &[])),
    ];
    let words = || ("CODE".to_owned(), "words".to_owned());
    let (code, message) = words();
    let rejected = MandateStatus::Rejected { code: code.clone(), message: message.clone() };
    let of_mandate = Fact::Mandate;
    let facts = [
        ("seen_awaiting_approval", shows_status(MandateStatus::AwaitingApproval)),
        ("seen_active", shows_status(MandateStatus::Active)),
        ("seen_paused", shows_status(MandateStatus::Paused)),
        ("seen_revoking", shows_status(MandateStatus::Revoking)),
        ("seen_revoked", shows_status(MandateStatus::Revoked)),
        ("seen_rejected", shows_status(rejected)),
        ("seen_expired", shows_status(MandateStatus::Expired)),
        ("seen_completed", shows_status(MandateStatus::Completed)),
        ("seen_undecided", shows_status(MandateStatus::Undecided)),
        ("seen as another", shows(|snapshot| snapshot.provider_ref = Some("ref_2".to_owned()))),
        ("seen, another order", shows(|snapshot| snapshot.registration_ref = Some("order_2".to_owned()))),
        ("seen, another amount", shows(|snapshot| snapshot.max_amount = Some(Money::from_paise(1)))),
        ("seen, another umn", shows(|snapshot| snapshot.umn = Some("other@examplebank".to_owned()))),
        ("registered", of_mandate(MandateFact::Registered(registration("order_1")))),
        ("registered as another", of_mandate(MandateFact::Registered(registration("order_2")))),
        ("refused", of_mandate(MandateFact::Refused { code: code.clone(), message: message.clone() })),
        ("not_sent", of_mandate(MandateFact::NotSent { message: message.clone() })),
        ("absent", of_mandate(MandateFact::Absent)),
        ("link_missing", of_mandate(MandateFact::LinkMissing)),
        ("duplicate", of_mandate(MandateFact::Duplicate { of: Id::new(Kind::Mandate, Partition(1), 2, 2) })),
        ("revoke_asked", of_mandate(revoke_asked("another"))),
        ("revoke_asked again", of_mandate(revoke_asked("c"))),
        ("revoke_refused", of_mandate(MandateFact::RevokeRefused { code, message })),
        ("revoke_not_made", of_mandate(MandateFact::RevokeNotMade)),
        ("revoke_not_sent", of_mandate(MandateFact::RevokeNotSent)),
        ("approval_overdue", of_mandate(MandateFact::ApprovalOverdue)),
        ("validity_over", of_mandate(MandateFact::ValidityOver)),
        ("debit asked for", of_mandate(moves(1, &none, &waiting))),
        ("debit over", of_mandate(moves(1, &waiting, &none))),
        ("attempt begun", of_mandate(moves(1, &waiting, &open))),
        ("attempt open again", of_mandate(moves(1, &waiting, &again))),
        ("attempt failed", of_mandate(moves(1, &open, &waiting))),
        ("attempt failed, debit over", of_mandate(moves(1, &open, &none))),
        ("attempt collected", of_mandate(moves(1, &open, &collected))),
        ("late collected", of_mandate(moves(1, &none, &collected))),
        ("debit contradicted", of_mandate(moves(1, &waiting, &contradicted))),
        ("debit resolved", of_mandate(moves(1, &contradicted, &waiting))),
        ("contradictions_resolved", of_mandate(MandateFact::ContradictionsResolved)),
    ];
    check(&table(&records, &facts), include_str!("mandate.txt"));
}

/// The times that facts name: what is permitted next, when something is done for it, and until when is waited.
pub(super) const SOON: Timestamp = Timestamp::constant(1_767_243_600, 0);
pub(super) const UNTIL: Timestamp = Timestamp::constant(1_767_247_200, 0);
pub(super) const AT: Next = Next::At { permitted: SOON, step: SOON };
pub(super) const WAIT: Next = Next::Wait { until: UNTIL };

pub(super) fn notice(our_ref: &str) -> Notice {
    Notice { our_ref: our_ref.to_owned(), provider_ref: None, sent: time(0), debit_time: SOON, state: NoticeState::Asked, expires: None }
}

/// A debit that was asked for just now.
pub(super) fn asked_debit(number: u128, cycle: &str, takes_cycle: bool, auto_execute: bool) -> Debit {
    let order = DebitOrder { amount: AMOUNT, auto_execute, execute_after: None, description: String::new(), notes: BTreeMap::new() };
    let plan = DebitPlan { cycle: cycle.to_owned(), takes_cycle, requires_payer_approval: false };
    let header = Header { id: debit_id(number), provider_ref: None, ..header(Kind::Debit) };
    Debit::requested(header, Id::new(Kind::Mandate, Partition(1), 1, 1), order, plan, notice("n1"))
}

pub(super) fn notice_seen(our_ref: &str, status: NoticeStatus, next: Next) -> DebitFact {
    let snapshot = NoticeSnapshot { provider_ref: Some("order_1".to_owned()), status, expires: None };
    DebitFact::NoticeSeen { our_ref: our_ref.to_owned(), snapshot, expires: Some(UNTIL), next }
}

fn notice_failed() -> NoticeStatus {
    NoticeStatus::Failed { code: "CODE".to_owned(), message: "words".to_owned() }
}

pub(super) fn begun(claim: &str) -> DebitFact {
    DebitFact::AttemptBegun { claim: Some(claim.to_owned()) }
}

pub(super) fn taken(payment_ref: &str) -> DebitFact {
    DebitFact::AttemptTaken { payment_ref: Some(payment_ref.to_owned()), order_ref: Some("order_1".to_owned()) }
}

pub(super) fn attempt_failure(meaning: FailureMeaning) -> AttemptFailure {
    AttemptFailure { failure: failure(), meaning }
}

pub(super) fn paid(number: u128, to: PaymentState, meaning: Option<FailureMeaning>, next: Next) -> DebitFact {
    let failed = meaning.map(attempt_failure);
    DebitFact::PaymentMoved { payment: payment_id(number), payment_ref: format!("pay_{number}"), to, failed, next }
}

/// The debit after facts that it takes.
fn led(debit: Debit, facts: &[DebitFact]) -> Record {
    let learn = |debit: Debit, fact: &DebitFact| match debit.learn(fact, Evidence::Answer, time(1)) {
        Ok(Learned::Moved(next, _)) => next,
        other => panic!("{}: {other:?}", fact.name()),
    };
    Record::Debit(facts.iter().fold(debit, learn))
}

fn debits() -> Vec<(&'static str, Record)> {
    let asked = || asked_debit(1, CYCLE, true, true);
    let delivered = || notice_seen("n1", NoticeStatus::Delivered { at: None }, AT);
    let refused = |meaning, next| DebitFact::AttemptRefused { failed: attempt_failure(meaning), next };
    let failed = |meaning, next| paid(1, PaymentState::Failed(failure()), Some(meaning), next);
    let after = |facts: Vec<DebitFact>| led(asked(), &[vec![delivered(), begun("c")], facts].concat());
    let retry = FailureMeaning::Retry;
    let late = FailureMeaning::MayComeLate;
    vec![
        ("requested,asked", led(asked(), &[])),
        ("requested,taken", led(asked(), &[notice_seen("n1", NoticeStatus::Pending, AT)])),
        ("requested,failed", led(asked(), &[notice_seen("n1", notice_failed(), AT)])),
        ("requested,again", led(asked(), &[notice_seen("n1", notice_failed(), AT), DebitFact::NoticeBegun(notice("n2"))])),
        ("notified", led(asked_debit(1, CYCLE, true, false), &[delivered()])),
        ("scheduled", led(asked(), &[delivered()])),
        ("scheduled,again", led(asked(), &[delivered(), DebitFact::NoticeBegun(notice("n2"))])),
        ("executing,asked", after(vec![])),
        ("executing,lost", after(vec![DebitFact::AttemptLost])),
        ("executing,answered", after(vec![taken("pay_1")])),
        ("executing,pending", after(vec![taken("pay_1"), paid(1, PaymentState::Pending, None, AT)])),
        ("waiting,refused", after(vec![refused(retry, AT)])),
        ("waiting,not sent", after(vec![DebitFact::AttemptNotSent { message: "words".to_owned(), next: AT }])),
        ("waiting,absent", after(vec![DebitFact::AttemptAbsent { next: WAIT }])),
        ("waiting,failed", after(vec![failed(retry, AT)])),
        ("waiting,may come", after(vec![failed(late, WAIT)])),
        ("executing,second", after(vec![failed(retry, AT), begun("d")])),
        ("succeeded", after(vec![taken("pay_1"), paid(1, PaymentState::Succeeded, None, AT)])),
        ("succeeded,second", after(vec![failed(late, WAIT), begun("d"), paid(1, PaymentState::Succeeded, None, AT)])),
        ("failed,missed", led(asked(), &[delivered(), DebitFact::Rescheduled(Next::WindowMissed)])),
        ("failed,exhausted", after(vec![failed(retry, Next::AttemptsExhausted)])),
        ("failed,given up", after(vec![refused(FailureMeaning::GiveUp, AT)])),
        ("cancelled", led(asked(), &[delivered(), DebitFact::Cancelled])),
        ("cancelled,not sent", after(vec![DebitFact::AttemptNotSent { message: "words".to_owned(), next: AT }, DebitFact::MandateEnded])),
    ]
}

#[test]
fn every_state_of_a_debit_against_every_fact() {
    let (code, message) = (|| "CODE".to_owned(), || "words".to_owned());
    let first = || "n1".to_owned();
    let retry = Some(FailureMeaning::Retry);
    let failed = || PaymentState::Failed(failure());
    let refused = |meaning, next| DebitFact::AttemptRefused { failed: attempt_failure(meaning), next };
    let delivered = |next| notice_seen("n1", NoticeStatus::Delivered { at: None }, next);
    let facts = [
        ("notice_begun", DebitFact::NoticeBegun(notice("n3"))),
        ("notice_pending", notice_seen("n1", NoticeStatus::Pending, AT)),
        ("notice_delivered", delivered(AT)),
        ("notice_delivered, wait", delivered(WAIT)),
        ("notice_delivered, too late", delivered(Next::WindowMissed)),
        ("notice_delivered, second", notice_seen("n2", NoticeStatus::Delivered { at: None }, AT)),
        ("notice_failed", notice_seen("n1", notice_failed(), AT)),
        ("notice_refused", DebitFact::NoticeRefused { our_ref: first(), code: code(), message: message() }),
        ("notice_refused, second", DebitFact::NoticeRefused { our_ref: "n2".to_owned(), code: code(), message: message() }),
        ("notice_not_sent", DebitFact::NoticeNotSent { our_ref: first(), message: message() }),
        ("notice_not_sent, second", DebitFact::NoticeNotSent { our_ref: "n2".to_owned(), message: message() }),
        ("notice_absent", DebitFact::NoticeAbsent { our_ref: first() }),
        ("notice_absent, second", DebitFact::NoticeAbsent { our_ref: "n2".to_owned() }),
        ("rescheduled", DebitFact::Rescheduled(AT)),
        ("waits", DebitFact::Rescheduled(WAIT)),
        ("window_missed", DebitFact::Rescheduled(Next::WindowMissed)),
        ("attempts_exhausted", DebitFact::Rescheduled(Next::AttemptsExhausted)),
        ("attempt_begun", begun("another")),
        ("attempt_begun again", begun("c")),
        ("attempt_begun, by time", DebitFact::AttemptBegun { claim: None }),
        ("attempt_taken", taken("pay_1")),
        ("attempt_taken as another", taken("pay_2")),
        ("attempt_taken, nameless", DebitFact::AttemptTaken { payment_ref: None, order_ref: None }),
        ("attempt_refused", refused(FailureMeaning::Retry, AT)),
        ("attempt_refused, may come", refused(FailureMeaning::MayComeLate, WAIT)),
        ("attempt_refused, too late", refused(FailureMeaning::Retry, Next::WindowMissed)),
        ("attempt_refused for good", refused(FailureMeaning::GiveUp, AT)),
        ("attempt_not_sent", DebitFact::AttemptNotSent { message: message(), next: AT }),
        ("attempt_lost", DebitFact::AttemptLost),
        ("attempt_absent", DebitFact::AttemptAbsent { next: WAIT }),
        ("payment_pending", paid(1, PaymentState::Pending, None, AT)),
        ("payment_authorized", paid(1, PaymentState::Authorized, None, AT)),
        ("payment_succeeded", paid(1, PaymentState::Succeeded, None, AT)),
        ("payment_mismatched", paid(1, PaymentState::Mismatched, None, AT)),
        ("payment_failed", paid(1, failed(), retry, AT)),
        ("payment_failed, unlisted", paid(1, failed(), None, WAIT)),
        ("payment_failed, exhausted", paid(1, failed(), retry, Next::AttemptsExhausted)),
        ("payment_failed for good", paid(1, failed(), Some(FailureMeaning::GiveUp), AT)),
        ("payment_reversed", paid(1, PaymentState::Reversed, None, AT)),
        ("other_pending", paid(2, PaymentState::Pending, None, AT)),
        ("other_succeeded", paid(2, PaymentState::Succeeded, None, AT)),
        ("other_failed", paid(2, failed(), retry, AT)),
        ("mandate_ended", DebitFact::MandateEnded),
        ("cancelled", DebitFact::Cancelled),
        ("duplicate", DebitFact::Duplicate { of: debit_id(2) }),
        ("contradictions_resolved", DebitFact::ContradictionsResolved),
    ]
    .map(|(name, fact)| (name, Fact::Debit(fact)));
    check(&table(&debits(), &facts), include_str!("debit.txt"));
}
