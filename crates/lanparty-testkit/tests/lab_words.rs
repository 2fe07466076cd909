//! What a player reads: the sentences of a good start word for word, and for each thing that can be wrong the one that says what.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{thread, time::Duration};

use lanparty_testkit::lab::{
    Fault, LAN_NIC, Lab, Party, Who, probe::Beacon, probe::ask_everybody, set_carrier,
};

const LIMIT: Duration = Duration::from_secs(20);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_good_start_is_told_in_the_words_of_the_plan() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    let lease = party.wait_for_lease(0, LIMIT).unwrap();
    for line in [
        "Connected to relay",
        "Connected to LAN gateway",
        &format!("DHCP received: {lease}"),
        "Gateway latency: ",
    ] {
        says(&mut party, line);
    }
    let _beacon = Beacon::start(&party.lab.lan.games).unwrap();
    // Asks by broadcast and is asked by broadcast: ARP of the answer.
    party.lab.lan.games.run("ip neigh flush dev eth0").unwrap();
    ask_everybody(party.machine(PLAYER), lease).unwrap();
    says(&mut party, "Broadcast traffic flowing");
    // The party's router reaches players only if the host wants it.
    party.launch_with(Who::Gateway, &["--lan-internet"]).unwrap();
    party.launch(PLAYER).unwrap();
    says(&mut party, "Warning: TAP received default route, adjusted metric");
}

#[test]
fn a_room_without_a_lan_gateway_waits_for_the_host_and_then_goes_on() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(PLAYER).unwrap();
    says(&mut party, "waiting for the host");
    party.launch(Who::Gateway).unwrap();
    says(&mut party, "Connected to LAN gateway");
    party.wait_for_lease(0, LIMIT).unwrap();
}

#[test]
fn a_pulled_lan_cable_is_named_to_the_player() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    set_carrier(party.lab.lan.gateway_port(), false).unwrap();
    says(&mut party, "the host's LAN cable is out");
    set_carrier(party.lab.lan.gateway_port(), true).unwrap();
    says(&mut party, "The host's LAN cable is in again");
}

#[test]
fn a_network_that_blocks_udp_is_suspected_after_five_seconds() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    // Names are still answered: the block begins when the relay's name is known.
    party
        .machine(PLAYER)
        .shell("echo '203.0.113.10 relay.lanparty.test' >> /etc/hosts")
        .unwrap();
    let blocked = Fault::udp_blocked(&party.lab.players[0].router).unwrap();
    // A fault borrows the router; what follows needs the party as a whole.
    std::mem::forget(blocked);
    party.launch(PLAYER).unwrap();
    says(&mut party, "this network seems to block UDP");
    party.lab.players[0]
        .router
        .run("nft delete table inet lab_no_udp")
        .unwrap();
    says(&mut party, "Connected to relay");
}

#[test]
fn a_relay_that_is_not_there_yet_is_one_line_and_is_found_when_it_comes() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    // Once, for its certificate.
    party.launch(Who::Relay).unwrap();
    party.stop(Who::Relay).unwrap();
    party.launch(PLAYER).unwrap();
    thread::sleep(Duration::from_secs(8));
    let log = party.log(PLAYER);
    assert!(log.lines().count() <= 6, "too many words:\n{log}");
    assert!(
        !log.contains("panicked") && !log.contains("stack backtrace"),
        "{log}"
    );
    party.launch(Who::Relay).unwrap();
    says(&mut party, "Connected to relay");
}

#[test]
fn an_unplugged_interface_is_refused_with_what_to_do() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    set_carrier(party.lab.lan.gateway_port(), false).unwrap();
    let words = [
        &party.binary(Who::Gateway),
        "--iface",
        LAN_NIC,
        "--room",
        "ABCD",
        "--relay",
        "203.0.113.10",
    ];
    let output = party.machine(Who::Gateway).output(&words, LIMIT).unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        output
            .stderr
            .contains("lan0 has no link; plug the LAN's cable in"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_missing_relay_is_said_in_one_sentence() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let program = party.binary(PLAYER);
    let output = party
        .machine(PLAYER)
        .output(&[&program, "--room", "ABCD"], LIMIT)
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("--relay"), "{}", output.stderr);
}

/// The player's client prints a line with these words.
fn says(party: &mut Party, words: &str) {
    party.process(PLAYER).unwrap().wait_for_log(words, LIMIT).unwrap();
}
