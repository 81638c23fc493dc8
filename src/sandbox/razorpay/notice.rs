//! The notice that a payer gets before a debit. It belongs to the debit's order: made with it, once, and never again.

use serde::{Deserialize, Serialize};

use super::desk::{Desk, Due};
use super::error::ApiError;
use super::event;
use super::input::{Fields, TIME_MAX, TIME_MIN, check_id};
use super::order::Order;
use super::token::Status as TokenStatus;
use crate::sandbox::clock::{HOUR_MS, SECOND_MS};
use crate::sandbox::{NoticeCourse, NoticeEnd};

/// From the order to the payer's phone.
const STEP_MS: i64 = 30 * SECOND_MS;
/// From the delivery to the debit that is told of where the merchant says nothing else.
const AFTER_MS: i64 = 25 * HOUR_MS;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    pub id: String,
    pub token_id: String,
    /// Seconds since 1970; none is 25 hours after the delivery.
    payment_after: Option<i64>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Delivered { at_ms: i64 },
    Failed,
}

impl Notice {
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    pub fn delivered_ms(&self) -> Option<i64> {
        match self.state {
            State::Delivered { at_ms } => Some(at_ms),
            State::Waiting | State::Failed => None,
        }
    }

    fn delivered_at(&self) -> Option<i64> {
        self.delivered_ms().map(|at_ms| at_ms / 1_000)
    }

    fn payment_after(&self) -> Option<i64> {
        self.payment_after.or_else(|| self.delivered_ms().map(|at_ms| (at_ms + AFTER_MS) / 1_000))
    }

    fn status(&self) -> Option<&'static str> {
        match self.state {
            State::Waiting => None,
            State::Delivered { .. } => Some("delivered"),
            State::Failed => Some("failed"),
        }
    }
}

/// Inside an order.
#[derive(Serialize)]
pub struct NoticeView<'a> {
    token_id: &'a str,
    payment_after: Option<i64>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Option<i64>>,
}

/// What became of it shows once it is known.
pub fn view(notice: &Notice) -> NoticeView<'_> {
    NoticeView {
        token_id: &notice.token_id,
        payment_after: notice.payment_after(),
        id: &notice.id,
        status: notice.status(),
        delivered_at: notice.status().map(|_| notice.delivered_at()),
    }
}

/// In events.
#[derive(Serialize)]
pub struct NoticeEvent<'a> {
    id: &'a str,
    entity: &'static str,
    order_id: &'a str,
    token_id: &'a str,
    delivered_at: Option<i64>,
    status: Option<&'static str>,
    payment_after: Option<i64>,
}

pub fn view_event(order: &Order) -> Option<NoticeEvent<'_>> {
    let notice = order.notice.as_ref()?;
    Some(NoticeEvent {
        id: &notice.id,
        entity: "notification",
        order_id: &order.id,
        token_id: &notice.token_id,
        delivered_at: notice.delivered_at(),
        status: notice.status(),
        payment_after: notice.payment_after(),
    })
}

impl Desk<'_> {
    /// Reads an order's `notification`. The token may be in any state: what that means for the notice shows later.
    pub fn read_notice(&mut self, fields: &Fields<'_>) -> Result<Option<Notice>, ApiError> {
        let Some(notification) = fields.get("notification") else {
            return Ok(None);
        };
        let object = notification.as_object().ok_or_else(|| ApiError::on("notification", "The notification must be an array."))?;
        let fields = Fields::of(object, &["token_id", "payment_after"])?;
        let token_id = fields.text("token_id", 64)?.ok_or_else(|| ApiError::on("token_id", "The token id field is required."))?;
        check_id("token", &token_id)?;
        let token = self.books.tokens.get(&token_id).filter(|token| !token.forgotten);
        token.ok_or_else(ApiError::no_such_id)?;
        let payment_after = fields.integer("payment_after")?;
        if payment_after.is_some_and(|at| !(TIME_MIN..=TIME_MAX).contains(&at)) {
            return Err(ApiError::on("payment_after", format!("payment_after must be between {TIME_MIN} and {TIME_MAX}")));
        }
        Ok(Some(Notice { id: self.new_id("notification"), token_id, payment_after, state: State::Waiting }))
    }

    pub fn send_notice(&mut self, order_id: &str) {
        if self.switches.mandates.notices != NoticeCourse::WhenTold {
            self.appoint(self.now_ms + STEP_MS, Due::NoticeEnds(order_id.to_owned()));
        }
    }

    /// A notice about a mandate that can't be debited reaches nobody.
    pub fn notice_ends(&mut self, order_id: &str) {
        let notice = self.books.orders.get(order_id).and_then(|order| order.notice.as_ref());
        let Some(notice) = notice.filter(|notice| notice.is_waiting()) else {
            return;
        };
        let token = self.books.tokens.get(&notice.token_id);
        let chargeable = token.is_some_and(|token| token.status == TokenStatus::Confirmed && !token.is_expired(self.now_ms));
        match self.switches.mandates.notices {
            NoticeCourse::ByThemselves if chargeable => self.set_notice(order_id, NoticeEnd::Delivered),
            NoticeCourse::ByThemselves | NoticeCourse::Fail => self.set_notice(order_id, NoticeEnd::Failed),
            NoticeCourse::WhenTold => (),
        }
    }

    pub fn set_notice(&mut self, order_id: &str, how: NoticeEnd) {
        let at_ms = self.now_ms;
        let notice = self.books.orders.get_mut(order_id).and_then(|order| order.notice.as_mut());
        let Some(notice) = notice else { return };
        let event = match how {
            NoticeEnd::Delivered => {
                notice.state = State::Delivered { at_ms };
                "order.notification.delivered"
            }
            NoticeEnd::Failed => {
                notice.state = State::Failed;
                "order.notification.failed"
            }
        };
        let news = event::notification(event, self, order_id);
        self.tell(news.into_iter().collect());
    }
}
