//! Logs of what is started here, on standard error; and where a collector is configured, traces and metrics on their way there.

use crate::clock::Randomness;
use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::telemetry::{self, Export, ExportSettings, Lines};

use super::failure::Failure;

/// Once a process; a second time changes nothing.
pub fn start(config: &LogConfig) -> Result<(), Failure> {
    install(config, None)
}

/// The same, and an export to the collector where one is configured.
pub fn start_with_export(config: &LogConfig, telemetry: &TelemetryConfig) -> Result<Option<Export>, Failure> {
    let export = settings(telemetry).map(|settings| Export::start(&settings)).transpose();
    let export = export.map_err(|error| Failure::new(error.to_string(), "correct telemetry.otlp_endpoint, or leave it empty"))?;
    install(config, export.as_ref())?;
    Ok(export)
}

fn install(LogConfig { level, format }: &LogConfig, export: Option<&Export>) -> Result<(), Failure> {
    let lines = match format {
        LogFormat::Text => Lines::Text { colours: colours() },
        LogFormat::Json => Lines::Json,
    };
    telemetry::install(level, lines, export.map(Export::tracer))
        .map_err(|error| Failure::new(format!("log.level: {error}"), "write error, warn, info, debug, trace, or directives"))
}

/// `None`: nothing is to be exported.
fn settings(config: &TelemetryConfig) -> Option<ExportSettings> {
    let new_name = || format!("{:016x}", Randomness::of_system().bits());
    Some(ExportSettings {
        endpoint: config.otlp_endpoint.clone()?,
        trace_percent: config.trace_percent,
        every: config.export_every(),
        queue_spans: config.queue_spans,
        service_name: config.service_name.clone(),
        service_instance: config.service_instance.clone().unwrap_or_else(new_name),
    })
}

fn colours() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
