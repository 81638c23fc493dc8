//! `upistream events`: watches what happens.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::advice::quoted;
use super::arguments::{When, duration, duration_shown, pair, to_pb, when};
use super::client::{Client, ClientArgs};
use super::console::Console;
use super::failure::Failure;
use super::listing::now;
use super::resume::Bookmark;
use super::signals::Signals;
use super::tail::{News, Tail};
use super::{event_line, wire};
use crate::grpc::pb;
use crate::grpc::pb::subscribe_request::Start;

/// Watch what happens
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream events tail
  upistream events tail --from earliest --type payment.* --json
  upistream events tail --from 15m --terminal-only
  upistream events tail --resume --account shop
  upistream events tail --type payment.succeeded --count 1")]
pub struct EventsArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print each event as it comes, until Ctrl-C
    ///
    /// A break of the stream is mended by itself, from the last position on: no event is left out, none is printed twice.
    /// What happens to the stream is told on standard error.
    Tail(TailArgs),
}

#[derive(Debug, Args)]
struct TailArgs {
    /// Where to begin: `earliest`, `latest`, a token, a time (2026-02-17T10:00), or how long ago (15m)
    #[arg(long, default_value = "latest", value_parser = from, value_name = "WHERE")]
    from: From,
    /// Only this account. May be given more than once, as all filters
    #[arg(long = "account", value_name = "NAME", help_heading = "Filters")]
    accounts: Vec<String>,
    /// Only these types; `*` stands for anything: payment.*, *.failed
    #[arg(long = "type", value_name = "GLOB", help_heading = "Filters")]
    types: Vec<String>,
    /// Only this resource
    #[arg(long = "resource", value_name = "ID", help_heading = "Filters")]
    resource_ids: Vec<String>,
    /// Only resources with this label
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE", help_heading = "Filters")]
    labels: Vec<(String, String)>,
    /// Only what entered a terminal state: succeeded, failed, closed …
    #[arg(long, help_heading = "Filters")]
    terminal_only: bool,
    /// End after so many events
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    count: Option<u64>,
    /// Go on where the last `--resume` with the same address and filters ended; begins at --from the first time
    #[arg(long)]
    resume: bool,
    /// The file in which --resume remembers the position
    #[arg(long, value_name = "FILE", requires = "resume")]
    state: Option<PathBuf>,
    /// How often the service says that it is still there: 1s to 5m
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    heartbeat: Option<Duration>,
    /// A name for the service's logs and metrics
    #[arg(long, default_value = "upistream-cli", value_name = "NAME")]
    subscriber: String,
}

#[derive(Debug, Clone, PartialEq)]
enum From {
    Earliest,
    Latest,
    Token(String),
    Time(When),
}

/// The shortest token: version, log, one position and a checksum.
const TOKEN_CHARS_MIN: usize = 18;
/// How many events may be printed again after a crash.
const KEEP_EVERY: u64 = 50;

fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => return Ok(From::Earliest),
        "latest" => return Ok(From::Latest),
        _ => (),
    }
    if let Ok(time) = when(text) {
        return Ok(From::Time(time));
    }
    let is_token = text.len() >= TOKEN_CHARS_MIN && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if is_token {
        Ok(From::Token(text.to_owned()))
    } else {
        Err("is neither `earliest`, `latest`, a token, a time nor a duration".to_owned())
    }
}

impl From {
    fn start(self) -> Start {
        match self {
            Self::Earliest => Start::Earliest(true),
            Self::Latest => Start::Latest(true),
            Self::Token(token) => Start::AfterToken(token),
            Self::Time(time) => Start::AtTime(to_pb(time.past(now()))),
        }
    }
}

pub async fn run(EventsArgs { client, verb: Verb::Tail(args) }: EventsArgs, console: &Console) -> Result<(), Failure> {
    let TailArgs { from, accounts, types, resource_ids, labels, terminal_only, count, resume, state, heartbeat, subscriber } = args;
    let filter =
        pb::EventFilter { accounts, types, resource_ids, labels: labels.into_iter().collect(), terminal_only, providers: Vec::new() };
    let bookmark = match resume {
        true => Some(Bookmark::new(state, &client.address, &wire::tree("EventFilter", &filter).json())?),
        false => None,
    };
    let start = match bookmark.as_ref().map(Bookmark::read).transpose()?.flatten() {
        Some(token) => Start::AfterToken(token),
        None => from.start(),
    };
    let client = Client::connect(&client, console).await?;
    let tail = Tail::new(client.channel.clone(), start, filter, subscriber, heartbeat).showing(client.credential.clone());
    let mut printing = Printing { client: &client, tail, bookmark, printed: 0, headed: client.args.json, parted: false };
    let mut signals = Signals::listen()?;
    tokio::select! {
        ended = printing.run(count) => ended?,
        _ = signals.next() => printing.note_position(),
    }
    printing.keep()
}

struct Printing<'a> {
    client: &'a Client<'a>,
    tail: Tail,
    bookmark: Option<Bookmark>,
    printed: u64,
    headed: bool,
    parted: bool,
}

impl Printing<'_> {
    async fn run(&mut self, count: Option<u64>) -> Result<(), Failure> {
        let console = self.client.console;
        while count.is_none_or(|count| self.printed < count) {
            let news = self.tail.next().await.map_err(|status| Failure::of_status(&status, &self.client.asked(None)))?;
            match news {
                News::Event(event) => self.print(&event)?,
                News::Confirmed(confirmation) => {
                    if std::mem::take(&mut self.parted) {
                        console.note("· connected again, from the last position on");
                    } else {
                        console.note(&confirmed(&confirmation));
                    }
                }
                News::CaughtUp => {
                    console.note("· caught up: what follows is live");
                    self.keep()?;
                }
                News::FellBehind => console.note("· fell behind: reading from the log again, nothing is skipped"),
                News::Bookmark => self.keep()?,
                News::Parted { why, wait } => {
                    console.note(&format!("· {why}; again in {}", duration_shown(wait)));
                    self.parted = true;
                    self.keep()?;
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, event: &pb::Event) -> Result<(), Failure> {
        let console = self.client.console;
        if !std::mem::replace(&mut self.headed, true) {
            console.print(&event_line::headings(console))?;
        }
        let json = self.client.args.json;
        console.print(&if json { wire::tree("Event", event).json() } else { event_line::shown(console, event) })?;
        self.printed += 1;
        if self.printed.is_multiple_of(KEEP_EVERY) { self.keep() } else { Ok(()) }
    }

    /// Remembers the position, where that is wanted.
    fn keep(&self) -> Result<(), Failure> {
        match (&self.bookmark, self.tail.token()) {
            (Some(bookmark), Some(token)) => bookmark.write(token),
            _ => Ok(()),
        }
    }

    fn note_position(&self) {
        let console = self.client.console;
        match (&self.bookmark, self.tail.token()) {
            (Some(bookmark), _) => console.note(&format!("· the position is kept in {}", bookmark.place())),
            (None, Some(token)) => console.note(&format!("· to go on from here: upistream events tail --from {}", quoted(token))),
            (None, None) => (),
        }
    }
}

fn confirmed(confirmation: &pb::Confirmation) -> String {
    let accounts = confirmation.filter.as_ref().map(|filter| filter.accounts.join(", ")).unwrap_or_default();
    let kept = confirmation.retention.and_then(|retention| Duration::try_from(retention).ok()).map(duration_shown);
    format!("· subscribed to {accounts}; events are kept for {}", kept.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::super::testing::{events_address, said};
    use super::*;

    #[test]
    fn where_to_begin_is_a_word_a_time_or_a_token() {
        assert_eq!(from("earliest"), Ok(From::Earliest));
        assert_eq!(from("latest"), Ok(From::Latest));
        assert_eq!(from("15m"), Ok(From::Time(When::Away(Duration::from_secs(900)))));
        assert!(matches!(from("2026-02-17"), Ok(From::Time(_))));
        let token = "AQIDBAUGBwgJAQDzmK-_";
        assert_eq!(from(token), Ok(From::Token(token.to_owned())));
        for text in ["", "now", "Earliest", "AQID", "2026-02-31", "AQIDBAUGBwgJAQDzmK/+"] {
            assert!(from(text).is_err(), "{text}");
        }
    }

    fn args(address: String, more: &[&str]) -> EventsArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: EventsArgs,
        }
        let line = ["events", "tail", "--address", &address].into_iter().chain(more.iter().copied());
        <Line as clap::Parser>::parse_from(line).args
    }

    #[tokio::test]
    async fn it_prints_events_and_tells_of_breaks_beside() {
        let first = vec![said::confirmation(), said::event("evt_1", "t1"), said::goodbye("t1")];
        let second = vec![said::confirmation(), said::event("evt_1", "t1"), said::caught_up("t1"), said::event("evt_2", "t2")];
        let (address, _) = events_address(vec![first, second]).await;
        let (console, out, err) = console();

        run(args(address, &["--count", "2"]), &console).await.unwrap();

        assert_eq!(out.text().lines().count(), 3, "{}", out.text());
        let notes = err.text();
        assert!(notes.contains("the service said goodbye") && notes.contains("connected again") && notes.contains("caught up"), "{notes}");
    }

    #[tokio::test]
    async fn it_resumes_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("position");
        let first = vec![said::confirmation(), said::event("evt_1", "t1")];
        let second = vec![said::confirmation(), said::event("evt_2", "t2")];
        let (address, asked) = events_address(vec![first, second]).await;

        let more = ["--count", "1", "--json", "--resume", "--state", file.to_str().unwrap()];
        for id in ["evt_1", "evt_2"] {
            let (console, out, _) = console();
            run(args(address.clone(), &more), &console).await.unwrap();
            let event: serde_json::Value = serde_json::from_str(&out.text()).unwrap();
            assert_eq!(event["id"], id);
        }
        assert_eq!(asked.starts(), [Start::Latest(true), Start::AfterToken("t1".to_owned())]);
    }
}
