//! Chatter that a station has said a moment ago, word for word.
//!
//! Machines say their discovery once for each binding and each program that asks, and a program in a loop says it for ever; everybody has heard
//! it the first time. What comes again within [`MOMENT`] stops at the first guard that it meets, and takes nothing from the limits, so that
//! who shouts one thing over and over does not use up what his machine has to say besides. Only chatter for everybody is looked at: a game's two
//! equal broadcasts may be two moves, and ARP, DHCP and reports of groups are repeated because somebody waits for them.
//!
//! An IPv4 packet that is sent again has another identification, so the words are those behind the IP header.

use std::{
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use super::packet::{Packet, Upper};

/// How long a moment is: shorter than any pause with which a protocol repeats itself against loss. The shortest are the 50 ms of SOAP-over-UDP
/// (UDP_MIN_DELAY), by which WS-Discovery goes; those of mDNS (RFC 6762, section 8), LLMNR and NetBIOS are 100 ms and more.
pub(super) const MOMENT: Duration = Duration::from_millis(40);
/// How many words are remembered of one sender. Two that share a slot push each other out, which lets a repetition pass.
const SLOTS: usize = 64;

/// What was said a moment ago, by hash.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Empty until the first chatter comes. Times count from when the guard was made.
    said: Vec<Option<(u64, Duration)>>,
}

impl Repeats {
    /// True if these words were said a moment ago. The moment counts from when they were let through.
    pub(super) fn is_repeated(&mut self, now: Duration, packet: &Packet<'_>) -> bool {
        let Some(words) = words(packet) else {
            return false;
        };
        if self.said.is_empty() {
            self.said = vec![None; SLOTS];
        }
        let slot = &mut self.said[words as usize % SLOTS];
        if slot.is_some_and(|(known, at)| known == words && now.saturating_sub(at) < MOMENT) {
            return true;
        }
        *slot = Some((words, now));
        false
    }
}

/// Who says what to whom; `None` for what is not whole.
fn words(packet: &Packet<'_>) -> Option<u64> {
    let ip = packet.ip()?;
    let Upper::Whole { bytes, .. } = ip.upper else {
        return None;
    };
    let mut hasher = DefaultHasher::new();
    hasher.write(&packet.source.0);
    hasher.write(&packet.destination.0);
    hasher.write(ip.addresses);
    hasher.write_u8(ip.protocol);
    hasher.write(bytes);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use lanparty_wire::{Frame, Mac, ethertype};

    use super::{super::crafted::*, *};

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn asked(repeats: &mut Repeats, now: Duration, words: &[u8]) -> bool {
        let packet = ipv4(17, &[], &udp(5353, 5353, words));
        hears(repeats, now, &ether(Mac::BROADCAST, ethertype::IPV4, &packet))
    }

    fn hears(repeats: &mut Repeats, now: Duration, frame: &[u8]) -> bool {
        repeats.is_repeated(now, &Packet::parse(Frame::plain(frame)).unwrap())
    }

    #[test]
    fn the_same_words_count_once_in_a_moment_and_others_always() {
        let mut repeats = Repeats::default();
        assert!(!asked(&mut repeats, at(0), b"who is there?"));
        assert!(asked(&mut repeats, at(0), b"who is there?"));
        assert!(asked(&mut repeats, MOMENT - at(1), b"who is there?"));
        assert!(!asked(&mut repeats, at(1), b"who is here?"));
        assert!(
            !asked(&mut repeats, MOMENT, b"who is there?"),
            "the moment is over"
        );
    }

    #[test]
    fn another_identification_makes_no_other_words_and_another_station_does() {
        let mut repeats = Repeats::default();
        let packet = ipv4(17, &[], &udp(5353, 5353, b"who is there?"));
        let first = ether(Mac::BROADCAST, ethertype::IPV4, &packet);
        let mut second = first.clone();
        // Identification and header checksum.
        second[18..20].copy_from_slice(&[0xab, 0xcd]);
        second[24..26].copy_from_slice(&[0x12, 0x34]);
        let mut third = first.clone();
        third[6..12].copy_from_slice(&STATION.0);
        assert!(!hears(&mut repeats, at(0), &first));
        assert!(hears(&mut repeats, at(1), &second));
        assert!(!hears(&mut repeats, at(1), &third));
    }

    #[test]
    fn a_thousand_different_words_take_no_more_room() {
        let mut repeats = Repeats::default();
        for number in 0..1000_u32 {
            assert!(!asked(&mut repeats, Duration::ZERO, &number.to_be_bytes()));
        }
        assert_eq!(repeats.said.len(), SLOTS);
    }
}
