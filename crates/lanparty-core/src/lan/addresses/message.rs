//! DHCP as far as an address helper speaks it (RFC 2131), and ARP (RFC 826) as far as it listens.

use std::net::Ipv4Addr;

use lanparty_wire::{Mac, checksum::Sum, ethertype};

use crate::lan::shape::dhcp::{COOKIE, Options};

/// What BOOTP relays and clients of old take for a whole message (RFC 1542, section 2.1).
const SHORTEST: usize = 300;

/// Option codes (RFC 2132).
mod code {
    pub const MASK: u8 = 1;
    pub const BROADCAST: u8 = 28;
    pub const ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const RENEWAL: u8 = 58;
    pub const REBINDING: u8 = 59;
    pub const END: u8 = 255;
}

/// What a message is for (RFC 2132, section 9.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
}

impl Kind {
    fn from_wire(value: u8) -> Option<Kind> {
        [
            Kind::Discover,
            Kind::Offer,
            Kind::Request,
            Kind::Decline,
            Kind::Ack,
            Kind::Nak,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == value)
    }
}

/// A DHCP message over Ethernet of a kind that matters here, whoever sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub kind: Kind,
    /// From a client to servers; else from a server.
    pub is_request: bool,
    pub transaction: [u8; 4],
    /// Seconds and flags, which an answer repeats.
    pub flags: [u8; 2],
    /// The client's address, if it uses one already.
    pub own: Option<Ipv4Addr>,
    /// Through which relay agent it has come.
    pub relay: [u8; 4],
    pub hardware: Mac,
    pub wanted: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
}

impl Message {
    /// `None` if it is no DHCP message, or of no such kind.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let fixed = bytes.get(..240)?;
        if fixed[1..3] != [1, 6] || fixed[236..] != COOKIE {
            return None;
        }
        let mut message = Message {
            kind: Kind::Nak,
            is_request: fixed[0] == 1,
            transaction: fixed[4..8].try_into().ok()?,
            flags: fixed[10..12].try_into().ok()?,
            own: address(&fixed[12..16]).filter(|own| !own.is_unspecified()),
            relay: fixed[24..28].try_into().ok()?,
            hardware: Mac(fixed[28..34].try_into().ok()?),
            wanted: None,
            server: None,
        };
        let mut kind = None;
        for option in Options(&bytes[240..]) {
            match option.code {
                code::KIND => kind = option.value.first().copied().and_then(Kind::from_wire),
                code::ADDRESS => message.wanted = address(option.value),
                code::SERVER => message.server = address(option.value),
                _ => {}
            }
        }
        message.kind = kind?;
        Some(message)
    }
}

/// What a lease says besides its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Who leases, by hardware and by IP.
    pub station: Mac,
    pub server: Ipv4Addr,
    /// The length of the network's prefix.
    pub length: u8,
    /// Seconds.
    pub lease: u32,
}

/// The frame that answers `request`; `address` is what the client gets, and none with [`Kind::Nak`].
pub fn answer(request: &Message, kind: Kind, address: Option<Ipv4Addr>, terms: &Terms) -> Vec<u8> {
    let given = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[4..8].copy_from_slice(&request.transaction);
    message[10..12].copy_from_slice(&request.flags);
    if kind != Kind::Nak {
        message[12..16].copy_from_slice(&request.own.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    message[16..20].copy_from_slice(&given.octets());
    message[24..28].copy_from_slice(&request.relay);
    message[28..34].copy_from_slice(&request.hardware.0);
    message[236..].copy_from_slice(&COOKIE);
    message.extend([code::KIND, 1, kind as u8]);
    let mut put = |code: u8, value: [u8; 4]| {
        message.extend([code, 4]);
        message.extend(value);
    };
    put(code::SERVER, terms.server.octets());
    if kind != Kind::Nak {
        let mask = mask(terms.length);
        put(code::LEASE_TIME, terms.lease.to_be_bytes());
        put(code::RENEWAL, (terms.lease / 2).to_be_bytes());
        put(code::REBINDING, (terms.lease / 8 * 7).to_be_bytes());
        put(code::MASK, mask.to_be_bytes());
        put(code::BROADCAST, (given.to_bits() | !mask).to_be_bytes());
    }
    message.push(code::END);
    message.resize(message.len().max(SHORTEST), 0);
    // Who has an address and asks for it again is reached there; everybody else hears a broadcast, whatever he can.
    match request.own.filter(|_| kind == Kind::Ack) {
        Some(own) => datagram((terms.station, request.hardware), (terms.server, own), &message),
        None => datagram(
            (terms.station, Mac::BROADCAST),
            (terms.server, Ipv4Addr::BROADCAST),
            &message,
        ),
    }
}

/// A frame from port 67 to port 68.
fn datagram(macs: (Mac, Mac), addresses: (Ipv4Addr, Ipv4Addr), payload: &[u8]) -> Vec<u8> {
    const UDP: u8 = 17;
    let length = (8 + payload.len()) as u16;
    let mut frame = ethernet(macs.0, macs.1, ethertype::IPV4);
    let mut ip = [0; 20];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(20 + length).to_be_bytes());
    ip[8..10].copy_from_slice(&[64, UDP]);
    ip[12..16].copy_from_slice(&addresses.0.octets());
    ip[16..20].copy_from_slice(&addresses.1.octets());
    let sum = Sum::new().add_bytes(&ip).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut header = [0, 67, 0, 68, 0, 0, 0, 0];
    header[4..6].copy_from_slice(&length.to_be_bytes());
    let sum = Sum::new()
        .add_bytes(&ip[12..20])
        .add_word(UDP.into())
        .add_word(length)
        .add_bytes(&header)
        .add_bytes(payload);
    let sum = match sum.checksum() {
        0 => 0xffff,
        sum => sum,
    };
    header[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    frame.extend(header);
    frame.extend(payload);
    frame
}

/// Who speaks in an ARP packet, and of which address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    pub hardware: Mac,
    /// `None` in a probe (RFC 5227, section 1.1).
    pub sender: Option<Ipv4Addr>,
    pub target: Ipv4Addr,
}

impl Arp {
    /// `None` if it is not about IPv4 on Ethernet.
    pub fn parse(bytes: &[u8]) -> Option<Arp> {
        let bytes = bytes.get(..28)?;
        if bytes[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Arp {
            hardware: Mac(bytes[8..14].try_into().ok()?),
            sender: address(&bytes[14..18]).filter(|sender| !sender.is_unspecified()),
            target: address(&bytes[24..28])?,
        })
    }
}

/// A frame that asks, in the name of `source`, whether anybody has `target` (RFC 5227, section 2.1.1).
pub fn probe(source: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(source, Mac::BROADCAST, ethertype::ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(source.0);
    frame.extend([0; 10]);
    frame.extend(target.octets());
    frame.resize(lanparty_wire::MIN_FRAME_LEN, 0);
    frame
}

/// The mask of a network whose prefix is this long.
pub fn mask(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(length.into()))
        .unwrap_or(0)
}

fn ethernet(source: Mac, destination: Mac, kind: u16) -> Vec<u8> {
    [&destination.0[..], &source.0, &kind.to_be_bytes()].concat()
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}
