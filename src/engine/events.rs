//! Events as the doors see them: subscriptions, pages of the log, and one event.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::error::Error;
use crate::domain::id::Id;
use crate::events::subscription::Pace;
use crate::events::{Feed, Filter, Frame, Message, Shown, Start, Subscription, SubscriptionEnd, Token};

/// What a subscriber is told to wait before he comes again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);
/// Subscribers who are told goodbye together come back spread over this: all of them read the log then.
const RECONNECT_SPREAD: Duration = Duration::from_secs(1);

/// A page of the log, oldest first.
pub struct EventsPage {
    pub events: Vec<Shown>,
    /// Where it ended, events passed over included.
    pub token: String,
    /// Whether there is more now.
    pub more: bool,
}

impl Engine {
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The name of the log, as subscribers see it.
    pub fn log_identity(&self) -> String {
        self.store.identity().log.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn read_token(&self, text: &str) -> Result<Token, Error> {
        use crate::events::token::TokenError;
        Token::decode(text, &self.store.identity().log).map_err(|cause| match cause {
            TokenError::Malformed => Error::InvalidToken("is not a token of this service"),
            TokenError::Foreign => Error::InvalidToken("was made by another log"),
        })
    }

    /// A subscription from `start`.
    pub async fn subscribe(&self, filter: Filter, start: Start, heartbeat: Duration) -> Result<Subscription, Error> {
        if self.leaving.is_cancelled() {
            return Err(Error::Draining { retry_after: RECONNECT_AFTER });
        }
        // A fifth more or less, so that connections made together don't end together.
        let permille = 800 + u32::try_from(self.randomness.bits() % 401).unwrap_or(0);
        let age = self.settings.subscription_age_max.saturating_mul(permille) / 1_000;
        let permille = u32::try_from(self.randomness.bits() % 1_001).unwrap_or(0);
        let retry_after = RECONNECT_AFTER + RECONNECT_SPREAD.saturating_mul(permille) / 1_000;
        let pace = Pace { heartbeat, ends: Instant::now() + age, page: self.settings.events_page, retry_after };
        Subscription::open(Arc::clone(&self.feed), filter, start, pace, self.leaving.clone(), Arc::clone(&self.clock))
            .await
            .map_err(Error::from)
    }

    /// A page of at most `limit` events. Looks at a bounded number of entries and may be short with more to come.
    pub async fn list_events(&self, filter: Filter, start: Start, limit: usize, deadline: Instant) -> Result<EventsPage, Error> {
        let pace = Pace {
            heartbeat: Duration::from_secs(3600),
            ends: Instant::now() + Duration::from_secs(3600),
            page: self.settings.events_page,
            retry_after: RECONNECT_AFTER,
        };
        let never = tokio_util::sync::CancellationToken::new();
        let mut subscription =
            Subscription::open(Arc::clone(&self.feed), filter, start, pace, never, Arc::clone(&self.clock)).await.map_err(Error::from)?;
        let mut events = Vec::new();
        let budget = tokio::time::sleep_until(deadline.min(Instant::now() + LIST_TIME_MAX));
        tokio::pin!(budget);
        while events.len() < limit {
            tokio::select! {
                biased;
                () = &mut budget => return Ok(EventsPage { token: subscription.token(), events, more: true }),
                message = subscription.next() => match message.map_err(Error::from)? {
                    Message::Event(shown) => events.push(shown),
                    Message::CaughtUp { token, .. } => return Ok(EventsPage { events, token, more: false }),
                    Message::FellBehind { .. } | Message::Bookmark { .. } | Message::Goodbye { .. } => {}
                }
            }
        }
        Ok(EventsPage { token: subscription.token(), events, more: true })
    }

    pub async fn get_event(&self, id: &Id) -> Result<Frame, Error> {
        match self.store.event(id).await.map_err(Error::of_read)? {
            Some(logged) => self.feed.frame(&logged).map_err(Error::of_read),
            None => Err(Error::no_such("event", id)),
        }
    }
}

/// The longest that one page of the log is read for; what was found by then is the page.
const LIST_TIME_MAX: Duration = Duration::from_secs(5);

impl From<SubscriptionEnd> for Error {
    fn from(end: SubscriptionEnd) -> Self {
        match end {
            SubscriptionEnd::HistoryLost { earliest_token, earliest_time } => Error::HistoryLost { earliest_token, earliest_time },
            SubscriptionEnd::HistoryRewound { earliest_token } => Error::HistoryRewound { earliest_token },
            SubscriptionEnd::Ended => Error::Draining { retry_after: RECONNECT_AFTER },
            SubscriptionEnd::Store(cause) => Error::of_read(cause),
        }
    }
}
