//! The paths of a node, and which one takes its frames.

use std::time::Instant;

use lanparty_wire::mtu::ASSUMED_BUDGET;

use super::{PathId, leg::Leg};

/// Paths that are up, in the order in which they came.
#[derive(Debug, Default)]
pub struct Paths {
    up: Vec<(PathId, Leg)>,
    /// What the room was told that the active path carries: first by the hello, then by control.
    announced: Option<u16>,
}

impl Paths {
    /// A path has come up, or has come up anew, with the budget that its hello has said.
    pub fn up(&mut self, now: Instant, path: PathId, budget: u16) {
        self.down(path);
        self.announced = Some(budget);
        self.up.push((path, Leg::new(now, budget)));
    }

    /// A path's budget has changed.
    pub fn set_budget(&mut self, now: Instant, path: PathId, budget: u16) {
        if let Some((_, leg)) = self.up.iter_mut().find(|(id, _)| *id == path) {
            leg.set(now, budget);
        }
    }

    /// What the room has to be told of the active path, once.
    pub fn announce(&mut self) -> Option<u16> {
        let budget = self.active_leg()?.budget();
        let is_news = self.announced.replace(budget) != Some(budget);
        is_news.then_some(budget)
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
