//! A mandate's year: the payer approves once, then a debit a month is announced to him and collected by itself, at a time at
//! which UPI's rules permit it.

use std::time::Duration;

use jiff::{Timestamp, ToSpan, Zoned};
use tonic::Code;

use super::super::arguments::{from_pb, indian_time, to_pb};
use super::super::client::{Client, fresh_key};
use super::super::console::{Console, Tone};
use super::super::failure::{Failure, Report};
use super::super::qr::{rupees, state};
use super::super::table::{self, Cell};
use super::clocks::Clocks;
use super::watch::Watch;
use super::{check, described, expect, inr, say, show_paise, step, unexpected};
use crate::config::SANDBOX_ACCOUNT;
use crate::grpc::pb;
use crate::grpc::pb::event::Resource;
use crate::grpc::pb::mandate_service_client::MandateServiceClient;
use crate::grpc::pb::subscribe_request::Start;
use crate::sandbox::{DebitCourse, PayerAct, Sandbox};

const MOST_PAISE: i64 = 150_000;
const MONTHLY_PAISE: i64 = 49_900;
const MONTHS: usize = 12;
/// The month whose first attempt finds too little money, from 0.
const POOR_MONTH: usize = 4;
/// On the first of each month a debit is asked for, at a time of the day a day after which peak hours have begun.
const ASKED_AT: (i8, i8) = (10, 30);
/// What the simulated provider has under way is done in half of it: a notice delivered, a debit collected, a mandate cancelled.
const A_MINUTE: Duration = Duration::from_secs(60);
/// The columns of a month's line.
const WIDTHS: [usize; 5] = [7, 16, 16, 8, 0];

type Mandates = MandateServiceClient<tonic::transport::Channel>;

/// What the steps of the year have in common.
struct Year<'a> {
    client: &'a Client<'a>,
    console: &'a Console,
    clocks: &'a Clocks<'a>,
    watch: Watch,
}

/// The step `number`, at the first tour's account. Answers the mandate's events; those of its debits are checked here.
pub async fn tour(client: &Client<'_>, console: &Console, clocks: &Clocks<'_>, number: u32) -> Result<Vec<pb::Event>, Failure> {
    step(console, number, "A mandate's year: approved once, then debited every month")?;
    clocks.meet();
    clocks.pass_until(first_of_next_month(clocks.now()));
    let mut watch = Watch::begin(client, Start::Latest(true), false);
    watch.until_caught_up().await?;
    let mut year = Year { client, console, clocks, watch };
    let mandate = year.approved().await?;
    say(console, "a debit is asked for once a month and executed by itself; the clock of this tour runs through the year:")?;
    say(
        console,
        &line(console, ["CYCLE", "NOTIFIED (IST)", "EXECUTED (IST)", "AMOUNT", "STATE"].map(|name| Cell::toned(Some(Tone::Strong), name))),
    )?;
    for month in 0..MONTHS {
        if month > 0 {
            clocks.pass_until(first_of_next_month(clocks.now()));
        }
        year.month(&mandate, month).await?;
    }
    say(console, "each was announced a day ahead, and executed outside UPI's peak hours (10:00 to 13:00, 17:00 to 21:30)")?;
    year.summed_up(&mandate).await?;
    year.revoked(&mandate).await?;
    let events = year.watch.cut().await?.events;
    let of_it: Vec<pb::Event> = events.into_iter().filter(|event| is_of(event, &mandate.id)).collect();
    check::gapless(&of_it).map_err(|(expected, came)| unexpected(&expected, &came))?;
    say(console, &format!("all of that is in the stream: {} events of the mandate, its debits and their payments", of_it.len()))?;
    Ok(of_it.into_iter().filter(|event| event.resource_id == mandate.id).collect())
}

impl Year<'_> {
    fn mandates(&self) -> Mandates {
        MandateServiceClient::new(self.client.channel.clone())
    }

    fn provider(&self) -> &Sandbox {
        self.clocks.providers
    }

    /// A mandate that the payer approved.
    async fn approved(&mut self) -> Result<pb::Mandate, Failure> {
        let order = order(self.clocks.now());
        let mut mandates = self.mandates();
        let call = mandates.create_mandate(self.client.request(order.clone()));
        let mandate = self.client.answer("asking for a mandate", Some(&order.idempotency_key), call).await?.mandate.unwrap_or_default();
        expect("state AWAITING_APPROVAL", mandate.state() == pb::MandateState::AwaitingApproval, mandate.state().as_str_name())?;
        let about = [
            ("link", mandate.approval_link.as_str().into()),
            ("id", mandate.id.as_str().into()),
            ("state", state(mandate.state().as_str_name(), "MANDATE_STATE_")),
            ("permits", format!("a debit of at most {} a month, for three years", show_paise(MOST_PAISE)).into()),
        ];
        say(self.console, &table::block(self.console, &about.map(|(name, value): (&str, Cell)| (name.to_owned(), value))))?;

        let approved = self.provider().decide_mandate(SANDBOX_ACCOUNT, &mandate.approval_link, PayerAct::Approve).await;
        approved.map_err(|error| unexpected("the simulated provider to take the approval", &error.to_string()))?;
        let activated = |event: &pb::Event| event.r#type == "mandate.activated" && event.resource_id == mandate.id;
        let mandate = match self.watch.until("mandate.activated", activated).await?.resource {
            Some(Resource::Mandate(mandate)) => mandate,
            _ => return Err(unexpected("the mandate in its event", "something else")),
        };
        // Razorpay collects it to see that the payer's account can be debited.
        let collected =
            |event: &pb::Event| event.r#type == "payment.succeeded" && payment_of(event).is_some_and(|paid| paid.mandate_id == mandate.id);
        let collected = self.watch.until("the payment of the registration", collected).await?;
        let told = rupees(payment_of(&collected).and_then(|paid| paid.amount.as_ref()));
        say(
            self.console,
            &format!("the payer approved in his UPI app: ACTIVE. {told} was collected with the approval, a payment of the mandate"),
        )?;
        Ok(mandate)
    }

    /// A debit from the request to the money, told in a line.
    async fn month(&mut self, mandate: &pb::Mandate, month: usize) -> Result<(), Failure> {
        let order = pb::CreateDebitRequest {
            idempotency_key: fresh_key("demo"),
            mandate_id: mandate.id.clone(),
            reference: format!("month-{}", month + 1),
            amount: Some(inr(MONTHLY_PAISE)),
            description: "upistream demo".to_owned(),
            ..pb::CreateDebitRequest::default()
        };
        let mut mandates = self.mandates();
        let call = mandates.create_debit(self.client.request(order.clone()));
        let asked = self.client.answer("asking for a debit", Some(&order.idempotency_key), call).await?.debit.unwrap_or_default();
        self.clocks.pass(A_MINUTE);
        let mut debit =
            self.debit_when(&asked.id, "a debit that waits for its time", |debit| debit.state() == pb::DebitState::Scheduled).await?;
        let mut ends = vec![(DebitCourse::ByThemselves, pb::DebitState::Succeeded)];
        if month == POOR_MONTH {
            ends.insert(0, (DebitCourse::Fail { reason: "insufficient_funds".to_owned() }, pb::DebitState::Executing));
        }
        for (number, (course, wanted)) in ends.into_iter().enumerate() {
            let permitted = debit.next_permitted_time.as_ref().and_then(from_pb);
            let permitted = permitted.ok_or_else(|| unexpected("a time at which the debit is permitted", "none"))?;
            let mut switches = self.provider().current_switches();
            switches.mandates.debits = course;
            self.provider().switches(switches);
            self.clocks.pass_until(permitted);
            // The provider has to have it before more time passes there.
            self.debit_when(&asked.id, "an attempt that the provider took", |debit| debit.attempts.len() > number && !debit.in_doubt)
                .await?;
            self.clocks.pass(A_MINUTE);
            let ended = |debit: &pb::Debit| {
                debit.state() == wanted && debit.attempts.get(number).is_some_and(|attempt| attempt.end_time.is_some()) && !debit.in_doubt
            };
            debit = self.debit_when(&asked.id, "how the attempt ended", ended).await?;
        }
        self.check_month(&debit, if month == POOR_MONTH { 2 } else { 1 })?;
        self.tell_month(&debit)
    }

    fn check_month(&self, debit: &pb::Debit, attempts: usize) -> Result<(), Failure> {
        expect(&format!("{attempts} attempts"), debit.attempts.len() == attempts, &debit.attempts.len().to_string())?;
        let failed = debit.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
        let mut failed = failed.filter(|failure| failure.reason() != pb::FailureReason::InsufficientFunds);
        expect("no other failure than INSUFFICIENT_FUNDS", failed.next().is_none(), "another one")?;
        let delivered = debit.notify_deliver_time.as_ref().and_then(from_pb);
        let begun = debit.attempts.first().and_then(|attempt| attempt.start_time.as_ref()).and_then(from_pb);
        let hours = delivered.zip(begun).map_or(0, |(delivered, begun)| begun.duration_since(delivered).as_hours());
        expect("the payer notified 24 hours before", hours >= 24, &format!("{hours} hours"))
    }

    fn tell_month(&self, debit: &pb::Debit) -> Result<(), Failure> {
        let at = |time: Option<&prost_types::Timestamp>| time.and_then(from_pb).map(in_minutes).unwrap_or_default();
        let executed = debit.attempts.last().and_then(|attempt| attempt.start_time.as_ref());
        let Cell { mut text, tone } = state(debit.state().as_str_name(), "DEBIT_STATE_");
        if let [first, _, ..] = debit.attempts.as_slice() {
            let why = first.failure.as_ref().map_or("", |failure| failure.reason().as_str_name().trim_start_matches("FAILURE_REASON_"));
            text += &format!(" at attempt {}; the first, {}: {why}", debit.attempts.len(), at(first.start_time.as_ref()));
        }
        let cells = [
            debit.cycle.as_str().into(),
            at(debit.notify_deliver_time.as_ref()).into(),
            at(executed).into(),
            rupees(debit.amount.as_ref()).into(),
            Cell::toned(tone, text),
        ];
        say(self.console, &line(self.console, cells))
    }

    /// What the mandate's own sums say, and the provider's books.
    async fn summed_up(&self, mandate: &pb::Mandate) -> Result<(), Failure> {
        let mut mandates = self.mandates();
        let call = mandates.get_mandate(self.client.request(pb::GetMandateRequest { id: mandate.id.clone() }));
        let now = self.client.answer("reading the mandate", None, call).await?.mandate.unwrap_or_default();
        let wanted = (i64::try_from(MONTHS).unwrap_or(0), MONTHLY_PAISE * i64::try_from(MONTHS).unwrap_or(0));
        let sums = (now.debit_count, now.amount_debited.as_ref().map_or(0, |sum| sum.minor_units));
        let (count, sum) = (sums.0, show_paise(sums.1));
        expect(&format!("{} debits, {}", wanted.0, show_paise(wanted.1)), sums == wanted, &format!("{count}, {sum}"))?;
        let books = self.provider().payments(SANDBOX_ACCOUNT);
        let books = books.map_err(|error| unexpected("the simulated provider's books", &error.to_string()))?;
        let collected: Vec<i64> = books
            .iter()
            .filter(|paid| paid["token_id"] == mandate.provider_ref.as_str() && paid["status"] == "captured")
            // The one of the registration is no debit.
            .filter_map(|paid| paid["amount"].as_i64().filter(|amount| *amount == MONTHLY_PAISE))
            .collect();
        expect("as many by the provider's books", collected.len() == MONTHS, &collected.len().to_string())?;
        say(self.console, &format!("debit_count {count}, amount_debited {sum}; the provider's books have the same, each month once"))
    }

    /// It ends, and permits nothing any more.
    async fn revoked(&mut self, mandate: &pb::Mandate) -> Result<(), Failure> {
        let key = fresh_key("demo");
        let request = pb::RevokeMandateRequest { idempotency_key: key.clone(), id: mandate.id.clone() };
        let mut mandates = self.mandates();
        let call = mandates.revoke_mandate(self.client.request(request));
        self.client.answer("revoking the mandate", Some(&key), call).await?;
        self.clocks.pass(A_MINUTE);
        self.watch.until("mandate.revoked", |event| event.r#type == "mandate.revoked" && event.resource_id == mandate.id).await?;
        let order = pb::CreateDebitRequest {
            idempotency_key: fresh_key("demo"),
            mandate_id: mandate.id.clone(),
            amount: Some(inr(MONTHLY_PAISE)),
            ..pb::CreateDebitRequest::default()
        };
        let status = match self.mandates().create_debit(self.client.request(order.clone())).await {
            Ok(_) => return Err(unexpected("STATE_FORBIDS", "an answer")),
            Err(status) => status,
        };
        let Report { reason, .. } = Report::of_status(&status, &self.client.asked(Some(&order.idempotency_key)));
        let as_expected = status.code() == Code::FailedPrecondition && reason.as_deref() == Some("STATE_FORBIDS");
        expect("FAILED_PRECONDITION STATE_FORBIDS", as_expected, &described(&status))?;
        say(self.console, "revoked: one more debit is refused, STATE_FORBIDS")
    }

    async fn debit_when(&mut self, id: &str, what: &str, wanted: impl Fn(&pb::Debit) -> bool) -> Result<pb::Debit, Failure> {
        let is_it = |event: &pb::Event| matches!(&event.resource, Some(Resource::Debit(debit)) if debit.id == id && wanted(debit));
        match self.watch.until(what, is_it).await?.resource {
            Some(Resource::Debit(debit)) => Ok(debit),
            _ => Err(unexpected("the debit in its event", "something else")),
        }
    }
}

/// What a caller asks for: a monthly mandate that is good for longer than the tour.
fn order(now: Timestamp) -> pb::CreateMandateRequest {
    let until = now.to_zoned(indian_time()).saturating_add(3.years()).timestamp();
    pb::CreateMandateRequest {
        idempotency_key: fresh_key("demo"),
        account: SANDBOX_ACCOUNT.to_owned(),
        reference: "member-1".to_owned(),
        max_amount: Some(inr(MOST_PAISE)),
        amount_rule: pb::MandateAmountRule::Max.into(),
        frequency: pb::MandateFrequency::Monthly.into(),
        debit_day: Some(1),
        debit_day_rule: pb::MandateDebitDayRule::After.into(),
        valid_until: Some(to_pb(until)),
        payer_name: "Asha Rao".to_owned(),
        payer_phone: "+919876500001".to_owned(),
        payer_email: "asha.rao@example.com".to_owned(),
        name: "Gold plan".to_owned(),
        description: "upistream demo".to_owned(),
        ..pb::CreateMandateRequest::default()
    }
}

/// When the debit of the next month is asked for.
fn first_of_next_month(now: Timestamp) -> Timestamp {
    let (hour, minute) = ASKED_AT;
    let this = now.to_zoned(indian_time());
    let first =
        |month: Zoned| month.date().first_of_month().at(hour, minute, 0, 0).to_zoned(indian_time()).map_or(now, |time| time.timestamp());
    first(this.saturating_add(1.months()))
}

fn payment_of(event: &pb::Event) -> Option<&pb::Payment> {
    match &event.resource {
        Some(Resource::Payment(payment)) => Some(payment),
        _ => None,
    }
}

/// Whether it is about the mandate, a debit of it, or a payment of those.
fn is_of(event: &pb::Event, mandate_id: &str) -> bool {
    match &event.resource {
        Some(Resource::Mandate(mandate)) => mandate.id == mandate_id,
        Some(Resource::Debit(debit)) => debit.mandate_id == mandate_id,
        Some(Resource::Payment(payment)) => payment.mandate_id == mandate_id,
        _ => false,
    }
}

fn in_minutes(time: Timestamp) -> String {
    time.to_zoned(indian_time()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// A line of the table, which is told month by month.
fn line(console: &Console, cells: [Cell; 5]) -> String {
    let cells: Vec<String> = cells.iter().zip(WIDTHS).map(|(cell, width)| cell.padded(console, width, false)).collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::client::ClientArgs;
    use super::super::super::console::captured::console;
    use super::super::DEADLINE;
    use super::super::place::Place;
    use super::*;
    use crate::app::{self, Options};
    use crate::clock::TestClock;

    #[tokio::test(flavor = "multi_thread")]
    async fn twelve_months_are_collected_and_one_of_them_at_the_second_attempt() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = Place::new().unwrap();
        let clock = Arc::new(TestClock::default());
        let options = Options { drain: false, clock: clock.clone(), ..Options::default() };
        let running = app::start(place.config(), options).await.unwrap();
        let simulated = running.sandbox.clone().unwrap();
        let (console, out, _) = console();
        let args = ClientArgs::inside(format!("http://{}", running.grpc), DEADLINE);
        let client = Client::connect(&args, &console).await.unwrap_or_else(|failure| panic!("{failure:?}"));

        let toured = tour(&client, &console, &Clocks { service: &clock, providers: &simulated }, 9).await;
        assert!(toured.is_ok(), "{toured:?}\n{}", out.text());
        let months = out.text().lines().filter(|line| line.contains("SUCCEEDED")).count();
        assert_eq!(months, MONTHS, "{}", out.text());
        for told in ["INSUFFICIENT_FUNDS", "₹1.00 was collected", "debit_count 12, amount_debited ₹5,988.00", "STATE_FORBIDS"] {
            assert!(out.text().contains(told), "{told}\n{}", out.text());
        }
        assert!(running.stop().await);
    }

    #[test]
    fn a_debit_is_asked_for_on_the_first_of_the_next_month() {
        let check = |now: &str, expected: &str| {
            let at = |text: &str| text.parse::<Timestamp>().unwrap();
            assert_eq!(first_of_next_month(at(now)), at(expected), "{now}");
        };
        check("2026-01-31T23:00:00+05:30", "2026-02-01T10:30:00+05:30");
        check("2026-01-01T00:00:00+05:30", "2026-02-01T10:30:00+05:30");
        check("2026-12-02T13:01:00+05:30", "2027-01-01T10:30:00+05:30");
        // In India it is the next month already.
        check("2026-01-31T20:00:00Z", "2026-03-01T10:30:00+05:30");
    }
}
