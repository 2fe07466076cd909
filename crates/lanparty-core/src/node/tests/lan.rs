//! What a LAN gateway's node does with what its LAN says to members.

use lanparty_wire::DropReason;

use super::room::{GATEWAY, Room, STATION, mac};
use crate::{guard::crafted, lan::LanConfig};

#[test]
fn redirects_of_the_lan_reach_no_member_unless_the_host_wants_its_internet_used() {
    let v4 = addressed(crafted::v4(&crafted::ipv4(1, &[], &[5, 1, 0, 0, 10, 0, 0, 1])));
    let v6 = addressed(crafted::v6(&crafted::ipv6(58, &[137; 40])));
    for (frame, reason) in [(v4, DropReason::Ipv4Redirect), (v6, DropReason::Ipv6Redirect)] {
        let mut room = Room::new(1);
        assert_eq!(room.send(GATEWAY, &frame), []);
        assert_eq!(room.drops, [(GATEWAY, reason)]);
        let now = room.now;
        room.node(GATEWAY).set_lan(
            now,
            LanConfig {
                internet: true,
                ..LanConfig::default()
            },
        );
        assert_eq!(room.send(GATEWAY, &frame).len(), 1);
    }
}

/// From a station of the LAN to the first member, and long enough for a wire.
fn addressed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac(1).0);
    frame[6..12].copy_from_slice(&STATION.0);
    frame.resize(frame.len().max(60), 0);
    frame
}
