//! What the servers are and what they would lose. Money needs a store that keeps what it acknowledged.

use redis::Value;

use super::link::Link;
use crate::store::StoreError;

/// The oldest server that is used: scripts rely on what it does with errors.
const MAJOR_MIN: u32 = 7;
/// A fuller memory than this is worth a warning.
pub const MEMORY_WARNING_PERCENT: u8 = 75;

/// A server, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    pub version: String,
    pub is_replica: bool,
    pub is_append_only: bool,
    /// `always`, `everysec` or `no`; `None` where it doesn't say.
    pub append_fsync: Option<String>,
    pub eviction: String,
    pub used_bytes: u64,
    /// 0: without a limit.
    pub max_bytes: u64,
    pub replicas: u32,
}

impl Server {
    /// How much of its memory it uses, in percent.
    pub fn memory_percent(&self) -> Option<u8> {
        let percent = self.used_bytes.saturating_mul(100).checked_div(self.max_bytes)?;
        Some(u8::try_from(percent).unwrap_or(u8::MAX))
    }
}

/// Something about a server that its user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is as it should be.
    Fine,
    /// Something acknowledged can be lost in a rare case.
    Warning,
    /// It would lose what it acknowledged: not used unless told to.
    Loss,
    /// It can't be used at all.
    Unusable,
}

/// What is to be said of these servers, the worst first.
pub fn findings(servers: &[Server], wait_replicas: u32) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut add = |severity, text: String| {
        let finding = Finding { severity, text };
        if !found.contains(&finding) {
            found.push(finding);
        }
    };
    for server in servers {
        let Server { version, is_replica, is_append_only, append_fsync, eviction, used_bytes: _, max_bytes, replicas } = server;
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < MAJOR_MIN) {
            add(Severity::Unusable, format!("it is version `{version}`, and {MAJOR_MIN}.0 or newer is needed"));
        }
        if *is_replica {
            add(Severity::Unusable, "it is a replica, which takes no writes: name the master".to_owned());
        }
        if !is_append_only {
            add(Severity::Loss, "`appendonly no`: a restart loses all since the last snapshot; set `appendonly yes`".to_owned());
        }
        if eviction != "noeviction" && *max_bytes > 0 {
            let text = format!("`maxmemory-policy {eviction}`: when memory is full it throws records away; set `noeviction`");
            add(Severity::Loss, text);
        } else if eviction != "noeviction" {
            add(
                Severity::Warning,
                format!("`maxmemory-policy {eviction}` throws records away as soon as a `maxmemory` is set; set `noeviction`"),
            );
        }
        match append_fsync.as_deref() {
            Some("always") => add(Severity::Fine, "`appendfsync always`: the disk has each write before it is answered".to_owned()),
            Some(other) if *is_append_only => add(
                Severity::Warning,
                format!(
                    "`appendfsync {other}`: a machine that fails loses what it acknowledged last (with everysec up to two seconds); `always` loses nothing"
                ),
            ),
            None if *is_append_only => add(
                Severity::Warning,
                "it doesn't tell its `appendfsync`; unless it is `always`, a machine that fails loses what it acknowledged last".to_owned(),
            ),
            Some(_) | None => {}
        }
        if *replicas < wait_replicas {
            let text =
                format!("{replicas} replicas follow it, and {wait_replicas} are to have each intent: mutations are refused meanwhile");
            add(Severity::Warning, text);
        }
        if let Some(percent) = server.memory_percent().filter(|percent| *percent >= MEMORY_WARNING_PERCENT) {
            add(Severity::Warning, format!("{percent} % of its `maxmemory` is used; when it is full, mutations are refused"));
        }
        if *replicas > 0 && wait_replicas == 0 {
            add(
                Severity::Warning,
                "a failover to a replica loses what had not reached it; `store.redis.wait_replicas` makes that rarer, nothing makes it impossible"
                    .to_owned(),
            );
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// Asks every master what it is.
pub(super) async fn servers(link: &Link) -> Result<Vec<Server>, StoreError> {
    // Several sections at once are a novelty of the version that is asked for here.
    let answers = link.call_masters(&redis::cmd("INFO")).await?;
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg("appendfsync");
    // Many hosted servers allow no CONFIG: then it isn't known.
    let append_fsync = match link.call_masters(&config).await {
        Ok(answers) => answers.into_iter().map(append_fsync).collect(),
        Err(_) => Vec::new(),
    };
    // They are asked in no particular order: the weakest setting is taken to be everybody's.
    let weakest = ["no", "everysec", "always"].iter().find(|setting| append_fsync.iter().any(|one| one.as_deref() == Some(**setting)));
    let all_told = append_fsync.len() == answers.len() && append_fsync.iter().all(Option::is_some);
    let append_fsync = weakest.filter(|_| all_told).map(|setting| (*setting).to_owned());
    let read = |answer| Ok(Server { append_fsync: append_fsync.clone(), ..described(&said(answer)?) });
    answers.into_iter().map(read).collect()
}

/// How much of its memory the fullest server uses, in percent; `None` where none has a limit.
pub(super) async fn memory_percent(link: &Link) -> Result<Option<u8>, StoreError> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let mut fullest = None;
    for answer in link.call_masters(&info).await? {
        fullest = fullest.max(described(&said(answer)?).memory_percent());
    }
    Ok(fullest)
}

fn said(answer: Value) -> Result<String, StoreError> {
    redis::from_redis_value(answer).map_err(|_| StoreError::Broken("redis does not describe itself".to_owned()))
}

fn append_fsync(answer: Value) -> Option<String> {
    let pairs: Vec<(String, String)> = redis::from_redis_value(answer).ok()?;
    pairs.into_iter().next().map(|(_, value)| value)
}

/// A server by its answer to INFO.
fn described(info: &str) -> Server {
    let field = |name: &str| {
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::trim).unwrap_or_default()
    };
    Server {
        version: field("redis_version").to_owned(),
        is_replica: field("role") == "slave",
        is_append_only: field("aof_enabled") == "1",
        append_fsync: None,
        eviction: field("maxmemory_policy").to_owned(),
        used_bytes: field("used_memory").parse().unwrap_or(0),
        max_bytes: field("maxmemory").parse().unwrap_or(0),
        replicas: field("connected_slaves").parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Server {
        Server {
            version: "7.2.4".to_owned(),
            is_append_only: true,
            append_fsync: Some("always".to_owned()),
            eviction: "noeviction".to_owned(),
            used_bytes: 10,
            max_bytes: 100,
            ..Server::default()
        }
    }

    fn worst(server: Server, wait_replicas: u32) -> (Severity, String) {
        let found = findings(&[good(), server], wait_replicas);
        (found[0].severity, found[0].text.clone())
    }

    #[test]
    fn a_server_that_keeps_everything_is_fine() {
        assert_eq!(worst(good(), 0).0, Severity::Fine);
        assert_eq!(worst(Server { max_bytes: 0, ..good() }, 0).0, Severity::Fine);
    }

    #[test]
    fn each_way_to_lose_something_is_named() {
        let check = |server: Server, severity: Severity, word: &str| {
            let (found, text) = worst(server, 0);
            assert!(found == severity && text.contains(word), "{found:?}: {text}");
        };
        check(Server { is_append_only: false, ..good() }, Severity::Loss, "appendonly no");
        check(Server { eviction: "allkeys-lru".to_owned(), ..good() }, Severity::Loss, "allkeys-lru");
        check(Server { eviction: "allkeys-lru".to_owned(), max_bytes: 0, ..good() }, Severity::Warning, "allkeys-lru");
        check(Server { append_fsync: Some("everysec".to_owned()), ..good() }, Severity::Warning, "everysec");
        check(Server { append_fsync: None, ..good() }, Severity::Warning, "doesn't tell");
        check(Server { version: "6.2.1".to_owned(), ..good() }, Severity::Unusable, "6.2.1");
        check(Server { version: String::new(), ..good() }, Severity::Unusable, "7.0");
        check(Server { is_replica: true, ..good() }, Severity::Unusable, "replica");
        check(Server { used_bytes: 75, ..good() }, Severity::Warning, "75 %");
        check(Server { replicas: 1, ..good() }, Severity::Warning, "failover");
        assert_eq!(worst(Server { replicas: 1, ..good() }, 2).0, Severity::Warning);
    }

    #[test]
    fn a_server_is_read_from_what_it_says_of_itself() {
        let info = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:4000\r\n\
                    maxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\nconnected_slaves:2\r\n";
        let server = described(info);
        assert_eq!(server.memory_percent(), Some(25));
        let expected = Server {
            version: "7.0.15".to_owned(),
            is_append_only: true,
            eviction: "noeviction".to_owned(),
            used_bytes: 1_000,
            max_bytes: 4_000,
            replicas: 2,
            ..Server::default()
        };
        assert_eq!(server, expected);
        assert_eq!(good().memory_percent(), Some(10));
        assert_eq!(Server { max_bytes: 0, ..good() }.memory_percent(), None);
    }
}
