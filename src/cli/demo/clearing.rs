//! Money back, and money out: a part of the first payment is refunded, and what is left of all is paid out to the merchant's
//! bank and compared line by line.

use std::time::Duration;

use tonic::Code;

use super::super::client::{Client, fresh_key};
use super::super::console::Console;
use super::super::failure::{Failure, Report};
use super::super::listing;
use super::watch::Watch;
use super::{described, expect, inr, say, show_paise, step, unexpected};
use crate::config::SANDBOX_ACCOUNT;
use crate::grpc::pb;
use crate::grpc::pb::event::Resource;
use crate::grpc::pb::payment_service_client::PaymentServiceClient;
use crate::grpc::pb::refund_service_client::RefundServiceClient;
use crate::grpc::pb::settlement_service_client::SettlementServiceClient;
use crate::grpc::pb::subscribe_request::Start;
use crate::sandbox::{RefundEnd, Sandbox};

const BACK_PAISE: i64 = 12_000;
/// From a settlement's beginning to the transfer, on the simulator's clock.
const TRANSFER: Duration = Duration::from_secs(20 * 60);

/// Refunds a part of `paid`, which was received at the first tour's account, and has that account settled. These are the steps
/// `number` and the one after. Answers the events that came of it.
pub async fn tour(
    client: &Client<'_>,
    console: &Console,
    simulated: &Sandbox,
    paid: &pb::Payment,
    number: u32,
) -> Result<Vec<pb::Event>, Failure> {
    let mut watch = Watch::begin(client, Start::Latest(true), true);
    watch.until_caught_up().await?;
    step(console, number, &format!("Send {} of the first payment back, and not more than was paid", show_paise(BACK_PAISE)))?;
    let refund = send_back(client, console, simulated, &mut watch, paid).await?;
    step(console, number + 1, "Have the account settled: what arrives at the bank, line by line")?;
    settle(client, console, simulated, &mut watch, (paid, &refund)).await?;
    Ok(watch.cut().await?.events)
}

async fn send_back(
    client: &Client<'_>,
    console: &Console,
    simulated: &Sandbox,
    watch: &mut Watch,
    paid: &pb::Payment,
) -> Result<pb::Refund, Failure> {
    let order = pb::CreateRefundRequest {
        idempotency_key: fresh_key("demo"),
        payment_id: paid.id.clone(),
        reference: "return-1".to_owned(),
        amount: Some(inr(BACK_PAISE)),
        speed: pb::RefundSpeed::Normal.into(),
        description: "upistream demo".to_owned(),
        ..pb::CreateRefundRequest::default()
    };
    let (refund, replayed) = create(client, &order).await?;
    expect("a new refund", !replayed, "the answer to an earlier request")?;
    expect("state PENDING", refund.state() == pb::RefundState::Pending, refund.state().as_str_name())?;
    let (again, replayed) = create(client, &order).await?;
    expect("idempotency_replayed = true", replayed, "false")?;
    expect(&format!("the same refund {}", refund.id), again.id == refund.id, &again.id)?;
    say(console, &format!("asked for twice with one key: {} is PENDING, and there is no other", refund.id))?;

    let whole = pb::CreateRefundRequest { idempotency_key: fresh_key("demo"), amount: paid.amount.clone(), ..order };
    say(console, &refused(client, &whole).await?)?;

    let ended = simulated.end_refund(SANDBOX_ACCOUNT, &refund.provider_ref, RefundEnd::Processed).await;
    ended.map_err(|error| unexpected("the simulated provider to make the refund", &error.to_string()))?;
    watch.until("refund.succeeded", |event| event.r#type == "refund.succeeded" && event.resource_id == refund.id).await?;
    let payment = payment_now(client, &paid.id).await?;
    let back = payment.amount_refunded.as_ref().map(|amount| amount.minor_units);
    expect(&format!("{} of the payment refunded", show_paise(BACK_PAISE)), back == Some(BACK_PAISE), &format!("{back:?} paise"))?;
    say(console, &format!("the provider made it: {} is on its way back to the payer", show_paise(BACK_PAISE)))?;
    Ok(refund)
}

/// The refusal of more than is left, in one line.
async fn refused(client: &Client<'_>, whole: &pb::CreateRefundRequest) -> Result<String, Failure> {
    let mut refunds = RefundServiceClient::new(client.channel.clone());
    let status = match refunds.create_refund(client.request(whole.clone())).await {
        Ok(_) => return Err(unexpected("REFUND_EXCEEDS_PAYMENT", "an answer")),
        Err(status) => status,
    };
    let Report { reason, metadata, .. } = Report::of_status(&status, &client.asked(Some(&whole.idempotency_key)));
    let left = metadata.get("refundable_minor_units").and_then(|paise| paise.parse::<i64>().ok());
    let paid = whole.amount.as_ref().map_or(0, |amount| amount.minor_units);
    let as_expected =
        status.code() == Code::FailedPrecondition && reason.as_deref() == Some("REFUND_EXCEEDS_PAYMENT") && left == Some(paid - BACK_PAISE);
    expect("FAILED_PRECONDITION REFUND_EXCEEDS_PAYMENT saying what is left", as_expected, &described(&status))?;
    let (asked, left) = (show_paise(paid), show_paise(paid - BACK_PAISE));
    Ok(format!("{asked} more: refused, REFUND_EXCEEDS_PAYMENT; {left} is left"))
}

async fn settle(
    client: &Client<'_>,
    console: &Console,
    simulated: &Sandbox,
    watch: &mut Watch,
    (paid, refund): (&pb::Payment, &pb::Refund),
) -> Result<(), Failure> {
    let settled = simulated.settle(SANDBOX_ACCOUNT).await;
    let settled = settled.map_err(|error| unexpected("the simulated provider to settle", &error.to_string()))?;
    simulated.advance(TRANSFER);
    say(console, &format!("the provider pays out what it holds ({settled}) and calls the service back, which reads the lines"))?;
    let is_it = |settlement: &pb::Settlement| settlement.provider_ref == settled;
    let processed = |event: &pb::Event| {
        event.r#type == "settlement.processed" && matches!(&event.resource, Some(Resource::Settlement(settlement)) if is_it(settlement))
    };
    let settlement_id = watch.until("settlement.processed", processed).await?.resource_id;
    // The lines are kept before they are counted.
    let counted = |event: &pb::Event| matches!(&event.resource, Some(Resource::Settlement(known)) if is_it(known) && known.entry_count > 0);
    let counted = watch.until("the lines of the settlement", counted).await?;
    watch.until("payment.settled", |event| event.r#type == "payment.settled" && event.resource_id == paid.id).await?;
    let with_it = |event: &pb::Event| matches!(&event.resource, Some(Resource::Refund(known)) if known.id == refund.id && known.settlement_id == settlement_id);
    watch.until("the refund's settlement", with_it).await?;

    let amount = match &counted.resource {
        Some(Resource::Settlement(settlement)) => settlement.amount.as_ref().map_or(0, |amount| amount.minor_units),
        _ => 0,
    };
    let lines = lines_of(client, &settlement_id).await?;
    let net: i64 = lines.iter().filter_map(|line| line.net.as_ref()).map(|net| net.minor_units).sum();
    expect(&format!("lines that add up to {}", show_paise(amount)), net == amount, &show_paise(net))?;
    let of_refund = lines.iter().find(|line| line.refund_id == refund.id).and_then(|line| line.gross.as_ref());
    let of_refund = of_refund.map(|gross| gross.minor_units);
    expect(&format!("a line of {}", show_paise(-BACK_PAISE)), of_refund == Some(-BACK_PAISE), &format!("{of_refund:?} paise"))?;
    let breaks = open_breaks(client).await?;
    expect("no difference between the provider's books and ours", breaks == 0, &format!("{breaks}"))?;
    let (count, amount) = (lines.len(), show_paise(amount));
    say(console, &format!("{amount} to the bank: {count} lines, the refund among them, which add up to it; the two books agree"))
}

async fn create(client: &Client<'_>, order: &pb::CreateRefundRequest) -> Result<(pb::Refund, bool), Failure> {
    let mut refunds = RefundServiceClient::new(client.channel.clone());
    let call = refunds.create_refund(client.request(order.clone()));
    let answer = client.answer("asking for a refund", Some(&order.idempotency_key), call).await?;
    Ok((answer.refund.unwrap_or_default(), answer.idempotency_replayed))
}

async fn payment_now(client: &Client<'_>, id: &str) -> Result<pb::Payment, Failure> {
    let mut payments = PaymentServiceClient::new(client.channel.clone());
    let call = payments.get_payment(client.request(pb::GetPaymentRequest { id: id.to_owned() }));
    Ok(client.answer("reading the payment", None, call).await?.payment.unwrap_or_default())
}

async fn lines_of(client: &Client<'_>, settlement_id: &str) -> Result<Vec<pb::SettlementEntry>, Failure> {
    let listed = listing::pages(1_000, |page_size, page_token| {
        let request = pb::ListSettlementEntriesRequest {
            account: SANDBOX_ACCOUNT.to_owned(),
            page_size,
            page_token,
            settlement_id: settlement_id.to_owned(),
            ..pb::ListSettlementEntriesRequest::default()
        };
        async move {
            let mut settlements = SettlementServiceClient::new(client.channel.clone());
            let answer = client.answer("reading the lines", None, settlements.list_settlement_entries(client.request(request))).await?;
            Ok((answer.entries, answer.next_page_token))
        }
    });
    Ok(listed.await?.items)
}

async fn open_breaks(client: &Client<'_>) -> Result<usize, Failure> {
    let mut settlements = SettlementServiceClient::new(client.channel.clone());
    let request = pb::ListSettlementBreaksRequest { account: SANDBOX_ACCOUNT.to_owned(), ..pb::ListSettlementBreaksRequest::default() };
    let call = settlements.list_settlement_breaks(client.request(request));
    Ok(client.answer("reading the differences", None, call).await?.breaks.len())
}

#[cfg(test)]
mod tests {
    use super::super::super::client::ClientArgs;
    use super::super::super::console::captured::console;
    use super::super::place::Place;
    use super::super::{DEADLINE, FIRST_PAISE, is_success, order, pay};
    use super::*;
    use crate::app::{self, Options};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_part_goes_back_and_the_rest_is_settled() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = Place::new().unwrap();
        let running = app::start(place.config(), Options { drain: false, ..Options::default() }).await.unwrap();
        let simulated = running.sandbox.clone().unwrap();
        let (console, out, _) = console();
        let args = ClientArgs::inside(format!("http://{}", running.grpc), DEADLINE);
        let client = Client::connect(&args, &console).await.unwrap_or_else(|failure| panic!("{failure:?}"));

        let mut watch = Watch::begin(&client, Start::Latest(true), false);
        let (qr, _) = super::super::create(&client, &order(&fresh_key("demo"), FIRST_PAISE, "order-1")).await.unwrap();
        pay(&simulated, &qr).await.unwrap();
        let paid = watch.until("payment.succeeded", |event| is_success(event, &qr.id)).await.unwrap();
        let Some(Resource::Payment(paid)) = paid.resource else { panic!("{paid:?}") };
        let toured = tour(&client, &console, &simulated, &paid, 7).await;

        assert!(toured.is_ok(), "{toured:?}\n{}", out.text());
        for told in ["refund.succeeded", "₹379.00 is left", "settlement.processed", "payment.settled", "the two books agree"] {
            assert!(out.text().contains(told), "{told}\n{}", out.text());
        }
        assert!(running.stop().await);
    }
}
