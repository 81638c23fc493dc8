//! What is wrong with requests about mandates and debits.

use upistream::domain::id::Kind;
use upistream::grpc::pb;

use super::*;

fn most(request: &mut pb::CreateMandateRequest) -> &mut pb::Money {
    request.max_amount.as_mut().expect("the good request has one")
}

fn new_most(request: &mut pb::UpdateMandateRequest) -> &mut pb::Money {
    request.max_amount.as_mut().expect("the good request has one")
}

fn debit_amount(request: &mut pb::CreateDebitRequest) -> &mut pb::Money {
    request.amount.as_mut().expect("the good request has one")
}

/// The fields of CreateMandate that are bad by themselves; what the provider would refuse is another story.
fn mandate_cases() -> Vec<Case<pb::CreateMandateRequest>> {
    let own: &[Case<pb::CreateMandateRequest>] = cases! {
        "account" Field: |r| r.account = String::new(), |r| r.account = "Shop".to_owned(), |r| r.account = text(41);
        "max_amount" Alone: |r| r.max_amount = None;
        "max_amount.currency_code" Field: |r| most(r).currency_code = "USD".to_owned(), |r| most(r).currency_code = String::new();
        "max_amount.minor_units" Field: |r| most(r).minor_units = 0, |r| most(r).minor_units = i64::MIN, |r| most(r).minor_units = i64::MAX;
        "amount_rule" Field: |r| r.amount_rule = 0, |r| r.amount_rule = 3, |r| r.amount_rule = -1;
        "frequency" Alone: |r| (r.frequency, r.debit_day, r.debit_day_rule) = (0, None, 0);
        "frequency" Alone: |r| (r.frequency, r.debit_day, r.debit_day_rule) = (99, None, 0);
        "debit_day" Alone:
            |r| r.debit_day = Some(0),
            |r| r.debit_day = Some(32),
            |r| r.debit_day = Some(i32::MIN),
            |r| r.debit_day = None;
        "debit_day_rule" Alone: |r| r.debit_day_rule = 0;
        "valid_from" Alone: |r| r.valid_from = time(1_000_000_000, 0);
        "valid_until" Alone: |r| r.valid_until = None, |r| r.valid_until = time(1_000_000_000, 0);
        "block_funds" Alone: |r| r.block_funds = true;
        "revocable" Alone: |r| r.revocable = Some(false);
        "payer_vpa" Alone: |r| r.payer_vpa = "asha".to_owned(), |r| r.payer_vpa = text(300), |r| r.payer_vpa = "a b@bank".to_owned();
        "payer_name" Alone: |r| r.payer_name = text(101), |r| r.payer_name = "Asha\nRao".to_owned(), |r| r.payer_name = String::new();
        "payer_phone" Alone: |r| r.payer_phone = "asha".to_owned(), |r| r.payer_phone = "9".repeat(33), |r| r.payer_phone = String::new();
        "payer_email" Alone: |r| r.payer_email = "asha".to_owned(), |r| r.payer_email = format!("a@{}", text(253)), |r| r.payer_email = String::new();
        "purpose" Alone: |r| r.purpose = "1".to_owned(), |r| r.purpose = "xx".to_owned(), |r| r.purpose = "014".to_owned();
        "name" Field: |r| r.name = String::new(), |r| r.name = "  ".to_owned(), |r| r.name = text(65), |r| r.name = "nul\u{0}".to_owned();
        "approval_expire_time" Alone: |r| r.approval_expire_time = time(1_000_000_000, 0), |r| r.approval_expire_time = time(-1, 0);
        "notes" Field: |r| r.notes = pairs(16), |r| r.notes = pair("", "x"), |r| r.notes = pair("x", text(257));
    };
    together(&[
        key_cases!(pb::CreateMandateRequest),
        text_cases!(pb::CreateMandateRequest, "reference", reference, 64),
        label_cases!(pb::CreateMandateRequest, "labels", labels),
        text_cases!(pb::CreateMandateRequest, "description", description, 255),
        own,
    ])
}

pub(super) async fn check_mandates(app: &App, checked: &mut Checked) {
    let keys = std::cell::Cell::new(0);
    let send = async |mut request: pb::CreateMandateRequest| {
        if request.idempotency_key == "good" {
            keys.set(keys.get() + 1);
            request.idempotency_key = format!("good-{}", keys.get());
        }
        app.mandates().create_mandate(request).await
    };
    checked.request("CreateMandateRequest", crate::mandate::mandate_order(app, "good"), send, &mandate_cases()).await;

    let good = pb::GetMandateRequest { id: id(Kind::Mandate) };
    checked
        .request("GetMandateRequest", good, async |r| app.mandates().get_mandate(r).await, id_cases!(pb::GetMandateRequest, Kind::Debit))
        .await;

    let cases = together(&[
        list_cases!(pb::ListMandatesRequest),
        enum_cases!(pb::ListMandatesRequest, "states", states),
        time_cases!(pb::ListMandatesRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListMandatesRequest, "create_time_to", create_time_to),
        text_cases!(pb::ListMandatesRequest, "reference", reference, 64),
        label_cases!(pb::ListMandatesRequest, "labels", labels),
    ]);
    let good = pb::ListMandatesRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListMandatesRequest", good, async |r| app.mandates().list_mandates(r).await, &cases).await;

    let own: &[Case<pb::UpdateMandateRequest>] = cases! {
        "max_amount" Alone: |r| (r.max_amount, r.valid_until) = (None, None);
        "max_amount.currency_code" Field: |r| new_most(r).currency_code = "USD".to_owned();
        "max_amount.minor_units" Field: |r| new_most(r).minor_units = 0, |r| new_most(r).minor_units = i64::MIN;
    };
    let good = pb::UpdateMandateRequest {
        idempotency_key: "k".to_owned(),
        id: id(Kind::Mandate),
        max_amount: Some(crate::mandate::money(100)),
        valid_until: time(4_000_000_000, 0),
    };
    let cases = together(&[
        key_cases!(pb::UpdateMandateRequest),
        id_cases!(pb::UpdateMandateRequest, Kind::Debit),
        time_cases!(pb::UpdateMandateRequest, "valid_until", valid_until),
        own,
    ]);
    checked.request("UpdateMandateRequest", good, async |r| app.mandates().update_mandate(r).await, &cases).await;

    let good = pb::PauseMandateRequest { idempotency_key: "k".to_owned(), id: id(Kind::Mandate) };
    let cases = together(&[key_cases!(pb::PauseMandateRequest), id_cases!(pb::PauseMandateRequest, Kind::Debit)]);
    checked.request("PauseMandateRequest", good, async |r| app.mandates().pause_mandate(r).await, &cases).await;
    let good = pb::ResumeMandateRequest { idempotency_key: "k".to_owned(), id: id(Kind::Mandate) };
    let cases = together(&[key_cases!(pb::ResumeMandateRequest), id_cases!(pb::ResumeMandateRequest, Kind::Debit)]);
    checked.request("ResumeMandateRequest", good, async |r| app.mandates().resume_mandate(r).await, &cases).await;
    let good = pb::RevokeMandateRequest { idempotency_key: "k".to_owned(), id: id(Kind::Mandate) };
    let cases = together(&[key_cases!(pb::RevokeMandateRequest), id_cases!(pb::RevokeMandateRequest, Kind::Debit)]);
    checked.request("RevokeMandateRequest", good, async |r| app.mandates().revoke_mandate(r).await, &cases).await;
}

pub(super) async fn check_debits(app: &App, checked: &mut Checked) {
    let own: &[Case<pb::CreateDebitRequest>] = cases! {
        "mandate_id" Field: |r| r.mandate_id = String::new(), |r| r.mandate_id = "nonsense".to_owned(), |r| r.mandate_id = id(Kind::Debit);
        "amount" Alone: |r| r.amount = None;
        "amount.currency_code" Field: |r| debit_amount(r).currency_code = "USD".to_owned(), |r| debit_amount(r).currency_code = String::new();
        "amount.minor_units" Field:
            |r| debit_amount(r).minor_units = 0,
            |r| debit_amount(r).minor_units = i64::MIN,
            |r| debit_amount(r).minor_units = i64::MAX;
        "auto_execute" Free: |r| r.auto_execute = Some(false), |r| r.auto_execute = Some(true);
        "notes" Field: |r| r.notes = pairs(16), |r| r.notes = pair("", "x"), |r| r.notes = pair("x", text(257));
    };
    let cases = together(&[
        key_cases!(pb::CreateDebitRequest),
        text_cases!(pb::CreateDebitRequest, "reference", reference, 64),
        label_cases!(pb::CreateDebitRequest, "labels", labels),
        text_cases!(pb::CreateDebitRequest, "description", description, 255),
        time_cases!(pb::CreateDebitRequest, "execute_after", execute_after),
        own,
    ]);
    let good = pb::CreateDebitRequest {
        idempotency_key: "k".to_owned(),
        mandate_id: id(Kind::Mandate),
        amount: Some(crate::mandate::money(100)),
        ..Default::default()
    };
    checked.request("CreateDebitRequest", good, async |r| app.mandates().create_debit(r).await, &cases).await;

    let good = pb::ExecuteDebitRequest { idempotency_key: "k".to_owned(), id: id(Kind::Debit) };
    let cases = together(&[key_cases!(pb::ExecuteDebitRequest), id_cases!(pb::ExecuteDebitRequest, Kind::Mandate)]);
    checked.request("ExecuteDebitRequest", good, async |r| app.mandates().execute_debit(r).await, &cases).await;
    let good = pb::CancelDebitRequest { idempotency_key: "k".to_owned(), id: id(Kind::Debit) };
    let cases = together(&[key_cases!(pb::CancelDebitRequest), id_cases!(pb::CancelDebitRequest, Kind::Mandate)]);
    checked.request("CancelDebitRequest", good, async |r| app.mandates().cancel_debit(r).await, &cases).await;
    let good = pb::GetDebitRequest { id: id(Kind::Debit) };
    checked
        .request("GetDebitRequest", good, async |r| app.mandates().get_debit(r).await, id_cases!(pb::GetDebitRequest, Kind::Mandate))
        .await;

    let own: &[Case<pb::ListDebitsRequest>] = cases! {
        "mandate_id" Field: |r| r.mandate_id = "nonsense".to_owned(), |r| r.mandate_id = id(Kind::Debit);
    };
    let cases = together(&[
        list_cases!(pb::ListDebitsRequest),
        enum_cases!(pb::ListDebitsRequest, "states", states),
        time_cases!(pb::ListDebitsRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListDebitsRequest, "create_time_to", create_time_to),
        text_cases!(pb::ListDebitsRequest, "reference", reference, 64),
        label_cases!(pb::ListDebitsRequest, "labels", labels),
        own,
    ]);
    let good = pb::ListDebitsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListDebitsRequest", good, async |r| app.mandates().list_debits(r).await, &cases).await;
}
