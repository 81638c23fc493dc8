//! What the sources on EnKash leave open or contradict each other on: a default each, and the other reading.

use serde::{Deserialize, Serialize};

use super::mandate::{MandateNaming, MandateWords};
use crate::sandbox::switches::RefundCourse;
use crate::sandbox::webhooks::A_FEW_RETRIES_MS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnkashSwitches {
    /// When a callback that was not taken is sent again: milliseconds from its first delivery, within a day.
    pub retries_ms: Vec<u64>,
    /// How long a token lasts.
    pub token_lifetime_s: u64,
    /// The `resultCode` of a token that is given: 200 in the guide, 0 elsewhere.
    pub token_result_code: i64,
    /// A token's `expiry` is how long it lasts instead of when it ends.
    pub token_expiry_is_duration: bool,
    /// Tokens given before this are invalid; milliseconds since 1970 on the sandbox's clock. To revoke all so far, put
    /// the clock on by a millisecond and say its time here.
    pub tokens_valid_from: i64,
    /// A token that is not valid is answered 401 instead of 200, with the same body.
    pub invalid_token_401: bool,
    /// `Authorization: Bearer …` is refused as an invalid token; the bare token is taken.
    pub bearer_refused: bool,
    /// The `response_code` that goes with a wrong or missing `merchantAccessKey`.
    pub wrong_merchant_key_code: i64,
    /// The `response_code` of the failures that no source has a code for.
    pub failure_code: i64,
    /// The status of failures, token and unserved paths apart.
    pub failure_status: u16,
    /// What comes of a second order with the same merchant's id.
    pub repeated_order: RepeatedOrder,
    /// How long an order may be paid.
    pub order_lifetime_s: u64,
    /// Whether orders are found by the merchant's id; off, that path is not served.
    pub order_find: bool,
    /// Transactions are printed with the three fields that the documentation shows.
    pub bare_transactions: bool,
    /// Whether the answer with an order's QR code has its text too, `qrUrl`.
    pub qr_url: bool,
    /// Cancelling a cancelled QR code fails instead of answering the unchanged code.
    pub cancelling_cancelled_fails: bool,
    /// After how long the bank decides on a pending payment by itself; none leaves it to the control interface.
    pub pending_lasts_s: Option<u64>,
    /// The bank then says no instead of yes.
    pub pending_fails: bool,
    /// How refunds go on.
    pub refunds: RefundCourse,
    /// A `requestId` that comes again makes another refund.
    pub request_ids_ignored: bool,
    /// Settlement payouts end in a failure.
    pub payouts_fail: bool,
    /// How answers and callbacks about mandates spell their fields. No source shows one of the newer paths' answers; that
    /// they are in snake_case like the one request is this simulator's assumption.
    pub mandate_naming: MandateNaming,
    /// A mandate's `amount` is in rupees instead of paise wherever it is an integer: in requests to create one, in answers
    /// and in callbacks. Which it is nobody knows; paise are this simulator's assumption.
    pub mandate_amounts_in_rupees: bool,
    /// The times of mandates are printed in seconds since 1970 instead of milliseconds, which are an assumption too.
    pub mandate_times_in_seconds: bool,
    /// The words of mandates that differ from those that this simulator assumes.
    pub mandate_words: MandateWords,
    /// What comes of a second mandate with the same `referenceId`.
    pub repeated_mandate: RepeatedMandate,
    /// Revoking a revoked mandate fails instead of answering as the first time.
    pub revoking_revoked_fails: bool,
    /// Amounts are printed as strings instead of numbers.
    pub amounts_as_strings: bool,
    /// Times are printed as Indian ones without an offset, instead of in UTC with a `Z`.
    pub times_without_offset: bool,
    /// Callbacks have what a UPI payment lacks, such as its card, as null instead of leaving it out.
    pub null_card_fields: bool,
    /// The `orderId` of callbacks is the merchant's instead of EnKash's.
    pub notify_with_merchant_order_id: bool,
    /// Answers of success lack their `payload`.
    pub without_payload: bool,
    /// Every status is a word that nobody has heard of.
    pub unheard_statuses: bool,
}

/// What comes of a second order with the same merchant's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedOrder {
    /// It is another order.
    #[default]
    Made,
    Refused,
    /// The first is answered again, whatever the request says.
    FirstAnswered,
}

/// What comes of a second mandate with the same `referenceId`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedMandate {
    #[default]
    Refused,
    /// The first is answered again, as it stands now, whatever the request says.
    FirstAnswered,
}

impl Default for EnkashSwitches {
    fn default() -> Self {
        Self {
            retries_ms: A_FEW_RETRIES_MS.into(),
            token_lifetime_s: 30 * 60,
            token_result_code: 200,
            token_expiry_is_duration: false,
            tokens_valid_from: 0,
            invalid_token_401: false,
            bearer_refused: false,
            wrong_merchant_key_code: 2,
            failure_code: 1,
            failure_status: 200,
            repeated_order: RepeatedOrder::Made,
            order_lifetime_s: 24 * 60 * 60,
            order_find: true,
            bare_transactions: false,
            qr_url: true,
            cancelling_cancelled_fails: false,
            pending_lasts_s: None,
            pending_fails: false,
            refunds: RefundCourse::default(),
            request_ids_ignored: false,
            payouts_fail: false,
            mandate_naming: MandateNaming::default(),
            mandate_amounts_in_rupees: false,
            mandate_times_in_seconds: false,
            mandate_words: MandateWords::default(),
            repeated_mandate: RepeatedMandate::Refused,
            revoking_revoked_fails: true,
            amounts_as_strings: false,
            times_without_offset: false,
            null_card_fields: false,
            notify_with_merchant_order_id: false,
            without_payload: false,
            unheard_statuses: false,
        }
    }
}
