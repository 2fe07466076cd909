//! Codes of open rooms.
//!
//! A sealed room is named by a hash of its host's key instead, and a short code (`NNNN-word-word-word`) asks a host for
//! admission; neither may ever read as an open room's code, so that nobody can be led from a sealed room into an open one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of an open room: 3 to 32 ASCII letters, digits and inner dashes. Case does not matter; it is kept in capitals.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomCode(String);

impl RoomCode {
    /// Fewer would collide by accident.
    pub const MIN_LEN: usize = 3;
    /// The longest one; the hash that names a sealed room is longer.
    pub const MAX_LEN: usize = 32;

    /// The code in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no room code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomCodeError {
    #[error("a room code has {min} to {max} characters, this one has {0}", min = RoomCode::MIN_LEN, max = RoomCode::MAX_LEN)]
    Length(usize),
    #[error("a room code has only letters, digits and dashes, not {0:?}")]
    Character(char),
    #[error("a room code neither starts nor ends with a dash")]
    OuterDash,
    #[error(
        "this looks like the short code of a sealed room, which has no name to give: players join with lanparty-client CODE --relay HOST"
    )]
    ShortCode,
}

impl FromStr for RoomCode {
    type Err = RoomCodeError;

    fn from_str(text: &str) -> Result<RoomCode, RoomCodeError> {
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(RoomCodeError::Character(bad));
        }
        if !(RoomCode::MIN_LEN..=RoomCode::MAX_LEN).contains(&text.len()) {
            return Err(RoomCodeError::Length(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(RoomCodeError::OuterDash);
        }
        if is_short_code(text) {
            return Err(RoomCodeError::ShortCode);
        }
        Ok(RoomCode(text.to_ascii_uppercase()))
    }
}

/// `NNNN-word-word-word`: four digits, then three words of letters.
fn is_short_code(text: &str) -> bool {
    let mut parts = text.split('-');
    let number = parts
        .next()
        .is_some_and(|p| p.len() == 4 && p.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    number
        && words.len() == 3
        && words
            .iter()
            .all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphabetic()))
}

impl TryFrom<String> for RoomCode {
    type Error = RoomCodeError;

    fn try_from(text: String) -> Result<RoomCode, RoomCodeError> {
        text.parse()
    }
}

impl From<RoomCode> for String {
    fn from(code: RoomCode) -> String {
        code.0
    }
}

impl fmt::Display for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        assert_eq!("lan-2026".parse::<RoomCode>(), "LAN-2026".parse());
    }

    #[test]
    fn each_refusal_names_its_part() {
        let refusal = |text: &str| text.parse::<RoomCode>().unwrap_err();
        assert_eq!(refusal("ab"), RoomCodeError::Length(2));
        assert_eq!(refusal(&"a".repeat(33)), RoomCodeError::Length(33));
        assert_eq!(refusal("a b c"), RoomCodeError::Character(' '));
        assert_eq!(refusal("räume"), RoomCodeError::Character('ä'));
        assert_eq!(refusal("-abc"), RoomCodeError::OuterDash);
        assert_eq!(refusal("1234-red-fox-jumps"), RoomCodeError::ShortCode);
    }

    #[test]
    fn decoding_validates() {
        assert!(serde_json::from_str::<RoomCode>("\"a b\"").is_err());
    }
}
