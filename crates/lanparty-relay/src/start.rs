//! From the command line to a listening relay: everything that can fail before anybody is served fails here, with advice.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
};

use lanparty_api::{
    Program,
    cli::{self, CommonArgs, ExitCode, Failure},
};
use lanparty_os::{
    dirs::{DirError, Environment, StateDir},
    privileges::{self, Privilege},
    socket::bind_udp,
};
use lanparty_quic::{EndpointKeys, ListenConfig, Listener, Pin, RelayCertificate};
use lanparty_wire::ListenAddress;
use tokio::runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    memory::Memory,
    relay::{self, Plan},
    settings::{Arguments, Settings, Verb},
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
    if let Some(path) = &settings.dev_cert_der_out {
        write_certificate(path, &certificate)?;
    }
    let keys = EndpointKeys::load_or_create(state.path()).map_err(host)?;
    let memory = Memory::open(state.path()).map_err(|error| Failure::new(ExitCode::Host, error))?;
    let socket = bind(settings.listen())?;
    privileges::keep(&[]).map_err(|error| Failure::new(ExitCode::Host, error))?;
    let pin = certificate.pin();
    let address = socket
        .local_addr()
        .map_err(|error| Failure::new(ExitCode::Host, error))?;
    announce(address, pin, settings.cert.is_some());
    let config = ListenConfig {
        certificate,
        keys,
        segmentation_offload: true,
    };
    let plan = Plan {
        room_limits: settings.room_limits(),
        ingress: settings.ingress(),
        state_dir: state.path().to_owned(),
        pin,
    };
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))?
        .block_on(async {
            let listener = Listener::new(socket, config).map_err(|e| Failure::new(ExitCode::Host, e))?;
            relay::run(listener, plan, memory).await
        })
}

fn state_dir(common: &CommonArgs) -> Result<PathBuf, Failure> {
    match &common.state_dir {
        Some(path) => Ok(path.clone()),
        None => Environment::of_process()
            .state_dir("relay")
            .map_err(|error| Failure::new(ExitCode::Usage, error)),
    }
}

fn bind(listen: ListenAddress) -> Result<UdpSocket, Failure> {
    let address = listen.0;
    bind_udp(address, None).map_err(|error| {
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
    let text = lines.join("\n") + "\n";
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
    tracing::info!(%address, %pin, "listening");
}
