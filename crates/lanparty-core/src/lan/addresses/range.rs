//! Which addresses are handed out: a range that the host names, or one that his own address on the LAN suggests.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use lanparty_wire::host::Prefix;
use serde::{Deserialize, Deserializer};

use super::message::mask;

/// More remote players than any party has, and few enough to look through for each.
const MOST: u32 = 1024;

/// What the host wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// The upper half of the network that the LAN's interface has an address in, 254 addresses at most.
    Auto,
    Range(AddressRange),
}

/// IPv4 addresses from `first` to `last`, both included, of one network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
    length: u8,
}

/// Why a text names no addresses.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} names no addresses: {why}; write auto, or a range and its network's length such as 10.73.42.100-10.73.42.149/24"
)]
pub struct AddressesError {
    text: String,
    why: &'static str,
}

impl AddressRange {
    /// # Errors
    /// One sentence about what makes it no range.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr, length: u8) -> Result<AddressRange, &'static str> {
        let mask = mask(length);
        let (low, high) = (first.to_bits(), last.to_bits());
        if !(8..=30).contains(&length) {
            return Err("the network's length is not between 8 and 30");
        }
        if low & mask != high & mask {
            return Err("its ends are not in one network");
        }
        if low > high {
            return Err("its end comes before its beginning");
        }
        if high - low >= MOST {
            return Err("it has more than 1024 addresses");
        }
        if low & !mask == 0 || high | mask == u32::MAX {
            return Err("a network's first and last addresses belong to nobody");
        }
        if first.is_loopback() || first.is_multicast() || first.octets()[0] == 0 || first.octets()[0] >= 224 {
            return Err("these are no addresses of machines");
        }
        Ok(AddressRange { first, last, length })
    }

    /// What [`Addresses::Auto`] means where this machine has these addresses.
    pub fn of_own(own: &[Prefix]) -> Option<AddressRange> {
        own.iter().find_map(|prefix| {
            let IpAddr::V4(address) = prefix.address() else {
                return None;
            };
            let length = prefix.length();
            if address.is_link_local() || !(8..=28).contains(&length) {
                return None;
            }
            let mask = mask(length);
            let last = (address.to_bits() | !mask) - 1;
            let half = (!mask / 2 + 1).min(254);
            AddressRange::new((last + 1 - half).into(), last.into(), length).ok()
        })
    }

    /// The length of the network's prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// True for every address of the network that the range is in.
    pub fn network_contains(&self, address: Ipv4Addr) -> bool {
        let mask = mask(self.length);
        address.to_bits() & mask == self.first.to_bits() & mask
    }

    pub fn iter(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}/{}", self.first, self.last, self.length)
    }
}

impl FromStr for Addresses {
    type Err = AddressesError;

    fn from_str(text: &str) -> Result<Addresses, AddressesError> {
        let error = |why| AddressesError {
            text: text.chars().take(60).collect(),
            why,
        };
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Addresses::Auto);
        }
        let (ends, length) = text
            .split_once('/')
            .ok_or_else(|| error("the network's length is missing"))?;
        let (first, last) = ends
            .split_once('-')
            .ok_or_else(|| error("there is no - between two addresses"))?;
        let address = |text: &str| {
            text.trim()
                .parse::<Ipv4Addr>()
                .map_err(|_| error("one of its ends is no IPv4 address"))
        };
        let length = length
            .trim()
            .parse::<u8>()
            .map_err(|_| error("the network's length is no number"))?;
        AddressRange::new(address(first)?, address(last)?, length)
            .map(Addresses::Range)
            .map_err(error)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_prints_as_it_is_written() {
        let text = "10.73.42.100-10.73.42.149/24";
        let Addresses::Range(range) = text.parse().unwrap() else {
            panic!("{text}");
        };
        assert_eq!(range.to_string(), text);
        assert_eq!(range.iter().count(), 50);
        assert_eq!("AUTO".parse(), Ok(Addresses::Auto));
    }

    #[test]
    fn what_is_no_range_is_refused_with_a_reason() {
        for (text, why) in [
            ("10.0.0.1", "length is missing"),
            ("10.0.0.1/24", "no - between"),
            ("10.0.0.1-10.0.1.1/24", "one network"),
            ("10.0.0.9-10.0.0.1/24", "comes before"),
            ("10.0.0.0-10.0.0.9/24", "belong to nobody"),
            ("10.0.0.9-10.0.0.255/24", "belong to nobody"),
            ("10.0.0.1-10.0.9.1/16", "1024"),
            ("10.0.0.1-10.0.0.1/31", "between 8 and 30"),
            ("127.0.0.1-127.0.0.9/24", "no addresses of machines"),
            ("a-b/24", "no IPv4 address"),
        ] {
            let error = text.parse::<Addresses>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_upper_half_of_the_hosts_own_network_is_taken() {
        let of = |own: &[&str]| {
            let own: Vec<Prefix> = own.iter().map(|text| text.parse().unwrap()).collect();
            AddressRange::of_own(&own).map(|range| range.to_string())
        };
        assert_eq!(of(&["10.73.42.1/24"]).unwrap(), "10.73.42.127-10.73.42.254/24");
        assert_eq!(
            of(&["fe80::1/64", "10.9.1.1/16"]).unwrap(),
            "10.9.255.1-10.9.255.254/16"
        );
        assert_eq!(of(&["192.168.0.9/28"]).unwrap(), "192.168.0.7-192.168.0.14/28");
        assert_eq!(of(&["169.254.1.1/16", "10.0.0.1/30", "fe80::1/64"]), None);
    }
}
