//! What a frame carries, found once, so that every rule, the classifier and the flow hash look at the same thing.
//!
//! Link layers are walked here and not by a library, because a filter must see what *any* receiver on the LAN may see: an
//! EtherType can stand behind VLAN tags and, after a length field, in SNAP (access points turn that into Ethernet II on
//! their own). IPv6 chains are walked here as well: etherparse stops at orders that RFC 8200 forbids and hosts accept, which is
//! where a router advertisement would hide (RFC 7113). Fixed headers are etherparse's.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use lanparty_wire::{DropReason, EtherView, Frame, Mac, Offload, ethertype};

/// Tags that are looked behind: a customer's in a provider's (IEEE 802.1Q, clause 5.1).
pub(crate) const MAX_TAGS: usize = 2;
/// Extension headers that are walked. RFC 8200 names seven, each once; a host has no reason for more.
const MAX_EXTENSIONS: usize = 16;

/// Protocol numbers (IANA) that the product decides by.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
    pub(crate) const PIM: u8 = 103;
    pub(crate) const MOBILITY: u8 = 135;
    pub(crate) const HIP: u8 = 139;
    pub(crate) const SHIM6: u8 = 140;
}

/// A frame and where its layers are.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) frame: Frame<'a>,
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    /// VLAN tags in front of `link`, counted up to one more than [`MAX_TAGS`].
    pub(crate) tags: usize,
    pub(crate) link: Link,
    pub(crate) network: Network<'a>,
}

/// What stands behind the addresses and tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// An EtherType, of an Ethernet II header or of SNAP that stands for one; its payload begins at `at`.
    Typed { ethertype: u16, at: usize },
    /// IEEE 802.2 service access points.
    Llc { destination: u8, source: u8 },
    /// SNAP with a protocol of a vendor's own.
    Vendor { oui: [u8; 3] },
    /// Novell's raw 802.3: a length, then IPX with its checksum field of `ffff`.
    RawIpx,
    /// The frame ends within its link header.
    Cut,
}

/// What the link carries.
#[derive(Debug)]
pub(crate) enum Network<'a> {
    /// Neither IPv4 nor IPv6.
    Other,
    /// It says that it is IP, and its header contradicts that or the frame's length.
    Broken,
    V4(Ip<'a>),
    V6(Ip<'a>),
}

/// An IP packet.
#[derive(Debug)]
pub(crate) struct Ip<'a> {
    /// Where its header begins in the frame.
    pub(crate) at: usize,
    /// Source and destination as they stand in the header.
    pub(crate) addresses: &'a [u8],
    /// The last protocol that could be told.
    pub(crate) protocol: u8,
    pub(crate) upper: Upper<'a>,
    /// False if an authentication header covers it or a routing header still changes its destination: then nothing behind
    /// the header may be rewritten.
    pub(crate) rewritable: bool,
}

/// What an IP packet carries, up to the packet's own end: padding is not part of it.
#[derive(Debug)]
pub(crate) enum Upper<'a> {
    /// The whole payload; it begins at `at` in the frame.
    Whole { at: usize, bytes: &'a [u8] },
    /// A part of it, `offset` bytes from its beginning.
    Fragment { offset: usize, bytes: &'a [u8] },
    /// The chain of extension headers does not end within the packet, or goes on for too long.
    Unreachable,
}

impl<'a> Packet<'a> {
    /// # Errors
    /// [`DropReason::Runt`] for fewer than 14 bytes; everything else is part of the result.
    pub(crate) fn parse(frame: Frame<'a>) -> Result<Packet<'a>, DropReason> {
        let view = EtherView::parse(frame.bytes).map_err(|_| DropReason::Runt)?;
        let (link, tags) = find_link(frame.bytes);
        Ok(Packet {
            frame,
            destination: view.destination(),
            source: view.source(),
            tags,
            link,
            network: find_network(frame, link),
        })
    }

    /// The IP packet, if there is one.
    pub(crate) fn ip(&self) -> Option<&Ip<'a>> {
        match &self.network {
            Network::V4(ip) | Network::V6(ip) => Some(ip),
            Network::Other | Network::Broken => None,
        }
    }

    /// True if it is for more than one station.
    pub(crate) fn is_flood(&self) -> bool {
        self.destination.is_multicast()
    }
}

impl<'a> Ip<'a> {
    /// The beginning of the payload of `protocol`: whole, or of a first fragment.
    pub(crate) fn beginning(&self, protocol: u8) -> Option<&'a [u8]> {
        match self.upper {
            Upper::Whole { bytes, .. } | Upper::Fragment { offset: 0, bytes, .. } => {
                (self.protocol == protocol).then_some(bytes)
            }
            Upper::Fragment { .. } | Upper::Unreachable => None,
        }
    }

    /// Source and destination port, and the payload as far as this packet has it.
    pub(crate) fn udp(&self) -> Option<(u16, u16, &'a [u8])> {
        let (header, payload) = self.beginning(protocol::UDP)?.split_first_chunk::<8>()?;
        let source = u16::from_be_bytes([header[0], header[1]]);
        let destination = u16::from_be_bytes([header[2], header[3]]);
        Some((source, destination, payload))
    }

    /// The type of an ICMPv6 message.
    pub(crate) fn icmpv6_type(&self) -> Option<u8> {
        self.beginning(protocol::ICMPV6)?.first().copied()
    }
}

/// The 16 bits at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*pair))
}

fn is_tag(ethertype: u16) -> bool {
    // Customer, provider, and the two that switches used for nesting before IEEE 802.1ad.
    matches!(
        ethertype,
        ethertype::VLAN | ethertype::SERVICE_VLAN | 0x9100 | 0x9200
    )
}

fn find_link(bytes: &[u8]) -> (Link, usize) {
    let mut link = behind_addresses(bytes, 12);
    let mut tags = 0;
    while let Link::Typed { ethertype, at } = link
        && is_tag(ethertype)
    {
        tags += 1;
        if tags > MAX_TAGS {
            break;
        }
        link = behind_addresses(bytes, at + 2);
    }
    (link, tags)
}

/// Reads the type-or-length field at `at`. A length is not checked against the frame: receivers do not agree on what to do then.
fn behind_addresses(bytes: &[u8], at: usize) -> Link {
    match word(bytes, at) {
        None => Link::Cut,
        Some(length) if length < ethertype::MIN => {
            behind_length(bytes.get(at + 2..).unwrap_or_default(), at + 2)
        }
        Some(ethertype) => Link::Typed {
            ethertype,
            at: at + 2,
        },
    }
}

/// Reads what stands behind a length: `rest` begins at `at`. The lowest bit of a service access point is a flag.
fn behind_length(rest: &[u8], at: usize) -> Link {
    const SNAP: u8 = 0xaa;
    const IP: u8 = 0x06;
    /// Ethernet types (RFC 1042), and those that IEEE 802.1H bridges keep apart: read as what they stand for.
    const ETHERNET: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 0xf8]];

    match *rest {
        [0xff, 0xff, ..] => Link::RawIpx,
        [sap, _, _, a, b, c, high, low, ..] if sap & !1 == SNAP => {
            let ethertype = u16::from_be_bytes([high, low]);
            if ETHERNET.contains(&[a, b, c]) && ethertype >= ethertype::MIN {
                Link::Typed {
                    ethertype,
                    at: at + 8,
                }
            } else {
                Link::Vendor { oui: [a, b, c] }
            }
        }
        [sap, ..] if sap & !1 == SNAP => Link::Cut,
        [sap, _, _, ..] if sap & !1 == IP => Link::Typed {
            ethertype: ethertype::IPV4,
            at: at + 3,
        },
        [destination, source, _, ..] => Link::Llc { destination, source },
        _ => Link::Cut,
    }
}

fn find_network(frame: Frame<'_>, link: Link) -> Network<'_> {
    let Link::Typed { ethertype, at } = link else {
        return Network::Other;
    };
    let bytes = frame.bytes.get(at..).unwrap_or_default();
    let is_super = match frame.offload {
        Offload::TcpSegments { .. } | Offload::UdpSegments { .. } => true,
        Offload::None | Offload::ChecksumNeeded { .. } => false,
    };
    match ethertype {
        ethertype::IPV4 => ipv4(bytes, at, is_super).map_or(Network::Broken, Network::V4),
        ethertype::IPV6 => ipv6(bytes, at, is_super).map_or(Network::Broken, Network::V6),
        _ => Network::Other,
    }
}

fn ipv4(bytes: &[u8], at: usize, is_super: bool) -> Option<Ip<'_>> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let header_len = header.slice().len();
    let declared = usize::from(header.total_len());
    let end = match declared {
        // The length of a super-frame is the kernel's business until it is cut.
        _ if is_super && !(header_len..=bytes.len()).contains(&declared) => bytes.len(),
        declared => declared,
    };
    let payload = bytes.get(header_len..end)?;
    let offset = usize::from(header.fragments_offset().value()) * 8;
    let upper = if header.is_fragmenting_payload() {
        Upper::Fragment {
            offset,
            bytes: payload,
        }
    } else {
        Upper::Whole {
            at: at + header_len,
            bytes: payload,
        }
    };
    Some(Ip {
        at,
        addresses: bytes.get(12..20)?,
        protocol: header.protocol().0,
        upper,
        rewritable: true,
    })
}

fn ipv6(bytes: &[u8], at: usize, is_super: bool) -> Option<Ip<'_>> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let declared = 40 + usize::from(header.payload_length());
    let end = match declared {
        _ if is_super && !(41..=bytes.len()).contains(&declared) => bytes.len(),
        declared => declared,
    };
    let chain = walk(bytes.get(..end)?, header.next_header().0, at);
    Some(Ip {
        at,
        addresses: bytes.get(8..40)?,
        protocol: chain.protocol,
        upper: chain.upper,
        rewritable: chain.rewritable,
    })
}

struct Chain<'a> {
    protocol: u8,
    upper: Upper<'a>,
    rewritable: bool,
}

/// Walks the extension headers of `packet` (RFC 8200, section 4), in whatever order they come. ESP and unknown protocols end
/// the chain: what is behind them reaches only a host that shares a key, or no host.
fn walk(packet: &[u8], first: u8, network: usize) -> Chain<'_> {
    let mut chain = Chain {
        protocol: first,
        upper: Upper::Unreachable,
        rewritable: true,
    };
    let mut at = 40;
    for _ in 0..=MAX_EXTENSIONS {
        let Some(rest) = packet.get(at..) else {
            break;
        };
        let units = rest.get(1).copied().map_or(0, usize::from);
        let len = match chain.protocol {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => 8 + units * 8,
            protocol::AUTHENTICATION => 8 + units * 4,
            protocol::FRAGMENT => {
                chain.upper = fragment(rest, &mut chain.protocol);
                break;
            }
            _ => {
                let at = network + at;
                chain.upper = Upper::Whole { at, bytes: rest };
                break;
            }
        };
        let Some(header) = rest.get(..len) else {
            break;
        };
        chain.rewritable &= match chain.protocol {
            protocol::AUTHENTICATION => false,
            protocol::ROUTING => header[3] == 0,
            _ => true,
        };
        chain.protocol = header[0];
        at += len;
    }
    chain
}

/// Reads a fragment header (RFC 8200, section 4.5) and says in `protocol` what is fragmented.
fn fragment<'a>(rest: &'a [u8], protocol: &mut u8) -> Upper<'a> {
    let Some((header, bytes)) = rest.split_first_chunk::<8>() else {
        return Upper::Unreachable;
    };
    *protocol = header[0];
    let field = u16::from_be_bytes([header[2], header[3]]);
    Upper::Fragment {
        offset: usize::from(field & !7),
        bytes,
    }
}
