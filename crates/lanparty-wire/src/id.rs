//! Who is who: identities of installs, members of a room, destinations of a datagram.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The Ed25519 public key of an install. It is what a TLS client certificate proves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 32]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    /// The first four bytes are enough to tell peers apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no peer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a peer id is 64 hexadecimal digits")]
pub struct PeerIdError;

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<PeerId, PeerIdError> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PeerIdError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| PeerIdError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| PeerIdError)?;
        }
        Ok(PeerId(bytes))
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A member of a room, assigned by the relay: `1..=0xFEFF`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct MemberId(u16);

impl MemberId {
    /// The largest id; above it lie group handles and flood.
    pub const MAX: u16 = 0xfeff;

    /// `None` for 0 and for values above [`MemberId::MAX`].
    pub const fn new(value: u16) -> Option<MemberId> {
        if value == 0 || value > MemberId::MAX {
            None
        } else {
            Some(MemberId(value))
        }
    }

    /// The value on the wire.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for MemberId {
    type Error = &'static str;

    fn try_from(value: u16) -> Result<MemberId, &'static str> {
        MemberId::new(value).ok_or("a member id is between 1 and 65279")
    }
}

impl From<MemberId> for u16 {
    fn from(id: MemberId) -> u16 {
        id.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A list of members that one sender has registered with the relay: `0xFF00..=0xFFFE`, private to that sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct GroupHandle(u16);

impl GroupHandle {
    /// `None` outside `0xFF00..=0xFFFE`.
    pub const fn new(value: u16) -> Option<GroupHandle> {
        if value >= 0xff00 && value <= 0xfffe {
            Some(GroupHandle(value))
        } else {
            None
        }
    }

    /// The value on the wire.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for GroupHandle {
    type Error = &'static str;

    fn try_from(value: u16) -> Result<GroupHandle, &'static str> {
        GroupHandle::new(value).ok_or("a group handle is between 65280 and 65534")
    }
}

impl From<GroupHandle> for u16 {
    fn from(handle: GroupHandle) -> u16 {
        handle.0
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Destination {
    /// One member.
    Member(MemberId),
    /// The members of one of the sender's groups.
    Group(GroupHandle),
    /// Every other member of the room.
    Flood,
}

impl Destination {
    /// `None` for 0, which names nobody.
    pub const fn from_wire(value: u16) -> Option<Destination> {
        if value == 0xffff {
            return Some(Destination::Flood);
        }
        if let Some(member) = MemberId::new(value) {
            return Some(Destination::Member(member));
        }
        match GroupHandle::new(value) {
            Some(handle) => Some(Destination::Group(handle)),
            None => None,
        }
    }

    /// The value on the wire.
    pub const fn to_wire(self) -> u16 {
        match self {
            Destination::Member(member) => member.value(),
            Destination::Group(handle) => handle.value(),
            Destination::Flood => 0xffff,
        }
    }
}

/// Counts the lives of one member: a process that joins anew gets a new incarnation, and everything that others kept
/// of the old one (windows, reassembly, learned addresses) is void.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_but_zero_is_one_destination() {
        assert_eq!(Destination::from_wire(0), None);
        for value in 1..=u16::MAX {
            let destination = Destination::from_wire(value).unwrap();
            assert_eq!(destination.to_wire(), value);
        }
    }

    #[test]
    fn ids_validate_when_they_are_decoded() {
        assert!(serde_json::from_str::<MemberId>("0").is_err());
        assert!(serde_json::from_str::<MemberId>("65535").is_err());
        assert!(serde_json::from_str::<GroupHandle>("65535").is_err());
        assert_eq!(serde_json::from_str::<MemberId>("7").unwrap().value(), 7);
    }

    #[test]
    fn peer_ids_print_and_parse() {
        let id = PeerId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        assert!("é".repeat(32).parse::<PeerId>().is_err());
    }
}
