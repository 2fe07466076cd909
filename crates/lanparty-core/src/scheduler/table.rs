//! Few things among many possible ones, found by key and standing in rings: flows that have packets, members that have flows.
//!
//! Nodes lie in one slab that grows to its high-water mark. A node is in at most one ring at a time, so its links live in it, and
//! to find, to add and to remove all take the same time however many there are.

use std::ops::{Index, IndexMut};

/// No node.
pub const NONE: u32 = u32::MAX;
/// Chains of nodes with equal hashes; one packet's worth of memory that keeps them short for a few hundred flows.
const CHAINS: usize = 256;

/// Nodes by key. A ring is named by the node at its front, or [`NONE`].
#[derive(Debug)]
pub struct Table<V> {
    /// Empty until the first node comes.
    chains: Vec<u32>,
    nodes: Vec<Node<V>>,
    free: u32,
}

#[derive(Debug)]
struct Node<V> {
    key: u32,
    /// The next with the same hash, or the next free one.
    chain: u32,
    previous: u32,
    next: u32,
    value: V,
}

impl<V> Table<V> {
    pub const fn new() -> Table<V> {
        Table {
            chains: Vec::new(),
            nodes: Vec::new(),
            free: NONE,
        }
    }

    /// The node of `key`.
    pub fn find(&self, key: u32) -> Option<u32> {
        let mut at = *self.chains.get(chain(key))?;
        while at != NONE {
            let node = &self.nodes[at as usize];
            if node.key == key {
                return Some(at);
            }
            at = node.chain;
        }
        None
    }

    /// What a node holds or held, if there is memory for it.
    pub fn get(&self, node: u32) -> Option<&V> {
        self.nodes.get(node as usize).map(|node| &node.value)
    }

    /// Adds a node for a key that has none.
    pub fn insert(&mut self, key: u32, value: V) -> u32 {
        if self.chains.is_empty() {
            self.chains = vec![NONE; CHAINS];
        }
        let node = Node {
            key,
            chain: self.chains[chain(key)],
            previous: NONE,
            next: NONE,
            value,
        };
        let at = self.free;
        let at = if at == NONE {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        } else {
            self.free = self.nodes[at as usize].chain;
            self.nodes[at as usize] = node;
            at
        };
        self.chains[chain(key)] = at;
        at
    }

    /// Removes a node that is in no ring.
    pub fn remove(&mut self, node: u32) {
        let Node {
            key, chain: after, ..
        } = self.nodes[node as usize];
        let first = &mut self.chains[chain(key)];
        if *first == node {
            *first = after;
        } else {
            let mut at = *first;
            while self.nodes[at as usize].chain != node {
                at = self.nodes[at as usize].chain;
            }
            self.nodes[at as usize].chain = after;
        }
        self.nodes[node as usize].chain = self.free;
        self.free = node;
    }

    /// Gives all memory back; there is no node any more.
    pub fn clear(&mut self) {
        *self = Table::new();
    }

    /// Nodes that there is memory for.
    pub fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Puts a node behind all others of a ring.
    pub fn enter(&mut self, ring: &mut u32, node: u32) {
        let front = match *ring {
            NONE => node,
            front => front,
        };
        let back = match *ring {
            NONE => node,
            front => self.nodes[front as usize].previous,
        };
        self.nodes[node as usize].previous = back;
        self.nodes[node as usize].next = front;
        self.nodes[back as usize].next = node;
        self.nodes[front as usize].previous = node;
        *ring = front;
    }

    /// Takes a node out of its ring.
    pub fn leave(&mut self, ring: &mut u32, node: u32) {
        let Node { previous, next, .. } = self.nodes[node as usize];
        if next == node {
            *ring = NONE;
            return;
        }
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        if *ring == node {
            *ring = next;
        }
    }

    /// Puts the front of a ring behind all others.
    pub fn rotate(&self, ring: &mut u32) {
        *ring = self.nodes[*ring as usize].next;
    }
}

impl<V> Index<u32> for Table<V> {
    type Output = V;

    fn index(&self, node: u32) -> &V {
        &self.nodes[node as usize].value
    }
}

impl<V> IndexMut<u32> for Table<V> {
    fn index_mut(&mut self, node: u32) -> &mut V {
        &mut self.nodes[node as usize].value
    }
}

fn chain(key: u32) -> usize {
    // Fibonacci hashing; the top bits mix all of the key.
    (key.wrapping_mul(0x9e37_79b9) >> 24) as usize
}
