//! 1500 bytes inside, always: a LAN host believes 1500 and cannot be told otherwise, whatever the lines to the internet carry.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{Capture, GAME_SERVER, Lab, Party, Who, probe::ping, wait_for};

#[test]
fn unfragmentable_pings_of_1472_bytes_cross_lines_of_1500() {
    full_size_pings_cross(1500);
}

#[test]
fn unfragmentable_pings_of_1472_bytes_cross_lines_of_1400() {
    full_size_pings_cross(1400);
}

#[test]
fn unfragmentable_pings_of_1472_bytes_cross_lines_of_1280() {
    full_size_pings_cross(1280);
}

/// Both lines, the player's and the LAN gateway's, carry packets of up to `mtu` bytes.
fn full_size_pings_cross(mtu: u16) {
    let party = Party::prepare(&Lab::builder().player_mtu(mtu).gateway_mtu(mtu)).unwrap();
    // From before the first packet of ours, on both sides of every router.
    let lines: Vec<Capture> = [&party.lab.players[0], &party.lab.gateway]
        .iter()
        .flat_map(|site| {
            [
                Capture::start(&site.router, "wan").unwrap(),
                Capture::start(&site.router, "lan").unwrap(),
            ]
        })
        .collect();
    let party = start_in(party);
    let player = party.machine(Who::Player(0));
    let lease = party
        .wait_for_lease(0, Duration::from_secs(5))
        .unwrap()
        .to_string();
    let full = ["-M", "do", "-s", "1472"];
    ping(player, &GAME_SERVER.to_string(), &full).unwrap();
    ping(&party.lab.lan.games, &lease, &full).unwrap();
    // Again when path MTU discovery has come to its end: larger datagrams must not have become too large.
    let settled = |who| {
        let budget = || party.status(who).ok()?["endpoint"]["relay"]["budget"].as_u64();
        wait_for("a budget that stays", Duration::from_secs(20), || {
            let before = budget()?;
            std::thread::sleep(Duration::from_millis(1500));
            (budget()? == before).then_some(before)
        })
        .unwrap()
    };
    for who in [Who::Gateway, Who::Player(0)] {
        let budget = settled(who);
        assert!(
            budget <= u64::from(mtu) - 28,
            "{who:?} sends {budget} bytes on a line of {mtu}"
        );
    }
    for _ in 0..5 {
        ping(player, &GAME_SERVER.to_string(), &full).unwrap();
        ping(&party.lab.lan.games, &lease, &full).unwrap();
    }
    for line in &lines {
        let ours = line.seen();
        assert!(
            ours.iter()
                .any(|seen| seen.frame.udp().is_some_and(|udp| udp.payload.len() > 1000)),
            "nothing seen"
        );
        assert_eq!(
            line.count(lanparty_testkit::lab::Frame::is_ip_fragment),
            0,
            "{}",
            line.summary()
        );
    }
}

fn start_in(mut party: Party) -> Party {
    const LIMIT: Duration = Duration::from_secs(30);
    for who in party.everybody() {
        party.launch(who).unwrap();
    }
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    party
}
