//! Following the events from a position on, over everything that breaks a stream: a goodbye, a service that restarts, a
//! connection that says nothing any more. What was seen already is left out.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::client::Client;
use super::credential::Credential;
use crate::clock::Randomness;
use crate::grpc::pb;
use crate::grpc::pb::event_service_client::EventServiceClient;
use crate::grpc::pb::subscribe_request::Start;
use crate::grpc::pb::subscribe_response::Message;

/// After a break delivery begins at the last token, so repetitions are few; this many are recognised.
const SEEN_MAX: usize = 10_000;
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an answer to Subscribe may take.
const OPEN_LIMIT: Duration = Duration::from_secs(15);
/// A stream that misses this many heartbeats, and then some, is dead though nobody said so.
const HEARTBEATS_MISSED_MAX: u32 = 3;
const SILENCE_GRACE: Duration = Duration::from_secs(10);

pub struct Tail {
    events: EventServiceClient<Channel>,
    credential: Credential,
    filter: pb::EventFilter,
    subscriber_name: String,
    heartbeat_interval: Option<prost_types::Duration>,
    start: Start,
    stream: Option<Streaming<pb::SubscribeResponse>>,
    /// How long the stream may say nothing.
    silence_max: Duration,
    /// Failures in a row.
    failures: u32,
    /// There was a stream once: what breaks from now on is mended.
    begun: bool,
    /// What to wait before the next stream.
    wait: Option<Duration>,
    seen: Seen,
}

/// What comes out of it.
#[derive(Debug)]
pub enum News {
    Confirmed(pb::Confirmation),
    Event(Box<pb::Event>),
    CaughtUp,
    FellBehind,
    /// The position moved without an event.
    Bookmark,
    /// The stream ended; another follows after this wait.
    Parted {
        why: String,
        wait: Duration,
    },
}

impl Tail {
    pub fn new(channel: Channel, start: Start, filter: pb::EventFilter, subscriber_name: String, heartbeat: Option<Duration>) -> Self {
        Self {
            events: EventServiceClient::new(channel).max_decoding_message_size(Client::answer_bytes_max()),
            credential: Credential::default(),
            filter,
            subscriber_name,
            heartbeat_interval: heartbeat.and_then(|interval| interval.try_into().ok()),
            start,
            stream: None,
            silence_max: OPEN_LIMIT,
            failures: 0,
            begun: false,
            wait: None,
            seen: Seen::default(),
        }
    }

    /// What is shown to the service whenever a stream is opened.
    pub fn showing(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// The position after all that was given out, if there is one yet.
    pub fn token(&self) -> Option<&str> {
        match &self.start {
            Start::AfterToken(token) => Some(token),
            Start::Earliest(_) | Start::Latest(_) | Start::AtTime(_) => None,
        }
    }

    /// The next news; an error is one that waiting doesn't mend. Dropped while waiting it loses nothing.
    pub async fn next(&mut self) -> Result<News, Status> {
        loop {
            if self.stream.is_none()
                && let Some(parted) = self.open().await?
            {
                return Ok(parted);
            }
            let Some(stream) = &mut self.stream else { continue };
            let message = match tokio::time::timeout(self.silence_max, stream.message()).await {
                Ok(Ok(Some(pb::SubscribeResponse { message }))) => message,
                Ok(Ok(None)) => return self.part(&Status::unavailable("the stream ended")),
                Ok(Err(status)) => return self.part(&status),
                Err(_) => return self.part(&Status::unavailable(format!("nothing came for {} s", self.silence_max.as_secs()))),
            };
            // None: a kind of message from a newer release.
            if let Some(news) = message.and_then(|message| self.take(message)) {
                return Ok(news);
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<News> {
        match message {
            Message::Confirmation(confirmation) => {
                let heartbeat = confirmation.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
                self.silence_max = heartbeat.unwrap_or(OPEN_LIMIT) * HEARTBEATS_MISSED_MAX + SILENCE_GRACE;
                Some(News::Confirmed(confirmation))
            }
            Message::Event(event) => {
                self.reached(&event.token);
                self.seen.is_new(&event.id).then(|| News::Event(Box::new(event)))
            }
            Message::CaughtUp(caught_up) => {
                self.reached(&caught_up.token);
                Some(News::CaughtUp)
            }
            Message::FellBehind(fell_behind) => {
                self.reached(&fell_behind.token);
                Some(News::FellBehind)
            }
            Message::Bookmark(bookmark) => {
                self.reached(&bookmark.token);
                Some(News::Bookmark)
            }
            Message::Goodbye(goodbye) => {
                self.reached(&goodbye.token);
                self.stream = None;
                let wait = goodbye.retry_after.and_then(|wait| wait.try_into().ok()).unwrap_or(WAIT_FIRST);
                self.wait = Some(wait);
                Some(News::Parted { why: "the service said goodbye".to_owned(), wait })
            }
        }
    }

    fn reached(&mut self, token: &str) {
        self.failures = 0;
        if !token.is_empty() {
            self.start = Start::AfterToken(token.to_owned());
        }
    }

    /// A stream, or why there is none this time.
    async fn open(&mut self) -> Result<Option<News>, Status> {
        if let Some(wait) = self.wait {
            tokio::time::sleep(wait).await;
            self.wait = None;
        }
        let mut request = Request::new(pb::SubscribeRequest {
            start: Some(self.start.clone()),
            filter: Some(self.filter.clone()),
            heartbeat_interval: self.heartbeat_interval,
            subscriber_name: self.subscriber_name.clone(),
        });
        self.credential.put_on(&mut request);
        match tokio::time::timeout(OPEN_LIMIT, self.events.subscribe(request)).await {
            Ok(Ok(answer)) => {
                self.stream = Some(answer.into_inner());
                self.silence_max = OPEN_LIMIT;
                self.begun = true;
                Ok(None)
            }
            Ok(Err(status)) => self.part(&status).map(Some),
            Err(_) => self.part(&Status::unavailable("no answer to Subscribe")).map(Some),
        }
    }

    fn part(&mut self, status: &Status) -> Result<News, Status> {
        self.stream = None;
        if !self.begun || !is_mended_by_waiting(status) {
            return Err(status.clone());
        }
        let asked = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        let own = WAIT_FIRST.saturating_mul(1 << self.failures.min(10)).min(WAIT_MAX);
        let wait = asked.unwrap_or(Duration::ZERO).max(Randomness::of_system().jittered(own));
        self.failures = self.failures.saturating_add(1);
        self.wait = Some(wait);
        Ok(News::Parted { why: status.message().to_owned(), wait })
    }
}

fn is_mended_by_waiting(status: &Status) -> bool {
    let details = status.get_error_details();
    if details.error_info().is_some() {
        return status.code() == Code::Unavailable || details.retry_info().is_some();
    }
    // Made by a client library or a proxy: a broken connection has many names.
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal | Code::Aborted | Code::ResourceExhausted)
}

/// The ids of the newest events that were given out.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::super::testing::{Script, events_service, said};
    use super::*;

    fn tail(channel: Channel, start: Start) -> Tail {
        Tail::new(channel, start, pb::EventFilter::default(), "test".to_owned(), None)
    }

    /// The ids of events, and what else came, up to an error or `count` news.
    async fn news(tail: &mut Tail, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(match tail.next().await {
                Ok(News::Confirmed(_)) => "confirmed".to_owned(),
                Ok(News::Event(event)) => event.id,
                Ok(News::CaughtUp) => "caught up".to_owned(),
                Ok(News::FellBehind) => "fell behind".to_owned(),
                Ok(News::Bookmark) => "bookmark".to_owned(),
                Ok(News::Parted { why, .. }) => format!("parted: {why}"),
                Err(status) => {
                    all.push(format!("error: {}", status.message()));
                    break;
                }
            });
        }
        all
    }

    #[tokio::test]
    async fn after_a_goodbye_it_goes_on_from_the_last_token_and_repeats_nothing() {
        let first: Script = vec![said::confirmation(), said::event("evt_1", "t1"), said::event("evt_2", "t2"), said::goodbye("t2")];
        let second = vec![said::confirmation(), said::event("evt_2", "t2"), said::event("evt_3", "t3"), said::caught_up("t3")];
        let (channel, asked) = events_service(vec![first, second]).await;

        let mut tail = tail(channel, Start::Earliest(true));
        let came = news(&mut tail, 7).await;

        assert_eq!(came, ["confirmed", "evt_1", "evt_2", "parted: the service said goodbye", "confirmed", "evt_3", "caught up"]);
        assert_eq!(asked.starts(), [Start::Earliest(true), Start::AfterToken("t2".to_owned())]);
        assert_eq!(tail.token(), Some("t3"));
    }

    #[tokio::test]
    async fn a_broken_stream_is_mended() {
        let first: Script = vec![said::confirmation(), said::bookmark("t1"), Err(Status::unavailable("going away"))];
        let second = vec![said::confirmation(), said::event("evt_1", "t2")];
        let (channel, asked) = events_service(vec![first, second]).await;

        let mut tail = tail(channel, Start::Latest(true));
        let came = news(&mut tail, 5).await;

        assert_eq!(came, ["confirmed", "bookmark", "parted: going away", "confirmed", "evt_1"]);
        assert_eq!(asked.starts(), [Start::Latest(true), Start::AfterToken("t1".to_owned())]);
    }

    #[tokio::test]
    async fn a_lost_history_is_not_waited_for() {
        let info = ErrorDetails::with_error_info("HISTORY_LOST", "upistream", HashMap::new());
        let lost = Status::with_error_details(Code::OutOfRange, "gone", info);
        let (channel, _) = events_service(vec![vec![said::confirmation(), Err(lost)]]).await;

        let mut tail = tail(channel, Start::AfterToken("t0".to_owned()));
        assert_eq!(news(&mut tail, 5).await, ["confirmed", "error: gone"]);
    }

    #[tokio::test]
    async fn who_is_not_there_at_first_is_not_waited_for() {
        let (channel, _) = events_service(vec![]).await;
        let mut tail = tail(channel, Start::Latest(true));
        assert_eq!(news(&mut tail, 5).await, ["error: nothing more is planned"]);
    }

    #[test]
    fn what_was_seen_is_remembered_up_to_a_limit() {
        let mut seen = Seen::default();
        assert!(seen.is_new("0"));
        assert!(!seen.is_new("0"));
        for n in 1..=SEEN_MAX {
            assert!(seen.is_new(&n.to_string()));
        }
        assert_eq!(seen.ids.len(), SEEN_MAX);
        assert!(seen.is_new("0"));
    }
}
