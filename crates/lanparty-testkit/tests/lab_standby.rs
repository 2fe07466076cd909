//! Two LAN gateways on one LAN: one carries, the other waits, and takes over when the first one fails; in open and in sealed rooms.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    GAME_SERVER, Lab, MEMBERSHIP, Party, Process, ROOM, Who,
    groups::{Listener, Sender},
    probe::{Pinging, ping, wait_for_ping},
};
use nix::sys::signal::Signal;

/// The second LAN gateway's own cable into the switch.
const SECOND_NIC: &str = "lan1";
const SECOND_PORT: &str = "p-second";
/// "Within two seconds", and what a loaded machine may add.
const TAKEOVER: Duration = Duration::from_millis(3500);
const SOON: Duration = Duration::from_secs(15);
/// The address helper first listens for a DHCP server.
const LATER: Duration = Duration::from_secs(40);

/// A party with a LAN gateway, one that waits, and two players who have their addresses.
struct Pair {
    party: Party,
    second: Process,
    /// The identities of both.
    first_identity: String,
}

/// The second one, started as a host would, with these words about the room.
fn start_second(party: &Party, about: &[&str]) -> Process {
    let host = party.machine(Who::Gateway);
    let state = second_state(party);
    let (program, certificate) = (party.binary(Who::Gateway), party.certificate());
    let mut words = vec![program.as_str(), "--state-dir", &state];
    words.extend(["--relay", "relay.lanparty.test", "--relay-ca-cert", &certificate]);
    words.extend(["--iface", SECOND_NIC, "--name", "second"]);
    words.extend(about);
    host.spawn("second-gateway", &words).unwrap()
}

fn second_state(party: &Party) -> String {
    let folder = party.machine(Who::Gateway).directory();
    folder.join("second-state").display().to_string()
}

fn identity(process: &mut Process) -> String {
    let line = process.wait_for_log("identity is ", SOON).unwrap();
    line.rsplit(' ').next().unwrap().trim().to_owned()
}

fn second_is_on_duty(party: &Party) -> Option<bool> {
    let (program, state) = (party.binary(Who::Gateway), second_state(party));
    let words = [&program, "status", "--json", "--state-dir", &state];
    let output = party.machine(Who::Gateway).output(&words, SOON).ok()?;
    let status: serde_json::Value = serde_json::from_str(&output.stdout).ok()?;
    status["endpoint"]["on_duty"].as_bool()
}

fn wait_for_second(party: &Party, duty: bool, limit: Duration) {
    let what = format!("the second LAN gateway's duty to be {duty}");
    lanparty_testkit::lab::wait_for(&what, limit, || {
        (second_is_on_duty(party) == Some(duty)).then_some(())
    })
    .unwrap();
}

fn pair() -> Pair {
    pair_in(false)
}

/// In an open room or in a sealed one, which is the first one's.
fn pair_in(sealed: bool) -> Pair {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    if sealed {
        party.seal();
    }
    let mut pair = gateways(party, sealed, &[]);
    for player in 0..2 {
        pair.party.launch(Who::Player(player)).unwrap();
    }
    for player in 0..2 {
        pair.party.wait_for_lease(player, SOON).unwrap();
    }
    pair
}

/// Both LAN gateways, started with `more` words; the second one waits.
fn gateways(mut party: Party, sealed: bool, more: &[&str]) -> Pair {
    let host = &party.lab.gateway.host;
    party.lab.lan.plug_in(host, SECOND_NIC, SECOND_PORT).unwrap();
    party.launch(Who::Relay).unwrap();
    // Both say who they are when they start; each is told of the other.
    let mut second = start_second(&party, &["--room", ROOM]);
    let second_identity = identity(&mut second);
    second.stop(SOON).unwrap();
    party
        .launch_with(
            Who::Gateway,
            &[&["--standby", &second_identity][..], more].concat(),
        )
        .unwrap();
    let first_identity = identity(party.process(Who::Gateway).unwrap());
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    let about = match sealed {
        true => vec!["--standby-for", &first_identity],
        false => vec!["--room", ROOM, "--standby", &first_identity],
    };
    let second = start_second(&party, &[&about[..], more].concat());
    wait_for_second(&party, false, SOON);
    Pair {
        party,
        second,
        first_identity,
    }
}

/// A player asks a LAN host ten times a second for 8 s, while `meanwhile` happens after the first two.
fn ping_through(party: &Party, meanwhile: impl FnOnce()) -> (Duration, usize) {
    let player = party.machine(Who::Player(0));
    let asking = Pinging::start(player, &GAME_SERVER.to_string(), 80).unwrap();
    thread::sleep(Duration::from_secs(2));
    meanwhile();
    asking.end()
}

#[test]
fn who_waits_takes_over_from_one_that_was_killed_and_the_game_goes_on() {
    a_killed_one_is_replaced(false);
}

#[test]
fn so_it_is_in_a_sealed_room_when_the_host_has_named_it() {
    a_killed_one_is_replaced(true);
}

fn a_killed_one_is_replaced(sealed: bool) {
    let mut pair = pair_in(sealed);
    let party = &mut pair.party;
    ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), &[]).unwrap();
    let mac = party.player_mac(0).unwrap();
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let lan = &party.lab.lan;
    lan.wait_for_port("br0", mac, "p-gateway", SOON).unwrap();

    let (longest, twice) = ping_through(party, || kill(party, Who::Gateway));
    assert!(
        longest <= TAKEOVER,
        "nothing came through for {longest:?}\n{}",
        pair.second.log()
    );
    assert_eq!(twice, 0);
    wait_for_second(party, true, SOON);
    party
        .lab
        .lan
        .wait_for_port("br0", mac, SECOND_PORT, SOON)
        .unwrap();
    assert_eq!(
        party.wait_for_lease(0, SOON).unwrap(),
        lease,
        "with the same address"
    );
    let (one, two) = (
        party.machine(Who::Player(0)),
        party.wait_for_lease(1, SOON).unwrap(),
    );
    ping(one, &two.to_string(), &[]).unwrap();

    // The first one comes back, and waits now.
    let second_identity = identity(&mut pair.second);
    party.crash(Who::Gateway);
    party
        .launch_with(Who::Gateway, &["--standby", &second_identity])
        .unwrap();
    let waits = |status: &serde_json::Value| status["endpoint"]["on_duty"] == false;
    party
        .wait_for_status(Who::Gateway, "to wait", SOON, waits)
        .unwrap();
    assert_eq!(second_is_on_duty(party), Some(true));
    assert_eq!(
        identity(party.process(Who::Gateway).unwrap()),
        pair.first_identity
    );
}

/// The kernel ends it without a word.
fn kill(party: &Party, who: Who) {
    let pid = nix::unistd::Pid::from_raw(party.pid(who).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
}

#[test]
fn what_players_have_joined_and_what_the_helper_has_given_them_outlives_a_takeover() {
    let party = Party::prepare(&Lab::builder().players(2)).unwrap();
    let mut pair = gateways_without_dhcp(party);
    let party = &mut pair.party;
    party.launch(Who::Player(0)).unwrap();
    let lease = party.wait_for_lease(0, LATER).unwrap();
    let lan = &party.lab.lan;
    lan.snoop(3, 2).unwrap();
    let group = Ipv4Addr::new(239, 73, 42, 77).into();
    let sender = Sender::start(&lan.games, &[group]);
    let listener = Listener::join(party, 0, group);
    listener.wait_for(sender.next(), LATER);

    kill(party, Who::Gateway);
    wait_for_second(party, true, SOON);
    listener.wait_for(sender.next(), LATER);
    let since = Instant::now();
    while since.elapsed() < 2 * MEMBERSHIP {
        listener.wait_for(sender.next(), SOON);
    }
    assert!(party.lab.lan.forwards_to(SECOND_PORT, group).unwrap());

    // Nobody answers for the address meanwhile, and it is the player's all the same.
    party.crash(Who::Player(0));
    party.launch(Who::Player(1)).unwrap();
    let other = party.wait_for_lease(1, LATER).unwrap();
    assert_ne!(other, lease, "the first player's");
    party.launch(Who::Player(0)).unwrap();
    assert_eq!(party.wait_for_lease(0, LATER).unwrap(), lease);
}

/// Both give addresses where nobody else does.
fn gateways_without_dhcp(mut party: Party) -> Pair {
    party.lab.lan.stop_dhcp();
    gateways(party, false, &["--addresses", "10.73.42.100-10.73.42.149/24"])
}

#[test]
fn one_that_was_frozen_carries_nothing_when_it_thaws() {
    let mut pair = pair();
    let mut frozen = pair.party.take(Who::Gateway).unwrap();
    let party = &pair.party;
    let (longest, twice) = ping_through(party, || {
        frozen.signal(Signal::SIGSTOP);
        thread::sleep(Duration::from_millis(3500));
        frozen.thaw();
    });
    assert!(frozen.is_running());
    assert!(longest <= TAKEOVER, "nothing came through for {longest:?}");
    assert_eq!(twice, 0, "two LAN gateways have carried the same frame");
    wait_for_second(party, true, SOON);
    let waits = |status: &serde_json::Value| status["endpoint"]["on_duty"] == false;
    party
        .wait_for_status(Who::Gateway, "to wait", SOON, waits)
        .unwrap();
}

#[test]
fn one_that_nobody_has_named_is_refused_and_told_what_to_do() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    let host = &party.lab.gateway.host;
    party.lab.lan.plug_in(host, SECOND_NIC, SECOND_PORT).unwrap();
    let mut second = start_second(&party, &["--room", ROOM]);
    let own = identity(&mut second);
    let line = second.wait_for_log("--standby", SOON).unwrap();
    assert!(line.contains(&own), "{line}");
    wait_for_ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), SOON).unwrap();
    party.stop(Who::Gateway).unwrap();
}
