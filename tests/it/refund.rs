//! Money goes back: once for each key, never more than was paid, and told by whoever made it.

mod doubt;
pub(crate) mod limits;

use std::time::Duration;

use tonic::{Code, Status};
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Outcome, PayOptions, RefundEnd, Switches};

use crate::support::app::{ACCOUNT, App, minutes, told, until, within};

pub(crate) fn refund_order(key: &str, payment: &pb::Payment, paise: i64) -> pb::CreateRefundRequest {
    pb::CreateRefundRequest {
        idempotency_key: key.to_owned(),
        payment_id: payment.id.clone(),
        amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: paise }),
        ..Default::default()
    }
}

pub(crate) fn paise(money: &Option<pb::Money>) -> i64 {
    money.as_ref().map_or(0, |money| money.minor_units)
}

impl App {
    /// A payment of `amount` paise that succeeded.
    pub(crate) async fn paid(&self, key: &str, amount: i64) -> pb::Payment {
        let qr = self.create(key, amount).await;
        self.pay(&qr.provider_ref, PayOptions::default()).await;
        self.payment_until(&qr.id, pb::PaymentState::Succeeded).await
    }

    pub(crate) async fn create_refund(&self, request: pb::CreateRefundRequest) -> Result<pb::CreateRefundResponse, Status> {
        self.refunds().create_refund(request).await.map(tonic::Response::into_inner)
    }

    /// A refund that the provider takes at once.
    pub(crate) async fn refund(&self, key: &str, payment: &pb::Payment, amount: i64) -> pb::Refund {
        let made = self.create_refund(refund_order(key, payment, amount)).await.expect("the refund is taken");
        made.refund.expect("the answer has it")
    }

    pub(crate) async fn get_refund(&self, id: &str) -> pb::Refund {
        let request = pb::GetRefundRequest { id: id.to_owned() };
        self.refunds().get_refund(request).await.expect("the refund is there").into_inner().refund.expect("the answer has it")
    }

    pub(crate) async fn refund_until(&self, id: &str, state: pb::RefundState) -> pb::Refund {
        until(&format!("the refund to be {state:?}"), async || Some(self.get_refund(id).await).filter(|refund| refund.state() == state))
            .await
    }

    pub(crate) async fn refunds_of(&self, payment: &pb::Payment) -> Vec<pb::Refund> {
        let request =
            pb::ListRefundsRequest { account: ACCOUNT.to_owned(), payment_id: payment.id.clone(), page_size: 200, ..Default::default() };
        self.refunds().list_refunds(request).await.expect("refunds are listed").into_inner().refunds
    }

    /// What is refunded of a payment, and what is on its way.
    pub(crate) async fn refunded(&self, payment: &pb::Payment) -> (i64, i64) {
        let payment = self.get_payment(&payment.id).await;
        (paise(&payment.amount_refunded), paise(&payment.amount_refund_pending))
    }

    pub(crate) async fn names_of_refund(&self, id: &str) -> Vec<String> {
        let story = self.story(id, self.get_refund(id).await.revision).await;
        story.into_iter().map(|event| event.r#type).collect()
    }

    pub(crate) fn refunds_at_provider(&self) -> Vec<serde_json::Value> {
        self.provider.refunds(ACCOUNT).expect("the sandbox knows the account")
    }
}

#[tokio::test]
async fn a_refund_is_taken_made_and_found_by_the_payer_s_bank() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    let wish = pb::CreateRefundRequest {
        reference: "rf-381-1".to_owned(),
        labels: [("shift".to_owned(), "night".to_owned())].into(),
        description: "damaged".to_owned(),
        notes: [("case".to_owned(), "7".to_owned())].into(),
        ..refund_order("back", &payment, 12_000)
    };
    let made = app.create_refund(wish.clone()).await.unwrap();
    let refund = made.refund.unwrap();
    assert_eq!((refund.state(), made.idempotency_replayed, refund.in_doubt), (pb::RefundState::Pending, false, false));
    assert_eq!((refund.origin(), refund.speed_requested()), (pb::RefundOrigin::Ours, pb::RefundSpeed::Normal));
    assert_eq!((refund.payment_id.as_str(), paise(&refund.amount)), (payment.id.as_str(), 12_000));
    assert_eq!((refund.reference.as_str(), refund.labels["shift"].as_str()), ("rf-381-1", "night"));
    assert_eq!(app.refunded(&payment).await, (0, 12_000));
    let theirs = app.refunds_at_provider();
    assert_eq!((theirs.len(), theirs[0]["id"].as_str()), (1, Some(refund.provider_ref.as_str())));
    assert_eq!((theirs[0]["notes"]["case"].as_str(), theirs[0]["amount"].as_i64()), (Some("7"), Some(12_000)));

    app.advance(minutes(1));
    let done = app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    assert!(done.process_time.is_some(), "{done:?}");
    assert_eq!(app.refunded(&payment).await, (12_000, 0));
    // The bank's reference comes later, and no callback tells of it.
    app.advance(minutes(30));
    until("the bank's reference", async || Some(app.get_refund(&refund.id).await).filter(|refund| !refund.rrn.is_empty())).await;
    let names = app.names_of_refund(&refund.id).await;
    assert_eq!(
        (&names[..2], names.contains(&"refund.succeeded".to_owned())),
        (&["refund.requested", "refund.pending"].map(str::to_owned)[..], true),
        "{names:?}"
    );
    let again = app.create_refund(wish).await.unwrap();
    assert!(again.idempotency_replayed && again.refund.unwrap().id == refund.id);
    assert_eq!(app.refunds_at_provider().len(), 1);
}

#[tokio::test]
async fn an_instant_refund_may_fall_back_to_a_normal_one() {
    let app = App::start().await;
    app.provider.switches(Switches { instant_falls_back: true, ..app.provider.current_switches() });
    let payment = app.paid("one", 45_000).await;
    let wish = pb::CreateRefundRequest { speed: pb::RefundSpeed::Instant.into(), ..refund_order("back", &payment, 12_000) };
    let refund = app.create_refund(wish).await.unwrap().refund.unwrap();
    assert_eq!(refund.speed_requested(), pb::RefundSpeed::Instant);
    app.advance(minutes(3));
    let done = app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    assert_eq!(done.speed_processed(), pb::RefundSpeed::Normal);
}

#[tokio::test]
async fn a_refund_that_fails_gives_its_amount_back_and_one_that_is_made_late_takes_it_again() {
    let app = App::start().await;
    app.provider.switches(Switches { refunds: upistream::sandbox::RefundCourse::WhenTold, ..app.provider.current_switches() });
    let payment = app.paid("one", 45_000).await;
    let refund = app.refund("back", &payment, 45_000).await;
    assert_eq!(app.refunded(&payment).await, (0, 45_000));
    app.provider.end_refund(ACCOUNT, &refund.provider_ref, RefundEnd::Failed).await.unwrap();
    let failed = app.refund_until(&refund.id, pb::RefundState::Failed).await;
    assert_eq!(failed.failure.unwrap().reason(), pb::FailureReason::ProviderFailed);
    until("the amount to be free", async || (app.refunded(&payment).await == (0, 0)).then_some(())).await;

    app.provider.end_refund(ACCOUNT, &refund.provider_ref, RefundEnd::Processed).await.unwrap();
    app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    assert_eq!(app.refunded(&payment).await, (45_000, 0));
    let story = app.story(&refund.id, app.get_refund(&refund.id).await.revision).await;
    let late = story.iter().rfind(|event| event.r#type == "refund.succeeded").unwrap();
    assert_eq!(late.evidence(), pb::Evidence::Enquiry, "a callback alone does not turn a failure");
}

#[tokio::test]
async fn what_a_person_refunds_in_the_dashboard_is_learned_and_counts() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    let theirs = app.provider.refund_payment(ACCOUNT, &payment.provider_ref, Some(20_000)).await.unwrap().unwrap();
    let refund = until("the refund to be learned", async || app.refunds_of(&payment).await.pop()).await;
    assert_eq!(
        (refund.origin(), refund.provider_ref.as_str(), paise(&refund.amount)),
        (pb::RefundOrigin::Provider, theirs.as_str(), 20_000)
    );
    assert_eq!(refund.reference, payment.reference, "it belongs to the payment's business");

    let refused = told(&app.create_refund(refund_order("back", &payment, 25_001)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "REFUND_EXCEEDS_PAYMENT"));
    assert_eq!(refused.metadata["refundable_minor_units"], "25000");
    app.refund("back", &payment, 25_000).await;
    app.advance(minutes(2));
    until("both to be made", async || (app.refunded(&payment).await == (45_000, 0)).then_some(())).await;
}

#[tokio::test]
async fn a_dashboard_s_refund_of_which_no_callback_told_is_found_with_its_payment() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.provider.refund_payment(ACCOUNT, &payment.provider_ref, Some(20_000)).await.unwrap();
    let request = pb::RefreshPaymentRequest { id: payment.id.clone() };
    let fresh = app.payments().refresh_payment(request).await.unwrap().into_inner().payment.unwrap();
    let refunds = app.refunds_of(&payment).await;
    assert_eq!((refunds.len(), refunds[0].origin()), (1, pb::RefundOrigin::Provider));
    assert_eq!(paise(&fresh.amount_refunded) + paise(&fresh.amount_refund_pending), 20_000, "{fresh:?}");
}

/// The payment is written down before its refunds are listed: a service that ends in between lists them later.
#[tokio::test]
async fn a_dashboard_s_refund_is_learned_though_the_service_ended_before_it_was_listed() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    let theirs = app.provider.refund_payment(ACCOUNT, &payment.provider_ref, Some(20_000)).await.unwrap().unwrap();
    app.fault("payment.refunds", FaultKind::Stall);
    let request = within(Duration::from_millis(900), pb::RefreshPaymentRequest { id: payment.id.clone() });
    app.payments().refresh_payment(request).await.expect_err("its refunds don't come");
    assert_eq!(app.asked("payment.refunds"), 1);
    let (folder, clock, provider) = app.halt().await;

    let app = App::start_at(folder, clock, provider, |_| {}).await;
    app.advance(minutes(60));
    let refund = until("the refund to be learned", async || app.refunds_of(&payment).await.pop()).await;
    assert_eq!((refund.provider_ref.as_str(), paise(&refund.amount)), (theirs.as_str(), 20_000));
}

#[tokio::test]
async fn a_mismatched_payment_can_be_refunded() {
    let app = App::start().await;
    let qr = app.create("one", 45_000).await;
    app.pay(&qr.provider_ref, PayOptions { amount: Some(50_000), any_amount: true, ..PayOptions::default() }).await;
    let payment = app.payment_until(&qr.id, pb::PaymentState::Mismatched).await;
    let refund = app.refund("back", &payment, 50_000).await;
    app.advance(minutes(1));
    app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
}

#[tokio::test]
async fn a_refusal_is_told_replayed_and_leaves_the_amount_free() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.provider.switches(Switches { balance: Some(100), ..app.provider.current_switches() });
    let refused = told(&app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::FailedPrecondition, "PROVIDER_REFUSED", "DEFINITE"));
    let failed = app.get_refund(&refused.metadata["resource_id"]).await;
    assert_eq!((failed.state(), failed.failure.unwrap().reason()), (pb::RefundState::Failed, pb::FailureReason::ProviderRefused));
    assert_eq!(app.refunded(&payment).await, (0, 0));
    app.provider.switches(Switches { balance: None, ..app.provider.current_switches() });
    let again = told(&app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap_err());
    assert_eq!((again.reason.as_str(), again.metadata["replayed"].as_str()), ("PROVIDER_REFUSED", "true"));
    app.refund("another decision", &payment, 12_000).await;
}

#[tokio::test]
async fn what_was_not_sent_leaves_its_key_and_amount_free() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.always("refund.create", FaultKind::TooManyRequests { retry_after: None });
    let request = crate::support::app::within(Duration::from_secs(2), refund_order("back", &payment, 45_000));
    let refused = told(&app.refunds().create_refund(request).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"));
    assert_eq!(app.refunded(&payment).await, (0, 0));
    app.provider.clear_faults();
    app.refund("back", &payment, 45_000).await;
    assert_eq!(app.refunds_at_provider().len(), 1);
}

#[tokio::test]
async fn what_is_not_paid_can_not_be_refunded() {
    let app = App::start().await;
    let qr = app.create("one", 45_000).await;
    app.pay(&qr.provider_ref, PayOptions { outcome: Outcome::Pending, ..PayOptions::default() }).await;
    app.advance(minutes(2));
    let payment = app.payment_until(&qr.id, pb::PaymentState::Pending).await;
    let refused = told(&app.create_refund(refund_order("back", &payment, 100)).await.unwrap_err());
    assert_eq!((refused.reason.as_str(), refused.outcome(), refused.metadata["state"].as_str()), ("STATE_FORBIDS", "NOT_SENT", "PENDING"));
    assert!(app.refunds_of(&payment).await.is_empty() && app.asked("refund.create") == 0);
}

impl App {
    async fn refresh(&self, payment: &pb::Payment) -> pb::Payment {
        let request = pb::RefreshPaymentRequest { id: payment.id.clone() };
        self.payments().refresh_payment(request).await.expect("the provider answers").into_inner().payment.expect("the answer has it")
    }
}

#[tokio::test]
async fn a_sum_of_the_provider_s_that_counts_a_failed_refund_is_explained_once() {
    let app = App::start().await;
    let course = upistream::sandbox::RefundCourse::WhenTold;
    app.provider.switches(Switches { refunds: course, amount_refunded_stays: true, ..app.provider.current_switches() });
    let payment = app.paid("one", 45_000).await;
    let refund = app.refund("back", &payment, 12_000).await;
    app.provider.end_refund(ACCOUNT, &refund.provider_ref, RefundEnd::Failed).await.unwrap();
    app.refund_until(&refund.id, pb::RefundState::Failed).await;
    assert_eq!(app.refunded(&payment).await, (0, 0), "the callback's sum is not taken for money that went back");
    app.refresh(&payment).await;
    let explained = app.get_payment(&payment.id).await;
    assert_eq!((paise(&explained.amount_refunded), paise(&explained.amount_refund_pending)), (0, 0));
    assert_eq!(app.refresh(&payment).await.revision, explained.revision, "it is no news again");
}

#[tokio::test]
async fn while_a_part_of_the_provider_s_sum_is_unknown_nothing_more_is_refunded() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.provider.set_list_lag(60);
    app.provider.refund_payment(ACCOUNT, &payment.provider_ref, Some(20_000)).await.unwrap();
    app.refresh(&payment).await;
    assert!(app.refunds_of(&payment).await.is_empty(), "the list does not show it yet");
    for amount in [45_000, 25_000, 100] {
        let refused = told(&app.create_refund(refund_order("back", &payment, amount)).await.unwrap_err());
        assert_eq!((refused.reason.as_str(), refused.outcome()), ("PROVIDER_UNAVAILABLE", "NOT_SENT"));
    }
    app.advance(minutes(2));
    until("the refund to be listed", async || app.refunds_of(&payment).await.pop()).await;
    let refused = told(&app.create_refund(refund_order("back", &payment, 25_001)).await.unwrap_err());
    assert_eq!(refused.metadata["refundable_minor_units"], "25000");
    app.refund("back", &payment, 25_000).await;
}
