//! Broken networks and providers, and the record of what was asked.

use super::*;

async fn create_under(client: &Client, kind: FaultKind) -> Result<(u16, Value), reqwest::Error> {
    client.sandbox.fault(Fault::on("qr.create", kind)).unwrap();
    client.send(Method::POST, "/payments/qr_codes", Some(fixed_qr())).await
}

fn made(client: &Client) -> usize {
    client.sandbox.qr_codes("shop").unwrap().len()
}

#[tokio::test]
async fn a_lost_request_does_nothing_and_a_lost_answer_does_it_unsaid() {
    let client = start().await;
    assert!(create_under(&client, FaultKind::RequestLost).await.is_err());
    assert_eq!(made(&client), 0);
    assert!(create_under(&client, FaultKind::AnswerLost).await.is_err());
    assert_eq!(made(&client), 1);
    let seen = client.sandbox.seen();
    assert_eq!(seen.len(), 2, "the client didn't try again by itself");
    assert!(seen.iter().all(|request| request.operation == "qr.create" && request.answered == Answered::Lost));
    assert_eq!(seen[0].body, fixed_qr());
    client.qr().await;
    assert_eq!(client.sandbox.seen()[2].answered, Answered::Status(200));
}

#[tokio::test]
async fn statuses_come_before_or_after_the_deed() {
    let client = start().await;
    let (status, error) = create_under(&client, FaultKind::StatusBefore { status: 502 }).await.unwrap();
    assert_eq!((status, &error["error"]["code"], made(&client)), (502, &json!("GATEWAY_ERROR"), 0));
    let (status, error) = create_under(&client, FaultKind::StatusAfter { status: 500 }).await.unwrap();
    assert_eq!((status, &error["error"]["code"], made(&client)), (500, &json!("SERVER_ERROR"), 1));
    let (status, garbage) = create_under(&client, FaultKind::Garbage).await.unwrap();
    assert_eq!((status, garbage, made(&client)), (200, Value::Null, 2));
    let (status, error) = create_under(&client, FaultKind::TooManyRequests { retry_after: Some(7) }).await.unwrap();
    assert_eq!((status, description(&error), made(&client)), (429, "Too many requests", 2));
}

#[tokio::test]
async fn a_stalled_answer_and_a_late_deed_outlast_the_client() {
    let client = start().await;
    let url = format!("{}/v1/payments/qr_codes", client.sandbox.razorpay_url());
    let impatient = || {
        let request = client.http.post(&url).basic_auth("rzp_test_shop", Some("secret")).json(&fixed_qr());
        request.timeout(Duration::from_millis(100)).send()
    };
    client.sandbox.fault(Fault::on("qr.create", FaultKind::Stall)).unwrap();
    assert!(impatient().await.unwrap_err().is_timeout());
    assert_eq!(made(&client), 1);

    client.sandbox.fault(Fault::on("*", FaultKind::ActLate { ms: 300 })).unwrap();
    assert!(impatient().await.unwrap_err().is_timeout());
    assert_eq!(made(&client), 1);
    let late = async {
        while made(&client) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), late).await.unwrap();
}

#[tokio::test]
async fn lists_lag_behind_fetches() {
    let client = start().await;
    client.sandbox.set_list_lag(60);
    let qr = client.qr().await;
    assert_eq!(client.fetch(&qr).await["id"], qr["id"]);
    assert_eq!(client.get("/payments/qr_codes").await.1["count"], 0);
    client.sandbox.advance(Duration::from_secs(61));
    assert_eq!(client.get("/payments/qr_codes").await.1["count"], 1);
}

#[tokio::test]
async fn everything_can_be_done_over_http() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let (status, _) = client.control(Method::POST, "/faults", json!({"operation": "qr.create", "kind": "answer_lost"})).await;
    assert_eq!(status, 200);
    assert!(client.send(Method::POST, "/payments/qr_codes", Some(fixed_qr())).await.is_err());
    let (_, qrs) = client.control(Method::GET, "/razorpay/shop/qr_codes", Value::Null).await;
    let pay = json!({"qr": qrs["items"][0]["id"], "outcome": "pending"});
    let (status, paid) = client.control(Method::POST, "/razorpay/shop/pay", pay).await;
    assert_eq!(status, 200, "{paid}");
    assert_eq!(client.control(Method::POST, "/razorpay/shop/fail", paid.clone()).await.0, 200);
    assert_eq!(client.control(Method::POST, "/razorpay/shop/fail", paid.clone()).await.0, 409);
    assert_eq!(client.control(Method::POST, "/razorpay/shop/authorize_late", paid.clone()).await.0, 200);
    let events = ["payment.authorized", "payment.captured", "payment.failed", "qr_code.created", "qr_code.credited"];
    assert_eq!(receiver.events(5).await, events);
    let (_, payments) = client.control(Method::GET, "/razorpay/shop/payments", Value::Null).await;
    assert_eq!((&payments["items"][0]["id"], &payments["items"][0]["status"]), (&paid["payment_id"], &json!("captured")));

    let (_, before) = client.control(Method::GET, "/clock", Value::Null).await;
    let (_, after) = client.control(Method::POST, "/clock", json!({"advance_ms": 60_000})).await;
    assert!(after["now_ms"].as_i64().unwrap() >= before["now_ms"].as_i64().unwrap() + 60_000);
    assert_eq!(client.control(Method::POST, "/switches", json!({"unknown_url_404": true})).await.0, 200);
    assert_eq!(client.get("/nowhere").await.0, 404);
    assert_eq!(client.control(Method::POST, "/switches", json!({"no_such": true})).await.0, 400);
    let kind = json!({"kind": {"delay": {"ms": 5}}, "event": "qr_code.*"});
    assert_eq!(client.control(Method::POST, "/webhook_faults", kind).await.0, 200);
    let (_, seen) = client.control(Method::GET, "/seen", Value::Null).await;
    assert_eq!(seen["items"][0]["answered"], "lost");
    assert!(!seen.to_string().contains("secret"));
    assert_eq!(client.control(Method::POST, "/nothing", Value::Null).await.0, 404);
    let browser = client.http.get(format!("{}/seen", client.sandbox.control_url())).header("origin", "http://a.in");
    assert_eq!(browser.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn only_loopback_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = super::super::start(listener, config()).await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))), "{refused:?}");
}

#[tokio::test]
async fn a_fault_may_let_some_calls_pass_first() {
    let client = start().await;
    let third = json!({"operation": "payment.list", "kind": {"status_before": {"status": 503}}, "after": 2});
    assert_eq!(client.control(Method::POST, "/faults", third).await.0, 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get("/payments").await.0);
        client.get("/refunds").await;
    }
    assert_eq!(statuses, [200, 200, 503, 200]);
}
