//! A party in virtual time: real nodes, the real relay without its sockets, an emulated network and an emulated LAN.
//!
//! Everything that decides is the product's own code; everything that would be a machine or a wire is a model, driven by one clock
//! and one seed. So thirty players behind bad lines are an ordinary test that runs in milliseconds, a failure comes back
//! with its seed, and every copy of every frame can be accounted for ([`ledger`]). What the world cannot show is the shell
//! around the nodes, QUIC and the kernel; that is the lab's part.
//!
//! A scenario adds seats and hosts, lets time pass, sends frames, and in the end asks [`World::verdict`]. A verdict that is not good
//! leaves a capture of what every station saw, and says where.

mod agenda;
pub mod lan;
pub mod ledger;
pub mod link;
mod network;
pub mod pcap;
pub mod relay;
mod seat;
mod stamp;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use lanparty_core::switch::{Forwarding, Switch};
use lanparty_wire::{DropReason, Mac, MemberId, control::Role};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use self::{
    agenda::Agenda,
    lan::{Lan, LanPort},
    ledger::{Ledger, SETTLING, Station, Summary, Target},
    link::LinkConfig,
    network::{Connection, Event},
    pcap::{Capture, Direction},
    relay::Relay,
    seat::Seat,
};

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    pub seed: u64,
    /// Every member's way to the relay, and the way back.
    pub link: LinkConfig,
    /// The LAN has a loop behind its switch.
    pub looped_lan: bool,
}

impl WorldConfig {
    /// Home uplinks and a sound LAN.
    pub const fn seeded(seed: u64) -> WorldConfig {
        WorldConfig {
            seed,
            link: LinkConfig::HOME,
            looped_lan: false,
        }
    }
}

/// A room, its network, and its LAN.
pub struct World<F = Switch> {
    config: WorldConfig,
    forwarding: fn(Role, Option<Mac>) -> F,
    /// The instant that stands for the beginning. The world itself counts from zero, so that a trace says the same every time.
    epoch: Instant,
    now: Duration,
    agenda: Agenda<Event>,
    random: SmallRng,
    relay: Relay,
    arrivals: u64,
    seats: Vec<Seat<F>>,
    connections: Vec<Connection>,
    lan: Lan,
    host_interfaces: Vec<u32>,
    ledger: Ledger,
    capture: Capture,
    trace: Trace,
}

/// Why a run was not good.
pub struct Failure {
    pub seed: u64,
    pub what: String,
    /// What every station saw, for Wireshark; or why it could not be written.
    pub capture: Result<PathBuf, std::io::Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        match &self.capture {
            Ok(path) => write!(f, "what the stations saw is in {}", path.display()),
            Err(error) => write!(f, "the capture could not be written: {error}"),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl World {
    /// A world of sound switches.
    pub fn new(config: WorldConfig) -> World {
        World::with_forwarding(config, Switch::new)
    }
}

impl<F: Forwarding> World<F> {
    /// A world whose nodes forward by something else.
    pub fn with_forwarding(config: WorldConfig, forwarding: fn(Role, Option<Mac>) -> F) -> World<F> {
        World {
            config,
            forwarding,
            epoch: Instant::now(),
            now: Duration::ZERO,
            agenda: Agenda::new(),
            random: SmallRng::seed_from_u64(config.seed),
            relay: Relay::new(config.seed ^ 0x5eed),
            arrivals: 0,
            seats: Vec::new(),
            connections: Vec::new(),
            lan: Lan::new(config.looped_lan),
            host_interfaces: Vec::new(),
            ledger: Ledger::default(),
            capture: Capture::default(),
            trace: Trace::default(),
        }
    }

    /// Plugs a host into the LAN.
    pub fn add_host(&mut self) -> Station {
        let number = self.lan.hosts();
        let interface = self.capture.interface(format!("host {number}"));
        self.host_interfaces.push(interface);
        Station::Host(self.lan.add_host(Mac([0, 0x1b, 0x21, 0, 0, number as u8])))
    }

    /// Numbers for a scenario's choices, from the same seed as everything else.
    pub fn random(&mut self) -> &mut SmallRng {
        &mut self.random
    }

    /// How long the world exists.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Stations that take part at this moment for sure: hosts, and players who have been in the room for a while.
    pub fn stations(&self) -> BTreeSet<Station> {
        let players = (0..self.seats.len())
            .filter(|&seat| self.seats[seat].role == Role::Client && self.is_established(seat))
            .map(Station::Player);
        players.chain((0..self.lan.hosts()).map(Station::Host)).collect()
    }

    /// A station sends a frame of `length` bytes; frames of one `flow` to one target must stay in order.
    pub fn send(&mut self, from: Station, to: Target, flow: u16, length: usize) {
        let gateway = self.gateway();
        let must = self.audience(from, to, gateway);
        let frame = self.ledger.send(self.now, from, to, flow, must, gateway);
        let destination = match to {
            Target::Everybody => Mac::BROADCAST,
            Target::One(station) => self.mac_of(station),
        };
        let bytes = stamp::build(self.mac_of(from), destination, flow, frame, length);
        self.trace.note(self.now, b's', frame.0, &bytes);
        match from {
            Station::Player(seat) => self.device_out(seat, &bytes),
            Station::Host(host) => {
                let interface = self.host_interfaces[host];
                self.capture.frame(self.now, interface, Direction::Out, &bytes);
                self.onto_lan(LanPort::Host(host), &bytes);
            }
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, event)) = self.agenda.take(until) {
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    /// Lets everything that is on its way arrive.
    pub fn settle(&mut self) {
        self.run_for(2 * SETTLING);
    }

    /// When a station got the last frame of a flow, from whomever.
    pub fn arrived_at(&self, station: Station, flow: u16) -> Option<Duration> {
        self.ledger.last(station, flow)
    }

    /// How many frames of a flow a station was to get, and how many of those it got.
    pub fn delivered(&self, station: Station, flow: u16) -> (usize, usize) {
        self.ledger.delivered(station, flow)
    }

    /// What was sent and what arrived.
    ///
    /// # Errors
    /// What was wrong, with a capture.
    pub fn verdict(&self) -> Result<Summary, Failure> {
        let nodes = self.seats.iter().filter_map(|seat| seat.node.as_ref());
        let late: u64 = nodes
            .map(|node| node.counters().drops.of(DropReason::QueueDelay))
            .sum();
        self.ledger.balance(late as usize).map_err(|what| self.fail(what))
    }

    /// Whether everybody knows the same members, and the LAN's switch knows where they are.
    ///
    /// # Errors
    /// Who is wrong about whom.
    pub fn tables(&self) -> Result<(), Failure> {
        let present = self.relay.members();
        for (number, seat) in self.seats.iter().enumerate() {
            let Some(node) = &seat.node else { continue };
            let Some((own, _)) = node.member() else { continue };
            let others: Vec<MemberId> = present.iter().copied().filter(|id| *id != own).collect();
            let known: Vec<MemberId> = node.roster().map(|member| member.id).collect();
            if known != others {
                return Err(self.fail(format!("seat {number} knows {known:?} and not {others:?}")));
            }
            let on_lan = seat.mac.and_then(|mac| self.lan.port_of(self.now, mac));
            let wanted = self.gateway().map(|_| LanPort::Gateway);
            if seat.role == Role::Client && on_lan != wanted {
                return Err(self.fail(format!("the LAN has seat {number} at {on_lan:?}")));
            }
        }
        Ok(())
    }

    /// A number that is the same for two runs that did the same.
    pub fn trace(&self) -> u64 {
        self.trace.0
    }

    fn fail(&self, what: String) -> Failure {
        let name = format!(
            "lanparty-world-{}-{}.pcapng",
            self.config.seed,
            std::process::id()
        );
        let path = std::env::temp_dir().join(name);
        Failure {
            seed: self.config.seed,
            what,
            capture: self.capture.write(&path).map(|()| path),
        }
    }

    /// Who must get a frame that is sent now.
    fn audience(&self, from: Station, to: Target, gateway: Option<usize>) -> BTreeSet<Station> {
        let stations = self.stations();
        let is_there = |station: Station| stations.contains(&station);
        let reaches = |station: Station| match (from, station) {
            (Station::Player(_), Station::Player(_)) | (Station::Host(_), Station::Host(_)) => true,
            (Station::Player(_), Station::Host(_)) | (Station::Host(_), Station::Player(_)) => {
                gateway.is_some()
            }
        };
        if !is_there(from) {
            return BTreeSet::new();
        }
        let meant = |station: Station| match to {
            Target::Everybody => station != from,
            Target::One(one) => station == one,
        };
        stations
            .iter()
            .copied()
            .filter(|&station| meant(station) && reaches(station))
            .collect()
    }

    /// The LAN gateway's seat, if it has been in the room for a while.
    fn gateway(&self) -> Option<usize> {
        (0..self.seats.len())
            .find(|&seat| self.seats[seat].role == Role::Gateway && self.is_established(seat))
    }

    fn mac_of(&self, station: Station) -> Mac {
        match station {
            Station::Player(seat) => self.seats[seat].mac.unwrap_or(Mac::ZERO),
            Station::Host(host) => self.lan.host_mac(host),
        }
    }

    fn instant(&self) -> Instant {
        self.epoch + self.now
    }

    /// A frame goes onto the LAN, by the LAN gateway's wire or a host's.
    fn onto_lan(&mut self, ingress: LanPort, frame: &[u8]) {
        for port in self.lan.switch(self.now, ingress, frame) {
            match port {
                LanPort::Host(host) => {
                    let interface = self.host_interfaces[host];
                    self.capture.frame(self.now, interface, Direction::In, frame);
                    self.seen_by(Station::Host(host), frame);
                }
                LanPort::Gateway => {
                    let gateway = |seat: &Seat<F>| seat.role == Role::Gateway && seat.node.is_some();
                    if let Some(seat) = self.seats.iter().position(gateway) {
                        self.device_out(seat, frame);
                    }
                }
            }
        }
    }

    /// A station's system sees a frame.
    fn seen_by(&mut self, station: Station, frame: &[u8]) {
        let Some(id) = stamp::read(frame) else { return };
        if !stamp::is_intact(frame) {
            self.ledger.violate(format!("{station:?} got {id:?} damaged"));
        }
        self.ledger.receive(self.now, id, station);
    }

    fn seed_for(&mut self) -> u64 {
        self.random.random()
    }
}

/// FNV-1a over everything that happens, in words of eight bytes.
#[derive(Debug)]
struct Trace(u64);

impl Default for Trace {
    fn default() -> Trace {
        Trace(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    fn note(&mut self, at: Duration, what: u8, who: u64, bytes: &[u8]) {
        self.add(&(at.as_nanos() as u64).to_le_bytes());
        self.add(&[what]);
        self.add(&who.to_le_bytes());
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
            self.0 ^= self.0 >> 29;
        }
    }
}
