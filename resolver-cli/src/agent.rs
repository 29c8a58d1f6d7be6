//! `resolver agent`: the daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use resolver_sync::agent::AgentError;
use resolver_sync::catalog::Catalog;
use resolver_sync::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{Failure, output};

#[derive(Args)]
pub(crate) struct AgentArgs {
    /// The configuration, in TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to log, to standard error. What to log is in RUST_LOG (default: info).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

pub(crate) fn run(args: &AgentArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|error| output::fail(Failure::Usage, error))?;
    log(args.log_format);
    resolver_sync::agent::run(&config, &Catalog::default(), stop()).map_err(|error| {
        let failure = match &error {
            AgentError::Config(_) | AgentError::Pin(_) | AgentError::Kills(_) | AgentError::State(_) => {
                Failure::Usage
            }
            AgentError::Segment(_) => Failure::NoSegment,
            _ => Failure::Failed,
        };
        output::fail(failure, error)
    })
}

/// Ends at SIGTERM or SIGINT.
async fn stop() {
    let signals =
        signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    match signals {
        Ok((mut term, mut interrupt)) => {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!("{name}");
        }
        // Without handlers the signals end the process all the same, only less politely.
        Err(error) => {
            tracing::warn!("cannot listen for signals: {error}");
            std::future::pending().await
        }
    }
}

pub(crate) fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}
