//! What TLS asks about the other side's certificate: the relay checks that a client holds the Ed25519 key that it shows, the
//! client checks that the relay is one that it trusts.
//!
//! Both verify the handshake's signature for real; knowing a public key proves nothing. TLS 1.2 is refused everywhere.

use std::sync::{Arc, Mutex, PoisonError};

use lanparty_wire::PeerId;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::{Pin, TrustOutcome, pin_of_certificate, trust::Known};

/// The Ed25519 key in a certificate (RFC 8410); `None` for any other key.
pub(crate) fn peer_id(certificate: &[u8]) -> Option<PeerId> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let key = certificate.public_key();
    if !rest.is_empty() || key.algorithm.algorithm != x509_parser::oid_registry::OID_SIG_ED25519 {
        return None;
    }
    key.subject_public_key.data.as_ref().try_into().ok().map(PeerId)
}

/// The relay's side: any Ed25519 identity may come, if it proves that it holds the key. Dates are not looked at, because an
/// identity has no end and a player's clock may be wrong.
#[derive(Debug)]
pub(crate) struct MemberVerifier(pub(crate) Arc<CryptoProvider>);

impl ClientCertVerifier for MemberVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match peer_id(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// What a client trusts in one dial.
#[derive(Debug)]
pub(crate) enum Anchor {
    /// This key and no other.
    Pin(Pin),
    /// A certificate file: these very keys, or a chain that ends there.
    Ca {
        keys: Vec<Pin>,
        chains: Option<Arc<WebPkiServerVerifier>>,
    },
    /// The system's CAs, and what was seen before.
    Open {
        system: Option<Arc<WebPkiServerVerifier>>,
        known: Option<Known>,
    },
}

/// What the verifier found, for the error and for the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Trusted(TrustOutcome, Pin),
    WrongPin { expected: Pin, shown: Pin },
    NotSigned { shown: Pin, why: String },
    Changed { known: Known, shown: Pin },
    Invalid(String),
}

/// The client's side. One for each dial, because it remembers what it found.
#[derive(Debug)]
pub(crate) struct RelayVerifier {
    provider: Arc<CryptoProvider>,
    anchor: Anchor,
    verdict: Mutex<Option<Verdict>>,
}

impl RelayVerifier {
    pub(crate) fn new(provider: Arc<CryptoProvider>, anchor: Anchor) -> RelayVerifier {
        RelayVerifier {
            provider,
            anchor,
            verdict: Mutex::new(None),
        }
    }

    /// What was found, if a certificate was shown.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn judge(&self, shown: Pin, chain: impl Fn(&WebPkiServerVerifier) -> Result<(), Error>) -> Verdict {
        match &self.anchor {
            Anchor::Pin(expected) if *expected == shown => Verdict::Trusted(TrustOutcome::Pinned, shown),
            Anchor::Pin(expected) => Verdict::WrongPin {
                expected: *expected,
                shown,
            },
            Anchor::Ca { keys, .. } if keys.contains(&shown) => Verdict::Trusted(TrustOutcome::Ca, shown),
            Anchor::Ca { chains, .. } => match chains.as_deref().map(chain) {
                Some(Ok(())) => Verdict::Trusted(TrustOutcome::Ca, shown),
                Some(Err(error)) => Verdict::NotSigned {
                    shown,
                    why: error.to_string(),
                },
                None => Verdict::NotSigned {
                    shown,
                    why: "it is another certificate".into(),
                },
            },
            Anchor::Open { system, known } => match (system.as_deref().map(chain), known) {
                (Some(Ok(())), _) => Verdict::Trusted(TrustOutcome::System, shown),
                (Some(Err(error)), _) if is_final(&error) => Verdict::Invalid(error.to_string()),
                (_, None) => Verdict::Trusted(TrustOutcome::FirstUse(shown), shown),
                (_, Some(Known::Key(pin))) if *pin == shown => Verdict::Trusted(TrustOutcome::Known, shown),
                (_, Some(known)) => Verdict::Changed { known: *known, shown },
            },
        }
    }
}

/// True for faults that a first use must not paper over: the certificate itself is wrong, whoever issued it. Only an issuer
/// that nobody knows, which every self-signed certificate has, leaves the question open.
fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::BadEncoding
                | CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
                | CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. }
                | CertificateError::Revoked
                | CertificateError::BadSignature
        )
    )
}

impl ServerCertVerifier for RelayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = |verifier: &WebPkiServerVerifier| {
            verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(drop)
        };
        let verdict = match pin_of_certificate(end_entity) {
            Some(shown) => self.judge(shown, chain),
            None => Verdict::Invalid("it cannot be read".into()),
        };
        let trusted = matches!(verdict, Verdict::Trusted(..));
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        if trusted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
