//! One run of the LAN gateway, from the check of its interface to the goodbye.

use std::{
    fs,
    future::{Future, pending},
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use lanparty_api::{
    Program, Status,
    cli::{self, CommonArgs, ExitCode, Failure},
    serve_endpoint, socket_path,
    status::InterfaceStatus,
};
use lanparty_core::{
    lan::{LanConfig, Station},
    node::Event,
};
use lanparty_node::{
    DEFAULT_RECORDING, EndpointConfig, EndpointEvent, EndpointHandle, Recorder, SealedConfig, endpoint,
    first_status, load_host, say, say_first_use, tell_story, unix_now,
};
use lanparty_os::{
    device::{DeviceError, packet::undescribed_offloads},
    dirs::{DirError, StateDir},
    interface::{Interface, LanInterfaceError, SYSFS},
    network::{Network, Watch},
    privileges::{self, Privilege},
    transaction::{Transaction, TransactionError},
};
use lanparty_quic::{Identity, Trust, TrustOutcome};
use lanparty_wire::{LeaveReason, PeerId, Profile, RoomId, SealedRoom, control::Role, mtu};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::block_in_place,
};
use tracing_subscriber::filter::LevelFilter;

use crate::addresses;
use crate::doctor;
use crate::heard::HeardLeases;
use crate::invitation::{self, Inviting};
use crate::lan::{Lan, OpenLan};
use crate::orders;
use crate::settings::{Party, Settings, party};

/// # Errors
/// Everything that ends a run before the host asks for it, with what to do about it.
pub fn run(common: &CommonArgs, settings: Settings, state_dir: &Path) -> Result<(), Failure> {
    cli::init_logging(common.log_format, common.verbose, LevelFilter::INFO)?;
    let Party {
        lan: wanted,
        room,
        relay,
    } = party(&settings)?;
    let state = StateDir::open(state_dir).map_err(state_failure)?;
    let lan = wanted.check(Path::new(SYSFS)).map_err(interface_failure)?;
    // Before the runtime starts its threads, which inherit what is left.
    privileges::keep(&[Privilege::RawFrames, Privilege::ConfigureNetwork]).map_err(|error| {
        Failure::new(ExitCode::Host, error).advise("run it as root, or as the systemd service")
    })?;
    let recorder = recorder(&settings)?;
    let identity = Identity::load_or_create(&state.path().join("identity.pem"))
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    let sealed = match (&room, settings.standby_for) {
        (Some(_), _) => None,
        (None, Some(host)) => Some(waiting_room(host, &identity, state.path())?),
        (None, None) => Some(own_room(&settings, &identity, state.path())?),
    };
    let trust = Trust {
        pin: settings.relay_pin,
        ca_cert: settings.relay_ca_cert,
        server_name: settings.server_name,
        store: state.path().join("known-relays.json"),
    };
    let is_host = matches!(sealed, Some(SealedConfig::Host { .. }));
    let inviting = is_host.then(|| Inviting {
        relay: relay.clone(),
        hours: settings.invite_hours,
        page: settings.invite_page.clone(),
        qr: settings.qr.unwrap_or(false),
    });
    let wanted_room: RoomId = match room {
        Some(code) => code.into(),
        None => SealedRoom::of(&settings.standby_for.unwrap_or(identity.peer_id())).into(),
    };
    let own = identity.peer_id();
    let config = EndpointConfig {
        role: Role::Gateway,
        room: wanted_room.clone(),
        mac: None,
        name: settings.name.unwrap_or_else(host_name),
        software: concat!("lanparty-gateway ", env!("CARGO_PKG_VERSION")).to_owned(),
        mtu: settings.mtu.unwrap_or(mtu::DEFAULT_MTU),
        relay,
        relay_token: settings.relay_token,
        identity,
        trust,
        limits: settings.limits.unwrap_or_default(),
        lan: LanConfig {
            internet: settings.lan_internet.unwrap_or(false),
            addresses: settings.addresses,
            leases: addresses::load(state.path()),
            heard: HeardLeases::load(state.path()).left(unix_now()),
            tag: wanted_room.tag(),
            standbys: settings.standby.unwrap_or_default(),
            // The endpoint's, anew at each start.
            loop_secret: None,
        },
        redundancy: settings.redundancy.unwrap_or_default(),
        udp_offload: settings.udp_offload.unwrap_or_default(),
        profile: settings.profile.unwrap_or_default(),
        avoid_interfaces: Vec::new(),
    };
    say(&format!("This LAN gateway's identity is {own}"));
    // One thread carries the frames and is woken by nobody else; what blocks happens on this one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
    if settings.doctor.unwrap_or(true) {
        doctor::in_background(lan.name.clone());
    }
    runtime.block_on(bridge(
        config,
        sealed,
        inviting,
        (&wanted, &lan, recorder),
        state.path(),
    ))
}

/// The sealed room of this machine's key, as it was left.
fn own_room(settings: &Settings, identity: &Identity, state_dir: &Path) -> Result<SealedConfig, Failure> {
    let file = state_dir.join("room.json");
    let mut host = load_host(identity, &file).map_err(|error| Failure::new(ExitCode::Host, error))?;
    if let Some(approve) = settings.approve {
        host.set_approval(approve);
    }
    if let Some(profile) = settings.profile {
        host.set_profile(unix_now(), profile);
    }
    host.name_standbys(settings.standby.as_deref().unwrap_or_default());
    Ok(SealedConfig::Host {
        host: Box::new(host),
        file,
        short_codes: settings.short_code.unwrap_or(true),
    })
}

/// Another host's sealed room, in which this machine waits.
fn waiting_room(host: PeerId, identity: &Identity, state_dir: &Path) -> Result<SealedConfig, Failure> {
    if host == identity.peer_id() {
        let text = "--standby-for names this machine itself".to_owned();
        return Err(Failure::new(ExitCode::Usage, text)
            .advise("give the identity that the other machine says when it starts"));
    }
    let file = state_dir.join("standby.json");
    Ok(SealedConfig::Standby { host, file })
}

async fn bridge(
    config: EndpointConfig,
    sealed: Option<SealedConfig>,
    inviting: Option<Inviting>,
    (wanted, lan, recorder): (&Lan, &Interface, Option<Recorder>),
    state_dir: &Path,
) -> Result<(), Failure> {
    // First of all what a crashed run has left is undone; what this one changes is undone when it ends.
    let mut changes = Transaction::open(state_dir).map_err(transaction_failure)?;
    let (device, lan) = OpenLan::open(wanted, lan, &mut changes)
        .await
        .map_err(device_failure)?;
    let (status, _) = watch::channel(first_status(Program::Gateway, &config, SystemTime::now()));
    let room = match &config.room {
        RoomId::Sealed(_) => "a sealed room (the relay cannot read frames)".to_owned(),
        RoomId::Open(code) => format!(
            "room {} (open: the relay's operator could read frames)",
            code.as_str()
        ),
    };
    say(&format!(
        "Opening {room} for the LAN on {}, through {}",
        lan.name, config.relay
    ));
    if !config.room.is_sealed() && config.profile == Profile::Strangers {
        say(
            "Strangers: the LAN is guarded; members of an open room are not kept apart from each other, only a sealed room does that",
        );
    }
    let (endpoint, handle) =
        endpoint(config, sealed, device, lan.reopen(), status.clone()).map_err(Failure::from)?;
    let remembered = handle.remembered();
    let discovery = Arc::new(move || {
        let remembered = remembered.clone();
        Box::pin(async move { remembered.file().await }) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let socket = socket_path(state_dir, Program::Gateway);
    let _server = serve_endpoint(&socket, status.subscribe(), discovery)
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    let told = tokio::spawn(tell_story(status.subscribe()));
    let running = tokio::spawn(endpoint.recorded_by(recorder).run());
    steer(handle, inviting, &lan, &status, &mut changes, state_dir).await?;
    let outcome = running
        .await
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
    told.abort();
    outcome.map_err(Failure::from)
}

/// Passes on what happens to the host's network, until somebody wants us to stop or the endpoint has stopped by itself.
async fn steer(
    mut handle: EndpointHandle,
    inviting: Option<Inviting>,
    lan: &OpenLan,
    status: &watch::Sender<Status>,
    transaction: &mut Transaction,
    state_dir: &Path,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(ExitCode::Unexpected, error);
    let mut changes = Watch::immediate().map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let network = Network::open().map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
    let (mut link, mut station) = (None, None);
    let (mut trust, mut pin, mut is_invited) = (None, None, false);
    let mut typed = inviting.as_ref().map(|_| invitation::typed_lines());
    let mut heard = HeardLeases::load(state_dir);
    loop {
        if let Some((up, own)) = look(&lan.name, &network, status).await {
            if let Some(mac) = own.mac {
                lan.has_address(mac).await;
            }
            if station.as_ref() != Some(&own) {
                station = Some(own.clone());
                handle.station(own).await;
            }
            if link.replace(up) != Some(up) {
                handle.lan_link(up).await;
            }
        }
        tokio::select! {
            change = changes.changed() => {
                change.map_err(failed)?;
                handle.network_changed();
            }
            event = handle.next_event() => match event {
                Some(EndpointEvent::UndescribedSuperFrames) => switch_offloads_off(&lan.name, transaction),
                Some(EndpointEvent::Trust(outcome)) => {
                    if let TrustOutcome::FirstUse(pin) = &outcome {
                        say_first_use(pin);
                    }
                    trust = Some(outcome);
                }
                Some(EndpointEvent::Joined { pin: shown, .. }) => {
                    // What the system's CAs vouch for may change its key without notice.
                    pin = Some(shown).filter(|_| trust != Some(TrustOutcome::System));
                    if let Some(inviting) = inviting.as_ref().filter(|_| !is_invited) {
                        is_invited = true;
                        inviting.show(&handle, pin).await;
                    }
                }
                Some(EndpointEvent::Code(code)) => {
                    if let Some(inviting) = &inviting {
                        say(&inviting.code_text(&code));
                    }
                }
                Some(EndpointEvent::Waiting(identity)) => invitation::announce(&handle, identity).await,
                Some(EndpointEvent::Node(Event::Addresses(news))) => addresses::handle(state_dir, &news),
                Some(EndpointEvent::Node(Event::LeaseHeard(lease))) => heard.note(unix_now(), &lease),
                Some(event) => tracing::debug!(?event, "endpoint"),
                None => return Ok(()),
            },
            line = next(&mut typed) => match (line, &inviting) {
                (Some(line), Some(inviting)) => match orders::discovery_file(&line) {
                    Some(file) => save_discovery(&handle, file).await,
                    None => inviting.obey(&handle, pin, line).await,
                },
                (None, _) | (_, None) => typed = None,
            },
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => break,
        }
    }
    say("Closing the room");
    handle.shutdown(LeaveReason::Goodbye).await;
    Ok(())
}

/// The file that everything is written to, if anybody wants one.
fn recorder(settings: &Settings) -> Result<Option<Recorder>, Failure> {
    let Some(path) = &settings.pcap else {
        return Ok(None);
    };
    let limit = settings.pcap_limit.unwrap_or(DEFAULT_RECORDING);
    let failed = |error: io::Error| {
        let text = format!("could not make {}: {error}", path.display());
        Failure::new(ExitCode::Host, text).advise("name a file that does not exist yet with --pcap")
    };
    Recorder::create(path, limit).map(Some).map_err(failed)
}

async fn save_discovery(handle: &EndpointHandle, path: &str) {
    let Some(file) = handle.remembered().file().await else {
        // The endpoint has stopped, and says why.
        return;
    };
    match block_in_place(|| cli::write_private(Path::new(path), &file)) {
        Ok(()) => say(&format!("The last minute of discovery frames is in {path}")),
        Err(error) => say(&format!("Could not make {path}: {error}")),
    }
}

/// The next line, if lines are read at all.
async fn next(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => pending().await,
    }
}

/// Makes the interface finish its frames by itself, until we end (FIELD-NOTES F23).
fn switch_offloads_off(name: &str, transaction: &mut Transaction) {
    tracing::warn!(
        interface = name,
        "this kernel loses super-frames that it cannot describe; switching their offloads off"
    );
    for change in undescribed_offloads(name) {
        match block_in_place(|| transaction.apply(&change)) {
            Ok(()) => {}
            Err(error) if error.is_unknown() => {}
            Err(error) => tracing::warn!(%change, %error, "an offload could not be switched off"),
        }
    }
}

/// Whether the LAN's cable has a link, and what this machine is on the LAN; `None` if the system does not tell. Puts what was seen into
/// the status.
async fn look(name: &str, network: &Network, status: &watch::Sender<Status>) -> Option<(bool, Station)> {
    let snapshot = network
        .snapshot()
        .await
        .inspect_err(|error| tracing::warn!(%error, "could not look at this machine's network"))
        .ok()?;
    let shown = InterfaceStatus::of(&snapshot, name).unwrap_or_else(|| InterfaceStatus::absent(name));
    let link = shown.up && shown.carrier;
    status.send_if_modified(|status| {
        let Some(endpoint) = &mut status.endpoint else {
            return false;
        };
        let changed = endpoint.interface.as_ref() != Some(&shown);
        endpoint.interface = Some(shown);
        changed
    });
    let own = snapshot.link_named(name);
    let addresses = own.into_iter().flat_map(|link| snapshot.addresses_of(link.index));
    let station = Station {
        mac: own.and_then(|link| link.mac),
        addresses: addresses.map(|address| address.address).collect(),
    };
    Some((link, station))
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "LAN gateway".to_owned(), |name| name.trim().to_owned())
}

fn state_failure(error: DirError) -> Failure {
    match error {
        DirError::InUse { .. } => Failure::new(ExitCode::AlreadyRunning, error),
        DirError::Io { .. } | DirError::NoDefault => Failure::new(ExitCode::Host, error),
    }
}

fn transaction_failure(error: TransactionError) -> Failure {
    match error {
        TransactionError::OwnerAlive { .. } => Failure::new(ExitCode::AlreadyRunning, error),
        error => Failure::new(ExitCode::Host, error),
    }
}

fn interface_failure(error: LanInterfaceError) -> Failure {
    Failure::new(ExitCode::Host, error)
}

fn device_failure(error: DeviceError) -> Failure {
    Failure::new(ExitCode::Host, error)
}
