//! Tokens after they are confirmed: paused, resumed, revoked, cancelled, deleted, expired.

use super::*;

#[tokio::test]
async fn a_payer_pauses_resumes_and_revokes() {
    let client = start().await;
    let mandate = client.token().await;
    let receiver = Receiver::start(&client).await;
    let steps = [
        (PayerAct::Pause, "paused", include_str!("../../../../tests/golden/razorpay/event.token.paused.json")),
        (PayerAct::Resume, "confirmed", include_str!("../../../../tests/golden/razorpay/event.token.resumed.json")),
        (PayerAct::Revoke, "cancelled", include_str!("../../../../tests/golden/razorpay/event.token.cancelled.json")),
    ];
    for (count, (act, status, sample)) in (1..).zip(steps) {
        client.act(&mandate.token, act).await.unwrap();
        assert_eq!(client.token_status(&mandate).await, status);
        let webhook = receiver.wait_for(count).await[count - 1].json();
        assert_like(&webhook, sample);
        let entity = &webhook["payload"]["token"]["entity"];
        assert_eq!(entity["recurring_details"]["status"], if act == PayerAct::Resume { "resumed" } else { status });
        let again = client.act(&mandate.token, act).await;
        assert!(matches!(again, Err(ControlError::WrongState { .. })), "{act:?}: {again:?}");
    }
}

#[tokio::test]
async fn a_merchant_cancels_and_it_takes_a_while() {
    let client = start().await;
    let mandate = client.token().await;
    let receiver = Receiver::start(&client).await;
    let cancel = format!("{}/cancel", mandate.path());
    let (status, answer) = client.send(Method::PUT, &cancel, None).await.unwrap();
    assert_eq!((status, answer), (200, json!({"status": "cancellation_initiated"})));
    assert_eq!(client.token_status(&mandate).await, "cancellation_initiated");
    assert_eq!(client.send(Method::PUT, &cancel, None).await.unwrap().0, 400);
    client.sandbox.advance(STEP);
    assert_eq!(client.token_status(&mandate).await, "cancelled");
    assert_eq!(receiver.events(2).await, ["token.cancellation_initiated", "token.cancelled"]);
    let initiated = told(&receiver.wait_for(2).await, "token.cancellation_initiated");
    assert_eq!(initiated["payload"]["token"]["entity"]["recurring_details"]["status"], "cancellation_initiated");

    let mandate = client.token().await;
    client.switch(|switches| switches.mandates.cancelling_stays = true);
    client.send(Method::PUT, &format!("{}/cancel", mandate.path()), None).await.unwrap();
    client.sandbox.advance(A_DAY);
    assert_eq!(client.token_status(&mandate).await, "cancellation_initiated");
    client.act(&mandate.token, PayerAct::Revoke).await.unwrap();
    assert_eq!(client.token_status(&mandate).await, "cancelled");
}

#[tokio::test]
async fn a_deleted_token_is_forgotten_and_the_mandate_lives_on() {
    let client = start().await;
    let mandate = client.token().await;
    let (status, answer) = client.send(Method::DELETE, &mandate.path(), None).await.unwrap();
    assert_eq!((status, answer), (200, json!({"deleted": true})));
    let (status, error) = client.get(&mandate.path()).await;
    assert_eq!((status, description(&error)), (400, "The id provided does not exist"));
    assert_eq!(client.get(&format!("/customers/{}/tokens", mandate.customer)).await.1["count"], 0);
    assert_eq!(client.send(Method::DELETE, &mandate.path(), None).await.unwrap().0, 400);
    let living = client.sandbox.mandates("shop").unwrap();
    assert_eq!(living[0]["recurring_details"]["status"], "confirmed");
    client.act(&mandate.token, PayerAct::Revoke).await.unwrap();
}

#[tokio::test]
async fn an_expired_token_vanishes() {
    let client = start().await;
    let mandate = client.token().await;
    let receiver = Receiver::start(&client).await;
    client.sandbox.advance(Duration::from_secs((4 * A_YEAR_S).unsigned_abs()));
    let (status, error) = client.get(&mandate.path()).await;
    assert_eq!((status, description(&error)), (400, "The id provided does not exist"));
    assert_eq!(client.send(Method::PUT, &format!("{}/cancel", mandate.path()), None).await.unwrap().0, 400);
    assert_eq!(client.get(&format!("/customers/{}/tokens", mandate.customer)).await.1["count"], 0);
    let late = client.act(&mandate.token, PayerAct::Pause).await;
    assert!(matches!(late, Err(ControlError::WrongState { .. })), "{late:?}");
    // Nothing tells of an expiry: what comes first is the settlement of the authorisation.
    assert!(receiver.wait_for(1).await[0].event().starts_with("settlement."));
}
