//! The relay's endpoint: who connects, and the hello that he begins with.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use lanparty_wire::{
    LeaveReason, PeerId, RejectReason,
    control::{self, Hello, Message},
};
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, VarInt,
    crypto::rustls::QuicServerConfig,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::{hkdf, hmac};
use rustls::pki_types::CertificateDer;

use crate::{
    ControlReceiver, ControlSender, EndpointKeys, Link, PathClosed, RecvError, RelayCertificate,
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
    /// Whether the kernel may cut batches into packets (UDP GSO).
    pub segmentation_offload: bool,
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
    #[error("the first message could not be read")]
    Hello(#[source] RecvError),
}

/// A relay's QUIC endpoint.
#[derive(Debug, Clone)]
pub struct Listener(Endpoint);

impl Listener {
    /// Starts an endpoint on a bound socket.
    ///
    /// # Errors
    /// The certificate's key is of no use to TLS, or the socket cannot be used.
    pub fn new(socket: UdpSocket, config: ListenConfig) -> Result<Listener, ListenError> {
        let reset = hmac::Key::new(hmac::HMAC_SHA256, &config.keys.stateless_reset);
        let connection_id = config.keys.connection_id;
        let mut endpoint = EndpointConfig::new(Arc::new(reset));
        endpoint
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_id)))
            .min_reset_interval(RESET_INTERVAL);
        let server = server_config(config)?;
        Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime))
            .map(Listener)
            .map_err(ListenError::Quic)
    }

    /// The next one who knocks, before any work is done for him; `None` when the endpoint is closed. He may be accepted (see
    /// [`Inbound::accept`]), asked to prove his address ([`Incoming::retry`]), or ignored.
    pub async fn knock(&self) -> Option<Incoming> {
        self.0.accept().await
    }

    /// # Errors
    /// The socket is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Connections, those that are closing included.
    pub fn connections(&self) -> usize {
        self.0.open_connections()
    }

    /// Closes every connection with a reason, and waits a moment until they know.
    pub async fn close(&self, reason: LeaveReason, within: Duration) {
        let text = serde_json::to_vec(&reason).unwrap_or_default();
        self.0.close(VarInt::from_u32(0), &text);
        // A member that does not answer must not hold the relay back.
        let _ = tokio::time::timeout(within, self.0.wait_idle()).await;
    }
}

fn server_config(config: ListenConfig) -> Result<ServerConfig, ListenError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ListenError::Tls)?
        .with_client_cert_verifier(Arc::new(MemberVerifier(provider)))
        .with_single_cert(config.certificate.chain, config.certificate.key)
        .map_err(ListenError::Tls)?;
    tls.alpn_protocols = vec![control::ALPN.to_vec()];
    // Every connection proves its identity anew; tickets would also be state that a flood makes us hand out.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let quic = QuicServerConfig::try_from(tls).map_err(|error| ListenError::Quic(io::Error::other(error)))?;
    let token = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&config.keys.token);
    let mut server = ServerConfig::new(Arc::new(quic), Arc::new(token));
    server
        .transport_config(transport::config(Side::Relay, config.segmentation_offload))
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
    /// Goes through the handshake with one who knocked, and reads his hello.
    ///
    /// # Errors
    /// He is too slow, proves no identity, or says something else; he is told why where that is possible.
    pub async fn accept(incoming: Incoming, within: Duration) -> Result<Inbound, AcceptError> {
        tokio::time::timeout(within, Inbound::greet(incoming))
            .await
            .map_err(|_| AcceptError::TooSlow)?
    }

    /// Datagrams and state of the connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The parts, which different tasks may own.
    pub fn split(self) -> (Link, ControlSender, ControlReceiver) {
        (self.link, self.sender, self.receiver)
    }

    /// Says no, and waits a moment until that has been read.
    pub async fn reject(mut self, reason: RejectReason, detail: String) {
        if self
            .sender
            .send(&Message::Reject { reason, detail })
            .await
            .is_ok()
        {
            self.sender.finish(REJECTION).await;
        }
        self.link.close(LeaveReason::Kicked);
    }

    async fn greet(incoming: Incoming) -> Result<Inbound, AcceptError> {
        let failed = |error: ConnectionError| AcceptError::Handshake(error.into());
        let connection = incoming.accept().map_err(failed)?.await.map_err(failed)?;
        let peer = identity(&connection).ok_or(AcceptError::NoIdentity)?;
        if connection.max_datagram_size().is_none() {
            return Err(AcceptError::NoDatagrams);
        }
        let remote = connection.remote_address();
        let (send, receive) = connection.accept_bi().await.map_err(failed)?;
        let link = Link::new(connection, None);
        let sender = ControlSender::new(send, link.clone());
        let mut receiver = ControlReceiver::new(receive, link.clone());
        let error = match receiver.recv().await {
            Ok(Some(Message::Hello(hello))) => {
                return Ok(Inbound {
                    peer,
                    remote,
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

async fn refuse_hello(link: Link, mut sender: ControlSender, error: &AcceptError) {
    let detail = match error {
        AcceptError::Hello(RecvError::Decode(error)) => error.to_string(),
        error => error.to_string(),
    };
    let reason = RejectReason::BadHello;
    if sender.send(&Message::Reject { reason, detail }).await.is_ok() {
        sender.finish(REJECTION).await;
    }
    link.close(LeaveReason::Malformed);
}

fn identity(connection: &Connection) -> Option<PeerId> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    peer_id(chain.first()?)
}
