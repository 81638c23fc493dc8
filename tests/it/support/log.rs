//! Events made fast: synthetic codes written straight into a store, as valid as those of the engine. And readers of
//! the stream.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tonic::Streaming;
use upistream::clock::Randomness;
use upistream::domain::account::{AccountName, ProviderId};
use upistream::domain::event::{Event, EventKind, Record};
use upistream::domain::fact::{Cause, Evidence};
use upistream::domain::header::Header;
use upistream::domain::id::{Kind, Partition};
use upistream::domain::money::Money;
use upistream::domain::qr::{CloseReason, Qr, QrOrder, QrState, Usage};
use upistream::grpc::pb;
use upistream::grpc::pb::subscribe_response::Message;
use upistream::store::record;
use upistream::store::{AnyStore, Batch, CHANGES_MAX, Change, Commit, LeaseStep, Look, NewEvent, partition_of};

use super::app::{ACCOUNT, App, PATIENCE};

/// Writes synthetic records of one account.
pub struct Feeder {
    store: AnyStore,
    account: AccountName,
    partition: Partition,
    randomness: Randomness,
    /// What every code is labelled with.
    pub labels: BTreeMap<String, String>,
    pub notes: BTreeMap<String, String>,
}

impl Feeder {
    pub fn new(store: &AnyStore, account: &str) -> Self {
        Self {
            store: store.clone(),
            account: account.parse().expect("a name"),
            partition: partition_of(&**store, account),
            randomness: Randomness::of_system(),
            labels: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    pub fn of(app: &App) -> Self {
        Self::new(app.running.store(), ACCOUNT)
    }

    /// With records that are about ten kilobytes long.
    pub fn fat(mut self) -> Self {
        self.notes = (0..15).map(|number| (format!("note-{number}"), "x".repeat(256))).collect();
        self.labels = (0..16).map(|number| (format!("label-{number}"), "y".repeat(128))).collect();
        self
    }

    pub fn header(&self, kind: Kind) -> Header {
        let now = Timestamp::now();
        Header {
            id: self.randomness.id(kind, self.partition, now),
            account: self.account.clone(),
            provider: ProviderId::Razorpay,
            provider_ref: None,
            our_ref: None,
            revision: 1,
            reference: "synthetic".to_owned(),
            labels: self.labels.clone(),
            create_time: now,
            update_time: now,
            contradictions: Vec::new(),
            claim: None,
            operator_note: None,
            traceparent: None,
            has_unknown_parts: false,
        }
    }

    /// A code that was closed when it was a second old.
    pub fn qr(&self) -> Qr {
        let order = QrOrder {
            usage: Usage::SingleUse,
            amount: Some(Money::from_paise(100)),
            name: String::new(),
            description: String::new(),
            expire_time: None,
            notes: self.notes.clone(),
            customer: None,
        };
        let mut qr = Qr::requested(self.header(Kind::Qr), order);
        qr.state = QrState::Closed { reason: Some(CloseReason::Cancelled), at: qr.header.create_time };
        qr
    }

    /// An event about `record`, which it is the first of.
    pub fn event(&self, record: Record, kind: EventKind) -> Event {
        Event {
            id: self.randomness.id(Kind::Event, self.partition, Timestamp::now()),
            kind,
            cause: Cause::Rpc,
            evidence: Evidence::Answer,
            occur_time: Timestamp::now(),
            traceparent: None,
            terminal: record.is_terminal(),
            record,
        }
    }

    /// Appends `count` events, each about a code of its own; their ids in the log's order.
    pub async fn append(&self, count: usize) -> Vec<String> {
        let events: Vec<Event> = (0..count).map(|_| self.event(Record::Qr(self.qr()), EventKind::QrClosed)).collect();
        self.write(events).await
    }

    /// Appends `events`, each with its record's first write.
    pub async fn write(&self, events: Vec<Event>) -> Vec<String> {
        for some in events.chunks(CHANGES_MAX) {
            let changes = some.iter().map(|event| Change {
                id: event.record.id().clone(),
                from: None,
                body: Some(record::encode(&event.record).expect("records are written")),
                event: Some(NewEvent {
                    id: event.id.clone(),
                    account: self.account.clone(),
                    body: record::encode(event).expect("so are events"),
                }),
                references: Vec::new(),
                join: Vec::new(),
                leave: Vec::new(),
                look: Look::Rest,
                lease: LeaseStep::Keep,
            });
            let batch = Batch {
                partition: self.partition,
                write: self.randomness.bits(),
                claims: Vec::new(),
                changes: changes.collect(),
                guards: Vec::new(),
            };
            let written = self.store.commit(batch.into()).await.expect("the store takes writes");
            assert!(matches!(written, Commit::Done(_)), "{written:?}");
        }
        events.iter().map(|event| event.id.to_string()).collect()
    }
}

pub fn earliest() -> pb::SubscribeRequest {
    from(pb::subscribe_request::Start::Earliest(true))
}

pub fn latest() -> pb::SubscribeRequest {
    from(pb::subscribe_request::Start::Latest(true))
}

pub fn after(token: &str) -> pb::SubscribeRequest {
    from(pb::subscribe_request::Start::AfterToken(token.to_owned()))
}

pub fn from(start: pb::subscribe_request::Start) -> pb::SubscribeRequest {
    pb::SubscribeRequest { start: Some(start), ..Default::default() }
}

pub fn duration(time: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(time).expect("a short time")
}

/// A subscription, read message by message.
pub struct Reader {
    pub confirmation: pb::Confirmation,
    stream: Streaming<pb::SubscribeResponse>,
    /// The token of the last message.
    pub token: String,
}

impl Reader {
    pub async fn open(app: &App, request: pb::SubscribeRequest) -> Self {
        Self::try_open(app, request).await.expect("the subscription opens")
    }

    pub async fn try_open(app: &App, request: pb::SubscribeRequest) -> Result<Self, tonic::Status> {
        Self::over(app.events(), request).await
    }

    pub async fn over(
        mut client: pb::event_service_client::EventServiceClient<tonic::transport::Channel>,
        request: pb::SubscribeRequest,
    ) -> Result<Self, tonic::Status> {
        let mut stream = client.subscribe(request).await?.into_inner();
        match read(&mut stream).await? {
            Some(Message::Confirmation(confirmation)) => Ok(Self { confirmation, stream, token: String::new() }),
            other => panic!("the first message is {other:?}"),
        }
    }

    /// The next message; `Err`: how the stream ended.
    pub async fn next(&mut self) -> Result<Message, tonic::Status> {
        let message = read(&mut self.stream).await?.expect("a stream ends with a status");
        self.token = match &message {
            Message::Confirmation(_) => panic!("a second confirmation"),
            Message::Event(event) => event.token.clone(),
            Message::CaughtUp(pb::CaughtUp { token, time: Some(_) })
            | Message::FellBehind(pb::FellBehind { token, time: Some(_) })
            | Message::Bookmark(pb::Bookmark { token, server_time: Some(_), time_behind: Some(_), .. })
            | Message::Goodbye(pb::Goodbye { token, retry_after: Some(_) }) => token.clone(),
            incomplete => panic!("something is missing in {incomplete:?}"),
        };
        Ok(message)
    }

    /// The next message that is no Bookmark.
    pub async fn news(&mut self) -> Result<Message, tonic::Status> {
        loop {
            match self.next().await? {
                Message::Bookmark(_) => {}
                other => return Ok(other),
            }
        }
    }

    /// The next event; nothing but Bookmarks comes before it.
    pub async fn event(&mut self) -> pb::Event {
        match self.news().await {
            Ok(Message::Event(event)) => event,
            other => panic!("instead of an event: {other:?}"),
        }
    }

    /// The ids of the next `count` events.
    pub async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.event().await.id);
        }
        ids
    }

    /// The events up to the next CaughtUp.
    pub async fn history(&mut self) -> Vec<pb::Event> {
        let mut events = Vec::new();
        loop {
            match self.news().await {
                Ok(Message::Event(event)) => events.push(event),
                Ok(Message::CaughtUp(_)) => return events,
                other => panic!("in history: {other:?}"),
            }
        }
    }

    pub async fn history_ids(&mut self) -> Vec<String> {
        self.history().await.into_iter().map(|event| event.id).collect()
    }

    /// The next Bookmark; no event comes before it.
    pub async fn bookmark(&mut self) -> pb::Bookmark {
        match self.next().await {
            Ok(Message::Bookmark(bookmark)) => bookmark,
            other => panic!("instead of a bookmark: {other:?}"),
        }
    }
}

async fn read(stream: &mut Streaming<pb::SubscribeResponse>) -> Result<Option<Message>, tonic::Status> {
    let read = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message comes in time");
    Ok(read?.map(|response| response.message.expect("a message of this release")))
}
