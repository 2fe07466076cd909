//! The Windows client, built here and tried under Wine.

use std::process::Command;

use lanparty_testkit::wine::{LOADER, Wine};

use crate::{
    setup,
    step::{Steps, cargo, root, run},
};

const TARGET: &str = "x86_64-pc-windows-gnu";
/// The client, and those crates of it whose tests show something here. Those of `core` and `node` run natively.
const BUILT: [&str; 5] = [
    "lanparty-client",
    "lanparty-wire",
    "lanparty-api",
    "lanparty-os",
    "lanparty-quic",
];
/// Tests that take long and would show nothing that they do not show natively.
const ELSEWHERE: [&str; 1] = ["congestion::tests"];

/// Builds everything for Windows and runs its unit tests.
pub fn steps(steps: &mut Steps, filter: Option<&str>) {
    steps.check("Windows: cross-compiler, target and Wine", setup::windows);
    steps.check("Windows: the client and its unit tests, built", || {
        run(&mut on_windows("build"))?;
        run(tests().arg("--no-run"))
    });
    steps.check("Windows: the window, built", || run(&mut window()));
    steps.check("Windows: what installers are made with", setup::dist_packages);
    let wine = match Wine::prepare(&root().join("target")) {
        Ok(wine) => wine,
        Err(error) => {
            steps.check("Windows: Wine", || Err(error.into()));
            return;
        }
    };
    let mut command = tests();
    command
        .envs(wine.environment())
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", LOADER)
        .arg("--no-fail-fast")
        .args(["--"])
        .args(filter);
    for name in ELSEWHERE {
        command.args(["--skip", name]);
    }
    steps.tests("Windows: unit tests under Wine", &mut command);
    steps.check("Windows: nothing of Wine is left running", || Ok(wine.end()?));
}

/// Unoptimised: it draws fast enough for the lab.
fn window() -> Command {
    let mut command = cargo(&["build", "--manifest-path", "crates/lanparty-gui/Cargo.toml"]);
    command
        .args(["--target-dir", "target/window", "--target", TARGET])
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    command
}

fn tests() -> Command {
    let mut command = on_windows("test");
    command.args(["--quiet", "--lib", "--bins"]);
    command
}

/// Always all of them: alone, a package gets its dependencies with fewer features, and all of them are built again.
fn on_windows(order: &str) -> Command {
    let mut command = cargo(&[order, "--target", TARGET]);
    for package in BUILT {
        command.args(["-p", package]);
    }
    command
}
