//! The test vectors of `docs/protocol.md` are what this code does, from seeds to a sealed datagram.

use std::{fs, path::Path, time::Instant};

use lanparty_wire::{
    Class, Destination, Header, Incarnation, Kind, MemberId, SealedRoom,
    seal::{Letter, Purpose, SenderKey},
};

use super::{
    IdentityKey,
    handshake::{Context, Handshake, Party},
    sender::SenderKeys,
    session::Session,
};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    fs::read_to_string(path).unwrap()
}

/// The block that is marked `hex NAME`, without its white space.
fn said(page: &str, name: &str) -> String {
    let start = format!("```hex {name}\n");
    let block = page
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("no block {name}"));
    block.split("```").next().unwrap().split_whitespace().collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn party(key: &IdentityKey, member: u16, incarnation: u32) -> Party {
    Party {
        identity: key.peer_id(),
        member: MemberId::new(member).unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

#[test]
#[allow(clippy::disallowed_methods)]
fn the_page_says_what_the_code_does() {
    let (ours, theirs) = (IdentityKey::from_seed(&[1; 32]), IdentityKey::from_seed(&[2; 32]));
    let context = Context {
        purpose: Purpose::Member,
        room: SealedRoom::of(&theirs.peer_id()),
        initiator: party(&ours, 258, 3),
        responder: party(&theirs, 515, 1),
    };
    let (mut initiator, first) = Handshake::initiate(&context, &ours, &[1], &[3; 32]).unwrap();
    let (responder, payload) = Handshake::respond(&context, &theirs, &first, &[4; 32]).unwrap();
    let (_, second) = responder.answer(&[]).unwrap();
    let (secrets, _) = initiator.finish(&second).unwrap();
    let keys = secrets.to_responder();

    let mut session = Session::new(Instant::now(), payload[0], &secrets, true);
    let mut header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Bulk,
        key_id: 0,
        flow: 0xab,
        source: context.initiator.member,
        destination: Destination::Member(context.responder.member),
        sequence: 0,
    };
    let mut frame = *b"an Ethernet frame";
    let tag = session.seal(&mut header, &mut frame).unwrap();
    let datagram = [&header.encode()[..], &frame, &tag].concat();
    let letter = session.write(&Letter::Ack(7));
    let key = [5; 32];
    let sender_keys = session.write(&Letter::SenderKeys(vec![SenderKey { id: 1, floor: 0, key }]));
    header.destination = Destination::Flood;
    let mut frame = *b"an Ethernet frame";
    let tag = SenderKeys::new(Instant::now(), 1, key)
        .seal(&mut header, &mut frame)
        .unwrap();
    let flood = [&header.encode()[..], &frame, &tag].concat();

    let page = page();
    let mut wrong = Vec::new();
    for (name, bytes) in [
        ("seal-prologue", context.prologue()),
        ("seal-first", first),
        ("seal-second", second),
        ("seal-transcript", secrets.transcript.to_vec()),
        ("seal-datagram-key", keys.datagrams.to_vec()),
        ("seal-letter-key", keys.letters.to_vec()),
        ("seal-datagram", datagram),
        ("seal-letter", letter),
        ("seal-sender-keys", sender_keys),
        ("seal-flood", flood),
    ] {
        if said(&page, name) != hex(&bytes) {
            wrong.push(format!("{name} is\n{}", hex(&bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
