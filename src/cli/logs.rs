//! Logs of what is started here, on standard error.

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::config::{LogConfig, LogFormat};

/// Once a process; a second time changes nothing.
pub fn start(config: &LogConfig) -> Result<(), Failure> {
    let LogConfig { level, format } = config;
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::new(format!("log.level is `{level}`: {error}"), "write error, warn, info, debug, trace, or directives")
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => logs.with_target(false).with_ansi(colours()).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    Ok(())
}

fn colours() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
