//! Whether a packet is any inhabitant's business, told by its protocol and ports alone.

use lanparty_wire::ethertype;

use super::shape::dhcp;
use crate::guard::{Ip, Link, Network, Packet, Upper, protocol};

/// What an inhabitant of the house may want to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Concern {
    /// What players and machines say to each other.
    None,
    Arp,
    /// DHCP and BOOTP (RFC 2131): UDP from or to port 67 or 68, or what is said to boot clients on port 4011, which games use as well.
    Dhcp,
    /// DHCPv6 (RFC 8415): UDP from or to port 546 or 547.
    Dhcpv6,
    /// IGMP (RFC 3376).
    Igmp,
    /// ICMP on IPv4, with the message's type.
    Icmp(u8),
    /// ICMPv6, with the message's type.
    Icmpv6(u8),
    /// The beginning of a fragmented packet that does not tell what it is, or IPv6 whose chain of headers has no end.
    Hidden,
}

impl Concern {
    /// The one look that every frame gets.
    pub(crate) fn of(packet: &Packet<'_>) -> Concern {
        match &packet.network {
            Network::V4(ip) => Concern::of_ip(ip, protocol::ICMP, Concern::Icmp),
            Network::V6(ip) => Concern::of_ip(ip, protocol::ICMPV6, Concern::Icmpv6),
            Network::Broken => Concern::None,
            Network::Other => match packet.link {
                Link::Typed {
                    ethertype: ethertype::ARP,
                    ..
                } => Concern::Arp,
                Link::Typed { .. } | Link::Llc { .. } | Link::Vendor { .. } | Link::RawIpx | Link::Cut => {
                    Concern::None
                }
            },
        }
    }

    fn of_ip(ip: &Ip<'_>, icmp: u8, concern: fn(u8) -> Concern) -> Concern {
        const DHCP: [u16; 2] = [67, 68];
        const BOOT: [u16; 1] = [4011];
        const DHCPV6: [u16; 2] = [546, 547];

        let begins = match ip.upper {
            Upper::Whole { .. } | Upper::Fragment { offset: 0, .. } => true,
            Upper::Fragment { .. } => false,
            Upper::Unreachable => return Concern::Hidden,
        };
        let is_whole = matches!(ip.upper, Upper::Whole { .. });
        let cut = if is_whole { Concern::None } else { Concern::Hidden };
        match ip.protocol {
            _ if !begins => Concern::None,
            protocol::TCP => Concern::None,
            protocol::UDP => match ip.udp() {
                None => cut,
                Some((source, destination, payload)) => {
                    let either = |ports: &[u16]| ports.contains(&source) || ports.contains(&destination);
                    let is_boot = either(&BOOT) && payload.get(236..240) == Some(&dhcp::COOKIE);
                    match (either(&DHCP) || is_boot, either(&DHCPV6)) {
                        (true, _) => Concern::Dhcp,
                        (false, true) => Concern::Dhcpv6,
                        (false, false) => Concern::None,
                    }
                }
            },
            protocol::IGMP => Concern::Igmp,
            own if own == icmp => ip
                .beginning(icmp)
                .and_then(<[u8]>::first)
                .map_or(cut, |&kind| concern(kind)),
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::AUTHENTICATION
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => cut,
            _ => Concern::None,
        }
    }
}
