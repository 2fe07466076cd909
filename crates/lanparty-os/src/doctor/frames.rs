//! The frames that a doctor asks a LAN with, and the answers as values.

use std::net::Ipv4Addr;

use lanparty_wire::{
    ETHERNET_HEADER_LEN, EtherView, MIN_FRAME_LEN, Mac, checksum::Sum, doctor::Offer, ethertype, host::Prefix,
};

/// A whole frame: header and 1500 bytes.
const LARGE: usize = ETHERNET_HEADER_LEN + 1500;
/// Administratively scoped (RFC 2365), and of no program that is known.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 73, 42);
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const UDP: u8 = 17;
const IGMP: u8 = 2;
const DHCP_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes of a BOOTP message in front of its options, cookie included (RFC 2131, section 2).
const BOOTP_LEN: usize = 240;

/// What a frame says that a doctor has waited for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// An answer to ARP, sent to `to`.
    Arp {
        to: Mac,
        from: Mac,
        address: Ipv4Addr,
    },
    /// Somebody who has this address was heard asking.
    Seen(Ipv4Addr),
    Offer(Offer),
    /// Somebody asks who is in groups.
    Query(Mac),
}

/// An ARP request without a sender's address (RFC 5227, clause 2.1.1), which changes nobody's table.
pub(super) fn arp(from: Mac, target: Ipv4Addr, large: bool) -> Vec<u8> {
    let mut frame = header(Mac::BROADCAST, from, ethertype::ARP);
    // Ethernet and IPv4, addresses of 6 and 4 bytes, request (RFC 826).
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(from.0);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(if large { LARGE } else { MIN_FRAME_LEN }, 0);
    frame
}

/// A DHCPDISCOVER whose answer is a broadcast (RFC 2131, section 4.4.1).
pub(super) fn discover(from: Mac, transaction: u32) -> Vec<u8> {
    let mut message = vec![0; BOOTP_LEN];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[4..8].copy_from_slice(&transaction.to_be_bytes());
    message[10] = 0x80;
    message[28..34].copy_from_slice(&from.0);
    message[236..240].copy_from_slice(&DHCP_COOKIE);
    // Discover; the netmask and the router are wanted; end.
    message.extend([53, 1, 1, 55, 2, 1, 3, 255]);
    message.resize(300, 0);
    let mut datagram = Vec::new();
    datagram.extend(68_u16.to_be_bytes());
    datagram.extend(67_u16.to_be_bytes());
    datagram.extend((message.len() as u16 + 8).to_be_bytes());
    // No checksum (RFC 768).
    datagram.extend([0, 0]);
    datagram.extend(message);
    ipv4(from, Mac::BROADCAST, Ipv4Addr::BROADCAST, UDP, &datagram)
}

/// "I am in a group" (IGMPv2, RFC 2236).
pub(super) fn join(from: Mac) -> Vec<u8> {
    ipv4(from, group_mac(GROUP), GROUP, IGMP, &igmp(0x16))
}

/// "I have left it", which a querier answers by asking who else is in it.
pub(super) fn leave(from: Mac) -> Vec<u8> {
    ipv4(from, group_mac(ALL_ROUTERS), ALL_ROUTERS, IGMP, &igmp(0x17))
}

/// What a received frame says. `transaction` is that of our DHCPDISCOVERs.
pub(super) fn read(bytes: &[u8], transaction: u32) -> Option<Answer> {
    let view = EtherView::parse(bytes).ok()?;
    match view.type_or_length() {
        ethertype::ARP => read_arp(&view),
        ethertype::IPV4 => read_ipv4(&view, transaction),
        _ => None,
    }
}

fn read_arp(view: &EtherView<'_>) -> Option<Answer> {
    let message: &[u8; 28] = view.payload().first_chunk()?;
    if message[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let sender = ipv4_at(message, 14)?;
    let target = ipv4_at(message, 24)?;
    match message[7] {
        // An answer to a request without an address; those to the system's own have one.
        2 if target.is_unspecified() => Some(Answer::Arp {
            to: view.destination(),
            from: view.source(),
            address: sender,
        }),
        _ if sender.is_unspecified() => None,
        _ => Some(Answer::Seen(sender)),
    }
}

fn read_ipv4(view: &EtherView<'_>, transaction: u32) -> Option<Answer> {
    let packet = view.payload();
    let header_len = usize::from(packet.first()? & 0x0f) * 4;
    let is_first = packet
        .get(6..8)?
        .iter()
        .zip([0x3f_u8, 0xff])
        .all(|(byte, mask)| *byte & mask == 0);
    let body = packet
        .get(header_len..)
        .filter(|_| header_len >= 20 && is_first)?;
    match *packet.get(9)? {
        UDP if body.get(..4)? == [0, 67, 0, 68] => {
            read_offer(view.source(), body.get(8..)?, transaction).map(Answer::Offer)
        }
        IGMP if body.first()? == &0x11 => Some(Answer::Query(view.source())),
        _ => None,
    }
}

fn read_offer(mac: Mac, message: &[u8], transaction: u32) -> Option<Offer> {
    let is_ours = message.first()? == &2
        && message.get(4..8)? == transaction.to_be_bytes()
        && message.get(236..240)? == DHCP_COOKIE;
    if !is_ours {
        return None;
    }
    let options = message.get(BOOTP_LEN..)?;
    if option(options, 53)? != [2] {
        return None;
    }
    let server = ipv4_at(option(options, 54)?, 0)?;
    let mask = option(options, 1).and_then(|mask| ipv4_at(mask, 0));
    let address = ipv4_at(message, 16)?;
    Some(Offer {
        server,
        mac,
        address: mask
            .map(|mask| u32::from(mask).leading_ones() as u8)
            .and_then(|length| Prefix::new(address.into(), length)),
    })
}

/// The value of a DHCP option (RFC 2132, section 2).
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return None,
            [code, length, rest @ ..] => {
                let value = rest.get(..usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                options = &rest[value.len()..];
            }
        }
    }
}

fn ipv4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    Some(Ipv4Addr::from(*octets))
}

fn header(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    [&to.0[..], &from.0, &kind.to_be_bytes()].concat()
}

/// RFC 1112, section 6.4.
fn group_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

fn igmp(kind: u8) -> [u8; 8] {
    let [a, b, c, d] = GROUP.octets();
    let mut message = [kind, 0, 0, 0, a, b, c, d];
    let sum = Sum::new().add_bytes(&message).checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// From no address to `target`. Group membership stays on the LAN and alerts routers (RFC 2113, RFC 2236 section 2).
fn ipv4(from: Mac, to: Mac, target: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let (ttl, alert): (u8, &[u8]) = match protocol {
        IGMP => (1, &[0x94, 4, 0, 0]),
        _ => (64, &[]),
    };
    let length = (20 + alert.len()) as u8;
    let mut packet = vec![0; 20];
    packet[0] = 0x40 | (length / 4);
    packet[2..4].copy_from_slice(&(u16::from(length) + body.len() as u16).to_be_bytes());
    packet[8] = ttl;
    packet[9] = protocol;
    packet[16..20].copy_from_slice(&target.octets());
    packet.extend(alert);
    let sum = Sum::new().add_bytes(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = header(to, from, ethertype::IPV4);
    frame.extend(packet);
    frame.extend(body);
    frame.resize(frame.len().max(MIN_FRAME_LEN), 0);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const SERVER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    #[test]
    fn an_answer_is_told_from_a_question_and_from_the_systems_own() {
        let mut answer = header(US, SERVER, ethertype::ARP);
        answer.extend([0, 1, 8, 0, 6, 4, 0, 2]);
        answer.extend(SERVER.0);
        answer.extend([10, 73, 42, 1]);
        answer.extend(US.0);
        answer.extend([0; 4]);
        let address = Ipv4Addr::new(10, 73, 42, 1);
        let expected = Answer::Arp {
            to: US,
            from: SERVER,
            address,
        };
        assert_eq!(read(&answer, 0), Some(expected));
        // Somebody has an address and got an answer.
        answer[38..42].copy_from_slice(&[10, 73, 42, 9]);
        assert_eq!(read(&answer, 0), Some(Answer::Seen(address)));
        assert_eq!(read(&arp(US, address, false), 0), None);
    }

    #[test]
    fn requests_have_the_sizes_of_a_small_and_of_a_full_frame() {
        let target = Ipv4Addr::new(10, 73, 42, 1);
        assert_eq!(arp(US, target, false).len(), 60);
        assert_eq!(arp(US, target, true).len(), 1514);
    }

    #[test]
    fn an_offer_is_read_if_it_is_ours() {
        let offer = offer(7);
        let expected = Offer {
            server: Ipv4Addr::new(10, 73, 42, 1),
            mac: SERVER,
            address: Some("10.73.42.51/24".parse().unwrap()),
        };
        assert_eq!(read(&offer, 7), Some(Answer::Offer(expected)));
        assert_eq!(read(&offer, 8), None);
    }

    #[test]
    fn what_we_send_has_sums_that_are_right() {
        for frame in [discover(US, 1), join(US), leave(US)] {
            let header = 14..14 + usize::from(frame[14] & 0xf) * 4;
            assert_eq!(
                Sum::new().add_bytes(&frame[header]).fold(),
                0xffff,
                "{frame:02x?}"
            );
        }
        assert_eq!(Sum::new().add_bytes(&join(US)[38..46]).fold(), 0xffff);
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..300_usize, byte: u8) {
            let _ = read(&bytes, 7);
            let mut almost = offer(7);
            almost[at] = byte;
            almost.truncate(bytes.len().max(60));
            let _ = read(&almost, 7);
        }
    }

    fn offer(transaction: u32) -> Vec<u8> {
        let mut frame = discover(SERVER, transaction);
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        let message = &mut frame[42..];
        message[0] = 2;
        message[16..20].copy_from_slice(&[10, 73, 42, 51]);
        let options = [0, 53, 1, 2, 54, 4, 10, 73, 42, 1, 1, 4, 255, 255, 255, 0, 255];
        message[240..240 + options.len()].copy_from_slice(&options);
        frame
    }
}
