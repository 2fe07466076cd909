//! The relay's endpoint: who connects, and the hello that he begins with.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use lanparty_wire::{
    LeaveReason, PeerId, RejectReason, SealedRoom, ShortNumber,
    control::{self, Hello, Message},
};
use quinn_proto::{ConnectionError, EndpointConfig, ServerConfig, crypto::rustls::QuicServerConfig};
use ring::{hkdf, hmac};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    ControlReceiver, ControlSender, EndpointKeys, Engine, Link, PathClosed, RecvError, RelayCertificate,
    SegmentationOffload,
    certify::Shown,
    crypto,
    engine::{
        ShardedIds,
        desk::{Command, Desk, Door},
    },
    transport::{self, Side},
    verify::{MemberVerifier, peer_id},
};

/// Handshakes that wait for their turn; beyond it the newest is dropped.
const MAX_INCOMING: usize = 1024;
/// What one waiting handshake may make us keep, and all of them together.
const INCOMING_BUFFER: u64 = 8 * 1024;
const INCOMING_BUFFERS: u64 = 4 * 1024 * 1024;
/// Resets are smaller than what they answer, so this bounds only their processor time; a party of members that all send at
/// once after a restart must be told at once.
const RESET_INTERVAL: Duration = Duration::from_micros(200);
/// How long a refused client has to read why.
const REJECTION: Duration = Duration::from_secs(1);

/// What a relay's endpoint is made of.
#[derive(Debug)]
pub struct ListenConfig {
    pub certificate: RelayCertificate,
    pub keys: EndpointKeys,
    /// Whether the kernel may cut batches into packets.
    pub segmentation_offload: SegmentationOffload,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    #[error("cannot set up QUIC")]
    Quic(#[source] io::Error),
}

/// Why a connection did not get as far as a hello.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the handshake failed")]
    Handshake(#[source] PathClosed),
    #[error("it took too long")]
    TooSlow,
    #[error("the client showed no identity")]
    NoIdentity,
    #[error("the client takes no datagrams")]
    NoDatagrams,
    #[error("the first message is no hello")]
    NotAHello,
    #[error("it asked for a short code's number, and no more")]
    LookedUp,
    #[error("the first message could not be read")]
    Hello(#[source] RecvError),
}

/// Where clients knock. Its engines carry what goes over their connections.
#[derive(Debug, Clone)]
pub struct Listener {
    door: Arc<Door>,
    shown: Arc<Shown>,
    desks: Arc<[Arc<Desk>]>,
}

/// One who knocks, before any work was done for him. He is ignored if nothing else becomes of him.
#[derive(Debug)]
pub struct Incoming {
    desk: Arc<Desk>,
    /// `None` once it has become something.
    incoming: Option<Box<quinn_proto::Incoming>>,
    remote: SocketAddr,
    validated: bool,
}

impl Listener {
    /// Starts an engine on a bound socket. Needs a runtime.
    ///
    /// # Errors
    /// The certificate's key is of no use to TLS, or the socket cannot be used.
    pub fn new(socket: UdpSocket, config: ListenConfig) -> Result<(Listener, Engine), ListenError> {
        let (listener, mut engines) = Listener::sharded(vec![(socket, Handle::current())], config)?;
        let engine = engines.pop().ok_or_else(no_socket)?;
        Ok((listener, engine))
    }

    /// Starts an engine on each of several sockets with the same address (`SO_REUSEPORT`). Each is driven by a loop of its own,
    /// which also hands on what came in at the wrong socket ([`Engine::strays`]), and which runs on the runtime that is given
    /// with the socket.
    ///
    /// # Errors
    /// The certificate's key is of no use to TLS, a socket cannot be used, there is none, or there are more than 256.
    pub fn sharded(
        sockets: Vec<(UdpSocket, Handle)>,
        config: ListenConfig,
    ) -> Result<(Listener, Vec<Engine>), ListenError> {
        let engines = sockets.len();
        let offload = config.segmentation_offload;
        let reset = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &config.keys.stateless_reset));
        let connection_id = config.keys.connection_id;
        let shown = Arc::new(Shown::new(&config.certificate).map_err(ListenError::Tls)?);
        let server = Arc::new(server_config(config.keys, shown.clone())?);
        let door = Arc::new(Door::default());
        let make = |(number, (socket, runtime)): (usize, (UdpSocket, Handle))| {
            // The socket is watched by the runtime of its loop, so that a packet wakes no other thread.
            let _inside = runtime.enter();
            let number = u8::try_from(number).map_err(|_| no_socket())?;
            let mut endpoint = EndpointConfig::new(reset.clone());
            endpoint
                .cid_generator(move || Box::new(ShardedIds::new(number, connection_id)))
                .min_reset_interval(RESET_INTERVAL);
            let listening = Some((server.clone(), door.clone()));
            Engine::new(number, engines, socket, offload, endpoint, listening).map_err(ListenError::Quic)
        };
        let engines: Vec<Engine> = sockets
            .into_iter()
            .enumerate()
            .map(make)
            .collect::<Result<_, _>>()?;
        let desks = engines.iter().map(|engine| engine.desk().clone()).collect();
        let listener = Listener { door, shown, desks };
        Ok((listener, engines))
    }

    /// Answers handshakes with this certificate from now on. Connections stay.
    ///
    /// # Errors
    /// The certificate's key is of no use to TLS.
    pub fn show(&self, certificate: &RelayCertificate) -> Result<(), ListenError> {
        self.shown.set(certificate).map_err(ListenError::Tls)
    }

    /// The next one who knocks; `None` when the listener is closed. He may be accepted (see [`Inbound::accept`]), asked to prove
    /// his address ([`Incoming::retry`]), or ignored. Cancel-safe.
    pub async fn knock(&self) -> Option<Incoming> {
        loop {
            let knocked = self.door.knocked.notified();
            tokio::pin!(knocked);
            knocked.as_mut().enable();
            {
                let mut knocking = self.door.state.lock();
                if let Some((desk, incoming)) = knocking.waiting.pop_front() {
                    return Some(Incoming {
                        desk,
                        remote: incoming.remote_address(),
                        validated: incoming.remote_address_validated(),
                        incoming: Some(incoming),
                    });
                }
                if knocking.closed {
                    return None;
                }
            }
            knocked.await;
        }
    }

    /// # Errors
    /// There is no socket.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let desk = self.desks.first();
        let desk = desk.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(*desk.address.lock())
    }

    /// Connections, those that are closing included.
    pub fn connections(&self) -> usize {
        self.desks.iter().map(|desk| desk.connections()).sum()
    }

    /// Closes every connection with a reason, lets nobody in any more, and waits a moment until all know. The engines have to be
    /// driven meanwhile.
    pub async fn close(&self, reason: LeaveReason, within: Duration) {
        for desk in self.desks.iter() {
            desk.command(Command::Close(reason.clone()));
        }
        let idle = async {
            for desk in self.desks.iter() {
                desk.idle().await;
            }
        };
        // A member that does not answer must not hold the relay back.
        let _ = tokio::time::timeout(within, idle).await;
    }
}

fn no_socket() -> ListenError {
    ListenError::Quic(io::Error::other(
        "a relay needs one socket at least, and 256 at most",
    ))
}

impl Incoming {
    /// Where he says that he is.
    pub fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    /// True if he has proven that he can receive there.
    pub fn remote_address_validated(&self) -> bool {
        self.validated
    }

    /// Lets him prove his address, which costs us no memory (RFC 9000, section 8.1.2).
    ///
    /// # Errors
    /// He has proven it already.
    pub fn retry(mut self) -> Result<(), Incoming> {
        match self.incoming.take() {
            Some(incoming) if incoming.may_retry() => self.desk.command(Command::Retry(incoming)),
            incoming => {
                self.incoming = incoming;
                return Err(self);
            }
        }
        Ok(())
    }

    /// Says nothing; he tries again by himself.
    pub fn ignore(self) {}

    async fn accept(mut self) -> Result<Link, ConnectionError> {
        let gone = ConnectionError::LocallyClosed;
        let incoming = self.incoming.take().ok_or_else(|| gone.clone())?;
        let (answer, accepted) = oneshot::channel();
        self.desk.command(Command::Accept(incoming, answer));
        accepted.await.map_err(|_| gone)?
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.desk.command(Command::Ignore(incoming));
        }
    }
}

fn server_config(keys: EndpointKeys, shown: Arc<Shown>) -> Result<ServerConfig, ListenError> {
    let provider = crypto::provider();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ListenError::Tls)?
        .with_client_cert_verifier(Arc::new(MemberVerifier(provider)))
        .with_cert_resolver(shown);
    tls.alpn_protocols = vec![control::ALPN.to_vec()];
    // Every connection proves its identity anew; tickets would also be state that a flood makes us hand out.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let quic = QuicServerConfig::try_from(tls).map_err(|error| ListenError::Quic(io::Error::other(error)))?;
    let token = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&keys.token);
    let mut server = ServerConfig::new(Arc::new(quic), Arc::new(token));
    server
        .transport_config(transport::config(Side::Relay))
        .migration(true)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS);
    Ok(server)
}

/// A client with a proven identity that has said what it wants.
#[derive(Debug)]
pub struct Inbound {
    pub peer: PeerId,
    pub remote: SocketAddr,
    pub hello: Hello,
    link: Link,
    sender: ControlSender,
    receiver: ControlReceiver,
}

impl Inbound {
    /// Goes through the handshake with one who knocked, and reads his hello. Before it he may ask once to which room a short code's
    /// number leads, which `look_up` answers.
    ///
    /// # Errors
    /// He is too slow, proves no identity, asks for a number only, or says something else; he is told why where that is possible.
    pub async fn accept(
        incoming: Incoming,
        within: Duration,
        look_up: impl FnMut(SocketAddr, ShortNumber) -> Result<SealedRoom, RejectReason>,
    ) -> Result<Inbound, AcceptError> {
        tokio::time::timeout(within, Inbound::greet(incoming, look_up))
            .await
            .map_err(|_| AcceptError::TooSlow)?
    }

    /// State of the connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The parts, which different tasks may own.
    pub fn split(self) -> (Link, ControlSender, ControlReceiver) {
        (self.link, self.sender, self.receiver)
    }

    /// Says no, and waits a moment until that has been read.
    pub async fn reject(self, reason: RejectReason, detail: String) {
        refuse(self.sender, reason, detail).await;
        self.link.close(LeaveReason::Kicked);
    }

    async fn greet(
        incoming: Incoming,
        mut look_up: impl FnMut(SocketAddr, ShortNumber) -> Result<SealedRoom, RejectReason>,
    ) -> Result<Inbound, AcceptError> {
        let failed = |error: ConnectionError| AcceptError::Handshake(error.into());
        let link = incoming.accept().await.map_err(failed)?;
        let peer = identity(&link).await?;
        if link.budget() == 0 {
            return Err(AcceptError::NoDatagrams);
        }
        opened(&link).await.map_err(failed)?;
        let mut sender = ControlSender::new(link.clone());
        let mut receiver = ControlReceiver::new(link.clone());
        let mut first = receiver.recv().await;
        if let Ok(Some(Message::Lookup { number })) = first {
            match look_up(link.remote_address(), number) {
                // Who goes away with the answer is not missed.
                Ok(room) => drop(sender.send(&Message::Found { number, room }).await),
                Err(reason) => {
                    refuse(sender, reason, String::new()).await;
                    link.close(LeaveReason::Goodbye);
                    return Err(AcceptError::LookedUp);
                }
            }
            first = receiver.recv().await;
            if let Ok(None) | Err(RecvError::Closed(_)) = first {
                link.close(LeaveReason::Goodbye);
                return Err(AcceptError::LookedUp);
            }
        }
        let error = match first {
            Ok(Some(Message::Hello(hello))) => {
                return Ok(Inbound {
                    peer,
                    remote: link.remote_address(),
                    hello,
                    link,
                    sender,
                    receiver,
                });
            }
            Ok(_) => AcceptError::NotAHello,
            Err(error) => AcceptError::Hello(error),
        };
        refuse_hello(link, sender, &error).await;
        Err(error)
    }
}

/// Waits for the end of the handshake.
async fn identity(link: &Link) -> Result<PeerId, AcceptError> {
    let chain = link
        .mailbox()
        .wait(|letters| match &letters.closed {
            _ if letters.connected => Some(Ok(letters.identity.take())),
            Some(error) => Some(Err(AcceptError::Handshake(error.clone().into()))),
            None => None,
        })
        .await?;
    let certificate = chain.as_ref().and_then(|chain| chain.first());
    certificate
        .and_then(|certificate| peer_id(certificate))
        .ok_or(AcceptError::NoIdentity)
}

/// Waits for the control stream.
async fn opened(link: &Link) -> Result<(), ConnectionError> {
    link.mailbox()
        .wait(|letters| match &letters.closed {
            _ if letters.opened => Some(Ok(())),
            Some(error) => Some(Err(error.clone())),
            None => None,
        })
        .await
}

async fn refuse_hello(link: Link, sender: ControlSender, error: &AcceptError) {
    let detail = match error {
        AcceptError::Hello(RecvError::Decode(error)) => error.to_string(),
        error => error.to_string(),
    };
    refuse(sender, RejectReason::BadHello, detail).await;
    link.close(LeaveReason::Malformed);
}

/// Says no, and waits a moment until that has been read.
async fn refuse(mut sender: ControlSender, reason: RejectReason, detail: String) {
    if sender.send(&Message::Reject { reason, detail }).await.is_ok() {
        sender.finish(REJECTION).await;
    }
}
