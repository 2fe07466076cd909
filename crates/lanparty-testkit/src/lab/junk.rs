//! Frames that nobody wants from a remote member, one for each filter, and how they look in the wild.
//!
//! Each carries a mark that no other frame has, so that a capture can prove its absence; a decent frame with a mark of
//! its own goes beside it, so that the absence proves something.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::frame::{BROADCAST, Frame, UDP};

/// A type that IEEE 802 reserves for experiments; nothing filters it.
pub const EXPERIMENT: u16 = 0x88b5;

/// An unwanted frame.
#[derive(Debug, Clone)]
pub struct Junk {
    /// What it is, for messages.
    pub name: &'static str,
    /// The frame.
    pub frame: Frame,
    /// Bytes that only this frame contains.
    pub mark: [u8; 8],
}

/// A frame that has to arrive, with its mark.
pub fn decent(source: [u8; 6], mark: [u8; 8]) -> Frame {
    Frame::new(BROADCAST, source, EXPERIMENT, &padded(&mark))
}

/// Frames of switches and of port authentication, unwanted in both directions.
pub fn control_frames(source: [u8; 6]) -> Vec<Junk> {
    const NEAREST_BRIDGE: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    const STP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];
    const SLOW: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 2];
    const PORT_ACCESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 3];
    let mut list = List::new(source, 0xc0);
    list.add("EAPOL to its group", |source, mark| {
        Frame::new(PORT_ACCESS, source, 0x888e, &padded(mark))
    });
    list.add("EAPOL to everybody", |source, mark| {
        Frame::new(BROADCAST, source, 0x888e, &padded(mark))
    });
    list.add("a spanning tree BPDU", |source, mark| {
        let bpdu = [&[0x42, 0x42, 3, 0, 0, 0, 0, 0][..], mark, &[0; 30]].concat();
        Frame::new(STP, source, 46, &bpdu)
    });
    list.add("LLDP", |source, mark| {
        Frame::new(
            NEAREST_BRIDGE,
            source,
            0x88cc,
            &[&[2, 9, 7][..], mark, &[0; 36]].concat(),
        )
    });
    list.add("LACP", |source, mark| {
        Frame::new(SLOW, source, 0x8809, &[&[1, 1][..], mark, &[0; 100]].concat())
    });
    list.0
}

/// What a remote member must not bring to the LAN, besides [`control_frames`]; `source` is the member's own address.
pub fn remote_frames(source: [u8; 6]) -> Vec<Junk> {
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 66);
    const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66);
    const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ALL_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    let mut list = List::new(source, 0xe0);
    list.add("an answer of a DHCP server", |source, mark| {
        Frame::udp4(
            (BROADCAST, source),
            (HERE, 67),
            (Ipv4Addr::BROADCAST, 68),
            &dhcp_offer(mark),
        )
    });
    list.add("an answer of a DHCPv6 server", |source, mark| {
        Frame::udp6(
            (ALL_MAC, source),
            (LOCAL, 547),
            (ALL, 546),
            &[&[2, 1, 2, 3][..], mark].concat(),
        )
    });
    list.add("a router advertisement", |source, mark| {
        Frame::icmp6((ALL_MAC, source), (LOCAL, ALL), &router_advertisement(mark))
    });
    list.add(
        "a router advertisement behind extension headers",
        |source, mark| {
            let plain = Frame::icmp6((ALL_MAC, source), (LOCAL, ALL), &router_advertisement(mark));
            let message = &plain.payload()[40..];
            // Hop-by-hop with padding, then destination options with padding, then ICMPv6.
            let chain = [&[60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0][..], message].concat();
            Frame::ipv6((ALL_MAC, source), (LOCAL, ALL), 0, &chain)
        },
    );
    list.add("a first fragment of an IPv6 packet", |source, mark| {
        let part = [&[58, 0, 0, 1, 0, 0, 0, 7][..], &router_advertisement(mark)].concat();
        Frame::ipv6((ALL_MAC, source), (LOCAL, ALL), 44, &part)
    });
    list.add("a later fragment of an IPv6 packet", |source, mark| {
        let part = [&[UDP, 0, 0, 8, 0, 0, 0, 7][..], mark, &[0; 40]].concat();
        Frame::ipv6((ALL_MAC, source), (LOCAL, ALL), 44, &part)
    });
    list.add("a tagged frame", |source, mark| tagged(0x8100, source, mark));
    list.add("a frame with a service tag", |source, mark| {
        tagged(0x88a8, source, mark)
    });
    list.add("a frame from somebody else's address", |_, mark| {
        Frame::new(BROADCAST, [2, 0x66, 0, 0, 0, 0x66], EXPERIMENT, &padded(mark))
    });
    list.add("a frame from a group address", |_, mark| {
        Frame::new(BROADCAST, [3, 0, 0, 0, 0, 0x66], EXPERIMENT, &padded(mark))
    });
    list.add("a frame from no address", |_, mark| {
        Frame::new(BROADCAST, [0; 6], EXPERIMENT, &padded(mark))
    });
    list.0
}

/// A frame that carries more than 1500 bytes.
pub fn jumbo(source: [u8; 6], destination: [u8; 6]) -> Junk {
    let mark = [0x9a, 0x17, b'j', b'u', b'm', b'b', b'o', 0x9a];
    let frame = Frame::new(
        destination,
        source,
        EXPERIMENT,
        &[&mark[..], &[0x55; 1600]].concat(),
    );
    Junk {
        name: "a jumbo frame",
        frame,
        mark,
    }
}

struct List(Vec<Junk>, [u8; 6], u8);

impl List {
    fn new(source: [u8; 6], kind: u8) -> Self {
        Self(Vec::new(), source, kind)
    }

    fn add(&mut self, name: &'static str, make: impl FnOnce([u8; 6], &[u8]) -> Frame) {
        let number = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        let mark = [self.2, number, b'j', b'u', b'n', b'k', number, self.2];
        self.0.push(Junk {
            name,
            frame: make(self.1, &mark),
            mark,
        });
    }
}

fn padded(mark: &[u8]) -> Vec<u8> {
    [mark, &[0; 46]].concat()
}

fn tagged(tag: u16, source: [u8; 6], mark: &[u8]) -> Frame {
    let [high, low] = EXPERIMENT.to_be_bytes();
    Frame::new(
        BROADCAST,
        source,
        tag,
        &[&[0, 5, high, low][..], mark, &[0; 46]].concat(),
    )
}

/// A BOOTREPLY with the magic cookie and message type "offer" (RFC 2131); the mark stands in the server's name.
fn dhcp_offer(mark: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[44..44 + mark.len()].copy_from_slice(mark);
    message.extend_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 2, 54, 4, 10, 73, 42, 66, 255]);
    message
}

/// ICMPv6 type 134 with a lifetime of half an hour, and an unknown option that carries the mark.
fn router_advertisement(mark: &[u8]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&[253, 2]);
    message.extend_from_slice(mark);
    message.extend_from_slice(&[0; 6]);
    message
}

#[cfg(test)]
mod tests {
    use super::{super::frame::IPV6, *};

    #[test]
    fn every_frame_carries_its_mark_and_nobody_elses() {
        let source = [2, 0, 0, 0, 0, 1];
        let mut all = control_frames(source);
        all.extend(remote_frames(source));
        all.push(jumbo(source, BROADCAST));
        for one in &all {
            let carriers: Vec<&str> = all
                .iter()
                .filter(|other| other.frame.contains(&one.mark))
                .map(|other| other.name)
                .collect();
            assert_eq!(carriers, [one.name]);
            assert!(one.frame.bytes().len() >= 60, "{}", one.name);
        }
    }

    #[test]
    fn the_chain_of_extension_headers_ends_in_a_router_advertisement() {
        let hidden = &remote_frames([2, 0, 0, 0, 0, 1])[3];
        assert_eq!(hidden.frame.kind(), IPV6);
        let bytes = hidden.frame.payload();
        assert_eq!((bytes[6], bytes[40], bytes[48], bytes[56]), (0, 60, 58, 134));
    }
}
