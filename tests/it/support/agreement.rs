//! What must hold at every moment (the log, the provider's codes) and once all is quiet (our records and the
//! provider's). The provider's side is read as it prints it, not through our adapter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use upistream::domain::id::Partition;
use upistream::grpc::pb;
use upistream::sandbox::Sandbox;

use super::app::{ACCOUNT, App, check_revisions};

/// Which code each payment was made through, by the provider's ids. The provider itself prints that nowhere.
pub type Paid = BTreeMap<String, String>;

/// At every moment: no request of ours made two codes.
pub fn check_no_reference_acted_twice(provider: &Sandbox) {
    let mut seen = BTreeSet::new();
    for code in provider.qr_codes(ACCOUNT).expect("the sandbox knows the account") {
        let reference = code["notes"]["upistream_ref"].as_str().expect("every code of ours carries our reference").to_owned();
        assert!(seen.insert(reference.clone()), "the provider has two codes of the request {reference}");
    }
}

/// At every moment: positions and revisions without gaps, each event once, and states that only go where they may.
/// Answers the log, oldest first.
pub async fn check_log(app: &App) -> Vec<pb::Event> {
    check_positions(app).await;
    let log = app.log().await;
    check_revisions(&log);
    let mut last: BTreeMap<&str, &pb::Event> = BTreeMap::new();
    for event in &log {
        if let Some(before) = last.insert(&event.resource_id, event) {
            check_step(before, event);
        }
    }
    log
}

async fn check_positions(app: &App) {
    let store = app.running.store();
    let partition = Partition::of_account(ACCOUNT, store.identity().partitions);
    let (mut seq, mut ms) = (0, 0);
    loop {
        let page = store.events_after(partition, seq, 1_000).await.expect("the store answers");
        if page.is_empty() {
            return;
        }
        for entry in page {
            assert_eq!(entry.position.seq, seq + 1, "the log has a gap");
            assert!(entry.position.ms >= ms, "the log's time goes back at {}", entry.position);
            (seq, ms) = (entry.position.seq, entry.position.ms);
        }
    }
}

fn check_step(before: &pb::Event, after: &pb::Event) {
    use pb::event::Resource;
    let (id, kind) = (&after.resource_id, &after.r#type);
    match (&before.resource, &after.resource) {
        (Some(Resource::Qr(before)), Some(Resource::Qr(after))) => {
            use pb::QrState::{Active, Closed, Failed, Requested};
            let (from, to) = (before.state(), after.state());
            let may = from == to || matches!((from, to), (Requested, Active | Closed | Failed) | (Active, Closed));
            assert!(may, "{id} went from {from:?} to {to:?} by {kind}");
            let kept = before.provider_ref.is_empty() || before.provider_ref == after.provider_ref;
            assert!(kept, "{id} became another code at the provider by {kind}");
        }
        (Some(Resource::Payment(was)), Some(Resource::Payment(is))) => {
            use pb::PaymentState::{Authorized, Failed, Mismatched, Pending, Reversed, Succeeded};
            let (from, to) = (was.state(), is.state());
            let forward = matches!(
                (from, to),
                (Pending, Authorized | Succeeded | Mismatched | Failed | Reversed) | (Authorized, Succeeded | Mismatched | Reversed)
            );
            let late = matches!((from, to), (Failed, Authorized | Succeeded | Mismatched | Reversed) | (Succeeded | Mismatched, Reversed));
            assert!(from == to || forward || late, "{id} went from {from:?} to {to:?} by {kind}");
            assert!(!late || after.evidence() == pb::Evidence::Enquiry, "{id} went from {from:?} to {to:?} without a fetch");
            assert_eq!(was.amount, is.amount, "{id} has another amount than before");
        }
        (Some(Resource::Refund(was)), Some(Resource::Refund(is))) => {
            use pb::RefundState::{Failed, Pending, Requested, Succeeded};
            let (from, to) = (was.state(), is.state());
            let forward = matches!((from, to), (Requested, Pending | Succeeded | Failed) | (Pending, Succeeded | Failed));
            let late = matches!((from, to), (Failed, Succeeded));
            assert!(from == to || forward || late, "{id} went from {from:?} to {to:?} by {kind}");
            assert!(!late || after.evidence() == pb::Evidence::Enquiry, "{id} went from {from:?} to {to:?} without a fetch");
            assert_eq!((&was.amount, &was.payment_id, was.origin), (&is.amount, &is.payment_id, is.origin), "{id} is another refund");
            let kept = was.provider_ref.is_empty() || was.provider_ref == is.provider_ref;
            assert!(kept, "{id} became another refund at the provider by {kind}");
        }
        (Some(Resource::Settlement(was)), Some(Resource::Settlement(is))) => {
            assert_eq!(was.provider_ref, is.provider_ref, "{id} became another settlement by {kind}");
        }
        (Some(Resource::SettlementBreak(was)), Some(Resource::SettlementBreak(is))) => {
            assert!(was.close_time.is_none() && is.close_time.is_some(), "{id} was closed before");
        }
        _ => panic!("{id} became another kind of resource by {kind}"),
    }
}

/// Once all is quiet: the first thing in which our records, our log and the provider's books differ, or that is
/// still in doubt.
pub async fn difference(app: &App, paid: &Paid) -> Option<String> {
    let doubts = pb::ListDoubtsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    let doubts = app.admin().list_doubts(doubts).await.expect("doubts are listed").into_inner().doubts;
    if let Some(doubt) = doubts.first() {
        return Some(format!("{} are in doubt, such as {doubt:?}", doubts.len()));
    }
    let kept = pb::ListQuarantineRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    let kept = app.admin().list_quarantine(kept).await.expect("kept callbacks are listed").into_inner().entries;
    if let Some(entry) = kept.first() {
        return Some(format!("{} callbacks are kept, such as {entry:?}", kept.len()));
    }
    let (qrs, payments) = (all_qrs(app).await, all_payments(app).await);
    let refunds = all_refunds(app).await;
    of_log(&app.log().await, &qrs, &payments, &refunds)
        .or_else(|| of_refunds(&app.provider, &payments, &refunds))
        .or_else(|| of_codes(&app.provider, &qrs, &payments))
        .or_else(|| of_payments(&app.provider, &qrs, &payments, paid))
}

/// Each record is what its last event says.
fn of_log(log: &[pb::Event], qrs: &[pb::Qr], payments: &[pb::Payment], refunds: &[pb::Refund]) -> Option<String> {
    use pb::event::Resource;
    // Settlements are told by the line; their totals move between two looks.
    let log = log.iter().filter(|event| !event.r#type.starts_with("settlement"));
    let last: BTreeMap<&str, &pb::Event> = log.map(|event| (event.resource_id.as_str(), event)).collect();
    let records = qrs.iter().map(|qr| (&qr.id, Resource::Qr(qr.clone())));
    let records = records.chain(payments.iter().map(|payment| (&payment.id, Resource::Payment(payment.clone()))));
    let mut records = records.chain(refunds.iter().map(|refund| (&refund.id, Resource::Refund(refund.clone()))));
    let (told, kept) = (last.len(), qrs.len() + payments.len() + refunds.len());
    if told != kept {
        return Some(format!("the log tells of {told} resources, there are {kept}"));
    }
    records.find_map(|(id, record)| match last.get(id.as_str()) {
        Some(event) if event.resource.as_ref() == Some(&record) => None,
        event => Some(format!("{id} is {record:?}, its last event is {event:?}")),
    })
}

/// Each refund of a payment that is known stands here as it stands at the provider, and the payment's sums are theirs.
fn of_refunds(provider: &Sandbox, payments: &[pb::Payment], refunds: &[pb::Refund]) -> Option<String> {
    let ours: BTreeMap<&str, &pb::Refund> = refunds.iter().map(|refund| (refund.provider_ref.as_str(), refund)).collect();
    for theirs in provider.refunds(ACCOUNT).expect("the sandbox knows the account") {
        let Some(payment) = payments.iter().find(|payment| payment.provider_ref == text(&theirs, "payment_id")) else { continue };
        let Some(refund) = ours.get(text(&theirs, "id")) else { return Some(format!("the refund {theirs} is not recorded")) };
        let expected = match text(&theirs, "status") {
            "pending" => pb::RefundState::Pending,
            "processed" => pb::RefundState::Succeeded,
            _ => pb::RefundState::Failed,
        };
        let same = refund.state() == expected && Some(paise(refund.amount.as_ref())) == theirs["amount"].as_i64();
        if !same || refund.payment_id != payment.id {
            return Some(format!("the refund is {theirs} at the provider; ours is {refund:?}"));
        }
    }
    payments.iter().find_map(|payment| {
        let of_it = |state| {
            let of_it = refunds.iter().filter(move |refund| refund.payment_id == payment.id && refund.state() == state);
            of_it.map(|refund| paise(refund.amount.as_ref())).sum::<i64>()
        };
        let pending = of_it(pb::RefundState::Pending) + of_it(pb::RefundState::Requested);
        let sums = (paise(payment.amount_refunded.as_ref()), paise(payment.amount_refund_pending.as_ref()));
        (sums != (of_it(pb::RefundState::Succeeded), pending)).then(|| format!("the refunds of {payment:?} come to something else"))
    })
}

fn of_codes(provider: &Sandbox, qrs: &[pb::Qr], payments: &[pb::Payment]) -> Option<String> {
    let ours: BTreeMap<&str, &pb::Qr> =
        qrs.iter().filter(|qr| !qr.provider_ref.is_empty()).map(|qr| (qr.provider_ref.as_str(), qr)).collect();
    let codes = provider.qr_codes(ACCOUNT).expect("the sandbox knows the account");
    if ours.len() != codes.len() {
        return Some(format!("we have {} codes, the provider {}", ours.len(), codes.len()));
    }
    for code in &codes {
        let Some(qr) = ours.get(text(code, "id")) else { return Some(format!("we don't have the provider's {code}")) };
        let expected = match (text(code, "status"), code["close_reason"].as_str()) {
            ("active", _) => (pb::QrState::Active, pb::QrCloseReason::Unspecified),
            (_, Some("on_demand")) => (pb::QrState::Closed, pb::QrCloseReason::Cancelled),
            (_, Some("paid")) => (pb::QrState::Closed, pb::QrCloseReason::Paid),
            (_, _) => (pb::QrState::Closed, pb::QrCloseReason::Expired),
        };
        if (qr.state(), qr.close_reason()) != expected {
            return Some(format!("the code is {expected:?} at the provider; ours is {qr:?}"));
        }
        if qr.amount.as_ref().map(|amount| amount.minor_units) != code["payment_amount"].as_i64() {
            return Some(format!("the amounts of {code} and {qr:?} differ"));
        }
        let collected = payments.iter().filter(|payment| payment.qr_id == qr.id && is_collected(payment));
        let (count, sum) = collected.fold((0, 0), |(count, sum), payment| (count + 1, sum + paise(payment.amount.as_ref())));
        if (qr.payment_count, paise(qr.amount_received.as_ref())) != (count, sum) {
            return Some(format!("the payments of {qr:?} are {count} and come to {sum}"));
        }
    }
    // What is not at the provider came to nothing.
    let stray = qrs.iter().find(|qr| qr.provider_ref.is_empty() && qr.state() != pb::QrState::Failed);
    stray.map(|qr| format!("the provider has no code of {qr:?}"))
}

fn of_payments(provider: &Sandbox, qrs: &[pb::Qr], payments: &[pb::Payment], paid: &Paid) -> Option<String> {
    let mut ours: BTreeMap<&str, &pb::Payment> = BTreeMap::new();
    for payment in payments {
        if ours.insert(&payment.provider_ref, payment).is_some() {
            return Some(format!("a payment is recorded twice: {payment:?}"));
        }
    }
    let theirs = provider.payments(ACCOUNT).expect("the sandbox knows the account");
    let mut unknown = 0;
    for payment in &theirs {
        let id = text(payment, "id");
        let Some(record) = ours.get(id) else {
            if may_be_unknown(payment, paid.get(id).and_then(|code| qrs.iter().find(|qr| qr.provider_ref == *code))) {
                unknown += 1;
                continue;
            }
            return Some(format!("the payment {payment} is not recorded"));
        };
        let qr = qrs.iter().find(|qr| qr.id == record.qr_id);
        if qr.map(|qr| &qr.provider_ref) != paid.get(id) {
            return Some(format!("{record:?} was made through {:?}", paid.get(id)));
        }
        let asked = qr.and_then(|qr| qr.amount.as_ref()).map(|amount| amount.minor_units);
        let is_other = asked.is_some_and(|asked| payment["amount"].as_i64() != Some(asked));
        let expected = match (text(payment, "status"), payment["captured"].as_bool()) {
            ("created", _) => pb::PaymentState::Pending,
            ("authorized", _) => pb::PaymentState::Authorized,
            ("captured", _) | ("refunded", Some(true)) if is_other => pb::PaymentState::Mismatched,
            ("captured", _) | ("refunded", Some(true)) => pb::PaymentState::Succeeded,
            ("refunded", _) => pb::PaymentState::Reversed,
            ("failed", _) => pb::PaymentState::Failed,
            (unheard, _) => panic!("the sandbox has the unheard-of status {unheard}"),
        };
        if record.state() != expected || Some(paise(record.amount.as_ref())) != payment["amount"].as_i64() {
            return Some(format!("the payment is {payment} at the provider; ours is {record:?}"));
        }
    }
    (ours.len() + unknown != theirs.len()).then(|| format!("we have {} payments, the provider {}", ours.len(), theirs.len()))
}

/// A paid single-use code is not looked at again: of further attempts to pay it only callbacks tell, and those may be lost.
/// That is for attempts that failed, or whose money the provider gave back by itself.
fn may_be_unknown(payment: &Value, qr: Option<&pb::Qr>) -> bool {
    let is_paid = |qr: &pb::Qr| qr.usage() == pb::QrUsage::SingleUse && qr.close_reason() == pb::QrCloseReason::Paid;
    qr.is_some_and(is_paid) && matches!(text(payment, "status"), "failed" | "refunded")
}

/// All codes of the account, newest first.
pub async fn all_qrs(app: &App) -> Vec<pb::Qr> {
    let mut all = Vec::new();
    let mut request = pb::ListQrsRequest { account: ACCOUNT.to_owned(), page_size: 200, ..Default::default() };
    loop {
        let page = app.qrs().list_qrs(request.clone()).await.expect("codes are listed").into_inner();
        all.extend(page.qrs);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// All payments of the account, newest first.
pub async fn all_payments(app: &App) -> Vec<pb::Payment> {
    let mut all = Vec::new();
    let mut request = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), page_size: 200, ..Default::default() };
    loop {
        let page = app.payments().list_payments(request.clone()).await.expect("payments are listed").into_inner();
        all.extend(page.payments);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// All refunds of the account, newest first.
pub async fn all_refunds(app: &App) -> Vec<pb::Refund> {
    let mut all = Vec::new();
    let mut request = pb::ListRefundsRequest { account: ACCOUNT.to_owned(), page_size: 200, ..Default::default() };
    loop {
        let page = app.refunds().list_refunds(request.clone()).await.expect("refunds are listed").into_inner();
        all.extend(page.refunds);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

fn is_collected(payment: &pb::Payment) -> bool {
    matches!(payment.state(), pb::PaymentState::Succeeded | pb::PaymentState::Mismatched)
}

fn paise(money: Option<&pb::Money>) -> i64 {
    money.map_or(0, |money| money.minor_units)
}

fn text<'a>(entity: &'a Value, field: &str) -> &'a str {
    entity[field].as_str().unwrap_or_else(|| panic!("{entity} has no {field}"))
}
