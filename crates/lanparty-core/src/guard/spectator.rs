//! What somebody who only looks on must still be able to say: who has which address, and which groups it listens to.

use lanparty_wire::{Frame, ethertype};

use super::packet::{Link, Network, Packet, protocol};

/// True for ARP, DHCP and IGMP (RFC 826, RFC 2131 from client to server, RFC 9776), which is all that a spectator sends.
pub fn spectator_may_send(frame: &[u8]) -> bool {
    const DHCP_CLIENT_TO_SERVER: (u16, u16) = (68, 67);
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
        (
            Network::Other,
            Link::Typed {
                ethertype: ethertype::ARP,
                ..
            },
        ) => true,
        (Network::Other | Network::Broken | Network::V6(_), _) => false,
    }
}
