//! Who harms the room: who floods it, by the broadcasts of each member, and whose port was stopped. The limits hold whoever it is, and the
//! host wants a name.

use std::{collections::BTreeMap, time::Instant};

use lanparty_api::story::STORM_PER_S;
use lanparty_core::{
    lan::loops::News,
    node::{Event, Node},
};
use lanparty_wire::MemberId;

/// Broadcasts of each member.
#[derive(Debug)]
pub(crate) struct Storms {
    since: Instant,
    totals: BTreeMap<MemberId, u64>,
    rates: BTreeMap<MemberId, u64>,
}

impl Storms {
    pub(crate) fn new(now: Instant) -> Storms {
        Storms {
            since: now,
            totals: BTreeMap::new(),
            rates: BTreeMap::new(),
        }
    }

    /// How many a second there were of each member until the last look.
    pub(crate) fn rates(&self) -> &BTreeMap<MemberId, u64> {
        &self.rates
    }

    /// Counts what has come since the last look, about a second ago, and logs who has begun to flood the room.
    pub(crate) fn look(&mut self, now: Instant, node: &Node) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64().max(0.5);
        self.since = now;
        let totals: BTreeMap<MemberId, u64> = node.member_broadcasts().collect();
        let rate = |(&id, &total): (&MemberId, &u64)| {
            let before = self.totals.get(&id).copied().unwrap_or(0);
            // Who has come anew counts from 0 again.
            let fresh = total.checked_sub(before).unwrap_or(total);
            (id, (fresh as f64 / passed) as u64)
        };
        let rates: BTreeMap<MemberId, u64> = totals.iter().map(rate).collect();
        for (&id, &rate) in &rates {
            let before = self.rates.get(&id).copied().unwrap_or(0);
            if rate >= STORM_PER_S && before < STORM_PER_S {
                let name = name_of(node, id);
                tracing::warn!(member = %id, name, rate, "a member floods the room; what is over the limits is dropped");
            }
        }
        (self.totals, self.rates) = (totals, rates);
    }
}

/// Writes into the log whose port was stopped or opened.
pub(crate) fn log_port(node: &Node, event: &Event) {
    match event {
        Event::Port(News::Stopped { member, fault, hold }) => {
            let name = name_of(node, *member);
            tracing::warn!(%member, name, ?fault, hold_s = hold.as_secs(), "a member's port is stopped");
        }
        Event::Port(News::Opened { member }) => {
            tracing::info!(%member, name = name_of(node, *member), "a member's port is open again");
        }
        Event::Port(News::LanReflects) => {
            tracing::warn!(
                "the LAN sends our own frames back to us: it mirrors them, or has a loop of its own"
            );
        }
        _ => {}
    }
}

fn name_of(node: &Node, id: MemberId) -> Option<&str> {
    let member = node.roster().find(|member| member.id == id);
    member.map(|member| member.name.as_str())
}
