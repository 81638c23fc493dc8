//! What the sources leave open or contradict each other on: a default each, and the other reading.
//! The S-numbers are those of the provider's specification, section 13.

use serde::{Deserialize, Serialize};

use super::eko::EkoSwitches;
use super::enkash::EnkashSwitches;
use super::mandates::MandateSwitches;
use super::oqpay::OqpaySwitches;

/// Those of Razorpay and of all providers, and apart those of each other one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// S1: authentication failures answer 400 instead of 401.
    pub auth_status_400: bool,
    /// S1: authentication failures have the old body, `code` and `description` alone.
    pub auth_old_style: bool,
    /// S2: an unknown path answers 404 instead of 400.
    pub unknown_url_404: bool,
    /// S5: `close_by` from now + 15 minutes to 45 days, instead of now + 2 minutes to 2 hours.
    pub older_close_by: bool,
    /// S6: `close_by` on a `multiple_use` code is ignored instead of refused.
    pub close_by_ignored_on_multiple_use: bool,
    /// S7: what `single_use` without `fixed_amount` is told instead of the default.
    pub single_use_text: Option<String>,
    /// S8: a code past `close_by` stays `active` until somebody fetches it.
    pub expires_when_fetched: bool,
    /// S9: `qr_code.closed` is sent too when a `single_use` code was paid.
    pub closed_event_when_paid: bool,
    /// S10: closing a closed code answers the unchanged entity instead of 400.
    pub closing_closed_succeeds: bool,
    /// S11: a payment on a closed code fails at the payer's side; nothing is recorded here.
    pub closed_code_cannot_be_paid: bool,
    /// S12: a QR payment sends `qr_code.credited` alone.
    pub only_credited: bool,
    /// S13: events leave in the order they happened, one at a time per account.
    pub strict_order: bool,
    /// S14: a second order with the same `receipt` is refused.
    pub receipts_unique: bool,
    /// S15: how refunds go on.
    pub refunds: RefundCourse,
    /// S15: instant refunds turn out impossible and become normal ones.
    pub instant_falls_back: bool,
    /// S15: a normal refund of a payment that is more than six months old is refused instead of taken and failed.
    pub old_refunds_refused: bool,
    /// S16: when the bank's reference of a refund is known.
    pub refund_rrn: RefundRrn,
    /// S17: the paise on the merchant's account, which a refund can't be larger than; none is enough for all. Refunds
    /// and payments don't change it.
    pub balance: Option<i64>,
    /// S18: a payment's `amount_refunded` keeps what a failed refund added to it.
    pub amount_refunded_stays: bool,
    /// S19: how long an idempotency key is remembered; none is for ever.
    pub refund_keys_last_s: Option<u64>,
    /// S20: where header and receipt both repeat, the receipt is refused instead of the first refund answered.
    pub receipt_wins: bool,
    /// S21: a settlement's `utr` is absent instead of null before it is processed.
    pub empty_utr_left_out: bool,
    /// S22: the days of the recon report begin at midnight in Greenwich instead of India.
    pub recon_day_in_utc: bool,
    /// Whether settlements are made on working days at eleven in India, at every provider that makes them; off, the
    /// control interface alone makes them, and what a run passed over then waits until something new is to be settled.
    pub settlement_runs: bool,
    /// S25: `refund.speed_changed` and `order.notification.*` have their `created_at` inside `payload`.
    pub speed_changed_at_inside: bool,
    /// S24: bodies of webhooks print non-ASCII as `\uXXXX`.
    pub escape_unicode: bool,
    /// S28: the status that goes with `GATEWAY_ERROR`.
    pub gateway_error_status: u16,
    /// S29: a `count` above the maximum is lowered to it instead of refused.
    pub clamp_count: bool,
    /// S30: whether every call is throttled, at all providers.
    pub throttle: Throttle,
    /// Whether the account may use QR codes; off, their URLs don't exist.
    pub qr_codes: bool,
    /// Whether QR entities carry `image_content`.
    pub image_content: bool,
    /// Payments to QR codes cost two percent and the tax on that, as those of orders do.
    pub qr_fees: bool,
    /// Whether an authorised payment captures itself.
    pub auto_capture: bool,
    /// How mandates and their debits go on, at every provider that has them.
    pub mandates: MandateSwitches,
    pub enkash: EnkashSwitches,
    pub oqpay: OqpaySwitches,
    pub eko: EkoSwitches,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    #[default]
    Off,
    /// 429 with `Retry-After: 2`.
    WithRetryAfter,
    /// The coarser cool-down: 429 without the header.
    WithoutRetryAfter,
}

/// How refunds go on once they are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundCourse {
    /// They end well after a while; instant ones at once.
    #[default]
    ByThemselves,
    /// They are done when they are answered.
    AtOnce,
    /// They stay pending until the control interface says how they end.
    WhenTold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundRrn {
    /// Some time after the refund is processed.
    #[default]
    Later,
    /// As soon as it is processed.
    AtOnce,
    Never,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            auth_status_400: false,
            auth_old_style: false,
            unknown_url_404: false,
            older_close_by: false,
            close_by_ignored_on_multiple_use: false,
            single_use_text: None,
            expires_when_fetched: false,
            closed_event_when_paid: false,
            closing_closed_succeeds: false,
            closed_code_cannot_be_paid: false,
            only_credited: false,
            strict_order: false,
            receipts_unique: false,
            refunds: RefundCourse::default(),
            instant_falls_back: false,
            old_refunds_refused: false,
            refund_rrn: RefundRrn::default(),
            balance: None,
            amount_refunded_stays: false,
            refund_keys_last_s: None,
            receipt_wins: false,
            empty_utr_left_out: false,
            recon_day_in_utc: false,
            settlement_runs: true,
            speed_changed_at_inside: false,
            escape_unicode: false,
            gateway_error_status: 502,
            clamp_count: false,
            throttle: Throttle::Off,
            qr_codes: true,
            image_content: true,
            qr_fees: false,
            auto_capture: true,
            mandates: MandateSwitches::default(),
            enkash: EnkashSwitches::default(),
            oqpay: OqpaySwitches::default(),
            eko: EkoSwitches::default(),
        }
    }
}
