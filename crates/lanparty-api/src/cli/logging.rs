//! Where log lines go: standard error, as text for people or as JSON for machines. Standard output belongs to what the
//! user asked for.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::writer::{BoxMakeWriter, MakeWriter, MakeWriterExt},
};

use super::{ExitCode, Failure, log_file::LogFile};

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
    init_logging_with(format, verbose, base, None)
}

/// Like [`init_logging`], and the newest lines are also kept in `tail`.
///
/// # Errors
/// As [`init_logging`].
pub fn init_logging_with(
    format: Option<LogFormat>,
    verbose: u8,
    base: LevelFilter,
    tail: Option<LogTail>,
) -> Result<(), Failure> {
    let filter = match std::env::var("LANPARTY_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives).map_err(|error| {
            Failure::new(ExitCode::Usage, error)
                .advise("correct LANPARTY_LOG, for example LANPARTY_LOG=lanparty_node=debug")
        })?,
        Ok(_) | Err(_) => EnvFilter::new(directives(verbose, base)),
    };
    // What is kept is read as text.
    let colours = tail.is_none() && io::stderr().is_terminal();
    let writer = match tail {
        Some(tail) => BoxMakeWriter::new(io::stderr.and(tail)),
        None => BoxMakeWriter::new(io::stderr),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let started = match format.unwrap_or_default() {
        LogFormat::Text => subscriber.with_ansi(colours).with_target(verbose > 0).try_init(),
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

/// The newest lines of a log, for somebody who is asked for help later.
#[derive(Clone, Debug, Default)]
pub struct LogTail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<u8>,
    file: Option<LogFile>,
}

impl LogTail {
    /// Bytes. An evening without trouble writes far less at a service's level.
    const MOST: usize = 512 * 1024;

    /// Adds a line that was said and not logged.
    pub fn push(&self, line: &str) {
        self.keep(format!("{line}\n").as_bytes());
    }

    /// One whose lines are also written behind those that a file has, of at most 4 MiB with one older file beside it (`.1`).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn in_file(path: &Path) -> io::Result<LogTail> {
        let file = Some(LogFile::open(path)?);
        let lines = VecDeque::new();
        Ok(LogTail(Arc::new(Mutex::new(Kept { lines, file }))))
    }

    /// Whole lines, oldest first.
    pub fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.lines.make_contiguous()).into_owned();
        if kept.lines.len() < LogTail::MOST {
            return text;
        }
        text.split_once('\n')
            .map_or(String::new(), |(_, whole)| whole.to_owned())
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.file {
            file.write(bytes);
        }
        kept.lines.extend(bytes);
        let excess = kept.lines.len().saturating_sub(LogTail::MOST);
        kept.lines.drain(..excess);
    }
}

impl Write for LogTail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogTail {
    type Writer = LogTail;

    fn make_writer(&'a self) -> LogTail {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_newest_whole_lines() {
        let tail = LogTail::default();
        tail.push("first");
        assert_eq!(tail.text(), "first\n");
        let line = "x".repeat(99);
        for _ in 0..LogTail::MOST / 100 + 1 {
            tail.push(&line);
        }
        tail.push("last");
        let text = tail.text();
        assert!(text.len() <= LogTail::MOST);
        assert!(text.ends_with("\nlast\n"));
        assert!(text.starts_with(&format!("{line}\n")));
    }

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
