//! Small packets that survive a bad last mile: they are sent twice while a leg loses more than it should.
//!
//! A game's packet is worth its few bytes again, because nobody sends it anew in time; a copy of a file is not, because its own protocol
//! does. So what is urgent, and comes in small flows, gets a second copy while the leg's measured loss says so, and a third
//! where it says so loudly. Two copies of which each is lost in 2 % of cases are both lost in 0.04 %, three in 0.0008 %. The copies
//! are the same datagram under the same number: the receiver's replay window takes the first that comes, and the relay lets no second
//! one pass, so that each leg pays for its own losses only.
//!
//! Losses come in bursts, and a train of segments that the kernel sends as one is one burst: a copy leaves [`SPACING`] later, which is
//! many trains later. What copies may cost is bounded by what they cost at all: a tenth of what is sent, or [`FLOOR`] where
//! that is more. One of these belongs to one leg: an endpoint's way to the relay, or the relay's to one target.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use lanparty_wire::{Class, Destination, Header};
use serde::{Deserialize, Serialize};

use crate::scheduler::FlowId;

/// How long after a datagram its copy leaves, and after that the next. Below what a player feels, above what one burst on a
/// radio link takes with it.
pub const SPACING: Duration = Duration::from_millis(5);
/// A copy that the leg has had no room for in so long helps nobody, and the leg has other sorrows.
const STALE: Duration = Duration::from_millis(50);
/// Copies may take a tenth of what is sent.
const COST: f64 = 0.1;
/// Or so many bytes a second: the games and voices of eight players behind one leg, three times each. A tenth of a 20 Mbit/s uplink, and
/// only where that many small packets are sent.
pub const FLOOR: f64 = 256_000.0;
/// What may be saved up of either: a burst of a game's updates. Third copies leave half of it to second ones, which save more.
const SAVED: f64 = 16_384.0;
/// A flow of more bytes than this within about [`FLOW_TIME`] is left alone: acknowledgements of a download, which replace each other.
const FLOW_BYTES: u32 = 10_000;
const FLOW_TIME: Duration = Duration::from_millis(250);
const FLOWS: usize = 64;
/// Copies that wait: what [`SAVED`] allows in small packets.
const MAX_WAITING: usize = 256;

/// When to send copies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// While the leg loses at least 0.5 % of its packets.
    #[default]
    Auto,
    Off,
    #[serde(alias = "on")]
    Always,
}

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Mode, UnknownMode> {
        match text {
            "auto" => Ok(Mode::Auto),
            "off" => Ok(Mode::Off),
            "on" | "always" => Ok(Mode::Always),
            _ => Err(UnknownMode),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Auto => "auto",
            Mode::Off => "off",
            Mode::Always => "on",
        })
    }
}

/// A word that is no [`Mode`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("redundancy is one of auto, off and on")]
pub struct UnknownMode;

/// The copies of one leg; `T` is a datagram.
#[derive(Debug)]
pub struct Redundancy<T> {
    mode: Mode,
    loss: LossMeter,
    waiting: VecDeque<Copy<T>>,
    /// Until when the caller was woken for what waits.
    woken: Option<Instant>,
    /// Bytes that copies may take now, and when that was told.
    allowance: f64,
    refilled: Option<Instant>,
    flows: Vec<Level>,
}

#[derive(Debug)]
struct Copy<T> {
    due: Instant,
    /// How many more follow it.
    more: u8,
    item: T,
}

/// Bytes of the last while: they fade as time passes.
#[derive(Clone, Copy, Debug)]
struct Level {
    bytes: u32,
    at: Instant,
}

impl<T: Clone> Redundancy<T> {
    /// A leg of which nothing is known.
    pub fn new(mode: Mode) -> Redundancy<T> {
        Redundancy {
            mode,
            loss: LossMeter::default(),
            waiting: VecDeque::new(),
            woken: None,
            allowance: 0.0,
            refilled: None,
            flows: Vec::new(),
        }
    }

    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The leg is another one now: what was measured and what waits is forgotten.
    pub fn reset(&mut self) {
        *self = Redundancy::new(self.mode);
    }

    /// What QUIC has counted on this leg since its beginning: packets sent whose loss it would notice, and those that it holds for
    /// lost. To be told about once a second, more often does no harm.
    pub fn note_stats(&mut self, now: Instant, sent: u64, lost: u64) {
        self.loss.note(now, sent, lost);
    }

    /// True if copies are sent now.
    pub fn is_on(&self) -> bool {
        self.copies() > 0
    }

    /// The share of packets that the leg has lost a short while ago, `0.0..=1.0`.
    pub fn loss(&self) -> f64 {
        self.loss.share()
    }

    /// A datagram of `bytes` bytes leaves. Told of all of them, because their number bounds the copies; keeps a copy where one is
    /// wanted.
    pub fn push(&mut self, now: Instant, class: Class, flow: FlowId, bytes: usize, item: &T) {
        let copies = self.copies();
        if copies == 0 {
            return;
        }
        self.refill(now, bytes);
        let is_wanted = match class {
            Class::Neighbor | Class::Interactive => true,
            Class::Chatter | Class::Bulk => false,
        };
        if !is_wanted || self.waiting.len() >= MAX_WAITING || self.is_heavy(now, flow, bytes) {
            return;
        }
        let copies = self.affordable(copies, bytes as f64);
        if copies > 0 {
            self.allowance -= f64::from(copies) * bytes as f64;
            self.keep(now + SPACING, copies - 1, item.clone());
        }
    }

    /// A copy that is due; counts as one that is sent.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        loop {
            if self.waiting.front()?.due > now {
                return None;
            }
            let Copy { due, more, item } = self.waiting.pop_front()?;
            if now.saturating_duration_since(due) > STALE {
                continue;
            }
            if more > 0 {
                self.keep(now + SPACING, more - 1, item.clone());
            }
            return Some(item);
        }
    }

    /// When [`Redundancy::poll`] has something new, after [`Redundancy::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Some(woken) = self.woken else {
            return Some(self.waiting.front()?.due);
        };
        let next = self.waiting.partition_point(|copy| copy.due <= woken);
        self.waiting.get(next).map(|copy| copy.due)
    }

    /// The caller is awake. What is due now is no reason to wake it again: it may have no room for it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.woken = Some(now);
    }

    /// True if copies wait, due or not.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn copies(&self) -> u8 {
        match self.mode {
            Mode::Off => 0,
            Mode::Auto => self.loss.copies,
            Mode::Always => self.loss.copies.max(1),
        }
    }

    fn affordable(&self, copies: u8, bytes: f64) -> u8 {
        if copies > 1 && self.allowance - SAVED / 2.0 >= f64::from(copies) * bytes {
            return copies;
        }
        u8::from(copies > 0 && self.allowance >= bytes)
    }

    /// All copies wait equally long, so what is kept last is due last.
    fn keep(&mut self, due: Instant, more: u8, item: T) {
        self.waiting.push_back(Copy { due, more, item });
    }

    fn refill(&mut self, now: Instant, bytes: usize) {
        let since = self.refilled.replace(now);
        let passed = since.map_or(Duration::from_secs(1), |since| {
            now.saturating_duration_since(since)
        });
        let earned = bytes as f64 * COST + passed.as_secs_f64() * FLOOR;
        self.allowance = (self.allowance + earned).min(SAVED);
    }

    /// Flows that share an entry share their fate, which costs copies and nothing else.
    fn is_heavy(&mut self, now: Instant, flow: FlowId, bytes: usize) -> bool {
        if self.flows.is_empty() {
            self.flows = vec![Level { bytes: 0, at: now }; FLOWS];
        }
        let level = &mut self.flows[flow.spread() % FLOWS];
        let passed = now.saturating_duration_since(level.at).min(FLOW_TIME);
        let left = (FLOW_TIME - passed).as_micros() as u64 * u64::from(level.bytes);
        let faded = left / FLOW_TIME.as_micros() as u64;
        *level = Level {
            bytes: (faded as u32).saturating_add(bytes as u32),
            at: now,
        };
        level.bytes > FLOW_BYTES
    }
}

/// The loss of a leg over its last packets, and what follows from it. The window is as long as it has to be for enough packets: a
/// download of a moment ago must not hide for half a minute that a game of thirty packets a second begins to lose. Each step
/// begins at a loss at which it pays, and ends at half of that, so that chance does not make it flutter.
#[derive(Debug, Default)]
struct LossMeter {
    slots: VecDeque<Slot>,
    sent: u64,
    lost: u64,
    copies: u8,
}

/// What QUIC had counted when it began.
#[derive(Debug)]
struct Slot {
    since: Instant,
    sent: u64,
    lost: u64,
}

impl LossMeter {
    const SLOT: Duration = Duration::from_secs(1);
    /// A minute; what is older says nothing about the leg now.
    const SLOTS: usize = 60;
    /// The window is no longer than what these need: enough that chance rarely shows half or twice of 1 %.
    const ENOUGH: u64 = 600;
    /// And no shorter than this: one queue that overflowed once is no bad line.
    const LEAST_TIME: Duration = Duration::from_secs(5);
    /// Fewer losses than these are chance.
    const LEAST_LOST: u64 = 3;
    /// Fewer packets without loss than these prove nothing.
    const LEAST_SENT: u64 = 400;
    /// Packets in a thousand, doubled so that the halves are whole.
    const SECOND_COPY: u64 = 10;
    const THIRD_COPY: u64 = 20;

    fn note(&mut self, now: Instant, sent: u64, lost: u64) {
        let goes_back = sent < self.sent || lost < self.lost;
        if goes_back {
            *self = LossMeter::default();
        }
        (self.sent, self.lost) = (sent, lost);
        let newest = self.slots.back().map(|slot| slot.since);
        if newest.is_none_or(|since| now.saturating_duration_since(since) >= LossMeter::SLOT) {
            self.slots.push_back(Slot {
                since: now,
                sent,
                lost,
            });
        }
        while self.is_first_needless(now) {
            self.slots.pop_front();
        }
        self.decide();
    }

    /// Whether the window is long enough without its first slot, or too long with it.
    fn is_first_needless(&self, now: Instant) -> bool {
        let Some(second) = self.slots.get(1) else {
            return false;
        };
        let lasts = now.saturating_duration_since(second.since) >= LossMeter::LEAST_TIME;
        self.slots.len() > LossMeter::SLOTS || lasts && self.sent - second.sent >= LossMeter::ENOUGH
    }

    fn window(&self) -> (u64, u64) {
        let first = self.slots.front().map_or((0, 0), |slot| (slot.sent, slot.lost));
        (self.sent - first.0, self.lost - first.1)
    }

    fn share(&self) -> f64 {
        let (sent, lost) = self.window();
        lost as f64 / sent.max(1) as f64
    }

    fn decide(&mut self) {
        let (sent, lost) = self.window();
        let at_least = |twice_per_thousand: u64| lost * 2000 >= sent * twice_per_thousand;
        let begins = |step: u64| lost >= LossMeter::LEAST_LOST && at_least(step);
        let ends = |step: u64| sent >= LossMeter::LEAST_SENT && !at_least(step / 2);
        self.copies = match self.copies {
            _ if begins(LossMeter::THIRD_COPY) => 2,
            2 if !ends(LossMeter::THIRD_COPY) => 2,
            _ if begins(LossMeter::SECOND_COPY) => 1,
            1 | 2 if !ends(LossMeter::SECOND_COPY) => 1,
            _ => 0,
        };
    }
}

/// Which of one sender's urgent datagrams a relay has seen a moment ago. It forgets, and may then let a copy pass: the receiver has the
/// last word.
#[derive(Debug, Default)]
pub struct Seen {
    /// Destination, key and number; 2 KiB, there from the first urgent datagram on.
    recent: Vec<u64>,
}

impl Seen {
    /// More urgent datagrams than these do not come within the time of a copy.
    const ENTRIES: usize = 256;

    /// Takes note of a datagram; true if it is a copy of one that was noted. Pieces and bulk have no copies.
    pub fn is_copy(&mut self, header: &Header) -> bool {
        if header.fragment || matches!(header.class, Class::Bulk | Class::Chatter) {
            return false;
        }
        if self.recent.is_empty() {
            self.recent = vec![u64::MAX; Seen::ENTRIES];
        }
        let destination: Destination = header.destination;
        let name = u64::from(destination.to_wire()) << 48 | u64::from(header.key_id) << 40 | header.sequence;
        let place = (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        let Some(entry) = self.recent.get_mut(place) else {
            return false;
        };
        std::mem::replace(entry, name) == name
    }
}

#[cfg(test)]
mod tests;
