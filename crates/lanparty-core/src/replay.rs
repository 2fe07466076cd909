//! Which sequence numbers of one sender have been seen: the guard against replays, and what makes one datagram that came
//! over two paths count once.
//!
//! One window belongs to one source and one destination value. It is asked twice: [`ReplayWindow::check`] before the
//! expensive work (reassembly, opening), [`ReplayWindow::commit`] after it has succeeded, so that a forged datagram can never
//! move the window and lock out the genuine ones (RFC 4303, section 3.4.3). A new window accepts any number as its first, because a
//! receiver joins a sender in the middle of its count.

use std::collections::BTreeMap;

use lanparty_wire::{Destination, DropReason, GroupHandle, MAX_SEQUENCE};

use crate::hole::{Hole, is_open};

/// How far back a number may lie: the largest skew between two paths (about 100 ms) times a high packet rate (160,000/s).
pub const WINDOW: u64 = 16_384;

/// Group handles of one member with a window of their own.
const MAX_GROUPS: usize = 32;
const WORDS: usize = (WINDOW / 64) as usize;

/// The numbers seen of one sender towards one destination. 2 KiB, allocated with the first number.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    highest: u64,
    /// One bit for each number in `highest - WINDOW + 1 ..= highest`, at the number modulo [`WINDOW`].
    bits: Box<[u64; WORDS]>,
}

impl ReplayWindow {
    /// Whether `sequence` is new. Changes nothing.
    ///
    /// # Errors
    /// [`DropReason::Duplicate`] if it was committed before, [`DropReason::TooOld`] if it lies before the window,
    /// [`DropReason::Malformed`] if it has more than 40 bits.
    pub fn check(&self, sequence: u64) -> Result<(), DropReason> {
        if sequence > MAX_SEQUENCE {
            return Err(DropReason::Malformed);
        }
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        if sequence > seen.highest || is_open(Hole::Replay) {
            return Ok(());
        }
        if seen.highest - sequence >= WINDOW {
            return Err(DropReason::TooOld);
        }
        let (word, bit) = place(sequence);
        if seen.bits[word] & bit == 0 {
            Ok(())
        } else {
            Err(DropReason::Duplicate)
        }
    }

    /// Takes note of `sequence`, whose datagram has proven genuine.
    ///
    /// # Errors
    /// As [`ReplayWindow::check`]; nothing changes then.
    pub fn commit(&mut self, sequence: u64) -> Result<(), DropReason> {
        self.check(sequence)?;
        let seen = self.seen.get_or_insert_with(|| Seen {
            highest: sequence,
            bits: Box::new([0; WORDS]),
        });
        if sequence > seen.highest {
            seen.advance(sequence);
        }
        let (word, bit) = place(sequence);
        seen.bits[word] |= bit;
        Ok(())
    }
}

impl Seen {
    /// Moves the front to `sequence`; the numbers that enter the window are not seen yet.
    fn advance(&mut self, sequence: u64) {
        if sequence - self.highest >= WINDOW {
            self.bits.fill(0);
        } else {
            let mut next = self.highest + 1;
            while next <= sequence {
                // A whole word at once where all of its numbers enter.
                let (word, bit) = place(next);
                if bit == 1 && sequence - next >= 63 {
                    self.bits[word] = 0;
                    next += 64;
                } else {
                    self.bits[word] &= !bit;
                    next += 1;
                }
            }
        }
        self.highest = sequence;
    }
}

/// One replay window per destination value, of one sender and key.
#[derive(Debug, Default)]
pub struct Windows {
    unicast: ReplayWindow,
    flood: ReplayWindow,
    groups: BTreeMap<GroupHandle, ReplayWindow>,
}

impl Windows {
    /// See [`ReplayWindow::check`].
    pub fn check(&self, destination: Destination, sequence: u64) -> Result<(), DropReason> {
        match destination {
            Destination::Member(_) => self.unicast.check(sequence),
            Destination::Flood => self.flood.check(sequence),
            Destination::Group(handle) => self
                .groups
                .get(&handle)
                .map_or(Ok(()), |window| window.check(sequence)),
        }
    }

    /// See [`ReplayWindow::commit`].
    pub fn commit(&mut self, destination: Destination, sequence: u64) -> Result<(), DropReason> {
        match destination {
            Destination::Member(_) => self.unicast.commit(sequence),
            Destination::Flood => self.flood.commit(sequence),
            Destination::Group(handle) => {
                if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&handle) {
                    return Err(DropReason::UnknownDestination);
                }
                self.groups.entry(handle).or_default().commit(sequence)
            }
        }
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let slot = sequence % WINDOW;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_counts_once() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.commit(7), Ok(()));
        assert_eq!(window.commit(7), Err(DropReason::Duplicate));
        assert_eq!(window.commit(6), Ok(()), "reordered, not replayed");
        assert_eq!(window.commit(8), Ok(()));
        assert_eq!(window.commit(6), Err(DropReason::Duplicate));
    }

    #[test]
    fn the_window_ends_where_it_says() {
        let mut window = ReplayWindow::default();
        window.commit(1_000_000).unwrap();
        assert_eq!(window.check(1_000_000 - WINDOW + 1), Ok(()));
        assert_eq!(window.check(1_000_000 - WINDOW), Err(DropReason::TooOld));
    }

    #[test]
    fn checking_moves_nothing() {
        let mut window = ReplayWindow::default();
        window.commit(5).unwrap();
        assert_eq!(window.check(MAX_SEQUENCE), Ok(()));
        assert_eq!(window.commit(6), Ok(()));
        assert_eq!(window.check(MAX_SEQUENCE + 1), Err(DropReason::Malformed));
    }

    /// Steps that stay, jump within the window, and leave it, from the first number to the last.
    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            4 => -70_i64..70,
            2 => -20_000_i64..20_000,
            1 => -70_i64 * 1_000_000..(1 << 36),
        ];
        proptest::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_all_numbers(start in 0..=MAX_SEQUENCE, steps in steps()) {
            let mut window = ReplayWindow::default();
            let mut all = BTreeSet::new();
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step).min(MAX_SEQUENCE);
                let naive = match all.last() {
                    Some(&highest) if at + WINDOW <= highest => Err(DropReason::TooOld),
                    _ if all.contains(&at) => Err(DropReason::Duplicate),
                    _ => Ok(()),
                };
                prop_assert_eq!(window.check(at), naive);
                prop_assert_eq!(window.commit(at), naive);
                if naive.is_ok() {
                    all.insert(at);
                }
            }
        }
    }
}
