//! Settlement payouts at EnKash: runs by the clock, searches, and those that fail.

use super::*;

/// Longer than a working day ever is, and the transfer after it.
const A_WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Till {
    async fn sale(&self, merchant_order_id: &str) -> String {
        let order = self.order(merchant_order_id).await;
        self.pay(&order, Outcome::Captured).await.unwrap()
    }

    /// With a token that is valid, however much time passed.
    async fn payouts(self, query: &str, body: &str) -> (Self, (u16, Value)) {
        let till = Self::open_with(self.client).await;
        let found = till.send(Method::POST, &format!("/api/v0/settlement-payout/search{query}"), Some(body)).await;
        (till, found)
    }
}

#[tokio::test]
async fn a_run_pays_out_sales_less_refunds_charges_and_tax() {
    let till = Till::open().await;
    till.switch(|switches| switches.refunds = RefundCourse::AtOnce);
    let (first, _second) = (till.sale("inv-1").await, till.sale("inv-2").await);
    let refund = r#"{"amount": 100.25, "requestId": "rf-1"}"#;
    payload(till.send(Method::POST, &format!("/api/v0/payment/{first}/refund"), Some(refund)).await);
    till.sandbox().advance(A_WEEK);
    let (till, found) = till.payouts("", "{}").await;
    let found = payload(found);
    let payout = found[0].clone();
    let expected = json!({
        "settlementPayoutId": payout["settlementPayoutId"], "totalSaleAmount": 998.0, "totalRefundAmount": 100.25,
        "totalCharges": 19.96, "totalGst": 3.58, "totalSettlementAmount": 874.21, "refundChargebackAmount": 0.0,
        "carryForwardAmount": 0.0, "adjustmentAmount": 0.0, "payoutStatus": "SUCCESS"
    });
    assert_eq!(found, json!([expected]));
    let id = text(&payout, "settlementPayoutId");
    assert_eq!(till.get(&format!("/api/v0/settlement-payout/{id}")).await, payout);
    assert_eq!(till.sandbox().settlements("till").unwrap(), [payout.clone()]);

    // The refund was deducted; what the bank sends back is given back.
    till.sandbox().end_refund("till", "rf-1", RefundEnd::Failed).await.unwrap();
    let next = till.sandbox().settle("till").await.unwrap();
    let next = till.get(&format!("/api/v0/settlement-payout/{next}")).await;
    assert_eq!((&next["adjustmentAmount"], &next["totalSettlementAmount"]), (&json!(100.25), &json!(100.25)));
    assert_eq!(till.sandbox().settle("till").await, Err(ControlError::NothingToSettle(0)));
    refused(till.send(Method::GET, "/api/v0/settlement-payout/SP1", None).await);
}

#[tokio::test]
async fn payouts_are_searched_for_in_pages() {
    let mut till = Till::open().await;
    let mut ids = Vec::new();
    for index in 0..3 {
        till.sale(&format!("inv-{index}")).await;
        ids.push(till.sandbox().settle("till").await.unwrap());
    }
    let all = json!({"settlementPayoutIds": [ids[0], ids[2]], "merchantDetailId": null}).to_string();
    for (query, body, expected) in [
        ("", String::new(), vec![2, 1, 0]),
        ("?direction=ASC&orderBy=created", "{}".to_owned(), vec![0, 1, 2]),
        ("?offset=1&limit=1", "{}".to_owned(), vec![1]),
        ("?limit=5000", all, vec![2, 0]),
        ("", json!({"settlementPayoutId": ids[1], "totalSaleAmountFrom": 499, "totalGstTo": 1.80}).to_string(), vec![1]),
        ("", json!({"totalSettlementAmountFrom": 499}).to_string(), vec![]),
    ] {
        let (again, found) = till.payouts(query, &body).await;
        till = again;
        let found = payload(found);
        let found: Vec<_> = found.as_array().unwrap().iter().map(|payout| text(payout, "settlementPayoutId").to_owned()).collect();
        assert_eq!(found, expected.into_iter().map(|index: usize| ids[index].clone()).collect::<Vec<_>>(), "{query} {body}");
    }
    for (query, body) in [("?limit=5001", "{}"), ("?direction=UP", "{}"), ("", r#"{"colour": "red"}"#)] {
        let (again, found) = till.payouts(query, body).await;
        till = again;
        refused(found);
    }
}

#[tokio::test]
async fn a_failed_payout_leaves_its_content_to_another() {
    let till = Till::open().await;
    till.sale("inv-1").await;
    till.switch(|switches| switches.payouts_fail = true);
    while till.sandbox().settlements("till").unwrap().is_empty() {
        till.sandbox().advance(Duration::from_secs(15 * 60));
    }
    let status = |index: usize| till.sandbox().settlements("till").unwrap()[index]["payoutStatus"].clone();
    assert_eq!(status(0), "INIT");
    till.sandbox().advance(A_WEEK);
    assert_eq!(status(0), "FAILED");
    till.switch(|_| ());
    till.sandbox().settle("till").await.unwrap();
    let amounts: Vec<_> = till.sandbox().settlements("till").unwrap().iter().map(|payout| payout["totalSaleAmount"].clone()).collect();
    assert_eq!((amounts, status(0), status(1)), (vec![json!(499.0), json!(499.0)], json!("SUCCESS"), json!("FAILED")));
}
