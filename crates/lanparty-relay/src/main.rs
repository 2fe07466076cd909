//! The relay: members dial it, it groups them into rooms and moves their datagrams by member id.
//!
//! What it decides is in `lanparty_core::relay`; here are its socket, its tasks and its queues. Each member has a reader, which
//! forwards straight into its targets' connections, and for the way out a scheduler and a queue of control messages, so that a
//! member that does not keep up delays nobody else. Rooms are locked only when somebody comes, goes or changes.

mod door;
mod egress;
mod line_limit;
mod member;
mod memory;
mod outbox;
mod pace;
mod reader;
mod registry;
mod relay;
mod report;
mod settings;
mod start;

use std::process::ExitCode;

use lanparty_api::{Program, cli};

fn main() -> ExitCode {
    cli::finish(Program::Relay.name(), start::start())
}
