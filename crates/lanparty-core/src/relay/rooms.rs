//! Admission: who may join which room, as whom, and who is told.
//!
//! The order that members see rests on how these results are used: tell the others of a joiner, then welcome it, then tell
//! it of the others ([`Admission`]). An identity that joins again takes its own place at once; whoever is in the way of
//! somebody else's id or address is refused, so a crash or a restart of the relay costs nobody his place.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use lanparty_wire::{
    GroupHandle, Incarnation, LeaveReason, MemberId, PeerId, RejectReason, RoomId, VERSION,
    control::{Hello, Member, Role, Welcome},
};
use rand::RngCore;

use super::{
    Entry, Roster, SavedReservation, SavedRoom, SavedRooms, Succession, UnixTime,
    reservation::Reservations,
    room::{Place, Room, refuse},
};

/// Rooms that are remembered for each that may be open.
const MEMORIES_PER_ROOM: usize = 4;

/// Members that are remembered over all rooms while anything can be forgotten. The table is written as a whole after every
/// change; this keeps it at a few MB.
const MAX_RESERVATIONS: usize = 16_384;

/// How many of each a relay lets in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomLimits {
    pub max_members: u16,
    /// Rooms with members.
    pub max_rooms: u32,
    /// Members from one address (of IPv6, one /64), over all rooms.
    pub connections_per_address: u32,
}

impl Default for RoomLimits {
    /// A big party behind one NAT fits.
    fn default() -> RoomLimits {
        RoomLimits {
            max_members: 64,
            max_rooms: 1000,
            connections_per_address: 64,
        }
    }
}

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// Proven by the connection.
    pub identity: PeerId,
    pub hello: &'a Hello,
    pub address: IpAddr,
    /// Whether it may open a room that is not there yet, and be a LAN gateway.
    pub may_open: bool,
    /// What the relay's own side of the connection carries in a datagram now.
    pub leg_budget: u16,
    /// The time for leases, which no adjustment of the clock moves.
    pub clock: Instant,
}

/// A place in a room, held by one connection. A later connection of the same identity has another one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Seat {
    pub room: RoomId,
    pub member: MemberId,
    pub(super) serial: u64,
}

/// Somebody was let in. First tell `roster`'s others of `member`, then welcome it, then tell it of `others`.
#[derive(Debug)]
pub struct Admission<H> {
    pub seat: Seat,
    pub member: Member,
    pub welcome: Welcome,
    /// Those who were there before, for the joiner; if it is not in, the host alone.
    pub others: Vec<Member>,
    /// The newest roster of a sealed room, for those who are in it.
    pub paper: Option<Arc<[u8]>>,
    /// The connection whose place this one takes; it belongs to the same identity.
    pub displaced: Option<H>,
    /// It goes on with what it was, of which every earlier table knows. Others should not be welcomed before the table is
    /// kept: an id or an incarnation that is forgotten in a crash would be given away twice.
    pub is_known: bool,
    pub roster: Arc<Roster<H>>,
}

/// Somebody has left.
#[derive(Debug)]
pub struct Departure<H> {
    pub member: MemberId,
    pub role: Role,
    pub identity: PeerId,
    pub incarnation: Incarnation,
    pub reason: LeaveReason,
    /// The LAN gateway that takes over, if it was the active one's and another one waits.
    pub successor: Option<Succession<H>>,
    /// Those who stay.
    pub roster: Arc<Roster<H>>,
}

/// The relay's no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub reason: RejectReason,
    /// What the sentence of the reason does not say; may be empty.
    pub detail: String,
}

/// All rooms of a relay.
#[derive(Debug)]
pub struct Rooms<H> {
    limits: RoomLimits,
    pub(super) rooms: BTreeMap<RoomId, Room<H>>,
    addresses: HashMap<IpAddr, u32>,
    next_serial: u64,
}

impl<H: Clone> Rooms<H> {
    /// No rooms yet.
    pub fn new(limits: RoomLimits) -> Rooms<H> {
        Rooms {
            limits,
            rooms: BTreeMap::new(),
            addresses: HashMap::new(),
            next_serial: 0,
        }
    }

    /// The rooms of a former life, all of them empty: ids and addresses wait for their owners.
    pub fn restore(limits: RoomLimits, saved: SavedRooms, now: UnixTime) -> Rooms<H> {
        let mut rooms = Rooms::new(limits);
        for SavedRoom { room, members } in saved.rooms {
            let reservations: Reservations =
                members.into_iter().map(|member| member.into_live(now)).collect();
            let empty = Room::new(&room, reservations);
            rooms.rooms.insert(room, empty);
        }
        rooms.expire(now);
        rooms
    }

    /// What [`Rooms::restore`] takes.
    pub fn save(&self) -> SavedRooms {
        let rooms = self.rooms.iter().map(|(code, room)| SavedRoom {
            room: code.clone(),
            members: room
                .reservations
                .iter()
                .map(|(identity, reservation)| SavedReservation::from_live(*identity, reservation))
                .collect(),
        });
        SavedRooms {
            rooms: rooms.collect(),
        }
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// Why not, for the person at the keyboard. Nothing has changed then.
    pub fn join(
        &mut self,
        now: UnixTime,
        random: &mut impl RngCore,
        join: &Join<'_>,
        handle: H,
    ) -> Result<Admission<H>, Refusal> {
        check_hello(join.hello)?;
        self.check_token(now, join)?;
        let address = network_of(join.address);
        self.check_limits(now, join, address)?;
        let code = join.hello.room.clone();
        self.forget_old_rooms(now, join)?;
        let room = self
            .rooms
            .entry(code.clone())
            .or_insert_with(|| Room::new(&join.hello.room, Reservations::new()));
        room.check(now, join)?;
        room.make_room(now, &join.identity, self.limits.max_members)?;
        let displaced = room.take_place_of(&join.identity);
        let (reservation, is_known) = room.reserve(now, random, join);
        self.next_serial += 1;
        let mut place = Place::new(self.next_serial, address, join, &reservation, handle);
        place.entry.admitted = room.admits(now, &place.entry.member);
        let paper = room.paper().filter(|_| place.entry.admitted).cloned();
        if join.hello.role == Role::Gateway {
            // Who is not in yet is given nothing, and does not count as waiting.
            let may_hold = place.entry.admitted;
            place.entry.member.standby = !may_hold || room.lease_to(now, join.clock, place.entry.member.id);
        }
        let member = place.entry.member.clone();
        let known = room.members().filter(|other| place.entry.may_know(other.role));
        let others = known.cloned().collect();
        let is_in = place.entry.admitted;
        room.places.insert(member.id, place);
        let admission = Admission {
            seat: Seat {
                room: code,
                member: member.id,
                serial: self.next_serial,
            },
            welcome: room.welcome(&member, join.hello.room.is_sealed(), is_in),
            others,
            paper,
            displaced: displaced.as_ref().map(|place| place.entry.handle.clone()),
            roster: room.roster(),
            is_known,
            member,
        };
        if let Some(ghost) = displaced {
            self.forget_address(ghost.address);
        }
        *self.addresses.entry(address).or_default() += 1;
        Ok(admission)
    }

    /// Takes somebody out; `None` if that connection's place was taken by a later one.
    pub fn leave(
        &mut self,
        now: UnixTime,
        clock: Instant,
        seat: &Seat,
        reason: LeaveReason,
    ) -> Option<Departure<H>> {
        let room = self.rooms.get_mut(&seat.room)?;
        room.place(seat)?;
        let place = room.places.remove(&seat.member)?;
        let member = place.entry.member;
        if let Some(reservation) = room.reservations.get_mut(&member.identity) {
            reservation.left = Some(now);
            reservation.lost = !matches!(reason, LeaveReason::Goodbye | LeaveReason::Kicked);
        }
        let heir = room.lease_from(now, clock, member.id);
        let departure = Departure {
            member: member.id,
            role: member.role,
            identity: member.identity,
            incarnation: member.incarnation,
            reason,
            successor: heir.map(|heir| room.succession(&seat.room, heir)),
            roster: room.roster(),
        };
        let is_idle = room.places.is_empty() && room.keeper.is_some();
        self.forget_address(place.address);
        if is_idle {
            self.forget_papers();
        }
        Some(departure)
    }

    /// A member's leg carries another size now: as it says (`announced`), or as the relay's side of it shows (`leg`). Returns what
    /// the others are to be told, if that has changed, and the roster.
    pub fn set_budget(
        &mut self,
        seat: &Seat,
        announced: Option<u16>,
        leg: Option<u16>,
    ) -> Option<(Option<u16>, Arc<Roster<H>>)> {
        let room = self.rooms.get_mut(&seat.room)?;
        let place = room.place(seat)?;
        place.announced_budget = announced.unwrap_or(place.announced_budget);
        place.leg_budget = leg.unwrap_or(place.leg_budget);
        let before = place.entry.member.budget;
        place.settle_budgets();
        let budget = place.entry.member.budget;
        Some(((budget != before).then_some(budget), room.roster()))
    }

    /// A LAN gateway says whether its cable has a link; `None` from anybody else.
    pub fn set_lan_link(&mut self, seat: &Seat, up: bool) -> Option<Arc<Roster<H>>> {
        let room = self.rooms.get_mut(&seat.room)?;
        let member = &mut room.place(seat)?.entry.member;
        if member.role != Role::Gateway {
            return None;
        }
        member.lan_link = Some(up);
        Some(room.roster())
    }

    /// A member registers a group, or takes it back with an empty list.
    pub fn set_group(
        &mut self,
        seat: &Seat,
        handle: GroupHandle,
        members: &[MemberId],
    ) -> Option<Arc<Roster<H>>> {
        let limit = usize::from(self.limits.max_members);
        let room = self.rooms.get_mut(&seat.room)?;
        let entry = &mut room.place(seat)?.entry;
        let members = &members[..members.len().min(limit)];
        entry.groups = Arc::new(entry.groups.with(handle, members));
        Some(room.roster())
    }

    /// Whether the holder of a seat is the host whose key the room's name is made from.
    pub fn is_host(&mut self, seat: &Seat) -> bool {
        let place = self.rooms.get_mut(&seat.room).and_then(|room| room.place(seat));
        match (&seat.room, place) {
            (RoomId::Sealed(room), Some(place)) => room.belongs_to(&place.entry.member.identity),
            (RoomId::Sealed(_) | RoomId::Open(_), _) => false,
        }
    }

    /// The rooms that have members, with their rosters' entries.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomId, impl Iterator<Item = &Entry<H>>)> {
        self.rooms
            .iter()
            .filter(|(_, room)| !room.places.is_empty())
            .map(|(code, room)| (code, room.places.values().map(|place| &place.entry)))
    }

    /// Forgets whose time is over. Call it now and then.
    pub fn expire(&mut self, now: UnixTime) {
        self.rooms.retain(|_, room| {
            room.reservations
                .retain(|_, reservation| !reservation.is_over(now));
            !room.reservations.is_empty() || !room.places.is_empty()
        });
    }

    /// Who has no right to open a room comes into one that is there, or is remembered.
    fn check_token(&self, now: UnixTime, join: &Join<'_>) -> Result<(), Refusal> {
        let is_there =
            |room: &Room<H>| !room.places.is_empty() || room.reservations.values().any(|r| !r.is_over(now));
        if join.may_open {
            return Ok(());
        }
        match join.hello.role {
            Role::Gateway => Err(refuse(RejectReason::TokenRequired)),
            Role::Client if self.rooms.get(&join.hello.room).is_some_and(is_there) => Ok(()),
            Role::Client => Err(refuse(RejectReason::RoomNotOpen)),
        }
    }

    fn check_limits(&self, now: UnixTime, join: &Join<'_>, address: IpAddr) -> Result<(), Refusal> {
        let room = self.rooms.get(&join.hello.room);
        let ghost = room.and_then(|room| room.place_of(&join.identity));
        let open = room.is_some_and(|room| !room.places.is_empty());
        let open_rooms = self.rooms.values().filter(|room| !room.places.is_empty()).count();
        if !open && open_rooms >= self.limits.max_rooms as usize {
            return Err(refuse(RejectReason::TooManyRooms));
        }
        if ghost.is_none() && room.is_some_and(|room| self.is_full(now, room, join)) {
            return Err(refuse(RejectReason::RoomFull));
        }
        let from_there = self.addresses.get(&address).copied().unwrap_or(0);
        let replaced = u32::from(ghost.is_some_and(|ghost| ghost.address == address));
        if from_there - replaced.min(from_there) >= self.limits.connections_per_address {
            return Err(refuse(RejectReason::TooManyConnections));
        }
        Ok(())
    }

    /// In a sealed room a place is kept for the host, and half of all places for those who are in: anybody may ask to be let in, but
    /// nobody can keep a party out by asking.
    fn is_full(&self, now: UnixTime, room: &Room<H>, join: &Join<'_>) -> bool {
        let max = usize::from(self.limits.max_members);
        if room.keeper.is_none() {
            return room.places.len() >= max;
        }
        if join.hello.role == Role::Gateway {
            return false;
        }
        let clients = room
            .members()
            .filter(|member| member.role == Role::Client)
            .count();
        let is_newcomer = room.on_paper(now, &join.identity).is_none();
        clients >= max - 1 || is_newcomer && room.newcomers() >= max / 2
    }

    /// Bounds what is remembered: the room that has been empty for longest is forgotten first, but neither the one that is joined
    /// nor one that still holds an address for somebody who was lost. If those are what fills the memory, a stranger is refused.
    fn forget_old_rooms(&mut self, now: UnixTime, join: &Join<'_>) -> Result<(), Refusal> {
        let joined = &join.hello.room;
        if !self.remembers_too_much(joined) {
            return Ok(());
        }
        self.expire(now);
        while self.remembers_too_much(joined) {
            let oldest = self
                .rooms
                .iter()
                .filter(|(code, room)| *code != joined && room.may_be_forgotten(now))
                .min_by_key(|(_, room)| room.reservations.values().filter_map(|r| r.left).max())
                .map(|(code, _)| code.clone());
            match oldest {
                Some(oldest) => self.rooms.remove(&oldest),
                None => return self.check_memory(now, join),
            };
        }
        Ok(())
    }

    /// Members that are there may be more than the memory's bound; only what is held for the lost closes the door, and not to them.
    fn check_memory(&self, now: UnixTime, join: &Join<'_>) -> Result<(), Refusal> {
        let joined = self.rooms.get(&join.hello.room);
        let is_held = self
            .rooms
            .values()
            .any(|room| room.places.is_empty() && !room.may_be_forgotten(now));
        if !is_held || joined.is_some_and(|room| room.remembers(now, &join.identity)) {
            return Ok(());
        }
        Err(Refusal {
            reason: RejectReason::TooManyRooms,
            detail: "others are held for members that were lost; try again in a minute".to_owned(),
        })
    }

    fn remembers_too_much(&self, joined: &RoomId) -> bool {
        let rooms = self.rooms.len() + usize::from(!self.rooms.contains_key(joined));
        let reservations: usize = self.rooms.values().map(|room| room.reservations.len()).sum();
        rooms > self.limits.max_rooms as usize * MEMORIES_PER_ROOM || reservations >= MAX_RESERVATIONS
    }

    fn forget_address(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

fn check_hello(hello: &Hello) -> Result<(), Refusal> {
    if hello.common_version().is_none() {
        return Err(Refusal {
            reason: RejectReason::Version,
            detail: format!(
                "it speaks {} to {}, the relay {VERSION}",
                hello.min_version, hello.max_version
            ),
        });
    }
    match (hello.role, hello.mac) {
        (Role::Client, Some(mac)) if mac.is_identity() => Ok(()),
        (Role::Client, mac) => Err(Refusal {
            reason: RejectReason::InvalidMac,
            detail: mac.map_or_else(String::new, |mac| mac.to_string()),
        }),
        (Role::Gateway, None) => Ok(()),
        (Role::Gateway, Some(_)) => Err(refuse(RejectReason::BadHello)),
    }
}

/// What counts as one address: a site's /64 of IPv6, because any host there can have as many as it likes.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}
