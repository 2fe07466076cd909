//! What a LAN gateway's node does besides switching: it stands between the party's network and the room, and adapts the one to the other.
//!
//! [`Lan`] is the house, and each thing that it does is an inhabitant with a file of its own, without any I/O. A [`Node`](crate::node::Node) of
//! that role owns it and asks it at two doors, behind guard and source check:
//!
//! * `Lan::toward_room`, for what the LAN says to members, once it is clear to whom;
//! * `Lan::toward_lan`, for what a member says, before it is looked up where it goes.
//!
//! An inhabitant lets a frame pass, changes the copy that passes, takes it, or refuses it with a [`DropReason`]; at the first door it may name
//! another destination as well. What it has to say of itself it leaves as an [`Effect`]: a frame for the LAN, for one member or for all
//! of them, or news. Its timers go into [`Lan::poll_timeout`] and [`Lan::handle_timeout`], and who is in the room comes by
//! `Lan::member_came` and `Lan::member_left`.
//!
//! The doors see the packet as the guard has parsed it. What is TCP, or UDP to ports that no inhabitant speaks on, must cost a comparison or
//! two: `Concern` decides that, and is the place where the next inhabitant says what it wants to see.
//!
//! | inhabitant | what it does |
//! |---|---|
//! | [`duty`] | says whether this LAN gateway is the active one, or waits to take over |
//! | [`addresses`] | gives members addresses where no DHCP server does |
//! | [`groups`] | keeps what members have joined joined at the LAN's switches, and from those who have not |
//! | [`loops`] | stops the port of a member that has a second way to the LAN or to another member |
//! | [`shape`] | takes out of the LAN's announcements what would move a member's internet into the tunnel |

pub mod addresses;
mod concern;
pub mod duty;
pub mod groups;
pub mod loops;
pub mod shape;
mod signal;

use std::{collections::VecDeque, net::Ipv4Addr, time::Instant};

use lanparty_wire::{
    Destination, DropReason, Mac, MemberId, PeerId, PortFault, control::Member, host::Prefix,
};

use crate::{
    guard::{HeardLease, Packet},
    node::Event,
};
use addresses::{Addresses, Helper, Lease, Leases};
use concern::Concern;
use duty::Duty;
use groups::{Groups, Registration};
use loops::Loops;

pub(crate) use signal::MAGIC as SIGNAL;
pub use signal::{RoomTag, Signal};

/// What the host wants of its LAN gateway.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LanConfig {
    /// Members may take the LAN's way to the internet: nothing is taken out of what the LAN announces.
    pub internet: bool,
    /// What members get where no DHCP server gives them addresses.
    pub addresses: Option<Addresses>,
    /// What was handed out before.
    pub leases: Leases,
    /// What an earlier run has heard the LAN's DHCP server give to members ([`Event::LeaseHeard`]), with what is left of each's time: whoever
    /// comes back does not have to ask that server anew before he may play.
    pub heard: Vec<HeardLease>,
    /// Names the room to other LAN gateways on the LAN; see [`Signal`].
    pub tag: RoomTag,
    /// Whose machines may wait to take over, in an open room.
    pub standbys: Vec<PeerId>,
    /// Random for each start: keys the questions by which loops are found. `None`: nobody looks for loops.
    pub loop_secret: Option<[u8; 32]>,
}

/// The interface that the LAN's cable is in, as this machine uses it itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Station {
    /// Its address; `None` until the shell has told.
    pub mac: Option<Mac>,
    /// With the length of its network.
    pub addresses: Vec<Prefix>,
}

/// What an inhabitant has to say of itself.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// A whole frame for the LAN.
    ToLan(Vec<u8>),
    /// A whole frame for one member. It has passed no door, and no guard of ours.
    ToMember(MemberId, Vec<u8>),
    /// A whole frame for every other member.
    ToRoom(Vec<u8>),
    /// For LAN gateways that wait: an address that was given away.
    Share(Lease),
    /// For the relay: a group of ours.
    Register(Registration),
    /// What a user would notice.
    Tell(Event),
    /// A member is to know that its port is stopped, or not any more.
    Port(MemberId, Option<PortFault>),
}

/// What waits to be done. Drained by the node after every input, which is its bound: one input makes a few.
type Effects = VecDeque<Effect>;

/// What becomes of a frame at a door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pass {
    AsItIs,
    /// This one goes on instead, finished and whole.
    Changed(Vec<u8>),
    /// An inhabitant has it, and it goes no further.
    Taken,
}

/// Everything that only a LAN gateway's node has.
#[derive(Debug)]
pub struct Lan {
    /// See [`LanConfig::internet`].
    internet: bool,
    station: Station,
    helper: Option<Helper>,
    groups: Groups,
    duty: Duty,
    loops: Option<Loops>,
    tag: RoomTag,
    standbys: Vec<PeerId>,
    /// Whether the relay has yet to be told of them: a new connection may be one to a relay that has been restarted.
    standbys_due: bool,
    /// The room's other LAN gateways.
    rivals: Vec<MemberId>,
    next_beacon: Option<Instant>,
    /// Leases of members by what an earlier run has heard, and when each ends.
    recalled: Vec<(Mac, Ipv4Addr, Instant)>,
    effects: Effects,
}

impl Lan {
    /// A house in which nothing has happened yet.
    pub(crate) fn new() -> Lan {
        Lan {
            internet: false,
            station: Station::default(),
            helper: None,
            groups: Groups::default(),
            duty: Duty::new(),
            loops: None,
            tag: RoomTag::default(),
            standbys: Vec::new(),
            standbys_due: true,
            rivals: Vec::new(),
            next_beacon: None,
            recalled: Vec::new(),
            effects: Effects::new(),
        }
    }

    /// What the host wants; before the station is told. Which LAN gateway is the active one does not change by it.
    pub(crate) fn configure(&mut self, now: Instant, config: LanConfig) {
        let until = |lease: &HeardLease| Some((lease.mac, lease.address, now.checked_add(lease.lifetime)?));
        self.recalled = config.heard.iter().filter_map(until).collect();
        self.internet = config.internet;
        self.helper = config.addresses.map(|wanted| Helper::new(wanted, config.leases));
        self.tag = config.tag;
        self.loops = config.loop_secret.map(|secret| Loops::new(secret, config.tag));
        self.standbys = config.standbys;
        self.standbys_due = true;
    }

    /// What this machine's own interface on the LAN is from now on.
    pub fn set_station(&mut self, now: Instant, station: Station) {
        self.station = station;
        self.groups.set_station(now, &self.station);
        if let Some(helper) = &mut self.helper {
            helper.set_station(&self.station, &mut self.effects);
        }
    }

    /// The address that a member has by what an earlier run has heard.
    pub(crate) fn recalled(&self, now: Instant, mac: Mac) -> Option<Ipv4Addr> {
        let mut recalled = self.recalled.iter();
        let lease = recalled.find(|(of, _, until)| *of == mac && now < *until)?;
        Some(lease.1)
    }

    /// What this machine's own interface on the LAN is.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// The addresses that were handed out, for another LAN gateway to go on with; `None` without an address helper.
    pub fn leases(&self) -> Option<&Leases> {
        self.helper.as_ref().map(Helper::leases)
    }

    /// Goes on with the addresses that another LAN gateway has handed out.
    pub fn adopt_leases(&mut self, leases: Leases) {
        if let Some(helper) = &mut self.helper {
            helper.adopt(leases);
        }
    }

    /// Whether this LAN gateway is the active one.
    pub fn duty(&self) -> &Duty {
        &self.duty
    }

    pub(crate) fn duty_mut(&mut self) -> &mut Duty {
        &mut self.duty
    }

    pub(crate) fn tag(&self) -> RoomTag {
        self.tag
    }

    /// Why the port of a member is stopped, if it is.
    pub fn port_fault(&self, member: MemberId) -> Option<PortFault> {
        self.loops.as_ref()?.fault(member)
    }

    /// Whether any member's port is stopped.
    pub(crate) fn any_port_stopped(&self) -> bool {
        self.loops.as_ref().is_some_and(Loops::any_stopped)
    }

    /// Tells the one who looks for loops what was seen.
    pub(crate) fn note_loop(&mut self, note: impl FnOnce(&mut Loops, &mut Effects)) {
        if let Some(loops) = &mut self.loops {
            note(loops, &mut self.effects);
        }
    }

    /// Whose machines may wait to take over, if we are the one to say so and the relay has not been told.
    pub(crate) fn poll_standbys(&mut self, now: Instant) -> Option<Vec<PeerId>> {
        let is_due = self.standbys_due && self.duty.is_active(now);
        self.standbys_due &= !is_due;
        (is_due && !self.standbys.is_empty()).then(|| self.standbys.clone())
    }

    /// The room's other LAN gateways are these.
    pub(crate) fn set_rivals(&mut self, now: Instant, rivals: Vec<MemberId>) {
        self.duty.set_contested(now, !rivals.is_empty());
        self.next_beacon = (!rivals.is_empty()).then_some(now);
        let newcomers = rivals.iter().copied().filter(|id| !self.rivals.contains(id));
        let newcomers: Vec<MemberId> = newcomers.collect();
        self.rivals = rivals;
        let leases: Vec<Lease> = self.leases().into_iter().flat_map(Leases::iter).collect();
        leases.into_iter().for_each(|lease| self.share(lease, &newcomers));
    }

    /// An address was given away; who may have to take over is to know.
    fn share(&mut self, lease: Lease, with: &[MemberId]) {
        let source = self.station.mac.unwrap_or(Mac::ZERO);
        let told = Signal::Lease(lease).frame(source, self.tag);
        let effects = with.iter().map(|&id| Effect::ToMember(id, told.clone()));
        self.effects.extend(effects);
    }

    /// The active LAN gateway has given an address away.
    pub(crate) fn learn_lease(&mut self, lease: Lease) {
        if let Some(helper) = &mut self.helper {
            let mut leases = helper.leases().clone();
            if leases.put(lease.mac, lease.address) {
                helper.adopt(leases);
            }
        }
    }

    /// This LAN gateway is the active one from here on.
    pub(crate) fn took_over(&mut self) {
        self.standbys_due = true;
    }

    /// What the LAN is told while another LAN gateway is in the room and we are the active one, or are to be.
    pub(crate) fn poll_beacon(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self.next_beacon.filter(|&due| due <= now)?;
        self.next_beacon = Some((due + duty::BEACON).max(now));
        let source = self.station.mac?;
        let beacon = Signal::Beacon {
            term: self.duty.term(),
        };
        self.duty.is_claimed(now).then(|| beacon.frame(source, self.tag))
    }

    /// A frame of the LAN, before anything else: what another LAN gateway says is for nobody else, and who waits lets nothing in.
    ///
    /// # Errors
    /// [`DropReason::Standby`].
    pub(crate) fn at_the_door(&mut self, now: Instant, frame: &[u8]) -> Result<(), DropReason> {
        match Signal::parse(frame) {
            Some((room, Signal::Beacon { term })) if room == self.tag => {
                self.duty.heard_rival(now, term);
                return Err(DropReason::Standby);
            }
            Some((room, Signal::Probe(token))) if room == self.tag => {
                self.note_loop(|loops, effects| loops.heard_on_lan(now, &token, effects));
                return Err(DropReason::Reflection);
            }
            Some((_, Signal::Beacon { .. } | Signal::Probe(_) | Signal::Lease(_))) | None => {}
        }
        match self.duty.is_active(now) {
            true => Ok(()),
            false => Err(DropReason::Standby),
        }
    }

    /// A frame from the LAN that the guard has admitted, on its way to `destination`, which may be changed.
    ///
    /// # Errors
    /// Why it goes to nobody.
    pub(crate) fn toward_room(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        destination: &mut Destination,
    ) -> Result<Pass, DropReason> {
        if packet.is_flood() {
            self.note_loop(|loops, _| loops.heard_flood(now, packet.frame.bytes));
        }
        let concern = Concern::of(packet);
        self.groups
            .toward_room(now, packet, concern, destination, &mut self.effects)?;
        match (&mut self.helper, concern) {
            (Some(helper), Concern::Arp) => helper.hear_arp(now, packet, &mut self.effects),
            (Some(helper), Concern::Dhcp) => helper.hear_server(packet, &mut self.effects),
            (Some(_) | None, _) => {}
        }
        match concern {
            Concern::None => Ok(Pass::AsItIs),
            _ if self.internet => Ok(Pass::AsItIs),
            concern => shape::shape(packet, concern),
        }
    }

    /// A member's frame that its guard has admitted, on its way to the LAN.
    ///
    /// # Errors
    /// Why it does not get there.
    pub(crate) fn toward_lan(
        &mut self,
        now: Instant,
        from: MemberId,
        packet: &Packet<'_>,
    ) -> Result<Pass, DropReason> {
        self.note_loop(|loops, effects| loops.heard_from_member(now, from, effects));
        let concern = Concern::of(packet);
        match (&mut self.helper, concern) {
            (Some(helper), Concern::Arp) => helper.hear_arp(now, packet, &mut self.effects),
            (Some(helper), Concern::Dhcp) => {
                return Ok(helper.hear_client(now, from, packet, &mut self.effects));
            }
            (Some(_) | None, _) => {}
        }
        Ok(self.groups.toward_lan(now, from, packet, concern))
    }

    /// What a member says that we do not carry, because we wait: what it listens to, we will have to know.
    pub(crate) fn overhear(&mut self, now: Instant, from: MemberId, packet: &Packet<'_>) {
        self.groups.toward_lan(now, from, packet, Concern::of(packet));
    }

    /// The LAN's switches know nothing of what they have to know of us.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.groups.resume(now);
    }

    /// We are in the room, perhaps again. Whoever is there is named anew by `Lan::member_came`.
    pub(crate) fn room_entered(&mut self, now: Instant) {
        self.standbys_due = true;
        self.groups.room_entered(now);
        self.note_loop(|loops, _| loops.room_entered());
        if let Some(helper) = &mut self.helper {
            helper.room_entered();
        }
    }

    /// A member is there, or has come anew.
    pub(crate) fn member_came(&mut self, now: Instant, member: &Member) {
        if let Some(mac) = member.mac {
            self.groups.member_came(now, member.id, mac);
        }
        self.note_loop(|loops, _| loops.member_came(now, member.id));
        if let (Some(helper), Some(mac)) = (&mut self.helper, member.mac) {
            helper.member_came(member.id, mac);
        }
    }

    /// Frames reach a member from now on that was there before: keys are agreed with it.
    pub(crate) fn member_secured(&mut self, now: Instant, member: MemberId) {
        self.groups.member_secured(now, member);
    }

    /// A member is gone.
    pub(crate) fn member_left(&mut self, _now: Instant, member: &Member) {
        self.groups.member_left(member.id, &mut self.effects);
        self.note_loop(|loops, _| loops.member_left(member.id));
        if let Some(helper) = &mut self.helper {
            helper.member_left(member.id);
        }
    }

    /// When [`Lan::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let helper = self.helper.as_ref().and_then(Helper::poll_timeout);
        let beacon = self.next_beacon;
        let loops = self.loops.as_ref().and_then(Loops::poll_timeout);
        [
            helper,
            self.duty.poll_timeout(),
            beacon,
            self.groups.poll_timeout(),
            loops,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_active = self.duty.is_active(now);
        self.note_loop(|loops, effects| loops.handle_timeout(now, is_active, effects));
        if let Some(helper) = &mut self.helper {
            helper.handle_timeout(now, &mut self.effects);
        }
        let is_active = self.duty.is_active(now);
        self.groups.handle_timeout(now, is_active, &mut self.effects);
    }

    /// What is to be sent or told.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        loop {
            match self.effects.pop_front()? {
                Effect::Share(lease) => self.share(lease, &self.rivals.clone()),
                effect => return Some(effect),
            }
        }
    }
}
