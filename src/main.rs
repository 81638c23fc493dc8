//! The binary: `upistream serve --config FILE`.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use upistream::app::{self, Options};
use upistream::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [serve, option, file] = arguments.as_slice() else { return failed("usage: upistream serve --config FILE") };
    if serve != "serve" || option != "--config" {
        return failed("usage: upistream serve --config FILE");
    }
    match serve_until_told(Path::new(file)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => failed(&cause.to_string()),
    }
}

async fn serve_until_told(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // It fails only where one is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::load(Some(file), std::env::vars())?.config;
    upistream::telemetry::init_logs(&config.log.level, upistream::telemetry::LogShape::Text);
    let mut told_to_end = signal(SignalKind::terminate())?;
    let running = app::start(config, Options::default()).await?;
    println!("upistream serves\n  gRPC      {}\n  webhooks  {}\n  admin     {}", running.grpc, running.webhooks, running.admin);
    told_to_end.recv().await;
    running.stop().await;
    Ok(())
}

fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
