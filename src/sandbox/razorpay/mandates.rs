//! Razorpay's mandates for whoever plays the payer and his bank.

use serde_json::Value;

use super::control::to_value;
use super::desk::Desk;
use super::link;
use super::order::Order;
use super::payment::{Payment, Status as PaymentStatus};
use super::token::{self, Status};
use crate::sandbox::control::ControlError;
use crate::sandbox::desk::Mandates;
use crate::sandbox::{DebitEnd, NoticeEnd, PayerAct};

impl Mandates for Desk<'_> {
    fn decide_mandate(&mut self, id: &str, act: PayerAct) -> Result<(), ControlError> {
        match act {
            PayerAct::Approve => self.approve(&self.authorization(id)?),
            PayerAct::Reject => self.reject(&self.authorization(id)?),
            PayerAct::Pause | PayerAct::Resume | PayerAct::Revoke => self.change_token(&self.token(id)?, act),
        }
    }

    fn end_notice(&mut self, id: &str, how: NoticeEnd) -> Result<(), ControlError> {
        let is_meant = |order: &&Order| order.notice.as_ref().is_some_and(|notice| order.id == id || notice.id == id);
        let order = self.books.orders.newest_first().find(is_meant).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if !order.notice.as_ref().is_some_and(|notice| notice.is_waiting()) {
            return Err(ControlError::WrongState { id: id.to_owned(), state: "told of already".to_owned() });
        }
        self.set_notice(&order.id.clone(), how);
        Ok(())
    }

    fn end_debit(&mut self, id: &str, how: &DebitEnd) -> Result<(), ControlError> {
        let is_meant = |payment: &&Payment| self.is_debit(payment) && is_or_pays(payment, id);
        let payment = self.books.payments.newest_first().find(is_meant).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        let wrong = |state: &str| Err(ControlError::WrongState { id: payment.id.clone(), state: state.to_owned() });
        match (payment.status, how) {
            (PaymentStatus::Created | PaymentStatus::Failed, DebitEnd::Collected) if self.is_order_paid(payment) => {
                return wrong("of an order that is paid");
            }
            (PaymentStatus::Failed, DebitEnd::Collected) if !self.may_authorize_late(payment) => return wrong("failed, and too long ago"),
            (PaymentStatus::Created | PaymentStatus::Failed, DebitEnd::Collected) => self.collect_debit(&payment.id.clone()),
            (PaymentStatus::Created, DebitEnd::Failed { reason }) => self.fail_debit(&payment.id.clone(), reason),
            _ => return wrong("at its end"),
        }
        Ok(())
    }

    /// Those, too, that the merchant deleted and those that expired.
    fn print_mandates(&self) -> Vec<Value> {
        self.books.tokens.newest_first().map(|token| to_value(token::view(token, true))).collect()
    }
}

impl Desk<'_> {
    /// The payment that sets a mandate up: the one of a link, or the newest of an order that waits, or the newest of all.
    fn authorization(&self, id: &str) -> Result<String, ControlError> {
        let not_found = || ControlError::NotFound(id.to_owned());
        let linked = link::read_mandate(id);
        let wanted = linked.as_deref().unwrap_or(id);
        let matching =
            || self.books.payments.newest_first().filter(|payment| is_or_pays(payment, wanted) && self.is_authorization(payment));
        let waiting = matching().find(|payment| payment.status == PaymentStatus::Created);
        waiting.or_else(|| matching().next()).map(|payment| payment.id.clone()).ok_or_else(not_found)
    }

    /// A token by its id, or the one that came of an order, a payment or a link.
    fn token(&self, id: &str) -> Result<String, ControlError> {
        if self.books.tokens.get(id).is_some() {
            return Ok(id.to_owned());
        }
        let linked = link::read_mandate(id);
        let wanted = linked.as_deref().unwrap_or(id);
        let mut payments =
            self.books.payments.newest_first().filter(|payment| is_or_pays(payment, wanted) && self.is_authorization(payment));
        let made = |payment: &Payment| {
            let token = self.books.tokens.get(payment.token_id.as_ref()?)?;
            (token.status != Status::Rejected).then(|| token.id.clone())
        };
        payments.find_map(made).ok_or_else(|| ControlError::NotFound(id.to_owned()))
    }

    fn change_token(&mut self, id: &str, act: PayerAct) -> Result<(), ControlError> {
        let wrong = |state: &str| Err(ControlError::WrongState { id: id.to_owned(), state: state.to_owned() });
        let token = self.books.tokens.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if token.is_expired(self.now_ms) {
            return wrong("expired");
        }
        match (act, token.status) {
            (PayerAct::Pause, Status::Confirmed) => self.set_token(id, Status::Paused, "token.paused"),
            (PayerAct::Resume, Status::Paused) => self.set_token(id, Status::Confirmed, "token.resumed"),
            (PayerAct::Revoke, Status::Confirmed | Status::Paused | Status::CancellationInitiated) => self.end_token(id),
            (_, status) => return wrong(status.name()),
        }
        Ok(())
    }
}

fn is_or_pays(payment: &Payment, id: &str) -> bool {
    payment.id == id || payment.order_id.as_deref() == Some(id)
}
