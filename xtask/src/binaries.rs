//! The three binaries, built the way the lab runs them.

use anyhow::Result;

use crate::step::{cargo, run};

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
