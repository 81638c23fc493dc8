//! All that the sandbox remembers, and its snapshot on disk: one JSON file, written beside and
//! renamed, so that a reader never meets half of it. It is a test tool's file, not a database.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SandboxConfig;
use super::desk::{AnyDesk, Callbacks, Desk, Surroundings};
use super::dice::Dice;
use super::faults::Faults;
use super::switches::Switches;
use super::webhooks::Queue;
use super::{Merchant, RazorpaySecrets, SandboxAccount, StartError, eko, enkash, oqpay, razorpay};

const FORMAT: u32 = 1;
/// Requests that are remembered.
const SEEN_MAX: usize = 5_000;

#[derive(Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    format: u32,
    pub offset_ms: i64,
    pub dice: Dice,
    pub switches: Switches,
    pub list_lag_ms: i64,
    pub queue: Queue,
    pub webhook_urls: BTreeMap<String, String>,
    pub razorpay: BTreeMap<String, razorpay::desk::Books>,
    pub enkash: BTreeMap<String, enkash::Books>,
    pub oqpay: BTreeMap<String, oqpay::Books>,
    pub eko: BTreeMap<String, eko::Books>,
    #[serde(skip)]
    pub faults: Faults,
    #[serde(skip)]
    pub seen: VecDeque<SeenRequest>,
    /// Razorpay's secrets of accounts that were given others than at the start.
    #[serde(skip)]
    pub razorpay_secrets: BTreeMap<String, RazorpaySecrets>,
}

/// One request as it was asked and answered. The credentials are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// Milliseconds since 1970 on the sandbox's clock.
    pub at: i64,
    pub account: Option<String>,
    pub operation: String,
    pub method: String,
    /// With its query.
    pub path: String,
    /// Null where there was none.
    pub body: Value,
    pub answered: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The connection was cut, or nothing came.
    Lost,
    #[serde(untagged)]
    Status(u16),
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            offset_ms: 0,
            dice: Dice::default(),
            switches: Switches::default(),
            list_lag_ms: 0,
            queue: Queue::default(),
            webhook_urls: BTreeMap::new(),
            razorpay: BTreeMap::new(),
            enkash: BTreeMap::new(),
            oqpay: BTreeMap::new(),
            eko: BTreeMap::new(),
            faults: Faults::default(),
            seen: VecDeque::new(),
            razorpay_secrets: BTreeMap::new(),
        }
    }
}

impl State {
    /// The stored state, or a fresh one.
    pub fn open(config: &SandboxConfig) -> Result<Self, StartError> {
        let mut state = match config.state_file.as_deref().map(read).transpose()?.flatten() {
            Some(state) => state,
            None => Self { dice: Dice::new(config.seed), ..Self::default() },
        };
        for account in &config.accounts {
            if let Some(url) = &account.webhook_url {
                state.webhook_urls.insert(account.name.clone(), url.clone());
            }
        }
        Ok(state)
    }

    /// Written in place of the one before. Tells nobody but the caller of a failure.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let beside = file.with_extension("tmp");
        std::fs::write(&beside, serde_json::to_vec(self)?)?;
        std::fs::rename(&beside, file)
    }

    pub fn see(&mut self, request: SeenRequest) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(request);
    }

    /// The desk of one account, at its provider.
    pub fn desk<'a>(&'a mut self, account: &'a SandboxAccount, now_ms: i64, spread_ms: u64, base_url: &'a str) -> AnyDesk<'a> {
        let name = &account.name;
        let secret = match &account.merchant {
            Merchant::Razorpay(merchant) => {
                Some(self.razorpay_secrets.get(name).map_or(&merchant.webhook_secret, |given| &given.webhook_secret))
            }
            Merchant::Enkash(_) | Merchant::Oqpay(_) | Merchant::Eko(_) => None,
        };
        let has_url = self.webhook_urls.contains_key(name);
        let surroundings = Surroundings {
            account: name,
            dice: &mut self.dice,
            queue: &mut self.queue,
            switches: &self.switches,
            now_ms,
            list_lag_ms: self.list_lag_ms,
            base_url,
            callbacks: Callbacks { provider: account.merchant.provider(), secret, spread_ms, has_url },
        };
        match &account.merchant {
            Merchant::Razorpay(merchant) => AnyDesk::Razorpay(Desk::new(merchant, books(&mut self.razorpay, name), surroundings)),
            Merchant::Enkash(merchant) => AnyDesk::Enkash(Desk::new(merchant, books(&mut self.enkash, name), surroundings)),
            Merchant::Oqpay(merchant) => AnyDesk::Oqpay(Desk::new(merchant, books(&mut self.oqpay, name), surroundings)),
            Merchant::Eko(merchant) => AnyDesk::Eko(Desk::new(merchant, books(&mut self.eko, name), surroundings)),
        }
    }

    /// When something happens by itself next. At OQPay nothing does.
    pub fn next_due_ms(&self) -> Option<i64> {
        let razorpay = self.razorpay.values().filter_map(|books| books.agenda.next_ms());
        let enkash = self.enkash.values().filter_map(|books| books.agenda.next_ms());
        let eko = self.eko.values().filter_map(|books| books.agenda.next_ms());
        razorpay.chain(enkash).chain(eko).chain(self.queue.next_due_ms()).min()
    }
}

fn books<'a, B: Default>(of_all: &'a mut BTreeMap<String, B>, account: &str) -> &'a mut B {
    of_all.entry(account.to_owned()).or_default()
}

fn read(file: &Path) -> Result<Option<State>, StartError> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(state_file(file, error)),
    };
    let state: State = serde_json::from_slice(&bytes).map_err(|error| state_file(file, error.into()))?;
    if state.format != FORMAT {
        let error = io::Error::other(format!("its format is {}, this release reads {FORMAT}", state.format));
        return Err(state_file(file, error));
    }
    Ok(Some(state))
}

fn state_file(file: &Path, source: io::Error) -> StartError {
    StartError::StateFile { file: file.to_owned(), source }
}
