//! What is known of this machine as a station of the LAN: its addresses, and the frames for it that come back to us.

use std::collections::{BTreeSet, VecDeque};

use lanparty_wire::{EtherView, Frame, Mac};

use crate::device::{FrameOrigin, Received};

/// Addresses beside the interface's own: of containers and virtual machines. What is beyond is sent by the cable.
const MAX_OTHERS: usize = 256;
/// Frames for this machine that have not come back yet. One that is forgotten is dropped by the switch, as its source is remote.
const MAX_EXPECTED: usize = 512;
/// By so many bytes and its length a frame is known again.
const PRINTED: usize = 128;

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Cable,
    Host,
    Both,
}

/// This machine's addresses and its frames.
#[derive(Debug)]
pub(super) struct Own {
    mac: Mac,
    others: BTreeSet<Mac>,
    expected: VecDeque<u64>,
}

impl Own {
    pub fn new(mac: Mac) -> Own {
        Own {
            mac,
            others: BTreeSet::new(),
            expected: VecDeque::new(),
        }
    }

    /// The interface has another address now.
    pub fn set_mac(&mut self, mac: Mac) {
        self.mac = mac;
    }

    pub fn mac(&self) -> Mac {
        self.mac
    }

    pub fn place(&self, frame: Frame<'_>) -> Place {
        let Ok(view) = EtherView::parse(frame.bytes) else {
            return Place::Cable;
        };
        let destination = view.destination();
        if destination.is_multicast() {
            Place::Both
        } else if destination == self.mac || self.others.contains(&destination) {
            Place::Host
        } else {
            Place::Cable
        }
    }

    /// A frame is about to be given to this machine, and the packet socket will hear it.
    pub fn expect(&mut self, frame: &[u8]) {
        if self.expected.len() == MAX_EXPECTED {
            self.expected.pop_front();
        }
        self.expected.push_back(fingerprint(frame));
    }

    /// Learns from what the packet socket has heard. False for a frame that we have given to this machine ourselves.
    pub fn hear(&mut self, received: Received<'_>) -> bool {
        let bytes = received.frame.bytes;
        let Ok(view) = EtherView::parse(bytes) else {
            return true;
        };
        let source = view.source();
        match received.origin {
            FrameOrigin::ThisHost => {
                if source != self.mac && self.others.len() < MAX_OTHERS && source.is_valid_source() {
                    self.others.insert(source);
                }
                true
            }
            FrameOrigin::Wire => {
                if self.expected.is_empty() {
                    self.others.remove(&source);
                    return true;
                }
                let print = fingerprint(bytes);
                match self.expected.iter().position(|&expected| expected == print) {
                    Some(at) => {
                        // They come in order, so those before it were lost.
                        self.expected.drain(..=at);
                        false
                    }
                    None => {
                        // A station that has moved out of this machine.
                        self.others.remove(&source);
                        true
                    }
                }
            }
        }
    }
}

/// FNV-1a, 64 bits. It tells frames of one moment apart, and nobody gains by a collision: such a frame has a remote source anyway, or is
/// lost once.
fn fingerprint(frame: &[u8]) -> u64 {
    let beginning = &frame[..frame.len().min(PRINTED)];
    let length = frame.len().to_le_bytes();
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    beginning.iter().chain(&length).fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PLAYER: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 5]);

    #[test]
    fn a_frame_goes_where_its_destination_is() {
        let own = Own::new(HOST);
        for (destination, place) in [
            (HOST, Place::Host),
            (OTHER, Place::Cable),
            (Mac::BROADCAST, Place::Both),
            (Mac([1, 0, 0x5e, 0, 0, 1]), Place::Both),
        ] {
            assert_eq!(own.place(Frame::plain(&frame(destination, PLAYER, 0))), place);
        }
        assert_eq!(own.place(Frame::plain(&[1, 2])), Place::Cable);
    }

    #[test]
    fn what_this_machine_sends_from_is_this_machine_until_it_is_heard_elsewhere() {
        let mut own = Own::new(HOST);
        let from = frame(Mac::BROADCAST, OTHER, 0);
        assert!(own.hear(received(&from, FrameOrigin::ThisHost)));
        let place = |own: &Own| own.place(Frame::plain(&frame(OTHER, PLAYER, 0)));
        assert_eq!(place(&own), Place::Host);
        assert!(own.hear(received(&from, FrameOrigin::Wire)));
        assert_eq!(place(&own), Place::Cable);
    }

    #[test]
    fn a_frame_for_this_machine_is_heard_once_and_a_loops_copy_is_told() {
        let mut own = Own::new(HOST);
        let (lost, seen) = (frame(HOST, PLAYER, 1), frame(HOST, PLAYER, 2));
        own.expect(&lost);
        own.expect(&seen);
        assert!(own.hear(received(&frame(HOST, OTHER, 2), FrameOrigin::Wire)));
        assert!(!own.hear(received(&seen, FrameOrigin::Wire)));
        assert!(own.hear(received(&seen, FrameOrigin::Wire)), "once is enough");
        assert!(own.hear(received(&lost, FrameOrigin::Wire)), "not in its order");
    }

    #[test]
    fn what_never_comes_back_does_not_fill_the_memory() {
        let mut own = Own::new(HOST);
        for number in 0..=u16::MAX {
            own.expect(&frame(HOST, PLAYER, number));
        }
        assert_eq!(own.expected.len(), MAX_EXPECTED);
        for number in 0..1000_u16 {
            let [a, b] = number.to_be_bytes();
            own.hear(received(
                &frame(HOST, Mac([2, 1, 0, 0, a, b]), 0),
                FrameOrigin::ThisHost,
            ));
        }
        assert_eq!(own.others.len(), MAX_OTHERS);
    }

    fn received(bytes: &[u8], origin: FrameOrigin) -> Received<'_> {
        Received {
            frame: Frame::plain(bytes),
            origin,
        }
    }

    fn frame(destination: Mac, source: Mac, number: u16) -> Vec<u8> {
        let mut frame = [destination.0, source.0].concat();
        frame.extend([8, 0]);
        frame.extend(number.to_be_bytes());
        frame.resize(60, 0);
        frame
    }
}
