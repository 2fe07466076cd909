//! The queue in front of a path: what goes next when more wants out than the path takes.
//!
//! The number a player feels is the latency of a small packet while something else is downloading, so nothing of a less
//! urgent class delays a more urgent one: classes are served strictly, the most urgent first. Strictly, but with a bound: a class that
//! waits earns a tenth of what passes it, so that a flood of the urgent cannot starve the rest, and an urgent packet waits for at
//! most a frame of each other class. Within a class, members share by deficit round robin (Shreedhar and Varghese, 1995), and within a
//! member's share its flows do: who asks for less than his share is never behind one who asks for more, with however many flows.
//!
//! The order within a flow is kept, always. A flow's class may change, so interactive and bulk packets of one flow are never queued
//! apart: one that becomes bulk takes what it has waiting along, and becomes interactive again only when nothing of it waits.
//! A sender's word about its class is not taken for more than [`INTERACTIVE_BACKLOG`]: whoever builds a queue is bulk.
//!
//! Bulk flows are kept short by CoDel, each for itself: a flow whose packets wait for too long is told with a mark, or by a drop
//! where a mark is not understood or has not helped. Besides, each class has a bound in packets and bytes; a full class drops from the head
//! of the fattest flow of its fattest member. From the fattest, because it is the one that fills the queue and a light one must not pay
//! for it; from the head, because the oldest packet is of the least use and its loss is noticed soonest.
//!
//! An endpoint queues frames here and numbers them when they leave; the relay has one of these per target and queues
//! datagrams. Every step takes the same time however much waits, and nothing is allocated per packet.

mod bounds;
mod flow_id;
mod pace;
mod packets;
mod sizes;
mod table;
mod turns;

use std::time::{Duration, Instant};

use lanparty_wire::Class;

pub use self::{
    bounds::{Bound, Bounds},
    flow_id::FlowId,
};
use self::{
    pace::Pace,
    packets::{Chain, Packets, Taken},
    table::{NONE, Table},
};
use crate::codel::{self, Codel};

/// A waiting class earns one byte for each so many that pass it.
const SHARE: usize = 10;
/// How many bytes may pass a waiting class before it gets a full frame.
pub const PASS_OVER: usize = SHARE * QUANTUM as usize;
/// A flow with more than this waiting is not interactive: five full frames, or the states of some fifty players.
pub const INTERACTIVE_BACKLOG: u32 = 8 * 1024;
/// What is not bulk and has waited for longer is dropped: by then its sender has sent it anew, or something newer.
pub const MAX_AGE: Duration = Duration::from_secs(1);
/// What a flow may send in its turn: one full frame.
const QUANTUM: i32 = 1514;

/// The queue of one path, or of one target.
#[derive(Debug)]
pub struct Scheduler<T> {
    codel: codel::Config,
    classes: [Queue; Class::COUNT],
    packets: Packets<T>,
    /// Those that have packets.
    flows: Table<Flow>,
    /// Those that have flows, once for each class.
    members: Table<Member>,
    pace: Pace,
}

/// A packet whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Popped<T> {
    pub item: T,
    /// As which it was served.
    pub class: Class,
    /// When it was queued.
    pub queued: Instant,
}

/// One class.
#[derive(Debug)]
struct Queue {
    bound: Bound,
    packets: usize,
    bytes: usize,
    /// Bytes of more urgent classes that went while this one waited, less what it was given for them.
    passed_over: usize,
    /// The member whose turn it is.
    members: u32,
    /// The member that had most when one was last looked at: every push and pop looks at its own (approximated longest queue drop,
    /// Suter et al., 1998). It may be gone by now, or another.
    fattest: u32,
}

#[derive(Debug)]
struct Member {
    class: Class,
    bytes: u32,
    /// The flow whose turn it is.
    flows: u32,
    deficit: i32,
    /// The flow that had most, as in [`Queue::fattest`].
    fattest: u32,
}

#[derive(Debug)]
struct Flow {
    class: Class,
    member: u32,
    member_id: u16,
    chain: Chain,
    deficit: i32,
    codel: Codel,
}

impl<T> Scheduler<T> {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Scheduler<T> {
        Scheduler::with_codel(bounds, codel::Config::default())
    }

    /// An empty queue whose bulk is held to something else than 5 ms.
    pub fn with_codel(bounds: Bounds, codel: codel::Config) -> Scheduler<T> {
        Scheduler {
            codel,
            classes: bounds.0.map(Queue::new),
            packets: Packets::new(),
            flows: Table::new(),
            members: Table::new(),
            pace: Pace::default(),
        }
    }

    /// Queues `item` of `bytes` bytes behind what its flow already has there. If the class is full, `dropped` is handed what
    /// had to go instead, which is `item` itself if it is larger than the class.
    pub fn push(
        &mut self,
        now: Instant,
        class: Class,
        flow: FlowId,
        bytes: usize,
        item: T,
        mut dropped: impl FnMut(T),
    ) {
        let Ok(size) = u32::try_from(bytes) else {
            return dropped(item);
        };
        let class = self.effective_class(class, flow, size);
        let bound = self.queue(class).bound;
        if bytes > bound.bytes || bound.packets == 0 {
            return dropped(item);
        }
        while self.queue(class).is_full(bytes) {
            match self.drop_from_fattest(class) {
                Some(victim) => dropped(victim),
                None => break,
            }
        }
        self.append(now, class, flow, size, item);
    }

    /// Takes the packet whose turn it is. A packet whose flow has to slow down is given to `mark`, which says whether it could tell the
    /// sender so; `dropped` is handed those that could not, and those that nobody waits for any more.
    pub fn pop(
        &mut self,
        now: Instant,
        mut mark: impl FnMut(&mut T) -> bool,
        mut dropped: impl FnMut(T),
    ) -> Option<Popped<T>> {
        loop {
            let class = self.next_class()?;
            let flow = self.next_flow(class)?;
            let mut taken = self.take_head(flow)?;
            let waited = now.saturating_duration_since(taken.queued);
            let stays = match self.judge(now, flow, waited) {
                Verdict::Pass => true,
                // A flow that has not slowed down within an interval does not heed marks (RFC 3168, section 7).
                Verdict::Tell => waited <= self.codel.interval && mark(&mut taken.item),
                Verdict::Drop => false,
            };
            if stays {
                self.charge(class, flow, taken.bytes);
            }
            self.settle(flow);
            if stays {
                self.pace.note(now, taken.bytes, !self.is_empty());
                return Some(Popped {
                    item: taken.item,
                    class,
                    queued: taken.queued,
                });
            }
            dropped(taken.item);
        }
    }

    /// Packets queued, in all classes.
    pub fn len(&self) -> usize {
        self.classes.iter().map(|queue| queue.packets).sum()
    }

    /// True if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|queue| queue.packets == 0)
    }

    /// Packets and bytes queued in one class.
    pub fn backlog(&self, class: Class) -> (usize, usize) {
        let queue = self.queue(class);
        (queue.packets, queue.bytes)
    }

    /// Takes everything out, in the order in which it would have left.
    pub fn drain(&mut self, mut each: impl FnMut(T)) {
        while let Some(class) = self.next_class() {
            let Some(flow) = self.next_flow(class) else { return };
            let Some(taken) = self.take_head(flow) else { return };
            self.charge(class, flow, taken.bytes);
            self.settle(flow);
            each(taken.item);
        }
    }

    fn queue(&self, class: Class) -> &Queue {
        &self.classes[class as usize]
    }

    /// As what a packet is queued: as what its flow is, if that waits.
    fn effective_class(&mut self, class: Class, id: FlowId, bytes: u32) -> Class {
        let Some(flow) = self.flows.find(id.lane(class)) else {
            return class;
        };
        let Flow {
            class: current,
            chain,
            ..
        } = self.flows[flow];
        let outgrown = current == Class::Interactive && chain.bytes + bytes > INTERACTIVE_BACKLOG;
        if class < current || outgrown {
            self.demote(flow);
            return Class::Bulk;
        }
        current
    }

    /// Makes an interactive flow bulk, with all that it has waiting.
    fn demote(&mut self, flow: u32) {
        let chain = self.flows[flow].chain;
        self.shrink(flow, chain.packets, chain.bytes);
        self.leave_class(flow);
        self.enter_class(flow, Class::Bulk);
        self.grow(flow, chain.packets, chain.bytes);
    }

    fn append(&mut self, now: Instant, class: Class, id: FlowId, bytes: u32, item: T) {
        let key = id.lane(class);
        let flow = match self.flows.find(key) {
            Some(flow) => flow,
            None => {
                let flow = self.flows.insert(key, Flow::new(class, id.member));
                self.enter_class(flow, class);
                flow
            }
        };
        self.packets.push(&mut self.flows[flow].chain, item, now, bytes);
        self.grow(flow, 1, bytes);
    }

    fn enter_class(&mut self, flow: u32, class: Class) {
        let entry = &mut self.flows[flow];
        entry.class = class;
        entry.deficit = QUANTUM;
        let key = (class as u32) << 16 | u32::from(entry.member_id);
        let member = match self.members.find(key) {
            Some(member) => member,
            None => {
                let member = self.members.insert(key, Member::new(class));
                self.members
                    .enter(&mut self.classes[class as usize].members, member);
                member
            }
        };
        entry.member = member;
        self.flows.enter(&mut self.members[member].flows, flow);
    }

    fn leave_class(&mut self, flow: u32) {
        let Flow { class, member, .. } = self.flows[flow];
        self.flows.leave(&mut self.members[member].flows, flow);
        if self.members[member].flows == NONE {
            self.members
                .leave(&mut self.classes[class as usize].members, member);
            self.members.remove(member);
        }
    }

    /// Takes a flow's oldest packet; the flow may have none then.
    fn take_head(&mut self, flow: u32) -> Option<Taken<T>> {
        let entry = &mut self.flows[flow];
        let taken = self.packets.pop(&mut entry.chain)?;
        self.shrink(flow, 1, taken.bytes);
        Some(taken)
    }

    /// What becomes of a packet that has waited so long, and that was its flow's oldest.
    fn judge(&mut self, now: Instant, flow: u32, waited: Duration) -> Verdict {
        let entry = &mut self.flows[flow];
        if entry.class != Class::Bulk {
            return if waited > MAX_AGE {
                Verdict::Drop
            } else {
                Verdict::Pass
            };
        }
        let config = codel::Config {
            target: self.codel.target.max(self.pace.least_target()),
            ..self.codel
        };
        let behind = entry.chain.bytes as usize;
        if entry.codel.must_tell(now, waited, behind, config) {
            Verdict::Tell
        } else {
            Verdict::Pass
        }
    }

    /// Forgets a flow that has nothing left.
    fn settle(&mut self, flow: u32) {
        if !self.flows[flow].chain.is_empty() {
            return;
        }
        self.leave_class(flow);
        self.flows.remove(flow);
        if self.is_empty() {
            self.rest();
        }
    }

    fn rest(&mut self) {
        self.packets.rest();
        if self.flows.capacity() > packets::KEEP {
            self.flows.clear();
            self.members.clear();
        }
    }
}

/// What becomes of a packet.
enum Verdict {
    Pass,
    /// Its sender must be told to slow down.
    Tell,
    Drop,
}

impl Queue {
    fn new(bound: Bound) -> Queue {
        Queue {
            bound,
            packets: 0,
            bytes: 0,
            passed_over: 0,
            members: NONE,
            fattest: NONE,
        }
    }

    fn is_full(&self, more: usize) -> bool {
        self.packets >= self.bound.packets || self.bytes + more > self.bound.bytes
    }
}

impl Member {
    fn new(class: Class) -> Member {
        Member {
            class,
            bytes: 0,
            flows: NONE,
            deficit: QUANTUM,
            fattest: NONE,
        }
    }
}

impl Flow {
    fn new(class: Class, member_id: u16) -> Flow {
        Flow {
            class,
            member: NONE,
            member_id,
            chain: Chain::EMPTY,
            deficit: QUANTUM,
            codel: Codel::default(),
        }
    }
}

#[cfg(test)]
mod tests;
