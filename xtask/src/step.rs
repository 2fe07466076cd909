//! Steps: commands with a title, a time, and (for tests) a count of what ran.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::interrupt::Interrupt;

/// The longest that a step of tests may run; none takes a third of it. One that hangs fails by its name instead of taking the time of all others.
const LIMIT: Duration = Duration::from_secs(12 * 60);
/// The longest that all steps together may take. CI ends a run after ninety minutes and keeps nothing of what it said.
const LIMIT_OF_ALL: Duration = Duration::from_secs(80 * 60);
/// How long one that was told to end has for it, and what one that has ended left behind.
const GRACE: Duration = Duration::from_secs(5);

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// All steps of a run.
pub struct Steps {
    start: Instant,
    interrupt: Interrupt,
    finished: Vec<(String, Duration, bool)>,
    count: Count,
}

impl Steps {
    /// Takes over Ctrl-C: it ends the step that is running, and no other begins.
    pub fn begin() -> Result<Self> {
        thread::spawn(|| {
            thread::sleep(LIMIT_OF_ALL);
            eprintln!(
                "\nended: not all steps were done within {} minutes",
                LIMIT_OF_ALL.as_secs() / 60
            );
            process::exit(1);
        });
        Ok(Self {
            start: Instant::now(),
            interrupt: Interrupt::install()?,
            finished: Vec::new(),
            count: Count::default(),
        })
    }

    /// Set by Ctrl-C.
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Runs a check that either succeeds or not.
    pub fn check(&mut self, title: &str, check: impl FnOnce() -> Result<()>) {
        self.record(title, |_| check());
    }

    /// Runs `cargo` with test output: its summaries are counted.
    pub fn tests(&mut self, title: &str, command: &mut Command) {
        let interrupt = self.interrupt.clone();
        self.record(title, |count| run_and_count(command, &interrupt, count));
    }

    /// Notes tests that were left out.
    pub fn skip(&mut self, title: &str, tests: usize) {
        println!("\n=== {title}: {tests} tests left out");
        self.count.skipped += tests;
    }

    /// Prints times and counts; fails if a step failed.
    pub fn finish(self) -> Result<()> {
        println!();
        for (title, time, good) in &self.finished {
            println!(
                "{:>8.1} s  {}  {title}",
                time.as_secs_f64(),
                if *good { "ok  " } else { "FAIL" }
            );
        }
        let total: Duration = self.finished.iter().map(|(_, time, _)| *time).sum();
        println!("{:>8.1} s        in all", total.as_secs_f64());
        let failed: Vec<&str> = self
            .finished
            .iter()
            .filter(|(_, _, good)| !good)
            .map(|(title, _, _)| title.as_str())
            .collect();
        let Count {
            passed,
            failed: failed_tests,
            skipped,
        } = self.count;
        println!("{passed} passed, {failed_tests} failed, {skipped} skipped");
        if self.interrupt.requested() {
            bail!("ended by Ctrl-C; what had not begun by then was left out");
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", failed.join(", "))
    }

    fn record(&mut self, title: &str, step: impl FnOnce(&mut Count) -> Result<()>) {
        if self.interrupt.requested() {
            return;
        }
        let start = Instant::now();
        println!(
            "\n=== {title} ({} s after the start)",
            self.start.elapsed().as_secs()
        );
        let result = step(&mut self.count);
        if let Err(error) = &result {
            eprintln!("{title}: {error:#}");
        }
        self.finished
            .push((title.to_owned(), start.elapsed(), result.is_ok()));
    }
}

/// `cargo`, the one that runs us, in the root of the workspace.
pub fn cargo(words: &[&str]) -> Command {
    // Set by cargo for `cargo run`; started by hand, the one in PATH does as well.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(words).current_dir(root());
    command
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Runs a command; anything but success is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {}", words_of(command)))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` ended with {status}", words_of(command))
}

/// True if the command can be started and succeeds; says nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run_and_count(command: &mut Command, interrupt: &Interrupt, count: &mut Count) -> Result<()> {
    // nextest reports on standard error, cargo test on standard output; both go through one pipe in their order.
    let (reader, writer) = std::io::pipe().context("could not make a pipe")?;
    let error_writer = writer.try_clone().context("could not make a pipe")?;
    let words = words_of(command);
    let mut child = command
        .stdout(writer)
        .stderr(error_writer)
        // Of its own, so that it can be ended with all that it has started.
        .process_group(0)
        .spawn()
        .with_context(|| format!("could not start {words}"))?;
    // The command holds copies of the pipe's writing end, which would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let (mut life, mut ran) = (Life::of(&child), 0);
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                let line = line.context("could not read the output of the tests")?;
                println!("{line}");
                if let Some(part) = count_in(&line) {
                    count.passed += part.passed;
                    count.failed += part.failed;
                    count.skipped += part.skipped;
                    ran += part.passed + part.failed;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if life.is_over(&mut child, interrupt)? => break,
            Err(RecvTimeoutError::Timeout) => (),
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("could not wait for {words}"))?;
    if life.late {
        let minutes = LIMIT.as_secs() / 60;
        bail!("`{words}` was ended: it had not come to its end within {minutes} minutes");
    }
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    if ran == 0 {
        println!("(no test has this name)");
    }
    Ok(())
}

/// What has become of a command that runs in a group of processes of its own.
struct Life {
    group: Pid,
    start: Instant,
    /// When it was told to end, or seen to have ended.
    end: Option<Instant>,
    late: bool,
}

impl Life {
    fn of(child: &Child) -> Self {
        Self {
            group: Pid::from_raw(child.id().cast_signed()),
            start: Instant::now(),
            end: None,
            late: false,
        }
    }

    /// True if nothing more is to be expected of it. Ends what takes too long, and what Ctrl-C is meant for: the terminal tells only our own group.
    fn is_over(&mut self, child: &mut Child, interrupt: &Interrupt) -> Result<bool> {
        let ended = child
            .try_wait()
            .context("could not look after a process")?
            .is_some();
        let Some(end) = self.end else {
            self.late = !ended && self.start.elapsed() > LIMIT;
            if self.late || interrupt.requested() {
                // A group that has just ended by itself is as good as one that we ended.
                let _ = killpg(self.group, Signal::SIGTERM);
            }
            if ended || self.late || interrupt.requested() {
                self.end = Some(Instant::now());
            }
            return Ok(false);
        };
        if end.elapsed() < GRACE {
            return Ok(false);
        }
        // What it started and left behind (a server of Wine) may hold its output open for ever.
        let _ = killpg(self.group, Signal::SIGKILL);
        Ok(true)
    }
}

/// Reads the closing line of `cargo test` (`test result: ok. 3 passed; 0 failed; 1 ignored; …`) or of nextest
/// (`Summary [ 0.1s] 3 tests run: 2 passed, 1 failed, 4 skipped`).
fn count_in(line: &str) -> Option<Count> {
    let plain = line.trim();
    let of_nextest = plain.starts_with("Summary") && plain.contains("run:");
    if !of_nextest && !plain.starts_with("test result:") {
        return None;
    }
    let words: Vec<&str> = plain
        .split([' ', ';', ',', '(', ')'])
        .filter(|word| !word.is_empty())
        .collect();
    let number_before = |name: &str| {
        words
            .windows(2)
            .find(|pair| pair[1] == name)
            .and_then(|pair| pair[0].parse().ok())
            .unwrap_or(0)
    };
    // What a name filter leaves out is not counted: nobody asked for it.
    Some(Count {
        passed: number_before("passed"),
        failed: number_before("failed"),
        skipped: number_before("ignored"),
    })
}

fn words_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        let cargo = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.1s";
        assert_eq!(
            count_in(cargo),
            Some(Count {
                passed: 3,
                failed: 1,
                skipped: 2
            })
        );
        let nextest = "     Summary [   0.035s] 12 tests run: 11 passed (1 slow), 1 failed, 3 skipped";
        assert_eq!(
            count_in(nextest),
            Some(Count {
                passed: 11,
                failed: 1,
                skipped: 0
            })
        );
        assert_eq!(count_in("test lab ... ok"), None);
    }
}
