//! When which connection's earliest timer is due.

use std::{collections::BTreeSet, time::Instant};

/// Connections by their slots, each with at most one deadline.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Instant, usize)>);

impl Deadlines {
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.0.first().map(|&(due, _)| due)
    }

    /// Moves the deadline of `slot`; `known` is what it was.
    pub(crate) fn set(&mut self, slot: usize, known: &mut Option<Instant>, due: Option<Instant>) {
        if *known == due {
            return;
        }
        if let Some(due) = known.take() {
            self.0.remove(&(due, slot));
        }
        if let Some(due) = due {
            self.0.insert((due, slot));
        }
        *known = due;
    }

    /// Slots whose deadline has come.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .take_while(move |&&(due, _)| due <= now)
            .map(|&(_, slot)| slot)
    }
}
