//! Who is in a sealed room, as far as its relay knows: by the newest roster that its host has signed.
//!
//! The members decide for themselves, by the same roster, with whom they deal; what the relay does with it keeps those who are not in
//! away from everybody's lines, and gives nobody's place to a stranger. It is kept as long as the room is remembered and on no disk:
//! after a restart of the relay the first member that comes back brings it along.

use std::sync::Arc;

use lanparty_wire::{
    Admitted, Mac, MemberId, PeerId, Roster as SignedRoster, Standing, UnixTime,
    control::{Member, Role},
};

use super::{Roster, Seat, room::Room, rooms::Rooms};
use crate::admission::{RosterKeeper, RosterNews, RosterRefusal};

/// Bytes of rosters that are kept for rooms without members; of what is over, the numbers are kept.
const MAX_IDLE_BYTES: usize = 16 * 1024 * 1024;

/// What a newer roster has changed.
#[derive(Debug)]
pub struct RosterChange<H> {
    pub roster: Arc<Roster<H>>,
    /// Those whom the host has put out, and those who have an address that is another's by the roster. They have to go.
    pub expelled: Vec<H>,
}

impl<H: Clone> Rooms<H> {
    /// A member of a sealed room hands over a roster. `None` if it is known, or the member is not there any more.
    ///
    /// # Errors
    /// It is older than the known one, or another one with the same number.
    pub fn take_roster(
        &mut self,
        now: UnixTime,
        seat: &Seat,
        signed: SignedRoster,
    ) -> Result<Option<RosterChange<H>>, RosterRefusal> {
        let Some(room) = self.rooms.get_mut(&seat.room) else {
            return Ok(None);
        };
        if room.place(seat).is_none() {
            return Ok(None);
        }
        room.take_roster(now, signed)
    }

    /// True if exactly these bytes are the newest roster of the room.
    pub fn knows_roster(&self, seat: &Seat, bytes: &[u8]) -> bool {
        let paper = self.rooms.get(&seat.room).and_then(Room::paper);
        paper.is_some_and(|paper| **paper == *bytes)
    }

    /// Looks again who is in, because memberships end by themselves. Returns the rosters that have changed. Call it now and then.
    pub fn settle(&mut self, now: UnixTime) -> Vec<(lanparty_wire::RoomId, Arc<Roster<H>>)> {
        let settle = |(code, room): (&lanparty_wire::RoomId, &mut Room<H>)| {
            room.settle(now).then(|| (code.clone(), room.roster()))
        };
        self.rooms.iter_mut().filter_map(settle).collect()
    }

    /// Bounds what is kept for rooms without members: the longest empty go first.
    pub(super) fn forget_papers(&mut self) {
        let mut idle: Vec<_> = self
            .rooms
            .values_mut()
            .filter(|room| room.places.is_empty() && room.paper().is_some())
            .collect();
        idle.sort_unstable_by_key(|room| room.reservations.values().filter_map(|r| r.left).max());
        let mut bytes: usize = idle
            .iter()
            .filter_map(|room| room.paper())
            .map(|paper| paper.len())
            .sum();
        for room in idle {
            if bytes <= MAX_IDLE_BYTES {
                return;
            }
            bytes -= room.paper().map_or(0, |paper| paper.len());
            room.forget_paper();
        }
    }
}

impl<H: Clone> Room<H> {
    /// The newest roster's bytes; none in an open room.
    pub(super) fn paper(&self) -> Option<&Arc<[u8]>> {
        let keeper = self.keeper.as_ref()?;
        Some(keeper.newest()?.bytes())
    }

    /// Whether a member may do more than ask the host. Everybody may in an open room, and the host in its own.
    pub(super) fn admits(&self, now: UnixTime, member: &Member) -> bool {
        if self.keeper.is_none() || self.is_of_host(&member.identity) {
            return true;
        }
        let role = |standing| match standing {
            Standing::Gateway => Role::Gateway,
            Standing::Player | Standing::Spectator => Role::Client,
        };
        self.on_paper(now, &member.identity).is_some_and(|paper| {
            (paper.id, paper.mac, role(paper.standing)) == (member.id, member.mac, member.role)
        })
    }

    /// Whether it is the key that the room's name is made from.
    pub(super) fn is_of_host(&self, identity: &PeerId) -> bool {
        let keeper = self.keeper.as_ref();
        keeper.is_some_and(|keeper| keeper.room().belongs_to(identity))
    }

    /// What the roster says of an identity, unless its membership is over.
    pub(super) fn on_paper(&self, now: UnixTime, identity: &PeerId) -> Option<&Admitted> {
        self.keeper.as_ref()?.member(identity, now)
    }

    /// Whose id or address it is by the roster, if it is another's than this identity's.
    pub(super) fn is_anothers(
        &self,
        now: UnixTime,
        identity: &PeerId,
        id: Option<MemberId>,
        mac: Option<Mac>,
    ) -> bool {
        let newest = self.keeper.as_ref().and_then(RosterKeeper::newest);
        let mut members = newest.into_iter().flat_map(|roster| &roster.content().members);
        members.any(|paper| {
            let is_same = id == Some(paper.id) || mac.is_some() && mac == paper.mac;
            is_same && paper.identity != *identity && now < paper.expires
        })
    }

    /// Those who are there and are not in.
    pub(super) fn newcomers(&self) -> usize {
        self.places.values().filter(|place| !place.entry.admitted).count()
    }

    fn take_roster(
        &mut self,
        now: UnixTime,
        signed: SignedRoster,
    ) -> Result<Option<RosterChange<H>>, RosterRefusal> {
        let Some(keeper) = &mut self.keeper else {
            return Ok(None);
        };
        let before = keeper.newest().cloned();
        match keeper.take(signed)? {
            RosterNews::Same => return Ok(None),
            RosterNews::Newer => {}
        }
        self.settle(now);
        let was_in = |identity: &PeerId| {
            let mut members = before.iter().flat_map(|roster| &roster.content().members);
            members.any(|paper| paper.identity == *identity)
        };
        let has_to_go = |member: &Member| {
            let is_out = was_in(&member.identity) && !self.is_named(&member.identity);
            !self.is_of_host(&member.identity)
                && (is_out || self.is_anothers(now, &member.identity, None, member.mac))
        };
        let places = self.places.values();
        let expelled = places.filter(|place| has_to_go(&place.entry.member));
        Ok(Some(RosterChange {
            expelled: expelled.map(|place| place.entry.handle.clone()).collect(),
            roster: self.roster(),
        }))
    }

    /// True if the roster names the identity, even if its membership is over: that ends by itself and is no expulsion.
    fn is_named(&self, identity: &PeerId) -> bool {
        let newest = self.keeper.as_ref().and_then(RosterKeeper::newest);
        newest.is_some_and(|roster| {
            let members = &roster.content().members;
            members.iter().any(|paper| paper.identity == *identity)
        })
    }

    /// True if somebody is in who was not, or the other way round.
    fn settle(&mut self, now: UnixTime) -> bool {
        let changed: Vec<MemberId> = self
            .places
            .iter()
            .filter(|(_, place)| self.admits(now, &place.entry.member) != place.entry.admitted)
            .map(|(id, _)| *id)
            .collect();
        for id in &changed {
            if let Some(place) = self.places.get_mut(id) {
                place.entry.admitted = !place.entry.admitted;
            }
        }
        !changed.is_empty()
    }

    fn forget_paper(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            *keeper = RosterKeeper::new(keeper.room(), keeper.floor());
        }
    }
}
