//! The controller on a simulated bottleneck: one queue with a rate and a bound, a delay, and random loss.

use std::collections::VecDeque;

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

const MTU: u64 = 1400;
const STEP: Duration = Duration::from_micros(50);
/// A receiver acknowledges after so many packets, or after so long.
const ACK_EVERY: usize = 20;
const ACK_DELAY: Duration = Duration::from_millis(2);
/// What is not acknowledged after so long is lost, also if nothing follows it.
const TIMEOUT: Duration = Duration::from_millis(400);

#[test]
fn fills_a_slow_uplink_without_a_queue() {
    let mut link = Link::new(mbit(20), ms(1), ms(100));
    let us = link.join(Sender::ours(link.now));
    link.run(ms(2000));
    link.forget();
    link.run(ms(8000));
    let seen = link.seen(us);
    assert!(seen.share >= 0.95, "{seen:?}");
    assert!(seen.p50 <= ms(6) && seen.p99 <= ms(10), "{seen:?}");
}

#[test]
fn fills_a_fast_and_a_far_path() {
    for (rate, delay) in [(mbit(400), ms(1)), (mbit(100), ms(20)), (mbit(50), ms(100))] {
        let mut link = Link::new(rate, delay, ms(100));
        let us = link.join(Sender::ours(link.now));
        link.run(ms(6000));
        link.forget();
        link.run(ms(6000));
        let seen = link.seen(us);
        assert!(seen.share >= 0.85, "{delay:?}: {seen:?}");
        assert!(seen.p99 <= ms(25), "{delay:?}: {seen:?}");
    }
}

#[test]
fn random_loss_takes_little() {
    let mut link = Link::new(mbit(50), ms(20), ms(100));
    link.loss = 0.02;
    let us = link.join(Sender::ours(link.now));
    link.run(ms(5000));
    link.forget();
    link.run(ms(10_000));
    let seen = link.seen(us);
    assert!(seen.share >= 0.8, "{seen:?}");
}

#[test]
fn one_packet_of_a_short_round_is_lost_at_random() {
    let start = Instant::now();
    let mut controller = DelayController::new(start, MTU as u16);
    controller.phase = Phase::Steady;
    let mut now = start;
    for round in 0..100 {
        let sent = now;
        now += ms(3);
        // A dozen packets; in every fourth round one is lost.
        if round % 4 == 0 {
            controller.lost(now, MTU, false);
        }
        for _ in 0..12 {
            controller.acked(now, sent, MTU, false);
        }
        controller.acks_end(now, 12 * MTU);
        assert!(
            controller.window >= INITIAL * MTU,
            "round {round}: {controller:?}"
        );
    }
}

#[test]
fn random_loss_on_a_near_path_leaves_tcp_inside_what_it_would_have_alone() {
    let delivered = |sender: fn(Instant) -> Sender| {
        let mut link = Link::new(mbit(500), ms(1), ms(100));
        link.loss = 0.02;
        let sender = link.join(sender(link.now));
        link.run(ms(2000));
        link.forget();
        link.run(ms(20_000));
        link.seen(sender).share
    };
    let alone = delivered(|_| Sender::reno());
    let inside = delivered(Sender::reno_inside);
    assert!(inside >= 0.9 * alone, "{inside} of {alone}");
}

#[test]
fn fills_a_path_whose_delay_wavers() {
    let mut link = Link::new(mbit(100), ms(5), ms(100));
    link.slots = ms(6);
    let us = link.join(Sender::ours(link.now));
    link.run(ms(5000));
    link.forget();
    link.run(ms(10_000));
    let seen = link.seen(us);
    assert!(seen.share >= 0.6 && seen.p50 <= ms(15), "{seen:?}");
}

#[test]
fn does_not_starve_beside_a_download_and_recovers_after_it() {
    let mut link = Link::new(mbit(20), ms(20), ms(100));
    let us = link.join(Sender::ours(link.now));
    link.run(ms(3000));
    let reno = link.join(Sender::reno());
    link.run(ms(20_000));
    link.forget();
    link.run(ms(20_000));
    let (ours, theirs) = (link.seen(us), link.seen(reno));
    assert!(ours.share >= 0.2, "{ours:?} beside {theirs:?}");
    assert!(theirs.share >= 0.2, "{ours:?} beside {theirs:?}");
    link.senders[reno].stopped = true;
    link.run(ms(5000));
    link.forget();
    link.run(ms(5000));
    let alone = link.seen(us);
    assert!(alone.share >= 0.85 && alone.p50 <= ms(10), "{alone:?}");
}

#[test]
fn two_of_us_share_a_link() {
    let mut link = Link::new(mbit(50), ms(10), ms(100));
    let first = link.join(Sender::ours(link.now));
    link.run(ms(2000));
    let second = link.join(Sender::ours(link.now));
    link.run(ms(20_000));
    link.forget();
    link.run(ms(10_000));
    let (first, second) = (link.seen(first), link.seen(second));
    assert!(first.share + second.share >= 0.85, "{first:?} {second:?}");
    assert!(first.share.min(second.share) >= 0.15, "{first:?} {second:?}");
}

#[test]
fn follows_a_link_that_changes_its_rate() {
    let mut link = Link::new(mbit(50), ms(10), ms(200));
    let us = link.join(Sender::ours(link.now));
    link.run(ms(4000));
    for rate in [mbit(5), mbit(50)] {
        link.rate = rate;
        link.run(ms(4000));
        link.forget();
        link.run(ms(4000));
        let seen = link.seen(us);
        assert!(seen.share >= 0.8, "{rate}: {seen:?}");
        assert!(seen.p99 <= ms(30), "{rate}: {seen:?}");
    }
}

#[test]
fn starts_anew_after_nothing_got_through() {
    let now = Instant::now();
    let mut controller = DelayController::new(now, MTU as u16);
    controller.set(LARGEST);
    controller.lost(now, MTU, true);
    assert_eq!(controller.window, INITIAL * MTU);
    assert_eq!(controller.phase, Phase::Start);
}

#[test]
fn a_mark_shrinks_the_window_once_a_round() {
    let now = Instant::now();
    let mut controller = DelayController::new(now, MTU as u16);
    let before = controller.window;
    controller.lost(now, 0, false);
    controller.lost(now, 0, false);
    controller.acked(now + ms(10), now, MTU, false);
    controller.acked(now + ms(20), now, MTU, false);
    controller.acks_end(now + ms(20), before);
    assert!(controller.window < before && controller.window >= before * 7 / 10);
}

/// Bytes a second.
fn mbit(rate: u64) -> u64 {
    rate * 125_000
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What a sender got.
#[derive(Debug)]
struct Seen {
    /// Of the link's rate.
    share: f64,
    /// Time in the queue.
    p50: Duration,
    p99: Duration,
}

struct Packet {
    sender: usize,
    number: u64,
    sent: Instant,
}

/// What decides how much a sender has on its way: our controller, a TCP, or a TCP inside a tunnel of ours.
struct Sender {
    ours: Option<Box<DelayController>>,
    reno: Option<Reno>,
    next: u64,
    in_flight: VecDeque<(u64, Instant)>,
    /// Arrived, and not yet acknowledged.
    unacked: Vec<u64>,
    unacked_since: Option<Instant>,
    delivered: u64,
    waits: Vec<Duration>,
    stopped: bool,
}

struct Link {
    now: Instant,
    rate: u64,
    delay: Duration,
    bound: Duration,
    loss: f64,
    /// What has passed the queue leaves in bursts, at most this far apart, as on Wi-Fi.
    slots: Duration,
    next_slot: Instant,
    random: SmallRng,
    senders: Vec<Sender>,
    queue: VecDeque<Packet>,
    /// Bytes that the link may still carry in this step.
    credit: f64,
    /// Past the queue, and when they or their acknowledgements arrive.
    flying: VecDeque<(Instant, Packet)>,
    acks: VecDeque<(Instant, usize, Vec<u64>)>,
    since: Instant,
}

/// Congestion control that knows only losses (RFC 5681).
struct Reno {
    /// In packets.
    window: f64,
    /// Losses of packets before this one belong to the last cut.
    cut_at: u64,
}

impl Reno {
    const NEW: Reno = Reno {
        window: 10.0,
        cut_at: 0,
    };

    fn lost(&mut self, number: u64, next: u64) {
        if number >= self.cut_at {
            self.window = (self.window / 2.0).max(2.0);
            self.cut_at = next;
        }
    }
}

impl Sender {
    fn ours(now: Instant) -> Sender {
        Sender::new(Some(now), None)
    }

    fn reno() -> Sender {
        Sender::new(None, Some(Reno::NEW))
    }

    fn reno_inside(now: Instant) -> Sender {
        Sender::new(Some(now), Some(Reno::NEW))
    }

    fn new(ours: Option<Instant>, reno: Option<Reno>) -> Sender {
        Sender {
            ours: ours.map(|now| Box::new(DelayController::new(now, MTU as u16))),
            reno,
            next: 0,
            in_flight: VecDeque::new(),
            unacked: Vec::new(),
            unacked_since: None,
            delivered: 0,
            waits: Vec::new(),
            stopped: false,
        }
    }

    fn window(&self) -> u64 {
        let ours = self.ours.as_ref().map_or(u64::MAX, |ours| ours.window);
        ours.min(self.wanted())
    }

    /// What would be on its way without our controller.
    fn wanted(&self) -> u64 {
        self.reno
            .as_ref()
            .map_or(u64::MAX, |reno| (reno.window * MTU as f64) as u64)
    }

    fn acked(&mut self, now: Instant, numbers: &[u64]) {
        let largest = numbers.iter().max().copied().unwrap_or(0);
        for &number in numbers {
            let Some(at) = self.in_flight.iter().position(|&(of, _)| of == number) else {
                continue;
            };
            let Some((_, sent)) = self.in_flight.remove(at) else {
                continue;
            };
            let app_limited = self.wanted() <= self.ours.as_ref().map_or(0, |ours| ours.window);
            if let Some(ours) = &mut self.ours {
                ours.acked(now, sent, MTU, app_limited);
            }
            if let Some(reno) = &mut self.reno {
                reno.window += 1.0 / reno.window;
            }
        }
        if let Some(ours) = &mut self.ours {
            ours.acks_end(now, self.in_flight.len() as u64 * MTU);
        }
        self.give_up(now, |number, _| number + 3 <= largest);
    }

    /// The oldest packets are lost, as far as `is_lost` says so of their number and the time they were sent.
    fn give_up(&mut self, now: Instant, is_lost: impl Fn(u64, Instant) -> bool) {
        let mut lost = 0;
        while let Some(&(number, sent)) = self.in_flight.front()
            && is_lost(number, sent)
        {
            self.in_flight.pop_front();
            lost += MTU;
            if let Some(reno) = &mut self.reno {
                reno.lost(number, self.next);
            }
        }
        if let (Some(ours), 1..) = (&mut self.ours, lost) {
            ours.lost(now, lost, false);
        }
    }
}

impl Link {
    fn new(rate: u64, delay: Duration, bound: Duration) -> Link {
        let now = Instant::now();
        Link {
            now,
            rate,
            delay,
            bound,
            loss: 0.0,
            slots: Duration::ZERO,
            next_slot: now,
            random: SmallRng::seed_from_u64(7),
            senders: Vec::new(),
            queue: VecDeque::new(),
            credit: 0.0,
            flying: VecDeque::new(),
            acks: VecDeque::new(),
            since: now,
        }
    }

    fn join(&mut self, sender: Sender) -> usize {
        self.senders.push(sender);
        self.senders.len() - 1
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.send();
            self.serve();
            self.arrive();
            self.acknowledge();
        }
    }

    fn send(&mut self) {
        let bound = (self.rate as f64 * self.bound.as_secs_f64()) as usize / MTU as usize;
        for (index, sender) in self.senders.iter_mut().enumerate() {
            let now = self.now;
            sender.give_up(now, |_, sent| now - sent >= TIMEOUT);
            while !sender.stopped && sender.in_flight.len() as u64 * MTU + MTU < sender.window() {
                sender.in_flight.push_back((sender.next, self.now));
                let packet = Packet {
                    sender: index,
                    number: sender.next,
                    sent: self.now,
                };
                sender.next += 1;
                if self.queue.len() < bound && !self.random.random_bool(self.loss) {
                    self.queue.push_back(packet);
                }
            }
        }
    }

    fn serve(&mut self) {
        self.credit += self.rate as f64 * STEP.as_secs_f64();
        while self.credit >= MTU as f64
            && let Some(packet) = self.queue.pop_front()
        {
            self.credit -= MTU as f64;
            let sender = &mut self.senders[packet.sender];
            sender.waits.push(self.now - packet.sent);
            sender.delivered += MTU;
            if self.now > self.next_slot {
                self.next_slot = self.now + self.slots.mul_f64(self.random.random());
            }
            self.flying
                .push_back((self.next_slot.max(self.now) + self.delay / 2, packet));
        }
        if self.queue.is_empty() {
            self.credit = self.credit.min(MTU as f64);
        }
    }

    fn arrive(&mut self) {
        while self.flying.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, packet)) = self.flying.pop_front() else {
                break;
            };
            let sender = &mut self.senders[packet.sender];
            sender.unacked.push(packet.number);
            sender.unacked_since.get_or_insert(self.now);
        }
        for (index, sender) in self.senders.iter_mut().enumerate() {
            let late = sender
                .unacked_since
                .is_some_and(|since| self.now - since >= ACK_DELAY);
            if late || sender.unacked.len() >= ACK_EVERY {
                sender.unacked_since = None;
                let numbers = std::mem::take(&mut sender.unacked);
                self.acks.push_back((self.now + self.delay / 2, index, numbers));
            }
        }
    }

    fn acknowledge(&mut self) {
        while self.acks.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, sender, numbers)) = self.acks.pop_front() else {
                break;
            };
            self.senders[sender].acked(self.now, &numbers);
        }
    }

    /// Begins to measure anew.
    fn forget(&mut self) {
        self.since = self.now;
        for sender in &mut self.senders {
            sender.delivered = 0;
            sender.waits.clear();
        }
    }

    fn seen(&mut self, sender: usize) -> Seen {
        let could = self.rate as f64 * (self.now - self.since).as_secs_f64();
        let sender = &mut self.senders[sender];
        sender.waits.sort();
        let at = |share: f64| sender.waits[(sender.waits.len() as f64 * share) as usize];
        Seen {
            share: sender.delivered as f64 / could,
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}
