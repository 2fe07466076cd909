//! The queue in front of a path: what goes next when more wants out than the path takes.
//!
//! The number a player feels is the latency of a small packet while something else is downloading, so nothing of a less
//! urgent class delays a more urgent one: classes are served strictly, the most urgent first. Strictly, but with a bound: a class that has
//! been passed over for [`PASS_OVER`] bytes gets one packet, so that a flood of the urgent cannot starve the rest. Within a
//! class, flows share by deficit round robin over hash buckets (Shreedhar and Varghese, 1995): a flow that asks for less
//! than its share is never behind one that asks for more. The order within a flow is kept, always.
//!
//! Each class has a bound of its own in packets and in bytes; a full class drops from the head of its fattest flow. From the fattest,
//! because it is the one that fills the queue and a light flow must not pay for it; from the head, because the oldest packet is of the
//! least use and its loss is noticed soonest. Packets remember when they were queued, which is what a delay-managed
//! class needs.
//!
//! An endpoint queues frames here and numbers them when they leave; the relay has one of these per target and queues
//! datagrams. Nothing is allocated per packet: packets lie in one slab per class that grows to its high-water mark.

use std::{collections::VecDeque, time::Instant};

use lanparty_wire::{Class, MemberId};

/// How many bytes may pass a waiting class before it gets a packet: ten full frames. So a packet of a flood of the urgent waits for at
/// most one frame of each other class, and a class with full frames keeps about a tenth of the path.
pub const PASS_OVER: usize = 10 * QUANTUM as usize;
/// What a flow may send in its turn: one full frame.
const QUANTUM: u32 = 1514;
const BUCKETS: usize = 256;
/// A slab with more room than this gives it back when the class runs empty; a path at rest costs little.
const KEEP: usize = 64;
const NONE: u32 = u32::MAX;

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

/// The queue of one path, or of one target.
#[derive(Debug)]
pub struct Scheduler<T> {
    classes: [Queue<T>; Class::COUNT],
}

/// A packet whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Popped<T> {
    pub item: T,
    pub class: Class,
    /// When it was queued.
    pub queued: Instant,
}

/// The bucket of a flow where packets of several members share a queue, so that members with equal flow hashes do not
/// share a bucket.
pub fn bucket(source: MemberId, flow: u8) -> u8 {
    // Fibonacci hashing; the top bits mix all of the id.
    let mixed = u32::from(source.value()).wrapping_mul(0x9e37_79b9) >> 24;
    flow ^ mixed as u8
}

impl<T> Scheduler<T> {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Scheduler<T> {
        Scheduler {
            classes: bounds.0.map(Queue::new),
        }
    }

    /// Queues `item` of `bytes` bytes behind what `flow` already has there. If the class is full, `dropped` is handed what
    /// had to go instead, which is `item` itself if it is larger than the class.
    pub fn push(
        &mut self,
        now: Instant,
        class: Class,
        flow: u8,
        bytes: usize,
        item: T,
        mut dropped: impl FnMut(T),
    ) {
        let queue = &mut self.classes[class as usize];
        let Ok(size) = u32::try_from(bytes) else {
            return dropped(item);
        };
        if bytes > queue.bound.bytes || queue.bound.packets == 0 {
            return dropped(item);
        }
        while queue.packets >= queue.bound.packets || queue.bytes + bytes > queue.bound.bytes {
            match queue.drop_from_fattest() {
                Some(victim) => dropped(victim),
                None => break,
            }
        }
        queue.push(now, flow, size, item);
    }

    /// Takes the packet whose turn it is.
    pub fn pop(&mut self) -> Option<Popped<T>> {
        let class = self.next_class()?;
        let (item, queued, bytes) = self.classes[class as usize].pop()?;
        self.pass_over(class, bytes);
        Some(Popped { item, class, queued })
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
        let queue = &self.classes[class as usize];
        (queue.packets, queue.bytes)
    }

    /// Takes everything out, in the order in which it would have left.
    pub fn drain(&mut self, mut each: impl FnMut(T)) {
        while let Some(popped) = self.pop() {
            each(popped.item);
        }
    }

    /// The class that was passed over for too long, else the most urgent that has something.
    fn next_class(&self) -> Option<Class> {
        let waiting = |class: &Class| self.classes[*class as usize].packets > 0;
        let starved = |class: &Class| self.classes[*class as usize].passed_over >= PASS_OVER;
        let mut by_urgency = Class::BY_URGENCY.into_iter().filter(waiting);
        let first = by_urgency.next()?;
        Some(by_urgency.find(starved).unwrap_or(first))
    }

    /// `bytes` of `served` went: the less urgent that wait have been passed over.
    fn pass_over(&mut self, served: Class, bytes: usize) {
        for class in Class::BY_URGENCY {
            let queue = &mut self.classes[class as usize];
            if class == served || queue.packets == 0 {
                queue.passed_over = 0;
            } else if class < served {
                queue.passed_over += bytes;
            }
        }
    }
}

/// One class: packets in a slab, chained by flow; flows with packets in a ring.
#[derive(Debug)]
struct Queue<T> {
    bound: Bound,
    packets: usize,
    bytes: usize,
    /// Bytes of more urgent classes that went while this one waited.
    passed_over: usize,
    slots: Vec<Slot<T>>,
    /// Head of the chain of free slots.
    free: u32,
    /// Empty until the first packet comes.
    flows: Vec<Flow>,
    ring: VecDeque<u8>,
}

#[derive(Debug)]
struct Slot<T> {
    item: Option<T>,
    queued: Instant,
    bytes: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    head: u32,
    tail: u32,
    /// A class is bounded far below 4 GiB.
    bytes: u32,
    deficit: u32,
}

const IDLE: Flow = Flow {
    head: NONE,
    tail: NONE,
    bytes: 0,
    deficit: 0,
};

impl<T> Queue<T> {
    fn new(bound: Bound) -> Queue<T> {
        Queue {
            bound,
            packets: 0,
            bytes: 0,
            passed_over: 0,
            slots: Vec::new(),
            free: NONE,
            flows: Vec::new(),
            ring: VecDeque::new(),
        }
    }

    fn push(&mut self, now: Instant, flow: u8, bytes: u32, item: T) {
        if self.flows.is_empty() {
            self.flows = vec![IDLE; BUCKETS];
        }
        let index = self.take_slot(Slot {
            item: Some(item),
            queued: now,
            bytes,
            next: NONE,
        });
        let entry = &mut self.flows[usize::from(flow)];
        if entry.head == NONE {
            entry.head = index;
            entry.deficit = 0;
            self.ring.push_back(flow);
        } else {
            self.slots[entry.tail as usize].next = index;
        }
        entry.tail = index;
        entry.bytes += bytes;
        self.packets += 1;
        self.bytes += bytes as usize;
    }

    /// The next packet by deficit round robin. The flow whose turn it is stays at the ring's front.
    fn pop(&mut self) -> Option<(T, Instant, usize)> {
        loop {
            let flow = *self.ring.front()?;
            let entry = &mut self.flows[usize::from(flow)];
            let needed = self.slots[entry.head as usize].bytes;
            if entry.deficit < needed {
                entry.deficit += QUANTUM;
                if entry.deficit < needed {
                    self.ring.rotate_left(1);
                    continue;
                }
            }
            entry.deficit -= needed;
            let spent = !self.affords_next(flow);
            let packet = self.take_head(flow)?;
            if self.flows[usize::from(flow)].head == NONE {
                self.ring.pop_front();
            } else if spent {
                self.ring.rotate_left(1);
            }
            self.rest();
            return Some(packet);
        }
    }

    /// True if the flow's turn goes on after its head.
    fn affords_next(&self, flow: u8) -> bool {
        let entry = &self.flows[usize::from(flow)];
        match self.slots[entry.head as usize].next {
            NONE => false,
            next => self.slots[next as usize].bytes <= entry.deficit,
        }
    }

    fn drop_from_fattest(&mut self) -> Option<T> {
        let (at, &flow) = self
            .ring
            .iter()
            .enumerate()
            .max_by_key(|&(_, &flow)| self.flows[usize::from(flow)].bytes)?;
        let (item, ..) = self.take_head(flow)?;
        if self.flows[usize::from(flow)].head == NONE {
            self.ring.remove(at);
        }
        Some(item)
    }

    /// Takes a flow's first packet; the ring is the caller's.
    fn take_head(&mut self, flow: u8) -> Option<(T, Instant, usize)> {
        let entry = &mut self.flows[usize::from(flow)];
        let index = entry.head;
        let slot = self.slots.get_mut(index as usize)?;
        let item = slot.item.take()?;
        entry.head = slot.next;
        entry.bytes -= slot.bytes;
        let (queued, bytes) = (slot.queued, slot.bytes);
        slot.next = self.free;
        self.free = index;
        self.packets -= 1;
        self.bytes -= bytes as usize;
        Some((item, queued, bytes as usize))
    }

    fn take_slot(&mut self, slot: Slot<T>) -> u32 {
        if self.free == NONE {
            self.slots.push(slot);
            return self.slots.len() as u32 - 1;
        }
        let index = self.free;
        self.free = self.slots[index as usize].next;
        self.slots[index as usize] = slot;
        index
    }

    /// Gives memory back once the class has run empty.
    fn rest(&mut self) {
        if self.packets == 0 && self.slots.len() > KEEP {
            self.slots = Vec::new();
            self.free = NONE;
        }
    }
}

#[cfg(test)]
mod tests;
