//! Callbacks on their way out: signed once when their event happens, then sent until somebody takes them or
//! the schedule is through. Every redelivery has the same bytes, event id and signature. This file
//! is the queue alone; `delivery.rs` does the sending.

use std::collections::{BTreeMap, HashSet, VecDeque};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Simulated;
use super::clock::DAY_MS;
use super::dice::Dice;
use super::faults::{WebhookFaultKind, WebhookFaults};

/// Events that wait. Past it new ones are dropped, and the list of deliveries says so.
const PENDING_MAX: usize = 20_000;
/// Deliveries that are remembered; each holds a body of about a kilobyte.
const DELIVERIES_MAX: usize = 5_000;
/// Sends at the same time, so that a slow receiver doesn't collect sockets without end.
const IN_FLIGHT_MAX: usize = 64;

/// What the providers that say nothing of retries are given: a few within an hour.
pub const A_FEW_RETRIES_MS: [u64; 5] = [10_000, 60_000, 300_000, 900_000, 3_600_000];

/// When a provider sends again what was not taken.
pub struct Schedule<'a> {
    /// Milliseconds from the first delivery to each redelivery.
    pub retries_ms: &'a [u64],
    /// Which of them is the first for an event, after what came of its first delivery.
    pub first: fn(event: &str, status: DeliveryStatus) -> usize,
}

/// Something that happened, ready to be told.
pub struct News {
    pub event: &'static str,
    pub body: String,
    pub content_type: &'static str,
    /// Where the provider was told to send this; none is the account's URL.
    pub url: Option<String>,
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub account: String,
    pub event: String,
    pub event_id: String,
    /// From 1.
    pub attempt: u32,
    pub status: DeliveryStatus,
    /// Milliseconds since 1970 on the sandbox's clock.
    pub at: i64,
    pub body: String,
    /// Empty where nothing is signed.
    pub signature: String,
    /// It tells of something that never happened, or pretends to come from somebody else.
    #[serde(default)]
    pub forged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Answered(u16),
    /// Answered with a status of success, but not with the words that this provider waits for.
    NotAccepted(u16),
    TimedOut,
    Unreachable,
    /// Never sent: a fault, no URL, or too many waiting.
    Dropped,
}

impl DeliveryStatus {
    pub fn is_success(self) -> bool {
        matches!(self, Self::Answered(200..=299))
    }
}

/// What `delivery.rs` needs for one attempt.
#[derive(Clone)]
pub struct Sending {
    pub ticket: u64,
    pub provider: Simulated,
    pub account: String,
    pub url: Option<String>,
    pub event_id: String,
    pub content_type: String,
    pub body: String,
    pub signature: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pending {
    #[serde(default)]
    provider: Simulated,
    account: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default = "json")]
    content_type: String,
    event: String,
    event_id: String,
    body: String,
    signature: String,
    created_ms: i64,
    first_ms: Option<i64>,
    attempts: u32,
    /// Index into the schedule of the next redelivery.
    retry: usize,
    due_ms: i64,
    held: bool,
    /// A forgery gets one attempt.
    forged: bool,
    /// Not before this one had its first attempt.
    after: Option<u64>,
}

/// How the events of one happening leave.
pub struct Manner<'a> {
    pub provider: Simulated,
    pub account: &'a str,
    /// None, or an empty one, signs nothing.
    pub secret: Option<&'a SecretString>,
    pub now_ms: i64,
    pub spread_ms: u64,
    pub strict_order: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    next_ticket: u64,
    pending: BTreeMap<u64, Pending>,
    deliveries: VecDeque<Delivery>,
    #[serde(skip)]
    in_flight: HashSet<u64>,
    #[serde(skip)]
    pub faults: WebhookFaults,
}

impl Queue {
    /// Takes the events of one happening, in the order they happened.
    pub fn push(&mut self, mut news: Vec<News>, manner: &Manner<'_>, dice: &mut Dice) {
        let reversed = news.len() > 1 && self.faults.take_reverse(manner.account);
        if reversed {
            news.reverse();
        }
        let mut previous = None;
        for news in news {
            let spread_ms = if reversed || manner.strict_order { 0 } else { dice.below(manner.spread_ms + 1) };
            let after = match manner.strict_order {
                true => self.last_unsent(manner.account),
                false => previous.filter(|_| reversed),
            };
            let mut pending = Pending { after, ..pending(news, manner, dice) };
            pending.due_ms = pending.due_ms.saturating_add(i64::try_from(spread_ms).unwrap_or(DAY_MS));
            previous = self.admit(pending);
        }
    }

    /// Takes what never happened: it goes out at once, whatever faults wait.
    pub fn push_forged(&mut self, news: News, manner: &Manner<'_>, dice: &mut Dice) {
        let mut pending = pending(news, manner, dice);
        pending.forge();
        self.insert(pending);
    }

    fn admit(&mut self, mut pending: Pending) -> Option<u64> {
        match self.faults.take(&pending.account, &pending.event) {
            Some(WebhookFaultKind::Drop) => {
                self.record(&pending, DeliveryStatus::Dropped, pending.created_ms);
                return None;
            }
            Some(WebhookFaultKind::Duplicate) => {
                self.insert(pending.clone());
            }
            Some(WebhookFaultKind::Delay { ms }) => {
                pending.due_ms = pending.due_ms.saturating_add(i64::try_from(ms).unwrap_or(DAY_MS));
            }
            Some(WebhookFaultKind::Forge) => pending.forge(),
            Some(WebhookFaultKind::Hold) => pending.held = true,
            Some(WebhookFaultKind::Reverse) | None => (),
        }
        self.insert(pending)
    }

    fn insert(&mut self, pending: Pending) -> Option<u64> {
        if self.pending.len() >= PENDING_MAX {
            self.record(&pending, DeliveryStatus::Dropped, pending.created_ms);
            return None;
        }
        self.next_ticket += 1;
        self.pending.insert(self.next_ticket, pending);
        Some(self.next_ticket)
    }

    /// The newest event of the account that waits for its first attempt.
    fn last_unsent(&self, account: &str) -> Option<u64> {
        let mut unsent = self.pending.iter().rev().filter(|(_, pending)| pending.attempts == 0 && !pending.held);
        unsent.find(|(_, pending)| pending.account == account).map(|(ticket, _)| *ticket)
    }

    pub fn release(&mut self, now_ms: i64) {
        for pending in self.pending.values_mut().filter(|pending| pending.held) {
            pending.held = false;
            pending.due_ms = pending.due_ms.max(now_ms);
        }
    }

    /// What is to be sent now; each is in flight until `attempted`.
    pub fn take_due(&mut self, now_ms: i64) -> Vec<Sending> {
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight.len());
        let mut due: Vec<_> = self.waiting().filter(|(_, pending)| pending.due_ms <= now_ms).collect();
        due.sort_by_key(|(ticket, pending)| (pending.due_ms, **ticket));
        let sendings: Vec<_> = due
            .into_iter()
            .take(room)
            .map(|(ticket, pending)| Sending {
                ticket: *ticket,
                provider: pending.provider,
                account: pending.account.clone(),
                url: pending.url.clone(),
                content_type: pending.content_type.clone(),
                event_id: pending.event_id.clone(),
                body: pending.body.clone(),
                signature: pending.signature.clone(),
            })
            .collect();
        self.in_flight.extend(sendings.iter().map(|sending| sending.ticket));
        sendings
    }

    /// When something will have to be sent; none while all that waits is held or in flight.
    pub fn next_due_ms(&self) -> Option<i64> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        self.waiting().map(|(_, pending)| pending.due_ms).min()
    }

    /// How one attempt went. `scale` is per mille of the schedule.
    pub fn attempted(&mut self, ticket: u64, status: DeliveryStatus, now_ms: i64, schedule: &Schedule<'_>, scale: u64) {
        self.in_flight.remove(&ticket);
        let Some(mut pending) = self.pending.remove(&ticket) else {
            return;
        };
        pending.attempts += 1;
        self.record(&pending, status, now_ms);
        if status.is_success() || status == DeliveryStatus::Dropped || pending.forged {
            return;
        }
        if pending.attempts == 1 {
            pending.retry = (schedule.first)(&pending.event, status);
        }
        let Some(gap_ms) = schedule.retries_ms.get(pending.retry) else {
            return;
        };
        let gap_ms = i64::try_from(gap_ms.saturating_mul(scale) / 1_000).unwrap_or(i64::MAX);
        let first_ms = *pending.first_ms.get_or_insert(now_ms);
        pending.due_ms = first_ms.saturating_add(gap_ms);
        pending.retry += 1;
        if pending.due_ms.saturating_sub(pending.created_ms) <= DAY_MS {
            self.pending.insert(ticket, pending);
        }
    }

    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter()
    }

    fn waiting(&self) -> impl Iterator<Item = (&u64, &Pending)> {
        self.pending.iter().filter(|(ticket, pending)| {
            let blocked = pending.after.and_then(|after| self.pending.get(&after)).is_some_and(|p| p.attempts == 0);
            !pending.held && !blocked && !self.in_flight.contains(ticket)
        })
    }

    fn record(&mut self, pending: &Pending, status: DeliveryStatus, at: i64) {
        if self.deliveries.len() >= DELIVERIES_MAX {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(Delivery {
            account: pending.account.clone(),
            event: pending.event.clone(),
            event_id: pending.event_id.clone(),
            attempt: pending.attempts,
            status,
            at,
            body: pending.body.clone(),
            signature: pending.signature.clone(),
            forged: pending.forged,
        });
    }
}

impl Pending {
    /// From here on somebody else sends it, who doesn't know the secret.
    fn forge(&mut self) {
        self.forged = true;
        if !self.signature.is_empty() {
            self.signature = sign("not the webhook's secret", self.body.as_bytes());
        }
    }
}

fn pending(news: News, manner: &Manner<'_>, dice: &mut Dice) -> Pending {
    let News { event, body, content_type, url } = news;
    let secret = manner.secret.map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
    Pending {
        provider: manner.provider,
        account: manner.account.to_owned(),
        url,
        content_type: content_type.to_owned(),
        event: event.to_owned(),
        event_id: dice.letters(14),
        signature: secret.map_or_else(String::new, |secret| sign(secret, body.as_bytes())),
        body,
        created_ms: manner.now_ms,
        first_ms: None,
        attempts: 0,
        retry: 0,
        due_ms: manner.now_ms,
        held: false,
        forged: false,
        after: None,
    }
}

fn json() -> String {
    "application/json".to_owned()
}

/// Lower-case hex HMAC-SHA256 of the exact bytes.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::razorpay;

    /// Seconds after the first delivery of each redelivery of an event that is never taken.
    fn redeliveries(event: &'static str, answer: DeliveryStatus) -> Vec<i64> {
        let secret = "secret".into();
        let provider = Simulated::Razorpay;
        let manner = Manner { provider, account: "shop", secret: Some(&secret), now_ms: 0, spread_ms: 0, strict_order: false };
        let mut queue = Queue::default();
        let news = News { event, body: "{}".to_owned(), content_type: "application/json", url: None };
        queue.push(vec![news], &manner, &mut Dice::new(1));
        let mut seconds = Vec::new();
        while let Some(due_ms) = queue.next_due_ms() {
            seconds.push(due_ms / 1_000);
            let sendings = queue.take_due(due_ms);
            assert_eq!(sendings.len(), 1);
            queue.attempted(sendings[0].ticket, answer, due_ms, &razorpay::schedule(), 1_000);
        }
        seconds.remove(0);
        seconds
    }

    #[test]
    fn redeliveries_double_their_gaps_for_a_day() {
        let later = [6, 19, 40, 82, 165, 326, 650, 1_293, 2_577, 5_140, 10_267, 20_508, 40_989, 81_953];
        let at_once: Vec<_> = [0].into_iter().chain(later).collect();
        assert_eq!(redeliveries("payment.captured", DeliveryStatus::Answered(500)), at_once);
        assert_eq!(redeliveries("order.paid", DeliveryStatus::Unreachable), at_once);
        assert_eq!(redeliveries("payment.captured", DeliveryStatus::Answered(400)), later);
        assert_eq!(redeliveries("payment.captured", DeliveryStatus::TimedOut), later);
        assert_eq!(redeliveries("qr_code.credited", DeliveryStatus::Answered(500)), later);
        assert!(redeliveries("qr_code.credited", DeliveryStatus::Answered(204)).is_empty());
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        let signature = sign("whsec_example_1", br#"{"entity":"event","u":"https:\/\/a.in"}"#);
        assert_eq!(signature, "35d58aee1051a104fb3ec3bcbc5b7a4fee8cb5e0cce8a0c5b0fe253b18d93661");
    }
}
