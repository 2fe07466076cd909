//! One evening: from the lock on the state dir to the goodbye.
//!
//! The order matters. What a crashed run left is undone before anything is looked at; the adapter exists before the relay is
//! dialled, but its link is down until the room is joined, so that neither names nor routes can lead through it; and whatever ends the
//! evening, the machine is put back last.

use std::{
    future::{Future, pending},
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use lanparty_api::{
    Program, Status,
    cli::{self, CommonArgs, ExitCode, Failure},
    serve_endpoint, socket_path,
};
use lanparty_core::{guard::Limits, host::never_carry, lan::LanConfig, node::Event};
use lanparty_node::{
    EndpointConfig, EndpointError, EndpointEvent, EndpointHandle, Recorder, SealedConfig, endpoint,
    first_status, say, tell_story,
};
use lanparty_os::{
    device::{DeviceError, tap::Tap},
    dhcp::{DhcpClient, DhcpEvent, DhcpOptions},
    dirs::StateDir,
    network::{Network, Watch},
    privileges::{self, Privilege},
    transaction::Transaction,
};
use lanparty_quic::{Identity, Trust, TrustOutcome};
use lanparty_wire::{LeaveReason, Mac, MemberId, Profile, RoomId, SealedRoom, control::Role};
use tokio::{
    sync::watch,
    task::{JoinHandle, block_in_place},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    adapter::{Adapter, AdapterError},
    doctor::{self, Ear},
    entrance::{Door, Entrance, membership_file, trade},
    failure::{adapter_failure, dhcp_failure, state_failure, transaction_failure, unexpected},
    identity::Install,
    lease::LeaseKeeper,
    outlook,
    settings::Party,
    signals::Signals,
};

/// The status is never older.
const TICK: Duration = Duration::from_secs(1);
/// A goodbye that takes longer is not waited for.
const FAREWELL: Duration = Duration::from_secs(2);
/// A DHCP client asks by itself for so long after its start.
const DHCP_START: Duration = Duration::from_secs(2);
/// A TAP that cannot be created anew is tried again at this interval.
const RECREATE: Duration = Duration::from_secs(1);

/// # Errors
/// Everything that ends the evening before the player wants it to, with what to do about it.
pub fn run(common: &CommonArgs, party: Party, state_dir: &Path) -> Result<(), Failure> {
    cli::init_logging(common.log_format, common.verbose, LevelFilter::WARN)?;
    let state = StateDir::open(state_dir).map_err(state_failure)?;
    // Before the runtime starts its threads, which inherit what is left. The DHCP client asks with raw frames, and renews
    // from port 68.
    let mut needed = vec![Privilege::ConfigureNetwork, Privilege::RawFrames];
    needed.extend(party.dhcp.then_some(Privilege::LowPorts));
    privileges::keep(&needed).map_err(|error| Failure::new(ExitCode::Host, error))?;
    // One thread carries the frames and is woken by nobody else; what blocks happens on this one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(unexpected)?;
    runtime.block_on(evening(party, state.path()))
}

async fn evening(party: Party, state_dir: &Path) -> Result<(), Failure> {
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
    let mut signals = Signals::new().map_err(unexpected)?;
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
                invite = trade(config(&unknown), *code, state_dir) => invite?.into(),
                () = signals.any() => return Ok(()),
            }
        }
    };
    let adapter = Adapter::new(transaction, party.tap.clone(), mac, party.mtu);
    let tap = adapter.create().map_err(adapter_failure)?;
    let config = config(&entrance);
    let machine = Machine {
        adapter: adapter.clone(),
        network,
        signals,
    };
    let outcome = play(&party, entrance, config, tap, machine, state_dir).await;
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
    adapter: Adapter,
    network: Network,
    /// The same from start to end: new ones do not hear what has come before them.
    signals: Signals,
}

async fn play(
    party: &Party,
    entrance: Entrance,
    config: EndpointConfig,
    tap: Tap,
    machine: Machine,
    state_dir: &Path,
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
    let sealed = entrance.invite.map(|invite| SealedConfig::Guest {
        file: membership_file(state_dir, &invite.room()),
        invite,
    });
    // It has one: it is a client.
    let mac = config.mac.unwrap_or(Mac::ZERO);
    let (status, _) = watch::channel(first_status(Program::Client, &config, SystemTime::now()));
    let recorder = recorder(party)?;
    let again = machine.adapter.clone();
    let reopen = move || recreate(again.clone());
    let (endpoint, handle) = endpoint(config, sealed, tap, reopen, status.clone()).map_err(Failure::from)?;
    let remembered = handle.remembered();
    let discovery = Arc::new(move || {
        let remembered = remembered.clone();
        Box::pin(async move { remembered.file().await }) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let socket = socket_path(state_dir, Program::Client);
    let _server = serve_endpoint(&socket, status.subscribe(), discovery)
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    let story = tokio::spawn(tell_story(status.subscribe()));
    let running = tokio::spawn(endpoint.recorded_by(recorder).run());
    let player = Player {
        tap: party.tap.clone(),
        mac,
        goes_on_anyway: party.anyway,
        wants_dhcp: party.dhcp,
        is_sealed,
        state_dir: state_dir.to_owned(),
        machine,
        handle,
        status,
        lease: LeaseKeeper::default(),
        dhcp: None,
        joined: None,
    };
    let steered = player.steer().await;
    story.abort();
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
async fn recreate(adapter: Adapter) -> Result<Tap, DeviceError> {
    loop {
        let again = adapter.clone();
        match tokio::task::spawn_blocking(move || again.create()).await {
            Ok(Ok(tap)) => return Ok(tap),
            Ok(Err(error)) => {
                tracing::warn!(error = %Failure::new(ExitCode::Host, error), "no new adapter yet")
            }
            Err(error) => tracing::error!(%error, "creating the adapter failed"),
        }
        tokio::time::sleep(RECREATE).await;
    }
}

/// Keeps the player's machine in step with the room.
struct Player {
    tap: String,
    mac: Mac,
    /// Overlapping networks are the player's own affair.
    goes_on_anyway: bool,
    wants_dhcp: bool,
    is_sealed: bool,
    state_dir: PathBuf,
    machine: Machine,
    handle: EndpointHandle,
    status: watch::Sender<Status>,
    lease: LeaseKeeper,
    /// The client with the time of its start.
    dhcp: Option<(DhcpClient, Instant)>,
    /// When the room was joined last.
    joined: Option<Instant>,
}

/// How an evening ends that nothing has gone wrong with.
enum End {
    /// The endpoint has stopped.
    OfItself,
    Asked,
}

impl Player {
    /// Until the player wants to stop, or must, or the endpoint has stopped.
    async fn steer(mut self) -> Result<(), Failure> {
        let outcome = self.evening().await;
        if matches!(outcome, Ok(End::OfItself)) {
            return Ok(());
        }
        say("Leaving the room");
        block_in_place(|| self.dhcp = None);
        self.handle.shutdown(LeaveReason::Goodbye).await;
        outcome.map(drop)
    }

    async fn evening(&mut self) -> Result<End, Failure> {
        let mut changes = Watch::new().map_err(unexpected)?;
        let mut ear = Ear::open();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.handle.next_event() => match event {
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(End::OfItself),
                },
                event = maybe(self.dhcp.as_mut().map(|(dhcp, _)| dhcp.event())) => match event {
                    Some(event) => self.handle_dhcp(event).await?,
                    None => self.dhcp = None,
                },
                heard = ear.next(), if !self.goes_on_anyway => {
                    doctor::check_heard(&heard, &self.tap, self.mac)?;
                }
                change = changes.changed() => {
                    change.map_err(unexpected)?;
                    self.handle.network_changed();
                    self.look().await;
                }
                _ = tick.tick() => self.handle_tick().await?,
                () = self.machine.signals.any() => return Ok(End::Asked),
            }
        }
    }

    async fn handle_event(&mut self, event: EndpointEvent) -> Result<(), Failure> {
        tracing::debug!(?event, "endpoint");
        match event {
            EndpointEvent::Joined { .. } => {
                self.joined = Some(Instant::now());
                // In a sealed room nothing can be sent to anybody before keys are agreed.
                if !self.is_sealed {
                    self.arrive().await?;
                }
            }
            EndpointEvent::Node(Event::MemberSecured { member }) => {
                self.arrive().await?;
                if self.gateway() == Some(member) {
                    self.ask_again();
                }
            }
            EndpointEvent::Trust(TrustOutcome::FirstUse(pin)) => say(&format!(
                "This relay is new to this machine. Its key is kept from now on, compare it with what the relay prints: {pin}"
            )),
            EndpointEvent::Node(Event::GatewayPresent(true) | Event::LanLink(true)) => self.ask_again(),
            EndpointEvent::DeviceDown => {
                say(&format!(
                    "Somebody has removed the adapter {}, creating it anew",
                    self.tap
                ));
                block_in_place(|| self.dhcp = None);
            }
            EndpointEvent::DeviceUp => {
                if self.joined.is_some() {
                    self.start_dhcp()?;
                }
                self.look().await;
            }
            EndpointEvent::Trust(_)
            | EndpointEvent::Disconnected { .. }
            | EndpointEvent::Failed { .. }
            | EndpointEvent::Rejected { .. }
            // We are no host.
            | EndpointEvent::Waiting(_)
            | EndpointEvent::Code(_)
            // Our TAP describes all that it can carry.
            | EndpointEvent::UndescribedSuperFrames
            | EndpointEvent::Node(_) => {}
        }
        Ok(())
    }

    /// Somebody can be reached now.
    async fn arrive(&mut self) -> Result<(), Failure> {
        complain(block_in_place(|| self.machine.adapter.link_up()));
        self.start_dhcp()?;
        self.look().await;
        Ok(())
    }

    /// Runs until the end of the evening: a lease outlives the loss of the relay.
    fn start_dhcp(&mut self) -> Result<(), Failure> {
        if !self.wants_dhcp || self.dhcp.is_some() {
            return Ok(());
        }
        let options = DhcpOptions {
            interface: self.tap.clone(),
            state_dir: self.state_dir.clone(),
        };
        self.dhcp = Some((DhcpClient::start(&options).map_err(dhcp_failure)?, Instant::now()));
        outlook::note_lease(&self.status, &self.lease);
        Ok(())
    }

    /// The LAN is there, or there again.
    fn ask_again(&self) {
        let gateway = self.gateway();
        if let Some((dhcp, started)) = &self.dhcp
            // A client that has just started asks anyway, and may not listen to signals yet.
            && started.elapsed() >= DHCP_START
            && gateway.is_some_and(|gateway| self.lease.must_ask(gateway))
        {
            dhcp.renew();
        }
    }

    fn gateway(&self) -> Option<MemberId> {
        let status = self.status.borrow();
        Some(status.endpoint.as_ref()?.gateway.as_ref()?.member)
    }

    async fn handle_dhcp(&mut self, event: DhcpEvent) -> Result<(), Failure> {
        tracing::debug!(?event, "DHCP");
        if self.lease.handle(Instant::now(), event, self.gateway()) {
            self.use_lease().await?;
        }
        outlook::note_lease(&self.status, &self.lease);
        Ok(())
    }

    async fn handle_tick(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.lease.handle_timeout(now) {
            self.use_lease().await?;
            outlook::note_lease(&self.status, &self.lease);
        }
        outlook::note_time(&self.status, now, self.joined);
        Ok(())
    }

    async fn use_lease(&mut self) -> Result<(), Failure> {
        let address = self.lease.address();
        match self.machine.network.snapshot().await {
            Ok(snapshot) => {
                // Before anything of this machine's leads there.
                if let Some(party) = address.filter(|_| !self.goes_on_anyway) {
                    doctor::check_network(&snapshot, &self.tap, party)?;
                }
                complain(block_in_place(|| {
                    self.machine.adapter.set_lease(&snapshot, address)
                }));
                self.look().await;
            }
            Err(error) => tracing::warn!(%error, "could not look at this machine's network"),
        }
        Ok(())
    }

    /// Sees how this machine's network is now, and does what follows.
    async fn look(&mut self) {
        match self.machine.network.snapshot().await {
            Ok(snapshot) => {
                complain(block_in_place(|| self.machine.adapter.refresh(&snapshot)));
                outlook::note_host(&self.status, &snapshot, &self.tap);
            }
            Err(error) => tracing::warn!(%error, "could not look at this machine's network"),
        }
    }
}

/// A change that the system refuses does not end the evening.
fn complain(result: Result<(), AdapterError>) {
    if let Err(error) = result {
        tracing::warn!("{}", Failure::new(ExitCode::Host, error));
    }
}

/// Waits for what is there, or for ever.
async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
