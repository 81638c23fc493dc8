//! How records and events are stored, pinned as files: what this release writes, and what it must read for ever.
//!
//! A file here changes only together with the format's version. `UPISTREAM_GOLDEN=write` writes those that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use upistream::domain::account::ProviderId;
use upistream::domain::debit::DebitState;
use upistream::domain::event::{Event, EventKind, Record};
use upistream::domain::fact::{Cause, ChangeFailure, ChangeOperation, Contradiction, Evidence, Failure, FailureReason, PendingChange};
use upistream::domain::header::Header;
use upistream::domain::id::{Id, Kind, Partition};
use upistream::domain::mandate::MandateState;
use upistream::domain::money::Money;
use upistream::domain::payment::{Payer, Payment, PaymentState, RefundTotals};
use upistream::domain::personal::{Email, Phone, Vpa};
use upistream::domain::qr::{CloseReason, Qr, QrCode, QrOrder, QrState, Usage};
use upistream::domain::refund::{Refund, RefundOrigin, RefundSpeed, RefundState, Settled};
use upistream::domain::settlement::{
    BreakKind, EntriesRead, EntryKind, Settlement, SettlementBreak, SettlementEntry, SettlementLine, SettlementState,
};
use upistream::store::record;

mod mandates;

const MS: u64 = 1_767_240_000_000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/records/v1")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(MS).unwrap() + seconds * 1_000).unwrap()
}

fn id(kind: Kind, number: u128) -> Id {
    Id::new(kind, Partition(7), MS, number)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A header with everything that can be in it.
fn full_header(kind: Kind) -> Header {
    Header {
        id: id(kind, 1),
        account: "shop".parse().unwrap(),
        provider: ProviderId::Razorpay,
        provider_ref: Some(text("ref_AtProvider00001")),
        our_ref: Some(text("u1abcdefghijklmnopqrstuvwxyz0123456")),
        revision: 3,
        reference: text("order 4711 / ₹"),
        labels: pairs(&[("shift", "night"), ("till", "4")]),
        create_time: at(0),
        update_time: at(60),
        contradictions: vec![Contradiction {
            fact: text("seen_failed"),
            evidence: Evidence::Enquiry,
            message: text("the provider shows a failure of what succeeded"),
            time: at(59),
        }],
        claim: Some(text("local\nshop\nCreateQr\nkey-1")),
        operator_note: Some(text("looked at the dashboard")),
        traceparent: None,
        has_unknown_parts: false,
    }
}

/// A header with as little as there can be.
fn bare_header(kind: Kind) -> Header {
    Header {
        provider_ref: None,
        our_ref: None,
        revision: 1,
        reference: String::new(),
        labels: BTreeMap::new(),
        update_time: at(0),
        contradictions: Vec::new(),
        claim: None,
        operator_note: None,
        has_unknown_parts: false,
        ..full_header(kind)
    }
}

fn failure(reason: FailureReason) -> Failure {
    Failure { reason, message: text("it failed"), provider_code: text("BAD_REQUEST_ERROR"), provider_message: text("in their words") }
}

fn full_qr() -> Qr {
    Qr {
        header: full_header(Kind::Qr),
        state: QrState::Active,
        order: QrOrder {
            usage: Usage::SingleUse,
            amount: Some(Money::from_paise(49_900)),
            name: text("Chai"),
            description: text("two cups"),
            expire_time: Some(at(7_200)),
            notes: pairs(&[("table", "12")]),
            customer: None,
        },
        code: Some(QrCode {
            upi_link: text("upi://pay?pa=shop@examplebank&am=499.00"),
            image_url: text("https://example.com/qr.png"),
            expire_time: Some(at(7_199)),
            attempt_ref: None,
            picture: None,
        }),
        pending_change: Some(PendingChange {
            operation: ChangeOperation::Close,
            since: at(50),
            claim: text("local\nshop\nCloseQr\nkey-2"),
        }),
        change_failure: Some(ChangeFailure::Refused { code: text("BAD_REQUEST_ERROR"), message: text("no") }),
        received: Money::from_paise(49_900),
        payment_count: 1,
        duplicate_of: Some(id(Kind::Qr, 2)),
        stray: false,
    }
}

fn bare_qr() -> Qr {
    let order = QrOrder {
        usage: Usage::MultipleUse,
        amount: None,
        name: String::new(),
        description: String::new(),
        expire_time: None,
        notes: BTreeMap::new(),
        customer: None,
    };
    Qr::requested(bare_header(Kind::Qr), order)
}

fn full_payment() -> Payment {
    Payment {
        header: full_header(Kind::Payment),
        state: PaymentState::Succeeded,
        qr: Some(id(Kind::Qr, 1)),
        debit: None,
        mandate: None,
        expected: Some(Money::from_paise(49_900)),
        amount: Money::from_paise(49_900),
        fee: Some(Money::from_paise(1_178)),
        tax: Some(Money::from_paise(180)),
        refunded: Money::from_paise(100),
        refunds: RefundTotals::default(),
        refunded_explained: None,
        settled: None,
        rrn: Some(text("601234567890")),
        upi_transaction_id: Some(text("AXI1234567890")),
        payer: Payer {
            vpa: Some(Vpa::parse("asha.rao@examplebank").unwrap()),
            phone: Some(Phone::parse("+919812345610").unwrap()),
            email: Some(Email::parse("asha@example.com").unwrap()),
        },
        pay_time: at(58),
        reported: true,
        credit: None,
        expected_payee: None,
        payee: None,
        provider_statuses: Vec::new(),
    }
}

fn bare_payment() -> Payment {
    Payment {
        header: bare_header(Kind::Payment),
        state: PaymentState::Pending,
        qr: None,
        expected: None,
        fee: None,
        tax: None,
        refunded: Money::ZERO,
        rrn: None,
        upi_transaction_id: None,
        payer: Payer::default(),
        reported: false,
        ..full_payment()
    }
}

fn settled() -> Settled {
    Settled { entry: id(Kind::SettlementEntry, 4), settlement: Some(id(Kind::Settlement, 3)), at: at(90) }
}

fn settled_payment() -> Payment {
    let refunds = RefundTotals { pending: Money::from_paise(40), succeeded: Money::from_paise(60), contradicted: 1 };
    Payment { refunds, refunded_explained: Some(Money::from_paise(300)), settled: Some(settled()), ..full_payment() }
}

fn full_refund() -> Refund {
    Refund {
        header: full_header(Kind::Refund),
        state: RefundState::Succeeded,
        origin: RefundOrigin::Ours,
        payment: id(Kind::Payment, 1),
        payment_ref: text("pay_Pz4kQ1xV7mT2Ld"),
        amount: Money::from_paise(12_000),
        speed_requested: Some(RefundSpeed::Instant),
        speed_processed: Some(RefundSpeed::Normal),
        description: text("damaged"),
        notes: pairs(&[("case", "7")]),
        rrn: Some(text("600298765432")),
        arn: Some(text("10000000000000")),
        process_time: Some(at(70)),
        fee: Some(Money::from_paise(590)),
        tax: Some(Money::from_paise(90)),
        refunded_before: Money::from_paise(100),
        duplicate_of: Some(id(Kind::Refund, 2)),
        answer_lost: true,
        settled: Some(settled()),
    }
}

fn bare_refund() -> Refund {
    Refund {
        header: bare_header(Kind::Refund),
        state: RefundState::Requested,
        origin: RefundOrigin::Provider,
        speed_requested: None,
        speed_processed: None,
        rrn: None,
        arn: None,
        process_time: None,
        fee: None,
        tax: None,
        duplicate_of: None,
        answer_lost: false,
        settled: None,
        ..full_refund()
    }
}

fn full_settlement() -> Settlement {
    Settlement {
        header: full_header(Kind::Settlement),
        state: SettlementState::Processed,
        amount: Money::from_paise(31_938),
        fee: Money::from_paise(10),
        tax: Money::from_paise(2),
        utr: Some(text("EXMPN26003000123")),
        settle_time: Some(at(80)),
        entries: EntriesRead { count: 2, net: Money::from_paise(31_938), complete: true },
    }
}

fn full_line() -> SettlementLine {
    SettlementLine {
        kind: EntryKind::Payment,
        entity_ref: text("pay_Pz4kQ1xV7mT2Ld"),
        payment_ref: Some(text("pay_Pz4kQ1xV7mT2Le")),
        settlement_ref: Some(text("setl_Pz9fS4jE2uW0Mx")),
        gross: Money::from_paise(45_000),
        fee: Money::from_paise(1_062),
        tax: Money::from_paise(162),
        net: Money::from_paise(43_938),
        utr: Some(text("EXMPN26003000123")),
        transact_time: Some(at(10)),
        settle_time: Some(at(80)),
        description: text("Order 381"),
        foreign: false,
        other_product: false,
    }
}

fn full_entry() -> SettlementEntry {
    SettlementEntry {
        id: id(Kind::SettlementEntry, 4),
        line: full_line(),
        settlement: Some(id(Kind::Settlement, 3)),
        payment: Some(id(Kind::Payment, 1)),
        refund: Some(id(Kind::Refund, 2)),
        day: Some(jiff::civil::date(2026, 1, 5)),
        ordinal: 1,
        pass: 7,
        create_time: at(90),
    }
}

fn full_break() -> SettlementBreak {
    SettlementBreak {
        header: full_header(Kind::SettlementBreak),
        kind: BreakKind::AmountDiffers,
        settlement: Some(id(Kind::Settlement, 3)),
        entry: Some(id(Kind::SettlementEntry, 4)),
        payment: Some(id(Kind::Payment, 1)),
        refund: Some(id(Kind::Refund, 2)),
        subject_ref: Some(text("pay_Pz4kQ1xV7mT2Ld")),
        our_amount: Some(Money::from_paise(45_000)),
        provider_amount: Some(Money::from_paise(45_001)),
        message: text("the two differ"),
        close_time: None,
    }
}

fn refund(state: RefundState) -> Record {
    Record::Refund(Refund { state, ..full_refund() })
}

fn settlement(state: SettlementState) -> Record {
    Record::Settlement(Settlement { state, ..full_settlement() })
}

fn qr(state: QrState) -> Record {
    Record::Qr(Qr { state, ..full_qr() })
}

fn payment(state: PaymentState) -> Record {
    Record::Payment(Payment { state, ..full_payment() })
}

/// What an event of this kind is about. Exhaustive: a new kind needs a file.
fn record_of(kind: EventKind) -> Record {
    match kind {
        EventKind::QrRequested => qr(QrState::Requested),
        EventKind::QrActivated | EventKind::QrChangeRequested | EventKind::QrChangeSettled | EventKind::QrUpdated => qr(QrState::Active),
        EventKind::QrClosed => qr(QrState::Closed { reason: Some(CloseReason::Paid), at: at(60) }),
        EventKind::QrContradicted => qr(QrState::Closed { reason: None, at: at(60) }),
        EventKind::QrFailed => qr(QrState::Failed(failure(FailureReason::ProviderRefused))),
        EventKind::PaymentPending => payment(PaymentState::Pending),
        EventKind::PaymentAuthorized => payment(PaymentState::Authorized),
        EventKind::PaymentSucceeded | EventKind::PaymentUpdated | EventKind::PaymentContradicted => payment(PaymentState::Succeeded),
        EventKind::PaymentMismatched => payment(PaymentState::Mismatched),
        EventKind::PaymentFailed => payment(PaymentState::Failed(failure(FailureReason::ProviderFailed))),
        EventKind::PaymentReversed => payment(PaymentState::Reversed),
        EventKind::PaymentSettled => Record::Payment(settled_payment()),
        EventKind::RefundRequested => refund(RefundState::Requested),
        EventKind::RefundPending => refund(RefundState::Pending),
        EventKind::RefundSucceeded | EventKind::RefundUpdated | EventKind::RefundContradicted => refund(RefundState::Succeeded),
        EventKind::RefundFailed => refund(RefundState::Failed(failure(FailureReason::ProviderFailed))),
        EventKind::MandateRequested => mandates::mandate(MandateState::Requested),
        EventKind::MandateAwaitingApproval => mandates::mandate(MandateState::AwaitingApproval),
        EventKind::MandateActivated
        | EventKind::MandateResumed
        | EventKind::MandateChangeRequested
        | EventKind::MandateChangeSettled
        | EventKind::MandateUpdated
        | EventKind::MandateContradicted => mandates::mandate(MandateState::Active),
        EventKind::MandatePaused => mandates::mandate(MandateState::Paused),
        EventKind::MandateRevoked => mandates::mandate(MandateState::Revoked),
        EventKind::MandateRejected => mandates::mandate(MandateState::Rejected(failure(FailureReason::PayerDeclined))),
        EventKind::MandateExpired => mandates::mandate(MandateState::Expired(Some(failure(FailureReason::ApprovalExpired)))),
        EventKind::MandateCompleted => mandates::mandate(MandateState::Completed),
        EventKind::MandateFailed => mandates::mandate(MandateState::Failed(failure(FailureReason::ProviderRefused))),
        EventKind::DebitRequested => mandates::debit(DebitState::Requested),
        EventKind::DebitNotified => mandates::debit(DebitState::Notified),
        EventKind::DebitScheduled => mandates::debit(DebitState::Scheduled),
        EventKind::DebitExecuting | EventKind::DebitUpdated | EventKind::DebitContradicted => mandates::debit(DebitState::Executing),
        EventKind::DebitSucceeded => mandates::debit(DebitState::Succeeded),
        EventKind::DebitFailed => mandates::debit(DebitState::Failed(failure(FailureReason::AttemptsExhausted))),
        EventKind::DebitCancelled => mandates::debit(DebitState::Cancelled),
        EventKind::SettlementCreated => settlement(SettlementState::Created),
        EventKind::SettlementProcessed | EventKind::SettlementUpdated | EventKind::SettlementContradicted => {
            settlement(SettlementState::Processed)
        }
        EventKind::SettlementFailed => settlement(SettlementState::Failed(failure(FailureReason::ProviderFailed))),
        EventKind::SettlementBreakOpened => Record::SettlementBreak(full_break()),
        EventKind::SettlementBreakClosed => Record::SettlementBreak(SettlementBreak { close_time: Some(at(99)), ..full_break() }),
    }
}

fn event(kind: EventKind) -> Event {
    let record = record_of(kind);
    Event {
        id: id(Kind::Event, 9),
        kind,
        cause: Cause::Webhook,
        evidence: Evidence::Signature,
        occur_time: at(58),
        traceparent: Some(text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        terminal: record.is_terminal(),
        record,
    }
}

/// Compares what is written now with the file of this name, and reads the file back.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T, checked: &mut BTreeSet<String>) {
    let path = folder().join(name);
    let written = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var("UPISTREAM_GOLDEN").is_ok_and(|what| what == "write") && !path.exists() {
        fs::create_dir_all(folder()).unwrap();
        fs::write(&path, &written).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{name}: {cause}; it would be\n{written}"));
    assert_eq!(written, pinned, "{name} is written in another form than before");
    assert_eq!(serde_json::from_str::<T>(&pinned).unwrap(), *value, "{name} is read as something else than before");
    // As it is stored: without the spaces, behind the format.
    let stored = record::encode(value).unwrap();
    assert!(stored.starts_with(format!(r#"{{"format":{},"value":"#, record::FORMAT).as_bytes()));
    assert_eq!(record::decode::<T>(&name, &stored).unwrap(), *value);
    checked.insert(name.to_owned());
}

#[test]
fn records_and_events_are_stored_as_they_always_were() {
    let mut checked = BTreeSet::new();
    check("qr.full.json", &Record::Qr(full_qr()), &mut checked);
    check("qr.bare.json", &Record::Qr(bare_qr()), &mut checked);
    check("payment.full.json", &Record::Payment(full_payment()), &mut checked);
    check("payment.bare.json", &Record::Payment(bare_payment()), &mut checked);
    check("refund.full.json", &Record::Refund(full_refund()), &mut checked);
    check("refund.bare.json", &Record::Refund(bare_refund()), &mut checked);
    check("payment.debited.json", &Record::Payment(mandates::debited_payment()), &mut checked);
    check("mandate.full.json", &Record::Mandate(mandates::full_mandate()), &mut checked);
    check("mandate.bare.json", &Record::Mandate(mandates::bare_mandate()), &mut checked);
    check("debit.full.json", &Record::Debit(mandates::full_debit()), &mut checked);
    check("debit.bare.json", &Record::Debit(mandates::bare_debit()), &mut checked);
    check("settlement.full.json", &Record::Settlement(full_settlement()), &mut checked);
    check("settlement_break.full.json", &Record::SettlementBreak(full_break()), &mut checked);
    check("settlement_entry.full.json", &full_entry(), &mut checked);
    for kind in EventKind::ALL {
        check(&format!("event.{}.json", kind.as_str()), &event(*kind), &mut checked);
    }
    let bare = Event { traceparent: None, record: Record::Qr(bare_qr()), ..event(EventKind::QrRequested) };
    check("event.bare.json", &bare, &mut checked);

    // Every word that a record may hold.
    check(
        "words.evidence.json",
        &vec![Evidence::Signature, Evidence::Enquiry, Evidence::UrlSecret, Evidence::Answer, Evidence::Operator],
        &mut checked,
    );
    check("words.cause.json", &vec![Cause::Rpc, Cause::Webhook, Cause::Reconciliation, Cause::Timer, Cause::Operator], &mut checked);
    let reasons = vec![
        FailureReason::ProviderRefused,
        FailureReason::NotSent,
        FailureReason::AbsentAtProvider,
        FailureReason::OperatorDecided,
        FailureReason::DuplicateReference,
        FailureReason::ProviderFailed,
    ];
    check("words.failure_reason.json", &reasons, &mut checked);
    let failures = vec![ChangeFailure::Refused { code: text("C"), message: text("m") }, ChangeFailure::NotMade, ChangeFailure::NotSent];
    check("words.change_failure.json", &failures, &mut checked);
    check("words.close_reason.json", &vec![CloseReason::Cancelled, CloseReason::Paid, CloseReason::Expired], &mut checked);
    let kinds = vec![EntryKind::Payment, EntryKind::Refund, EntryKind::Adjustment];
    check("words.settlement_entry_kind.json", &kinds, &mut checked);
    check("words.settlement_break_kind.json", &BreakKind::ALL.to_vec(), &mut checked);
    check("words.provider.json", &vec![ProviderId::Razorpay, ProviderId::Enkash, ProviderId::Oqpay, ProviderId::Eko], &mut checked);

    mandates::check_words(&mut checked);

    let files: BTreeSet<String> = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, checked, "a file that nothing is compared with");
}

#[test]
fn a_record_that_is_not_known_whole_is_not_read() {
    let pinned = fs::read_to_string(folder().join("event.qr.closed.json")).unwrap();
    for (known, unknown) in
        [("\"qr.closed\"", "\"qr.exploded\""), ("\"Webhook\"", "\"Gossip\""), ("\"Paid\"", "\"Stolen\""), ("\"qr\": {", "\"qx\": {")]
    {
        assert!(pinned.contains(known), "{known}");
        assert!(serde_json::from_str::<Event>(&pinned.replace(known, unknown)).is_err(), "{unknown} is read as something");
    }
}
