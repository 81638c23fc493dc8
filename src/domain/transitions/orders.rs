//! Facts about mandates and debits in every order, told by whomever: what holds all the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::mandates::*;
use super::*;
use crate::domain::debit::{Debit, DebitFact, DebitShare, DebitState, FailureMeaning, NOTICES_MAX, Next, NoticeState, NoticeStatus};
use crate::domain::fact::CONTRADICTIONS_MAX;
use crate::domain::mandate::{Mandate, MandateFact, MandateSnapshot, MandateState, MandateStatus, Registration, TAKEN_CYCLES_MAX};
use crate::domain::upi::Pattern;

/// As the rules have it: one attempt and three more.
const ATTEMPTS_MAX: usize = 4;
const CYCLES: [&str; 2] = [CYCLE, "2026-02"];
const DEBITS_MAX: usize = 4;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// A debit of this cycle is asked for; `exempt`: it takes none.
    Asked {
        cycle: usize,
        exempt: bool,
        auto_execute: bool,
    },
    /// An attempt of this debit is to be made.
    Begin {
        debit: usize,
        claim: bool,
    },
    /// `stray`: it may be about what never was, as no provider should say.
    Debit {
        debit: usize,
        fact: DebitFact,
        evidence: Evidence,
        stray: bool,
    },
    Mandate {
        fact: MandateFact,
        evidence: Evidence,
    },
}

/// A mandate with its debits, each step of which is counted in it.
#[derive(Clone, Debug)]
struct World {
    mandate: Mandate,
    debits: Vec<Debit>,
    /// An operator settled a contradiction of the mandate's: what it said is not seen any more.
    is_resolved: bool,
    /// What a debit adds was not counted, and a contradiction was kept instead.
    is_uncounted: bool,
}

impl World {
    fn of(pattern: Pattern) -> World {
        let mandate = Mandate::requested(header(Kind::Mandate), mandate_order(pattern));
        let mandate = Mandate { state: MandateState::Active, ..mandate };
        World { mandate, debits: Vec::new(), is_resolved: false, is_uncounted: false }
    }

    /// Whether debits may be asked for and begun, as the engine has it.
    fn is_usable(&self) -> bool {
        self.mandate.permits_debits() && self.mandate.header.contradictions.is_empty() && self.mandate.contradicted_debits == 0
    }

    fn happen(&mut self, happening: &Happening) -> Result<(), TestCaseError> {
        match happening {
            Happening::Asked { cycle, exempt, auto_execute } => self.ask(CYCLES[*cycle], *exempt, *auto_execute)?,
            Happening::Begin { debit, claim } => self.begin(*debit, *claim)?,
            Happening::Debit { debit, fact, evidence, stray } => {
                let fact = self.debits.get(*debit).and_then(|debit| fitting(debit, fact, *stray));
                if let Some(fact) = fact {
                    self.tell_debit(*debit, &fact, *evidence)?;
                }
            }
            Happening::Mandate { fact, evidence } => {
                self.is_resolved |= *fact == MandateFact::ContradictionsResolved;
                self.mandate = step_of(&self.mandate, fact, *evidence)?;
            }
        }
        self.check()
    }

    fn ask(&mut self, cycle: &str, exempt: bool, auto_execute: bool) -> Result<(), TestCaseError> {
        let is_taken = !exempt && self.mandate.taker_of(cycle).is_some();
        if !self.is_usable() || is_taken || self.debits.len() == DEBITS_MAX {
            return Ok(());
        }
        let number = u128::try_from(self.debits.len()).unwrap() + 1;
        let debit = asked_debit(number, cycle, !exempt, auto_execute);
        self.count(&DebitShare::default(), &debit, Evidence::Answer)?;
        prop_assert!(!self.is_uncounted || self.is_resolved, "what is permitted can be counted");
        self.debits.push(debit);
        Ok(())
    }

    fn begin(&mut self, index: usize, claim: bool) -> Result<(), TestCaseError> {
        let Some(debit) = self.debits.get(index) else { return Ok(()) };
        let is_held_up = self.mandate.attempt_open.is_some() || !debit.header.contradictions.is_empty();
        let is_permitted = debit.delivered_notice().is_some() && debit.attempts_made() < ATTEMPTS_MAX;
        if !self.is_usable() || is_held_up || !is_permitted || debit.open_attempt().is_some() || debit.state.is_terminal() {
            return Ok(());
        }
        let begun = step_of(debit, &DebitFact::AttemptBegun { claim: claim.then(|| "claim".to_owned()) }, Evidence::Answer)?;
        prop_assert!(begun.open_attempt().is_some(), "what is permitted can be begun: {debit:?}");
        let before = DebitShare::of(debit);
        self.count(&before, &begun, Evidence::Answer)?;
        prop_assert_eq!(self.mandate.attempt_open.as_ref(), Some(&begun.header.id));
        self.debits[index] = begun;
        Ok(())
    }

    fn tell_debit(&mut self, index: usize, fact: &DebitFact, evidence: Evidence) -> Result<(), TestCaseError> {
        let debit = &self.debits[index];
        let next = step_of(debit, fact, evidence)?;
        check_debit_step(debit, fact, &next)?;
        let before = DebitShare::of(debit);
        if before != DebitShare::of(&next) {
            self.count(&before, &next, evidence)?;
        }
        self.debits[index] = next;
        Ok(())
    }

    /// The mandate learns what its debit adds to it.
    fn count(&mut self, before: &DebitShare, debit: &Debit, evidence: Evidence) -> Result<(), TestCaseError> {
        let moved = MandateFact::DebitMoved { debit: debit.header.id.clone(), before: before.clone(), after: DebitShare::of(debit) };
        self.is_uncounted |= self.mandate.learn(&moved, evidence, time(10)).is_err();
        self.mandate = step_of(&self.mandate, &moved, evidence)?;
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mandate = &self.mandate;
        let collected: Vec<&Debit> = self.debits.iter().filter(|debit| debit.state == DebitState::Succeeded).collect();
        prop_assert_eq!(usize::try_from(mandate.debit_count).unwrap(), collected.len());
        let sum = collected.iter().map(|debit| debit.order.amount.paise()).sum::<i64>();
        prop_assert_eq!(mandate.amount_debited.paise(), sum);

        let holders: BTreeSet<(String, Id)> =
            (self.debits.iter()).filter_map(|debit| DebitShare::of(debit).cycle.map(|cycle| (cycle, debit.header.id.clone()))).collect();
        let taken: BTreeSet<(String, Id)> = mandate.taken.iter().map(|taken| (taken.cycle.clone(), taken.debit.clone())).collect();
        prop_assert_eq!(&taken, &holders);
        prop_assert_eq!(taken.len(), mandate.taken.len(), "a cycle is taken once by each");
        for taken in &mandate.taken {
            let debit = self.debits.iter().find(|debit| debit.header.id == taken.debit).unwrap();
            prop_assert_eq!(taken.succeeded, debit.state == DebitState::Succeeded);
        }
        let cycles: BTreeSet<&String> = holders.iter().map(|(cycle, _)| cycle).collect();
        let is_silent = mandate.header.contradictions.is_empty() && !self.is_resolved;
        prop_assert!(cycles.len() == holders.len() || !is_silent, "two debits take one cycle, and nobody is told");

        let open: Vec<&Id> = self.debits.iter().filter(|debit| debit.open_attempt().is_some()).map(|debit| &debit.header.id).collect();
        prop_assert!(open.len() <= 1 || !is_silent, "attempts of two debits are under way, and nobody is told");
        if let Some(debit) = &mandate.attempt_open {
            prop_assert!(open.contains(&debit), "nothing is under way of the debit that holds the others up");
        } else {
            prop_assert!(open.is_empty() || self.is_uncounted, "an attempt is under way, and no other is held up");
        }
        let contradicted = self.debits.iter().filter(|debit| !debit.header.contradictions.is_empty()).count();
        prop_assert!(usize::try_from(mandate.contradicted_debits).unwrap() == contradicted || self.is_uncounted);

        prop_assert!(!(mandate.state.is_terminal() && mandate.pending_change.is_some()), "an end leaves nothing pending");
        let has_end = matches!(mandate.state, MandateState::Revoked | MandateState::Expired(_) | MandateState::Completed);
        prop_assert_eq!(mandate.end_time.is_some(), has_end);
        Ok(())
    }
}

/// The fact as it can be told of `debit`: of its own notices and attempts, unless it is `stray`.
fn fitting(debit: &Debit, fact: &DebitFact, stray: bool) -> Option<DebitFact> {
    let newest = debit.attempts.len();
    Some(match fact {
        // Each notice has a reference of its own.
        DebitFact::NoticeBegun(_) => DebitFact::NoticeBegun(notice(&format!("n{}", debit.notices.len() + 1))),
        fact if stray => fact.clone(),
        DebitFact::AttemptTaken { .. } | DebitFact::PaymentMoved { .. } if newest == 0 => return None,
        DebitFact::AttemptTaken { payment_ref, order_ref } => {
            DebitFact::AttemptTaken { payment_ref: payment_ref.as_ref().map(|_| format!("pay_{newest}")), order_ref: order_ref.clone() }
        }
        DebitFact::PaymentMoved { payment, to, failed, next, .. } => {
            let wanted = (1..5).find(|number| payment_id(*number) == *payment).unwrap_or(1);
            let number = u128::try_from(newest).unwrap().min(wanted);
            let (payment, payment_ref) = (payment_id(number), format!("pay_{number}"));
            DebitFact::PaymentMoved { payment, payment_ref, to: to.clone(), failed: failed.clone(), next: *next }
        }
        fact => fact.clone(),
    })
}

/// A record of a kind of its own, as the engine lets it learn: a fact that contradicts it is kept beside it.
trait Learns: Clone + PartialEq + std::fmt::Debug {
    type Fact;
    fn wrap(&self) -> Record;
    fn fact(fact: &Self::Fact) -> Fact;
    fn unwrap(record: Record) -> Self;
    fn check_end(&self, fact: &Self::Fact, after: &Self) -> Result<(), TestCaseError>;
}

impl Learns for Debit {
    type Fact = DebitFact;

    fn wrap(&self) -> Record {
        Record::Debit(self.clone())
    }

    fn fact(fact: &DebitFact) -> Fact {
        Fact::Debit(fact.clone())
    }

    fn unwrap(record: Record) -> Debit {
        let Record::Debit(debit) = record else { panic!("a debit stays a debit") };
        debit
    }

    fn check_end(&self, fact: &DebitFact, after: &Debit) -> Result<(), TestCaseError> {
        // The one late edge.
        let is_late_success = matches!(self.state, DebitState::Failed(_)) && after.state == DebitState::Succeeded;
        if is_late_success {
            prop_assert!(matches!(fact, DebitFact::PaymentMoved { to: PaymentState::Succeeded, .. }), "{fact:?}");
        } else {
            prop_assert_eq!(&after.state, &self.state);
        }
        Ok(())
    }
}

impl Learns for Mandate {
    type Fact = MandateFact;

    fn wrap(&self) -> Record {
        Record::Mandate(self.clone())
    }

    fn fact(fact: &MandateFact) -> Fact {
        Fact::Mandate(fact.clone())
    }

    fn unwrap(record: Record) -> Mandate {
        let Record::Mandate(mandate) = record else { panic!("a mandate stays a mandate") };
        mandate
    }

    fn check_end(&self, _: &MandateFact, after: &Mandate) -> Result<(), TestCaseError> {
        prop_assert_eq!(&after.state, &self.state);
        prop_assert_eq!(after.end_time, self.end_time);
        Ok(())
    }
}

/// What the record is after the fact, with what holds of every step.
fn step_of<R: Learns>(before: &R, fact: &R::Fact, evidence: Evidence) -> Result<R, TestCaseError> {
    let record = before.wrap();
    let after = match record.learn(&R::fact(fact), evidence, time(10)) {
        Ok(Learned::Moved(after, _)) => after,
        Ok(Learned::AlreadyKnown | Learned::AskFirst) => return Ok(before.clone()),
        Err(contradiction) => match record.contradicted(&contradiction) {
            Some((after, _)) => after,
            None => return Ok(before.clone()),
        },
    };
    prop_assert_eq!(after.header().revision, record.header().revision + 1);
    prop_assert_eq!(after.id(), record.id());
    prop_assert!(after.header().update_time >= record.header().update_time);
    prop_assert!(after.header().contradictions.len() <= CONTRADICTIONS_MAX);
    let after = R::unwrap(after);
    if record.is_terminal() {
        before.check_end(fact, &after)?;
    }
    Ok(after)
}

fn check_debit_step(before: &Debit, fact: &DebitFact, after: &Debit) -> Result<(), TestCaseError> {
    let open = after.attempts.iter().filter(|attempt| attempt.is_open()).count();
    prop_assert!(open <= 1);
    prop_assert_eq!(open == 1, after.open_attempt().is_some(), "only the newest attempt is open");
    prop_assert!(after.attempts.len() <= ATTEMPTS_MAX && after.attempts_made() <= ATTEMPTS_MAX);
    prop_assert!(after.notices.len() <= NOTICES_MAX);
    for attempt in &after.attempts {
        prop_assert!(!(attempt.is_open() && attempt.failure.is_some()), "what failed has ended");
    }
    // Each payment is of one attempt.
    let named: Vec<&Id> = after.attempts.iter().filter_map(|attempt| attempt.payment.as_ref()).collect();
    prop_assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len());

    let collected = |debit: &Debit| -> Vec<Option<Id>> {
        let ended_well = debit.attempts.iter().filter(|attempt| attempt.end.is_some() && attempt.failure.is_none());
        ended_well.map(|attempt| attempt.payment.clone()).collect()
    };
    if after.state == DebitState::Succeeded {
        prop_assert!(after.payment.is_some() && collected(after).contains(&after.payment));
        if before.state == DebitState::Succeeded {
            prop_assert_eq!(&after.payment, &before.payment, "it succeeded by one payment");
        }
    } else if after.state == DebitState::Cancelled {
        let is_told = after.header.contradictions.len() > before.header.contradictions.len()
            || after.header.contradictions.len() == CONTRADICTIONS_MAX;
        prop_assert!(collected(after) == collected(before) || is_told, "money came of what was cancelled, and nobody is told");
    } else {
        prop_assert_eq!(collected(after).len(), 0, "money came, and the debit does not say so");
    }
    if collected(after).len() > 1 && collected(after) != collected(before) {
        let is_told = after.header.contradictions.len() == CONTRADICTIONS_MAX
            || after.header.contradictions.iter().any(|kept| kept.message.contains("two payments"));
        prop_assert!(is_told, "two payments, and nobody is told");
    }

    match after.state {
        DebitState::Requested => prop_assert!(after.delivered_notice().is_none() && after.attempts.is_empty(), "{fact:?}"),
        DebitState::Notified | DebitState::Scheduled => {
            prop_assert!(after.delivered_notice().is_some() && after.attempts.is_empty());
            prop_assert_eq!(after.state == DebitState::Scheduled, after.order.auto_execute);
        }
        DebitState::Executing => prop_assert!(!after.attempts.is_empty()),
        // Only what never reached the provider is cancelled, as far as was known then.
        DebitState::Cancelled => prop_assert!(after.attempts_made() == 0 || before.state == DebitState::Cancelled),
        DebitState::Succeeded | DebitState::Failed(_) => {}
    }
    if after.state.is_terminal() || open > 0 {
        prop_assert_eq!((after.next_permitted_time, after.next_step_time), (None, None), "something follows: {:?}", fact);
    }
    // Nothing is left lying: an attempt or a notice is waited for, or it is known when something follows.
    let is_notice_open = after.notice().is_some_and(|notice| matches!(notice.state, NoticeState::Asked | NoticeState::Taken));
    if !after.state.is_terminal() && open == 0 && !is_notice_open && after.state != DebitState::Notified {
        let is_told = !after.order.auto_execute && after.next_permitted_time.is_some();
        prop_assert!(after.next_step_time.is_some() || is_told, "nothing follows: {:?}", fact);
    }
    // Whoever waits for his time waits for the right one: only what tells of the time or of a notice changes it.
    let tells_the_time = matches!(
        fact,
        DebitFact::Rescheduled(_)
            | DebitFact::NoticeSeen { .. }
            | DebitFact::NoticeBegun(_)
            | DebitFact::NoticeRefused { .. }
            | DebitFact::NoticeNotSent { .. }
            | DebitFact::NoticeAbsent { .. }
    );
    let waits = |debit: &Debit| matches!(debit.state, DebitState::Notified | DebitState::Scheduled);
    if waits(before) && waits(after) && !tells_the_time {
        prop_assert_eq!(after.next_step_time, before.next_step_time);
    }
    Ok(())
}

fn some_evidence() -> impl Strategy<Value = Evidence> {
    select(vec![Evidence::Signature, Evidence::Enquiry, Evidence::UrlSecret, Evidence::Answer, Evidence::Operator, Evidence::Unproven])
}

fn some_next() -> impl Strategy<Value = Next> {
    prop_oneof![24 => Just(AT), 12 => Just(WAIT), 1 => Just(Next::WindowMissed), 1 => Just(Next::AttemptsExhausted)]
}

fn some_meaning() -> impl Strategy<Value = FailureMeaning> {
    prop_oneof![12 => Just(FailureMeaning::Retry), 8 => Just(FailureMeaning::MayComeLate), 1 => Just(FailureMeaning::GiveUp)]
}

fn some_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(select(vec!["pay_1".to_owned(), "pay_2".to_owned()]))
}

fn some_payment() -> impl Strategy<Value = DebitFact> {
    let state = prop_oneof![
        2 => Just(PaymentState::Pending),
        2 => Just(PaymentState::Authorized),
        3 => Just(PaymentState::Succeeded),
        1 => Just(PaymentState::Mismatched),
        10 => Just(PaymentState::Failed(failure())),
        1 => Just(PaymentState::Reversed),
    ];
    // More often than not it is the newest attempt's.
    let number = prop_oneof![1 => Just(4_u128), 1 => 1..5_u128];
    (number, state, prop::option::of(some_meaning()), some_next()).prop_map(|(number, to, meaning, next)| paid(number, to, meaning, next))
}

fn some_notice() -> impl Strategy<Value = DebitFact> {
    let words = || ("CODE".to_owned(), "words".to_owned());
    let our_ref = || (1..4_u8).prop_map(|number| format!("n{number}"));
    let status = prop_oneof![
        2 => Just(NoticeStatus::Pending),
        4 => prop::option::of((-5..20_i64).prop_map(time)).prop_map(|at| NoticeStatus::Delivered { at }),
        2 => Just(NoticeStatus::Failed { code: words().0, message: words().1 }),
    ];
    prop_oneof![
        16 => (our_ref(), status, some_next(), any::<bool>()).prop_map(|(our_ref, status, next, is_named)| {
            let mut seen = notice_seen(&our_ref, status, next);
            if let DebitFact::NoticeSeen { snapshot, .. } = &mut seen {
                snapshot.provider_ref = snapshot.provider_ref.take().filter(|_| is_named);
            }
            seen
        }),
        1 => our_ref().prop_map(move |our_ref| DebitFact::NoticeRefused { our_ref, code: words().0, message: words().1 }),
        1 => our_ref().prop_map(move |our_ref| DebitFact::NoticeNotSent { our_ref, message: words().1 }),
        2 => our_ref().prop_map(|our_ref| DebitFact::NoticeAbsent { our_ref }),
        2 => Just(DebitFact::NoticeBegun(notice("n"))),
    ]
}

fn some_debit_fact() -> impl Strategy<Value = DebitFact> {
    prop_oneof![
        10 => some_payment(),
        8 => some_notice(),
        2 => some_next().prop_map(DebitFact::Rescheduled),
        4 => (some_text(), some_text()).prop_map(|(payment_ref, order_ref)| DebitFact::AttemptTaken { payment_ref, order_ref }),
        2 => (some_meaning(), some_next())
            .prop_map(|(meaning, next)| DebitFact::AttemptRefused { failed: attempt_failure(meaning), next }),
        2 => some_next().prop_map(|next| DebitFact::AttemptNotSent { message: "words".to_owned(), next }),
        1 => Just(DebitFact::AttemptLost),
        2 => some_next().prop_map(|next| DebitFact::AttemptAbsent { next }),
        1 => select(vec![
            DebitFact::MandateEnded,
            DebitFact::Cancelled,
            DebitFact::Duplicate { of: debit_id(9) },
        ]),
        2 => Just(DebitFact::ContradictionsResolved),
    ]
}

fn some_mandate_fact() -> impl Strategy<Value = MandateFact> {
    let words = || ("CODE".to_owned(), "words".to_owned());
    let status = select(vec![
        MandateStatus::AwaitingApproval,
        MandateStatus::Active,
        MandateStatus::Active,
        MandateStatus::Paused,
        MandateStatus::Revoking,
        MandateStatus::Revoked,
        MandateStatus::Rejected { code: words().0, message: words().1 },
        MandateStatus::Expired,
        MandateStatus::Completed,
        MandateStatus::Undecided,
    ]);
    let name = |text: &str| prop::option::of(Just(text.to_owned()));
    let seen = (status, name("ref_1"), name("order_1"), name("umn"), prop::option::of((-5..20_i64).prop_map(time)));
    let seen = seen.prop_map(|(status, provider_ref, registration_ref, umn, end_time)| {
        MandateFact::Seen(MandateSnapshot { provider_ref, registration_ref, umn, end_time, ..MandateSnapshot::of(status) })
    });
    let claim = select(vec!["c".to_owned(), "d".to_owned()]);
    prop_oneof![
        12 => seen,
        2 => claim.prop_map(|claim| MandateFact::RevokeAsked { claim }),
        2 => select(vec![
            MandateFact::RevokeRefused { code: words().0, message: words().1 },
            MandateFact::RevokeNotMade,
            MandateFact::RevokeNotSent,
        ]),
        2 => select(vec!["order_1", "order_2"]).prop_map(|order| {
            MandateFact::Registered(Registration { provider_ref: order.to_owned(), customer_ref: None, amount: None })
        }),
        2 => select(vec![
            MandateFact::Refused { code: words().0, message: words().1 },
            MandateFact::NotSent { message: words().1 },
            MandateFact::Absent,
            MandateFact::Duplicate { of: Id::new(Kind::Mandate, Partition(1), 2, 2) },
            MandateFact::ApprovalOverdue,
            MandateFact::ValidityOver,
        ]),
        2 => Just(MandateFact::ContradictionsResolved),
    ]
}

fn some_happening() -> impl Strategy<Value = Happening> {
    // One of them gets far.
    let debit = || prop_oneof![2 => Just(0), 1 => 0..DEBITS_MAX];
    prop_oneof![
        6 => (0..CYCLES.len(), prop::bool::weighted(0.1), prop::bool::weighted(0.8))
            .prop_map(|(cycle, exempt, auto_execute)| Happening::Asked { cycle, exempt, auto_execute }),
        16 => (debit(), any::<bool>()).prop_map(|(debit, claim)| Happening::Begin { debit, claim }),
        48 => (debit(), some_debit_fact(), some_evidence(), prop::bool::weighted(0.05))
            .prop_map(|(debit, fact, evidence, stray)| Happening::Debit { debit, fact, evidence, stray }),
        1 => (some_mandate_fact(), some_evidence()).prop_map(|(fact, evidence)| Happening::Mandate { fact, evidence }),
        2 => Just(Happening::Mandate { fact: MandateFact::ContradictionsResolved, evidence: Evidence::Operator }),
    ]
}

fn some_world() -> impl Strategy<Value = (Pattern, Vec<Happening>)> {
    (select(vec![Pattern::Monthly, Pattern::Monthly, Pattern::OneTime]), prop::collection::vec(some_happening(), 1..120))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn whatever_debits_are_told_in_whatever_order_their_mandate_counts_them((pattern, happenings) in some_world()) {
        let mut world = World::of(pattern);
        for happening in &happenings {
            world.happen(happening)?;
        }
        for record in world.debits.into_iter().map(Record::Debit).chain([Record::Mandate(world.mandate)]) {
            let stored = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Record>(&stored).unwrap(), record, "what is stored is read again");
        }
    }

    #[test]
    fn a_mandate_goes_forward_only(facts in prop::collection::vec((some_mandate_fact(), some_evidence()), 1..40)) {
        let mandate = Mandate::requested(Header { provider_ref: None, ..header(Kind::Mandate) }, mandate_order(Pattern::Monthly));
        let mut world = World { mandate, ..World::of(Pattern::Monthly) };
        for (fact, evidence) in facts {
            let was = world.mandate.state.clone();
            world.happen(&Happening::Mandate { fact: fact.clone(), evidence })?;
            let is = &world.mandate.state;
            let rank = |state: &MandateState| match state {
                MandateState::Requested => 0,
                MandateState::AwaitingApproval => 1,
                MandateState::Active | MandateState::Paused => 2,
                _ => 3,
            };
            prop_assert!(rank(&was) <= rank(is), "{:?}: {was:?} to {is:?}", fact);
            // What stood is believed to stand again only after a fresh look.
            if was == MandateState::Paused && *is == MandateState::Active {
                prop_assert!(evidence.is_fresh());
            }
            prop_assert!(*is != MandateState::Active || world.mandate.approve_time.is_some());
        }
    }
}

/// The orders above lead everywhere, so that what holds in them means something.
#[test]
fn the_orders_reach_every_state() {
    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..1_024 {
        let (pattern, happenings) = some_world().new_tree(&mut runner).unwrap().current();
        let mut world = World::of(pattern);
        for happening in &happenings {
            let before = world.clone();
            world.happen(happening).unwrap();
            for (index, debit) in world.debits.iter().enumerate() {
                reached.insert(debit.state.name());
                let was_failed = before.debits.get(index).is_some_and(|before| matches!(before.state, DebitState::Failed(_)));
                if was_failed && debit.state == DebitState::Succeeded {
                    reached.insert("late success");
                }
                if debit.attempts_made() == ATTEMPTS_MAX {
                    reached.insert("all attempts");
                }
                if debit.state == DebitState::Succeeded && debit.open_attempt().is_some() {
                    reached.insert("succeeded beside an attempt");
                }
            }
            let cycles: BTreeSet<&String> = world.mandate.taken.iter().map(|taken| &taken.cycle).collect();
            if cycles.len() < world.mandate.taken.len() {
                reached.insert("two in a cycle");
            }
            if world.is_uncounted {
                reached.insert("uncounted");
            }
            if world.mandate.state == MandateState::Completed {
                reached.insert("completed");
            }
        }
    }
    let all = BTreeSet::from([
        "requested",
        "notified",
        "scheduled",
        "executing",
        "succeeded",
        "failed",
        "cancelled",
        "late success",
        "all attempts",
        "succeeded beside an attempt",
        "two in a cycle",
        "completed",
    ]);
    assert_eq!(reached, all);
}

/// A debit in the cycle of this number.
fn of_cycle(number: usize) -> (Id, DebitShare) {
    let waiting = DebitShare { cycle: Some(format!("cycle-{number:04}")), ..DebitShare::default() };
    (debit_id(u128::try_from(number).unwrap() + 1), waiting)
}

fn counted(mandate: &Mandate, debit: &Id, before: &DebitShare, after: &DebitShare) -> Mandate {
    let moved = MandateFact::DebitMoved { debit: debit.clone(), before: before.clone(), after: after.clone() };
    match mandate.learn(&moved, Evidence::Answer, time(10)) {
        Ok(Learned::Moved(next, _)) => next,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mandate_forgets_the_cycles_of_its_oldest_successes_only() {
    let mut mandate = World::of(Pattern::Daily).mandate;
    for number in 0..3 * TAKEN_CYCLES_MAX {
        let (debit, waiting) = of_cycle(number);
        let collected = DebitShare { collected: Some(AMOUNT), ..waiting.clone() };
        mandate = counted(&mandate, &debit, &DebitShare::default(), &waiting);
        mandate = counted(&mandate, &debit, &waiting, &collected);
        assert!(mandate.taken.len() <= TAKEN_CYCLES_MAX);
    }
    let newest = 2 * TAKEN_CYCLES_MAX..3 * TAKEN_CYCLES_MAX;
    assert!(newest.map(|number| of_cycle(number).1.cycle.unwrap()).all(|cycle| mandate.taker_of(&cycle).is_some()));
    assert_eq!(mandate.debit_count, 3 * u64::try_from(TAKEN_CYCLES_MAX).unwrap());
}

#[test]
fn debits_of_later_cycles_do_not_make_it_forget_the_one_that_was_just_collected() {
    let mut mandate = World::of(Pattern::Daily).mandate;
    let (today, waiting) = of_cycle(0);
    mandate = counted(&mandate, &today, &DebitShare::default(), &waiting);
    for number in 1..=TAKEN_CYCLES_MAX {
        let (debit, waiting) = of_cycle(number);
        mandate = counted(&mandate, &debit, &DebitShare::default(), &waiting);
    }
    let collected = DebitShare { collected: Some(AMOUNT), ..waiting.clone() };
    mandate = counted(&mandate, &today, &waiting, &collected);
    assert!(mandate.taker_of("cycle-0000").is_some_and(|taken| taken.succeeded), "a second debit of this cycle would be permitted");
    for number in 1..=TAKEN_CYCLES_MAX {
        let (debit, waiting) = of_cycle(number);
        mandate = counted(&mandate, &debit, &waiting, &DebitShare::default());
    }
    assert_eq!(mandate.taken.len(), 1, "what ended without success is forgotten");
}
