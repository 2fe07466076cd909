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

mod pace;
mod packets;
mod table;

use std::time::{Duration, Instant};

use lanparty_wire::{Class, Destination, MemberId};

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

/// The most that one class may queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    pub packets: usize,
    pub bytes: usize,
}

/// The bounds of all classes, by `class as usize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds(pub [Bound; Class::COUNT]);

impl Default for Bounds {
    /// Bulk holds 100 ms at 150 Mbit/s, which is what one TCP flow needs to fill such a path; the others hold what nobody would
    /// still want if it waited longer.
    fn default() -> Bounds {
        let bound = |packets, kib: usize| Bound {
            packets,
            bytes: kib * 1024,
        };
        let mut bounds = [bound(0, 0); Class::COUNT];
        bounds[Class::Bulk as usize] = bound(2048, 2048);
        bounds[Class::Chatter as usize] = bound(256, 128);
        bounds[Class::Interactive as usize] = bound(1024, 512);
        bounds[Class::Neighbor as usize] = bound(256, 64);
        Bounds(bounds)
    }
}

/// Which packets must stay in order, and whose share they take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowId {
    /// 24 bits.
    key: u32,
    member: u16,
}

impl FlowId {
    /// A flow of a member's, where packets of several members share a queue: each member has one share.
    pub fn of(source: MemberId, flow: u8) -> FlowId {
        FlowId {
            key: u32::from(source.value()) << 8 | u32::from(flow),
            member: source.value(),
        }
    }

    /// A flow of our own to a destination: each destination has one share.
    pub fn to(destination: Destination, flow: u16) -> FlowId {
        FlowId {
            key: u32::from(flow),
            member: destination.to_wire(),
        }
    }

    /// A number for tables of flows that may share their entries.
    pub(crate) fn spread(self) -> usize {
        let mixed = (self.key ^ u32::from(self.member)).wrapping_mul(0x9e37_79b9);
        (mixed >> 16) as usize
    }

    /// Interactive and bulk packets of a flow are one queue; the other classes keep their order for themselves.
    fn lane(self, class: Class) -> u32 {
        let lane = match class {
            Class::Bulk | Class::Interactive => 0,
            Class::Chatter => 1,
            Class::Neighbor => 2,
        };
        lane << 24 | self.key
    }
}

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

    /// The class that has earned a turn, else the most urgent that has something.
    fn next_class(&self) -> Option<Class> {
        let waiting = |class: &Class| self.queue(*class).packets > 0;
        let due = |class: &Class| self.queue(*class).passed_over >= PASS_OVER;
        let mut by_urgency = Class::BY_URGENCY.into_iter().filter(waiting);
        let first = by_urgency.next()?;
        Some(by_urgency.find(due).unwrap_or(first))
    }

    /// Who is next, by deficit round robin among members and then among the member's flows. Whose turn it is stays in front
    /// until it has spent what it had.
    fn next_flow(&mut self, class: Class) -> Option<u32> {
        let queue = &mut self.classes[class as usize];
        if queue.members == NONE {
            return None;
        }
        while self.members[queue.members].deficit <= 0 {
            self.members[queue.members].deficit += QUANTUM;
            self.members.rotate(&mut queue.members);
        }
        let member = &mut self.members[queue.members];
        while self.flows[member.flows].deficit <= 0 {
            self.flows[member.flows].deficit += QUANTUM;
            self.flows.rotate(&mut member.flows);
        }
        Some(member.flows)
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

    /// A packet of a flow goes: its flow and its member have spent, and the less urgent classes have been passed over.
    fn charge(&mut self, class: Class, flow: u32, bytes: u32) {
        let entry = &mut self.flows[flow];
        entry.deficit -= bytes as i32;
        self.members[entry.member].deficit -= bytes as i32;
        let bytes = bytes as usize;
        for other in Class::BY_URGENCY {
            let queue = &mut self.classes[other as usize];
            if other == class {
                queue.passed_over = queue.passed_over.saturating_sub(SHARE * bytes);
            } else if queue.packets == 0 {
                queue.passed_over = 0;
            } else if other < class {
                queue.passed_over += bytes;
            }
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

    fn drop_from_fattest(&mut self, class: Class) -> Option<T> {
        let flow = match self.fattest(class) {
            Some(flow) => flow,
            None => self.next_flow(class)?,
        };
        let taken = self.take_head(flow)?;
        self.settle(flow);
        Some(taken.item)
    }

    /// The fattest flow of the fattest member, if what is remembered of them still holds.
    fn fattest(&self, class: Class) -> Option<u32> {
        let fattest = self.queue(class).fattest;
        let member = self
            .members
            .get(fattest)
            .filter(|member| member.class == class && member.bytes > 0)?;
        let is_its = |flow: &Flow| flow.member == fattest && flow.class == class && !flow.chain.is_empty();
        let remembered = self.flows.get(member.fattest).is_some_and(is_its);
        Some(if remembered { member.fattest } else { member.flows })
    }

    /// A flow has more waiting than before; the chain knows already.
    fn grow(&mut self, flow: u32, packets: u32, bytes: u32) {
        let Flow { class, member, .. } = self.flows[flow];
        let queue = &mut self.classes[class as usize];
        queue.packets += packets as usize;
        queue.bytes += bytes as usize;
        self.members[member].bytes += bytes;
        self.note_size(flow);
    }

    /// A flow has less waiting than before; the chain knows already, where the flow stays.
    fn shrink(&mut self, flow: u32, packets: u32, bytes: u32) {
        let Flow { class, member, .. } = self.flows[flow];
        let queue = &mut self.classes[class as usize];
        queue.packets -= packets as usize;
        queue.bytes -= bytes as usize;
        self.members[member].bytes -= bytes;
        self.note_size(flow);
    }

    fn note_size(&mut self, flow: u32) {
        let Flow {
            class, member, chain, ..
        } = self.flows[flow];
        let Member { bytes, fattest, .. } = self.members[member];
        let most = self.flows.get(fattest).filter(|other| other.member == member);
        if most.is_none_or(|other| chain.bytes >= other.chain.bytes) {
            self.members[member].fattest = flow;
        }
        let queue = &mut self.classes[class as usize];
        let most = self
            .members
            .get(queue.fattest)
            .filter(|other| other.class == class);
        if most.is_none_or(|other| bytes >= other.bytes) {
            queue.fattest = member;
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
