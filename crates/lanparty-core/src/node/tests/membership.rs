//! Who is there, what a node tells of it, and what survives whose restart.

use std::time::Duration;

use lanparty_wire::{
    Destination, DropReason, Frame, Incarnation, LeaveReason, Mac,
    control::{Message, Role},
};

use super::{
    frames::ipx,
    room::{BUDGET, GATEWAY, PATH, Room, STATION, config, mac, member, member_id, welcome},
    traffic::datagram,
};
use crate::node::{Event, Node, Output, RefreshReason, Wake};

#[test]
fn before_a_welcome_and_without_a_path_nothing_goes() {
    let mut room = Room::new(1);
    let mut fresh = Node::new(config(2), room.now);
    let frame = ipx(mac(2), Mac::BROADCAST, 60);
    assert_eq!(
        fresh.handle_frame(room.now, Frame::plain(&frame)),
        Err(DropReason::NoPath)
    );
    assert_eq!(fresh.counters().drops.of(DropReason::NoPath), 1);
    let now = room.now;
    let frame = ipx(mac(1), Mac::BROADCAST, 60);
    let node = room.node(1);
    node.handle_frame(now, Frame::plain(&frame)).unwrap();
    node.path_down(now, PATH);
    assert_eq!(
        node.counters().drops.of(DropReason::NoPath),
        1,
        "nobody wants it later"
    );
    assert_eq!(
        node.handle_frame(now, Frame::plain(&frame)),
        Err(DropReason::NoPath)
    );
    assert!(!node.has_transmit(PATH));
    assert_eq!(node.poll_transmit(now, PATH), None);
}

#[test]
fn a_relay_cannot_open_the_lan_by_what_it_says_of_members() {
    let mut room = Room::new(2);
    let now = room.now;
    let false_gateway = Message::Joined {
        member: lanparty_wire::control::Member {
            id: member_id(5),
            mac: None,
            role: Role::Gateway,
            ..member(2, 1, BUDGET)
        },
    };
    let node = room.node(GATEWAY);
    node.handle_control(now, &false_gateway);
    let frame = ipx(Mac([0, 1, 2, 3, 4, 5]), Mac::BROADCAST, 60);
    let from_it = datagram(5, Destination::Flood, 1, &frame);
    assert_eq!(
        node.handle_datagram(now, PATH, &from_it),
        Err(DropReason::Standby)
    );

    let station = Mac([2, 0x42, 0, 0, 0, 1]);
    node.handle_frame(now, Frame::plain(&ipx(station, Mac::BROADCAST, 60)))
        .unwrap();
    let thief = Message::Joined {
        member: lanparty_wire::control::Member {
            id: member_id(6),
            mac: Some(station),
            ..member(2, 1, BUDGET)
        },
    };
    node.handle_control(now, &thief);
    assert!(node.roster().all(|member| member.mac != Some(station)));
    assert_eq!(node.counters().drops.of(DropReason::ForgedSource), 1);
}

#[test]
fn a_client_is_told_of_the_lan_gateway_and_its_cable() {
    let mut room = Room::empty();
    room.join(1, 1);
    assert_eq!(room.events_of(1).last(), Some(&&Event::GatewayPresent(false)));
    let broadcast = ipx(mac(1), Mac::BROADCAST, 60);
    room.send(1, &broadcast);
    room.send(1, &ipx(mac(1), STATION, 60));
    assert_eq!(
        room.drops,
        [(1, DropReason::NoGateway), (1, DropReason::NoGateway)]
    );
    room.join(GATEWAY, 1);
    assert_eq!(room.events_of(1).last(), Some(&&Event::GatewayPresent(true)));
    assert_eq!(
        room.node(1).gateway().map(|gateway| gateway.role),
        Some(Role::Gateway)
    );
    for up in [true, false, false, true] {
        room.tell_all(&Message::LanLink {
            member: Some(member_id(GATEWAY)),
            up,
        });
    }
    let links: Vec<bool> = room
        .events_of(1)
        .into_iter()
        .filter_map(|event| match event {
            Event::LanLink(up) => Some(*up),
            _ => None,
        })
        .collect();
    assert_eq!(links, [true, false, true]);
    room.leave(GATEWAY);
    assert_eq!(room.events_of(1).last(), Some(&&Event::GatewayPresent(false)));
    assert_eq!(room.node(1).gateway_rtt(), None);
    assert!(
        room.events_of(GATEWAY)
            .iter()
            .all(|event| !matches!(event, Event::GatewayPresent(_)))
    );
}

#[test]
fn a_lan_gateway_announces_its_cable_and_again_after_a_reconnect() {
    let mut room = Room::new(1);
    let now = room.now;
    room.node(GATEWAY).lan_link(now, false);
    room.node(GATEWAY).lan_link(now, false);
    room.join(GATEWAY, 1);
    let said: Vec<&Message> = room.controls.iter().map(|(_, message)| message).collect();
    let down = Message::LanLink {
        member: None,
        up: false,
    };
    assert_eq!(said, [&down, &down]);
}

#[test]
fn a_budget_is_announced_when_it_changes() {
    let mut room = Room::new(1);
    let now = room.now;
    room.node(1).path_budget(now, PATH, BUDGET);
    room.node(1).path_budget(now, PATH, 1300);
    room.drain();
    let change = Message::Budget {
        member: None,
        bytes: 1300,
    };
    assert_eq!(room.controls, [(1, change)]);
}

#[test]
fn switches_are_shown_a_players_address_at_once_and_every_minute() {
    let mut room = Room::new(2);
    assert_eq!(room.injected.len(), 2);
    let refreshes = |room: &Room, wanted: RefreshReason| {
        let events = room.events_of(GATEWAY).into_iter();
        events
            .filter(|event| matches!(event, Event::CamRefresh { reason, .. } if *reason == wanted))
            .count()
    };
    assert_eq!(refreshes(&room, RefreshReason::PeerJoined), 2);
    room.pass(Duration::from_secs(60));
    assert_eq!(refreshes(&room, RefreshReason::Periodic), 2);
    let mut shown: Vec<&[u8]> = room.injected.iter().map(|frame| &frame[6..12]).collect();
    shown.sort();
    shown.dedup();
    assert_eq!(shown, [&mac(1).0[..], &mac(2).0[..]]);
    let now = room.now;
    room.node(GATEWAY).lan_link(now, false);
    room.node(GATEWAY).lan_link(now, true);
    room.drain();
    assert_eq!(refreshes(&room, RefreshReason::LinkUp), 2);
    room.injected.clear();
    room.leave(2);
    room.pass(Duration::from_secs(120));
    assert!(room.injected.iter().all(|frame| frame[6..12] == mac(1).0));
    assert_eq!(room.injected.len(), 2);
}

#[test]
fn players_show_nobodys_address_to_their_own_device() {
    let mut room = Room::new(2);
    room.pass(Duration::from_secs(200));
    let injecting: Vec<u16> = room
        .events
        .iter()
        .filter(|(_, e)| matches!(e, Event::CamRefresh { .. }))
        .map(|(id, _)| *id)
        .collect();
    assert!(injecting.iter().all(|&id| id == GATEWAY));
}

#[test]
fn a_new_life_of_a_member_starts_anew_and_an_old_one_does_not() {
    let mut room = Room::new(2);
    let frame = ipx(mac(1), mac(2), 60);
    let now = room.now;
    room.node(1).handle_frame(now, Frame::plain(&frame)).unwrap();
    let (_, datagram) = room.take_datagrams().remove(0);
    assert!(room.deliver(2, &datagram).is_some());
    room.tell_all(&Message::Joined {
        member: member(1, 1, BUDGET),
    });
    assert!(room.deliver(2, &datagram).is_none(), "told again, same life");
    room.tell_all(&Message::Joined {
        member: member(1, 2, BUDGET),
    });
    assert!(room.deliver(2, &datagram).is_some(), "a new life counts from 0");
}

#[test]
fn our_own_reconnect_opens_no_window_and_tells_nobody_anew() {
    let mut room = Room::new(2);
    let frame = ipx(mac(1), mac(2), 60);
    let now = room.now;
    room.node(1).handle_frame(now, Frame::plain(&frame)).unwrap();
    let (_, datagram) = room.take_datagrams().remove(0);
    assert!(room.deliver(2, &datagram).is_some());
    room.node(2).path_down(now, PATH);
    room.events.clear();
    room.join(2, 1);
    let told: Vec<&Event> = room.events_of(2);
    assert!(matches!(told[..], [Event::Joined { members: 3, .. }]), "{told:?}");
    assert!(room.deliver(2, &datagram).is_none());
    assert_eq!(room.drops.last(), Some(&(2, DropReason::Duplicate)));
}

#[test]
fn our_own_numbers_go_on_after_a_reconnect() {
    let mut room = Room::new(2);
    let frame = ipx(mac(1), mac(2), 60);
    assert_eq!(room.send(1, &frame).len(), 1);
    room.join(1, 1);
    assert_eq!(room.send(1, &frame).len(), 1, "the others kept their window");
    assert_eq!(room.drops, []);
}

#[test]
fn who_left_while_we_were_away_is_told_once_everybody_else_is_named() {
    let mut room = Room::new(3);
    let now = room.now;
    room.events.clear();
    let node = room.node(1);
    node.path_down(now, PATH);
    node.path_up(now, PATH, BUDGET);
    node.handle_control(now, &welcome(1, 1, &[2, GATEWAY]));
    for other in [2, GATEWAY] {
        let member = member(other, 1, BUDGET);
        node.handle_control(now, &Message::Joined { member });
    }
    room.drain();
    let left: Vec<u16> = room
        .events_of(1)
        .into_iter()
        .filter_map(|event| match event {
            Event::MemberLeft { member, .. } => Some(member.id.value()),
            _ => None,
        })
        .collect();
    assert_eq!(left, [3]);
    assert_eq!(room.node(1).roster().count(), 2);
}

#[test]
fn a_reconnect_of_the_lan_gateway_gives_no_stations_address_away() {
    let mut room = Room::new(1);
    room.send(GATEWAY, &ipx(mac(3), Mac::BROADCAST, 60));
    room.join(GATEWAY, 1);
    room.injected.clear();
    room.tell_all(&Message::Joined {
        member: member(3, 1, BUDGET),
    });
    assert!(room.injected.is_empty(), "no switch is told that it is elsewhere");
    assert!(!room.node(GATEWAY).roster().any(|other| other.id == member_id(3)));
}

#[test]
fn a_member_that_is_ignored_counts_among_those_who_are_named() {
    let mut room = Room::new(2);
    let now = room.now;
    room.send(GATEWAY, &ipx(mac(3), Mac::BROADCAST, 60));
    let node = room.node(GATEWAY);
    node.path_down(now, PATH);
    node.path_up(now, PATH, BUDGET);
    node.handle_control(now, &welcome(GATEWAY, 1, &[1, 3]));
    for other in [1, 3] {
        let member = member(other, 1, BUDGET);
        node.handle_control(now, &Message::Joined { member });
    }
    room.drain();
    let left = room
        .events_of(GATEWAY)
        .into_iter()
        .any(|event| matches!(event, Event::MemberLeft { member, .. } if member.id == member_id(2)));
    assert!(left, "who was not named is gone");
}

#[test]
fn leaving_concerns_the_life_it_names() {
    let mut room = Room::new(2);
    room.tell_all(&Message::Joined {
        member: member(2, 2, BUDGET),
    });
    let left = |incarnation| Message::Left {
        member: member_id(2),
        incarnation: Incarnation(incarnation),
        reason: LeaveReason::TimedOut,
    };
    room.tell_all(&left(1));
    assert!(room.node(1).roster().any(|member| member.id == member_id(2)));
    room.tell_all(&left(2));
    assert!(!room.node(1).roster().any(|member| member.id == member_id(2)));
    let event = Event::MemberLeft {
        member: member(2, 2, BUDGET),
        reason: LeaveReason::TimedOut,
    };
    assert!(room.events_of(1).contains(&&event));
}

#[test]
fn what_waits_for_a_member_that_leaves_goes_nowhere() {
    let mut room = Room::new(2);
    let now = room.now;
    room.node(1)
        .handle_frame(now, Frame::plain(&ipx(mac(1), mac(2), 60)))
        .unwrap();
    room.leave(2);
    assert_eq!(room.run(), []);
    assert_eq!(
        room.node(1).counters().drops.of(DropReason::UnknownDestination),
        1
    );
}

#[test]
fn a_sealed_room_carries_nothing_in_the_clear() {
    let mut room = Room::new(2);
    let now = room.now;
    let Message::Welcome(mut sealed) = welcome(1, 1, &[]) else {
        unreachable!()
    };
    sealed.sealed = true;
    room.node(1).handle_control(now, &Message::Welcome(sealed));
    room.node(1).handle_control(
        now,
        &Message::Joined {
            member: member(2, 1, BUDGET),
        },
    );
    room.send(1, &ipx(mac(1), mac(2), 60));
    assert_eq!(room.node(1).counters().drops.of(DropReason::WrongKey), 1);
    room.send(2, &ipx(mac(2), mac(1), 60));
    assert_eq!(room.drops, [(1, DropReason::WrongKey)]);
}

#[test]
fn broadcasts_both_ways_are_told_and_one_way_after_a_while() {
    let mut room = Room::new(2);
    let flowing = |room: &Room, id| -> Vec<(bool, bool)> {
        let events = room.events_of(id).into_iter();
        events
            .filter_map(|event| match event {
                Event::BroadcastFlowing { to_room, from_lan } => Some((*to_room, *from_lan)),
                _ => None,
            })
            .collect()
    };
    room.send(1, &ipx(mac(1), Mac::BROADCAST, 60));
    assert_eq!(flowing(&room, 1), []);
    assert_eq!(flowing(&room, 2), [], "another player's is not the LAN's");
    room.pass(Duration::from_secs(20));
    assert_eq!(flowing(&room, 1), [(true, false)]);
    room.send(GATEWAY, &ipx(STATION, Mac::BROADCAST, 60));
    assert_eq!(flowing(&room, 1), [(true, false), (true, true)]);
    let counters = room.node(2).counters();
    assert_eq!((counters.broadcast_in_lan, counters.broadcast_in_members), (1, 1));
}

#[test]
fn a_node_at_rest_wakes_up_for_a_reason() {
    let mut room = Room::new(1);
    let (_, why) = room.node(1).poll_timeout().unwrap();
    assert_eq!(why, Wake::Probe);
    let (_, why) = room.node(GATEWAY).poll_timeout().unwrap();
    assert_eq!(why, Wake::CamRefresh);
    let now = room.now;
    room.node(1).path_down(now, PATH);
    assert_eq!(room.node(1).poll_timeout(), None, "nothing to do without a path");
}

#[test]
fn a_budget_that_changed_before_the_welcome_is_announced_with_it() {
    let mut node = Node::new(config(1), Room::empty().now);
    let now = Room::empty().now;
    node.path_up(now, PATH, 1162);
    node.path_budget(now, PATH, BUDGET);
    assert_eq!(node.poll_output(), None);
    node.handle_control(now, &welcome(1, 1, &[]));
    let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
    let announced = Output::Control(Message::Budget {
        member: None,
        bytes: BUDGET,
    });
    assert_eq!(outputs.iter().filter(|output| **output == announced).count(), 1);
}
