//! Time that outlives a process.

use serde::{Deserialize, Serialize};

/// Seconds since 1970. What outlives a process, or is read by another machine, cannot be timed by a monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Seconds from `earlier` to this time; 0 if the clock was set back.
    pub fn since(self, earlier: UnixTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time `seconds` later.
    pub fn after(self, seconds: u64) -> UnixTime {
        UnixTime(self.0.saturating_add(seconds))
    }
}
