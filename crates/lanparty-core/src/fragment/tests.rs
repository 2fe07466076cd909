use lanparty_wire::{Class, Destination, Kind, MemberId};
use proptest::prelude::*;

use super::*;

#[test]
fn a_full_frame_travels_in_two_balanced_pieces() {
    assert_eq!(cut(1514, 0, 1414), Ok(Cut::Pieces { size: 757 }));
    assert_eq!(cut(1514, 0, mtu::MIN_BUDGET), Ok(Cut::Pieces { size: 757 }));
    assert_eq!(cut(mtu::whole_payload(1162), 0, 1162), Ok(Cut::Whole));
    assert_eq!(
        cut(mtu::whole_payload(1162) + 1, 0, 1162),
        Ok(Cut::Pieces { size: 568 })
    );
    assert_eq!(cut(1514, 0, 100), Err(DropReason::DatagramBudget));
    assert_eq!(cut(70_000, 0, 1414), Err(DropReason::DatagramBudget));
}

#[test]
fn both_orders_and_duplicates_make_one_payload() {
    let payload = payload(1514);
    let [first, second] = <[_; 2]>::try_from(pieces(1, &payload, 757)).unwrap();
    for order in [
        vec![&first, &second],
        vec![&second, &first],
        vec![&second, &second, &first],
        vec![&first, &first, &second],
    ] {
        let mut table = Table::new();
        let whole: Vec<_> = order.iter().map(|piece| table.insert(piece)).collect();
        let (last, earlier) = whole.split_last().unwrap();
        assert!(earlier.iter().all(|whole| *whole == Ok(None)));
        assert_eq!(last, &Ok(Some(payload.clone())));
        assert_eq!(table.reassembler.bytes(), 0);
    }
}

#[test]
fn differing_overlaps_void_the_payload_for_good() {
    let payload = payload(1514);
    let mut table = Table::new();
    let good = pieces(1, &payload, 757);
    let mut forged = piece(1, &payload, 700..1457);
    *forged.last_mut().unwrap() ^= 1;
    let forged_early = {
        let mut bytes = forged.clone();
        bytes[HEADER_LEN + FRAGMENT_HEADER_LEN] ^= 1;
        bytes
    };
    assert_eq!(table.insert(&good[0]), Ok(None));
    assert_eq!(table.insert(&forged_early), Err(DropReason::FragmentConflict));
    assert_eq!(table.insert(&good[0]), Err(DropReason::FragmentConflict));
    assert_eq!(table.insert(&good[1]), Err(DropReason::FragmentConflict));
    table.now += TIMEOUT;
    assert_eq!(
        table.insert(&good[0]),
        Ok(None),
        "the number may be used again later"
    );
    assert_eq!(
        table.drops.total(),
        0,
        "a conflict is returned, not counted again as a timeout"
    );
    let other_total = piece(1, &payload[..1500], 757..1500);
    assert_eq!(table.insert(&other_total), Err(DropReason::FragmentConflict));
}

#[test]
fn equal_overlaps_are_fine() {
    let payload = payload(1514);
    let mut table = Table::new();
    assert_eq!(table.insert(&piece(1, &payload, 0..900)), Ok(None));
    assert_eq!(table.insert(&piece(1, &payload, 1000..1514)), Ok(None));
    assert_eq!(table.insert(&piece(1, &payload, 800..1100)), Ok(Some(payload)));
}

#[test]
fn what_waits_too_long_is_forgotten_and_counted() {
    let payload = payload(1514);
    let good = pieces(1, &payload, 757);
    let mut table = Table::new();
    table.insert(&good[0]).unwrap();
    let due = table.reassembler.poll_timeout().unwrap();
    assert_eq!(due, table.now + TIMEOUT);
    table
        .reassembler
        .expire(due - Duration::from_millis(1), &mut table.drops);
    assert_eq!(table.drops.total(), 0);
    table.reassembler.expire(due, &mut table.drops);
    assert_eq!(table.drops.of(DropReason::ReassemblyTimeout), 1);
    assert_eq!(table.reassembler.poll_timeout(), None);
    assert_eq!(table.reassembler.bytes(), 0);
    table.now = due;
    assert_eq!(
        table.insert(&good[1]),
        Ok(None),
        "the second half alone begins anew"
    );
}

#[test]
fn a_finished_payload_leaves_no_deadline_for_the_next_under_its_key() {
    let payload = payload(1514);
    let good = pieces(1, &payload, 757);
    let mut table = Table::new();
    good.iter().for_each(|piece| drop(table.insert(piece)));
    table.now += TIMEOUT / 2;
    table.insert(&good[0]).unwrap();
    table
        .reassembler
        .expire(table.now + TIMEOUT * 3 / 4, &mut table.drops);
    assert_eq!(table.drops.total(), 0);
    table.reassembler.expire(table.now + TIMEOUT, &mut table.drops);
    assert_eq!(table.drops.of(DropReason::ReassemblyTimeout), 1);
}

#[test]
fn a_hostile_sender_fills_no_memory_and_the_newest_is_kept() {
    let payload = payload(1514);
    let mut table = Table::new();
    for sequence in 0..10_000 {
        table.insert(&piece(sequence, &payload, 0..757)).unwrap();
        assert!(table.reassembler.bytes() <= MAX_BYTES);
        assert!(table.reassembler.unfinished.len() <= MAX_PAYLOADS);
        assert!(table.reassembler.deadlines.len() <= 2 * MAX_PAYLOADS);
    }
    let kept = table.reassembler.unfinished.len() as u64;
    assert_eq!(table.drops.of(DropReason::ReassemblyFull), 10_000 - kept);
    assert_eq!(
        table.insert(&piece(9_999, &payload, 757..1514)),
        Ok(Some(payload.clone()))
    );
    assert_eq!(
        table.insert(&piece(0, &payload, 757..1514)),
        Ok(None),
        "the oldest went"
    );
}

#[test]
fn interleaved_finished_payloads_do_not_push_out_an_unfinished_one() {
    let payload = payload(1514);
    let mut table = Table::new();
    table.insert(&piece(0, &payload, 0..757)).unwrap();
    for sequence in 1..5_000 {
        table.insert(&piece(sequence, &payload, 757..1514)).unwrap();
        table.insert(&piece(sequence, &payload, 0..757)).unwrap();
    }
    assert!(table.reassembler.deadlines.len() <= 2 * MAX_PAYLOADS);
    assert_eq!(table.insert(&piece(0, &payload, 757..1514)), Ok(Some(payload)));
    assert_eq!(table.drops.total(), 0);
}

#[test]
fn crumbs_are_refused_before_they_cost_much() {
    let payload = payload(1514);
    let mut table = Table::new();
    let crumbs = (300..1500).step_by(2).map(|at| piece(1, &payload, at..at + 1));
    let refused = crumbs.filter(|crumb| table.insert(crumb).is_err()).count();
    assert!(refused > 500);
}

#[test]
fn a_payload_longer_than_any_frame_is_refused() {
    let mut table = Table::new();
    let jumbo = payload(9000);
    assert_eq!(table.insert(&piece(1, &jumbo, 0..1000)), Err(DropReason::OverMtu));
    assert_eq!(table.reassembler.bytes(), 0);
}

#[test]
fn recutting_a_datagram_that_fits_changes_nothing() {
    let datagram = [&header(3).encode()[..], &payload(500)].concat();
    let mut out = Vec::new();
    recut(&datagram, 1162, |head, body| out.push([head, body].concat())).unwrap();
    assert_eq!(out, [datagram]);
    assert_eq!(recut(&[0; 5], 1162, |_, _| ()), Err(DropReason::Malformed));
}

proptest! {
    #[test]
    fn any_cut_recut_and_order_gives_the_payload_back(
        length in 300..1530_usize,
        budget in mtu::MIN_BUDGET..1500,
        smaller in 280..1100_u16,
        seed in proptest::collection::vec(any::<u16>(), 64),
    ) {
        let payload = payload(length);
        let datagrams = match cut(length, 0, budget).unwrap() {
            Cut::Whole => vec![[&header(1).encode()[..], &payload].concat()],
            Cut::Pieces { size } => pieces(1, &payload, size),
        };
        for datagram in &datagrams {
            prop_assert!(datagram.len() <= usize::from(budget));
        }
        let mut smaller_ones = Vec::new();
        for datagram in &datagrams {
            recut(datagram, smaller, |head, body| smaller_ones.push([head, body].concat())).unwrap();
        }
        for datagram in &smaller_ones {
            prop_assert!(datagram.len() <= usize::from(smaller));
        }
        for (index, &value) in seed.iter().enumerate() {
            let other = usize::from(value) % smaller_ones.len();
            let index = index % smaller_ones.len();
            smaller_ones.swap(index, other);
        }
        let mut table = Table::new();
        let mut whole = None;
        for datagram in &smaller_ones {
            if header_of(datagram).fragment {
                whole = table.insert(datagram).unwrap();
            } else {
                whole = Some(datagram[HEADER_LEN..].to_vec());
            }
        }
        prop_assert_eq!(whole, Some(payload));
    }

    #[test]
    fn no_fragments_panic_or_leak(
        steps in proptest::collection::vec((0..4_u64, 0..1600_u16, 0..1600_u16, 1..400_usize, any::<u8>(), 0..300_u64), 1..200)
    ) {
        let mut table = Table::new();
        for (sequence, offset, total, length, fill, wait) in steps {
            let range = FragmentHeader { offset, total };
            let mut bytes = piece_header(&header(sequence), range).to_vec();
            bytes.resize(bytes.len() + length, fill);
            table.now += Duration::from_millis(wait);
            let _ = table.insert(&bytes);
            let kept: usize = table.reassembler.unfinished.values().map(|u| u.payload.len()).sum();
            prop_assert_eq!(kept, table.reassembler.bytes());
        }
        table.reassembler.expire(table.now + TIMEOUT, &mut table.drops);
        prop_assert_eq!(table.reassembler.bytes(), 0);
        prop_assert!(table.reassembler.unfinished.is_empty());
    }
}

struct Table {
    reassembler: Reassembler,
    drops: DropCounters,
    now: Instant,
}

impl Table {
    #[allow(clippy::disallowed_methods)]
    fn new() -> Table {
        Table {
            reassembler: Reassembler::new(1530),
            drops: DropCounters::default(),
            now: Instant::now(),
        }
    }

    fn insert(&mut self, datagram: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let (header, rest) = Header::decode(datagram).unwrap();
        self.reassembler
            .insert(self.now, &header, rest, &mut self.drops)
            .map(|whole| whole.map(|(_, payload)| payload.to_vec()))
    }
}

fn header(sequence: u64) -> Header {
    Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Bulk,
        key_id: 0,
        flow: 7,
        source: MemberId::new(3).unwrap(),
        destination: Destination::Flood,
        sequence,
    }
}

fn header_of(datagram: &[u8]) -> Header {
    Header::decode(datagram).unwrap().0
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 256) as u8).collect()
}

fn piece(sequence: u64, payload: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let head = FragmentHeader {
        offset: range.start as u16,
        total: payload.len() as u16,
    };
    [&piece_header(&header(sequence), head)[..], &payload[range]].concat()
}

fn pieces(sequence: u64, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    (0..payload.len())
        .step_by(size)
        .map(|at| piece(sequence, payload, at..payload.len().min(at + size)))
        .collect()
}
