//! Every attack of a malicious relay twice: it fails and is counted while its checks are there, and succeeds once they are taken out.
//!
//! Where several checks hold the same thing, each of them alone is enough.

use std::time::Duration;

use lanparty_wire::{
    Destination, DropReason, GroupHandle, Header, Incarnation, LeaveReason,
    control::{Message, Role},
    seal::{self, Letter, Parcel, Purpose},
};

use super::{attacks::initiate, *};
use crate::{
    hole::{Hole, without},
    seal::{aead, handshake::Secrets, session, session::Session},
};

const SECRET: &[u8] = b"the byte string that nobody but its receiver may ever see";

/// Whom no roster names.
const STRANGER: u16 = 20;

struct Attack {
    name: &'static str,
    /// What it must get past.
    checks: &'static [Hole],
    /// What it is counted as; `None` for who only listens.
    reason: Option<DropReason>,
    /// In a room of a host and three players. True if it has succeeded.
    run: fn(&mut Party) -> bool,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "reading what members send",
        checks: &[Hole::Agreement],
        reason: None,
        run: read,
    },
    Attack {
        name: "modifying a payload",
        checks: &[Hole::Tag],
        reason: Some(DropReason::BadSeal),
        run: modify,
    },
    Attack {
        name: "replaying datagrams",
        checks: &[Hole::Replay],
        reason: Some(DropReason::Duplicate),
        run: replay,
    },
    Attack {
        name: "replaying a letter",
        checks: &[Hole::LetterOrder],
        reason: Some(DropReason::Duplicate),
        run: replay_letter,
    },
    Attack {
        name: "replaying a flood to a member whose window was lost",
        checks: &[Hole::Floor],
        reason: Some(DropReason::TooOld),
        run: replay_after_absence,
    },
    Attack {
        name: "attributing one sender's unicast to another",
        checks: &[Hole::Agreement, Hole::Header, Hole::SourceAddress],
        reason: Some(DropReason::BadSeal),
        run: |party| attribute(party, Some(2)),
    },
    Attack {
        name: "attributing one sender's flood to another",
        checks: &[Hole::Freshness, Hole::Header, Hole::SourceAddress],
        reason: Some(DropReason::BadSeal),
        run: |party| attribute(party, None),
    },
    Attack {
        name: "re-addressing unicast to another member",
        checks: &[Hole::Agreement, Hole::Header, Hole::Nonce],
        reason: Some(DropReason::BadSeal),
        run: readdress,
    },
    Attack {
        name: "sending unicast back to its sender",
        checks: &[Hole::Agreement, Hole::Header, Hole::Nonce],
        reason: Some(DropReason::BadSeal),
        run: reflect,
    },
    Attack {
        name: "re-addressing a flood as a group's, to play it again",
        checks: &[Hole::Header, Hole::Nonce],
        reason: Some(DropReason::BadSeal),
        run: readdress_to_group,
    },
    Attack {
        name: "posing as a member by its public key",
        checks: &[Hole::StaticKey],
        reason: Some(DropReason::BadHandshake),
        run: pose_as_member,
    },
    Attack {
        name: "letting a stranger in",
        checks: &[Hole::Admission],
        reason: Some(DropReason::NotAdmitted),
        run: let_stranger_in,
    },
    Attack {
        name: "posing as the host",
        checks: &[Hole::Admission],
        reason: Some(DropReason::NotAdmitted),
        run: pose_as_host,
    },
    Attack {
        name: "speaking after being put out",
        checks: &[Hole::Admission],
        reason: Some(DropReason::NotAdmitted),
        run: speak_when_put_out,
    },
    Attack {
        name: "listening after being put out",
        checks: &[Hole::Rotation],
        reason: Some(DropReason::WrongKey),
        run: listen_when_put_out,
    },
    Attack {
        name: "showing an old roster",
        checks: &[Hole::RosterNumber],
        reason: Some(DropReason::OldRoster),
        run: show_old_roster,
    },
    Attack {
        name: "splicing an old session",
        checks: &[Hole::Freshness],
        reason: Some(DropReason::BadSeal),
        run: splice,
    },
    Attack {
        name: "downgrading the room to an open one",
        checks: &[Hole::Sealed],
        reason: Some(DropReason::Unsealed),
        run: downgrade,
    },
];

#[test]
fn each_attack_fails_and_succeeds_without_the_checks_that_it_tries() {
    for attack in ATTACKS {
        let (succeeded, counted) = attempt(attack, &[]);
        assert!(!succeeded, "{} succeeds", attack.name);
        assert!(counted, "{} is not counted", attack.name);
        for left in attack.checks {
            let others: Vec<Hole> = attack
                .checks
                .iter()
                .copied()
                .filter(|check| check != left)
                .collect();
            let (succeeded, _) = attempt(attack, &others);
            assert!(!succeeded, "{left:?} alone does not stop {}", attack.name);
        }
        let (succeeded, _) = attempt(attack, attack.checks);
        assert!(succeeded, "{} has not tried {:?}", attack.name, attack.checks);
    }
}

/// Whether the attack succeeds with these checks taken out, and whether it was counted.
fn attempt(attack: &Attack, out: &[Hole]) -> (bool, bool) {
    without(out, || {
        let mut party = Party::new(3);
        assert_eq!(counted(&party, attack.reason), 0, "{}", attack.name);
        let succeeded = (attack.run)(&mut party);
        let is_counted = attack.reason.is_none() || counted(&party, attack.reason) > 0;
        (succeeded, is_counted)
    })
}

fn counted(party: &Party, reason: Option<DropReason>) -> u64 {
    let of = |node: &Node, reason| match reason {
        DropReason::Duplicate => node.counters().duplicates_in + node.counters().drops.of(reason),
        reason => node.counters().drops.of(reason),
    };
    let nodes = party.nodes.values();
    reason.map_or(0, |reason| nodes.map(|node| of(node, reason)).sum())
}

/// The same for unicast and flood, which are sealed under different keys.
fn both(mut attempt: impl FnMut(Option<u16>) -> bool) -> bool {
    let [unicast, flood] = [Some(2), None].map(&mut attempt);
    assert_eq!(unicast, flood, "unicast and floods are held alike");
    unicast
}

fn catch_one(party: &mut Party, from: u16, target: Option<u16>) -> Bytes {
    let [datagram] = party
        .catch(from, &frame(from, target, SECRET))
        .try_into()
        .unwrap();
    datagram
}

fn is_taken(result: Result<Option<Vec<u8>>, DropReason>) -> bool {
    matches!(result, Ok(Some(_)))
}

/// True unless the seal has stopped it; guard and switch may have after that.
fn is_opened(result: &Result<Option<Vec<u8>>, DropReason>) -> bool {
    !matches!(result, Err(DropReason::BadSeal | DropReason::WrongKey))
}

/// Everything that has passed the relay, and the keys that somebody has who has agreed on nothing.
fn read(party: &mut Party) -> bool {
    let unicast = catch_one(party, 1, Some(2));
    let flood = catch_one(party, 1, None);
    let now = party.now;
    let guess = |id| Session::new(now, id, &Secrets::guessed(), true);
    let mut keys = vec![*Secrets::guessed().to_responder().datagrams];
    for mail in &party.all_mail {
        let bytes = seal::envelope_bytes(&mail.data).unwrap();
        if let Ok(Parcel::Letter {
            key_id,
            counter,
            sealed,
        }) = Parcel::decode(&bytes)
            && let Ok(Letter::SenderKeys(told)) = guess(key_id).read(counter, sealed)
        {
            keys.extend(told.iter().map(|told| told.key));
        }
    }
    let opens = |datagram: &Bytes| {
        let (header, payload) = Header::decode(datagram).unwrap();
        keys.iter().any(|key| {
            let mut payload = payload.to_vec();
            session::open(&aead::Key::new(key), &header, &mut payload).is_ok()
                && payload.windows(SECRET.len()).any(|window| window == SECRET)
        })
    };
    let (unicast, flood) = (opens(&unicast), opens(&flood));
    assert_eq!(unicast, flood);
    unicast
}

fn modify(party: &mut Party) -> bool {
    both(|target| {
        let mut datagram = catch_one(party, 1, target).to_vec();
        let last_of_payload = datagram.len() - lanparty_wire::TAG_LEN - 1;
        datagram[last_of_payload] ^= 1;
        match party.deliver(2, &datagram) {
            Ok(Some(taken)) => taken != frame(1, target, SECRET),
            _ => false,
        }
    })
}

fn replay(party: &mut Party) -> bool {
    both(|target| {
        let datagram = catch_one(party, 1, target);
        assert!(is_taken(party.deliver(2, &datagram)));
        is_taken(party.deliver(2, &datagram))
    })
}

fn replay_letter(party: &mut Party) -> bool {
    let now = party.now;
    party.node(1).write_note(now, to(2), SECRET).unwrap();
    party.run();
    let letter = party.all_mail.iter().rfind(|mail| (mail.from, mail.to) == (1, 2));
    let letter = letter.unwrap().clone();
    party.events.clear();
    party.hand(&letter);
    party
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Note { bytes, .. } if bytes == SECRET))
}

/// The relay says that the sender was away, so that all that is known of it is forgotten.
fn replay_after_absence(party: &mut Party) -> bool {
    let flood = catch_one(party, 1, None);
    assert!(is_taken(party.deliver(2, &flood)));
    party.control(2, &gone(1, party.incarnations[&1]));
    let member = party.member(1);
    party.control(2, &Message::Joined { member });
    party.pass(Duration::from_secs(9));
    is_taken(party.deliver(2, &flood))
}

fn attribute(party: &mut Party, target: Option<u16>) -> bool {
    let datagram = catch_one(party, 1, target);
    let forged = reheaded(&datagram, |header| header.source = to(3));
    is_taken(party.deliver(2, &forged))
}

fn readdress(party: &mut Party) -> bool {
    let datagram = catch_one(party, 1, Some(2));
    assert_eq!(party.deliver(3, &datagram), Err(DropReason::Misdirected));
    let forged = reheaded(&datagram, |header| {
        header.destination = Destination::Member(to(3))
    });
    is_opened(&party.deliver(3, &forged))
}

fn reflect(party: &mut Party) -> bool {
    let datagram = catch_one(party, 1, Some(2));
    let forged = reheaded(&datagram, |header| {
        (header.source, header.destination) = (to(2), Destination::Member(to(1)));
    });
    is_opened(&party.deliver(1, &forged))
}

fn readdress_to_group(party: &mut Party) -> bool {
    let datagram = catch_one(party, 1, None);
    assert!(is_taken(party.deliver(2, &datagram)));
    let group = Destination::Group(GroupHandle::new(65_280).unwrap());
    let forged = reheaded(&datagram, |header| header.destination = group);
    is_taken(party.deliver(2, &forged))
}

/// With a key of its own, in the name of the member that begins.
fn pose_as_member(party: &mut Party) -> bool {
    let (initiator, responder) = roles(1, 2);
    let mallory = IdentityKey::from_seed(&[77; 32]);
    let (mut handshake, first) = initiate(party, &mallory, initiator, responder);
    party.all_mail.clear();
    party.hand(&first);
    let answer = party.all_mail.iter().find(|mail| mail.from == responder);
    let Some(answer) = answer.map(|mail| seal::envelope_bytes(&mail.data).unwrap()) else {
        return false;
    };
    let Ok(Parcel::Respond { noise, .. }) = Parcel::decode(&answer) else {
        return false;
    };
    let (secrets, _) = handshake.finish(noise).unwrap();
    let mut session = Session::new(party.now, 31, &secrets, true);
    let mut header = Header {
        kind: lanparty_wire::Kind::Frame,
        fragment: false,
        congested: false,
        class: lanparty_wire::Class::Bulk,
        key_id: 31,
        flow: 0,
        source: to(initiator),
        destination: Destination::Member(to(responder)),
        sequence: 0,
    };
    let mut payload = frame(initiator, Some(responder), SECRET);
    let tag = session.seal(&mut header, &mut payload).unwrap();
    let datagram = [&header.encode()[..], &payload, &tag].concat();
    is_taken(party.deliver(responder, &datagram))
}

/// Somebody with a key of his own, whom only the relay has let in.
fn let_stranger_in(party: &mut Party) -> bool {
    party.start(STRANGER);
    party.pass(Duration::from_secs(3));
    let hears = party.send(1, &frame(1, None, SECRET));
    let heard = party.send(STRANGER, &frame(STRANGER, None, SECRET));
    let is_in = hears.iter().any(|&(who, _)| who == STRANGER);
    assert_eq!(is_in, heard.iter().any(|&(who, _)| who == 1));
    is_in
}

fn pose_as_host(party: &mut Party) -> bool {
    party.start(STRANGER);
    party.control(1, &gone(GATEWAY, party.incarnations[&GATEWAY]));
    let member = Member {
        role: Role::Gateway,
        mac: None,
        ..party.member(STRANGER)
    };
    party.control(1, &Message::Joined { member });
    party.pass(Duration::from_secs(3));
    let gateway = party.nodes[&1].gateway().map(|member| member.id);
    gateway == Some(to(STRANGER)) && party.nodes[&1].is_secured(to(STRANGER))
}

fn speak_when_put_out(party: &mut Party) -> bool {
    party.publish(|roster| roster.members.retain(|entry| entry.id != to(3)));
    let datagram = catch_one(party, 3, None);
    is_taken(party.deliver(1, &datagram))
}

fn listen_when_put_out(party: &mut Party) -> bool {
    party.publish(|roster| roster.members.retain(|entry| entry.id != to(3)));
    party.pass(Duration::from_secs(3));
    let datagram = catch_one(party, 1, None);
    is_taken(party.deliver(3, &datagram))
}

/// From before one member was put out, who is still there with the relay's help.
fn show_old_roster(party: &mut Party) -> bool {
    let old = party.roster.clone();
    party.publish(|roster| roster.members.retain(|entry| entry.id != to(3)));
    let now = party.now;
    let taken = party.node(1).set_roster(now, old);
    party.pass(Duration::from_secs(9));
    let datagram = catch_one(party, 3, None);
    let is_heard = is_taken(party.deliver(1, &datagram));
    assert_eq!(is_heard, taken.is_ok());
    is_heard
}

/// A member starts anew, the relay says that it is the same life, and plays it the beginning of the old one.
fn splice(party: &mut Party) -> bool {
    let (initiator, responder) = roles(1, 2);
    let datagram = catch_one(party, initiator, Some(responder));
    assert!(is_taken(party.deliver(responder, &datagram)));
    let is_first = |mail: &&Mail| {
        let bytes = seal::envelope_bytes(&mail.data).unwrap();
        (mail.from, mail.to) == (initiator, responder)
            && matches!(
                Parcel::decode(&bytes),
                Ok(Parcel::Initiate {
                    purpose: Purpose::Member,
                    ..
                })
            )
    };
    let first = party.all_mail.iter().find(is_first).unwrap().clone();
    party.start_as_before(responder);
    party.mail.clear();
    party.hand(&first);
    is_taken(party.deliver(responder, &datagram))
}

fn downgrade(party: &mut Party) -> bool {
    both(|target| {
        let datagram = catch_one(party, 1, target);
        let (header, _) = Header::decode(&datagram).unwrap();
        let open = Header { key_id: 0, ..header };
        let in_the_clear = [&open.encode()[..], &frame(1, target, SECRET)].concat();
        is_taken(party.deliver(2, &in_the_clear))
    })
}

fn gone(id: u16, incarnation: u32) -> Message {
    Message::Left {
        member: to(id),
        incarnation: Incarnation(incarnation),
        reason: LeaveReason::ConnectionLost,
    }
}
