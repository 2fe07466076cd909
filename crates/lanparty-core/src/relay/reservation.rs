//! Who had which id and address: what lets a member come back as the one it was, after its own crash or the relay's.

use std::collections::BTreeMap;

use lanparty_wire::{Incarnation, Mac, MemberId, PeerId, RoomId, UnixTime, control::Role};
use serde::{Deserialize, Serialize};

/// How long an id belongs to its identity after that has left: a party's night and the day after it.
const ID_HELD: u64 = 24 * 3600;
/// How long nobody else may have the MAC of a member that was lost without a goodbye: long enough to reboot.
const MAC_HELD: u64 = 60;

/// What is kept of a member of a room, while it is there and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reservation {
    pub(super) id: MemberId,
    pub(super) incarnation: Incarnation,
    /// The process that it last joined as.
    pub(super) session: u64,
    pub(super) role: Role,
    pub(super) mac: Option<Mac>,
    /// `None` while it is there.
    pub(super) left: Option<UnixTime>,
    /// It was lost, and will want its address back.
    pub(super) lost: bool,
}

impl Reservation {
    pub(super) fn is_over(&self, now: UnixTime) -> bool {
        self.left.is_some_and(|left| now.since(left) >= ID_HELD)
    }

    /// Seconds for which its MAC is still held for it; `None` if it is not.
    pub(super) fn holds_mac(&self, now: UnixTime) -> Option<u64> {
        let gone = now.since(self.left?);
        (self.lost && gone < MAC_HELD).then(|| MAC_HELD - gone)
    }

    /// True if nobody is there any more, and its MAC is free: then it may give way to another.
    pub(super) fn may_be_forgotten(&self, now: UnixTime) -> bool {
        self.left.is_some() && self.holds_mac(now).is_none()
    }

    /// True if a file that holds one of them need not hold the other.
    pub(super) fn is_same_life(&self, other: &Reservation) -> bool {
        let life = |r: &Reservation| (r.id, r.incarnation, r.session, r.role, r.mac);
        life(self) == life(other)
    }

    /// The life that a hello begins or goes on with.
    pub(super) fn incarnation_for(&self, session: u64, role: Role, mac: Option<Mac>) -> Incarnation {
        if (self.session, self.role, self.mac) == (session, role, mac) {
            self.incarnation
        } else {
            Incarnation(self.incarnation.0.wrapping_add(1))
        }
    }
}

/// One room's reservations.
pub(super) type Reservations = BTreeMap<PeerId, Reservation>;

/// All reservations as a file keeps them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedRooms {
    pub rooms: Vec<SavedRoom>,
}

/// One room's part of [`SavedRooms`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedRoom {
    pub room: RoomId,
    pub members: Vec<SavedReservation>,
}

/// One member's part of [`SavedRoom`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedReservation {
    pub identity: PeerId,
    pub id: MemberId,
    pub incarnation: Incarnation,
    pub session: u64,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// `None` if it was there when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<UnixTime>,
}

impl SavedReservation {
    pub(super) fn from_live(identity: PeerId, reservation: &Reservation) -> SavedReservation {
        SavedReservation {
            identity,
            id: reservation.id,
            incarnation: reservation.incarnation,
            session: reservation.session,
            role: reservation.role,
            mac: reservation.mac,
            left: reservation.left,
        }
    }

    /// As a relay that has just started sees it: those who were there are lost, and will be back in a moment.
    pub(super) fn into_live(self, now: UnixTime) -> (PeerId, Reservation) {
        let reservation = Reservation {
            id: self.id,
            incarnation: self.incarnation,
            session: self.session,
            role: self.role,
            mac: self.mac,
            // A time ahead of us would never pass.
            left: Some(self.left.unwrap_or(now).min(now)),
            lost: self.left.is_none(),
        };
        (self.identity, reservation)
    }
}
