//! OQPay from outside.

use super::*;

const TAKEN: &str = r#"{"status": "1", "message": "Transaction completed successfully"}"#;

async fn ask(client: &Client, body: &Value) -> (u16, Value) {
    let url = format!("{}/api/V5/Payin/DynamicQRCode", client.sandbox.url_of(Simulated::Oqpay));
    let response = client.http.post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn order(rupees: i64) -> Value {
    json!({
        "customerName": "Test Payer", "customerMobile": "9000000001", "customerEmail": "payer@example.com",
        "amount": rupees, "registrationID": "OQP-101"
    })
}

/// What is told of a code that was made.
async fn made(client: &Client, rupees: i64) -> Value {
    let (status, answer) = ask(client, &order(rupees)).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    answer["data"].clone()
}

async fn receiver(client: &Client) -> Receiver {
    let receiver = Receiver::start_for(client, "stall").await;
    *receiver.words.lock().unwrap() = TAKEN.to_owned();
    receiver
}

fn switch(client: &Client, oqpay: OqpaySwitches) {
    client.sandbox.switches(Switches { oqpay, ..Switches::default() });
}

async fn pay(client: &Client, code: &str, pay: PayOptions) -> String {
    client.sandbox.pay_qr("stall", code, pay).await.unwrap()
}

fn paying(outcome: Outcome) -> PayOptions {
    PayOptions { outcome, ..PayOptions::default() }
}

fn digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[tokio::test]
async fn a_code_is_answered_as_in_the_sample() {
    let client = start().await;
    let code = made(&client, 500).await;
    assert!(text(&code, "txnId").strip_prefix("TPAY").is_some_and(|rest| digits(rest, 21)), "{code}");
    assert!(text(&code, "refId").strip_prefix("REF-OQP101V").is_some_and(|rest| digits(rest, 7)), "{code}");
    assert_eq!((text(&code, "transactionId").len(), &code["amount"], &code["status"]), (25, &json!(500), &json!("PENDING")));
    assert_eq!(code["qrString"], code["upiLink"]);
    let link = text(&code, "qrString");
    let names: Vec<_> = link.strip_prefix("upi://pay?").unwrap().split('&').map(|pair| pair.split_once('=').unwrap().0).collect();
    assert_eq!(names, ["pa", "pn", "tr", "tid", "am", "cu", "tn"]);
    assert!(link.contains("&pn=DEMO STORES PRIVATE LIMITED&") && link.contains("&am=500.00&"), "{link}");
    assert_eq!(upi::value(link, "tid").unwrap().len(), 35);

    let expires: jiff::Timestamp = text(&code, "expiresAt").parse().unwrap();
    let made: jiff::civil::DateTime = text(&code, "txnDate").parse().unwrap();
    let made = made.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    assert_eq!((expires.as_second() - made.as_second(), &code["expiresInSeconds"]), (300, &json!(300)));
    assert_eq!(text(&code, "expiresAt").len(), "2026-01-01T10:35:01.000Z".len());
}

#[tokio::test]
async fn a_repeated_order_makes_another_code() {
    let client = start().await;
    let (first, second) = (made(&client, 500).await, made(&client, 500).await);
    for id in ["txnId", "refId", "transactionId", "qrString"] {
        assert_ne!(first[id], second[id]);
    }
    let listed = client.sandbox.qr_codes("stall").unwrap();
    assert_eq!(listed, [second, first]);
}

#[tokio::test]
async fn wrong_orders_get_the_three_texts() {
    let client = start().await;
    let with = |name: &str, value: Value| {
        let mut order = order(500);
        order[name] = value;
        order
    };
    let wrong = [
        with("amount", json!(299)),
        with("amount", json!(500.5)),
        with("amount", json!("500")),
        with("amount", Value::Null),
        with("registrationID", json!("OQP-102")),
        with("registrationID", Value::Null),
        with("customerName", json!(7)),
    ];
    for order in wrong {
        let (status, error) = ask(&client, &order).await;
        assert_eq!((status, text(&error, "status"), text(&error, "subCode")), (400, "ERROR", "400"), "{order}");
        assert!(!text(&error, "message").is_empty() && error["success"].is_null());
    }
    assert_eq!(ask(&client, &order(299)).await.1["message"], "Amount cannot be less than ₹300");
    assert!(client.sandbox.qr_codes("stall").unwrap().is_empty());
    let seen = client.sandbox.seen();
    assert!(seen.iter().all(|request| request.operation == "qr.create"), "{seen:?}");
    assert_eq!((&seen[0].account, &seen[4].account), (&Some("stall".to_owned()), &None));
    assert!(!format!("{seen:?}").contains("OQP-10"), "the log has no registration id");
}

#[tokio::test]
async fn other_readings_are_switched_on() {
    let client = start().await;
    switch(&client, OqpaySwitches { declared_types: true, ..OqpaySwitches::default() });
    let (_, answer) = ask(&client, &order(300)).await;
    assert_eq!((&answer["success"], &answer["data"]["expiresInSeconds"]), (&json!("true"), &json!("300")));

    switch(&client, OqpaySwitches { account_not_set_up: true, ..OqpaySwitches::default() });
    let (status, error) = ask(&client, &order(300)).await;
    assert_eq!((status, text(&error, "message")), (400, "VPA does not exist for the account provided"));

    switch(&client, OqpaySwitches { customer_needed: true, ..OqpaySwitches::default() });
    let bare = json!({"amount": 300, "registrationID": "OQP-101"});
    assert_eq!(ask(&client, &bare).await.0, 400);
    switch(&client, OqpaySwitches::default());
    assert_eq!(ask(&client, &bare).await.0, 200);

    switch(&client, OqpaySwitches { bearer: Some("token".to_owned()), ..OqpaySwitches::default() });
    assert_eq!(ask(&client, &bare).await.0, 401);
    let url = format!("{}/api/V5/Payin/DynamicQRCode", client.sandbox.url_of(Simulated::Oqpay));
    let response = client.http.post(url).bearer_auth("token").json(&bare).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn nothing_is_told_of_a_code_but_by_callback() {
    let client = start().await;
    let url = client.sandbox.url_of(Simulated::Oqpay);
    for path in ["/api/V5/Payin/DynamicQRCode", "/api/V5/Payin/DynamicQRCodeStatus"] {
        let response = client.http.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    assert!(client.sandbox.seen().iter().all(|request| request.operation == "unknown"));
}

#[tokio::test]
async fn a_payment_is_told_by_an_unsigned_callback() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    let utr = pay(&client, text(&code, "qrString"), PayOptions::default()).await;
    let told = receiver.wait_for(1).await[0].clone();
    assert_eq!((told.content_type.as_str(), told.signature.as_str(), told.event_id.as_str()), ("application/json", "", ""));
    let json = told.json();
    assert!(digits(&utr, 12));
    assert_eq!((&json["utr"], &json["ref_id"], &json["txn_id"]), (&json!(utr), &code["refId"], &code["txnId"]));
    assert_eq!((&json["amount"], &json["status"], &json["message"]), (&json!(400), &json!("SUCCESS"), &json!("SUCCESS")));
    assert_eq!(json["payeeVpa"], "stall.GR0001@kotak");
    assert!(text(&json, "timestamp").ends_with('Z'));
    assert_eq!(client.sandbox.payments("stall").unwrap(), [json]);
}

#[tokio::test]
async fn money_that_comes_late_or_twice_is_taken_all_the_same() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    client.sandbox.advance(Duration::from_secs(301));
    let first = pay(&client, text(&code, "refId"), PayOptions::default()).await;
    let second = pay(&client, text(&code, "txnId"), PayOptions::default()).await;
    assert_ne!(first, second);
    assert!(receiver.wait_for(2).await.iter().all(|webhook| webhook.json()["ref_id"] == code["refId"]));
}

#[tokio::test]
async fn an_undecided_payment_is_told_once_the_bank_decides() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    let (sandbox, code) = (&client.sandbox, text(&code, "refId"));
    let pending = pay(&client, code, paying(Outcome::Pending)).await;
    let authorized = pay(&client, code, paying(Outcome::Authorized)).await;
    sandbox.fail_payment("stall", &pending).await.unwrap();
    let told = receiver.wait_for(1).await[0].json();
    assert_eq!((&told["utr"], &told["status"]), (&json!(pending), &json!("FAILED")));
    sandbox.authorize_late("stall", &authorized).await.unwrap();
    sandbox.authorize_late("stall", &pending).await.unwrap();
    assert!(receiver.wait_for(3).await[1..].iter().all(|webhook| webhook.json()["status"] == "SUCCESS"));
    let again = sandbox.fail_payment("stall", &pending).await;
    assert!(matches!(again, Err(ControlError::WrongState { .. })), "{again:?}");
    assert_eq!(sandbox.reverse_payment("stall", &pending).await, Err(ControlError::NotOffered(Simulated::Oqpay)));
}

#[tokio::test]
async fn payers_pay_whole_rupees_unless_told_otherwise() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    let odd = PayOptions { amount: Some(40_050), ..PayOptions::default() };
    assert!(client.sandbox.pay_qr("stall", text(&code, "refId"), odd.clone()).await.is_err());
    pay(&client, text(&code, "refId"), PayOptions { any_amount: true, ..odd }).await;
    let told = receiver.wait_for(1).await[0].clone();
    assert!(told.body.contains(r#""amount":400.50,"#), "{}", told.body);
}

#[tokio::test]
async fn callbacks_come_as_forms_and_with_other_words_where_switched_so() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    let switches = OqpaySwitches { form_encoded: true, success_status: "IN PROCESS".to_owned(), ..OqpaySwitches::default() };
    switch(&client, switches);
    let utr = pay(&client, text(&code, "refId"), PayOptions::default()).await;
    let told = receiver.wait_for(1).await[0].clone();
    assert_eq!(told.content_type, "application/x-www-form-urlencoded");
    assert!(told.body.starts_with(&format!("utr={utr}&amount=400&ref_id=REF-OQP101V")), "{}", told.body);
    assert!(told.body.contains("&status=IN%20PROCESS&"), "{}", told.body);
}

#[tokio::test]
async fn a_callback_is_repeated_until_the_receiver_says_the_word() {
    let client = start().await;
    let receiver = receiver(&client).await;
    *receiver.words.lock().unwrap() = r#"{"status": 1}"#.to_owned();
    receiver.answer(&[500, 200, 201]);
    let code = made(&client, 400).await;
    pay(&client, text(&code, "refId"), PayOptions::default()).await;
    let tried = async |count: usize| {
        while client.sandbox.deliveries().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tried(3).await;
    *receiver.words.lock().unwrap() = TAKEN.to_owned();
    // The fourth attempt may have left before the words changed.
    let last = async {
        while client.sandbox.deliveries().last().is_none_or(|delivery| !delivery.status.is_success()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), last).await.unwrap();
    let got = receiver.wait_for(4).await;
    assert!(got.iter().all(|webhook| webhook == &got[0]), "{got:?}");
    let statuses: Vec<_> = client.sandbox.deliveries()[..3].iter().map(|delivery| delivery.status).collect();
    let refused = [DeliveryStatus::Answered(500), DeliveryStatus::NotAccepted(200), DeliveryStatus::NotAccepted(201)];
    assert_eq!(statuses, refused);
}

#[tokio::test]
async fn a_forged_callback_has_the_right_ids_and_no_payment_behind_it() {
    let client = start().await;
    let receiver = receiver(&client).await;
    let code = made(&client, 400).await;
    client.sandbox.send_forged("stall", text(&code, "refId"), Some(50_000)).await.unwrap();
    let told = receiver.wait_for(1).await[0].json();
    assert_eq!((&told["ref_id"], &told["txn_id"], &told["amount"]), (&code["refId"], &code["txnId"], &json!(500)));
    assert_eq!(told["status"], "SUCCESS");
    assert!(client.sandbox.payments("stall").unwrap().is_empty());
}

#[tokio::test]
async fn faults_lose_answers_and_callbacks_here_too() {
    let client = start().await;
    let receiver = receiver(&client).await;
    client.sandbox.fault(Fault { account: Some("stall".to_owned()), ..Fault::on("qr.create", FaultKind::AnswerLost) }).unwrap();
    let url = format!("{}/api/V5/Payin/DynamicQRCode", client.sandbox.url_of(Simulated::Oqpay));
    assert!(client.http.post(url).json(&order(400)).send().await.is_err());
    let code = client.sandbox.qr_codes("stall").unwrap()[0].clone();
    let fault = |kind| client.sandbox.webhook_fault(WebhookFault::on("payment.success", kind)).unwrap();
    fault(WebhookFaultKind::Drop);
    fault(WebhookFaultKind::Duplicate);
    pay(&client, text(&code, "refId"), PayOptions::default()).await;
    let utr = pay(&client, text(&code, "refId"), PayOptions::default()).await;
    assert!(receiver.wait_for(2).await.iter().all(|webhook| webhook.json()["utr"] == json!(utr)));
}

#[tokio::test]
async fn codes_and_payments_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    let code = made(&client, 400).await;
    pay(&client, text(&code, "refId"), PayOptions::default()).await;
    let payments = client.sandbox.payments("stall").unwrap();
    client.sandbox.stop().await;
    let again = start_with(config).await;
    assert_eq!((again.sandbox.qr_codes("stall").unwrap(), again.sandbox.payments("stall").unwrap()), (vec![code], payments));
}
