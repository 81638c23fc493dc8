//! A subscriber in the background, and waiting for what it sees. Every wait has a limit.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::client::Client;
use super::super::console::{Console, Tone};
use super::super::failure::Failure;
use super::super::qr::rupees;
use super::super::table::Cell;
use super::super::tail::{News, Tail};
use super::super::{arguments::duration_shown, event_line};
use super::unexpected;
use crate::grpc::pb;
use crate::grpc::pb::subscribe_request::Start;

/// What the tour waits for takes milliseconds; a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(15);
/// News that nobody has taken yet. The tour makes a few dozen.
const NEWS_MAX: usize = 1_000;

pub struct Watch {
    console: Console,
    news: mpsc::Receiver<Result<News, String>>,
    /// Answers the position at the end.
    task: JoinHandle<Option<String>>,
    stop: DropGuard,
    events: Vec<pb::Event>,
}

/// What a subscriber has when it is cut.
pub struct Cut {
    pub token: String,
    pub events: Vec<pb::Event>,
}

impl Watch {
    pub fn begin(client: &Client<'_>, start: Start, prints: bool) -> Self {
        let tail = Tail::new(client.channel.clone(), start, pb::EventFilter::default(), "upistream-demo".to_owned(), None);
        let (send, news) = mpsc::channel(NEWS_MAX);
        let stop = CancellationToken::new();
        let console = client.console.clone();
        let task = tokio::spawn(follow(tail, console.clone(), prints, send, stop.clone()));
        Self { console, news, task, stop: stop.drop_guard(), events: Vec::new() }
    }

    pub async fn until_caught_up(&mut self) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            if let News::CaughtUp = self.next("CaughtUp", deadline).await? {
                return Ok(());
            }
        }
    }

    /// The event that is `wanted`, also if it came already.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&pb::Event) -> bool) -> Result<pb::Event, Failure> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            if let Some(event) = self.events.iter().find(|event| wanted(event)) {
                return Ok(event.clone());
            }
            self.next(what, deadline).await?;
        }
    }

    /// Ends the stream. What it had given out by then counts as dealt with.
    pub async fn cut(mut self) -> Result<Cut, Failure> {
        drop(self.stop);
        let ended = tokio::time::timeout(LIMIT, self.task).await;
        let token = ended.ok().and_then(Result::ok).flatten();
        while let Ok(Ok(news)) = self.news.try_recv() {
            if let News::Event(event) = news {
                self.events.push(*event);
            }
        }
        let token = token.ok_or_else(|| unexpected("a position to resume from", "none"))?;
        Ok(Cut { token, events: self.events })
    }

    async fn next(&mut self, what: &str, deadline: tokio::time::Instant) -> Result<News, Failure> {
        let waiting = format!("waiting for {what}");
        let news = self.console.during(&waiting, tokio::time::timeout_at(deadline, self.news.recv())).await;
        match news {
            Err(_) => Err(unexpected(&format!("{what} within {}", duration_shown(LIMIT)), &self.came())),
            Ok(None) => Err(unexpected(what, "the end of the stream")),
            Ok(Some(Err(why))) => Err(unexpected(what, &format!("the stream broke: {why}"))),
            Ok(Some(Ok(News::Parted { why, .. }))) => Err(unexpected(what, &format!("the stream broke: {why}"))),
            Ok(Some(Ok(news))) => {
                if let News::Event(event) = &news {
                    self.events.push((**event).clone());
                }
                Ok(news)
            }
        }
    }

    fn came(&self) -> String {
        let types: Vec<&str> = self.events.iter().map(|event| event.r#type.as_str()).collect();
        if types.is_empty() { "nothing".to_owned() } else { types.join(", ") }
    }
}

async fn follow(
    mut tail: Tail,
    console: Console,
    prints: bool,
    send: mpsc::Sender<Result<News, String>>,
    stop: CancellationToken,
) -> Option<String> {
    loop {
        let news = tokio::select! {
            // First, so that after a cut nothing more is taken.
            biased;
            () = stop.cancelled() => break,
            news = tail.next() => news.map_err(|status| status.message().to_owned()),
        };
        if let (true, Ok(News::Event(event))) = (prints, &news) {
            // The tour itself notices when nobody reads any more.
            let _ = console.print(&arrived(&console, event));
        }
        let is_over = news.is_err();
        if send.send(news).await.is_err() || is_over {
            break;
        }
    }
    tail.token().map(str::to_owned)
}

/// An event of the tour, in which account and time say nothing.
fn arrived(console: &Console, event: &pb::Event) -> String {
    let cause = event.cause().as_str_name().trim_start_matches("CAUSE_").to_ascii_lowercase();
    let cells = [
        (Cell::toned(Some(Tone::Faint), "   ⟵"), 4, false),
        (Cell::toned(event_line::type_tone(&event.r#type), event.r#type.as_str()), 20, false),
        (event.resource_id.as_str().into(), 31, false),
        (format!("revision {}", event.revision).into(), 10, false),
        (rupees(event_line::amount(event)).into(), 9, true),
        (Cell::toned(Some(Tone::Faint), format!("by {cause}")), 0, false),
    ];
    let cells: Vec<String> = cells.iter().map(|(cell, width, right)| cell.padded(console, *width, *right)).collect();
    cells.join("  ").trim_end().to_owned()
}
