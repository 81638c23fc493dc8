//! `upistream demo`: a guided tour against a real service in this process, over gRPC on loopback. Everything it tells it has
//! checked; what is not as expected ends it.

mod check;
mod clearing;
mod clocks;
mod others;
mod place;
mod watch;
mod year;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::arguments::{duration_shown, from_pb, shown, to_pb};
use super::client::{Client, ClientArgs, fresh_key};
use super::console::{Console, Tone};
use super::failure::{Failure, Report, code_name};
use super::listing::now;
use super::qr::{draw, rupees, state};
use super::serve::not_started;
use super::signals::Signals;
use super::table::{self, Cell, Table};
use super::{event_line, logs};
use crate::app::{self, Options};
use crate::clock::TestClock;
use crate::config::{LogConfig, SANDBOX_ACCOUNT};
use crate::grpc::pb;
use crate::grpc::pb::event::Resource;
use crate::grpc::pb::event_service_client::EventServiceClient;
use crate::grpc::pb::qr_service_client::QrServiceClient;
use crate::grpc::pb::subscribe_request::Start;
use crate::sandbox::{PayOptions, Sandbox};
use clocks::Clocks;
use place::Place;
use watch::Watch;

/// A guided tour: a payment from QR code to money received, in a few seconds
///
/// Starts the service with its simulated providers in this process, on loopback, with its store in a temporary folder, and talks
/// to it over gRPC as any client would. Makes a QR code, repeats the request, pays as a payer's app would, loses and resumes the
/// stream of events, sends a part of the money back, reads the settlement that pays out the rest, makes and pays a code at each of
/// the other providers, and debits a payer for a year by the mandate that he approved. No money moves, nothing is left behind. Exit
/// code 0: everything was as it must be.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Show the service's logs too, on standard error
    #[arg(long)]
    logs: bool,
}

const FIRST_PAISE: i64 = 49_900;
const OTHER_PAISE: i64 = 59_900;
const SECOND_PAISE: i64 = 125_000;
/// Within what the provider allows.
const PAYABLE_FOR: Duration = Duration::from_secs(30 * 60);
const DEADLINE: Duration = Duration::from_secs(10);
/// The service finishes what it has begun well within it.
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub async fn run(DemoArgs { logs }: DemoArgs, console: &Console) -> Result<(), Failure> {
    logs::start(&LogConfig { level: if logs { "info" } else { "off" }.to_owned(), ..LogConfig::default() })?;
    let mut signals = Signals::listen()?;
    let place = Place::new()?;

    console.print(&format!("{}\n", console.paint(Tone::Strong, "upistream: a payment from QR code to money received")))?;
    step(console, 1, "Start the service, and the simulated providers beside it")?;
    let clock = Arc::new(TestClock::default());
    let options = Options { drain: false, clock: Arc::clone(&clock) as _, ..Options::default() };
    let started = console.during("starting", app::start(place.config(), options)).await;
    let running = started.map_err(|error| not_started(&error))?;
    let simulated = running.sandbox.clone().ok_or_else(|| unexpected("a sandbox in the service", "none"))?;
    say(console, &format!("service    gRPC on {}, webhooks on {}, store in {}", running.grpc, running.webhooks, place.shown()))?;
    say(console, &format!("providers  simulated Razorpay, EnKash, OQPay and Eko on {}; no money moves", simulated.address()))?;

    let address = format!("http://{}", running.grpc);
    let clocks = Clocks { service: &clock, providers: &simulated };
    let toured = tokio::select! {
        toured = tour(console, address, &clocks) => toured,
        signal = signals.next() => Err(Failure::new(format!("{signal}: the tour is broken off"), "run it again: upistream demo")),
    };
    let stopped = tokio::time::timeout(STOP_LIMIT, running.stop()).await;
    toured?;
    if stopped != Ok(true) {
        return Err(unexpected("the service to stop with nothing left under way", "something still was"));
    }
    Ok(())
}

async fn tour(console: &Console, address: String, clocks: &Clocks<'_>) -> Result<(), Failure> {
    let simulated = clocks.providers;
    let args = ClientArgs::inside(address, DEADLINE);
    let client = Client::connect(&args, console).await?;

    step(console, 2, "Subscribe to the events")?;
    let mut watch = Watch::begin(&client, Start::Latest(true), true);
    watch.until_caught_up().await?;
    say(console, "subscribed, from now on; each event is shown as it arrives (⟵)")?;

    step(console, 3, &format!("Make a QR code over {}, to be paid once within {}", show_paise(FIRST_PAISE), duration_shown(PAYABLE_FOR)))?;
    let order = order(&fresh_key("demo"), FIRST_PAISE, "order-1");
    let (qr, replayed) = create(&client, &order).await?;
    expect("a new QR code", !replayed, "the answer to an earlier request")?;
    expect("state ACTIVE", qr.state() == pb::QrState::Active, qr.state().as_str_name())?;
    watch.until("qr.activated", |event| event.r#type == "qr.activated" && event.resource_id == qr.id).await?;
    draw(console, &qr.upi_link)?;
    let expires = qr.expire_time.as_ref().and_then(from_pb).map(shown).unwrap_or_default();
    let about = [
        ("link", qr.upi_link.as_str().into()),
        ("id", qr.id.as_str().into()),
        ("state", state(qr.state().as_str_name(), "QR_STATE_")),
        ("payable until", format!("{expires} IST").into()),
    ];
    say(console, &table::block(console, &about.map(|(name, value): (&str, Cell)| (name.to_owned(), value))))?;

    step(console, 4, "Send the same request again, as after a lost answer")?;
    let (again, replayed) = create(&client, &order).await?;
    expect("idempotency_replayed = true", replayed, "false")?;
    expect(&format!("the same QR code {}", qr.id), again.id == qr.id, &again.id)?;
    say(console, &format!("same key, same body: idempotency_replayed = {replayed}, {} again; nothing was made twice", again.id))?;
    let other = pb::CreateQrRequest { amount: Some(inr(OTHER_PAISE)), ..order.clone() };
    say(console, &format!("same key, {}:     {}", show_paise(OTHER_PAISE), refused(&client, &other).await?))?;

    step(console, 5, "Pay it, as the payer's app would after the scan")?;
    let paid = pay(simulated, &qr).await?;
    say(console, &format!("the provider took the payment ({paid}) and calls the service back"))?;
    let payment = watch.until("payment.succeeded", |event| is_success(event, &qr.id)).await?;
    let closed = watch.until("qr.closed", |event| event.r#type == "qr.closed" && event.resource_id == qr.id).await?;
    check_paid(&payment, &closed, FIRST_PAISE)?;
    say(console, &format!("{} received, and the QR code is CLOSED: PAID. Only payment.succeeded means that", show_paise(FIRST_PAISE)))?;

    step(console, 6, "Lose the stream, let things happen, and resume")?;
    let before = watch.cut().await?;
    say(console, &format!("cut after {} events; the position is a token: {}", before.events.len(), short(&before.token)))?;
    let second = behind_the_back(&client, simulated).await?;
    let missed = log_after(&client, &before.token).await?;
    say(
        console,
        &format!("meanwhile a second QR code over {} was made and paid: {} events missed", show_paise(SECOND_PAISE), missed.len()),
    )?;
    let mut watch = Watch::begin(&client, Start::AfterToken(before.token.clone()), true);
    watch.until_caught_up().await?;
    let resumed = watch.cut().await?.events;
    check::resumed(&before.events, &missed, &resumed).map_err(|(expected, came)| unexpected(&expected, &came))?;
    let succeeded = resumed.iter().any(|event| is_success(event, &second.id));
    expect("the second payment among them", succeeded, "it is not")?;
    say(console, "resumed: exactly the missed events came, in order, none twice; the revisions of each resource have no gap")?;

    let paid = match &payment.resource {
        Some(Resource::Payment(paid)) => paid,
        _ => return Err(unexpected("the payment in its event", "something else")),
    };
    let cleared = clearing::tour(&client, console, simulated, paid, 7).await?;

    step(console, 9, "The same API at every other provider, as far as each can do it")?;
    let others = others::tour(&client, console, simulated).await?;

    // Last: a year later.
    let year = year::tour(&client, console, clocks, 10).await?;

    let all: Vec<pb::Event> = before.events.into_iter().chain(resumed).chain(cleared).chain(others).chain(year).collect();
    summary(console, &all)
}

/// What a caller asks for, with all that makes it safe to repeat.
fn order(key: &str, paise: i64, reference: &str) -> pb::CreateQrRequest {
    pb::CreateQrRequest {
        idempotency_key: key.to_owned(),
        account: SANDBOX_ACCOUNT.to_owned(),
        reference: reference.to_owned(),
        usage: pb::QrUsage::SingleUse.into(),
        amount: Some(inr(paise)),
        description: "upistream demo".to_owned(),
        expire_time: Some(to_pb(crate::clock::after(now(), PAYABLE_FOR))),
        ..pb::CreateQrRequest::default()
    }
}

async fn create(client: &Client<'_>, order: &pb::CreateQrRequest) -> Result<(pb::Qr, bool), Failure> {
    let mut qrs = QrServiceClient::new(client.channel.clone());
    let call = qrs.create_qr(client.request(order.clone()));
    let answer = client.answer("asking for a QR code", Some(&order.idempotency_key), call).await?;
    Ok((answer.qr.unwrap_or_default(), answer.idempotency_replayed))
}

/// The refusal of another body under a used key, in one line.
async fn refused(client: &Client<'_>, other: &pb::CreateQrRequest) -> Result<String, Failure> {
    let mut qrs = QrServiceClient::new(client.channel.clone());
    let status = match qrs.create_qr(client.request(other.clone())).await {
        Ok(_) => return Err(unexpected("IDEMPOTENCY_KEY_REUSED", "an answer")),
        Err(status) => status,
    };
    let Report { reason, metadata, .. } = Report::of_status(&status, &client.asked(Some(&other.idempotency_key)));
    let differing = metadata.get("differing_fields").cloned().unwrap_or_default();
    let as_expected = status.code() == Code::AlreadyExists && reason.as_deref() == Some("IDEMPOTENCY_KEY_REUSED") && differing == "amount";
    expect("ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED naming `amount`", as_expected, &described(&status))?;
    Ok(format!("refused, {} {}; differing field: {differing}", code_name(status.code()), reason.unwrap_or_default()))
}

/// The payer scans the code: all that is known of the service here is the text of the QR code.
async fn pay(simulated: &Sandbox, qr: &pb::Qr) -> Result<String, Failure> {
    let paid = simulated.pay_qr(SANDBOX_ACCOUNT, &qr.upi_link, PayOptions::default()).await;
    paid.map_err(|error| unexpected("the simulated provider to take the payment", &error.to_string()))
}

/// A second QR code, made and paid while the first subscriber is away. Another one sees when it is through.
async fn behind_the_back(client: &Client<'_>, simulated: &Sandbox) -> Result<pb::Qr, Failure> {
    let mut witness = Watch::begin(client, Start::Latest(true), false);
    witness.until_caught_up().await?;
    let (qr, _) = create(client, &order(&fresh_key("demo"), SECOND_PAISE, "order-2")).await?;
    pay(simulated, &qr).await?;
    let payment = witness.until("payment.succeeded", |event| is_success(event, &qr.id)).await?;
    let closed = witness.until("qr.closed", |event| event.r#type == "qr.closed" && event.resource_id == qr.id).await?;
    check_paid(&payment, &closed, SECOND_PAISE)?;
    witness.cut().await?;
    Ok(qr)
}

/// The same log, read in pages: what a resumed stream must bring.
async fn log_after(client: &Client<'_>, token: &str) -> Result<Vec<pb::Event>, Failure> {
    use pb::list_events_request::Start;

    let listed = super::listing::pages(1_000, |page_size, page_token| {
        let start = Some(Start::AfterToken(token.to_owned()));
        let request = pb::ListEventsRequest { start, filter: None, page_size, page_token };
        async move {
            let mut events = EventServiceClient::new(client.channel.clone());
            let answer = client.answer("reading the log", None, events.list_events(client.request(request))).await?;
            Ok((answer.events, answer.next_page_token))
        }
    });
    Ok(listed.await?.items)
}

fn is_success(event: &pb::Event, qr_id: &str) -> bool {
    event.r#type == "payment.succeeded" && matches!(&event.resource, Some(Resource::Payment(payment)) if payment.qr_id == qr_id)
}

fn check_paid(payment: &pb::Event, closed: &pb::Event, paise: i64) -> Result<(), Failure> {
    match (&payment.resource, &closed.resource) {
        (Some(Resource::Payment(payment)), Some(Resource::Qr(qr))) => {
            let received = payment.amount.as_ref().map(|amount| amount.minor_units);
            expect(&format!("{} received", show_paise(paise)), received == Some(paise), &rupees(payment.amount.as_ref()))?;
            expect("close_reason PAID", qr.close_reason() == pb::QrCloseReason::Paid, qr.close_reason().as_str_name())
        }
        _ => Err(unexpected("the payment and the QR code in their events", "something else")),
    }
}

fn summary(console: &Console, events: &[pb::Event]) -> Result<(), Failure> {
    console.print(&format!("\n{}", console.paint(Tone::Strong, "What happened")))?;
    let mut table = Table::new(&["RESOURCE", "STATE", ">AMOUNT", ">EVENTS", "THEIR TYPES"]);
    for id in check::in_order(events) {
        let of_it: Vec<&pb::Event> = events.iter().filter(|event| event.resource_id == id).collect();
        let types = types(&of_it);
        let newest = of_it.last();
        let state = match newest.and_then(|event| event.resource.as_ref()) {
            Some(Resource::Qr(qr)) => state(qr.state().as_str_name(), "QR_STATE_"),
            Some(Resource::Payment(payment)) => state(payment.state().as_str_name(), "PAYMENT_STATE_"),
            Some(Resource::Refund(refund)) => state(refund.state().as_str_name(), "REFUND_STATE_"),
            Some(Resource::Settlement(settlement)) => state(settlement.state().as_str_name(), "SETTLEMENT_STATE_"),
            Some(Resource::Mandate(mandate)) => state(mandate.state().as_str_name(), "MANDATE_STATE_"),
            _ => Cell::default(),
        };
        let amount = newest.and_then(|event| event_line::amount(event));
        table.row([id.into(), state, rupees(amount).into(), of_it.len().to_string().into(), types.into()]);
    }
    say(console, &table.text(console))?;
    say(console, &format!("{} events, each received once, none missing", events.len()))?;
    console.print(&format!("\n{}", console.paint(Tone::Strong, "Next steps")))?;
    let next = [
        ("upistream serve", "the same service, staying; prints what listens where"),
        ("upistream events tail", "in another terminal: watch what happens"),
        ("upistream qr create --account razorpay-sandbox --amount 499", "make a QR code and see it"),
        ("upistream mandate create --help", "ask a payer for a mandate"),
        ("grpcurl -plaintext 127.0.0.1:50051 list", "the whole API, by reflection"),
        ("upistream config default", "what can be set, for accounts of your own"),
    ];
    say(console, &table::block(console, &next.map(|(command, what)| (command.to_owned(), what.into()))))
}

/// What happened to a resource, oldest first; the same several times in a row is told once.
fn types(events: &[&pb::Event]) -> String {
    let what = |event: &&pb::Event| event.r#type.split_once('.').map_or("", |(_, what)| what).to_owned();
    let told = events.chunk_by(|one, next| one.r#type == next.r#type).map(|alike| match alike {
        [] => String::new(),
        [event] => what(event),
        [event, ..] => format!("{} ×{}", what(event), alike.len()),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn step(console: &Console, number: u32, what: &str) -> Result<(), Failure> {
    let gap = if number > 1 { "\n" } else { "" };
    console.print(&format!("{gap}{}", console.paint(Tone::Strong, &format!("{number}. {what}"))))
}

fn say(console: &Console, text: &str) -> Result<(), Failure> {
    console.print(&format!("   {}", text.replace('\n', "\n   ")))
}

fn expect(expected: &str, holds: bool, came: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(unexpected(expected, came)) }
}

fn unexpected(expected: &str, came: &str) -> Failure {
    Failure::new(format!("expected {expected}; what came: {came}"), "look at the logs: upistream demo --logs")
}

fn described(status: &Status) -> String {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    format!("{} {reason} {}", code_name(status.code()), status.message())
}

fn inr(paise: i64) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: paise }
}

fn show_paise(paise: i64) -> String {
    rupees(Some(&inr(paise)))
}

fn short(token: &str) -> String {
    let mut start: String = token.chars().take(24).collect();
    if start.len() < token.len() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_tour_ends_well() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (console, out, _) = console();
        let toured = run(DemoArgs { logs: false }, &console).await;
        assert!(toured.is_ok(), "{toured:?}\n{}", out.text());
        for told in [
            "idempotency_replayed = true",
            "IDEMPOTENCY_KEY_REUSED",
            "payment.succeeded",
            "qr.closed",
            "resumed: exactly the missed events",
            "debit_count 12",
        ] {
            assert!(out.text().contains(told), "{told}\n{}", out.text());
        }
    }
}
