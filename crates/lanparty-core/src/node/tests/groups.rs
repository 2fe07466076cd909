//! Members that join groups, on a LAN whose switches ask who listens.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lanparty_wire::{DropReason, Mac, MemberId, control::Message};

use super::room::{GATEWAY, Room, STATION, Written, mac, member_id};
use crate::lan::{
    Station,
    groups::{
        ANSWERED, EXPIRY, GRACE, INTERVAL,
        tests::{
            G4, G6, is_question, leave4, query4, query6, report_v3, report4, report6, said, to_group4,
            to_group6,
        },
    },
};

const OWN: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);
/// A group that everybody in these tests answers with, so that it is known what he has not joined.
const COMMON: Ipv4Addr = Ipv4Addr::new(239, 200, 0, 1);
const COMMON6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 1);
const NOBODY: [u16; 0] = [];
const IGMPV1: u8 = 0x12;
const IGMPV2: u8 = 0x16;
const MLDV1: u8 = 131;
const MLD_DONE: u8 = 132;
const QUERIER: (Mac, Ipv4Addr) = (STATION, Ipv4Addr::new(10, 73, 42, 2));
const QUERIER6: (Mac, Ipv6Addr) = (STATION, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));

fn from(id: u16) -> (Mac, Ipv4Addr) {
    (mac(id), Ipv4Addr::new(10, 73, 42, 100 + id as u8))
}

fn from6(id: u16) -> (Mac, Ipv6Addr) {
    (mac(id), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100 + id))
}

/// A room whose members have been asked and have said that they listen to nothing in particular.
fn settled(clients: u16) -> Room {
    let mut room = fresh(clients);
    for id in 1..=clients {
        room.send(id, &report4(from(id), IGMPV2, COMMON));
        room.send(id, &report6(from6(id), MLDV1, COMMON6));
    }
    room.pass(ANSWERED);
    room.injected.clear();
    room.drops.clear();
    room
}

/// A room whose LAN gateway has just begun to ask.
fn fresh(clients: u16) -> Room {
    let mut room = Room::new(clients);
    let now = room.now;
    let station = Station {
        mac: Some(OWN),
        addresses: vec!["10.73.42.1/24".parse().unwrap()],
    };
    room.node(GATEWAY).lan_station(now, station);
    room.drain();
    let asked = room.pass(Duration::from_millis(1));
    assert_eq!(asked.len(), usize::from(clients) * 2, "each of both families");
    room
}

fn game(group: Ipv4Addr) -> Vec<u8> {
    to_group4(
        QUERIER,
        group,
        17,
        &[0x1f, 0x90, 0x1f, 0x90, 0, 12, 0, 0, 1, 2, 3, 4],
    )
}

fn game6(group: Ipv6Addr) -> Vec<u8> {
    to_group6(
        QUERIER6,
        group,
        17,
        &[0x1f, 0x90, 0x1f, 0x90, 0, 12, 0, 1, 1, 2, 3, 4],
    )
}

/// Whom a frame of the LAN reaches.
fn reached(room: &mut Room, frame: &[u8]) -> Vec<u16> {
    let mut reached: Vec<u16> = room.send(GATEWAY, frame).into_iter().map(|(id, _)| id).collect();
    reached.sort_unstable();
    reached
}

/// The groups that the LAN was told of since the last time, in whose name.
fn told(room: &mut Room, left: bool) -> Vec<(Mac, IpAddr)> {
    let frames = std::mem::take(&mut room.injected);
    let mut told = Vec::new();
    for frame in frames {
        let source = Mac(frame[6..12].try_into().unwrap());
        told.extend(said(&frame, left).into_iter().map(|group| (source, group)));
    }
    told.sort_unstable();
    told
}

fn to_lan(written: &[Written]) -> usize {
    written.iter().filter(|(to, _)| *to == GATEWAY).count()
}

#[test]
fn a_group_goes_to_who_has_joined_it_and_to_nobody_else() {
    for joined in [&[2][..], &[1, 3], &[1, 2, 3, 4]] {
        let mut room = settled(4);
        for &id in joined {
            let written = room.send(id, &report_v3(from(id), &[(4, G4, 0)]));
            assert_eq!(to_lan(&written), 1, "the LAN's switches hear it");
            room.send(id, &report6(from6(id), MLDV1, G6));
        }
        // While the relay may not know the group yet, more may get it than want it.
        for frame in [game(G4), game6(G6)] {
            let first = reached(&mut room, &frame);
            assert!(joined.iter().all(|id| first.contains(id)), "{first:?}");
        }
        room.pass(GRACE);
        assert_eq!(reached(&mut room, &game(G4)), joined);
        assert_eq!(reached(&mut room, &game6(G6)), joined);
    }
}

#[test]
fn the_relay_is_told_once_of_the_same_members() {
    let mut room = settled(4);
    let other = Ipv4Addr::new(239, 1, 2, 4);
    for id in [1, 3] {
        room.send(id, &report_v3(from(id), &[(4, G4, 0), (4, other, 0)]));
    }
    for _ in 0..5 {
        reached(&mut room, &game(G4));
        reached(&mut room, &game(other));
        room.pass(GRACE);
    }
    let groups: Vec<&Vec<MemberId>> = room
        .controls
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Group { members, .. } => Some(members),
            _ => None,
        })
        .collect();
    assert_eq!(groups, [&vec![member_id(1), member_id(3)]]);
}

#[test]
fn a_group_that_nobody_has_joined_goes_to_nobody() {
    let mut room = settled(3);
    assert_eq!(reached(&mut room, &game(G4)), NOBODY);
    assert_eq!(reached(&mut room, &game6(G6)), NOBODY);
    let dropped = (GATEWAY, DropReason::NotJoined);
    assert_eq!(room.drops, [dropped, dropped]);
}

#[test]
fn whoever_has_never_answered_gets_everything() {
    let mut room = fresh(2);
    room.send(1, &report4(from(1), IGMPV2, COMMON));
    room.pass(ANSWERED * 3);
    assert_eq!(reached(&mut room, &game(G4)), [2]);
    assert_eq!(
        reached(&mut room, &game6(G6)),
        [1, 2],
        "nobody has said anything of IPv6"
    );
}

#[test]
fn nobody_is_left_out_before_he_has_had_the_time_to_answer() {
    let mut room = fresh(2);
    room.send(1, &report4(from(1), IGMPV2, COMMON));
    assert_eq!(reached(&mut room, &game(G4)), [1, 2]);
    room.pass(ANSWERED);
    assert_eq!(reached(&mut room, &game(G4)), [2]);
    // He comes anew, and may listen to something else than before.
    room.leave(1);
    room.join(1, 2);
    assert_eq!(reached(&mut room, &game(G4)), [1, 2]);
}

#[test]
fn without_an_address_of_our_own_nobody_is_asked_and_nobody_left_out() {
    let mut room = Room::new(2);
    assert_eq!(room.pass(ANSWERED), []);
    assert_eq!(reached(&mut room, &game(G4)), [1, 2]);
}

#[test]
fn what_finds_others_reaches_everybody() {
    let mut room = settled(2);
    for group in [
        [224, 0, 0, 251],
        [224, 0, 0, 252],
        [224, 0, 2, 60],
        [239, 255, 255, 250],
    ] {
        assert_eq!(reached(&mut room, &game(group.into())), [1, 2], "{group:?}");
    }
    for group in [
        "ff02::fb",
        "ff02::1:3",
        "ff02::1:ff00:7",
        "ff12::77",
        "ff05::c",
        "ff08::1:3",
    ] {
        assert_eq!(
            reached(&mut room, &game6(group.parse().unwrap())),
            [1, 2],
            "{group}"
        );
    }
    assert_eq!(room.drops, []);
}

#[test]
fn the_lans_querier_is_answered_for_a_member_that_is_silent() {
    for (code, is_v3) in [(0, false), (10, false), (10, true)] {
        let mut room = settled(2);
        room.send(2, &report4(from(2), IGMPV1, G4));
        assert_eq!(reached(&mut room, &query4(QUERIER, code, None, is_v3)), [1, 2]);
        let limit = Duration::from_secs(if code == 0 { 10 } else { 1 });
        room.pass(limit / 4);
        assert_eq!(told(&mut room, false), [], "it may answer itself");
        room.pass(limit / 2);
        let expected = [(mac(1), COMMON.into()), (mac(2), G4.into())];
        assert_eq!(told(&mut room, false), expected, "code {code}, v3 {is_v3}");
    }
}

#[test]
fn an_answer_has_the_version_of_the_question_and_the_members_own_address() {
    let mut room = settled(1);
    room.send(1, &report_v3(from(1), &[(4, G4, 0)]));
    for (code, is_v3, kind) in [(0, false, 0x12), (10, false, 0x16), (10, true, 0x22)] {
        room.send(GATEWAY, &query4(QUERIER, code, Some(G4), is_v3));
        room.pass(Duration::from_secs(10));
        let answer = room.injected.iter().find(|frame| !said(frame, false).is_empty());
        let answer = answer.unwrap_or_else(|| panic!("{kind:#x}"));
        assert_eq!(answer[38], kind);
        assert_eq!(answer[26..30], from(1).1.octets());
        room.injected.clear();
    }
    let mut room = settled(1);
    for (code, is_v2, kind) in [(1000, false, 131), (1000, true, 143)] {
        room.send(GATEWAY, &query6(QUERIER6, code, Some(COMMON6), is_v2));
        room.pass(Duration::from_secs(1));
        let answer = room.injected.pop().unwrap();
        assert_eq!(answer[62], kind);
        assert_eq!(answer[22..38], from6(1).1.octets());
        room.injected.clear();
    }
}

#[test]
fn a_member_that_answers_is_not_answered_for() {
    let mut room = settled(2);
    let second = Ipv4Addr::new(239, 1, 2, 4);
    room.send(1, &report4(from(1), IGMPV2, G4));
    room.send(2, &report4(from(2), IGMPV2, second));
    room.send(GATEWAY, &query4(QUERIER, 100, None, false));
    room.pass(Duration::from_secs(2));
    assert_eq!(to_lan(&room.send(1, &report4(from(1), IGMPV2, G4))), 1);
    // The querier of the second version does not understand this one.
    assert_eq!(to_lan(&room.send(2, &report_v3(from(2), &[(2, second, 0)]))), 1);
    room.pass(Duration::from_secs(8));
    let told = told(&mut room, false);
    assert!(!told.contains(&(mac(1), G4.into())), "{told:?}");
    assert!(told.contains(&(mac(2), second.into())), "{told:?}");
}

#[test]
fn a_question_about_a_group_is_answered_if_anybody_is_in_it() {
    let mut room = settled(2);
    room.send(GATEWAY, &query4(QUERIER, 10, Some(G4), false));
    room.pass(Duration::from_secs(1));
    assert_eq!(told(&mut room, false), []);
    room.send(2, &report4(from(2), IGMPV2, G4));
    // A querier asks twice within the time for answers (RFC 2236, section 8.9), and the first question counts.
    room.send(GATEWAY, &query4(QUERIER, 10, Some(G4), false));
    room.pass(Duration::from_millis(700));
    room.send(GATEWAY, &query4(QUERIER, 10, Some(G4), false));
    room.pass(Duration::from_millis(60));
    assert_eq!(told(&mut room, false), [(mac(2), G4.into())]);
}

#[test]
fn the_last_one_who_leaves_says_so_to_the_lan_and_the_others_do_not() {
    let mut room = settled(2);
    for id in [1, 2] {
        room.send(id, &report4(from(id), IGMPV2, G4));
    }
    assert_eq!(
        to_lan(&room.send(1, &leave4(from(1), G4))),
        0,
        "the other one listens"
    );
    assert_eq!(reached(&mut room, &game(G4)), [2]);
    assert_eq!(to_lan(&room.send(2, &leave4(from(2), G4))), 1);
    assert_eq!(reached(&mut room, &game(G4)), NOBODY);
}

#[test]
fn a_report_that_leaves_what_another_one_listens_to_is_made_up_for_at_once() {
    let mut room = settled(2);
    for id in [1, 2] {
        room.send(id, &report_v3(from(id), &[(4, G4, 0)]));
    }
    let other = Ipv4Addr::new(239, 1, 2, 4);
    let written = room.send(1, &report_v3(from(1), &[(3, G4, 0), (4, other, 0)]));
    assert_eq!(to_lan(&written), 1, "it says something else as well");
    room.pass(Duration::from_millis(200));
    assert_eq!(told(&mut room, false), [(mac(2), G4.into())]);
}

#[test]
fn what_a_member_was_the_last_to_listen_to_is_left_when_it_departs() {
    let mut room = settled(2);
    for id in [1, 2] {
        room.send(id, &report4(from(id), IGMPV2, G4));
    }
    room.send(2, &report6(from6(2), MLDV1, G6));
    room.leave(1);
    assert_eq!(told(&mut room, true), []);
    room.leave(2);
    let expected = [
        (mac(2), G4.into()),
        (mac(2), COMMON.into()),
        (mac(2), COMMON6.into()),
        (mac(2), G6.into()),
    ];
    assert_eq!(told(&mut room, true), expected);
}

#[test]
fn a_done_of_mld_ends_it() {
    let mut room = settled(1);
    room.send(1, &report6(from6(1), MLDV1, G6));
    assert_eq!(reached(&mut room, &game6(G6)), [1]);
    assert_eq!(to_lan(&room.send(1, &report6(from6(1), MLD_DONE, G6))), 1);
    assert_eq!(reached(&mut room, &game6(G6)), NOBODY);
}

#[test]
fn what_is_not_named_any_more_by_who_answers_is_left_after_a_while() {
    let mut room = settled(1);
    room.send(1, &report4(from(1), IGMPV1, G4));
    let mut passed = Duration::ZERO;
    while passed < EXPIRY - INTERVAL {
        assert_eq!(reached(&mut room, &game(G4)), [1], "after {passed:?}");
        room.pass(INTERVAL);
        passed += INTERVAL;
        room.send(1, &report4(from(1), IGMPV1, COMMON));
    }
    assert_eq!(told(&mut room, true), []);
    room.pass(INTERVAL * 2);
    assert_eq!(told(&mut room, true), [(mac(1), G4.into())]);
    assert_eq!(reached(&mut room, &game(G4)), NOBODY);
}

#[test]
fn who_falls_silent_altogether_keeps_what_it_has_joined_and_gets_everything() {
    let mut room = settled(1);
    room.send(1, &report4(from(1), IGMPV2, G4));
    let other = Ipv4Addr::new(239, 1, 2, 4);
    assert_eq!(reached(&mut room, &game(other)), NOBODY);
    room.pass(EXPIRY * 2);
    assert_eq!(told(&mut room, true), []);
    assert_eq!(reached(&mut room, &game(other)), [1]);
    room.send(GATEWAY, &query4(QUERIER, 10, Some(G4), false));
    room.pass(Duration::from_secs(1));
    assert_eq!(told(&mut room, false), [(mac(1), G4.into())]);
}

#[test]
fn who_never_answers_keeps_what_it_has_joined() {
    let mut room = fresh(1);
    room.pass(ANSWERED * 2);
    room.send(1, &report_v3(from(1), &[(4, G4, 0)]));
    room.pass(EXPIRY * 3);
    room.injected.clear();
    room.send(GATEWAY, &query4(QUERIER, 10, None, true));
    room.pass(Duration::from_secs(1));
    assert_eq!(told(&mut room, false), [(mac(1), G4.into())]);
}

#[test]
fn members_are_asked_again_and_again_unless_the_lan_asks() {
    let mut room = settled(1);
    let questions = |written: &[Written]| written.iter().filter(|(_, frame)| is_question(frame)).count();
    let asked = questions(&room.pass(INTERVAL * 5));
    assert_eq!(asked, 10);
    let mut asked = 0;
    for _ in 0..5 {
        assert_eq!(reached(&mut room, &query4(QUERIER, 100, None, true)), [1]);
        asked += questions(&room.pass(INTERVAL / 2));
    }
    assert_eq!(asked, 2, "of IPv6 alone");
}

#[test]
fn reports_go_to_the_lan_gateway_and_nobody_else_hears_them() {
    let mut room = settled(3);
    let written = room.send(1, &report4(from(1), IGMPV2, G4));
    assert_eq!(written.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [GATEWAY]);
    assert_eq!(reached(&mut room, &report4(QUERIER, IGMPV2, G4)), NOBODY);
    assert_eq!(room.drops, [(GATEWAY, DropReason::MembershipReport)]);
}

#[test]
fn no_member_poses_as_a_querier() {
    let mut room = settled(2);
    for frame in [
        query4(from(1), 100, None, true),
        query6(from6(1), 1000, None, true),
    ] {
        assert_eq!(room.send(1, &frame), []);
        assert_eq!(room.drops.pop(), Some((1, DropReason::MulticastRouter)));
    }
}

#[test]
fn a_new_switch_is_told_at_once() {
    let mut room = settled(2);
    room.send(2, &report4(from(2), IGMPV2, G4));
    let now = room.now;
    for up in [true, false, true] {
        room.node(GATEWAY).lan_link(now, up);
    }
    room.drain();
    room.injected.clear();
    room.pass(Duration::from_millis(1));
    let told = told(&mut room, false);
    assert!(told.contains(&(mac(2), G4.into())), "{told:?}");
}

#[test]
fn after_a_reconnect_the_table_is_what_it_was_for_those_who_are_still_there() {
    let mut room = settled(2);
    room.send(1, &report4(from(1), IGMPV2, G4));
    room.send(2, &report6(from6(2), MLDV1, G6));
    room.nodes.remove(&2);
    room.join(GATEWAY, 1);
    room.pass(Duration::from_secs(6));
    assert_eq!(
        told(&mut room, true),
        [(mac(2), G6.into())],
        "the other one is in the rest"
    );
    room.send(GATEWAY, &query4(QUERIER, 10, Some(G4), false));
    room.pass(Duration::from_secs(1));
    assert_eq!(told(&mut room, false), [(mac(1), G4.into())]);
}
