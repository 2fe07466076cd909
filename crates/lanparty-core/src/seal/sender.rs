//! Keys under which one member seals for many: our own, and those that others have told us.
//!
//! A new key is told to everybody before it is used: it takes over when all who can have it have said so, or after
//! [`HANDOVER`]. A receiver keeps the one before for [`OVERLAP`]. Numbers run through all of a key's destinations, so that one number,
//! the floor, tells a receiver where its part begins: what was sent before is never new to it, however often it learns the key.

use std::time::{Duration, Instant};

use lanparty_wire::{
    DropReason, Header, TAG_LEN,
    seal::{Letter, SenderKey},
};
use zeroize::Zeroizing;

use super::{
    OVERLAP, SENDER_KEY_LIFE,
    aead::Key,
    next_id,
    session::{self, Outgoing},
};
use crate::{
    hole::{Hole, is_open},
    replay::Windows,
};

/// How long a new key waits for those that have not yet said that they have it: some round trips.
pub const HANDOVER: Duration = Duration::from_secs(1);

/// Our own keys.
#[derive(Debug)]
pub struct SenderKeys {
    active: Own,
    /// The one that comes next, and when at the latest.
    next: Option<(Own, Instant)>,
}

struct Own {
    id: u8,
    raw: Zeroizing<[u8; 32]>,
    out: Outgoing,
    born: Instant,
}

impl std::fmt::Debug for Own {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Own({}, {:?})", self.id, self.out)
    }
}

impl Own {
    fn new(now: Instant, id: u8, raw: [u8; 32]) -> Own {
        Own {
            id,
            out: Outgoing::new(now, &raw),
            raw: Zeroizing::new(raw),
            born: now,
        }
    }

    fn told(&self) -> SenderKey {
        SenderKey {
            id: self.id,
            floor: self.out.next(),
            key: *self.raw,
        }
    }
}

impl SenderKeys {
    /// Begins with this key.
    pub fn new(now: Instant, id: u8, raw: [u8; 32]) -> SenderKeys {
        SenderKeys {
            active: Own::new(now, id, raw),
            next: None,
        }
    }

    /// The id of the newest key, which is the one to be acknowledged.
    pub fn newest(&self) -> u8 {
        self.next.as_ref().map_or(self.active.id, |(next, _)| next.id)
    }

    /// What a member has to be told.
    pub fn letter(&self) -> Letter {
        let next = self.next.as_ref().map(|(next, _)| next.told());
        Letter::SenderKeys([Some(self.active.told()), next].into_iter().flatten().collect())
    }

    /// A new key is on its way to everybody. One that was on its way already is replaced.
    pub fn rotate(&mut self, now: Instant, raw: [u8; 32]) {
        let id = next_id(self.newest());
        self.next = Some((Own::new(now, id, raw), now + HANDOVER));
    }

    /// Lets the next key take over if its time has come, or at once if `all` have it. True if it did.
    pub fn hand_over(&mut self, now: Instant, all: bool) -> bool {
        match self.next.take() {
            Some((next, at)) if all || at <= now => {
                self.active = next;
                true
            }
            waiting => {
                self.next = waiting;
                false
            }
        }
    }

    /// When another key is due. Never while one is on its way.
    pub fn worn_at(&self) -> Option<Instant> {
        let by_time = self.active.born + SENDER_KEY_LIFE;
        self.next
            .is_none()
            .then(|| by_time.min(self.active.out.worn_at()))
    }

    /// When the next key takes over at the latest.
    pub fn hand_over_at(&self) -> Option<Instant> {
        self.next.as_ref().map(|&(_, at)| at)
    }

    /// See [`Outgoing::seal`].
    ///
    /// # Errors
    /// As there.
    pub fn seal(&mut self, header: &mut Header, payload: &mut [u8]) -> Result<[u8; TAG_LEN], DropReason> {
        header.key_id = self.active.id;
        self.active.out.seal(header, payload)
    }
}

/// The keys that one other member has told us.
#[derive(Debug, Default)]
pub struct HeardKeys {
    keys: Vec<Heard>,
}

struct Heard {
    id: u8,
    raw: Zeroizing<[u8; 32]>,
    key: Key,
    floor: u64,
    windows: Windows,
    /// Set once the member has told newer ones without it.
    until: Option<Instant>,
}

impl std::fmt::Debug for Heard {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Heard({}, from {}, until {:?})",
            self.id, self.floor, self.until
        )
    }
}

impl HeardKeys {
    /// The most that are kept of one member: two that it uses and one that it has just used.
    const MAX: usize = 3;

    /// The member's keys are these now. A key that is known keeps its floor and what was seen under it.
    pub fn learn(&mut self, now: Instant, told: &[SenderKey]) {
        for heard in &mut self.keys {
            if told.iter().any(|key| key.key == *heard.raw) {
                heard.until = None;
            } else {
                heard.until.get_or_insert(now + OVERLAP);
            }
        }
        for key in told {
            if self.keys.iter().any(|heard| *heard.raw == key.key) {
                continue;
            }
            self.keys.retain(|heard| heard.id != key.id);
            self.keys.push(Heard {
                id: key.id,
                key: Key::new(&key.key),
                raw: Zeroizing::new(key.key),
                floor: key.floor,
                windows: Windows::default(),
                until: None,
            });
        }
        let surplus = self.keys.len().saturating_sub(HeardKeys::MAX);
        self.keys.drain(..surplus);
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Instant) {
        self.keys
            .retain(|heard| heard.until.is_none_or(|until| now < until));
    }

    /// When the next one is to be forgotten.
    pub fn due(&self) -> Option<Instant> {
        self.keys.iter().filter_map(|heard| heard.until).min()
    }

    /// Whether a datagram under one of these keys may be new.
    ///
    /// # Errors
    /// [`DropReason::WrongKey`], or what the replay window says.
    pub fn check(&self, header: &Header) -> Result<(), DropReason> {
        let heard = self.keys.iter().find(|heard| heard.id == header.key_id);
        let heard = heard.ok_or(DropReason::WrongKey)?;
        if header.sequence < heard.floor && !is_open(Hole::Floor) {
            return Err(DropReason::TooOld);
        }
        heard.windows.check(header.destination, header.sequence)
    }

    /// Opens a payload in place and takes note of its number.
    ///
    /// # Errors
    /// [`DropReason::WrongKey`], [`DropReason::BadSeal`], or what the replay window says; it moves only if the seal holds.
    pub fn open(&mut self, header: &Header, payload: &mut [u8]) -> Result<(), DropReason> {
        let heard = self.keys.iter_mut().find(|heard| heard.id == header.key_id);
        let heard = heard.ok_or(DropReason::WrongKey)?;
        session::open(&heard.key, header, payload)?;
        heard.windows.commit(header.destination, header.sequence)
    }
}
