//! How a mandate looks to people: its terms in words, where it stands, and what there is to do about it.

use jiff::Timestamp;

use super::super::advice::{contradicted, quoted};
use super::super::arguments::{day_shown, duration_shown, from_pb, shown};
use super::super::console::{Console, Tone};
use super::super::listing::now;
use super::super::qr::{rupees, state, time};
use super::super::table::{Cell, Table};
use super::super::tree::Tree;
use crate::clock::since;
use crate::domain::money::Money;
use crate::grpc::pb;

/// Fields that mean something only together are told together.
pub fn told(mandate: &pb::Mandate, tree: Tree) -> Tree {
    let mut tree = tree.telling("state", "state", standing(mandate), &[]);
    if mandate.amount_rule() != pb::MandateAmountRule::Unspecified {
        tree = tree.telling("max_amount", "amount", amount(mandate).into(), &["amount_rule"]);
    }
    if let Some(how_often) = how_often(mandate) {
        tree = tree.telling("frequency", "frequency", how_often.into(), &["debit_day", "debit_day_rule"]);
    }
    if let (from, Some(until)) = (day(mandate.valid_from.as_ref()), day(mandate.valid_until.as_ref())) {
        let from = from.map(|from| format!("from {from} ")).unwrap_or_default();
        tree = tree.telling("valid_until", "valid", format!("{from}until {until}, these days included").into(), &["valid_from"]);
    }
    if !mandate.revocable {
        tree = tree.telling("revocable", "revocable", "no: not by the payer".into(), &[]);
    }
    if let Some(change) = &mandate.pending_change {
        tree = tree.telling(
            "pending_change",
            "pending_change",
            pending(mandate, change).into(),
            &["pending_max_amount", "pending_valid_until"],
        );
    }
    let debits = match mandate.debit_count {
        0 => "none yet".to_owned(),
        count => format!("{count}, {} in all", rupees(mandate.amount_debited.as_ref())),
    };
    tree.telling("debit_count", "debits", debits.into(), &["amount_debited"])
}

pub fn table(mandates: &[pb::Mandate]) -> Table {
    let headings = ["ID", "STATE", ">AMOUNT", "HOW OFTEN", ">DEBITS", ">DEBITED", "UNTIL", "NAME", "REFERENCE", "CREATED (IST)"];
    let mut table = Table::new(&headings);
    for mandate in mandates {
        table.row([
            mandate.id.as_str().into(),
            standing(mandate),
            amount(mandate).into(),
            how_often(mandate).unwrap_or_default().into(),
            mandate.debit_count.to_string().into(),
            rupees(mandate.amount_debited.as_ref()).into(),
            day(mandate.valid_until.as_ref()).unwrap_or_default().into(),
            mandate.name.as_str().into(),
            mandate.reference.as_str().into(),
            time(mandate.create_time.as_ref()),
        ]);
    }
    table
}

/// What the payer has to scan or open on his phone, as long as he has to.
pub fn to_scan(mandate: &pb::Mandate) -> Option<&str> {
    let link = mandate.approval_link.as_str();
    let is_upi = link.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("upi://"));
    (is_upi && mandate.state() == pb::MandateState::AwaitingApproval).then_some(link)
}

/// Its state, what may change it, and whether the provider said something else.
fn standing(mandate: &pb::Mandate) -> Cell {
    let Cell { mut text, mut tone } = state(mandate.state().as_str_name(), "MANDATE_STATE_");
    let change = mandate.pending_change.as_ref().map(|change| format!(", {} pending", operation(change)));
    let contradiction = (!mandate.contradictions.is_empty()).then(|| ", contradicted".to_owned());
    for more in [change, contradiction].into_iter().flatten() {
        text += &more;
        tone = Some(Tone::Warning);
    }
    Cell::toned(tone, text)
}

pub fn operation(change: &pb::PendingChange) -> String {
    change.operation().as_str_name().trim_start_matches("OPERATION_").to_ascii_lowercase()
}

fn pending(mandate: &pb::Mandate, change: &pb::PendingChange) -> String {
    let to = mandate.pending_max_amount.as_ref().map(|amount| format!(" to {}", rupees(Some(amount))));
    let until = day(mandate.pending_valid_until.as_ref()).map(|day| format!(" until {day}"));
    let since = change.since.as_ref().and_then(from_pb).map(|since| format!(", asked for {} IST", shown(since)));
    let more: String = [to, until, since].into_iter().flatten().collect();
    operation(change) + &more
}

fn amount(mandate: &pb::Mandate) -> String {
    let amount = rupees(mandate.max_amount.as_ref());
    match mandate.amount_rule() {
        pb::MandateAmountRule::Unspecified => amount,
        pb::MandateAmountRule::Exact => format!("exactly {amount}"),
        pb::MandateAmountRule::Max => format!("at most {amount}"),
    }
}

/// `monthly, on or before the 5th`. `None` for a frequency of a newer release.
fn how_often(mandate: &pb::Mandate) -> Option<String> {
    use pb::MandateFrequency as Frequency;

    let frequency = match mandate.frequency() {
        Frequency::Unspecified => return None,
        Frequency::OneTime => "once",
        Frequency::Daily => "daily",
        Frequency::Weekly => "weekly",
        Frequency::Fortnightly => "fortnightly",
        Frequency::Monthly => "monthly",
        Frequency::Bimonthly => "every two months",
        Frequency::Quarterly => "quarterly",
        Frequency::HalfYearly => "half-yearly",
        Frequency::Yearly => "yearly",
        Frequency::AsPresented => "as presented",
    };
    let side = match mandate.debit_day_rule() {
        pb::MandateDebitDayRule::Unspecified => "",
        pb::MandateDebitDayRule::Before => "on or before ",
        pb::MandateDebitDayRule::On => "on ",
        pb::MandateDebitDayRule::After => "on or after ",
    };
    let day = mandate.debit_day.map(|number| match (mandate.frequency(), weekday(number)) {
        (Frequency::Weekly, Some(weekday)) => weekday.to_owned(),
        // Of which half: of each.
        (Frequency::Fortnightly, _) => format!("day {number} of the half-month"),
        _ => format!("the {}", ordinal(number)),
    });
    Some(day.map_or_else(|| frequency.to_owned(), |day| format!("{frequency}, {side}{day}")))
}

fn weekday(number: i32) -> Option<&'static str> {
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    usize::try_from(number).ok().and_then(|number| names.get(number.checked_sub(1)?).copied())
}

fn ordinal(number: i32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, last) if last != 11 => "st",
        (2, last) if last != 12 => "nd",
        (3, last) if last != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn day(time: Option<&prost_types::Timestamp>) -> Option<String> {
    time.and_then(from_pb).map(day_shown)
}

/// What there is to do, or to wait for.
pub fn note_way(console: &Console, mandate: &pb::Mandate) {
    let id = quoted(&mandate.id);
    if !mandate.contradictions.is_empty() {
        console.note(&contradicted(&mandate.id));
    }
    if let Some(change) = &mandate.pending_change {
        let asked = match change.operation() {
            pb::Operation::Update => "the payer has to approve the new terms".to_owned(),
            _ => format!("the {} was asked for, and its outcome is not known yet", operation(change)),
        };
        console.note(&format!("{asked}. `upistream events tail --resource {id}` tells when it is settled"));
    } else if mandate.failure.is_some() && matches!(mandate.state(), pb::MandateState::Active | pb::MandateState::Paused) {
        console.note("the last change that was asked for did not happen: `failure` says why");
    }
    let way = match mandate.state() {
        pb::MandateState::Requested if mandate.in_doubt => format!(
            "on its way: it is not known yet whether the provider acted. `upistream mandate get {id}` shows when it is; \
             `upistream admin doubts` lists what only a person can decide"
        ),
        pb::MandateState::Requested => {
            format!("on its way: the provider's answer is not in yet. `upistream mandate get {id}` shows when it is")
        }
        pb::MandateState::AwaitingApproval => approval(mandate, &id, now()),
        // While a pause or a revoke is pending no debit can be made.
        pb::MandateState::Active if mandate.pending_change.is_none() => {
            let most = Money::from_paise(mandate.max_amount.as_ref().map_or(0, |amount| amount.minor_units)).rupees_text();
            format!("debits can be made: `upistream debit create {id} --amount {most}`")
        }
        pb::MandateState::Paused if mandate.pending_change.is_none() => {
            format!("no debit is executed until it is resumed: `upistream mandate resume {id}`, or by the payer where he paused it")
        }
        pb::MandateState::Rejected | pb::MandateState::Expired if mandate.approve_time.is_none() => {
            "the payer did not approve it, so nothing can be debited: ask anew with `upistream mandate create`, with a new key".to_owned()
        }
        pb::MandateState::Failed => {
            "it was never made: `failure` says why. Ask anew with `upistream mandate create`, with a new key".to_owned()
        }
        _ => String::new(),
    };
    if !way.is_empty() {
        console.note(&way);
    }
    if mandate.debit_count > 0 {
        let account = quoted(&mandate.account);
        console.note(&format!("its debits: `upistream debit list --account {account} --mandate {id}`"));
    }
}

/// How the payer approves, and how long he may.
pub fn approval(mandate: &pb::Mandate, id: &str, now: Timestamp) -> String {
    let how = match (to_scan(mandate), mandate.approval_link.as_str()) {
        (Some(_), _) => "the payer scans the code, or opens the link on his phone, and approves in his UPI app".to_owned(),
        (None, "") => "the payer is asked in his UPI app".to_owned(),
        (None, link) => format!("the payer approves at {link}"),
    };
    let until = mandate.approval_expire_time.as_ref().and_then(from_pb).filter(|until| *until > now);
    let left = until.map(|until| format!(", for {} from now", duration_shown(since(now, until)))).unwrap_or_default();
    format!("{how}{left}. `upistream events tail --resource {id}` tells when he did")
}
