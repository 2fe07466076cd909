//! `cargo xtask fuzz`: every target of `fuzz/`, one after the other, each for the same time.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::step::{root, run as run_command, succeeds};

#[derive(Args)]
pub struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 10)]
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
    if !succeeds(Command::new("cargo").args(["+nightly", "fuzz", "--version"])) {
        bail!("install first: rustup toolchain install nightly && cargo install cargo-fuzz --locked");
    }
    let time = format!("-max_total_time={}", options.minutes * 60);
    for name in wanted {
        println!("\n=== {name} for {} minutes", options.minutes);
        let mut command = Command::new("cargo");
        command.args([
            "+nightly",
            "fuzz",
            "run",
            name,
            "--",
            &time,
            "-print_final_stats=1",
        ]);
        run_command(command.current_dir(root())).with_context(|| format!("{name} has a finding"))?;
    }
    Ok(())
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
