//! The few packets that the station speaks: ARP (RFC 826), ICMP echo (RFC 792), DHCP as a client (RFC 2131).

use std::net::Ipv4Addr;

use lanparty_wire::{EtherView, MIN_FRAME_LEN, Mac, checksum::Sum, ethertype, host::Prefix};

const ICMP: u8 = 1;
const UDP: u8 = 17;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes of a BOOTP message in front of its options, cookie included (RFC 2131, section 2).
const BOOTP: usize = 240;
/// What BOOTP relays of old take for a whole message (RFC 1542, section 2.1).
const SHORTEST: usize = 300;

/// What the station asks a DHCP server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Who has an address for me?
    Discover,
    /// I take this offer.
    Request { address: Ipv4Addr, server: Ipv4Addr },
    /// I go on using this address.
    Renew { address: Ipv4Addr },
}

/// What a DHCP server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Offer(Offer),
    Ack(Offer),
    Nak,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    pub address: Prefix,
    pub server: Ipv4Addr,
    pub seconds: u32,
    pub routers: Vec<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
}

/// What a frame wants of the station.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said<'a> {
    /// Somebody asks who has this address.
    WhoHas {
        asker: Mac,
        from: Ipv4Addr,
        address: Ipv4Addr,
    },
    /// A ping to this address.
    Ping {
        asker: Mac,
        from: Ipv4Addr,
        to: Ipv4Addr,
        /// The ICMP message behind its checksum.
        rest: &'a [u8],
    },
    /// A DHCP server's answer to the transaction.
    Dhcp(Reply),
}

/// `None` for everything else. `own` is the station, `transaction` its question.
pub fn read<'a>(frame: &'a [u8], own: Mac, transaction: u32) -> Option<Said<'a>> {
    let view = EtherView::parse(frame).ok()?;
    if view.destination() != own && !view.destination().is_multicast() {
        return None;
    }
    match view.type_or_length() {
        ethertype::ARP => read_arp(&view),
        ethertype::IPV4 => read_ipv4(&view, own, transaction),
        _ => None,
    }
}

fn read_arp<'a>(view: &EtherView<'a>) -> Option<Said<'a>> {
    let message: &[u8; 28] = view.payload().first_chunk()?;
    // Ethernet and IPv4, addresses of 6 and 4 bytes, request.
    if message[..8] != [0, 1, 8, 0, 6, 4, 0, 1] {
        return None;
    }
    Some(Said::WhoHas {
        asker: view.source(),
        from: ipv4_at(message, 14)?,
        address: ipv4_at(message, 24)?,
    })
}

fn read_ipv4<'a>(view: &EtherView<'a>, own: Mac, transaction: u32) -> Option<Said<'a>> {
    let packet = view.payload();
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16_at(packet, 2)?);
    let is_fragment = u16_at(packet, 6)? & 0x3fff != 0;
    let content = packet.get(header.max(20)..total)?;
    if packet[0] >> 4 != 4 || is_fragment {
        return None;
    }
    match packet[9] {
        ICMP if content.get(..2)? == [8, 0] => Some(Said::Ping {
            asker: view.source(),
            from: ipv4_at(packet, 12)?,
            to: ipv4_at(packet, 16)?,
            rest: content.get(4..)?,
        }),
        UDP if u16_at(content, 2)? == CLIENT_PORT => {
            read_dhcp(content.get(8..)?, own, transaction).map(Said::Dhcp)
        }
        _ => None,
    }
}

fn read_dhcp(message: &[u8], own: Mac, transaction: u32) -> Option<Reply> {
    let fixed: &[u8; BOOTP] = message.first_chunk()?;
    if fixed[..3] != [2, 1, 6]
        || fixed[4..8] != transaction.to_be_bytes()
        || fixed[28..34] != own.0
        || fixed[236..] != COOKIE
    {
        return None;
    }
    let option = |code| find_option(&message[BOOTP..], code);
    let addresses = |code| {
        let value = option(code).unwrap_or_default();
        let (addresses, _) = value.as_chunks::<4>();
        addresses.iter().copied().map(Ipv4Addr::from).collect::<Vec<_>>()
    };
    let kind = *option(53)?.first()?;
    if kind == 6 {
        return Some(Reply::Nak);
    }
    let mask = addresses(1)
        .first()
        .map_or(24, |mask| mask.to_bits().leading_ones() as u8);
    let offer = Offer {
        address: Prefix::new(ipv4_at(fixed, 16)?.into(), mask)?,
        server: *addresses(54).first()?,
        seconds: option(51).and_then(|value| Some(u32::from_be_bytes(*value.first_chunk()?)))?,
        routers: addresses(3),
        dns: addresses(6),
    };
    match kind {
        2 => Some(Reply::Offer(offer)),
        5 => Some(Reply::Ack(offer)),
        _ => None,
    }
}

fn find_option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return None,
            [code, len, ref rest @ ..] => {
                let value = rest.get(..len.into())?;
                if code == wanted {
                    return Some(value);
                }
                options = &rest[len.into()..];
            }
        }
    }
}

/// The answer to [`Said::WhoHas`].
pub fn here_i_am(own: Mac, address: Ipv4Addr, asker: Mac, from: Ipv4Addr) -> Vec<u8> {
    let mut frame = header(asker, own, ethertype::ARP);
    // As above, a reply.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(own.0);
    frame.extend(address.octets());
    frame.extend(asker.0);
    frame.extend(from.octets());
    frame.resize(MIN_FRAME_LEN, 0);
    frame
}

/// The answer to [`Said::Ping`].
pub fn pong(own: Mac, address: Ipv4Addr, asker: Mac, from: Ipv4Addr, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(rest);
    let sum = Sum::new().add_bytes(&message).checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4((own, address), (asker, from), ICMP, &message)
}

/// A broadcast that says that this address is ours now (RFC 5227, section 2.3), for switches and caches.
pub fn announcement(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = header(Mac::BROADCAST, own, ethertype::ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(own.0);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.resize(MIN_FRAME_LEN, 0);
    frame
}

/// A question to all DHCP servers, whose answer is a broadcast (RFC 2131, section 4.1).
pub fn dhcp(own: Mac, transaction: u32, question: Question) -> Vec<u8> {
    let mut message = vec![0; BOOTP];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[4..8].copy_from_slice(&transaction.to_be_bytes());
    message[10] = 0x80;
    message[28..34].copy_from_slice(&own.0);
    message[236..].copy_from_slice(&COOKIE);
    let put = |message: &mut Vec<u8>, code: u8, address: Ipv4Addr| {
        message.extend([code, 4]);
        message.extend(address.octets());
    };
    let kind = if question == Question::Discover { 1 } else { 3 };
    message.extend([53, 1, kind]);
    let mut source = Ipv4Addr::UNSPECIFIED;
    match question {
        Question::Discover => {}
        Question::Request { address, server } => {
            put(&mut message, 50, address);
            put(&mut message, 54, server);
        }
        Question::Renew { address } => {
            message[12..16].copy_from_slice(&address.octets());
            source = address;
        }
    }
    // The netmask, the router and the name servers are wanted; end.
    message.extend([55, 3, 1, 3, 6, 255]);
    message.resize(SHORTEST, 0);
    let mut datagram = Vec::new();
    datagram.extend(CLIENT_PORT.to_be_bytes());
    datagram.extend(SERVER_PORT.to_be_bytes());
    datagram.extend((message.len() as u16 + 8).to_be_bytes());
    // No checksum (RFC 768).
    datagram.extend([0, 0]);
    datagram.extend(message);
    ipv4(
        (own, source),
        (Mac::BROADCAST, Ipv4Addr::BROADCAST),
        UDP,
        &datagram,
    )
}

fn ipv4(from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((content.len() as u16 + 20).to_be_bytes());
    // Identification and fragment: none. Time to live: 64 hops.
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(from.1.octets());
    packet.extend(to.1.octets());
    let sum = Sum::new().add_bytes(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = header(to.0, from.0, ethertype::IPV4);
    frame.extend(packet);
    frame.extend(content);
    frame.resize(frame.len().max(MIN_FRAME_LEN), 0);
    frame
}

fn header(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(MIN_FRAME_LEN);
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(kind.to_be_bytes());
    frame
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn ipv4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    bytes.get(at..)?.first_chunk::<4>().copied().map(Ipv4Addr::from)
}
