//! Ethernet addresses (IEEE Std 802-2014, clause 8.2).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All stations, `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// Not an address of any station; seen in malformed frames.
    pub const ZERO: Mac = Mac([0; 6]);

    /// True for group addresses, broadcast included (the I/G bit, the least significant bit of the first octet).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// True for `ff:ff:ff:ff:ff:ff`.
    pub fn is_broadcast(self) -> bool {
        self == Mac::BROADCAST
    }

    /// True if a station may send from this address: an individual address that is not all zeros.
    pub fn is_valid_source(self) -> bool {
        !self.is_multicast() && self != Mac::ZERO
    }

    /// True if a member may announce this address as its own: a valid source that is locally administered
    /// (the U/L bit), so that it can never be the address of a real network card.
    pub fn is_identity(self) -> bool {
        self.is_valid_source() && self.0[0] & 2 == 2
    }

    /// Makes a member's address `02:…` from 5 random octets.
    pub const fn from_random(random: [u8; 5]) -> Mac {
        Mac([0x02, random[0], random[1], random[2], random[3], random[4]])
    }
}

/// Why a text is no MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address; write six hexadecimal octets such as 02:12:34:56:78:9a")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;

    /// Accepts `:` or `-` between the octets, in either case, but not both in one address.
    fn from_str(text: &str) -> Result<Mac, MacError> {
        let error = || MacError(text.chars().take(40).collect());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        match parts.next() {
            None => Ok(Mac(octets)),
            Some(_) => Err(error()),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_parse_and_print_as_colons() {
        let mac: Mac = "02-AB-cd-00-01-ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:ab:cd:00:01:ff");
        assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "02:ab:cd:00:01",
            "02:ab:cd:00:01:ff:00",
            "2:ab:cd:00:01:ff",
            "02:ab-cd:00:01:ff",
            "+2:ab:cd:00:01:ff",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_local_individual_addresses_are_identities() {
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_identity());
        for mac in [
            Mac::BROADCAST,
            Mac::ZERO,
            Mac([3, 0, 0, 0, 0, 1]),
            Mac([0, 1, 2, 3, 4, 5]),
        ] {
            assert!(!mac.is_identity(), "{mac}");
        }
    }
}
