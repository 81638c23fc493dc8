//! EventService: the log as a stream and in pages.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::Stream;
use tonic::{Request, Response, Status};
use tracing::info;

use super::call::Call;
use super::callers::{Grant, Revoked};
use super::frame::Outgoing;
use super::pb::framed::event_service_server::EventService;
use super::pb::subscribe_response::Message as Sent;
use super::status::{account_revoked, permission_denied, status, unauthenticated};
use super::violations::Violations;
use super::{Api, page, pb, resource};
use crate::domain::account::{AccountName, ProviderId};
use crate::domain::caller::Permission;
use crate::domain::event::EventKind;
use crate::domain::id::{Id, Kind};
use crate::domain::personal::Sight;
use crate::engine::Error;
use crate::events::filter::kinds_matching;
use crate::events::{Filter, Message, Start, Subscription, SubscriptionEnd};
use crate::telemetry::Watched;

const ACCOUNTS_MAX: usize = 100;
const TYPES_MAX: usize = 50;
const RESOURCES_MAX: usize = 100;
const SUBSCRIBER_NAME_MAX: usize = 64;
/// Messages that are sent without a wait between them, in which others have their turn.
const AT_HAND_MAX: usize = 32;

#[tonic::async_trait]
impl EventService for Api {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<Outgoing, Status>> + Send>>;

    async fn subscribe(&self, request: Request<pb::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::SubscribeRequest { start, filter, heartbeat_interval, subscriber_name } = request.into_inner();
        let opened = async {
            let mut violations = Violations::default();
            let start = self.stream_start(start, &mut violations)?;
            let heartbeat = self.heartbeat(heartbeat_interval, &mut violations);
            let name_fits = subscriber_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            if subscriber_name.len() > SUBSCRIBER_NAME_MAX || !name_fits {
                violations.add("subscriber_name", "must have at most 64 characters of a-z, A-Z, 0-9, `_`, `-` and `.`");
            }
            let filter = self.filter(&call, filter.unwrap_or_default(), &mut violations)?;
            let start = violations.unless_any(start)?;
            let place = self.streams.take(&call.caller.name, call.caller.streams_max()).map_err(|limit| Error::Exhausted {
                what: "the number of streams",
                limit,
                retry_after: Duration::from_secs(5),
            })?;
            let confirmation = self.confirmation(&filter, heartbeat);
            let grant = self.callers.grant(&call.caller, Permission::EventsRead, Arc::clone(&filter.accounts));
            let subscription = self.engine.subscribe(filter, start, heartbeat).await?;
            Ok::<_, Error>((subscription, confirmation, place, grant))
        };
        let (subscription, confirmation, place, grant) = opened.await.map_err(|error| status(&error))?;
        info!(subscriber = subscriber_name, "a subscription starts");
        let sight = call.sight;
        self.engine.metrics().subscribers.inc();
        let (feed, progress) = (Arc::clone(self.engine.feed()), subscription.progress());
        let watched = self.engine.metrics().lags.watch(&subscriber_name, move || feed.behind(&progress));
        let counted = Counted { engine: Arc::clone(&self.engine), _place: place, _watched: watched };
        let first = Some(Box::new(pb::SubscribeResponse { message: Some(Sent::Confirmation(confirmation)) }));
        let stream = Box::new(EventStream { subscription, grant, sight, _counted: counted });
        Ok(Response::new(Box::pin(Events { first, state: State::Ready(stream), at_hand: AT_HAND_MAX })))
    }

    async fn list_events(&self, request: Request<pb::ListEventsRequest>) -> Result<Response<pb::ListEventsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let key = self.engine.fingerprint_key();
        let listed = async {
            let mut violations = Violations::default();
            let limit = violations.page_size(request.page_size);
            let filter = self.filter(&call, request.filter.clone().unwrap_or_default(), &mut violations)?;
            let mut start = self.page_start(request.start.clone(), &mut violations)?;
            if let Some(token) = page::cursor(key, "ListEventsRequest", &request, &request.page_token)? {
                start = Some(Start::After(self.engine.read_token(&token)?));
            }
            let start = violations.unless_any(start)?;
            self.engine.list_events(filter, start, limit, call.deadline).await
        };
        let listed = listed.await.map_err(|error| status(&error))?;
        let next_page_token = if listed.more { page::token(key, "ListEventsRequest", &request, &listed.token) } else { String::new() };
        let events = listed.events.into_iter().map(|shown| {
            let event = resource::pb_event(&shown.frame.event, shown.frame.position, call.sight);
            pb::Event { token: shown.token().to_owned(), ..event }
        });
        Ok(Response::new(pb::ListEventsResponse { events: events.collect(), next_page_token, token: listed.token }))
    }

    async fn get_event(&self, request: Request<pb::GetEventRequest>) -> Result<Response<pb::GetEventResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetEventRequest { id } = request.into_inner();
        let found = async {
            let mut violations = Violations::default();
            let parsed = violations.id("id", Kind::Event, &id);
            let parsed = violations.unless_any(parsed)?;
            let frame = call.in_time(self.engine.get_event(&parsed)).await?;
            call.check_account(&self.engine, &frame.event.record.header().account, "event", &id)?;
            Ok::<_, Error>(frame)
        };
        let frame = found.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetEventResponse { event: Some(resource::pb_event(&frame.event, frame.position, call.sight)) }))
    }
}

/// A live subscription, counted while it lives.
struct Counted {
    engine: Arc<crate::engine::Engine>,
    _place: super::Place,
    _watched: Watched,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.engine.metrics().subscribers.dec();
    }
}

/// What a running stream lives by.
struct EventStream {
    subscription: Subscription,
    grant: Grant,
    sight: Sight,
    _counted: Counted,
}

impl EventStream {
    /// Waits for the next message; `Err` ends the stream.
    async fn next(mut self: Box<Self>) -> (Box<Self>, Result<Outgoing, Status>) {
        let sight = self.sight;
        let next = tokio::select! {
            biased;
            revoked = self.grant.revoked() => Err(revoked_status(revoked)),
            next = self.subscription.next() => next.map(|message| sent(message, sight)).map_err(end_status),
        };
        (self, next)
    }

    /// The next message, where it can be had without waiting.
    fn next_at_hand(&mut self) -> Option<Outgoing> {
        if self.grant.may_be_revoked() {
            return None;
        }
        let message = self.subscription.next_at_hand()?;
        Some(sent(message, self.sight))
    }
}

type Waiting = Pin<Box<dyn Future<Output = (Box<EventStream>, Result<Outgoing, Status>)> + Send>>;

enum State {
    Ready(Box<EventStream>),
    Waiting(Waiting),
    Ended,
}

/// The messages of a subscription.
struct Events {
    /// The confirmation, until it is sent.
    first: Option<Box<pb::SubscribeResponse>>,
    state: State,
    /// Messages that were at hand since the last wait.
    at_hand: usize,
}

impl Stream for Events {
    type Item = Result<Outgoing, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Outgoing::Message(first))));
        }
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Ready(mut stream) => {
                    if self.at_hand < AT_HAND_MAX
                        && let Some(message) = stream.next_at_hand()
                    {
                        self.at_hand += 1;
                        self.state = State::Ready(stream);
                        return Poll::Ready(Some(Ok(message)));
                    }
                    self.at_hand = 0;
                    self.state = State::Waiting(Box::pin(stream.next()));
                }
                State::Waiting(mut waiting) => match waiting.as_mut().poll(context) {
                    Poll::Pending => {
                        self.state = State::Waiting(waiting);
                        return Poll::Pending;
                    }
                    Poll::Ready((stream, next)) => {
                        if next.is_ok() {
                            self.state = State::Ready(stream);
                        }
                        return Poll::Ready(Some(next));
                    }
                },
            }
        }
    }
}

impl Api {
    fn stream_start(&self, start: Option<pb::subscribe_request::Start>, violations: &mut Violations) -> Result<Option<Start>, Error> {
        use pb::subscribe_request::Start as Wanted;
        Ok(match start {
            None => {
                violations.add("start", "is needed: one of earliest, latest, after_token and at_time");
                None
            }
            Some(Wanted::Earliest(true)) => Some(Start::Earliest),
            Some(Wanted::Latest(true)) => Some(Start::Latest),
            Some(Wanted::Earliest(false)) => {
                violations.add("earliest", "must be true");
                None
            }
            Some(Wanted::Latest(false)) => {
                violations.add("latest", "must be true");
                None
            }
            Some(Wanted::AfterToken(token)) => Some(Start::After(self.engine.read_token(&token)?)),
            Some(Wanted::AtTime(time)) => violations.time("at_time", Some(&time)).map(Start::AtTime),
        })
    }

    fn page_start(&self, start: Option<pb::list_events_request::Start>, violations: &mut Violations) -> Result<Option<Start>, Error> {
        use pb::list_events_request::Start as Wanted;
        Ok(match start {
            None => Some(Start::Earliest),
            Some(Wanted::AfterToken(token)) => Some(Start::After(self.engine.read_token(&token)?)),
            Some(Wanted::AtTime(time)) => violations.time("at_time", Some(&time)).map(Start::AtTime),
        })
    }

    fn heartbeat(&self, interval: Option<prost_types::Duration>, violations: &mut Violations) -> Duration {
        let Some(interval) = interval else { return self.heartbeats.default };
        match non_negative(&interval) {
            Some(interval) if (self.heartbeats.min..=self.heartbeats.max).contains(&interval) => interval,
            _ => {
                let (min, max) = (self.heartbeats.min.as_secs(), self.heartbeats.max.as_secs());
                violations.add("heartbeat_interval", format!("must be {min} to {max} seconds"));
                self.heartbeats.default
            }
        }
    }

    fn filter(&self, call: &Call, filter: pb::EventFilter, violations: &mut Violations) -> Result<Filter, Error> {
        let pb::EventFilter { accounts, providers, types, resource_ids, labels, terminal_only } = filter;
        let accounts = Arc::new(self.filter_accounts(call, &accounts, violations)?);
        let mut wanted_providers = BTreeSet::new();
        for name in &providers {
            match [ProviderId::Razorpay, ProviderId::Enkash, ProviderId::Oqpay, ProviderId::Eko].into_iter().find(|id| id.as_str() == name)
            {
                Some(id) => {
                    wanted_providers.insert(id);
                }
                None => violations.add("filter.providers", "must be razorpay, enkash, oqpay or eko"),
            }
        }
        if types.len() > TYPES_MAX {
            violations.add("filter.types", format!("must have at most {TYPES_MAX} entries"));
        }
        let mut kinds: BTreeSet<EventKind> = BTreeSet::new();
        for (index, glob) in types.iter().take(TYPES_MAX).enumerate() {
            let matched = if glob.len() <= 64 { kinds_matching(glob) } else { BTreeSet::new() };
            if matched.is_empty() {
                violations.add(format!("filter.types[{index}]"), "matches no type of event");
            }
            kinds.extend(matched);
        }
        if resource_ids.len() > RESOURCES_MAX {
            violations.add("filter.resource_ids", format!("must have at most {RESOURCES_MAX} entries"));
        }
        let mut resources = BTreeSet::new();
        for (index, id) in resource_ids.iter().take(RESOURCES_MAX).enumerate() {
            match id.parse::<Id>() {
                Ok(id) => {
                    resources.insert(id);
                }
                Err(cause) => violations.add(format!("filter.resource_ids[{index}]"), cause.to_string()),
            }
        }
        violations.labels("filter.labels", &labels);
        Ok(Filter { accounts, providers: wanted_providers, kinds: (!types.is_empty()).then_some(kinds), resources, labels, terminal_only })
    }

    fn filter_accounts(&self, call: &Call, names: &[String], violations: &mut Violations) -> Result<BTreeSet<AccountName>, Error> {
        if names.is_empty() {
            return Ok(call.accounts(&self.engine).into_iter().collect());
        }
        if names.len() > ACCOUNTS_MAX {
            violations.add("filter.accounts", format!("must have at most {ACCOUNTS_MAX} entries"));
        }
        let mut accounts = BTreeSet::new();
        for (index, name) in names.iter().take(ACCOUNTS_MAX).enumerate() {
            match name.parse::<AccountName>() {
                Ok(account) => {
                    call.check_account(&self.engine, &account, "account", name)?;
                    accounts.insert(account);
                }
                Err(cause) => violations.add(format!("filter.accounts[{index}]"), cause.to_string()),
            }
        }
        Ok(accounts)
    }

    fn confirmation(&self, filter: &Filter, heartbeat: Duration) -> pb::Confirmation {
        let Filter { accounts, providers, kinds, resources, labels, terminal_only } = filter;
        let effective = pb::EventFilter {
            accounts: accounts.iter().map(ToString::to_string).collect(),
            providers: providers.iter().map(ToString::to_string).collect(),
            types: kinds.iter().flatten().map(|kind| kind.as_str().to_owned()).collect(),
            resource_ids: resources.iter().map(ToString::to_string).collect(),
            labels: labels.clone(),
            terminal_only: *terminal_only,
        };
        pb::Confirmation {
            filter: Some(effective),
            heartbeat_interval: Some(resource::duration(heartbeat)),
            retention: Some(resource::duration(self.engine.settings().event_retention)),
            log_identity: self.engine.log_identity(),
        }
    }
}

/// By hand: the library's conversion panics at the smallest numbers of all.
fn non_negative(duration: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(duration.seconds).ok()?, nanos))
}

fn outgoing(message: Sent) -> Outgoing {
    Outgoing::Message(Box::new(pb::SubscribeResponse { message: Some(message) }))
}

fn sent(message: Message, sight: Sight) -> Outgoing {
    match message {
        Message::Event(shown) => Outgoing::Event(shown, sight),
        Message::CaughtUp { token, time } => outgoing(Sent::CaughtUp(pb::CaughtUp { token, time: Some(resource::time(time)) })),
        Message::FellBehind { token, time } => outgoing(Sent::FellBehind(pb::FellBehind { token, time: Some(resource::time(time)) })),
        Message::Bookmark { token, server_time, events_behind, time_behind } => outgoing(Sent::Bookmark(pb::Bookmark {
            token,
            server_time: Some(resource::time(server_time)),
            events_behind: i64::try_from(events_behind).unwrap_or(i64::MAX),
            time_behind: Some(resource::duration(time_behind)),
        })),
        Message::Goodbye { token, retry_after } => {
            outgoing(Sent::Goodbye(pb::Goodbye { token, retry_after: Some(resource::duration(retry_after)) }))
        }
    }
}

/// How a stream ends whose caller may no longer have it.
fn revoked_status(revoked: Revoked) -> Status {
    match revoked {
        Revoked::Caller => unauthenticated("the caller, or the credential that this stream was opened with, is no longer known"),
        Revoked::Permission(permission) => permission_denied(&[permission]),
        Revoked::Account => account_revoked(),
    }
}

/// How a stream ends: never without a reason.
fn end_status(end: SubscriptionEnd) -> Status {
    status(&Error::from(end))
}
