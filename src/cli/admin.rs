//! `upistream admin`: what operators look at and decide.

use clap::{Args, Subcommand};

use super::advice::quoted;
use super::arguments::{doubt_kind, quarantine_reason};
use super::client::{Client, ClientArgs, KeyArgs};
use super::console::{Console, Tone};
use super::failure::Failure;
use super::listing::{self, limit};
use super::payment::came_by;
use super::qr::{rupees, state, time};
use super::table::{Cell, Table};
use super::tree::Tree;
use super::{debit, mandate, refund, wire};
use crate::grpc::pb;
use crate::grpc::pb::admin_service_client::AdminServiceClient;
use crate::grpc::pb::resolve_doubt_request::Decision;
use crate::grpc::pb::resolve_doubt_response::Resource;

/// For operators: what is not known, and what was not understood
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream admin doubts --operator-needed
  upistream admin resolve qr_01J8Z0K3V5 --did-not-happen --note not-in-the-dashboard
  upistream admin resolve pay_01J8Z0K3V5 --happened --note confirmed-by-support
  upistream admin resolve rfnd_01J8Z0K3V5 --happened --provider-ref rfnd_Ab3dEf --note seen-in-the-dashboard
  upistream admin resolve mndt_01J8Z0K3V5 --did-not-happen --note still-active-in-the-dashboard
  upistream admin quarantine
  upistream admin replay quar_01J8Z0K3V5")]
pub struct AdminArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the resources about which something is not known, newest first
    Doubts(DoubtsArgs),
    /// Decide a doubt
    ///
    /// Look at the provider's dashboard or ask its support first: the decision is written down as a fact, makes an event
    /// like any other, and may move goods and money.
    Resolve(ResolveArgs),
    /// List the callbacks that were not understood or not matched, newest first
    Quarantine(QuarantineArgs),
    /// Try a callback in quarantine again
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct DoubtsArgs {
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME")]
    account: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = limit, value_name = "N")]
    limit: usize,
    /// Only this kind: outcome-unknown, reported-only, contradiction, change-unknown. May be given more than once
    #[arg(long = "kind", value_parser = doubt_kind, value_name = "KIND")]
    kinds: Vec<pb::DoubtKind>,
    /// Only those that upistream can't resolve by itself
    #[arg(long)]
    operator_needed: bool,
}

#[derive(Debug, Args)]
#[group(id = "decision", required = true, multiple = false, args = ["happened", "did_not_happen"])]
struct ResolveArgs {
    /// The resource's id
    id: String,
    /// It happened: the provider did it, the money is received, what the provider said later is true
    #[arg(long)]
    happened: bool,
    /// It did not happen: nothing was done, no money is received, what is written down is true
    #[arg(long)]
    did_not_happen: bool,
    /// The provider's own id of it; needed with --happened where the resource has none yet
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID", conflicts_with = "did_not_happen")]
    provider_ref: String,
    /// Why, for those who look at this later. No personal data here
    #[arg(long, value_name = "TEXT")]
    note: String,
    /// Refuse where the resource has another revision by now
    #[arg(long, value_name = "N")]
    expected_revision: Option<i64>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct QuarantineArgs {
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME")]
    account: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = limit, value_name = "N")]
    limit: usize,
    /// Only this reason: not-understood, unmatched, unlinked-payment, hint. May be given more than once
    #[arg(long = "reason", value_parser = quarantine_reason, value_name = "REASON")]
    reasons: Vec<pb::QuarantineReason>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// Its id, quar_…
    id: String,
    #[command(flatten)]
    key: KeyArgs,
}

type Admin = AdminServiceClient<tonic::transport::Channel>;

pub async fn run(args: AdminArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let admin = AdminServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Doubts(args) => doubts(&client, admin, args).await,
        Verb::Resolve(args) => resolve(&client, admin, args).await,
        Verb::Quarantine(args) => quarantine(&client, admin, args).await,
        Verb::Replay(args) => replay(&client, admin, args).await,
    }
}

async fn doubts(client: &Client<'_>, admin: Admin, args: DoubtsArgs) -> Result<(), Failure> {
    let DoubtsArgs { account, limit, kinds, operator_needed } = args;
    let account = client.account(account).await?;
    let listed = listing::pages(limit, |page_size, page_token| {
        let request = pb::ListDoubtsRequest {
            account: account.clone(),
            page_size,
            page_token,
            kinds: kinds.iter().map(|&kind| kind.into()).collect(),
            operator_needed_only: operator_needed,
        };
        let mut admin = admin.clone();
        async move {
            let answer = client.answer("reading the doubts", None, admin.list_doubts(client.request(request))).await?;
            Ok((answer.doubts, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "doubts", |doubt| wire::tree("Doubt", doubt), doubt_table)
}

async fn resolve(client: &Client<'_>, mut admin: Admin, args: ResolveArgs) -> Result<(), Failure> {
    let ResolveArgs { id, happened, did_not_happen: _, provider_ref, note, expected_revision, key } = args;
    let key = key.settle(client.console);
    let decision = if happened { Decision::Happened(pb::Happened { provider_ref }) } else { Decision::DidNotHappen(pb::DidNotHappen {}) };
    let request = pb::ResolveDoubtRequest { idempotency_key: key.clone(), id, note, expected_revision, decision: Some(decision) };
    let call = admin.resolve_doubt(client.request(request));
    let pb::ResolveDoubtResponse { idempotency_replayed, resource } = client.answer("deciding", Some(&key), call).await?;
    if let Some(resource) = resource {
        client.show_told(resource_tree(&resource), |tree| match &resource {
            Resource::Mandate(mandate) => mandate::told(mandate, tree),
            Resource::Debit(debit) => debit::told(debit, tree),
            _ => tree,
        })?;
        match &resource {
            Resource::Refund(refund) => refund::note_way(client.console, refund),
            Resource::Mandate(mandate) => mandate::note_way(client.console, mandate),
            Resource::Debit(debit) => debit::note_way(client.console, debit),
            _ => (),
        }
    }
    client.note_replay(idempotency_replayed, &key);
    Ok(())
}

async fn quarantine(client: &Client<'_>, admin: Admin, args: QuarantineArgs) -> Result<(), Failure> {
    let QuarantineArgs { account, limit, reasons } = args;
    let account = client.account(account).await?;
    let listed = listing::pages(limit, |page_size, page_token| {
        let request = pb::ListQuarantineRequest {
            account: account.clone(),
            page_size,
            page_token,
            reasons: reasons.iter().map(|&reason| reason.into()).collect(),
            receive_time_from: None,
            receive_time_to: None,
        };
        let mut admin = admin.clone();
        async move {
            let answer = client.answer("reading the quarantine", None, admin.list_quarantine(client.request(request))).await?;
            Ok((answer.entries, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "callbacks in quarantine", |entry| wire::tree("QuarantineEntry", entry), entry_table)
}

async fn replay(client: &Client<'_>, mut admin: Admin, ReplayArgs { id, key }: ReplayArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = admin.replay_quarantined(client.request(pb::ReplayQuarantinedRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("trying it again", Some(&key), call).await?;
    if client.args.json {
        client.console.print(&wire::tree("ReplayQuarantinedResponse", &answer).json())?;
    } else {
        let pb::ReplayQuarantinedResponse { entry, settled, .. } = &answer;
        let entry = entry.clone().unwrap_or_default();
        client.console.print(&match settled {
            true => format!("{}  {}: dealt with, and gone from the quarantine", entry.id, client.console.paint(Tone::Good, "settled")),
            false => format!("{}  {}: {}", entry.id, client.console.paint(Tone::Warning, "stays"), entry.message),
        })?;
    }
    client.note_replay(answer.idempotency_replayed, &key);
    Ok(())
}

fn resource_tree(resource: &Resource) -> Tree {
    match resource {
        Resource::Qr(qr) => wire::tree("Qr", qr),
        Resource::Payment(payment) => wire::tree("Payment", payment),
        Resource::Refund(refund) => wire::tree("Refund", refund),
        Resource::Mandate(mandate) => wire::tree("Mandate", mandate),
        Resource::Debit(debit) => wire::tree("Debit", debit),
        Resource::Settlement(settlement) => wire::tree("Settlement", settlement),
    }
}

fn doubt_table(doubts: &[pb::Doubt]) -> Table {
    let mut table = Table::new(&["RESOURCE", ">AMOUNT", "ABOUT", "KIND", "OPERATION", "SINCE (IST)", "NEXT LOOK (IST)", "DECIDE WITH"]);
    for doubt in doubts {
        let (next, decide) = match &doubt.next_look_time {
            Some(next) => (time(Some(next)), String::new()),
            None => {
                (Cell::toned(Some(Tone::Warning), "an operator decides"), format!("upistream admin resolve {}", quoted(&doubt.resource_id)))
            }
        };
        let (amount, about) = stake(doubt);
        table.row([
            doubt.resource_id.as_str().into(),
            rupees(amount).into(),
            about.into(),
            state(doubt.kind().as_str_name(), "DOUBT_KIND_"),
            doubt.operation.as_str().into(),
            time(doubt.since.as_ref()),
            next,
            decide.into(),
        ]);
    }
    table
}

/// How much it is about, and what it came from: the payment of a refund, the code of a payment, the mandate of a debit. Of a
/// mandate its name, where the caller gave it no reference.
fn stake(doubt: &pb::Doubt) -> (Option<&pb::Money>, &str) {
    use pb::doubt::Resource as Of;

    match &doubt.resource {
        Some(Of::Qr(qr)) => (qr.amount.as_ref(), qr.reference.as_str()),
        Some(Of::Payment(payment)) => (payment.amount.as_ref(), came_by(payment)),
        Some(Of::Refund(refund)) => (refund.amount.as_ref(), refund.payment_id.as_str()),
        Some(Of::Mandate(mandate)) => {
            let about = if mandate.reference.is_empty() { &mandate.name } else { &mandate.reference };
            (mandate.max_amount.as_ref(), about)
        }
        Some(Of::Debit(debit)) => (debit.amount.as_ref(), debit.mandate_id.as_str()),
        Some(Of::Settlement(settlement)) => (settlement.amount.as_ref(), settlement.utr.as_str()),
        None => (None, ""),
    }
}

fn entry_table(entries: &[pb::QuarantineEntry]) -> Table {
    let mut table = Table::new(&["ID", "REASON", "EVENT", "ABOUT", ">TRIES", "RECEIVED (IST)", "LAST TRY"]);
    for entry in entries {
        table.row([
            entry.id.as_str().into(),
            state(entry.reason().as_str_name(), "QUARANTINE_REASON_"),
            entry.event_name.as_str().into(),
            entry.provider_refs.join(" ").into(),
            entry.attempts.to_string().into(),
            time(entry.receive_time.as_ref()),
            entry.message.as_str().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::super::testing::{at, inr};
    use super::*;

    #[test]
    fn a_doubt_says_how_much_is_at_stake() {
        let refund = pb::Refund { amount: Some(inr(12_000)), payment_id: "pay_1".to_owned(), ..pb::Refund::default() };
        let doubt = pb::Doubt {
            resource_id: "rfnd_1".to_owned(),
            kind: pb::DoubtKind::OutcomeUnknown.into(),
            operation: "create_refund".to_owned(),
            since: Some(at(0)),
            resource: Some(pb::doubt::Resource::Refund(refund)),
            ..pb::Doubt::default()
        };
        let looked_up = pb::Doubt { next_look_time: Some(at(1)), ..doubt.clone() };
        let expected = "\
RESOURCE   AMOUNT  ABOUT  KIND             OPERATION      SINCE (IST)          NEXT LOOK (IST)      DECIDE WITH
rfnd_1    ₹120.00  pay_1  OUTCOME_UNKNOWN  create_refund  2026-02-17 15:30:00  an operator decides  upistream admin resolve rfnd_1
rfnd_1    ₹120.00  pay_1  OUTCOME_UNKNOWN  create_refund  2026-02-17 15:30:00  2026-02-17 15:31:00";
        assert_eq!(doubt_table(&[doubt, looked_up]).text(&console().0), expected);
    }

    #[test]
    fn doubts_about_mandates_and_debits_name_what_they_are_about() {
        use pb::doubt::Resource as Of;

        let doubt = |id: &str, kind: pb::DoubtKind, operation: &str, resource: Of| pb::Doubt {
            resource_id: id.to_owned(),
            kind: kind.into(),
            operation: operation.to_owned(),
            since: Some(at(0)),
            next_look_time: (kind == pb::DoubtKind::OutcomeUnknown && operation != "execute_debit").then(|| at(1)),
            resource: Some(resource),
            ..pb::Doubt::default()
        };
        let mandate = pb::Mandate { max_amount: Some(inr(150_000)), name: "Gold plan".to_owned(), ..pb::Mandate::default() };
        let referred = pb::Mandate { reference: "member-17".to_owned(), ..mandate.clone() };
        let debit = pb::Debit { amount: Some(inr(49_900)), mandate_id: "mndt_1".to_owned(), ..pb::Debit::default() };
        let payment = pb::Payment { amount: Some(inr(49_900)), debit_id: "dbt_1".to_owned(), ..pb::Payment::default() };
        let doubts = [
            doubt("mndt_1", pb::DoubtKind::OutcomeUnknown, "create_mandate", Of::Mandate(mandate)),
            doubt("mndt_2", pb::DoubtKind::ChangeUnknown, "revoke_mandate", Of::Mandate(referred)),
            doubt("dbt_1", pb::DoubtKind::OutcomeUnknown, "create_debit", Of::Debit(debit.clone())),
            doubt("dbt_1", pb::DoubtKind::OutcomeUnknown, "execute_debit", Of::Debit(debit)),
            doubt("pay_1", pb::DoubtKind::Contradiction, "", Of::Payment(payment)),
        ];
        let expected = "\
RESOURCE     AMOUNT  ABOUT      KIND             OPERATION       SINCE (IST)          NEXT LOOK (IST)      DECIDE WITH
mndt_1    ₹1,500.00  Gold plan  OUTCOME_UNKNOWN  create_mandate  2026-02-17 15:30:00  2026-02-17 15:31:00
mndt_2    ₹1,500.00  member-17  CHANGE_UNKNOWN   revoke_mandate  2026-02-17 15:30:00  an operator decides  upistream admin resolve mndt_2
dbt_1       ₹499.00  mndt_1     OUTCOME_UNKNOWN  create_debit    2026-02-17 15:30:00  2026-02-17 15:31:00
dbt_1       ₹499.00  mndt_1     OUTCOME_UNKNOWN  execute_debit   2026-02-17 15:30:00  an operator decides  upistream admin resolve dbt_1
pay_1       ₹499.00  dbt_1      CONTRADICTION                    2026-02-17 15:30:00  an operator decides  upistream admin resolve pay_1";
        assert_eq!(doubt_table(&doubts).text(&console().0), expected);
    }
}
