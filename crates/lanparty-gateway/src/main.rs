//! The LAN gateway: an endpoint whose device is the party's wired LAN.
//!
//! It opens the LAN before it joins the room, so that no player is told of a gateway that cannot bridge, and keeps only
//! the privileges that packet sockets need.

mod addresses;
mod doctor;
mod heard;
mod invitation;
mod kept;
mod lan;
mod orders;
mod run;
mod settings;

use std::process::ExitCode;

use lanparty_api::{
    Program,
    cli::{self, CommonArgs, Failure},
};
use lanparty_os::dirs::Environment;

use crate::settings::{Arguments, Settings, Verb};

fn main() -> ExitCode {
    cli::finish(Program::Gateway.name(), start())
}

fn start() -> Result<(), Failure> {
    let arguments: Arguments = cli::parse();
    let (common, settings) = cli::layered::<Settings>(arguments.common, arguments.settings)?;
    match arguments.command {
        Some(Verb::Status(status)) => {
            let state_dir = state_dir(&common)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(cli::ExitCode::Unexpected, error))?;
            runtime.block_on(cli::print_status(status, &state_dir, Program::Gateway))
        }
        Some(Verb::SaveDiscovery(arguments)) => {
            let state_dir = state_dir(&common)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(cli::ExitCode::Unexpected, error))?;
            runtime.block_on(cli::save_discovery(arguments, &state_dir, Program::Gateway))
        }
        Some(Verb::Doctor(arguments)) => doctor::run(*arguments, settings, &state_dir(&common)?),
        None => run::run(&common, settings, &state_dir(&common)?),
    }
}

fn state_dir(common: &CommonArgs) -> Result<std::path::PathBuf, Failure> {
    match &common.state_dir {
        Some(path) => Ok(path.clone()),
        None => Environment::of_process()
            .state_dir("gateway")
            .map_err(|error| Failure::new(cli::ExitCode::Usage, error)),
    }
}
