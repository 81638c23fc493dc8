//! Who calls, and what he may: the callers of the configuration as they are now. They may be replaced while calls run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::call::LOCAL_CALLER;
use crate::domain::account::AccountName;
use crate::domain::caller::{ApiKeyHash, CallerName, Permission};
use crate::domain::personal::Sight;
use crate::engine::Error;

/// Calls that may come at once after a pause: those of this long.
const BURST: Duration = Duration::from_secs(1);
/// When a caller that has too many calls under way may come back.
const BUSY_RETRY_AFTER: Duration = Duration::from_millis(100);

/// A caller as he is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCaller {
    /// All are valid.
    pub api_key_hashes: Vec<ApiKeyHash>,
    /// URI and DNS names of client certificates, compared whole.
    pub identities: Vec<String>,
    /// `None`: all.
    pub accounts: Option<BTreeSet<AccountName>>,
    pub permissions: BTreeSet<Permission>,
    pub calls_per_second: u32,
    /// Calls under way at the same time.
    pub calls_max: usize,
    /// Subscriptions at the same time.
    pub streams_max: usize,
}

impl KnownCaller {
    /// One who may this, of all accounts and as often as he likes.
    fn unlimited(permissions: &[Permission]) -> Self {
        Self {
            api_key_hashes: Vec::new(),
            identities: Vec::new(),
            accounts: None,
            permissions: permissions.iter().copied().collect(),
            calls_per_second: u32::MAX,
            calls_max: usize::MAX,
            streams_max: usize::MAX,
        }
    }
}

/// By what a caller was known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Credential {
    /// Nobody has to be known here.
    None,
    ApiKey(ApiKeyHash),
    Identity(String),
}

/// A caller, as he was when his call began.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    known: Arc<KnownCaller>,
    credential: Credential,
}

impl Caller {
    /// Whoever no layer has made known: he may nothing.
    pub(super) fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| {
            Caller::unknown("", KnownCaller { accounts: Some(BTreeSet::new()), streams_max: 0, ..KnownCaller::unlimited(&[]) })
        });
        Arc::clone(&NOBODY)
    }

    /// Whoever reaches the service where no callers are configured.
    fn local() -> Arc<Self> {
        static LOCAL: LazyLock<Arc<Caller>> = LazyLock::new(|| Caller::unknown(LOCAL_CALLER, KnownCaller::unlimited(&Permission::ALL)));
        Arc::clone(&LOCAL)
    }

    /// One who did not have to show who he is.
    fn unknown(name: &str, known: KnownCaller) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), known: Arc::new(known), credential: Credential::None })
    }

    fn of(name: &CallerName, known: &Arc<KnownCaller>, credential: Credential) -> Arc<Self> {
        Arc::new(Self { name: name.to_string(), known: Arc::clone(known), credential })
    }

    pub fn streams_max(&self) -> usize {
        self.known.streams_max
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.known.permissions.contains(&permission)
    }

    pub fn sees(&self, account: &AccountName) -> bool {
        self.known.accounts.as_ref().is_none_or(|accounts| accounts.contains(account))
    }

    /// How much of personal data he sees.
    pub fn sight(&self) -> Sight {
        if self.may(Permission::PiiRead) { Sight::Clear } else { Sight::Masked }
    }

    /// In alphabetical order.
    pub fn permissions(&self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(|permission| self.may(*permission))
    }
}

/// Why nobody was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    NoCredential,
    /// The key is not, or no longer, one of a caller's.
    Key,
    /// The certificate is valid, but none of its names is a caller's.
    Identity,
    /// The key is one caller's, the certificate another's.
    Both,
}

/// What a call shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    pub api_key: Option<&'a str>,
    /// The names in the client certificate, which was verified.
    pub identities: &'a [String],
}

type Configured = BTreeMap<CallerName, KnownCaller>;
/// The same, of which each call has its caller's part.
type Shared = BTreeMap<CallerName, Arc<KnownCaller>>;

fn shared(configured: Configured) -> Shared {
    configured.into_iter().map(|(name, known)| (name, Arc::new(known))).collect()
}

/// Who may call now.
struct Now {
    known: Shared,
    /// Nobody has to be known. Only where no caller was ever configured: a service whose last one is taken away lets nobody in.
    is_open: bool,
}

/// The callers as they are now.
pub struct Callers {
    current: watch::Sender<Arc<Now>>,
    used: Mutex<BTreeMap<String, Arc<Used>>>,
}

/// What of a caller's limits is used.
#[derive(Debug)]
struct Used {
    under_way: AtomicUsize,
    /// When the calls made so far would all have been due at the permitted rate.
    due: Mutex<Instant>,
}

/// A call that was let in; it is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay(Option<Arc<Used>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(used) = &self.0 {
            used.under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Callers {
    pub fn new(configured: Configured) -> Arc<Self> {
        let now = Now { is_open: configured.is_empty(), known: shared(configured) };
        Arc::new(Self { current: watch::Sender::new(Arc::new(now)), used: Mutex::default() })
    }

    /// From now on these; whether that is news. What streams are no longer entitled to ends at once.
    pub fn replace(&self, configured: Configured) -> bool {
        let configured = shared(configured);
        self.lock_used().retain(|name, _| configured.keys().any(|kept| kept.as_str() == name));
        self.current.send_if_modified(|current| {
            let differs = current.known != configured;
            if differs {
                *current = Arc::new(Now { is_open: current.is_open && configured.is_empty(), known: configured });
            }
            differs
        })
    }

    /// Who shows this.
    pub(super) fn identify(&self, shown: Shown<'_>) -> Result<Arc<Caller>, Unknown> {
        let now = Arc::clone(&self.current.borrow());
        if now.is_open {
            return Ok(Caller::local());
        }
        let configured = &now.known;
        let by_identity = shown.identities.iter().find_map(|shown| {
            let (name, known) = configured.iter().find(|(_, known)| known.identities.contains(shown))?;
            Some(Caller::of(name, known, Credential::Identity(shown.clone())))
        });
        let Some(key) = shown.api_key else {
            return by_identity.ok_or(if shown.identities.is_empty() { Unknown::NoCredential } else { Unknown::Identity });
        };
        let by_key = by_key(configured, &ApiKeyHash::of(key)).ok_or(Unknown::Key)?;
        match by_identity {
            Some(other) if other.name != by_key.name => Err(Unknown::Both),
            _ => Ok(by_key),
        }
    }

    /// Counts a call, or says which limit it would pass.
    pub(super) fn admit(&self, caller: &Caller) -> Result<UnderWay, Error> {
        if caller.credential == Credential::None {
            // Where nobody is configured, nobody is limited.
            return Ok(UnderWay(None));
        }
        let known = &caller.known;
        let used = Arc::clone(
            self.lock_used()
                .entry(caller.name.clone())
                .or_insert_with(|| Arc::new(Used { under_way: AtomicUsize::new(0), due: Mutex::new(Instant::now()) })),
        );
        let under_way = used.under_way.fetch_add(1, Ordering::AcqRel);
        // Dropped on the way out where it is refused.
        let counted = UnderWay(Some(Arc::clone(&used)));
        if under_way >= known.calls_max {
            let what = "the number of calls under way of one caller";
            return Err(Error::Exhausted { what, limit: known.calls_max, retry_after: BUSY_RETRY_AFTER });
        }
        let each = BURST / known.calls_per_second.max(1);
        let now = Instant::now();
        let mut due = used.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*due).max(now) + each;
        let ahead = next.duration_since(now);
        if ahead > BURST {
            let limit = usize::try_from(known.calls_per_second).unwrap_or(usize::MAX);
            return Err(Error::Exhausted { what: "the number of calls a second of one caller", limit, retry_after: ahead - BURST });
        }
        *due = next;
        drop(due);
        Ok(counted)
    }

    /// What lasts longer than a call, and is looked at again whenever the callers change.
    pub(super) fn grant(self: &Arc<Self>, caller: &Arc<Caller>, permission: Permission, accounts: Arc<BTreeSet<AccountName>>) -> Grant {
        Grant { changes: self.current.subscribe(), caller: Arc::clone(caller), permission, accounts }
    }

    fn lock_used(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Used>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller with this key. All are compared, so that the time tells nothing.
fn by_key(configured: &Shared, shown: &ApiKeyHash) -> Option<Arc<Caller>> {
    let mut found = None;
    for (name, known) in configured {
        for hash in &known.api_key_hashes {
            if bool::from(hash.matches(shown)) {
                found = Some(Caller::of(name, known, Credential::ApiKey(*hash)));
            }
        }
    }
    found
}

/// Why what was granted no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    /// The caller, or the credential that was shown.
    Caller,
    Permission(Permission),
    Account,
}

/// What a stream lives by.
pub(super) struct Grant {
    changes: watch::Receiver<Arc<Now>>,
    caller: Arc<Caller>,
    permission: Permission,
    accounts: Arc<BTreeSet<AccountName>>,
}

impl Grant {
    /// Whether the callers changed since it was looked at last.
    pub fn may_be_revoked(&self) -> bool {
        self.changes.has_changed().unwrap_or(true)
    }

    /// Waits until it is revoked. May be dropped and called again at any time.
    pub async fn revoked(&mut self) -> Revoked {
        loop {
            let now = Arc::clone(&self.changes.borrow_and_update());
            if let Some(revoked) = self.lost(&now) {
                return revoked;
            }
            if self.changes.changed().await.is_err() {
                // The service ends, and says so in its own way.
                std::future::pending::<()>().await;
            }
        }
    }

    fn lost(&self, now: &Now) -> Option<Revoked> {
        let current = match &self.caller.credential {
            Credential::None => now.is_open.then(Caller::local),
            credential => now.known.iter().find(|(name, _)| name.as_str() == self.caller.name).and_then(|(name, known)| {
                let holds = match credential {
                    Credential::None => false,
                    Credential::ApiKey(hash) => known.api_key_hashes.contains(hash),
                    Credential::Identity(identity) => known.identities.contains(identity),
                };
                holds.then(|| Caller::of(name, known, credential.clone()))
            }),
        };
        let Some(current) = current else { return Some(Revoked::Caller) };
        if !current.may(self.permission) {
            return Some(Revoked::Permission(self.permission));
        }
        if self.caller.may(Permission::PiiRead) && !current.may(Permission::PiiRead) {
            return Some(Revoked::Permission(Permission::PiiRead));
        }
        (!self.accounts.iter().all(|account| current.sees(account))).then_some(Revoked::Account)
    }
}

#[cfg(test)]
mod tests;
