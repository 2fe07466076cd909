//! The party's switches must find a player who says nothing, for as long as he is in the room.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{thread, time::Duration};

use lanparty_testkit::lab::{DhcpOptions, Lab, Party, Who, probe::ping};

/// Longer than the LAN gateway's refresh (at most 60 s), shorter than the silence that the test waits out.
const AGEING: Duration = Duration::from_secs(66);
const SILENCE: Duration = Duration::from_secs(80);

#[test]
fn a_silent_player_stays_in_every_switchs_table_beyond_its_ageing_time() {
    let dhcp = DhcpOptions {
        lease: Duration::from_secs(3600),
        ..DhcpOptions::default()
    };
    let party = Party::start(&Lab::builder().two_switches().dhcp(dhcp)).unwrap();
    let (player, lan) = (party.machine(Who::Player(0)), &party.lab.lan);
    let mac = party.player_mac(0).unwrap();
    let lease = party.wait_for_lease(0, Duration::from_secs(5)).unwrap();
    lan.set_ageing(AGEING).unwrap();
    lan.wait_for_port("br1", mac, "trunk1", Duration::from_secs(5))
        .unwrap();

    // From here on not one frame leaves the player's TAP; what the switches hear of him is the LAN gateway's doing.
    player
        .feed(
            &["nft", "-f", "-"],
            "table netdev quiet {
                chain out { type filter hook egress device party0 priority 0; policy drop; }
             }",
        )
        .unwrap();
    assert!(
        ping(&lan.games, &lease.to_string(), &["-W1"]).is_err(),
        "the player is silent"
    );
    thread::sleep(SILENCE);
    lan.wait_for_port("br0", mac, "p-gateway", Duration::from_millis(100))
        .unwrap();
    lan.wait_for_port("br1", mac, "trunk1", Duration::from_millis(100))
        .unwrap();
}
