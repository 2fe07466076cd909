use proptest::prelude::*;

use super::*;
use crate::control::MAX_MESSAGE;

#[test]
fn a_membership_is_read_as_it_was_signed() {
    let membership = Membership::sign(&key(), UnixTime(5), &member(1));
    assert_eq!(
        Membership::verify(&key().room(), membership.bytes()),
        Ok(membership)
    );
}

#[test]
fn a_roster_is_read_as_it_was_signed_and_answers_who_is_in() {
    let roster = roster(vec![member(9), gateway(), member(3)]);
    let read = Roster::verify(&key().room(), roster.bytes()).unwrap();
    assert_eq!(read, roster);
    let expires = member(3).expires;
    let just_before = UnixTime(expires.0 - 1);
    assert_eq!(read.member(&member(3).identity, just_before), Some(&member(3)));
    assert_eq!(read.member(&member(3).identity, expires), None);
    assert_eq!(read.member(&member(4).identity, just_before), None);
}

#[test]
fn each_changed_byte_is_noticed() {
    let roster = roster(vec![member(1), member(2)]);
    let membership = Membership::sign(&key(), UnixTime(5), &member(1));
    for at in 0..roster.bytes().len() {
        let mut bytes = roster.bytes().to_vec();
        bytes[at] ^= 1;
        assert!(Roster::verify(&key().room(), &bytes).is_err(), "{at}");
        assert!(
            Roster::verify(&key().room(), &bytes[..at]).is_err(),
            "cut at {at}"
        );
    }
    for at in 0..membership.bytes().len() {
        let mut bytes = membership.bytes().to_vec();
        bytes[at] ^= 1;
        assert!(Membership::verify(&key().room(), &bytes).is_err(), "{at}");
    }
}

#[test]
fn the_word_of_another_host_does_not_count() {
    let other = HostKey::from_seed(&[2; 32]);
    let roster = roster(vec![]);
    assert_eq!(
        Roster::verify(&other.room(), roster.bytes()),
        Err(PaperError::OtherRoom)
    );
    let mut posing = Roster::sign(&other, roster.content().clone())
        .unwrap()
        .bytes()
        .to_vec();
    posing[1..33].copy_from_slice(&key().peer_id().0);
    assert_eq!(Roster::verify(&key().room(), &posing), Err(PaperError::Signature));
}

#[test]
fn a_signature_of_one_kind_of_paper_is_none_of_another() {
    let membership = Membership::sign(&key(), UnixTime(5), &member(1));
    assert_eq!(
        Roster::verify(&key().room(), membership.bytes()),
        Err(PaperError::Signature)
    );
}

#[test]
fn nobody_is_in_twice() {
    let same_id = Admitted {
        id: member(1).id,
        ..member(2)
    };
    let same_mac = Admitted {
        mac: member(1).mac,
        ..member(2)
    };
    let homeless = Admitted {
        mac: None,
        ..member(2)
    };
    let steering = Admitted {
        name: "a\u{1b}[2J".into(),
        ..member(2)
    };
    for second in [member(1), same_id, same_mac, homeless, steering] {
        assert_eq!(Roster::sign(&key(), content(vec![member(1), second])), None);
    }
    let crowd = (0..=MAX_ROSTER as u16).map(member).collect();
    assert_eq!(Roster::sign(&key(), content(crowd)), None);
}

#[test]
fn the_largest_roster_fits_a_control_message() {
    let long = |n| Admitted {
        name: "ä".repeat(64),
        ..member(n)
    };
    let roster = roster((0..MAX_ROSTER as u16).map(long).collect());
    let read = Roster::verify(&key().room(), roster.bytes()).unwrap();
    assert_eq!(read.content().members[0].name, "ä".repeat(48));
    assert!(roster.bytes().len().div_ceil(3) * 4 + 100 < MAX_MESSAGE);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Roster::verify(&key().room(), &bytes);
        // Past the signature, as a host that went mad could make them.
        let signed = key().sign(ROSTER, [&[VERSION][..], &key().peer_id().0, &bytes].concat());
        let _ = Roster::verify(&key().room(), &signed);
        let signed = key().sign(MEMBERSHIP, [&[VERSION][..], &key().peer_id().0, &bytes].concat());
        let _ = Membership::verify(&key().room(), &signed);
    }
}

fn key() -> HostKey {
    HostKey::from_seed(&[1; 32])
}

fn member(n: u16) -> Admitted {
    let mut identity = [0; 32];
    identity[..2].copy_from_slice(&n.to_be_bytes());
    let [high, low] = n.to_be_bytes();
    Admitted {
        identity: PeerId(identity),
        id: MemberId::new(n + 1).unwrap(),
        mac: Some(Mac([2, 0, 0, 0, high, low])),
        standing: Standing::Player,
        expires: UnixTime(1000),
        name: format!("player {n}"),
    }
}

fn gateway() -> Admitted {
    Admitted {
        identity: key().peer_id(),
        id: MemberId::new(500).unwrap(),
        mac: None,
        standing: Standing::Gateway,
        ..member(500)
    }
}

fn content(members: Vec<Admitted>) -> RosterContent {
    RosterContent {
        number: 7,
        issued: UnixTime(5),
        profile: Profile::Strangers,
        wishes: 0x80,
        members,
    }
}

fn roster(members: Vec<Admitted>) -> Roster {
    Roster::sign(&key(), content(members)).unwrap()
}
