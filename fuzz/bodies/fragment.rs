//! Bytes as pieces from a hostile sender, and as a payload that is cut twice on its way and arrives in any order.

use std::time::{Duration, Instant};

use lanparty_core::fragment::{Cut, MAX_BYTES, Reassembler, TIMEOUT, cut, piece_header, recut};
use lanparty_wire::{
    Class, Destination, DropCounters, FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header, Kind,
    MemberId, TAG_LEN, mtu,
};

pub fn run(data: &[u8]) {
    match data {
        [choice, rest @ ..] if choice & 1 == 0 => hostile(rest),
        [_, rest @ ..] => round_trip(rest),
        [] => {}
    }
}

/// Each 8 bytes are a piece: which payload, wait, offset, total, length, content.
fn hostile(script: &[u8]) {
    let mut now = start();
    let mut drops = DropCounters::default();
    let mut table = Reassembler::new(4096);
    // A hundred of the longest payloads fill the table; more would only be slow.
    for step in script.chunks_exact(8).take(128) {
        let [payload, wait, o1, o2, t1, t2, len, content] = *step else {
            return;
        };
        now += Duration::from_millis(u64::from(wait & 0x3f));
        let range = FragmentHeader {
            offset: u16::from_be_bytes([o1, o2]),
            total: u16::from_be_bytes([t1 & 0x0f, t2]),
        };
        let bytes = vec![content & 1; usize::from(len) * 8];
        let rest = [&range.encode()[..], &bytes].concat();
        let header = Header {
            sequence: u64::from(payload),
            ..header()
        };
        if let Ok(Some((whole, bytes))) = table.insert(now, &header, &rest, &mut drops) {
            assert_eq!(whole.sequence, header.sequence);
            assert_eq!(bytes.len(), usize::from(range.total));
            assert!(bytes.iter().all(|&byte| byte <= 1));
        }
        assert!(table.bytes() <= MAX_BYTES);
        assert!(table.poll_timeout().is_none_or(|due| due <= now + TIMEOUT));
    }
    table.expire(now + TIMEOUT, &mut drops);
    assert_eq!(table.bytes(), 0, "nothing is kept for longer");
    assert_eq!(table.poll_timeout(), None);
}

/// A length, two budgets and an order, then the payload's content.
fn round_trip(data: &[u8]) {
    let [l1, l2, a1, a2, b1, b2, order, content @ ..] = data else {
        return;
    };
    let word = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    // No leg announces less; far below it a payload could become a single piece, which is malformed.
    let (first, second) = (
        word(a1, a2).max(mtu::MIN_BUDGET),
        word(b1, b2).max(mtu::MIN_BUDGET),
    );
    let payload: Vec<u8> = content
        .iter()
        .copied()
        .cycle()
        .take(usize::from(word(l1, l2) % 4096))
        .collect();
    let Ok(Cut::Pieces { size }) = cut(payload.len(), 0, first) else {
        return;
    };
    if payload.is_empty() {
        return;
    }
    let mut datagrams = Vec::new();
    let total = payload.len() as u16;
    for (index, piece) in payload.chunks(size).enumerate() {
        let offset = (index * size) as u16;
        let head = piece_header(&header(), FragmentHeader { offset, total });
        let datagram = [&head[..], piece].concat();
        assert!(datagram.len() <= usize::from(first));
        recut(&datagram, second, |head, body| {
            assert!(head.len() + body.len() <= usize::from(second));
            datagrams.push([head, body].concat());
        })
        .expect("any leg takes any piece");
    }
    let middle = usize::from(*order) % datagrams.len();
    datagrams.rotate_left(middle);
    let mut table = Reassembler::new(4096 + TAG_LEN);
    let mut drops = DropCounters::default();
    let last = datagrams.len() - 1;
    for (index, datagram) in datagrams.iter().enumerate() {
        let (header, rest) = Header::decode(datagram).expect("a piece has a header");
        assert!(rest.len() > FRAGMENT_HEADER_LEN && datagram.len() > HEADER_LEN);
        let done = table
            .insert(start(), &header, rest, &mut drops)
            .expect("no piece contradicts another");
        match done {
            Some((_, bytes)) => assert!(index == last && bytes == payload),
            None => assert!(index < last, "nothing came out"),
        }
    }
}

fn header() -> Header {
    Header {
        kind: Kind::Frame,
        fragment: true,
        congested: false,
        class: Class::Bulk,
        key_id: 0,
        flow: 0,
        source: MemberId::new(1).expect("one is a member"),
        destination: Destination::Flood,
        sequence: 0,
    }
}

/// One instant for a whole process; which one does not matter.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}
