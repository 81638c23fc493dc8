//! `upistream settlement`: shows what providers paid out to the bank, line by line, and where their books and ours differ.

#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

use super::advice::quoted;
use super::arguments::{break_kind, entry_kind, settlement_state};
use super::client::{Client, ClientArgs};
use super::console::{Console, Tone};
use super::failure::Failure;
use super::listing::{self, PeriodArgs, limit};
use super::qr::{rupees, state, time};
use super::table::{Cell, Table};
use super::wire;
use crate::grpc::pb;
use crate::grpc::pb::settlement_service_client::SettlementServiceClient;

/// Show what was paid out to the bank, line by line, and what doesn't agree
///
/// Settlements are fetched and compared with our own records by the service itself; nothing is made here. A difference closes
/// by itself when the two sides agree again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream settlement list --since 7d
  upistream settlement get setl_01J8Z0K3V5
  upistream settlement entries --settlement setl_01J8Z0K3V5
  upistream settlement entries --payment pay_01J8Z0K3V5
  upistream settlement breaks
  upistream settlement breaks --kind amount-differs --since 2026-02-17 --all --json")]
pub struct SettlementArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show one settlement
    Get(OneArgs),
    /// List settlements, newest first
    List(ListSettlementArgs),
    /// List the lines of a settlement, or those about a payment or a refund, newest first
    Entries(EntriesArgs),
    /// List the differences between the provider's books and ours that are open, newest first
    Breaks(BreaksArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, setl_…
    id: String,
}

#[derive(Debug, Args)]
struct ListSettlementArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Only in this state: created, processed, failed. May be given more than once
    #[arg(long = "state", value_parser = settlement_state, value_name = "STATE")]
    states: Vec<pb::SettlementState>,
}

#[derive(Debug, Args)]
struct EntriesArgs {
    #[command(flatten)]
    about: AboutArgs,
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME", help_heading = "Filters")]
    account: Option<String>,
    /// At most so many, newest first
    #[arg(long, default_value_t = 50, value_parser = limit, value_name = "N", help_heading = "Filters")]
    limit: usize,
    /// Only this kind: payment, refund, adjustment. May be given more than once
    #[arg(long = "kind", value_parser = entry_kind, value_name = "KIND", help_heading = "Filters")]
    kinds: Vec<pb::SettlementEntryKind>,
}

/// What the lines are about: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AboutArgs {
    /// The lines of this settlement, setl_…
    #[arg(long, value_name = "ID")]
    settlement: Option<String>,
    /// The lines about this payment, pay_…
    #[arg(long, value_name = "ID")]
    payment: Option<String>,
    /// The lines about this refund, rfnd_…
    #[arg(long, value_name = "ID")]
    refund: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    mut_arg("since", |arg| arg.help("Found at or after this: a time (2026-02-17T10:00:00Z; without offset Indian time; a date) or how long ago (2h)")),
    mut_arg("until", |arg| arg.help("Found before this"))
)]
struct BreaksArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Only this kind: settled-unknown, succeeded-not-settled, amount-differs, refund-without-line, duplicate. May be given
    /// more than once
    #[arg(long = "kind", value_parser = break_kind, value_name = "KIND")]
    kinds: Vec<pb::SettlementBreakKind>,
    /// Only those of this settlement
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    settlement: String,
    /// Closed ones too
    #[arg(long)]
    all: bool,
}

type Settlements = SettlementServiceClient<tonic::transport::Channel>;

pub async fn run(args: SettlementArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let settlements = SettlementServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Get(args) => get(&client, settlements, args).await,
        Verb::List(args) => list(&client, settlements, args).await,
        Verb::Entries(args) => entries(&client, settlements, args).await,
        Verb::Breaks(args) => breaks(&client, settlements, args).await,
    }
}

async fn get(client: &Client<'_>, mut settlements: Settlements, OneArgs { id }: OneArgs) -> Result<(), Failure> {
    let call = settlements.get_settlement(client.request(pb::GetSettlementRequest { id }));
    let settlement = client.answer("reading the settlement", None, call).await?.settlement.unwrap_or_default();
    client.show(&wire::tree("Settlement", &settlement))?;
    note_rest(client.console, &settlement);
    Ok(())
}

async fn list(client: &Client<'_>, settlements: Settlements, args: ListSettlementArgs) -> Result<(), Failure> {
    let ListSettlementArgs { period, states } = args;
    let account = client.account(period.account.clone()).await?;
    let listed = listing::pages(period.limit, |page_size, page_token| {
        let request = pb::ListSettlementsRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: period.from(),
            create_time_to: period.to(),
        };
        let mut settlements = settlements.clone();
        async move {
            let answer = client.answer("reading the list", None, settlements.list_settlements(client.request(request))).await?;
            Ok((answer.settlements, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "settlements", |settlement| wire::tree("Settlement", settlement), table)
}

async fn entries(client: &Client<'_>, settlements: Settlements, args: EntriesArgs) -> Result<(), Failure> {
    let EntriesArgs { about: AboutArgs { settlement, payment, refund }, account, limit, kinds } = args;
    let account = client.account(account).await?;
    let table = if settlement.is_some() { entries_of_one } else { entries_of_several };
    let listed = listing::pages(limit, |page_size, page_token| {
        let request = pb::ListSettlementEntriesRequest {
            account: account.clone(),
            page_size,
            page_token,
            settlement_id: settlement.clone().unwrap_or_default(),
            payment_id: payment.clone().unwrap_or_default(),
            refund_id: refund.clone().unwrap_or_default(),
            kinds: kinds.iter().map(|&kind| kind.into()).collect(),
        };
        let mut settlements = settlements.clone();
        async move {
            let answer = client.answer("reading the lines", None, settlements.list_settlement_entries(client.request(request))).await?;
            Ok((answer.entries, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "lines", |entry| wire::tree("SettlementEntry", entry), table)
}

async fn breaks(client: &Client<'_>, settlements: Settlements, args: BreaksArgs) -> Result<(), Failure> {
    let BreaksArgs { period, kinds, settlement, all } = args;
    let account = client.account(period.account.clone()).await?;
    let listed = listing::pages(period.limit, |page_size, page_token| {
        let request = pb::ListSettlementBreaksRequest {
            account: account.clone(),
            page_size,
            page_token,
            kinds: kinds.iter().map(|&kind| kind.into()).collect(),
            open_time_from: period.from(),
            open_time_to: period.to(),
            settlement_id: settlement.clone(),
            include_closed: all,
        };
        let mut settlements = settlements.clone();
        async move {
            let answer =
                client.answer("reading the differences", None, settlements.list_settlement_breaks(client.request(request))).await?;
            Ok((answer.breaks, answer.next_page_token))
        }
    });
    let (what, table): (&str, fn(&[pb::SettlementBreak]) -> Table) =
        if all { ("breaks", all_breaks) } else { ("open breaks", open_breaks) };
    listing::show(client, listed.await?, what, |difference| wire::tree("SettlementBreak", difference), table)
}

/// What else there is to see of a settlement.
fn note_rest(console: &Console, settlement: &pb::Settlement) {
    let of_it = format!("--account {} --settlement {}", quoted(&settlement.account), quoted(&settlement.id));
    if settlement.open_break_count > 0 {
        let breaks = plural(settlement.open_break_count, "open break");
        console.note(&format!("the provider's books and ours differ in {breaks}: `upistream settlement breaks {of_it}`"));
    }
    if settlement.entry_count > 0 {
        console.note(&format!("{}: `upistream settlement entries {of_it}`", plural(settlement.entry_count, "line")));
    }
    if !settlement.entries_complete {
        console.note("more lines may come: their sum is compared with the amount when all are in");
    }
}

fn plural(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn table(settlements: &[pb::Settlement]) -> Table {
    let mut table = Table::new(&["ID", "STATE", ">AMOUNT", ">LINES", ">OPEN BREAKS", "UTR", "SETTLED (IST)", "CREATED (IST)"]);
    for settlement in settlements {
        let lines = settlement.entry_count.to_string();
        let open = settlement.open_break_count;
        table.row([
            settlement.id.as_str().into(),
            state(settlement.state().as_str_name(), "SETTLEMENT_STATE_"),
            rupees(settlement.amount.as_ref()).into(),
            if settlement.entries_complete { lines } else { lines + " so far" }.into(),
            Cell::toned((open > 0).then_some(Tone::Warning), open.to_string()),
            settlement.utr.as_str().into(),
            time(settlement.settle_time.as_ref()),
            time(settlement.create_time.as_ref()),
        ]);
    }
    table
}

/// All of one settlement: saying which in each line would tell nothing.
fn entries_of_one(entries: &[pb::SettlementEntry]) -> Table {
    let mut table = Table::new(&["KIND", ">GROSS", ">FEE", ">NET", "ABOUT", "AT THE PROVIDER", "HAPPENED (IST)"]);
    for entry in entries {
        let [kind, gross, fee, net, about, provider_ref] = line(entry);
        table.row([kind, gross, fee, net, about, provider_ref, time(entry.transact_time.as_ref())]);
    }
    table
}

/// About one payment or refund: which settlement has it, and when, is the question.
fn entries_of_several(entries: &[pb::SettlementEntry]) -> Table {
    let mut table = Table::new(&["KIND", ">GROSS", ">FEE", ">NET", "ABOUT", "AT THE PROVIDER", "SETTLEMENT", "SETTLED (IST)"]);
    for entry in entries {
        let [kind, gross, fee, net, about, provider_ref] = line(entry);
        let settlement = if entry.settlement_id.is_empty() { "not settled yet" } else { entry.settlement_id.as_str() };
        table.row([kind, gross, fee, net, about, provider_ref, settlement.into(), time(entry.settle_time.as_ref())]);
    }
    table
}

fn line(entry: &pb::SettlementEntry) -> [Cell; 6] {
    let about = match (entry.refund_id.as_str(), entry.payment_id.as_str(), entry.kind()) {
        ("", "", pb::SettlementEntryKind::Adjustment) => entry.description.as_str().into(),
        // Of an adjustment the provider may say which payment it corrects.
        ("", payment, pb::SettlementEntryKind::Payment | pb::SettlementEntryKind::Adjustment) if !payment.is_empty() => payment.into(),
        ("", _, _) => Cell::toned(Some(Tone::Warning), "not known here"),
        (refund, _, _) => refund.into(),
    };
    [
        short(entry.kind().as_str_name(), "SETTLEMENT_ENTRY_KIND_").into(),
        rupees(entry.gross.as_ref()).into(),
        rupees(entry.fee.as_ref()).into(),
        rupees(entry.net.as_ref()).into(),
        about,
        entry.provider_ref.as_str().into(),
    ]
}

fn open_breaks(breaks: &[pb::SettlementBreak]) -> Table {
    let mut table = Table::new(&["ID", "KIND", ">OURS", ">THE PROVIDER'S", "ABOUT", "SETTLEMENT", "SINCE (IST)", "WHY"]);
    for difference in breaks {
        let [id, kind, ours, theirs, about, settlement, since] = both_sides(difference);
        table.row([id, kind, ours, theirs, about, settlement, since, difference.message.as_str().into()]);
    }
    table
}

fn all_breaks(breaks: &[pb::SettlementBreak]) -> Table {
    let mut table = Table::new(&["ID", "KIND", ">OURS", ">THE PROVIDER'S", "ABOUT", "SETTLEMENT", "SINCE (IST)", "CLOSED (IST)", "WHY"]);
    for difference in breaks {
        let [id, kind, ours, theirs, about, settlement, since] = both_sides(difference);
        let closed = match &difference.close_time {
            None => Cell::toned(Some(Tone::Warning), "open"),
            closed => time(closed.as_ref()),
        };
        table.row([id, kind, ours, theirs, about, settlement, since, closed, difference.message.as_str().into()]);
    }
    table
}

fn both_sides(difference: &pb::SettlementBreak) -> [Cell; 7] {
    // A side that has it not at all is another thing than one that has ₹0.00.
    let figure = |amount: Option<&pb::Money>| match amount {
        None => Cell::toned(Some(Tone::Faint), "none"),
        amount => rupees(amount).into(),
    };
    let about = [&difference.refund_id, &difference.payment_id, &difference.provider_ref].into_iter().find(|id| !id.is_empty());
    [
        difference.id.as_str().into(),
        Cell::toned(
            difference.close_time.is_none().then_some(Tone::Warning),
            short(difference.kind().as_str_name(), "SETTLEMENT_BREAK_KIND_"),
        ),
        figure(difference.our_amount.as_ref()),
        figure(difference.provider_amount.as_ref()),
        about.map_or(String::new(), String::clone).into(),
        difference.settlement_id.as_str().into(),
        time(difference.open_time.as_ref()),
    ]
}

fn short<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}
