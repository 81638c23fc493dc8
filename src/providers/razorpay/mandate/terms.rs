//! What a payer agrees to with a mandate: what of it can be asked for here, the words that it is asked for in, and whether
//! the link that he is shown says the same.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::body;
use crate::domain::mandate::{MandateOrder, MandatePayer};
use crate::domain::money::{Amount, Money};
use crate::domain::personal::{PersonName, Sight};
use crate::domain::upi::{AmountRule, Day, DayRule, LinkKind, Pattern, UpiLink};
use crate::domain::working_days::{begin_of_day, day_in_india, next_day};
use crate::providers::Violation;
use crate::providers::indian_mobile::ten_digits;
use crate::providers::indian_time::in_india;
use crate::providers::razorpay::unreadable;
use crate::providers::razorpay::violations::Violations;
use crate::providers::razorpay::wire::Unreadable;

#[cfg(test)]
mod tests;

/// The least and the most that a mandate can permit at once [8.3].
pub const MAX_AMOUNT_MIN_PAISE: i64 = 100;
const MAX_AMOUNT_MAX_PAISE: i64 = 9_999_900;
/// The same for the merchants of some categories.
const MAX_AMOUNT_MAX_PAISE_RAISED: i64 = 20_000_000;
const MCCS_RAISED: &[&str] = &["6211", "6300", "7322", "6529", "5960"];
const YEARS_MAX: i64 = 30;
const NAME_CHARS: RangeInclusive<usize> = 3..=50;
/// What a customer's name may have besides letters and digits. The newer page has the last two.
const NAME_SIGNS: &str = " .'/@()-_";
const EMAIL_CHARS_MAX: usize = 64;
/// The provider publishes none; it is ours.
const TEXT_CHARS_MAX: usize = 2048;
/// What a recurring mandate is for, in UPI's words. Nothing in a request says another.
const RECURRING: &str = "14";

/// Those that can be asked for. What "bimonthly" means is not explained, and a one-time mandate is another product.
const FREQUENCIES: &[(Pattern, &str)] = &[
    (Pattern::Daily, "daily"),
    (Pattern::Weekly, "weekly"),
    (Pattern::Fortnightly, "fortnightly"),
    (Pattern::Monthly, "monthly"),
    (Pattern::Quarterly, "quarterly"),
    (Pattern::HalfYearly, "half_yearly"),
    (Pattern::Yearly, "yearly"),
    (Pattern::AsPresented, "as_presented"),
];

/// How often a mandate can be debited here.
pub fn patterns() -> Vec<Pattern> {
    FREQUENCIES.iter().map(|(pattern, _)| *pattern).collect()
}

/// The most that a mandate of a merchant of this category can permit at once.
pub fn amount_max(mcc: Option<&str>) -> Money {
    let raised = mcc.is_some_and(|mcc| MCCS_RAISED.contains(&mcc));
    Money::from_paise(if raised { MAX_AMOUNT_MAX_PAISE_RAISED } else { MAX_AMOUNT_MAX_PAISE })
}

pub fn violations(order: &MandateOrder, amount_max: Money, notes_value_max: usize, now: Timestamp) -> Vec<Violation> {
    let MandateOrder {
        max_amount,
        amount_rule,
        pattern,
        day,
        valid_from,
        valid_until,
        block_funds,
        revocable,
        payer,
        purpose,
        name,
        description,
        approval_expire_time,
        notes,
    } = order;
    let mut violations = Violations::default();
    let today = day_in_india(now);
    if max_amount.paise() < MAX_AMOUNT_MIN_PAISE || *max_amount > amount_max {
        let min = Money::from_paise(MAX_AMOUNT_MIN_PAISE);
        violations.add("max_amount", format!("must be {} to {} for this account", min.display(), amount_max.display()));
    }
    if *amount_rule != AmountRule::Max {
        violations.add("amount_rule", "must be the one with a greatest amount: Razorpay has no other");
    }
    if frequency(*pattern).is_none() {
        violations.add("frequency", "is none that Razorpay has, or explains");
    }
    check_day(&mut violations, *pattern, *day, today);
    if day_in_india(*valid_from) > today {
        violations.add("valid_from", "must be today: Razorpay's mandates are valid from their approval on");
    }
    let last = today.checked_add(YEARS_MAX.years()).unwrap_or(Date::MAX);
    if !(today..last).contains(&day_in_india(*valid_until)) {
        violations.add("valid_until", format!("must be within {YEARS_MAX} years from today"));
    }
    if *block_funds {
        violations.add("block_funds", "must be false: Razorpay's recurring mandates block nothing");
    }
    if !revocable {
        violations.add("revocable", "must be true: no request of Razorpay's says otherwise");
    }
    if purpose != RECURRING {
        violations.add("purpose", format!("must be {RECURRING:?}: no request of Razorpay's says otherwise"));
    }
    if approval_expire_time.is_some() {
        violations.add("approval_expire_time", "must be absent: at Razorpay a mandate is approved on the day on which it is asked for");
    }
    check_payer(&mut violations, payer);
    let whose = "a limit of ours: Razorpay publishes none";
    violations.check_text("name", name, TEXT_CHARS_MAX, whose);
    violations.check_text("description", description, TEXT_CHARS_MAX, whose);
    violations.check_notes_beside_ours(notes, notes_value_max);
    violations.0
}

fn check_day(violations: &mut Violations, pattern: Pattern, day: Option<Day>, today: Date) {
    match (pattern.days(), day) {
        (None, None) => {}
        (None, Some(_)) => violations.add("debit_day", "must be absent: a mandate of this frequency has no day"),
        (Some(_), None) => violations.add("debit_day", "is needed: at Razorpay a mandate of this frequency names a day"),
        (Some(days), Some(day)) if !days.contains(&day.number) => {
            violations.add("debit_day", format!("must be {} to {} for this frequency", days.start(), days.end()));
        }
        (Some(_), Some(Day { number, rule: DayRule::On })) => {
            let todays = if pattern == Pattern::Weekly { today.weekday().to_monday_one_offset() } else { today.day() };
            if i8::try_from(number) != Ok(todays) {
                let text = "with the rule \"on\" Razorpay takes a mandate on that very day alone: it must be today's, or the rule another";
                violations.add("debit_day", format!("{text} (today's is {todays}, in India)"));
            }
        }
        (Some(_), Some(_)) => {}
    }
}

fn check_payer(violations: &mut Violations, payer: &MandatePayer) {
    let MandatePayer { vpa, name, phone, email } = payer;
    if vpa.is_some() {
        violations.add("payer_vpa", "must be absent: at Razorpay the payer approves by a link");
    }
    match name.as_ref().map(|name: &PersonName| name.show(Sight::Clear)) {
        None => violations.add("payer_name", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(text) => {
            if !NAME_CHARS.contains(&text.chars().count()) {
                violations.add("payer_name", format!("must have {} to {} characters", NAME_CHARS.start(), NAME_CHARS.end()));
            }
            if !text.chars().all(|c| c.is_alphanumeric() || NAME_SIGNS.contains(c)) {
                violations.add("payer_name", format!("may have only letters, digits, spaces and {}", NAME_SIGNS.trim()));
            }
            violations.check_text("payer_name", &text, PersonName::CHARS_MAX, "a limit of ours");
        }
    }
    match phone {
        None => violations.add("payer_phone", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(phone) if ten_digits(phone).is_none() => violations.add("payer_phone", "must be an Indian mobile number"),
        Some(_) => {}
    }
    match email {
        None => violations.add("payer_email", "is needed: Razorpay keeps the payers of mandates as customers"),
        Some(email) => violations.check_text("payer_email", &email.show(Sight::Clear), EMAIL_CHARS_MAX, "a limit of Razorpay's"),
    }
}

fn frequency(pattern: Pattern) -> Option<&'static str> {
    FREQUENCIES.iter().find(|(known, _)| *known == pattern).map(|(_, word)| *word)
}

/// `None`: it has a frequency that can't be asked for.
pub fn to_terms(order: &MandateOrder) -> Option<body::Terms> {
    let day = order.day.filter(|_| order.pattern.days().is_some());
    // Its last day holds as a whole.
    let end = begin_of_day(next_day(day_in_india(order.valid_until)));
    Some(body::Terms {
        max_amount: order.max_amount.paise(),
        expire_at: end.as_second() - 1,
        frequency: frequency(order.pattern)?,
        recurring_value: day.map(|day| day.number),
        recurring_type: day.map(|day| match day.rule {
            DayRule::On => "on",
            DayRule::Before => "before",
            DayRule::After => "after",
        }),
    })
}

/// Until when a mandate can be approved whose order was made at `created`: on that day in India, before 23:59 [8.1].
pub fn approval_end(created: Timestamp) -> Option<Timestamp> {
    in_india(day_in_india(created).at(23, 59, 0, 0))
}

/// That a link asks the payer for nothing else than was ordered. What it leaves out, or has in words of its own, is not held
/// against it.
pub fn check_link(text: &str, order: &MandateOrder, collected: Money) -> Result<(), Unreadable> {
    let link = UpiLink::parse(text).map_err(|error| unreadable(&format!("the link {error}")))?;
    if link.kind() != LinkKind::Mandate {
        return Err(unreadable("the link is none by which a mandate is approved"));
    }
    if link.am().is_some_and(|told| told.money() != order.max_amount) {
        return Err(unreadable("the link has another greatest amount than was ordered"));
    }
    if let Some(told) = link.value("fam")
        && Amount::from_rupees_text(told).map(Amount::money) != Ok(collected)
    {
        return Err(unreadable("the link collects another amount at once than was ordered"));
    }
    if link.value("amrule").and_then(AmountRule::from_code).is_some_and(|told| told != order.amount_rule) {
        return Err(unreadable("the link has another rule for the amount than was ordered"));
    }
    if link.value("recur").and_then(Pattern::from_code).is_some_and(|told| told != order.pattern) {
        return Err(unreadable("the link has another frequency than was ordered"));
    }
    Ok(())
}
