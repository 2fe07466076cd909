//! Where frames to a group go: a decision for each group, kept until something changes, and the relay's handles for those that go to some.
//!
//! A handle stands for a set of members, and groups with the same members share it. The relay is told of it by control, which frames may
//! overtake, so a set's frames go to everybody for [`GRACE`] first. Who gets them without need ignores them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use lanparty_wire::{Destination, GroupHandle, MemberId};

use super::table::{Audience, earlier};

/// Until the relay knows a new handle.
pub const GRACE: Duration = Duration::from_secs(1);
/// Handles that are used: receivers keep no more windows for one sender (`crate::replay`).
const MAX_HANDLES: u16 = 32;
const FIRST_HANDLE: u16 = 0xff00;
/// How long a handle keeps its meaning at least. If all are younger, groups with yet other members go to everybody.
const LIFE: Duration = Duration::from_secs(60);
/// Groups with a decision; when there are more, all are decided anew. A LAN has some dozens.
const MAX_ROUTES: usize = 1024;

/// Who gets a group's frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    Nobody,
    To(Destination),
}

#[derive(Clone, Copy, Debug)]
struct Decision {
    route: Route,
    until: Option<Instant>,
}

/// A group of ours for the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    pub handle: GroupHandle,
    pub members: Vec<MemberId>,
}

#[derive(Debug)]
struct Handle {
    handle: GroupHandle,
    members: Vec<MemberId>,
    made: Instant,
}

/// All decisions.
#[derive(Debug, Default)]
pub(super) struct Routes {
    decisions: BTreeMap<IpAddr, Decision>,
    handles: Vec<Handle>,
}

impl Routes {
    /// Somebody listens to something else than before.
    pub(super) fn forget(&mut self) {
        self.decisions.clear();
    }

    /// The relay knows none of our handles.
    pub(super) fn forget_handles(&mut self) {
        self.handles.clear();
        self.forget();
    }

    /// What was decided, if it still holds.
    pub(super) fn get(&self, now: Instant, group: IpAddr) -> Option<Route> {
        let decision = self.decisions.get(&group)?;
        let holds = decision.until.is_none_or(|until| now < until);
        holds.then_some(decision.route)
    }

    /// Decides for a group whose frames must reach this audience. Returns the handle too if the relay is to be told of it.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        group: IpAddr,
        audience: Audience,
    ) -> (Route, Option<Registration>) {
        let mut told = None;
        let mut until = audience.until;
        let route = match *audience.members {
            [] => Route::Nobody,
            _ if audience.is_everybody => Route::To(Destination::Flood),
            [one] => Route::To(Destination::Member(one)),
            _ => {
                if !self.handles.iter().any(|known| known.members == audience.members) {
                    told = self.make_handle(now, &audience.members);
                }
                let (destination, change) = self.handle(now, &audience.members);
                until = earlier(until, change);
                Route::To(destination)
            }
        };
        if self.decisions.len() >= MAX_ROUTES {
            self.forget();
        }
        self.decisions.insert(group, Decision { route, until });
        (route, told)
    }

    /// How a set of members is reached now, and when that changes.
    fn handle(&self, now: Instant, members: &[MemberId]) -> (Destination, Option<Instant>) {
        match self.handles.iter().find(|known| known.members == members) {
            Some(known) if known.made + GRACE <= now => (Destination::Group(known.handle), None),
            Some(known) => (Destination::Flood, Some(known.made + GRACE)),
            None => (Destination::Flood, Some(now + GRACE)),
        }
    }

    /// Takes a handle that stands for nothing, or the one that was made first if that is long ago.
    fn make_handle(&mut self, now: Instant, members: &[MemberId]) -> Option<Registration> {
        let used = self.handles.len() as u16;
        let handle = if used < MAX_HANDLES {
            GroupHandle::new(FIRST_HANDLE + used)?
        } else {
            let is_old = |handle: &Handle| now.saturating_duration_since(handle.made) >= LIFE;
            let oldest = self.handles.first().filter(|oldest| is_old(oldest))?.handle;
            self.handles.remove(0);
            self.forget();
            oldest
        };
        self.handles.push(Handle {
            handle,
            members: members.to_vec(),
            made: now,
        });
        Some(Registration {
            handle,
            members: members.to_vec(),
        })
    }
}
