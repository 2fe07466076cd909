//! Short codes with the real binaries: what is read over the phone brings a player in, and nothing can be tried for long.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{
    GAME_SERVER, Lab, LabBuilder, Party, Who,
    probe::{ping, wait_for_ping},
};
use lanparty_wire::{ShortCode, ShortNumber};

const LIMIT: Duration = Duration::from_secs(30);
const CALLER: Who = Who::Player(1);

#[test]
fn one_comes_by_link_and_one_by_short_code_and_both_play() {
    let mut party = hosted(&Lab::builder().players(2));
    party.invite().unwrap();
    party.launch(Who::Player(0)).unwrap();
    let code = party.short_code(None).unwrap();
    party.join_by_code(&code);
    party.launch(CALLER).unwrap();
    let leases = [0, 1].map(|player| party.wait_for_lease(player, LIMIT).unwrap().to_string());
    let (first, caller) = (party.machine(Who::Player(0)), party.machine(CALLER));
    wait_for_ping(caller, &leases[0], LIMIT).unwrap();
    ping(first, &leases[1], &[]).unwrap();
    for (machine, lease) in [(first, &leases[0]), (caller, &leases[1])] {
        ping(machine, &GAME_SERVER.to_string(), &[]).unwrap();
        ping(&party.lab.lan.games, lease, &[]).unwrap();
    }
    // Nobody had to compare a key: the words have vouched for the relay's.
    let log = party.log(CALLER);
    assert!(!log.contains("This relay is new"), "{log}");
    let status = party.status(CALLER).unwrap();
    assert_eq!(status["endpoint"]["relay"]["trust"], "pin", "{status}");
    assert_eq!(status["endpoint"]["admission"]["state"], "admitted", "{status}");

    // Who has come by a code comes back by it after a crash, whatever has become of it.
    party.order("code new").unwrap();
    party.short_code(Some(&code)).unwrap();
    party.crash(CALLER);
    party.launch(CALLER).unwrap();
    party.wait_for_lease(1, LIMIT).unwrap();
}

#[test]
fn a_code_that_was_tried_five_times_is_void_and_the_next_one_works() {
    let mut party = hosted(&Lab::builder().players(1));
    let code = party.short_code(None).unwrap();
    let number = code.parse::<ShortCode>().unwrap().number;
    party.join_by_code(&ShortCode::from_random(number, 1).to_string());
    for _ in 0..5 {
        assert_refused(&mut party, "the words are not those of the host's code");
    }
    let next = party.short_code(Some(&code)).unwrap();
    let log = party.log(Who::Gateway);
    assert!(log.contains("tried wrongly five times and is void"), "{log}");
    party.join_by_code(&code);
    assert_refused(&mut party, "this short code is over");
    party.join_by_code(&next);
    party.launch(Who::Player(0)).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
}

#[test]
fn a_code_for_one_player_is_replaced_when_he_has_come() {
    let mut party = hosted(&Lab::builder().players(2));
    let first = party.short_code(None).unwrap();
    party.order("code new 1").unwrap();
    let code = party.short_code(Some(&first)).unwrap();
    party.join_by_code(&code);
    party.launch(CALLER).unwrap();
    party.wait_for_lease(1, LIMIT).unwrap();
    let next = party.short_code(Some(&code)).unwrap();
    let log = party.log(Who::Gateway);
    assert!(log.contains("The short code has been used up"), "{log}");
    assert_refused(&mut party, "this short code is over");
    party.join_by_code(&next);
    party.launch(Who::Player(0)).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
}

#[test]
fn a_number_that_nobody_shows_is_said_to_be_so_and_ends_with_4() {
    let mut party = hosted(&Lab::builder().players(1));
    let code: ShortCode = party.short_code(None).unwrap().parse().unwrap();
    let another = ShortNumber::new((code.number.value() + 1) % ShortNumber::COUNT).unwrap();
    party.join_by_code(&format!("{another}-{}", code.secret()));
    assert_refused(&mut party, "no host shows this short code at this relay now");
    // The host goes away, and its number with it.
    party.stop(Who::Gateway).unwrap();
    party.join_by_code(&code.to_string());
    assert_refused(&mut party, "no host shows this short code at this relay now");
}

/// A relay and a host.
fn hosted(builder: &LabBuilder) -> Party {
    let mut party = Party::prepare(builder).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party
}

/// The first player comes in vain.
#[track_caller]
fn assert_refused(party: &mut Party, sentence: &str) {
    let refused = party.launch_refused(Who::Player(0), &[], sentence, LIMIT);
    refused.unwrap();
}
