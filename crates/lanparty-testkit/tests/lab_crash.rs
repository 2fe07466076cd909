//! What a host looked like before is what it looks like after, also when a process could not clean up.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{HostSnapshot, Lab, LabBuilder, Party, Process, TAP, Who, start_network_manager};

const LIMIT: Duration = Duration::from_secs(30);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_clean_end_leaves_both_hosts_as_they_were() {
    let (mut party, before, _manager) = running(&Lab::builder());
    for who in [PLAYER, Who::Gateway] {
        let status = party.stop(who).unwrap();
        assert!(status.success(), "{who:?} ended with {status}");
    }
    same_as(&party, &before);
    let told = party.machine(PLAYER).run("cat /run/reloads").unwrap();
    assert_eq!(
        told.lines().count(),
        2,
        "NetworkManager is told of the file and of its end"
    );
}

#[test]
fn a_crash_and_a_start_that_ends_cleanly_leave_both_hosts_as_they_were() {
    let (mut party, before, _manager) = running(&Lab::builder());
    for who in [PLAYER, Who::Gateway] {
        party.crash(who);
        party.launch(who).unwrap();
    }
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    for who in [PLAYER, Who::Gateway] {
        let status = party.stop(who).unwrap();
        assert!(status.success(), "{who:?} ended with {status}");
    }
    same_as(&party, &before);
}

#[test]
fn what_outlives_a_killed_client_is_undone_by_the_next_start_before_anything_else() {
    let (mut party, before, manager) = running(&Lab::builder());
    party.crash(PLAYER);
    let left = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    let difference = before[0].difference(&left);
    assert!(
        difference.contains("+ managed=0"),
        "the crash left nothing behind, the rest would prove nothing: {difference}"
    );
    // Gone in the meantime, so that the new run has no file of its own to write and to remove.
    drop(manager);

    party.launch(PLAYER).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    let files = party
        .machine(PLAYER)
        .run("ls /run/NetworkManager/conf.d")
        .unwrap();
    assert_eq!(files.trim(), "");
    assert!(party.stop(PLAYER).unwrap().success());
    assert!(party.stop(Who::Gateway).unwrap().success());
    same_as(&party, &before);
}

/// A running party, and what the hosts were before.
fn running(builder: &LabBuilder) -> (Party, [HostSnapshot; 2], Process) {
    let mut party = Party::prepare(builder).unwrap();
    let manager = start_network_manager(party.machine(PLAYER)).unwrap();
    let before = [PLAYER, Who::Gateway].map(|who| HostSnapshot::take(party.machine(who)).unwrap());
    for who in party.everybody() {
        party.launch(who).unwrap();
    }
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    let during = HostSnapshot::take(party.machine(PLAYER)).unwrap();
    let difference = before[0].difference(&during);
    for sign in [TAP, "inet 10.73.42.", "managed=0"] {
        assert!(
            difference.contains(sign),
            "no {sign}, the comparison would prove nothing: {difference}"
        );
    }
    (party, before, manager)
}

fn same_as(party: &Party, before: &[HostSnapshot; 2]) {
    for (who, before) in [PLAYER, Who::Gateway].into_iter().zip(before) {
        let after = HostSnapshot::take(party.machine(who)).unwrap();
        assert_eq!(before.difference(&after), "", "{who:?} left something behind");
    }
}
