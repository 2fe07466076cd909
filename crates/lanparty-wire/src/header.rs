//! The clear header of a datagram, version 1 (`docs/protocol.md`).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-----+-----+-+-+-----+---------+---------------+---------------+
//! | ver | kind|F|C|class| key id  |   flow hash   |    source …   |
//! +-----+-----+-+-+-----+---------+---------------+---------------+
//! |   … member    |          destination          |   sequence …  |
//! +---------------+-------------------------------+---------------+
//! |                     … sequence (40 bits)                      |
//! +---------------------------------------------------------------+
//! ```

use crate::{Class, Destination, MemberId};

/// Bytes of the header.
pub const HEADER_LEN: usize = 12;
/// Bytes of offset and total that follow the header when FRAGMENT is set.
pub const FRAGMENT_HEADER_LEN: usize = 4;
/// Bytes of an AEAD tag. Open rooms count them too, so that budgets do not depend on sealing.
pub const TAG_LEN: usize = 16;
/// The version that this crate speaks.
pub const VERSION: u8 = 1;
/// The largest sequence number (40 bits).
pub const MAX_SEQUENCE: u64 = (1 << 40) - 1;

const FRAGMENT: u8 = 0b10;
const CONGESTED: u8 = 0b01;

/// What the payload is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// An Ethernet frame without its check sequence.
    Frame = 0,
    /// A probe between two members, which measures the way between them.
    Probe = 1,
}

/// A decoded header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub kind: Kind,
    /// A [`FragmentHeader`] follows. Not associated data: a datagram may be cut again on the way.
    pub fragment: bool,
    /// Set by any queue on the way that wants the sender to slow down (RFC 3168). Not associated data.
    pub congested: bool,
    pub class: Class,
    /// 0 in open rooms, else the key that sealed the payload, `1..=31`.
    pub key_id: u8,
    /// Same value, same flow: equal values stay in order. Keyed by the session, so that it does not name the flow.
    pub flow: u8,
    pub source: MemberId,
    pub destination: Destination,
    /// Counts per source, destination value and key, from 0; never reused under a key.
    pub sequence: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("shorter than a header")]
    Short,
    #[error("version {0} is not known")]
    Version(u8),
    #[error("a reserved value is set")]
    Reserved,
    #[error("the fragment's range is impossible")]
    Fragment,
}

impl Header {
    /// Writes the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let marks = if self.fragment { FRAGMENT } else { 0 } | if self.congested { CONGESTED } else { 0 };
        out[0] = VERSION << 5 | (self.kind as u8) << 2 | marks;
        out[1] = (self.class as u8) << 5 | (self.key_id & 0x1f);
        out[2] = self.flow;
        out[3..5].copy_from_slice(&self.source.value().to_be_bytes());
        out[5..7].copy_from_slice(&self.destination.to_wire().to_be_bytes());
        out[7..12].copy_from_slice(&self.sequence.min(MAX_SEQUENCE).to_be_bytes()[3..]);
        out
    }

    /// Reads the header in front of `datagram`, and returns it with what follows.
    ///
    /// # Errors
    /// Too few bytes, another version, or a value that version 1 reserves.
    pub fn decode(datagram: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
        let (head, rest) = datagram
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(HeaderError::Short)?;
        let version = head[0] >> 5;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let kind = match head[0] >> 2 & 0b111 {
            0 => Kind::Frame,
            1 => Kind::Probe,
            _ => return Err(HeaderError::Reserved),
        };
        let header = Header {
            kind,
            fragment: head[0] & FRAGMENT != 0,
            congested: head[0] & CONGESTED != 0,
            class: Class::from_wire(head[1] >> 5).ok_or(HeaderError::Reserved)?,
            key_id: head[1] & 0x1f,
            flow: head[2],
            source: MemberId::new(u16::from_be_bytes([head[3], head[4]])).ok_or(HeaderError::Reserved)?,
            destination: Destination::from_wire(u16::from_be_bytes([head[5], head[6]]))
                .ok_or(HeaderError::Reserved)?,
            sequence: u64::from_be_bytes([0, 0, 0, head[7], head[8], head[9], head[10], head[11]]),
        };
        Ok((header, rest))
    }

    /// What an AEAD authenticates: the header with the two marks zeroed that may change on the way.
    pub fn associated_data(&self) -> [u8; HEADER_LEN] {
        Header {
            fragment: false,
            congested: false,
            ..*self
        }
        .encode()
    }
}

/// Which bytes of the whole payload a fragment carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentHeader {
    /// The first byte that this fragment carries.
    pub offset: u16,
    /// Bytes of the whole payload.
    pub total: u16,
}

impl FragmentHeader {
    /// A first fragment shorter than this hides the headers that filters must see.
    pub const MIN_FIRST: usize = 256;

    /// Writes offset and total.
    pub fn encode(&self) -> [u8; FRAGMENT_HEADER_LEN] {
        let [a, b] = self.offset.to_be_bytes();
        let [c, d] = self.total.to_be_bytes();
        [a, b, c, d]
    }

    /// Reads what follows a header whose FRAGMENT is set, and returns it with the fragment's bytes.
    ///
    /// # Errors
    /// Too few bytes, an empty fragment, one that passes the end of the payload, one that is the whole payload, or a
    /// first one shorter than [`FragmentHeader::MIN_FIRST`].
    pub fn decode(rest: &[u8]) -> Result<(FragmentHeader, &[u8]), HeaderError> {
        let (head, bytes) = rest
            .split_first_chunk::<FRAGMENT_HEADER_LEN>()
            .ok_or(HeaderError::Short)?;
        let offset = u16::from_be_bytes([head[0], head[1]]);
        let total = u16::from_be_bytes([head[2], head[3]]);
        let end = usize::from(offset) + bytes.len();
        let whole = offset == 0 && end == usize::from(total);
        let short_first = offset == 0 && bytes.len() < FragmentHeader::MIN_FIRST;
        if bytes.is_empty() || end > usize::from(total) || whole || short_first {
            return Err(HeaderError::Fragment);
        }
        Ok((FragmentHeader { offset, total }, bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_that_of_the_protocol_page() {
        let header = Header {
            kind: Kind::Probe,
            fragment: true,
            congested: false,
            class: Class::Neighbor,
            key_id: 5,
            flow: 0xab,
            source: MemberId::new(0x0102).unwrap(),
            destination: Destination::Flood,
            sequence: 0x01_0203_0405,
        };
        assert_eq!(
            header.encode(),
            [
                0x26, 0x65, 0xab, 0x01, 0x02, 0xff, 0xff, 0x01, 0x02, 0x03, 0x04, 0x05
            ]
        );
        assert_eq!(header.associated_data()[0], 0x24);
    }

    #[test]
    fn reserved_values_are_malformed() {
        let good = [0x20, 0x00, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0];
        assert!(Header::decode(&good).is_ok());
        for (index, value, error) in [
            (0, 0x40, HeaderError::Version(2)),
            (0, 0x00, HeaderError::Version(0)),
            (0, 0x28, HeaderError::Reserved),
            (1, 0x80, HeaderError::Reserved),
            (4, 0x00, HeaderError::Reserved),
            (3, 0xff, HeaderError::Reserved),
            (6, 0x00, HeaderError::Reserved),
        ] {
            let mut bytes = good;
            bytes[index] = value;
            assert_eq!(
                Header::decode(&bytes).unwrap_err(),
                error,
                "byte {index} = {value:#x}"
            );
        }
        assert_eq!(Header::decode(&good[..11]).unwrap_err(), HeaderError::Short);
    }

    #[test]
    fn impossible_fragments_are_malformed() {
        let fragment = |offset: u16, total: u16, len: usize| {
            let mut bytes = FragmentHeader { offset, total }.encode().to_vec();
            bytes.resize(FRAGMENT_HEADER_LEN + len, 0);
            FragmentHeader::decode(&bytes).map(|(head, bytes)| (head.offset, bytes.len()))
        };
        assert_eq!(fragment(0, 1514, 757), Ok((0, 757)));
        assert_eq!(fragment(757, 1514, 757), Ok((757, 757)));
        for (offset, total, len) in [
            (0, 1514, 255),
            (0, 1514, 1514),
            (757, 1514, 758),
            (757, 1514, 0),
            (65535, 65535, 1),
        ] {
            assert_eq!(
                fragment(offset, total, len),
                Err(HeaderError::Fragment),
                "{offset} {total} {len}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((header, rest)) = Header::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
                prop_assert_eq!(rest, &bytes[HEADER_LEN..]);
            }
        }
    }
}
