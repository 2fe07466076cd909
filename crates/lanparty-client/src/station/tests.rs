//! The station against frames as a party's hosts send them.

use lanparty_wire::{EtherView, ethertype};

use super::*;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 7]);
const SERVER: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 51);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 1);
const TRANSACTION: u32 = 0x0102_0304;

#[test]
fn it_takes_an_offered_address_and_says_that_it_has_it() {
    let now = Instant::now();
    let mut station = Station::new(OWN, TRANSACTION, now);
    station.handle_timeout(now);
    assert_eq!(kind_of(&station.frames.remove(0)), Some(1));
    station.handle(now, &from_server(2));
    assert_eq!(kind_of(&station.frames.remove(0)), Some(3));
    station.handle(now, &from_server(5));
    let announced = station.frames.remove(0);
    assert_eq!(
        EtherView::parse(&announced).unwrap().type_or_length(),
        ethertype::ARP
    );
    let Some(DhcpEvent::Bound(lease)) = station.events.pop() else {
        panic!("no lease")
    };
    assert_eq!(lease.address.to_string(), "10.73.42.51/24");
    assert_eq!(
        (lease.seconds, lease.server, lease.routers),
        (120, Some(GATEWAY), vec![GATEWAY])
    );

    // Half of the lease later it asks to keep it, and keeps it.
    station.handle_timeout(now + Duration::from_secs(59));
    assert!(station.frames.is_empty());
    let half = now + Duration::from_secs(60);
    station.handle_timeout(half);
    assert_eq!(kind_of(&station.frames.remove(0)), Some(3));
    station.handle(half, &from_server(5));
    assert!(matches!(station.events.pop(), Some(DhcpEvent::Renewed(_))));
}

#[test]
fn without_an_answer_it_asks_more_and_more_rarely_and_gives_a_dead_lease_up() {
    let start = Instant::now();
    let mut station = Station::new(OWN, TRANSACTION, start);
    let asked = |station: &mut Station, from: u64, to: u64| {
        let before = station.frames.len();
        for second in from..to {
            station.handle_timeout(start + Duration::from_secs(second));
        }
        station.frames.len() - before
    };
    // At 0, 1, 3, 7, 15 and 31 seconds, and then every 16.
    assert_eq!(asked(&mut station, 0, 32), 6);
    assert_eq!(asked(&mut station, 32, 48), 1);
    station.frames.clear();
    let mut bound = bound(start);
    asked(&mut bound, 0, 121);
    assert_eq!(bound.events, [DhcpEvent::Deconfig]);
    assert_eq!(bound.address(), None);
}

#[test]
fn it_answers_who_asks_for_it_and_nobody_else() {
    let now = Instant::now();
    let mut station = bound(now);
    for (address, answers) in [(ADDRESS, 1), (GATEWAY, 0)] {
        station.handle(now, &who_has(address));
        assert_eq!(station.frames.drain(..).count(), answers, "{address}");
    }
    station.handle(now, &ping(ADDRESS));
    let pong = station.frames.remove(0);
    let view = EtherView::parse(&pong).unwrap();
    assert_eq!((view.destination(), view.source()), (SERVER, OWN));
    let (packet, message) = (view.payload(), &view.payload()[20..]);
    assert_eq!(packet[12..20], [10, 73, 42, 51, 10, 73, 42, 1]);
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    assert_eq!(
        (message[0], &message[4..total - 20]),
        (0, &b"\0\x01\0\x02data"[..])
    );
    let sum = lanparty_wire::checksum::Sum::new().add_bytes(&message[..total - 20]);
    assert_eq!(sum.checksum(), 0);
    station.handle(now, &ping(GATEWAY));
    assert!(station.frames.is_empty());
}

#[test]
fn a_refused_address_is_given_up_and_another_one_asked_for() {
    let now = Instant::now();
    let mut station = bound(now);
    station.handle(now, &from_server(6));
    assert_eq!(station.events, [DhcpEvent::Deconfig]);
    station.handle_timeout(now);
    assert_eq!(kind_of(&station.frames.remove(0)), Some(1));
}

#[test]
fn no_frame_is_too_short_or_too_strange() {
    let now = Instant::now();
    let mut station = bound(now);
    for whole in [from_server(5), who_has(ADDRESS), ping(ADDRESS)] {
        for len in 0..whole.len() {
            station.handle(now, &whole[..len]);
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            station.handle(now, &changed);
        }
    }
}

fn bound(now: Instant) -> Station {
    let mut station = Station::new(OWN, TRANSACTION, now);
    station.handle_timeout(now);
    station.handle(now, &from_server(2));
    station.handle(now, &from_server(5));
    assert_eq!(station.address(), Some(ADDRESS));
    station.frames.clear();
    station.events.clear();
    station
}

/// The DHCP message's kind of a question that the station has sent.
fn kind_of(frame: &[u8]) -> Option<u8> {
    let message = frame.get(14 + 20 + 8 + 240..)?;
    (message[..2] == [53, 1]).then_some(message[2])
}

fn from_server(kind: u8) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[4..8].copy_from_slice(&TRANSACTION.to_be_bytes());
    message[16..20].copy_from_slice(&ADDRESS.octets());
    message[28..34].copy_from_slice(&OWN.0);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message.extend([53, 1, kind, 54, 4, 10, 73, 42, 1]);
    if kind != 6 {
        message.extend([51, 4, 0, 0, 0, 120, 1, 4, 255, 255, 255, 0, 3, 4, 10, 73, 42, 1]);
    }
    message.push(255);
    let mut datagram = vec![0, 67, 0, 68];
    datagram.extend((message.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    packet(Mac::BROADCAST, [255; 4], 17, &datagram)
}

fn ping(to: Ipv4Addr) -> Vec<u8> {
    packet(OWN, to.octets(), 1, b"\x08\0\0\0\0\x01\0\x02data")
}

fn packet(station: Mac, to: [u8; 4], protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = [&station.0[..], &SERVER.0, &[8, 0, 0x45, 0]].concat();
    frame.extend((content.len() as u16 + 20).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    frame.extend(GATEWAY.octets());
    frame.extend(to);
    frame.extend(content);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn who_has(address: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&Mac::BROADCAST.0[..], &SERVER.0, &[8, 6]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(SERVER.0);
    frame.extend(GATEWAY.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.resize(60, 0);
    frame
}
