//! A process's calls to the system as strace writes them down: one after the other, over all its threads.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

/// The calls that are written down: what reads, what writes, and what waits for the disk.
const TRACED: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync";
/// The most that is written down of what a call read or wrote.
const BYTES_MAX: &str = "1000000";

/// What a call did, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It has read this.
    Read,
    /// It is about to write this to a peer (or to a file without saying where in it).
    Write,
    /// It is about to write this into a file.
    WriteAt,
    /// The disk has the file.
    Synced,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub act: Act,
    /// The file descriptor and what it stands for.
    pub what: String,
    /// The call's line, data and all.
    pub line: String,
}

/// `command` with its calls written to `trace`. The process is the command's own, not strace's: what ends it ends it.
pub fn traced(command: &Command, trace: &Path) -> Command {
    let command = command.as_std();
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-yy", "-s", BYTES_MAX, "-e", TRACED, "-o"]).arg(trace).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    strace
}

/// Whether the trace has come to the end of the process `id`.
pub fn is_complete(trace: &str, id: u32) -> bool {
    let is_end = |line: &str| line.trim_start().strip_prefix(&id.to_string()).is_some_and(|rest| rest.trim_start().starts_with("+++ "));
    // The other threads' ends stand around it.
    trace.lines().rev().take(100).any(is_end)
}

/// The steps of a trace, in their order.
pub fn read(trace: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    // A call that another thread's line interrupts is written in two pieces.
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            // What is written is known, and counts, when the call begins.
            steps.extend(step(beginning).filter(|step| matches!(step.act, Act::Write | Act::WriteAt)));
            begun.insert(thread, beginning.to_owned());
        } else if rest.starts_with("<... ") {
            let ending = rest.split_once("resumed>").map_or("", |(_, ending)| ending);
            let whole = begun.remove(thread).unwrap_or_default() + ending;
            steps.extend(step(&whole).filter(|step| matches!(step.act, Act::Read | Act::Synced)));
        } else {
            steps.extend(step(rest));
        }
    }
    steps
}

fn step(call: &str) -> Option<Step> {
    let (name, rest) = call.split_once('(')?;
    let act = match name {
        "read" | "readv" | "recvfrom" | "recvmsg" => Act::Read,
        "write" | "writev" | "sendto" | "sendmsg" => Act::Write,
        "pwrite64" | "pwritev" => Act::WriteAt,
        "fsync" | "fdatasync" if call.trim_end().ends_with("= 0") => Act::Synced,
        _ => return None,
    };
    // A connection's name has a `>` of its own.
    let end = if rest.contains("<TCP") { rest.find("]>").map(|end| end + 1) } else { rest.find('>') };
    Some(Step { act, what: rest[..end?].to_owned(), line: call.to_owned() })
}
