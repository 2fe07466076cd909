//! A second LAN gateway in a sealed room: the host's roster says whether it is one, the relay which of them is active.

use super::*;

/// A party of two, and a LAN gateway that waits: with this role in the roster, if with any.
fn party(role: Option<MemberRole>) -> Party {
    let mut party = Party::new(2);
    if let Some(role) = role {
        party.publish(|roster| roster.members.push(entry(STANDBY, role)));
    }
    party.start(STANDBY);
    party.pass(Duration::from_secs(3));
    party
}

fn succession(party: &mut Party) {
    let message = Message::Gateway {
        member: member_id(STANDBY),
        term: 2,
    };
    for id in [1, 2] {
        party.control(id, &message);
    }
    party.pass(Duration::from_secs(1));
}

/// Who speaks for the LAN, as a player sees it.
fn gateway(party: &mut Party, player: u16) -> Option<MemberId> {
    party.node(player).gateway().map(|member| member.id)
}

#[test]
fn members_have_keys_with_one_that_waits_before_it_takes_over() {
    let mut party = party(Some(MemberRole::Gateway));
    for player in [1, 2] {
        assert!(party.node(player).is_secured(member_id(STANDBY)));
        assert_eq!(gateway(&mut party, player), Some(member_id(GATEWAY)));
    }
    succession(&mut party);
    assert_eq!(gateway(&mut party, 1), Some(member_id(STANDBY)));
}

#[test]
fn the_relay_makes_nobody_a_lan_gateway_whom_the_host_has_not_named() {
    for role in [None, Some(MemberRole::Player), Some(MemberRole::Spectator)] {
        let mut party = party(role);
        assert!(!party.node(1).is_secured(member_id(STANDBY)), "{role:?}");
        succession(&mut party);
        assert_ne!(gateway(&mut party, 1), Some(member_id(STANDBY)), "{role:?}");
    }
}
