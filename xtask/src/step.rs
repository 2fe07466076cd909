//! Steps: commands with a title, a time, and (for tests) a count of what ran.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// All steps of a run.
#[derive(Default)]
pub struct Steps {
    finished: Vec<(String, Duration, bool)>,
    count: Count,
}

impl Steps {
    /// Runs a check that either succeeds or not.
    pub fn check(&mut self, title: &str, check: impl FnOnce() -> Result<()>) {
        self.record(title, |_| check());
    }

    /// Runs `cargo` with test output: its summaries are counted.
    pub fn tests(&mut self, title: &str, command: &mut Command) {
        self.record(title, |count| run_and_count(command, count));
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
        if failed.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", failed.join(", "))
    }

    fn record(&mut self, title: &str, step: impl FnOnce(&mut Count) -> Result<()>) {
        println!("\n=== {title}");
        let start = Instant::now();
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

fn run_and_count(command: &mut Command, count: &mut Count) -> Result<()> {
    // nextest reports on standard error, cargo test on standard output; both go through one pipe in their order.
    let (reader, writer) = std::io::pipe().context("could not make a pipe")?;
    let error_writer = writer.try_clone().context("could not make a pipe")?;
    let words = words_of(command);
    let mut child = command
        .stdout(writer)
        .stderr(error_writer)
        .spawn()
        .with_context(|| format!("could not start {words}"))?;
    // The command holds copies of the pipe's writing end, which would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut ran = 0;
    for line in BufReader::new(reader).lines() {
        let line = line.context("could not read the output of the tests")?;
        println!("{line}");
        if let Some(part) = count_in(&line) {
            count.passed += part.passed;
            count.failed += part.failed;
            count.skipped += part.skipped;
            ran += part.passed + part.failed;
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("could not wait for {words}"))?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    if ran == 0 {
        println!("(no test has this name)");
    }
    Ok(())
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
