//! Whether broadcasts go both ways, which is what games find each other by, and the first thing a player asks when they do not.
//!
//! A player's own broadcasts that reach the room prove one half; only a broadcast from the host's LAN proves the other. One half alone is
//! ordinary for a moment, so it is told only when the other has failed to come for [`PATIENCE`].

use std::time::{Duration, Instant};

/// How long one way alone is no news.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What was seen since the LAN gateway is there.
#[derive(Debug, Default)]
pub struct BroadcastWatch {
    to_room: bool,
    from_lan: bool,
    /// When one way alone becomes news.
    due: Option<Instant>,
}

/// The two ways, as they are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    pub to_room: bool,
    pub from_lan: bool,
}

impl BroadcastWatch {
    /// We have sent one to the room.
    pub fn sent(&mut self, now: Instant) -> Option<Flow> {
        let news = !std::mem::replace(&mut self.to_room, true);
        self.changed(now, news)
    }

    /// One has come from the LAN.
    pub fn heard(&mut self, now: Instant) -> Option<Flow> {
        let news = !std::mem::replace(&mut self.from_lan, true);
        self.changed(now, news)
    }

    /// When [`BroadcastWatch::poll`] has something to say.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What to tell if one way alone has lasted.
    pub fn poll(&mut self, now: Instant) -> Option<Flow> {
        if self.due? > now {
            return None;
        }
        self.due = None;
        Some(self.flow())
    }

    fn changed(&mut self, now: Instant, news: bool) -> Option<Flow> {
        if !news {
            return None;
        }
        if self.to_room && self.from_lan {
            self.due = None;
            return Some(self.flow());
        }
        self.due = Some(now + PATIENCE);
        None
    }

    fn flow(&self) -> Flow {
        Flow {
            to_room: self.to_room,
            from_lan: self.from_lan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn both_ways_are_told_at_once_and_once() {
        let now = start();
        let mut watch = BroadcastWatch::default();
        assert_eq!(watch.sent(now), None);
        assert_eq!(
            watch.heard(now),
            Some(Flow {
                to_room: true,
                from_lan: true
            })
        );
        assert_eq!(watch.heard(now), None);
        assert_eq!(watch.due(), None);
    }

    #[test]
    fn one_way_alone_is_told_after_a_while() {
        let now = start();
        let mut watch = BroadcastWatch::default();
        watch.sent(now);
        let due = watch.due().unwrap();
        assert_eq!(watch.poll(now), None);
        assert_eq!(
            watch.poll(due),
            Some(Flow {
                to_room: true,
                from_lan: false
            })
        );
        assert_eq!(watch.due(), None);
        assert!(watch.heard(due).is_some(), "and the other way is news again");
    }
}
