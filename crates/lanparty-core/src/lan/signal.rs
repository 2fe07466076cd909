//! What LAN gateways of one room say to each other, on the LAN and in the room: that one is active, and what it has given away; and what
//! one asks the LAN and each member to find loops.
//!
//! Broadcast frames of the local experimental EtherType (IEEE 802, clause 9.2.3), small enough for every switch and unknown to every
//! station. They carry no secret and prove nothing: whoever is on the LAN can say the same, and could as well pull the cable. Members
//! cannot: the guard lets no frame that begins like these come from one ([`DropReason::GatewaySignal`](lanparty_wire::DropReason)).

use std::net::Ipv4Addr;

use lanparty_wire::{EtherView, MIN_FRAME_LEN, Mac, ethertype};

use super::{addresses::Lease, loops::Token};

/// How the payload of every signal begins.
pub(crate) const MAGIC: &[u8; 8] = b"lanparty";
const VERSION: u8 = 1;
const BEACON: u8 = 1;
const LEASE: u8 = 2;
const PROBE: u8 = 3;
const HEADER: usize = 14;

/// Which room a signal is about, without its name: bytes that all of its LAN gateways compute alike.
pub type RoomTag = [u8; 8];

/// One signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// The sender is the room's active LAN gateway by the lease of this term.
    Beacon { term: u64 },
    /// From the active LAN gateway to one that waits: an address that its helper has given away.
    Lease(Lease),
    /// Whoever hears it at an adapter that it was not sent to has found a loop; see [`loops`](super::loops).
    Probe(Token),
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
            Signal::Lease(lease) => {
                frame.push(LEASE);
                frame.extend_from_slice(&lease.mac.0);
                frame.extend_from_slice(&lease.address.octets());
            }
            Signal::Probe(token) => {
                frame.push(PROBE);
                frame.extend_from_slice(&token.encode());
            }
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
        let signal = match kind {
            BEACON => Signal::Beacon {
                term: u64::from_be_bytes(*rest.first_chunk()?),
            },
            LEASE => Signal::Lease(Lease {
                mac: Mac(*rest.first_chunk()?),
                address: rest
                    .get(6..)?
                    .first_chunk::<4>()
                    .map(|octets| Ipv4Addr::from(*octets))?,
            }),
            PROBE => Signal::Probe(Token::decode(rest)?),
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
        for signal in [
            Signal::Beacon { term: u64::MAX - 1 },
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
            let mut frame = Signal::Beacon { term: 1 }.frame(Mac([2, 0, 0, 0, 0, 7]), ROOM)[..22].to_vec();
            frame.extend_from_slice(&bytes);
            let _ = Signal::parse(&frame);
            let _ = Signal::parse(&bytes);
        }
    }
}
