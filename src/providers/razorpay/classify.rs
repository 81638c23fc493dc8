//! What an answer that is no success lets us conclude: a list of what is certainly not done, and doubt for the rest. Pure.

use http::StatusCode;

use super::wire::Failure;
use crate::domain::account::Operation;
use crate::providers::told::{message, token};
use crate::providers::{AskError, CallError, Cause};

#[cfg(test)]
mod tests;

/// What is known of a listed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The provider looked at the request and said no before anything happened.
    BeforeAnyEffect,
    /// The provider did not look at the request.
    NotActedOn,
}

/// An answer that proves that nothing happened.
struct Rule {
    operations: &'static [Operation],
    statuses: &'static [u16],
    /// `None`: whatever the body is.
    error: Option<Listed>,
    known: Known,
}

/// An error whose code is `BAD_REQUEST_ERROR`.
#[derive(Clone, Copy)]
enum Listed {
    /// By its reason.
    Reason(&'static str),
    /// By its description where the reason is missing or says no more than that something was wrong.
    Text(Text),
}

/// A description, compared without regard to case and to the full stop at its end.
#[derive(Clone, Copy)]
enum Text {
    Is(&'static str),
    Begins(&'static str),
    Ends(&'static str),
    Around(&'static str, &'static str),
}

const BAD_REQUEST: &str = "BAD_REQUEST_ERROR";
const VALIDATION: &str = "input_validation_failed";
/// This one comes with 5xx and with 400, and with the reason of a validation too. It is never an answer.
const TROUBLE: Text = Text::Begins("We are facing some trouble completing your request");
const NO_SUCH_ID: Text = Text::Is("The id provided does not exist");

/// There is a refund with our reference: an earlier request was acted on, whatever became of its answer.
const RECEIPT_TAKEN: Text = Text::Is("Duplicate receipt found for this refund request");

const MUTATIONS: &[Operation] = &[
    Operation::CreateQr,
    Operation::CloseQr,
    Operation::CreateRefund,
    Operation::CreateMandate,
    Operation::RevokeMandate,
    Operation::CreateDebit,
    Operation::ExecuteDebit,
];
const CREATE: &[Operation] = &[Operation::CreateQr];
const CLOSE: &[Operation] = &[Operation::CloseQr];
const REFUND: &[Operation] = &[Operation::CreateRefund];
/// A mandate's customer, its order, and the payment that it is approved by.
const MANDATE: &[Operation] = &[Operation::CreateMandate];
const REVOKE: &[Operation] = &[Operation::RevokeMandate];
/// A mandate's order, or that of a debit's notice.
const ORDER: &[Operation] = &[Operation::CreateMandate, Operation::CreateDebit];
/// What takes fields, besides codes and refunds.
const MANDATE_BODIES: &[Operation] = &[Operation::CreateMandate, Operation::CreateDebit, Operation::ExecuteDebit];
/// What another operation on the same payment can be in the way of. Not of a debit: what else is under way there may be one.
const BESIDE_OTHERS: &[Operation] = &[Operation::CreateQr, Operation::CloseQr, Operation::CreateRefund];

const fn not_acted_on(statuses: &'static [u16], error: Option<Listed>) -> Rule {
    Rule { operations: MUTATIONS, statuses, error, known: Known::NotActedOn }
}

const fn refusal(operations: &'static [Operation], statuses: &'static [u16], error: Listed) -> Rule {
    Rule { operations, statuses, error: Some(error), known: Known::BeforeAnyEffect }
}

/// All answers that prove that nothing happened. The first that fits counts.
///
/// Not here, on purpose: closing a code that is closed already. The text of that answer is not documented, and what we want
/// to know then is how the code stands: doubt has it looked up. Nor is a refund that "has already been processed" or has our
/// receipt already, two requests with one idempotency key (409), or `invalid request sent`, which was seen where the balance
/// was too low and says nothing. Nor is an order whose receipt is taken, since then there is one of ours, or a debit of an
/// order that is paid, since then money has come. What a debit or a cancellation is told of a mandate that does not stand is
/// not documented.
const RULES: &[Rule] = &[
    // Throttled.
    not_acted_on(&[429], None),
    // Credentials: the documentation has both statuses, and several texts.
    not_acted_on(&[401], None),
    not_acted_on(&[400], Some(Listed::Text(Text::Is("The api key provided is invalid")))),
    not_acted_on(&[400], Some(Listed::Text(Text::Is("The api secret provided is invalid")))),
    not_acted_on(&[400], Some(Listed::Text(Text::Is("The API {key/secret} provided is invalid")))),
    not_acted_on(&[400], Some(Listed::Text(Text::Is("Authentication failed")))),
    // Our address is not on the account's list.
    not_acted_on(&[400, 403], Some(Listed::Text(Text::Is("Access Denied")))),
    Rule {
        operations: BESIDE_OTHERS,
        statuses: &[400],
        error: Some(Listed::Text(Text::Is("Request failed because another payment operation is in progress"))),
        known: Known::NotActedOn,
    },
    // The feature is off for this account.
    refusal(MUTATIONS, &[400, 404], Listed::Text(Text::Is("The requested URL was not found on the server"))),
    refusal(MUTATIONS, &[400], Listed::Reason("extra_field_sent")),
    refusal(CREATE, &[400], Listed::Reason(VALIDATION)),
    refusal(CREATE, &[400], Listed::Text(Text::Around("The selected", "is invalid"))),
    refusal(CREATE, &[400], Listed::Text(Text::Ends("is/are not required and should not be sent"))),
    refusal(CREATE, &[400], Listed::Text(Text::Around("The", "field is required"))),
    refusal(CREATE, &[400], Listed::Text(Text::Around("The", "is required"))),
    refusal(CREATE, &[400], Listed::Text(Text::Begins("The payment amount must be at least"))),
    refusal(CREATE, &[400], Listed::Text(Text::Begins("close_by must be between"))),
    refusal(CREATE, &[400], Listed::Text(Text::Begins("close_by should be at least"))),
    refusal(CREATE, &[400], Listed::Text(Text::Ends("is not a valid id"))),
    // Closing needs no list of validations: it has no body. Its reason says nothing, since a business rule has the same.
    refusal(CLOSE, &[400, 404], Listed::Text(NO_SUCH_ID)),
    refusal(CLOSE, &[400], Listed::Text(Text::Ends("is not a valid id"))),
    // A refund [6.5]. A validation's reason proves nothing here either, so each text is listed.
    refusal(REFUND, &[400], Listed::Text(Text::Is("The refund amount provided is greater than amount captured"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("The payment has been fully refunded already"))),
    refusal(REFUND, &[400], Listed::Text(Text::Begins("The amount must be at least INR"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Amount cannot be blank"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("The amount must be an integer"))),
    refusal(REFUND, &[400], Listed::Text(Text::Ends("is not a valid id"))),
    refusal(REFUND, &[400], Listed::Text(Text::Ends("is/are not required and should not be sent"))),
    // It comes in a longer form too.
    refusal(REFUND, &[400], Listed::Text(Text::Begins("Your account does not have enough balance to carry out the refund operation"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("The payment status should be captured for action to be taken"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("The selected speed is invalid"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Instant refund not supported for the payment"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Refund is currently not supported for this payment method"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Partial refund is currently not supported for this payment method"))),
    refusal(REFUND, &[400], Listed::Text(Text::Begins("Refunds cannot be created on your account"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("The refund on this payment is blocked due to ongoing dispute investigation"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Notes validation failed"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Void is not supported for partial refunds"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Refund is not supported by the bank because the payment is more than 6 months old"))),
    refusal(REFUND, &[400], Listed::Text(Text::Is("Payment is more than 6 months old, only instant refund is supported"))),
    // A customer [8.2]. Anything else about him is as good as an order that was not sent.
    refusal(MANDATE, &[400], Listed::Reason("invalid_contact_number")),
    refusal(MANDATE, &[400], Listed::Text(Text::Begins("Contact number should be at least"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Begins("Contact number contains invalid characters"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Is("The email must be a valid email address"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Begins("The name may not be greater than"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Is("The name format is invalid"))),
    // An order [3.7].
    refusal(ORDER, &[400], Listed::Reason("amount_less_than_minimum_amount")),
    refusal(ORDER, &[400], Listed::Text(Text::Begins("The amount must be at least INR"))),
    refusal(ORDER, &[400], Listed::Text(Text::Is("Order amount less than minimum amount allowed"))),
    refusal(ORDER, &[400], Listed::Text(Text::Is("The amount must be an integer"))),
    refusal(ORDER, &[400], Listed::Text(Text::Begins("expected string but provided"))),
    refusal(ORDER, &[400], Listed::Text(Text::Is("The currency should be INR when method is upi"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Is("The order amount cannot be greater than the token max amount for upi recurring"))),
    refusal(MANDATE, &[400], Listed::Text(Text::Begins("The minimum transaction amount allowed is"))),
    // What its fields are like is looked at before anything is made or debited [2.3, 8.8]; the last is a debit's own.
    refusal(MANDATE_BODIES, &[400], Listed::Text(NO_SUCH_ID)),
    refusal(MANDATE_BODIES, &[400], Listed::Text(Text::Ends("is not a valid id"))),
    refusal(MANDATE_BODIES, &[400], Listed::Text(Text::Ends("is/are not required and should not be sent"))),
    refusal(MANDATE_BODIES, &[400], Listed::Text(Text::Around("The", "field is required"))),
    refusal(ORDER, &[400], Listed::Text(Text::Ends(": is required"))),
    refusal(ORDER, &[400], Listed::Text(Text::Around("The selected", "is invalid"))),
    refusal(MANDATE_BODIES, &[400], Listed::Text(Text::Is("Amount exceeds maximum amount allowed"))),
    // A cancellation has no body; it is handed on to the UPI network once the token is found [8.6].
    refusal(REVOKE, &[400, 404], Listed::Text(NO_SUCH_ID)),
    refusal(REVOKE, &[400], Listed::Text(Text::Ends("is not a valid id"))),
];

/// What an answer without success to `operation` lets us conclude. `first_send` is false where an earlier send of the same
/// request may have arrived: then no answer to this one proves that nothing happened.
pub fn classify(operation: Operation, first_send: bool, status: StatusCode, failure: Option<&Failure>) -> CallError {
    let rule = RULES.iter().find(|rule| rule.fits(operation, status, failure));
    match (rule.map(|rule| rule.known), failure) {
        (Some(Known::BeforeAnyEffect), Some(failure)) if first_send => {
            CallError::Refused { code: code(failure), message: message(failure.description.as_deref()) }
        }
        (Some(Known::NotActedOn), _) if first_send => CallError::NotDelivered(cause(status, failure)),
        _ => CallError::InDoubt(cause(status, failure)),
    }
}

/// Whether the answer to a refund says that there is one with our receipt.
pub fn has_receipt_already(status: StatusCode, failure: Option<&Failure>) -> bool {
    // Whatever the reason beside it is: to look for the refund is harmless.
    let says_so = |failure: &Failure| RECEIPT_TAKEN.fits(failure.description.as_deref().unwrap_or_default());
    status == StatusCode::BAD_REQUEST && failure.is_some_and(says_so)
}

/// What an answer without success to a question lets us conclude.
pub fn classify_question(status: StatusCode, failure: Option<&Failure>) -> AskError {
    let absent = failure.is_some_and(|failure| Listed::Text(NO_SUCH_ID).fits(failure));
    if absent && matches!(status.as_u16(), 400 | 404) { AskError::Absent } else { AskError::Unanswered(cause(status, failure)) }
}

fn cause(status: StatusCode, failure: Option<&Failure>) -> Cause {
    let status = status.as_u16();
    Cause(match failure {
        Some(failure) => format!("it answered with status {status}, {}", code(failure)),
        None => format!("it answered with status {status} and no error that can be read"),
    })
}

/// The most telling of an error's codes.
fn code(failure: &Failure) -> String {
    let Failure { code, description: _, reason } = failure;
    let reason = reason.as_deref().filter(|reason| *reason != "NA");
    token(reason.or(code.as_deref()).unwrap_or("no_code"))
}

impl Rule {
    fn fits(&self, operation: Operation, status: StatusCode, failure: Option<&Failure>) -> bool {
        let error_fits = match (&self.error, failure) {
            (None, _) => true,
            (Some(listed), Some(failure)) => listed.fits(failure),
            (Some(_), None) => false,
        };
        self.operations.contains(&operation) && self.statuses.contains(&status.as_u16()) && error_fits
    }
}

impl Listed {
    fn fits(&self, failure: &Failure) -> bool {
        let Failure { code, description, reason } = failure;
        let description = description.as_deref().unwrap_or_default();
        if code.as_deref() != Some(BAD_REQUEST) || TROUBLE.fits(description) {
            return false;
        }
        match self {
            Listed::Reason(listed) => reason.as_deref() == Some(*listed),
            Listed::Text(text) => matches!(reason.as_deref(), None | Some("NA" | VALIDATION)) && text.fits(description),
        }
    }
}

impl Text {
    fn fits(self, description: &str) -> bool {
        let plain = |text: &str| text.trim().trim_end_matches('.').to_ascii_lowercase();
        let description = plain(description);
        match self {
            Text::Is(text) => description == plain(text),
            Text::Begins(text) => description.starts_with(&plain(text)),
            Text::Ends(text) => description.ends_with(&plain(text)),
            Text::Around(first, last) => {
                description.starts_with(&format!("{} ", plain(first))) && description.ends_with(&format!(" {}", plain(last)))
            }
        }
    }
}
