//! The install's one long-term key, for signatures and for Diffie-Hellman.
//!
//! The identity is an Ed25519 key (RFC 8032). Its X25519 twin (RFC 7748) is the same secret scalar on the birationally equivalent curve, so
//! that no second key has to be kept, signed and distributed; that both uses are safe together is shown by Thormarker, "On using the
//! same key pair for Ed25519 and an X25519 based KEM" (IACR ePrint 2021/509). The map forgets a point's sign: which of two twins a peer
//! is, is bound by the handshake's prologue.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::SigningKey;
use lanparty_wire::PeerId;
use zeroize::Zeroizing;

/// The secret half of an install's identity.
#[derive(Clone)]
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// The key of an Ed25519 seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> IdentityKey {
        IdentityKey(SigningKey::from_bytes(seed))
    }

    /// The public key.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// The X25519 private key.
    pub(super) fn exchange_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

impl std::fmt::Debug for IdentityKey {
    /// The public half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityKey({:?})", self.peer_id())
    }
}

/// The X25519 public key of an identity; `None` if it is no point of the curve's prime-order group, with which no secret can be shared.
pub(super) fn exchange_public(identity: &PeerId) -> Option<[u8; 32]> {
    let point = CompressedEdwardsY(identity.0).decompress()?;
    let is_sound = !point.is_small_order() && point.is_torsion_free();
    is_sound.then(|| point.to_montgomery().to_bytes())
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{constants::EIGHT_TORSION, montgomery::MontgomeryPoint};

    use super::*;

    #[test]
    fn both_halves_turn_into_one_x25519_key() {
        let key = IdentityKey::from_seed(&[7; 32]);
        let public = MontgomeryPoint::mul_base_clamped(*key.exchange_key());
        assert_eq!(exchange_public(&key.peer_id()), Some(public.to_bytes()));
    }

    #[test]
    fn keys_without_a_secret_are_refused() {
        for point in EIGHT_TORSION {
            let identity = PeerId(point.compress().to_bytes());
            assert_eq!(exchange_public(&identity), None, "{identity}");
        }
        let key = IdentityKey::from_seed(&[7; 32]);
        let sound = CompressedEdwardsY(key.peer_id().0).decompress().unwrap();
        let mixed = (sound + EIGHT_TORSION[1]).compress().to_bytes();
        assert_eq!(exchange_public(&PeerId(mixed)), None, "a torsion component");
        assert_eq!(exchange_public(&PeerId([2; 32])), None, "no point at all");
    }
}
