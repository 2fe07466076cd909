//! The relay: members dial it, it groups them into rooms and moves their datagrams by member id.
//!
//! What it decides is in `lanparty_core::relay`; here are its sockets, its loops, its tasks and its queues. Datagrams go through
//! one loop for each socket ([`shard`]), straight from a member's connection into its targets' schedulers; everything else is
//! done by tasks. Each member has a scheduler and a queue of control messages for its way out, so that a member that does not
//! keep up delays nobody else. Rooms are locked only when somebody comes, goes or changes.

mod acme;
mod door;
mod egress;
mod forward;
#[cfg(feature = "test-hostile")]
mod hostile;
mod line_limit;
mod member;
mod memory;
mod outbox;
mod pace;
mod registry;
mod relay;
mod report;
mod settings;
mod shard;
mod start;
mod tokens;

use std::process::ExitCode;

use lanparty_api::{Program, cli};

fn main() -> ExitCode {
    cli::finish(Program::Relay.name(), start::start())
}
