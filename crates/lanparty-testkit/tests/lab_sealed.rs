//! Sealed rooms with the real binaries: a link is all that a player needs, the relay reads nothing, and whatever breaks heals by itself.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, GAME_SERVER, Lab, LabBuilder, Party, Who,
    probe::{Beacon, ask_everybody, ping, wait_for_ping},
};
use lanparty_wire::{Invite, InviteSecret};

const LIMIT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
const PLAYER: Who = Who::Player(0);
/// What is sent, and must not be found: 16 bytes that nothing else sends.
const PATTERN: [u8; 16] = *b"\xa7lanparty-secret";

#[test]
fn a_link_is_all_that_a_player_needs() {
    let party = sealed(&Lab::builder().players(2));
    let (player, games) = (party.machine(PLAYER), &party.lab.lan.games);
    let lease = party.wait_for_lease(0, SOON).unwrap();
    ping(player, &GAME_SERVER.to_string(), &[]).unwrap();
    ping(games, &lease.to_string(), &[]).unwrap();
    let other = party.wait_for_lease(1, SOON).unwrap();
    // Whoever came last has agreed on keys with the host first.
    wait_for_ping(player, &other.to_string(), SOON).unwrap();

    let beacon = Beacon::start(games).unwrap();
    ask_everybody(player, lease).unwrap();
    drop(beacon);
    let _beacon = Beacon::start(player).unwrap();
    ask_everybody(games, GAME_SERVER).unwrap();

    for who in [Who::Gateway, PLAYER] {
        let log = party.log(who);
        assert!(
            log.contains("a sealed room (the relay cannot read frames)"),
            "{log}"
        );
        assert_eq!(party.status(who).unwrap()["endpoint"]["sealed"], true, "{who:?}");
    }
    let log = party.log(PLAYER);
    assert!(log.contains("Admitted by the host: the room is sealed"), "{log}");
    let status = party.status(PLAYER).unwrap();
    assert_eq!(status["endpoint"]["admission"]["state"], "admitted", "{status}");
    assert_eq!(status["endpoint"]["relay"]["trust"], "pin", "{status}");
}

#[test]
fn the_relay_holds_what_is_sent_in_an_open_room_and_nothing_of_it_in_a_sealed_one() {
    let open = Party::start(&Lab::builder()).unwrap();
    let (in_memory, on_wire) = leaks(&open);
    assert!(in_memory > 0, "the search finds nothing where there is something");
    assert_eq!(on_wire, 0, "QUIC encrypts");
    drop(open);
    assert_eq!(leaks(&sealed(&Lab::builder())), (0, 0));
}

#[test]
fn whatever_crashes_comes_back_without_a_person() {
    let mut party = sealed(&Lab::builder());
    let target = GAME_SERVER.to_string();
    for who in [PLAYER, Who::Relay, Who::Gateway] {
        party.crash(who);
        party.launch(who).unwrap();
        wait_for_ping(party.machine(PLAYER), &target, LIMIT).unwrap_or_else(|error| {
            panic!(
                "after {who:?} had crashed: {error}\nplayer:\n{}\nhost:\n{}",
                party.log(PLAYER),
                party.log(Who::Gateway)
            )
        });
    }
}

#[test]
fn while_the_host_is_away_members_play_on_and_newcomers_are_told() {
    let mut party = Party::prepare(&Lab::builder().players(3)).unwrap();
    party.seal();
    for who in [Who::Relay, Who::Gateway, Who::Player(0), Who::Player(1)] {
        party.launch(who).unwrap();
    }
    party.wait_for_lease(0, LIMIT).unwrap();
    let other = party.wait_for_lease(1, LIMIT).unwrap().to_string();
    wait_for_ping(party.machine(PLAYER), &other, SOON).unwrap();
    party.invite().unwrap();
    party.stop(Who::Gateway).unwrap();
    ping(party.machine(PLAYER), &other, &[]).unwrap();

    // Another process of a known member, with the membership that it has kept.
    party.crash(PLAYER);
    party.launch(PLAYER).unwrap();
    party
        .wait_for_status(PLAYER, "to be a member again", LIMIT, |status| {
            status["endpoint"]["admission"]["state"] == "admitted"
        })
        .unwrap();
    party.launch(Who::Player(2)).unwrap();
    let told = party
        .process(Who::Player(2))
        .unwrap()
        .wait_for_log("The host is away, and only the host can let you in", LIMIT);
    told.unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_for_lease(2, LIMIT).unwrap();
}

#[test]
fn each_refusal_is_a_sentence_and_ends_with_4() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    let invite: Invite = party.invite().unwrap().parse().unwrap();
    let unknown = Invite {
        secret: InviteSecret::new([7; 16]),
        ..invite
    };
    party.join_by(&unknown.to_string());
    party.launch(PLAYER).unwrap();
    let client = party.process(PLAYER).unwrap();
    let status = client.wait(LIMIT).unwrap();
    let log = client.log();
    assert_eq!(status.code(), Some(4), "{log}");
    assert!(
        log.contains("the host does not know this invite; copy the link again"),
        "{log}"
    );
}

#[test]
fn the_host_lets_in_and_puts_out_by_orders() {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, &["--approve"]).unwrap();
    party.launch_with(PLAYER, &["--name", "ada"]).unwrap();
    let told =
        |party: &mut Party, who, text: &str| party.process(who).unwrap().wait_for_log(text, LIMIT).unwrap();
    told(&mut party, PLAYER, "Waiting for the host to let you in");
    told(&mut party, Who::Gateway, "ada waits to be let in");
    party.order("approve ada").unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();

    party.order("ask off").unwrap();
    party.launch_with(Who::Player(1), &["--name", "bob"]).unwrap();
    party.wait_for_lease(1, LIMIT).unwrap();

    for (order, who, sentence) in [
        ("kick ada", PLAYER, "the host has put"),
        ("ban bob", Who::Player(1), "the host has"),
    ] {
        party.order(order).unwrap();
        let client = party.process(who).unwrap();
        let status = client.wait(LIMIT).unwrap();
        let log = client.log();
        assert_eq!(status.code(), Some(4), "{order}: {log}");
        assert!(log.contains(sentence), "{order}: {log}");
    }
    // The link brought them in before; it does not do so again.
    for (who, sentence) in [
        (PLAYER, "ask for a new invite to come back"),
        (Who::Player(1), "the host has banned this computer"),
    ] {
        party.launch(who).unwrap();
        let client = party.process(who).unwrap();
        let status = client.wait(LIMIT).unwrap();
        let log = client.log();
        assert_eq!(status.code(), Some(4), "{log}");
        assert!(log.contains(sentence), "{log}");
    }
}

/// Everybody in a sealed room, with leases.
fn sealed(builder: &LabBuilder) -> Party {
    let mut party = Party::prepare(builder).unwrap();
    party.seal();
    party.begin().unwrap();
    party
}

/// How often the pattern is found in the relay's memory and on its wire, while it is sent both ways.
fn leaks(party: &Party) -> (usize, usize) {
    let wire = Capture::start(&party.lab.internet.relay, "eth0").unwrap();
    let pattern: String = PATTERN.iter().map(|byte| format!("{byte:02x}")).collect();
    let target = GAME_SERVER.to_string();
    let words = ["ping", "-n", "-i", "0.002", "-s", "1200", "-p", &pattern, &target];
    let _pings = party.machine(PLAYER).spawn("pattern", &words).unwrap();
    let lan = Capture::start(&party.lab.lan.games, "eth0").unwrap();
    let holds = |frame: &lanparty_testkit::lab::Frame| contains(frame.bytes(), &PATTERN) > 0;
    lan.wait_for("the pattern", SOON, holds).unwrap();
    let relay = party.pid(Who::Relay).unwrap();
    // Several looks, because what was freed is soon written over.
    let in_memory = (0..5).map(|_| memory_holds(relay)).sum();
    assert!(
        wire.count(|frame| frame.bytes().len() > 1000) > 100,
        "{}",
        wire.summary()
    );
    (in_memory, wire.count(holds))
}

/// How often the pattern stands in what a process can write to.
fn memory_holds(pid: i32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = u64::from_str_radix(end, 16).unwrap() - start;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        // What the process has given back since cannot be read.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            found += contains(&bytes, &PATTERN);
        }
    }
    found
}

fn contains(bytes: &[u8], pattern: &[u8; 16]) -> usize {
    bytes
        .windows(pattern.len())
        .filter(|window| window[0] == pattern[0] && window == pattern)
        .count()
}
