//! Mandates (UPI Autopay): what is kept of one, and how it is printed. The callback's fields are the only ones that the
//! sources show; an answer of `get` has the same and says how the mandate stands.

mod bank;
mod control;
mod create;
mod debit;
mod life;
mod naming;
mod notice;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use naming::Fields;
pub use naming::MandateNaming;
pub use notice::Notice;
pub use words::{MandateNoticeStatus, MandatePeriod, MandateRule, MandateStatus, MandateWords};

use super::Paths;
use super::desk::Desk;
use super::failure::Failure;
use super::link;
use super::print::Printed;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::upi;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mandate {
    pub id: String,
    /// The merchant's.
    pub reference_id: String,
    pub status: MandateStatus,
    /// The merchant asked to end it, and the payer's side has yet to say so.
    pub cancelling: bool,
    /// From the payer's side, once he approved.
    pub umn: Option<String>,
    /// In paise: the most that a debit takes, or all that it may.
    pub amount: i64,
    pub amount_rule: AmountRule,
    pub payer: Payer,
    pub name: String,
    /// When the payer must have approved by.
    pub expires_ms: i64,
    pub block_fund: bool,
    pub recurrence: Recurrence,
    pub starts_ms: i64,
    pub ends_ms: i64,
    pub paused_ms: Option<i64>,
    /// The transactions of its debits, oldest first.
    pub debits: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AmountRule {
    Exact,
    Max,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payer {
    pub name: String,
    pub vpa: String,
    /// Empty where `account_validation` binds it to none.
    pub account: String,
    #[serde(alias = "account_validation")]
    pub account_validation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    pub period: MandatePeriod,
    pub rule: MandateRule,
    /// A day within the period; 0 where the period has none.
    pub value: i64,
}

impl Labelled for Mandate {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Mandate {
    /// A payer whose money is blocked has no say any more.
    pub fn is_revokeable_by_payer(&self) -> bool {
        !self.block_fund
    }

    /// Whether one debit may take this much.
    fn allows(&self, amount: i64) -> bool {
        match self.amount_rule {
            AmountRule::Exact => amount == self.amount,
            AmountRule::Max => amount <= self.amount,
        }
    }

    /// What the merchant may do nothing with unless it is active.
    fn expect_active(&self, words: &MandateWords, amount: i64) -> Result<(), Failure> {
        if self.status != MandateStatus::Active {
            return Err(Failure::other(format!("Mandate is {}.", words.status(self.status))));
        }
        if self.allows(amount) { Ok(()) } else { Err(Failure::other("amount is not what the mandate allows.")) }
    }
}

impl Desk<'_> {
    pub fn fetch_mandate(&self, reference_id: &str) -> Result<String, Failure> {
        let mandate = self.mandate_of(reference_id).ok_or_else(no_such_mandate)?;
        Ok(self.success(self.view_mandate(mandate, self.naming(Paths::Today))))
    }

    fn mandate_of(&self, reference_id: &str) -> Option<&Mandate> {
        self.books.mandates.newest_first().find(|mandate| mandate.reference_id == reference_id)
    }

    /// The fields of the callback, and `status`.
    fn view_mandate(&self, mandate: &Mandate, naming: MandateNaming) -> Fields {
        let Mandate { id, reference_id, umn, amount, amount_rule, payer, name, recurrence, .. } = mandate;
        let words = self.words();
        let fields = || Fields::new(naming);
        let payee = fields().with("vpa", link::vpa(self.account)).with("name", self.account).with("mcc", link::MCC);
        let Payer { name: payer_name, vpa, account, account_validation } = payer;
        let payer = fields().with("name", payer_name).with("vpa", vpa).with("account", account);
        let Recurrence { period, rule, value } = *recurrence;
        let recurrence = fields().with("period", words.period(period)).with("rule", words.rule(rule)).with("value", value);
        let times = |start: &'static str, start_ms: i64, end: &'static str| {
            fields().with(start, self.epoch(start_ms)).with(end, self.epoch(mandate.ends_ms))
        };
        let pause = mandate.paused_ms.filter(|_| mandate.status == MandateStatus::Paused);
        fields()
            .with_some("umn", umn.as_ref())
            .with("referenceId", reference_id)
            .with("mandateId", id)
            .with("amount", self.mandate_amount(*amount))
            .with("amountRule", amount_rule)
            .with("currency", "INR")
            .with("payee", payee)
            .with("payer", payer.with("accountValidation", account_validation))
            .with("name", name)
            .with("expireAt", self.epoch(mandate.expires_ms))
            .with("blockFund", mandate.block_fund)
            .with("revokeableByPayer", mandate.is_revokeable_by_payer())
            .with("recurrence", recurrence)
            .with("validity", times("startAt", mandate.starts_ms, "endAt"))
            // Spelt like this beside camelCase too.
            .with_some("pausePeriod", pause.map(|paused_ms| times("start_at", paused_ms, "end_at")))
            .with("status", self.status(words.status(mandate.status)))
    }

    /// What creating and revoking answer.
    fn view_standing(&self, mandate: &Mandate, naming: MandateNaming) -> Fields {
        let status = self.status(self.words().status(mandate.status));
        Fields::new(naming).with("referenceId", &mandate.reference_id).with("mandateId", &mandate.id).with("status", status)
    }

    /// A whole number in the unit that the switch says; of rupees one with decimals, should it have been made in paise.
    fn mandate_amount(&self, paise: i64) -> Printed {
        let text = match self.our_switches().mandate_amounts_in_rupees {
            true if paise % 100 == 0 => (paise / 100).to_string(),
            true => upi::rupees(paise),
            false => paise.to_string(),
        };
        let text = if self.our_switches().amounts_as_strings { format!("\"{text}\"") } else { text };
        RawValue::from_string(text).expect("digits and a point are JSON, with quotes and without")
    }

    fn epoch(&self, at_ms: i64) -> i64 {
        if self.our_switches().mandate_times_in_seconds { at_ms / 1_000 } else { at_ms }
    }

    fn words(&self) -> &MandateWords {
        &self.our_switches().mandate_words
    }

    /// How answers are spelt. The older paths are known to answer in camelCase.
    fn naming(&self, paths: Paths) -> MandateNaming {
        match paths {
            Paths::Today => self.our_switches().mandate_naming,
            Paths::Older => MandateNaming::CamelCase,
        }
    }
}

fn no_such_mandate() -> Failure {
    Failure::other("Mandate not found.")
}
