//! Short codes: a newcomer and the host prove to each other, through the relay, that they know the same three words.
//!
//! SPAKE2 (RFC 9382 describes the family; the bytes are those of the `spake2` crate) gives both a key that depends on the words and on
//! everything that both must see alike: number, room, host key, newcomer, and the relay's pin. Whoever sits between them, the relay
//! included, gets one guess per try, and the *host* counts the tries: five, then the code is over and another one is shown.
//! Then the host sends an invite under the key, and everything goes on as with a link.

mod desk;
mod newcomer;

use hkdf::Hkdf;
use lanparty_wire::{PeerId, Pin, SealedRoom, ShortNumber};
use rand::{CryptoRng, Rng};
use sha2::{Digest, Sha256};
use spake2::Identity;
use zeroize::Zeroizing;

pub use desk::{CodeDesk, CodeEnd, CodeOutcome, Grant};
pub use newcomer::{CodeStep, CodeTry};

use crate::seal::aead::NONCE_LEN;

/// A nonce is used once under a grant's key, because the key is.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// What both sides must see alike, besides the words.
#[derive(Clone, Copy)]
struct Context<'a> {
    number: ShortNumber,
    host: &'a PeerId,
    newcomer: &'a PeerId,
    pin: &'a Pin,
}

impl Context<'_> {
    fn bytes(&self) -> Vec<u8> {
        [
            &b"lanparty short code v1\0"[..],
            &self.number.value().to_be_bytes(),
            SealedRoom::of(self.host).bytes(),
            &self.host.0,
            &self.newcomer.0,
            self.pin.bytes(),
        ]
        .concat()
    }

    fn identities(&self) -> (Identity, Identity) {
        let side = |name: &[u8]| Identity::new(&[name, &self.bytes()].concat());
        (side(b"newcomer\0"), side(b"host\0"))
    }
}

/// What both sides have once they have each other's share.
struct Keys {
    host_confirms: [u8; 32],
    newcomer_confirms: [u8; 32],
    grant: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// Keys of the library's shared key and of all that was said.
    fn derive(shared: &[u8], context: &Context<'_>, newcomer: &[u8], host: &[u8]) -> Keys {
        let digest = Sha256::new()
            .chain_update(context.bytes())
            .chain_update(newcomer)
            .chain_update(host)
            .finalize();
        let keys = Hkdf::<Sha256>::new(Some(&digest), shared);
        let expand = |label: &[u8]| {
            let mut key = [0; 32];
            keys.expand(label, &mut key)
                .expect("32 bytes are within HKDF's length");
            key
        };
        Keys {
            host_confirms: expand(b"host confirms"),
            newcomer_confirms: expand(b"newcomer confirms"),
            grant: Zeroizing::new(expand(b"grant")),
        }
    }
}

/// The library wants an older kind of random source; it gets the same bytes.
struct Source<'a, R>(&'a mut R);

impl<R: Rng> spake2_rand::RngCore for Source<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), spake2_rand::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> spake2_rand::CryptoRng for Source<'_, R> {}

fn share_of(bytes: &[u8]) -> [u8; lanparty_wire::PAKE_LEN] {
    bytes
        .try_into()
        .expect("a share of SPAKE2 on edwards25519 has 33 bytes")
}

#[cfg(test)]
mod tests;
