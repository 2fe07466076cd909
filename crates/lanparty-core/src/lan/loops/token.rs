//! What a question carries: whom it was sent to and when, under a key that only its sender has.

use std::time::Instant;

use hkdf::Hkdf;
use lanparty_wire::{Mac, MemberId};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::FRESH;

const TAG_LEN: usize = 16;

/// One question's token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Who was asked; `None` for the LAN.
    pub target: Option<MemberId>,
    /// Seconds since its sender's start.
    second: u32,
    tag: [u8; TAG_LEN],
}

impl Token {
    /// Bytes of a token.
    pub const LEN: usize = 2 + 4 + TAG_LEN;

    /// Writes it: whom (2, 0 for the LAN), when (4), tag (16).
    pub fn encode(&self) -> [u8; Token::LEN] {
        let mut out = [0; Token::LEN];
        out[..6].copy_from_slice(&said(self.target, self.second));
        out[6..].copy_from_slice(&self.tag);
        out
    }

    /// Reads one from the beginning of `bytes`; `None` if they are too few, or name nobody's number.
    pub fn decode(bytes: &[u8]) -> Option<Token> {
        let (&target, rest) = bytes.split_first_chunk::<2>()?;
        let (&second, rest) = rest.split_first_chunk::<4>()?;
        let target = match u16::from_be_bytes(target) {
            0 => None,
            value => Some(MemberId::new(value)?),
        };
        Some(Token {
            target,
            second: u32::from_be_bytes(second),
            tag: *rest.first_chunk()?,
        })
    }
}

fn said(target: Option<MemberId>, second: u32) -> [u8; 6] {
    let mut said = [0; 6];
    said[..2].copy_from_slice(&target.map_or(0, MemberId::value).to_be_bytes());
    said[2..].copy_from_slice(&second.to_be_bytes());
    said
}

/// Makes tokens, and knows its own.
pub(super) struct Minter {
    secret: [u8; 32],
    /// When the first one was made.
    epoch: Option<Instant>,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").finish_non_exhaustive()
    }
}

impl Minter {
    pub(super) fn new(secret: [u8; 32]) -> Minter {
        Minter { secret, epoch: None }
    }

    pub(super) fn token(&mut self, now: Instant, target: Option<MemberId>) -> Token {
        self.epoch.get_or_insert(now);
        let second = self.second(now);
        Token {
            target,
            second,
            tag: self.tag(&said(target, second)),
        }
    }

    /// True for a token that was made here a moment ago.
    pub(super) fn is_ours(&self, now: Instant, token: &Token) -> bool {
        let age = self.second(now).checked_sub(token.second);
        let is_fresh = age.is_some_and(|age| u64::from(age) <= FRESH.as_secs());
        let expected = self.tag(&said(token.target, token.second));
        is_fresh && bool::from(expected.ct_eq(&token.tag))
    }

    /// An address that is nobody's.
    pub(super) fn mac(&self, in_room: bool) -> Mac {
        let tag = self.tag(if in_room { b"in the room" } else { b"on the LAN" });
        let mut random = [0; 5];
        random.copy_from_slice(&tag[..5]);
        Mac::from_random(random)
    }

    fn second(&self, now: Instant) -> u32 {
        let passed = self
            .epoch
            .map(|epoch| now.saturating_duration_since(epoch).as_secs());
        u32::try_from(passed.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// HMAC-SHA256 (RFC 2104), which is what HKDF's extraction is (RFC 5869, section 2.2), cut to 128 bits.
    fn tag(&self, said: &[u8]) -> [u8; TAG_LEN] {
        let (code, _) = Hkdf::<Sha256>::extract(Some(&self.secret), said);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&code[..TAG_LEN]);
        tag
    }
}
