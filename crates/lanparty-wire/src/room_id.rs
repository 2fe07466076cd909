//! Names of rooms of either kind.
//!
//! A sealed room belongs to its host's key and is named by a hash of it: whoever can show the key is the host, and nobody can take
//! the name first. The name is longer than any open room's code, so that a text is of one kind or of none.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD_NOCASE;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{PeerId, RoomCode, RoomCodeError};

/// What the hash is taken of besides the key, so that it is no other protocol's hash.
const LABEL: &[u8] = b"lanparty sealed room v1\0";

/// The name of a sealed room: the first 200 bits of a SHA-256 over the host's public key. As text 40 letters and digits in
/// base32 (RFC 4648, section 6) without padding, in small letters; case does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealedRoom([u8; SealedRoom::LEN]);

impl SealedRoom {
    /// Bytes of a name.
    pub const LEN: usize = 25;
    /// Characters of a name; more than [`RoomCode::MAX_LEN`].
    pub const TEXT_LEN: usize = 40;

    /// The room of the host with this key.
    pub fn of(host: &PeerId) -> SealedRoom {
        let digest = Sha256::new().chain_update(LABEL).chain_update(host.0).finalize();
        let mut bytes = [0; SealedRoom::LEN];
        bytes.copy_from_slice(&digest[..SealedRoom::LEN]);
        SealedRoom(bytes)
    }

    /// True for the one identity that may speak for the room.
    pub fn belongs_to(&self, identity: &PeerId) -> bool {
        *self == SealedRoom::of(identity)
    }

    /// The name in bytes, as signatures cover it.
    pub const fn bytes(&self) -> &[u8; SealedRoom::LEN] {
        &self.0
    }

    /// The name of these bytes. Any bytes are a name; only a host's key gives one that is somebody's.
    pub const fn from_bytes(bytes: [u8; SealedRoom::LEN]) -> SealedRoom {
        SealedRoom(bytes)
    }
}

/// Why a text is no sealed room's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedRoomError {
    #[error(
        "a sealed room's name has {len} letters and digits, this one has {0}; copy it whole",
        len = SealedRoom::TEXT_LEN
    )]
    Length(usize),
    #[error("a sealed room's name has only letters and the digits 2 to 7, not {0:?}; copy it whole")]
    Character(char),
}

impl FromStr for SealedRoom {
    type Err = SealedRoomError;

    fn from_str(text: &str) -> Result<SealedRoom, SealedRoomError> {
        if let Some(bad) = text
            .chars()
            .find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '2'..='7'))
        {
            return Err(SealedRoomError::Character(bad));
        }
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(SealedRoom)
            .ok_or(SealedRoomError::Length(text.len()))
    }
}

impl fmt::Display for SealedRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD_NOCASE.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for SealedRoom {
    /// The first characters are enough to tell rooms apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string()[..8])
    }
}

impl TryFrom<String> for SealedRoom {
    type Error = SealedRoomError;

    fn try_from(text: String) -> Result<SealedRoom, SealedRoomError> {
        text.parse()
    }
}

impl From<SealedRoom> for String {
    fn from(room: SealedRoom) -> String {
        room.to_string()
    }
}

/// The name of a room; it says by itself which kind the room is, so no relay can turn one into the other.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RoomId {
    /// Whoever knows the code is in; the relay could read the frames.
    Open(RoomCode),
    /// The host says who is in; the relay cannot read the frames.
    Sealed(SealedRoom),
}

impl RoomId {
    /// True for a sealed room.
    pub const fn is_sealed(&self) -> bool {
        matches!(self, RoomId::Sealed(_))
    }

    /// Bytes that tell one room from another where its name is not to be read: the first 64 bits of a hash of it.
    pub fn tag(&self) -> [u8; 8] {
        let digest = Sha256::new()
            .chain_update(b"lanparty room tag v1\0")
            .chain_update(String::from(self.clone()))
            .finalize();
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        tag
    }
}

impl FromStr for RoomId {
    type Err = RoomCodeError;

    /// A text that is no sealed room's name is judged as an open room's code.
    fn from_str(text: &str) -> Result<RoomId, RoomCodeError> {
        match text.parse() {
            Ok(room) => Ok(RoomId::Sealed(room)),
            Err(SealedRoomError::Length(_) | SealedRoomError::Character(_)) => text.parse().map(RoomId::Open),
        }
    }
}

impl From<RoomCode> for RoomId {
    fn from(code: RoomCode) -> RoomId {
        RoomId::Open(code)
    }
}

impl From<SealedRoom> for RoomId {
    fn from(room: SealedRoom) -> RoomId {
        RoomId::Sealed(room)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomId::Open(code) => code.fmt(f),
            RoomId::Sealed(room) => room.fmt(f),
        }
    }
}

impl TryFrom<String> for RoomId {
    type Error = RoomCodeError;

    fn try_from(text: String) -> Result<RoomId, RoomCodeError> {
        text.parse()
    }
}

impl From<RoomId> for String {
    fn from(room: RoomId) -> String {
        room.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_room_belongs_to_one_key() {
        let room = SealedRoom::of(&PeerId([7; 32]));
        assert!(room.belongs_to(&PeerId([7; 32])));
        assert!(!room.belongs_to(&PeerId([8; 32])));
    }

    #[test]
    fn no_sealed_name_can_be_an_open_code() {
        const { assert!(SealedRoom::TEXT_LEN > RoomCode::MAX_LEN) };
        let text = SealedRoom::of(&PeerId([7; 32])).to_string();
        assert_eq!(text.len(), SealedRoom::TEXT_LEN);
        assert_eq!(text.parse::<RoomCode>(), Err(RoomCodeError::Length(40)));
        assert!(text.parse::<RoomId>().unwrap().is_sealed());
        assert!(!"ABCD".parse::<RoomId>().unwrap().is_sealed());
    }

    #[test]
    fn each_refusal_names_its_part() {
        let refusal = |text: &str| text.parse::<SealedRoom>().unwrap_err();
        assert_eq!(refusal("abc"), SealedRoomError::Length(3));
        assert_eq!(refusal(&"a".repeat(39)), SealedRoomError::Length(39));
        assert_eq!(refusal(&"a".repeat(48)), SealedRoomError::Length(48));
        assert_eq!(refusal(&"1".repeat(40)), SealedRoomError::Character('1'));
        assert_eq!(refusal("ä"), SealedRoomError::Character('ä'));
        assert!("a b".parse::<RoomId>().is_err());
    }

    proptest! {
        #[test]
        fn names_print_and_parse(bytes: [u8; 25]) {
            let room = SealedRoom::from_bytes(bytes);
            prop_assert_eq!(room.to_string().parse::<SealedRoom>(), Ok(room));
            prop_assert_eq!(room.to_string().to_uppercase().parse::<SealedRoom>(), Ok(room));
        }

        #[test]
        fn a_text_is_of_one_kind_at_most(text in "[A-Za-z0-9-]{1,50}") {
            prop_assert!(text.parse::<SealedRoom>().is_err() || text.parse::<RoomCode>().is_err());
        }
    }
}
