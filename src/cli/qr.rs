//! `upistream qr`: makes, shows and closes QR codes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::advice::quoted;
use super::arguments::{When, duration_shown};
use super::arguments::{amount, from_pb, pair, qr_state, shown, to_pb, when};
use super::client::{Client, ClientArgs, KeyArgs};
use super::console::{Console, Tone};
use super::failure::Failure;
use super::listing::{self, ListArgs, now};
use super::table::{Cell, Table};
use super::tree::tone;
use super::wire;
use crate::domain::money::{Amount, Money};
use crate::grpc::pb;
use crate::grpc::pb::qr_service_client::QrServiceClient;

/// Make, show and close QR codes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream qr create --amount 499.00 --expires 30m --reference order-17
  upistream qr create --multiple-use --name Counter-3
  upistream qr list --state active --since 2h
  upistream qr get qr_01J8Z0K3V5
  upistream qr image qr_01J8Z0K3V5 --out counter.svg
  upistream qr close qr_01J8Z0K3V5")]
pub struct QrArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a QR code, and show it here
    Create(CreateArgs),
    /// Show one QR code as it is written down
    Get(OneArgs),
    /// List QR codes, newest first
    List(ListQrArgs),
    /// Close a QR code, so that it can't be paid any more
    Close(CloseArgs),
    /// Draw a QR code into a file
    Image(ImageArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME")]
    account: Option<String>,
    /// How much, in rupees: 499 or 499.50. Left out: the payer chooses, where the provider allows it
    #[arg(long, value_parser = amount, value_name = "RUPEES")]
    amount: Option<Amount>,
    /// Can be paid any number of times; otherwise once
    #[arg(long)]
    multiple_use: bool,
    /// When it stops being payable: in so long (30m), or at a time. Left out: the provider's default
    #[arg(long, value_parser = when, value_name = "WHEN")]
    expires: Option<When>,
    /// Your own reference, copied to its payments; at most 64 characters
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reference: String,
    /// The name that the payer or the dashboard shows
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    name: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// A label of yours, copied to its payments and events; lists and subscriptions filter by it
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// A pair that is sent to the provider. No personal data here
    #[arg(long = "note", value_parser = pair, value_name = "KEY=VALUE")]
    notes: Vec<(String, String)>,
    #[command(flatten)]
    customer: CustomerArgs,
    #[command(flatten)]
    key: KeyArgs,
}

/// Whom a code is made for. What a provider needs of it shows `upistream account list`.
#[derive(Debug, Args)]
struct CustomerArgs {
    /// The provider's own id of the customer, such as cust_… at Razorpay
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer_ref: String,
    /// The customer's name
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    customer_name: String,
    /// The customer's phone number; at Eko each has one QR code
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NUMBER")]
    customer_phone: String,
    /// The customer's e-mail address
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    customer_email: String,
}

impl CustomerArgs {
    fn named(self) -> Option<pb::QrCustomer> {
        let Self { customer_ref: provider_ref, customer_name: name, customer_phone: phone, customer_email: email } = self;
        let customer = pb::QrCustomer { provider_ref, name, phone, email };
        Some(customer).filter(|customer| *customer != pb::QrCustomer::default())
    }
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, qr_…
    id: String,
}

#[derive(Debug, Args)]
struct ListQrArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only in this state: requested, active, closed, failed. May be given more than once
    #[arg(long = "state", value_parser = qr_state, value_name = "STATE")]
    states: Vec<pb::QrState>,
    /// Only those made for the customer with this id at the provider
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer_ref: String,
}

#[derive(Debug, Args)]
struct CloseArgs {
    /// Its id, qr_…
    id: String,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct ImageArgs {
    /// Its id, qr_…
    id: String,
    /// The file to write; one that ends in .svg becomes SVG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The format; left out, the file's name decides
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Width and height in pixels, 64 to 2048
    #[arg(long, default_value_t = 512, value_name = "N")]
    size: i32,
    /// How much of it may be unreadable
    #[arg(long, value_enum, default_value = "medium")]
    error_correction: Correction,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Png,
    Svg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Correction {
    /// About 7 %
    Low,
    /// About 15 %
    Medium,
    /// About 25 %
    Quartile,
    /// About 30 %
    High,
}

pub async fn run(args: QrArgs, console: &Console) -> Result<(), Failure> {
    let client = Client::connect(&args.client, console).await?;
    let qrs = QrServiceClient::new(client.channel.clone()).max_decoding_message_size(Client::answer_bytes_max());
    match args.verb {
        Verb::Create(args) => create(&client, qrs, args).await,
        Verb::Get(args) => get(&client, qrs, args).await,
        Verb::List(args) => list(&client, qrs, args).await,
        Verb::Close(args) => close(&client, qrs, args).await,
        Verb::Image(args) => image(&client, qrs, args).await,
    }
}

type Qrs = QrServiceClient<tonic::transport::Channel>;

async fn create(client: &Client<'_>, mut qrs: Qrs, args: CreateArgs) -> Result<(), Failure> {
    let CreateArgs { account, amount, multiple_use, expires, reference, name, description, labels, notes, customer, key } = args;
    let account = client.account(account).await?;
    let key = key.settle(client.console);
    let expire_time = expires.map(|expires| expires.future(now()));
    if let (Some(When::Away(_)), Some(time)) = (expires, expire_time) {
        // "In half an hour" is another time each time it is said.
        client.console.note(&format!("to repeat this very request: --key {} --expires {time}", quoted(&key)));
    }
    let request = pb::CreateQrRequest {
        idempotency_key: key.clone(),
        account,
        reference,
        labels: labels.into_iter().collect(),
        usage: (if multiple_use { pb::QrUsage::MultipleUse } else { pb::QrUsage::SingleUse }).into(),
        amount: amount.map(money),
        name,
        description,
        expire_time: expire_time.map(to_pb),
        notes: notes.into_iter().collect(),
        customer: customer.named(),
    };
    let call = qrs.create_qr(client.request(request));
    let pb::CreateQrResponse { qr, idempotency_replayed } = client.answer("asking the provider for a QR code", Some(&key), call).await?;
    let qr = qr.unwrap_or_default();
    client.show(&wire::tree("Qr", &qr))?;
    client.note_replay(idempotency_replayed, &key);
    if !client.args.json && !qr.upi_link.is_empty() && qr.state() == pb::QrState::Active {
        draw(client.console, &qr.upi_link)?;
    }
    note_way(client.console, &qr);
    Ok(())
}

async fn get(client: &Client<'_>, mut qrs: Qrs, OneArgs { id }: OneArgs) -> Result<(), Failure> {
    let call = qrs.get_qr(client.request(pb::GetQrRequest { id }));
    let answer = client.answer("reading the QR code", None, call).await?;
    client.show(&wire::tree("Qr", &answer.qr.unwrap_or_default()))
}

async fn list(client: &Client<'_>, qrs: Qrs, ListQrArgs { list, states, customer_ref }: ListQrArgs) -> Result<(), Failure> {
    let account = client.account(list.period.account.clone()).await?;
    let listed = listing::pages(list.period.limit, |page_size, page_token| {
        let request = pb::ListQrsRequest {
            account: account.clone(),
            page_size,
            page_token,
            states: states.iter().map(|&state| state.into()).collect(),
            create_time_from: list.period.from(),
            create_time_to: list.period.to(),
            reference: list.reference.clone(),
            labels: list.labels.iter().cloned().collect(),
            customer_ref: customer_ref.clone(),
        };
        let mut qrs = qrs.clone();
        async move {
            let answer = client.answer("reading the list", None, qrs.list_qrs(client.request(request))).await?;
            Ok((answer.qrs, answer.next_page_token))
        }
    });
    listing::show(client, listed.await?, "QR codes", |qr| wire::tree("Qr", qr), table)
}

async fn close(client: &Client<'_>, mut qrs: Qrs, CloseArgs { id, key }: CloseArgs) -> Result<(), Failure> {
    let key = key.settle(client.console);
    let call = qrs.close_qr(client.request(pb::CloseQrRequest { idempotency_key: key.clone(), id }));
    let pb::CloseQrResponse { qr, idempotency_replayed } = client.answer("asking the provider to close it", Some(&key), call).await?;
    let qr = qr.unwrap_or_default();
    client.show(&wire::tree("Qr", &qr))?;
    client.note_replay(idempotency_replayed, &key);
    note_way(client.console, &qr);
    Ok(())
}

async fn image(client: &Client<'_>, mut qrs: Qrs, args: ImageArgs) -> Result<(), Failure> {
    let ImageArgs { id, out, format, size, error_correction } = args;
    let is_svg = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    let format = match format.unwrap_or(if is_svg { Format::Svg } else { Format::Png }) {
        Format::Png => pb::QrImageFormat::Png,
        Format::Svg => pb::QrImageFormat::Svg,
    };
    let error_correction = match error_correction {
        Correction::Low => pb::QrErrorCorrection::Low,
        Correction::Medium => pb::QrErrorCorrection::Medium,
        Correction::Quartile => pb::QrErrorCorrection::Quartile,
        Correction::High => pb::QrErrorCorrection::High,
    };
    let request = pb::GetQrImageRequest { id, format: format.into(), size_pixels: size, error_correction: error_correction.into() };
    let call = qrs.get_qr_image(client.request(request));
    let pb::GetQrImageResponse { image, media_type } = client.answer("drawing", None, call).await?;
    let cant = |error| Failure::new(format!("`{}` can't be written: {error}", out.display()), "name another file with --out");
    tokio::fs::write(&out, &image).await.map_err(cant)?;
    if client.args.json {
        let json = serde_json::json!({ "file": out.display().to_string(), "media_type": media_type, "bytes": image.len() });
        return client.console.print(&json.to_string());
    }
    client.console.print(&format!("{}  {media_type}, {} bytes", out.display(), image.len()))
}

pub fn money(amount: Amount) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: amount.paise() }
}

pub fn rupees(money: Option<&pb::Money>) -> String {
    money.map(|money| Money::from_paise(money.minor_units).display()).unwrap_or_default()
}

/// The QR code, and what is in it.
pub fn draw(console: &Console, link: &str) -> Result<(), Failure> {
    if let Some(drawn) = console.qr_code(link) {
        console.print(&format!("\n{drawn}\n"))?;
    }
    Ok(())
}

/// A cell that says a state without its prefix, in its colour.
pub fn state(name: &str, prefix: &str) -> Cell {
    let short = name.strip_prefix(prefix).unwrap_or(name);
    Cell::toned(tone(short), short)
}

pub fn time(time: Option<&prost_types::Timestamp>) -> Cell {
    Cell::toned(Some(Tone::Faint), time.and_then(from_pb).map(shown).unwrap_or_default())
}

fn note_way(console: &Console, qr: &pb::Qr) {
    let id = quoted(&qr.id);
    if qr.state() == pb::QrState::Requested || qr.pending_change.is_some() {
        console.note(&if qr.stray_possible {
            format!("the answer was lost, and this provider lets nobody look: decide with `upistream admin resolve {id}`")
        } else {
            format!("on its way: the provider's answer is not in yet. `upistream qr get {id}` shows when it is")
        });
    }
    if qr.state() == pb::QrState::Active && qr.upi_link.is_empty() {
        console.note(&if qr.image_url.is_empty() {
            format!("the provider gives a picture: `upistream qr image {id} --out code.png` writes it")
        } else {
            format!("the provider gives a picture: {}", qr.image_url)
        });
    }
    if let Some(expires) = qr.expire_time.as_ref().and_then(from_pb).filter(|_| qr.state() == pb::QrState::Active) {
        console.note(&format!("payable for {}", duration_shown(crate::clock::since(now(), expires))));
    }
}

fn table(qrs: &[pb::Qr]) -> Table {
    let mut table = Table::new(&["ID", "STATE", "USAGE", ">AMOUNT", ">RECEIVED", ">PAYMENTS", "REFERENCE", "CREATED (IST)"]);
    for qr in qrs {
        table.row([
            qr.id.as_str().into(),
            state(qr.state().as_str_name(), "QR_STATE_"),
            qr.usage().as_str_name().trim_start_matches("QR_USAGE_").into(),
            qr.amount.as_ref().map_or("open".to_owned(), |amount| rupees(Some(amount))).into(),
            rupees(qr.amount_received.as_ref()).into(),
            qr.payment_count.to_string().into(),
            qr.reference.as_str().into(),
            time(qr.create_time.as_ref()),
        ]);
    }
    table
}
