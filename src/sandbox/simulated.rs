//! Which providers are simulated, and what the door needs of each before it knows the merchant. From there on the
//! merchant's desk answers: `desk.rs`.

use axum::extract::Query;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

use super::state::State;
use super::switches::Switches;
use super::webhooks::{Schedule, Sending};
use super::{SandboxAccount, eko, enkash, oqpay, razorpay};

/// One of the simulated providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Simulated {
    #[default]
    Razorpay,
    Enkash,
    Oqpay,
    Eko,
}

/// What a client asked of a provider.
pub struct Asked {
    pub method: Method,
    /// Whole, with the provider's prefix.
    pub uri: Uri,
    /// As the provider knows it: for Razorpay what comes after `/v1`.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// The query's names and values, or None where it can't be read.
    pub fn query(&self) -> Option<Vec<(String, String)>> {
        Query::try_from_uri(&self.uri).ok().map(|Query(pairs)| pairs)
    }

    /// A header's value; one that is no text counts as left out.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a provider answers: JSON, be it an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Seconds, as a `Retry-After` header.
    pub retry_after: Option<u64>,
    pub body: String,
}

impl Reply {
    pub fn of(status: u16, body: String) -> Self {
        Self { status, retry_after: None, body }
    }
}

impl Simulated {
    pub const ALL: [Self; 4] = [Self::Razorpay, Self::Enkash, Self::Oqpay, Self::Eko];

    /// As in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Razorpay => "razorpay",
            Self::Enkash => "enkash",
            Self::Oqpay => "oqpay",
            Self::Eko => "eko",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|simulated| simulated.name() == name)
    }

    /// Who serves a path, and the path as he knows it. Razorpay is also reached without its name.
    pub(super) fn of_path(path: &str) -> Option<(Self, &str)> {
        let named = Self::ALL.into_iter().find_map(|simulated| {
            let rest = path.strip_prefix('/')?.strip_prefix(simulated.name())?;
            (rest.is_empty() || rest.starts_with('/')).then_some((simulated, rest))
        });
        match named.unwrap_or((Self::Razorpay, path)) {
            (Self::Razorpay, path) => Some((Self::Razorpay, path.strip_prefix("/v1")?)),
            found => Some(found),
        }
    }

    /// The name that faults and the request log know an operation by; None where there is no such path.
    pub(super) fn operation(self, method: &Method, path: &str) -> Option<&'static str> {
        match self {
            Self::Razorpay => razorpay::operation(method, path),
            Self::Enkash => enkash::operation(method, path),
            Self::Oqpay => oqpay::operation(method, path),
            Self::Eko => eko::operation(method, path),
        }
    }

    /// Whose request it is, or what a stranger is answered. Only accounts of this provider are found.
    pub(super) fn authenticate<'a>(
        self,
        asked: &Asked,
        accounts: &'a [SandboxAccount],
        state: &State,
        now_ms: i64,
    ) -> Result<&'a SandboxAccount, Reply> {
        match self {
            Self::Razorpay => Ok(razorpay::authenticate(&asked.headers, accounts, state)?),
            Self::Enkash => enkash::authenticate(asked, accounts, state, now_ms),
            Self::Oqpay => oqpay::authenticate(asked, accounts, &state.switches),
            Self::Eko => eko::authenticate(asked, accounts, &state.switches, now_ms),
        }
    }

    /// The error that goes with a status which a test asked for.
    pub(super) fn invent(self, status: u16, retry_after: Option<u64>, switches: &Switches) -> Reply {
        match self {
            Self::Razorpay => razorpay::invent(status, retry_after, switches),
            Self::Enkash => Reply { retry_after, ..enkash::invent(status) },
            Self::Oqpay => Reply { retry_after, ..oqpay::invent(status) },
            Self::Eko => Reply { retry_after, ..eko::invent(status) },
        }
    }

    /// Whether a call of this method changes nothing. Elsewhere a `GET` may leave something behind.
    pub(super) fn only_reads(self, method: &Method) -> bool {
        self == Self::Razorpay && method == Method::GET
    }

    /// The fields of request bodies that the log must not hold.
    pub(super) fn secret_fields(self) -> &'static [&'static str] {
        match self {
            Self::Razorpay => &[],
            Self::Enkash => &["secretKey"],
            Self::Oqpay => &["registrationID"],
            Self::Eko => &[],
        }
    }

    /// The headers of a callback besides its content type.
    pub(super) fn callback_headers(self, sending: &Sending) -> Vec<(&'static str, String)> {
        match self {
            Self::Razorpay => razorpay::webhook_headers(sending),
            Self::Enkash | Self::Oqpay | Self::Eko => Vec::new(),
        }
    }

    /// Whether a provider looks at what the receiver of a callback wrote, and if so whether it is content.
    pub(super) fn judge(self) -> Option<fn(&[u8]) -> bool> {
        match self {
            Self::Oqpay => Some(oqpay::is_taken),
            Self::Razorpay | Self::Enkash | Self::Eko => None,
        }
    }

    /// When a callback that was not taken is sent again.
    pub(super) fn schedule(self, switches: &Switches) -> Schedule<'_> {
        let after = |retries_ms| Schedule { retries_ms, first: |_, _| 0 };
        match self {
            Self::Razorpay => razorpay::schedule(),
            Self::Enkash => after(&switches.enkash.retries_ms),
            Self::Oqpay => after(&switches.oqpay.retries_ms),
            Self::Eko => after(&switches.eko.retries_ms),
        }
    }
}
