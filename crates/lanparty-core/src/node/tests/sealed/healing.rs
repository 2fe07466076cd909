//! Whatever is lost, late, repeated or started anew: all who are admitted hear each other again, without a person.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;

/// Enough to agree on keys, where nothing is lost.
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn all_agree_within_a_moment_and_are_told() {
    let mut party = Party::new(4);
    party.everyone_hears_everyone(1);
    let secured: BTreeSet<(u16, MemberId)> = party
        .events
        .iter()
        .filter_map(|(id, event)| match event {
            Event::MemberSecured { member } => Some((*id, *member)),
            _ => None,
        })
        .collect();
    assert_eq!(secured.len(), 5 * 4);
    party.nothing_is_lost();
}

#[test]
fn the_first_frames_wait_for_the_keys_and_come_once() {
    let mut party = Party::empty(2);
    party.start(1);
    party.start(2);
    let frames = [frame(1, None, &[1; 20]), frame(1, Some(2), &[2; 20])];
    for frame in &frames {
        assert_eq!(party.catch(1, frame), [] as [Bytes; 0]);
    }
    assert_eq!(party.pass(MOMENT), frames.map(|frame| (2, frame)));
    party.everyone_hears_everyone(1);
    party.nothing_is_lost();
}

#[test]
fn a_newcomer_hears_what_is_said_while_it_gets_its_keys_and_the_others_hear_it_at_once() {
    let mut party = Party::new(2);
    party.publish(|roster| roster.members.push(entry(3, MemberRole::Player)));
    party.start(3);
    let flood = frame(1, None, &[1; 20]);
    let caught = party.catch(1, &flood);
    assert_eq!(caught.len(), 1, "the newcomer's copy waits");
    let heard: Vec<u16> = caught
        .iter()
        .flat_map(|datagram| party.forward(datagram))
        .map(|(to, _)| to)
        .collect();
    assert_eq!(heard, [2, GATEWAY]);
    assert_eq!(party.pass(MOMENT), [(3, flood)]);
}

#[test]
fn whoever_never_agrees_on_keys_costs_a_bounded_number_of_frames() {
    let mut party = Party::empty(2);
    party.start(1);
    party.start(2);
    let numbered = |number| frame(1, Some(2), &[number; 20]);
    for number in 0..100 {
        assert!(party.catch(1, &numbered(number)).is_empty());
    }
    let refused = party.drops(1, DropReason::NoSession);
    assert!((1..100).contains(&refused), "{refused}");
    let heard = party.pass(MOMENT);
    assert_eq!(heard.len() as u64, 100 - refused);
    assert!(
        heard
            .iter()
            .zip(0..)
            .all(|((_, bytes), number)| *bytes == numbered(number))
    );
}

#[test]
fn a_member_that_starts_anew_is_heard_again() {
    let mut party = Party::new(3);
    for (tag, id) in [1, 2, GATEWAY].into_iter().enumerate() {
        party.start(id);
        party.pass(Duration::from_secs(3));
        party.everyone_hears_everyone(tag as u8);
    }
}

#[test]
fn a_relay_that_forgets_incarnations_is_healed_too() {
    let mut party = Party::new(3);
    for (tag, id) in [1, 2, 3].into_iter().enumerate() {
        party.start_as_before(id);
        party.pass(Duration::from_secs(30));
        party.everyone_hears_everyone(tag as u8);
    }
}

#[test]
fn a_reconnect_keeps_all_keys() {
    let mut party = Party::new(3);
    let mail = party.all_mail.len();
    party.join(1);
    party.everyone_hears_everyone(1);
    assert_eq!(party.all_mail.len(), mail);
}

#[test]
fn a_relay_that_restarts_changes_nothing() {
    let mut party = Party::new(3);
    for id in [1, 2, 3, GATEWAY] {
        party.join(id);
    }
    party.pass(Duration::from_secs(1));
    party.everyone_hears_everyone(1);
}

#[test]
fn keys_are_replaced_in_time_and_nothing_is_lost() {
    let mut party = Party::new(2);
    let mut ids = BTreeSet::new();
    for round in 0..150_u8 {
        party.pass(Duration::from_secs(60));
        party.everyone_hears_everyone(round);
        let headers = party
            .all_datagrams
            .drain(..)
            .map(|d| Header::decode(&d).unwrap().0);
        ids.extend(headers.map(|header| (header.destination == Destination::Flood, header.key_id)));
    }
    let count = |flood| ids.iter().filter(|(of, _)| *of == flood).count();
    assert!(count(true) > 10, "sender keys: {ids:?}");
    assert!(count(false) >= 3, "pairs' keys: {ids:?}");
    party.nothing_is_lost();
}

#[test]
fn who_joins_later_cannot_be_played_what_was_before() {
    let mut party = Party::empty(3);
    [GATEWAY, 1, 2].into_iter().for_each(|id| party.start(id));
    party.pass(Duration::from_secs(3));
    let old = party.catch(1, &frame(1, None, b"before")).remove(0);
    party.start(3);
    party.pass(Duration::from_secs(3));
    assert_eq!(party.deliver(3, &old), Err(DropReason::TooOld));
    party.everyone_hears_everyone(1);
}

#[test]
fn a_member_whose_life_is_denied_cannot_be_played_what_it_said() {
    let mut party = Party::new(2);
    let (one, other) = (1, 2);
    let said = party.catch(one, &frame(one, None, b"once")).remove(0);
    assert!(matches!(party.deliver(other, &said), Ok(Some(_))));
    // The relay says that it has left and come back in the same life; what was seen of it is forgotten.
    let member = party.member(one);
    let left = Message::Left {
        member: member.id,
        incarnation: member.incarnation,
        reason: LeaveReason::TimedOut,
    };
    party.control(other, &left);
    party.control(other, &Message::Joined { member });
    party.pass(Duration::from_secs(20));
    assert!(party.deliver(other, &said).is_err());
    party.everyone_hears_everyone(1);
}

#[test]
fn a_replayed_first_message_changes_nothing_that_is_agreed() {
    let mut party = Party::new(2);
    let (initiator, responder) = roles(1, 2);
    let old: Vec<Mail> = party
        .all_mail
        .iter()
        .filter(|m| m.from == initiator && m.to == responder)
        .cloned()
        .collect();
    party.pass(Duration::from_secs(3700));
    party.everyone_hears_everyone(1);
    for mail in &old {
        party.hand(mail);
        party.everyone_hears_everyone(2);
    }
    assert!(
        party.drops(initiator, DropReason::BadHandshake) > 0,
        "an answer that nobody has asked for"
    );
}

#[derive(Clone, Debug)]
enum Mischief {
    Drop(usize),
    Repeat(usize),
    Swap(usize),
    Pass(usize),
    Restart(u16),
    Reconnect(u16),
    Leave(u16),
    Wait(u64),
    Speak(u16),
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        3 => (0..6_usize).prop_map(Mischief::Drop),
        3 => (0..6_usize).prop_map(Mischief::Repeat),
        3 => (0..6_usize).prop_map(Mischief::Swap),
        8 => (0..6_usize).prop_map(Mischief::Pass),
        1 => (1..4_u16).prop_map(Mischief::Restart),
        1 => (1..4_u16).prop_map(Mischief::Reconnect),
        1 => (1..4_u16).prop_map(Mischief::Leave),
        4 => (0..3000_u64).prop_map(Mischief::Wait),
        2 => (1..4_u16).prop_map(Mischief::Speak),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_a_relay_does_all_hear_each_other_once_it_stops(steps in proptest::collection::vec(mischief(), 1..60)) {
        let mut party = Party::empty(3);
        [GATEWAY, 1, 2, 3].into_iter().for_each(|id| party.start(id));
        for step in steps {
            match step {
                Mischief::Drop(at) => drop(party.mail.remove(at)),
                Mischief::Repeat(at) => if let Some(mail) = party.mail.get(at).cloned() {
                    party.hand(&mail);
                },
                Mischief::Swap(at) => if at + 1 < party.mail.len() {
                    party.mail.swap(at, at + 1);
                },
                Mischief::Pass(at) => if let Some(mail) = party.mail.remove(at) {
                    party.hand(&mail);
                },
                Mischief::Restart(id) => party.start(id),
                Mischief::Reconnect(id) => if party.nodes.contains_key(&id) {
                    party.join(id);
                },
                Mischief::Leave(id) => if party.nodes.contains_key(&id) {
                    party.leave(id);
                },
                Mischief::Wait(millis) => {
                    let end = party.now + Duration::from_millis(millis);
                    while party.step(end) {}
                    party.now = end;
                }
                Mischief::Speak(id) => if party.nodes.contains_key(&id) {
                    party.catch(id, &frame(id, None, b"hello"));
                },
            }
        }
        for id in 1..4 {
            if !party.nodes.contains_key(&id) {
                party.start(id);
            }
        }
        party.pass(Duration::from_secs(30));
        party.everyone_hears_everyone(1);
    }
}
