//! What can be made to go wrong, and how often. A fault is used up by the calls or events it hits;
//! the oldest one that matches and lets no more calls pass is taken.

use serde::{Deserialize, Serialize};

/// Faults that wait at the same time. A test sets a handful; this only keeps a loop from filling memory.
const FAULTS_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// None hits every account.
    #[serde(default)]
    pub account: Option<String>,
    /// Such as `qr.create`; `*` hits every operation.
    #[serde(default = "every")]
    pub operation: String,
    pub kind: FaultKind,
    #[serde(default = "once")]
    pub times: u32,
    /// Calls that it lets pass before the first one it hits.
    #[serde(default)]
    pub after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// The connection is cut before anything was done.
    RequestLost,
    /// It is done, then the connection is cut without an answer.
    AnswerLost,
    /// It is done, but the answer never comes; the connection stays open.
    Stall,
    /// It is done at once; the answer comes this much later.
    Delay { ms: u64 },
    /// It is done this much later, also when the client has given up by then: a request that travelled long.
    ActLate { ms: u64 },
    /// Nothing is done; this status is answered.
    StatusBefore { status: u16 },
    /// It is done; this status is answered.
    StatusAfter { status: u16 },
    /// Nothing is done: 429.
    TooManyRequests {
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// It is done; 200 with a body that is not JSON is answered.
    Garbage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookFault {
    #[serde(default)]
    pub account: Option<String>,
    /// Such as `qr_code.credited`; `*` hits every event.
    #[serde(default = "every")]
    pub event: String,
    pub kind: WebhookFaultKind,
    #[serde(default = "once")]
    pub times: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WebhookFaultKind {
    /// It is never sent.
    Drop,
    /// It is sent twice, the same bytes under the same event id.
    Duplicate,
    /// It is sent this much later, on the sandbox's clock.
    Delay { ms: u64 },
    /// The events of one happening are sent last first, one after the other. Counts happenings.
    Reverse,
    /// In its place goes a forgery: once, and with a signature that doesn't fit where the provider signs.
    Forge,
    /// It is kept until `release_webhooks`.
    Hold,
}

impl Fault {
    pub fn on(operation: &str, kind: FaultKind) -> Self {
        Self { account: None, operation: operation.to_owned(), kind, times: 1, after: 0 }
    }
}

impl WebhookFault {
    pub fn on(event: &str, kind: WebhookFaultKind) -> Self {
        Self { account: None, event: event.to_owned(), kind, times: 1 }
    }
}

/// The faults that wait for a call.
#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// False if there are too many already.
    pub fn add(&mut self, fault: Fault) -> bool {
        push(&mut self.0, fault)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn take(&mut self, account: Option<&str>, operation: &str) -> Option<FaultKind> {
        self.0.retain(|fault| fault.times > 0);
        let is_meant =
            |fault: &&mut Fault| matches(&fault.operation, operation) && fault.account.as_deref().is_none_or(|name| Some(name) == account);
        let mut hit = None;
        // A call counts for all that still let calls pass, be it hit by another.
        for fault in self.0.iter_mut().filter(is_meant) {
            if fault.after > 0 {
                fault.after -= 1;
            } else if hit.is_none() {
                fault.times -= 1;
                hit = Some(fault.kind.clone());
            }
        }
        hit
    }
}

/// The faults that wait for an event.
#[derive(Default)]
pub struct WebhookFaults(Vec<WebhookFault>);

impl WebhookFaults {
    /// False if there are too many already.
    pub fn add(&mut self, fault: WebhookFault) -> bool {
        push(&mut self.0, fault)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What befalls one event. `Reverse` is not one event's affair: see `take_reverse`.
    pub fn take(&mut self, account: &str, event: &str) -> Option<WebhookFaultKind> {
        self.take_where(account, |fault| fault.kind != WebhookFaultKind::Reverse && matches(&fault.event, event))
    }

    /// Whether the events of one happening go out last first.
    pub fn take_reverse(&mut self, account: &str) -> bool {
        self.take_where(account, |fault| fault.kind == WebhookFaultKind::Reverse).is_some()
    }

    fn take_where(&mut self, account: &str, hits: impl Fn(&WebhookFault) -> bool) -> Option<WebhookFaultKind> {
        self.0.retain(|fault| fault.times > 0);
        let hit = self.0.iter_mut().find(|fault| hits(fault) && fault.account.as_deref().is_none_or(|name| name == account))?;
        hit.times -= 1;
        Some(hit.kind.clone())
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> bool {
    let room = list.len() < FAULTS_MAX;
    if room {
        list.push(item);
    }
    room
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern == "*" || pattern == name
}

fn every() -> String {
    "*".to_owned()
}

fn once() -> u32 {
    1
}
