//! What a relay keeps across restarts: its certificate, and the keys of its QUIC endpoint.
//!
//! The certificate is what clients have pinned. The endpoint's keys let a restarted relay recognise the connection ids of its
//! former life and answer them with a stateless reset, so that clients notice at their next packet and not after the idle
//! timeout (FIELD-NOTES F35).

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use crate::{Pin, file, pin_of_certificate, trust};

const CERTIFICATE_FILE: &str = "relay-cert.der";
const KEY_FILE: &str = "relay-key.pem";
const ENDPOINT_FILE: &str = "relay-endpoint-keys.json";

/// Why a relay has no certificate or keys.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error("{0} holds no certificate in PEM or DER")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    #[error("{0} is damaged; restore it, or remove it to start with new keys")]
    Damaged(PathBuf),
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("cannot make a new certificate")]
    Generate(#[source] rcgen::Error),
    #[error(
        "the relay's key is an Ed25519 key, as relays had in the beginning, and public CAs do not certify such keys"
    )]
    NotForCas,
    #[error("the system has no randomness to give")]
    Randomness,
}

/// A relay's certificate chain and private key.
pub struct RelayCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pin: Pin,
}

impl RelayCertificate {
    /// The self-signed certificate kept in `directory`, or a new one that is kept there from now on.
    ///
    /// # Errors
    /// The files cannot be read or written, or are damaged.
    pub fn load_or_create(directory: &Path) -> Result<RelayCertificate, CertificateError> {
        let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        let read = |path: &Path| file::read_private(path).map_err(|e| CertificateError::Read(path.into(), e));
        if let Some(pem) = read(&key)? {
            let damaged = || CertificateError::Damaged(key.clone());
            let pem = std::str::from_utf8(&pem).map_err(|_| damaged())?;
            let pair = KeyPair::from_pem(pem).map_err(|_| damaged())?;
            // The key is what counts; a certificate can be made from it again.
            return match read(&certificate)? {
                Some(der) => RelayCertificate::new(
                    vec![CertificateDer::from(der)],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der())),
                    (&certificate, &key),
                ),
                None => RelayCertificate::self_signed(&pair, (&certificate, &key)),
            };
        }
        // Of a kind that public CAs certify, so that the pin stays when the relay gets a certificate from one.
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Generate)?;
        file::write_private(&key, pair.serialize_pem().as_bytes())
            .map_err(|error| CertificateError::Write(key.clone(), error))?;
        RelayCertificate::self_signed(&pair, (&certificate, &key))
    }

    /// The chain and the key that an operator brings.
    ///
    /// # Errors
    /// The files cannot be read, hold something else, or do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<RelayCertificate, CertificateError> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| CertificateError::Read(path.into(), e));
        let none = || CertificateError::NoCertificate(certificate.into());
        let chain = trust::certificates(&read(certificate)?).ok_or_else(none)?;
        let private =
            PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| CertificateError::NoKey(key.into()))?;
        RelayCertificate::new(chain, private, (certificate, key))
    }

    /// The pin that clients may be given.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The end-entity certificate.
    pub fn der(&self) -> &[u8] {
        self.chain.first().map_or(&[], |certificate| certificate)
    }

    fn self_signed(pair: &KeyPair, files: (&Path, &Path)) -> Result<RelayCertificate, CertificateError> {
        let mut params =
            CertificateParams::new(vec!["lanparty-relay".into()]).map_err(CertificateError::Generate)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "lanparty relay");
        let certificate = params.self_signed(pair).map_err(CertificateError::Generate)?;
        file::write_private(files.0, certificate.der())
            .map_err(|error| CertificateError::Write(files.0.into(), error))?;
        RelayCertificate::new(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der())),
            files,
        )
    }

    /// Checks that the parts belong together.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        (certificate_file, key_file): (&Path, &Path),
    ) -> Result<RelayCertificate, CertificateError> {
        let none = || CertificateError::NoCertificate(certificate_file.into());
        let pin = chain
            .first()
            .and_then(|der| pin_of_certificate(der))
            .ok_or_else(none)?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&key)
            .map_err(|_| CertificateError::NoKey(key_file.into()))?;
        let matches = signing
            .public_key()
            .is_some_and(|spki| Pin::of_public_key(&spki) == pin);
        if !matches {
            return Err(CertificateError::Mismatch {
                certificate: certificate_file.into(),
                key: key_file.into(),
            });
        }
        Ok(RelayCertificate { chain, key, pin })
    }
}

impl fmt::Debug for RelayCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RelayCertificate").field(&self.pin).finish()
    }
}

/// The keys by which an endpoint recognises what its former life has issued.
#[derive(Serialize, Deserialize)]
pub struct EndpointKeys {
    #[serde(with = "hex")]
    pub(crate) stateless_reset: [u8; 32],
    #[serde(with = "hex")]
    pub(crate) token: [u8; 32],
    pub(crate) connection_id: u64,
}

impl EndpointKeys {
    /// The keys kept in `directory`, or new ones that are kept there from now on.
    ///
    /// # Errors
    /// The file cannot be read or written, or is damaged.
    pub fn load_or_create(directory: &Path) -> Result<EndpointKeys, CertificateError> {
        let path = directory.join(ENDPOINT_FILE);
        let stored = file::read_private(&path).map_err(|e| CertificateError::Read(path.clone(), e))?;
        if let Some(bytes) = stored {
            return serde_json::from_slice(&bytes).map_err(|_| CertificateError::Damaged(path));
        }
        let keys = EndpointKeys::random()?;
        let write = |error| CertificateError::Write(path.clone(), error);
        let bytes = serde_json::to_vec(&keys).map_err(|error| write(error.into()))?;
        file::write_private(&path, &bytes).map_err(write)?;
        Ok(keys)
    }

    fn random() -> Result<EndpointKeys, CertificateError> {
        let mut bytes = [0; 72];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| CertificateError::Randomness)?;
        let mut keys = EndpointKeys {
            stateless_reset: [0; 32],
            token: [0; 32],
            connection_id: 0,
        };
        let (reset, rest) = bytes.split_at(32);
        let (token, id) = rest.split_at(32);
        keys.stateless_reset.copy_from_slice(reset);
        keys.token.copy_from_slice(token);
        keys.connection_id = id.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Ok(keys)
    }
}

impl fmt::Debug for EndpointKeys {
    /// They never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointKeys")
    }
}

mod hex {
    use lanparty_wire::PeerId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A peer id is 32 bytes that print as hexadecimal digits, which is all that is needed here.
    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        PeerId(*bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        PeerId::deserialize(deserializer).map(|id| id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_keys_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let first = RelayCertificate::load_or_create(directory.path()).unwrap();
        let second = RelayCertificate::load_or_create(directory.path()).unwrap();
        assert_eq!((first.pin(), first.der()), (second.pin(), second.der()));
        let first = EndpointKeys::load_or_create(directory.path()).unwrap();
        let second = EndpointKeys::load_or_create(directory.path()).unwrap();
        assert_eq!(first.stateless_reset, second.stateless_reset);
        assert_eq!(first.token, second.token);
        assert_eq!(first.connection_id, second.connection_id);
    }

    #[test]
    fn a_lost_certificate_is_made_from_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let first = RelayCertificate::load_or_create(directory.path()).unwrap();
        std::fs::remove_file(directory.path().join(CERTIFICATE_FILE)).unwrap();
        let second = RelayCertificate::load_or_create(directory.path()).unwrap();
        assert_eq!(first.pin(), second.pin());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        RelayCertificate::load_or_create(&one).unwrap();
        RelayCertificate::load_or_create(&other).unwrap();
        let mixed = RelayCertificate::from_files(&one.join(CERTIFICATE_FILE), &other.join(KEY_FILE));
        assert!(matches!(mixed, Err(CertificateError::Mismatch { .. })));
        assert!(RelayCertificate::from_files(&one.join(CERTIFICATE_FILE), &one.join(KEY_FILE)).is_ok());
    }

    #[test]
    fn damaged_files_are_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for name in [KEY_FILE, ENDPOINT_FILE] {
            std::fs::write(directory.path().join(name), "garbage").unwrap();
        }
        let certificate = RelayCertificate::load_or_create(directory.path()).map(drop);
        let keys = EndpointKeys::load_or_create(directory.path()).map(drop);
        for (result, name) in [(certificate, KEY_FILE), (keys, ENDPOINT_FILE)] {
            let path = directory.path().join(name);
            assert!(matches!(result, Err(CertificateError::Damaged(named)) if named == path));
            assert_eq!(std::fs::read_to_string(path).unwrap(), "garbage");
        }
    }
}
