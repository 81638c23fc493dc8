//! Refunds: asked for under the merchant's `requestId` or made in the dashboard, then done, or sent back by the bank.
//! What is known of the vendor's answer is that it is an object, so ours holds the `requestId` alone and nobody can come
//! to depend on more. The transaction's status is what tells how a refund went.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::desk::{Desk, Due, room_on};
use super::failure::Failure;
use super::input;
use super::payout::Item;
use super::print::Printed;
use super::transaction::{Status as TransactionStatus, no_such_transaction};
use crate::sandbox::clock::SECOND_MS;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::switches::RefundCourse;

/// How long a refund takes that goes on by itself.
const REFUND_MS: i64 = 30 * SECOND_MS;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// Ours alone: nothing that is answered has it.
    pub id: String,
    /// The merchant's; none for what was done in the dashboard.
    pub request_id: Option<String>,
    pub created_ms: i64,
    pub transaction_id: String,
    pub amount: i64,
    pub remarks: Option<String>,
    pub status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Success,
    Failed,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }
}

impl Labelled for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefundRequest<'a> {
    #[serde(borrow)]
    amount: &'a RawValue,
    request_id: String,
    remarks: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerView<'a> {
    request_id: &'a str,
}

/// For the control interface: how the provider prints a refund is not known.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundView<'a> {
    request_id: Option<&'a str>,
    transaction_id: &'a str,
    amount: Printed,
    status: &'static str,
}

impl Desk<'_> {
    pub fn create_refund(&mut self, transaction_id: &str, body: &[u8]) -> Result<String, Failure> {
        let RefundRequest { amount, request_id, remarks } = input::read(body)?;
        let amount = input::amount("amount", amount)?;
        if request_id.trim().is_empty() {
            return Err(Failure::other("requestId must not be empty."));
        }
        let ids_count = !self.our_switches().request_ids_ignored;
        if let Some(first) = self.books.refunds.newest_first().find(|refund| ids_count && refund.request_id.as_ref() == Some(&request_id)) {
            return match first.transaction_id == transaction_id && first.amount == amount && first.remarks == remarks {
                true => Ok(self.success(AnswerView { request_id: &request_id })),
                false => Err(Failure::other("requestId was used for another refund.")),
            };
        }
        let transaction = self.books.transactions.get(transaction_id).ok_or_else(no_such_transaction)?;
        if !transaction.status.is_paid() {
            return Err(Failure::other("Only successful transactions can be refunded."));
        }
        if amount > transaction.refundable() {
            return Err(Failure::other("Refund amount is greater than what is left of the transaction."));
        }
        room_on(&self.books.refunds)?;
        let answer = self.success(AnswerView { request_id: &request_id });
        let id = self.take_refund(transaction_id, amount, Some(request_id), remarks);
        match self.our_switches().refunds {
            RefundCourse::ByThemselves => self.appoint(self.now_ms + REFUND_MS, Due::RefundEnds(id)),
            RefundCourse::AtOnce => self.end_refund_well(&id),
            RefundCourse::WhenTold => (),
        }
        Ok(answer)
    }

    /// Notes a refund down; whether there is so much was checked before. Until it ends the transaction shows nothing.
    pub fn take_refund(&mut self, transaction_id: &str, amount: i64, request_id: Option<String>, remarks: Option<String>) -> String {
        let id = self.new_id("RF");
        if let Some(transaction) = self.books.transactions.get_mut(transaction_id) {
            transaction.refunding += amount;
        }
        let (created_ms, transaction_id) = (self.now_ms, transaction_id.to_owned());
        self.books.refunds.put(Refund { id: id.clone(), request_id, created_ms, transaction_id, amount, remarks, status: Status::Pending });
        id
    }

    pub fn end_refund_by_itself(&mut self, id: &str) {
        if self.books.refunds.get(id).is_some_and(|refund| refund.status == Status::Pending) {
            self.end_refund_well(id);
        }
    }

    /// The payer has his money back. Nobody is told: how is not known.
    pub fn end_refund_well(&mut self, id: &str) {
        self.end(id, Status::Success);
    }

    /// The bank doesn't take a refund, or sends it back: the transaction's status goes back with it.
    pub fn end_refund_badly(&mut self, id: &str) {
        self.end(id, Status::Failed);
    }

    fn end(&mut self, id: &str, end: Status) {
        let Some(refund) = self.books.refunds.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut refund.status, end);
        let (transaction_id, amount) = (refund.transaction_id.clone(), refund.amount);
        let Some(transaction) = self.books.transactions.get_mut(&transaction_id) else {
            return;
        };
        match before {
            Status::Pending => transaction.refunding -= amount,
            Status::Success => transaction.refunded -= amount,
            Status::Failed => (),
        }
        if end == Status::Success {
            transaction.refunded += amount;
        }
        let status = match transaction.refunded {
            0 => TransactionStatus::Success,
            refunded if refunded < transaction.amount => TransactionStatus::PartiallyRefunded,
            _ => TransactionStatus::Refunded,
        };
        if status != transaction.status {
            self.move_on(&transaction_id, status);
        }
        match (before, end) {
            (_, Status::Success) => self.await_payout(Item::Refund(id.to_owned())),
            (Status::Success, _) => self.take_back_from_payout(id),
            _ => (),
        }
    }

    pub fn view_refund<'r>(&self, refund: &'r Refund) -> RefundView<'r> {
        RefundView {
            request_id: refund.request_id.as_deref(),
            transaction_id: &refund.transaction_id,
            amount: self.amount(refund.amount),
            status: refund.status.word(),
        }
    }
}
