//! Who is let in.

use std::net::{SocketAddr, UdpSocket};

use lanparty_quic::{AcceptError, DialError, Identity};
use lanparty_wire::RejectReason;

use crate::common::{Home, Relay};

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
    // The same with the key gets past the handshake; it says no hello, that is all.
    let (owner, pem) = Identity::generate().unwrap();
    let key = rcgen::KeyPair::from_pem(&pem).unwrap().serialize_der();
    let chain = vec![owner.certificate_der().to_vec()];
    tokio::spawn(raw_dial(relay.address, chain, key));
    let failed = relay.failed().await;
    assert!(matches!(failed, AcceptError::TooSlow), "{failed}");
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

fn impostor_key() -> Vec<u8> {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
        .unwrap()
        .serialize_der()
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
