//! The host's key as what signs: memberships and rosters are the host's word, wherever they were stored or passed on.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::{PeerId, SealedRoom};

/// Bytes of an Ed25519 signature (RFC 8032, section 5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// The Ed25519 private key of a sealed room's host. Signing is deterministic (RFC 8032) and needs no randomness.
#[derive(Clone)]
pub struct HostKey(SigningKey);

impl HostKey {
    /// The key of a private seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> HostKey {
        HostKey(SigningKey::from_bytes(seed))
    }

    /// The public key.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// The room that this key makes its owner the host of.
    pub fn room(&self) -> SealedRoom {
        SealedRoom::of(&self.peer_id())
    }

    /// `bytes` and behind them the signature of `label` and `bytes`.
    pub(crate) fn sign(&self, label: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
        let signature = self.0.sign(&[label, &bytes].concat());
        bytes.extend_from_slice(&signature.to_bytes());
        bytes
    }
}

impl fmt::Debug for HostKey {
    /// The private key never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.peer_id()).finish()
    }
}

/// The bytes are no Ed25519 public key, or a weak one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HostKeyError;

/// Refuses what nobody can have a private key for, and keys under which signatures prove nothing.
pub(crate) fn check_key(key: &PeerId) -> Result<VerifyingKey, HostKeyError> {
    VerifyingKey::from_bytes(&key.0)
        .ok()
        .filter(|key| !key.is_weak())
        .ok_or(HostKeyError)
}

/// What stands in front of the signature, if `host` has signed it under `label`.
pub(crate) fn verified<'a>(host: &PeerId, label: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (content, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>()?;
    check_key(host)
        .ok()?
        .verify_strict(&[label, content].concat(), &Signature::from_bytes(signature))
        .is_ok()
        .then_some(content)
}
