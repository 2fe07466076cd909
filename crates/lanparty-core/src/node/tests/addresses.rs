//! A LAN without a DHCP server, and members that ask for addresses all the same.

use std::{net::Ipv4Addr, time::Duration};

use lanparty_wire::{Mac, ethertype};

use super::room::{GATEWAY, Room, STATION, mac};
use crate::{
    guard::crafted::{self, checksum, transport_checksum},
    lan::{
        LanConfig, Station,
        addresses::{Leases, News, PATIENCE, SHUNNED, SILENCE},
    },
    node::Event,
};

const OWN: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;

#[test]
fn a_member_that_no_server_answers_gets_a_lease_without_a_way_out() {
    let mut room = room(1);
    let offer = discover(&mut room, 1).unwrap();
    assert_eq!((offer.kind, offer.address), (OFFER, address(100)));
    let ack = request(&mut room, 1, &offer).unwrap();
    assert_eq!((ack.kind, ack.address), (ACK, address(100)));
    assert_eq!(ack.option(1), Some(&[255, 255, 255, 0][..]));
    assert_eq!(ack.option(54), Some(&[10, 73, 42, 1][..]));
    assert_eq!(ack.option(51).map(<[u8]>::len), Some(4));
    assert!(news(&room).iter().any(|news| matches!(news, News::Leases(_))));
    for absent in [3, 6, 15, 119, 121, 249, 252] {
        assert_eq!(ack.option(absent), None, "option {absent}");
    }
    assert_eq!(
        room.node(GATEWAY).lan().unwrap().leases().unwrap().of(mac(1)),
        Some(address(100))
    );
}

#[test]
fn the_lan_is_asked_thrice_and_hears_the_question_but_no_answer() {
    let mut room = room(1);
    let written = room.send(1, &client(1, DISCOVER, None, None, None));
    assert_eq!(written.len(), 1, "servers of the LAN may answer");
    room.injected.clear();
    let heard = room.pass(PATIENCE);
    let probes = room
        .injected
        .iter()
        .filter(|frame| frame[12..14] == ethertype::ARP.to_be_bytes());
    let probes: Vec<_> = probes.collect();
    assert_eq!(probes.len(), 3);
    for probe in probes {
        assert_eq!(probe[6..12], mac(1).0, "the answer finds its way to us");
        assert_eq!(
            (&probe[28..32], &probe[38..42]),
            (&[0; 4][..], &address(100).octets()[..])
        );
    }
    assert!(room.injected.iter().all(|frame| reply(frame).is_none()));
    let in_room = heard
        .iter()
        .filter(|(to, frame)| *to == 1 && frame[12..14] == ethertype::ARP.to_be_bytes());
    assert_eq!(in_room.count(), 3, "another member might have the address");
}

#[test]
fn two_members_get_two_addresses_and_find_them_again() {
    let mut room = room(2);
    let first = lease(&mut room, 1);
    let second = lease(&mut room, 2);
    assert_ne!(first, second);
    assert_eq!(lease(&mut room, 1), first);
    room.leave(2);
    room.join(2, 2);
    assert_eq!(lease(&mut room, 2), second);
}

#[test]
fn an_address_that_a_station_uses_is_nobodys() {
    for squatter in [
        arp(STATION, Some(address(100)), mac(1)),
        arp(STATION, None, Mac::BROADCAST),
    ] {
        let mut room = room(1);
        room.send(1, &client(1, DISCOVER, None, None, None));
        room.pass(Duration::from_millis(500));
        room.send(GATEWAY, &squatter);
        let offer = offered(&room.pass(PATIENCE * 2)).unwrap();
        assert_eq!(offer.address, address(101));
        assert!(news(&room).contains(&News::Taken {
            address: address(100),
            by: STATION
        }));
    }
}

#[test]
fn an_address_that_another_member_uses_is_nobodys() {
    let mut room = room(2);
    room.send(1, &client(1, DISCOVER, None, None, None));
    room.pass(Duration::from_millis(500));
    room.send(2, &arp(mac(2), Some(address(100)), OWN));
    assert_eq!(offered(&room.pass(PATIENCE * 2)).unwrap().address, address(101));
}

#[test]
fn an_address_that_was_heard_before_is_not_even_tried() {
    let mut room = room(1);
    room.send(GATEWAY, &arp(STATION, Some(address(100)), Mac::BROADCAST));
    assert_eq!(discover(&mut room, 1).unwrap().address, address(101));
    room.pass(SHUNNED);
    room.leave(1);
    room.join(1, 2);
    assert_eq!(
        discover(&mut room, 1).unwrap().address,
        address(100),
        "it may be free by now"
    );
}

#[test]
fn what_a_client_declines_is_not_offered_again() {
    let mut room = room(1);
    let leased = lease(&mut room, 1);
    room.send(
        1,
        &client(1, DECLINE, Some(leased), Some(Ipv4Addr::new(10, 73, 42, 1)), None),
    );
    assert!(news(&room).contains(&News::Declined {
        mac: mac(1),
        address: leased
    }));
    assert_ne!(lease(&mut room, 1), leased);
}

#[test]
fn a_real_server_makes_the_helper_quiet_and_its_absence_ends_that() {
    let mut room = room(1);
    room.send(1, &client(1, DISCOVER, None, None, None));
    let server = Ipv4Addr::new(10, 73, 42, 9);
    assert_eq!(
        room.send(GATEWAY, &server_offer(1, server)).len(),
        1,
        "its offer passes"
    );
    assert!(news(&room).contains(&News::Quiet { server: Some(server) }));
    assert_eq!(offered(&room.pass(PATIENCE * 2)), None);
    room.pass(SHUNNED);
    let mut waited = Duration::ZERO;
    while waited < SILENCE {
        assert_eq!(discover(&mut room, 1), None, "after {waited:?}");
        waited += PATIENCE;
    }
    assert!(discover(&mut room, 1).is_some());
}

#[test]
fn a_client_that_comes_back_to_its_address_gets_it_if_nobody_has_taken_it() {
    let mut room = room(1);
    let leased = lease(&mut room, 1);
    let back = client(1, REQUEST, Some(leased), None, None);
    room.send(1, &back);
    let ack = offered(&room.pass(PATIENCE)).unwrap();
    assert_eq!((ack.kind, ack.address), (ACK, leased));
    let nak = offered(&room.send(1, &client(1, REQUEST, Some(address(140)), None, None))).unwrap();
    assert_eq!((nak.kind, nak.address), (NAK, Ipv4Addr::UNSPECIFIED));
}

#[test]
fn a_lease_is_renewed_at_once() {
    let mut room = room(1);
    let leased = lease(&mut room, 1);
    let broadcast = client(1, REQUEST, None, None, Some(leased));
    let to_us = addressed(broadcast.clone(), mac(1), OWN);
    for (request, reach_the_lan) in [(broadcast, 1), (to_us, 0)] {
        let written = room.send(1, &request);
        let ack = offered(&written).unwrap();
        assert_eq!((ack.kind, ack.address), (ACK, leased));
        let on_lan = written.iter().filter(|(to, _)| *to == GATEWAY).count();
        assert_eq!(on_lan, reach_the_lan);
    }
}

#[test]
fn another_gateway_goes_on_with_the_leases_as_they_were_written_down() {
    let mut room = room(2);
    let (first, second) = (lease(&mut room, 1), lease(&mut room, 2));
    let text = serde_json::to_string(room.node(GATEWAY).lan().unwrap().leases().unwrap()).unwrap();
    let leases: Leases = serde_json::from_str(&text).unwrap();
    let mut other = self::room(2);
    other.node(GATEWAY).adopt_leases(leases);
    assert_eq!(lease(&mut other, 1), first);
    assert_eq!(lease(&mut other, 2), second);
}

#[test]
fn when_all_are_given_the_one_of_who_is_away_the_longest_goes() {
    let mut room = room_with(2, "10.73.42.100-10.73.42.101/24");
    let (first, _) = (lease(&mut room, 1), lease(&mut room, 2));
    room.join(3, 1);
    assert_eq!(discover(&mut room, 3), None);
    assert!(news(&room).contains(&News::Exhausted { mac: mac(3) }));
    room.leave(1);
    assert_eq!(lease(&mut room, 3), first);
}

#[test]
fn without_an_address_of_its_own_the_helper_derives_none() {
    let mut room = Room::new(1);
    let station = Station {
        mac: Some(OWN),
        addresses: vec![],
    };
    serve(&mut room, "auto", station);
    assert_eq!(news(&room), [News::NoRange]);
    assert_eq!(discover(&mut room, 1), None);
}

fn room(clients: u16) -> Room {
    room_with(clients, "10.73.42.100-10.73.42.149/24")
}

fn room_with(clients: u16, range: &str) -> Room {
    let mut room = Room::empty();
    room.join(GATEWAY, 1);
    let station = Station {
        mac: Some(OWN),
        addresses: vec!["10.73.42.1/24".parse().unwrap()],
    };
    serve(&mut room, range, station);
    (1..=clients).for_each(|client| room.join(client, 1));
    room
}

fn serve(room: &mut Room, range: &str, station: Station) {
    let now = room.now;
    let node = room.node(GATEWAY);
    node.set_lan(
        now,
        LanConfig {
            addresses: Some(range.parse().unwrap()),
            ..LanConfig::default()
        },
    );
    node.lan_station(now, station);
    room.drain();
}

/// What is offered to a member that asks.
fn discover(room: &mut Room, id: u16) -> Option<Reply> {
    let now = offered(&room.send(id, &client(id, DISCOVER, None, None, None)));
    now.or_else(|| offered(&room.pass(PATIENCE)))
}

fn request(room: &mut Room, id: u16, offer: &Reply) -> Option<Reply> {
    let server = offer
        .option(54)
        .map(|bytes| Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap()));
    offered(&room.send(id, &client(id, REQUEST, Some(offer.address), server, None)))
}

fn lease(room: &mut Room, id: u16) -> Ipv4Addr {
    let offer = discover(room, id).unwrap();
    let ack = request(room, id, &offer).unwrap();
    assert_eq!(ack.kind, ACK);
    ack.address
}

/// The first DHCP reply that reached a client.
fn offered(written: &[(u16, Vec<u8>)]) -> Option<Reply> {
    written
        .iter()
        .filter(|(to, _)| *to != GATEWAY)
        .find_map(|(_, frame)| reply(frame))
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Reply {
    kind: u8,
    address: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options
            .iter()
            .find(|(c, _)| *c == code)
            .map(|(_, value)| &value[..])
    }
}

fn reply(frame: &[u8]) -> Option<Reply> {
    if frame[12..14] != ethertype::IPV4.to_be_bytes() || frame[23] != 17 || frame[34..38] != [0, 67, 0, 68] {
        return None;
    }
    assert_eq!(checksum(&frame[14..34]), 0);
    assert_eq!(transport_checksum(frame, 20, 17), 0);
    let message = &frame[42..];
    assert!(message.len() >= 300);
    let mut options = Vec::new();
    let mut at = 240;
    while message[at] != 255 {
        let length = usize::from(message[at + 1]);
        options.push((message[at], message[at + 2..at + 2 + length].to_vec()));
        at += 2 + length;
    }
    Some(Reply {
        kind: options.iter().find(|(code, _)| *code == 53)?.1[0],
        address: Ipv4Addr::from(<[u8; 4]>::try_from(&message[16..20]).unwrap()),
        options,
    })
}

fn client(
    id: u16,
    kind: u8,
    wanted: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    own: Option<Ipv4Addr>,
) -> Vec<u8> {
    let mut message = bootp(1, id);
    message[12..16].copy_from_slice(&own.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    message.extend([53, 1, kind]);
    for (code, value) in [(50, wanted), (54, server)] {
        if let Some(value) = value {
            message.extend([code, 4]);
            message.extend(value.octets());
        }
    }
    message.push(255);
    addressed(
        crafted::v4(&crafted::ipv4(17, &[], &crafted::udp(68, 67, &message))),
        mac(id),
        Mac::BROADCAST,
    )
}

fn server_offer(id: u16, server: Ipv4Addr) -> Vec<u8> {
    let mut message = bootp(2, id);
    message.extend([53, 1, OFFER, 54, 4]);
    message.extend(server.octets());
    message.push(255);
    addressed(
        crafted::v4(&crafted::ipv4(17, &[], &crafted::udp(67, 68, &message))),
        STATION,
        mac(id),
    )
}

fn bootp(operation: u8, id: u16) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..8].copy_from_slice(&[operation, 1, 6, 0, 1, 2, 3, 4]);
    message[28..34].copy_from_slice(&mac(id).0);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message
}

/// An answer or announcement; a probe for the first address without a sender.
fn arp(from: Mac, sender: Option<Ipv4Addr>, to: Mac) -> Vec<u8> {
    let operation = if sender.is_some() { 2 } else { 1 };
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, operation];
    payload.extend(from.0);
    payload.extend(sender.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    payload.extend([0; 6]);
    payload.extend(address(100).octets());
    addressed(crafted::ether(to, ethertype::ARP, &payload), from, to)
}

fn addressed(mut frame: Vec<u8>, from: Mac, to: Mac) -> Vec<u8> {
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn news(room: &Room) -> Vec<News> {
    let told = room.events.iter().filter_map(|(_, event)| match event {
        Event::Addresses(news) => Some(news.clone()),
        _ => None,
    });
    told.collect()
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 73, 42, last)
}
