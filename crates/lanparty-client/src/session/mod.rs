//! One evening: from the lock on the state dir to the goodbye, begun by a person at a terminal or by an order to the service.
//!
//! The order matters. What a crashed run left is undone before anything is looked at; the adapter exists before the relay is
//! dialled, but its link is down until the room is joined, so that neither names nor routes can lead through it; and whatever ends the
//! evening, the machine is put back last.

mod player;
mod strays;

use std::{
    future::{Future, pending},
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lanparty_api::{
    Program, Status,
    cli::{self, CommonArgs, ExitCode, Failure},
    desk::DiscoveryFile,
    serve_endpoint, socket_path,
};
use lanparty_core::{guard::Limits, host::never_carry, lan::LanConfig};
use lanparty_node::{
    EndpointConfig, EndpointError, Recorder, Remembered, SealedConfig, endpoint, first_status, say,
    tell_story,
};
use lanparty_os::{
    device::DeviceError,
    dirs::StateDir,
    network::Network,
    privileges::{self, Privilege},
    transaction::Transaction,
};
use lanparty_quic::{Identity, Trust};
use lanparty_wire::{Mac, Profile, RoomId, SealedRoom, control::Role};
use tokio::{
    runtime::Runtime,
    sync::watch,
    task::{JoinHandle, block_in_place},
    time::timeout,
};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    adapter::Adapter,
    entrance::{Door, Entrance, membership_file, trade},
    failure::{adapter_failure, state_failure, transaction_failure, unexpected},
    identity::Install,
    lease::LeaseKeeper,
    mount::{AdapterKind, Cable, Mount},
    session::player::Player,
    settings::Party,
    stop::{Stop, Woken},
};

/// A goodbye that takes longer is not waited for.
const FAREWELL: Duration = Duration::from_secs(2);
/// A TAP that cannot be created anew is tried again at this interval.
const RECREATE: Duration = Duration::from_secs(1);

/// What an evening is told from outside while it lasts, and what it tells.
pub struct Stage {
    pub status: watch::Sender<Status>,
    pub stop: Stop,
    /// Whether broadcasts of games leave through the adapter.
    pub lan_games: watch::Receiver<bool>,
    /// Filled when the way in is known and the endpoint is there.
    pub begun: watch::Sender<Option<Begun>>,
    pub woken: Woken,
}

/// An evening that has begun.
#[derive(Clone)]
pub struct Begun {
    pub entrance: Entrance,
    pub remembered: Remembered,
}

impl Begun {
    /// What is answered to those who ask for the frames of this evening.
    pub fn discovery(&self) -> DiscoveryFile {
        let remembered = self.remembered.clone();
        Arc::new(move || {
            let remembered = remembered.clone();
            Box::pin(async move { remembered.file().await }) as Pin<Box<dyn Future<Output = _> + Send>>
        })
    }
}

/// # Errors
/// Everything that ends the evening before the player wants it to, with what to do about it.
pub fn run(common: &CommonArgs, party: Party, state_dir: &Path) -> Result<(), Failure> {
    cli::init_logging(common.log_format, common.verbose, LevelFilter::WARN)?;
    let state = StateDir::open(state_dir).map_err(state_failure)?;
    if party.adapter == AdapterKind::System {
        give_up_privileges(party.dhcp)?;
    }
    runtime()?.block_on(foreground(party, state.path()))
}

/// Before the runtime starts its threads, which inherit what is left. The DHCP client asks with raw frames, and renews from port 68.
///
/// # Errors
/// What is needed is not there.
pub fn give_up_privileges(wants_dhcp: bool) -> Result<(), Failure> {
    let mut needed = vec![Privilege::ConfigureNetwork, Privilege::RawFrames];
    needed.extend(wants_dhcp.then_some(Privilege::LowPorts));
    privileges::keep(&needed).map_err(|error| Failure::new(ExitCode::Host, error))
}

/// One thread carries the frames and is woken by nobody else; what blocks happens on the one that blocks on an evening.
///
/// # Errors
/// The system gives us no thread.
pub fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.map_err(unexpected)
}

/// An evening that a person has begun at a terminal, and ends there.
async fn foreground(party: Party, state_dir: &Path) -> Result<(), Failure> {
    let (status, _) = watch::channel(Status::new(Program::Client));
    let (_lan_games, lan_games) = watch::channel(true);
    let (begun, has_begun) = watch::channel(None);
    let stage = Stage {
        status: status.clone(),
        stop: Stop::by_signal().map_err(unexpected)?,
        lan_games,
        begun,
        woken: Woken::never(),
    };
    tokio::select! {
        outcome = evening(party, state_dir, stage) => outcome,
        failure = serve(has_begun, &status, state_dir) => Err(failure),
    }
}

/// Answers who asks, once there is something to tell.
async fn serve(
    mut begun: watch::Receiver<Option<Begun>>,
    status: &watch::Sender<Status>,
    state_dir: &Path,
) -> Failure {
    let begun = begun
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|begun| begun.clone());
    let Some(begun) = begun else {
        return pending().await;
    };
    let socket = socket_path(state_dir, Program::Client);
    match serve_endpoint(&socket, status.subscribe(), begun.discovery()) {
        Ok(_server) => pending().await,
        Err(error) => Failure::new(ExitCode::Host, error),
    }
}

/// # Errors
/// Everything that ends the evening before somebody wants it to, with what to do about it.
pub async fn evening(party: Party, state_dir: &Path, mut stage: Stage) -> Result<(), Failure> {
    let transaction = Transaction::open(state_dir).map_err(transaction_failure)?;
    let install = Install::load_or_create(state_dir, rand::random())
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    let mac = party.virtual_mac.unwrap_or(install.mac);
    let network = Network::open().map_err(unexpected)?;
    let snapshot = network.snapshot().await.map_err(unexpected)?;
    let avoided = never_carry(&snapshot, &party.tap);
    let config = |entrance: &Entrance| {
        let identity = install.identity.clone();
        endpoint_config(&party, entrance, identity, mac, state_dir, avoided.clone())
    };
    let entrance = match &party.door {
        Door::Open(code) => Entrance {
            room: code.clone().into(),
            invite: None,
        },
        Door::Link(invite) => invite.clone().into(),
        Door::Code(code) => {
            // The room is not known yet; our own key's is one that nobody else can open.
            let unknown = Entrance {
                room: SealedRoom::of(&install.identity.peer_id()).into(),
                invite: None,
            };
            tokio::select! {
                invite = trade(config(&unknown), *code, state_dir, &stage.status) => invite?.into(),
                () = stage.stop.asked() => return Ok(()),
            }
        }
    };
    let lan_games = *stage.lan_games.borrow_and_update();
    let adapter = match party.adapter {
        AdapterKind::System => {
            let name = party.tap.clone();
            Mount::System(Adapter::new(transaction, name, mac, party.mtu, lan_games))
        }
        AdapterKind::Memory => Mount::in_memory(mac),
    };
    let cable = adapter.create().map_err(adapter_failure)?;
    let config = config(&entrance);
    let machine = Machine {
        adapter: adapter.clone(),
        network,
        cable,
    };
    let outcome = play(&party, entrance, config, machine, state_dir, stage).await;
    let undone = block_in_place(|| adapter.close()).map_err(adapter_failure);
    for (undo, error) in undone?.failed {
        tracing::warn!(?undo, %error, "a change to this machine could not be undone; the next start tries again");
    }
    outcome
}

fn endpoint_config(
    party: &Party,
    entrance: &Entrance,
    identity: Identity,
    mac: Mac,
    state_dir: &Path,
    avoid_interfaces: Vec<String>,
) -> EndpointConfig {
    EndpointConfig {
        role: Role::Client,
        room: entrance.room.clone(),
        mac: Some(mac),
        name: party.name.clone(),
        software: concat!("lanparty-client ", env!("CARGO_PKG_VERSION")).to_owned(),
        mtu: party.mtu,
        relay: party.relay.clone(),
        relay_token: None,
        identity,
        trust: Trust {
            pin: party
                .relay_pin
                .or(entrance.invite.as_ref().and_then(|invite| invite.pin)),
            ca_cert: party.relay_ca_cert.clone(),
            server_name: party.server_name.clone(),
            store: state_dir.join("known-relays.json"),
        },
        limits: Limits::default(),
        lan: LanConfig::default(),
        redundancy: party.redundancy,
        udp_offload: party.udp_offload,
        profile: Profile::default(),
        avoid_interfaces,
    }
}

/// The player's machine.
struct Machine {
    adapter: Mount,
    network: Network,
    cable: Cable,
}

async fn play(
    party: &Party,
    entrance: Entrance,
    config: EndpointConfig,
    machine: Machine,
    state_dir: &Path,
    stage: Stage,
) -> Result<(), Failure> {
    let room = match &entrance.room {
        RoomId::Sealed(_) => "a sealed room (the relay cannot read frames)".to_owned(),
        RoomId::Open(code) => format!(
            "room {} (open: the relay's operator could read frames)",
            code.as_str()
        ),
    };
    say(&format!("Joining {room} through {}", party.relay));
    let is_sealed = entrance.room.is_sealed();
    let sealed = entrance.invite.clone().map(|invite| SealedConfig::Guest {
        file: membership_file(state_dir, &invite.room()),
        invite,
    });
    // It has one: it is a client.
    let mac = config.mac.unwrap_or(Mac::ZERO);
    let Machine {
        adapter,
        network,
        cable,
    } = machine;
    let status = stage.status;
    status.send_modify(|status| {
        let service = status.service.take();
        *status = first_status(Program::Client, &config, SystemTime::now());
        status.service = service;
    });
    let recorder = recorder(party)?;
    let again = adapter.clone();
    let reopen = move || recreate(again.clone());
    let (endpoint, handle) =
        endpoint(config, sealed, cable, reopen, status.clone()).map_err(Failure::from)?;
    let remembered = handle.remembered();
    stage.begun.send_replace(Some(Begun { entrance, remembered }));
    let story = tokio::spawn(tell_story(status.subscribe()));
    let running = tokio::spawn(endpoint.recorded_by(recorder).run());
    // Elsewhere a route for broadcasts is enough.
    let copies = (cfg!(windows) && party.adapter == AdapterKind::System).then(|| {
        let (status, wanted) = (status.subscribe(), stage.lan_games.clone());
        tokio::spawn(strays::copy(party.tap.clone(), status, wanted))
    });
    let player = Player {
        tap: party.tap.clone(),
        mac,
        // Where nothing of this machine leads into the room, no networks can overlap.
        goes_on_anyway: party.anyway || party.adapter == AdapterKind::Memory,
        wants_dhcp: party.dhcp,
        is_sealed,
        state_dir: state_dir.to_owned(),
        adapter,
        network,
        stop: stage.stop,
        lan_games: stage.lan_games,
        woken: stage.woken,
        handle,
        status,
        lease: LeaseKeeper::default(),
        dhcp: None,
        joined: None,
    };
    let steered = player.steer().await;
    story.abort();
    if let Some(copies) = copies {
        copies.abort();
    }
    end(running).await.and(steered)
}

/// The file that everything is written to, if anybody wants one.
fn recorder(party: &Party) -> Result<Option<Recorder>, Failure> {
    let Some((path, limit)) = &party.recording else {
        return Ok(None);
    };
    let failed = |error: io::Error| {
        let text = format!("could not make {}: {error}", path.display());
        Failure::new(ExitCode::Host, text).advise("name a file that does not exist yet with --pcap")
    };
    Recorder::create(path, *limit).map(Some).map_err(failed)
}

/// The endpoint has been told to stop, or has stopped by itself and says why.
async fn end(mut running: JoinHandle<Result<(), EndpointError>>) -> Result<(), Failure> {
    match timeout(FAREWELL, &mut running).await {
        Ok(outcome) => outcome.map_err(unexpected)?.map_err(Failure::from),
        Err(_) => {
            running.abort();
            Ok(())
        }
    }
}

/// Somebody has removed the TAP; it comes back as it was.
async fn recreate(adapter: Mount) -> Result<Cable, DeviceError> {
    loop {
        let again = adapter.clone();
        match tokio::task::spawn_blocking(move || again.create()).await {
            Ok(Ok(cable)) => return Ok(cable),
            Ok(Err(error)) => {
                tracing::warn!(error = %Failure::new(ExitCode::Host, error), "no new adapter yet")
            }
            Err(error) => tracing::error!(%error, "creating the adapter failed"),
        }
        tokio::time::sleep(RECREATE).await;
    }
}
