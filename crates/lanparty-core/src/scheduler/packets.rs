//! Packets of all flows in one slab, each flow's chained from its oldest to its newest.

use std::time::Instant;

use super::table::NONE;

/// A slab with more room than this gives it back when it runs empty; a path at rest costs little. Growing again costs less than one
/// allocation for each hundred packets.
pub const KEEP: usize = 128;

#[derive(Debug)]
pub struct Packets<T> {
    slots: Vec<Slot<T>>,
    free: u32,
}

#[derive(Debug)]
struct Slot<T> {
    item: Option<T>,
    queued: Instant,
    bytes: u32,
    next: u32,
}

/// The packets of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    head: u32,
    tail: u32,
    pub packets: u32,
    pub bytes: u32,
}

/// A packet that was taken out.
#[derive(Debug)]
pub struct Taken<T> {
    pub item: T,
    pub queued: Instant,
    pub bytes: u32,
}

impl<T> Packets<T> {
    pub const fn new() -> Packets<T> {
        Packets {
            slots: Vec::new(),
            free: NONE,
        }
    }

    /// Adds a packet behind the others of `chain`.
    pub fn push(&mut self, chain: &mut Chain, item: T, queued: Instant, bytes: u32) {
        let slot = Slot {
            item: Some(item),
            queued,
            bytes,
            next: NONE,
        };
        let index = if self.free == NONE {
            self.slots.push(slot);
            self.slots.len() as u32 - 1
        } else {
            let index = self.free;
            self.free = self.slots[index as usize].next;
            self.slots[index as usize] = slot;
            index
        };
        match chain.tail {
            NONE => chain.head = index,
            tail => self.slots[tail as usize].next = index,
        }
        chain.tail = index;
        chain.packets += 1;
        chain.bytes += bytes;
    }

    /// Takes the oldest packet of `chain`.
    pub fn pop(&mut self, chain: &mut Chain) -> Option<Taken<T>> {
        let index = chain.head;
        let slot = self.slots.get_mut(index as usize)?;
        let item = slot.item.take()?;
        let (queued, bytes) = (slot.queued, slot.bytes);
        chain.head = slot.next;
        if chain.head == NONE {
            chain.tail = NONE;
        }
        chain.packets -= 1;
        chain.bytes -= bytes;
        slot.next = self.free;
        self.free = index;
        Some(Taken { item, queued, bytes })
    }

    /// Gives memory back, if there is more than what is worth keeping; there is no packet any more.
    pub fn rest(&mut self) {
        if self.slots.len() > KEEP {
            *self = Packets::new();
        }
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}

impl Chain {
    pub const EMPTY: Chain = Chain {
        head: NONE,
        tail: NONE,
        packets: 0,
        bytes: 0,
    };

    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }
}
