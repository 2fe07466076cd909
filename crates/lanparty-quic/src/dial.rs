//! Dialling a relay: handshake, trust, hello, and the relay's yes or no.

mod by_number;
mod path;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use lanparty_wire::{
    RejectReason, RelayAddress, RoomId, ShortNumber,
    control::{self, Hello, Message, Welcome},
    mtu,
};
use quinn_proto::{
    ClientConfig, ConnectError, ConnectionError, EndpointConfig, TransportConfig, TransportErrorCode,
    crypto::rustls::QuicClientConfig,
};
use rustls::{client::Resumption, crypto::CryptoProvider};

pub use path::Path;

use crate::{
    ControlReceiver, ControlSender, Engine, Identity, Link, PathClosed, Pin, RecvError, SegmentationOffload,
    SendError, Trust, TrustError, TrustOutcome, crypto,
    engine::Silence,
    transport::{self, Side},
    trust::{Known, TrustAnchors},
    verify::{RelayVerifier, Verdict},
};

/// The alert of a side that has no application protocol in common (RFC 7301, section 3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// How to reach one relay.
#[derive(Debug, Clone)]
pub struct DialConfig {
    pub identity: Identity,
    pub trust: Trust,
    pub relay: RelayAddress,
    /// How long a dial waits for the relay's first answer, and again for its welcome.
    pub timeout: Duration,
    /// Whether the kernel may cut batches into packets.
    pub segmentation_offload: SegmentationOffload,
}

impl DialConfig {
    /// With the timeout after which UDP is taken for blocked, and with segmentation offload where it works.
    pub fn new(identity: Identity, trust: Trust, relay: RelayAddress) -> DialConfig {
        DialConfig {
            identity,
            trust,
            relay,
            timeout: Duration::from_secs(5),
            segmentation_offload: SegmentationOffload::Auto,
        }
    }
}

/// Why there is no path to the relay.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the relay {0} does not answer; it may be down, or this network seems to block UDP")]
    NoAnswer(SocketAddr),
    #[error(
        "the relay {relay} has another key than the pinned one: it shows {shown}, pinned is {expected}; ask who gave \
         you the invite or the pin for a new one: the relay may have a new key, or somebody may be in between"
    )]
    WrongPin {
        relay: RelayAddress,
        shown: Pin,
        expected: Pin,
    },
    #[error(
        "the relay {relay} has another key than before: it shows {shown}, known is {known}; if its operator confirms the new \
         key, give it once with --relay-pin {shown}, else somebody may be in between (known keys are in {store})"
    )]
    KeyChanged {
        relay: RelayAddress,
        shown: Pin,
        known: String,
        store: PathBuf,
    },
    #[error(
        "the certificate file {file} does not vouch for the relay {relay} ({why}); get the relay's current certificate, or \
         give its pin with --relay-pin"
    )]
    NotSigned {
        relay: RelayAddress,
        file: PathBuf,
        why: String,
    },
    #[error(
        "the certificate of the relay {relay} cannot be trusted: {why}; ask its operator for a valid one, check --server-name, \
         or give the relay's pin with --relay-pin"
    )]
    InvalidCertificate { relay: RelayAddress, why: String },
    #[error("the trust in the relay cannot be settled")]
    Trust(#[from] TrustError),
    #[error("the relay refused: {}", refusal(.0, .1))]
    Rejected(RejectReason, String),
    #[error("the relay {0} is too busy for another connection; it is tried again")]
    Busy(RelayAddress),
    #[error("{0} speaks QUIC, but is no lanparty relay of a version that this one understands")]
    NotARelay(RelayAddress),
    #[error("the relay {0} does not take QUIC datagrams, without which nothing can be carried")]
    NoDatagrams(RelayAddress),
    #[error("the path to the relay carries only {0} bytes in a datagram; at least {least} are needed", least = mtu::MIN_BUDGET)]
    SmallBudget(u16),
    #[error("{0:?} cannot be used as the name in the relay's certificate")]
    ServerName(String),
    #[error("cannot set up TLS for the relay")]
    Tls(#[source] rustls::Error),
    #[error("cannot use the socket towards the relay")]
    Socket(#[source] io::Error),
    #[error("cannot start a connection to {0}")]
    Connect(SocketAddr, #[source] ConnectError),
    #[error("the connection to the relay broke while it was made")]
    Broken(#[source] PathClosed),
    #[error("the relay did not keep to the protocol: {0}")]
    Protocol(String),
}

fn refusal(reason: &RejectReason, detail: &str) -> String {
    match (reason.sentence(), detail) {
        (sentence, "") => sentence.into(),
        (sentence, detail) => format!("{sentence} ({detail})"),
    }
}

/// Dials one relay, again and again.
pub struct Dialer {
    relay: RelayAddress,
    identity: Identity,
    anchors: TrustAnchors,
    provider: Arc<CryptoProvider>,
    transport: Arc<TransportConfig>,
    segmentation_offload: SegmentationOffload,
    timeout: Duration,
}

impl Dialer {
    /// Reads the files that trust rests on.
    ///
    /// # Errors
    /// A certificate file that cannot be read or holds none.
    pub fn new(config: DialConfig) -> Result<Dialer, DialError> {
        let provider = crypto::provider();
        Ok(Dialer {
            relay: config.relay,
            identity: config.identity,
            anchors: TrustAnchors::load(config.trust, &provider)?,
            provider,
            transport: transport::config(Side::Dialler),
            segmentation_offload: config.segmentation_offload,
            timeout: config.timeout,
        })
    }

    /// The relay that this dials.
    pub fn relay(&self) -> &RelayAddress {
        &self.relay
    }

    /// Connects over `socket`, whose buffers and interface are its maker's choice, and joins the room of `hello`, whose `budget` is filled in here.
    ///
    /// # Errors
    /// See [`DialError`]; each says what to do.
    pub async fn dial(
        &self,
        socket: UdpSocket,
        remote: SocketAddr,
        hello: &Hello,
    ) -> Result<(Path, Welcome), DialError> {
        let (path, welcome, _) = self.dial_room(socket, remote, None, hello).await?;
        Ok((path, welcome))
    }

    /// The room of `number` if there is one, else that of `hello`.
    async fn dial_room(
        &self,
        socket: UdpSocket,
        remote: SocketAddr,
        number: Option<ShortNumber>,
        hello: &Hello,
    ) -> Result<(Path, Welcome, RoomId), DialError> {
        let mut engine = Engine::new(
            0,
            1,
            socket,
            self.segmentation_offload,
            EndpointConfig::default(),
            None,
        )
        .map_err(DialError::Socket)?;
        let verifier = Arc::new(RelayVerifier::new(
            self.provider.clone(),
            self.anchors.anchor(&self.relay)?,
        ));
        let link = self.connect(&mut engine, remote, &verifier)?;
        let joined = {
            let join = self.join(&link, remote, number, hello, &verifier);
            engine.drive_until(join).await
        };
        match joined {
            Ok((greeted, trust, pin)) => {
                let path = Path {
                    engine,
                    link,
                    sender: greeted.sender,
                    receiver: greeted.receiver,
                    trust,
                    pin,
                };
                Ok((path, greeted.welcome, greeted.room))
            }
            Err(error) => {
                // The relay is told that nobody waits for it any more, which needs a moment of driving.
                drop(link);
                engine.drive(Instant::now(), &mut Silence);
                Err(error)
            }
        }
    }

    fn connect(
        &self,
        engine: &mut Engine,
        remote: SocketAddr,
        verifier: &Arc<RelayVerifier>,
    ) -> Result<Link, DialError> {
        let name = self.anchors.server_name().unwrap_or(&self.relay.host);
        engine
            .connect(Instant::now(), self.client_config(verifier)?, remote, name)
            .map_err(|error| match error {
                ConnectError::InvalidServerName(name) => DialError::ServerName(name),
                error => DialError::Connect(remote, error),
            })
    }

    /// From the handshake to the relay's answer.
    async fn join(
        &self,
        link: &Link,
        remote: SocketAddr,
        number: Option<ShortNumber>,
        hello: &Hello,
        verifier: &Arc<RelayVerifier>,
    ) -> Result<(Greeted, TrustOutcome, Pin), DialError> {
        match tokio::time::timeout(self.timeout, connected(link)).await {
            Err(_) => return Err(DialError::NoAnswer(remote)),
            Ok(Err(error)) => return Err(self.refused(remote, error, verifier.verdict())),
            Ok(Ok(())) => {}
        }
        let Some(Verdict::Trusted(outcome, shown)) = verifier.verdict() else {
            return Err(DialError::Protocol("it showed no certificate".into()));
        };
        if number.is_none() {
            self.anchors.remember(&self.relay, outcome, shown)?;
        }
        let budget = link.budget();
        if budget == 0 {
            return Err(DialError::NoDatagrams(self.relay.clone()));
        }
        if budget < mtu::MIN_BUDGET {
            return Err(DialError::SmallBudget(budget));
        }
        let hello = Hello {
            budget,
            ..hello.clone()
        };
        let greeted = tokio::time::timeout(self.timeout, self.greet(link, number, hello)).await;
        let greeted = greeted.map_err(|_| DialError::NoAnswer(remote))??;
        Ok((greeted, outcome, shown))
    }

    fn client_config(&self, verifier: &Arc<RelayVerifier>) -> Result<ClientConfig, DialError> {
        let mut tls = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(DialError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(vec![self.identity.certificate()], self.identity.private_key())
            .map_err(DialError::Tls)?;
        tls.alpn_protocols = vec![control::ALPN.to_vec()];
        // Every connection shows both certificates anew, so that a changed key is always noticed.
        tls.resumption = Resumption::disabled();
        let quic = QuicClientConfig::try_from(tls)
            .map_err(|_| DialError::Protocol("no cipher suite for QUIC".into()))?;
        let mut config = ClientConfig::new(Arc::new(quic));
        config.transport_config(self.transport.clone());
        Ok(config)
    }

    async fn greet(
        &self,
        link: &Link,
        number: Option<ShortNumber>,
        mut hello: Hello,
    ) -> Result<Greeted, DialError> {
        let mut sender = ControlSender::new(link.clone());
        let mut receiver = ControlReceiver::new(link.clone());
        if let Some(number) = number {
            hello.room = self.find(&mut sender, &mut receiver, number).await?;
        }
        let room = hello.room.clone();
        match sender.send(&Message::Hello(hello)).await {
            Ok(()) => {}
            Err(SendError::Closed(closed)) => return Err(self.early_end(closed)),
            Err(SendError::Encode(error)) => return Err(DialError::Protocol(error.to_string())),
        }
        match receiver.recv().await {
            Ok(Some(Message::Welcome(welcome))) => Ok(Greeted {
                sender,
                receiver,
                welcome,
                room,
            }),
            Ok(Some(Message::Reject { reason, detail })) => Err(DialError::Rejected(reason, detail)),
            Ok(_) => Err(DialError::Protocol("its first message is no answer".into())),
            Err(RecvError::Closed(closed)) => Err(self.early_end(closed)),
            Err(RecvError::Decode(error)) => Err(DialError::Protocol(error.to_string())),
        }
    }

    fn early_end(&self, closed: PathClosed) -> DialError {
        match closed {
            PathClosed::Peer(lanparty_wire::LeaveReason::RelayShutdown) => {
                DialError::Rejected(RejectReason::ShuttingDown, String::new())
            }
            closed => DialError::Broken(closed),
        }
    }

    fn refused(&self, remote: SocketAddr, error: ConnectionError, verdict: Option<Verdict>) -> DialError {
        let relay = self.relay.clone();
        match verdict {
            Some(Verdict::WrongPin { expected, shown }) => {
                return DialError::WrongPin {
                    relay,
                    shown,
                    expected,
                };
            }
            Some(Verdict::Changed { known, shown }) => {
                return DialError::KeyChanged {
                    relay,
                    shown,
                    known: match known {
                        Known::Key(pin) => pin.to_string(),
                        Known::SystemCa => "a certificate of one of the system's CAs".into(),
                    },
                    store: self.anchors.store().into(),
                };
            }
            Some(Verdict::NotSigned { why, .. }) => {
                let file = self.anchors.ca_path().unwrap_or(std::path::Path::new("")).into();
                return DialError::NotSigned { relay, file, why };
            }
            Some(Verdict::Invalid(why)) => return DialError::InvalidCertificate { relay, why },
            Some(Verdict::Trusted(..)) | None => {}
        }
        let no_protocol = TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL);
        match error {
            ConnectionError::TimedOut => DialError::NoAnswer(remote),
            ConnectionError::VersionMismatch => DialError::NotARelay(relay),
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                DialError::Busy(relay)
            }
            ConnectionError::ConnectionClosed(close) if close.error_code == no_protocol => {
                DialError::NotARelay(relay)
            }
            ConnectionError::TransportError(error) if error.code == no_protocol => {
                DialError::NotARelay(relay)
            }
            error => DialError::Broken(error.into()),
        }
    }
}

/// What the relay has let in, and where.
struct Greeted {
    sender: ControlSender,
    receiver: ControlReceiver,
    welcome: Welcome,
    room: RoomId,
}

async fn connected(link: &Link) -> Result<(), ConnectionError> {
    link.mailbox()
        .wait(|letters| match &letters.closed {
            _ if letters.connected => Some(Ok(())),
            Some(error) => Some(Err(error.clone())),
            None => None,
        })
        .await
}
