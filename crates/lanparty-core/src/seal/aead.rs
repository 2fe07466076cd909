//! AES-256-GCM (NIST SP 800-38D), in place and without allocation: one key, one nonce, one seal.
//!
//! Natively it is `ring`, which uses the widest vector instructions that the processor has; where that cannot be built (wasm32) it is
//! RustCrypto's. Both make the same bytes, and a test holds them together.

use lanparty_wire::TAG_LEN;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(any(test, target_arch = "wasm32"))]
mod portable;

#[cfg(not(target_arch = "wasm32"))]
use native as imp;
#[cfg(target_arch = "wasm32")]
use portable as imp;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// The bytes are not what was sealed under this key, nonce and associated data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged;

/// A key, ready for use.
pub struct Key(imp::Key);

impl Key {
    /// Expands `key`.
    pub fn new(key: &[u8; KEY_LEN]) -> Key {
        Key(imp::Key::new(key))
    }

    /// Encrypts `bytes` in place and returns the tag. A nonce is used once under a key, which is the caller's part.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seal(nonce, associated, bytes)
    }

    /// Decrypts `bytes`, whose last 16 are the tag, in place; the plaintext is what stands in front of the tag then.
    ///
    /// # Errors
    /// [`Forged`]; `bytes` hold nothing of use then.
    pub fn open(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> Result<(), Forged> {
        self.0.open(nonce, associated, bytes)
    }
}

impl std::fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vector_of_the_standard_holds() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = hex("cafebabefacedbaddecaf888");
        let associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let mut bytes = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let key = Key::new(&key.try_into().unwrap());
        let tag = key.seal(nonce.try_into().unwrap(), &associated, &mut bytes);
        assert_eq!(tag.to_vec(), hex("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert_eq!(bytes[..8], hex("522dc1f099567d07"));
    }

    proptest! {
        #[test]
        fn both_backends_seal_and_open_the_same(
            key in any::<[u8; 32]>(),
            nonce in any::<[u8; 12]>(),
            associated in proptest::collection::vec(any::<u8>(), 0..20),
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            flip in any::<prop::sample::Index>(),
        ) {
            let (native, portable) = (native::Key::new(&key), portable::Key::new(&key));
            let (mut one, mut two) = (plain.clone(), plain.clone());
            let tag = native.seal(nonce, &associated, &mut one);
            prop_assert_eq!(tag, portable.seal(nonce, &associated, &mut two));
            prop_assert_eq!(&one, &two);
            one.extend_from_slice(&tag);
            two.extend_from_slice(&tag);
            let mut forged = one.clone();
            forged[flip.index(one.len())] ^= 1;
            prop_assert_eq!(native.open(nonce, &associated, &mut forged.clone()), Err(Forged));
            prop_assert_eq!(portable.open(nonce, &associated, &mut forged), Err(Forged));
            native.open(nonce, &associated, &mut one).unwrap();
            portable.open(nonce, &associated, &mut two).unwrap();
            prop_assert_eq!(&one[..plain.len()], &plain[..]);
            prop_assert_eq!(&two[..plain.len()], &plain[..]);
        }
    }
}
