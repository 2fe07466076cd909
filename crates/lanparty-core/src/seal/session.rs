//! The keys that one handshake has agreed on, and what was sent and seen under them.

use std::time::Instant;

use lanparty_wire::{
    DropReason, HEADER_LEN, Header, MAX_SEQUENCE, TAG_LEN,
    seal::{Letter, Parcel, letter_head},
};

use super::{
    KEY_BYTES, KEY_BYTES_MAX, KEY_LIFE,
    aead::{Key, NONCE_LEN},
    handshake::Secrets,
};
use crate::{
    hole::{Hole, is_open},
    replay::ReplayWindow,
};

/// One finished handshake between two members.
#[derive(Debug)]
pub struct Session {
    /// What datagrams and letters name it by, `1..=31`.
    pub id: u8,
    out: Outgoing,
    incoming: Key,
    window: ReplayWindow,
    letters_out: Key,
    letters_sent: u64,
    letters_in: Key,
    /// The next letter has at least this number. The control stream keeps the order, so a lower one is a replay.
    letters_next: u64,
}

/// A key for datagrams with its count: what is numbered here is never numbered again under this key.
#[derive(Debug)]
pub struct Outgoing {
    key: Key,
    next: u64,
    bytes: u64,
    born: Instant,
}

impl Outgoing {
    /// A key that was never used.
    pub fn new(now: Instant, key: &[u8; 32]) -> Outgoing {
        Outgoing {
            key: Key::new(key),
            next: 0,
            bytes: 0,
            born: now,
        }
    }

    /// Numbers and seals: `header` gets its sequence, `payload` is encrypted in place, and the tag is to follow it.
    ///
    /// # Errors
    /// [`DropReason::NoSession`] if the key has sealed all that it may.
    pub fn seal(&mut self, header: &mut Header, payload: &mut [u8]) -> Result<[u8; TAG_LEN], DropReason> {
        if self.next > MAX_SEQUENCE || self.bytes >= KEY_BYTES_MAX {
            return Err(DropReason::NoSession);
        }
        header.sequence = self.next;
        self.next += 1;
        self.bytes += payload.len() as u64;
        Ok(self.key.seal(nonce(header), &associated_data(header), payload))
    }

    /// The number of the next datagram.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// From when on another key should take its place; in the past if it has sealed its share.
    pub fn worn_at(&self) -> Instant {
        if self.bytes >= KEY_BYTES || self.next > MAX_SEQUENCE / 2 {
            self.born
        } else {
            self.born + KEY_LIFE
        }
    }
}

impl Session {
    /// The keys of one side.
    pub fn new(now: Instant, id: u8, secrets: &Secrets, is_initiator: bool) -> Session {
        let (ours, theirs) = if is_initiator {
            (secrets.to_responder(), secrets.to_initiator())
        } else {
            (secrets.to_initiator(), secrets.to_responder())
        };
        Session {
            id,
            out: Outgoing::new(now, &ours.datagrams),
            incoming: Key::new(&theirs.datagrams),
            window: ReplayWindow::default(),
            letters_out: Key::new(&ours.letters),
            letters_sent: 0,
            letters_in: Key::new(&theirs.letters),
            letters_next: 0,
        }
    }

    /// See [`Outgoing::seal`].
    ///
    /// # Errors
    /// As there.
    pub fn seal(&mut self, header: &mut Header, payload: &mut [u8]) -> Result<[u8; TAG_LEN], DropReason> {
        header.key_id = self.id;
        self.out.seal(header, payload)
    }

    /// See [`Outgoing::worn_at`].
    pub fn worn_at(&self) -> Instant {
        self.out.worn_at()
    }

    /// See [`ReplayWindow::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, sequence: u64) -> Result<(), DropReason> {
        self.window.check(sequence)
    }

    /// Opens a unicast payload in place and takes note of its number.
    ///
    /// # Errors
    /// [`DropReason::BadSeal`], or what the replay window says; it moves only if the seal holds.
    pub fn open(&mut self, header: &Header, payload: &mut [u8]) -> Result<(), DropReason> {
        open(&self.incoming, header, payload)?;
        self.window.commit(header.sequence)
    }

    /// Seals a letter into a parcel.
    pub fn write(&mut self, letter: &Letter) -> Vec<u8> {
        let counter = self.letters_sent;
        self.letters_sent += 1;
        let mut sealed = letter.encode();
        let head = letter_head(self.id, counter);
        let tag = self.letters_out.seal(letter_nonce(counter), &head, &mut sealed);
        sealed.extend_from_slice(&tag);
        let key_id = self.id;
        Parcel::Letter {
            key_id,
            counter,
            sealed: &sealed,
        }
        .encode()
    }

    /// Opens a letter.
    ///
    /// # Errors
    /// [`DropReason::Duplicate`] for one that was read before, [`DropReason::BadSeal`], [`DropReason::Malformed`] for what a
    /// later version may write.
    pub fn read(&mut self, counter: u64, sealed: &[u8]) -> Result<Letter, DropReason> {
        if counter < self.letters_next && !is_open(Hole::LetterOrder) {
            return Err(DropReason::Duplicate);
        }
        let mut bytes = sealed.to_vec();
        let head = letter_head(self.id, counter);
        self.letters_in
            .open(letter_nonce(counter), &head, &mut bytes)
            .map_err(|_| DropReason::BadSeal)?;
        self.letters_next = counter.saturating_add(1);
        bytes.truncate(sealed.len() - TAG_LEN);
        Letter::decode(&bytes).map_err(|_| DropReason::Malformed)
    }
}

/// Opens `payload`, tag included, in place.
///
/// # Errors
/// [`DropReason::BadSeal`].
pub fn open(key: &Key, header: &Header, payload: &mut [u8]) -> Result<(), DropReason> {
    let (nonce, associated) = (nonce(header), associated_data(header));
    if is_open(Hole::Tag) {
        // Sealing what is sealed opens it: both add the same stream.
        let end = payload.len().saturating_sub(TAG_LEN);
        key.seal(nonce, &associated, &mut payload[..end]);
        return Ok(());
    }
    key.open(nonce, &associated, payload)
        .map_err(|_| DropReason::BadSeal)
}

/// What is sealed with a payload, and not part of it.
fn associated_data(header: &Header) -> [u8; HEADER_LEN] {
    if is_open(Hole::Header) {
        return [0; HEADER_LEN];
    }
    header.associated_data()
}

/// Five zero bytes, the destination's two, the sequence's five. Unique under a key: the sequence alone never repeats.
pub fn nonce(header: &Header) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    if !is_open(Hole::Nonce) {
        nonce[5..7].copy_from_slice(&header.destination.to_wire().to_be_bytes());
    }
    nonce[7..].copy_from_slice(&header.sequence.to_be_bytes()[3..]);
    nonce
}

/// Four zero bytes and the counter's eight.
fn letter_nonce(counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}
