//! Orders to the running service from a command line, and what it says to them.

use std::{future::Future, path::Path};

use lanparty_api::{
    Command, Program, Status, Storyteller,
    cli::{self, ExitCode, Failure, StatusArgs, explain, print_status_at},
    local::{LocalError, command, follow, query, service_path},
    order::{Ended, Phase, Wish},
    socket_path,
    status::Dhcp,
};
use lanparty_node::say;
use lanparty_wire::{Pin, RelayAddress, RoomCode};

use crate::{failure::unexpected, service::SocketArgs};

/// The flags behind `connect`.
#[derive(clap::Args, Clone, Debug)]
pub struct ConnectArgs {
    /// The host's invite link; or with --relay the host's short code
    #[arg(value_name = "LINK|CODE", num_args = 1..=4)]
    ticket: Vec<String>,
    /// The relay of a short code or of an open room
    #[arg(long, value_name = "HOST[:PORT]")]
    relay: Option<RelayAddress>,
    /// An open room's code
    #[arg(long, value_name = "CODE", conflicts_with = "ticket")]
    room: Option<RoomCode>,
    /// Trust exactly this key of the relay, as it prints it
    #[arg(long, value_name = "PIN")]
    relay_pin: Option<Pin>,
    /// The name in the relay's certificate, if it is not the host
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// What others see you called [default: as the service is set]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Whether to get an address from the party's DHCP server [default: as the service is set]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dhcp: Option<bool>,
    /// Go on although the party's network is also this machine's own
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    socket: SocketArgs,
}

/// Runs what asks a socket.
///
/// # Errors
/// What it fails with.
pub fn block_on(task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(unexpected)?.block_on(task)
}

/// Of the instance with this state dir; or of this machine's service, where nobody has named a state dir.
///
/// # Errors
/// Nothing is running, or its answer is not understood.
pub async fn status(arguments: StatusArgs, state_dir: &Path, ask_service: bool) -> Result<(), Failure> {
    let own = socket_path(state_dir, Program::Client);
    let is_own = !ask_service || !matches!(query(&own).await, Err(error) if is_away(&error));
    let socket = if is_own { own } else { service_path() };
    match print_status_at(arguments, &socket, Program::Client).await {
        // Neither runs; the advice is about the one that people start.
        Err(_) if !is_own && !service_path().exists() => {
            cli::print_status(arguments, state_dir, Program::Client).await
        }
        outcome => outcome,
    }
}

/// Gives the order, and tells the story until games can begin or the room is left.
///
/// # Errors
/// No service runs, it refuses, or the evening has ended before it began.
pub async fn connect(arguments: ConnectArgs) -> Result<(), Failure> {
    let socket = arguments.socket.path();
    let wish = Wish {
        ticket: (!arguments.ticket.is_empty()).then(|| arguments.ticket.join(" ")),
        recent: None,
        relay: arguments.relay,
        room: arguments.room,
        relay_pin: arguments.relay_pin,
        server_name: arguments.server_name,
        name: arguments.name,
        dhcp: arguments.dhcp,
        anyway: arguments.anyway.then_some(true),
    };
    command(&socket, Command::Connect(Box::new(wish)))
        .await
        .map_err(refused)?;
    let mut following = follow(&socket).await.map_err(refused)?;
    let mut teller = Storyteller::default();
    while let Some(status) = following.next().await.map_err(refused)? {
        for line in teller.tell(&status) {
            say(&line.text);
        }
        let service = status.service.clone().unwrap_or_default();
        match (service.phase, service.ended) {
            (Phase::Idle, Some(ended)) => return Err(failure(&ended)),
            (Phase::Idle, None) => {
                say("The room was left");
                return Ok(());
            }
            (Phase::Playing, _) if is_ready(&status) => return Ok(()),
            (Phase::Preparing | Phase::Playing | Phase::Leaving, _) => {}
        }
    }
    Err(Failure::new(ExitCode::NotRunning, "the service has ended"))
}

/// # Errors
/// No service runs, or it refuses.
pub async fn disconnect(socket: SocketArgs) -> Result<(), Failure> {
    command(&socket.path(), Command::Disconnect)
        .await
        .map_err(refused)?;
    say("In no room; this machine is as it was");
    Ok(())
}

/// In the room, with an address if one was to be had.
fn is_ready(status: &Status) -> bool {
    status.endpoint.as_ref().is_some_and(|endpoint| {
        endpoint.is_joined() && endpoint.dhcp != Dhcp::Asking && endpoint.interface.is_some()
    })
}

fn refused(error: LocalError) -> Failure {
    match error {
        LocalError::NotRunning { .. } => Failure::new(ExitCode::NotRunning, error).advise(
            "start the service as root: `systemctl start lanparty-client` or `lanparty-client service`; or join without it: \
             `lanparty-client LINK --dhcp` as root",
        ),
        LocalError::Ask { .. } => Failure::new(ExitCode::Host, error)
            .advise("have yourself added to the group lanparty (`usermod -aG lanparty NAME`, then log in anew), or do this as root"),
        other => explain(other, Program::Client),
    }
}

fn is_away(error: &LocalError) -> bool {
    // Somebody else's state dir says as little as an empty one.
    matches!(error, LocalError::NotRunning { .. } | LocalError::Ask { .. })
}

/// The service's words as ours, with the code that it would have ended with.
fn failure(ended: &Ended) -> Failure {
    let failure = Failure::new(ExitCode::of_value(ended.exit_code), ended.reason.clone());
    match &ended.advice {
        Some(advice) => failure.advise(advice.clone()),
        None => failure,
    }
}
