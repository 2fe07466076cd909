//! Many small changes that come together, as one.

use std::time::Duration;

use tokio::time::Instant;

use super::NetworkChange;

/// Silence that ends a change.
pub(super) const QUIET: Duration = Duration::from_millis(200);
/// A change that does not end is reported after this: a second of the three that a session may take to be back.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has changed since it was last told. Kept between calls of who waits, so that a cancelled one loses nothing.
pub(super) struct Settle {
    quiet: Duration,
    pending: Option<Pending>,
}

struct Pending {
    change: NetworkChange,
    due: Instant,
    latest: Instant,
}

impl Settle {
    pub(super) fn new(quiet: Duration) -> Settle {
        Settle { quiet, pending: None }
    }

    pub(super) fn note(&mut self, now: Instant, change: NetworkChange) {
        if change == NetworkChange::default() {
            return;
        }
        let pending = self.pending.get_or_insert(Pending {
            change,
            due: now,
            latest: now + PATIENCE,
        });
        pending.change.links |= change.links;
        pending.change.addresses |= change.addresses;
        pending.change.routes |= change.routes;
        pending.due = now + self.quiet;
    }

    /// When the change is to be told; nothing if there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        let pending = self.pending.as_ref()?;
        Some(pending.due.min(pending.latest))
    }

    /// The change, if it is due.
    pub(super) fn poll(&mut self, now: Instant) -> Option<NetworkChange> {
        self.due().filter(|due| *due <= now)?;
        self.pending.take().map(|pending| pending.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: NetworkChange = NetworkChange {
        links: true,
        addresses: false,
        routes: false,
    };

    #[test]
    fn a_change_is_told_when_it_is_over_or_has_lasted_too_long() {
        let start = Instant::now();
        let mut settle = Settle::new(QUIET);
        settle.note(start, NetworkChange::default());
        assert_eq!(settle.due(), None);
        let mut now = start;
        while now < start + PATIENCE {
            assert_eq!(settle.poll(now), None);
            settle.note(now, LINKS);
            now += QUIET / 2;
        }
        assert_eq!(settle.poll(start + PATIENCE), Some(LINKS));
        settle.note(now, LINKS);
        assert_eq!((settle.poll(now), settle.poll(now + QUIET)), (None, Some(LINKS)));
    }
}
