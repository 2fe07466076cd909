//! The binaries, built the way users of them want it: quickly for the demo and the lab, optimised for the bench.

use std::fs;

use anyhow::{Context, Result};

use crate::step::{cargo, root, run};

/// The folder in `target` that the bench takes its binaries from: it measures what users get.
pub const RELEASE: &str = "release";

/// Selected by their names, not by their packages: so all get the features that the workspace as a whole asks for, and share what is built.
const ALL: [&str; 6] = [
    "--bin",
    "lanparty-relay",
    "--bin",
    "lanparty-gateway",
    "--bin",
    "lanparty-client",
];

/// Builds relay, LAN gateway and client for the demo.
pub fn build() -> Result<()> {
    run(cargo(&["build"]).args(ALL))
}

/// The same with the `release` profile.
pub fn build_release() -> Result<()> {
    run(cargo(&["build", "--profile", RELEASE]).args(ALL))
}

/// Builds everything that is tested natively: binaries, unit tests, the lab's tests. Beside them the relays that only
/// the lab's tests start: without a guard, and hostile to its members.
pub fn build_for_tests() -> Result<()> {
    // First, because all are called `lanparty-relay`: the one that stays under that name has to be the real one.
    for kind in ["unguarded", "hostile"] {
        build_tested(&format!("lanparty-relay/test-{kind},{LAB_FEATURE}"))?;
        keep_relay(kind)?;
    }
    build_tested(LAB_FEATURE)
}

/// Lets the tests in namespaces be built. Whatever is built, linted or run for the tests is so with it: another set of features is another build.
pub const LAB_FEATURE: &str = "lanparty-testkit/lab";

fn build_tested(features: &str) -> Result<()> {
    let words = ["build", "--workspace", "--all-targets", "--features", features];
    run(&mut cargo(&words))
}

fn keep_relay(kind: &str) -> Result<()> {
    let folder = root().join("target/debug");
    let (built, kept) = (
        folder.join("lanparty-relay"),
        folder.join(format!("lanparty-relay-{kind}")),
    );
    // By way of another name, because an older one may be running.
    let fresh = kept.with_extension("new");
    fs::copy(&built, &fresh)
        .and_then(|_| fs::rename(&fresh, &kept))
        .with_context(|| format!("could not keep {} as {}", built.display(), kept.display()))
}
