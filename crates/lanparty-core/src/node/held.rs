//! What is for members with whom keys are being agreed on. That takes a moment, and the first question to a newcomer, or a newcomer's own
//! first, is not to be lost for it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use lanparty_wire::{DropCounters, DropReason, MemberId};

/// For one member: what a system says at once when an interface comes up, and some more.
const FOR_ONE: usize = 32;
/// For all members together; 400 kB of full frames.
const FOR_ALL: usize = 256;
/// Whoever asked longer ago has asked again by himself.
const PATIENCE: Duration = Duration::from_secs(2);

/// What waits, oldest first. What does not fit, or waits in vain, is counted as [`DropReason::NoSession`].
#[derive(Debug)]
pub struct Held<T> {
    waiting: BTreeMap<MemberId, VecDeque<(Instant, T)>>,
    /// What may leave.
    ready: VecDeque<T>,
}

impl<T> Default for Held<T> {
    fn default() -> Held<T> {
        Held {
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }
}

impl<T> Held<T> {
    /// Keeps what `item` makes until [`Held::release`], if there is room.
    pub fn keep(
        &mut self,
        now: Instant,
        member: MemberId,
        drops: &mut DropCounters,
        item: impl FnOnce() -> T,
    ) {
        self.expire(now, drops);
        let all = self.ready.len() + self.waiting.values().map(VecDeque::len).sum::<usize>();
        let queue = self.waiting.entry(member).or_default();
        if all < FOR_ALL && queue.len() < FOR_ONE {
            queue.push_back((now, item()));
        } else {
            drops.count(DropReason::NoSession);
        }
    }

    /// Keys are agreed with a member.
    pub fn release(&mut self, now: Instant, member: MemberId, drops: &mut DropCounters) {
        self.expire(now, drops);
        let queue = self.waiting.remove(&member).unwrap_or_default();
        self.ready.extend(queue.into_iter().map(|(_, item)| item));
    }

    /// The next one that may leave.
    pub fn pop(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    /// How many may leave.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Forgets everything, and says how much that was.
    pub fn clear(&mut self) -> usize {
        let waiting = std::mem::take(&mut self.waiting);
        let ready = std::mem::take(&mut self.ready);
        ready.len() + waiting.values().map(VecDeque::len).sum::<usize>()
    }

    fn expire(&mut self, now: Instant, drops: &mut DropCounters) {
        let is_late = |(since, _): &(Instant, T)| now.saturating_duration_since(*since) > PATIENCE;
        self.waiting.retain(|_, queue| {
            let late = queue.iter().take_while(|item| is_late(item)).count();
            queue.drain(..late);
            drops.add(DropReason::NoSession, late as u64);
            !queue.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_for_a_member_leaves_in_its_order_once_it_is_released() {
        let (mut held, mut drops, now) = (Held::default(), DropCounters::default(), start());
        for item in [1, 2, 3] {
            held.keep(now, member(1 + item % 2), &mut drops, || item);
        }
        assert_eq!(held.pop(), None);
        held.release(now, member(2), &mut drops);
        assert_eq!(held.ready(), 2);
        assert_eq!([held.pop(), held.pop(), held.pop()], [Some(1), Some(3), None]);
        assert_eq!(drops.of(DropReason::NoSession), 0);
        assert_eq!(held.clear(), 1);
    }

    #[test]
    fn what_does_not_fit_or_waits_in_vain_is_counted() {
        let (mut held, mut drops, now) = (Held::default(), DropCounters::default(), start());
        let count = |drops: &DropCounters| drops.of(DropReason::NoSession);
        for item in 0..=FOR_ONE {
            held.keep(now, member(1), &mut drops, || item);
        }
        assert_eq!(count(&drops), 1);
        for item in 0..FOR_ALL {
            held.keep(now, member(2 + (item / FOR_ONE) as u16), &mut drops, || item);
        }
        assert_eq!(count(&drops), 1 + FOR_ONE as u64);
        let later = now + PATIENCE + Duration::from_millis(1);
        held.release(later, member(2), &mut drops);
        assert_eq!(held.ready(), 0);
        assert_eq!(count(&drops), (1 + FOR_ONE + FOR_ALL) as u64);
    }

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn member(id: u16) -> MemberId {
        MemberId::new(id).unwrap()
    }
}
