//! The way out to one member: a scheduler that its shard empties as fast as the member's leg takes datagrams.
//!
//! What is urgent and small leaves a second time while the leg loses packets (see [`Redundancy`]).
//!
//! Whoever has something for the member puts it in, on whatever shard he is, so there is a lock; it is this member's own and
//! held for one datagram. Only the first to put something into an empty queue has to wake the member's shard.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use lanparty_core::{
    ecn, fragment,
    redundancy::{Mode, Redundancy},
    scheduler::{Bound, Bounds, FlowId, Scheduler},
};
use lanparty_quic::Link;
use lanparty_wire::{Class, DropCounters, DropReason, Header, MemberId};
use parking_lot::Mutex;

/// A line about datagrams that were too large for the leg, at most this often for each target.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What has been sent to a member, and what has not.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub datagrams: u64,
    pub bytes: u64,
    /// Second copies, among the datagrams.
    pub duplicates: u64,
    /// Bytes of these.
    pub duplicate_bytes: u64,
    pub drops: DropCounters,
}

/// One member's leg.
#[derive(Debug)]
pub struct Egress {
    link: Link,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Scheduler<Bytes>,
    copies: Redundancy<Bytes>,
    /// When the member's shard looks after the next copy.
    copy_due: Option<Instant>,
    /// The rest of what had to be cut.
    pieces: VecDeque<Bytes>,
    /// The connection has ended; nothing is queued any more.
    ended: bool,
    /// The member's shard has been woken, and takes everything until nothing is left.
    awake: bool,
    sent: Sent,
    told: Option<Instant>,
}

/// A datagram, and how it is queued.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    pub datagram: &'a Bytes,
    pub class: Class,
    pub flow: FlowId,
}

impl Egress {
    pub fn new(link: Link, redundancy: Mode) -> Egress {
        Egress {
            link,
            state: Mutex::new(State {
                queue: Scheduler::new(bounds()),
                copies: Redundancy::new(redundancy),
                copy_due: None,
                pieces: VecDeque::new(),
                ended: false,
                awake: false,
                sent: Sent::default(),
                told: None,
            }),
        }
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Queues a datagram. True if the member's shard has to be woken.
    pub fn push(&self, now: Instant, parcel: Parcel<'_>) -> bool {
        let mut state = self.state.lock();
        if state.ended {
            state.sent.drops.count(DropReason::NoPath);
            return false;
        }
        let State { queue, sent, .. } = &mut *state;
        let datagram = parcel.datagram.clone();
        queue.push(now, parcel.class, parcel.flow, datagram.len(), datagram, |_| {
            sent.drops.count(DropReason::QueueFull);
        });
        !std::mem::replace(&mut state.awake, true)
    }

    /// The next datagram that fits `budget`; what does not is cut. After `None` the next [`Egress::push`] wakes again, and so
    /// does the caller when a copy is due, if he is told a time.
    pub fn next(&self, now: Instant, target: MemberId, budget: u16) -> (Option<Bytes>, Option<Instant>) {
        let mut state = self.state.lock();
        let next = state.next(now, target, budget);
        state.awake = next.is_some();
        (next, state.copy_due(now))
    }

    /// Counts what the leg loses, which decides about copies. To be called about once a second.
    pub fn measure(&self, now: Instant) {
        let stats = self.link.stats();
        let mut state = self.state.lock();
        state
            .copies
            .note_stats(now, stats.eliciting_packets, stats.lost_packets);
    }

    /// The connection has ended: empties the queue, and returns how many datagrams have not left it.
    pub fn end(&self) -> u64 {
        let mut state = self.state.lock();
        let mut left = state.pieces.len() as u64;
        state.pieces.clear();
        state.queue.drain(|_| left += 1);
        state.ended = true;
        left
    }

    pub fn sent(&self) -> Sent {
        self.state.lock().sent.clone()
    }
}

impl State {
    fn next(&mut self, now: Instant, target: MemberId, budget: u16) -> Option<Bytes> {
        loop {
            let datagram = self.take(now)?;
            if datagram.len() <= usize::from(budget) {
                self.sent.datagrams += 1;
                self.sent.bytes += datagram.len() as u64;
                return Some(datagram);
            }
            self.tell(now, target, &datagram, budget);
            self.cut(&datagram, budget);
        }
    }

    /// When the next copy is due, unless the shard knows of one that is due before.
    fn copy_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.copies.poll_timeout()?;
        if self.copy_due.is_some_and(|told| told > now) {
            return None;
        }
        self.copy_due = Some(due);
        Some(due)
    }

    fn take(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        let State {
            queue, copies, sent, ..
        } = self;
        if let Some(copy) = copies.poll(now) {
            sent.duplicates += 1;
            sent.duplicate_bytes += copy.len() as u64;
            return Some(copy);
        }
        let late = |_| sent.drops.count(DropReason::QueueDelay);
        let popped = queue.pop(now, ecn::set_congested, late)?;
        if copies.is_on()
            && let Ok((header, _)) = Header::decode(&popped.item)
            && !header.fragment
        {
            let flow = FlowId::of(header.source, header.flow);
            copies.push(now, popped.class, flow, popped.item.len(), &popped.item);
        }
        Some(popped.item)
    }

    /// Cuts what the leg cannot carry in one piece. It may be a piece already, if the leg has shrunk meanwhile.
    fn cut(&mut self, datagram: &[u8], budget: u16) {
        let mut pieces = Vec::new();
        let cut = fragment::recut(datagram, budget, |head, body| {
            let mut piece = BytesMut::with_capacity(head.len() + body.len());
            piece.extend_from_slice(head);
            piece.extend_from_slice(body);
            pieces.push(piece.freeze());
        });
        if let Err(reason) = cut {
            self.sent.drops.count(reason);
            return;
        }
        for piece in pieces.into_iter().rev() {
            self.pieces.push_front(piece);
        }
    }

    fn tell(&mut self, now: Instant, target: MemberId, datagram: &[u8], budget: u16) {
        if self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < TELL_INTERVAL)
        {
            return;
        }
        self.told = Some(now);
        let source = Header::decode(datagram).ok().map(|(header, _)| header.source);
        tracing::info!(
            ingress = source.map(tracing::field::display),
            %target,
            length = datagram.len(),
            budget,
            "a datagram is larger than its target's budget and is cut"
        );
    }
}

/// Half of what an endpoint queues: it has one queue, a relay one for each member. Bulk holds 80 ms at 100 Mbit/s.
fn bounds() -> Bounds {
    Bounds(Bounds::default().0.map(|bound| Bound {
        packets: bound.packets / 2,
        bytes: bound.bytes / 2,
    }))
}
