//! Webhook bodies, byte for byte: compact, with the key order of their kind, and slashes escaped in
//! `qr_code.*` alone. There are at least two encoders at the real service; a client that verifies a
//! re-serialised object instead of the bytes is meant to fail here.

use serde::Serialize;

use super::desk::Desk;
use super::notice::{self, NoticeEvent};
use super::order::{self, OrderView};
use super::payment::{Payment, PaymentForm, PaymentView, view};
use super::qr::{Qr, QrForm, QrView};
use super::refund::{self, RefundView};
use super::settlement::{self, SettlementView};
use super::to_json;
use super::token::{self, TokenView};
use crate::sandbox::webhooks::News;

#[derive(Serialize)]
struct Envelope<'a> {
    entity: &'static str,
    account_id: &'a str,
    event: &'static str,
    contains: &'static [&'static str],
    payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
}

#[derive(Default, Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<Entity<RefundView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Entity<PaymentView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Entity<OrderView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_code: Option<Entity<QrView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Entity<SettlementView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Entity<TokenView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Entity<NoticeEvent<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
}

#[derive(Serialize)]
struct Entity<T> {
    entity: T,
}

pub fn payment_authorized(desk: &Desk<'_>, id: &str) -> Option<News> {
    payment("payment.authorized", desk, id, PaymentForm::Event)
}

pub fn payment_captured(desk: &Desk<'_>, id: &str) -> Option<News> {
    payment("payment.captured", desk, id, PaymentForm::CapturedEvent)
}

pub fn payment_failed(desk: &Desk<'_>, id: &str) -> Option<News> {
    payment("payment.failed", desk, id, PaymentForm::Event)
}

fn payment(event: &'static str, desk: &Desk<'_>, id: &str, form: PaymentForm) -> Option<News> {
    let payment = view(desk.books.payments.get(id)?, form);
    let payload = Payload { payment: Some(Entity { entity: payment }), ..Payload::default() };
    Some(news(desk, event, &["payment"], payload))
}

pub fn order_paid(desk: &Desk<'_>, payment_id: &str) -> Option<News> {
    let payment = desk.books.payments.get(payment_id)?;
    let order = desk.books.orders.get(payment.order_id.as_ref()?)?;
    let payload = Payload {
        payment: Some(Entity { entity: view(payment, PaymentForm::CapturedEvent) }),
        order: Some(Entity { entity: order::view(order) }),
        ..Payload::default()
    };
    Some(news(desk, "order.paid", &["payment", "order"], payload))
}

pub fn qr_created(desk: &Desk<'_>, qr: &Qr) -> News {
    qr_alone("qr_code.created", desk, qr, QrForm::CreationEvent)
}

pub fn qr_closed(desk: &Desk<'_>, qr: &Qr) -> News {
    qr_alone("qr_code.closed", desk, qr, QrForm::Event)
}

fn qr_alone(event: &'static str, desk: &Desk<'_>, qr: &Qr, form: QrForm) -> News {
    let payload = Payload { qr_code: Some(Entity { entity: desk.view_qr(qr, form) }), ..Payload::default() };
    news(desk, event, &["qr_code"], payload)
}

pub fn qr_credited(desk: &Desk<'_>, payment: &Payment, qr: &Qr) -> News {
    let payload = Payload {
        payment: Some(Entity { entity: view(payment, PaymentForm::Credited) }),
        qr_code: Some(Entity { entity: desk.view_qr(qr, QrForm::Event) }),
        ..Payload::default()
    };
    news(desk, "qr_code.credited", &["payment", "qr_code"], payload)
}

pub fn refund(event: &'static str, desk: &Desk<'_>, id: &str) -> Option<News> {
    let refund = desk.books.refunds.get(id)?;
    let payment = desk.books.payments.get(&refund.payment_id)?;
    let inside = event == "refund.speed_changed" && desk.switches.speed_changed_at_inside;
    let payload = Payload {
        created_at: inside.then(|| desk.now()),
        refund: Some(Entity { entity: refund::view(refund) }),
        payment: Some(Entity { entity: view(payment, PaymentForm::CapturedEvent) }),
        ..Payload::default()
    };
    Some(news(desk, event, &["refund", "payment"], payload))
}

/// With the settlement's own amount, whatever the recon report is made to say.
pub fn settlement_processed(desk: &Desk<'_>, id: &str) -> Option<News> {
    let settlement = settlement::view(desk.books.settlements.get(id)?, desk.switches.empty_utr_left_out);
    let payload = Payload { settlement: Some(Entity { entity: settlement }), ..Payload::default() };
    Some(news(desk, "settlement.processed", &["settlement"], payload))
}

/// Of a token that the merchant deleted nothing is told.
pub fn token(event: &'static str, desk: &Desk<'_>, id: &str) -> Option<News> {
    let token = desk.books.tokens.get(id).filter(|token| !token.forgotten)?;
    let entity = match event {
        "token.confirmed" | "token.rejected" => token::view(token, false),
        "token.resumed" => token::view_resumed(token),
        _ => token::view(token, true),
    };
    Some(news(desk, event, &["token"], Payload { token: Some(Entity { entity }), ..Payload::default() }))
}

/// Of an order's notice.
pub fn notification(event: &'static str, desk: &Desk<'_>, order_id: &str) -> Option<News> {
    let entity = notice::view_event(desk.books.orders.get(order_id)?)?;
    let created_at = desk.switches.speed_changed_at_inside.then(|| desk.now());
    let payload = Payload { notification: Some(Entity { entity }), created_at, ..Payload::default() };
    Some(news(desk, event, &["notification"], payload))
}

fn news(desk: &Desk<'_>, event: &'static str, contains: &'static [&'static str], payload: Payload<'_>) -> News {
    let account_id = &desk.merchant.account_id;
    let envelope =
        Envelope { entity: "event", account_id, event, contains, created_at: payload.created_at.is_none().then(|| desk.now()), payload };
    let mut body = match event.starts_with("refund.") {
        true => to_json(&alphabetical(&envelope)),
        false => to_json(&envelope),
    };
    // In compact JSON slashes and non-ASCII stand inside strings alone.
    if event.starts_with("qr_code.") {
        body = body.replace('/', r"\/");
    }
    if desk.switches.escape_unicode {
        body = escape_unicode(&body);
    }
    News { event, body, content_type: "application/json", url: None }
}

/// A value's maps are ordered by key.
fn alphabetical(envelope: &Envelope<'_>) -> serde_json::Value {
    serde_json::to_value(envelope).expect("our own views have string keys and no failing parts")
}

fn escape_unicode(body: &str) -> String {
    let mut escaped = String::with_capacity(body.len());
    for c in body.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    escaped
}
