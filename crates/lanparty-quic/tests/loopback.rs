//! Real endpoints over loopback: trust, identity, control, datagrams, roaming. A restarted relay is tested with the real
//! program, which can be killed (`lanparty-relay/tests`).

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use lanparty_quic::{
    AcceptError, ControlReceiver, ControlSender, DialConfig, DialError, Dialer, EndpointKeys, Identity,
    Inbound, Link, ListenConfig, Listener, Path, PathClosed, Pin, RelayCertificate, Trust, TrustOutcome,
    TrySendError,
};
use lanparty_wire::{
    Incarnation, LeaveReason, Mac, MemberId, RejectReason,
    control::{Hello, Message, Mode, Role, Stats, Welcome},
};
use tempfile::TempDir;

#[tokio::test]
async fn a_first_use_is_shown_and_kept() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    assert_eq!(
        home.outcome(home.trust()).await,
        TrustOutcome::FirstUse(relay.pin)
    );
    assert_eq!(home.outcome(home.trust()).await, TrustOutcome::Known);
}

#[tokio::test]
async fn a_changed_key_is_refused_and_the_remedy_named() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    home.outcome(home.trust()).await;
    let other = Relay::start_on(relay.stop(), TempDir::new().unwrap());
    let error = home.dial(home.trust()).await.unwrap_err();
    let DialError::KeyChanged { shown, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*shown, other.pin);
    assert!(error.to_string().contains(&format!("--relay-pin {}", other.pin)));
    let remedy = Trust {
        pin: Some(other.pin),
        ..home.trust()
    };
    assert_eq!(home.outcome(remedy).await, TrustOutcome::Pinned);
    assert_eq!(home.outcome(home.trust()).await, TrustOutcome::Known);
}

#[tokio::test]
async fn a_wrong_pin_is_refused_and_a_right_one_is_enough() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let pinned = |pin| Trust {
        pin: Some(pin),
        ..home.trust()
    };
    let error = home.dial(pinned(Pin::of_public_key(b"else"))).await.unwrap_err();
    assert!(
        matches!(error, DialError::WrongPin { shown, .. } if shown == relay.pin),
        "{error}"
    );
    assert_eq!(home.outcome(pinned(relay.pin)).await, TrustOutcome::Pinned);
}

#[tokio::test]
async fn the_relays_own_certificate_is_trusted_in_both_formats() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let der = std::fs::read(relay.state.path().join("relay-cert.der")).unwrap();
    let pem = pem(&der);
    for (name, content) in [("cert.der", der.as_slice()), ("cert.pem", pem.as_bytes())] {
        let trust = home.ca(name, content);
        assert_eq!(home.outcome(trust).await, TrustOutcome::Ca, "{name}");
    }
}

#[tokio::test]
async fn another_certificate_does_not_vouch_for_the_relay() {
    let relay = Relay::start();
    let other = RelayCertificate::load_or_create(TempDir::new().unwrap().path()).unwrap();
    let home = Home::new(&relay);
    let error = home.dial(home.ca("other.der", other.der())).await.unwrap_err();
    assert!(matches!(error, DialError::NotSigned { .. }), "{error}");
    let error = home.dial(home.ca("garbage", b"garbage")).await.unwrap_err();
    assert!(error.to_string().contains("settled"), "{error}");
}

#[tokio::test]
async fn a_ca_vouches_for_the_right_name_and_time_only() {
    let authority = Authority::new();
    for (name, days, dialled, trusted) in [
        ("relay.test", (-1, 1), Some("relay.test"), true),
        ("relay.test", (-1, 1), None, false),
        ("relay.test", (-1, 1), Some("other.test"), false),
        ("relay.test", (-3, -1), Some("relay.test"), false),
        ("relay.test", (1, 3), Some("relay.test"), false),
    ] {
        let relay = Relay::with_certificate(&authority.issue(name, days));
        let home = Home::new(&relay);
        let trust = Trust {
            server_name: dialled.map(str::to_owned),
            ..home.ca("ca.pem", authority.certificate.pem().as_bytes())
        };
        match home.dial(trust).await {
            Ok((path, _)) => assert!(
                trusted && path.trust() == TrustOutcome::Ca,
                "{name} {days:?} {dialled:?}"
            ),
            Err(error) => assert!(
                !trusted && matches!(error, DialError::NotSigned { .. }),
                "{name} {days:?} {dialled:?}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_gets_no_first_use() {
    let authority = Authority::new();
    let relay = Relay::with_certificate(&authority.issue("relay.test", (-3, -1)));
    let home = Home::new(&relay);
    let error = home.dial(home.trust()).await.unwrap_err();
    // A machine without any system CA has nobody who could tell that the certificate has expired.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return;
    }
    assert!(matches!(error, DialError::InvalidCertificate { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_store_is_named_and_nothing_is_trusted() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    std::fs::write(home.trust().store, "garbage").unwrap();
    let error = home.dial(home.trust()).await.unwrap_err();
    assert!(matches!(error, DialError::Trust(_)), "{error}");
}

#[tokio::test]
async fn knowing_a_public_key_is_not_enough() {
    let relay = Relay::start();
    let victim = Identity::load_or_create(&relay.state.path().join("victim.pem")).unwrap();
    let result = raw_dial(
        relay.address,
        vec![victim.certificate_der().to_vec()],
        impostor_key(),
    )
    .await;
    let failed = relay.failed().await;
    assert!(
        result.is_err() && matches!(failed, AcceptError::Handshake(_)),
        "{failed}"
    );
}

#[tokio::test]
async fn only_ed25519_identities_are_taken() {
    let relay = Relay::start();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let chain = vec![certificate.der().to_vec()];
    let result = raw_dial(relay.address, chain, key.serialize_der()).await;
    let failed = relay.failed().await;
    assert!(
        result.is_err() && matches!(failed, AcceptError::Handshake(_)),
        "{failed}"
    );
}

#[tokio::test]
async fn the_relay_sees_the_identity_that_dialled() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (_path, _) = home.dial(home.trust()).await.unwrap();
    assert_eq!(relay.joined().await.peer, home.identity.peer_id());
}

#[tokio::test]
async fn nobody_there_is_told_from_a_refusal() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let home = Home::at(silent.local_addr().unwrap());
    let error = home.dial(home.trust()).await.unwrap_err();
    assert!(matches!(error, DialError::NoAnswer(_)), "{error}");

    let relay = Relay::start();
    let home = Home::new(&relay);
    relay.refuse_next(RejectReason::DuplicateMac);
    let error = home.dial(home.trust()).await.unwrap_err();
    assert!(
        matches!(error, DialError::Rejected(RejectReason::DuplicateMac, ref d) if d == "it is #7's"),
        "{error}"
    );
}

#[tokio::test]
async fn datagrams_and_control_messages_go_both_ways() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, welcome) = home.dial(home.trust()).await.unwrap();
    assert_eq!(welcome, welcome_for(7));
    let (link, mut sender, mut receiver) = path.split();
    let mut member = relay.joined().await;

    assert!(link.budget() >= 1162, "{}", link.budget());
    link.try_send(Bytes::from_static(b"out")).unwrap();
    assert_eq!(received(&member.link).await, [Bytes::from_static(b"out")]);
    member.link.send_wait(Bytes::from_static(b"in")).await.unwrap();
    assert_eq!(received(&link).await, [Bytes::from_static(b"in")]);

    let message = Message::Stats(Stats::default());
    sender.send(&message).await.unwrap();
    assert_eq!(member.receiver.recv().await.unwrap(), Some(message.clone()));
    member.sender.send(&message).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), Some(message));
    assert!(matches!(
        link.try_send(Bytes::from(vec![0; 1500])),
        Err(TrySendError::TooLarge(_))
    ));
}

#[tokio::test]
async fn the_budget_grows_and_says_so() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let link = path.link();
    let mut changes = link.budget_changes();
    let largest = tokio::time::timeout(Duration::from_secs(5), changes.wait_for(|&b| b >= 1380)).await;
    assert!(largest.is_ok(), "{}", link.budget());
}

#[tokio::test]
async fn a_control_message_passes_a_saturated_path() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let (link, mut sender, _receiver) = path.split();
    let mut member = relay.joined().await;
    let drain = member.link.clone();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while drain.recv_many(&mut batch).await.is_ok() {
            batch.clear();
        }
    });
    let flood = tokio::spawn({
        let link = link.clone();
        async move {
            // Exactly as large as the budget: such a datagram leaves no room in its packet for the stream.
            while link
                .send_wait(Bytes::from(vec![0; usize::from(link.budget())]))
                .await
                .is_ok()
            {}
        }
    });
    let message = Message::Stats(Stats::default());
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let sent = tokio::time::Instant::now();
        sender.send(&message).await.unwrap();
        let arrived = tokio::time::timeout(Duration::from_secs(1), member.receiver.recv()).await;
        assert_eq!(arrived.unwrap().unwrap(), Some(message.clone()));
        assert!(
            sent.elapsed() < Duration::from_millis(200),
            "{:?}",
            sent.elapsed()
        );
    }
    flood.abort();
}

#[tokio::test]
async fn what_a_late_reader_misses_is_counted() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let member = relay.joined().await;
    // More than the receive buffer holds.
    let sent = 2000;
    for _ in 0..sent {
        path.link().send_wait(Bytes::from(vec![0; 1100])).await.unwrap();
    }
    let mut read = Vec::new();
    let last = Duration::from_millis(300);
    while tokio::time::timeout(last, member.link.recv_many(&mut read))
        .await
        .is_ok()
    {}
    let stats = member.link.stats();
    assert!(stats.missed_datagrams > 500, "{stats:?}");
    assert_eq!(
        stats.missed_datagrams + read.len() as u64,
        stats.received_datagrams
    );
}

#[tokio::test]
async fn a_moved_socket_keeps_the_connection() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let member = relay.joined().await;
    let before = member.link.remote_address();
    path.link()
        .rebind(UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    path.link().send_wait(Bytes::from_static(b"moved")).await.unwrap();
    assert_eq!(received(&member.link).await, [Bytes::from_static(b"moved")]);
    assert_ne!(member.link.remote_address(), before);
    member
        .link
        .send_wait(Bytes::from_static(b"found you"))
        .await
        .unwrap();
    assert_eq!(received(path.link()).await, [Bytes::from_static(b"found you")]);
}

#[tokio::test]
async fn the_reason_of_a_close_is_read() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let member = relay.joined().await;
    path.link().shutdown(LeaveReason::Goodbye).await;
    assert_eq!(member.link.closed().await, PathClosed::Peer(LeaveReason::Goodbye));

    let (path, _) = home.dial(home.trust()).await.unwrap();
    let _member = relay.joined().await;
    relay
        .listener
        .close(LeaveReason::RelayShutdown, Duration::from_secs(1))
        .await;
    assert_eq!(
        path.link().closed().await,
        PathClosed::Peer(LeaveReason::RelayShutdown)
    );
}

#[tokio::test]
async fn keep_alives_are_signs_of_life() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, _) = home.dial(home.trust()).await.unwrap();
    let _member = relay.joined().await;
    tokio::time::sleep(Duration::from_millis(2600)).await;
    let silent = path.link().last_received().elapsed();
    assert!(silent < Duration::from_millis(1500), "{silent:?}");
}

struct Member {
    peer: lanparty_wire::PeerId,
    link: Link,
    sender: ControlSender,
    receiver: ControlReceiver,
}

/// The smallest relay: welcomes everybody as member 7, and hands over the ends.
struct Relay {
    address: SocketAddr,
    pin: Pin,
    state: TempDir,
    listener: Listener,
    runtime: Background,
    joined: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<Result<Member, AcceptError>>>,
    refuse: std::sync::Arc<std::sync::Mutex<Option<RejectReason>>>,
}

/// A runtime that may be dropped by a test that runs in another one.
struct Background(Option<tokio::runtime::Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Relay {
    fn start() -> Relay {
        Relay::start_on("127.0.0.1:0".parse().unwrap(), TempDir::new().unwrap())
    }

    fn start_on(address: SocketAddr, state: TempDir) -> Relay {
        let certificate = RelayCertificate::load_or_create(state.path()).unwrap();
        Relay::start_with(address, state, certificate)
    }

    fn with_certificate(issued: &(String, String)) -> Relay {
        let state = TempDir::new().unwrap();
        let (certificate, key) = (state.path().join("c.pem"), state.path().join("k.pem"));
        std::fs::write(&certificate, &issued.0).unwrap();
        std::fs::write(&key, &issued.1).unwrap();
        let certificate = RelayCertificate::from_files(&certificate, &key).unwrap();
        Relay::start_with("127.0.0.1:0".parse().unwrap(), state, certificate)
    }

    /// In a runtime of its own, so that it can be killed without a word.
    fn start_with(address: SocketAddr, state: TempDir, certificate: RelayCertificate) -> Relay {
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
            segmentation_offload: true,
        };
        let listener = Listener::new(socket, config).unwrap();
        let (tx, rx) = tokio::sync::mpsc::channel(16);
        let refuse = std::sync::Arc::new(std::sync::Mutex::new(None));
        let accepting = (listener.clone(), refuse.clone());
        runtime.spawn(async move {
            let (listener, refuse) = accepting;
            while let Some(incoming) = listener.knock().await {
                let outcome = match Inbound::accept(incoming, Duration::from_secs(3)).await {
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

    async fn outcome(&self) -> Result<Member, AcceptError> {
        let mut joined = self.joined.lock().await;
        tokio::time::timeout(Duration::from_secs(5), joined.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn joined(&self) -> Member {
        self.outcome().await.unwrap()
    }

    async fn failed(&self) -> AcceptError {
        self.outcome().await.map(|m| m.peer).unwrap_err()
    }

    fn refuse_next(&self, reason: RejectReason) {
        *self.refuse.lock().unwrap() = Some(reason);
    }

    /// No goodbye, no close: as `kill -9` does it.
    fn kill(self) -> (SocketAddr, TempDir) {
        let (address, state) = (self.address, self.state);
        drop((self.runtime, self.listener, self.joined));
        // The runtime lets go of its socket in its own time.
        while UdpSocket::bind(address).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (address, state)
    }

    fn stop(self) -> SocketAddr {
        self.kill().0
    }
}

/// A player's machine.
struct Home {
    directory: TempDir,
    identity: Identity,
    relay: SocketAddr,
}

impl Home {
    fn new(relay: &Relay) -> Home {
        Home::at(relay.address)
    }

    fn at(relay: SocketAddr) -> Home {
        let directory = TempDir::new().unwrap();
        Home {
            identity: Identity::load_or_create(&directory.path().join("identity.pem")).unwrap(),
            directory,
            relay,
        }
    }

    fn trust(&self) -> Trust {
        Trust {
            pin: None,
            ca_cert: None,
            server_name: None,
            store: self.directory.path().join("known-relays.json"),
        }
    }

    fn ca(&self, name: &str, content: &[u8]) -> Trust {
        let path: PathBuf = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        Trust {
            ca_cert: Some(path),
            ..self.trust()
        }
    }

    async fn dial(&self, trust: Trust) -> Result<(Path, Welcome), DialError> {
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
            capabilities: vec![],
            software: String::new(),
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        dialer.dial(socket, self.relay, &hello).await
    }

    async fn outcome(&self, trust: Trust) -> TrustOutcome {
        let (path, _) = self.dial(trust).await.unwrap();
        path.link().shutdown(LeaveReason::Goodbye).await;
        path.trust()
    }
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// Valid between the days from now; chain and key in PEM.
    fn issue(&self, name: &str, days: (i64, i64)) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |offset: i64| {
            let now = std::time::SystemTime::now();
            let by = Duration::from_secs(offset.unsigned_abs() * 86_400);
            let at = if offset < 0 { now - by } else { now + by };
            at.into()
        };
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn welcome_for(id: u16) -> Welcome {
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

async fn received(link: &Link) -> Vec<Bytes> {
    let mut batch = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), link.recv_many(&mut batch))
        .await
        .unwrap()
        .unwrap();
    batch
}

fn impostor_key() -> Vec<u8> {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
        .unwrap()
        .serialize_der()
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A client of plain quinn and rustls that shows `chain` and signs with `key`, whatever belongs together.
async fn raw_dial(
    address: SocketAddr,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
) -> Result<(), quinn::ConnectionError> {
    use std::sync::Arc;

    #[derive(Debug)]
    struct Resolver(Arc<rustls::sign::CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Resolver {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
        fn has_certs(&self) -> bool {
            true
        }
    }

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key =
        rustls::crypto::ring::sign::any_supported_type(&rustls::pki_types::PrivateKeyDer::Pkcs8(key.into()));
    let chain = chain.into_iter().map(Into::into).collect();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key.unwrap()));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll(provider)))
        .with_client_cert_resolver(Arc::new(Resolver(certified)));
    tls.alpn_protocols = vec![lanparty_wire::control::ALPN.to_vec()];
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let connection = endpoint.connect_with(config, address, "relay").unwrap().await?;
    // TLS 1.3 lets the client finish first; the relay's refusal comes right after.
    Err(connection.closed().await)
}

#[derive(Debug)]
struct TrustsAll(std::sync::Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC is TLS 1.3")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
