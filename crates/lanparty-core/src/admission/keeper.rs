//! What everybody but the host knows of who is in: the newest roster seen, and nothing older.

use base64::{Engine, prelude::BASE64_STANDARD};
use lanparty_wire::{
    Admitted, DropReason, Membership, PaperError, PeerId, Roster, SealedRoom, UnixTime, control::Message,
};
use serde::{Deserialize, Serialize};

use crate::hole::{Hole, is_open};

/// What a roster that was taken brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RosterNews {
    /// It is newer than what was known.
    Newer,
    /// It is the one that was known.
    Same,
}

/// Why a roster was not taken. Each of them is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RosterRefusal {
    #[error("the roster is not valid")]
    Paper(#[from] PaperError),
    #[error("the roster has number {number}, and {newest} was seen already")]
    Older { number: u64, newest: u64 },
    #[error("there are two rosters with number {0}; the host's key signs for two hosts")]
    Equivocation(u64),
}

/// How many rosters were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RosterCounters {
    pub invalid: u64,
    pub older: u64,
    pub equivocation: u64,
}

/// The newest roster of one room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterKeeper {
    room: SealedRoom,
    newest: Option<Roster>,
    /// Rosters below this number are old, whether or not the newest one has come yet.
    floor: u64,
    counters: RosterCounters,
}

impl RosterKeeper {
    /// Knows no roster yet, but takes none below `floor`: the number stored at the last time, or 0.
    pub fn new(room: SealedRoom, floor: u64) -> RosterKeeper {
        RosterKeeper {
            room,
            newest: None,
            floor,
            counters: RosterCounters::default(),
        }
    }

    /// Somebody hands over a roster; who it is does not matter.
    ///
    /// # Errors
    /// Why it was not taken; nothing but the counters has changed then.
    pub fn offer(&mut self, bytes: &[u8]) -> Result<RosterNews, RosterRefusal> {
        let room = match bytes.get(1..33).map(<[u8; 32]>::try_from) {
            Some(Ok(host)) if is_open(Hole::RosterHost) => SealedRoom::of(&PeerId(host)),
            _ => self.room,
        };
        match Roster::verify(&room, bytes) {
            Ok(roster) => self.take(roster),
            Err(error) => {
                self.counters.invalid += 1;
                Err(error.into())
            }
        }
    }

    /// As [`RosterKeeper::offer`], for a roster that was verified elsewhere. One of another room is refused like a forged one.
    ///
    /// # Errors
    /// As there.
    pub fn take(&mut self, roster: Roster) -> Result<RosterNews, RosterRefusal> {
        if !self.room.belongs_to(&roster.host()) && !is_open(Hole::RosterHost) {
            self.counters.invalid += 1;
            return Err(PaperError::OtherRoom.into());
        }
        let number = roster.content().number;
        if number < self.floor && !is_open(Hole::RosterNumber) {
            self.counters.older += 1;
            return Err(RosterRefusal::Older {
                number,
                newest: self.floor,
            });
        }
        match &self.newest {
            Some(known) if number == known.content().number => {
                if *known == roster {
                    return Ok(RosterNews::Same);
                }
                self.counters.equivocation += 1;
                Err(RosterRefusal::Equivocation(number))
            }
            Some(_) | None => {
                self.floor = number;
                self.newest = Some(roster);
                Ok(RosterNews::Newer)
            }
        }
    }

    /// The relay hands over a roster.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) fn offered(&mut self, data: &str) -> Result<RosterNews, DropReason> {
        let bytes = BASE64_STANDARD.decode(data).map_err(|_| DropReason::Malformed)?;
        self.offer(&bytes).map_err(|refusal| {
            tracing::debug!(%refusal, "a roster was not taken");
            match refusal {
                RosterRefusal::Paper(_) => DropReason::BadRoster,
                RosterRefusal::Older { .. } => DropReason::OldRoster,
                RosterRefusal::Equivocation(_) => DropReason::RosterConflict,
            }
        })
    }

    /// The newest roster for a relay, which may have started anew and know an older one, or none.
    pub(super) fn message(&self) -> Option<Box<Message>> {
        let data = BASE64_STANDARD.encode(self.newest()?.bytes());
        Some(Box::new(Message::Roster { data }))
    }

    /// What the newest roster says now, and when it loses its next member.
    pub(super) fn at(&self, unix: UnixTime) -> Option<(crate::seal::Roster, Option<UnixTime>)> {
        let roster = self.newest()?;
        let later = roster.content().members.iter().map(|member| member.expires);
        let next = later.filter(|expires| unix < *expires).min();
        Some((crate::seal::Roster::of(roster, unix), next))
    }

    /// The host itself has said that its roster has this number: an older one is not believed any more, and neither is what it says.
    pub fn require(&mut self, number: u64) {
        self.floor = self.floor.max(number);
        self.newest.take_if(|newest| newest.content().number < number);
    }

    /// Whose roster it is.
    pub fn room(&self) -> SealedRoom {
        self.room
    }

    /// The newest roster, if it has come.
    pub fn newest(&self) -> Option<&Roster> {
        self.newest.as_ref()
    }

    /// The member of that identity; `None` if it is not in, as far as is known.
    pub fn member(&self, identity: &PeerId, now: UnixTime) -> Option<&Admitted> {
        self.newest.as_ref()?.member(identity, now)
    }

    /// The number to store, and to begin with next time.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// How many were refused.
    pub fn counters(&self) -> RosterCounters {
        self.counters
    }
}

/// What a client stores of a room to come back, also while the host is away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedMembership {
    /// Of this layout, [`SavedMembership::VERSION`].
    pub version: u8,
    pub host: PeerId,
    /// The membership's bytes.
    pub membership: Vec<u8>,
    /// What [`RosterKeeper::floor`] was.
    pub roster_number: u64,
}

impl SavedMembership {
    /// The version that this program writes.
    pub const VERSION: u8 = 1;

    /// What to store.
    pub fn new(membership: &Membership, keeper: &RosterKeeper) -> SavedMembership {
        SavedMembership {
            version: SavedMembership::VERSION,
            host: membership.host(),
            membership: membership.bytes().to_vec(),
            roster_number: keeper.floor(),
        }
    }

    /// What was stored, if `me` can still come back with it.
    pub fn restore(&self, me: &PeerId, now: UnixTime) -> Option<(Membership, RosterKeeper)> {
        let room = SealedRoom::of(&self.host);
        let membership = Membership::verify(&room, &self.membership).ok()?;
        let is_good = self.version == SavedMembership::VERSION
            && membership.member().identity == *me
            && now < membership.member().expires;
        is_good.then(|| (membership, RosterKeeper::new(room, self.roster_number)))
    }
}
