//! `docs/protocol.md` is true: every example on it decodes, and encodes to the same again.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use bytes::BytesMut;
use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, AdmissionRequest, Class, CodeMessage, Destination, EtherView,
    FragmentHeader, Header, HostKey, Invite, InviteId, Kind, MemberId, Membership, Roster, ShortNumber,
    UnixTime, control::Message, ethertype,
};

const PAGE: &str = include_str!("../../../docs/protocol.md");

#[test]
fn every_message_of_the_page_is_what_we_say_and_understand() {
    let mut types = Vec::new();
    for json in blocks("json") {
        let mut bytes = BytesMut::from(&(json.len() as u32).to_be_bytes()[..]);
        bytes.extend_from_slice(json.as_bytes());
        let message = Message::decode(&mut bytes)
            .unwrap()
            .unwrap_or_else(|| panic!("{json}"));
        assert_ne!(message, Message::Unknown, "{json}");
        assert_eq!(
            reencoded(&message),
            parsed(json),
            "a field of the page is not ours, or misspelt"
        );
        types.push(parsed(json)["type"].as_str().unwrap().to_owned());
    }
    types.dedup();
    assert_eq!(
        types,
        [
            "hello",
            "welcome",
            "reject",
            "joined",
            "left",
            "budget",
            "lan_link",
            "group",
            "envelope",
            "roster",
            "renew",
            "lease",
            "gateway",
            "standbys",
            "short_numbers",
            "lookup",
            "found",
            "stats",
            "goodbye"
        ]
    );
}

#[test]
fn every_reason_that_the_page_lists_is_known() {
    let listed = |start: &str, prefix: &str, suffix: &str| {
        let text = &PAGE[PAGE.find(start).unwrap()..];
        let sentence = &text[text.find("`reason` is").unwrap()..text.find("\n\n").unwrap()];
        let names: Vec<&str> = sentence
            .split('`')
            .skip(3)
            .step_by(2)
            .filter(|n| *n != "detail")
            .collect();
        assert!(names.len() > 5, "{names:?}");
        for name in names {
            let json = format!("{prefix}\"reason\":\"{name}\"{suffix}");
            let mut bytes = BytesMut::from(&(json.len() as u32).to_be_bytes()[..]);
            bytes.extend_from_slice(json.as_bytes());
            let message = Message::decode(&mut bytes).unwrap().unwrap();
            assert_eq!(reencoded(&message)["reason"], name, "read as unknown");
        }
    };
    listed("**Reject.**", "{\"type\":\"reject\",", "}");
    listed(
        "**Left.**",
        "{\"type\":\"left\",\"member\":1,\"incarnation\":1,",
        "}",
    );
}

#[test]
fn the_frame_is_read_as_described() {
    let bytes = only("frame");
    let (header, frame) = Header::decode(&bytes).unwrap();
    assert_eq!(
        header,
        Header {
            kind: Kind::Frame,
            fragment: false,
            congested: false,
            class: Class::Bulk,
            key_id: 0,
            flow: 0xab,
            source: member(258),
            destination: Destination::Member(member(515)),
            sequence: 7,
        }
    );
    assert_eq!(header.encode()[..], bytes[..12]);
    let view = EtherView::parse(frame).unwrap();
    assert!(view.destination().is_broadcast());
    assert_eq!(view.type_or_length(), ethertype::ARP);
}

#[test]
fn the_fragment_is_read_as_described() {
    let bytes = only("fragment");
    let (header, rest) = Header::decode(&bytes).unwrap();
    assert!(header.fragment && header.class == Class::Interactive);
    assert_eq!((header.destination, header.sequence), (Destination::Flood, 1));
    let (range, piece) = FragmentHeader::decode(rest).unwrap();
    assert_eq!(
        range,
        FragmentHeader {
            offset: 757,
            total: 1514
        }
    );
    assert_eq!(piece, [0xde, 0xad, 0xbe, 0xef]);
}

#[test]
fn the_probes_are_read_as_described() {
    let probes: Vec<Vec<u8>> = blocks("hex probe").map(hex).collect();
    let [request, answer] = probes.as_slice() else {
        panic!("{probes:?}")
    };
    for (bytes, from, to, kind) in [(request, 7, 5, 0), (answer, 5, 7, 1)] {
        let (header, payload) = Header::decode(bytes).unwrap();
        assert_eq!((header.kind, header.class), (Kind::Probe, Class::Neighbor));
        assert_eq!(
            (header.source, header.destination),
            (member(from), Destination::Member(member(to)))
        );
        assert_eq!((payload.len(), payload[0]), (9, kind));
    }
    assert_eq!(request[13..], answer[13..], "the answer repeats the nonce");
}

#[test]
fn the_framed_message_is_read_as_described() {
    let bytes = only("control");
    let message = Message::decode(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
    assert_eq!(message.encode().unwrap(), bytes);
}

#[test]
fn the_numbers_in_the_text_are_the_codes() {
    use lanparty_wire::{FRAGMENT_HEADER_LEN, HEADER_LEN, control, mtu};
    for said in [
        format!("begins with {HEADER_LEN} bytes"),
        format!("ALPN is `{}`", String::from_utf8_lossy(control::ALPN)),
        format!("at least {} bytes", mtu::MIN_BUDGET),
        format!("{} bytes of it are overhead", mtu::OVERHEAD),
        format!("piece has {} bytes of overhead", HEADER_LEN + FRAGMENT_HEADER_LEN),
        format!("taking {} bytes until", mtu::ASSUMED_BUDGET),
        format!("shorter than {} bytes", FragmentHeader::MIN_FIRST),
        format!("bytes of JSON, {} at most", control::MAX_MESSAGE),
        format!("member id, 1 to {}", MemberId::MAX),
    ] {
        assert!(PAGE.contains(&said), "the page does not say {said:?}");
    }
}

#[test]
fn the_invites_are_read_as_described() {
    let invites: Vec<Invite> = blocks("invite").map(|text| text.parse().unwrap()).collect();
    let [link, page] = invites.as_slice() else {
        panic!("{invites:?}")
    };
    assert_eq!(link, page);
    assert_eq!(blocks("invite").next(), Some(link.to_string().as_str()));
    assert_eq!(link.host, host().peer_id());
    assert!(PAGE.contains(&format!("{}\n{}\n", link.host, link.room())));
    assert_eq!((link.id, link.one_use, link.approval), (InviteId(7), true, false));
    assert_eq!(link.expires, Some(UnixTime(2_000_000_000)));
}

#[test]
fn the_signed_papers_are_what_we_sign() {
    let room = host().room();
    let membership = Membership::verify(&room, &paper("membership")).unwrap();
    let again = Membership::sign(&host(), membership.issued(), membership.member());
    assert_eq!(again, membership);
    assert_eq!(
        (membership.member().id, membership.member().name.as_str()),
        (member(513), "bob")
    );
    let roster = Roster::verify(&room, &paper("roster")).unwrap();
    assert_eq!(
        Roster::sign(&host(), roster.content().clone()),
        Some(roster.clone())
    );
    assert_eq!(roster.content().number, 2_000_000_001);
    assert_eq!(roster.content().members, [membership.member().clone()]);
    let request = AdmissionRequest::decode(&paper("request")).unwrap();
    assert_eq!(request.encode(), paper("request"));
    assert_eq!((request.member, request.name.as_str()), (member(513), "ada"));
}

#[test]
fn the_answers_are_what_a_host_says() {
    let room = host().room();
    let answers: Vec<AdmissionAnswer> = blocks("paper answer")
        .map(|text| {
            let answer = AdmissionAnswer::decode(&room, &digits(text)).unwrap();
            assert_eq!(answer.encode(), digits(text));
            answer
        })
        .collect();
    let membership = Membership::verify(&room, &paper("membership")).unwrap();
    let roster = 2_000_000_001;
    assert_eq!(
        answers,
        [
            AdmissionAnswer::Admitted { membership, roster },
            AdmissionAnswer::Wait,
            AdmissionAnswer::Refused(AdmissionRefusal::WrongSecret),
        ]
    );
}

#[test]
fn the_messages_of_a_short_code_are_read_as_described() {
    let read = |name: &str| {
        let message = CodeMessage::decode(&only(name)).unwrap();
        assert_eq!(message.encode(), only(name));
        message
    };
    let number = ShortNumber::new(4711).unwrap();
    let share = [b'A'; 33];
    assert_eq!(read("code-start"), CodeMessage::Start { number, share });
    let CodeMessage::Reply { share, .. } = read("code-reply") else {
        panic!("no reply")
    };
    assert_eq!(share, [b'B'; 33]);
    assert!(matches!(read("code-confirm"), CodeMessage::Confirm { .. }));
    assert!(matches!(read("code-grant"), CodeMessage::Grant { .. }));
}

fn host() -> HostKey {
    HostKey::from_seed(&[1; 32])
}

fn paper(kind: &str) -> Vec<u8> {
    digits(blocks(&format!("paper {kind}")).next().unwrap())
}

fn digits(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The contents of the page's code blocks of one kind.
fn blocks(kind: &str) -> impl Iterator<Item = &'static str> + use<> {
    let opening = format!("```{kind}\n");
    let starts: Vec<usize> = PAGE
        .match_indices(&opening)
        .map(|(at, _)| at + opening.len())
        .collect();
    assert!(!starts.is_empty(), "the page has no {kind} block");
    starts
        .into_iter()
        .map(|start| PAGE[start..].split("\n```").next().unwrap())
}

fn only(kind: &str) -> Vec<u8> {
    let mut blocks = blocks(&format!("hex {kind}"));
    let bytes = hex(blocks.next().unwrap());
    assert_eq!(blocks.next(), None);
    bytes
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect()
}

fn parsed(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

/// What we would send.
fn reencoded(message: &Message) -> serde_json::Value {
    serde_json::to_value(message).unwrap()
}

fn member(id: u16) -> MemberId {
    MemberId::new(id).unwrap()
}
