//! The client as a service: rooms are joined and left by order, from several command lines at once, and the machine is put back.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{
    GAME_SERVER, HostSnapshot, Lab, Output, Party, Process, RELAY_NAME, TAP, Who,
    probe::{ping, wait_for_ping},
    start_network_manager,
};

const LIMIT: Duration = Duration::from_secs(60);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_room_is_joined_and_left_by_order_and_the_machine_is_as_it_was() {
    let mut party = hosted();
    let before = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    let mut service = service(&party);
    let link = party.invite().unwrap();
    let told = order(&party, &["connect", &link]);
    assert!(told.status.success(), "{}", told.stderr);
    for sentence in ["Connected to relay", "DHCP received: 10.73.42."] {
        assert!(told.stdout.contains(sentence), "{}", told.stdout);
    }
    wait_for_ping(party.machine(PLAYER), &GAME_SERVER.to_string(), LIMIT).unwrap();

    // Another command line sees the same, and cannot take the machine elsewhere.
    let second = order(&party, &["connect", &link]);
    assert_eq!(second.status.code(), Some(4), "{}", second.stdout);
    assert!(second.stderr.contains("in a room already"), "{}", second.stderr);
    ping(party.machine(PLAYER), &GAME_SERVER.to_string(), &[]).unwrap();
    let status = party.status(PLAYER).unwrap();
    assert_eq!(status["service"]["phase"], "playing", "{status}");
    assert_eq!(status["endpoint"]["admission"]["state"], "admitted", "{status}");

    let left = order(&party, &["disconnect"]);
    assert!(left.status.success(), "{}", left.stderr);
    same_as(&party, &before);
    assert!(service.is_running(), "{}", service.log());

    // And the next room by the host's short code.
    let code = party.short_code(None).unwrap();
    let told = order(&party, &["connect", &code, "--relay", RELAY_NAME]);
    assert!(told.status.success(), "{}{}", told.stdout, told.stderr);
    wait_for_ping(party.machine(PLAYER), &GAME_SERVER.to_string(), LIMIT).unwrap();
    assert!(service.stop(LIMIT).unwrap().success());
    same_as(&party, &before);
}

#[test]
fn a_service_that_was_killed_puts_the_machine_back_at_its_next_start() {
    let mut party = hosted();
    // Its file of things left alone does not go with the adapter.
    let _manager = start_network_manager(party.machine(PLAYER)).unwrap();
    let before = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    let killed = service(&party);
    let link = party.invite().unwrap();
    let joined = order(&party, &["connect", &link]);
    assert!(joined.status.success(), "{}{}", joined.stdout, joined.stderr);
    killed.crash();
    let left = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    let difference = before.difference(&left);
    assert!(
        difference.contains("+ managed=0"),
        "the crash left nothing behind: {difference}"
    );
    let mut next = service(&party);
    same_as(&party, &before);
    assert!(order(&party, &["connect", &link]).status.success());
    assert!(next.is_running(), "{}", next.log());
    assert!(next.stop(LIMIT).unwrap().success());
    same_as(&party, &before);
}

#[test]
fn what_cannot_be_done_is_refused_with_a_sentence_and_the_service_goes_on() {
    let party = hosted();
    let away = order(&party, &["disconnect"]);
    assert_eq!(away.status.code(), Some(7), "{}", away.stderr);
    assert!(away.stderr.contains("lanparty-client service"), "{}", away.stderr);
    let mut service = service(&party);
    let refused = order(&party, &["connect", "4711-rider-apple-stone"]);
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("at which relay"), "{}", refused.stderr);
    let over = order(
        &party,
        &["connect", "4711-rider-apple-stone", "--relay", RELAY_NAME],
    );
    assert_eq!(over.status.code(), Some(4), "{}{}", over.stdout, over.stderr);
    assert!(service.is_running(), "{}", service.log());
    assert!(order(&party, &["disconnect"]).status.success());
}

/// A relay and a host of a sealed room.
fn hosted() -> Party {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party
}

/// The player's service, ready for orders.
fn service(party: &Party) -> Process {
    let (program, state, socket) = (party.binary(PLAYER), party.state_dir(PLAYER), socket(party));
    let words = [
        &program,
        "--state-dir",
        &state,
        "--tap-name",
        TAP,
        "service",
        "--socket",
        &socket,
    ];
    let mut service = party.machine(PLAYER).spawn("service", &words).unwrap();
    service.wait_for_log("ready for orders", LIMIT).unwrap();
    service
}

/// A command line that knows nothing but the service's socket.
fn order(party: &Party, words: &[&str]) -> Output {
    let (program, socket) = (party.binary(PLAYER), socket(party));
    let words = [&[&*program], words, &["--socket", &socket]].concat();
    party.machine(PLAYER).output(&words, LIMIT).unwrap()
}

fn socket(party: &Party) -> String {
    let directory = party.machine(PLAYER).directory().join("service");
    directory.join("service.sock").display().to_string()
}

fn same_as(party: &Party, before: &HostSnapshot) {
    let after = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    assert_eq!(before.difference(&after), "");
}
