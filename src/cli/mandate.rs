//! `upistream mandate`: asks payers for a standing permission to be debited (UPI Autopay), and shows and changes it.

#[cfg(test)]
pub mod desk;
#[cfg(test)]
mod tests;
mod told;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::advice::quoted;
use super::arguments::{When, amount, debit_day_rule, first_day, frequency, last_day, mandate_state, pair, to_pb, when};
use super::client::{Client, ClientArgs, KeyArgs};
use super::console::Console;
use super::failure::Failure;
use super::listing::{self, ListArgs, now};
use super::qr::{draw, money};
use super::wire;
use crate::domain::money::Amount;
use crate::grpc::pb;
use crate::grpc::pb::mandate_service_client::MandateServiceClient;

pub use told::{note_way, operation, told};

/// Ask payers for a standing permission to be debited (UPI Autopay), show it and change it
///
/// A mandate permits debits once the payer has approved it: `upistream debit create` makes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream mandate create --max-amount 1500 --frequency monthly --day 5 --rule after --until 2027-12-31 --name Gold-plan
  upistream mandate create --max-amount 499 --exact --frequency as-presented --until 2027-12-31 --name Gold-plan --payer-vpa asha@examplebank
  upistream mandate get mndt_01J8Z0K3V5
  upistream mandate list --state active --reference member-17
  upistream mandate update mndt_01J8Z0K3V5 --max-amount 2000
  upistream mandate pause mndt_01J8Z0K3V5
  upistream mandate revoke mndt_01J8Z0K3V5 --key member-17-left")]
pub struct MandateArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register a mandate, and show how the payer approves it
    Create(Box<CreateArgs>),
    /// Show one mandate as it is written down, and how the payer approves it while he has to
    Get(OneArgs),
    /// List mandates, newest first
    List(ListMandateArgs),
    /// Change the greatest amount or the last day of an active mandate; the payer has to approve
    Update(UpdateArgs),
    /// Pause an active mandate: no debit is executed from now on
    Pause(ChangeArgs),
    /// Resume a paused mandate. One that the payer paused, only the payer can resume
    Resume(ChangeArgs),
    /// Revoke a mandate for good: debits that were not begun are cancelled
    Revoke(ChangeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME")]
    account: Option<String>,
    /// The greatest amount of one debit, in rupees: 1500 or 1500.50
    #[arg(long, value_parser = amount, value_name = "RUPEES")]
    max_amount: Amount,
    /// Each debit is of exactly this amount; otherwise of at most so much
    #[arg(long)]
    exact: bool,
    /// How often a debit may succeed: one-time, daily, weekly, fortnightly, monthly, bimonthly (once in two months), quarterly,
    /// half-yearly, yearly, as-presented. What the provider offers shows `upistream account list --capabilities`
    #[arg(long, value_parser = frequency, value_name = "HOW-OFTEN")]
    frequency: pb::MandateFrequency,
    /// The day that --rule speaks of: 1 (Monday) to 7 of a week, 1 to 16 of half a month, 1 to 31 of a month
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31), requires = "rule", value_name = "N")]
    day: Option<i32>,
    /// On which side of --day a debit may be made, the day included: on, before, after
    #[arg(long, value_parser = debit_day_rule, requires = "day", value_name = "RULE")]
    rule: Option<pb::MandateDebitDayRule>,
    /// Its first day, by Indian time. Left out: today
    #[arg(long, value_parser = first_day, value_name = "DAY")]
    from: Option<Timestamp>,
    /// Its last day, by Indian time: 2027-12-31
    #[arg(long, value_parser = last_day, value_name = "DAY")]
    until: Timestamp,
    /// What the payer is shown, 1 to 64 characters
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Block the amount in the payer's bank account at approval; one-time mandates only
    #[arg(long)]
    block_funds: bool,
    /// The payer can't revoke it; not every account may do so
    #[arg(long)]
    irrevocable: bool,
    /// Until when the payer may approve: for so long (30m), or until a time. Left out: the provider's default
    #[arg(long, value_parser = when, value_name = "WHEN")]
    approve_until: Option<When>,
    /// Two-digit UPI purpose code. Left out: 14 for recurring ones, 01 for one-time ones
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CODE")]
    purpose: String,
    /// Your own reference; at most 64 characters
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reference: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// A label of yours, copied to its debits, their payments and events; lists and subscriptions filter by it
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// A pair that is sent to the provider. No personal data here
    #[arg(long = "note", value_parser = pair, value_name = "KEY=VALUE")]
    notes: Vec<(String, String)>,
    #[command(flatten)]
    payer: PayerArgs,
    #[command(flatten)]
    key: KeyArgs,
}

/// Who is to be debited. What a provider needs of it shows `upistream account list --capabilities`.
#[derive(Debug, Args)]
struct PayerArgs {
    /// The payer's UPI address: he is asked in his UPI app. Left out: he approves by a link
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME@BANK")]
    payer_vpa: String,
    /// The payer's name
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    payer_name: String,
    /// The payer's phone number: +91 and ten digits, or the ten alone
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NUMBER")]
    payer_phone: String,
    /// The payer's e-mail address
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    payer_email: String,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, mndt_…
    id: String,
}

#[derive(Debug, Args)]
struct ListMandateArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only in this state: requested, awaiting-approval, active, paused, revoked, rejected, expired, completed, failed. May be
    /// given more than once
    #[arg(long = "state", value_parser = mandate_state, value_name = "STATE")]
    states: Vec<pb::MandateState>,
}

#[derive(Debug, Args)]
#[group(id = "terms", required = true, multiple = true, args = ["max_amount", "until"])]
struct UpdateArgs {
    /// Its id, mndt_…
    id: String,
    /// The greatest amount of one debit from now on, in rupees. Left out: as it is
    #[arg(long, value_parser = amount, value_name = "RUPEES")]
    max_amount: Option<Amount>,
    /// Its last day from now on, by Indian time. Left out: as it is
    #[arg(long, value_parser = last_day, value_name = "DAY")]
    until: Option<Timestamp>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Its id, mndt_…
    id: String,
    #[command(flatten)]
    key: KeyArgs,
}

type Mandates = MandateServiceClient<tonic::transport::Channel>;

pub async fn run(args: MandateArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let mandates = MandateServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Create(args) => create(&client, mandates, *args).await,
        Verb::Get(args) => get(&client, mandates, args).await,
        Verb::List(args) => list(&client, mandates, args).await,
        Verb::Update(args) => update(&client, mandates, args).await,
        Verb::Pause(args) => pause(&client, mandates, args).await,
        Verb::Resume(args) => resume(&client, mandates, args).await,
        Verb::Revoke(args) => revoke(&client, mandates, args).await,
    }
}

async fn create(client: &Client<'_>, mut mandates: Mandates, args: CreateArgs) -> Result<(), Failure> {
    let account = client.account(args.account).await?;
    let key = args.key.settle(client.console);
    let approve_until = args.approve_until.map(|when| when.future(now()));
    if let (Some(When::Away(_)), Some(time)) = (args.approve_until, approve_until) {
        // "In half an hour" is another time each time it is said.
        client.console.note(&format!("to repeat this very request: --key {} --approve-until {time}", quoted(&key)));
    }
    let PayerArgs { payer_vpa, payer_name, payer_phone, payer_email } = args.payer;
    let rule = if args.exact { pb::MandateAmountRule::Exact } else { pb::MandateAmountRule::Max };
    let request = pb::CreateMandateRequest {
        idempotency_key: key.clone(),
        account,
        reference: args.reference,
        labels: args.labels.into_iter().collect(),
        max_amount: Some(money(args.max_amount)),
        amount_rule: rule.into(),
        frequency: args.frequency.into(),
        debit_day: args.day,
        debit_day_rule: args.rule.unwrap_or_default().into(),
        valid_from: args.from.map(to_pb),
        valid_until: Some(to_pb(args.until)),
        block_funds: args.block_funds,
        revocable: args.irrevocable.then_some(false),
        payer_vpa,
        payer_name,
        payer_phone,
        payer_email,
        purpose: args.purpose,
        name: args.name,
        description: args.description,
        approval_expire_time: approve_until.map(to_pb),
        notes: args.notes.into_iter().collect(),
    };
    let call = mandates.create_mandate(client.request(request));
    let answer = client.answer("asking the provider for a mandate", Some(&key), call).await?;
    let pb::CreateMandateResponse { mandate, idempotency_replayed } = answer;
    show(client, mandate, Some((idempotency_replayed, &key)))
}

async fn get(client: &Client<'_>, mut mandates: Mandates, OneArgs { id }: OneArgs) -> Result<(), Failure> {
    let call = mandates.get_mandate(client.request(pb::GetMandateRequest { id }));
    let pb::GetMandateResponse { mandate } = client.answer("reading the mandate", None, call).await?;
    show(client, mandate, None)
}

async fn list(client: &Client<'_>, mandates: Mandates, ListMandateArgs { list, states }: ListMandateArgs) -> Result<(), Failure> {
    let account = client.account(list.period.account.clone()).await?;
    let listed = listing::pages(list.period.limit, |page_size, page_token| {
        let request = pb::ListMandatesRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: list.period.from(),
            create_time_to: list.period.to(),
            reference: list.reference.clone(),
            labels: list.labels.iter().cloned().collect(),
        };
        let mut mandates = mandates.clone();
        async move {
            let answer = client.answer("reading the list", None, mandates.list_mandates(client.request(request))).await?;
            Ok((answer.mandates, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "mandates", |mandate| wire::tree("Mandate", mandate), told::table)
}

async fn update(client: &Client<'_>, mut mandates: Mandates, UpdateArgs { id, max_amount, until, key }: UpdateArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let request =
        pb::UpdateMandateRequest { idempotency_key: key.clone(), id, max_amount: max_amount.map(money), valid_until: until.map(to_pb) };
    let call = mandates.update_mandate(client.request(request));
    let answer = client.answer("asking the provider to change it", Some(&key), call).await?;
    let pb::UpdateMandateResponse { mandate, idempotency_replayed } = answer;
    show(client, mandate, Some((idempotency_replayed, &key)))
}

async fn pause(client: &Client<'_>, mut mandates: Mandates, ChangeArgs { id, key }: ChangeArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = mandates.pause_mandate(client.request(pb::PauseMandateRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("asking the provider to pause it", Some(&key), call).await?;
    let pb::PauseMandateResponse { mandate, idempotency_replayed } = answer;
    show(client, mandate, Some((idempotency_replayed, &key)))
}

async fn resume(client: &Client<'_>, mut mandates: Mandates, ChangeArgs { id, key }: ChangeArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = mandates.resume_mandate(client.request(pb::ResumeMandateRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("asking the provider to resume it", Some(&key), call).await?;
    let pb::ResumeMandateResponse { mandate, idempotency_replayed } = answer;
    show(client, mandate, Some((idempotency_replayed, &key)))
}

async fn revoke(client: &Client<'_>, mut mandates: Mandates, ChangeArgs { id, key }: ChangeArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = mandates.revoke_mandate(client.request(pb::RevokeMandateRequest { idempotency_key: key.clone(), id }));
    let answer = client.answer("asking the provider to revoke it", Some(&key), call).await?;
    let pb::RevokeMandateResponse { mandate, idempotency_replayed } = answer;
    show(client, mandate, Some((idempotency_replayed, &key)))
}

/// A mandate, the code that its payer has to scan, and what there is to do. `replay` is that of a mutation, with its key.
fn show(client: &Client<'_>, mandate: Option<pb::Mandate>, replay: Option<(bool, &str)>) -> Result<(), Failure> {
    let mandate = mandate.unwrap_or_default();
    client.show_told(wire::tree("Mandate", &mandate), |tree| told(&mandate, tree))?;
    if let Some((replayed, key)) = replay {
        client.note_replay(replayed, key);
    }
    if let Some(link) = told::to_scan(&mandate).filter(|_| !client.args.json) {
        draw(client.console, link)?;
    }
    note_way(client.console, &mandate);
    Ok(())
}
