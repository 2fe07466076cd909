//! Who somebody is: reconnects, reservations, restarts, and strangers who would take all places.

use super::*;

#[test]
fn the_same_process_goes_on_and_a_new_one_begins_a_new_life() {
    let mut relay = Relay::new();
    let first = relay.join(1, player(1)).unwrap();
    let roamed = relay.join(1, player(1)).unwrap();
    assert_eq!(roamed.displaced, Some(1));
    assert_eq!(roamed.member, first.member);
    assert!(roamed.is_known && !first.is_known);
    let restarted = relay.join(1, session(player(1), 99)).unwrap();
    assert_eq!(restarted.member.id, first.member.id);
    assert_eq!(restarted.member.incarnation, Incarnation(2));
    assert!(!restarted.is_known);
    let changed = relay.join(1, session(player(5), 99)).unwrap();
    assert_eq!(changed.member.incarnation, Incarnation(3));
    assert_eq!(ids(&changed.roster), [first.member.id]);
}

#[test]
fn the_end_of_a_displaced_connection_takes_nobody_out() {
    let mut relay = Relay::new();
    let ghost = relay.join(1, player(1)).unwrap();
    let ada = relay.join(1, player(1)).unwrap();
    assert!(
        relay
            .rooms
            .leave(NOW, relay.instant, &ghost.seat, LeaveReason::TimedOut)
            .is_none()
    );
    assert!(relay.rooms.set_budget(&ghost.seat, Some(1300), None).is_none());
    assert!(
        relay
            .rooms
            .leave(NOW, relay.instant, &ada.seat, LeaveReason::TimedOut)
            .is_some()
    );
}

#[test]
fn a_lost_members_address_is_held_for_a_minute_and_its_id_for_a_day() {
    let mut relay = Relay::new();
    let ada = relay.join(1, player(1)).unwrap();
    relay
        .rooms
        .leave(NOW, relay.instant, &ada.seat, LeaveReason::TimedOut);
    let at = |seconds| UnixTime(NOW.0 + seconds);
    let early = relay.join_at(at(59), 2, player(1)).unwrap_err();
    assert_eq!(early.reason, RejectReason::DuplicateMac);
    assert!(early.detail.contains("1 s"), "{}", early.detail);
    let thief = relay.join_at(at(60), 2, player(1)).unwrap();
    assert_ne!(thief.member.id, ada.member.id);
    relay
        .rooms
        .leave(at(61), relay.instant, &thief.seat, LeaveReason::Goodbye);
    let back = relay.join_at(at(86_399), 1, player(1)).unwrap();
    assert_eq!(back.member.id, ada.member.id);
}

#[test]
fn who_says_goodbye_leaves_his_address_at_once() {
    let mut relay = Relay::new();
    let ada = relay.join(1, player(1)).unwrap();
    relay
        .rooms
        .leave(NOW, relay.instant, &ada.seat, LeaveReason::Goodbye);
    relay.join(2, player(1)).unwrap();
}

#[test]
fn a_restarted_relay_knows_everybody() {
    let mut relay = Relay::new();
    let gateway_before = relay.join(1, gateway()).unwrap();
    let ada = relay.join(2, player(1)).unwrap();
    let saved = serde_json::to_string(&relay.rooms.save()).unwrap();
    relay.rooms = Rooms::restore(RoomLimits::default(), serde_json::from_str(&saved).unwrap(), NOW);
    let thief = relay.join(3, player(1)).unwrap_err();
    assert_eq!(thief.reason, RejectReason::DuplicateMac);
    assert_eq!(relay.join(2, player(1)).unwrap().member, ada.member);
    assert_eq!(relay.join(1, gateway()).unwrap().member, gateway_before.member);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_for_ever() {
    let mut relay = Relay::new();
    let ada = relay.join(1, player(1)).unwrap();
    relay
        .rooms
        .leave(NOW, relay.instant, &ada.seat, LeaveReason::Goodbye);
    let saved = relay.rooms.save();
    relay.rooms = Rooms::restore(RoomLimits::default(), saved, UnixTime(5));
    relay.rooms.expire(UnixTime(5 + 24 * 3600));
    assert!(relay.rooms.save().rooms.is_empty());
}

#[test]
fn the_table_of_all_rooms_has_a_bound_too() {
    let mut relay = Relay::new();
    let regular = relay.join(0, player(1)).unwrap();
    for n in 1..17_000_u32 {
        let hello = Hello {
            room: format!("room-{}", n / 200).parse().unwrap(),
            ..player(2)
        };
        let admission = relay.join(n, hello).unwrap();
        relay
            .rooms
            .leave(NOW, relay.instant, &admission.seat, LeaveReason::Goodbye);
    }
    let saved = relay.rooms.save();
    let remembered: usize = saved.rooms.iter().map(|room| room.members.len()).sum();
    assert!(remembered <= 16_384, "{remembered}");
    assert_eq!(relay.join(0, player(1)).unwrap().member, regular.member);
}

#[test]
fn strangers_who_vanish_drive_nobody_out_of_a_room_who_is_about_to_come_back() {
    let mut relay = Relay::with(RoomLimits {
        max_members: 2,
        ..RoomLimits::default()
    });
    let ada = relay.join(1, player(1)).unwrap();
    relay
        .rooms
        .leave(NOW, relay.instant, &ada.seat, LeaveReason::TimedOut);
    for n in 2..9 {
        let admission = relay.join(n, player(n as u8)).unwrap();
        relay
            .rooms
            .leave(NOW, relay.instant, &admission.seat, LeaveReason::TimedOut);
    }
    let refused = relay.join(9, player(9)).unwrap_err();
    assert_eq!(refused.reason, RejectReason::RoomFull);
    let back = relay.join(1, player(1)).unwrap();
    assert_eq!(back.member, ada.member);
    let later = UnixTime(NOW.0 + 60);
    relay.join_at(later, 9, player(9)).unwrap();
}

#[test]
fn strangers_who_vanish_make_the_relay_forget_no_room_that_is_held() {
    let mut relay = Relay::with(RoomLimits {
        max_rooms: 2,
        ..RoomLimits::default()
    });
    let in_room = |n: u32| Hello {
        room: format!("room-{n}").parse().unwrap(),
        ..player(1)
    };
    let mut lost = Vec::new();
    for n in 0..8 {
        let admission = relay.join(n, in_room(n)).unwrap();
        relay
            .rooms
            .leave(NOW, relay.instant, &admission.seat, LeaveReason::ConnectionLost);
        lost.push(admission.member);
    }
    let before = relay.rooms.save();
    let refused = relay.join(8, in_room(8)).unwrap_err();
    assert_eq!(refused.reason, RejectReason::TooManyRooms);
    assert_eq!(relay.rooms.save(), before);
    let back = relay.join(0, in_room(0)).unwrap();
    assert_eq!(back.member, lost[0]);
    relay
        .rooms
        .leave(NOW, relay.instant, &back.seat, LeaveReason::Goodbye);
    // What a goodbye leaves behind holds nothing, and gives way.
    relay.join(8, in_room(8)).unwrap();
    assert!(
        relay
            .rooms
            .save()
            .rooms
            .iter()
            .all(|room| room.room != in_room(0).room)
    );
}

#[test]
fn strangers_who_come_and_go_fill_nothing() {
    let mut relay = Relay::with(RoomLimits {
        max_members: 4,
        max_rooms: 2,
        ..RoomLimits::default()
    });
    for n in 0..500_u32 {
        let hello = Hello {
            room: format!("room-{}", n / 50).parse().unwrap(),
            ..player(1)
        };
        let admission = relay.join(n, hello).unwrap();
        relay
            .rooms
            .leave(NOW, relay.instant, &admission.seat, LeaveReason::Goodbye);
    }
    let saved = relay.rooms.save();
    assert!(saved.rooms.len() <= 8);
    assert!(saved.rooms.iter().all(|room| room.members.len() <= 16));
}
