//! A room for strangers.

use super::*;
use crate::lan::LanConfig;

const STATION: Mac = Mac([0x52, 0x54, 0, 0, 0, 9]);
/// As [`udp`] has it.
const ADDRESS: [u8; 4] = [10, 0, 0, 1];
const GAME: u16 = 27_015;

#[test]
fn strangers_play_and_are_apart_otherwise_and_all_reach_the_lan() {
    let mut party = strangers(2);
    let game = udp(mac(1), mac(2), (4000, GAME), &[1; 40]);
    assert_eq!(heard(&mut party, 1, &game), [2]);
    let shout = udp(mac(1), Mac::BROADCAST, (4000, GAME), &[2; 40]);
    assert_eq!(heard(&mut party, 1, &shout), [2, GATEWAY]);
    let other_shout = frame(1, None, &[3; 40]);
    assert_eq!(
        heard(&mut party, 1, &other_shout),
        [GATEWAY],
        "it is the LAN's alone"
    );
    let now = party.now;
    let other = frame(1, Some(2), &[4; 40]);
    let refused = party.node(1).handle_frame(now, Frame::plain(&other));
    assert_eq!(refused, Err(DropReason::Stranger));
    let from_lan = udp(STATION, mac(2), (445, 40_000), &[5; 40]);
    assert_eq!(heard(&mut party, GATEWAY, &from_lan), [2]);
    assert_eq!(
        heard(&mut party, 1, &udp(mac(1), STATION, (4000, 80), &[6; 40])),
        [GATEWAY]
    );
    assert!(heard(&mut party, 1, &udp(mac(1), STATION, (4000, 445), &[7; 40])).is_empty());
    assert_eq!(party.drops(GATEWAY, DropReason::ClosedService), 1);
    party.publish(|roster| roster.profile = Profile::Friends);
    assert_eq!(heard(&mut party, 1, &other), [2], "among friends");
}

#[test]
fn a_stranger_that_does_not_keep_to_it_reaches_nobody() {
    let mut party = Party::new(2);
    let mut roster = party.roster.clone();
    roster.number += 1;
    roster.profile = Profile::Strangers;
    let now = party.now;
    // Its own node has missed the roster.
    for id in [2, GATEWAY] {
        party.node(id).set_roster(now, roster.clone()).unwrap();
    }
    give(&mut party, 1, ADDRESS);
    for to in [Some(2), None] {
        let [datagram] = party.catch(1, &frame(1, to, &[1; 40])).try_into().unwrap();
        assert_eq!(party.deliver(2, &datagram), Err(DropReason::Stranger), "{to:?}");
    }
}

#[test]
fn nobody_sends_under_an_address_that_dhcp_has_given_to_another() {
    let mut party = strangers(3);
    give(&mut party, 3, [10, 0, 0, 3]);
    let forged = udp(mac(3), Mac::BROADCAST, (4000, GAME), &[1; 40]);
    assert!(heard(&mut party, 3, &forged).is_empty());
    for id in [1, 2, GATEWAY] {
        assert_eq!(party.drops(id, DropReason::ForgedAddress), 1, "{id}");
    }
}

#[test]
fn who_joins_later_is_told_whose_address_is_whose() {
    let mut party = strangers(1);
    party.publish(|roster| roster.members.push(entry(2, MemberRole::Player)));
    party.start(2);
    party.pass(Duration::from_secs(3));
    let game = udp(mac(1), mac(2), (4000, GAME), &[1; 40]);
    assert_eq!(heard(&mut party, 1, &game), [2]);
}

#[test]
fn a_gateway_that_was_restarted_goes_on_with_the_leases_that_it_has_heard() {
    for (away, comes) in [(60, true), (3700, false)] {
        let mut party = strangers(1);
        let heard_before = party.events.iter().find_map(|(_, event)| match event {
            Event::LeaseHeard(lease) => Some(*lease),
            _ => None,
        });
        party.leave(1);
        party.start(GATEWAY);
        let now = party.now;
        party.node(GATEWAY).set_lan(
            now,
            LanConfig {
                heard: vec![heard_before.unwrap()],
                ..LanConfig::default()
            },
        );
        party.now += Duration::from_secs(away);
        party.start(1);
        party.pass(Duration::from_secs(3));
        let game = udp(mac(1), Mac::BROADCAST, (4000, GAME), &[1; 40]);
        let hearers = heard(&mut party, 1, &game);
        assert_eq!(hearers == [GATEWAY], comes, "{away} s later: {hearers:?}");
    }
}

#[test]
fn only_the_host_says_whose_address_is_whose() {
    let mut party = strangers(2);
    give(&mut party, 1, [10, 0, 0, 7]);
    party.node(2).told_leases(to(1), &[(to(1), ADDRESS.into())]);
    let game = udp(mac(1), mac(2), (4000, GAME), &[1; 40]);
    assert!(heard(&mut party, 1, &game).is_empty());
}

/// A room for strangers in which everybody has the address of [`udp`]'s frames.
fn strangers(players: u16) -> Party {
    let mut party = Party::new(players);
    party.publish(|roster| roster.profile = Profile::Strangers);
    (1..=players).for_each(|player| give(&mut party, player, ADDRESS));
    party
}

/// The LAN's DHCP server gives a player an address.
fn give(party: &mut Party, player: u16, address: [u8; 4]) {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[16..20].copy_from_slice(&address);
    message[28..34].copy_from_slice(&mac(player).0);
    message.extend([53, 1, 5, 51, 4, 0, 0, 14, 16, 255]);
    let acknowledgement = udp(STATION, mac(player), (67, 68), &message);
    assert_eq!(heard(party, GATEWAY, &acknowledgement), [player]);
}

fn heard(party: &mut Party, from: u16, frame: &[u8]) -> Vec<u16> {
    party.send(from, frame).iter().map(|&(to, _)| to).collect()
}
