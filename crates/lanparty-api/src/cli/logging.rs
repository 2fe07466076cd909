//! Where log lines go: standard error, as text for people or as JSON for machines. Standard output belongs to what the
//! user asked for.

use std::io::{self, IsTerminal};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{ExitCode, Failure};

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for this process. `base` is what is logged without `-v`: a program that tells its story in sentences logs
/// warnings, a service what its operator would notice. The variable `LANPARTY_LOG` takes tracing's filter directives and wins.
///
/// # Errors
/// Directives that are none, or a logger that is already there.
pub fn init_logging(format: Option<LogFormat>, verbose: u8, base: LevelFilter) -> Result<(), Failure> {
    let filter = match std::env::var("LANPARTY_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives).map_err(|error| {
            Failure::new(ExitCode::Usage, error)
                .advise("correct LANPARTY_LOG, for example LANPARTY_LOG=lanparty_node=debug")
        })?,
        Ok(_) | Err(_) => EnvFilter::new(directives(verbose, base)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match format.unwrap_or_default() {
        LogFormat::Text => subscriber
            .with_ansi(io::stderr().is_terminal())
            .with_target(verbose > 0)
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(ExitCode::Unexpected, error))
}

/// Ours first; what libraries say interests two steps later.
fn directives(verbose: u8, base: LevelFilter) -> String {
    const STEPS: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let step = STEPS.iter().position(|&level| level == base).unwrap_or(0) + usize::from(verbose);
    let ours = STEPS[step.min(STEPS.len() - 1)];
    let others = STEPS[usize::from(verbose).saturating_sub(1).clamp(1, STEPS.len() - 1)].min(ours);
    let crates = [
        "api", "core", "os", "quic", "node", "client", "gateway", "relay", "wire",
    ];
    let ours: String = crates
        .iter()
        .map(|name| format!(",lanparty_{name}={ours}"))
        .collect();
    format!("{others}{ours}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_logs_one_step_more_of_ours() {
        for (verbose, ours) in [
            (0, "warn"),
            (1, "info"),
            (2, "debug"),
            (3, "trace"),
            (200, "trace"),
        ] {
            let directives = directives(verbose, LevelFilter::WARN);
            assert!(
                directives.contains(&format!("lanparty_node={ours}")),
                "{verbose}: {directives}"
            );
            EnvFilter::try_new(&directives).unwrap();
        }
    }

    #[test]
    fn libraries_stay_quiet_until_asked_twice() {
        assert!(directives(0, LevelFilter::INFO).starts_with("warn,"));
        assert!(directives(1, LevelFilter::INFO).starts_with("warn,"));
        assert!(directives(3, LevelFilter::INFO).starts_with("info,"));
    }
}
