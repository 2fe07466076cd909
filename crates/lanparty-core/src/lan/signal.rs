//! What LAN gateways say on the LAN that is for nobody else: that one is active, and probes that find loops.
//!
//! Broadcast frames of the local experimental EtherType (IEEE 802, clause 9.2.3), small enough for every switch and unknown to every
//! station. They carry no secret and prove nothing: whoever is on the LAN can say the same, and could as well pull the cable. Members
//! cannot: the guard lets no frame of this kind come from one.

use std::net::Ipv4Addr;

use lanparty_wire::{EtherView, MIN_FRAME_LEN, Mac, MemberId, ethertype};

use super::addresses::Lease;

const MAGIC: &[u8; 8] = b"lanparty";
const VERSION: u8 = 1;
const BEACON: u8 = 1;
const PROBE: u8 = 2;
const BLOCKED: u8 = 3;
const LEASE: u8 = 4;
const HEADER: usize = 14;

/// Which room a signal is about, without its name: bytes that all of its LAN gateways compute alike.
pub type RoomTag = [u8; 8];

/// One signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// The sender is the room's active LAN gateway by the lease of this term.
    Beacon { term: u64 },
    /// Sent to one member of the room. Whoever sees it on the LAN knows that this member is a way back to the LAN.
    Probe { member: MemberId, nonce: u64 },
    /// From the active LAN gateway to one that waits: an address that its helper has given away.
    Lease(Lease),
    /// Tells a member that the LAN gateway has found such a way back, and carries nothing of its frames.
    Blocked,
}

impl Signal {
    /// The whole frame.
    pub fn frame(self, source: Mac, room: RoomTag) -> Vec<u8> {
        let mut frame = Vec::with_capacity(MIN_FRAME_LEN);
        frame.extend_from_slice(&Mac::BROADCAST.0);
        frame.extend_from_slice(&source.0);
        frame.extend_from_slice(&ethertype::LOCAL_EXPERIMENTAL.to_be_bytes());
        frame.extend_from_slice(MAGIC);
        frame.push(VERSION);
        frame.extend_from_slice(&room);
        match self {
            Signal::Beacon { term } => {
                frame.push(BEACON);
                frame.extend_from_slice(&term.to_be_bytes());
            }
            Signal::Probe { member, nonce } => {
                frame.push(PROBE);
                frame.extend_from_slice(&nonce.to_be_bytes());
                frame.extend_from_slice(&member.value().to_be_bytes());
            }
            Signal::Lease(lease) => {
                frame.push(LEASE);
                frame.extend_from_slice(&lease.mac.0);
                frame.extend_from_slice(&lease.address.octets());
            }
            Signal::Blocked => frame.push(BLOCKED),
        }
        frame.resize(MIN_FRAME_LEN, 0);
        frame
    }

    /// The signal in a frame, and the room that it is about; `None` for any other frame.
    pub fn parse(frame: &[u8]) -> Option<(RoomTag, Signal)> {
        let view = EtherView::parse(frame).ok()?;
        if view.type_or_length() != ethertype::LOCAL_EXPERIMENTAL {
            return None;
        }
        let rest = frame.get(HEADER..)?.strip_prefix(MAGIC)?;
        let (&[VERSION], rest) = rest.split_first_chunk::<1>()? else {
            return None;
        };
        let (&room, rest) = rest.split_first_chunk::<8>()?;
        let (&[kind], rest) = rest.split_first_chunk::<1>()?;
        let number = rest.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        let signal = match kind {
            BEACON => Signal::Beacon { term: number? },
            PROBE => Signal::Probe {
                nonce: number?,
                member: MemberId::new(u16::from_be_bytes(*rest.get(8..)?.first_chunk()?))?,
            },
            LEASE => Signal::Lease(Lease {
                mac: Mac(*rest.first_chunk()?),
                address: rest
                    .get(6..)?
                    .first_chunk::<4>()
                    .map(|octets| Ipv4Addr::from(*octets))?,
            }),
            BLOCKED => Signal::Blocked,
            _ => return None,
        };
        Some((room, signal))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: RoomTag = *b"some-tag";

    #[test]
    fn signals_are_read_as_they_were_written() {
        let source = Mac([2, 0, 0, 0, 0, 7]);
        let member = MemberId::new(513).unwrap();
        for signal in [
            Signal::Beacon { term: u64::MAX - 1 },
            Signal::Probe { member, nonce: 42 },
            Signal::Blocked,
            Signal::Lease(Lease {
                mac: source,
                address: Ipv4Addr::new(10, 73, 42, 7),
            }),
        ] {
            let frame = signal.frame(source, ROOM);
            assert_eq!(frame.len(), MIN_FRAME_LEN);
            assert_eq!(Signal::parse(&frame), Some((ROOM, signal)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut frame = Signal::Blocked.frame(Mac([2, 0, 0, 0, 0, 7]), ROOM)[..22].to_vec();
            frame.extend_from_slice(&bytes);
            let _ = Signal::parse(&frame);
            let _ = Signal::parse(&bytes);
        }
    }
}
