//! The identity of an install: one Ed25519 key, kept on disk, shown to relays as a self-signed TLS client certificate.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lanparty_wire::{HostKey, PeerId};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::file;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read the identity key {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write a new identity key to {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error(
        "{0} is no Ed25519 private key in PEM; restore it from a backup, or move it away to get a new identity"
    )]
    Invalid(PathBuf),
    #[error("cannot make a new Ed25519 key")]
    Generate(#[source] rcgen::Error),
}

/// An Ed25519 key pair with its certificate. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    peer: PeerId,
    seed: Zeroizing<[u8; 32]>,
    key: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// The identity kept in `path` (PKCS#8 in PEM, readable by its owner only), or a new one that is kept there from now on.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else. It is never overwritten then.
    pub fn load_or_create(path: &Path) -> Result<Identity, IdentityError> {
        let stored = file::read_private(path).map_err(|e| IdentityError::Read(path.into(), e))?;
        if let Some(pem) = stored {
            let invalid = || IdentityError::Invalid(path.into());
            let pem = std::str::from_utf8(&pem).map_err(|_| invalid())?;
            return Identity::from_pem(pem).ok_or_else(invalid);
        }
        let (identity, pem) = Identity::generate()?;
        file::write_private(path, pem.as_bytes()).map_err(|e| IdentityError::Write(path.into(), e))?;
        Ok(identity)
    }

    /// The identity of a private key in PEM, for callers that keep it among other things; `None` if it is no Ed25519 key.
    pub fn from_pem(pem: &str) -> Option<Identity> {
        let key = KeyPair::from_pem(pem).ok()?;
        Identity::from_key(&key).ok()?
    }

    /// A new identity and its private key in PEM, which the caller has to keep for its owner alone.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> Result<(Identity, String), IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(IdentityError::Generate)?;
        let identity =
            Identity::from_key(&key)?.ok_or(IdentityError::Generate(rcgen::Error::CouldNotParseKeyPair))?;
        Ok((identity, key.serialize_pem()))
    }

    /// An identity that lives as long as the process.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn ephemeral() -> Result<Identity, IdentityError> {
        Identity::generate().map(|(identity, _)| identity)
    }

    /// The public key.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    /// The private seed (RFC 8032, section 5.1.5), for what is signed and agreed on outside TLS.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.0.seed
    }

    /// The certificate that shows the public key, in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.0.certificate
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.certificate.clone()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.0.key.clone_key())
    }

    /// `None` for a key of another kind.
    fn from_key(key: &KeyPair) -> Result<Option<Identity>, IdentityError> {
        if key.algorithm() != &PKCS_ED25519 {
            return Ok(None);
        }
        let Ok(peer) = key.public_key_raw().try_into() else {
            return Ok(None);
        };
        let key_der = Zeroizing::new(key.serialize_der());
        let Some(seed) = seed_of(&key_der, &PeerId(peer)) else {
            return Ok(None);
        };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lanparty");
        let certificate = params.self_signed(key).map_err(IdentityError::Generate)?;
        Ok(Some(Identity(Arc::new(Parts {
            peer: PeerId(peer),
            seed,
            key: PrivatePkcs8KeyDer::from(key_der.to_vec()),
            certificate: certificate.der().clone(),
        }))))
    }
}

/// The seed in a PKCS#8 structure: an octet string of 32 bytes within another (RFC 8410, section 7). `None` if it is not that of `peer`.
fn seed_of(der: &[u8], peer: &PeerId) -> Option<Zeroizing<[u8; 32]>> {
    const NESTED: [u8; 4] = [0x04, 0x22, 0x04, 0x20];
    let at = der.windows(NESTED.len()).position(|window| window == NESTED)?;
    let seed = Zeroizing::new(*der[at + NESTED.len()..].first_chunk()?);
    (HostKey::from_seed(&seed).peer_id() == *peer).then_some(seed)
}

impl std::fmt::Debug for Identity {
    /// The private key never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.0.peer).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn an_identity_stays_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/identity.pem");
        let first = Identity::load_or_create(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let second = Identity::load_or_create(&path).unwrap();
        assert_eq!(first.peer_id(), second.peer_id());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn the_seed_is_that_of_the_public_key() {
        let (identity, pem) = Identity::generate().unwrap();
        let again = Identity::from_pem(&pem).unwrap();
        for identity in [identity, again] {
            assert_eq!(HostKey::from_seed(identity.seed()).peer_id(), identity.peer_id());
        }
    }

    #[test]
    fn a_broken_key_is_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        let other = KeyPair::generate().unwrap().serialize_pem();
        for content in ["", "garbage", &other] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(
                Identity::load_or_create(&path),
                Err(IdentityError::Invalid(named)) if named == path
            ));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }
}
