//! Who gets in, under which name, and who is refused.

use super::*;

#[test]
fn the_joiner_hears_of_the_others_and_they_of_it() {
    let mut relay = Relay::new();
    let gateway = relay.join(1, gateway()).unwrap();
    let ada = relay.join(2, player(1)).unwrap();
    assert_eq!(ada.others, std::slice::from_ref(&gateway.member));
    assert_eq!(ada.welcome.gateway, Some(gateway.member.id));
    assert_eq!((ada.welcome.member, ada.welcome.members), (ada.member.id, 2));
    assert_eq!(ids(&ada.roster).len(), 2);
}

#[test]
fn codes_are_rooms_and_do_not_see_each_other() {
    let mut relay = Relay::new();
    relay.join(1, player(1)).unwrap();
    let elsewhere = Hello {
        room: "other".parse().unwrap(),
        ..player(1)
    };
    assert!(relay.join(2, elsewhere).unwrap().others.is_empty());
}

#[test]
fn only_the_host_is_the_lan_gateway_of_a_sealed_room() {
    let mut relay = Relay::new();
    let room = SealedRoom::of(&identity(1));
    let sealed = |hello: Hello| Hello {
        room: room.into(),
        ..hello
    };
    let squatter = relay.join(2, sealed(gateway())).unwrap_err();
    assert_eq!(squatter.reason, RejectReason::NotTheHost);
    assert!(relay.join(1, sealed(gateway())).unwrap().welcome.sealed);
    assert!(relay.join(2, sealed(player(2))).unwrap().welcome.sealed);
    assert!(!relay.join(3, player(3)).unwrap().welcome.sealed);
}

#[test]
fn each_no_has_its_reason_and_changes_nothing() {
    let mut relay = Relay::with(RoomLimits {
        max_members: 2,
        max_rooms: 1,
        connections_per_address: 2,
    });
    relay.join(1, gateway()).unwrap();
    let before = relay.rooms.save();
    let future = Hello {
        min_version: 2,
        max_version: 9,
        ..player(1)
    };
    let other_room = Hello {
        room: "other".parse().unwrap(),
        ..player(1)
    };
    let global = Hello {
        mac: Some(Mac([0, 1, 2, 3, 4, 5])),
        ..player(1)
    };
    for (hello, reason) in [
        (future, RejectReason::Version),
        (other_room, RejectReason::TooManyRooms),
        (global, RejectReason::InvalidMac),
        (gateway(), RejectReason::GatewayPresent),
    ] {
        assert_eq!(relay.join(2, hello).unwrap_err().reason, reason);
    }
    assert_eq!(relay.rooms.save(), before);
    relay.join(2, player(1)).unwrap();
    assert_eq!(
        relay.join(3, player(2)).unwrap_err().reason,
        RejectReason::RoomFull
    );
}

#[test]
fn an_address_may_have_so_many_members_and_a_site_of_ipv6_is_one_address() {
    let mut relay = Relay::with(RoomLimits {
        connections_per_address: 2,
        ..RoomLimits::default()
    });
    relay.join_from("2001:db8::1", 1, player(1)).unwrap();
    let second = relay.join_from("2001:db8::2", 2, player(2)).unwrap();
    let refused = relay.join_from("2001:db8::3", 3, player(3)).unwrap_err();
    assert_eq!(refused.reason, RejectReason::TooManyConnections);
    relay.join_from("2001:db8:0:1::3", 3, player(3)).unwrap();
    // Coming back does not count twice.
    relay.join_from("2001:db8::2", 2, player(2)).unwrap();
    assert!(
        relay
            .rooms
            .leave(NOW, relay.instant, &second.seat, LeaveReason::Goodbye)
            .is_none()
    );
    assert!(relay.join_from("2001:db8::4", 4, player(4)).is_err());
}

#[test]
fn a_place_that_became_free_may_be_taken() {
    let mut relay = Relay::with(RoomLimits {
        max_members: 2,
        ..RoomLimits::default()
    });
    let ada = relay.join(1, player(1)).unwrap();
    relay.join(2, player(2)).unwrap();
    let left = relay
        .rooms
        .leave(NOW, relay.instant, &ada.seat, LeaveReason::Goodbye)
        .unwrap();
    assert_eq!((left.member, ids(&left.roster).len()), (ada.member.id, 1));
    relay.join(3, player(1)).unwrap();
}

#[test]
fn names_are_clipped_and_carry_nothing_that_steers_a_terminal() {
    let mut relay = Relay::new();
    let hello = Hello {
        name: format!("\u{1b}[2J{}", "x".repeat(100)),
        ..player(1)
    };
    let name = relay.join(1, hello).unwrap().member.name;
    assert!(name.chars().count() == 64 && name.starts_with("[2Jx"), "{name}");
}
