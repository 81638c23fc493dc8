//! Refunds over several replicas: together they never send back more than was paid.

use super::app_on;
use crate::refund::limits::never_more_than_was_paid;
use crate::support::app::provider;
use crate::support::redis::TestRedis;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_partial_refunds_from_three_replicas_never_exceed_the_payment() {
    let redis = TestRedis::start().await;
    let provider = provider().await;
    let (a, b, c) = (app_on(&redis, &provider).await, app_on(&redis, &provider).await, app_on(&redis, &provider).await);
    let payment = a.paid("one", 20_000).await;
    never_more_than_was_paid(&[&a, &b, &c], &payment).await;
}
