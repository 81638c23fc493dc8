//! The binary: everything it can do is in `cli`.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use upistream::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Before anything speaks TLS. It fails only where one is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: this process can't start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(cli));
    // What still runs is nothing that anybody waits for.
    runtime.shutdown_background();
    ExitCode::from(code)
}
