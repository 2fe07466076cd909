//! Everything that a developer or CI does with this repository, as one program: `cargo xtask <task>`.
//!
//! A task installs what it needs (as root) or says what to install; so a fresh clone needs nothing but Rust.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod binaries;
mod demo;
mod deps;
mod dist;
mod fuzz;
mod interrupt;
mod lab;
mod setup;
mod step;
mod test;
mod windows;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Tasks of the lanparty repository",
    after_help = "Examples:\n  sudo -E cargo xtask demo          a LAN party on this machine\n  sudo -E cargo xtask test          \
                  everything that CI checks\n  cargo xtask test --no-lab guard   the tests named …guard…, without namespaces"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show a LAN party: two players at home, a relay, a LAN gateway, a switch, a game (needs root)
    Demo(demo::Options),
    /// Run every check and test, and close with their count (needs root; with --no-lab only for the tests of lanparty-os)
    Test(test::Options),
    /// Check which crate uses which against the table in docs/architecture.md
    Deps,
    /// Measure lanparty, other systems and the plain path on the same lines (needs root)
    Bench(bench::Options),
    /// Run the fuzz targets (needs a nightly toolchain and cargo-fuzz)
    Fuzz(fuzz::Options),
    /// Make what players download
    Dist(dist::Options),
    /// Leave a lab running and print how to enter its machines (needs root)
    Lab(lab::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Deps => deps::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Dist(options) => dist::start(&options),
        Task::Lab(options) => lab::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
