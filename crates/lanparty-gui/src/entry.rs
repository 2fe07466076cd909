//! What a player pastes or types: an invite link, a short code, or an open room's code.

use lanparty_api::order::Wish;
use lanparty_wire::{Invite, RelayAddress, RoomCode, ShortCode};

/// What a text turned out to be.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    Nothing,
    /// Names relay and room itself.
    Link(Box<Invite>),
    /// Needs a relay.
    Code,
    /// An open room's code; needs a relay.
    Room(RoomCode),
    /// With the reason.
    Wrong(String),
}

impl Entry {
    /// Which of them it is is seen by how it begins.
    pub fn of(text: &str) -> Entry {
        let text = text.trim();
        if text.is_empty() {
            return Entry::Nothing;
        }
        if text.contains("://") || text.contains('#') {
            return match text.parse() {
                Ok(invite) => Entry::Link(Box::new(invite)),
                Err(error) => Entry::Wrong(format!("This link cannot be used: {error}")),
            };
        }
        let words = text
            .split(|c: char| c == '-' || c.is_whitespace())
            .filter(|word| !word.is_empty());
        if text.starts_with(|c: char| c.is_ascii_digit()) && words.count() > 1 {
            return match text.parse::<ShortCode>() {
                Ok(_) => Entry::Code,
                Err(error) => Entry::Wrong(format!("This short code cannot be right: {error}")),
            };
        }
        match text.parse() {
            Ok(code) => Entry::Room(code),
            Err(error) => Entry::Wrong(format!("This is no invite, and no room's code: {error}")),
        }
    }

    pub fn needs_relay(&self) -> bool {
        matches!(self, Entry::Code | Entry::Room(_))
    }

    /// The wish that it makes with this relay.
    ///
    /// # Errors
    /// What is missing, in one sentence.
    pub fn wish(&self, text: &str, relay: &str) -> Result<Wish, String> {
        let at = || -> Result<RelayAddress, String> {
            if relay.trim().is_empty() {
                return Err(
                    "At which relay? The host can tell you, for example relay.example.org.".to_owned(),
                );
            }
            let address = relay.trim().parse();
            address.map_err(|error| format!("This relay cannot be used: {error}"))
        };
        match self {
            Entry::Nothing => Err("Paste the invite that the host has sent you.".to_owned()),
            Entry::Wrong(reason) => Err(reason.clone()),
            Entry::Link(_) => Ok(Wish {
                ticket: Some(text.trim().to_owned()),
                ..Wish::default()
            }),
            Entry::Code => Ok(Wish {
                ticket: Some(text.trim().to_owned()),
                relay: Some(at()?),
                ..Wish::default()
            }),
            Entry::Room(code) => Ok(Wish {
                room: Some(code.clone()),
                relay: Some(at()?),
                ..Wish::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_told_apart_by_its_looks() {
        assert_eq!(Entry::of("  "), Entry::Nothing);
        assert_eq!(Entry::of("4711-rider-apple-stone"), Entry::Code);
        assert_eq!(Entry::of(" 4711 Rider APPLE stone "), Entry::Code);
        assert_eq!(Entry::of("friday"), Entry::Room("FRIDAY".parse().unwrap()));
        for (wrong, told) in [
            ("lanparty://x", "This link"),
            ("4711-rider-aplpe-stone", "apple"),
            ("what?", "no invite"),
        ] {
            let entry = Entry::of(wrong);
            assert!(
                matches!(&entry, Entry::Wrong(reason) if reason.contains(told)),
                "{entry:?}"
            );
        }
    }

    #[test]
    fn a_code_needs_a_relay_and_says_so() {
        let entry = Entry::of("FRIDAY");
        assert!(entry.wish("FRIDAY", " ").unwrap_err().contains("At which relay?"));
        let wish = entry.wish("FRIDAY", "relay.example.org").unwrap();
        assert_eq!(wish.relay.unwrap().to_string(), "relay.example.org:443");
        assert!(Entry::Nothing.wish("", "").is_err());
    }
}
