//! The way to the relay: which address, over which interface, and what a dial that failed means.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use lanparty_api::status::RouteStatus;
use lanparty_core::{node::PathId, session::Failure};
use lanparty_os::{
    network::{BestRoute, Network, NetworkError},
    socket::{SocketError, bind_udp, bound_interface},
};
use lanparty_quic::{
    ControlReceiver, ControlSender, DialConfig, DialError, Dialer, Engine, Link, Path, ResolveError,
    TrustOutcome, resolve,
};
use lanparty_wire::{
    LeaveReason, RelayAddress, SealedRoom, ShortNumber, VERSION,
    control::{Hello, Message, Welcome},
    mtu,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{EndpointConfig, EndpointError, uplinked::chain};

/// Control messages that wait for a slow path. A relay that reads none of so many is as good as gone.
const CONTROL_QUEUE: usize = 64;
/// Looking up a name must not eat the time of the dial that follows.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Where the name led before, it mostly still leads: a resolver that is away together with the network must not cost the
/// seconds within which a player is to be back.
const RESOLVE_AGAIN: Duration = Duration::from_millis(250);
/// A stopping endpoint says goodbye for this long at most.
const GOODBYE: Duration = Duration::from_millis(300);

/// Why there is no uplink yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialFailure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("cannot look up {0}: nobody answers; check this computer's internet connection")]
    ResolveTimeout(String),
    #[error("the relay {0} does not answer")]
    Timeout(SocketAddr),
    #[error("no way to the relay")]
    Route(#[from] NetworkError),
    #[error("no socket towards the relay")]
    Socket(#[from] SocketError),
    #[error(
        "the way to {remote} leads through {interface}, which must not carry the tunnel, and the socket cannot be bound to another interface"
    )]
    Detour { remote: IpAddr, interface: String },
}

impl DialFailure {
    /// True if we asked and nobody answered, which is what a network that blocks UDP looks like.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(
            self,
            DialFailure::Timeout(_) | DialFailure::Dial(DialError::NoAnswer(_))
        )
    }

    /// True if what we sent, to the relay or to ask for its name, may just have been lost.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.is_silence() || matches!(self, DialFailure::ResolveTimeout(_))
    }

    /// What ends an endpoint, if trying again does not help.
    pub(crate) fn into_final(self) -> Result<EndpointError, DialFailure> {
        match (self.kind(), self) {
            (_, DialFailure::Dial(DialError::Rejected(reason, detail))) => {
                Ok(EndpointError::Rejected { reason, detail })
            }
            (Failure::Untrusted, DialFailure::Dial(error)) => Ok(EndpointError::Untrusted(error)),
            (_, failure) => Err(failure),
        }
    }

    /// What it means for the session.
    pub(crate) fn kind(&self) -> Failure {
        match self {
            DialFailure::Dial(DialError::Rejected(reason, _)) => Failure::Rejected(*reason),
            DialFailure::Dial(
                DialError::WrongPin { .. }
                | DialError::KeyChanged { .. }
                | DialError::NotSigned { .. }
                | DialError::InvalidCertificate { .. }
                | DialError::Trust(_)
                | DialError::ServerName(_)
                | DialError::Tls(_),
            ) => Failure::Untrusted,
            DialFailure::Dial(_)
            | DialFailure::Resolve(_)
            | DialFailure::ResolveTimeout(_)
            | DialFailure::Timeout(_)
            | DialFailure::Route(_)
            | DialFailure::Socket(_)
            | DialFailure::Detour { .. } => Failure::Unreachable,
        }
    }
}

/// How uplinks are made.
pub(crate) struct Uplinks {
    dialer: Dialer,
    hello: Hello,
    avoid: Vec<String>,
    /// Where the name last led, for when the resolver is away together with the network.
    known: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Uplinks {
    pub(crate) fn new(config: EndpointConfig, session: u64) -> Result<Uplinks, DialError> {
        let hello = Hello {
            min_version: VERSION,
            max_version: VERSION,
            room: config.room,
            role: config.role,
            mac: config.mac,
            budget: mtu::MIN_BUDGET,
            name: config.name,
            session,
            token: config.relay_token,
            capabilities: Vec::new(),
            software: config.software,
        };
        let dialer = Dialer::new(DialConfig {
            segmentation_offload: config.udp_offload,
            ..DialConfig::new(config.identity, config.trust, config.relay)
        })?;
        Ok(Uplinks {
            dialer,
            hello,
            avoid: config.avoid_interfaces,
            known: Arc::default(),
        })
    }

    pub(crate) fn relay(&self) -> &RelayAddress {
        self.dialer.relay()
    }

    /// One attempt, to one of the relay's addresses in turn.
    pub(crate) async fn dial(&self, attempt: u32, timeout: Duration) -> Result<Dialed, DialFailure> {
        let remote = self.address(attempt).await?;
        let (socket, route) = self.socket(remote).await?;
        let dial = self.dialer.dial(socket, remote, &self.hello);
        let (path, welcome) = tokio::time::timeout(timeout, dial)
            .await
            .map_err(|_| DialFailure::Timeout(remote))??;
        Ok(Dialed { path, welcome, route })
    }

    /// One attempt to join the room that a short code's number leads to. The relay's key is not kept.
    pub(crate) async fn dial_number(
        &self,
        attempt: u32,
        number: ShortNumber,
    ) -> Result<(Path, Welcome, SealedRoom), DialFailure> {
        let remote = self.address(attempt).await?;
        let (socket, _) = self.socket(remote).await?;
        Ok(self
            .dialer
            .dial_number(socket, remote, number, &self.hello)
            .await?)
    }

    async fn address(&self, attempt: u32) -> Result<SocketAddr, DialFailure> {
        let addresses = self.addresses().await?;
        Ok(addresses[attempt.wrapping_sub(1) as usize % addresses.len()])
    }

    /// Never empty.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialFailure> {
        // A task of its own, so that an answer that comes too late for this dial is there for the next.
        let lookup = tokio::spawn({
            let (relay, known) = (self.relay().clone(), Arc::clone(&self.known));
            async move {
                let found = resolve(&relay).await?;
                known.lock().clone_from(&found);
                Ok(found)
            }
        });
        let patience = if self.known.lock().is_empty() {
            RESOLVE_TIMEOUT
        } else {
            RESOLVE_AGAIN
        };
        let failure = match tokio::time::timeout(patience, lookup).await {
            Ok(Ok(Ok(addresses))) => return Ok(addresses),
            Ok(Ok(Err(error))) => DialFailure::Resolve(error),
            // The task neither panics nor is it stopped before its runtime is.
            Ok(Err(_)) | Err(_) => DialFailure::ResolveTimeout(self.relay().host.clone()),
        };
        // Perhaps by now: an earlier question's answer may have come.
        let known = self.known.lock().clone();
        if known.is_empty() { Err(failure) } else { Ok(known) }
    }

    /// A socket that leads to `remote`, off the avoided interfaces if there are any, and the way that it takes then.
    pub(crate) async fn socket(&self, remote: SocketAddr) -> Result<(UdpSocket, Option<Way>), DialFailure> {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let bind = |interface: Option<&str>| bind_udp(SocketAddr::new(any, 0), interface);
        if self.avoid.is_empty() || remote.ip().is_loopback() {
            return Ok((bind(None)?, None));
        }
        let (socket, mut way) = pin(self.route(remote.ip()).await?, bind)?;
        if way.unpinned.is_some() {
            // Where packets go by themselves is what counts then.
            way.route = Network::open()?.best_route(remote.ip(), &[]).await?;
            if self.avoid.contains(&way.route.interface) {
                return Err(DialFailure::Detour {
                    remote: remote.ip(),
                    interface: way.route.interface,
                });
            }
        }
        Ok((socket, Some(way)))
    }

    /// The physical interface that leads to the relay now.
    pub(crate) async fn route(&self, remote: IpAddr) -> Result<BestRoute, NetworkError> {
        let avoid: Vec<&str> = self.avoid.iter().map(String::as_str).collect();
        Network::open()?.best_route(remote, &avoid).await
    }
}

/// The way to the relay.
#[derive(Debug)]
pub(crate) struct Way {
    pub route: BestRoute,
    /// Why the socket is not bound to the route's interface, so that other routes could lead it elsewhere.
    pub unpinned: Option<String>,
}

/// A socket that is bound to the route's interface, or to none where the system forbids that: playing on with a warning is
/// better than not at all.
fn pin(
    route: BestRoute,
    bind: impl Fn(Option<&str>) -> Result<UdpSocket, SocketError>,
) -> Result<(UdpSocket, Way), SocketError> {
    let (socket, unpinned) = match bind(Some(&route.interface)) {
        Ok(socket) => {
            let is_bound = matches!(bound_interface(&socket), Ok(Some(name)) if name == route.interface);
            (
                socket,
                (!is_bound).then(|| "the system has not bound it".to_owned()),
            )
        }
        Err(error) if error.is_forbidden() => (bind(None)?, Some(chain(&error))),
        Err(error) => return Err(error),
    };
    Ok((socket, Way { route, unpinned }))
}

/// A dial that succeeded.
pub(crate) struct Dialed {
    pub path: Path,
    pub welcome: Welcome,
    pub route: Option<Way>,
}

/// One path to the relay. Its control stream is written by a task of its own, so that a slow one never holds up frames.
pub(crate) struct Uplink {
    pub id: PathId,
    /// Driven by the endpoint's one task.
    pub engine: Engine,
    pub link: Link,
    /// What the core knows as the path's budget.
    pub budget: u16,
    pub trust: TrustOutcome,
    pub route: Option<Way>,
    messages: mpsc::Sender<Message>,
}

impl Uplink {
    pub(crate) fn new(id: PathId, path: Path, route: Option<Way>) -> (Uplink, ControlReceiver) {
        let trust = path.trust();
        let (engine, link, sender, receiver) = path.split();
        let (messages, queue) = mpsc::channel(CONTROL_QUEUE);
        tokio::spawn(write_control(sender, queue));
        (
            Uplink {
                id,
                engine,
                budget: link.budget(),
                link,
                trust,
                route,
                messages,
            },
            receiver,
        )
    }

    /// False if the control stream has come to a standstill.
    pub(crate) fn send_control(&self, message: Message) -> bool {
        self.messages.try_send(message).is_ok()
    }

    /// Tells the relay why we go, waits a moment for it to hear, and closes.
    pub(crate) async fn goodbye(self, reason: LeaveReason) {
        let Uplink {
            mut engine,
            link,
            messages,
            ..
        } = self;
        let _ = messages.try_send(Message::Goodbye {
            reason: reason.clone(),
        });
        let parting = async {
            let flushed = async {
                // The writer holds the queue's other end; when it is empty, the goodbye is with QUIC.
                while messages.capacity() < CONTROL_QUEUE {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let _ = tokio::time::timeout(GOODBYE, flushed).await;
            link.shutdown(reason).await;
        };
        engine.drive_until(parting).await;
    }

    /// Lets go of it without waiting; the relay is told if it still listens.
    pub(crate) fn retire(self) {
        self.link.close(LeaveReason::Goodbye);
        tokio::spawn(self.engine.wind_up(GOODBYE));
    }

    pub(crate) fn route_status(&self) -> Option<RouteStatus> {
        let way = self.route.as_ref()?;
        Some(RouteStatus {
            pinned: way.unpinned.is_none(),
            reason: way.unpinned.clone(),
            interface: Some(way.route.interface.clone()),
        })
    }
}

async fn write_control(mut sender: ControlSender, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        if let Err(error) = sender.send(&message).await {
            tracing::debug!(%error, "a control message was not sent");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn route(interface: &str) -> BestRoute {
        BestRoute {
            interface: interface.to_owned(),
            index: 1,
            source: None,
            via: None,
        }
    }

    fn bind(interface: Option<&str>) -> Result<UdpSocket, SocketError> {
        bind_udp((Ipv4Addr::LOCALHOST, 0).into(), interface)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_route_is_pinned_if_the_system_says_so() {
        let (_socket, way) = pin(route("lo"), bind).unwrap();
        assert_eq!(way.unpinned, None);
        let (_socket, way) = pin(route("lo"), |_| bind(None)).unwrap();
        assert_eq!(way.unpinned.as_deref(), Some("the system has not bound it"));
    }

    #[test]
    fn a_system_that_forbids_it_is_named_and_played_on() {
        let refuse = |kind: io::ErrorKind| {
            move |interface: Option<&str>| match interface {
                Some(interface) => Err(SocketError::Interface {
                    interface: interface.to_owned(),
                    source: kind.into(),
                }),
                None => bind(None),
            }
        };
        let (_socket, way) = pin(route("wan0"), refuse(io::ErrorKind::PermissionDenied)).unwrap();
        let why = way.unpinned.unwrap();
        assert!(why.contains("wan0: permission denied"), "{why}");
        assert!(pin(route("wan0"), refuse(io::ErrorKind::NotFound)).is_err());
    }
}
