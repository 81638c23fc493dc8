//! Mandates at Razorpay: set up, debited, paused, cancelled; what is refused, what fails, what comes late.

mod debits;
mod refusals;
mod tokens;

use jiff::ToSpan;
use jiff::civil::{DateTime, Time};

use super::*;
use crate::sandbox::clock::in_ist;

const STEP: Duration = Duration::from_secs(31);
const A_DAY: Duration = Duration::from_secs(86_400);
const A_YEAR_S: i64 = 365 * 86_400;

impl Client {
    /// Puts the clock forward to a time of day in India.
    fn advance_to(&self, time: Time) {
        let now = in_ist(self.sandbox.now().as_millisecond());
        let today = now.date().to_datetime(time);
        self.advance_until(if now.datetime() < today { today } else { today + 1.day() });
    }

    fn advance_until(&self, then: DateTime) {
        let now = in_ist(self.sandbox.now().as_millisecond());
        let then = then.to_zoned(now.time_zone().clone()).unwrap();
        self.sandbox.advance(now.duration_until(&then).try_into().unwrap());
    }

    async fn customer(&self) -> String {
        let body = json!({"name": "Asha Rao", "contact": "+919000000001", "email": "asha.rao@example.com", "fail_existing": "0"});
        text(&self.post("/customers", body).await.1, "id").to_owned()
    }

    /// A mandate's order of one rupee, up to 1500 rupees a month from the fifth on.
    fn mandate_order(&self, customer: &str) -> Value {
        let expire_at = self.sandbox.now().as_second() + 4 * A_YEAR_S;
        json!({
            "amount": 100, "currency": "INR", "customer_id": customer, "method": "upi",
            "token": {
                "max_amount": 150_000, "expire_at": expire_at, "frequency": "monthly", "recurring_value": 5,
                "recurring_type": "after"
            },
            "receipt": "mandate-771", "notes": {"plan": "gold"}
        })
    }

    /// What an order is answered with, after the clock was put to six in the morning.
    async fn ask(&self, customer: &str) -> Value {
        self.advance_to(jiff::civil::time(6, 0, 0, 0));
        let (status, order) = self.post("/orders", self.mandate_order(customer)).await;
        assert_eq!(status, 200, "{order}");
        order
    }

    /// The payment that sets the order's mandate up, and its link.
    async fn authorize(&self, order: &Value, customer: &str) -> (String, String) {
        let (status, made) = self.post("/payments/create/upi", authorization(order, customer)).await;
        assert_eq!(status, 200, "{made}");
        (text(&made, "razorpay_payment_id").to_owned(), text(&made, "link").to_owned())
    }

    async fn act(&self, mandate: &str, act: PayerAct) -> Result<(), ControlError> {
        self.sandbox.decide_mandate("shop", mandate, act).await
    }

    /// A confirmed token; the clock is at six in the morning.
    async fn token(&self) -> Mandate {
        let customer = self.customer().await;
        let order = self.ask(&customer).await;
        let (payment, _) = self.authorize(&order, &customer).await;
        self.act(text(&order, "id"), PayerAct::Approve).await.unwrap();
        let token = text(&self.payment(&payment).await, "token_id").to_owned();
        Mandate { customer, token }
    }

    async fn payment(&self, id: &str) -> Value {
        self.get(&format!("/payments/{id}")).await.1
    }

    async fn order(&self, order: &Value) -> Value {
        self.get(&format!("/orders/{}", text(order, "id"))).await.1
    }

    /// The state that the token is fetched in.
    async fn token_status(&self, mandate: &Mandate) -> String {
        let (status, token) = self.get(&mandate.path()).await;
        assert_eq!(status, 200, "{token}");
        text(&token["recurring_details"], "status").to_owned()
    }
}

struct Mandate {
    customer: String,
    token: String,
}

impl Mandate {
    fn path(&self) -> String {
        format!("/customers/{}/tokens/{}", self.customer, self.token)
    }
}

fn authorization(order: &Value, customer: &str) -> Value {
    json!({
        "amount": order["amount"], "currency": "INR", "order_id": order["id"], "customer_id": customer, "recurring": "1",
        "email": "asha.rao@example.com", "contact": "+919000000001", "method": "upi", "upi": {"flow": "intent"},
        "notes": {"mandate": "771"}
    })
}

fn told(webhooks: &[Webhook], event: &str) -> Value {
    let mut bodies = webhooks.iter().map(Webhook::json);
    bodies.find(|body| body["event"] == event).unwrap_or_else(|| panic!("`{event}` is among {webhooks:?}"))
}

/// The names in a document but for notes, in the order of the alphabet.
fn names(value: &Value) -> Vec<String> {
    fn collect(value: &Value, within: &str, found: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let path = format!("{within}.{name}");
            if name != "notes" {
                collect(value, &path, found);
            }
            found.push(path);
        }
    }
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found
}

/// Has the fields of the documented sample.
fn assert_like(ours: &Value, sample: &str) {
    let sample: Value = serde_json::from_str(sample).unwrap();
    assert_eq!((&ours["event"], &ours["contains"]), (&sample["event"], &sample["contains"]));
    assert_eq!(names(ours), names(&sample), "{ours}");
}

#[tokio::test]
async fn a_mandate_is_asked_for_and_approved() {
    let client = start().await;
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    let expected = json!({
        "id": order["id"], "entity": "order", "amount": 100, "amount_paid": 0, "amount_due": 100, "currency": "INR",
        "receipt": "mandate-771", "offer_id": null, "status": "created", "attempts": 0, "notes": {"plan": "gold"},
        "created_at": order["created_at"]
    });
    assert_eq!(order, expected);

    let receiver = Receiver::start(&client).await;
    let (payment, link) = client.authorize(&order, &customer).await;
    let today = in_ist(client.sandbox.now().as_millisecond()).date();
    let end = in_ist((client.sandbox.now().as_second() + 4 * A_YEAR_S) * 1_000).date();
    let expected = format!(
        "upi://mandate?pa=shop.rzp@examplebank&pn=shop&tr=EXM{}&am=1500.00&fam=1.00&amrule=MAX&cu=INR&recur=MONTHLY\
         &recurtype=AFTER&recurvalue=5&validitystart={}&validityend={}&rev=Y&txnType=CREATE&mode=04&purpose=14&block=N&mc=5411",
        &payment[4..],
        today.strftime("%d%m%Y"),
        end.strftime("%d%m%Y"),
    );
    assert_eq!(link, expected);
    client.sandbox.advance(Duration::from_secs(3_600));
    let waiting = client.payment(&payment).await;
    let shown = (&waiting["status"], &waiting["customer_id"], &waiting["vpa"], waiting.get("token_id"));
    assert_eq!(shown, (&json!("created"), &json!(customer), &Value::Null, None));
    assert_eq!(client.order(&order).await["status"], "attempted");
    assert_eq!(client.get(&format!("/customers/{customer}/tokens")).await.1["count"], 0);

    client.act(&link, PayerAct::Approve).await.unwrap();
    let events = ["order.paid", "payment.authorized", "payment.captured", "token.confirmed"];
    assert_eq!(receiver.events(4).await, events);
    let paid = client.payment(&payment).await;
    assert_eq!((&paid["status"], &paid["amount"], &paid["order_id"]), (&json!("captured"), &json!(100), &order["id"]));
    assert_eq!(client.order(&order).await["status"], "paid");
    let webhooks = receiver.wait_for(4).await;
    for event in ["payment.authorized", "payment.captured", "order.paid"] {
        let entity = told(&webhooks, event)["payload"]["payment"]["entity"].clone();
        for field in ["token_id", "customer_id", "order_id", "notes"] {
            assert_eq!(entity[field], paid[field], "{event}: {field}");
        }
        assert_eq!(entity["notes"], json!({"mandate": "771"}));
    }
    let confirmed = told(&webhooks, "token.confirmed");
    assert_like(&confirmed, include_str!("../../../tests/golden/razorpay/event.token.confirmed.json"));
    assert_eq!(confirmed["payload"]["token"]["entity"]["id"], paid["token_id"]);

    let (_, token) = client.get(&format!("/customers/{customer}/tokens/{}", text(&paid, "token_id"))).await;
    let expected = json!({
        "id": paid["token_id"], "entity": "token", "token": token["token"], "bank": null, "wallet": null, "method": "upi",
        "vpa": {"username": "asha.rao", "handle": "examplebank", "name": null}, "recurring": true,
        "recurring_details": {"status": "confirmed", "failure_reason": null}, "auth_type": null, "mrn": null,
        "used_at": token["created_at"], "created_at": token["created_at"], "start_time": order["created_at"],
        "max_amount": 150_000, "expired_at": token["expired_at"], "dcc_enabled": false
    });
    assert_eq!(token, expected);
    let lasts_s = token["expired_at"].as_i64().unwrap() - order["created_at"].as_i64().unwrap();
    assert!((4 * A_YEAR_S - 1..=4 * A_YEAR_S).contains(&lasts_s), "{token}");
    assert!(text(&token, "id").starts_with("token_") && text(&token, "id").len() == 20, "{token}");
    let (_, list) = client.get(&format!("/customers/{customer}/tokens")).await;
    let listed = &list["items"][0];
    assert_eq!((&list["count"], &listed["id"], listed.get("max_amount")), (&json!(1), &token["id"], None));
    assert_eq!(client.sandbox.mandates("shop").unwrap(), vec![token]);
}

#[tokio::test]
async fn of_several_links_for_an_order_one_is_approved() {
    let client = start().await;
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    client.sandbox.fault(Fault::on("payment.create_upi", FaultKind::AnswerLost)).unwrap();
    let body = Some(authorization(&order, &customer));
    assert!(client.send(Method::POST, "/payments/create/upi", body).await.is_err());
    let (middle, link) = client.authorize(&order, &customer).await;
    let (last, _) = client.authorize(&order, &customer).await;
    let payments = format!("/orders/{}/payments", text(&order, "id"));
    assert_eq!(client.get(&payments).await.1["count"], 3);
    assert_eq!(client.sandbox.seen().last().unwrap().operation, "order.payments");

    client.act(&link, PayerAct::Approve).await.unwrap();
    assert_eq!(client.payment(&middle).await["status"], "captured");
    for mandate in [text(&order, "id"), &last, &link] {
        let refused = client.act(mandate, PayerAct::Approve).await;
        assert!(matches!(refused, Err(ControlError::WrongState { .. })), "{mandate}: {refused:?}");
    }
    let again = client.authorize_again(&order, &customer).await;
    assert!(again.starts_with("Your payment has been declined as the order is already paid."), "{again}");
    client.sandbox.advance(A_DAY);
    let (_, all) = client.get(&payments).await;
    let statuses: Vec<_> = all["items"].as_array().unwrap().iter().map(|payment| &payment["status"]).collect();
    assert_eq!(statuses, ["failed", "captured", "failed"]);
    assert_eq!(client.payment(&last).await["error_reason"], "payment_timed_out");

    let other = client.ask(&customer).await;
    client.authorize(&other, &customer).await;
    let (newest, _) = client.authorize(&other, &customer).await;
    client.act(text(&other, "id"), PayerAct::Approve).await.unwrap();
    assert_eq!(client.payment(&newest).await["status"], "captured");
}

impl Client {
    /// The text of the refusal.
    async fn authorize_again(&self, order: &Value, customer: &str) -> String {
        let (status, error) = self.post("/payments/create/upi", authorization(order, customer)).await;
        assert_eq!(status, 400, "{error}");
        description(&error).to_owned()
    }
}

#[tokio::test]
async fn a_mandate_is_authorised_on_the_day_of_its_order() {
    let client = start().await;
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    let (payment, link) = client.authorize(&order, &customer).await;
    client.advance_to(jiff::civil::time(23, 59, 59, 0));
    assert_eq!(client.authorize_again(&order, &customer).await, "A mandate is authorised on the day of its order.");
    let failed = client.payment(&payment).await;
    assert_eq!((&failed["status"], &failed["error_reason"]), (&json!("failed"), &json!("payment_timed_out")));
    let late = client.act(&link, PayerAct::Approve).await;
    assert!(matches!(late, Err(ControlError::WrongState { .. })), "{late:?}");
    assert_eq!(client.sandbox.mandates("shop").unwrap(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_payer_says_no_and_tries_again() {
    let client = start().await;
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    let receiver = Receiver::start(&client).await;
    let (payment, _) = client.authorize(&order, &customer).await;
    client.act(text(&order, "id"), PayerAct::Reject).await.unwrap();
    assert_eq!(receiver.events(2).await, ["payment.failed", "token.rejected"]);
    let rejected = told(&receiver.wait_for(2).await, "token.rejected");
    assert_like(&rejected, include_str!("../../../tests/golden/razorpay/event.token.rejected.json"));
    let token = &rejected["payload"]["token"]["entity"];
    let details = json!({"status": "rejected", "failure_reason": "Rejected by bank"});
    assert_eq!((&token["recurring_details"], &token["auth_type"]), (&details, &json!("upi")));
    let failed = client.payment(&payment).await;
    assert_eq!((&failed["status"], &failed["error_reason"]), (&json!("failed"), &json!("payment_declined")));
    assert_eq!((&failed["token_id"], &client.order(&order).await["status"]), (&token["id"], &json!("attempted")));
    assert!(client.act(text(&order, "id"), PayerAct::Reject).await.is_err());

    client.act(text(&order, "id"), PayerAct::Approve).await.unwrap();
    assert_eq!(client.payment(&payment).await["status"], "captured");
    assert_eq!(client.get(&format!("/customers/{customer}/tokens")).await.1["count"], 2);
    assert_eq!(receiver.events(6).await[0], "order.paid");
}

#[tokio::test]
async fn a_payer_approves_by_himself_where_told_to() {
    let client = start().await;
    client.switch(|switches| switches.mandates.approvals = ApprovalCourse::ByThemselves);
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    let (payment, _) = client.authorize(&order, &customer).await;
    assert_eq!(client.payment(&payment).await["status"], "created");
    client.sandbox.advance(STEP);
    assert_eq!(client.payment(&payment).await["status"], "captured");
}

#[tokio::test]
async fn a_mandate_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    let mandate = client.token().await;
    let order = client.debit_order(&mandate, 99_900).await;
    client.sandbox.stop().await;
    let again = start_with(config).await;
    assert_eq!(again.token_status(&mandate).await, "confirmed");
    again.sandbox.advance(STEP);
    assert_eq!(again.order(&order).await["notification"]["status"], "delivered");
}

#[tokio::test]
async fn a_mandate_is_played_over_http() {
    let client = start().await;
    let customer = client.customer().await;
    client.switch(|switches| {
        (switches.mandates.notices, switches.mandates.debits) = (NoticeCourse::WhenTold, DebitCourse::WhenTold);
    });
    let order = client.ask(&customer).await;
    let (payment, link) = client.authorize(&order, &customer).await;
    let play = async |what: &str, body: Value| client.control(Method::POST, &format!("/razorpay/shop/{what}"), body).await.0;
    assert_eq!(play("decide_mandate", json!({"mandate": link, "act": "approve"})).await, 200);
    assert_eq!(play("decide_mandate", json!({"mandate": link, "act": "approve"})).await, 409);
    assert_eq!(play("decide_mandate", json!({"mandate": "token_0", "act": "pause"})).await, 404);
    assert_eq!(play("decide_mandate", json!({"mandate": link, "act": "frown"})).await, 400);
    let (_, mandates) = client.control(Method::GET, "/razorpay/shop/mandates", Value::Null).await;
    let token = client.payment(&payment).await["token_id"].clone();
    assert_eq!((&mandates["items"][0]["id"], mandates["items"].as_array().unwrap().len()), (&token, 1));

    let mandate = Mandate { customer, token: token.as_str().unwrap().to_owned() };
    let order = client.debit_order(&mandate, 99_900).await;
    let notice = order["notification"]["id"].clone();
    assert_eq!(play("end_notice", json!({"notice": notice, "how": "delivered"})).await, 200);
    assert_eq!(play("end_notice", json!({"notice": notice, "how": "failed"})).await, 409);
    client.sandbox.advance(A_DAY + STEP);
    let debit = client.debit(&mandate, &order).await;
    let failed = json!({"debit": debit, "how": {"failed": {"reason": "insufficient_funds"}}});
    assert_eq!(play("end_debit", failed.clone()).await, 200);
    assert_eq!(play("end_debit", failed).await, 409);
    assert_eq!(play("end_debit", json!({"debit": order["id"], "how": "collected"})).await, 200);
    assert_eq!(client.payment(&debit).await["status"], "captured");
    assert_eq!(client.control(Method::GET, "/eko/counter/mandates", Value::Null).await.0, 400);
}
