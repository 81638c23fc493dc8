//! How fast the service is, as ratios: each figure is the service's over that of a floor which does the same input and output
//! with no logic, in the same run, by the same clients. Everything is started here: redis, the service, its provider, the floor,
//! the load.
//!
//! `cargo bench --bench speed -- [CASE]… [--json] [--tiny] [--million]`
//!
//! `--tiny` shows that each case runs, in a second or two; its figures mean nothing. `--million` has the catch-up read a million
//! events instead of a hundred thousand.

mod bare;
mod catch_up;
mod creation;
mod figure;
mod file_floor;
mod load;
mod own_redis;
mod process;
mod provider;
mod qr_on_file;
mod qr_on_redis;
mod recorded;
mod service;

use std::process::ExitCode;
use std::time::Duration;

use figure::Figure;
use upistream::telemetry::{self, Lines};

/// Why there is no figure.
type Failed = Box<dyn std::error::Error + Send + Sync>;

const CASES: [&str; 6] = ["get-qr-redis", "replay-redis", "create-qr-redis", "start", "create-qr-embedded", "catch-up-redis"];

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
}

impl Scale {
    const TINY: Self = Self { runs: 1, time: Duration::from_millis(150), codes: 20, events: 2_000 };
    const FULL: Self = Self { runs: 5, time: Duration::from_secs(3), codes: 500, events: 100_000 };
    const EVENTS_MANY: usize = 1_000_000;
}

struct Asked {
    cases: Vec<&'static str>,
    scale: Scale,
    json: bool,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("error: {what}");
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("error: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut cases, mut scale, mut json, mut events) = (Vec::new(), Scale::FULL, false, None);
    for argument in arguments {
        match argument.as_str() {
            // Cargo says so itself.
            "--bench" => {}
            "--json" => json = true,
            "--tiny" => scale = Scale::TINY,
            "--million" => events = Some(Scale::EVENTS_MANY),
            name => match CASES.into_iter().find(|case| *case == name) {
                Some(case) => cases.push(case),
                None => return Err(format!("there is no case `{name}`; there are {}, and --json, --tiny, --million", CASES.join(", "))),
            },
        }
    }
    if cases.is_empty() {
        cases.extend(CASES);
    }
    scale.events = events.unwrap_or(scale.events);
    Ok(Asked { cases, scale, json })
}

fn run(Asked { cases, scale, json }: &Asked) -> Result<(), Failed> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // As it is served: where nobody logs, spans cost nothing.
    telemetry::install("info", Lines::Json, None)?;
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
        println!("{:#}", serde_json::json!({ "cores": cores, "runs": scale.runs, "figures": figures }));
    }
    Ok(())
}

async fn measure(case: &str, scale: Scale) -> Result<Vec<Figure>, Failed> {
    match case {
        "get-qr-redis" => qr_on_redis::get(scale).await,
        "replay-redis" => qr_on_redis::replay(scale).await,
        "create-qr-redis" => qr_on_redis::create(scale).await,
        "start" => process::start(scale).await,
        "create-qr-embedded" => qr_on_file::create(scale).await,
        "catch-up-redis" => catch_up::read(scale).await,
        other => Err(format!("there is no case `{other}`").into()),
    }
}
