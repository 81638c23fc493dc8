//! Eko: payments, what is told of them, and what inquiries say.

use super::*;

#[tokio::test]
async fn a_payment_is_told_when_it_is_held_and_again_when_it_is_credited() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let tid = counter.pay(text(&qr, "qr_string"), Outcome::Captured).await;
    assert!(tid.len() == 10 && tid.parse::<u64>().unwrap() > 1 << 31, "{tid}");
    let first = &counter.receiver.wait_for(1).await[0];
    assert_eq!((first.content_type.as_str(), first.signature.as_str()), ("application/json", ""));
    let told = first.json();
    let rrn = text(&told, "bank_ref_num").to_owned();
    let timestamp = text(&told, "timestamp").to_owned();
    let start = format!(
        r#"{{"tx_status":5,"amount":400,"tds":0,"txstatus_desc":"Payment Initiated","customer_vpa":"asha.rao@examplebank","fee":4.72,"gst":0.72,"tid":{tid},"client_ref_id":"{}","old_tx_status":2,"partners_commision":0,"service_code":"27","old_tx_status_desc":"Initiated","#,
        text(&qr, "utility_acc_no")
    );
    assert_eq!(first.body, format!(r#"{start}"bank_ref_num":"{rrn}","timestamp":"{timestamp}"}}"#));
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &timestamp).unwrap();
    assert_eq!(rrn[..4], format!("{}{:03}", at.year() % 10, at.date().day_of_year()));
    assert_eq!(rrn.len(), 12);

    let found = counter.inquire(&tid).await;
    assert_eq!((&found["status"], &found["response_status_id"]), (&json!(0), &json!(0)));
    let data = &found["data"];
    assert_eq!((text(data, "tx_status"), text(data, "txstatus_desc")), ("5", "Payment Initiated"));
    assert_eq!((text(data, "amount"), text(data, "fee"), text(data, "tds")), ("400.00", "4.72", "0.0"));
    assert_eq!((text(data, "tid"), text(data, "bank_ref_num"), text(data, "currency")), (tid.as_str(), rrn.as_str(), "INR"));
    let utc: jiff::Timestamp = text(data, "timestamp").parse().unwrap();
    assert_eq!(crate::sandbox::clock::in_ist(utc.as_millisecond()).strftime("%Y-%m-%d %H:%M:%S").to_string(), timestamp);

    counter.client.sandbox.advance(DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5");
    counter.client.sandbox.advance(DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "0");
    let second = counter.receiver.wait_for(2).await[1].json();
    assert_eq!((&second["old_tx_status"], &second["old_tx_status_desc"]), (&json!(5), &json!("Payment Initiated")));
    assert_eq!((&second["tx_status"], &second["txstatus_desc"]), (&json!(0), &json!("Success")));
    assert_eq!((&second["tid"], text(&second, "timestamp")), (&told["tid"], timestamp.as_str()), "the time of the payment");
}

#[tokio::test]
async fn switches_print_callbacks_otherwise_and_settle_otherwise() {
    let other = EkoSwitches { float_amounts: true, fee_paise: 0, customer_vpa: false, single_callback: true, ..always_active() };
    let counter = Counter::start(other.clone()).await;
    let qr = counter.qr().await;
    let code = text(&qr, "client_ref_id");
    let set = |eko: EkoSwitches| counter.client.sandbox.switches(Switches { eko, ..Switches::default() });
    let tid = counter.pay(code, Outcome::Captured).await;
    assert_eq!(counter.told(1).await, (json!(2), json!(0)));
    let body = counter.receiver.wait_for(1).await[0].body.clone();
    assert!(body.contains(r#""amount":400.0,"tds":0.0,"txstatus_desc":"Success","fee":0.0,"gst":0.0,"#), "{body}");

    set(EkoSwitches { unheard_tx_status: Some("17".to_owned()), ..always_active() });
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "17");

    set(EkoSwitches { fails_after: true, credit_delay_s: 60, ..always_active() });
    let failing = counter.pay(code, Outcome::Captured).await;
    assert_eq!(counter.told(2).await, (json!(2), json!(5)));
    counter.client.sandbox.advance(Duration::from_secs(61));
    assert_eq!(counter.told(3).await, (json!(5), json!(1)));
    assert_eq!(counter.inquire(&failing).await["data"]["tx_status"], "1");

    set(EkoSwitches { never_credited: true, ..always_active() });
    let held = counter.pay(code, Outcome::Captured).await;
    counter.client.sandbox.advance(30 * DAY);
    assert_eq!(counter.inquire(&held).await["data"]["tx_status"], "5");
    assert_eq!(counter.receiver.wait_for(4).await.len(), 4);
}

#[tokio::test]
async fn banks_say_no_yes_and_take_back() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    let failed = counter.pay(code, Outcome::Failed).await;
    assert_eq!(counter.told(1).await, (json!(2), json!(1)));
    assert!(matches!(sandbox.authorize_late("counter", &failed).await, Err(ControlError::WrongState { .. })));

    let waiting = counter.pay(code, Outcome::Pending).await;
    assert_eq!(counter.inquire(&waiting).await["data"]["tx_status"], "2");
    sandbox.authorize_late("counter", &waiting).await.unwrap();
    assert_eq!(counter.told(2).await, (json!(2), json!(5)), "nothing was told before");
    sandbox.reverse_payment("counter", &waiting).await.unwrap();
    assert_eq!(counter.told(3).await, (json!(5), json!(4)));
    sandbox.advance(3 * DAY);
    assert_eq!(counter.inquire(&waiting).await["data"]["tx_status"], "4", "what went back is not credited");

    let refused = counter.pay(code, Outcome::Pending).await;
    sandbox.fail_payment("counter", &refused).await.unwrap();
    assert_eq!(counter.told(4).await, (json!(2), json!(1)));
    assert!(matches!(sandbox.reverse_payment("counter", &refused).await, Err(ControlError::WrongState { .. })));
    assert!(matches!(sandbox.fail_payment("counter", "1").await, Err(ControlError::NotFound(_))));
    assert_eq!(sandbox.payments("counter").unwrap()[0]["tid"], json!(refused));
}

#[tokio::test]
async fn a_payer_says_how_much_and_more_than_three_rupees() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let pay = async |code: &str, amount, any_amount| {
        let pay = PayOptions { amount, any_amount, ..PayOptions::default() };
        counter.client.sandbox.pay_qr("counter", code, pay).await
    };
    let code = text(&qr, "utility_acc_no");
    assert!(matches!(pay(code, None, false).await, Err(ControlError::AmountNeeded(_))));
    assert_eq!(pay(code, Some(300), false).await, Err(ControlError::TooLittle(300)));
    assert!(pay(code, Some(300), true).await.is_ok());
    assert!(pay(code, Some(301), false).await.is_ok());
    let appended = format!("{}&am=5", text(&qr, "qr_string"));
    let tid = pay(&appended, None, false).await.unwrap();
    assert_eq!(counter.inquire(&tid).await["data"]["amount"], "5.00");
    assert!(matches!(pay("cust_unknown", Some(500), false).await, Err(ControlError::NotFound(_))));
    let authorized = PayOptions { amount: Some(500), outcome: Outcome::Authorized, ..PayOptions::default() };
    let refused = counter.client.sandbox.pay_qr("counter", code, authorized).await;
    assert_eq!(refused, Err(ControlError::NotOffered(Simulated::Eko)));
    let (status, _) = counter.client.control(Method::POST, "/eko/counter/pay", json!({"qr": code, "amount": 300})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn every_generation_finds_a_transaction_by_tid_and_the_newest_one_by_its_code() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let code = text(&qr, "utility_acc_no");
    let first = counter.pay(code, Outcome::Captured).await;
    let second = counter.pay(code, Outcome::Pending).await;
    for (path, expected) in [
        (format!("/v1/transactions/{first}?initiator_id=9000000001"), &first),
        (format!("/v2/transactions/{first}?initiator_id=9000000001&user_code=20810200"), &first),
        (format!("/v3/tools/reference/transaction/{first}?initiator_id=9000000001&user_code=20810200"), &first),
        (format!("/v1/transactions/client_ref_id:{code}?initiator_id=9000000001"), &second),
        (format!("/v2/transactions/client_ref_id%3A{code}?initiator_id=9000000001"), &second),
        (format!("/v3/tools/reference/transaction/{code}?initiator_id=9000000001&user_code=20810200"), &second),
    ] {
        let (status, found) = counter.get(&path).await;
        assert_eq!((status, &found["data"]["tid"]), (200, &json!(expected)), "{path}");
    }
    for (path, expected) in [
        (format!("/v1/transactions/{code}?initiator_id=9000000001"), 168),
        ("/v1/transactions/2147483649?initiator_id=9000000001".to_owned(), 168),
        (format!("/v1/transactions/{first}"), 97),
        (format!("/v1/transactions/{first}?initiator_id=9000000002"), 319),
        (format!("/v1/transactions/{first}?initiator_id=9000000001&user_code=1"), 463),
        (format!("/v3/tools/reference/transaction/{first}?initiator_id=9000000001"), 97),
    ] {
        let (status, refused) = counter.get(&path).await;
        assert_eq!((status, &refused["status"]), (200, &json!(expected)), "{path}");
    }
    assert!(counter.client.sandbox.seen()[1..].iter().all(|seen| seen.operation == "transaction.fetch"));
    assert_eq!(text(&counter.inquire("2147483649").await, "message"), "TID does not exist");
}

#[tokio::test]
async fn a_forged_callback_contradicts_the_inquiry() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    assert!(matches!(sandbox.send_forged("counter", code, None).await, Err(ControlError::AmountNeeded(_))));
    sandbox.send_forged("counter", code, Some(50_000)).await.unwrap();
    assert_eq!(counter.told(1).await, (json!(2), json!(5)));
    let forged = counter.receiver.wait_for(1).await[0].json();
    assert_eq!((&forged["client_ref_id"], &forged["amount"]), (&qr["utility_acc_no"], &json!(500)));
    assert_eq!(counter.inquire(&forged["tid"].to_string()).await["status"], 168);

    let tid = counter.pay(code, Outcome::Captured).await;
    counter.told(2).await;
    sandbox.send_forged("counter", code, None).await.unwrap();
    assert_eq!(counter.told(3).await, (json!(5), json!(0)));
    let forged = counter.receiver.wait_for(3).await[2].json();
    assert_eq!(forged["tid"].to_string(), tid);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5", "the books say otherwise");
}

#[tokio::test]
async fn callbacks_come_twice_late_or_never() {
    let counter = Counter::start(EkoSwitches { credit_delay_s: 60, ..always_active() }).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    let fault = |event: &str, kind| sandbox.webhook_fault(WebhookFault::on(event, kind)).unwrap();
    fault("payment.held", WebhookFaultKind::Duplicate);
    counter.pay(code, Outcome::Captured).await;
    let got = counter.receiver.wait_for(2).await;
    assert_eq!(got[0], got[1]);
    fault("payment.credited", WebhookFaultKind::Drop);
    sandbox.advance(Duration::from_secs(61));

    fault("payment.held", WebhookFaultKind::Hold);
    counter.pay(code, Outcome::Captured).await;
    sandbox.advance(Duration::from_secs(61));
    assert_eq!(counter.told(3).await, (json!(5), json!(0)));
    sandbox.release_webhooks();
    assert_eq!(counter.told(4).await, (json!(2), json!(5)), "the first one came last");
}

#[tokio::test]
async fn books_and_appointments_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    client.sandbox.switches(Switches { eko: always_active(), ..Switches::default() });
    let receiver = Receiver::start_for(&client, "counter").await;
    let counter = Counter { client, receiver };
    let qr = counter.qr().await;
    let tid = counter.pay(text(&qr, "utility_acc_no"), Outcome::Captured).await;
    counter.client.sandbox.stop().await;

    let counter = Counter { client: start_with(config).await, receiver: counter.receiver };
    assert_eq!(counter.qr().await, qr);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5");
    counter.client.sandbox.advance(2 * DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "0");
    assert_ne!(counter.pay(text(&qr, "utility_acc_no"), Outcome::Captured).await, tid);
}
