//! `cargo xtask test`: everything that has to hold, cheap checks first, with a count at the end.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    binaries::{self, LAB_FEATURE},
    demo, deps, setup,
    step::{Steps, cargo, root, run as run_command},
    windows,
};

#[derive(Args)]
pub struct Options {
    /// Only formatting, dependencies, clippy and the tests outside the lab
    #[arg(long)]
    quick: bool,
    /// Leave the lab out (its tests are counted as skipped)
    #[arg(long)]
    no_lab: bool,
    /// Only tests whose name contains this, and no other checks
    filter: Option<String>,
}

/// Where the tests in namespaces are.
const LAB_TESTS: &str = "crates/lanparty-testkit/tests";

pub fn run(options: &Options) -> Result<()> {
    let lab = !options.quick && !options.no_lab;
    if lab {
        setup::need_root("test", ", or leave the lab out with --no-lab")?;
        setup::lab_packages()?;
    }
    let mut steps = Steps::begin()?;
    let filter = options.filter.as_deref();
    if filter.is_none() {
        checks(&mut steps, options.quick);
    }
    steps.check("everything, built", binaries::build_for_tests);
    unit_tests(&mut steps, filter);
    if !options.quick {
        windows::steps(&mut steps, filter);
        window_steps(&mut steps, filter);
    }
    if filter.is_none() && !options.quick {
        steps.check("licences, sources and bans (cargo deny)", || {
            deny("Cargo.toml")?;
            deny("crates/lanparty-gui/Cargo.toml")
        });
    }
    let files = lab_tests()?;
    if lab {
        lab_steps(&mut steps, &files, filter);
    } else {
        steps.skip("lab", files.values().sum());
    }
    steps.finish()
}

fn checks(steps: &mut Steps, quick: bool) {
    steps.check("formatting", || {
        run_command(&mut cargo(&["fmt", "--all", "--check"]))
    });
    steps.check("dependency direction", deps::run);
    if !quick {
        steps.check("purity: wire and core build without an operating system", purity);
    }
    steps.check("clippy", || {
        run_command(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            LAB_FEATURE,
            "--",
            "-D",
            "warnings",
        ]))
    });
}

fn purity() -> Result<()> {
    setup::wasm_target()
        .context("the wasm32 target is missing, so nothing proves that core and wire do no I/O")?;
    run_command(&mut cargo(&[
        "check",
        "--target",
        "wasm32-unknown-unknown",
        "-p",
        "lanparty-wire",
        "-p",
        "lanparty-core",
    ]))
}

fn unit_tests(steps: &mut Steps, filter: Option<&str>) {
    if setup::has_nextest() {
        let mut command = cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--features",
            LAB_FEATURE,
            "--no-fail-fast",
            "--no-tests",
            "pass",
            // Those of the lab follow, each file in a process of its own.
            "--filterset",
            "not binary(/^lab_/)",
        ]);
        steps.tests("unit, property and world tests", command.args(filter));
        steps.tests(
            "examples in the documentation",
            cargo(&["test", "--workspace", "--features", LAB_FEATURE, "--doc", "-q"]).args(filter),
        );
    } else {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        steps.tests("unit, property and world tests", command.args(filter));
    }
}

/// cargo for the window, which is a workspace of its own.
fn window(verb: &[&str], more: &[&str]) -> Command {
    let place = ["--manifest-path", "crates/lanparty-gui/Cargo.toml"];
    // Formatting makes nothing.
    let target: &[&str] = if verb == ["fmt"] {
        &[]
    } else {
        &["--target-dir", "target/window"]
    };
    cargo(&[verb, &place, target, more].concat())
}

fn window_steps(steps: &mut Steps, filter: Option<&str>) {
    if filter.is_none() {
        steps.check("what the window is built with", setup::window_packages);
        steps.check("formatting of the window", || {
            run_command(&mut window(&["fmt"], &["--check"]))
        });
        steps.check("clippy of the window", || {
            run_command(&mut window(
                &["clippy"],
                &["--all-targets", "--", "-D", "warnings"],
            ))
        });
        steps.check("the window, built", || {
            run_command(&mut window(&["build"], &["--all-targets"]))
        });
    }
    let more = ["--no-fail-fast"];
    if setup::has_nextest() {
        let more = [&more[..], &["--no-tests", "pass"]].concat();
        steps.tests(
            "the window's tests",
            window(&["nextest", "run"], &more).args(filter),
        );
    } else {
        steps.tests("the window's tests", window(&["test"], &more).args(filter));
    }
}

fn deny(manifest: &str) -> Result<()> {
    let config = root().join("deny.toml").display().to_string();
    setup::cargo_deny()?;
    // Advisories need a clone of a database on GitHub; CI has no road to it.
    run_command(&mut cargo(&[
        "deny",
        "--manifest-path",
        manifest,
        "--workspace",
        "--config",
        &config,
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn lab_steps(steps: &mut Steps, files: &BTreeMap<String, usize>, filter: Option<&str>) {
    if filter.is_none() {
        let interrupt = steps.interrupt();
        steps.check("the demo, once", || demo::once(&interrupt));
    }
    for name in files.keys() {
        // Tests of one file share a lab, so they run in one process and one after the other.
        let mut command = cargo(&[
            "test",
            "--workspace",
            "--features",
            LAB_FEATURE,
            "--no-fail-fast",
            "--test",
            name,
        ]);
        command.args(filter).args(["--", "--test-threads=1"]);
        steps.tests(name, &mut command);
    }
}

/// The files of lab tests and how many tests each has.
fn lab_tests() -> Result<BTreeMap<String, usize>> {
    let folder = root().join(LAB_TESTS);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))? {
        let path = entry
            .with_context(|| format!("could not read {}", folder.display()))?
            .path();
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "rs") && name.starts_with("lab_") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
            files.insert(name, text.matches("#[test]").count());
        }
    }
    Ok(files)
}
