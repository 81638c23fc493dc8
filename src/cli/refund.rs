//! `upistream refund`: sends money of a payment back, and shows what became of it.

#[cfg(test)]
mod tests;

use clap::{Args, Subcommand, ValueEnum};

use super::advice::{contradicted, quoted};
use super::arguments::{amount, pair, refund_state};
use super::client::{Client, ClientArgs, KeyArgs};
use super::console::{Console, Tone};
use super::failure::Failure;
use super::listing::{self, ListArgs};
use super::qr::{money, rupees, state, time};
use super::table::{Cell, Table};
use super::wire;
use crate::domain::money::{Amount, Money};
use crate::grpc::pb;
use crate::grpc::pb::refund_service_client::RefundServiceClient;

/// Send money of a payment back, and show refunds
///
/// A payment in SUCCEEDED or MISMATCHED can be refunded, in parts where the provider does that, and never by more than was
/// paid. A refund that was made in the provider's dashboard shows here too, with the origin PROVIDER.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream refund create --payment pay_01J8Z0K3V5 --amount 120.00 --reference return-17
  upistream refund create --payment pay_01J8Z0K3V5 --amount 379 --speed instant --key return-18
  upistream refund list --payment pay_01J8Z0K3V5
  upistream refund list --state pending --since 2d
  upistream refund get rfnd_01J8Z0K3V5")]
pub struct RefundArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send money of a payment back to its payer
    ///
    /// Where the answer is lost, repeat the same command with the same --key: with another one the payer may be refunded
    /// twice.
    Create(CreateArgs),
    /// Show one refund as it is written down
    Get(OneArgs),
    /// List refunds, newest first
    List(ListRefundArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The payment whose money is sent back, pay_…
    #[arg(long, value_name = "ID")]
    payment: String,
    /// How much, in rupees: 120 or 120.50; at most what is left of the payment
    #[arg(long, value_parser = amount, value_name = "RUPEES")]
    amount: Amount,
    /// How fast. What the provider offers shows `upistream account list --capabilities`
    #[arg(long, value_enum, default_value = "normal")]
    speed: Speed,
    /// Your own reference; at most 64 characters
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reference: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// A label of yours, besides those of the payment; lists and subscriptions filter by it
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// A pair that is sent to the provider. No personal data here
    #[arg(long = "note", value_parser = pair, value_name = "KEY=VALUE")]
    notes: Vec<(String, String)>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Speed {
    /// The provider's usual way: days
    Normal,
    /// At once where the payer's bank can do it, else as normal. May cost a fee
    Instant,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, rfnd_…
    id: String,
}

#[derive(Debug, Args)]
struct ListRefundArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only in this state: requested, pending, succeeded, failed. May be given more than once
    #[arg(long = "state", value_parser = refund_state, value_name = "STATE")]
    states: Vec<pb::RefundState>,
    /// Only those of this payment
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    payment: String,
}

type Refunds = RefundServiceClient<tonic::transport::Channel>;

pub async fn run(args: RefundArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let refunds = RefundServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Create(args) => create(&client, refunds, args).await,
        Verb::Get(args) => get(&client, refunds, args).await,
        Verb::List(args) => list(&client, refunds, args).await,
    }
}

async fn create(client: &Client<'_>, mut refunds: Refunds, args: CreateArgs) -> Result<(), Failure> {
    let CreateArgs { payment, amount, speed, reference, description, labels, notes, key } = args;
    let key = key.settle(client.console);
    let speed = match speed {
        Speed::Normal => pb::RefundSpeed::Normal,
        Speed::Instant => pb::RefundSpeed::Instant,
    };
    let request = pb::CreateRefundRequest {
        idempotency_key: key.clone(),
        payment_id: payment,
        reference,
        labels: labels.into_iter().collect(),
        amount: Some(money(amount)),
        speed: speed.into(),
        description,
        notes: notes.into_iter().collect(),
    };
    let call = refunds.create_refund(client.request(request));
    let answer = client.answer("asking the provider for a refund", Some(&key), call).await?;
    let pb::CreateRefundResponse { refund, idempotency_replayed } = answer;
    let refund = refund.unwrap_or_default();
    client.show(&wire::tree("Refund", &refund))?;
    client.note_replay(idempotency_replayed, &key);
    note_way(client.console, &refund);
    Ok(())
}

async fn get(client: &Client<'_>, mut refunds: Refunds, OneArgs { id }: OneArgs) -> Result<(), Failure> {
    let call = refunds.get_refund(client.request(pb::GetRefundRequest { id }));
    let refund = client.answer("reading the refund", None, call).await?.refund.unwrap_or_default();
    client.show(&wire::tree("Refund", &refund))?;
    note_way(client.console, &refund);
    Ok(())
}

async fn list(client: &Client<'_>, refunds: Refunds, ListRefundArgs { list, states, payment }: ListRefundArgs) -> Result<(), Failure> {
    let account = client.account(list.period.account.clone()).await?;
    let listed = listing::pages(list.period.limit, |page_size, page_token| {
        let request = pb::ListRefundsRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: list.period.from(),
            create_time_to: list.period.to(),
            reference: list.reference.clone(),
            labels: list.labels.iter().cloned().collect(),
            payment_id: payment.clone(),
        };
        let mut refunds = refunds.clone();
        async move {
            let answer = client.answer("reading the list", None, refunds.list_refunds(client.request(request))).await?;
            Ok((answer.refunds, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "refunds", |refund| wire::tree("Refund", refund), table)
}

/// What there is to do, or to wait for.
pub fn note_way(console: &Console, refund: &pb::Refund) {
    let id = quoted(&refund.id);
    if !refund.contradictions.is_empty() {
        console.note(&contradicted(&refund.id));
    }
    let way = match refund.state() {
        pb::RefundState::Requested | pb::RefundState::Pending if refund.in_doubt => {
            format!(
                "on its way: it is not known yet whether the provider acted, and the amount stays reserved. `upistream refund get {id}` \
                 shows when it is; `upistream admin doubts` lists what only a person can decide"
            )
        }
        pb::RefundState::Requested | pb::RefundState::Pending => {
            format!("on its way: the provider is at work. `upistream events tail --resource {id}` tells when it is through")
        }
        pb::RefundState::Succeeded if slowed(refund) => {
            "the payer's bank could not take it at once, so it goes as a normal one: the payer may see the money days later".to_owned()
        }
        pb::RefundState::Succeeded if refund.speed_processed() != pb::RefundSpeed::Instant => {
            "the provider made it; the payer may see the money days later".to_owned()
        }
        pb::RefundState::Failed => format!(
            "nothing was sent back. The amount can be refunded anew, with a new key: `upistream refund create --payment {} --amount {}`",
            quoted(&refund.payment_id),
            Money::from_paise(refund.amount.as_ref().map_or(0, |amount| amount.minor_units)).rupees_text()
        ),
        pb::RefundState::Succeeded | pb::RefundState::Unspecified => return,
    };
    console.note(&way);
}

/// It was to be instant, and isn't.
fn slowed(refund: &pb::Refund) -> bool {
    refund.speed_requested() == pb::RefundSpeed::Instant && refund.speed_processed() == pb::RefundSpeed::Normal
}

fn table(refunds: &[pb::Refund]) -> Table {
    let mut table = Table::new(&["ID", "STATE", ">AMOUNT", "SPEED", "MADE BY", "PAYMENT", "RRN OR ARN", "REFERENCE", "CREATED (IST)"]);
    for refund in refunds {
        let number = if refund.rrn.is_empty() { &refund.arn } else { &refund.rrn };
        table.row([
            refund.id.as_str().into(),
            standing(refund),
            rupees(refund.amount.as_ref()).into(),
            speed(refund).into(),
            made_by(refund.origin()).into(),
            refund.payment_id.as_str().into(),
            number.as_str().into(),
            refund.reference.as_str().into(),
            time(refund.create_time.as_ref()),
        ]);
    }
    table
}

/// Its state, and whether the provider said something else.
fn standing(refund: &pb::Refund) -> Cell {
    let Cell { text, tone } = state(refund.state().as_str_name(), "REFUND_STATE_");
    match refund.contradictions.is_empty() {
        true => Cell { text, tone },
        false => Cell::toned(Some(Tone::Warning), text + ", contradicted"),
    }
}

/// As it went, or as it was asked for while that is not known.
fn speed(refund: &pb::Refund) -> String {
    let name = |speed: pb::RefundSpeed| match speed {
        pb::RefundSpeed::Unspecified => "",
        pb::RefundSpeed::Normal => "normal",
        pb::RefundSpeed::Instant => "instant",
    };
    match (refund.speed_requested(), refund.speed_processed()) {
        (asked, pb::RefundSpeed::Unspecified) => name(asked).to_owned(),
        (pb::RefundSpeed::Instant, pb::RefundSpeed::Normal) => "normal, not instant".to_owned(),
        (_, made) => name(made).to_owned(),
    }
}

fn made_by(origin: pb::RefundOrigin) -> &'static str {
    match origin {
        pb::RefundOrigin::Unspecified => "",
        pb::RefundOrigin::Ours => "us",
        pb::RefundOrigin::Provider => "the provider",
    }
}
