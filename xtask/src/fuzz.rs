//! `cargo xtask fuzz`: every target of `fuzz/`, one after the other, each for the same time.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::step::{root, run as run_command, succeeds};

#[derive(Args)]
pub struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// Only targets whose name contains this
    filter: Option<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let targets = targets()?;
    let wanted: Vec<&String> = targets
        .iter()
        .filter(|name| {
            options
                .filter
                .as_ref()
                .is_none_or(|filter| name.contains(filter.as_str()))
        })
        .collect();
    if wanted.is_empty() {
        bail!(
            "no fuzz target has this name; there are: {}",
            targets.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    if !succeeds(&mut fuzzer(&["--version"])) {
        bail!("install first: rustup toolchain install nightly && cargo install cargo-fuzz --locked");
    }
    for name in wanted {
        println!("\n=== {name} for {} minutes", options.minutes);
        fuzz(name, options.minutes).with_context(|| format!("{name} has a finding, or could not run"))?;
    }
    Ok(())
}

/// What it finds worth keeping goes to `fuzz/corpus`, which stays on this machine; it starts from the committed seeds.
fn fuzz(name: &str, minutes: u32) -> Result<()> {
    let corpus = root().join("fuzz/corpus").join(name);
    fs::create_dir_all(&corpus).with_context(|| format!("could not create {}", corpus.display()))?;
    let folders = ["corpus", "seeds"].map(|kind| format!("fuzz/{kind}/{name}"));
    let time = format!("-max_total_time={}", minutes * 60);
    let words = [
        "run",
        name,
        &folders[0],
        &folders[1],
        "--",
        &time,
        "-print_final_stats=1",
    ];
    run_command(&mut fuzzer(&words))
}

/// `cargo fuzz` of the nightly toolchain, whichever toolchain runs us.
fn fuzzer(words: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz"])
        .args(words)
        .current_dir(root());
    command
}

/// The targets are the files of `fuzz/fuzz_targets`.
fn targets() -> Result<BTreeSet<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect())
}
