//! Log lines about drops, few enough to read.
//!
//! The frame path only counts. Whoever owns the counters shows them here now and then, and is told what deserves a line: the first drop
//! of a kind at once, after that one line an interval with how many there were. A peer that makes us drop a million frames
//! makes us write one line a minute.

use std::time::{Duration, Instant};

use lanparty_wire::{DropCounters, DropReason};

/// What one log line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DropNotice {
    pub reason: DropReason,
    /// Since the last line about this reason.
    pub count: u64,
    /// Since the start.
    pub total: u64,
}

impl DropNotice {
    /// Writes the line; `place` says whose drops they are, for example `member 7` or `lan0`.
    pub fn log(&self, place: &str) {
        tracing::info!(
            reason = self.reason.name(),
            action = self.reason.action().name(),
            count = self.count,
            total = self.total,
            place,
            "frames dropped"
        );
    }
}

/// Remembers what was told when. One for each set of counters.
#[derive(Clone, Debug)]
pub struct DropLog {
    interval: Duration,
    told: [Option<(Instant, u64)>; DropReason::ALL.len()],
}

impl DropLog {
    /// What a log can bear from each source of drops and each reason.
    pub const INTERVAL: Duration = Duration::from_secs(60);

    pub fn new(interval: Duration) -> DropLog {
        DropLog {
            interval,
            told: [None; DropReason::ALL.len()],
        }
    }

    /// The notices that are due. Counters that went back (they belong to a new session) start over.
    pub fn due(&mut self, now: Instant, counters: &DropCounters) -> impl Iterator<Item = DropNotice> {
        let interval = self.interval;
        self.told
            .iter_mut()
            .zip(DropReason::ALL)
            .filter_map(move |(told, &reason)| {
                let total = counters.of(reason);
                let before = match *told {
                    Some((_, before)) if total < before => {
                        *told = None;
                        0
                    }
                    Some((at, _)) if now.saturating_duration_since(at) < interval => return None,
                    Some((_, before)) => before,
                    None => 0,
                };
                if total == before {
                    return None;
                }
                *told = Some((now, total));
                Some(DropNotice {
                    reason,
                    count: total - before,
                    total,
                })
            })
    }
}

impl Default for DropLog {
    fn default() -> DropLog {
        DropLog::new(DropLog::INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_told_at_once_and_the_rest_in_one_line() {
        let (mut log, mut counters, start) = (DropLog::default(), DropCounters::default(), Instant::now());
        counters.count(DropReason::Jumbo);
        assert_eq!(told(&mut log, start, &counters), [(DropReason::Jumbo, 1, 1)]);
        for second in 1..60 {
            counters.count(DropReason::Jumbo);
            assert_eq!(told(&mut log, start + Duration::from_secs(second), &counters), []);
        }
        counters.count(DropReason::Eapol);
        assert_eq!(
            told(&mut log, start + DropLog::INTERVAL, &counters),
            [(DropReason::Jumbo, 59, 60), (DropReason::Eapol, 1, 1)]
        );
        assert_eq!(told(&mut log, start + 3 * DropLog::INTERVAL, &counters), []);
    }

    #[test]
    fn counters_of_a_new_session_start_over() {
        let (mut log, mut counters, start) = (DropLog::default(), DropCounters::default(), Instant::now());
        counters.add(DropReason::Runt, 9);
        told(&mut log, start, &counters);
        let mut fresh = DropCounters::default();
        fresh.add(DropReason::Runt, 2);
        assert_eq!(
            told(&mut log, start + Duration::from_secs(1), &fresh),
            [(DropReason::Runt, 2, 2)]
        );
    }

    fn told(log: &mut DropLog, now: Instant, counters: &DropCounters) -> Vec<(DropReason, u64, u64)> {
        log.due(now, counters)
            .map(|notice| (notice.reason, notice.count, notice.total))
            .collect()
    }
}
