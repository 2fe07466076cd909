//! The player's side: a network adapter whose cable leads to the party.
//!
//! It takes the player's wishes ([`settings`]), finds the room ([`entrance`]), keeps who he is ([`identity`]), changes this machine as little as possible and
//! undoes it ([`adapter`]), and lives one evening ([`session`]) on the engine that the LAN gateway uses too: at a terminal, or as a
//! [`service`] that takes [`orders`] from windows and command lines. Sentences for the player
//! go to standard output, logs to standard error.

mod adapter;
mod doctor;
mod entrance;
mod failure;
mod identity;
mod lease;
mod mount;
mod orders;
mod outlook;
mod service;
mod session;
mod settings;
mod signals;
mod station;
mod stop;
mod values;

use std::{path::PathBuf, process::ExitCode};

use lanparty_api::{
    Program,
    cli::{self, CommonArgs, Failure},
};
use lanparty_os::{dhcp, dirs::Environment};

use crate::settings::{Arguments, Settings, Verb};

fn main() -> ExitCode {
    // The DHCP client runs this program under another name, with arguments that are not ours.
    dhcp::dispatch_hook();
    cli::finish(Program::Client.name(), start())
}

fn start() -> Result<(), Failure> {
    let Arguments {
        common,
        settings,
        command,
    } = cli::parse();
    let (common, settings) = cli::layered::<Settings>(common, settings)?;
    let state_dir = state_dir(&common)?;
    match command {
        Some(Verb::Status(arguments)) => {
            let ask_service = common.state_dir.is_none();
            orders::block_on(orders::status(arguments, &state_dir, ask_service))
        }
        Some(Verb::SaveDiscovery(arguments)) => {
            orders::block_on(cli::save_discovery(arguments, &state_dir, Program::Client))
        }
        Some(Verb::Connect(arguments)) => orders::block_on(orders::connect(*arguments)),
        Some(Verb::Disconnect(arguments)) => orders::block_on(orders::disconnect(arguments)),
        Some(Verb::Service(arguments)) => service::run(&arguments, &common, settings, &state_dir),
        Some(Verb::Doctor(arguments)) => doctor::run(*arguments, settings, &state_dir),
        None => session::run(&common, settings.complete()?, &state_dir),
    }
}

fn state_dir(common: &CommonArgs) -> Result<PathBuf, Failure> {
    match &common.state_dir {
        Some(path) => Ok(path.clone()),
        None => Environment::of_process()
            .state_dir("client")
            .map_err(|error| Failure::new(cli::ExitCode::Usage, error)),
    }
}
