//! Pins: what a relay's key looks like on paper.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4). A renewed certificate for the same key
/// has the same pin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

impl Pin {
    /// The hash itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The pin with this hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Pin {
        Pin(bytes)
    }

    /// The pin of a SubjectPublicKeyInfo in DER.
    pub fn of_public_key(spki: &[u8]) -> Pin {
        Pin(Sha256::digest(spki).into())
    }
}

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error(
        "a pin has 64 hexadecimal digits after sha256:, this one has {0}; copy it whole as the relay prints it"
    )]
    Length(usize),
    #[error(
        "a pin has only hexadecimal digits after sha256:, not {0:?}; copy it whole as the relay prints it"
    )]
    Digit(char),
    #[error(
        "only sha256 pins are known; a pin looks like sha256:0123…ef, as the relay prints it at its start"
    )]
    Kind,
}

impl FromStr for Pin {
    type Err = PinError;

    /// Takes what [`Display`](fmt::Display) prints, in either case, with or without its prefix.
    fn from_str(text: &str) -> Result<Pin, PinError> {
        let text = text.trim();
        let digits = match text.split_once(':') {
            None => text,
            Some((kind, digits)) if kind.eq_ignore_ascii_case("sha256") => digits,
            Some(_) => return Err(PinError::Kind),
        };
        if let Some(bad) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(PinError::Digit(bad));
        }
        if digits.len() != 64 {
            return Err(PinError::Length(digits.len()));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Pin(bytes))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for Pin {
    type Error = PinError;

    fn try_from(text: String) -> Result<Pin, PinError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_pin_parses() {
        let pin = Pin::of_public_key(b"key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(pin.to_string().to_uppercase().parse(), Ok(pin));
        assert_eq!(pin.to_string()[7..].parse(), Ok(pin));
    }

    #[test]
    fn each_refusal_names_its_part() {
        assert_eq!("sha256:abc".parse::<Pin>(), Err(PinError::Length(3)));
        assert_eq!("sha256:xyz".parse::<Pin>(), Err(PinError::Digit('x')));
        assert_eq!("md5:00".parse::<Pin>(), Err(PinError::Kind));
        assert_eq!("é".repeat(32).parse::<Pin>(), Err(PinError::Digit('é')));
    }
}
