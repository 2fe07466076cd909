//! The binaries, built the way the lab runs them.

use std::fs;

use anyhow::{Context, Result};

use crate::step::{cargo, root, run};

/// Builds relay, LAN gateway and client with the `lab` profile.
pub fn build() -> Result<()> {
    run(&mut cargo(&[
        "build",
        "--profile",
        "lab",
        "-p",
        "lanparty-relay",
        "-p",
        "lanparty-gateway",
        "-p",
        "lanparty-client",
    ]))
}

/// The same, and beside them a relay without a guard, which only the lab's tests of a hostile member start.
pub fn build_for_tests() -> Result<()> {
    // First, because both are called `lanparty-relay`: the one that stays under that name has to be the real one.
    build_unguarded()?;
    build()
}

fn build_unguarded() -> Result<()> {
    run(&mut cargo(&[
        "build",
        "--profile",
        "lab",
        "-p",
        "lanparty-relay",
        "--features",
        "test-unguarded",
    ]))?;
    let folder = root().join("target/lab");
    let (built, kept) = (
        folder.join("lanparty-relay"),
        folder.join("lanparty-relay-unguarded"),
    );
    // By way of another name, because an older one may be running.
    let fresh = kept.with_extension("new");
    fs::copy(&built, &fresh)
        .and_then(|_| fs::rename(&fresh, &kept))
        .with_context(|| format!("could not keep {} as {}", built.display(), kept.display()))
}
