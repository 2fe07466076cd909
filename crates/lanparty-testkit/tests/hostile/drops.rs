//! What relay and LAN gateway say that they dropped of one member's.

use std::collections::BTreeMap;

use lanparty_testkit::lab::{Party, Who, wait_for};
use lanparty_wire::{DropReason, MemberId};
use serde_json::Value;

use super::{Hostile, SOON};

/// How many frames of a member `who` has dropped, by reason.
pub type Drops = BTreeMap<DropReason, u64>;

/// What `who` says that it dropped of what `member` sent.
pub fn drops_of(party: &Party, who: Who, member: MemberId) -> Drops {
    find_drops(&party.status(who).unwrap(), member)
}

/// Waits until `who` says that it dropped exactly this of what `member` sent: neither less nor more.
pub fn wait_for_drops(party: &Party, who: Who, member: MemberId, expected: &Drops) {
    let found = party.wait_for_status(who, &format!("to have dropped {expected:?}"), SOON, |status| {
        find_drops(status, member) == *expected
    });
    let found = found.map(drop).map_err(|_| drops_of(party, who, member));
    assert_eq!(
        found.err().unwrap_or_else(|| expected.clone()),
        *expected,
        "at {who:?}"
    );
}

/// Waits until the LAN gateway has cut at least so many frames of the member for these reasons, and for nothing else but that
/// they had waited: a busy machine's queues are congested.
pub fn wait_for_cut(party: &Party, hostile: &Hostile, reasons: &[DropReason], least: u64) -> u64 {
    let id = hostile.member.id();
    let what = format!("{least} drops for {reasons:?}");
    wait_for(&what, SOON, || {
        let drops = drops_of(party, Who::Gateway, id);
        let expected = |reason| reasons.contains(reason) || *reason == DropReason::QueueDelay;
        assert!(drops.keys().all(expected), "{drops:?}");
        let cut: u64 = reasons.iter().filter_map(|reason| drops.get(reason)).sum();
        (cut >= least).then_some(cut)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", drops_of(party, Who::Gateway, id)))
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Drops, more: Drops) {
    for (reason, count) in more {
        *sum.entry(reason).or_default() += count;
    }
}

fn find_drops(status: &Value, member: MemberId) -> Drops {
    let id = serde_json::to_value(member).unwrap();
    let rooms = status["relay"]["rooms"].as_array();
    let of_rooms = rooms.into_iter().flatten().map(|room| &room["members"]);
    let lists = of_rooms.chain([&status["endpoint"]["members"]]);
    let mut members = lists.filter_map(Value::as_array).flatten();
    members
        .find(|described| described["id"] == id)
        .map(|described| serde_json::from_value(described["drops"].clone()).unwrap())
        .unwrap_or_default()
}
