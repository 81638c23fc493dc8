//! A provider's account as these tests have it: a login that counts, and a shelf that can fail.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::providers::Cause;
use crate::providers::token::{
    Fence, Login, MemoryShelf, NewToken, NoToken, Random, SealKey, ShelfError, Shelved, TokenCache, TokenParts, TokenShelf,
};

/// How the next login goes. All others take a moment and give `token-<number of the login>`.
pub enum Step {
    Fail,
    Hang,
    Panic,
    After(Duration),
    Give(String),
}

/// How the shelf behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Fails,
    Hangs,
    /// It answers, but what it is told to discard stays.
    KeepsAll,
    /// It gives turns for a second only.
    Hurried,
    /// It gives the turn and breaks down.
    FailsInTurn,
    /// Another replica logs in just before it gives the turn.
    Overtaken,
}

/// An account, its login and its shelf.
pub struct Account {
    login: Arc<FakeLogin>,
    shelf: Arc<MoodyShelf>,
}

impl Account {
    pub fn new() -> Self {
        let login = FakeLogin { logins: AtomicU32::new(0), keys: AtomicU64::new(0), steps: Mutex::default() };
        let shelf = MoodyShelf { shelf: MemoryShelf::default(), mood: Mutex::new(Mood::Well), asked: AtomicU32::new(0) };
        Self { login: Arc::new(login), shelf: Arc::new(shelf) }
    }

    /// One process that uses the account.
    pub fn replica(&self) -> TokenCache {
        self.replica_with_key(None)
    }

    pub fn replica_with_key(&self, key: Option<u8>) -> TokenCache {
        TokenCache::new(TokenParts {
            account: "shop".parse().expect("a plain name"),
            login: Arc::clone(&self.login) as Arc<dyn Login>,
            shelf: self.shelf(),
            key: key.map(|key| SealKey::read(&format!("{key:064x}").into()).expect("64 digits")),
            random: random(),
            told: Arc::new(|_| ()),
        })
    }

    pub fn shelf(&self) -> Arc<dyn TokenShelf> {
        Arc::clone(&self.shelf) as Arc<dyn TokenShelf>
    }

    pub fn next_logins(&self, steps: impl IntoIterator<Item = Step>) {
        self.login.steps.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }

    /// From now on logins are made with other keys.
    pub fn replace_keys(&self) {
        self.login.keys.fetch_add(1, Ordering::SeqCst);
    }

    pub fn logins(&self) -> u32 {
        self.login.logins.load(Ordering::SeqCst)
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.shelf.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often the shelf was asked for anything.
    pub fn asked(&self) -> u32 {
        self.shelf.asked.load(Ordering::SeqCst)
    }
}

/// Bits that go all ways, the same in each run.
fn random() -> Random {
    let last = AtomicU64::new(0);
    Arc::new(move || {
        let next = last.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        u128::from(next) << 64 | u128::from(next.rotate_left(31) >> 7)
    })
}

struct FakeLogin {
    logins: AtomicU32,
    keys: AtomicU64,
    steps: Mutex<VecDeque<Step>>,
}

#[async_trait]
impl Login for FakeLogin {
    async fn login(&self, _timeout: Duration) -> Result<NewToken, NoToken> {
        let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
        let step = self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut token = format!("token-{number}");
        let mut takes = Duration::from_millis(20);
        match step {
            Some(Step::Hang) => pending().await,
            Some(Step::Panic) => panic!("as it is meant to"),
            Some(Step::After(longer)) => takes = longer,
            Some(Step::Give(text)) => token = text,
            Some(Step::Fail) => {
                tokio::time::sleep(takes).await;
                return Err(NoToken(Cause("the provider knows no such key".to_owned())));
            }
            None => {}
        }
        tokio::time::sleep(takes).await;
        Ok(NewToken { token: token.into(), expires_in: Duration::from_secs(30 * 60) })
    }

    fn credentials(&self) -> u64 {
        self.keys.load(Ordering::SeqCst)
    }
}

struct MoodyShelf {
    shelf: MemoryShelf,
    mood: Mutex<Mood>,
    asked: AtomicU32,
}

impl MoodyShelf {
    async fn mood(&self) -> Result<Mood, ShelfError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        match mood {
            Mood::Fails => Err(ShelfError(Cause("it is broken".to_owned()))),
            Mood::Hangs => pending().await,
            _ => Ok(mood),
        }
    }
}

#[async_trait]
impl TokenShelf for MoodyShelf {
    async fn get(&self) -> Result<Option<Shelved>, ShelfError> {
        self.mood().await?;
        self.shelf.get().await
    }

    async fn begin_login(&self, lease: Duration) -> Result<Option<Fence>, ShelfError> {
        let mood = self.mood().await?;
        if mood == Mood::Overtaken
            && let Some(theirs) = self.shelf.begin_login(lease).await?
        {
            self.shelf.finish_login(theirs, "\0token-of-another".into(), Duration::from_secs(60)).await?;
        }
        let lease = if mood == Mood::Hurried { Duration::from_secs(1) } else { lease };
        let fence = self.shelf.begin_login(lease).await;
        let mut mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        if *mood == Mood::FailsInTurn {
            *mood = Mood::Fails;
        }
        fence
    }

    async fn finish_login(&self, fence: Fence, sealed: Bytes, keep: Duration) -> Result<bool, ShelfError> {
        self.mood().await?;
        self.shelf.finish_login(fence, sealed, keep).await
    }

    async fn abandon_login(&self, fence: Fence) -> Result<(), ShelfError> {
        self.mood().await?;
        self.shelf.abandon_login(fence).await
    }

    async fn discard(&self, version: Fence) -> Result<(), ShelfError> {
        if self.mood().await? == Mood::KeepsAll {
            return Ok(());
        }
        self.shelf.discard(version).await
    }
}
