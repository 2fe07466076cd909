//! The party that the hostile member comes to, and who is who there.

use std::time::Duration;

use lanparty_testkit::lab::{LAN_NIC, Lab, Party, Who, mac_of, probe::wait_for_ping};
use lanparty_wire::{Destination, MemberId};

use super::{Captures, Hostile, SOON, frames::Addresses};

const START: Duration = Duration::from_secs(30);

/// One player who plays, and one whose home is free for a hostile member. `gateway` are more arguments of the LAN gateway.
pub fn start(unguarded: bool, gateway: &[&str]) -> Party {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    if unguarded {
        party.use_relay("unguarded").unwrap();
    }
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, gateway).unwrap();
    party.wait_until_joined(Who::Gateway, START).unwrap();
    party.launch(Who::Player(0)).unwrap();
    party.wait_for_lease(0, START).unwrap();
    party
}

pub fn addresses(party: &Party, hostile: &Hostile) -> Addresses {
    Addresses {
        own: hostile.mac,
        member: party.player_mac(0).unwrap(),
        station: party.lab.lan.games_mac().unwrap(),
        gateway: mac_of(&party.lab.gateway.host, LAN_NIC).unwrap(),
    }
}

/// All the ways to the LAN gateway that a header can name.
pub fn destinations(hostile: &mut Hostile, captures: &Captures) -> [Destination; 3] {
    let group = hostile.register_group(&captures.gateway);
    [Destination::Flood, Destination::Member(hostile.gateway), group]
}

/// A host that the LAN gateway has heard of.
pub fn known_station(party: &Party) -> [u8; 6] {
    let lan = &party.lab.lan;
    let lease = party.wait_for_lease(0, SOON).unwrap().to_string();
    lan.games.run("ip neigh flush dev eth0").unwrap();
    wait_for_ping(&lan.games, &lease, SOON).unwrap();
    lan.games_mac().unwrap()
}

/// The id of an endpoint.
pub fn member_of(party: &Party, who: Who) -> MemberId {
    let status = party.status(who).unwrap();
    serde_json::from_value(status["endpoint"]["member"].clone()).unwrap()
}
