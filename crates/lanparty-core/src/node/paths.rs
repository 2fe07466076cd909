//! The paths of a node, and which one takes its frames.

use std::time::Instant;

use lanparty_wire::mtu::ASSUMED_BUDGET;

use super::{PathId, leg::Leg};

/// Paths that are up, in the order in which they came.
#[derive(Debug, Default)]
pub struct Paths {
    up: Vec<(PathId, Leg)>,
}

impl Paths {
    /// A path has come up, or has come up anew.
    pub fn up(&mut self, now: Instant, path: PathId, budget: u16) {
        self.down(path);
        self.up.push((path, Leg::new(now, budget)));
    }

    /// A path's budget has changed; true if it is the active path's.
    pub fn set_budget(&mut self, now: Instant, path: PathId, budget: u16) -> bool {
        let active = self.active() == Some(path);
        self.up
            .iter_mut()
            .find(|(id, _)| *id == path)
            .is_some_and(|(_, leg)| leg.set(now, budget) && active)
    }

    /// A path is gone.
    pub fn down(&mut self, path: PathId) {
        self.up.retain(|&(id, _)| id != path);
    }

    /// The path that takes frames: the newest, because an older one to the same relay is about to be given up.
    pub fn active(&self) -> Option<PathId> {
        self.up.last().map(|&(id, _)| id)
    }

    /// The active path's leg.
    pub fn active_leg(&self) -> Option<Leg> {
        self.up.last().map(|&(_, leg)| leg)
    }

    /// What a TCP connection should count on.
    pub fn lasting_budget(&self, now: Instant) -> u16 {
        self.active_leg()
            .map_or(ASSUMED_BUDGET, |leg| leg.lasting_budget(now))
    }

    /// What `path` carries now; `None` if it is not up.
    pub fn budget(&self, path: PathId) -> Option<u16> {
        self.up
            .iter()
            .find(|&&(id, _)| id == path)
            .map(|(_, leg)| leg.budget())
    }

    pub fn is_up(&self, path: PathId) -> bool {
        self.budget(path).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.up.is_empty()
    }
}
