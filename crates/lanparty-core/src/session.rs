//! When to dial, when to wait, when to give up: the life of one endpoint's connection to its relay.
//!
//! A session that fell silent is not closed but *doubted*: a second connection is dialled beside it, and whichever answers
//! carries on. QUIC alone would sit out its probe timer, which after half a minute of silence fires only every half a minute;
//! a player must be back three seconds after the network is.

use std::time::{Duration, Instant};

use lanparty_wire::{LeaveReason, RejectReason};

/// Silence after which a session is doubted. Above two keep-alive intervals, so that one lost packet does not do it.
pub const SILENCE: Duration = Duration::from_secs(5);
/// After this long without any answer to the first dial the player reads that UDP seems to be blocked.
pub const UDP_BLOCKED_AFTER: Duration = Duration::from_secs(5);

/// Dialling and waiting times while the path's round trip is not known: the first attempt is short because most networks are fast.
const FIRST_TIMEOUTS: [Duration; 3] = [
    Duration::from_millis(2500),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// While a known relay is gone, attempts are short: one that started before the network came back must not delay the next.
const MIN_TIMEOUT: Duration = Duration::from_millis(1000);
const MAX_TIMEOUT: Duration = Duration::from_secs(8);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// For the first minutes somebody sits there and waits. With [`MIN_TIMEOUT`] this leaves a second of the three for the join itself.
const BACKOFF_WHILE_WATCHED: Duration = Duration::from_millis(400);
const BACKOFF_LATER: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(300);
/// A relay may have taken a dial that we gave up, and displace our own ghost for it a little later.
const OWN_DIAL: Duration = Duration::from_secs(15);
/// A refusal that may pass by itself is asked about at this interval.
const REJECTED_BACKOFF: Duration = Duration::from_secs(3);

/// What the shell must do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Dial now, and report within `timeout` how it went.
    Dial { timeout: Duration },
    /// Nothing to do before that time.
    Wait(Instant),
}

/// How a dial or a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nobody answered, or the connection broke.
    Unreachable,
    /// The relay refused.
    Rejected(RejectReason),
    /// The relay has told us why we must go.
    Closed(CloseCause),
    /// The relay's certificate is not the one trusted.
    Untrusted,
}

/// Why a relay closed a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseCause {
    /// The same identity has joined from elsewhere.
    Displaced,
    /// Put out by the host.
    Kicked,
    /// Any other cause; coming back is welcome.
    Other,
}

impl From<&LeaveReason> for CloseCause {
    fn from(reason: &LeaveReason) -> CloseCause {
        match reason {
            LeaveReason::Displaced => CloseCause::Displaced,
            LeaveReason::Kicked => CloseCause::Kicked,
            LeaveReason::Goodbye
            | LeaveReason::TimedOut
            | LeaveReason::ConnectionLost
            | LeaveReason::Malformed
            | LeaveReason::RelayShutdown
            | LeaveReason::Unknown => CloseCause::Other,
        }
    }
}

/// Whether to go on after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is tried again.
    Retry,
    /// Only a person can help.
    GiveUp,
}

/// The state of one endpoint's connection to its relay.
#[derive(Debug)]
pub struct Session {
    /// When it was last heard from, while there is a connection.
    heard: Option<Instant>,
    dialing: bool,
    /// Not before this time.
    next_dial: Instant,
    failures: u32,
    /// Since when there is no working session.
    away_since: Instant,
    /// When our last dial failed.
    last_dial: Option<Instant>,
    /// The round trip of the last session, which says how patient a dial must be.
    rtt: Option<Duration>,
}

impl Session {
    /// A session that wants to dial at once.
    pub fn new(now: Instant) -> Session {
        Session {
            heard: None,
            dialing: false,
            next_dial: now,
            failures: 0,
            away_since: now,
            last_dial: None,
            rtt: None,
        }
    }

    /// What to do at `now`. To be asked after every report and when the time of a [`Step::Wait`] has come.
    pub fn step(&mut self, now: Instant) -> Step {
        if self.dialing {
            return Step::Wait(now + MAX_TIMEOUT);
        }
        let doubted_at = self.heard.map(|heard| heard + SILENCE);
        let dial_at = doubted_at.map_or(self.next_dial, |doubted| doubted.max(self.next_dial));
        if now < dial_at {
            return Step::Wait(dial_at);
        }
        if self.heard.is_some() && self.failures == 0 {
            self.away_since = now;
        }
        self.dialing = true;
        Step::Dial {
            timeout: self.timeout(),
        }
    }

    /// Bytes came from the relay at `when`.
    pub fn heard(&mut self, when: Instant) {
        if let Some(heard) = &mut self.heard
            && when > *heard
        {
            *heard = when;
            if !self.dialing {
                self.failures = 0;
            }
        }
    }

    /// A dial has succeeded.
    pub fn up(&mut self, now: Instant) {
        self.heard = Some(now);
        self.dialing = false;
        self.failures = 0;
        self.next_dial = now;
    }

    /// The path's round trip.
    pub fn measured(&mut self, rtt: Duration) {
        self.rtt = Some(rtt);
    }

    /// A dial has failed. `jitter` is any random value; it keeps a party's members from dialling in step.
    pub fn dial_failed(&mut self, now: Instant, failure: Failure, jitter: u8) -> Verdict {
        self.dialing = false;
        self.last_dial = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.next_dial = now + self.backoff(now, failure, jitter);
        verdict(failure)
    }

    /// The connection has ended.
    pub fn down(&mut self, now: Instant, failure: Failure) -> Verdict {
        if self.is_up(now) {
            self.away_since = now;
        }
        self.heard = None;
        if self.dialing {
            // The dial beside it goes on; that it displaced its own ghost is what was meant to happen.
            return Verdict::Retry;
        }
        self.next_dial = self.next_dial.max(now);
        let own_dial = self.last_dial.is_some_and(|at| now < at + OWN_DIAL);
        if failure == Failure::Closed(CloseCause::Displaced) && own_dial {
            return Verdict::Retry;
        }
        verdict(failure)
    }

    /// The network has changed: what was waited for may be there now.
    pub fn network_changed(&mut self, now: Instant) {
        self.next_dial = now;
    }

    /// True while a session exists and is not doubted.
    pub fn is_up(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now < heard + SILENCE)
    }

    /// How long there has been no working session; zero while there is one.
    pub fn away(&self, now: Instant) -> Duration {
        if self.is_up(now) {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.away_since)
        }
    }

    fn timeout(&self) -> Duration {
        match self.rtt {
            Some(rtt) => (rtt * 8).clamp(MIN_TIMEOUT, MAX_TIMEOUT),
            None => FIRST_TIMEOUTS[(self.failures as usize).min(FIRST_TIMEOUTS.len() - 1)],
        }
    }

    fn backoff(&self, now: Instant, failure: Failure, jitter: u8) -> Duration {
        let watched = now.saturating_duration_since(self.away_since) < WATCHED;
        let cap = if watched {
            BACKOFF_WHILE_WATCHED
        } else {
            BACKOFF_LATER
        };
        let base = match failure {
            Failure::Rejected(_) => REJECTED_BACKOFF,
            Failure::Unreachable | Failure::Closed(_) | Failure::Untrusted => {
                (FIRST_BACKOFF * 2u32.saturating_pow(self.failures.saturating_sub(1).min(8))).min(cap)
            }
        };
        base + base.mul_f32(f32::from(jitter) / 1024.0)
    }
}

fn verdict(failure: Failure) -> Verdict {
    let temporary = match failure {
        Failure::Unreachable => true,
        Failure::Rejected(reason) => reason.is_temporary(),
        Failure::Closed(cause) => cause == CloseCause::Other,
        Failure::Untrusted => false,
    };
    if temporary {
        Verdict::Retry
    } else {
        Verdict::GiveUp
    }
}

// A test may begin at any time: only differences matter.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    #[test]
    fn a_new_session_dials_at_once_and_only_once() {
        let now = Instant::now();
        let mut session = Session::new(now);
        assert!(matches!(session.step(now), Step::Dial { .. }));
        assert!(matches!(session.step(now), Step::Wait(_)));
    }

    #[test]
    fn whenever_the_network_returns_the_next_dial_is_near() {
        let start = Instant::now();
        let mut session = connected(start);
        let mut now = start;
        session.down(now, Failure::Unreachable);
        for _ in 0..60 {
            let dial_at = match session.step(now) {
                Step::Wait(until) => until,
                Step::Dial { timeout } => {
                    assert!(timeout <= Duration::from_millis(1000));
                    now += timeout;
                    session.dial_failed(now, Failure::Unreachable, 255);
                    continue;
                }
            };
            assert!(
                dial_at - now <= Duration::from_millis(1000),
                "{:?}",
                dial_at - now
            );
            now = dial_at;
        }
        assert!(session.away(now) > Duration::from_secs(30));
    }

    #[test]
    fn silence_is_doubted_and_the_old_session_may_recover() {
        let start = Instant::now();
        let mut session = connected(start);
        assert_eq!(session.step(start), Step::Wait(start + SILENCE));
        let now = start + SILENCE;
        assert!(matches!(session.step(now), Step::Dial { .. }));
        assert!(!session.is_up(now));
        session.heard(now);
        assert_eq!(session.dial_failed(now, Failure::Unreachable, 0), Verdict::Retry);
        assert!(session.is_up(now));
        assert_eq!(session.step(now), Step::Wait(now + SILENCE));
    }

    #[test]
    fn a_ghost_displaced_by_our_own_dial_is_no_reason_to_stop() {
        let start = Instant::now();
        let mut session = connected(start);
        let now = start + SILENCE;
        session.step(now);
        assert_eq!(
            session.down(now, Failure::Closed(CloseCause::Displaced)),
            Verdict::Retry
        );
        session.up(now);
        assert!(session.is_up(now));
        assert_eq!(
            session.down(now, Failure::Closed(CloseCause::Displaced)),
            Verdict::GiveUp
        );
    }

    #[test]
    fn a_ghost_displaced_by_a_dial_that_we_gave_up_is_none_either() {
        let start = Instant::now();
        let mut session = connected(start);
        let now = start + SILENCE;
        session.step(now);
        session.dial_failed(now, Failure::Unreachable, 0);
        let verdict = session.down(now, Failure::Closed(CloseCause::Displaced));
        assert_eq!(verdict, Verdict::Retry);
    }

    #[test]
    fn a_doubted_session_is_away_since_it_was_doubted() {
        let start = Instant::now();
        let mut session = connected(start);
        let doubted = start + SILENCE;
        session.step(doubted);
        session.heard(start);
        session.dial_failed(doubted + RTT, Failure::Unreachable, 0);
        session.down(doubted + 5 * RTT, Failure::Unreachable);
        assert_eq!(session.away(doubted + 10 * RTT), 10 * RTT);
    }

    #[test]
    fn only_refusals_that_may_pass_are_tried_again() {
        let now = Instant::now();
        let mut session = Session::new(now);
        session.step(now);
        assert_eq!(
            session.dial_failed(now, Failure::Rejected(RejectReason::RoomFull), 0),
            Verdict::Retry
        );
        assert_eq!(session.step(now), Step::Wait(now + REJECTED_BACKOFF));
        assert_eq!(
            session.dial_failed(now, Failure::Rejected(RejectReason::Version), 0),
            Verdict::GiveUp
        );
        assert_eq!(session.dial_failed(now, Failure::Untrusted, 0), Verdict::GiveUp);
    }

    #[test]
    fn after_five_minutes_the_pace_is_slower() {
        let start = Instant::now();
        let mut session = connected(start);
        session.down(start, Failure::Unreachable);
        for _ in 0..12 {
            session.dial_failed(start, Failure::Unreachable, 0);
        }
        let late = start + WATCHED;
        session.dial_failed(late, Failure::Unreachable, 0);
        assert_eq!(session.step(late), Step::Wait(late + BACKOFF_LATER));
        session.network_changed(late);
        assert!(matches!(session.step(late), Step::Dial { .. }));
    }

    fn connected(now: Instant) -> Session {
        let mut session = Session::new(now);
        session.step(now);
        session.up(now);
        session.measured(RTT);
        session
    }
}
