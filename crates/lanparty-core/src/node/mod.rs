//! An endpoint of a room: a learning switch with one local device and one port per other member, without any I/O.
//!
//! Client and LAN gateway are both a [`Node`]; they differ in a role, in the guard in front of their device, and in what the switch
//! lets through. The shell feeds it and does what it says:
//!
//! * frames from the device into [`Node::handle_frame`], which queues them;
//! * datagrams from a path into [`Node::handle_datagram`], which returns the frame for the device;
//! * control messages into [`Node::handle_control`], *before* datagrams that were received with them;
//! * paths as they come, change and go; the LAN's link; and time.
//!
//! After every input call [`Node::poll_output`] until `None`, [`Node::poll_transmit`] for each path that has room, until
//! `None`, and then [`Node::poll_timeout`], which says when to call [`Node::handle_timeout`], and why. Time never goes back. A path
//! without room is not asked: what waits, waits in the node's scheduler, where an urgent frame passes a patient one.
//!
//! Every drop is counted here, at the place where it happens; a returned [`DropReason`] is for tests and must not be counted again.

mod broadcast;
mod cam;
mod control;
mod counters;
mod duty;
mod event;
mod held;
mod lan;
mod leg;
mod log;
mod paths;
pub(crate) mod peers;
mod port;
mod probe;
mod receive;
mod seal;
mod send;
mod strangers;
mod transmit;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use lanparty_wire::{
    Class, DropCounters, DropReason, Header, Incarnation, Mac, MemberId, Profile,
    control::{Member, Role},
};

pub use counters::Counters;
pub use event::{Event, Output, RefreshReason, Wake};
pub use probe::{IDLE_INTERVAL as PROBE_IDLE_INTERVAL, INTERVAL as PROBE_INTERVAL, Probe};

use self::{
    broadcast::{BroadcastWatch, Flow},
    cam::CamRefresh,
    log::DropLog,
    paths::Paths,
    peers::Peers,
    port::StoppedPort,
    probe::{Answers, Prober},
    transmit::{Label, Outbox, Way},
};
use crate::{
    guard::{Guard, Limits, Origin},
    lan::Lan,
    redundancy::{self, Redundancy},
    scheduler::FlowId,
    seal::Sealing,
    switch::{Forwarding, Switch},
};

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub role: Role,
    /// A client's own address; a LAN gateway has none.
    pub mac: Option<Mac>,
    /// The inner MTU in bytes, without the Ethernet header.
    pub mtu: u16,
    /// What a member may send. What the LAN may send is [`Limits::lan`].
    pub limits: Limits,
    /// Random per process: keys the flow hash and the nonces of probes.
    pub flow_key: u64,
}

/// A path, named by the shell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PathId(pub u32);

/// What a datagram held for the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery<'a> {
    /// A finished frame to write.
    Frame(&'a [u8]),
    /// A fragment that was kept, or a probe.
    Nothing,
}

/// Who we are in the room, as the last welcome has said.
#[derive(Debug)]
struct Me {
    id: MemberId,
    incarnation: Incarnation,
    sealed: bool,
}

/// An endpoint of a room, with what decides where its frames go.
#[derive(Debug)]
pub struct Node<F = Switch> {
    config: NodeConfig,
    me: Option<Me>,
    switch: F,
    /// In front of our own device, for frames out.
    guard: Guard,
    peers: Peers,
    /// How many members the last welcome has counted, us included.
    expected: u16,
    paths: Paths,
    outbox: Outbox,
    /// Present in a sealed room.
    sealing: Option<Sealing>,
    /// Of an open room.
    profile: Profile,
    /// Second copies on the active path.
    copies: Redundancy<Bytes>,
    prober: Option<Prober>,
    cam: CamRefresh,
    /// Present at a LAN gateway.
    lan: Option<Lan>,
    /// A client's own, while the LAN gateway has stopped it.
    port: Option<StoppedPort>,
    returns: Answers,
    broadcast: BroadcastWatch,
    /// A LAN gateway's own link.
    lan_link: Option<bool>,
    told_gateway: Option<bool>,
    told_link: Option<bool>,
    reassembly_due: Option<Instant>,
    counters: Counters,
    drop_log: DropLog,
    /// Drained by the shell after every input, which is its bound: one input makes a few, or a few per member.
    outputs: VecDeque<Output>,
    /// The frame for the device, where it is not the datagram's own bytes.
    buffer: Vec<u8>,
    /// The frame that the last datagram held and that was refused.
    refused: Vec<u8>,
}

impl Node {
    /// A node that is in no room and has no path.
    pub fn new(config: NodeConfig, now: Instant) -> Node {
        let switch = Switch::new(config.role, config.mac);
        Node::with_forwarding(config, switch, now)
    }
}

impl<F: Forwarding> Node<F> {
    /// A node that forwards by something else than a switch.
    pub fn with_forwarding(config: NodeConfig, forwarding: F, now: Instant) -> Node<F> {
        Node {
            me: None,
            switch: forwarding,
            guard: guard_for(config.role, config.mac, config.mtu, &config.limits, now),
            peers: Peers::new(config.limits.clone(), config.mtu),
            expected: 0,
            paths: Paths::default(),
            outbox: Outbox::new(),
            sealing: None,
            profile: Profile::default(),
            copies: Redundancy::new(redundancy::Mode::default()),
            prober: None,
            cam: CamRefresh::default(),
            lan: (config.role == Role::Gateway).then(Lan::new),
            port: None,
            returns: Answers::new(now),
            broadcast: BroadcastWatch::default(),
            lan_link: None,
            told_gateway: None,
            told_link: None,
            reassembly_due: None,
            counters: Counters::default(),
            drop_log: DropLog::new(),
            outputs: VecDeque::new(),
            buffer: Vec::new(),
            refused: Vec::new(),
            config,
        }
    }

    /// A path can carry datagrams of up to `budget` bytes, as its hello has told the room. The newest path takes the frames.
    pub fn path_up(&mut self, now: Instant, path: PathId, budget: u16) {
        self.paths.up(now, path, budget);
        self.copies.reset();
    }

    /// Whether small packets are sent twice; [`redundancy::Mode::Auto`] if nothing is said.
    pub fn set_redundancy(&mut self, mode: redundancy::Mode) {
        self.copies.set_mode(mode);
    }

    /// What QUIC has counted on a path since it is there: packets sent, and packets lost. To be told about once a second.
    pub fn path_stats(&mut self, now: Instant, path: PathId, sent: u64, lost: u64) {
        if self.paths.active() == Some(path) {
            self.copies.note_stats(now, sent, lost);
        }
    }

    /// When small packets are sent twice on the active path.
    pub fn redundancy(&self) -> redundancy::Mode {
        self.copies.mode()
    }

    /// The share of packets that the active path has lost a short while ago, and whether small packets are sent twice now.
    pub fn loss(&self) -> (f64, bool) {
        (self.copies.loss(), self.copies.is_on())
    }

    /// A path carries `budget` bytes from now on.
    pub fn path_budget(&mut self, now: Instant, path: PathId, budget: u16) {
        self.paths.set_budget(now, path, budget);
        self.announce_budget();
    }

    /// A path is gone.
    pub fn path_down(&mut self, _now: Instant, path: PathId) {
        if self.paths.active() == Some(path) {
            self.copies.reset();
        }
        self.paths.down(path);
        self.outbox.path_down(path, &mut self.counters.drops);
        if self.paths.is_empty() {
            self.outbox.discard(&mut self.counters.drops);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.reassembly_due.is_some_and(|due| due <= now) {
            for peer in self.peers.iter_mut() {
                peer.expire(now, &mut self.counters.drops);
            }
            self.reassembly_due = self
                .peers
                .iter()
                .filter_map(|peer| peer.reassembler.poll_timeout())
                .min();
        }
        self.copies.handle_timeout(now);
        while let Some(mac) = self.cam.poll(now) {
            self.refresh(now, mac, RefreshReason::Periodic);
        }
        self.port_timeout(now);
        let news = self.broadcast.poll(now);
        self.tell_broadcast(news);
        if let Some(lan) = &mut self.lan {
            lan.handle_timeout(now);
            self.drain_lan(now);
        }
        self.send_probe(now);
        self.seal_timeout(now);
    }

    /// What is to be done besides frames and datagrams.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next datagram for `path`, numbered and cut to what the way to its destination takes. One call, one datagram.
    pub fn poll_transmit(&mut self, now: Instant, path: PathId) -> Option<Bytes> {
        let me = self.me.as_ref()?;
        let own_budget = self.paths.budget(path)?;
        let is_active = self.paths.active() == Some(path);
        let departure = if let Some(piece) = self.outbox.next_piece(path) {
            piece.into()
        } else if !is_active {
            return None;
        } else if let Some(copy) = self.copies.poll(now) {
            self.counters.duplicates_out += 1;
            self.counters.duplicate_bytes_out += copy.len() as u64;
            copy.into()
        } else {
            let mut way = Way {
                now,
                me,
                path,
                own_budget,
                peers: &mut self.peers,
                sealing: self.sealing.as_mut(),
            };
            let departure = self.outbox.pop(&mut way, &mut self.counters.drops)?;
            copy_later(&mut self.copies, now, &departure.datagram);
            departure
        };
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += departure.datagram.len() as u64;
        self.counters.fragmented_out += u64::from(departure.first_piece);
        Some(departure.datagram)
    }

    /// True if [`Node::poll_transmit`] is worth calling.
    pub fn has_transmit(&self, path: PathId) -> bool {
        let is_active = self.paths.active() == Some(path);
        self.me.is_some() && (self.outbox.has(path, is_active) || is_active && self.copies.has_waiting())
    }

    /// When to call [`Node::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        let probe = self
            .prober
            .as_ref()
            .filter(|_| !self.paths.is_empty())
            .map(Prober::due);
        [
            (self.reassembly_due, Wake::Reassembly),
            (self.copies.poll_timeout(), Wake::Copy),
            (probe, Wake::Probe),
            (self.cam.due(), Wake::CamRefresh),
            (self.broadcast.due(), Wake::Broadcast),
            (self.port.as_ref().map(StoppedPort::until), Wake::Port),
            (self.lan.as_ref().and_then(Lan::poll_timeout), Wake::Lan),
            (self.sealing.as_ref().and_then(|sealing| sealing.due), Wake::Keys),
        ]
        .into_iter()
        .filter_map(|(due, wake)| Some((due?, wake)))
        .min()
    }

    /// What was counted since the node was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What a returned device error means for the counters: the shell's drops, in the one place where all are counted.
    pub fn count_drop(&mut self, reason: DropReason, count: u64) {
        self.counters.drops.add(reason, count);
    }

    /// Our own id and incarnation in the room, once welcomed.
    pub fn member(&self) -> Option<(MemberId, Incarnation)> {
        self.me.as_ref().map(|me| (me.id, me.incarnation))
    }

    /// The other members.
    pub fn roster(&self) -> impl Iterator<Item = &Member> {
        let told = self.peers.iter().filter(|peer| peer.is_told);
        told.map(|peer| &peer.member)
    }

    /// What of each other member's was dropped.
    pub fn member_drops(&self) -> impl Iterator<Item = (MemberId, &DropCounters)> {
        self.peers.iter().map(|peer| (peer.member.id, &peer.drops))
    }

    /// How many broadcasts and multicasts each other member has sent to us since it is there, those included that were too many.
    pub fn member_broadcasts(&self) -> impl Iterator<Item = (MemberId, u64)> {
        self.peers.iter().map(|peer| (peer.member.id, peer.broadcasts))
    }

    /// The room's LAN gateway, if it is another member and there.
    pub fn gateway(&self) -> Option<&Member> {
        self.peers.get(self.switch.gateway()?).map(|peer| &peer.member)
    }

    /// The smoothed round trip to the LAN gateway, queues included.
    pub fn gateway_rtt(&self) -> Option<Duration> {
        self.prober.as_ref()?.rtt()
    }

    /// Frames and probes that wait for a path to have room.
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    fn note_activity(&mut self) {
        if let Some(prober) = &mut self.prober {
            prober.note_activity();
        }
    }

    fn tell_broadcast(&mut self, news: Option<Flow>) {
        if let Some(Flow { to_room, from_lan }) = news {
            self.tell(Event::BroadcastFlowing { to_room, from_lan });
        }
    }

    fn send_probe(&mut self, now: Instant) {
        if self.me.is_none() || self.paths.is_empty() {
            return;
        }
        let Some(prober) = &mut self.prober else {
            return;
        };
        let target = prober.target();
        if let Some(probe) = prober.poll(now) {
            let (label, probe) = (Label::probe(target), probe.encode());
            let write = |arena: &mut BytesMut| arena.extend_from_slice(&probe);
            self.outbox
                .queue(now, label, probe.len(), write, &mut self.counters.drops);
        }
    }
}

/// Tells of a datagram that leaves, so that a copy of it may follow. Pieces are left out: they are parts of what is large.
fn copy_later(copies: &mut Redundancy<Bytes>, now: Instant, datagram: &Bytes) {
    if !copies.is_on() {
        return;
    }
    if let Ok((header, _)) = Header::decode(datagram) {
        let class = if header.fragment {
            Class::Bulk
        } else {
            header.class
        };
        let flow = FlowId::to(header.destination, u16::from(header.flow));
        copies.push(now, class, flow, datagram.len(), datagram);
    }
}

/// The guard in front of what a member of this role sends. Nothing passes for a client that has announced no address.
fn guard_for(role: Role, mac: Option<Mac>, mtu: u16, limits: &Limits, now: Instant) -> Guard {
    match role {
        Role::Gateway => Guard::new(Origin::Lan, mtu, &Limits::lan(), now),
        Role::Client => {
            let mac = mac.unwrap_or(Mac::ZERO);
            Guard::new(Origin::Member { mac }, mtu, limits, now)
        }
    }
}

#[cfg(test)]
mod tests;
