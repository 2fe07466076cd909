use etherparse::SlicedPacket;
use proptest::prelude::*;

use super::*;

const PARTY: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 17);
const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);
const VPN: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
const ALL: Ipv4Addr = Ipv4Addr::BROADCAST;

fn udp(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap() + 8;
    let ip = Ipv4Header::new(len, 64, IpNumber::UDP, from.octets(), to.octets()).unwrap();
    let udp = UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, payload).unwrap();
    [&ip.to_bytes()[..], &udp.to_bytes(), payload].concat()
}

/// A time like any other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// All that comes out within a second.
fn out(strays: &mut Strays, from: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| strays.poll(from + ms(1000), PARTY)).collect()
}

#[test]
fn a_broadcast_by_another_interface_comes_out_with_its_ports_from_the_partys_address() {
    let (mut strays, now) = (Strays::default(), start());
    strays.handle_packet(now, &udp(HOME, ALL, (6112, 6111), b"who hosts?"), PARTY);
    assert_eq!(strays.poll(now, PARTY), None, "the party's own may still come");
    let due = strays.deadline().unwrap();
    let sent = strays.poll(due, PARTY).unwrap();
    assert_eq!(strays.deadline(), None);
    let packet = udp(PARTY, ALL, (6112, 6111), b"who hosts?");
    assert_eq!(packet[20..], sent[..], "ports, length, checksum and payload");
}

#[test]
fn what_the_party_gets_anyway_is_not_copied_whichever_comes_first() {
    let now = start();
    let [home, party] = [HOME, PARTY].map(|from| udp(from, ALL, (2302, 2302), b"enum"));
    for order in [[&party, &home], [&home, &party]] {
        let mut strays = Strays::default();
        strays.handle_packet(now, order[0], PARTY);
        strays.handle_packet(now + ms(5), order[1], PARTY);
        assert!(out(&mut strays, now).is_empty());
    }
}

#[test]
fn what_leaves_by_several_other_interfaces_is_copied_once_and_again_when_the_game_repeats_it() {
    let (mut strays, begin) = (Strays::default(), start());
    for round in 0..4 {
        let now = begin + ms(250) * round;
        for from in [HOME, VPN] {
            strays.handle_packet(now, &udp(from, ALL, (27015, 27015), b"TSource"), PARTY);
        }
        assert_eq!(out(&mut strays, now).len(), 1, "round {round}");
    }
}

#[test]
fn our_own_copy_is_heard_and_not_copied() {
    let (mut strays, now) = (Strays::default(), start());
    strays.handle_packet(now, &udp(HOME, ALL, (6112, 6112), b"hello"), PARTY);
    let sent = out(&mut strays, now);
    assert_eq!(sent.len(), 1);
    let own = udp(PARTY, ALL, (6112, 6112), &sent[0][8..]);
    strays.handle_packet(now + ms(25), &own, PARTY);
    assert!(out(&mut strays, now).is_empty());
}

#[test]
fn what_is_an_interfaces_own_affair_or_no_broadcast_stays_where_it_is() {
    let (mut strays, now) = (Strays::default(), start());
    let discover = udp(HOME, ALL, (68, 67), b"DHCP");
    let names = udp(HOME, ALL, (137, 137), b"NetBIOS");
    let of_no_address = udp(Ipv4Addr::UNSPECIFIED, ALL, (5000, 5000), b"x");
    let directed = udp(HOME, Ipv4Addr::new(192, 168, 1, 255), (5000, 5000), b"x");
    let multicast = udp(HOME, Ipv4Addr::new(239, 255, 255, 250), (1900, 1900), b"x");
    let mut fragment = udp(HOME, ALL, (5000, 5000), b"x");
    fragment[6] = 0x20;
    let mut tcp = udp(HOME, ALL, (5000, 5000), b"x");
    tcp[9] = 6;
    for packet in [discover, names, of_no_address, directed, multicast, fragment, tcp] {
        strays.handle_packet(now, &packet, PARTY);
        assert_eq!(strays.deadline(), None, "{packet:?}");
    }
}

#[test]
fn a_storm_of_broadcasts_is_held_to_a_few() {
    let (mut strays, now) = (Strays::default(), start());
    for number in 0..10_000_u32 {
        strays.handle_packet(now, &udp(HOME, ALL, (1, 2), &number.to_be_bytes()), PARTY);
    }
    assert!(strays.held.len() <= MOST && strays.seen.len() <= MOST);
}

proptest! {
    #[test]
    fn no_packet_panics_and_what_comes_out_is_whole(
        packet in proptest::collection::vec(any::<u8>(), 0..80), payload in proptest::collection::vec(any::<u8>(), 0..64), cut in 0..100_usize,
    ) {
        let (mut strays, now) = (Strays::default(), start());
        strays.handle_packet(now, &packet, PARTY);
        let mut whole = udp(HOME, ALL, (9, 10), &payload);
        whole.truncate(cut);
        strays.handle_packet(now, &whole, PARTY);
        for sent in out(&mut strays, now) {
            let packet = udp(PARTY, ALL, (9, 10), &sent[8..]);
            prop_assert!(SlicedPacket::from_ip(&packet).is_ok() && packet[20..] == sent[..]);
        }
    }
}
