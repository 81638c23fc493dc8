//! EnKash's refunds: the payment's status alone says how one stands, so one at a time is under way, and what can't be told
//! apart is a person's to decide.

mod elsewhere;
mod killed;
mod lost;

use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, RefundCourse, RefundEnd};

use super::enkash::switched;
use super::shop::{At, PAISE, Shop};
use crate::refund::refund_order;
use crate::support::app::{check_revisions, minutes, told, until, within};

const A_PART: i64 = 20_000;
const ANOTHER_PART: i64 = 10_000;
/// Longer than any pause between two looks at what is open.
const A_DAY_AND_MORE: Duration = Duration::from_secs(27 * 3_600);

/// A shop with a payment.
async fn paid() -> (Shop, pb::Payment) {
    let shop = Shop::open(At::Enkash).await;
    let payment = shop.paid("one").await;
    (shop, payment)
}

/// The refund is refused, and another one named that is under way.
async fn waits_for(shop: &Shop, key: &str, payment: &pb::Payment, amount: i64, other: &pb::Refund) {
    let sent = shop.asked("refund.create");
    let refused = told(&shop.app.create_refund(refund_order(key, payment, amount)).await.expect_err("one is under way"));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::Aborted, "REFUND_IN_DOUBT", "NOT_SENT"));
    assert_eq!(refused.metadata["resource_id"], other.id);
    assert!(refused.retry_after.is_some());
    assert_eq!(shop.asked("refund.create"), sent);
}

/// How the provider's refunds of these amounts ended, newest first, by their amounts in paise.
fn at_provider(shop: &Shop) -> Vec<(i64, String)> {
    let paise = |amount: &serde_json::Value| (amount.as_f64().expect("an amount") * 100.0).round() as i64;
    let status = |refund: &serde_json::Value| refund["status"].as_str().expect("a status").to_owned();
    shop.refunds_there().iter().map(|refund| (paise(&refund["amount"]), status(refund))).collect()
}

/// What the provider calls its newest refund.
fn newest_request_id(shop: &Shop) -> String {
    shop.refunds_there()[0]["requestId"].as_str().expect("it was asked for by us").to_owned()
}

/// An operator's word on a refund, and the refund then.
async fn decided(shop: &Shop, key: &str, id: &str, happened: bool) -> pb::Refund {
    let answer = shop.decide(key, id, happened.then_some("")).await.expect("it is decided");
    let Some(pb::resolve_doubt_response::Resource::Refund(refund)) = answer.resource else { panic!("{answer:?}") };
    refund
}

/// Waits until the refund is shown to an operator, while time passes.
async fn shown_to_an_operator(shop: &Shop, id: &str) -> pb::Doubt {
    until("the doubt to be shown", async || {
        shop.app.advance(minutes(5));
        shop.doubts().await.into_iter().find(|doubt| doubt.resource_id == id)
    })
    .await
}

/// Time passes in which the refund is looked at, and it stays as it is.
async fn stays(shop: &Shop, refund: &pb::Refund) {
    for _ in 0..3 {
        shop.app.advance_and_look(A_DAY_AND_MORE, "payment.fetch").await;
    }
    assert_eq!(shop.app.get_refund(&refund.id).await.state(), refund.state());
}

/// One refund at a time: whoever comes meanwhile is told of it and comes again.
#[tokio::test]
async fn another_refund_waits_until_the_first_is_at_rest() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::WhenTold);
    let first = shop.app.refund("first", &payment, A_PART).await;
    assert_eq!((first.state(), first.provider_ref.as_str()), (pb::RefundState::Pending, ""));
    waits_for(&shop, "rest", &payment, PAISE - A_PART, &first).await;
    stays(&shop, &first).await;
    waits_for(&shop, "rest", &payment, PAISE - A_PART, &first).await;
    waits_for(&shop, "too much", &payment, PAISE, &first).await;

    shop.app.provider.end_refund("enkash", &newest_request_id(&shop), RefundEnd::Processed).await.expect("it is pending");
    shop.refund_made(&first.id).await;
    assert_eq!(shop.app.names_of_refund(&first.id).await, ["refund.requested", "refund.pending", "refund.succeeded"]);
    let story = shop.app.story(&first.id, 3).await;
    assert_eq!(story[2].evidence(), pb::Evidence::Enquiry);
    switched(&shop, |_| ());
    // The key was not used up.
    let rest = shop.app.refund("rest", &payment, PAISE - A_PART).await;
    shop.refund_made(&rest.id).await;
    assert_eq!(at_provider(&shop), [(PAISE - A_PART, "SUCCESS".to_owned()), (A_PART, "SUCCESS".to_owned())]);
    check_revisions(&shop.app.log().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refunds_at_once_one_is_taken() {
    let (shop, payment) = paid().await;
    let mut asking = JoinSet::new();
    for number in 0..16 {
        let (mut client, request) = (shop.app.refunds(), refund_order(&format!("one-{number}"), &payment, PAISE / 2));
        asking.spawn(async move { client.create_refund(request).await });
    }
    let answers = asking.join_all().await;
    let taken: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()?.get_ref().refund.as_ref()).collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let refused = told(refused);
        assert_eq!((refused.reason.as_str(), &refused.metadata["resource_id"]), ("REFUND_IN_DOUBT", &taken[0].id));
    }
    assert_eq!((shop.asked("refund.create"), shop.app.refunded(&payment).await), (1, (0, PAISE / 2)));
}

/// After a first part the payment shows the same whether a second one was made or not.
async fn with_a_part_that_cannot_be_told_apart() -> (Shop, pb::Payment, pb::Refund) {
    let (shop, payment) = paid().await;
    let first = shop.app.refund("first", &payment, A_PART).await;
    shop.refund_made(&first.id).await;
    let second = shop.app.refund("second", &payment, ANOTHER_PART).await;
    assert_eq!(second.state(), pb::RefundState::Pending);
    assert!(shop.doubts().await.is_empty(), "it was asked for a moment ago");
    let doubt = shown_to_an_operator(&shop, &second.id).await;
    assert_eq!((doubt.kind(), doubt.operation.as_str()), (pb::DoubtKind::OutcomeUnknown, "create_refund"));
    assert!(doubt.since.expect("it has a time").seconds <= shop.app.provider.now().as_second() - 15 * 60, "{doubt:?}");
    stays(&shop, &second).await;
    assert_eq!(shop.app.refunded(&payment).await, (A_PART, ANOTHER_PART));
    waits_for(&shop, "third", &payment, PAISE - A_PART - ANOTHER_PART, &second).await;
    (shop, payment, second)
}

#[tokio::test]
async fn a_second_part_that_can_not_be_told_apart_is_made_when_an_operator_says_so() {
    let (shop, payment, second) = with_a_part_that_cannot_be_told_apart().await;
    let made = decided(&shop, "it happened", &second.id, true).await;
    assert_eq!((made.state(), made.in_doubt), (pb::RefundState::Succeeded, false));
    let story = shop.app.story(&second.id, made.revision).await;
    assert_eq!(story.last().expect("it is told").evidence(), pb::Evidence::Operator);
    assert!(shop.doubts().await.is_empty());
    assert_eq!(shop.app.refunded(&payment).await, (A_PART + ANOTHER_PART, 0));
    // What is left completes the payment, and that can be seen.
    let rest = shop.app.refund("third", &payment, PAISE - A_PART - ANOTHER_PART).await;
    shop.refund_made(&rest.id).await;
    assert_eq!(shop.app.refunded(&payment).await, (PAISE, 0));
    let second = shop.app.get_refund(&second.id).await;
    assert_eq!((second.state(), second.contradictions.len()), (pb::RefundState::Succeeded, 0));
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn a_second_part_that_an_operator_gives_up_is_failed_and_its_amount_free() {
    let (shop, payment, second) = with_a_part_that_cannot_be_told_apart().await;
    let failed = decided(&shop, "it did not", &second.id, false).await;
    assert_eq!(
        (failed.state(), failed.failure.expect("it failed").reason()),
        (pb::RefundState::Failed, pb::FailureReason::OperatorDecided)
    );
    assert!(shop.doubts().await.is_empty());
    assert_eq!(shop.app.refunded(&payment).await, (A_PART, 0));
    // The amount can be asked for anew.
    let third = shop.app.refund("third", &payment, ANOTHER_PART).await;
    assert_eq!((third.state(), shop.app.refunded(&payment).await), (pb::RefundState::Pending, (A_PART, ANOTHER_PART)));
}

/// A refund that was given up is nobody's to find: what shows later is the later refund's.
#[tokio::test]
async fn what_an_operator_gave_up_is_not_made_good_by_a_later_refund() {
    for amount in [A_PART, PAISE] {
        let (shop, payment) = paid().await;
        shop.fault("refund.create", FaultKind::RequestLost);
        let lost = shop.app.refund("lost", &payment, amount).await;
        shown_to_an_operator(&shop, &lost.id).await;
        let lost = decided(&shop, "it did not", &lost.id, false).await;
        let other = shop.app.refund("another", &payment, amount).await;
        shop.refund_made(&other.id).await;
        assert_eq!(shop.app.refunded(&payment).await, (amount, 0));
        for _ in 0..8 {
            shop.app.advance(minutes(13 * 60));
            shop.answered_is(0).await;
        }
        assert_eq!(shop.app.get_refund(&lost.id).await, lost, "nothing of what the payment shows is of this one");
        assert_eq!(shop.app.refunded(&payment).await, (amount, 0));
        assert_eq!(at_provider(&shop), [(amount, "SUCCESS".to_owned())]);
    }
}

/// The bank sends a refund back before it was seen as made: it never shows, and a person decides.
#[tokio::test]
async fn a_refund_that_the_bank_sends_back_stays_open_until_it_is_given_up() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::WhenTold);
    let refund = shop.app.refund("back", &payment, PAISE).await;
    shop.app.provider.end_refund("enkash", &newest_request_id(&shop), RefundEnd::Failed).await.expect("it is pending");
    stays(&shop, &refund).await;
    shown_to_an_operator(&shop, &refund.id).await;
    decided(&shop, "it did not", &refund.id, false).await;
    switched(&shop, |_| ());
    let again = shop.app.refund("again", &payment, PAISE).await;
    shop.refund_made(&again.id).await;
    assert_eq!(shop.app.refunded(&payment).await, (PAISE, 0));
}

/// Whoever decides is not believed against what the provider shows.
#[tokio::test]
async fn a_refund_that_shows_as_made_can_not_be_given_up() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::AtOnce);
    shop.fault("refund.create", FaultKind::AnswerLost);
    let refund = shop.app.refund("back", &payment, A_PART).await;
    // Not long enough for anybody to look at it by himself.
    shop.app.advance(super::shop::LEASE);
    let refused = told(&shop.decide("it did not", &refund.id, None).await.expect_err("the provider shows it"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    assert_eq!(decided(&shop, "it happened", &refund.id, true).await.state(), pb::RefundState::Succeeded);
    assert_eq!(shop.app.refunded(&payment).await, (A_PART, 0));
}

/// What EnKash takes none of is a violation before anything is written.
#[tokio::test]
async fn what_enkash_does_not_take_with_a_refund_is_told_before_anything_is_written() {
    let (shop, payment) = paid().await;
    let check = async |change: fn(&mut pb::CreateRefundRequest), field: &str| {
        let mut order = refund_order("back", &payment, A_PART);
        change(&mut order);
        let refused = told(&shop.app.create_refund(order).await.expect_err("it is refused"));
        assert_eq!((refused.reason.as_str(), refused.fields), ("INVALID_FIELDS", vec![field.to_owned()]));
    };
    check(|order| order.notes = [("case".to_owned(), "7".to_owned())].into(), "notes").await;
    check(|order| order.speed = pb::RefundSpeed::Instant.into(), "speed").await;
    assert!(shop.refunds_of(&payment).await.is_empty() && shop.asked("refund.create") == 0);
    let described = pb::CreateRefundRequest { description: "damaged".to_owned(), ..refund_order("back", &payment, A_PART) };
    shop.app.create_refund(described).await.expect("it is taken");
    let sent = shop.app.provider.seen().into_iter().rfind(|request| request.operation == "refund.create").expect("it was sent");
    assert_eq!((sent.body["remarks"].as_str(), sent.body["amount"].as_f64()), (Some("damaged"), Some(200.0)));
    assert!(sent.path.ends_with(&format!("/api/v0/payment/{}/refund", payment.provider_ref)), "{}", sent.path);
}

/// A provider that takes no notice of the ids of requests would refund as often as it is asked: it is asked once.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_ids_of_requests_count_for_nothing_one_refund_is_made() {
    for fault in [None, Some(FaultKind::AnswerLost), Some(FaultKind::StatusAfter { status: 500 })] {
        let (shop, payment) = paid().await;
        switched(&shop, |enkash| enkash.request_ids_ignored = true);
        if let Some(fault) = fault.clone() {
            shop.fault("refund.create", fault);
        }
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            // A repeat waits for the decision as long as it has time.
            let (mut client, request) = (shop.app.refunds(), within(Duration::from_secs(2), refund_order("back", &payment, A_PART)));
            asking.spawn(async move {
                client.create_refund(request).await.expect("it is answered").into_inner().refund.expect("it is there").id
            });
        }
        let mut ids = asking.join_all().await;
        ids.dedup();
        assert_eq!(ids.len(), 1, "{fault:?}");
        shop.refund_made(&ids[0]).await;
        shop.app.refund("back", &payment, A_PART).await;
        assert_eq!((shop.asked("refund.create"), at_provider(&shop)), (1, vec![(A_PART, "SUCCESS".to_owned())]), "{fault:?}");
    }
}
