//! One room: the places that are taken, and the reservations of those who may come back.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use lanparty_wire::{
    Incarnation, Mac, MemberId, PeerId, RejectReason, RoomId, VERSION,
    control::{Hello, Member, Mode, Role, Welcome},
    mtu,
};
use rand::{Rng, RngCore};

use super::{
    Entry, Groups, Join, Refusal, Roster, Seat, UnixTime,
    lease::Lease,
    reservation::{Reservation, Reservations},
};
use crate::admission::RosterKeeper;

/// What a member says of itself in its own words, in characters.
const MAX_WORDS: usize = 64;
/// Reservations kept for each place in a room: enough for everybody to come back, and a bound for strangers who come and go.
const RESERVATIONS_PER_PLACE: usize = 4;

#[derive(Debug)]
pub(super) struct Room<H> {
    /// Those who are there.
    pub(super) places: BTreeMap<MemberId, Place<H>>,
    pub(super) reservations: Reservations,
    /// The host's newest word on who is in; none in an open room.
    pub(super) keeper: Option<RosterKeeper>,
    /// Which LAN gateway is the active one.
    pub(super) lease: Lease,
}

#[derive(Debug)]
pub(super) struct Place<H> {
    pub(super) serial: u64,
    pub(super) address: IpAddr,
    pub(super) announced_budget: u16,
    pub(super) leg_budget: u16,
    pub(super) entry: Entry<H>,
}

impl<H: Clone> Room<H> {
    pub(super) fn new(code: &RoomId, reservations: Reservations) -> Room<H> {
        Room {
            places: BTreeMap::new(),
            reservations,
            keeper: match code {
                RoomId::Sealed(room) => Some(RosterKeeper::new(*room, 0)),
                RoomId::Open(_) => None,
            },
            lease: Lease::default(),
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.places.values().map(|place| &place.entry.member)
    }

    pub(super) fn roster(&self) -> Arc<Roster<H>> {
        let entries = self.places.values().map(|place| place.entry.clone());
        Arc::new(Roster::new(entries))
    }

    pub(super) fn place(&mut self, seat: &Seat) -> Option<&mut Place<H>> {
        self.places
            .get_mut(&seat.member)
            .filter(|place| place.serial == seat.serial)
    }

    pub(super) fn place_of(&self, identity: &PeerId) -> Option<&Place<H>> {
        self.places
            .values()
            .find(|place| place.entry.member.identity == *identity)
    }

    pub(super) fn take_place_of(&mut self, identity: &PeerId) -> Option<Place<H>> {
        let id = self.place_of(identity)?.entry.member.id;
        self.places.remove(&id)
    }

    pub(super) fn check(&self, now: UnixTime, join: &Join<'_>) -> Result<(), Refusal> {
        if join.hello.role == Role::Gateway {
            return self.check_gateway(now, join);
        }
        let others = || self.members().filter(|member| member.identity != join.identity);
        let Some(mac) = join.hello.mac else {
            return Err(refuse(RejectReason::InvalidMac));
        };
        if others().any(|member| member.mac == Some(mac)) {
            return Err(refuse(RejectReason::DuplicateMac));
        }
        if self.is_anothers(now, &join.identity, None, Some(mac)) {
            return Err(Refusal {
                reason: RejectReason::DuplicateMac,
                detail: "by the host's word it is another member's".to_owned(),
            });
        }
        match self.mac_held_for(now, mac, &join.identity) {
            Some(seconds) => Err(Refusal {
                reason: RejectReason::DuplicateMac,
                detail: format!("it is held for the member that had it, for {seconds} s more"),
            }),
            None => Ok(()),
        }
    }

    fn mac_held_for(&self, now: UnixTime, mac: Mac, asking: &PeerId) -> Option<u64> {
        self.reservations
            .iter()
            .filter(|(identity, reservation)| *identity != asking && reservation.mac == Some(mac))
            .find_map(|(_, reservation)| reservation.holds_mac(now))
    }

    /// The joiner's reservation: its old one as it goes on, or a new one with an id that nobody has. True if it says
    /// nothing that was not known before.
    pub(super) fn reserve(
        &mut self,
        now: UnixTime,
        random: &mut impl RngCore,
        join: &Join<'_>,
    ) -> (Reservation, bool) {
        let Hello {
            session, role, mac, ..
        } = *join.hello;
        let known = self
            .reservations
            .get(&join.identity)
            .filter(|reservation| !reservation.is_over(now));
        let (id, incarnation) = match known {
            Some(known) => (known.id, known.incarnation_for(session, role, mac)),
            None => (self.new_id(now, random, &join.identity), Incarnation(1)),
        };
        let reservation = Reservation {
            id,
            incarnation,
            session,
            role,
            mac,
            left: None,
            lost: false,
        };
        let before = self.reservations.insert(join.identity, reservation.clone());
        let is_known = before.is_some_and(|before| before.is_same_life(&reservation));
        (reservation, is_known)
    }

    /// Makes sure that a reservation for the joiner finds a place. The oldest are forgotten for it, but none that still holds its
    /// address for a member that was lost: strangers must not drive out who is just about to come back.
    pub(super) fn make_room(
        &mut self,
        now: UnixTime,
        identity: &PeerId,
        max_members: u16,
    ) -> Result<(), Refusal> {
        if self.remembers(now, identity) {
            return Ok(());
        }
        self.reservations
            .retain(|_, reservation| !reservation.is_over(now));
        let limit = usize::from(max_members) * RESERVATIONS_PER_PLACE;
        while self.reservations.len() >= limit.min(usize::from(MemberId::MAX) / 2) {
            let oldest = self
                .reservations
                .iter()
                .filter(|(_, reservation)| reservation.may_be_forgotten(now))
                .min_by_key(|(identity, reservation)| {
                    (self.on_paper(now, identity).is_some(), reservation.left)
                })
                .map(|(identity, _)| *identity);
            let Some(oldest) = oldest else {
                return Err(Refusal {
                    reason: RejectReason::RoomFull,
                    detail: "places are held for members that were lost; try again in a minute".to_owned(),
                });
            };
            self.reservations.remove(&oldest);
        }
        Ok(())
    }

    /// True if the identity has a reservation that counts.
    pub(super) fn remembers(&self, now: UnixTime, identity: &PeerId) -> bool {
        self.reservations
            .get(identity)
            .is_some_and(|reservation| !reservation.is_over(now))
    }

    /// True if nobody is there whose place or address would be lost with the room.
    pub(super) fn may_be_forgotten(&self, now: UnixTime) -> bool {
        let mut reservations = self.reservations.values();
        self.places.is_empty() && reservations.all(|reservation| reservation.may_be_forgotten(now))
    }

    /// The id that the roster has for the identity, or one that nobody has.
    fn new_id(&self, now: UnixTime, random: &mut impl RngCore, identity: &PeerId) -> MemberId {
        let is_free = |id: &MemberId| {
            self.reservations
                .values()
                .all(|reservation| reservation.id != *id)
        };
        let on_paper = self.on_paper(now, identity).map(|paper| paper.id);
        if let Some(id) = on_paper.filter(is_free) {
            return id;
        }
        // Little more than half of the ids are taken at most, so this ends after two rounds on average.
        loop {
            let id = MemberId::new(random.random_range(1..=MemberId::MAX));
            if let Some(id) = id.filter(is_free)
                && !self.is_anothers(now, identity, Some(id), None)
            {
                return id;
            }
        }
    }

    /// Who is not in does not hear how many there are.
    pub(super) fn welcome(&self, member: &Member, sealed: bool, is_in: bool) -> Welcome {
        Welcome {
            version: VERSION,
            member: member.id,
            incarnation: member.incarnation,
            mode: Mode::Relay,
            sealed,
            gateway: self.lease.holder(),
            members: match is_in {
                true => u16::try_from(self.places.len()).unwrap_or(u16::MAX),
                false => 0,
            },
        }
    }
}

impl<H> Place<H> {
    pub(super) fn new(
        serial: u64,
        address: IpAddr,
        join: &Join<'_>,
        reservation: &Reservation,
        handle: H,
    ) -> Place<H> {
        let member = Member {
            id: reservation.id,
            incarnation: reservation.incarnation,
            role: join.hello.role,
            identity: join.identity,
            mac: join.hello.mac,
            budget: 0,
            name: plain_words(&join.hello.name),
            lan_link: None,
            standby: false,
        };
        let mut place = Place {
            serial,
            address,
            announced_budget: join.hello.budget,
            leg_budget: join.leg_budget,
            entry: Entry {
                member,
                ingress_budget: 0,
                admitted: false,
                groups: Arc::new(Groups::default()),
                handle,
            },
        };
        place.settle_budgets();
        place
    }

    /// Others may send no more than both sides of the leg carry. From the member itself comes what either side knows: a path
    /// that has just grown must not lose what its first large datagrams carry.
    pub(super) fn settle_budgets(&mut self) {
        self.entry.member.budget = self.announced_budget.min(self.leg_budget).max(mtu::MIN_BUDGET);
        self.entry.ingress_budget = self.announced_budget.max(self.leg_budget);
    }
}

/// What a member says in its own words, as others may see it: clipped, and without anything that steers a terminal or ends a line.
pub fn plain_words(words: &str) -> String {
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_WORDS)
        .collect()
}

/// A no whose reason says it all.
pub(super) fn refuse(reason: RejectReason) -> Refusal {
    Refusal {
        reason,
        detail: String::new(),
    }
}
