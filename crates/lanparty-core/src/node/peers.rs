//! The other members of the room, and what is kept of each: its guard, its replay windows, its unfinished frames, its drops.
//!
//! All of it belongs to one incarnation. A reconnect of our own changes nobody else's, so with a new welcome the known members are
//! parked, and those that the relay names again with the same incarnation go on where they were: a window that was emptied would
//! take replays for new.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Instant};

use lanparty_wire::{
    Destination, DropCounters, DropReason, Header, Incarnation, MemberId, TAG_LEN, control::Member, mtu,
};

use super::{guard_for, leg::Leg, probe::Answers};
use crate::{
    fragment::Reassembler,
    guard::{Guard, Limits},
    replay::Windows,
    seal::{MemberRole, link::Link},
};

/// Members beyond these are not taken note of: a relay that invents them must not fill our memory.
const MAX_MEMBERS: usize = 4096;

/// One other member.
#[derive(Debug)]
pub struct Peer {
    pub member: Member,
    pub guard: Guard,
    pub leg: Leg,
    /// What was seen of it, in an open room.
    windows: Windows,
    /// What is agreed with it, in a sealed room; `None` if it is not admitted.
    pub link: Option<Link>,
    /// Whether the shell was told of it, and the switch: in a sealed room, only once it is admitted.
    pub is_told: bool,
    /// The address that the LAN's DHCP server has given it, as far as it was heard or the host has told.
    pub lease: Option<Ipv4Addr>,
    pub reassembler: Reassembler,
    pub answers: Answers,
    pub drops: DropCounters,
    /// Its frames to groups since it is there, those included that were too many.
    pub broadcasts: u64,
}

impl Peer {
    fn new(member: Member, limits: &Limits, inner_mtu: u16, now: Instant) -> Peer {
        Peer {
            guard: guard_for(member.role, member.mac, inner_mtu, limits, now),
            leg: Leg::new(now, member.budget),
            windows: Windows::default(),
            link: None,
            is_told: false,
            lease: None,
            reassembler: Reassembler::new(mtu::frame_limit(inner_mtu.max(mtu::DEFAULT_MTU)) + TAG_LEN),
            answers: Answers::new(now),
            drops: DropCounters::default(),
            broadcasts: 0,
            member,
        }
    }

    /// Whether a datagram may be new, and is sealed as it must be.
    pub fn check(&self, is_sealed: bool, header: &Header) -> Result<(), DropReason> {
        if is_sealed {
            let link = self.link.as_ref().ok_or(DropReason::NotAdmitted)?;
            return link.check(header);
        }
        if header.key_id != 0 {
            return Err(DropReason::WrongKey);
        }
        self.windows.check(header.destination, header.sequence)
    }

    /// Takes note of a datagram of an open room.
    pub fn commit(&mut self, header: &Header) -> Result<(), DropReason> {
        self.windows.commit(header.destination, header.sequence)
    }

    /// True if the host lets it do nothing but look on.
    pub fn is_spectator(&self) -> bool {
        let role = self.link.as_ref().map(Link::role);
        role == Some(MemberRole::Spectator)
    }

    fn is_agreeing(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_secured())
    }

    /// Forgets unfinished frames whose time is over, and counts them with the member and in `total`.
    pub fn expire(&mut self, now: Instant, total: &mut DropCounters) {
        if self.reassembler.poll_timeout().is_some_and(|due| due <= now) {
            let mut drops = DropCounters::default();
            self.reassembler.expire(now, &mut drops);
            self.drops.merge(&drops);
            total.merge(&drops);
        }
    }

    /// The member, if anybody was told of it.
    fn into_told(self) -> Option<Member> {
        self.is_told.then_some(self.member)
    }

    /// True if `member` is the same life of the same member.
    fn continues(&self, member: &Member) -> bool {
        let mine = &self.member;
        mine.incarnation == member.incarnation
            && mine.role == member.role
            && mine.mac == member.mac
            && mine.identity == member.identity
    }
}

/// What a joined message meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It was not there before.
    New,
    /// It was there all the time: our own connection was away, or something about it was told anew.
    Known,
    /// It was there in an earlier life, which is this if anybody was told of it.
    Reborn(Option<Member>),
    /// There are too many; it is left out.
    Refused,
}

/// All other members.
#[derive(Debug)]
pub struct Peers {
    present: BTreeMap<MemberId, Peer>,
    parked: BTreeMap<MemberId, Peer>,
    inner_mtu: u16,
    limits: Limits,
    /// The least budget of all; `None` if there is nobody.
    least: Option<u16>,
}

impl Peers {
    /// Nobody is there.
    pub fn new(limits: Limits, inner_mtu: u16) -> Peers {
        Peers {
            present: BTreeMap::new(),
            parked: BTreeMap::new(),
            inner_mtu,
            limits,
            least: None,
        }
    }

    /// Sets everybody aside until the relay names them again. Returns those that it has not named since the last time.
    pub fn park(&mut self) -> Vec<Member> {
        let gone = self.forget_parked();
        self.parked = std::mem::take(&mut self.present);
        self.least = None;
        gone
    }

    /// The relay has named everybody; who is still set aside is gone.
    pub fn forget_parked(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.parked)
            .into_values()
            .filter_map(Peer::into_told)
            .collect()
    }

    /// The relay names a member.
    pub fn join(&mut self, now: Instant, member: Member) -> Arrival {
        let id = member.id;
        let before = self.present.remove(&id).or_else(|| self.parked.remove(&id));
        let (mut peer, arrival) = match before {
            None if self.present.len() >= MAX_MEMBERS => return Arrival::Refused,
            None => (None, Arrival::New),
            Some(peer) if peer.continues(&member) => (Some(peer), Arrival::Known),
            Some(peer) => (None, Arrival::Reborn(peer.into_told())),
        };
        if let Some(peer) = &mut peer {
            peer.leg.set(now, member.budget);
            peer.member = member.clone();
        }
        let peer = peer.unwrap_or_else(|| Peer::new(member, &self.limits, self.inner_mtu, now));
        self.present.insert(id, peer);
        self.weigh();
        arrival
    }

    /// A member has left. `None` if that life of it was not known, or nobody was told of it.
    pub fn leave(&mut self, id: MemberId, incarnation: Incarnation) -> Option<Member> {
        let is_meant = |peer: &Peer| peer.member.incarnation == incarnation;
        let table = [&mut self.present, &mut self.parked]
            .into_iter()
            .find(|table| table.get(&id).is_some_and(is_meant))?;
        let left = table.remove(&id)?;
        self.weigh();
        left.into_told()
    }

    /// A member's leg carries `budget` from now on.
    pub fn set_budget(&mut self, now: Instant, id: MemberId, budget: u16) {
        if let Some(peer) = self.present.get_mut(&id) {
            peer.leg.set(now, budget);
            peer.member.budget = budget;
            self.weigh();
        }
    }

    /// The smallest budget of the members that a destination covers; `None` if it covers nobody.
    pub fn budget_to(&self, destination: Destination) -> Option<u16> {
        match destination {
            Destination::Member(id) => self.present.get(&id).map(|peer| peer.leg.budget()),
            // A group of ours covers at most everybody.
            Destination::Flood | Destination::Group(_) => self.least,
        }
    }

    pub fn get(&self, id: MemberId) -> Option<&Peer> {
        self.present.get(&id)
    }

    pub fn get_mut(&mut self, id: MemberId) -> Option<&mut Peer> {
        self.present.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.present.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.present.values_mut()
    }

    /// True if the member is admitted and there, and keys are not agreed with it yet.
    pub fn is_agreeing(&self, id: MemberId) -> bool {
        self.present.get(&id).is_some_and(Peer::is_agreeing)
    }

    /// All of whom [`Peers::is_agreeing`] is true.
    pub fn agreeing(&self) -> impl Iterator<Item = MemberId> {
        let agreeing = self.present.values().filter(|peer| peer.is_agreeing());
        agreeing.map(|peer| peer.member.id)
    }

    /// Nothing is agreed with anybody any more, those who are set aside included.
    pub fn drop_links(&mut self) {
        for peer in self.present.values_mut().chain(self.parked.values_mut()) {
            peer.link = None;
        }
    }

    pub fn len(&self) -> usize {
        self.present.len()
    }

    fn weigh(&mut self) {
        self.least = self.present.values().map(|peer| peer.leg.budget()).min();
    }
}
