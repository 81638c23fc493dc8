//! Money goes back, where the provider has a way for it.

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, WebhookFaultKind};

use super::super::shop::{At, LEASE, PAISE, Shop, rupees};
use super::{A_MOMENT, is_lacking};
use crate::refund::refund_order;
use crate::support::app::{check_revisions, minutes, told, until};

/// A shop with a payment that can be refunded. `None`: that is lacking there, and was shown to be refused by name before
/// anything was written or sent.
async fn refundable(at: At) -> Option<(Shop, pb::Payment)> {
    let shop = Shop::open(at).await;
    let payment = shop.paid("one").await;
    let Some(reason) = shop.lacks_refunds() else { return Some((shop, payment)) };
    let log = shop.app.log().await;
    for amount in [PAISE, PAISE / 2, PAISE + 1] {
        // With the same key each time: none was used up.
        is_lacking(&shop.app.create_refund(refund_order("back", &payment, amount)).await.expect_err("it is lacking"), reason);
    }
    assert!(shop.refunds_of(&payment).await.is_empty());
    assert_eq!(shop.app.refunded(&payment).await, (0, 0));
    let told_of_refunds = shop.app.log().await.into_iter().skip(log.len()).find(|event| event.r#type.starts_with("refund."));
    assert_eq!(told_of_refunds, None);
    assert!(shop.doubts().await.is_empty());
    let asked = shop.app.provider.seen();
    assert!(!asked.iter().any(|request| request.path.contains("refund") || request.operation.contains("refund")), "{asked:?}");
    None
}

/// All of a payment goes back at once or in parts; what went back and what is on its way are told, and never come to more
/// than was paid.
pub async fn a_payment_is_refunded_in_whole_or_in_parts(at: At) {
    let Some((shop, whole)) = refundable(at).await else { return };
    let refused_over = async |payment: &pb::Payment, amount: i64, left: i64| {
        let refused = told(&shop.app.create_refund(refund_order("over", payment, amount)).await.expect_err("it is more than is left"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "REFUND_EXCEEDS_PAYMENT"));
        assert_eq!((refused.outcome(), refused.metadata["refundable_minor_units"].as_str()), ("NOT_SENT", left.to_string().as_str()));
    };
    refused_over(&whole, PAISE + 1, PAISE).await;
    let made = shop.app.refund("whole", &whole, PAISE).await;
    assert_eq!((made.state(), made.origin(), made.in_doubt), (pb::RefundState::Pending, pb::RefundOrigin::Ours, false));
    assert_eq!((made.account.as_str(), made.provider.as_str()), (at.account(), at.name()));
    assert_eq!((made.payment_id.as_str(), made.amount.clone()), (whole.id.as_str(), Some(rupees(PAISE))));
    assert_eq!(shop.app.refunded(&whole).await, (0, PAISE));
    let done = shop.refund_made(&made.id).await;
    assert_eq!((done.amount.clone(), done.in_doubt, done.failure.clone()), (Some(rupees(PAISE)), false, None));
    assert_eq!(shop.app.refunded(&whole).await, (PAISE, 0));
    refused_over(&whole, 100, 0).await;
    let again = shop.app.create_refund(refund_order("whole", &whole, PAISE)).await.expect("it is repeated");
    assert!(again.idempotency_replayed && again.refund.expect("the answer has it").id == made.id);

    let parts = shop.paid("two").await;
    let first = shop.app.refund("first", &parts, 20_000).await;
    assert_eq!(shop.app.refunded(&parts).await, (0, 20_000));
    shop.refund_made(&first.id).await;
    assert_eq!(shop.app.refunded(&parts).await, (20_000, 0));
    refused_over(&parts, PAISE - 20_000 + 1, PAISE - 20_000).await;
    let rest = shop.app.refund("rest", &parts, PAISE - 20_000).await;
    shop.refund_made(&rest.id).await;
    assert_eq!(shop.app.refunded(&parts).await, (PAISE, 0));
    refused_over(&parts, 100, 0).await;

    assert_eq!((shop.asked("refund.create"), shop.refunds_there().len()), (3, 3));
    let listed: Vec<_> = shop.refunds_of(&parts).await.into_iter().map(|refund| refund.id).collect();
    assert_eq!(listed, [rest.id, first.id]);
    let names = shop.app.names_of_refund(&made.id).await;
    assert_eq!(names[..3], ["refund.requested", "refund.pending", "refund.succeeded"]);
    assert!(shop.doubts().await.is_empty());
    assert_eq!(shop.app.get_payment(&parts.id).await.state(), pb::PaymentState::Succeeded, "it was paid all the same");
}

/// The provider never saw the request. It is sent again where that is safe, and where nobody can tell an operator decides.
pub async fn a_refund_whose_request_is_lost_is_found_out(at: At) {
    let Some((shop, payment)) = refundable(at).await else { return };
    shop.callbacks(WebhookFaultKind::Drop);
    shop.fault("refund.create", FaultKind::RequestLost);
    let made = shop.app.refund("back", &payment, 20_000).await;
    assert_eq!((made.state(), made.in_doubt), (pb::RefundState::Requested, true));
    assert_eq!(shop.app.refunded(&payment).await, (0, 20_000), "its amount stays reserved");
    match shop.refund_doubt() {
        pb::DoubtRemedy::SafeResend => {
            shop.app.advance(A_MOMENT);
            until("the request to be sent again", async || (!shop.app.get_refund(&made.id).await.in_doubt).then_some(())).await;
            assert_eq!(shop.asked("refund.create"), 2);
            shop.refund_made(&made.id).await;
        }
        pb::DoubtRemedy::None => {
            shop.app.advance(LEASE);
            let doubts = shop.doubts().await;
            assert_eq!((doubts.len(), doubts[0].resource_id.as_str()), (1, made.id.as_str()));
            assert_eq!((doubts[0].kind(), doubts[0].operation.as_str()), (pb::DoubtKind::OutcomeUnknown, "create_refund"));
            for _ in 0..3 {
                shop.app.advance_until_asked(minutes(27 * 60), "payment.fetch").await;
            }
            assert_eq!(shop.app.get_refund(&made.id).await.state(), pb::RefundState::Requested, "that it is not shown proves nothing");
            let decided = shop.decide("decided", &made.id, None).await.expect("it is decided");
            let Some(pb::resolve_doubt_response::Resource::Refund(decided)) = decided.resource else { panic!("{decided:?}") };
            assert_eq!(decided.failure.expect("it failed").reason(), pb::FailureReason::OperatorDecided);
            assert_eq!(shop.app.refunded(&payment).await, (0, 0), "its amount is free");
            assert_eq!(shop.asked("refund.create"), 1, "it was not sent again");
        }
        other => panic!("a refund's doubt is cured by {other:?}"),
    }
    assert!(shop.doubts().await.is_empty());
    check_revisions(&shop.app.log().await);
}

/// The provider made the refund and nobody heard of it.
pub async fn a_refund_whose_answer_is_lost_is_found_out(at: At) {
    let Some((shop, payment)) = refundable(at).await else { return };
    shop.callbacks(WebhookFaultKind::Drop);
    shop.fault("refund.create", FaultKind::AnswerLost);
    let made = shop.app.refund("back", &payment, 20_000).await;
    assert_eq!((made.state(), made.in_doubt), (pb::RefundState::Requested, true));
    let done = shop.refund_made(&made.id).await;
    assert!(!done.in_doubt);
    assert_eq!((shop.asked("refund.create"), shop.refunds_there().len()), (1, 1), "it was found, and not sent again");
    assert_eq!(shop.app.refunded(&payment).await, (20_000, 0));
    assert!(shop.doubts().await.is_empty());
    check_revisions(&shop.app.log().await);
}
