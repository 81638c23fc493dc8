//! An account: one merchant account at one provider, named in the configuration; and what it can do, as data.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fact::Evidence;
use super::money::Money;
use super::qr::Usage;
use super::refund::RefundSpeed;
use super::upi::Pattern;

/// The most characters of an account's name.
const NAME_MAX: usize = 40;

/// The name of an account in the configuration: a lower-case letter, then letters, digits and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

/// Why a text names no account.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an account's name is a lower-case letter, then up to 39 lower-case letters, digits and dashes")]
pub struct NotAnAccountName;

impl AccountName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = NotAnAccountName;

    fn from_str(text: &str) -> Result<Self, NotAnAccountName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let goes_on_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts_well && goes_on_well && text.len() <= NAME_MAX { Ok(Self(text.into())) } else { Err(NotAnAccountName) }
    }
}

impl Serialize for AccountName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text::parsed(deserializer)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A map by account can be asked with the plain text that a path or a request brings.
impl std::borrow::Borrow<str> for AccountName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A company whose API moves the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderId {
    Razorpay,
    Enkash,
    Oqpay,
    Eko,
}

impl ProviderId {
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderId::Razorpay => "razorpay",
            ProviderId::Enkash => "enkash",
            ProviderId::Oqpay => "oqpay",
            ProviderId::Eko => "eko",
        }
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a lost answer of an operation is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtCure {
    /// By looking up our reference.
    Lookup,
    /// By sending the same request again, which the provider makes safe.
    SafeResend,
    /// Not at all: an operator decides.
    None,
}

/// What an account can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    CreateQr,
    CloseQr,
    FetchPayment,
    CreateRefund,
    CreateMandate,
    UpdateMandate,
    PauseMandate,
    ResumeMandate,
    RevokeMandate,
    CreateDebit,
    ExecuteDebit,
    CancelDebit,
    FetchSettlements,
}

impl Operation {
    /// All that is about mandates and their debits.
    pub const OF_MANDATES: [Operation; 8] = [
        Operation::CreateMandate,
        Operation::UpdateMandate,
        Operation::PauseMandate,
        Operation::ResumeMandate,
        Operation::RevokeMandate,
        Operation::CreateDebit,
        Operation::ExecuteDebit,
        Operation::CancelDebit,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Operation::CreateQr => "CreateQr",
            Operation::CloseQr => "CloseQr",
            Operation::FetchPayment => "FetchPayment",
            Operation::CreateRefund => "CreateRefund",
            Operation::CreateMandate => "CreateMandate",
            Operation::UpdateMandate => "UpdateMandate",
            Operation::PauseMandate => "PauseMandate",
            Operation::ResumeMandate => "ResumeMandate",
            Operation::RevokeMandate => "RevokeMandate",
            Operation::CreateDebit => "CreateDebit",
            Operation::ExecuteDebit => "ExecuteDebit",
            Operation::CancelDebit => "CancelDebit",
            Operation::FetchSettlements => "FetchSettlements",
        }
    }
}

/// One operation of an account.
#[derive(Clone, Debug)]
pub struct OperationCapability {
    pub operation: Operation,
    pub doubt: DoubtCure,
    /// Why it can't be done; `None`: it can.
    pub missing: Option<&'static str>,
}

/// What an account can do with QR codes of one usage.
#[derive(Clone, Debug)]
pub struct QrUsageCapability {
    pub usage: Usage,
    /// Why it can't be done; `None`: it can.
    pub missing: Option<&'static str>,
    pub amount_min: Money,
    /// `None`: the provider publishes none.
    pub amount_max: Option<Money>,
    /// Whether a code may leave the amount to the payer.
    pub open_amount: bool,
    /// The shortest and the longest life that can be asked for; `None`: the provider decides.
    pub expiry: Option<(Duration, Duration)>,
    /// Whether a code may have an amount of its own.
    pub fixed_amount: bool,
    /// Whether money paid to such a code would ever be reported to us.
    pub payments_observable: bool,
    /// Whether codes may be made all the same where their payments would not be reported: the configuration says so.
    pub unobservable_allowed: bool,
    /// What the provider's callbacks about it prove.
    pub callback_evidence: Evidence,
    /// How a lost answer to the creation of such a code is found out.
    pub doubt: DoubtCure,
    /// Why such a code can't be closed; `None`: it can.
    pub close_missing: Option<&'static str>,
    /// Whether the provider gives the text of such codes, so that they can be drawn; otherwise only a picture.
    pub upi_link: bool,
    /// Fields of the request that are needed besides those that always are, such as `customer.phone`.
    pub required_fields: &'static [&'static str],
}

/// Why codes whose payments nobody would hear of are not made.
const UNOBSERVABLE: &str = "the provider does not say how a payment to such a code is reported, so nobody would hear of the money; where that is \
                            wanted, the account's `allow_unobservable_qr` allows it";

impl QrUsageCapability {
    /// Why such a code can't be made; `None`: it can.
    pub fn refusal(&self) -> Option<&'static str> {
        let unobservable = !self.payments_observable && !self.unobservable_allowed;
        self.missing.or(unobservable.then_some(UNOBSERVABLE))
    }
}

/// What an account can do with refunds.
#[derive(Clone, Debug)]
pub struct RefundCapability {
    /// The speeds that can be asked for.
    pub speeds: &'static [RefundSpeed],
    /// Whether less than the whole payment can be refunded, and more than once.
    pub partial: bool,
    pub amount_min: Money,
    /// The greatest age of a payment that can be refunded; `None`: the provider publishes none.
    pub payment_age_max: Option<Duration>,
    /// Whether the provider can't tell two refunds of one payment apart: then one at a time is under way.
    pub one_at_a_time: bool,
}

/// What an account can do with mandates and debits.
#[derive(Clone, Debug)]
pub struct MandateCapability {
    pub patterns: Vec<Pattern>,
    /// Whether the payer can be asked in the UPI app of an address, and whether by a link otherwise.
    pub payer_vpa: bool,
    pub approval_link: bool,
    pub block_funds: bool,
    pub irrevocable: bool,
    /// Whether a mandate must name a day and its rule where its pattern has days.
    pub day_required: bool,
    pub amount_min: Money,
    pub amount_max: Money,
    /// Fields of the request that are needed besides those that always are, such as `payer_phone`.
    pub required_fields: &'static [&'static str],
    /// Whether every debit needs a notice here, those too that UPI's rules exempt.
    pub notice_always: bool,
    /// The merchant's category, where the configuration names it: some have higher limits.
    pub mcc: Option<String>,
}

/// What an account tells of its settlements.
#[derive(Clone, Debug)]
pub struct SettlementCapability {
    /// Whether each payment and refund that is settled is told: then one that is not told is missed.
    pub lines: bool,
    /// How many working days after a payment it is settled.
    pub cycle_days: u32,
}

/// What an account can do.
#[derive(Clone, Debug)]
pub struct Capabilities {
    pub operations: Vec<OperationCapability>,
    pub qr: Vec<QrUsageCapability>,
    /// `None`: no refunds.
    pub refunds: Option<RefundCapability>,
    /// `None`: no mandates.
    pub mandates: Option<MandateCapability>,
    /// `None`: settlements are not told.
    pub settlements: Option<SettlementCapability>,
}

/// Why an operation can't be done of which the capabilities say nothing.
pub const NOT_OFFERED: &str = "this provider does not offer it";

impl Capabilities {
    /// Why `operation` can't be done here; `None`: it can.
    pub fn missing(&self, operation: Operation) -> Option<&'static str> {
        match self.operations.iter().find(|capability| capability.operation == operation) {
            Some(capability) => capability.missing,
            None => Some(NOT_OFFERED),
        }
    }

    /// How a lost answer of `operation` is found out here.
    pub fn doubt(&self, operation: Operation) -> DoubtCure {
        let known = self.operations.iter().find(|capability| capability.operation == operation);
        known.map_or(DoubtCure::None, |capability| capability.doubt)
    }

    /// What QR codes of `usage` can do here.
    pub fn qr_usage(&self, usage: Usage) -> Option<&QrUsageCapability> {
        self.qr.iter().find(|capability| capability.usage == usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!("shop-2".parse::<AccountName>().is_ok());
        for text in ["", "2shop", "Shop", "shop_2", "a/b", &"a".repeat(41)] {
            assert_eq!(text.parse::<AccountName>(), Err(NotAnAccountName), "{text}");
        }
    }
}
