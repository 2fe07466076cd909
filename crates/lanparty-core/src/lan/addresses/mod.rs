//! Addresses for members on a LAN that has no DHCP server: a server for them alone, that gives way to a real one.
//!
//! A member's question goes to the LAN as ever. Only if no server answers within [`PATIENCE`], which is longer than servers take to try an
//! address out, does the helper offer one of its range, and it uses that time to ask by ARP, on the LAN and in the room, whether somebody has
//! it (RFC 5227, section 2.1). Whoever is heard to use an address of the range keeps it, and what a client declines is not offered again for
//! [`SHUNNED`]. The LAN's own stations get nothing: answers go to the member that has asked.
//!
//! As soon as a server is heard the helper is quiet, renewals included, and clients turn to that server when they do not get an answer. It
//! begins again when members' questions have found no server for [`SILENCE`].
//!
//! What was handed out is [`Leases`], told to the shell at each change, so that it outlives this process and another LAN gateway can go on with it.

mod leases;
mod message;
mod news;
mod range;
mod reply;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lanparty_wire::{Mac, MemberId};

use super::{Effect, Effects, Pass, Station};
use crate::{
    guard::{Link, Packet},
    node::Event,
};
pub use leases::{Lease, Leases};
use message::{Arp, Kind, Message, probe};
pub use news::News;
pub use range::{AddressRange, Addresses, AddressesError};

/// How long the LAN's servers have for an answer; dnsmasq and others ping an address for up to 3 seconds before they offer it.
pub const PATIENCE: Duration = Duration::from_millis(3300);
/// Between the three probes for an address (PROBE_NUM and PROBE_MIN of RFC 5227, section 1.1).
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;
/// How long an address that was probed may wait for its client, or be offered again without another probe.
const PROBED: Duration = Duration::from_secs(30);
/// How long an address that somebody else uses is not offered.
pub const SHUNNED: Duration = Duration::from_secs(600);
/// For how long members must have asked without hearing a server before a quiet helper begins again.
pub const SILENCE: Duration = Duration::from_secs(20);
/// What a lease lasts, in seconds: longer than a night, so that no address is lost while a LAN gateway is replaced.
pub const LEASE: u32 = 12 * 3600;
/// The server's address in leases where this machine has none in the network: the dummy address (RFC 7600, section 4.8). Clients then renew
/// by broadcast.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// An address that is tried out for a client.
#[derive(Debug)]
struct Trial {
    member: MemberId,
    address: Ipv4Addr,
    /// The question that is answered, which a repeated one replaces.
    request: Message,
    answer: Kind,
    probes: u32,
    /// The next probe, the answer, or the end of [`PROBED`].
    due: Instant,
    is_answered: bool,
}

/// The server for members.
#[derive(Debug)]
pub(super) struct Helper {
    wanted: Addresses,
    range: Option<AddressRange>,
    station: Station,
    leases: Leases,
    /// By client; one per member at most, since a member has one address.
    trials: BTreeMap<Mac, Trial>,
    /// Addresses that others use, within the range, and until when.
    shunned: BTreeMap<Ipv4Addr, Instant>,
    /// Members that are there, whose addresses are not given away.
    present: BTreeMap<MemberId, Mac>,
    /// A server was heard.
    is_quiet: bool,
    /// Since when members ask and no server was heard.
    unanswered: Option<Instant>,
    /// The range that the host was told of, if he was told anything.
    told: Option<Option<AddressRange>>,
    /// The host was told that nothing is left, and nothing was given since.
    is_exhausted: bool,
}

impl Helper {
    pub(super) fn new(wanted: Addresses, leases: Leases) -> Helper {
        let range = match wanted {
            Addresses::Range(range) => Some(range),
            Addresses::Auto => None,
        };
        Helper {
            wanted,
            range,
            station: Station::default(),
            leases,
            trials: BTreeMap::new(),
            shunned: BTreeMap::new(),
            present: BTreeMap::new(),
            is_quiet: false,
            unanswered: None,
            told: None,
            is_exhausted: false,
        }
    }

    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Goes on with what another LAN gateway has handed out.
    pub(super) fn adopt(&mut self, leases: Leases) {
        self.leases = leases;
        self.trials.clear();
    }

    pub(super) fn set_station(&mut self, station: &Station, effects: &mut Effects) {
        self.station = station.clone();
        if self.wanted == Addresses::Auto {
            // Without an address for a moment, what it led to holds.
            self.range = AddressRange::of_own(&station.addresses).or(self.range);
        }
        if self.told != Some(self.range) {
            self.told = Some(self.range);
            let news = self.range.map_or(News::NoRange, News::Serving);
            tell(effects, news);
        }
    }

    pub(super) fn room_entered(&mut self) {
        self.present.clear();
    }

    pub(super) fn member_came(&mut self, member: MemberId, mac: Mac) {
        self.present.insert(member, mac);
    }

    pub(super) fn member_left(&mut self, member: MemberId) {
        if let Some(mac) = self.present.remove(&member) {
            self.trials.remove(&mac);
        }
    }

    /// A DHCP message from the LAN: a server's makes us quiet.
    pub(super) fn hear_server(&mut self, packet: &Packet<'_>, effects: &mut Effects) {
        let Some(message) = dhcp(packet).filter(|message| !message.is_request) else {
            return;
        };
        match message.kind {
            Kind::Offer | Kind::Ack => {}
            // A server that only refuses serves somebody else.
            Kind::Nak | Kind::Discover | Kind::Request | Kind::Decline => return,
        }
        self.unanswered = None;
        self.trials.clear();
        if !std::mem::replace(&mut self.is_quiet, true) {
            tell(
                effects,
                News::Quiet {
                    server: message.server,
                },
            );
        }
    }

    /// ARP from the LAN or from a member: who uses an address keeps it.
    pub(super) fn hear_arp(&mut self, now: Instant, packet: &Packet<'_>, effects: &mut Effects) {
        let Some(arp) = payload(packet).and_then(Arp::parse) else {
            return;
        };
        // A probe is a claim only against who probes at the same time (RFC 5227, section 2.1.1).
        let tried = |address| self.trials.iter().find(|(_, trial)| trial.address == address);
        let claimed = match arp.sender {
            Some(sender) => sender,
            None if tried(arp.target).is_some_and(|(_, trial)| !trial.is_answered) => arp.target,
            None => return,
        };
        let is_own = Some(arp.hardware) == self.station.mac;
        let may = tried(claimed)
            .map(|(&mac, _)| mac)
            .or(self.leases.holder(claimed));
        if is_own || may == Some(arp.hardware) || !self.range.is_some_and(|range| range.contains(claimed)) {
            return;
        }
        // Who has let himself be leased an address by somebody else is no trouble until it is one of ours.
        let was_known = self
            .shunned
            .insert(claimed, now + SHUNNED)
            .is_some_and(|until| until > now);
        if !was_known {
            tell(
                effects,
                News::Taken {
                    address: claimed,
                    by: arp.hardware,
                },
            );
        }
        self.give_up(now, claimed, effects);
    }

    /// Nobody is to have this address from us; who was to get it gets another one.
    fn give_up(&mut self, now: Instant, address: Ipv4Addr, effects: &mut Effects) {
        if self.leases.remove(address) {
            tell(effects, News::Leases(self.leases.clone()));
        }
        let tried: Vec<Mac> = self
            .trials
            .iter()
            .filter(|(_, trial)| trial.address == address)
            .map(|(&mac, _)| mac)
            .collect();
        for mac in tried {
            let Some(trial) = self.trials.remove(&mac) else {
                continue;
            };
            if !trial.is_answered && trial.answer == Kind::Offer {
                self.begin(now, trial.member, trial.request, effects);
            }
        }
    }

    /// A member's DHCP message on its way to the LAN, where others may answer it, unless it is addressed to us alone.
    pub(super) fn hear_client(
        &mut self,
        now: Instant,
        from: MemberId,
        packet: &Packet<'_>,
        effects: &mut Effects,
    ) -> Pass {
        let Some(message) = dhcp(packet).filter(|m| m.is_request && m.hardware == packet.source) else {
            return Pass::AsItIs;
        };
        if message.kind == Kind::Discover {
            let since = *self.unanswered.get_or_insert(now);
            if self.is_quiet && now.saturating_duration_since(since) >= SILENCE {
                self.is_quiet = false;
                self.told = None;
                self.set_station(&self.station.clone(), effects);
            }
        }
        if self.is_quiet || self.range.is_none() || self.station.mac.is_none() {
            return Pass::AsItIs;
        }
        match message.kind {
            Kind::Discover => self.begin(now, from, message, effects),
            Kind::Request => self.request(now, from, message, effects),
            Kind::Decline => self.decline(now, &message, effects),
            Kind::Offer | Kind::Ack | Kind::Nak => {}
        }
        if self.station.mac == Some(packet.destination) {
            Pass::Taken
        } else {
            Pass::AsItIs
        }
    }

    /// Looks for an address for a client, or tells it again which one it was.
    fn begin(&mut self, now: Instant, member: MemberId, request: Message, effects: &mut Effects) {
        let mac = request.hardware;
        if let Some(trial) = self.trials.get_mut(&mac) {
            trial.request = request;
            trial.member = member;
            trial.answer = Kind::Offer;
            if trial.is_answered {
                self.send_answer(mac, effects);
            }
            return;
        }
        let Some(address) = self.choose(now, &request) else {
            if !std::mem::replace(&mut self.is_exhausted, true) {
                tell(effects, News::Exhausted { mac });
            }
            return;
        };
        self.is_exhausted = false;
        self.try_out(now, member, request, address, Kind::Offer);
    }

    fn try_out(&mut self, now: Instant, member: MemberId, request: Message, address: Ipv4Addr, answer: Kind) {
        let trial = Trial {
            member,
            address,
            answer,
            probes: 0,
            due: now,
            is_answered: false,
            request,
        };
        self.trials.insert(trial.request.hardware, trial);
    }

    /// The address that a client had, or wants, or the first that nobody has, or one whose holder is away.
    fn choose(&mut self, now: Instant, request: &Message) -> Option<Ipv4Addr> {
        self.shunned.retain(|_, until| *until > now);
        let range = self.range?;
        let usable = |address: &Ipv4Addr| {
            range.contains(*address)
                && !self.shunned.contains_key(address)
                && !self
                    .station
                    .addresses
                    .iter()
                    .any(|own| own.address() == IpAddr::V4(*address))
                && !self.trials.values().any(|trial| trial.address == *address)
        };
        let is_free = |address: &Ipv4Addr| usable(address) && self.leases.holder(*address).is_none();
        let had = self.leases.of(request.hardware).filter(usable);
        let wanted = request.wanted.filter(is_free);
        had.or(wanted).or_else(|| range.iter().find(is_free)).or_else(|| {
            let away = |lease: &Lease| !self.present.values().any(|&mac| mac == lease.mac);
            let mut oldest = self.leases.iter().filter(away).map(|lease| lease.address);
            oldest.find(usable)
        })
    }

    /// A client takes an offer, comes back to its address, or wants to keep it (RFC 2131, section 4.3.2).
    fn request(&mut self, now: Instant, member: MemberId, message: Message, effects: &mut Effects) {
        let mac = message.hardware;
        let held = self.leases.of(mac);
        if let Some(server) = message.server {
            if server != self.server() {
                // It has chosen another server's offer.
                self.trials.remove(&mac);
                return;
            }
            let offered = self
                .trials
                .get(&mac)
                .filter(|trial| trial.is_answered)
                .map(|trial| trial.address);
            match offered
                .or(held)
                .filter(|address| message.wanted == Some(*address))
            {
                Some(address) => self.grant(member, &message, address, effects),
                None => self.refuse(member, &message, effects),
            }
            return;
        }
        let claimed = message.own.or(message.wanted);
        match (held, claimed) {
            (Some(held), Some(claimed)) if held == claimed && message.own.is_some() => {
                self.grant(member, &message, held, effects);
            }
            (Some(held), Some(claimed)) if held == claimed => {
                // It was away, and somebody may have taken the address meanwhile.
                match self.trials.get_mut(&mac) {
                    Some(trial) if (trial.answer, trial.address) == (Kind::Ack, held) => {
                        trial.request = message
                    }
                    Some(_) | None => self.try_out(now, member, message, held, Kind::Ack),
                }
            }
            (Some(_), Some(claimed)) if self.range.is_some_and(|range| range.contains(claimed)) => {
                self.refuse(member, &message, effects);
            }
            // We know nothing of it, and servers that do not know say nothing.
            (Some(_) | None, _) => {}
        }
    }

    fn decline(&mut self, now: Instant, message: &Message, effects: &mut Effects) {
        let mac = message.hardware;
        let is_ours = message.server == Some(self.server());
        let Some(address) = message
            .wanted
            .filter(|&address| is_ours && self.leases.of(mac) == Some(address))
        else {
            return;
        };
        self.shunned.insert(address, now + SHUNNED);
        self.trials.remove(&mac);
        tell(effects, News::Declined { mac, address });
        self.give_up(now, address, effects);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.trials.values().map(|trial| trial.due).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, effects: &mut Effects) {
        let due: Vec<Mac> = self
            .trials
            .iter()
            .filter(|(_, trial)| trial.due <= now)
            .map(|(&mac, _)| mac)
            .collect();
        for mac in due {
            self.advance(now, mac, effects);
        }
    }

    /// The next probe; after the last one and some patience the answer; then the end.
    fn advance(&mut self, now: Instant, mac: Mac, effects: &mut Effects) {
        let Some(trial) = self.trials.get_mut(&mac) else {
            return;
        };
        if trial.is_answered {
            self.trials.remove(&mac);
            return;
        }
        if trial.probes < PROBES {
            trial.probes += 1;
            let waited = PROBE_INTERVAL * (PROBES - 1);
            trial.due = now
                + if trial.probes < PROBES {
                    PROBE_INTERVAL
                } else {
                    PATIENCE - waited
                };
            let address = trial.address;
            // On the LAN in the client's name, so that the answer comes by way of it; in the room in ours, where nobody may pose as another.
            effects.push_back(Effect::ToLan(probe(mac, address)));
            effects.extend(self.station.mac.map(|own| Effect::ToRoom(probe(own, address))));
            return;
        }
        trial.is_answered = true;
        trial.due = now + PROBED;
        if trial.answer == Kind::Ack {
            let (member, request, address) = (trial.member, trial.request.clone(), trial.address);
            self.grant(member, &request, address, effects);
        } else {
            self.send_answer(mac, effects);
        }
    }
}

fn tell(effects: &mut Effects, news: News) {
    effects.push_back(Effect::Tell(Event::Addresses(news)));
}

/// The DHCP message of a packet that is one.
fn dhcp(packet: &Packet<'_>) -> Option<Message> {
    let (_, _, payload) = packet.ip()?.udp()?;
    Message::parse(payload)
}

/// What stands behind the link header.
fn payload<'a>(packet: &Packet<'a>) -> Option<&'a [u8]> {
    match packet.link {
        Link::Typed { at, .. } => packet.frame.bytes.get(at..),
        Link::Llc { .. } | Link::Vendor { .. } | Link::RawIpx | Link::Cut => None,
    }
}
