//! What happens by itself as the sandbox's clock goes on, and over a restart.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_code_expires_at_its_time_without_an_event() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let qr = client.qr().await;
    let now = client.sandbox.now().as_second();
    let close_by = qr["close_by"].as_i64().unwrap();
    assert!((now + 7_190..=now + 7_200).contains(&close_by), "two hours: {close_by}");
    client.sandbox.advance(121 * MINUTE);
    let expired = client.fetch(&qr).await;
    assert_eq!((&expired["status"], &expired["closed_at"]), (&json!("closed"), &json!(close_by)));
    assert_eq!(expired["close_reason"], Value::Null);
    assert_eq!(receiver.events(1).await, ["qr_code.created"]);
}

#[tokio::test]
async fn too_late_a_close_by_is_brought_forward() {
    let client = start().await;
    let mut body = fixed_qr();
    body["close_by"] = json!(client.sandbox.now().as_second() + 86_400);
    let (_, qr) = client.post("/payments/qr_codes", body.clone()).await;
    assert!(qr["close_by"].as_i64() < body["close_by"].as_i64());
    client.sandbox.switches(Switches { older_close_by: true, ..Switches::default() });
    let (_, qr) = client.post("/payments/qr_codes", body.clone()).await;
    assert_eq!(qr["close_by"], body["close_by"]);
}

#[tokio::test]
async fn a_pending_payment_fails_and_may_still_succeed() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let qr = client.qr().await;
    let payment = client.pay(&qr, Outcome::Pending).await;
    assert_eq!((&payment["status"], &payment["acquirer_data"]["rrn"]), (&json!("created"), &Value::Null));
    client.sandbox.advance(11 * MINUTE);
    let failed = client.fetch(&payment).await;
    assert_eq!((&failed["status"], &failed["error_reason"]), (&json!("failed"), &json!("payment_timed_out")));

    client.sandbox.authorize_late("shop", text(&payment, "id")).await.unwrap();
    let late = client.fetch(&payment).await;
    assert_eq!((&late["status"], &late["error_code"]), (&json!("captured"), &Value::Null));
    assert_eq!(client.fetch(&qr).await["close_reason"], "paid");
    let events = ["payment.authorized", "payment.captured", "payment.failed", "qr_code.created", "qr_code.credited"];
    assert_eq!(receiver.events(5).await, events);
}

#[tokio::test]
async fn an_uncaptured_payment_goes_back_after_three_days() {
    let client = start().await;
    let qr = client.qr().await;
    let payment = client.pay(&qr, Outcome::Authorized).await;
    assert_eq!((&payment["status"], &payment["fee"]), (&json!("authorized"), &Value::Null));
    client.sandbox.advance(73 * 60 * MINUTE);
    let back = client.fetch(&payment).await;
    assert_eq!((&back["status"], &back["captured"]), (&json!("refunded"), &json!(false)));
    let late = client.sandbox.authorize_late("shop", text(&payment, "id")).await;
    assert!(matches!(late, Err(ControlError::WrongState { .. })), "{late:?}");
}

#[tokio::test]
async fn advancing_sends_retries_that_became_due() {
    let client = start_with(SandboxConfig { webhook_time_scale: 1_000, event_spread_ms: 0, ..config() }).await;
    let receiver = Receiver::start(&client).await;
    receiver.answer(&[400, 400]);
    client.qr().await;
    let tried = async |count: usize| {
        while client.sandbox.deliveries().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tried(1).await;
    client.sandbox.advance(Duration::from_secs(7));
    tried(2).await;
    client.sandbox.advance(Duration::from_secs(13));
    assert_eq!(receiver.wait_for(3).await.len(), 3);
}

#[tokio::test]
async fn a_stored_state_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    let (paid, open) = (client.qr().await, client.qr().await);
    let payment = client.pay(&paid, Outcome::Captured).await;
    client.sandbox.advance(MINUTE);
    client.sandbox.stop().await;

    let again = start_with(config).await;
    assert_eq!(again.fetch(&payment).await, payment);
    assert_eq!(again.fetch(&open).await["status"], "active");
    assert!(again.sandbox.now() > client.sandbox.now() - MINUTE);
    let third = again.qr().await;
    assert!(third["id"] != paid["id"] && third["id"] != open["id"]);
    again.sandbox.advance(180 * MINUTE);
    assert_eq!(again.fetch(&open).await["status"], "closed");
}
