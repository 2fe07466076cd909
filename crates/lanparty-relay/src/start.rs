//! From the command line to a listening relay: everything that can fail before anybody is served fails here, with advice.

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
};

use lanparty_api::{
    Program,
    cli::{self, CommonArgs, ExitCode, Failure},
};
use lanparty_os::{
    dirs::{DirError, Environment, StateDir},
    privileges::{self, Privilege},
    socket::bind_udp_shared,
};
use lanparty_quic::{EndpointKeys, Engine, ListenConfig, Listener, Pin, RelayCertificate};
use lanparty_wire::ListenAddress;
use tokio::runtime::{self, Runtime};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    acme::{self, Acme},
    memory::Memory,
    relay::{self, Plan, Relay},
    settings::{Arguments, Settings, Verb},
    shard::Threads,
    tokens,
};

/// # Errors
/// Whatever ends the process other than a request to stop.
pub fn start() -> Result<(), Failure> {
    let arguments: Arguments = cli::parse();
    let (common, settings) = cli::layered::<Settings>(arguments.common, arguments.settings)?;
    let state_dir = state_dir(&common)?;
    match arguments.command {
        Some(Verb::Status(status)) => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|error| Failure::new(ExitCode::Unexpected, error))?
                .block_on(cli::print_status(status, &state_dir, Program::Relay))
        }
        Some(Verb::Token(command)) => tokens::run(command, &state_dir),
        None => serve(&common, &settings, &state_dir),
    }
}

/// One thread until the privileges are gone, because capabilities belong to threads.
fn serve(common: &CommonArgs, settings: &Settings, state_dir: &Path) -> Result<(), Failure> {
    settings.check()?;
    cli::init_logging(common.log_format, common.verbose, LevelFilter::INFO)?;
    let state = StateDir::open(state_dir).map_err(|error| match error {
        DirError::InUse { .. } => Failure::new(ExitCode::AlreadyRunning, error),
        DirError::Io { .. } | DirError::NoDefault => Failure::new(ExitCode::Host, error),
    })?;
    let host = |error| Failure::new(ExitCode::Host, error);
    let certificate = match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            RelayCertificate::from_files(cert, key).map_err(|e| Failure::new(ExitCode::Usage, e))?
        }
        (None, _) | (_, None) => RelayCertificate::load_or_create(state.path()).map_err(host)?,
    };
    let acme = match settings.acme() {
        Some(plan) => Some(prepare_acme(plan, state.path())?),
        None => None,
    };
    if let Some(path) = &settings.dev_cert_der_out {
        write_certificate(path, &certificate)?;
    }
    let keys = EndpointKeys::load_or_create(state.path()).map_err(host)?;
    let mut memory = Memory::open(state.path()).map_err(|error| Failure::new(ExitCode::Host, error))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let sockets = bind(settings.listen(), settings.sockets(processors))?;
    privileges::keep(&[]).map_err(|error| Failure::new(ExitCode::Host, error))?;
    let pin = certificate.pin();
    let (acme, kept) = acme.unzip();
    let config = ListenConfig {
        certificate: kept.flatten().unwrap_or(certificate),
        keys,
        segmentation_offload: settings.udp_offload.unwrap_or_default(),
    };
    let (listener, shards) = listen(sockets, config)?;
    let io = |error: std::io::Error| Failure::new(ExitCode::Host, error);
    announce(
        listener.local_address().map_err(io)?,
        pin,
        settings.cert.is_some(),
    );
    let plan = Plan {
        room_limits: settings.room_limits(),
        ingress: settings.ingress(),
        redundancy: settings.redundancy.unwrap_or_default(),
        state_dir: state.path().to_owned(),
        pin,
        require_token: settings.require_token.unwrap_or(false),
    };
    let relay = Arc::new(Relay::new(listener, shards.len(), plan, &mut memory));
    let threads = Threads::start(&relay, shards).map_err(io)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))?
        .block_on(relay::run(relay, threads, memory, acme))
}

/// What is wrong with the port or the key is said at the start; what the CA has against it later.
fn prepare_acme(plan: acme::Plan, state: &Path) -> Result<(Acme, Option<RelayCertificate>), Failure> {
    let host = |error| Failure::new(ExitCode::Host, error);
    let own = RelayCertificate::load_or_create(state).map_err(host)?;
    own.request(&plan.domain).map_err(|error| {
        host(error).advise(format!(
            "move relay-key.pem and relay-cert.der away from {} to get a new key; its pin is another one, so give it to whoever has the old",
            state.display()
        ))
    })?;
    let listen = plan.listen;
    Acme::prepare(plan, own, state.to_owned()).map_err(|error| {
        let text = format!("cannot listen on {listen}/tcp for the CA's question: {error}");
        Failure::new(ExitCode::Host, text).advise(if error.kind() == io::ErrorKind::AddrInUse {
            "stop what listens there (`ss -tlnp`), or let it hand /.well-known/acme-challenge/ on to another port, given with --acme-listen"
        } else {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; or forward TCP/80 to another port, given with --acme-listen"
        })
    })
}

/// An engine for each socket, with the runtime that its thread is to run.
fn listen(
    sockets: Vec<UdpSocket>,
    config: ListenConfig,
) -> Result<(Listener, Vec<(Engine, Runtime)>), Failure> {
    let runtime = |_| runtime::Builder::new_current_thread().enable_all().build();
    let runtimes: Vec<Runtime> = (0..sockets.len())
        .map(runtime)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
    let handles = runtimes.iter().map(|runtime| runtime.handle().clone());
    let (listener, engines) = Listener::sharded(sockets.into_iter().zip(handles).collect(), config)
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    Ok((listener, engines.into_iter().zip(runtimes).collect()))
}

fn state_dir(common: &CommonArgs) -> Result<PathBuf, Failure> {
    match &common.state_dir {
        Some(path) => Ok(path.clone()),
        None => Environment::of_process()
            .state_dir("relay")
            .map_err(|error| Failure::new(ExitCode::Usage, error)),
    }
}

fn bind(listen: ListenAddress, count: usize) -> Result<Vec<UdpSocket>, Failure> {
    let address = listen.0;
    bind_udp_shared(address, count).map_err(|error| {
        let low = address.port() < 1024 && privileges::held(&[Privilege::LowPorts]).is_empty();
        let advice = if low {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose another port, for example --listen 4443/udp"
        } else {
            "stop what listens there (`ss -ulnp`), or choose another address or port with --listen"
        };
        Failure::new(ExitCode::Host, error).advise(advice)
    })
}

fn write_certificate(path: &Path, certificate: &RelayCertificate) -> Result<(), Failure> {
    fs::write(path, certificate.der()).map_err(|error| {
        Failure::new(ExitCode::Host, error).advise(format!(
            "choose a file for --dev-cert-der-out that can be written, {} cannot",
            path.display()
        ))
    })
}

/// Whoever reads this may stop reading; the relay goes on.
fn announce(address: SocketAddr, pin: Pin, from_files: bool) {
    let mut lines = vec![
        format!("Listening on {address}/udp"),
        format!("Certificate {pin}"),
    ];
    if !from_files {
        lines.push(format!("Players and hosts trust it with: --relay-pin {pin}"));
    }
    if cfg!(feature = "test-unguarded") {
        lines.push("UNGUARDED TEST BUILD: this relay forwards whatever its members send".into());
        tracing::error!("this is a test build that forwards whatever members send; never run it for people");
    }
    if cfg!(feature = "test-hostile") {
        lines.push("HOSTILE TEST BUILD: this relay attacks its members".into());
        tracing::error!("this is a test build that attacks its members; never run it for people");
    }
    let text = lines.join("\n") + "\n";
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
    tracing::info!(%address, %pin, "listening");
}
