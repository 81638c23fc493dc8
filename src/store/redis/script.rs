//! The scripts, and a call of one: its keys, each once, and its arguments. EVALSHA is what runs; EVAL only where the
//! server doesn't know the script yet.

use std::sync::LazyLock;
use std::time::Duration;

use indexmap::IndexSet;
use redis::{Arg, Cmd, ToRedisArgs};

use crate::store::StoreClock;

/// A Lua script that stands beside this file.
pub(super) struct Script {
    code: String,
    sha1: String,
}

impl Script {
    fn of(parts: &[&str]) -> Self {
        let code = parts.concat();
        let sha1 = redis::Script::new(&code).get_hash().to_owned();
        Self { code, sha1 }
    }
}

const PRELUDE: &str = include_str!("prelude.lua");
const LOOKS: &str = include_str!("looks.lua");
const TOKENS: &str = include_str!("tokens.lua");

macro_rules! scripts {
    ($($name:ident = [$($part:expr),*];)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::of(&[$($part),*]));)*
    };
}

scripts! {
    COMMIT = [PRELUDE, LOOKS, include_str!("commit.lua")];
    FIND = [include_str!("find.lua")];
    TAKE_DUE = [PRELUDE, LOOKS, include_str!("take_due.lua")];
    DUE = [PRELUDE, LOOKS, include_str!("due.lua")];
    RENEW = [PRELUDE, LOOKS, include_str!("renew.lua")];
    RELEASE = [PRELUDE, LOOKS, include_str!("release.lua")];
    WAKE = [PRELUDE, LOOKS, include_str!("wake.lua")];
    EVENT = [include_str!("event.lua")];
    SEQ_BEFORE = [PRELUDE, include_str!("seq_before.lua")];
    TRIM = [PRELUDE, include_str!("trim.lua")];
    FORGET_CLAIMS = [PRELUDE, include_str!("forget_claims.lua")];
    FORGET_RECORD = [PRELUDE, include_str!("forget_record.lua")];
    CREATE = [include_str!("create.lua")];
    TOKEN_GET = [PRELUDE, TOKENS, include_str!("token_get.lua")];
    TOKEN_BEGIN = [PRELUDE, TOKENS, include_str!("token_begin.lua")];
    TOKEN_FINISH = [PRELUDE, TOKENS, include_str!("token_finish.lua")];
    TOKEN_ABANDON = [PRELUDE, TOKENS, include_str!("token_abandon.lua")];
    TOKEN_DISCARD = [PRELUDE, TOKENS, include_str!("token_discard.lua")];
}

/// How long a call that is sent again finds its own work, where nothing says otherwise. A client sends one again within seconds.
pub(super) const REMEMBERED_MS: u64 = 60_000;

/// The time, where scripts are not to ask the server for it.
pub(super) fn clock_arg(clock: Option<&StoreClock>) -> String {
    clock.map_or(String::new(), |clock| clock().to_string())
}

/// A span as scripts take it.
pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Room for what a commit of one record has: with less it is moved several times while the call is put together.
const KEYS: usize = 24;
const ARGS: usize = 64;
const ARGS_BYTES: usize = 4_096;
/// Before the keys of a call: what is called, by what, and how many keys there are.
const FIRST_WORDS: usize = 3;
/// The longest number.
const NUMBER_BYTES: usize = 20;

/// A call of a script.
pub(super) struct Call {
    script: &'static Script,
    keys: IndexSet<String>,
    /// As a command without a name: all in one buffer.
    args: Cmd,
}

impl Call {
    pub(super) fn of(script: &'static Script) -> Self {
        Self { script, keys: IndexSet::with_capacity(KEYS), args: Cmd::with_capacity(ARGS, ARGS_BYTES) }
    }

    /// Adds a key at the next number.
    pub(super) fn key(mut self, key: String) -> Self {
        self.number_of(key);
        self
    }

    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.add(arg);
        self
    }

    pub(super) fn add(&mut self, arg: impl ToRedisArgs) {
        self.args.arg(arg);
    }

    /// The number that Lua finds `key` at.
    pub(super) fn number_of(&mut self, key: String) -> usize {
        let (index, _) = self.keys.insert_full(key);
        index + 1
    }

    /// The call by the script's digest.
    pub(super) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha1)
    }

    /// The same call with the script's text, which the server keeps from then on.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", &self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let args = || self.args.args_iter().filter_map(|arg| if let Arg::Simple(arg) = arg { Some(arg) } else { None });
        let count = FIRST_WORDS + self.keys.len() + args().count();
        let bytes = name.len()
            + script.len()
            + NUMBER_BYTES
            + self.keys.iter().map(String::len).sum::<usize>()
            + args().map(<[u8]>::len).sum::<usize>();
        let mut command = Cmd::with_capacity(count, bytes);
        command.arg(name).arg(script).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for arg in args() {
            command.arg(arg);
        }
        command
    }
}
