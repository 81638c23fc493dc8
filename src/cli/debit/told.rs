//! How a debit looks to people: where it stands, its notice and its attempts in words, and what there is to do about it.

use super::super::advice::{contradicted, quoted};
use super::super::arguments::{from_pb, shown};
use super::super::console::{Console, Tone};
use super::super::mandate::operation;
use super::super::qr::{rupees, state, time};
use super::super::table::{Cell, Table};
use super::super::tree::Tree;
use crate::grpc::pb;

/// Fields that mean something only together are told together.
pub fn told(debit: &pb::Debit, tree: Tree) -> Tree {
    let executes = if debit.auto_execute { "by itself, at the first permitted time" } else { "when told by `upistream debit execute`" };
    let mut tree = tree.telling("state", "state", standing(debit), &[]).telling("auto_execute", "executes", executes.into(), &[]).telling(
        "notify_count",
        "notice",
        notice(debit).into(),
        &["notify_time", "notify_deliver_time", "notify_expire_time"],
    );
    if !debit.attempts.is_empty() {
        tree = tree.telling("attempts", "attempts", attempts(&debit.attempts).into(), &[]);
    }
    if let Some(change) = &debit.pending_change {
        let since = in_ist(change.since.as_ref()).map(|since| format!(", asked for {since}")).unwrap_or_default();
        tree = tree.telling("pending_change", "pending_change", (operation(change) + &since).into(), &[]);
    }
    tree
}

pub fn table(debits: &[pb::Debit]) -> Table {
    let headings = ["ID", "STATE", ">AMOUNT", "CYCLE", ">ATTEMPTS", "NEXT (IST)", "MANDATE", "PAYMENT", "REFERENCE", "CREATED (IST)"];
    let mut table = Table::new(&headings);
    for debit in debits {
        table.row([
            debit.id.as_str().into(),
            standing(debit),
            rupees(debit.amount.as_ref()).into(),
            debit.cycle.as_str().into(),
            debit.attempts.len().to_string().into(),
            time(debit.next_permitted_time.as_ref()),
            debit.mandate_id.as_str().into(),
            debit.payment_id.as_str().into(),
            debit.reference.as_str().into(),
            time(debit.create_time.as_ref()),
        ]);
    }
    table
}

/// Its state, and what else stands against taking that for all.
fn standing(debit: &pb::Debit) -> Cell {
    let Cell { mut text, mut tone } = state(debit.state().as_str_name(), "DEBIT_STATE_");
    let change = debit.pending_change.as_ref().map(|change| format!(", {} pending", operation(change)));
    let doubt = debit.in_doubt.then(|| ", in doubt".to_owned());
    let contradiction = (!debit.contradictions.is_empty()).then(|| ", contradicted".to_owned());
    for more in [change, doubt, contradiction].into_iter().flatten() {
        text += &more;
        tone = Some(Tone::Warning);
    }
    Cell::toned(tone, text)
}

/// When the payer was told, and how long that holds.
fn notice(debit: &pb::Debit) -> String {
    if debit.notify_count == 0 {
        return "none sent".to_owned();
    }
    let which = if debit.notify_count > 1 { format!(", number {}", debit.notify_count) } else { String::new() };
    let sent = in_ist(debit.notify_time.as_ref()).map(|time| format!(" {time}")).unwrap_or_default();
    let delivered =
        in_ist(debit.notify_deliver_time.as_ref()).map_or("not known to be delivered".to_owned(), |time| format!("delivered {time}"));
    let too_old = in_ist(debit.notify_expire_time.as_ref()).map(|time| format!("too old after {time}"));
    let lines = [Some(format!("sent{sent}{which}")), Some(delivered), too_old];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// One a line: number, begin, outcome, payment.
fn attempts(attempts: &[pb::DebitAttempt]) -> String {
    let outcomes: Vec<String> = attempts.iter().map(outcome).collect();
    let widest = outcomes.iter().map(|outcome| outcome.chars().count()).max().unwrap_or(0);
    let lines = attempts.iter().zip(&outcomes).map(|(attempt, outcome)| {
        let begun = in_ist(attempt.start_time.as_ref()).unwrap_or_default();
        format!("{}  {begun}  {outcome:<widest$}  {}", attempt.number, attempt.payment_id).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn outcome(attempt: &pb::DebitAttempt) -> String {
    let Some(failure) = &attempt.failure else {
        return if attempt.end_time.is_some() { "succeeded" } else { "not known yet" }.to_owned();
    };
    let reason = failure.reason().as_str_name().trim_start_matches("FAILURE_REASON_");
    match failure.provider_code.as_str() {
        "" => format!("failed: {reason}"),
        code => format!("failed: {reason} ({code})"),
    }
}

fn in_ist(time: Option<&prost_types::Timestamp>) -> Option<String> {
    time.and_then(from_pb).map(|time| format!("{} IST", shown(time)))
}

/// What there is to do, or to wait for.
pub fn note_way(console: &Console, debit: &pb::Debit) {
    let id = quoted(&debit.id);
    if !debit.contradictions.is_empty() {
        console.note(&contradicted(&debit.id));
    }
    if let Some(change) = &debit.pending_change {
        console.note(&format!(
            "the {} was asked for, and its outcome is not known yet. `upistream events tail --resource {id}` tells when it is settled",
            operation(change)
        ));
    }
    let waits = matches!(
        debit.state(),
        pb::DebitState::Requested | pb::DebitState::Notified | pb::DebitState::Scheduled | pb::DebitState::Executing
    );
    if waits && debit.requires_payer_approval {
        console.note("the amount is above the limit for debits without a PIN: the payer must approve this one in his UPI app");
    }
    if let Some(way) = way(debit, &id) {
        console.note(&way);
    }
}

fn under_way(debit: &pb::Debit) -> bool {
    debit.attempts.last().is_some_and(|newest| newest.end_time.is_none() && newest.failure.is_none())
}

fn way(debit: &pb::Debit, id: &str) -> Option<String> {
    let next = in_ist(debit.next_permitted_time.as_ref());
    let tells = format!("`upistream events tail --resource {id}` tells when it is through");
    let way = match debit.state() {
        pb::DebitState::Unspecified => return None,
        pb::DebitState::Succeeded if debit.payment_id.is_empty() => return None,
        pb::DebitState::Succeeded => format!("its payment: `upistream payment get {}`", quoted(&debit.payment_id)),
        pb::DebitState::Failed => {
            "no further attempt is made: `failure` says why, and each attempt. Before asking the payer for the same money anew, see that none \
             of them succeeded after all"
                .to_owned()
        }
        pb::DebitState::Cancelled => "nothing was debited, and nothing will be".to_owned(),
        pb::DebitState::Requested if debit.in_doubt => format!(
            "it is not known yet whether the payer is being told, and nothing is debited before. `upistream debit get {id}` shows when it is \
             known; `upistream admin doubts` lists what only a person can decide"
        ),
        _ if debit.in_doubt => format!(
            "it is not known yet whether the payer was debited, and no further attempt is made until it is. `upistream debit get {id}` shows \
             when it is; `upistream admin doubts` lists what only a person can decide"
        ),
        pb::DebitState::Requested if debit.notify_count == 0 => {
            let at = next.map(|next| format!(" for {next}")).unwrap_or_default();
            format!("the payer is told of it in time{at}, not before: a notice gets too old. {tells}")
        }
        pb::DebitState::Requested => format!("the payer is being told of it, which comes before any attempt. {tells}"),
        pb::DebitState::Notified | pb::DebitState::Scheduled if !debit.auto_execute => {
            let from = next.map(|next| format!(" from {next} on")).unwrap_or_default();
            format!("it waits for you{from}: `upistream debit execute {id}`")
        }
        pb::DebitState::Notified | pb::DebitState::Scheduled => {
            let at = next.map_or("when that is permitted".to_owned(), |next| format!("at {next}"));
            format!("it is executed by itself {at}. {tells}")
        }
        pb::DebitState::Executing => match next.filter(|_| !under_way(debit)) {
            Some(next) if debit.auto_execute => format!("an attempt failed, and the next is made by itself at {next}. {tells}"),
            Some(next) => format!("an attempt failed; the next is permitted from {next} on. {tells}"),
            None => format!("an attempt is under way; its outcome may take a day or more. {tells}"),
        },
    };
    Some(way)
}
