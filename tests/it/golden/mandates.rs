//! Mandates, debits, and what is collected by them.

use super::*;
use upistream::domain::debit::{Attempt, AttemptFailure, Debit, DebitOrder, DebitPlan, DebitState, FailureMeaning, Notice, NoticeState};
use upistream::domain::mandate::{Mandate, MandateOrder, MandatePayer, MandateState, Registration, TakenCycle};
use upistream::domain::personal::PersonName;
use upistream::domain::upi::{AmountRule, Day, DayRule, Pattern};

pub fn full_mandate() -> Mandate {
    Mandate {
        header: full_header(Kind::Mandate),
        state: MandateState::Active,
        order: MandateOrder {
            max_amount: Money::from_paise(149_900),
            amount_rule: AmountRule::Max,
            pattern: Pattern::Monthly,
            day: Some(Day { number: 5, rule: DayRule::After }),
            valid_from: at(0),
            valid_until: at(31_536_000),
            block_funds: true,
            revocable: true,
            payer: MandatePayer {
                vpa: Some(Vpa::parse("asha.rao@examplebank").unwrap()),
                name: Some(PersonName::parse("Asha Rao").unwrap()),
                phone: Some(Phone::parse("+919812345610").unwrap()),
                email: Some(Email::parse("asha@example.com").unwrap()),
            },
            purpose: text("14"),
            name: text("Gym"),
            description: text("monthly fee"),
            approval_expire_time: Some(at(3_600)),
            notes: pairs(&[("member", "12")]),
        },
        registration: Some(Registration {
            provider_ref: text("order_Pz4kQ1xV7mT2Ld"),
            customer_ref: Some(text("cust_Pz4kQ1xV7mT2Ld")),
            amount: Some(Money::from_paise(100)),
        }),
        approval_link: text("upi://mandate?pa=shop@examplebank&am=1499.00"),
        approval_expire_time: Some(at(3_599)),
        approve_time: Some(at(40)),
        approved_by: Some(Vpa::parse("asha.rao@examplebank").unwrap()),
        umn: Some(text("0123456789abcdef@examplebank")),
        pending_change: Some(PendingChange {
            operation: ChangeOperation::Revoke,
            since: at(50),
            claim: text("local\nshop\nRevokeMandate\nkey-2"),
        }),
        change_failure: Some(ChangeFailure::Refused { code: text("BAD_REQUEST_ERROR"), message: text("no") }),
        taken: vec![
            TakenCycle { cycle: text("2026-01"), debit: id(Kind::Debit, 1), succeeded: true },
            TakenCycle { cycle: text("2026-02"), debit: id(Kind::Debit, 2), succeeded: false },
        ],
        attempt_open: Some(id(Kind::Debit, 2)),
        debit_count: 1,
        amount_debited: Money::from_paise(49_900),
        contradicted_debits: 1,
        end_time: Some(at(60)),
        duplicate_of: Some(id(Kind::Mandate, 2)),
    }
}

pub fn bare_mandate() -> Mandate {
    let order = MandateOrder {
        amount_rule: AmountRule::Exact,
        pattern: Pattern::OneTime,
        day: None,
        block_funds: false,
        revocable: false,
        payer: MandatePayer::default(),
        description: String::new(),
        approval_expire_time: None,
        notes: BTreeMap::new(),
        ..full_mandate().order
    };
    Mandate::requested(bare_header(Kind::Mandate), order)
}

fn notice(our_ref: &str, state: NoticeState) -> Notice {
    Notice {
        our_ref: text(our_ref),
        provider_ref: Some(text("order_Pz4kQ1xV7mT2Le")),
        sent: at(10),
        debit_time: at(90_000),
        state,
        expires: Some(at(180_000)),
    }
}

pub fn full_debit() -> Debit {
    let failed = |reason, meaning| AttemptFailure { failure: failure(reason), meaning };
    let attempt = Attempt {
        start: at(90_000),
        notice_ref: None,
        end: Some(at(90_010)),
        payment_ref: Some(text("pay_Pz4kQ1xV7mT2Ld")),
        order_ref: Some(text("order_Pz4kQ1xV7mT2Le")),
        payment: Some(id(Kind::Payment, 1)),
        failure: Some(failed(FailureReason::InsufficientFunds, FailureMeaning::Retry)),
        answer_lost: false,
        claim: Some(text("local\nshop\nExecuteDebit\nkey-3")),
    };
    let lost = Attempt {
        end: None,
        payment_ref: None,
        order_ref: None,
        payment: None,
        failure: None,
        answer_lost: true,
        claim: None,
        ..attempt.clone()
    };
    Debit {
        header: full_header(Kind::Debit),
        state: DebitState::Executing,
        mandate: id(Kind::Mandate, 1),
        order: DebitOrder {
            amount: Money::from_paise(49_900),
            auto_execute: true,
            execute_after: Some(at(80_000)),
            description: text("January"),
            notes: pairs(&[("month", "1")]),
        },
        cycle: text("2026-01"),
        takes_cycle: true,
        needs_notice: true,
        notices: vec![
            notice("u1abcdefghijklmnopqrstuvwxyz0123456", NoticeState::Failed(failure(FailureReason::NotificationFailed))),
            notice("u1abcdefghijklmnopqrstuvwxyz0123457", NoticeState::Delivered { at: at(20) }),
        ],
        attempts: vec![attempt, lost],
        requires_payer_approval: true,
        next_permitted_time: Some(at(100_000)),
        next_step_time: Some(at(100_000)),
        notice_wanted: false,
        payment: Some(id(Kind::Payment, 1)),
        duplicate_of: Some(id(Kind::Debit, 2)),
    }
}

pub fn bare_debit() -> Debit {
    let order =
        DebitOrder { auto_execute: false, execute_after: None, description: String::new(), notes: BTreeMap::new(), ..full_debit().order };
    let plan = DebitPlan { cycle: String::new(), takes_cycle: false, requires_payer_approval: false };
    let notice = Notice { provider_ref: None, expires: None, ..notice("u1abcdefghijklmnopqrstuvwxyz0123456", NoticeState::Asked) };
    Debit::requested(bare_header(Kind::Debit), id(Kind::Mandate, 1), order, plan, notice)
}

/// What an event of a mandate or a debit is about.
pub fn mandate(state: MandateState) -> Record {
    Record::Mandate(Mandate { state, ..full_mandate() })
}

pub fn debit(state: DebitState) -> Record {
    Record::Debit(Debit { state, ..full_debit() })
}

/// A payment that was collected by a debit.
pub fn debited_payment() -> Payment {
    Payment { qr: None, debit: Some(id(Kind::Debit, 1)), mandate: Some(id(Kind::Mandate, 1)), ..full_payment() }
}

/// Every word that a mandate or a debit may hold.
pub fn check_words(checked: &mut BTreeSet<String>) {
    let why = || failure(FailureReason::PayerDeclined);
    let states = vec![
        MandateState::Requested,
        MandateState::AwaitingApproval,
        MandateState::Active,
        MandateState::Paused,
        MandateState::Revoked,
        MandateState::Rejected(why()),
        MandateState::Expired(None),
        MandateState::Expired(Some(why())),
        MandateState::Completed,
        MandateState::Failed(why()),
    ];
    check("words.mandate_state.json", &states, checked);
    let states = vec![
        DebitState::Requested,
        DebitState::Notified,
        DebitState::Scheduled,
        DebitState::Executing,
        DebitState::Succeeded,
        DebitState::Failed(why()),
        DebitState::Cancelled,
    ];
    check("words.debit_state.json", &states, checked);
    let states = vec![NoticeState::Asked, NoticeState::Taken, NoticeState::Delivered { at: at(20) }, NoticeState::Failed(why())];
    check("words.notice_state.json", &states, checked);
    let meanings = vec![FailureMeaning::Retry, FailureMeaning::GiveUp, FailureMeaning::MayComeLate];
    check("words.failure_meaning.json", &meanings, checked);
    let reasons = vec![
        FailureReason::PayerDeclined,
        FailureReason::ApprovalExpired,
        FailureReason::InsufficientFunds,
        FailureReason::NotificationFailed,
        FailureReason::AttemptsExhausted,
        FailureReason::WindowMissed,
        FailureReason::MandateNotUsable,
    ];
    check("words.failure_reason.mandates.json", &reasons, checked);
    check("words.pattern.json", &Pattern::ALL.to_vec(), checked);
    check("words.amount_rule.json", &vec![AmountRule::Max, AmountRule::Exact], checked);
    check("words.day_rule.json", &vec![DayRule::On, DayRule::Before, DayRule::After], checked);
    check("words.change_operation.json", &vec![ChangeOperation::Close, ChangeOperation::Revoke], checked);
}
