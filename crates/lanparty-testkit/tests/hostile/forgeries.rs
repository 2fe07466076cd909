//! Datagrams whose headers lie, come twice, or contradict each other.
//!
//! What must not arrive carries [`MARK`]. Where the first copy of something has to arrive, it carries a mark of its own.

use lanparty_testkit::lab::junk::decent;
use lanparty_wire::{
    Class, Destination,
    DropReason::{self, *},
    GroupHandle, HEADER_LEN, Header, Kind, MemberId,
};

use super::{Captures, Hostile, How, SOON, drops::Drops, padded, pieces};

/// In every frame that must not arrive.
pub const MARK: [u8; 8] = *b"forgery!";

/// A datagram that the relay refuses by its header alone.
pub struct Forgery {
    pub name: &'static str,
    pub datagram: Vec<u8>,
    pub reason: DropReason,
}

/// Lies in the header of a datagram with `frame`, each with a new sequence number.
pub fn of_headers(hostile: &mut Hostile, player: MemberId, frame: &[u8]) -> Vec<Forgery> {
    let mut forged = of_fields(hostile, player, frame);
    forged.extend(of_bits(hostile, frame));
    forged.extend(of_ranges(hostile, frame));
    forged
}

fn of_fields(hostile: &mut Hostile, player: MemberId, frame: &[u8]) -> Vec<Forgery> {
    let gateway = hostile.gateway;
    let own = hostile.member.id();
    let mut ids = (1..MemberId::MAX).filter_map(MemberId::new);
    let nobody = ids
        .find(|id| ![gateway, own, player].contains(id))
        .expect("some id is free");
    let mut forge = |name, reason, change: &dyn Fn(&mut Header)| {
        let mut header = hostile.header(Destination::Member(gateway), Class::Bulk);
        change(&mut header);
        Forgery {
            name,
            reason,
            datagram: [&header.encode()[..], frame].concat(),
        }
    };
    vec![
        forge("another member's id", SourceMismatch, &|h| h.source = player),
        forge("the LAN gateway's id", SourceMismatch, &|h| h.source = gateway),
        forge("nobody's id", SourceMismatch, &|h| h.source = nobody),
        forge("another's id, to everybody", SourceMismatch, &|h| {
            (h.source, h.destination) = (player, Destination::Flood);
        }),
        forge("a key", WrongKey, &|h| h.key_id = 1),
        forge("the last key", WrongKey, &|h| h.key_id = 31),
        forge("for nobody", UnknownDestination, &|h| {
            h.destination = Destination::Member(nobody);
        }),
        forge("for a group that there is not", UnknownDestination, &|h| {
            h.destination = Destination::Group(GroupHandle::new(0xff99).expect("a handle"));
        }),
        forge("for its sender", Reflection, &|h| {
            h.destination = Destination::Member(own)
        }),
    ]
}

/// Its name, the byte, and what becomes of it.
type Change = (&'static str, usize, fn(u8) -> u8);

/// Reserved values, byte by byte.
fn of_bits(hostile: &mut Hostile, frame: &[u8]) -> Vec<Forgery> {
    let changes: [Change; 11] = [
        ("version 0", 0, |byte| byte & 0x1f),
        ("version 2", 0, |byte| byte & 0x1f | 2 << 5),
        ("version 7", 0, |byte| byte | 7 << 5),
        ("kind 2", 0, |byte| byte | 2 << 2),
        ("kind 3", 0, |byte| byte | 3 << 2),
        ("kind 7", 0, |byte| byte | 7 << 2),
        ("class 4", 1, |byte| byte | 4 << 5),
        ("class 7", 1, |byte| byte | 7 << 5),
        ("source of a group", 3, |_| 0xff),
        ("destination 0", 5, |_| 0),
        ("source 0", 3, |_| 0),
    ];
    let mut forged = Vec::new();
    for (name, at, change) in changes {
        let header = hostile.header(Destination::Member(hostile.gateway), Class::Bulk);
        let mut datagram = [&header.encode()[..], frame].concat();
        datagram[at] = change(datagram[at]);
        if name.ends_with(" 0") && at > 0 {
            datagram[at + 1] = 0;
        }
        forged.push(Forgery {
            name,
            datagram,
            reason: Malformed,
        });
    }
    let header = hostile.header(Destination::Flood, Class::Bulk).encode();
    for (name, length) in [
        ("nothing", 0),
        ("one byte", 1),
        ("nearly a header", HEADER_LEN - 1),
    ] {
        forged.push(Forgery {
            name,
            datagram: header[..length].to_vec(),
            reason: Malformed,
        });
    }
    forged
}

/// Pieces that cannot be.
fn of_ranges(hostile: &mut Hostile, frame: &[u8]) -> Vec<Forgery> {
    let total = u16::try_from(frame.len()).expect("a frame is short");
    let mut forge = |name, offset: u16, total: u16, piece: &[u8]| {
        let header = Header {
            fragment: true,
            ..hostile.header(Destination::Flood, Class::Bulk)
        };
        let range = [offset.to_be_bytes(), total.to_be_bytes()].concat();
        Forgery {
            name,
            datagram: [&header.encode()[..], &range, piece].concat(),
            reason: Malformed,
        }
    };
    vec![
        forge("a first piece that hides the headers", 0, total, &frame[..255]),
        forge("a piece that is all", 0, total, frame),
        forge("an empty piece", 256, total, &[]),
        forge("a piece behind the end", total, total, frame),
        forge("a piece over the end", 256, total, &frame[255..]),
        forge("a piece of nothing", 0, 0, frame),
        Forgery {
            name: "a piece without its range",
            datagram: forge("", 0, total, &[]).datagram[..HEADER_LEN + 3].to_vec(),
            reason: Malformed,
        },
    ]
}

/// The same number again: the same datagram, another one, and one that is long gone. Only the first one arrives.
pub fn replay(hostile: &mut Hostile, destination: Destination, captures: &Captures) -> Drops {
    const WINDOW: u64 = 16_384;
    let mark = first_mark(hostile);
    let once = padded(decent(hostile.mac, mark).bytes());
    let other = padded(decent(hostile.mac, MARK).bytes());
    // As bulk: of urgent datagrams the relay keeps second copies to itself.
    let header = hostile.header(destination, Class::Bulk);
    for _ in 0..3 {
        hostile.send_with(&header, &once);
    }
    hostile.send_with(&header, &other);
    for (offset, piece) in pieces(&other) {
        hostile.send_piece(&header, other.len(), offset, piece);
    }
    hostile.send_decent(
        "replays",
        destination,
        Class::Interactive,
        How::Whole,
        &captures.gateway,
    );
    hostile.skip(WINDOW);
    hostile.send_decent(
        "a leap",
        destination,
        Class::Interactive,
        How::Whole,
        &captures.gateway,
    );
    hostile.send_with(&header, &other);
    hostile.send_decent(
        "the past",
        destination,
        Class::Interactive,
        How::Whole,
        &captures.gateway,
    );
    let seen = captures.gateway.count(|frame| frame.contains(&mark));
    assert_eq!(
        seen, 1,
        "the first of three copies to {destination:?}, and it alone"
    );
    captures.assert_absent("a replay", &MARK);
    // What came before is a duplicate and no drop.
    Drops::from([(TooOld, 1)])
}

/// Pieces of one number that do not agree: whatever the order, nothing of them arrives. Those that agree do, once.
pub fn contradict(hostile: &mut Hostile, destination: Destination, captures: &Captures) -> Drops {
    let evil = padded(decent(hostile.mac, MARK).bytes());
    let mut tail = evil.clone();
    tail[256..].fill(0xaa);
    let length = evil.len();
    let mut head = evil.clone();
    head[12..14].copy_from_slice(&[0x88, 0x8e]);
    let mut send = |parts: [(usize, &[u8], usize); 3]| {
        let header = hostile.header(destination, Class::Interactive);
        for (offset, piece, total) in parts {
            hostile.send_piece(&header, total, offset, piece);
        }
    };
    // The beginning twice, the end twice, an end over a beginning, two lengths. The third piece would make it whole.
    let (first, rest) = evil.split_at(256);
    send([(0, first, length), (0, &head[..256], length), (256, rest, length)]);
    send([
        (256, rest, length),
        (256, &tail[256..], length),
        (0, first, length),
    ]);
    send([
        (0, &evil[..300], length),
        (256, &tail[256..], length),
        (300, &evil[300..], length),
    ]);
    send([(0, first, length), (256, rest, length + 100), (256, rest, length)]);
    // In each case the second and the third.
    let refused = 4 * 2;
    hostile.send_decent(
        "contradictions",
        destination,
        Class::Interactive,
        How::Pieces,
        &captures.gateway,
    );
    captures.assert_absent("a contradiction", &MARK);
    let mark = first_mark(hostile);
    let same = padded(decent(hostile.mac, mark).bytes());
    let header = hostile.header(destination, Class::Interactive);
    for (from, to) in [(0, 256), (0, 256), (100, 290), (250, same.len())] {
        hostile.send_piece(&header, same.len(), from, &same[from..to]);
    }
    let what = "pieces that overlap and agree";
    captures
        .gateway
        .wait_for(what, SOON, |frame| frame.contains(&mark))
        .unwrap();
    Drops::from([(FragmentConflict, refused)])
}

/// A frame where a probe should be: probes are short, and for one member.
pub fn hide_in_probe(hostile: &mut Hostile, destination: Destination, captures: &Captures) -> Drops {
    let frame = padded(decent(hostile.mac, MARK).bytes());
    let probe = |header: Header| Header {
        kind: Kind::Probe,
        ..header
    };
    let header = probe(hostile.header(destination, Class::Neighbor));
    hostile.send_with(&header, &frame);
    let header = probe(hostile.header(destination, Class::Neighbor));
    for (offset, piece) in pieces(&frame) {
        hostile.send_piece(&header, frame.len(), offset, piece);
    }
    hostile.send_decent(
        "probes",
        destination,
        Class::Neighbor,
        How::Whole,
        &captures.gateway,
    );
    captures.assert_absent("a frame in a probe", &MARK);
    Drops::from([(Malformed, 2)])
}

/// A mark for what has to arrive exactly once.
fn first_mark(hostile: &mut Hostile) -> [u8; 8] {
    let sequence = hostile.header(Destination::Flood, Class::Bulk).sequence;
    let [.., a, b, c] = sequence.to_be_bytes();
    [b'o', b'n', b'c', b'e', b'!', a, b, c]
}
