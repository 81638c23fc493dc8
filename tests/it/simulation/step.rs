//! What can happen next.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_types::StatusExt;
use upistream::clock::{Clock, after};
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::sandbox::{Fault, FaultKind, Outcome, PayOptions, WebhookFault, WebhookFaultKind};

use super::world::{CALL_TIMEOUT_MS, World, has_code};
use crate::support::app::{ACCOUNT, order};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// How long a caller waits: some have left before the provider answers.
const DEADLINES_MS: &[u64] = &[100, 300, 600, 1_500];

/// Longer than any call to the provider.
const PATIENT: Duration = Duration::from_secs(5);

/// A request, as it can be made again.
#[derive(Clone, Debug)]
pub enum Request {
    Create(Box<pb::CreateQrRequest>),
    Close(pb::CloseQrRequest),
}

impl Request {
    fn key(&self) -> &str {
        match self {
            Request::Create(request) => &request.idempotency_key,
            Request::Close(request) => &request.idempotency_key,
        }
    }

    async fn make(&self, channel: Channel, deadline: Duration) -> Result<pb::Qr, Status> {
        let mut client = QrServiceClient::new(channel);
        let answer = match self {
            Request::Create(request) => {
                client.create_qr(until(request.as_ref(), deadline)).await.map(Response::into_inner).map(|answer| answer.qr)
            }
            Request::Close(request) => client.close_qr(until(request, deadline)).await.map(Response::into_inner).map(|answer| answer.qr),
        };
        answer.map(|qr| qr.expect("the answer has the code"))
    }
}

fn until<T: Clone>(request: &T, deadline: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(request.clone());
    request.set_timeout(deadline);
    request
}

impl World {
    pub async fn take_a_step(&mut self) {
        match self.dice.random_range(0..100) {
            0..28 => self.ask(false).await,
            28..35 => self.ask(true).await,
            35..38 => self.ask_slowly().await,
            38..60 => self.pay().await,
            60..68 => self.decide_late().await,
            68..75 => self.questions_fail(),
            75..84 => self.webhooks_fail(),
            84..87 => self.release(),
            87..98 => self.time_passes().await,
            _ => self.die().await,
        }
    }

    /// One to three callers ask at once, perhaps for the same, and perhaps with bad luck on the way; perhaps the service
    /// dies in the middle.
    async fn ask(&mut self, deadly: bool) {
        let callers = self.dice.random_range(1..=3);
        let mut requests: Vec<Request> = (0..callers).map(|_| self.request()).collect();
        if self.dice.random_bool(0.3) {
            let same = requests[0].clone();
            requests.push(same);
        }
        let bad_luck = if self.dice.random_bool(0.6) { Some(self.bad_luck()) } else { None };
        self.tell(format!(
            "ask {:?} with {bad_luck:?}{}",
            requests.iter().map(Request::key).collect::<Vec<_>>(),
            if deadly { ", deadly" } else { "" }
        ));
        for operation in ["qr.create", "qr.close"] {
            if let Some((kind, times)) = bad_luck.clone() {
                self.provider.fault(Fault { times, ..Fault::on(operation, kind) }).expect("there is room for a fault");
            }
        }
        let mut answers = JoinSet::new();
        for request in requests {
            let deadline = Duration::from_millis(*DEADLINES_MS.choose(&mut self.dice).expect("there are some"));
            let channel = self.app().channel.clone();
            answers.spawn(async move { (request.make(channel, deadline).await, request) });
        }
        if deadly {
            let moment = Duration::from_micros(self.dice.random_range(0..30_000));
            tokio::time::sleep(moment).await;
            self.kill().await;
            self.start().await;
        }
        while let Some(answered) = answers.join_next().await {
            let (answer, request) = answered.expect("nobody panics");
            self.hear(&request, answer);
        }
    }

    /// A request that travels so long that nobody waits for its answer, and that the provider acts on all the same.
    async fn ask_slowly(&mut self) {
        let key = format!("key-{}", self.asked.len());
        let request = Request::Create(Box::new(self.order(&key)));
        self.asked.push(request.clone());
        let ms = self.dice.random_range(CALL_TIMEOUT_MS + 50..3 * CALL_TIMEOUT_MS);
        self.tell(format!("ask [{key}], on its way for {ms} ms"));
        // Nothing else must befall it first.
        self.provider.clear_faults();
        self.keep_deaf();
        self.provider.fault(Fault::on("qr.create", FaultKind::ActLate { ms })).expect("there is room for a fault");
        let answer = request.make(self.app().channel.clone(), PATIENT).await;
        match &answer {
            Ok(_) => self.travelling.push(key),
            // It is not on its way: calls are held back.
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().expect("an error of ours says why");
                let why = (info.reason.as_str(), info.metadata["outcome"].as_str());
                assert_eq!(why, ("PROVIDER_UNAVAILABLE", "NOT_SENT"), "whoever waits long enough is told that it is not known");
                assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
                self.provider.clear_faults();
                self.keep_deaf();
            }
        }
        self.hear(&request, answer);
    }

    fn hear(&mut self, request: &Request, answer: Result<pb::Qr, Status>) {
        match answer {
            Ok(qr) => {
                self.tell(format!("  {}: {} is {:?} at revision {}", request.key(), qr.id, qr.state(), qr.revision));
                self.known.insert(qr.id);
            }
            // Made by the client's library: the service died, or the time was over.
            Err(status) if status.details().is_empty() => self.tell(format!("  {}: no answer", request.key())),
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().expect("an error of ours says why");
                self.tell(format!("  {}: {} {}", request.key(), info.reason, info.metadata["outcome"]));
                assert!(info.reason != "INTERNAL", "{status:?}");
                let first = self.asked.iter().filter(|asked| asked.key() == request.key()).count() == 1;
                if let Request::Create(create) = request
                    && info.metadata["outcome"] == "NOT_SENT"
                    && first
                {
                    assert!(!has_code(&self.provider, &create.idempotency_key), "told {}, but there is a code", info.reason);
                }
            }
        }
    }

    /// A new request, or one that was made before.
    fn request(&mut self) -> Request {
        if self.dice.random_bool(0.25)
            && let Some(asked) = self.asked.choose(&mut self.dice).cloned()
        {
            self.asked.push(asked.clone());
            return asked;
        }
        let key = format!("key-{}", self.asked.len());
        let known: Vec<&String> = self.known.iter().collect();
        let request = match known.choose(&mut self.dice) {
            Some(id) if self.dice.random_bool(0.3) => Request::Close(pb::CloseQrRequest { idempotency_key: key, id: (*id).clone() }),
            _ => Request::Create(Box::new(self.order(&key))),
        };
        self.asked.push(request.clone());
        request
    }

    fn order(&mut self, key: &str) -> pb::CreateQrRequest {
        let mut order = order(key, self.dice.random_range(1..=1_000_000));
        key.clone_into(&mut order.reference);
        order.notes = [("key".to_owned(), key.to_owned())].into();
        if self.dice.random_bool(0.3) {
            order.usage = pb::QrUsage::MultipleUse.into();
            order.amount = order.amount.filter(|_| self.dice.random_bool(0.5));
        } else if self.dice.random_bool(0.3) {
            let end = after(self.clock.now(), MINUTE * self.dice.random_range(20..=100));
            order.expire_time = Some(prost_types::Timestamp { seconds: end.as_second(), nanos: 0 });
        }
        order
    }

    /// What befalls the next calls that act.
    fn bad_luck(&mut self) -> (FaultKind, u32) {
        let status = *[500, 502, 503, 504].choose(&mut self.dice).expect("there are some");
        let kinds = [
            FaultKind::RequestLost,
            FaultKind::AnswerLost,
            FaultKind::AnswerLost,
            FaultKind::Stall,
            FaultKind::Delay { ms: self.dice.random_range(10..2 * CALL_TIMEOUT_MS) },
            FaultKind::StatusBefore { status },
            FaultKind::StatusAfter { status },
            FaultKind::TooManyRequests { retry_after: None },
            FaultKind::Garbage,
        ];
        (kinds.choose(&mut self.dice).expect("there are some").clone(), self.dice.random_range(1..=3))
    }

    async fn pay(&mut self) {
        // Rather one of the last: it is the open ones that are paid.
        let codes = self.provider.qr_codes(ACCOUNT).expect("the sandbox knows the account");
        let recent = &codes[..codes.len().min(8)];
        let Some(code) = recent.choose(&mut self.dice) else { return };
        let id = code["id"].as_str().expect("a code has an id").to_owned();
        let asked = code["payment_amount"].as_i64();
        let amount = if asked.is_none() || self.dice.random_bool(0.15) { Some(self.dice.random_range(1..=500_000)) } else { None };
        let outcome = match self.dice.random_range(0..10) {
            0..6 => Outcome::Captured,
            6 => Outcome::Authorized,
            7 => Outcome::Failed,
            _ => Outcome::Pending,
        };
        let paying = PayOptions { amount, outcome, any_amount: true, ..PayOptions::default() };
        match self.provider.pay_qr(ACCOUNT, &id, paying).await {
            Ok(payment) => {
                self.tell(format!("pay {id} ({}): {payment} {outcome:?} {amount:?}", code["notes"]["key"]));
                self.paid.insert(payment, id);
            }
            Err(refused) => self.tell(format!("pay {id}: {refused}")),
        }
    }

    /// The bank or the merchant decides about a payment that waits or failed.
    async fn decide_late(&mut self) {
        let payments: Vec<String> = self.paid.keys().cloned().collect();
        let Some(payment) = payments.choose(&mut self.dice).cloned() else { return };
        let (what, decided) = match self.dice.random_range(0..3) {
            0 => ("authorized late", self.provider.authorize_late(ACCOUNT, &payment).await),
            1 => ("failed", self.provider.fail_payment(ACCOUNT, &payment).await),
            _ => ("captured", self.provider.capture(ACCOUNT, &payment).await),
        };
        self.tell(format!("{payment} {what}: {decided:?}"));
    }

    /// The reconciler's next questions go wrong.
    fn questions_fail(&mut self) {
        let operation = *["qr.list", "qr.fetch", "qr.payments", "payment.fetch"].choose(&mut self.dice).expect("there are some");
        let (kind, _) = self.bad_luck();
        let times = self.dice.random_range(1..=5);
        self.tell(format!("{operation}: {kind:?} {times} times"));
        self.provider.fault(Fault { times, ..Fault::on(operation, kind) }).expect("there is room for a fault");
    }

    fn webhooks_fail(&mut self) {
        let kinds = [
            WebhookFaultKind::Drop,
            WebhookFaultKind::Drop,
            WebhookFaultKind::Duplicate,
            WebhookFaultKind::Delay { ms: self.dice.random_range(1_000..3_600_000) },
            WebhookFaultKind::Reverse,
            WebhookFaultKind::Forge,
            WebhookFaultKind::Hold,
        ];
        let kind = kinds.choose(&mut self.dice).expect("there are some").clone();
        let event = *["*", "qr_code.credited", "payment.captured", "qr_code.closed"].choose(&mut self.dice).expect("there are some");
        let times = self.dice.random_range(1..=8);
        self.tell(format!("webhooks {event}: {kind:?} {times} times"));
        self.provider.webhook_fault(WebhookFault { times, ..WebhookFault::on(event, kind) }).expect("there is room for a fault");
    }

    fn release(&mut self) {
        self.tell("held webhooks leave");
        self.provider.release_webhooks();
        self.lists_lag();
    }

    /// From now on lists and searches don't show what is younger than this.
    pub fn lists_lag(&mut self) {
        let lag_s = *[0, 0, 60, 600].choose(&mut self.dice).expect("there are some");
        self.tell(format!("lists lag by {lag_s} s"));
        self.provider.set_list_lag(lag_s);
    }

    /// In some stories no callback ever comes: what is learned is learned by asking.
    pub fn keep_deaf(&mut self) {
        if self.is_deaf {
            let lost = WebhookFault { times: u32::MAX, ..WebhookFault::on("*", WebhookFaultKind::Drop) };
            self.provider.webhook_fault(lost).expect("there is room for a fault");
        }
    }

    async fn time_passes(&mut self) {
        let spans = [Duration::from_secs(2), Duration::from_secs(20), 2 * MINUTE, 12 * MINUTE, 30 * MINUTE, 3 * HOUR, 20 * HOUR];
        let span = *spans.choose(&mut self.dice).expect("there are some");
        self.tell(format!("{span:?} pass"));
        self.pass(span).await;
    }

    async fn die(&mut self) {
        self.tell("the service dies");
        self.kill().await;
        self.start().await;
    }
}
