//! Transactions: one attempt to pay each, as it is printed and fetched. How it goes on is in `life.rs`.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::failure::Failure;
use super::print::Printed;
use crate::sandbox::shelf::Labelled;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    pub id: String,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub amount: i64,
    pub refunded: i64,
    /// On its way back.
    #[serde(default)]
    pub refunding: i64,
    pub status: Status,
    pub pays: Pays,
    /// The payer's address, once somebody took the attempt up.
    pub vpa: Option<String>,
    pub rrn: Option<String>,
    /// Why a mandate's debit failed.
    #[serde(default)]
    pub failure: Option<String>,
}

/// What is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pays {
    Order(String),
    /// Nothing that is printed of a transaction says so: no source has a field for it.
    QrCode(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Authorized,
    PendingWithBank,
    Success,
    Failed,
    PartiallyRefunded,
    Refunded,
}

impl Labelled for Transaction {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Transaction {
    /// What more may be asked back.
    pub fn refundable(&self) -> i64 {
        self.amount - self.refunded - self.refunding
    }

    /// For people.
    pub fn message(&self) -> &str {
        self.failure.as_deref().unwrap_or(self.status.message())
    }
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Authorized => "AUTHORIZED",
            Self::PendingWithBank => "PENDING_WITH_BANK",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::PartiallyRefunded => "PARTIALLY_REFUNDED",
            Self::Refunded => "REFUNDED",
        }
    }

    /// The three words that the UPI status knows.
    pub fn upi_word(self) -> &'static str {
        match self {
            Self::Created | Self::Authorized | Self::PendingWithBank => "PROCESS",
            Self::Success | Self::PartiallyRefunded | Self::Refunded => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Created => "Waiting for the customer.",
            Self::Authorized | Self::PendingWithBank => "Waiting for the bank.",
            Self::Success | Self::PartiallyRefunded | Self::Refunded => "Transaction successful.",
            Self::Failed => "Transaction failed.",
        }
    }

    /// The money came, whatever became of it since.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Success | Self::PartiallyRefunded | Self::Refunded)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionView<'a> {
    transaction_id: &'a str,
    created: String,
    last_modified: String,
    #[serde(flatten)]
    more: Option<Unshown<'a>>,
}

/// What the documentation says there is without showing it; the names are those of the callback's fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unshown<'a> {
    status: &'static str,
    amount: Printed,
    currency: &'static str,
    payment_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpa: Option<&'a str>,
}

impl Desk<'_> {
    pub fn view_transaction<'t>(&self, transaction: &'t Transaction) -> TransactionView<'t> {
        let more = || Unshown {
            status: self.status(transaction.status.word()),
            amount: self.amount(transaction.amount),
            currency: "INR",
            payment_mode: "UPI",
            bank_transaction_id: transaction.rrn.as_deref(),
            vpa: transaction.vpa.as_deref(),
        };
        TransactionView {
            transaction_id: &transaction.id,
            created: self.time(transaction.created_ms),
            last_modified: self.time(transaction.modified_ms),
            more: (!self.our_switches().bare_transactions).then(more),
        }
    }

    pub fn fetch_transaction(&self, id: &str) -> Result<String, Failure> {
        let transaction = self.books.transactions.get(id).ok_or_else(no_such_transaction)?;
        Ok(self.success(self.view_transaction(transaction)))
    }
}

pub fn no_such_transaction() -> Failure {
    Failure::other("Transaction not found.")
}
