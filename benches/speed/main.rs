//! How fast the service is, as ratios: each figure is the service's over that of a floor which does the same input and output
//! with no logic, in the same run, by the same clients. Everything is started here: redis, the service, its provider, the floor,
//! the load.
//!
//! `cargo bench --bench speed -- [CASE]… [--json] [--tiny] [--million]`
//!
//! `--tiny` shows that each case runs, in some seconds; its figures mean nothing. `--million` makes a million events to catch up
//! with, and a million records where many are compared with few, instead of a hundred thousand.

mod bare;
mod callback;
mod callback_on_redis;
mod callback_to_event;
mod catch_up;
mod creation;
mod fan_out;
mod figure;
mod file_floor;
mod idle;
mod load;
mod many_records;
mod own_redis;
mod process;
mod progress;
mod provider;
mod qr_on_file;
mod qr_on_redis;
mod recorded;
mod service;
mod subscribers;

use std::process::ExitCode;
use std::time::Duration;

use figure::Figure;
use mimalloc::MiMalloc;
use upistream::telemetry::{self, Lines};

/// That of the service, for floor and load as well.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why there is no figure.
type Failed = Box<dyn std::error::Error + Send + Sync>;

const CASES: [&str; 12] = [
    "get-qr-redis",
    "replay-redis",
    "create-qr-redis",
    "create-qr-embedded",
    "callback-redis",
    "callback-to-event",
    "fan-out",
    "catch-up-redis",
    "idle-subscribers",
    "many-records",
    "many-records-embedded",
    "start",
];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Runs of each side, which alternate.
    runs: usize,
    /// Of one run.
    time: Duration,
    /// Codes that are there before reads of them are measured.
    codes: usize,
    /// Events that are caught up with.
    events: usize,
    /// Subscribers who get each event, and how many events those are in a run.
    live: usize,
    live_events: usize,
    /// Subscribers to whom nothing comes.
    idle: usize,
    /// Records, where many are compared with few.
    few: usize,
    many: usize,
}

impl Scale {
    const TINY: Self = Self {
        runs: 1,
        time: Duration::from_millis(150),
        codes: 20,
        events: 2_000,
        live: 40,
        live_events: 20,
        idle: 200,
        few: 200,
        many: 2_000,
    };
    const FULL: Self = Self {
        runs: 5,
        time: Duration::from_secs(3),
        codes: 500,
        events: 100_000,
        live: 1_000,
        live_events: 4_000,
        idle: 10_000,
        few: 10_000,
        many: 100_000,
    };
    const MILLION: usize = 1_000_000;

    /// The same time in three times as many runs, where a second has thousands of calls: what the machine does beside them then
    /// comes over both sides more evenly.
    fn in_short_runs(self) -> Self {
        Self { runs: self.runs * 3, time: self.time / 3, ..self }
    }
}

struct Asked {
    cases: Vec<&'static str>,
    scale: Scale,
    json: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(idle::FLOOR) {
        return ended(serve_floor());
    }
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("error: {what}");
            return ExitCode::from(2);
        }
    };
    ended(run(&asked))
}

fn ended(result: Result<(), Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("error: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// What this process does where it is a floor of another one.
fn serve_floor() -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(idle::serve())
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut cases, mut scale, mut json, mut is_million) = (Vec::new(), Scale::FULL, false, false);
    for argument in arguments {
        match argument.as_str() {
            // Cargo says so itself.
            "--bench" => {}
            "--json" => json = true,
            "--tiny" => scale = Scale::TINY,
            "--million" => is_million = true,
            name => match CASES.into_iter().find(|case| *case == name) {
                Some(case) => cases.push(case),
                None => return Err(format!("there is no case `{name}`; there are {}, and --json, --tiny, --million", CASES.join(", "))),
            },
        }
    }
    if cases.is_empty() {
        cases.extend(CASES);
    }
    if is_million {
        (scale.events, scale.many) = (Scale::MILLION, Scale::MILLION);
    }
    Ok(Asked { cases, scale, json })
}

fn run(Asked { cases, scale, json }: &Asked) -> Result<(), Failed> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // As it is served: where nobody logs, spans cost nothing.
    let level = if scale.runs == Scale::TINY.runs { "error" } else { "info" };
    telemetry::install(level, Lines::Json, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut measured = Vec::new();
    for case in cases {
        let figures = runtime.block_on(measure(case, *scale)).map_err(|cause| format!("{case}: {cause}"))?;
        if !json {
            figures.iter().for_each(|figure| println!("{}", figure.text()));
        }
        measured.extend(figures);
    }
    if *json {
        let cores = std::thread::available_parallelism()?.get();
        let figures: Vec<_> = measured.iter().map(Figure::json).collect();
        println!("{:#}", serde_json::json!({ "cores": cores, "figures": figures }));
    }
    Ok(())
}

async fn measure(case: &str, scale: Scale) -> Result<Vec<Figure>, Failed> {
    match case {
        "get-qr-redis" => qr_on_redis::get(scale.in_short_runs()).await,
        "replay-redis" => qr_on_redis::replay(scale.in_short_runs()).await,
        "create-qr-redis" => qr_on_redis::create(scale.in_short_runs()).await,
        "create-qr-embedded" => qr_on_file::create(scale).await,
        "callback-redis" => callback_on_redis::answered(scale).await,
        "callback-to-event" => callback_to_event::latency(scale).await,
        "fan-out" => fan_out::deliver(scale).await,
        "catch-up-redis" => catch_up::read(scale).await,
        "idle-subscribers" => idle::memory(scale).await,
        "many-records" => many_records::on_redis(scale).await,
        "many-records-embedded" => many_records::on_file(scale).await,
        "start" => process::start(scale).await,
        other => Err(format!("there is no case `{other}`").into()),
    }
}
