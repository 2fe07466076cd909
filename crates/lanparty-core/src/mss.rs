//! Clamps the segment size that TCP hosts agree on, so that a full segment fits one datagram of the smaller leg.
//!
//! A LAN host believes in 1500 bytes and cannot be told otherwise by a bridge (DESIGN, section 8). Larger packets travel in fragments;
//! TCP, which is most of the bytes, is better off with segments that need none. Done at both ends, before sealing.

use lanparty_wire::{Frame, mtu};

use crate::guard::{Network, Packet, Upper, protocol, word};

/// Lowers the MSS option in the SYN of a finished frame to what a datagram of `budget` bytes carries; never raises it. A budget
/// below [`mtu::MIN_BUDGET`] counts as that. True if the frame has changed.
///
/// A frame with [`lanparty_wire::Offload::ChecksumNeeded`] must be finished first (`segment.rs`): its checksum does not cover the
/// option yet, so correcting it would break it.
pub fn clamp(frame: &mut [u8], budget: u16) -> bool {
    let Some(found) = find(frame) else {
        return false;
    };
    let limit = mtu::clamped_mss(budget.max(mtu::MIN_BUDGET), found.ip_header);
    let (Some(offered), Some(sum)) = (word(frame, found.value), word(frame, found.checksum)) else {
        return false;
    };
    if offered <= limit {
        return false;
    }
    let sum = corrected(sum, found.seen(offered), found.seen(limit));
    put(frame, found.value, limit) && put(frame, found.checksum, sum)
}

/// Where the parts of a SYN stand in its frame.
struct Found {
    ip_header: u16,
    value: usize,
    checksum: usize,
    /// True if the value stands across two words of the checksum.
    is_odd: bool,
}

impl Found {
    /// The value as the checksum sees it.
    fn seen(&self, value: u16) -> u16 {
        if self.is_odd { value.swap_bytes() } else { value }
    }
}

const SYNCHRONIZE: u8 = 0b10;

fn find(frame: &[u8]) -> Option<Found> {
    if is_surely_none(frame) {
        return None;
    }
    let packet = Packet::parse(Frame::plain(frame)).ok()?;
    let (ip, ip_header) = match &packet.network {
        Network::V4(ip) => (ip, 20),
        Network::V6(ip) => (ip, 40),
        Network::Other | Network::Broken => return None,
    };
    let Upper::Whole { at, bytes } = ip.upper else {
        return None;
    };
    let header = bytes.first_chunk::<20>()?;
    if ip.protocol != protocol::TCP || header[13] & SYNCHRONIZE == 0 || !ip.rewritable {
        return None;
    }
    let options = bytes.get(20..usize::from(header[12] >> 4) * 4)?;
    let value = 20 + find_value(options)?;
    Some(Found {
        ip_header,
        value: at + value,
        checksum: at + 16,
        is_odd: value % 2 == 1,
    })
}

/// True for what is most of the traffic, by a look at fixed places: IP without options that carries UDP, or TCP without SYN. What
/// this does not know is parsed.
fn is_surely_none(frame: &[u8]) -> bool {
    const V4: [u8; 3] = [0x08, 0x00, 0x45];
    const V6: [u8; 2] = [0x86, 0xdd];

    let (protocol, flags) = match frame.get(12..15) {
        Some(start) if start == V4 => (frame.get(23), frame.get(14 + 20 + 13)),
        Some(start) if start[..2] == V6 => (frame.get(20), frame.get(14 + 40 + 13)),
        Some(_) | None => return false,
    };
    match (protocol, flags) {
        (Some(&protocol::UDP), _) => true,
        (Some(&protocol::TCP), Some(flags)) => flags & SYNCHRONIZE == 0,
        (Some(_) | None, _) => false,
    }
}

/// Where the value of the MSS option stands in `options` (RFC 9293, section 3.1).
fn find_value(options: &[u8]) -> Option<usize> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const MSS: u8 = 2;

    let mut at = 0;
    loop {
        let option = options.get(at..)?;
        match *option {
            [END, ..] | [] => return None,
            [NOTHING, ..] => at += 1,
            [MSS, 4, _, _, ..] => return Some(at + 2),
            [_, len, ..] if len >= 2 => at += usize::from(len),
            [_, ..] => return None,
        }
    }
}

/// The checksum after `old` has become `new` (RFC 1624, equation 3).
fn corrected(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

fn put(frame: &mut [u8], at: usize, value: u16) -> bool {
    let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) else {
        return false;
    };
    *place = value.to_be_bytes();
    true
}

#[cfg(test)]
mod tests {
    use lanparty_wire::{ethertype, mtu::ASSUMED_BUDGET};
    use proptest::prelude::*;

    use super::*;
    use crate::guard::crafted::*;

    const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];

    #[test]
    fn a_syn_is_clamped_to_what_one_datagram_carries() {
        for (budget, v4, v6) in [(ASSUMED_BUDGET, 1332, 1312), (1162, 1080, 1060), (0, 1018, 998)] {
            for flags in [SYN, SYN | ACK] {
                assert_eq!(clamped(syn_v4(flags, &MSS), budget), (true, Some(v4)));
                assert_eq!(clamped(syn_v6(flags, &MSS), budget), (true, Some(v6)));
            }
        }
    }

    #[test]
    fn a_full_segment_of_the_clamped_size_fits_the_budget() {
        let (_, offered) = clamped(syn_v4(SYN, &MSS), 1300);
        let frame = v4(&ipv4(
            6,
            &[],
            &tcp((1, 2), ACK, &[], &vec![0; offered.unwrap().into()]),
        ));
        assert_eq!(frame.len(), mtu::whole_payload(1300));
    }

    #[test]
    fn nothing_is_raised() {
        for small in [[2, 4, 0, 1], [2, 4, 5, 0x34]] {
            let frame = syn_v4(SYN, &small);
            assert!(!clamped(frame, ASSUMED_BUDGET).0);
        }
    }

    #[test]
    fn the_option_is_found_wherever_it_stands() {
        for options in [
            &[1, 1, 2, 4, 5, 0xb4, 1, 1][..],
            // Across two words of the checksum.
            &[1, 2, 4, 5, 0xb4, 1, 0, 0],
            &[3, 3, 7, 2, 4, 5, 0xb4, 0],
            &[4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 5, 0xb4],
        ] {
            assert_eq!(
                clamped(syn_v4(SYN, options), ASSUMED_BUDGET),
                (true, Some(1332)),
                "{options:?}"
            );
            assert_eq!(
                clamped(syn_v6(SYN, options), ASSUMED_BUDGET),
                (true, Some(1312)),
                "{options:?}"
            );
        }
    }

    #[test]
    fn headers_in_front_of_it_do_not_hide_it() {
        let segment = |header_len, frame| with_checksum(frame, header_len, 6, 16);
        let options = segment(40, v4(&ipv4(6, &[1; 20], &tcp((1, 2), SYN, &MSS, &[]))));
        let (mut frame, at) = (options, 14 + 40 + 22);
        assert!(clamp(&mut frame, ASSUMED_BUDGET));
        assert_eq!(word(&frame, at), Some(1332));
        assert_eq!(transport_checksum(&frame, 40, 6), 0);

        let mut frame = v6(&ipv6(
            0,
            &extension(60, 0, &extension(6, 1, &tcp((1, 2), SYN, &MSS, &[]))),
        ));
        assert!(clamp(&mut frame, ASSUMED_BUDGET));
        assert_eq!(word(&frame, 14 + 40 + 8 + 16 + 22), Some(1312));

        let tagged = [&[0, 5, 8, 0][..], &ipv4(6, &[], &tcp((1, 2), SYN, &MSS, &[]))].concat();
        let mut frame = ether(STATION, ethertype::VLAN, &tagged);
        assert!(clamp(&mut frame, ASSUMED_BUDGET));
        assert_eq!(word(&frame, 18 + 20 + 22), Some(1332));
    }

    #[test]
    fn what_is_no_syn_or_not_ours_to_change_stays() {
        let authenticated = [&[6, 4][..], &[0; 22], &tcp((1, 2), SYN, &MSS, &[])].concat();
        for mut frame in [
            v4(&ipv4(6, &[], &tcp((1, 2), ACK, &MSS, &[]))),
            v4(&ipv4(17, &[], &tcp((1, 2), SYN, &MSS, &[]))),
            v4(&fragment_v4(6, &[], 1, &tcp((1, 2), SYN, &MSS, &[]))),
            v6(&ipv6(51, &authenticated)),
            // Options that end, or lie about their length, before it.
            v4(&ipv4(
                6,
                &[],
                &tcp((1, 2), SYN, &[0, 0, 0, 0, 2, 4, 5, 0xb4], &[]),
            )),
            v4(&ipv4(
                6,
                &[],
                &tcp((1, 2), SYN, &[8, 0, 1, 1, 2, 4, 5, 0xb4], &[]),
            )),
            v4(&ipv4(
                6,
                &[],
                &tcp((1, 2), SYN, &[8, 1, 2, 4, 5, 0xb4, 0, 0], &[]),
            )),
            v4(&ipv4(
                6,
                &[],
                &tcp((1, 2), SYN, &[8, 200, 1, 1, 2, 4, 5, 0xb4], &[]),
            )),
            v4(&ipv4(6, &[], &tcp((1, 2), SYN, &[2, 3, 5, 0xb4], &[]))),
            v4(&ipv4(6, &[], &tcp((1, 2), SYN, &[1, 1, 1, 2], &[4, 5, 0xb4]))),
            ether(STATION, ethertype::ARP, &tcp((1, 2), SYN, &MSS, &[])),
        ] {
            let before = frame.clone();
            assert!(!clamp(&mut frame, ASSUMED_BUDGET));
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn a_sum_that_carries_twice_is_corrected() {
        let sum = |value: u16| checksum(&[value, 0x8000].map(u16::to_be_bytes).concat());
        assert_eq!(corrected(sum(0x7fff), 0x7fff, 0x8000), sum(0x8000));
    }

    proptest! {
        #[test]
        fn the_checksum_stays_right(
            padding in 0usize..8,
            offered: u16,
            budget: u16,
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let [high, low] = offered.to_be_bytes();
            let mut options = vec![1; padding];
            options.extend([2, 4, high, low]);
            options.resize(options.len().next_multiple_of(4), 0);
            let packet = ipv4(6, &[], &tcp((1, 2), SYN, &options, &payload));
            let mut frame = with_checksum(v4(&packet), 20, 6, 16);
            let before = frame.clone();
            let changed = clamp(&mut frame, budget);
            prop_assert_eq!(changed, frame != before);
            prop_assert_eq!(transport_checksum(&frame, 20, 6), 0);
            prop_assert!(word(&frame, 14 + 40 + padding + 2).unwrap() <= offered);
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), budget: u16) {
            clamp(&mut bytes, budget);
            let mut frame = v4(&ipv4(6, &[], &bytes));
            clamp(&mut frame, budget);
        }
    }

    fn syn_v4(flags: u8, options: &[u8]) -> Vec<u8> {
        with_checksum(v4(&ipv4(6, &[], &tcp((1, 2), flags, options, &[]))), 20, 6, 16)
    }

    fn syn_v6(flags: u8, options: &[u8]) -> Vec<u8> {
        with_checksum(v6(&ipv6(6, &tcp((1, 2), flags, options, &[]))), 40, 6, 16)
    }

    /// Whether the frame was changed, and the MSS that it then offers.
    fn clamped(mut frame: Vec<u8>, budget: u16) -> (bool, Option<u16>) {
        let header_len = if frame[14] >> 4 == 4 { 20 } else { 40 };
        let changed = clamp(&mut frame, budget);
        assert_eq!(transport_checksum(&frame, header_len, 6), 0);
        let options = &frame[14 + header_len + 20..];
        let at = options.windows(2).position(|pair| pair == [2, 4]).unwrap();
        (changed, word(options, at + 2))
    }
}
