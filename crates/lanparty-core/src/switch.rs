//! Where a frame goes: the learning switch in every endpoint, with one local device and one port per other member.
//!
//! Endpoints switch because only they see MAC addresses once payloads are sealed. A client's address is known from the roster
//! before its first frame, so nothing has to be learned about it, and nothing that a frame claims can change it. What is learned is only
//! which stations the LAN has: a frame for one that was never seen would be flooded by the LAN's switches, so it is rate-limited, at the
//! client that sends it and again at the LAN gateway. Between the members of a room nothing is flooded but what is addressed to a group.
//!
//! | from | to a group | to a member's address | to any other address |
//! |---|---|---|---|
//! | client's own device | flood | that member | LAN gateway |
//! | LAN gateway's device | flood | that member | dropped, before anything else |
//! | member, at a client | own device | own device if it is ours, else dropped | dropped |
//! | member, at the LAN gateway | LAN | dropped: its sender can reach it directly | LAN |

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lanparty_wire::{DropReason, EtherView, Frame, Mac, MemberId, control::Role};

/// A station of which nothing was heard for so long is unknown again (IEEE 802.1D, table 7-5).
pub const AGEING: Duration = Duration::from_secs(300);
/// Stations that are remembered; a LAN party's switch holds fewer. What is beyond counts as unknown and still arrives.
pub const MAX_STATIONS: usize = 4096;

/// Where a frame comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// The endpoint's own device: a TAP, or the LAN.
    Device,
    /// Another member of the room.
    Member(MemberId),
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Egress {
    /// To the endpoint's own device.
    Device,
    /// To the LAN, for a station that was not heard of.
    UnknownOnLan,
    /// To one member.
    Member(MemberId),
    /// To the LAN gateway, for a station that was not heard of.
    UnknownVia(MemberId),
    /// To every other member.
    Flood,
}

/// The part of an endpoint that knows who is where. A [`Switch`] knows it by address; a router of prefixes is another one.
pub trait Forwarding {
    /// A member is there: a client with its address, or the LAN gateway.
    fn add(&mut self, member: MemberId, role: Role, mac: Option<Mac>);
    /// A member that was added is gone, and with it what was learned through it.
    fn remove(&mut self, member: MemberId, mac: Option<Mac>);
    /// Forgets all members, and what was learned through them.
    fn clear(&mut self);
    /// The room's LAN gateway, if it is another member.
    fn gateway(&self) -> Option<MemberId>;
    /// True for a station of our own LAN that was heard a short while ago. One that does not learn knows none.
    fn is_station(&self, _now: Instant, _mac: Mac) -> bool {
        false
    }
    /// The first look at a frame from the LAN: most of what a promiscuous card hears is between others, and costs one lookup.
    ///
    /// # Errors
    /// [`DropReason::Runt`], or [`DropReason::NotRemote`] for unicast that is for no current member.
    fn concerns_room(&self, frame: Frame<'_>) -> Result<(), DropReason>;
    /// Decides where a frame goes that the guard has admitted, and learns from it.
    ///
    /// # Errors
    /// Why it goes nowhere. A frame never goes back where it came from.
    fn forward(&mut self, now: Instant, ingress: Port, frame: Frame<'_>) -> Result<Egress, DropReason>;
}

/// The learning switch of one endpoint.
#[derive(Debug)]
pub struct Switch {
    role: Role,
    /// A client's own address.
    mac: Option<Mac>,
    /// Addresses that other members have announced.
    remotes: BTreeMap<Mac, MemberId>,
    members: usize,
    gateway: Option<MemberId>,
    /// Stations of the LAN, as their frames for the room have shown them, and when last.
    stations: BTreeMap<Mac, Instant>,
    /// When room for another station is looked for again; looking through a full table costs too much for every frame.
    next_sweep: Option<Instant>,
}

impl Switch {
    /// A switch that knows nobody. `mac` is a client's own address.
    pub fn new(role: Role, mac: Option<Mac>) -> Switch {
        Switch {
            role,
            mac,
            remotes: BTreeMap::new(),
            members: 0,
            gateway: None,
            stations: BTreeMap::new(),
            next_sweep: None,
        }
    }

    /// Stations of the LAN that are remembered.
    pub fn stations(&self) -> usize {
        self.stations.len()
    }
}

impl Forwarding for Switch {
    fn is_station(&self, now: Instant, mac: Mac) -> bool {
        self.stations.get(&mac).is_some_and(|&seen| !aged(now, seen))
    }

    fn add(&mut self, member: MemberId, role: Role, mac: Option<Mac>) {
        self.members += 1;
        match (role, mac) {
            (Role::Gateway, _) => {
                self.gateway = Some(member);
                self.stations.clear();
            }
            (Role::Client, Some(mac)) => {
                self.stations.remove(&mac);
                self.remotes.insert(mac, member);
            }
            (Role::Client, None) => {}
        }
    }

    fn remove(&mut self, member: MemberId, mac: Option<Mac>) {
        self.members = self.members.saturating_sub(1);
        if let Some(mac) = mac
            && self.remotes.get(&mac) == Some(&member)
        {
            self.remotes.remove(&mac);
        }
        if self.gateway == Some(member) {
            self.gateway = None;
            self.stations.clear();
        }
    }

    fn clear(&mut self) {
        let stations = std::mem::take(&mut self.stations);
        *self = Switch::new(self.role, self.mac);
        if self.role == Role::Gateway {
            // Our own LAN is still what it was, and none of its addresses becomes a member's because we were away.
            self.stations = stations;
        }
    }

    fn gateway(&self) -> Option<MemberId> {
        self.gateway
    }

    fn concerns_room(&self, frame: Frame<'_>) -> Result<(), DropReason> {
        let destination = view(frame)?.destination();
        if destination.is_multicast() || self.remotes.contains_key(&destination) {
            Ok(())
        } else {
            Err(DropReason::NotRemote)
        }
    }

    fn forward(&mut self, now: Instant, ingress: Port, frame: Frame<'_>) -> Result<Egress, DropReason> {
        let view = view(frame)?;
        match (self.role, ingress) {
            (Role::Client, Port::Device) => self.player_out(now, view.destination()),
            (Role::Gateway, Port::Device) => self.lan_out(now, view),
            (Role::Client, Port::Member(from)) => self.player_in(now, from, view),
            (Role::Gateway, Port::Member(from)) => self.lan_in(now, from, view.destination()),
        }
    }
}

impl Switch {
    fn player_out(&self, now: Instant, destination: Mac) -> Result<Egress, DropReason> {
        if destination.is_multicast() {
            // Alone in the room, a player misses the host, not other players.
            return if self.members == 0 {
                Err(DropReason::NoGateway)
            } else {
                Ok(Egress::Flood)
            };
        }
        if Some(destination) == self.mac {
            return Err(DropReason::Reflection);
        }
        if let Some(&member) = self.remotes.get(&destination) {
            return Ok(Egress::Member(member));
        }
        match self.gateway {
            None => Err(DropReason::NoGateway),
            Some(gateway) if self.is_station(now, destination) => Ok(Egress::Member(gateway)),
            Some(gateway) => Ok(Egress::UnknownVia(gateway)),
        }
    }

    fn lan_out(&mut self, now: Instant, view: EtherView<'_>) -> Result<Egress, DropReason> {
        let destination = view.destination();
        let target = self.remotes.get(&destination).copied();
        if target.is_none() && !destination.is_multicast() {
            return Err(DropReason::NotRemote);
        }
        if self.remotes.contains_key(&view.source()) {
            return Err(DropReason::SourceIsRemote);
        }
        self.learn(now, view.source());
        match target {
            Some(member) => Ok(Egress::Member(member)),
            None if self.members == 0 => Err(DropReason::UnknownDestination),
            None => Ok(Egress::Flood),
        }
    }

    fn player_in(&mut self, now: Instant, from: MemberId, view: EtherView<'_>) -> Result<Egress, DropReason> {
        let (source, destination) = (view.source(), view.destination());
        if Some(source) == self.mac {
            return Err(DropReason::Reflection);
        }
        if self.gateway == Some(from) {
            if self.remotes.contains_key(&source) {
                return Err(DropReason::SourceIsRemote);
            }
            self.learn(now, source);
        }
        if destination.is_multicast() || Some(destination) == self.mac {
            Ok(Egress::Device)
        } else {
            Err(DropReason::Misdirected)
        }
    }

    fn lan_in(&self, now: Instant, from: MemberId, destination: Mac) -> Result<Egress, DropReason> {
        match self.remotes.get(&destination) {
            Some(&member) if member == from => Err(DropReason::Reflection),
            Some(_) => Err(DropReason::Misdirected),
            None if destination.is_multicast() || self.is_station(now, destination) => Ok(Egress::Device),
            None => Ok(Egress::UnknownOnLan),
        }
    }

    /// Notes that `station` is on the LAN.
    fn learn(&mut self, now: Instant, station: Mac) {
        if let Some(seen) = self.stations.get_mut(&station) {
            *seen = now;
            return;
        }
        if self.stations.len() >= MAX_STATIONS && self.next_sweep.is_none_or(|at| now >= at) {
            self.age(now);
            self.next_sweep = Some(now + Duration::from_secs(1));
        }
        if self.stations.len() < MAX_STATIONS && station.is_valid_source() {
            self.stations.insert(station, now);
        }
    }

    /// Forgets stations that were silent for too long. Only memory asks for it: a lookup looks at the age itself.
    fn age(&mut self, now: Instant) {
        self.stations.retain(|_, seen| !aged(now, *seen));
    }
}

fn aged(now: Instant, seen: Instant) -> bool {
    now.saturating_duration_since(seen) >= AGEING
}

fn view(frame: Frame<'_>) -> Result<EtherView<'_>, DropReason> {
    EtherView::parse(frame.bytes).map_err(|_| DropReason::Runt)
}

#[cfg(test)]
mod tests;
