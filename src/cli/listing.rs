//! Lists: the filters they share, and walking their pages up to a limit.

use clap::Args;
use jiff::Timestamp;

use super::arguments::{When, pair, to_pb, when};
use super::client::Client;
use super::failure::Failure;
use super::table::Table;
use super::tree::Tree;
use crate::clock::{Clock, SystemClock};

/// The service's own limit.
const PAGE_MAX: usize = 200;
/// A person doesn't read more, and a program takes the events instead.
const LIMIT_MAX: usize = 100_000;
/// A page may be short, even empty; a list that has nothing but such pages ends here.
const PAGES_MAX: usize = 10_000;

/// Whose, how many, and of which time.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Filters")]
pub struct PeriodArgs {
    /// The account; may be left out where there is only one
    #[arg(long, env = "UPISTREAM_ACCOUNT", value_name = "NAME")]
    pub account: Option<String>,
    /// At most so many, newest first
    #[arg(long, default_value_t = 50, value_parser = limit, value_name = "N")]
    pub limit: usize,
    /// Created at or after this: a time (2026-02-17T10:00:00Z; without offset Indian time; a date) or how long ago (2h)
    #[arg(long, value_parser = when, value_name = "WHEN")]
    since: Option<When>,
    /// Created before this
    #[arg(long, value_parser = when, value_name = "WHEN")]
    until: Option<When>,
}

/// What can be asked of what callers asked for: they gave it a reference and labels.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Filters")]
pub struct ListArgs {
    #[command(flatten)]
    pub period: PeriodArgs,
    /// With exactly this reference
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub reference: String,
    /// With this label; several must all be there
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
}

impl PeriodArgs {
    pub fn from(&self) -> Option<prost_types::Timestamp> {
        self.since.map(|since| to_pb(since.past(now())))
    }

    pub fn to(&self) -> Option<prost_types::Timestamp> {
        self.until.map(|until| to_pb(until.past(now())))
    }
}

pub fn now() -> Timestamp {
    SystemClock.now()
}

pub fn limit(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number.filter(|number| (1..=LIMIT_MAX).contains(number)).ok_or_else(|| format!("must be 1 to {LIMIT_MAX}"))
}

/// What was asked for, and whether there is more.
pub struct Listed<T> {
    pub items: Vec<T>,
    pub more: bool,
}

/// Page after page; `page` is given a size and a token, and answers items and the next token.
pub async fn pages<T, F, P>(limit: usize, mut page: F) -> Result<Listed<T>, Failure>
where
    F: FnMut(i32, String) -> P,
    P: Future<Output = Result<(Vec<T>, String), Failure>>,
{
    let mut items = Vec::new();
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let size = (limit - items.len()).min(PAGE_MAX);
        let (found, next) = page(i32::try_from(size).unwrap_or(i32::MAX), token).await?;
        items.extend(found);
        let full = items.len() >= limit;
        let more = !next.is_empty() || items.len() > limit;
        items.truncate(limit);
        if full || next.is_empty() {
            return Ok(Listed { items, more });
        }
        token = next;
    }
    Ok(Listed { items, more: true })
}

/// A line of JSON each, or the table.
pub fn show<T>(client: &Client<'_>, listed: Listed<T>, what: &str, tree: fn(&T) -> Tree, table: fn(&[T]) -> Table) -> Result<(), Failure> {
    let Listed { items, more } = listed;
    if client.args.json {
        for item in &items {
            client.console.print(&tree(item).json())?;
        }
    } else if items.is_empty() {
        client.console.note(&format!("no {what}"));
    } else {
        client.console.print(&table(&items).text(client.console))?;
    }
    if more {
        client.console.note(&format!("there are more {what}: raise --limit, or narrow the filters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Walks pages of these sizes; answers what came, whether there is more, and the sizes that were asked for.
    async fn walk(limit: usize, sizes: &[usize]) -> (usize, bool, Vec<i32>) {
        let mut left: VecDeque<usize> = sizes.iter().copied().collect();
        let mut asked = Vec::new();
        let listed = pages(limit, |size, _| {
            asked.push(size);
            let count = left.pop_front().unwrap_or(0);
            let next = if left.is_empty() { String::new() } else { "next".to_owned() };
            async move { Ok((vec![(); count], next)) }
        });
        let Listed { items, more } = listed.await.unwrap();
        (items.len(), more, asked)
    }

    #[tokio::test]
    async fn pages_are_walked_up_to_the_limit() {
        assert_eq!(walk(50, &[3]).await, (3, false, vec![50]));
        assert_eq!(walk(50, &[0, 2, 0]).await, (2, false, vec![50, 50, 48]));
        assert_eq!(walk(250, &[200, 200]).await, (250, true, vec![200, 50]));
        assert_eq!(walk(2, &[2, 1]).await, (2, true, vec![2]));
        assert_eq!(walk(2, &[2]).await, (2, false, vec![2]));
    }

    #[test]
    fn a_limit_is_a_number_above_zero() {
        assert_eq!(limit("1"), Ok(1));
        assert!(limit("0").is_err());
        assert!(limit("-1").is_err());
        assert!(limit("100001").is_err());
    }
}
