//! The words of mandates. None is known: the defaults are an assumption of this simulator (NPCI's spelling of periods and
//! rules, and words for how a mandate stands like those that EnKash has for orders), and each has a switch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a mandate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateStatus {
    /// The payer has yet to approve.
    Initiated,
    Active,
    Rejected,
    Paused,
    Revoked,
    Expired,
    /// It was for one debit, which succeeded.
    Completed,
}

/// What became of the notice before a debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateNoticeStatus {
    Pending,
    Delivered,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandatePeriod {
    OneTime,
    Daily,
    Weekly,
    Fortnightly,
    Monthly,
    /// Every two months.
    Bimonthly,
    Quarterly,
    HalfYearly,
    Yearly,
    AsPresented,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateRule {
    On,
    Before,
    After,
    /// For periods without a day.
    None,
}

/// Other words than the defaults; an empty map changes none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MandateWords {
    pub statuses: BTreeMap<MandateStatus, String>,
    pub notices: BTreeMap<MandateNoticeStatus, String>,
    pub periods: BTreeMap<MandatePeriod, String>,
    pub rules: BTreeMap<MandateRule, String>,
}

impl MandateWords {
    pub fn status(&self, status: MandateStatus) -> &str {
        self.statuses.get(&status).map_or(status.word(), String::as_str)
    }

    pub fn notice(&self, status: MandateNoticeStatus) -> &str {
        self.notices.get(&status).map_or(status.word(), String::as_str)
    }

    pub fn period(&self, period: MandatePeriod) -> &str {
        self.periods.get(&period).map_or(period.word(), String::as_str)
    }

    pub fn rule(&self, rule: MandateRule) -> &str {
        self.rules.get(&rule).map_or(rule.word(), String::as_str)
    }

    pub fn period_of(&self, word: &str) -> Option<MandatePeriod> {
        MandatePeriod::ALL.into_iter().find(|period| self.period(*period) == word)
    }

    pub fn rule_of(&self, word: &str) -> Option<MandateRule> {
        MandateRule::ALL.into_iter().find(|rule| self.rule(*rule) == word)
    }
}

impl MandateStatus {
    fn word(self) -> &'static str {
        match self {
            Self::Initiated => "INITIATED",
            Self::Active => "ACTIVE",
            Self::Rejected => "REJECTED",
            Self::Paused => "PAUSED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::Completed => "COMPLETED",
        }
    }
}

impl MandateNoticeStatus {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }
}

impl MandatePeriod {
    const ALL: [Self; 10] = [
        Self::OneTime,
        Self::Daily,
        Self::Weekly,
        Self::Fortnightly,
        Self::Monthly,
        Self::Bimonthly,
        Self::Quarterly,
        Self::HalfYearly,
        Self::Yearly,
        Self::AsPresented,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::OneTime => "ONETIME",
            Self::Daily => "DAILY",
            Self::Weekly => "WEEKLY",
            Self::Fortnightly => "FORTNIGHTLY",
            Self::Monthly => "MONTHLY",
            Self::Bimonthly => "BIMONTHLY",
            Self::Quarterly => "QUARTERLY",
            Self::HalfYearly => "HALFYEARLY",
            Self::Yearly => "YEARLY",
            Self::AsPresented => "ASPRESENTED",
        }
    }

    /// The last day that a rule may name, or none where the period has no day.
    pub fn last_day(self) -> Option<i64> {
        match self {
            Self::OneTime | Self::Daily | Self::AsPresented => None,
            Self::Weekly => Some(7),
            Self::Fortnightly => Some(16),
            Self::Monthly | Self::Bimonthly | Self::Quarterly | Self::HalfYearly | Self::Yearly => Some(31),
        }
    }
}

impl MandateRule {
    const ALL: [Self; 4] = [Self::On, Self::Before, Self::After, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Before => "BEFORE",
            Self::After => "AFTER",
            Self::None => "NA",
        }
    }
}
