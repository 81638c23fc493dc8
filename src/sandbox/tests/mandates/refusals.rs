//! What Razorpay doesn't take about mandates, with the documented texts where there are some.

use super::debits::debit;
use super::*;

impl Client {
    /// Posts `body` once for each change of it, and compares the texts of the refusals.
    async fn refused(&self, path: &str, body: &Value, changes: &[(&str, Value, &str)]) {
        for (pointer, value, expected) in changes {
            let mut body = body.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match value {
                Value::Null => parent.remove(field),
                value => parent.insert(field.to_owned(), value.clone()),
            };
            let (status, error) = self.post(path, body).await;
            assert_eq!((status, &error["error"]["code"]), (400, &json!("BAD_REQUEST_ERROR")), "{pointer} {value}: {error}");
            assert_eq!(description(&error), *expected, "{pointer} {value}");
        }
    }
}

#[tokio::test]
async fn an_order_of_a_mandate_has_all_its_terms() {
    let client = start().await;
    let customer = client.customer().await;
    let body = client.mandate_order(&customer);
    let not_sent = "is/are not required and should not be sent";
    let changes = [
        ("/amount", json!(99), "The amount must be at least INR 1.00"),
        ("/amount", json!(150_001), "The order amount cannot be greater than the token max amount for upi recurring."),
        ("/currency", json!("USD"), "The currency should be INR when method is upi"),
        ("/currency", json!(356), "expected string but provided 356"),
        ("/customer_id", Value::Null, "The customer id field is required."),
        ("/customer_id", json!("cust_00000000000000"), "The id provided does not exist"),
        ("/customer_id", json!("asha"), "asha is not a valid id"),
        ("/method", Value::Null, "The method field is required."),
        ("/method", json!("card"), "The selected method is invalid."),
        ("/token", json!("monthly"), "The token must be an array."),
        ("/token", Value::Null, &format!("method, customer_id {not_sent}")),
        ("/token/type", json!("single_block_multiple_debit"), &format!("type {not_sent}")),
        ("/token/max_amount", Value::Null, "The max amount field is required."),
        ("/token/max_amount", json!(99), "The minimum transaction amount allowed is Re. 5."),
        ("/token/max_amount", json!(9_999_901), "Amount exceeds maximum amount allowed."),
        ("/token/max_amount", json!("150000"), "The max amount must be an integer."),
        ("/token/frequency", Value::Null, "The frequency field is required."),
        ("/token/frequency", json!("one_time"), "The selected frequency is invalid."),
        ("/token/frequency", json!("as_presented"), &format!("recurring_value, recurring_type {not_sent}")),
        ("/token/frequency", json!("daily"), &format!("recurring_value, recurring_type {not_sent}")),
        ("/token/recurring_value", json!(32), "The recurring value must be between 1 and 31."),
        ("/token/recurring_value", json!(0), "The recurring value must be between 1 and 31."),
        ("/token/recurring_value", Value::Null, "The recurring value field is required."),
        ("/token/recurring_type", Value::Null, "The recurring type field is required."),
        ("/token/recurring_type", json!("around"), "The selected recurring type is invalid."),
        ("/notification", json!({"token_id": "token_00000000000000"}), &format!("notification {not_sent}")),
    ];
    client.refused("/orders", &body, &changes).await;
    let now = client.sandbox.now().as_second();
    for expire_at in [now - 1, now + 31 * 366 * 86_400] {
        let mut body = body.clone();
        body["token"]["expire_at"] = json!(expire_at);
        let (status, error) = client.post("/orders", body).await;
        assert!(status == 400 && description(&error).starts_with("expire_at must be between"), "{error}");
    }
    let mut weekly = body.clone();
    weekly["token"]["frequency"] = json!("weekly");
    client.refused("/orders", &weekly, &[("/token/recurring_value", json!(8), "The recurring value must be between 1 and 7.")]).await;
    assert_eq!(client.get("/orders").await.1["count"], 0);
    weekly["token"] = json!({"max_amount": 100, "frequency": "as_presented"});
    assert_eq!(client.post("/orders", weekly).await.0, 200, "ten years by default");
}

#[tokio::test]
async fn an_authorisation_fits_its_order() {
    let client = start().await;
    let customer = client.customer().await;
    let order = client.ask(&customer).await;
    let (_, plain) = client.post("/orders", json!({"amount": 100, "currency": "INR"})).await;
    let (_, other) = client.post("/customers", json!({"name": "Ravi Shah", "contact": "+919000000002"})).await;
    let changes = [
        (
            "/amount",
            json!(200),
            "Your payment amount is different from your order amount. To pay successfully, please try using right amount.",
        ),
        ("/amount", Value::Null, "The amount field is required."),
        ("/currency", json!("USD"), "The selected currency is invalid."),
        ("/order_id", Value::Null, "The order id field is required."),
        ("/order_id", json!("order_00000000000000"), "The id provided does not exist"),
        ("/order_id", plain["id"].clone(), "The order is not an order of a mandate."),
        ("/customer_id", Value::Null, "The customer id field is required."),
        ("/customer_id", other["id"].clone(), "The customer is not the one of the order."),
        ("/email", Value::Null, "The email field is required."),
        ("/contact", Value::Null, "The contact field is required."),
        ("/method", json!("card"), "The selected method is invalid."),
        ("/recurring", Value::Null, "The recurring field is required."),
        ("/recurring", json!(1), "The selected recurring is invalid."),
        ("/upi", Value::Null, "The upi field is required."),
        ("/upi/flow", json!("collect"), "The selected flow is invalid."),
        ("/upi/vpa", json!("asha.rao@examplebank"), "vpa is/are not required and should not be sent"),
        ("/token", json!("token_00000000000000"), "token is/are not required and should not be sent"),
    ];
    client.refused("/payments/create/upi", &authorization(&order, &customer), &changes).await;
    assert_eq!(client.order(&order).await["attempts"], 0);
    let scanned = client.sandbox.pay_order("shop", text(&order, "id"), PayOptions::default()).await;
    assert!(matches!(scanned, Err(ControlError::WrongState { .. })), "a mandate's order is paid by approving it: {scanned:?}");
}

#[tokio::test]
async fn a_debit_fits_its_order_token_and_customer() {
    let client = start().await;
    let mandate = client.token().await;
    let order = client.debit_order(&mandate, 99_900).await;
    let (_, plain) = client.post("/orders", json!({"amount": 99_900, "currency": "INR"})).await;
    let (_, other) = client.post("/customers", json!({"name": "Ravi Shah", "contact": "+919000000002"})).await;
    let second = client.token().await;
    let mut changes = vec![
        (
            "/amount",
            json!(99_901),
            "Your payment amount is different from your order amount. To pay successfully, please try using right amount.",
        ),
        ("/currency", json!("USD"), "The selected currency is invalid."),
        ("/order_id", json!("order_00000000000000"), "The id provided does not exist"),
        ("/order_id", plain["id"].clone(), "The order has no notification."),
        ("/customer_id", other["id"].clone(), "The id provided does not exist"),
        ("/token", json!("token_00000000000000"), "The id provided does not exist"),
        ("/token", json!(mandate.customer), "no token"),
        ("/token", json!(second.token), "The token is not the one of the order's notification."),
        ("/recurring", json!(false), "The selected recurring is invalid."),
        ("/token_id", json!(mandate.token), "token_id is/are not required and should not be sent"),
    ];
    let malformed = format!("{} is not a valid id", mandate.customer);
    changes[6].2 = &malformed;
    let needed = ["email", "contact", "amount", "currency", "order_id", "customer_id", "token", "recurring"];
    let pointers: Vec<_> = needed.iter().map(|name| format!("/{name}")).collect();
    let texts: Vec<_> = needed.iter().map(|name| format!("The {} field is required.", name.replace('_', " "))).collect();
    changes.extend(pointers.iter().zip(&texts).map(|(pointer, text)| (pointer.as_str(), Value::Null, text.as_str())));
    client.refused("/payments/create/recurring", &debit(&mandate, &order), &changes).await;
    assert_eq!(client.order(&order).await["attempts"], 0);

    client.send(Method::DELETE, &mandate.path(), None).await.unwrap();
    let (status, error) = client.post("/payments/create/recurring", debit(&mandate, &order)).await;
    assert_eq!((status, description(&error)), (400, "The id provided does not exist"));
    let body = json!({"amount": 100, "currency": "INR", "notification": {"token_id": second.token}});
    let changes = [
        ("/notification", json!("now"), "The notification must be an array."),
        ("/notification/token_id", Value::Null, "The token id field is required."),
        ("/notification/token_id", json!(mandate.token), "The id provided does not exist"),
        ("/notification/token_id", json!("token"), "token is not a valid id"),
        ("/notification/payment_after", json!("tomorrow"), "The payment after must be an integer."),
        ("/notification/at", json!(1), "at is/are not required and should not be sent"),
        ("/token_id", json!(second.token), "token_id is/are not required and should not be sent"),
    ];
    client.refused("/orders", &body, &changes).await;
}

#[tokio::test]
async fn a_token_is_its_customers_and_its_merchants() {
    let client = start().await;
    let mandate = client.token().await;
    let (_, other) = client.post("/customers", json!({"name": "Ravi Shah", "contact": "+919000000002"})).await;
    let other = text(&other, "id");
    let unknown = "The id provided does not exist";
    let refused = [
        (Method::GET, format!("/customers/{other}/tokens/{}", mandate.token), unknown),
        (Method::PUT, format!("/customers/{other}/tokens/{}/cancel", mandate.token), unknown),
        (Method::DELETE, format!("/customers/{other}/tokens/{}", mandate.token), unknown),
        (Method::GET, format!("/customers/{}/tokens/token_00000000000000", mandate.customer), unknown),
        (Method::GET, format!("/customers/{}/tokens/t1", mandate.customer), "t1 is not a valid id"),
        (Method::GET, "/customers/cust_00000000000000/tokens".to_owned(), unknown),
        (Method::GET, format!("{}?colour=red", mandate.path()), "colour is/are not required and should not be sent"),
        (Method::POST, format!("{}/pause", mandate.path()), "The requested URL was not found on the server."),
    ];
    for (method, path, expected) in refused {
        let (status, error) = client.send(method, &path, None).await.unwrap();
        assert_eq!((status, description(&error)), (400, expected), "{path}");
    }
    let url = format!("{}/v1{}", client.sandbox.razorpay_url(), mandate.path());
    let response = client.http.get(url).basic_auth("rzp_test_other", Some("secret")).send().await.unwrap();
    assert_eq!(description(&response.json().await.unwrap()), unknown);
    assert_eq!(client.token_status(&mandate).await, "confirmed");
}
