//! `upistream debit`: debits payers by their mandates, and shows what became of it.

#[cfg(test)]
mod tests;
mod told;

use clap::{Args, Subcommand};

use super::advice::quoted;
use super::arguments::{When, amount, debit_state, pair, to_pb, when};
use super::client::{Client, ClientArgs, KeyArgs};
use super::console::Console;
use super::failure::Failure;
use super::listing::{self, ListArgs, now};
use super::qr::money;
use super::wire;
use crate::domain::money::Amount;
use crate::grpc::pb;
use crate::grpc::pb::mandate_service_client::MandateServiceClient;

pub use told::{note_way, told};

/// Debit payers by their mandates, and show what became of it
///
/// The payer is told of a debit at least 24 hours before it is made; then it is executed by itself at the first permitted time,
/// unless it was made with --manual.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream debit create mndt_01J8Z0K3V5 --amount 499.00 --reference member-17-march --key member-17-march
  upistream debit create mndt_01J8Z0K3V5 --amount 499 --after 2026-03-05 --description March
  upistream debit create mndt_01J8Z0K3V5 --amount 499 --manual
  upistream debit execute dbt_01J8Z0K3V5
  upistream debit cancel dbt_01J8Z0K3V5
  upistream debit get dbt_01J8Z0K3V5
  upistream debit list --mandate mndt_01J8Z0K3V5 --state scheduled --state executing")]
pub struct DebitArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Announce a debit to the payer; it is executed by itself when that is permitted
    ///
    /// Where the answer is lost, repeat the same command with the same --key: with another one the payer may be debited
    /// twice.
    Create(CreateArgs),
    /// Execute a debit now that was made with --manual, or that waits for its time
    ///
    /// Where the answer is lost, repeat the same command with the same --key.
    Execute(ChangeArgs),
    /// Cancel a debit of which no attempt is under way
    Cancel(ChangeArgs),
    /// Show one debit as it is written down
    Get(OneArgs),
    /// List debits, newest first
    List(ListDebitArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The mandate that permits it, mndt_…; it must be active
    mandate_id: String,
    /// How much, in rupees: 499 or 499.50; what the mandate permits. The payer is told of this very amount
    #[arg(long, value_parser = amount, value_name = "RUPEES")]
    amount: Amount,
    /// Not to be executed before this: a time (2026-03-05T10:00; without offset Indian time; a date), or in so long (2d). Left
    /// out: as early as permitted
    #[arg(long, value_parser = when, value_name = "WHEN")]
    after: Option<When>,
    /// Wait for `upistream debit execute` instead of executing it by itself
    #[arg(long)]
    manual: bool,
    /// Your own reference, copied to its payments; at most 64 characters
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reference: String,
    /// What the payer is told
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// A label of yours, besides those of the mandate; lists and subscriptions filter by it
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// A pair that is sent to the provider. No personal data here
    #[arg(long = "note", value_parser = pair, value_name = "KEY=VALUE")]
    notes: Vec<(String, String)>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Its id, dbt_…
    id: String,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, dbt_…
    id: String,
}

#[derive(Debug, Args)]
struct ListDebitArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only in this state: requested, notified, scheduled, executing, succeeded, failed, cancelled. May be given more than once
    #[arg(long = "state", value_parser = debit_state, value_name = "STATE")]
    states: Vec<pb::DebitState>,
    /// Only those of this mandate
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    mandate: String,
}

type Mandates = MandateServiceClient<tonic::transport::Channel>;

pub async fn run(args: DebitArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let mandates = MandateServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Create(args) => create(&client, mandates, args).await,
        Verb::Execute(args) => execute(&client, mandates, args).await,
        Verb::Cancel(args) => cancel(&client, mandates, args).await,
        Verb::Get(args) => get(&client, mandates, args).await,
        Verb::List(args) => list(&client, mandates, args).await,
    }
}

async fn create(client: &Client<'_>, mut mandates: Mandates, args: CreateArgs) -> Result<(), Failure> {
    let CreateArgs { mandate_id, amount, after, manual, reference, description, labels, notes, key } = args;
    let key = key.settle(client.console);
    let execute_after = after.map(|after| after.future(now()));
    if let (Some(When::Away(_)), Some(time)) = (after, execute_after) {
        // "In two days" is another time each time it is said.
        client.console.note(&format!("to repeat this very request: --key {} --after {time}", quoted(&key)));
    }
    let request = pb::CreateDebitRequest {
        idempotency_key: key.clone(),
        mandate_id,
        reference,
        labels: labels.into_iter().collect(),
        amount: Some(money(amount)),
        auto_execute: manual.then_some(false),
        execute_after: execute_after.map(to_pb),
        description,
        notes: notes.into_iter().collect(),
    };
    let call = mandates.create_debit(client.request(request));
    let answer = client.answer("asking the provider to announce the debit", Some(&key), call).await?;
    let pb::CreateDebitResponse { debit, idempotency_replayed } = answer;
    show(client, debit, Some((idempotency_replayed, &key)))
}

async fn execute(client: &Client<'_>, mut mandates: Mandates, ChangeArgs { id, key }: ChangeArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = mandates.execute_debit(client.request(pb::ExecuteDebitRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("asking the provider to execute it", Some(&key), call).await?;
    let pb::ExecuteDebitResponse { debit, idempotency_replayed } = answer;
    show(client, debit, Some((idempotency_replayed, &key)))
}

async fn cancel(client: &Client<'_>, mut mandates: Mandates, ChangeArgs { id, key }: ChangeArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = mandates.cancel_debit(client.request(pb::CancelDebitRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("asking the provider to cancel it", Some(&key), call).await?;
    let pb::CancelDebitResponse { debit, idempotency_replayed } = answer;
    show(client, debit, Some((idempotency_replayed, &key)))
}

async fn get(client: &Client<'_>, mut mandates: Mandates, OneArgs { id }: OneArgs) -> Result<(), Failure> {
    let call = mandates.get_debit(client.request(pb::GetDebitRequest { id }));
    let pb::GetDebitResponse { debit } = client.answer("reading the debit", None, call).await?;
    show(client, debit, None)
}

async fn list(client: &Client<'_>, mandates: Mandates, ListDebitArgs { list, states, mandate }: ListDebitArgs) -> Result<(), Failure> {
    let account = client.account(list.period.account.clone()).await?;
    let listed = listing::pages(list.period.limit, |page_size, page_token| {
        let request = pb::ListDebitsRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: list.period.from(),
            create_time_to: list.period.to(),
            reference: list.reference.clone(),
            labels: list.labels.iter().cloned().collect(),
            mandate_id: mandate.clone(),
        };
        let mut mandates = mandates.clone();
        async move {
            let answer = client.answer("reading the list", None, mandates.list_debits(client.request(request))).await?;
            Ok((answer.debits, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "debits", |debit| wire::tree("Debit", debit), told::table)
}

/// A debit, and what there is to do. `replay` is that of a mutation, with its key.
fn show(client: &Client<'_>, debit: Option<pb::Debit>, replay: Option<(bool, &str)>) -> Result<(), Failure> {
    let debit = debit.unwrap_or_default();
    client.show_told(wire::tree("Debit", &debit), |tree| told(&debit, tree))?;
    if let Some((replayed, key)) = replay {
        client.note_replay(replayed, key);
    }
    note_way(client.console, &debit);
    Ok(())
}
