//! What a DHCP client tells its hook, and what we make of it.
//!
//! The values come from a server on a network of strangers. They are parsed into addresses or refused; nothing is
//! passed on as text.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use lanparty_wire::host::Prefix;
use serde::{Deserialize, Serialize};

use super::{DhcpEvent, Lease};

/// What the hook sends: the event's name, and those variables that we know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) event: String,
    pub(super) variables: BTreeMap<String, String>,
}

/// The variables of both clients that are passed on: udhcpc's, then dhclient's.
pub(super) const VARIABLES: [&str; 13] = [
    "ip",
    "mask",
    "subnet",
    "lease",
    "router",
    "dns",
    "serverid",
    "new_ip_address",
    "new_subnet_mask",
    "new_dhcp_lease_time",
    "new_routers",
    "new_domain_name_servers",
    "new_dhcp_server_identifier",
];

/// No LAN has more than a class A; a shorter mask would take a part of the internet with it.
const SHORTEST: u8 = 8;

impl Report {
    /// `None` for what concerns nobody, and for leases that make no sense.
    pub(super) fn event(&self) -> Option<DhcpEvent> {
        match self.event.as_str() {
            "bound" | "BOUND" | "REBOOT" => self.lease().map(DhcpEvent::Bound),
            "renew" | "RENEW" | "REBIND" => self.lease().map(DhcpEvent::Renewed),
            "deconfig" | "PREINIT" | "EXPIRE" | "RELEASE" | "STOP" => Some(DhcpEvent::Deconfig),
            "leasefail" | "nak" | "FAIL" | "TIMEOUT" => Some(DhcpEvent::NoLease),
            _ => None,
        }
    }

    fn lease(&self) -> Option<Lease> {
        let address: Ipv4Addr = self.one(["ip", "new_ip_address"])?;
        if address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast()
        {
            return None;
        }
        let length = self
            .one(["mask", "mask"])
            .or_else(|| self.one(["subnet", "new_subnet_mask"]).and_then(mask_length));
        let length = length.unwrap_or_else(|| classful_length(address));
        if length < SHORTEST {
            tracing::warn!(%address, length, "the party's DHCP server offers an address whose network would take a part of the internet; not taken");
            return None;
        }
        Some(Lease {
            address: Prefix::new(IpAddr::V4(address), length)?,
            seconds: self.one(["lease", "new_dhcp_lease_time"]).unwrap_or(0),
            server: self.one(["serverid", "new_dhcp_server_identifier"]),
            routers: self.list(["router", "new_routers"]),
            dns: self.list(["dns", "new_domain_name_servers"]),
        })
    }

    fn one<T: std::str::FromStr>(&self, names: [&str; 2]) -> Option<T> {
        names
            .iter()
            .find_map(|name| self.variables.get(*name)?.parse().ok())
    }

    fn list(&self, names: [&str; 2]) -> Vec<Ipv4Addr> {
        let text = names.iter().find_map(|name| self.variables.get(*name));
        text.into_iter()
            .flat_map(|text| text.split_whitespace())
            .filter_map(|word| word.parse().ok())
            .collect()
    }
}

fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    (bits.leading_ones() == bits.count_ones()).then(|| bits.count_ones() as u8)
}

/// What a server without a mask means (RFC 2132, section 3.3, refers to the classes of RFC 950).
fn classful_length(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clients_words_mean_the_same() {
        let lease = Lease {
            address: "10.73.42.51/24".parse().unwrap(),
            seconds: 120,
            server: Some([10, 73, 42, 1].into()),
            routers: vec![[10, 73, 42, 1].into()],
            dns: vec![[10, 73, 42, 1].into(), [1, 1, 1, 1].into()],
        };
        let udhcpc = report(
            "bound",
            &[
                ("ip", "10.73.42.51"),
                ("mask", "24"),
                ("subnet", "255.255.255.0"),
                ("lease", "120"),
                ("router", "10.73.42.1"),
                ("dns", "10.73.42.1 1.1.1.1"),
                ("serverid", "10.73.42.1"),
            ],
        );
        assert_eq!(udhcpc.event(), Some(DhcpEvent::Bound(lease.clone())));
        let dhclient = report(
            "RENEW",
            &[
                ("new_ip_address", "10.73.42.51"),
                ("new_subnet_mask", "255.255.255.0"),
                ("new_dhcp_lease_time", "120"),
                ("new_routers", "10.73.42.1"),
                ("new_domain_name_servers", "10.73.42.1 1.1.1.1"),
                ("new_dhcp_server_identifier", "10.73.42.1"),
            ],
        );
        assert_eq!(dhclient.event(), Some(DhcpEvent::Renewed(lease)));
    }

    #[test]
    fn a_lease_without_a_mask_has_that_of_its_class() {
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1/8"),
            ("172.16.0.1", "172.16.0.1/16"),
            ("192.0.2.1", "192.0.2.1/24"),
        ] {
            let Some(DhcpEvent::Bound(lease)) = report("bound", &[("ip", address)]).event() else {
                panic!("{address}")
            };
            assert_eq!(lease.address.to_string(), expected);
        }
    }

    #[test]
    fn leases_that_make_no_sense_are_refused() {
        for variables in [
            &[][..],
            &[("ip", "10.0.0")],
            &[("ip", "0.0.0.0"), ("mask", "8")],
            &[("ip", "127.0.0.1"), ("mask", "8")],
            &[("ip", "224.0.0.1"), ("mask", "4")],
            &[("ip", "10.0.0.1"), ("mask", "33")],
            &[("ip", "10.0.0.1"), ("mask", "0")],
        ] {
            assert_eq!(report("bound", variables).event(), None, "{variables:?}");
        }
        // A mask with holes is no mask.
        let holes = report("bound", &[("ip", "10.0.0.1"), ("subnet", "255.0.255.0")]);
        assert!(matches!(holes.event(), Some(DhcpEvent::Bound(lease)) if lease.address.length() == 8));
        assert_eq!(report("explode", &[]).event(), None);
    }

    fn report(event: &str, variables: &[(&str, &str)]) -> Report {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Report {
            event: event.to_owned(),
            variables: variables.collect(),
        }
    }
}
