//! A room for strangers.

use std::{net::Ipv4Addr, time::Duration};

use lanparty_wire::ethertype;

use super::*;
use crate::guard::{HeardLease, between_strangers, claims_its_own, lease_in, stranger_to_lan};

/// As [`ipv4`] has it.
const LEASE: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 0, 0, 1));
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

#[test]
fn strangers_find_and_play_games_with_each_other_and_nothing_else() {
    for (ports, is_open) in [
        ((40_000, 27_015), true),
        ((27_015, 40_000), true),
        ((27_005, 27_015), true),
        ((5353, 5353), true),
        ((1900, 50_000), true),
        ((40_000, 445), false),
        ((27_015, 445), false),
        ((27_015, 8080), false),
        ((27_015, 47_001), false),
        ((40_000, 3389), false),
        ((68, 67), false),
        ((40_000, 12_345), false),
    ] {
        let frame = v4(&ipv4(17, &[], &udp(ports.0, ports.1, &[7; 20])));
        assert_eq!(among(&frame).is_ok(), is_open, "UDP {ports:?}");
    }
    for (ports, flags, is_open) in [
        ((40_000, 25_565), SYN, true),
        ((25_565, 40_000), SYN | ACK, true),
        ((25_565, 40_000), SYN, false),
        ((40_000, 5353), SYN, false),
        ((40_000, 5985), SYN, false),
    ] {
        let frame = v4(&ipv4(6, &[], &tcp(ports, flags, &[], &[])));
        assert_eq!(among(&frame).is_ok(), is_open, "TCP {ports:?}");
    }
    let ping = v4(&ipv4(1, &[], &[8, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(among(&ping), Err(DropReason::Stranger));
    assert_eq!(
        among(&ether(Mac::BROADCAST, ethertype::IPX, &[7; 60])),
        Err(DropReason::Stranger)
    );
    assert!(among(&arp(MEMBER, [10, 0, 0, 1])).is_ok());
    assert!(among(&v6(&ipv6(58, &[135; 24]))).is_ok());
}

#[test]
fn services_of_the_lan_are_closed_to_strangers_and_everything_else_is_open() {
    for (port, is_open) in [
        (80, true),
        (27_015, true),
        (53, true),
        (67, true),
        (445, false),
        (139, false),
        (3389, false),
        (5985, false),
    ] {
        for (protocol, payload) in [
            (17, udp(40_000, port, &[])),
            (6, tcp((40_000, port), SYN, &[], &[])),
        ] {
            for frame in [v4(&ipv4(protocol, &[], &payload)), v6(&ipv6(protocol, &payload))] {
                assert_eq!(lan(&frame).is_ok(), is_open, "{port} by {protocol}");
            }
        }
    }
    assert!(lan(&v4(&ipv4(1, &[], &[8; 8]))).is_ok());
    assert!(lan(&ether(Mac::BROADCAST, ethertype::IPX, &[7; 60])).is_ok());
    assert_eq!(
        lan(&llc(STATION, &[0xf0, 0xf0, 3], &[0; 40])),
        Err(DropReason::ClosedService)
    );
    assert_eq!(
        lan(&v4(&ipv4(41, &[], &[0x60; 40]))),
        Err(DropReason::ClosedService)
    );
}

#[test]
fn an_ipv4_address_is_what_dhcp_has_given() {
    let packet = v4(&ipv4(17, &[], &udp(40_000, 27_015, &[])));
    assert_eq!(claims(&packet, LEASE), Ok(()));
    assert_eq!(claims(&packet, None), Err(DropReason::ForgedAddress));
    assert_eq!(claims(&packet, Some(OTHER)), Err(DropReason::ForgedAddress));
    for (frame, is_own) in [
        (arp(MEMBER, [10, 0, 0, 1]), true),
        (arp(MEMBER, [0; 4]), true),
        (arp(MEMBER, [10, 0, 0, 77]), false),
        (arp(STATION, [10, 0, 0, 1]), false),
        (ether(Mac::BROADCAST, ethertype::ARP, &[0; 27]), false),
    ] {
        assert_eq!(claims(&frame, LEASE).is_ok(), is_own, "{frame:02x?}");
    }
    let asks = |mac: Mac| v4(&ipv4(17, &[], &udp(68, 67, &dhcp(1, mac, [0; 4], 3))));
    assert_eq!(
        claims(&asks(MEMBER), None),
        Ok(()),
        "who has none yet must be able to ask"
    );
    assert_eq!(claims(&asks(STATION), LEASE), Err(DropReason::ForgedAddress));
}

#[test]
fn an_ipv6_address_is_the_one_that_the_mac_makes() {
    let own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1];
    let from = |source: [u8; 16], message: &[u8]| {
        let mut packet = ipv6(58, message);
        packet[8..24].copy_from_slice(&source);
        v6(&packet)
    };
    let neighbor = |kind: u8, target: [u8; 16], mac: Mac| {
        [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target, &[2, 1], &mac.0].concat()
    };
    let other = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    for (frame, is_own) in [
        (from(own, &neighbor(136, own, MEMBER)), true),
        (from(own, &neighbor(135, other, MEMBER)), true),
        (from([0; 16], &[135; 24]), true),
        (from(own, &neighbor(136, other, MEMBER)), false),
        (from(own, &neighbor(136, own, STATION)), false),
        (from(other, &neighbor(136, other, MEMBER)), false),
        (from(own, &[128, 0, 0, 0]), true),
        (from(other, &[128, 0, 0, 0]), false),
    ] {
        assert_eq!(claims(&frame, None).is_ok(), is_own, "{frame:02x?}");
    }
}

#[test]
fn a_lease_is_learned_from_an_acknowledgement_only() {
    let reply = |op, kind, ports: (u16, u16)| {
        let message = dhcp(op, MEMBER, [10, 0, 0, 7], kind);
        lease_in(Frame::plain(&v4(&ipv4(
            17,
            &[],
            &udp(ports.0, ports.1, &message),
        ))))
    };
    let heard = HeardLease {
        mac: MEMBER,
        address: Ipv4Addr::new(10, 0, 0, 7),
        lifetime: Duration::from_secs(3600),
    };
    assert_eq!(reply(2, 5, (67, 68)), Some(heard));
    for (op, kind, ports) in [
        (2, 2, (67, 68)),
        (1, 5, (67, 68)),
        (2, 5, (67, 69)),
        (2, 6, (67, 68)),
    ] {
        assert_eq!(reply(op, kind, ports), None);
    }
}

fn among(frame: &[u8]) -> Result<(), DropReason> {
    between_strangers(Frame::plain(frame))
}

fn lan(frame: &[u8]) -> Result<(), DropReason> {
    stranger_to_lan(Frame::plain(frame))
}

fn claims(frame: &[u8], lease: Option<Ipv4Addr>) -> Result<(), DropReason> {
    claims_its_own(Frame::plain(frame), MEMBER, lease)
}

fn arp(sender: Mac, address: [u8; 4]) -> Vec<u8> {
    let body = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &sender.0,
        &address,
        &[0; 6],
        &[10, 0, 0, 9],
    ]
    .concat();
    ether(Mac::BROADCAST, ethertype::ARP, &body)
}

/// A message of DHCP with nothing but its type among the options, behind padding.
fn dhcp(op: u8, mac: Mac, address: [u8; 4], kind: u8) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[op, 1, 6]);
    message[16..20].copy_from_slice(&address);
    message[28..34].copy_from_slice(&mac.0);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message.extend([0, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 53, 1, kind, 255]);
    message
}
