//! Mandates at EnKash: asked for, approved, changed by either side, ended by time. Debits are in `debits.rs`.

use jiff::Timestamp;

use super::*;

const HALF_A_MINUTE: Duration = Duration::from_secs(31);
const DAY: Duration = Duration::from_secs(86_400);

impl Till {
    /// What asks for a monthly mandate of 299 rupees at most, for a year; half an hour to approve it.
    pub fn mandate_of(&self, reference: &str) -> Value {
        let now = self.sandbox().now();
        let later = |by: Duration| (now + by).to_string();
        json!({
            "reference_id": reference, "amount": 29_900, "amount_rule": "MAX", "currency": "INR",
            "payer": {"name": "Ravi", "vpa": VPA, "account": "", "account_validation": false},
            "mandate_name": "Gold plan", "expiry": later(Duration::from_secs(1_800)), "block_fund": false,
            "recurrence": {"period": "MONTHLY", "rule": "AFTER", "value": 5},
            "validity": {"start_at": now.to_string(), "end_at": later(365 * DAY)}
        })
    }

    pub async fn ask(&self, body: &Value) -> (u16, Value) {
        self.send(Method::POST, "/api/v0/upi-mandate", Some(&body.to_string())).await
    }

    /// EnKash's id of a mandate that the payer approved.
    pub async fn approved(&self, body: &Value) -> String {
        let id = text(&payload(self.ask(body).await), "mandate_id").to_owned();
        self.act(&id, PayerAct::Approve).await.unwrap();
        id
    }

    pub async fn act(&self, mandate: &str, act: PayerAct) -> Result<(), ControlError> {
        self.sandbox().decide_mandate("till", mandate, act).await
    }

    pub async fn mandate(&self, reference: &str) -> Value {
        self.get(&format!("/api/v0/upi-mandate/{reference}")).await
    }

    pub async fn standing(&self, reference: &str) -> String {
        text(&self.mandate(reference).await, "status").to_owned()
    }

    async fn revoke(&self, body: Value) -> (u16, Value) {
        self.send(Method::PATCH, "/api/v0/upi-mandate/revoke", Some(&body.to_string())).await
    }

    /// From here on callbacks are noted down and not sent, so that they are there as soon as they happened.
    pub fn note_callbacks(&self) {
        self.sandbox().set_webhook_url("till", "http://127.0.0.1:1/hook").unwrap();
        let fault = WebhookFault { times: 100, ..WebhookFault::on("*", WebhookFaultKind::Drop) };
        self.sandbox().webhook_fault(fault).unwrap();
    }

    /// The events that were told of and what each said, oldest first.
    pub fn told(&self) -> Vec<(String, Value)> {
        let deliveries = self.sandbox().deliveries();
        deliveries.into_iter().map(|delivery| (delivery.event, serde_json::from_str(&delivery.body).unwrap())).collect()
    }

    pub fn events(&self) -> Vec<String> {
        self.told().into_iter().map(|(event, _)| event).collect()
    }
}

fn is_wrong_state(result: Result<(), ControlError>) -> bool {
    matches!(result, Err(ControlError::WrongState { .. }))
}

#[tokio::test]
async fn a_mandate_is_asked_for_approved_and_told_of() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "till").await;
    let body = till.mandate_of("EN1/2");
    let made = payload(till.ask(&body).await);
    let id = text(&made, "mandate_id").to_owned();
    assert_eq!(made, json!({"reference_id": "EN1/2", "mandate_id": id, "status": "INITIATED"}));
    let epoch = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
    let mut expected = json!({
        "reference_id": "EN1/2", "mandate_id": id, "amount": 29_900, "amount_rule": "MAX", "currency": "INR",
        "payee": {"vpa": "till.enkash@examplebank", "name": "till", "mcc": "5411"}, "payer": body["payer"], "name": "Gold plan",
        "expire_at": epoch(&body["expiry"]), "block_fund": false, "revokeable_by_payer": true, "recurrence": body["recurrence"],
        "validity": {"start_at": epoch(&body["validity"]["start_at"]), "end_at": epoch(&body["validity"]["end_at"])},
        "status": "INITIATED"
    });
    assert_eq!(till.mandate("EN1%2F2").await, expected);
    refused(till.send(Method::GET, "/api/v0/upi-mandate/EN2", None).await);

    till.act(&id, PayerAct::Approve).await.unwrap();
    let approved = till.mandate("EN1%2F2").await;
    let (number, handle) = text(&approved, "umn").split_once('@').unwrap();
    assert!(number.len() == 32 && number.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && handle == "examplebank");
    (expected["umn"], expected["status"]) = (approved["umn"].clone(), json!("ACTIVE"));
    assert_eq!(approved, expected);
    let got = receiver.wait_for(1).await;
    assert_eq!((got[0].json(), got[0].signature.as_str()), (expected.clone(), ""));
    assert_eq!(till.sandbox().mandates("till").unwrap(), vec![expected]);
    assert!(is_wrong_state(till.act("EN1/2", PayerAct::Approve).await));
    assert_eq!(till.act("MD1", PayerAct::Approve).await, Err(ControlError::NotFound("MD1".to_owned())));
}

#[tokio::test]
async fn a_mandate_is_asked_for_with_all_its_fields_in_either_spelling() {
    let till = Till::open().await;
    let body = till.mandate_of("EN1");
    for pointer in ["", "/payer", "/recurrence", "/validity"] {
        for name in body.pointer(pointer).unwrap().as_object().unwrap().keys() {
            let mut lacking = body.clone();
            lacking.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
            refused(till.ask(&lacking).await);
        }
    }
    let now = till.sandbox().now().to_string();
    for (pointer, wrong) in [
        ("/reference_id", json!(" ")),
        ("/amount", json!(0)),
        ("/amount", json!(299.5)),
        ("/amount", json!("29900")),
        ("/amount_rule", json!("UPTO")),
        ("/currency", json!("USD")),
        ("/payer/vpa", json!("ravi")),
        ("/payer/account_validation", json!(true)),
        ("/expiry", json!(now)),
        ("/expiry", json!("2999-01-01")),
        ("/block_fund", json!(true)),
        ("/recurrence/period", json!("monthly")),
        ("/recurrence/rule", json!("NA")),
        ("/recurrence/value", json!(32)),
        ("/recurrence/period", json!("WEEKLYISH")),
        ("/recurrence", json!({"period": "WEEKLY", "rule": "ON", "value": 8})),
        ("/recurrence", json!({"period": "DAILY", "rule": "ON", "value": 1})),
        ("/recurrence", json!({"period": "ONETIME", "rule": "NA", "value": 1})),
        ("/validity/end_at", body["validity"]["start_at"].clone()),
        ("/payer", json!({"name": "Ravi", "vpa": VPA, "account": "", "account_validation": false, "phone": "9"})),
    ] {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = wrong;
        refused(till.ask(&body).await);
    }
    assert!(till.sandbox().mandates("till").unwrap().is_empty());

    let mut camel = body.to_string();
    for (snake, spelt) in [
        ("reference_id", "referenceId"),
        ("amount_rule", "amountRule"),
        ("account_validation", "accountValidation"),
        ("mandate_name", "mandateName"),
        ("block_fund", "blockFund"),
        ("start_at", "startAt"),
        ("end_at", "endAt"),
    ] {
        camel = camel.replace(snake, spelt);
    }
    payload(till.send(Method::POST, "/api/v0/upi-mandate", Some(&camel)).await);
    let periods = [("ONETIME", "NA", 0), ("DAILY", "NA", 0), ("ASPRESENTED", "NA", 0), ("WEEKLY", "ON", 7), ("HALFYEARLY", "BEFORE", 31)];
    for (index, (period, rule, value)) in periods.into_iter().enumerate() {
        let reference = format!("EN{}", index + 2);
        let mut body = till.mandate_of(&reference);
        body["recurrence"] = json!({"period": period, "rule": rule, "value": value});
        payload(till.ask(&body).await);
        assert_eq!(till.mandate(&reference).await["recurrence"], body["recurrence"]);
    }
}

#[tokio::test]
async fn a_reference_comes_twice_in_two_ways() {
    let till = Till::open().await;
    let first = till.approved(&till.mandate_of("EN1")).await;
    let mut other = till.mandate_of("EN1");
    other["amount"] = json!(100);
    refused(till.ask(&other).await);
    till.switch(|switches| switches.repeated_mandate = RepeatedMandate::FirstAnswered);
    let again = payload(till.ask(&other).await);
    assert_eq!(again, json!({"reference_id": "EN1", "mandate_id": first, "status": "ACTIVE"}));
    assert_eq!(till.sandbox().mandates("till").unwrap().len(), 1);
}

#[tokio::test]
async fn what_nobody_knows_is_a_switch() {
    let till = Till::open().await;
    till.switch(|switches| {
        (switches.mandate_naming, switches.mandate_amounts_in_rupees) = (MandateNaming::CamelCase, true);
        switches.mandate_times_in_seconds = true;
        switches.mandate_words.statuses.insert(MandateStatus::Active, "LIVE".to_owned());
        switches.mandate_words.periods.insert(MandatePeriod::Monthly, "Monthly".to_owned());
        switches.mandate_words.rules.insert(MandateRule::After, "after".to_owned());
    });
    let mut body = till.mandate_of("EN1");
    refused(till.ask(&body).await);
    (body["amount"], body["recurrence"]) = (json!(299), json!({"period": "Monthly", "rule": "after", "value": 5}));
    let made = payload(till.ask(&body).await);
    till.act(text(&made, "mandateId"), PayerAct::Approve).await.unwrap();
    let read = till.mandate("EN1").await;
    assert_eq!((&read["status"], &read["amount"], &read["recurrence"]["period"]), (&json!("LIVE"), &json!(299), &json!("Monthly")));
    let ends = text(&body["validity"], "end_at").parse::<Timestamp>().unwrap().as_second();
    assert_eq!((&read["amountRule"], &read["validity"]["endAt"]), (&json!("MAX"), &json!(ends)));
    till.switch(|switches| (switches.amounts_as_strings, switches.unheard_statuses) = (true, true));
    let read = till.mandate("EN1").await;
    assert_eq!((&read["amount"], &read["recurrence"]["period"]), (&json!("29900"), &json!("MONTHLY")));
    assert_ne!(read["status"], "ACTIVE");
}

#[tokio::test]
async fn the_older_paths_are_served_too_and_answer_in_camel_case() {
    let till = Till::open().await;
    let made = till.post("/api/v0/upi-autopay/mandates", till.mandate_of("EN1")).await;
    let id = text(&made, "mandateId").to_owned();
    till.act(&id, PayerAct::Approve).await.unwrap();
    let notice = json!({"mandateId": id, "amount": 299.00, "debitDate": tomorrow(&till)});
    let told = till.post("/api/v0/upi-autopay/mandates/pre-debit-notification", notice).await;
    assert_eq!((&told["mandateId"], text(&told, "predebitNotificationId").is_empty()), (&json!(id), false), "{told}");
    let order = till.post("/api/v0/upi-autopay/mandates/debit", json!({"mandateId": id, "amount": 299, "remarks": "January"})).await;
    assert!(text(&order, "orderId").starts_with("ORD"), "{order}");
}

#[tokio::test]
async fn a_payer_rejects_pauses_resumes_and_revokes() {
    let till = Till::open().await;
    till.note_callbacks();
    payload(till.ask(&till.mandate_of("EN0")).await);
    till.act("EN0", PayerAct::Reject).await.unwrap();
    assert_eq!((till.standing("EN0").await.as_str(), till.mandate("EN0").await["umn"].clone()), ("REJECTED", Value::Null));
    for act in [PayerAct::Approve, PayerAct::Pause, PayerAct::Resume, PayerAct::Revoke, PayerAct::Reject] {
        assert!(is_wrong_state(till.act("EN0", act).await), "{act:?}");
    }

    till.approved(&till.mandate_of("EN1")).await;
    till.act("EN1", PayerAct::Pause).await.unwrap();
    let paused = till.told()[2].1.clone();
    assert_eq!((&paused["status"], &paused["pause_period"]["end_at"]), (&json!("PAUSED"), &paused["validity"]["end_at"]));
    assert_eq!((till.mandate("EN1").await, paused["pause_period"]["start_at"].is_i64()), (paused, true));
    assert!(is_wrong_state(till.act("EN1", PayerAct::Revoke).await));
    refused(till.revoke(json!({"reference_id": "EN1"})).await);
    till.act("EN1", PayerAct::Resume).await.unwrap();
    assert_eq!(till.told()[3].1["pause_period"], Value::Null);
    till.act("EN1", PayerAct::Revoke).await.unwrap();
    assert_eq!(till.standing("EN1").await, "REVOKED");
    let expected = ["mandate.rejected", "mandate.approved", "mandate.paused", "mandate.resumed", "mandate.revoked"];
    assert_eq!(till.events(), expected);
}

#[tokio::test]
async fn the_merchant_revokes_at_once_or_when_the_payers_side_says_so() {
    let till = Till::open().await;
    till.note_callbacks();
    let id = till.approved(&till.mandate_of("EN1")).await;
    let revoked = payload(till.revoke(json!({"referenceId": "EN1"})).await);
    assert_eq!(revoked, json!({"reference_id": "EN1", "mandate_id": id, "status": "REVOKED"}));
    assert_eq!((till.events()[1].as_str(), &till.told()[1].1["status"]), ("mandate.revoked", &json!("REVOKED")));
    refused(till.revoke(json!({"reference_id": "EN1"})).await);
    till.switch(|switches| switches.revoking_revoked_fails = false);
    assert_eq!(payload(till.revoke(json!({"reference_id": "EN1"})).await), revoked);
    for wrong in [json!({"reference_id": "EN9"}), json!({}), json!({"reference_id": "EN1", "remarks": "x"})] {
        refused(till.revoke(wrong).await);
    }

    till.client.switch(|switches| switches.mandates.cancelling_stays = true);
    till.approved(&till.mandate_of("EN2")).await;
    for _ in 0..2 {
        assert_eq!(payload(till.revoke(json!({"reference_id": "EN2"})).await)["status"], "ACTIVE");
    }
    till.act("EN2", PayerAct::Revoke).await.unwrap();
    assert_eq!(till.standing("EN2").await, "REVOKED");
    refused(till.send(Method::PATCH, "/api/v0/upi-mandate", Some(r#"{"reference_id": "EN2", "amount": 1}"#)).await);
}

#[tokio::test]
async fn time_approves_and_ends_mandates() {
    let till = Till::open().await;
    till.note_callbacks();
    payload(till.ask(&till.mandate_of("EN1")).await);
    till.client.switch(|switches| switches.mandates.approvals = ApprovalCourse::ByThemselves);
    payload(till.ask(&till.mandate_of("EN2")).await);
    till.sandbox().advance(HALF_A_MINUTE);
    assert_eq!((till.standing("EN1").await.as_str(), till.standing("EN2").await.as_str()), ("INITIATED", "ACTIVE"));
    till.sandbox().advance(Duration::from_secs(1_800));
    let till = Till::open_with(till.client).await;
    assert_eq!((till.standing("EN1").await.as_str(), till.standing("EN2").await.as_str()), ("EXPIRED", "ACTIVE"));
    assert!(is_wrong_state(till.act("EN1", PayerAct::Approve).await));
    till.sandbox().advance(365 * DAY);
    let (_, ended) = &till.told()[2];
    assert_eq!((&ended["reference_id"], &ended["status"]), (&json!("EN2"), &json!("EXPIRED")));
    assert_eq!(till.events(), ["mandate.approved", "mandate.expired", "mandate.expired"]);
}

#[tokio::test]
async fn a_forged_approval_is_told_and_the_books_do_not_know_it() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "till").await;
    payload(till.ask(&till.mandate_of("EN1")).await);
    till.sandbox().send_forged("till", "EN1", Some(99_900)).await.unwrap();
    let told = receiver.wait_for(1).await[0].json();
    assert_eq!((&told["status"], &told["amount"], told["umn"].is_string()), (&json!("ACTIVE"), &json!(99_900), true));
    assert_eq!(till.standing("EN1").await, "INITIATED");
}

#[tokio::test]
async fn a_mandate_is_for_whoever_has_a_token() {
    let till = Till::open().await;
    till.approved(&till.mandate_of("EN1")).await;
    assert_eq!(till.page("/api/v0/upi-mandate/EN1").await.1["response_code"], 117);
    let fault = |kind| till.sandbox().fault(Fault::on("mandate.create", kind)).unwrap();
    fault(FaultKind::StatusBefore { status: 500 });
    assert_eq!(till.ask(&till.mandate_of("EN2")).await.0, 500);
    refused(till.send(Method::GET, "/api/v0/upi-mandate/EN2", None).await);
    fault(FaultKind::StatusAfter { status: 500 });
    assert_eq!(till.ask(&till.mandate_of("EN2")).await.0, 500);
    assert_eq!(till.standing("EN2").await, "INITIATED");
    refused(till.revoke(json!({"reference_id": "EN9"})).await);
    refused(till.send(Method::PATCH, "/api/v0/upi-mandate", Some("{}")).await);
    let seen: Vec<_> = till.sandbox().seen().into_iter().map(|seen| seen.operation).collect();
    for operation in ["mandate.create", "mandate.fetch", "mandate.revoke", "mandate.update"] {
        assert!(seen.iter().any(|seen| seen == operation), "{operation}: {seen:?}");
    }
}

#[tokio::test]
async fn a_mandate_and_its_appointments_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let till = Till::open_with(start_with(config.clone()).await).await;
    let id = till.approved(&till.mandate_of("EN1")).await;
    till.act(&id, PayerAct::Pause).await.unwrap();
    let before = till.mandate("EN1").await;
    till.sandbox().stop().await;
    let again = Till { client: start_with(config).await, token: till.token };
    assert_eq!(again.mandate("EN1").await, before);
    again.sandbox().advance(366 * DAY);
    assert_eq!(again.sandbox().mandates("till").unwrap()[0]["status"], "EXPIRED");
}

/// In India.
pub fn tomorrow(till: &Till) -> String {
    let ist = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
    (till.sandbox().now() + DAY).to_zoned(ist).date().to_string()
}
