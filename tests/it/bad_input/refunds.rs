//! What is wrong with requests about refunds and settlements.

use upistream::domain::id::Kind;
use upistream::grpc::pb;

use super::*;

fn refund_amount(request: &mut pb::CreateRefundRequest) -> &mut pb::Money {
    request.amount.as_mut().expect("the good request has one")
}

pub(super) async fn check_refund_service(app: &App, checked: &mut Checked) {
    let own: &[Case<pb::CreateRefundRequest>] = cases! {
        "payment_id" Field: |r| r.payment_id = String::new(), |r| r.payment_id = "nonsense".to_owned(), |r| r.payment_id = id(Kind::Qr);
        "amount" Alone: |r| r.amount = None;
        "amount.currency_code" Field: |r| refund_amount(r).currency_code = "USD".to_owned(), |r| refund_amount(r).currency_code = String::new();
        "amount.minor_units" Field: |r| refund_amount(r).minor_units = 0, |r| refund_amount(r).minor_units = i64::MIN, |r| refund_amount(r).minor_units = i64::MAX;
        "speed" Field: |r| r.speed = 3, |r| r.speed = -1;
        "notes" Field: |r| r.notes = pairs(16), |r| r.notes = pair("", "x"), |r| r.notes = pair("x", text(257));
    };
    let cases = together(&[
        key_cases!(pb::CreateRefundRequest),
        text_cases!(pb::CreateRefundRequest, "reference", reference, 64),
        label_cases!(pb::CreateRefundRequest, "labels", labels),
        text_cases!(pb::CreateRefundRequest, "description", description, 255),
        own,
    ]);
    let good = pb::CreateRefundRequest {
        idempotency_key: "k".to_owned(),
        payment_id: id(Kind::Payment),
        amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 100 }),
        ..Default::default()
    };
    checked.request("CreateRefundRequest", good, async |r| app.refunds().create_refund(r).await, &cases).await;

    let good = pb::GetRefundRequest { id: id(Kind::Refund) };
    let cases = id_cases!(pb::GetRefundRequest, Kind::Payment);
    checked.request("GetRefundRequest", good, async |r| app.refunds().get_refund(r).await, cases).await;

    let own: &[Case<pb::ListRefundsRequest>] = cases! {
        "payment_id" Field: |r| r.payment_id = "nonsense".to_owned(), |r| r.payment_id = id(Kind::Qr);
    };
    let cases = together(&[
        list_cases!(pb::ListRefundsRequest),
        enum_cases!(pb::ListRefundsRequest, "states", states),
        time_cases!(pb::ListRefundsRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListRefundsRequest, "create_time_to", create_time_to),
        text_cases!(pb::ListRefundsRequest, "reference", reference, 64),
        label_cases!(pb::ListRefundsRequest, "labels", labels),
        own,
    ]);
    let good = pb::ListRefundsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListRefundsRequest", good, async |r| app.refunds().list_refunds(r).await, &cases).await;
}

pub(super) async fn check_settlement_service(app: &App, checked: &mut Checked) {
    let good = pb::GetSettlementRequest { id: id(Kind::Settlement) };
    let cases = id_cases!(pb::GetSettlementRequest, Kind::Payment);
    checked.request("GetSettlementRequest", good, async |r| app.settlements().get_settlement(r).await, cases).await;

    let cases = together(&[
        list_cases!(pb::ListSettlementsRequest),
        enum_cases!(pb::ListSettlementsRequest, "states", states),
        time_cases!(pb::ListSettlementsRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListSettlementsRequest, "create_time_to", create_time_to),
    ]);
    let good = pb::ListSettlementsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListSettlementsRequest", good, async |r| app.settlements().list_settlements(r).await, &cases).await;

    let own: &[Case<pb::ListSettlementEntriesRequest>] = cases! {
        "settlement_id" Field: |r| r.settlement_id = "nonsense".to_owned(), |r| r.settlement_id = id(Kind::Payment);
        "settlement_id" Alone: |r| r.settlement_id = String::new(), |r| r.payment_id = id(Kind::Payment);
        "payment_id" Alone: |r| (r.settlement_id, r.payment_id) = (String::new(), "nonsense".to_owned());
        "refund_id" Alone: |r| (r.settlement_id, r.refund_id) = (String::new(), id(Kind::Payment));
    };
    let cases =
        together(&[list_cases!(pb::ListSettlementEntriesRequest), enum_cases!(pb::ListSettlementEntriesRequest, "kinds", kinds), own]);
    let good = pb::ListSettlementEntriesRequest { account: ACCOUNT.to_owned(), settlement_id: id(Kind::Settlement), ..Default::default() };
    let send = async |r| app.settlements().list_settlement_entries(r).await;
    checked.request("ListSettlementEntriesRequest", good, send, &cases).await;

    let own: &[Case<pb::ListSettlementBreaksRequest>] = cases! {
        "settlement_id" Field: |r| r.settlement_id = "nonsense".to_owned(), |r| r.settlement_id = id(Kind::Payment);
        "include_closed" Free: |r| r.include_closed = true;
    };
    let cases = together(&[
        list_cases!(pb::ListSettlementBreaksRequest),
        enum_cases!(pb::ListSettlementBreaksRequest, "kinds", kinds),
        time_cases!(pb::ListSettlementBreaksRequest, "open_time_from", open_time_from),
        time_cases!(pb::ListSettlementBreaksRequest, "open_time_to", open_time_to),
        own,
    ]);
    let good = pb::ListSettlementBreaksRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    let send = async |r| app.settlements().list_settlement_breaks(r).await;
    checked.request("ListSettlementBreaksRequest", good, send, &cases).await;
}
