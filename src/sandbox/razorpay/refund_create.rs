//! A refund is asked for: what is checked, in which order, and how a repetition is known.
//!
//! Two things tell a repetition, with different answers: the header `X-Refund-Idempotency`, whose first answer comes
//! again byte for byte, and the receipt in the body, which a second refund of the same payment may not have.

use http::HeaderMap;
use jiff::ToSpan;
use serde::{Deserialize, Serialize};

use super::desk::{Desk, room_on};
use super::error::ApiError;
use super::input::{Fields, check_id};
use super::payment::{Payment, Status as PaymentStatus};
use super::refund::{self, Speed};
use super::refund_life::Wish;
use super::{Call, to_json};
use crate::sandbox::clock::in_ist;

const AMOUNT_MIN: i64 = 100;
const KEY_LENGTH_MIN: usize = 10;
/// No documented maximum; this only bounds what is kept.
const RECEIPT_LENGTH_MAX: usize = 1_000;
/// From then on the payer's bank takes no normal refund any more.
const OLD_AFTER_MONTHS: i32 = 6;

/// What was answered under a key, and to what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptAnswer {
    at_ms: i64,
    payment_id: String,
    /// As JSON with sorted fields: blanks and order are no difference.
    body: String,
    answer: String,
}

impl Desk<'_> {
    pub fn create_refund(&mut self, id: &str, call: &Call, headers: &HeaderMap) -> Result<String, ApiError> {
        call.expect_no_query()?;
        check_id("pay", id)?;
        let key = read_key(headers)?;
        let wish = read_wish(id, call)?;
        let payment = self.books.payments.get(id).ok_or_else(ApiError::no_such_id)?;
        let repeated = wish.receipt.as_ref().is_some_and(|receipt| self.has_receipt(payment, receipt));
        if repeated && self.switches.receipt_wins {
            return Err(duplicate_receipt());
        }
        let body = to_json(&call.body);
        if let Some(kept) = key.as_ref().and_then(|key| self.kept_answer(key)) {
            return match kept.payment_id == id && kept.body == body {
                true => Ok(kept.answer.clone()),
                false => Err(ApiError::conflict("Different request with the same idempotency key has already been processed.")),
            };
        }
        if repeated {
            return Err(duplicate_receipt());
        }
        let amount = self.check_refund(payment, &wish)?;
        room_on(&self.books.refunds)?;
        let made = self.make_refund(amount, wish);
        let answer = self.books.refunds.get(&made).map(|refund| to_json(&refund::view(refund))).ok_or_else(ApiError::trouble)?;
        if let Some(key) = key {
            let kept = KeptAnswer { at_ms: self.now_ms, payment_id: id.to_owned(), body, answer: answer.clone() };
            self.books.refund_keys.insert(key, kept);
        }
        Ok(answer)
    }

    fn kept_answer(&self, key: &str) -> Option<&KeptAnswer> {
        let lasts_ms = self.switches.refund_keys_last_s.map(|seconds| i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX));
        self.books.refund_keys.get(key).filter(|kept| lasts_ms.is_none_or(|ms| self.now_ms < kept.at_ms.saturating_add(ms)))
    }

    /// A failed refund keeps its receipt.
    fn has_receipt(&self, payment: &Payment, receipt: &str) -> bool {
        let refunds = payment.refunds.iter().filter_map(|id| self.books.refunds.get(id));
        refunds.into_iter().any(|refund| refund.receipt.as_deref() == Some(receipt))
    }

    /// Whether so much may go back now, and how much that is.
    fn check_refund(&self, payment: &Payment, wish: &Wish) -> Result<i64, ApiError> {
        let left = payment.amount - payment.amount_refunded;
        if payment.status == PaymentStatus::Refunded || left <= 0 {
            return Err(ApiError::invalid("The payment has been fully refunded already"));
        }
        if payment.status != PaymentStatus::Captured {
            return Err(ApiError::invalid("The payment status should be captured for action to be taken."));
        }
        // A rest of less than a rupee goes back where no amount is said.
        let amount = wish.amount.unwrap_or(left);
        if amount > left {
            return Err(ApiError::on("amount", "The refund amount provided is greater than amount captured"));
        }
        if self.switches.old_refunds_refused && wish.speed == Speed::Normal && self.is_too_old(payment) {
            return Err(ApiError::unexplained("Refund is not supported by the bank because the payment is more than 6 months old"));
        }
        if self.switches.balance.is_some_and(|balance| amount > balance) {
            let text = "Your account does not have enough balance to carry out the refund operation.";
            return Err(ApiError::not_applicable(400, text));
        }
        Ok(amount)
    }

    pub fn is_too_old(&self, payment: &Payment) -> bool {
        let end = in_ist(payment.created_ms).checked_add(OLD_AFTER_MONTHS.months());
        end.is_ok_and(|end| end.timestamp().as_millisecond() < self.now_ms)
    }
}

fn read_wish(payment_id: &str, call: &Call) -> Result<Wish, ApiError> {
    let fields = Fields::of(&call.body, &["amount", "speed", "notes", "receipt"])?;
    let amount = match fields.integer("amount")? {
        Some(0) => return Err(ApiError::on("amount", "Amount cannot be blank.")),
        Some(..AMOUNT_MIN) => return Err(ApiError::on("amount", "The amount must be at least INR 1.00")),
        amount => amount,
    };
    let speed = match fields.get("speed") {
        None => Speed::Normal,
        Some(speed) if speed == "normal" => Speed::Normal,
        Some(speed) if speed == "optimum" => Speed::Instant,
        Some(_) => return Err(ApiError::on("speed", "The selected speed is invalid.")),
    };
    let notes = fields.notes().map_err(|_| ApiError::on("notes", "Notes validation failed."))?;
    let receipt = fields.text("receipt", RECEIPT_LENGTH_MAX)?;
    Ok(Wish { payment_id: payment_id.to_owned(), amount, speed, notes, receipt })
}

fn read_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("x-refund-idempotency") else {
        return Ok(None);
    };
    if key.len() < KEY_LENGTH_MIN {
        return Err(ApiError::invalid("The idempotency key must be at least 10 characters long."));
    }
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match key.to_str() {
        Ok(text) if text.as_bytes().iter().all(fine) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid("The idempotency key must only contain alphanumeric characters, underscores, and hyphens")),
    }
}

fn duplicate_receipt() -> ApiError {
    ApiError::on("receipt", "Duplicate receipt found for this refund request.")
}
