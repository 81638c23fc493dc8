//! EnKash's words for mandates. None of them is published [enkash 11], so all are configured, and without them an account
//! has no mandates: a word that was guessed could stand for another frequency, or for a hundred times the sum.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::domain::account::{DoubtCure, MandateCapability, Operation, OperationCapability};
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::MandateStatus;
use crate::domain::money::Money;
use crate::domain::upi::{DayRule, Pattern};
use crate::providers::reading::{Unreadable, unreadable};
use crate::providers::{rupees, told};

/// One rupee, as providers with a published least sum have it [upi.md 8.1]; EnKash publishes none.
const AMOUNT_MIN: Money = Money::from_paise(100);
/// EnKash publishes none: what UPI lets merchants in general collect at once, ₹1,00,000 [upi.md 7].
const AMOUNT_MAX: Money = Money::from_paise(10_000_000);

const NOT_CONFIGURED: &str =
    "EnKash publishes neither its words for mandates nor the unit of their amounts: set accounts.NAME.enkash.mandates";
const NO_UPDATE: &str = "EnKash has a call for it, but does not publish what it takes";
const NO_PAUSE: &str = "EnKash publishes no way to pause or resume a mandate; the payer can";

/// How mandates are spoken of with EnKash, as configured.
#[derive(Clone, Debug)]
pub struct EnkashMandateSettings {
    pub paths: MandatePaths,
    pub naming: Naming,
    pub amount_unit: AmountUnit,
    /// The word for each frequency that is to be offered.
    pub periods: Vec<(Pattern, String)>,
    /// The word for each rule about a debit's day. Without one, no frequency that has days is offered.
    pub rules: Vec<(DayRule, String)>,
    /// The rule's word where a frequency has no day; `None`: such frequencies are not offered.
    pub no_rule: Option<String>,
    /// What each word for how a mandate stands means.
    pub statuses: BTreeMap<String, MandateWord>,
    /// What each word for what became of a notice means.
    pub notice_statuses: BTreeMap<String, NoticeWord>,
}

/// Which generation of the paths is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MandatePaths {
    /// Of early 2025. Only those of creating, notifying and executing are known.
    G2,
    /// Of mid 2025 and after.
    G3,
}

/// How the fields of requests are spelt. Answers and callbacks are read in both spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    SnakeCase,
    CamelCase,
}

/// What a mandate's amount counts. Those of notices and debits are rupees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountUnit {
    Paise,
    Rupees,
}

/// Where a mandate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MandateWord {
    AwaitingApproval,
    Active,
    Paused,
    Revoked,
    Rejected,
    Expired,
    Completed,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeWord {
    Pending,
    Delivered,
    Failed,
}

impl EnkashMandateSettings {
    pub(super) fn period(&self, pattern: Pattern) -> Option<&str> {
        self.periods.iter().find(|(known, _)| *known == pattern).map(|(_, word)| word.as_str())
    }

    pub(super) fn rule(&self, rule: DayRule) -> Option<&str> {
        self.rules.iter().find(|(known, _)| *known == rule).map(|(_, word)| word.as_str())
    }

    /// Whether there is a word for a frequency, and for what a request must say of its day.
    pub(super) fn offers(&self, pattern: Pattern) -> bool {
        let day_can_be_said = if pattern.days().is_some() { !self.rules.is_empty() } else { self.no_rule.is_some() };
        self.period(pattern).is_some() && day_can_be_said
    }

    /// What is said of where a mandate stands. A word that means nothing to us is no news.
    pub(super) fn status(&self, word: Option<&str>) -> MandateStatus {
        let Some((word, meaning)) = word.and_then(|word| Some((word, self.statuses.get(word)?))) else { return MandateStatus::Undecided };
        match meaning {
            MandateWord::AwaitingApproval => MandateStatus::AwaitingApproval,
            MandateWord::Active => MandateStatus::Active,
            MandateWord::Paused => MandateStatus::Paused,
            MandateWord::Revoked => MandateStatus::Revoked,
            MandateWord::Rejected => MandateStatus::Rejected { code: told::token(word), message: String::new() },
            MandateWord::Expired => MandateStatus::Expired,
            MandateWord::Completed => MandateStatus::Completed,
        }
    }

    /// What is said of a notice. One that was taken with a word that means nothing to us is not known to be delivered, and
    /// nothing is debited by it.
    pub(super) fn notice_status(&self, word: Option<&str>) -> NoticeStatus {
        let Some((word, meaning)) = word.and_then(|word| Some((word, self.notice_statuses.get(word)?))) else {
            return NoticeStatus::Pending;
        };
        match meaning {
            NoticeWord::Pending => NoticeStatus::Pending,
            NoticeWord::Delivered => NoticeStatus::Delivered { at: None },
            NoticeWord::Failed => NoticeStatus::Failed { code: told::token(word), message: String::new() },
        }
    }

    fn offered(&self) -> Vec<Pattern> {
        Pattern::ALL.into_iter().filter(|pattern| self.offers(*pattern)).collect()
    }
}

impl MandatePaths {
    pub(super) fn create(self) -> &'static [&'static str] {
        match self {
            MandatePaths::G2 => &["api", "v0", "upi-autopay", "mandates"],
            MandatePaths::G3 => &["api", "v0", "upi-mandate"],
        }
    }

    pub(super) fn notify(self) -> &'static [&'static str] {
        match self {
            MandatePaths::G2 => &["api", "v0", "upi-autopay", "mandates", "pre-debit-notification"],
            MandatePaths::G3 => &["api", "v0", "upi-mandate", "notify"],
        }
    }

    pub(super) fn execute(self) -> &'static [&'static str] {
        match self {
            MandatePaths::G2 => &["api", "v0", "upi-autopay", "mandates", "debit"],
            MandatePaths::G3 => &["api", "v0", "upi-mandate", "execute"],
        }
    }
}

impl AmountUnit {
    /// The whole number that stands for `amount`; `None`: there is none.
    pub(super) fn write(self, amount: Money) -> Option<i64> {
        match self {
            AmountUnit::Paise => Some(amount.paise()),
            AmountUnit::Rupees => (amount.paise() % 100 == 0).then_some(amount.paise() / 100),
        }
    }

    /// The money that a number stands for, or the text of one. `None`: nothing is told.
    pub(super) fn read(self, json: &RawValue) -> Result<Option<Money>, Unreadable> {
        let no_money = || unreadable("the mandate's amount is no sum of money in the configured unit");
        let told = match json.get() {
            "null" => return Ok(None),
            text if text.starts_with('"') => serde_json::from_str(text).map_err(|_| no_money())?,
            number => number.to_owned(),
        };
        let as_rupees = rupees::exactly(&told).map_err(|_| no_money())?;
        let money = match self {
            AmountUnit::Rupees => Some(as_rupees),
            AmountUnit::Paise => (as_rupees.paise() % 100 == 0).then_some(Money::from_paise(as_rupees.paise() / 100)),
        };
        money.filter(|money| *money > Money::ZERO).map(Some).ok_or_else(no_money)
    }
}

/// What the account can do with mandates; `None`: nothing, since nothing is configured.
pub(super) fn capability(settings: Option<&EnkashMandateSettings>, mcc: Option<String>) -> Option<MandateCapability> {
    let settings = settings?;
    let patterns = settings.offered();
    let one_time = patterns.contains(&Pattern::OneTime);
    Some(MandateCapability {
        patterns,
        payer_vpa: true,
        approval_link: false,
        block_funds: one_time,
        irrevocable: false,
        day_required: true,
        amount_min: AMOUNT_MIN,
        amount_max: AMOUNT_MAX,
        required_fields: &["payer_vpa", "payer_name"],
        notice_always: false,
        mcc,
    })
}

/// The operations on mandates and debits, with why those that can't be done can't.
pub(super) fn operations(settings: Option<&EnkashMandateSettings>) -> impl Iterator<Item = OperationCapability> {
    let missing = settings.is_none().then_some(NOT_CONFIGURED);
    let done = [
        (Operation::CreateMandate, DoubtCure::Lookup),
        (Operation::RevokeMandate, DoubtCure::Lookup),
        // A second notice moves nothing.
        (Operation::CreateDebit, DoubtCure::SafeResend),
        // Nothing in the request tells two debits apart, and nothing finds one whose answer was lost.
        (Operation::ExecuteDebit, DoubtCure::None),
        // Done here alone.
        (Operation::CancelDebit, DoubtCure::Lookup),
    ];
    let never = [(Operation::UpdateMandate, NO_UPDATE), (Operation::PauseMandate, NO_PAUSE), (Operation::ResumeMandate, NO_PAUSE)];
    let done = done.map(|(operation, doubt)| OperationCapability { operation, doubt, missing });
    let never = never.map(|(operation, why)| OperationCapability { operation, doubt: DoubtCure::None, missing: Some(why) });
    done.into_iter().chain(never)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Words as somebody may have been told them.
    pub fn settings() -> EnkashMandateSettings {
        let word = |text: &str| text.to_owned();
        EnkashMandateSettings {
            paths: MandatePaths::G3,
            naming: Naming::SnakeCase,
            amount_unit: AmountUnit::Paise,
            periods: Pattern::ALL.map(|pattern| (pattern, pattern.code().to_owned())).into(),
            rules: DayRule::ALL.map(|rule| (rule, rule.code().to_owned())).into(),
            no_rule: Some(word("NA")),
            statuses: BTreeMap::from([
                (word("INITIATED"), MandateWord::AwaitingApproval),
                (word("ACTIVE"), MandateWord::Active),
                (word("PAUSED"), MandateWord::Paused),
                (word("REVOKED"), MandateWord::Revoked),
                (word("REJECTED"), MandateWord::Rejected),
                (word("EXPIRED"), MandateWord::Expired),
                (word("COMPLETED"), MandateWord::Completed),
            ]),
            notice_statuses: BTreeMap::from([
                (word("SUCCESS"), NoticeWord::Delivered),
                (word("PENDING"), NoticeWord::Pending),
                (word("FAILED"), NoticeWord::Failed),
            ]),
        }
    }

    #[test]
    fn only_what_there_are_words_for_is_offered() {
        let offered = |settings: EnkashMandateSettings| settings.offered();
        let named = |pattern: Pattern| vec![(pattern, pattern.code().to_owned())];
        assert_eq!(offered(settings()), Pattern::ALL);
        assert_eq!(offered(EnkashMandateSettings { periods: named(Pattern::Monthly), ..settings() }), [Pattern::Monthly]);
        assert_eq!(offered(EnkashMandateSettings { periods: named(Pattern::Monthly), rules: Vec::new(), ..settings() }), []);
        let without_day = [Pattern::OneTime, Pattern::Daily, Pattern::AsPresented];
        assert_eq!(offered(EnkashMandateSettings { rules: Vec::new(), ..settings() }), without_day);
        let with_day = offered(EnkashMandateSettings { no_rule: None, ..settings() });
        assert!(with_day.len() == 7 && with_day.iter().all(|pattern| !without_day.contains(pattern)), "{with_day:?}");

        let block_funds = |settings: &EnkashMandateSettings| capability(Some(settings), None).map(|capability| capability.block_funds);
        assert_eq!(block_funds(&settings()), Some(true));
        assert_eq!(block_funds(&EnkashMandateSettings { no_rule: None, ..settings() }), Some(false));
        assert_eq!(block_funds(&EnkashMandateSettings { periods: named(Pattern::Daily), ..settings() }), Some(false));
    }

    #[test]
    fn words_mean_what_is_configured_and_others_nothing() {
        let status = |word: Option<&str>| settings().status(word);
        assert_eq!(status(Some("INITIATED")), MandateStatus::AwaitingApproval);
        assert_eq!(status(Some("ACTIVE")), MandateStatus::Active);
        assert_eq!(status(Some("REJECTED")), MandateStatus::Rejected { code: "REJECTED".to_owned(), message: String::new() });
        for unheard in [None, Some("active"), Some("ACTIVE "), Some("LIVE"), Some("")] {
            assert_eq!(status(unheard), MandateStatus::Undecided, "{unheard:?}");
        }
        let notice = |word: Option<&str>| settings().notice_status(word);
        assert_eq!(notice(Some("SUCCESS")), NoticeStatus::Delivered { at: None });
        assert_eq!(notice(Some("FAILED")), NoticeStatus::Failed { code: "FAILED".to_owned(), message: String::new() });
        for unheard in [None, Some("PENDING"), Some("success"), Some("DELIVERED")] {
            assert_eq!(notice(unheard), NoticeStatus::Pending, "{unheard:?}");
        }
    }

    #[test]
    fn an_amount_is_what_its_unit_says_or_nothing() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).expect("it is JSON");
        let check = |json: &str, paise: Option<i64>, rupees: Option<i64>| {
            let read = |unit: AmountUnit| unit.read(&raw(json)).ok().flatten().map(Money::paise);
            assert_eq!((read(AmountUnit::Paise), read(AmountUnit::Rupees)), (paise, rupees), "{json}");
        };
        check("2540", Some(2_540), Some(254_000));
        check("\"2540\"", Some(2_540), Some(254_000));
        check("2540.0", Some(2_540), Some(254_000));
        check("25.40", None, Some(2_540));
        check("\"25.4\"", None, Some(2_540));
        for nothing in ["0", "-1", "2540.001", "\"\"", "\"x\"", "true", "[2540]", "{}", "null", "92233720368547758070"] {
            check(nothing, None, None);
        }
        assert_eq!(AmountUnit::Rupees.read(&raw("null")).ok(), Some(None), "that is no wrong amount");
        assert_eq!(AmountUnit::Paise.write(Money::from_paise(2_540)), Some(2_540));
        assert_eq!(AmountUnit::Rupees.write(Money::from_paise(2_500)), Some(25));
        assert_eq!(AmountUnit::Rupees.write(Money::from_paise(2_540)), None);
    }

    #[test]
    fn without_words_each_operation_says_what_is_missing() {
        let missing = |settings: Option<&EnkashMandateSettings>| -> Vec<Operation> {
            operations(settings).filter(|capability| capability.missing.is_some()).map(|capability| capability.operation).collect()
        };
        assert_eq!(missing(Some(&settings())), [Operation::UpdateMandate, Operation::PauseMandate, Operation::ResumeMandate]);
        assert_eq!(missing(None).len(), 8);
        assert!(capability(None, None).is_none());
    }
}
