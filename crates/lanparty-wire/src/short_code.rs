//! Short codes: `NNNN-word-word-word`, an invite that can be read over the phone.
//!
//! The number is public: it finds the host at the relay. The three words are 33 secret bits, for a password-authenticated key
//! exchange with the host, who counts wrong tries. The 2048 words have 4 to 7 letters, differ in their first four, and are at least
//! two typing mistakes apart, so that one mistake never gives another word.

use std::{fmt, str::FromStr, sync::LazyLock};

use serde::{Deserialize, Serialize};

/// Words are this many bits of a secret.
const WORD_BITS: u32 = 11;
/// Words of a code.
const WORDS: usize = 3;
/// A word further away than this many typing mistakes is not what was meant.
const MAX_MISTAKES: usize = 2;
/// So many words are named that may have been meant.
const MAX_MEANT: usize = 3;
/// Longer texts are no code; it also bounds the work on one.
const MAX_TEXT: usize = 100;

static LIST: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("short_code/words.txt").split_whitespace().collect());

/// The public part of a short code, `0000` to `9999`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ShortNumber(u16);

impl ShortNumber {
    /// How many there are.
    pub const COUNT: u16 = 10_000;

    /// `None` from 10000 on.
    pub const fn new(value: u16) -> Option<ShortNumber> {
        if value < ShortNumber::COUNT {
            Some(ShortNumber(value))
        } else {
            None
        }
    }

    /// The number.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ShortNumber {
    type Error = &'static str;

    fn try_from(value: u16) -> Result<ShortNumber, &'static str> {
        ShortNumber::new(value).ok_or("a short code's number is between 0 and 9999")
    }
}

impl From<ShortNumber> for u16 {
    fn from(number: ShortNumber) -> u16 {
        number.0
    }
}

impl fmt::Display for ShortNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// A short code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortCode {
    /// What the relay may know.
    pub number: ShortNumber,
    /// Indices into the list, each below 2048.
    words: [u16; WORDS],
}

impl ShortCode {
    /// How many bits of a code are secret.
    pub const SECRET_BITS: u32 = WORD_BITS * WORDS as u32;

    /// The code of a number and of the lowest 33 of these random bits.
    pub fn from_random(number: ShortNumber, random: u64) -> ShortCode {
        let word = |at: u32| (random >> (at * WORD_BITS)) as u16 & ((1 << WORD_BITS) - 1);
        ShortCode {
            number,
            words: [word(2), word(1), word(0)],
        }
    }

    /// The secret part, `word-word-word`.
    pub fn secret(&self) -> String {
        self.words.map(word).join("-")
    }
}

fn word(index: u16) -> &'static str {
    LIST[usize::from(index)]
}

impl fmt::Display for ShortCode {
    /// The code. It holds the secret: show it to people, never to a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.secret())
    }
}

impl fmt::Debug for ShortCode {
    /// Secrets never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortCode({})", self.number)
    }
}

/// Why a text is no short code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShortCodeError {
    #[error("a short code begins with four digits, as in 4711-word-word-word; ask the host to read it again")]
    Number,
    #[error(
        "a short code has three words behind its number, this one has {0}; ask the host to read it again"
    )]
    Words(usize),
    #[error("{typed:?} is none of the words of short codes; did you mean {}?", meant.join(" or "))]
    Typo {
        typed: String,
        /// The nearest ones, at most `MAX_MEANT`.
        meant: Vec<&'static str>,
    },
    #[error("{0:?} is none of the words of short codes; ask the host to spell it")]
    Unknown(String),
}

impl FromStr for ShortCode {
    type Err = ShortCodeError;

    /// Takes what people write down: any case, and anything or nothing between the parts.
    fn from_str(text: &str) -> Result<ShortCode, ShortCodeError> {
        let text: String = text.trim().chars().take(MAX_TEXT).collect();
        let text = text.to_lowercase();
        let (digits, rest) = text.split_at_checked(4).ok_or(ShortCodeError::Number)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit())
            || rest.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(ShortCodeError::Number);
        }
        let number = digits.parse().ok().and_then(ShortNumber::new);
        let number = number.ok_or(ShortCodeError::Number)?;
        let parts: Vec<&str> = rest
            .split(|c: char| !c.is_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        let words = match *parts.as_slice() {
            [a, b, c] => [look_up(a)?, look_up(b)?, look_up(c)?],
            _ => split(&parts.concat()).ok_or(ShortCodeError::Words(parts.len()))?,
        };
        Ok(ShortCode { number, words })
    }
}

fn index(word: &str) -> Option<u16> {
    let index = LIST.binary_search(&word).ok()?;
    u16::try_from(index).ok()
}

fn look_up(typed: &str) -> Result<u16, ShortCodeError> {
    if let Some(index) = index(typed) {
        return Ok(index);
    }
    let (mut least, mut meant) = (MAX_MISTAKES, Vec::new());
    for word in LIST.iter() {
        let mistakes = strsim::osa_distance(typed, word);
        if mistakes < least {
            (least, meant) = (mistakes, Vec::new());
        }
        if mistakes == least && meant.len() < MAX_MEANT {
            meant.push(*word);
        }
    }
    let typed = typed.to_owned();
    if meant.is_empty() {
        Err(ShortCodeError::Unknown(typed))
    } else {
        Err(ShortCodeError::Typo { typed, meant })
    }
}

/// Three words without anything between them, if they can be read in one way only.
fn split(letters: &str) -> Option<[u16; WORDS]> {
    if !letters.is_ascii() {
        return None;
    }
    let mut found = None;
    for first in 1..letters.len() {
        let Some(a) = index(&letters[..first]) else {
            continue;
        };
        for second in first + 1..letters.len() {
            let rest = (index(&letters[first..second]), index(&letters[second..]));
            let (Some(b), Some(c)) = rest else { continue };
            if found.replace([a, b, c]).is_some() {
                return None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{RoomCode, RoomCodeError};

    #[test]
    fn words_can_be_told_apart_over_a_bad_line() {
        assert_eq!((LIST.len(), ShortCode::SECRET_BITS), (2048, 33));
        assert!(LIST.is_sorted());
        let beginnings: BTreeSet<&str> = LIST.iter().map(|word| &word[..4]).collect();
        assert_eq!(beginnings.len(), LIST.len());
        for (at, word) in LIST.iter().enumerate() {
            assert!((4..=7).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|letter| letter.is_ascii_lowercase()), "{word}");
            let similar = LIST[..at]
                .iter()
                .find(|other| word.len().abs_diff(other.len()) < 2 && strsim::osa_distance(word, other) < 2);
            assert_eq!(similar, None, "{word}");
        }
    }

    #[test]
    fn what_people_write_down_parses() {
        let code = "4711-river-apple-stone".replace("river", "rider");
        let expected: ShortCode = code.parse().unwrap();
        assert_eq!(expected.to_string(), code);
        for text in [
            " 4711 Rider APPLE stone\n",
            "4711\u{2013}rider\u{2014}apple\u{2011}stone",
            "4711riderapplestone",
            "4711, rider, apple, stone.",
            "4711-riderapple-stone",
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let refusal = |text: &str| text.parse::<ShortCode>().unwrap_err();
        for text in [
            "",
            "471",
            "rider-apple-stone",
            "47111-rider-apple-stone",
            "ä711-rider",
        ] {
            assert_eq!(refusal(text), ShortCodeError::Number, "{text}");
        }
        assert_eq!(refusal("4711-rider-apple"), ShortCodeError::Words(2));
        assert_eq!(
            refusal("4711-rider-aplpe-stone").to_string(),
            "\"aplpe\" is none of the words of short codes; did you mean apple?"
        );
        let several = refusal("4711-rider-appla-ston").to_string();
        assert!(several.contains("did you mean apple?"), "{several}");
        let ShortCodeError::Typo { meant, .. } = refusal("4711-bant-rider-apple") else {
            panic!("a typo")
        };
        assert!((2..=3).contains(&meant.len()), "{meant:?}");
        assert_eq!(
            refusal("4711-rider-xyzzyq-stone"),
            ShortCodeError::Unknown("xyzzyq".into())
        );
    }

    #[test]
    fn the_secret_reaches_no_log() {
        let code: ShortCode = "4711-rider-apple-stone".parse().unwrap();
        assert_eq!(format!("{code:?}"), "ShortCode(4711)");
    }

    proptest! {
        #[test]
        fn every_code_prints_and_parses_and_is_no_open_room(number in 0_u16..10_000, random: u64) {
            let code = ShortCode::from_random(ShortNumber::new(number).unwrap(), random);
            prop_assert_eq!(code.to_string().parse::<ShortCode>(), Ok(code));
            prop_assert_eq!(code.to_string().parse::<RoomCode>(), Err(RoomCodeError::ShortCode));
        }

        #[test]
        fn no_text_panics(text in "[0-9]{0,5}\\PC{0,60}") {
            let _ = text.parse::<ShortCode>();
        }
    }
}
