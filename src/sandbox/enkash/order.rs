//! Orders: create, fetch, find by the merchant's id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::desk::{Books, Desk, milliseconds, room_on};
use super::failure::Failure;
use super::input;
use super::print::Printed;
use super::switches::RepeatedOrder;
use super::transaction::{Status as TransactionStatus, TransactionView};
use crate::sandbox::shelf::Labelled;

const ACCOUNT_NUMBER_LENGTHS: std::ops::RangeInclusive<usize> = 9..=36;
const IFSC_LENGTH: usize = 11;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// EnKash's, not the merchant's.
    pub id: String,
    /// None for what a mandate's debit made: no field of that request has one.
    pub merchant_order_id: Option<String>,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub expires_ms: i64,
    pub amount: i64,
    pub return_url: Option<String>,
    pub notify_url: Option<String>,
    pub customer_info: Option<CustomerInfo>,
    pub custom_parameters: BTreeMap<String, String>,
    pub payment_detail: Option<PaymentDetail>,
    /// The mandate whose debit it is.
    #[serde(default)]
    pub mandate_id: Option<String>,
    /// The attempts to pay it, oldest first.
    pub attempts: Vec<String>,
}

impl Labelled for Order {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What becomes of an order. This simulator has no payer who cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    CheckoutRendered,
    Attempted,
    PaymentConfirmationPending,
    Paid,
    Expired,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::CheckoutRendered => "CHECKOUT_RENDERED",
            Self::Attempted => "ATTEMPTED",
            Self::PaymentConfirmationPending => "PAYMENT_CONFIRMATION_PENDING",
            Self::Paid => "PAID",
            Self::Expired => "EXPIRED",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Address {
    #[serde(skip_serializing_if = "Option::is_none")]
    street_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zipcode: Option<String>,
}

/// The bank account that alone may pay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaymentDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ifsc: Option<String>,
}

impl PaymentDetail {
    fn check(&self) -> Result<(), Failure> {
        let wrong = |name: &str| Failure::other(format!("paymentDetail.{name} is not valid."));
        if self.account_number.as_ref().is_some_and(|number| !ACCOUNT_NUMBER_LENGTHS.contains(&number.chars().count())) {
            return Err(wrong("accountNumber"));
        }
        if self.ifsc.as_ref().is_some_and(|ifsc| !is_ifsc(ifsc.as_bytes())) { Err(wrong("ifsc")) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrderCreateRequest<'a> {
    /// The merchant's, not EnKash's.
    order_id: String,
    #[serde(borrow)]
    amount: AmountRequest<'a>,
    return_url: Option<String>,
    notify_url: Option<String>,
    customer_info: Option<CustomerInfo>,
    custom_parameters: Option<BTreeMap<String, String>>,
    #[serde(rename = "description")]
    _description: Option<String>,
    payment_detail: Option<PaymentDetail>,
    #[serde(rename = "restrictedPaymentOptions")]
    _restricted_payment_options: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountRequest<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    currency: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderCreateView<'a> {
    redirection_url: String,
    order_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderView<'a> {
    order_id: &'a str,
    created: String,
    last_modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_order_id: Option<&'a str>,
    merchant_identifier_key: &'a str,
    amount: Printed,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify_url: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_info: Option<&'a CustomerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_message: Option<&'a str>,
    order_date: String,
    custom_parameters: &'a BTreeMap<String, String>,
    transactions: Vec<TransactionView<'a>>,
    merchant_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_detail: Option<&'a PaymentDetail>,
}

impl Books {
    /// What has become of an order follows from its attempts, and from its time while none of them is under way.
    pub fn status_of(&self, order: &Order, now_ms: i64) -> Status {
        let attempts = order.attempts.iter().filter_map(|id| self.transactions.get(id));
        let attempts: Vec<_> = attempts.map(|transaction| transaction.status).collect();
        let has = |is_such: fn(TransactionStatus) -> bool| attempts.iter().any(|status| is_such(*status));
        if has(TransactionStatus::is_paid) {
            Status::Paid
        } else if has(|status| status == TransactionStatus::PendingWithBank) {
            Status::PaymentConfirmationPending
        } else if has(|status| status == TransactionStatus::Authorized) {
            Status::Attempted
        } else if order.expires_ms <= now_ms {
            Status::Expired
        } else if has(|status| status == TransactionStatus::Failed) {
            Status::Attempted
        } else if attempts.is_empty() {
            Status::Created
        } else {
            Status::CheckoutRendered
        }
    }
}

impl Desk<'_> {
    pub fn create_order(&mut self, body: &[u8]) -> Result<String, Failure> {
        room_on(&self.books.orders)?;
        let order = self.read_order(body)?;
        let first = self.books.orders.newest_first().filter(|other| other.merchant_order_id == order.merchant_order_id).last();
        match (self.our_switches().repeated_order, first) {
            (RepeatedOrder::Made, _) | (_, None) => (),
            (RepeatedOrder::Refused, Some(_)) => return Err(Failure::other("Order id already exists.")),
            (RepeatedOrder::FirstAnswered, Some(first)) => return Ok(self.print_created(first)),
        }
        let answer = self.print_created(&order);
        self.books.orders.put(order);
        Ok(answer)
    }

    fn print_created(&self, order: &Order) -> String {
        self.success(OrderCreateView { redirection_url: format!("{}/enkash/o/{}", self.base_url, order.id), order_id: &order.id })
    }

    fn read_order(&mut self, body: &[u8]) -> Result<Order, Failure> {
        let OrderCreateRequest {
            order_id,
            amount: AmountRequest { value, currency },
            return_url,
            notify_url,
            customer_info,
            custom_parameters,
            _description,
            payment_detail,
            _restricted_payment_options,
        } = input::read(body)?;
        if order_id.trim().is_empty() {
            return Err(Failure::other("orderId must not be empty."));
        }
        let amount = input::amount("amount.value", value)?;
        if currency != "INR" {
            return Err(Failure::other("amount.currency must be INR."));
        }
        payment_detail.as_ref().map_or(Ok(()), PaymentDetail::check)?;
        Ok(Order {
            id: self.new_id("ORD"),
            merchant_order_id: Some(order_id),
            created_ms: self.now_ms,
            modified_ms: self.now_ms,
            expires_ms: self.now_ms.saturating_add(milliseconds(self.our_switches().order_lifetime_s)),
            amount,
            return_url,
            notify_url,
            customer_info,
            custom_parameters: custom_parameters.unwrap_or_default(),
            payment_detail,
            mandate_id: None,
            attempts: Vec::new(),
        })
    }

    /// The order that a mandate's debit makes.
    pub fn new_debit_order(&mut self, mandate_id: &str, amount: i64) -> Order {
        Order {
            id: self.new_id("ORD"),
            merchant_order_id: None,
            created_ms: self.now_ms,
            modified_ms: self.now_ms,
            expires_ms: self.now_ms.saturating_add(milliseconds(self.our_switches().order_lifetime_s)),
            amount,
            return_url: None,
            notify_url: None,
            customer_info: None,
            custom_parameters: BTreeMap::new(),
            payment_detail: None,
            mandate_id: Some(mandate_id.to_owned()),
            attempts: Vec::new(),
        }
    }

    pub fn fetch_order(&self, id: &str) -> Result<String, Failure> {
        let order = self.books.orders.get(id).ok_or_else(no_such_order)?;
        Ok(self.success(self.view_order(order)))
    }

    /// A search, so what is too young for lists is not found.
    pub fn find_order(&self, merchant_order_id: &str) -> Result<String, Failure> {
        if !self.our_switches().order_find {
            return Err(Failure::NotServed);
        }
        let mut orders = self.books.orders.newest_first();
        let found = orders.find(|order| order.merchant_order_id.as_deref() == Some(merchant_order_id) && self.is_listed(order.created_ms));
        Ok(self.success(self.view_order(found.ok_or_else(no_such_order)?)))
    }

    pub fn view_order<'o>(&'o self, order: &'o Order) -> OrderView<'o> {
        let attempts = || order.attempts.iter().filter_map(|id| self.books.transactions.get(id));
        let status = self.books.status_of(order, self.now_ms);
        let modified_ms = if status == Status::Expired { order.modified_ms.max(order.expires_ms) } else { order.modified_ms };
        OrderView {
            order_id: &order.id,
            created: self.time(order.created_ms),
            last_modified: self.time(modified_ms),
            merchant_order_id: order.merchant_order_id.as_deref(),
            merchant_identifier_key: &self.merchant.access_key,
            amount: self.amount(order.amount),
            currency: "INR",
            return_url: order.return_url.as_deref(),
            notify_url: order.notify_url.as_deref(),
            status: self.status(status.word()),
            customer_info: order.customer_info.as_ref(),
            order_message: attempts().next_back().map(|transaction| transaction.message()),
            order_date: self.time(order.created_ms),
            custom_parameters: &order.custom_parameters,
            transactions: attempts().map(|transaction| self.view_transaction(transaction)).collect(),
            merchant_name: self.account,
            payment_detail: order.payment_detail.as_ref(),
        }
    }
}

pub fn no_such_order() -> Failure {
    Failure::other("Order not found.")
}

/// Four letters, a zero, six letters or digits.
fn is_ifsc(ifsc: &[u8]) -> bool {
    let is_upper_or_digit = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    ifsc.len() == IFSC_LENGTH && ifsc[..4].iter().all(u8::is_ascii_uppercase) && ifsc[4] == b'0' && ifsc[5..].iter().all(is_upper_or_digit)
}
