//! How much fits where: budgets of datagrams, MTU inside, MSS of inner TCP.

use crate::{ETHERNET_HEADER_LEN, FRAGMENT_HEADER_LEN, HEADER_LEN, TAG_LEN};

/// The inner MTU that a LAN host believes in (IEEE 802.3).
pub const DEFAULT_MTU: u16 = 1500;
/// The smallest inner MTU that can be set: what IPv4 hosts must accept (RFC 791, section 3.2), rounded up.
pub const MIN_MTU: u16 = 576;
/// quinn's datagram budget after path MTU discovery on a 1500-byte path; assumed until a path has shown less.
pub const ASSUMED_BUDGET: u16 = 1414;
/// No QUIC path carries less than this in a datagram (RFC 9000, section 14.1, less quinn's overhead), and no leg of ours
/// may announce less.
pub const MIN_BUDGET: u16 = 1100;
/// What every datagram spends before its payload. Open rooms count the tag too.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// The largest frame (header included, no check sequence) for an inner MTU.
pub const fn frame_limit(mtu: u16) -> usize {
    mtu as usize + ETHERNET_HEADER_LEN
}

/// The largest payload (a frame) that one datagram of `budget` bytes carries in one piece.
pub const fn whole_payload(budget: u16) -> usize {
    (budget as usize).saturating_sub(OVERHEAD)
}

/// The largest piece of a fragmented payload in a datagram of `budget` bytes. Pieces are cut from the sealed payload,
/// so the tag counts once for the whole and not for each.
pub const fn piece(budget: u16) -> usize {
    (budget as usize).saturating_sub(HEADER_LEN + FRAGMENT_HEADER_LEN)
}

/// The largest TCP payload whose frame fits one datagram of `budget` bytes, for IPv4 (`ip_header` 20) or IPv6 (40).
pub const fn clamped_mss(budget: u16, ip_header: u16) -> u16 {
    let spent = OVERHEAD as u16 + ETHERNET_HEADER_LEN as u16 + ip_header + 20;
    budget.saturating_sub(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clamped_segment_fills_one_datagram_exactly() {
        for budget in [MIN_BUDGET, 1162, ASSUMED_BUDGET] {
            let frame = usize::from(clamped_mss(budget, 20)) + 20 + 20 + ETHERNET_HEADER_LEN;
            assert_eq!(frame, whole_payload(budget));
        }
        assert_eq!(whole_payload(1322), frame_limit(1280));
    }
}
