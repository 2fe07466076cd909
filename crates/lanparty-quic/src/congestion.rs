//! The congestion controller of a path that carries other people's transport protocols.
//!
//! What is inside the tunnel has congestion control of its own, so the tunnel's must not be felt: it must not build a queue on the
//! way (every small packet behind it would wait), must not take a lost packet for a full queue (Wi-Fi and mobile links lose at random, and
//! nothing is sent again here), and must not starve beside a download that fills the same uplink.
//!
//! So the window follows the *standing queue*: the smallest round-trip time of a round less the smallest of the last seconds
//! (the measure of Copa, Arun and Balakrishnan 2018, with a window law in the manner of FAST, Wei et al. 2006). The window grows while that
//! queue is shorter than a target of a few packets, and shrinks by what is too much of it. Where the queue does not get shorter although
//! the window does, it is somebody else's: then the window behaves like Reno's (RFC 5681). Every few seconds the window is taken away for a
//! moment: that shows the path's round-trip time without a queue, and whether the somebody else has gone. Loss counts only as
//! far as it exceeds what the path always loses.

mod path;

#[cfg(test)]
mod tests;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory},
};

use self::path::{BaseRtt, Losses, Round};

/// The window of the first flight, in datagrams: RFC 9002's ten, and some for a relay that admits a whole party at once.
const INITIAL: u64 = 16;
/// Below this, acknowledgements come too rarely to steer by.
const SMALLEST: u64 = 4;
/// The same on a path that is shorter than an acknowledgement may be late (2 ms, and a tick of its timer): there a small window is spent
/// waiting for acknowledgements, which looks like a queue.
const SMALLEST_NEAR: (u64, Duration) = (8, Duration::from_millis(4));
/// More than this in flight is more than a game has.
const SMALLEST_BULK: u64 = 8;
/// More than any path needs: 100 ms at 10 Gbit/s.
const LARGEST: u64 = 128 << 20;
/// The queue that is aimed at, in datagrams: what keeps a link busy between two acknowledgements.
const QUEUE: u64 = 4;
/// The same in time. Less than the first cannot be told from the noise of schedulers, more than the second is felt by players.
const QUEUE_TIME: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(4));
/// The least queue, as a part of the round-trip time: a far path's bursts are longer.
const FAR: u32 = 25;
/// A queue of somebody inside the tunnel that is shorter than this is mostly a busy processor's.
const FELT: Duration = Duration::from_millis(8);
/// A round that is shorter than this sees too few packets.
const SHORTEST_ROUND: Duration = Duration::from_millis(2);
/// Samples that a round needs before it may end the start.
const START_SAMPLES: u32 = 8;
/// The window is never more than halved at once.
const DEEPEST_CUT: f64 = 0.5;
/// After loss beyond the usual.
const LOSS_CUT: f64 = 0.8;
/// How much more than usual may be lost.
const LOSS_TOLERANCE: f64 = 0.05;
/// The same beside others, between Reno's half and Cubic's 0.7 (RFC 9438) for one who carries several flows.
const COMPETING_LOSS_CUT: f64 = 0.75;
/// How often the window is taken away to look at the empty path. Shorter than what [`BaseRtt`] remembers.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// Rounds that a look takes: the queue that there is has to drain first.
const LOOK_ROUNDS: u32 = 2;
/// The window of a look, as a part of what the empty path would carry.
const LOOK_SHARE: f64 = 0.6;
/// A path that wavers more than this is taken for one with somebody else's queue.
const LARGEST_WAVER: Duration = Duration::from_millis(8);
/// Rounds with a queue that does not yield, until it is taken for somebody else's.
const STUBBORN_ROUNDS: u32 = 6;
/// And how small the window has become by then, as a part of what it was.
const STUBBORN_SHARE: f64 = 0.7;
/// And how much of the queue is left.
const STUBBORN_QUEUE: f64 = 0.6;

/// Makes a [`DelayController`] for each path.
#[derive(Debug, Default)]
pub struct DelayControl;

impl ControllerFactory for DelayControl {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(DelayController::new(now, current_mtu))
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct DelayController {
    mtu: u64,
    window: u64,
    phase: Phase,
    base: BaseRtt,
    round: Round,
    losses: Losses,
    stubborn: Stubborn,
    next_look: Instant,
    look: Option<Look>,
    /// How much later than the earliest packet the others come, without a queue of ours.
    waver: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The window doubles with each round-trip until a queue shows.
    Start,
    /// The window follows the queue.
    Steady,
    /// Somebody else's queue is on the path.
    Competing,
}

/// The window is small for a moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    rounds: u32,
    /// The window to go back to.
    window: u64,
}

/// Rounds in a row in which the queue was too long although the window shrank.
#[derive(Debug, Clone, Copy, Default)]
struct Stubborn {
    rounds: u32,
    /// The window before the first of them, and the queue in it.
    before: u64,
    queue: Duration,
}

impl DelayController {
    fn new(now: Instant, mtu: u16) -> DelayController {
        let mtu = u64::from(mtu);
        DelayController {
            mtu,
            window: INITIAL * mtu,
            phase: Phase::Start,
            base: BaseRtt::new(now),
            round: Round::new(now),
            losses: Losses::default(),
            stubborn: Stubborn::default(),
            next_look: now + LOOK_INTERVAL,
            look: None,
            waver: Duration::ZERO,
        }
    }

    fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        let rtt = now.saturating_duration_since(sent);
        self.base.sample(now, rtt);
        self.round.acked(sent, bytes, rtt, app_limited);
        if self.phase == Phase::Start && !app_limited {
            self.set(self.window + bytes);
        }
    }

    /// All of one acknowledgement has been told.
    fn acks_end(&mut self, now: Instant, in_flight: u64) {
        self.round.acks_end(in_flight);
        let Some(rtt) = self.round.rtt else { return };
        let queue = rtt.saturating_sub(self.base.get());
        let target = self.target(rtt);
        if self.phase == Phase::Start && self.round.samples >= START_SAMPLES && queue > target {
            self.phase = Phase::Steady;
            self.shrink((self.base.get() + target).as_secs_f64() / rtt.as_secs_f64());
            self.next_round(now);
        } else if self.is_round_over(now, rtt) {
            self.end_round(now, rtt, queue, target);
            self.next_round(now);
        }
    }

    /// One packet may have been lucky; after a quarter of the window, or a second round-trip, it is known what the window does.
    fn is_round_over(&self, now: Instant, rtt: Duration) -> bool {
        let lasted = now.saturating_duration_since(self.round.started);
        let many = u64::from(self.round.samples) * self.mtu >= self.window / 4;
        lasted >= SHORTEST_ROUND && (many || lasted >= 2 * rtt)
    }

    fn end_round(&mut self, now: Instant, rtt: Duration, queue: Duration, target: Duration) {
        let excess = self.losses.excess(&self.round, self.mtu);
        if let Some(look) = self.look {
            return self.look_on(now, look, queue, target);
        }
        if excess > LOSS_TOLERANCE || self.round.marked {
            self.leave_start();
            return self.shrink(LOSS_CUT);
        }
        // A few packets in flight say nothing about the window. Many do, also when the window would allow more: then what is inside
        // the tunnel fills the queue.
        let fills = self.used() >= SMALLEST_BULK * self.mtu && queue > (2 * target).max(FELT);
        if self.phase == Phase::Start || !(self.round.limited || fills) {
            return;
        }
        if queue < target / 4 {
            // The path shows itself.
            self.next_look = now + LOOK_INTERVAL;
        }
        if now >= self.next_look {
            return self.look(rtt);
        }
        match self.phase {
            Phase::Start => {}
            Phase::Steady => self.follow(rtt, queue, target),
            // Without a queue it is not the others who have filled one.
            Phase::Competing if self.round.lost_bytes > 0 && queue > target => {
                self.shrink(COMPETING_LOSS_CUT)
            }
            Phase::Competing if self.round.limited => self.set(self.window + self.mtu),
            Phase::Competing => {}
        }
    }

    fn look(&mut self, rtt: Duration) {
        self.look = Some(Look {
            rounds: 0,
            window: self.window,
        });
        self.shrink(LOOK_SHARE * self.base.get().as_secs_f64() / rtt.as_secs_f64());
    }

    fn look_on(&mut self, now: Instant, look: Look, queue: Duration, target: Duration) {
        let rounds = look.rounds + 1;
        if rounds < LOOK_ROUNDS {
            self.look = Some(Look { rounds, ..look });
            return;
        }
        self.look = None;
        self.next_look = now + LOOK_INTERVAL;
        if queue <= LARGEST_WAVER {
            // Down at once: what was left of somebody's queue is no wavering.
            self.waver = queue.min((3 * self.waver + queue) / 4);
        }
        if self.phase == Phase::Competing && queue <= target {
            // It went away with our window, so it was ours; that window was too large.
            self.phase = Phase::Steady;
        } else {
            self.set(look.window);
        }
    }

    fn leave_start(&mut self) {
        if self.phase == Phase::Start {
            self.phase = Phase::Steady;
        }
    }

    /// Moves the window towards the one that leaves the target in the queue.
    fn follow(&mut self, rtt: Duration, queue: Duration, target: Duration) {
        let off = |by: Duration| by.as_secs_f64() / rtt.as_secs_f64();
        if queue <= target {
            self.stubborn.rounds = 0;
            if !self.round.limited {
                return;
            }
            // Half of what is missing, and a little more so that windows on one link become alike.
            let missing = off(target - queue) / 2.0;
            self.set(self.window + (self.window as f64 * missing.min(0.5)) as u64 + self.mtu / 4);
            return;
        }
        if self.is_stubborn(queue, target) {
            self.phase = Phase::Competing;
            self.set(self.stubborn.before);
            self.stubborn = Stubborn::default();
        } else {
            self.shrink((1.0 - 0.6 * off(queue - target)).max(DEEPEST_CUT));
        }
    }

    /// Whether the queue has stayed although the window went.
    fn is_stubborn(&mut self, queue: Duration, target: Duration) -> bool {
        let used = self.used();
        let stubborn = &mut self.stubborn;
        if stubborn.rounds == 0 {
            *stubborn = Stubborn {
                rounds: 0,
                before: used,
                queue,
            };
        }
        stubborn.rounds += 1;
        let shrunk = used as f64 <= stubborn.before as f64 * STUBBORN_SHARE;
        let stays =
            queue > 2 * target && queue.as_secs_f64() >= STUBBORN_QUEUE * stubborn.queue.as_secs_f64();
        stubborn.rounds >= STUBBORN_ROUNDS && shrunk && stays
    }

    fn lost(&mut self, now: Instant, bytes: u64, is_persistent: bool) {
        if bytes == 0 {
            // The network marked instead of dropping (ECN, RFC 9002, section 7.1).
            self.round.marked = true;
        }
        self.round.lost_bytes += bytes;
        if is_persistent {
            // Nothing got through for a while: what was known of the path is of no use.
            *self = DelayController::new(now, self.mtu.try_into().unwrap_or(u16::MAX));
        }
    }

    fn next_round(&mut self, now: Instant) {
        self.round = Round::new(now);
    }

    /// The time that [`QUEUE`] datagrams take at the present rate, and what the path wavers by itself (Wi-Fi, mobile): a queue
    /// within that cannot be seen.
    fn target(&self, rtt: Duration) -> Duration {
        let share = (QUEUE * self.mtu) as f64 / self.window as f64;
        let least = (self.base.get() / FAR).clamp(QUEUE_TIME.0, QUEUE_TIME.1);
        rtt.mul_f64(share).clamp(least, QUEUE_TIME.1) + 2 * self.waver
    }

    /// What of the window was used in this round.
    fn used(&self) -> u64 {
        self.window.min(self.round.in_flight)
    }

    /// Makes the window a part of what is used of it: what is not used fills no queue.
    fn shrink(&mut self, factor: f64) {
        self.set((self.used() as f64 * factor) as u64);
    }

    fn set(&mut self, window: u64) {
        let near = self.round.rtt.is_some_and(|rtt| rtt <= SMALLEST_NEAR.1);
        let least = if near { SMALLEST_NEAR.0 } else { SMALLEST };
        self.window = window.clamp(least * self.mtu, LARGEST);
    }
}

impl Controller for DelayController {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        self.acked(now, sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        self.acks_end(now, in_flight);
    }

    fn on_congestion_event(&mut self, now: Instant, _sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.lost(now, lost_bytes, is_persistent);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.set(self.window);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL * self.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
