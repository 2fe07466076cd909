//! What a host looked like before is what it looks like after, also when a process could not clean up.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{HostSnapshot, Lab, LabBuilder, Party, TAP, Who};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_clean_end_leaves_both_hosts_as_they_were() {
    let (mut party, before) = running(&Lab::builder());
    for who in [Who::Player(0), Who::Gateway] {
        let status = party.stop(who).unwrap();
        assert!(status.success(), "{who:?} ended with {status}");
    }
    same_as(&party, &before);
}

#[test]
fn a_crash_and_a_start_that_ends_cleanly_leave_both_hosts_as_they_were() {
    let (mut party, before) = running(&Lab::builder());
    for who in [Who::Player(0), Who::Gateway] {
        party.crash(who);
        party.launch(who).unwrap();
    }
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    for who in [Who::Player(0), Who::Gateway] {
        let status = party.stop(who).unwrap();
        assert!(status.success(), "{who:?} ended with {status}");
    }
    same_as(&party, &before);
}

/// A running party, and what the hosts were before.
fn running(builder: &LabBuilder) -> (Party, [HostSnapshot; 2]) {
    let mut party = Party::prepare(builder).unwrap();
    let before = [Who::Player(0), Who::Gateway].map(|who| HostSnapshot::take(party.machine(who)).unwrap());
    for who in party.everybody() {
        party.launch(who).unwrap();
    }
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    let links = party.machine(Who::Player(0)).run("ip -o link show").unwrap();
    assert!(links.contains(TAP), "the comparison would prove nothing: {links}");
    (party, before)
}

fn same_as(party: &Party, before: &[HostSnapshot; 2]) {
    for (who, before) in [Who::Player(0), Who::Gateway].into_iter().zip(before) {
        let after = HostSnapshot::take(party.machine(who)).unwrap();
        assert_eq!(before.difference(&after), "", "{who:?} left something behind");
    }
}
