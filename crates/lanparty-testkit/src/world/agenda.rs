//! What happens when, in virtual time. Things of the same moment happen in the order in which they were put down.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// An agenda of `T`.
#[derive(Debug)]
pub struct Agenda<T> {
    heap: BinaryHeap<Reverse<(Duration, u64, Entry<T>)>>,
    count: u64,
}

/// What is not compared: time and number always differ in number.
#[derive(Debug)]
struct Entry<T>(T);

impl<T> Agenda<T> {
    pub fn new() -> Agenda<T> {
        Agenda {
            heap: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Puts something down.
    pub fn put(&mut self, at: Duration, what: T) {
        self.count += 1;
        self.heap.push(Reverse((at, self.count, Entry(what))));
    }

    /// Takes the next thing that happens no later than `until`.
    pub fn take(&mut self, until: Duration) -> Option<(Duration, T)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > until {
            return None;
        }
        let Reverse((at, _, Entry(what))) = self.heap.pop()?;
        Some((at, what))
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda::new()
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, _: &Entry<T>) -> bool {
        true
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, _: &Entry<T>) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_time_and_then_order() {
        let mut agenda = Agenda::new();
        let second = Duration::from_secs(1);
        agenda.put(second, "b");
        agenda.put(second, "c");
        agenda.put(Duration::ZERO, "a");
        agenda.put(3 * second, "d");
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take(second).map(|(_, what)| what)).collect();
        assert_eq!(taken, ["a", "b", "c"]);
    }
}
