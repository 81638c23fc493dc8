//! Mandates (UPI Autopay) as a caller meets them: asked for, approved, paused, revoked, over; and their debits.

use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use tonic::Status;
use upistream::clock::Clock as _;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, MandateSwitches, PayerAct, Sandbox};

use crate::support::app::{ACCOUNT, App, PATIENCE, Told, check_revisions, until};

mod debits;
mod doubt;
mod life;
mod rules;
mod year;

/// How long a worker that was idle may take to see that something is due.
const A_MOMENT: Duration = Duration::from_millis(1_200);
const STEPS_MAX: u32 = 60;

/// The greatest amount of the stories' mandates.
pub const MAX: i64 = 150_000;

pub fn money(paise: i64) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: paise }
}

pub fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

pub fn instant(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

/// India's time.
pub fn india(time: Timestamp) -> Zoned {
    time.to_zoned(TimeZone::fixed(Offset::from_seconds(5 * 3_600 + 1_800).expect("an offset")))
}

/// A monthly mandate over at most [`MAX`], good for three years.
pub fn mandate_order(app: &App, key: &str) -> pb::CreateMandateRequest {
    let until = app.clock.now().to_zoned(TimeZone::UTC).checked_add(3.years()).expect("a time of our days").timestamp();
    pb::CreateMandateRequest {
        idempotency_key: key.to_owned(),
        account: ACCOUNT.to_owned(),
        reference: format!("ref-{key}"),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        max_amount: Some(money(MAX)),
        amount_rule: pb::MandateAmountRule::Max.into(),
        frequency: pb::MandateFrequency::Monthly.into(),
        debit_day: Some(1),
        debit_day_rule: pb::MandateDebitDayRule::After.into(),
        valid_until: Some(stamp(until)),
        payer_name: "Asha Rao".to_owned(),
        payer_phone: "+919000000001".to_owned(),
        payer_email: "asha.rao@example.com".to_owned(),
        name: "Gold plan".to_owned(),
        ..Default::default()
    }
}

pub fn debit_order(key: &str, mandate: &pb::Mandate, paise: i64) -> pb::CreateDebitRequest {
    pb::CreateDebitRequest {
        idempotency_key: key.to_owned(),
        mandate_id: mandate.id.clone(),
        reference: format!("ref-{key}"),
        amount: Some(money(paise)),
        ..Default::default()
    }
}

pub fn execute_order(key: &str, debit: &pb::Debit) -> pb::ExecuteDebitRequest {
    pb::ExecuteDebitRequest { idempotency_key: key.to_owned(), id: debit.id.clone() }
}

/// How mandates go on by themselves at the simulated provider.
pub fn switched(provider: &Sandbox, change: impl FnOnce(&mut MandateSwitches)) {
    let mut switches = provider.current_switches();
    change(&mut switches.mandates);
    provider.switches(switches);
}

impl App {
    pub fn mandates(&self) -> pb::mandate_service_client::MandateServiceClient<tonic::transport::Channel> {
        pb::mandate_service_client::MandateServiceClient::new(self.channel.clone())
    }

    /// Time passes until it is `time`, here and at the provider.
    pub fn advance_to(&self, time: Timestamp) {
        let by = time.duration_since(self.clock.now());
        self.advance(Duration::try_from(by).unwrap_or_default());
    }

    /// Time passes step by step until `look` has an answer. What is due at a time may take a moment to be done.
    pub async fn passing<T>(&self, by: Duration, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..STEPS_MAX {
            let end = tokio::time::Instant::now() + A_MOMENT;
            while tokio::time::Instant::now() < end {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.advance(by);
        }
        panic!("time passed in vain for {what}")
    }

    /// Time passes until the next time at which it is this day of the month and hour in India.
    pub fn advance_to_day(&self, day: i8, hour: i8, minute: i8) {
        let now = india(self.clock.now());
        let mut then = now.with().day(day).hour(hour).minute(minute).second(0).subsec_nanosecond(0).build().expect("a day of any month");
        if then <= now {
            then = then.checked_add(1.month()).expect("a time of our days");
        }
        self.advance_to(then.timestamp());
    }

    /// A mandate that was asked for, and waits for its payer.
    pub async fn mandate(&self, request: pb::CreateMandateRequest) -> pb::Mandate {
        let created = self.mandates().create_mandate(request).await.expect("the mandate is asked for").into_inner();
        created.mandate.expect("the answer has the mandate")
    }

    /// A mandate whose payer approved it.
    pub async fn approved(&self, request: pb::CreateMandateRequest) -> pb::Mandate {
        let mandate = self.mandate(request).await;
        self.approve(&mandate).await
    }

    /// The payer approves.
    pub async fn approve(&self, mandate: &pb::Mandate) -> pb::Mandate {
        self.payer(&mandate.approval_link, PayerAct::Approve).await;
        self.mandate_until(&mandate.id, pb::MandateState::Active).await
    }

    /// What the payer does; `mandate`: the provider's id of it, or its link.
    pub async fn payer(&self, mandate: &str, act: PayerAct) {
        self.provider.decide_mandate(ACCOUNT, mandate, act).await.expect("the payer can do that");
    }

    pub async fn get_mandate(&self, id: &str) -> pb::Mandate {
        let request = pb::GetMandateRequest { id: id.to_owned() };
        self.mandates().get_mandate(request).await.expect("the mandate is there").into_inner().mandate.expect("the answer has it")
    }

    pub async fn mandate_until(&self, id: &str, state: pb::MandateState) -> pb::Mandate {
        until(&format!("a mandate that is {state:?}"), async || Some(self.get_mandate(id).await).filter(|mandate| mandate.state() == state))
            .await
    }

    pub async fn create_debit(&self, request: pb::CreateDebitRequest) -> Result<pb::CreateDebitResponse, Status> {
        self.mandates().create_debit(request).await.map(tonic::Response::into_inner)
    }

    /// A debit that was asked for.
    pub async fn debit(&self, request: pb::CreateDebitRequest) -> pb::Debit {
        self.create_debit(request).await.expect("the debit is asked for").debit.expect("the answer has the debit")
    }

    /// A debit of which the payer is notified.
    pub async fn announced(&self, request: pb::CreateDebitRequest) -> pb::Debit {
        let state = if request.auto_execute == Some(false) { pb::DebitState::Notified } else { pb::DebitState::Scheduled };
        let debit = self.debit(request).await;
        self.advance(Duration::from_secs(60));
        self.debit_until(&debit.id, state).await
    }

    pub async fn get_debit(&self, id: &str) -> pb::Debit {
        let request = pb::GetDebitRequest { id: id.to_owned() };
        self.mandates().get_debit(request).await.expect("the debit is there").into_inner().debit.expect("the answer has it")
    }

    pub async fn debit_until(&self, id: &str, state: pb::DebitState) -> pb::Debit {
        self.debit_when(id, &format!("a debit that is {state:?}"), |debit| debit.state() == state).await
    }

    pub async fn debit_when(&self, id: &str, what: &str, wanted: impl Fn(&pb::Debit) -> bool) -> pb::Debit {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let debit = self.get_debit(id).await;
            if wanted(&debit) {
                return debit;
            }
            assert!(tokio::time::Instant::now() < end, "waited in vain for {what}, at {}: {debit:?}", self.clock.now());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn execute_debit(&self, request: pb::ExecuteDebitRequest) -> Result<pb::Debit, Status> {
        let executed = self.mandates().execute_debit(request).await?.into_inner();
        Ok(executed.debit.expect("the answer has the debit"))
    }

    /// Waits until the debit has so many attempts, and the provider has taken the last one.
    pub async fn attempted(&self, id: &str, count: usize) -> pb::Debit {
        self.debit_when(id, "an attempt that is taken", |debit| debit.attempts.len() == count && !debit.in_doubt).await
    }

    /// Time passes until the debit may be executed, and it is.
    pub async fn collected(&self, debit: &pb::Debit) -> pb::Debit {
        self.advance_to(instant(debit.next_permitted_time.as_ref()).expect("it is told when"));
        self.attempted(&debit.id, debit.attempts.len() + 1).await;
        self.advance(Duration::from_secs(60));
        self.debit_until(&debit.id, pb::DebitState::Succeeded).await
    }

    pub async fn debits_of(&self, mandate: &pb::Mandate) -> Vec<pb::Debit> {
        let request = pb::ListDebitsRequest { account: mandate.account.clone(), mandate_id: mandate.id.clone(), ..Default::default() };
        self.mandates().list_debits(request).await.expect("debits are listed").into_inner().debits
    }

    /// The payments of a debit, newest first.
    pub async fn payments_of_debit(&self, debit: &pb::Debit) -> Vec<pb::Payment> {
        let request = pb::ListPaymentsRequest { account: debit.account.clone(), debit_id: debit.id.clone(), ..Default::default() };
        self.payments().list_payments(request).await.expect("payments are listed").into_inner().payments
    }

    /// What the provider collected by debits of a mandate: its captured payments, without that of the registration.
    pub fn collected_at_provider(&self, mandate: &pb::Mandate) -> Vec<i64> {
        let payments = self.provider.payments(ACCOUNT).expect("the sandbox knows the account");
        let of_mandate = payments.iter().filter(|payment| payment["token_id"].as_str() == Some(mandate.provider_ref.as_str()));
        let captured = of_mandate.filter(|payment| payment["status"] == "captured" && payment["recurring"] != "initial");
        captured.filter_map(|payment| payment["amount"].as_i64()).filter(|amount| *amount != 100).collect()
    }

    /// The next call of `operation` is answered, and the answer is lost.
    pub fn lose_answer(&self, operation: &str) {
        self.fault(operation, FaultKind::AnswerLost);
    }
}

/// What a rule's refusal says: its name, and from when on it would be permitted.
pub fn forbidden(told: &Told) -> (&str, Option<Timestamp>) {
    assert_eq!(told.reason, "RULE_FORBIDS", "{told:?}");
    assert_eq!(told.outcome(), "NOT_SENT", "{told:?}");
    let next = told.metadata.get("next_permitted_time").map(|time| time.parse().expect("a time by RFC 3339"));
    (told.metadata["rule"].as_str(), next)
}

/// The events' types of one resource, oldest first.
pub async fn told_of(app: &App, id: &str) -> Vec<String> {
    let log = app.log().await;
    check_revisions(&log);
    log.into_iter().filter(|event| event.resource_id == id).map(|event| event.r#type).collect()
}

/// Whether it is one of UPI's peak hours.
pub fn is_peak(time: Timestamp) -> bool {
    let time = india(time);
    let minute = i32::from(time.hour()) * 60 + i32::from(time.minute());
    (600..780).contains(&minute) || (1_020..1_290).contains(&minute)
}
