//! AES-256-GCM by RustCrypto, for targets without assembly.

use aes_gcm::{Aes256Gcm, KeyInit, Tag, aead::AeadInPlace};
use lanparty_wire::TAG_LEN;

use super::{Forged, KEY_LEN, NONCE_LEN};

pub struct Key(Aes256Gcm);

impl Key {
    pub fn new(key: &[u8; KEY_LEN]) -> Key {
        Key(Aes256Gcm::new(key.into()))
    }

    pub fn seal(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        self.0
            .encrypt_in_place_detached(&nonce.into(), associated, bytes)
            .expect("a datagram is far below the cipher's 64 GiB")
            .into()
    }

    pub fn open(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> Result<(), Forged> {
        let (bytes, tag) = bytes.split_last_chunk_mut::<TAG_LEN>().ok_or(Forged)?;
        self.0
            .decrypt_in_place_detached(&nonce.into(), associated, bytes, Tag::from_slice(tag))
            .map_err(|_| Forged)
    }
}
