//! Two LAN gateways on one LAN: one carries, the other waits, and takes over when the first one fails.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{thread, time::Duration};

use lanparty_testkit::lab::{
    GAME_SERVER, Lab, Party, Process, ROOM, Who,
    probe::{Pinging, ping, wait_for_ping},
};
use nix::sys::signal::Signal;

/// The second LAN gateway's own cable into the switch.
const SECOND_NIC: &str = "lan1";
const SECOND_PORT: &str = "p-second";
/// "Within two seconds", and what a loaded machine may add.
const TAKEOVER: Duration = Duration::from_millis(3500);
const SOON: Duration = Duration::from_secs(15);

/// A party with a LAN gateway, one that waits, and two players who have their addresses.
struct Pair {
    party: Party,
    second: Process,
    /// The identities of both.
    first_identity: String,
}

/// The second one, started as a host would.
fn start_second(party: &Party, other: Option<&str>) -> Process {
    let host = party.machine(Who::Gateway);
    let state = second_state(party);
    let (program, certificate) = (party.binary(Who::Gateway), party.certificate());
    let mut words = vec![program.as_str(), "--state-dir", &state, "--room", ROOM];
    words.extend(["--relay", "relay.lanparty.test", "--relay-ca-cert", &certificate]);
    words.extend(["--iface", SECOND_NIC, "--name", "second"]);
    words.extend(other.iter().flat_map(|other| ["--standby", other]));
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
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    let host = &party.lab.gateway.host;
    party.lab.lan.plug_in(host, SECOND_NIC, SECOND_PORT).unwrap();
    party.launch(Who::Relay).unwrap();
    // Both say who they are when they start; each is told of the other.
    let mut second = start_second(&party, None);
    let second_identity = identity(&mut second);
    second.stop(SOON).unwrap();
    party
        .launch_with(Who::Gateway, &["--standby", &second_identity])
        .unwrap();
    let first_identity = identity(party.process(Who::Gateway).unwrap());
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    let second = start_second(&party, Some(&first_identity));
    for player in 0..2 {
        party.launch(Who::Player(player)).unwrap();
    }
    for player in 0..2 {
        party.wait_for_lease(player, SOON).unwrap();
    }
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
    let mut pair = pair();
    let party = &mut pair.party;
    ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), &[]).unwrap();
    let mac = party.player_mac(0).unwrap();
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let lan = &party.lab.lan;
    lan.wait_for_port("br0", mac, "p-gateway", SOON).unwrap();

    let pid = party.pid(Who::Gateway).unwrap();
    let (longest, twice) = ping_through(party, || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    });
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
    let mut second = start_second(&party, None);
    let own = identity(&mut second);
    let line = second.wait_for_log("--standby", SOON).unwrap();
    assert!(line.contains(&own), "{line}");
    wait_for_ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), SOON).unwrap();
    party.stop(Who::Gateway).unwrap();
}
