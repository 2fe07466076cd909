//! The last minute of frames by which programs find each other.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use lanparty_wire::{EtherView, ethertype};

use super::pcapng;

/// How far back it goes.
const KEPT: Duration = Duration::from_secs(60);
/// Bytes of blocks at most: a minute of 200 frames a second of 150 bytes.
const MOST: usize = 2 << 20;

/// Blocks of a file, the oldest first.
#[derive(Default)]
pub(super) struct Discovery {
    blocks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Discovery {
    /// Frames to groups, ARP, and DHCP also where it is answered to one station.
    pub fn wants(frame: &[u8]) -> bool {
        let Ok(view) = EtherView::parse(frame) else {
            return false;
        };
        view.destination().is_multicast()
            || view.type_or_length() == ethertype::ARP
            || (view.type_or_length() == ethertype::IPV4 && is_dhcp(view.payload()))
    }

    pub fn keep(&mut self, now: Instant, time: SystemTime, inbound: bool, frame: &[u8], comment: &str) {
        let mut block = Vec::with_capacity(frame.len() + comment.len() + 64);
        pcapng::packet(&mut block, time, inbound, frame, comment);
        self.bytes += block.len();
        self.blocks.push_back((now, block));
        while let Some((at, block)) = self.blocks.front()
            && (self.bytes > MOST || now.saturating_duration_since(*at) > KEPT)
        {
            self.bytes -= block.len();
            self.blocks.pop_front();
        }
    }

    /// The file of what is not too old.
    pub fn to_file(&self, now: Instant) -> Vec<u8> {
        let mut file = pcapng::header();
        for (at, block) in &self.blocks {
            if now.saturating_duration_since(*at) <= KEPT {
                file.extend_from_slice(block);
            }
        }
        file
    }
}

/// UDP from or to port 67 or 68, in a packet that is no later fragment.
fn is_dhcp(packet: &[u8]) -> bool {
    const UDP: u8 = 17;
    let [first, ..] = packet else {
        return false;
    };
    let header = usize::from(first & 0x0f) * 4;
    let (Some(&UDP), Some(ports)) = (packet.get(9), packet.get(header..header + 4)) else {
        return false;
    };
    [[ports[0], ports[1]], [ports[2], ports[3]]]
        .map(u16::from_be_bytes)
        .iter()
        .any(|port| matches!(port, 67 | 68))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read the clock")]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_a_minute_and_no_more_than_its_bytes() {
        let now = Instant::now();
        let mut discovery = Discovery::default();
        let keep = |discovery: &mut Discovery, at: Duration, byte: u8, len: usize| {
            discovery.keep(now + at, SystemTime::UNIX_EPOCH, true, &vec![byte; len], "passed");
        };
        keep(&mut discovery, Duration::ZERO, 1, 1000);
        keep(&mut discovery, KEPT / 2, 2, 2000);
        let at = |after: Duration| discovery.to_file(now + after).len();
        assert!(at(KEPT) > 3000);
        assert!((2000..3000).contains(&at(KEPT + KEPT / 4)));
        assert_eq!(at(KEPT * 2), pcapng::header().len());
        for _ in 0..2 * MOST / 1000 {
            keep(&mut discovery, KEPT, 3, 1000);
        }
        assert!(discovery.bytes <= MOST);
    }

    #[test]
    fn groups_arp_and_dhcp_are_discovery() {
        let frame = |destination: [u8; 6], kind: u16, payload: &[u8]| {
            [
                &destination[..],
                &[2, 0, 0, 0, 0, 1],
                &kind.to_be_bytes(),
                payload,
            ]
            .concat()
        };
        let udp = |from: u16, to: u16| {
            let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
            packet.extend(from.to_be_bytes());
            packet.extend(to.to_be_bytes());
            packet.extend([0, 8, 0, 0]);
            packet
        };
        const ONE: [u8; 6] = [2, 0, 0, 0, 0, 2];
        assert!(Discovery::wants(&frame([0xff; 6], 0x8137, &[0; 46])));
        assert!(Discovery::wants(&frame(ONE, 0x0806, &[0; 46])));
        assert!(Discovery::wants(&frame(ONE, 0x0800, &udp(67, 68))));
        assert!(!Discovery::wants(&frame(ONE, 0x0800, &udp(5000, 6000))));
        assert!(!Discovery::wants(&frame(ONE, 0x0800, &[0x4f])));
        assert!(!Discovery::wants(&[1, 2, 3]));
    }
}
