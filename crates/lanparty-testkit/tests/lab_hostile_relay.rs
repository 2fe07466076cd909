//! A sealed room with the real binaries, whose relay attacks it: it loses, reorders, repeats, changes, invents and misdirects datagrams and shows
//! old rosters. What two players copy arrives as it was sent, and the members count what was wrong.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    Lab, Party, Who,
    copy::{content, copy},
    probe::wait_for_ping,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
const PLAYERS: [Who; 2] = [Who::Player(0), Who::Player(1)];
/// What the players send each other is misdirected to the gateway.
const MEMBERS: [Who; 3] = [Who::Gateway, PLAYERS[0], PLAYERS[1]];
const REASONS: [&str; 4] = ["bad_seal", "unsealed", "misdirected", "old_roster"];
/// How long the counters may take to show what has come.
const COUNTED: Duration = Duration::from_secs(20);
/// Enough for hundreds of each kind of forgery.
const LENGTH: usize = 8_000_000;

#[test]
fn a_file_copy_bears_a_relay_that_attacks_it_and_the_counters_tell() {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.use_relay("hostile").unwrap();
    party.seal();
    party.begin().unwrap();
    let leases = [0, 1].map(|player| party.wait_for_lease(player, LIMIT).unwrap());
    wait_for_ping(party.machine(PLAYERS[0]), &leases[1].to_string(), LIMIT).unwrap();
    let machines = PLAYERS.map(|who| party.machine(who));
    copy(machines[0], machines[1], leases[1], &content(LENGTH)).unwrap();
    copy(machines[1], machines[0], leases[0], &content(LENGTH)).unwrap();

    let statuses = wait_until_counted(&party);
    let forged: u64 = statuses.iter().map(|status| drops(status, "forged_source")).sum();
    assert_eq!(forged, 0, "nothing forged gets past the seal: {statuses:?}");
    for who in PLAYERS {
        let status = party.status(who).unwrap();
        assert_eq!(status["endpoint"]["admission"]["state"], "admitted", "{status}");
    }
}

/// Each status is made anew every second.
fn wait_until_counted(party: &Party) -> [Value; 3] {
    let until = Instant::now() + COUNTED;
    loop {
        let statuses = MEMBERS.map(|who| party.status(who).unwrap());
        let counted = |reason: &&str| statuses.iter().any(|status| drops(status, reason) > 0);
        let repeated = |status: &Value| status["traffic"]["duplicates_in"].as_u64() > Some(0);
        let missing: Vec<_> = REASONS.into_iter().filter(|reason| !counted(reason)).collect();
        if missing.is_empty() && statuses.iter().any(repeated) {
            return statuses;
        }
        assert!(Instant::now() < until, "not counted: {missing:?} in {statuses:?}");
        thread::sleep(Duration::from_millis(500));
    }
}

fn drops(status: &Value, reason: &str) -> u64 {
    status["drops"][reason].as_u64().unwrap_or_default()
}
