//! What a relay's operator gives to those who may open rooms.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A relay's token: 1 to 128 visible ASCII characters. It is a secret, so what prints it for logs shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayToken(String);

impl RelayToken {
    /// Characters of a token at most.
    pub const MAX_LEN: usize = 128;

    /// The text, for the relay's own use.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// A text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a relay's token is one word of at most 128 letters, digits and signs; copy it as the relay's operator gave it"
)]
pub struct RelayTokenError;

impl FromStr for RelayToken {
    type Err = RelayTokenError;

    fn from_str(text: &str) -> Result<RelayToken, RelayTokenError> {
        let is_word = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > RelayToken::MAX_LEN || !is_word {
            return Err(RelayTokenError);
        }
        Ok(RelayToken(text.to_owned()))
    }
}

impl fmt::Debug for RelayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayToken(…)")
    }
}

impl TryFrom<String> for RelayToken {
    type Error = RelayTokenError;

    fn try_from(text: String) -> Result<RelayToken, RelayTokenError> {
        text.parse()
    }
}

impl From<RelayToken> for String {
    fn from(token: RelayToken) -> String {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_printed() {
        let token: RelayToken = "hunter2-hunter2".parse().unwrap();
        assert!(!format!("{token:?}").contains("hunter"));
        for text in ["", "two words", "line\n", "ä", &"a".repeat(129)] {
            assert!(text.parse::<RelayToken>().is_err(), "{text}");
        }
    }
}
