//! AES-256-GCM by `ring`.

use lanparty_wire::TAG_LEN;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Forged, KEY_LEN, NONCE_LEN};

pub struct Key(LessSafeKey);

impl Key {
    pub fn new(key: &[u8; KEY_LEN]) -> Key {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length");
        Key(LessSafeKey::new(key))
    }

    pub fn seal(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(associated), bytes)
            .expect("a datagram is far below the cipher's 64 GiB");
        let mut out = [0; TAG_LEN];
        out.copy_from_slice(tag.as_ref());
        out
    }

    pub fn open(&self, nonce: [u8; NONCE_LEN], associated: &[u8], bytes: &mut [u8]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(associated), bytes);
        opened.map(drop).map_err(|_| Forged)
    }
}
