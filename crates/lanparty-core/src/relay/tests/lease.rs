//! One LAN gateway is active, and who waits takes over.

use lanparty_wire::control::Tenure;

use super::*;

const ACTIVE: u32 = 1;
const WAITING: u32 = 2;

/// A room with a player, its LAN gateway, and another one that has been named and waits.
fn contested() -> (Relay, Admission<u32>, Admission<u32>, Admission<u32>) {
    let mut relay = Relay::new();
    let active = relay.join(ACTIVE, gateway()).unwrap();
    let player = relay.join(3, player(3)).unwrap();
    relay.rooms.name_standbys(&active.seat, &[identity(WAITING)]);
    let waiting = relay.join(WAITING, gateway()).unwrap();
    (relay, active, waiting, player)
}

fn forward_from(relay: &mut Relay, sender: &Admission<u32>) -> Result<Vec<u32>, DropReason> {
    let roster = relay.rooms.set_budget(&sender.seat, None, None).unwrap().1;
    let entry = roster.entry(sender.member.id).unwrap();
    let targets = roster.targets(entry, Destination::Flood)?;
    Ok({
        let mut all = Vec::new();
        targets.for_each(|entry| all.push(entry.handle));
        all.sort_unstable();
        all
    })
}

#[test]
fn who_is_alone_holds_the_lease_without_asking() {
    let mut relay = Relay::new();
    let active = relay.join(ACTIVE, gateway()).unwrap();
    assert_eq!(active.welcome.gateway, Some(active.member.id));
    assert!(!active.member.standby);
    assert_eq!(relay.rooms.next_lease_end(), None);
    let (_, tenure) = relay.rooms.renew(relay.instant, &active.seat).unwrap();
    assert_eq!(tenure, Tenure::Unlimited);
}

#[test]
fn only_who_was_named_may_wait() {
    let mut relay = Relay::new();
    relay.join(ACTIVE, gateway()).unwrap();
    let refusal = relay.join(WAITING, gateway()).unwrap_err();
    assert_eq!(refusal.reason, RejectReason::GatewayPresent);
    assert!(
        refusal.detail.contains(&identity(WAITING).to_string()),
        "{}",
        refusal.detail
    );
    let (relay, active, waiting, _) = contested();
    assert!(waiting.member.standby);
    assert_eq!(waiting.welcome.gateway, Some(active.member.id));
    assert!(relay.rooms.next_lease_end().is_some());
}

#[test]
fn only_the_active_one_names_others() {
    let (mut relay, _, waiting, player) = contested();
    relay.rooms.name_standbys(&waiting.seat, &[identity(7)]);
    relay.rooms.name_standbys(&player.seat, &[identity(7)]);
    assert_eq!(
        relay.join(7, gateway()).unwrap_err().reason,
        RejectReason::GatewayPresent
    );
}

#[test]
fn what_a_waiting_one_sends_reaches_nobody() {
    let (mut relay, active, waiting, _) = contested();
    assert_eq!(forward_from(&mut relay, &waiting), Err(DropReason::Standby));
    assert_eq!(forward_from(&mut relay, &active), Ok(vec![WAITING, 3]));
}

#[test]
fn a_holder_that_asks_keeps_the_lease_and_one_that_does_not_loses_it() {
    let (mut relay, active, waiting, _) = contested();
    let mut clock = relay.instant;
    let (term, tenure) = relay.rooms.renew(clock, &active.seat).unwrap();
    assert_eq!(tenure, Tenure::Milliseconds(1000));
    for _ in 0..20 {
        clock += Duration::from_millis(900);
        assert!(relay.rooms.pass_leases(NOW, clock).is_empty());
        assert_eq!(relay.rooms.renew(clock, &active.seat), Some((term, tenure)));
        assert_eq!(
            relay.rooms.renew(clock, &waiting.seat),
            Some((term, Tenure::Waiting))
        );
    }
    assert!(
        relay.rooms.pass_leases(NOW, clock + LEASE).is_empty(),
        "not before the holder has stopped"
    );
    clock = relay.rooms.next_lease_end().unwrap();
    let passed = relay.rooms.pass_leases(NOW, clock);
    let [succession] = &passed[..] else {
        panic!("{passed:?}")
    };
    assert_eq!(succession.gateway, waiting.member.id);
    assert!(succession.term > term);
    assert_eq!(
        relay.rooms.renew(clock, &active.seat),
        Some((succession.term, Tenure::Waiting))
    );
    assert_eq!(forward_from(&mut relay, &active), Err(DropReason::Standby));
    assert_eq!(forward_from(&mut relay, &waiting), Ok(vec![ACTIVE, 3]));
}

#[test]
fn a_holder_that_leaves_is_followed_at_once_and_comes_back_to_wait() {
    let (mut relay, active, waiting, _) = contested();
    let clock = relay.instant;
    let departure = relay
        .rooms
        .leave(NOW, clock, &active.seat, LeaveReason::ConnectionLost)
        .unwrap();
    let succession = departure.successor.unwrap();
    assert_eq!(succession.gateway, waiting.member.id);
    assert_eq!(relay.rooms.next_lease_end(), None, "nobody waits any more");
    // By whom it may wait is for the new one to say.
    assert_eq!(
        relay.join(ACTIVE, gateway()).unwrap_err().reason,
        RejectReason::GatewayPresent
    );
    relay.rooms.name_standbys(&waiting.seat, &[identity(ACTIVE)]);
    let again = relay.join(ACTIVE, gateway()).unwrap();
    assert!(again.member.standby);
    assert_eq!(again.welcome.gateway, Some(waiting.member.id));
}

#[test]
fn who_waits_and_leaves_ends_the_hurry() {
    let (mut relay, active, waiting, _) = contested();
    relay.rooms.renew(relay.instant, &active.seat);
    relay
        .rooms
        .leave(NOW, relay.instant, &waiting.seat, LeaveReason::Goodbye)
        .unwrap();
    assert_eq!(relay.rooms.next_lease_end(), None);
    let (_, tenure) = relay.rooms.renew(relay.instant, &active.seat).unwrap();
    assert_eq!(tenure, Tenure::Unlimited);
}

#[test]
fn a_holder_that_comes_back_under_its_identity_still_holds_it() {
    let (mut relay, active, _, _) = contested();
    let again = relay.join(ACTIVE, gateway()).unwrap();
    assert!(!again.member.standby);
    assert_eq!(again.welcome.gateway, Some(active.member.id));
    assert!(relay.rooms.next_lease_end().is_some(), "and has to ask");
}
