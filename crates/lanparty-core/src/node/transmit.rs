//! From a frame to datagrams: queueing, and on dequeue numbering, sealing and cutting.
//!
//! A frame is copied once, into an arena with room for the headers in front, and stays unnumbered in the scheduler. Only when the path
//! has room for it does it get its sequence number, its seal and its pieces: so numbers leave in order whatever the scheduler
//! preferred, and a leg's budget is that of the moment of leaving.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use bytes::{Buf, Bytes, BytesMut};
use lanparty_wire::{
    Class, Destination, DropCounters, DropReason, FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header,
    Kind, MAX_SEQUENCE, MemberId, TAG_LEN,
};

use super::{Me, PathId, held::Held, peers::Peers};
use crate::{
    ecn,
    fragment::{self, Cut},
    scheduler::{Bounds, FlowId, Scheduler},
    seal::Sealing,
};

/// Room in front of a payload for everything that may have to stand there.
const HEADROOM: usize = HEADER_LEN + FRAGMENT_HEADER_LEN;
/// The arena takes memory in blocks of this size; some forty full frames share one allocation.
const ARENA: usize = 64 * 1024;

/// A payload that waits, with [`HEADROOM`] in front.
#[derive(Debug)]
struct Packet {
    bytes: BytesMut,
    kind: Kind,
    flow: u16,
    destination: Destination,
}

impl Packet {
    /// The same for another destination.
    fn copy_to(&self, destination: Destination) -> Packet {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + TAG_LEN);
        bytes.extend_from_slice(&self.bytes);
        Packet {
            bytes,
            destination,
            ..*self
        }
    }
}

/// What is on its way out.
#[derive(Debug)]
pub struct Outbox {
    scheduler: Scheduler<Packet>,
    arena: BytesMut,
    /// The next number for each destination value. Never forgotten, so that none is used twice in this process.
    sequences: BTreeMap<u16, u64>,
    /// Pieces of a frame whose first piece has left. They go before anything else: half a frame is worth nothing.
    pieces: VecDeque<(PathId, Bytes)>,
    /// Frames for members with whom keys are being agreed on.
    held: Held<(Class, Packet)>,
}

/// How a payload is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub kind: Kind,
    pub class: Class,
    /// As [`guard::flow_hash`](crate::guard::flow_hash) tells.
    pub flow: u16,
    pub destination: Destination,
}

impl Label {
    /// A probe or its answer, as urgent as what a player would notice first.
    pub fn probe(target: MemberId) -> Label {
        Label {
            kind: Kind::Probe,
            class: Class::Neighbor,
            flow: 0,
            destination: Destination::Member(target),
        }
    }
}

/// The way that a datagram takes: what it is numbered and sealed under, and how large it may be.
pub struct Way<'a> {
    pub now: Instant,
    pub me: &'a Me,
    pub path: PathId,
    /// Bytes of datagram that our own leg takes.
    pub own_budget: u16,
    pub peers: &'a mut Peers,
    /// Present in a sealed room.
    pub sealing: Option<&'a mut Sealing>,
}

impl Way<'_> {
    /// The smallest budget on the way to a destination.
    fn budget_to(&self, destination: Destination) -> Result<u16, DropReason> {
        let theirs = self.peers.budget_to(destination);
        theirs
            .map(|theirs| theirs.min(self.own_budget))
            .ok_or(DropReason::UnknownDestination)
    }
}

/// A datagram that leaves.
#[derive(Debug)]
pub struct Departure {
    pub datagram: Bytes,
    /// It is the first piece of a frame that does not fit in one.
    pub first_piece: bool,
}

impl From<Bytes> for Departure {
    fn from(datagram: Bytes) -> Departure {
        Departure {
            datagram,
            first_piece: false,
        }
    }
}

impl Outbox {
    /// Nothing waits.
    pub fn new() -> Outbox {
        Outbox {
            scheduler: Scheduler::new(Bounds::default()),
            arena: BytesMut::new(),
            sequences: BTreeMap::new(),
            pieces: VecDeque::new(),
            held: Held::default(),
        }
    }

    /// Queues the payload that `write` puts behind what its buffer holds, which is the only time that its bytes are copied on their way
    /// to QUIC; `length` is how many it will be.
    pub fn queue(
        &mut self,
        now: Instant,
        label: Label,
        length: usize,
        write: impl FnOnce(&mut BytesMut),
        drops: &mut DropCounters,
    ) {
        let bytes = self.pack(&[0; HEADROOM], length, write);
        let packet = Packet {
            bytes,
            kind: label.kind,
            flow: label.flow,
            destination: label.destination,
        };
        let size = HEADER_LEN + length;
        let flow = FlowId::to(label.destination, label.flow);
        self.scheduler.push(now, label.class, flow, size, packet, |_| {
            drops.count(DropReason::QueueFull);
        });
    }

    /// The next datagram for the way's path, after its pieces.
    pub fn pop(&mut self, way: &mut Way<'_>, drops: &mut DropCounters) -> Option<Departure> {
        loop {
            let mark = |packet: &mut Packet| ecn::mark(&mut packet.bytes[HEADROOM..]);
            let late = |_| drops.count(DropReason::QueueDelay);
            let (class, packet) = match self.held.pop() {
                Some(released) => released,
                None => {
                    let popped = self.scheduler.pop(way.now, mark, late)?;
                    (popped.class, popped.item)
                }
            };
            let Some(packet) = self.hold(way, class, packet, drops) else {
                continue;
            };
            match self.seal_and_cut(way, class, packet) {
                Ok(departure) => return Some(departure),
                Err(reason) => drops.count(reason),
            }
        }
    }

    /// Keys are agreed with a member: what was held for it goes before anything else.
    pub fn release(&mut self, now: Instant, member: MemberId, drops: &mut DropCounters) {
        self.held.release(now, member, drops);
    }

    /// True if [`Outbox::next_piece`] or [`Outbox::pop`] has something for `path`; `active` if it is the path that frames take.
    pub fn has(&self, path: PathId, active: bool) -> bool {
        let is_next = !self.scheduler.is_empty() || self.held.ready() > 0;
        self.pieces.iter().any(|&(of, _)| of == path) || active && is_next
    }

    /// Frames and probes that wait for the path.
    pub fn len(&self) -> usize {
        self.scheduler.len() + self.held.ready()
    }

    /// A path is gone, and with it what was cut for it.
    pub fn path_down(&mut self, path: PathId, drops: &mut DropCounters) {
        let before = self.pieces.len();
        self.pieces.retain(|&(of, _)| of != path);
        drops.add(DropReason::NoPath, (before - self.pieces.len()) as u64);
    }

    /// There is no path any more: nobody wants to see later what waits now.
    pub fn discard(&mut self, drops: &mut DropCounters) {
        self.scheduler.drain(|_| drops.count(DropReason::NoPath));
        drops.add(DropReason::NoPath, self.held.clear() as u64);
    }

    /// The pieces of `path`, which go before anything else.
    pub fn next_piece(&mut self, path: PathId) -> Option<Bytes> {
        let at = self.pieces.iter().position(|&(of, _)| of == path)?;
        self.pieces.remove(at).map(|(_, datagram)| datagram)
    }

    /// Keeps a frame for members that are about to have keys with us, each its own copy, because they cannot know our sender key before.
    /// Returns it if it is for anybody else too. A probe is not kept: it would measure the wait.
    fn hold(
        &mut self,
        way: &Way<'_>,
        class: Class,
        packet: Packet,
        drops: &mut DropCounters,
    ) -> Option<Packet> {
        let Some(sealing) = way.sealing.as_ref().filter(|sealing| sealing.is_agreeing) else {
            return Some(packet);
        };
        match (packet.kind, packet.destination) {
            (Kind::Frame, Destination::Member(id)) if way.peers.is_agreeing(id) => {
                self.held.keep(way.now, id, drops, || (class, packet));
                None
            }
            (Kind::Frame, Destination::Flood) => {
                let mut is_held = false;
                for id in way.peers.agreeing() {
                    is_held = true;
                    let copy = || (class, packet.copy_to(Destination::Member(id)));
                    self.held.keep(way.now, id, drops, copy);
                }
                (sealing.is_heard || !is_held).then_some(packet)
            }
            (Kind::Frame, Destination::Member(_) | Destination::Group(_)) | (Kind::Probe, _) => Some(packet),
        }
    }

    /// The one place where a payload becomes datagrams: it is numbered, sealed (an open room has no key: id 0, no tag, but
    /// [`fragment::cut`] counts one), and cut for the leg.
    fn seal_and_cut(
        &mut self,
        way: &mut Way<'_>,
        class: Class,
        packet: Packet,
    ) -> Result<Departure, DropReason> {
        let mut bytes = packet.bytes;
        let length = bytes.len() - HEADROOM;
        let budget = way.budget_to(packet.destination)?;
        let mut header = Header {
            kind: packet.kind,
            fragment: false,
            congested: false,
            class,
            key_id: 0,
            flow: (packet.flow >> 8) as u8,
            source: way.me.id,
            destination: packet.destination,
            sequence: 0,
        };
        match &mut way.sealing {
            Some(sealing) => {
                let payload = &mut bytes[HEADROOM..];
                let tag = sealing.seal(way.now, way.peers, &mut header, payload)?;
                // The arena has left room for it.
                bytes.extend_from_slice(&tag);
            }
            None if way.me.sealed => return Err(DropReason::WrongKey),
            None => header.sequence = self.number(packet.destination)?,
        }
        let tag = bytes.len() - HEADROOM - length;
        match fragment::cut(length, tag, budget)? {
            Cut::Whole => {
                bytes.advance(FRAGMENT_HEADER_LEN);
                bytes[..HEADER_LEN].copy_from_slice(&header.encode());
                Ok(bytes.freeze().into())
            }
            Cut::Pieces { size } => {
                let datagram = self.cut_up(way.path, &header, bytes, size);
                Ok(Departure {
                    datagram,
                    first_piece: true,
                })
            }
        }
    }

    /// Cuts the first piece off in place and keeps the others, each behind its own headers.
    fn cut_up(&mut self, path: PathId, header: &Header, mut bytes: BytesMut, size: usize) -> Bytes {
        let total = (bytes.len() - HEADROOM) as u16;
        let rest = bytes.split_off(HEADROOM + size);
        let mut offset = 0;
        bytes[..HEADROOM].copy_from_slice(&fragment::piece_header(header, FragmentHeader { offset, total }));
        offset += size as u16;
        for piece in rest.chunks(size) {
            let head = fragment::piece_header(header, FragmentHeader { offset, total });
            let datagram = self
                .pack(&head, piece.len(), |arena| arena.extend_from_slice(piece))
                .freeze();
            self.pieces.push_back((path, datagram));
            offset += piece.len() as u16;
        }
        bytes.freeze()
    }

    fn number(&mut self, destination: Destination) -> Result<u64, DropReason> {
        let next = self.sequences.entry(destination.to_wire()).or_insert(0);
        let number = *next;
        if number > MAX_SEQUENCE {
            return Err(DropReason::WrongKey);
        }
        *next += 1;
        Ok(number)
    }

    /// Has it written into the arena, with room behind for a tag.
    fn pack(&mut self, head: &[u8; HEADROOM], length: usize, write: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let length = HEADROOM + length;
        if self.arena.capacity() < length + TAG_LEN {
            self.arena.reserve((length + TAG_LEN).max(ARENA));
        }
        self.arena.extend_from_slice(head);
        write(&mut self.arena);
        debug_assert_eq!(self.arena.len(), length);
        self.arena.extend_from_slice(&[0; TAG_LEN]);
        let mut packed = self.arena.split();
        packed.truncate(length);
        packed
    }
}
