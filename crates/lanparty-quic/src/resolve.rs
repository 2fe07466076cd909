//! Names to addresses, in the order in which they should be tried.

use std::{io, net::SocketAddr};

use lanparty_wire::RelayAddress;

/// Why a relay has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("cannot look up {0}; check the spelling and this computer's internet connection")]
    Lookup(String, #[source] io::Error),
    #[error("{0} has no address")]
    Empty(String),
}

/// The relay's addresses, families in turn and IPv6 first (RFC 8305, section 4), each once.
///
/// # Errors
/// The name cannot be looked up, or names nothing.
pub async fn resolve(relay: &RelayAddress) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Some(ip) = relay.ip() {
        return Ok(vec![SocketAddr::new(ip, relay.port)]);
    }
    let found = tokio::net::lookup_host((relay.host.as_str(), relay.port))
        .await
        .map_err(|error| ResolveError::Lookup(relay.host.clone(), error))?;
    let addresses = interleave(found);
    if addresses.is_empty() {
        return Err(ResolveError::Empty(relay.host.clone()));
    }
    Ok(addresses)
}

fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(v6.len() + v4.len());
    for index in 0..v6.len().max(v4.len()) {
        for address in [v6.get(index), v4.get(index)].into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let found = parse(&["192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:1", "[2001:db8::1]:1"]);
        assert_eq!(
            interleave(found.into_iter()),
            parse(&["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"])
        );
    }

    #[tokio::test]
    async fn an_address_needs_no_lookup() {
        let relay: RelayAddress = "[2001:db8::7]:4443".parse().unwrap();
        assert_eq!(
            resolve(&relay).await.unwrap(),
            ["[2001:db8::7]:4443".parse().unwrap()]
        );
    }
}
