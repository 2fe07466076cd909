//! The way out to one member: straight into its connection while that has room, else through a scheduler.
//!
//! Several readers send here at the same time, so there is a lock; it is this member's own and held for one datagram. Order is
//! kept because nobody sends past the scheduler while anything waits in it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lanparty_core::{
    ecn, fragment,
    scheduler::{Bound, Bounds, FlowId, Scheduler},
};
use lanparty_quic::{Link, TrySendError};
use lanparty_wire::{Class, DropCounters, DropReason, MemberId};
use parking_lot::Mutex;
use tokio::sync::Notify;

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
    filled: Notify,
}

#[derive(Debug)]
struct State {
    queue: Scheduler<Bytes>,
    /// The connection has ended; nothing is queued any more.
    ended: bool,
    /// Something waits, or is on its way out of the queue: newcomers have to queue behind it.
    draining: bool,
    sent: Sent,
    told: Option<Instant>,
}

/// A datagram, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    pub datagram: &'a Bytes,
    pub class: Class,
    pub flow: FlowId,
    pub source: MemberId,
    pub target: MemberId,
}

impl Egress {
    pub fn new(link: Link) -> Egress {
        Egress {
            link,
            state: Mutex::new(State {
                queue: Scheduler::new(bounds()),
                ended: false,
                draining: false,
                sent: Sent::default(),
                told: None,
            }),
            filled: Notify::new(),
        }
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Sends a datagram, or queues it. What does not fit the leg in one piece is cut.
    pub fn send(&self, now: Instant, parcel: Parcel<'_>) {
        let mut state = self.state.lock();
        let was_draining = state.draining;
        if state.ended {
            state.sent.drops.count(DropReason::NoPath);
        } else if was_draining {
            state.push(now, &parcel, parcel.datagram.clone());
        } else {
            match self.link.try_send(parcel.datagram.clone()) {
                Ok(()) => state.sent.count(parcel.datagram.len()),
                Err(TrySendError::Full(datagram)) => state.push(now, &parcel, datagram),
                Err(TrySendError::TooLarge(datagram)) => {
                    state.tell(now, &parcel, self.link.budget());
                    state.push(now, &parcel, datagram);
                }
                Err(TrySendError::Closed(_)) => state.sent.drops.count(DropReason::NoPath),
            }
        }
        let has_begun = state.draining && !was_draining;
        drop(state);
        if has_begun {
            self.filled.notify_one();
        }
    }

    /// Sends what is queued as the connection takes it, until it ends.
    pub async fn drain(&self) {
        loop {
            match self.next() {
                None => self.filled.notified().await,
                Some(datagram) => {
                    if !self.send_queued(datagram).await {
                        return;
                    }
                }
            }
        }
    }

    /// The connection has ended: empties the queue, and returns how many datagrams have not left it.
    pub fn end(&self) -> u64 {
        let mut state = self.state.lock();
        let mut left = 0;
        state.queue.drain(|_| left += 1);
        state.ended = true;
        left
    }

    pub fn sent(&self) -> Sent {
        self.state.lock().sent.clone()
    }

    fn next(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        let State { queue, sent, .. } = &mut *state;
        let late = |_| sent.drops.count(DropReason::QueueDelay);
        let next = queue.pop(Instant::now(), ecn::set_congested, late);
        state.draining = next.is_some();
        next.map(|popped| popped.item)
    }

    /// False when the connection has ended.
    async fn send_queued(&self, datagram: Bytes) -> bool {
        let length = datagram.len();
        match self.link.send_wait(datagram).await {
            Ok(()) => self.state.lock().sent.count(length),
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::TooLarge(datagram) | TrySendError::Full(datagram)) => {
                return self.send_cut(&datagram).await;
            }
        }
        true
    }

    async fn send_cut(&self, datagram: &[u8]) -> bool {
        let mut pieces = Vec::new();
        let cut = fragment::recut(datagram, self.link.budget(), |head, body| {
            let mut piece = BytesMut::with_capacity(head.len() + body.len());
            piece.extend_from_slice(head);
            piece.extend_from_slice(body);
            pieces.push(piece.freeze());
        });
        if let Err(reason) = cut {
            self.state.lock().sent.drops.count(reason);
            return true;
        }
        for piece in pieces {
            let length = piece.len();
            match self.link.send_wait(piece).await {
                Ok(()) => self.state.lock().sent.count(length),
                Err(TrySendError::Closed(_)) => return false,
                // The leg has shrunk again in this moment; the rest of the frame is of no use.
                Err(TrySendError::TooLarge(_) | TrySendError::Full(_)) => {
                    self.state.lock().sent.drops.count(DropReason::DatagramBudget);
                    return true;
                }
            }
        }
        true
    }
}

impl State {
    fn push(&mut self, now: Instant, parcel: &Parcel<'_>, datagram: Bytes) {
        let State { queue, sent, .. } = self;
        queue.push(now, parcel.class, parcel.flow, datagram.len(), datagram, |_| {
            sent.drops.count(DropReason::QueueFull);
        });
        self.draining = true;
    }

    fn tell(&mut self, now: Instant, parcel: &Parcel<'_>, budget: u16) {
        if self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < TELL_INTERVAL)
        {
            return;
        }
        self.told = Some(now);
        tracing::info!(
            ingress = %parcel.source,
            target = %parcel.target,
            length = parcel.datagram.len(),
            budget,
            "a datagram is larger than its target's budget and is cut"
        );
    }
}

impl Sent {
    fn count(&mut self, bytes: usize) {
        self.datagrams += 1;
        self.bytes += bytes as u64;
    }
}

/// Half of what an endpoint queues: it has one queue, a relay one for each member. Bulk holds 80 ms at 100 Mbit/s.
fn bounds() -> Bounds {
    Bounds(Bounds::default().0.map(|bound| Bound {
        packets: bound.packets / 2,
        bytes: bound.bytes / 2,
    }))
}
