//! A relay and a player's machine, as small as they can be.

use std::{
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    time::Duration,
};

use lanparty_quic::{
    AcceptError, ControlReceiver, ControlSender, DialConfig, DialError, Dialer, EndpointKeys, Identity,
    Inbound, Link, ListenConfig, Listener, Path, Pin, RelayCertificate, SegmentationOffload, Trust,
    TrustOutcome,
};
use lanparty_wire::{
    Incarnation, LeaveReason, Mac, MemberId, PeerId, RejectReason,
    control::{Hello, Message, Mode, Role, Welcome},
};
use tempfile::TempDir;

use crate::pump::{Pump, Wire};

/// What the relay has of one who joined.
pub struct Member {
    pub peer: PeerId,
    pub link: Link,
    pub wire: Wire,
    pub sender: ControlSender,
    pub receiver: ControlReceiver,
}

/// What a player has after joining.
pub struct Joined {
    pub link: Link,
    pub wire: Wire,
    pub sender: ControlSender,
    pub receiver: ControlReceiver,
}

/// Drives a joined path from a task of its own.
pub fn drive(path: Path) -> Joined {
    let (engine, link, sender, receiver) = path.split();
    let wire = Pump::new(engine).wire(link.id());
    Joined {
        link,
        wire,
        sender,
        receiver,
    }
}

/// The smallest relay: welcomes everybody as member 7, and hands over the ends.
pub struct Relay {
    pub address: SocketAddr,
    pub pin: Pin,
    pub state: TempDir,
    pub listener: Listener,
    runtime: Background,
    joined: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<Result<Member, AcceptError>>>,
    refuse: std::sync::Arc<std::sync::Mutex<Option<RejectReason>>>,
}

/// A runtime that may be dropped by a test that runs in another one.
pub struct Background(Option<tokio::runtime::Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Relay {
    pub fn start() -> Relay {
        Relay::start_on("127.0.0.1:0".parse().unwrap(), TempDir::new().unwrap())
    }

    pub fn start_on(address: SocketAddr, state: TempDir) -> Relay {
        let certificate = RelayCertificate::load_or_create(state.path()).unwrap();
        Relay::start_with(address, state, certificate)
    }

    pub fn with_certificate(issued: &(String, String)) -> Relay {
        let state = TempDir::new().unwrap();
        let (certificate, key) = (state.path().join("c.pem"), state.path().join("k.pem"));
        std::fs::write(&certificate, &issued.0).unwrap();
        std::fs::write(&key, &issued.1).unwrap();
        let certificate = RelayCertificate::from_files(&certificate, &key).unwrap();
        Relay::start_with("127.0.0.1:0".parse().unwrap(), state, certificate)
    }

    /// In a runtime of its own, so that it can be killed without a word.
    pub fn start_with(address: SocketAddr, state: TempDir, certificate: RelayCertificate) -> Relay {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.enter();
        let socket = UdpSocket::bind(address).unwrap();
        let pin = certificate.pin();
        let keys = EndpointKeys::load_or_create(state.path()).unwrap();
        let config = ListenConfig {
            certificate,
            keys,
            segmentation_offload: SegmentationOffload::Auto,
        };
        let (listener, engine) = Listener::new(socket, config).unwrap();
        let pump = Pump::new(engine);
        let (tx, rx) = tokio::sync::mpsc::channel(16);
        let refuse = std::sync::Arc::new(std::sync::Mutex::new(None));
        let accepting = (listener.clone(), refuse.clone(), pump.clone());
        runtime.spawn(async move {
            let (listener, refuse, pump) = accepting;
            while let Some(incoming) = listener.knock().await {
                let outcome = match Inbound::accept(incoming, Duration::from_secs(3), nobody).await {
                    Err(error) => Err(error),
                    Ok(inbound) => {
                        let reason = refuse.lock().unwrap().take();
                        if let Some(reason) = reason {
                            inbound.reject(reason, "it is #7's".into()).await;
                            continue;
                        }
                        let peer = inbound.peer;
                        let (link, mut sender, receiver) = inbound.split();
                        sender.send(&Message::Welcome(welcome_for(7))).await.unwrap();
                        Ok(Member {
                            peer,
                            wire: pump.wire(link.id()),
                            link,
                            sender,
                            receiver,
                        })
                    }
                };
                let _ = tx.send(outcome).await;
            }
        });
        drop(guard);
        Relay {
            address: listener.local_address().unwrap(),
            pin,
            state,
            listener,
            runtime: Background(Some(runtime)),
            joined: tokio::sync::Mutex::new(rx),
            refuse,
        }
    }

    pub async fn outcome(&self) -> Result<Member, AcceptError> {
        let mut joined = self.joined.lock().await;
        tokio::time::timeout(Duration::from_secs(5), joined.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub async fn joined(&self) -> Member {
        self.outcome().await.unwrap()
    }

    pub async fn failed(&self) -> AcceptError {
        self.outcome().await.map(|m| m.peer).unwrap_err()
    }

    pub fn refuse_next(&self, reason: RejectReason) {
        *self.refuse.lock().unwrap() = Some(reason);
    }

    /// No goodbye, no close: as `kill -9` does it.
    pub fn kill(self) -> (SocketAddr, TempDir) {
        let (address, state) = (self.address, self.state);
        drop((self.runtime, self.listener, self.joined));
        // The runtime lets go of its socket in its own time.
        while UdpSocket::bind(address).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (address, state)
    }

    pub fn stop(self) -> SocketAddr {
        self.kill().0
    }
}

/// A player's machine.
pub struct Home {
    pub directory: TempDir,
    pub identity: Identity,
    pub relay: SocketAddr,
}

impl Home {
    pub fn new(relay: &Relay) -> Home {
        Home::at(relay.address)
    }

    pub fn at(relay: SocketAddr) -> Home {
        let directory = TempDir::new().unwrap();
        Home {
            identity: Identity::load_or_create(&directory.path().join("identity.pem")).unwrap(),
            directory,
            relay,
        }
    }

    pub fn trust(&self) -> Trust {
        Trust {
            pin: None,
            ca_cert: None,
            server_name: None,
            store: self.directory.path().join("known-relays.json"),
        }
    }

    pub fn ca(&self, name: &str, content: &[u8]) -> Trust {
        let path: PathBuf = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        Trust {
            ca_cert: Some(path),
            ..self.trust()
        }
    }

    pub async fn dial(&self, trust: Trust) -> Result<(Path, Welcome), DialError> {
        let relay = self.relay.to_string().parse().unwrap();
        let dialer = Dialer::new(DialConfig {
            timeout: Duration::from_secs(2),
            ..DialConfig::new(self.identity.clone(), trust, relay)
        })?;
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            room: "ABCD".parse().unwrap(),
            role: Role::Client,
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            budget: 1200,
            name: "ada".into(),
            session: 1,
            token: None,
            capabilities: vec![],
            software: String::new(),
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        dialer.dial(socket, self.relay, &hello).await
    }

    pub async fn outcome(&self, trust: Trust) -> TrustOutcome {
        let (path, _) = self.dial(trust).await.unwrap();
        path.link().shutdown(LeaveReason::Goodbye).await;
        path.trust()
    }
}

pub fn welcome_for(id: u16) -> Welcome {
    Welcome {
        version: 1,
        member: MemberId::new(id).unwrap(),
        incarnation: Incarnation(1),
        mode: Mode::Relay,
        sealed: false,
        gateway: None,
        members: 1,
    }
}

/// Here no short code leads anywhere.
fn nobody(_: SocketAddr, _: lanparty_wire::ShortNumber) -> Result<lanparty_wire::SealedRoom, RejectReason> {
    Err(RejectReason::UnknownCode)
}
