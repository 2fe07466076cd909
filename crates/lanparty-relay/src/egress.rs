//! The way out to one member: a scheduler that its shard empties as fast as the member's leg takes datagrams.
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
    pub fn new(link: Link) -> Egress {
        Egress {
            link,
            state: Mutex::new(State {
                queue: Scheduler::new(bounds()),
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

    /// The next datagram that fits `budget`; what does not is cut. After `None` the next [`Egress::push`] wakes again.
    pub fn next(&self, now: Instant, target: MemberId, budget: u16) -> Option<Bytes> {
        let mut state = self.state.lock();
        loop {
            let Some(datagram) = state.take(now) else {
                state.awake = false;
                return None;
            };
            if datagram.len() <= usize::from(budget) {
                state.sent.datagrams += 1;
                state.sent.bytes += datagram.len() as u64;
                return Some(datagram);
            }
            state.tell(now, target, &datagram, budget);
            state.cut(&datagram, budget);
        }
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
    fn take(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        let State { queue, sent, .. } = self;
        let late = |_| sent.drops.count(DropReason::QueueDelay);
        queue.pop(now, ecn::set_congested, late).map(|popped| popped.item)
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
