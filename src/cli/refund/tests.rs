//! What is typed is what is asked, and what is answered is what is shown.

use std::sync::{Arc, Mutex};

use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::console::captured::console;
use super::super::testing::{at, inr, served, typed};
use super::*;
use crate::grpc::pb::refund_service_server::{RefundService, RefundServiceServer};

fn refund() -> pb::Refund {
    pb::Refund {
        id: "rfnd_1".to_owned(),
        account: "shop".to_owned(),
        provider: "razorpay".to_owned(),
        state: pb::RefundState::Pending.into(),
        revision: 2,
        create_time: Some(at(0)),
        payment_id: "pay_1".to_owned(),
        amount: Some(inr(12_000)),
        origin: pb::RefundOrigin::Ours.into(),
        speed_requested: pb::RefundSpeed::Normal.into(),
        ..pb::Refund::default()
    }
}

/// A service with one refund, which a second request with a key replays, and no more than ₹379 of the payment left.
#[derive(Default)]
struct Desk {
    created: Mutex<Vec<pb::CreateRefundRequest>>,
    listed: Mutex<Vec<pb::ListRefundsRequest>>,
}

#[tonic::async_trait]
impl RefundService for Desk {
    async fn create_refund(&self, request: Request<pb::CreateRefundRequest>) -> Result<Response<pb::CreateRefundResponse>, Status> {
        let request = request.into_inner();
        if request.amount.as_ref().is_some_and(|amount| amount.minor_units > 37_900) {
            let metadata = [("outcome", "NOT_SENT"), ("resource_id", "pay_1"), ("refundable_minor_units", "37900")];
            let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let details = ErrorDetails::with_error_info("REFUND_EXCEEDS_PAYMENT", "upistream", std::collections::HashMap::from(metadata));
            return Err(Status::with_error_details(Code::FailedPrecondition, "only ₹379.00 of the payment can still be refunded", details));
        }
        let mut created = self.created.lock().unwrap();
        let idempotency_replayed = created.iter().any(|earlier| earlier.idempotency_key == request.idempotency_key);
        created.push(request);
        Ok(Response::new(pb::CreateRefundResponse { refund: Some(refund()), idempotency_replayed }))
    }

    async fn get_refund(&self, request: Request<pb::GetRefundRequest>) -> Result<Response<pb::GetRefundResponse>, Status> {
        let found = pb::Refund { id: request.into_inner().id, ..settled() };
        Ok(Response::new(pb::GetRefundResponse { refund: Some(found) }))
    }

    async fn list_refunds(&self, request: Request<pb::ListRefundsRequest>) -> Result<Response<pb::ListRefundsResponse>, Status> {
        self.listed.lock().unwrap().push(request.into_inner());
        Ok(Response::new(pb::ListRefundsResponse::default()))
    }
}

async fn desk() -> (String, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let address = served(Server::builder().add_service(RefundServiceServer::from_arc(desk.clone()))).await;
    (address, desk)
}

fn settled() -> pb::Refund {
    pb::Refund {
        state: pb::RefundState::Succeeded.into(),
        provider_ref: "rfnd_Ab3dEf".to_owned(),
        speed_requested: pb::RefundSpeed::Instant.into(),
        speed_processed: pb::RefundSpeed::Normal.into(),
        rrn: "612345678901".to_owned(),
        process_time: Some(at(1)),
        settlement_id: "setl_1".to_owned(),
        settle_time: Some(at(2)),
        ..refund()
    }
}

const CREATE: &str = "refund create --payment pay_1 --amount 120.00 --speed instant --reference return-17 --label till=3 --note by=asha \
                      --description broken --key k1";

#[tokio::test]
async fn what_is_typed_is_what_is_asked() {
    let (address, desk) = desk().await;
    let first = typed(&address, CREATE).await;
    let again = typed(&address, CREATE).await;

    let expected = pb::CreateRefundRequest {
        idempotency_key: "k1".to_owned(),
        payment_id: "pay_1".to_owned(),
        reference: "return-17".to_owned(),
        labels: [("till".to_owned(), "3".to_owned())].into(),
        amount: Some(inr(12_000)),
        speed: pb::RefundSpeed::Instant.into(),
        description: "broken".to_owned(),
        notes: [("by".to_owned(), "asha".to_owned())].into(),
    };
    assert_eq!(*desk.created.lock().unwrap(), [expected.clone(), expected]);
    let on_its_way = "on its way: the provider is at work. `upistream events tail --resource rfnd_1` tells when it is through\n";
    assert_eq!((first.exit_code, first.err.as_str()), (0, on_its_way));
    assert_eq!(again.err, format!("an earlier request with --key k1 did this; shown as it is now\n{on_its_way}"));
}

#[tokio::test]
async fn a_key_is_made_and_told_before_anything_is_sent() {
    let (address, desk) = desk().await;
    let told = typed(&address, "refund create --payment pay_1 --amount 120").await;
    let key = desk.created.lock().unwrap()[0].idempotency_key.clone();
    assert!(told.err.starts_with(&format!("idempotency key: {key}\n")), "{}", told.err);
    assert_eq!(desk.created.lock().unwrap()[0].speed(), pb::RefundSpeed::Normal);
}

#[tokio::test]
async fn more_than_is_left_says_what_to_type_instead() {
    let (address, _) = desk().await;
    let told = typed(&address, "refund create --payment pay_1 --amount 400 --key k1").await;
    let expected = "\
error: only ₹379.00 of the payment can still be refunded
  reason                  REFUND_EXCEEDS_PAYMENT (FAILED_PRECONDITION)
  outcome                 NOT_SENT: nothing was done, and it won't be
  refundable_minor_units  37900
  resource_id             pay_1
next step: ₹379.00 of the payment is left: `upistream refund create --payment pay_1 --amount 379.00 --key k1`
";
    assert_eq!((told.exit_code, told.err.as_str()), (1, expected));
}

#[tokio::test]
async fn one_refund_shows_all_that_is_known_of_it() {
    let (address, _) = desk().await;
    let told = typed(&address, "refund get rfnd_7").await;
    let expected = "\
id               rfnd_7
account          shop
provider         razorpay
provider_ref     rfnd_Ab3dEf
state            SUCCEEDED
revision         2
create_time      2026-02-17 15:30:00 IST
payment_id       pay_1
amount           ₹120.00
origin           OURS
speed_requested  INSTANT
speed_processed  NORMAL
rrn              612345678901
process_time     2026-02-17 15:31:00 IST
settlement_id    setl_1
settle_time      2026-02-17 15:32:00 IST
";
    assert_eq!(told.out, expected);
    assert!(told.err.contains("could not take it at once"), "{}", told.err);
}

#[tokio::test]
async fn a_list_asks_with_its_filters() {
    let (address, desk) = desk().await;
    let told = typed(&address, "refund list --account shop --payment pay_1 --state pending --state requested --limit 5").await;
    let listed = desk.listed.lock().unwrap();
    let expected = pb::ListRefundsRequest {
        account: "shop".to_owned(),
        page_size: 5,
        states: vec![pb::RefundState::Pending.into(), pb::RefundState::Requested.into()],
        payment_id: "pay_1".to_owned(),
        ..pb::ListRefundsRequest::default()
    };
    assert_eq!((listed.as_slice(), told.err.as_str()), ([expected].as_slice(), "no refunds\n"));
}

#[test]
fn refunds_stand_in_columns() {
    let of_the_dashboard = pb::Refund {
        id: "rfnd_22".to_owned(),
        amount: Some(inr(10_000_000)),
        origin: pb::RefundOrigin::Provider.into(),
        speed_requested: pb::RefundSpeed::Unspecified.into(),
        arn: "7412".to_owned(),
        state: pb::RefundState::Succeeded.into(),
        contradictions: vec![pb::Contradiction::default()],
        reference: "return-17".to_owned(),
        ..refund()
    };
    let expected = "\
ID       STATE                          AMOUNT  SPEED                MADE BY       PAYMENT  RRN OR ARN    REFERENCE  CREATED (IST)
rfnd_1   PENDING                       ₹120.00  normal               us            pay_1                             2026-02-17 15:30:00
rfnd_22  SUCCEEDED, contradicted  ₹1,00,000.00                       the provider  pay_1    7412          return-17  2026-02-17 15:30:00
rfnd_1   SUCCEEDED                     ₹120.00  normal, not instant  us            pay_1    612345678901             2026-02-17 15:30:00";
    assert_eq!(table(&[refund(), of_the_dashboard, settled()]).text(&console().0), expected);
}

#[test]
fn where_a_refund_stands_says_what_to_do() {
    let check = |refund: pb::Refund, expected: &str| {
        let (console, _, err) = console();
        note_way(&console, &refund);
        assert!(err.text().contains(expected), "{}", err.text());
    };
    let in_state = |state: pb::RefundState| pb::Refund { state: state.into(), in_doubt: state == pb::RefundState::Requested, ..refund() };
    check(in_state(pb::RefundState::Requested), "the amount stays reserved. `upistream refund get rfnd_1`");
    check(in_state(pb::RefundState::Pending), "`upistream events tail --resource rfnd_1`");
    check(in_state(pb::RefundState::Succeeded), "days later");
    check(in_state(pb::RefundState::Failed), "with a new key: `upistream refund create --payment pay_1 --amount 120.00`");
    let contradicted = pb::Refund { contradictions: vec![pb::Contradiction::default()], ..refund() };
    check(contradicted, "decide with `upistream admin resolve rfnd_1`");
}
