//! Bytes as a datagram's clear header: what decodes is what encodes.

use lanparty_wire::{FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header};

pub fn run(data: &[u8]) {
    let Ok((header, rest)) = Header::decode(data) else {
        return;
    };
    assert_eq!(header.encode()[..], data[..HEADER_LEN]);
    assert_eq!(*rest, data[HEADER_LEN..]);
    let sealed = header.associated_data();
    let (unmarked, _) = Header::decode(&sealed).expect("two marks are all that may change on the way");
    assert!(!unmarked.fragment && !unmarked.congested);
    assert_eq!(unmarked.sequence, header.sequence);
    if !header.fragment {
        return;
    }
    if let Ok((range, bytes)) = FragmentHeader::decode(rest) {
        assert_eq!(range.encode()[..], rest[..FRAGMENT_HEADER_LEN]);
        let end = usize::from(range.offset) + bytes.len();
        assert!(!bytes.is_empty() && end <= usize::from(range.total));
        assert!(range.offset > 0 || bytes.len() >= FragmentHeader::MIN_FIRST);
        assert!(bytes.len() < usize::from(range.total));
    }
}
