//! Keeping the LAN's switches aware of where the remote players are.
//!
//! A switch forgets an address after some minutes of silence and then floods, and a member that only listens is never learned at
//! all. So for every remote address a small broadcast goes out with that address as its source: at joining, when the cable comes back, and
//! at least every minute. A broadcast, because a frame to a known station would teach only the switches on the way to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lanparty_wire::{MIN_FRAME_LEN, Mac, MemberId, ethertype};

/// The longest that an address goes without being shown.
pub const REFRESH: Duration = Duration::from_secs(60);

/// When which address is due.
#[derive(Debug, Default)]
pub struct CamRefresh {
    due: BTreeMap<MemberId, (Instant, Mac)>,
    /// The earliest of them, which is asked for after every frame.
    next: Option<Instant>,
}

impl CamRefresh {
    /// A member's address was shown just now; from here on it is shown again in time.
    pub fn add(&mut self, now: Instant, member: MemberId, mac: Mac) {
        // The first round is shortened by up to half, so that members that joined together do not stay together.
        let spread = mac
            .0
            .iter()
            .fold(0_u32, |sum, &byte| sum.wrapping_mul(31) + u32::from(byte));
        let early = REFRESH / 2 * (spread % 64) / 64;
        self.due.insert(member, (now + REFRESH - early, mac));
        self.find_next();
    }

    /// Its address is nobody's now.
    pub fn remove(&mut self, member: MemberId) {
        self.due.remove(&member);
        self.find_next();
    }

    /// Everybody is gone.
    pub fn clear(&mut self) {
        self.due.clear();
        self.next = None;
    }

    /// The next address that is due at `now`; ask until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<Mac> {
        if self.next? > now {
            return None;
        }
        let (due, mac) = self.due.values_mut().find(|(due, _)| *due <= now)?;
        *due = now + REFRESH;
        let mac = *mac;
        self.find_next();
        Some(mac)
    }

    /// All addresses are shown now, so all are due in a minute again.
    pub fn all(&mut self, now: Instant) -> Vec<Mac> {
        self.next = (!self.due.is_empty()).then_some(now + REFRESH);
        self.due
            .values_mut()
            .map(|(due, mac)| {
                *due = now + REFRESH;
                *mac
            })
            .collect()
    }

    /// When the next one is due.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    fn find_next(&mut self) {
        self.next = self.due.values().map(|&(due, _)| due).min();
    }
}

/// A frame that says nothing but where `mac` is: broadcast, local experimental EtherType (IEEE 802, clause 9.2.3), padding.
pub fn frame(mac: Mac) -> Vec<u8> {
    let mut frame = vec![0; MIN_FRAME_LEN];
    frame[..6].copy_from_slice(&Mac::BROADCAST.0);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&ethertype::LOCAL_EXPERIMENTAL.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn member(value: u8) -> (MemberId, Mac) {
        (
            MemberId::new(value.into()).unwrap(),
            Mac([2, 0, 0, 0, value.wrapping_mul(77), value]),
        )
    }

    #[test]
    fn no_address_waits_longer_than_a_minute_and_none_is_forgotten() {
        let begin = start();
        let mut cam = CamRefresh::default();
        let mut shown: BTreeMap<Mac, Instant> = BTreeMap::new();
        for (id, mac) in (1..=50).map(member) {
            cam.add(begin, id, mac);
            shown.insert(mac, begin);
        }
        let mut instants = std::collections::BTreeSet::new();
        while let Some(now) = cam.due().filter(|&due| due < begin + 10 * REFRESH) {
            instants.insert(now);
            while let Some(mac) = cam.poll(now) {
                let last = shown.insert(mac, now).unwrap();
                assert!(now - last <= REFRESH, "{mac} waited {:?}", now - last);
            }
        }
        assert!(shown.values().all(|&last| last >= begin + 9 * REFRESH));
        assert!(instants.len() > 100, "they are spread, not shown all at once");
    }

    #[test]
    fn who_left_is_not_shown() {
        let now = start();
        let mut cam = CamRefresh::default();
        let (id, mac) = member(1);
        cam.add(now, id, mac);
        cam.remove(id);
        assert_eq!(cam.due(), None);
        assert_eq!(cam.poll(now + REFRESH), None);
    }

    #[test]
    fn the_frame_is_small_and_for_everybody() {
        let mac = member(9).1;
        let frame = frame(mac);
        assert_eq!(frame.len(), MIN_FRAME_LEN);
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[6..12], mac.0);
        assert_eq!(frame[12..14], [0x88, 0xb5]);
    }
}
