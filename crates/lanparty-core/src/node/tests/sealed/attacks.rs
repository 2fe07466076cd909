//! What a relay, or a member that works with it, can try: each fails, and is counted.

use std::time::Duration;

use lanparty_wire::{
    Destination, DropReason, HEADER_LEN, Header, Incarnation, LeaveReason, PeerId, SealedRoom,
    control::{Message, Role},
    seal::{self, Parcel, Purpose},
};

use super::*;
use crate::{
    node::tests::{frames::ipx, room::STATION},
    seal::handshake::{Context, Handshake, Party as Side},
};

const SECRET: &[u8] = b"the byte string that nobody but its receiver may ever see";

#[test]
fn the_relay_reads_no_payload() {
    let mut party = Party::new(2);
    party.send(1, &frame(1, Some(2), SECRET));
    party.send(1, &frame(1, None, SECRET));
    let now = party.now;
    party.node(1).write_note(now, to(2), SECRET).unwrap();
    party.run();
    assert!(party.events.contains(&(
        2,
        Event::Note {
            from: to(1),
            bytes: SECRET.to_vec()
        }
    )));
    let mail = party
        .all_mail
        .iter()
        .map(|mail| seal::envelope_bytes(&mail.data).unwrap());
    let seen: Vec<Vec<u8>> = mail
        .chain(party.all_datagrams.iter().map(|d| d.to_vec()))
        .collect();
    assert!(seen.len() > 10);
    for part in SECRET.windows(6) {
        assert!(
            !seen
                .iter()
                .any(|bytes| bytes.windows(6).any(|window| window == part))
        );
    }
}

#[test]
fn no_bit_of_a_datagram_can_change() {
    let mut party = Party::new(2);
    for target in [Some(2), None] {
        let sent = frame(1, target, SECRET);
        let [datagram] = party.catch(1, &sent).try_into().unwrap();
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            match Header::decode(&changed) {
                // The two marks that a hop may set: one changes nothing, the other makes it half of something.
                Ok((header, _)) if header.congested => continue,
                Ok((header, _)) if header.fragment => {
                    assert!(!matches!(party.deliver(2, &changed), Ok(Some(_))));
                }
                _ => {
                    let refused = |party: &Party| {
                        let counters = party.nodes[&2].counters();
                        counters.drops.total() + counters.duplicates_in
                    };
                    let before = refused(&party);
                    assert!(party.deliver(2, &changed).is_err(), "bit {bit}");
                    assert_eq!(refused(&party), before + 1, "counted");
                }
            }
        }
        assert!(party.drops(2, DropReason::BadSeal) > 400);
        assert_eq!(
            party.deliver(2, &datagram),
            Ok(Some(sent)),
            "the genuine one still opens"
        );
    }
}

#[test]
fn nothing_is_taken_twice() {
    let mut party = Party::new(2);
    for target in [Some(2), None] {
        let [datagram] = party.catch(1, &frame(1, target, SECRET)).try_into().unwrap();
        assert!(party.deliver(2, &datagram).is_ok());
        assert_eq!(party.deliver(2, &datagram), Err(DropReason::Duplicate));
    }
    let letters: Vec<Mail> = party
        .all_mail
        .iter()
        .filter(|mail| mail.to == 2)
        .cloned()
        .collect();
    let before = party.drops(2, DropReason::Duplicate);
    letters.iter().for_each(|mail| party.hand(mail));
    assert!(party.drops(2, DropReason::Duplicate) > before, "letters neither");
    party.run();
    party.everyone_hears_everyone(1);
}

#[test]
fn a_datagram_is_its_senders_and_for_its_target_only() {
    let mut party = Party::new(3);
    let [unicast] = party.catch(1, &frame(1, Some(2), SECRET)).try_into().unwrap();
    let [flood] = party.catch(1, &frame(1, None, SECRET)).try_into().unwrap();
    for datagram in [&unicast, &flood] {
        let forged = reheaded(datagram, |header| header.source = to(3));
        assert_eq!(
            party.deliver(2, &forged),
            Err(DropReason::BadSeal),
            "attributed to another"
        );
    }
    let to_another = reheaded(&unicast, |header| header.destination = Destination::Member(to(3)));
    assert_eq!(party.deliver(3, &to_another), Err(DropReason::BadSeal));
    let to_all = reheaded(&unicast, |header| header.destination = Destination::Flood);
    let flooded: Vec<_> = [2, 3].map(|id| party.deliver(id, &to_all)).to_vec();
    assert!(
        flooded
            .iter()
            .all(|result| matches!(result, Err(DropReason::BadSeal | DropReason::WrongKey)))
    );
    let to_one = reheaded(&flood, |header| header.destination = Destination::Member(to(2)));
    assert!(matches!(
        party.deliver(2, &to_one),
        Err(DropReason::BadSeal | DropReason::WrongKey)
    ));
    let back = reheaded(&unicast, |header| {
        (header.source, header.destination) = (to(2), Destination::Member(to(1)));
    });
    assert_eq!(party.deliver(1, &back), Err(DropReason::BadSeal), "reflected");
}

/// A handshake from `from` with `to` that says 31, by whoever has the key `by`, and its first message.
pub fn initiate(party: &Party, by: &IdentityKey, from: u16, to: u16) -> (Handshake, Mail) {
    let side = |id: u16| Side {
        identity: identity(id),
        member: member_id(id),
        incarnation: Incarnation(party.incarnations[&id]),
    };
    let context = Context {
        purpose: Purpose::Member,
        room: SealedRoom::of(&identity(GATEWAY)),
        initiator: side(from),
        responder: side(to),
    };
    let (handshake, noise) = Handshake::initiate(&context, by, &[31], &[66; 32]).unwrap();
    let purpose = Purpose::Member;
    let parcel = Parcel::Initiate {
        purpose,
        noise: &noise,
    }
    .encode();
    let Message::Envelope { data, .. } = seal::envelope(member_id(to), &parcel) else {
        panic!("it is an envelope")
    };
    (handshake, Mail { from, to, data })
}

#[test]
fn nobody_passes_for_a_member_by_its_public_key() {
    let mut party = Party::new(2);
    let (initiator, responder) = roles(1, 2);
    let mallory = IdentityKey::from_seed(&[77; 32]);
    let (_, forged) = initiate(&party, &mallory, initiator, responder);
    party.hand(&forged);
    assert_eq!(party.drops(responder, DropReason::BadHandshake), 1);
    assert!(party.mail.is_empty(), "no answer");
    party.everyone_hears_everyone(1);
}

#[test]
fn what_is_not_in_the_roster_does_not_exist() {
    let mut party = Party::new(2);
    party.events.clear();
    party.all_mail.clear();
    let invented = Member {
        identity: PeerId([5; 32]),
        ..member(5, 1, BUDGET)
    };
    let posing = Member {
        mac: Some(mac(6)),
        id: to(6),
        ..party.member(1)
    };
    let other_lan = Member {
        role: Role::Gateway,
        mac: None,
        ..party.member(1)
    };
    party.incarnations.extend([(5, 1), (6, 1)]);
    for member in [invented.clone(), posing, other_lan] {
        party.control(2, &Message::Joined { member });
    }
    party.run();
    assert_eq!(
        party
            .all_mail
            .iter()
            .filter(|mail| mail.to >= 5 && mail.to != GATEWAY)
            .count(),
        0
    );
    assert!(
        !party
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::MemberJoined { .. }))
    );
    let [flood] = party.catch(1, &frame(1, None, SECRET)).try_into().unwrap();
    let forged = reheaded(&flood, |header| header.source = to(5));
    assert_eq!(party.deliver(2, &forged), Err(DropReason::NotAdmitted));
    let (_, by_invented) = initiate(&party, &IdentityKey::from_seed(&[5; 32]), 5, 2);
    party.hand(&by_invented);
    assert_eq!(party.drops(2, DropReason::NotAdmitted), 2);
}

#[test]
fn an_old_session_is_of_no_use() {
    let mut party = Party::new(2);
    party.send(1, &frame(1, Some(2), SECRET));
    party.send(1, &frame(1, None, SECRET));
    let (old_mail, old_datagrams) = (party.all_mail.clone(), party.all_datagrams.clone());
    party.start(1);
    let before = party.nodes[&2].counters().drops.total();
    // Spliced into the handshake that is under way, and after it.
    for _ in 0..2 {
        let held: Vec<Mail> = party.mail.drain(..).collect();
        old_mail.iter().for_each(|mail| party.hand(mail));
        for datagram in &old_datagrams {
            assert_eq!(party.forward(datagram), []);
        }
        party.mail.extend(held);
        party.pass(Duration::from_secs(20));
    }
    let drops = |reason| party.drops(1, reason) + party.drops(2, reason);
    assert!(party.nodes[&2].counters().drops.total() > before + 4);
    assert!(drops(DropReason::BadHandshake) + drops(DropReason::HandshakeRate) > 0);
    assert!(drops(DropReason::BadSeal) + drops(DropReason::WrongKey) > 0);
    party.everyone_hears_everyone(1);
}

#[test]
fn a_sealed_node_is_never_an_open_one() {
    let mut party = Party::new(2);
    // The welcomes of this harness say that the room is not sealed.
    let [datagram] = party.catch(1, &frame(1, Some(2), SECRET)).try_into().unwrap();
    let (header, _) = Header::decode(&datagram).unwrap();
    assert_ne!(header.key_id, 0);
    let open = Header { key_id: 0, ..header };
    let frame_in_the_clear = [&open.encode()[..], &frame(1, Some(2), SECRET)].concat();
    assert_eq!(party.deliver(2, &frame_in_the_clear), Err(DropReason::Unsealed));
    let probe = Header {
        kind: lanparty_wire::Kind::Probe,
        ..open
    };
    let probe_in_the_clear = [&probe.encode()[..], &[0; 9]].concat();
    assert_eq!(party.deliver(2, &probe_in_the_clear), Err(DropReason::Unsealed));
    assert_eq!(party.drops(2, DropReason::Unsealed), 2);
    let cut = &datagram[..HEADER_LEN + 7];
    assert_eq!(
        party.deliver(2, cut),
        Err(DropReason::BadSeal),
        "shorter than a tag"
    );
}

#[test]
fn an_open_node_takes_nothing_sealed() {
    let mut party = Party::new(2);
    let [datagram] = party.catch(1, &frame(1, Some(2), SECRET)).try_into().unwrap();
    let mut open = crate::node::tests::room::Room::new(2);
    open.deliver(2, &datagram);
    assert_eq!(open.drops, [(2, DropReason::WrongKey)]);
}

#[test]
fn a_reflected_handshake_is_refused() {
    let mut party = Party::empty(2);
    party.start(1);
    party.start(2);
    let (initiator, responder) = roles(1, 2);
    let end = party.now + Duration::from_secs(1);
    while party.mail.is_empty() && party.step(end) {}
    let first = party
        .mail
        .iter()
        .find(|mail| mail.from == initiator)
        .unwrap()
        .clone();
    let reflected = Mail {
        from: responder,
        to: initiator,
        data: first.data,
    };
    party.hand(&reflected);
    assert_eq!(party.drops(initiator, DropReason::BadHandshake), 1);
    party.pass(Duration::from_secs(3));
    party.everyone_hears_everyone(1);
}

#[test]
fn another_incarnation_than_the_members_own_gets_no_keys() {
    let mut party = Party::new(2);
    let (initiator, responder) = roles(1, 2);
    let mut lied = party.member(initiator);
    lied.incarnation.0 += 1;
    party.control(responder, &Message::Joined { member: lied });
    let [datagram] = party
        .catch(initiator, &frame(initiator, Some(responder), SECRET))
        .try_into()
        .unwrap();
    assert_eq!(party.deliver(responder, &datagram), Err(DropReason::WrongKey));
    party.pass(Duration::from_secs(60));
    assert!(party.drops(responder, DropReason::BadHandshake) > 0);
    assert!(!party.nodes[&responder].is_secured(to(initiator)));
    assert!(
        party
            .events
            .iter()
            .any(|(id, event)| *id == responder && matches!(event, Event::MemberUnproven { .. }))
    );
    // And once the relay tells the truth, all is well again.
    let member = party.member(initiator);
    party.control(responder, &Message::Joined { member });
    party.pass(Duration::from_secs(20));
    party.everyone_hears_everyone(1);
}

#[test]
fn an_older_roster_is_refused() {
    let mut party = Party::new(2);
    let old = party.roster.clone();
    party.publish(|_| {});
    let now = party.now;
    assert_eq!(party.node(1).set_roster(now, old), Err(DropReason::OldRoster));
    assert_eq!(party.drops(1, DropReason::OldRoster), 1);
}

#[test]
fn who_is_put_out_neither_speaks_nor_hears() {
    let mut party = Party::new(3);
    let kicked = to(3);
    party.publish(|roster| roster.members.retain(|entry| entry.id != kicked));
    assert!(party.events.iter().any(|(id, event)| *id == 1
        && matches!(event, Event::MemberLeft { member, reason: LeaveReason::Kicked } if member.id == kicked)));
    for target in [Some(1), None] {
        let [datagram] = party.catch(3, &frame(3, target, SECRET)).try_into().unwrap();
        assert_eq!(party.deliver(1, &datagram), Err(DropReason::NotAdmitted));
    }
    party.pass(Duration::from_secs(3));
    let [flood] = party.catch(1, &frame(1, None, SECRET)).try_into().unwrap();
    assert_eq!(
        party.deliver(3, &flood),
        Err(DropReason::WrongKey),
        "it has not got the new key"
    );
    assert!(matches!(party.deliver(2, &flood), Ok(Some(_))));
    for datagram in party.catch(1, &frame(1, Some(3), SECRET)) {
        let (header, _) = Header::decode(&datagram).unwrap();
        assert_eq!(
            header.destination,
            Destination::Member(to(GATEWAY)),
            "a station that nobody knows"
        );
    }
}

#[test]
fn a_spectator_only_looks_on() {
    let mut party = Party::new(2);
    party.publish(|roster| roster.members[0].role = MemberRole::Spectator);
    let now = party.now;
    let refused = party
        .node(1)
        .handle_frame(now, Frame::plain(&frame(1, Some(2), SECRET)));
    assert_eq!(refused, Err(DropReason::Spectator), "its own node says so");
    let dhcp = udp(mac(1), Mac::BROADCAST, (68, 67), &[1; 240]);
    assert_eq!(party.send(1, &dhcp).len(), 2);
    // One that does not keep to it: its own node has missed the roster.
    let mut party = Party::new(2);
    let mut roster = party.roster.clone();
    roster.number += 1;
    roster.members[0].role = MemberRole::Spectator;
    let now = party.now;
    party.node(2).set_roster(now, roster).unwrap();
    let [datagram] = party.catch(1, &frame(1, Some(2), SECRET)).try_into().unwrap();
    assert_eq!(party.deliver(2, &datagram), Err(DropReason::Spectator));
    assert_eq!(party.send(2, &frame(2, Some(1), SECRET)).len(), 1, "it hears");
}

#[test]
fn forged_handshakes_cost_little() {
    let mut party = Party::new(2);
    let (initiator, responder) = roles(1, 2);
    let mallory = IdentityKey::from_seed(&[77; 32]);
    let (_, forged) = initiate(&party, &mallory, initiator, responder);
    (0..100).for_each(|_| party.hand(&forged));
    assert!(party.drops(responder, DropReason::BadHandshake) <= 8);
    assert!(party.drops(responder, DropReason::HandshakeRate) >= 92);
}

#[test]
fn full_frames_are_sealed_and_then_cut_in_two() {
    let mut party = Party::new(1);
    let frame = ipx(STATION, mac(1), 1514);
    let pieces = party.catch(GATEWAY, &frame);
    assert_eq!(pieces.len(), 2, "the tag makes no third piece");
    let mut changed = pieces[1].to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(party.deliver(1, &pieces[0]), Ok(None));
    assert_eq!(party.deliver(1, &changed), Err(DropReason::BadSeal));
    assert_eq!(
        party.deliver(1, &pieces[0]),
        Ok(None),
        "the number is not used up"
    );
    assert_eq!(party.deliver(1, &pieces[1]), Ok(Some(frame)));
}
