//! An event in one line. Lines come one by one, so the columns are as wide as what usually stands in them.

use super::console::{Console, Tone};
use super::qr::{rupees, time};
use super::table::Cell;
use super::tree::tone;
use crate::grpc::pb;
use crate::grpc::pb::event::Resource;

const HEADINGS: [&str; 7] = ["TIME (IST)", "TYPE", "RESOURCE", "REV", "AMOUNT", "CAUSE", "ACCOUNT"];
/// `mandate.awaiting_approval` and `-₹12,34,567.00` are as long as it gets.
const WIDTHS: [usize; 7] = [19, 25, 32, 3, 14, 14, 0];
/// Revisions and amounts are numbers.
const RIGHT: [bool; 7] = [false, false, false, true, true, false, false];

pub fn headings(console: &Console) -> String {
    line(console, HEADINGS.map(|heading| Cell::toned(Some(Tone::Strong), heading)))
}

pub fn shown(console: &Console, event: &pb::Event) -> String {
    line(
        console,
        [
            time(event.record_time.as_ref()),
            Cell::toned(type_tone(&event.r#type), event.r#type.as_str()),
            event.resource_id.as_str().into(),
            event.revision.to_string().into(),
            rupees(amount(event)).into(),
            event.cause().as_str_name().trim_start_matches("CAUSE_").to_ascii_lowercase().into(),
            event.account.as_str().into(),
        ],
    )
}

/// Most types name the state that was entered.
pub fn type_tone(r#type: &str) -> Option<Tone> {
    let (of, what) = r#type.split_once('.')?;
    match (of, what) {
        // A difference that closes is one that is gone.
        (_, "activated" | "resumed") | ("payment", "settled") | ("settlement_break", "closed") => Some(Tone::Good),
        (_, "contradicted" | "change_requested") | ("settlement_break", "opened") => Some(Tone::Warning),
        (_, other) => tone(&other.to_ascii_uppercase()),
    }
}

fn line(console: &Console, cells: [Cell; 7]) -> String {
    let cells: Vec<String> = cells.iter().zip(WIDTHS).zip(RIGHT).map(|((cell, width), right)| cell.padded(console, width, right)).collect();
    cells.join("  ").trim_end().to_owned()
}

/// What its resource is about.
pub fn amount(event: &pb::Event) -> Option<&pb::Money> {
    match event.resource.as_ref()? {
        Resource::Qr(qr) => qr.amount.as_ref(),
        Resource::Payment(payment) => payment.amount.as_ref(),
        Resource::Refund(refund) => refund.amount.as_ref(),
        Resource::Mandate(mandate) => mandate.max_amount.as_ref(),
        Resource::Debit(debit) => debit.amount.as_ref(),
        Resource::Settlement(settlement) => settlement.amount.as_ref(),
        Resource::SettlementBreak(difference) => difference.provider_amount.as_ref().or(difference.our_amount.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::super::testing::{at, inr};
    use super::*;

    #[test]
    fn an_event_stands_under_its_headings() {
        let (console, ..) = console();
        let payment = pb::Payment { amount: Some(inr(49_900)), ..pb::Payment::default() };
        let event = pb::Event {
            r#type: "payment.succeeded".to_owned(),
            account: "shop".to_owned(),
            resource_id: "pay_01J8Z0K3V5XXXXXXXXXXXXXXXX".to_owned(),
            revision: 2,
            cause: pb::Cause::Webhook.into(),
            record_time: Some(at(0)),
            resource: Some(Resource::Payment(payment)),
            ..pb::Event::default()
        };
        assert_eq!(
            [headings(&console), shown(&console, &event)].join("\n"),
            "TIME (IST)           TYPE                       RESOURCE                          REV          AMOUNT  CAUSE           ACCOUNT\n\
             2026-02-17 15:30:00  payment.succeeded          pay_01J8Z0K3V5XXXXXXXXXXXXXXXX      2         ₹499.00  webhook         shop"
        );
    }

    #[test]
    fn the_longest_lines_keep_their_columns() {
        let (console, ..) = console();
        let difference = pb::SettlementBreak { our_amount: Some(inr(-123_456_700)), ..pb::SettlementBreak::default() };
        let event = pb::Event {
            r#type: "settlement_break.opened".to_owned(),
            account: "shop".to_owned(),
            resource_id: format!("sbrk_{}", "0".repeat(26)),
            revision: 1,
            cause: pb::Cause::Reconciliation.into(),
            record_time: Some(at(0)),
            resource: Some(Resource::SettlementBreak(difference)),
            ..pb::Event::default()
        };
        let mandate = pb::Event {
            r#type: "mandate.awaiting_approval".to_owned(),
            resource: Some(Resource::Mandate(pb::Mandate { max_amount: Some(inr(150_000)), ..pb::Mandate::default() })),
            ..event.clone()
        };
        let column = |line: &str, of: &str| line.find(of).map(|at| line[..at].chars().count());
        for event in [event, mandate] {
            let (headings, shown) = (headings(&console), shown(&console, &event));
            assert_eq!(column(&headings, "ACCOUNT"), column(&shown, "shop"), "{headings}\n{shown}");
        }
    }

    #[test]
    fn mandates_and_debits_say_what_they_are_about() {
        let (console, ..) = console();
        let event = |r#type: &str, resource_id: &str, cause: pb::Cause, resource| pb::Event {
            r#type: r#type.to_owned(),
            account: "shop".to_owned(),
            resource_id: resource_id.to_owned(),
            revision: 3,
            cause: cause.into(),
            record_time: Some(at(0)),
            resource: Some(resource),
            ..pb::Event::default()
        };
        let mandate = pb::Mandate { max_amount: Some(inr(150_000)), ..pb::Mandate::default() };
        let debit = pb::Debit { amount: Some(inr(49_900)), ..pb::Debit::default() };
        let lines = [
            shown(&console, &event("mandate.activated", "mndt_1", pb::Cause::Webhook, Resource::Mandate(mandate))),
            shown(&console, &event("debit.scheduled", "dbt_1", pb::Cause::Timer, Resource::Debit(debit))),
        ];
        assert_eq!(
            lines.join("\n"),
            "2026-02-17 15:30:00  mandate.activated          mndt_1                              3       ₹1,500.00  webhook         shop\n\
             2026-02-17 15:30:00  debit.scheduled            dbt_1                               3         ₹499.00  timer           shop"
        );
    }

    #[test]
    fn what_happened_has_its_colour() {
        let check = |tone, types: &[&str]| types.iter().for_each(|r#type| assert_eq!(type_tone(r#type), tone, "{type}"));
        check(
            Some(Tone::Good),
            &["qr.activated", "refund.succeeded", "settlement.processed", "settlement_break.closed", "payment.settled"],
        );
        check(Some(Tone::Good), &["mandate.activated", "mandate.resumed", "mandate.completed", "debit.succeeded"]);
        check(Some(Tone::Bad), &["payment.failed", "refund.failed", "settlement.failed", "payment.reversed"]);
        check(Some(Tone::Bad), &["mandate.revoked", "mandate.rejected", "mandate.failed", "debit.failed"]);
        check(Some(Tone::Warning), &["refund.requested", "refund.pending", "settlement_break.opened", "refund.contradicted"]);
        check(Some(Tone::Warning), &["mandate.awaiting_approval", "mandate.paused", "mandate.change_requested", "debit.executing"]);
        check(None, &["qr.closed", "refund.updated", "settlement.created", "settlement.updated", "something"]);
        check(None, &["mandate.expired", "mandate.change_settled", "debit.notified", "debit.scheduled", "debit.cancelled"]);
    }
}
