//! What somebody who only looks on must still be able to say: who has which address, and which groups it listens to.

use lanparty_wire::{Frame, ethertype};

use super::packet::{Link, Network, Packet, protocol};

/// True for ARP, DHCP, IGMP, and MLD's reports and leaves (RFC 826, RFC 2131 from client to server, RFC 9776, RFC 2710 and RFC 9777), which is all that
/// a spectator sends.
pub fn spectator_may_send(frame: &[u8]) -> bool {
    const DHCP_CLIENT_TO_SERVER: (u16, u16) = (68, 67);
    /// Report and done of version 1, report of version 2.
    const MLD_REPORTS: [u8; 3] = [131, 132, 143];
    let Ok(packet) = Packet::parse(Frame::plain(frame)) else {
        return false;
    };
    match (&packet.network, packet.link) {
        (Network::V4(ip), _) => {
            let is_dhcp = ip
                .udp()
                .is_some_and(|(source, destination, _)| (source, destination) == DHCP_CLIENT_TO_SERVER);
            is_dhcp || ip.beginning(protocol::IGMP).is_some()
        }
        (Network::V6(ip), _) => ip.icmpv6_type().is_some_and(|kind| MLD_REPORTS.contains(&kind)),
        (
            Network::Other,
            Link::Typed {
                ethertype: ethertype::ARP,
                ..
            },
        ) => true,
        (Network::Other | Network::Broken, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::Mac;

    use super::{super::crafted::*, *};

    #[test]
    fn who_looks_on_asks_for_an_address_and_says_what_it_listens_to_and_nothing_else() {
        let mld = |kind| v6(&ipv6(0, &extension(58, 0, &[kind, 0, 0, 0, 0, 0, 0, 0])));
        let icmp6 = |kind| v6(&ipv6(58, &[kind, 0, 0, 0, 0, 0, 0, 0]));
        let igmp = v4(&ipv4(2, &[0x94, 4, 0, 0], &[0x16, 0, 0, 0, 239, 1, 2, 3]));
        let dhcp = |from, to| v4(&ipv4(17, &[], &udp(from, to, &[1; 240])));
        let arp = ether(Mac::BROADCAST, ethertype::ARP, &[0; 46]);
        for said in [arp, dhcp(68, 67), igmp, mld(131), mld(132), mld(143)] {
            assert!(spectator_may_send(&said), "{said:02x?}");
        }
        // Queries, echo, neighbour discovery, a DHCP server, a game.
        for said in [mld(130), icmp6(128), icmp6(135), dhcp(67, 68), dhcp(27015, 27015)] {
            assert!(!spectator_may_send(&said), "{said:02x?}");
        }
    }
}
