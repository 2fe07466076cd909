//! The binaries, built the way the lab runs them.

use std::fs;

use anyhow::{Context, Result};

use crate::step::{cargo, root, run};

/// Cargo's profile that they are built with for the lab.
const PROFILE: &str = "lab";
/// And for the bench, which measures what users get.
pub const RELEASE: &str = "release";

/// Builds relay, LAN gateway and client with the `lab` profile.
pub fn build() -> Result<()> {
    build_with(PROFILE, &[])
}

/// The same with the `release` profile.
pub fn build_release() -> Result<()> {
    build_with(RELEASE, &[])
}

/// The same, and beside them the relays that only the lab's tests start: without a guard, and hostile to its members.
pub fn build_for_tests() -> Result<()> {
    // First, because all are called `lanparty-relay`: the one that stays under that name has to be the real one.
    for kind in ["unguarded", "hostile"] {
        build_with(PROFILE, &["--features", &format!("lanparty-relay/test-{kind}")])?;
        keep_relay(kind)?;
    }
    build()
}

/// Always all three together: alone, a package gets its dependencies with fewer features, and all of them are built again.
fn build_with(profile: &str, more: &[&str]) -> Result<()> {
    let words = [
        "build",
        "--profile",
        profile,
        "-p",
        "lanparty-relay",
        "-p",
        "lanparty-gateway",
        "-p",
        "lanparty-client",
    ];
    run(cargo(&words).args(more))
}

fn keep_relay(kind: &str) -> Result<()> {
    let folder = root().join("target/lab");
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
