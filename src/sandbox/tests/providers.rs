//! What is the same at every provider: paths, faults, the control interface.

use super::*;

#[tokio::test]
async fn every_provider_is_reached_by_its_path_and_answers_in_its_own_words() {
    let client = start().await;
    for (path, field) in [("/enkash/x", "response_code"), ("/oqpay/x", "subCode"), ("/eko/x", "response_status_id")] {
        client.sandbox.fault(Fault::on("*", FaultKind::StatusBefore { status: 503 })).unwrap();
        let response = client.http.post(format!("http://{}{path}", client.sandbox.address())).send().await.unwrap();
        assert_eq!(response.status(), 503, "{path}");
        let error: Value = response.json().await.unwrap();
        assert!(!error[field].is_null(), "{path}: {error}");
    }
    let nobodys = client.http.get(format!("http://{}/ekos/x", client.sandbox.address())).send().await.unwrap();
    assert_eq!(nobodys.status(), 404);
    assert_eq!(client.sandbox.seen().len(), 3);
}

#[tokio::test]
async fn an_account_is_controlled_at_its_own_provider_alone() {
    let client = start().await;
    assert_eq!(client.control(Method::GET, "/eko/counter/qr_codes", Value::Null).await, (200, json!({"items": []})));
    assert_eq!(client.control(Method::GET, "/oqpay/counter/qr_codes", Value::Null).await.0, 404);
    assert_eq!(client.control(Method::POST, "/eko/counter/capture", json!({"payment_id": "1"})).await.0, 400);
    assert_eq!(client.control(Method::POST, "/razorpay/shop/reverse", json!({"payment_id": "1"})).await.0, 400);
    assert_eq!(client.control(Method::GET, "/paytm/counter/qr_codes", Value::Null).await.0, 404);
}

#[tokio::test]
async fn switches_of_one_provider_are_set_beside_the_others() {
    let client = start().await;
    let wanted = json!({"auto_capture": false, "eko": {"retries_ms": [1]}});
    let (status, switches) = client.control(Method::POST, "/switches", wanted).await;
    assert_eq!((status, &switches["eko"]["retries_ms"], &switches["qr_codes"]), (200, &json!([1]), &json!(true)));
    assert_eq!(client.control(Method::POST, "/switches", json!({"eko": {"no_such": 1}})).await.0, 400);
}

#[tokio::test]
async fn a_forged_callback_tells_of_a_payment_that_never_was() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    receiver.answer(&[200, 500]);
    let qr = client.qr().await;
    receiver.wait_for(1).await;
    let forge = json!({"qr": qr["image_content"], "amount": 100});
    assert_eq!(client.control(Method::POST, "/razorpay/shop/forge", forge).await.0, 200);
    let forged = receiver.wait_for(2).await[1].clone();
    assert_eq!(forged.event(), "qr_code.credited");
    assert_ne!(forged.signature, crate::sandbox::webhooks::sign(SECRET, forged.body.as_bytes()));
    let told = forged.json();
    assert_eq!(told["payload"]["qr_code"]["entity"]["id"], qr["id"]);
    assert_eq!(told["payload"]["payment"]["entity"]["amount"], 100);
    assert!(client.sandbox.payments("shop").unwrap().is_empty());
    assert_eq!(client.fetch(&qr).await["payments_count_received"], 0);
    while client.sandbox.deliveries().len() < 2 {
        tokio::task::yield_now().await;
    }
    client.sandbox.advance(Duration::from_secs(3_600));
    let deliveries = client.sandbox.deliveries();
    assert!(deliveries[1].forged && deliveries[1].status == DeliveryStatus::Answered(500), "{deliveries:?}");
}

#[tokio::test]
async fn no_two_accounts_have_one_name() {
    let mut config = config();
    let twice = SandboxAccount { name: "shop".to_owned(), ..config.accounts[3].clone() };
    config.accounts.push(twice);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = super::super::start(listener, config).await;
    assert!(matches!(refused, Err(StartError::SameName(_))), "{refused:?}");
}
