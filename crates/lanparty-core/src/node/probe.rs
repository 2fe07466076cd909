//! How far the LAN gateway is: probes that measure the whole way between two members, queues included.
//!
//! A probe is a datagram like any other, so it waits where a small game packet waits. It carries a nonce and no clock: only the asker
//! needs to know when it asked. The one who answers is at the mercy of the one who asks, so answers are limited per member, and
//! a probe must be addressed to one member: a flooded one would be answered by the whole room at once.
//!
//! ```text
//! payload of Kind::Probe, 9 bytes: 0 = request, 1 = answer | nonce (8)
//! ```
//!
//! Two more kinds are about loops ([`crate::lan::loops`]), and go between a client and the LAN gateway only:
//!
//! ```text
//! 2 = heard at our adapter | token (22)
//! 3 = your port | 0 = open, else the number of the fault (1)
//! ```

use std::time::{Duration, Instant};

use lanparty_wire::{MemberId, PortFault};

use crate::lan::loops::Token;

/// How often a probe goes while frames flow.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// How often when none do.
pub const IDLE_INTERVAL: Duration = Duration::from_secs(5);
const REQUEST: u8 = 0;
const ANSWER: u8 = 1;
const HEARD: u8 = 2;
const PORT: u8 = 3;
/// Probes that may be on their way at once; an answer to an older one comes too late to be of interest.
const OUTSTANDING: usize = 4;
/// So many unanswered ones, and the round trip is not known any more.
const GIVE_UP: u32 = 3;
/// A change is told when it is this large, and a quarter of the last one told.
const NOTABLE: Duration = Duration::from_millis(5);

/// A decoded probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    Request(u64),
    Answer(u64),
    /// A client has heard this token at its own adapter.
    Heard(Token),
    /// The LAN gateway has stopped the receiver's port, or not any more.
    Port(Option<PortFault>),
}

impl Probe {
    /// Writes the payload.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Probe::Request(nonce) => [&[REQUEST][..], &nonce.to_be_bytes()].concat(),
            Probe::Answer(nonce) => [&[ANSWER][..], &nonce.to_be_bytes()].concat(),
            Probe::Heard(token) => [&[HEARD][..], &token.encode()].concat(),
            Probe::Port(fault) => vec![PORT, fault.map_or(0, PortFault::code)],
        }
    }

    /// Reads a payload; `None` if it is none. Bytes behind it are for later versions.
    pub fn decode(payload: &[u8]) -> Option<Probe> {
        let (&kind, rest) = payload.split_first()?;
        let nonce = || rest.first_chunk().map(|nonce| u64::from_be_bytes(*nonce));
        match (kind, rest) {
            (REQUEST, _) => nonce().map(Probe::Request),
            (ANSWER, _) => nonce().map(Probe::Answer),
            (HEARD, _) => Token::decode(rest).map(Probe::Heard),
            (PORT, [0, ..]) => Some(Probe::Port(None)),
            (PORT, &[code, ..]) => PortFault::of_code(code).map(|fault| Probe::Port(Some(fault))),
            _ => None,
        }
    }
}

/// The asking side, towards one member.
#[derive(Debug)]
pub struct Prober {
    target: MemberId,
    /// Makes nonces that others cannot guess.
    key: u64,
    count: u64,
    next: Instant,
    /// Nonce and time of the last requests, the newest at `count`.
    sent: [Option<(u64, Instant)>; OUTSTANDING],
    unanswered: u32,
    smoothed: Option<Duration>,
    told: Option<Duration>,
    active: bool,
}

impl Prober {
    /// Asks `target` for the first time at `now`. `key` is random per process.
    pub fn new(target: MemberId, key: u64, now: Instant) -> Prober {
        Prober {
            target,
            key,
            count: 0,
            next: now,
            sent: [None; OUTSTANDING],
            unanswered: 0,
            smoothed: None,
            told: None,
            active: true,
        }
    }

    /// Who is asked.
    pub fn target(&self) -> MemberId {
        self.target
    }

    /// Frames have flowed.
    pub fn note_activity(&mut self) {
        self.active = true;
    }

    /// When to ask again.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// The request to send if it is time.
    pub fn poll(&mut self, now: Instant) -> Option<Probe> {
        if now < self.next {
            return None;
        }
        self.next = now + if self.active { INTERVAL } else { IDLE_INTERVAL };
        self.active = false;
        if self.unanswered >= GIVE_UP {
            self.smoothed = None;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.count += 1;
        let nonce = scramble(self.key ^ scramble(self.count));
        self.sent[self.count as usize % OUTSTANDING] = Some((nonce, now));
        Some(Probe::Request(nonce))
    }

    /// An answer has come. Returns the round trip if it is worth telling.
    pub fn answered(&mut self, now: Instant, nonce: u64) -> Option<Duration> {
        let slot = self
            .sent
            .iter_mut()
            .find(|slot| slot.is_some_and(|(sent, _)| sent == nonce))?;
        let (_, sent) = slot.take()?;
        self.unanswered = 0;
        let sample = now.saturating_duration_since(sent);
        // RFC 6298, section 2: an eighth of each new sample.
        let smoothed = self
            .smoothed
            .map_or(sample, |smoothed| (smoothed * 7 + sample) / 8);
        self.smoothed = Some(smoothed);
        let notable = self.told.is_none_or(|told| {
            let change = smoothed.abs_diff(told);
            change >= NOTABLE && change >= told / 4
        });
        notable.then(|| {
            self.told = Some(smoothed);
            smoothed
        })
    }

    /// The smoothed round trip; `None` before the first answer and when several have failed to come.
    pub fn rtt(&self) -> Option<Duration> {
        self.smoothed
    }
}

/// The answering side: how many answers one member may still ask for.
#[derive(Debug)]
pub struct Answers {
    left: u32,
    refilled: Instant,
}

impl Answers {
    const BURST: u32 = 8;
    /// Eight times what a client asks for.
    const EVERY: Duration = Duration::from_millis(250);

    /// A full allowance.
    pub fn new(now: Instant) -> Answers {
        Answers {
            left: Answers::BURST,
            refilled: now,
        }
    }

    /// True if one more may be answered.
    pub fn allow(&mut self, now: Instant) -> bool {
        while self.left < Answers::BURST && now.saturating_duration_since(self.refilled) >= Answers::EVERY {
            self.left += 1;
            self.refilled += Answers::EVERY;
        }
        if self.left == Answers::BURST {
            self.refilled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): a bijection without pattern.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: MemberId = MemberId::new(9).unwrap();

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn ask(prober: &mut Prober, now: Instant) -> u64 {
        match prober.poll(now) {
            Some(Probe::Request(nonce)) => nonce,
            other => panic!("{other:?} is no request"),
        }
    }

    #[test]
    fn probes_encode_and_anything_else_is_none() {
        for probe in [Probe::Request(7), Probe::Answer(u64::MAX)] {
            assert_eq!(Probe::decode(&probe.encode()), Some(probe));
        }
        assert_eq!(Probe::decode(&[0; 8]), None);
        assert_eq!(Probe::decode(&[2; 9]), None);
    }

    #[test]
    fn the_round_trip_is_from_request_to_its_own_answer() {
        let now = start();
        let mut prober = Prober::new(TARGET, 1, now);
        let nonce = ask(&mut prober, now);
        let later = now + Duration::from_millis(23);
        assert_eq!(prober.answered(later, nonce ^ 1), None, "not ours");
        assert_eq!(prober.answered(later, nonce), Some(Duration::from_millis(23)));
        assert_eq!(prober.answered(later, nonce), None, "once");
        assert_eq!(prober.rtt(), Some(Duration::from_millis(23)));
    }

    #[test]
    fn only_a_change_that_matters_is_told() {
        let mut now = start();
        let mut prober = Prober::new(TARGET, 1, now);
        let mut told = Vec::new();
        for millis in [20, 21, 22, 20, 90, 90, 90] {
            let nonce = ask(&mut prober, now);
            told.extend(prober.answered(now + Duration::from_millis(millis), nonce));
            now += IDLE_INTERVAL;
        }
        assert!(told.len() >= 2 && told.len() < 5, "{told:?}");
    }

    #[test]
    fn silence_is_asked_less_often_and_makes_the_round_trip_unknown() {
        let mut now = start();
        let mut prober = Prober::new(TARGET, 1, now);
        let nonce = ask(&mut prober, now);
        prober.answered(now, nonce);
        assert_eq!(prober.due(), now + INTERVAL);
        for _ in 0..=GIVE_UP {
            now = prober.due();
            ask(&mut prober, now);
        }
        assert_eq!(prober.due(), now + IDLE_INTERVAL);
        assert_eq!(prober.rtt(), None);
    }

    #[test]
    fn a_member_that_asks_too_much_is_not_answered() {
        let mut now = start();
        let mut answers = Answers::new(now);
        let count = (0..1000).filter(|_| answers.allow(now)).count();
        assert_eq!(count, Answers::BURST as usize);
        now += Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| answers.allow(now)).count(), 4);
        now += Duration::from_secs(3600);
        assert_eq!(
            (0..1000).filter(|_| answers.allow(now)).count(),
            Answers::BURST as usize
        );
    }
}
