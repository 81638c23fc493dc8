//! What changes without a restart: the configuration is read again now and then and when somebody asks, and what it says is
//! handed to those who can take it. Everything else that differs needs a restart, and that is said.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;

/// Reads the configuration as the start did; why it can't be used.
pub type Source = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Who takes a part of the configuration while the service runs.
pub(super) struct Applier {
    /// The keys of it, `*` for the name of an account; a section stands for all that is below it.
    pub keys: &'static [&'static str],
    pub apply: Apply,
}

/// Puts what differs from what is in force into force; what that was, for the log. On failure all stays as it was.
pub(super) type Apply = Box<dyn Fn(&Config) -> Result<Vec<String>, String> + Send + Sync>;

/// This module's own: how often it looks.
const OWN_KEYS: &[&str] = &["reload"];

pub(super) struct Reload {
    source: Source,
    appliers: Vec<Applier>,
    /// What all that needs a restart was made of.
    started: Config,
    /// The last that could be used.
    last: Config,
    /// What is wrong now and was said.
    told: BTreeSet<String>,
}

impl Reload {
    /// `started`: what `source` gave for the start.
    pub fn new(source: Source, started: Config, appliers: Vec<Applier>) -> Self {
        Self { source, appliers, last: started.clone(), started, told: BTreeSet::new() }
    }

    /// Reads the configuration again as often as it says itself, and each time that `asked` says so, until `stop`.
    pub async fn run(mut self, asked: Arc<Notify>, stop: CancellationToken) {
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                () = asked.notified() => true,
                () = tokio::time::sleep(self.last.reload.every()) => false,
            };
            // It reads files, and a network may be behind them.
            let again = tokio::task::spawn_blocking(move || {
                self.again(is_asked);
                self
            });
            self = match again.await {
                Ok(reload) => reload,
                Err(cause) => {
                    error!("the configuration is not read again any more: {cause}");
                    // What is in force stays so: no reason to end the service.
                    return stop.cancelled().await;
                }
            };
        }
    }

    /// Reads it once. `is_asked`: somebody waits for a word, also where there is nothing new.
    fn again(&mut self, is_asked: bool) {
        let (mut taken, mut wrong) = (Vec::new(), BTreeSet::new());
        match (self.source)() {
            Ok(config) => self.last = config,
            // The files of certificates are looked at all the same: they must not expire for a mistake elsewhere.
            Err(cause) => wrong.extend([format!("what was in force stays so, the configuration can't be taken: {cause}")]),
        }
        for Applier { keys: _, apply } in &self.appliers {
            match apply(&self.last) {
                Ok(new) => taken.extend(new),
                Err(cause) => wrong.extend([format!("what was in force stays so, a part of the configuration can't be taken: {cause}")]),
            }
        }
        let is_new = |text: &&String| is_asked || !self.told.contains(*text);
        wrong.iter().filter(is_new).for_each(|text| error!("{text}"));
        let needs_restart: BTreeSet<String> =
            self.needs_restart().into_iter().map(|key| format!("{key} differs: it needs a restart")).collect();
        needs_restart.iter().filter(is_new).for_each(|text| warn!("{text}"));
        for what in &taken {
            info!("reloaded: {what}");
        }
        if is_asked && taken.is_empty() && wrong.is_empty() {
            info!("reloaded: nothing that can be taken without a restart is new");
        }
        self.told = wrong.into_iter().chain(needs_restart).collect();
    }

    /// The keys that differ from what the service was started with, and that nobody takes while it runs.
    fn needs_restart(&self) -> Vec<String> {
        let taken: Vec<&str> = self.appliers.iter().flat_map(|applier| applier.keys).chain(OWN_KEYS).copied().collect();
        let differing = self.started.differences(&self.last);
        differing.into_iter().filter(|key| !taken.iter().any(|taken| is_below(key, taken))).collect()
    }
}

/// Whether a dotted key is the one that `pattern` means, or lies below it.
fn is_below(key: &str, pattern: &str) -> bool {
    let mut segments = key.split('.');
    pattern.split('.').all(|wanted| segments.next().is_some_and(|segment| wanted == "*" || wanted == segment))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_key_is_found_below_what_is_taken() {
        let check = |key, pattern, expected| assert_eq!(is_below(key, pattern), expected, "{key} {pattern}");
        check("log.level", "log.level", true);
        check("log.format", "log.level", false);
        check("grpc.tls.cert_file", "grpc.tls", true);
        check("grpc", "grpc.tls", false);
        check("accounts.shop.razorpay.key_id", "accounts.*.razorpay.key_id", true);
        check("accounts.shop", "accounts.*.razorpay.key_id", false);
        check("accounts.shop.eko.key_id", "accounts.*.razorpay.key_id", false);
    }

    type Shared<T> = Arc<Mutex<T>>;

    /// A reload whose source says what is put before it, and who takes the log's level.
    fn reload() -> (Reload, Shared<Result<Config, String>>, Shared<Vec<String>>) {
        let source = Arc::new(Mutex::new(Ok(Config::default())));
        let levels = Arc::new(Mutex::new(Vec::new()));
        let (read, applied) = (Arc::clone(&source), Arc::clone(&levels));
        let apply = move |config: &Config| match config.log.level.as_str() {
            "refused" => Err("no such level".to_owned()),
            level => {
                applied.lock().unwrap().push(level.to_owned());
                Ok(Vec::new())
            }
        };
        let appliers = vec![Applier { keys: &["log.level"], apply: Box::new(apply) }];
        let reload = Reload::new(Box::new(move || read.lock().unwrap().clone()), Config::default(), appliers);
        (reload, source, levels)
    }

    fn with_level(level: &str) -> Config {
        let mut config = Config::default();
        config.log.level = level.to_owned();
        config
    }

    #[test]
    fn a_broken_configuration_keeps_the_last_one_that_was_none() {
        let (mut reload, source, levels) = reload();
        *source.lock().unwrap() = Ok(with_level("debug"));
        reload.again(false);
        *source.lock().unwrap() = Err("line 3: this is not TOML".to_owned());
        reload.again(false);
        assert_eq!(*levels.lock().unwrap(), ["debug", "debug"], "its files are looked at again");
        let told: Vec<String> = reload.told.iter().cloned().collect();
        assert_eq!(told, ["what was in force stays so, the configuration can't be taken: line 3: this is not TOML"]);
        *source.lock().unwrap() = Ok(with_level("refused"));
        reload.again(false);
        let told: Vec<String> = reload.told.iter().cloned().collect();
        assert_eq!(told, ["what was in force stays so, a part of the configuration can't be taken: no such level"]);
        *source.lock().unwrap() = Ok(Config::default());
        reload.again(false);
        assert!(reload.told.is_empty());
    }

    #[test]
    fn what_nobody_takes_needs_a_restart() {
        let (mut reload, source, _) = reload();
        let mut config = with_level("debug");
        config.drain.limit_ms += 1;
        config.reload.every_s += 1;
        *source.lock().unwrap() = Ok(config);
        reload.again(false);
        assert_eq!(reload.needs_restart(), ["drain.limit_ms"]);
        assert!(reload.told.contains("drain.limit_ms differs: it needs a restart"));
        assert_eq!(reload.last.reload.every_s, 31);
    }
}
