//! What people type after `--relay` and `--listen`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// UDP/443: the port that most networks let QUIC through on.
pub const DEFAULT_RELAY_PORT: u16 = 443;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the relay's address is empty; give a host name or an IP address, optionally with :port")]
    Empty,
    #[error("{0:?} is not a port; it is a number from 1 to 65535")]
    Port(String),
    #[error("{0:?} is not a host name or IP address (write IPv6 with a port as [2001:db8::1]:443)")]
    Host(String),
    #[error("{0:?} is not something to listen on; write 443/udp, a port, 0.0.0.0:443 or [::]:443")]
    Listen(String),
}

/// A relay: a DNS name or an IP address, and a UDP port (443 unless told).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayAddress {
    /// DNS name, or IP address without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl RelayAddress {
    /// The host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<RelayAddress, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return RelayAddress::checked(address.ip().to_string(), address.port());
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return RelayAddress::checked(ip.to_string(), DEFAULT_RELAY_PORT);
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, DEFAULT_RELAY_PORT),
            Some((host, port)) => (host, port.parse().map_err(|_| AddressError::Port(clip(port)))?),
        };
        if !is_host_name(host) {
            return Err(AddressError::Host(clip(host)));
        }
        RelayAddress::checked(host.to_ascii_lowercase(), port)
    }
}

impl RelayAddress {
    fn checked(host: String, port: u16) -> Result<RelayAddress, AddressError> {
        match port {
            0 => Err(AddressError::Port("0".into())),
            port => Ok(RelayAddress { host, port }),
        }
    }
}

/// RFC 1123, section 2.1; underscores are tolerated because home routers invent such names.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label) && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(ip) => write!(f, "{}", SocketAddr::new(ip, self.port)),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl TryFrom<String> for RelayAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<RelayAddress, AddressError> {
        text.parse()
    }
}

impl From<RelayAddress> for String {
    fn from(address: RelayAddress) -> String {
        address.to_string()
    }
}

/// Where a relay listens. A bare port means every address of both families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<ListenAddress, AddressError> {
        let text = text.trim();
        let bare = text.strip_suffix("/udp").unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(ListenAddress(address));
        }
        let port: u16 = bare.parse().map_err(|_| AddressError::Listen(clip(text)))?;
        Ok(ListenAddress(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/udp", self.0)
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<ListenAddress, AddressError> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_way_to_write_a_relay_parses() {
        for (text, host, port) in [
            ("relay.example.org", "relay.example.org", 443),
            ("Relay.Example.org:4443", "relay.example.org", 4443),
            ("192.0.2.7", "192.0.2.7", 443),
            ("192.0.2.7:1", "192.0.2.7", 1),
            ("2001:db8::1", "2001:db8::1", 443),
            ("[2001:db8::1]", "2001:db8::1", 443),
            ("[2001:db8::1]:99", "2001:db8::1", 99),
        ] {
            let relay: RelayAddress = text.parse().unwrap();
            assert_eq!((relay.host.as_str(), relay.port), (host, port), "{text}");
            assert_eq!(relay.to_string().parse::<RelayAddress>().unwrap(), relay);
        }
    }

    #[test]
    fn a_wrong_relay_is_refused_by_its_part() {
        let refusal = |text: &str| text.parse::<RelayAddress>().unwrap_err();
        assert_eq!(refusal(" "), AddressError::Empty);
        assert_eq!(refusal("host:0"), AddressError::Port("0".into()));
        assert_eq!(refusal("host:70000"), AddressError::Port("70000".into()));
        assert_eq!(refusal("ho st"), AddressError::Host("ho st".into()));
        assert_eq!(refusal("10.0.0"), AddressError::Host("10.0.0".into()));
    }

    #[test]
    fn listening_takes_a_port_shorthand() {
        for text in ["443/udp", "443", "[::]:443", "[::]:443/udp"] {
            assert_eq!(
                text.parse::<ListenAddress>().unwrap().0,
                "[::]:443".parse().unwrap(),
                "{text}"
            );
        }
        assert!("443/tcp".parse::<ListenAddress>().is_err());
    }
}
