//! Whether this LAN gateway carries frames, or waits for the active one to fail.
//!
//! The relay gives the lease ([`crate::relay`]), and this is the side that holds itself to it: a LAN gateway that somebody waits for
//! asks again every [`ASK`], and stops by itself when its last successful question is older than the lease, because by then another one may be
//! active. Nothing is carried on the strength of an answer alone: the lease counts from when the question was asked.
//!
//! The relay can be wrong, or two relays can disagree. So a LAN gateway that somebody waits for also says on the LAN that it is active
//! ([`Signal::Beacon`](super::Signal)), and one that has got the lease holds back while it hears another one there. An active one that hears
//! a later term stops at once.

use std::time::{Duration, Instant};

use lanparty_wire::control::Tenure;

/// How often the lease is asked for while somebody waits.
pub const ASK: Duration = Duration::from_millis(250);
/// How often the LAN is told which one is active.
pub const BEACON: Duration = Duration::from_millis(100);
/// An active LAN gateway that was not heard on the LAN for so long is not there.
const SILENCE: Duration = Duration::from_millis(400);

/// What a LAN gateway may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Another one is active, or nobody has said anything yet.
    Waiting,
    /// We are to be the active one, and do not know yet that we may.
    Chosen,
    /// We carry frames, until then; `None` while nobody waits.
    Active(Option<Instant>),
}

/// What a change means for the room's LAN gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// It carries frames from here on.
    Begun,
    /// It carries none from here on.
    Ended,
}

/// The duty of one LAN gateway.
#[derive(Debug)]
pub struct Duty {
    state: State,
    term: u64,
    /// Whether another LAN gateway is in the room.
    contested: bool,
    /// The last question that has no answer yet.
    asked: Option<(u64, Instant)>,
    questions: u64,
    next_ask: Option<Instant>,
    /// When another active one was last heard on the LAN.
    rival: Option<Instant>,
    told: bool,
}

impl Default for Duty {
    fn default() -> Duty {
        Duty::new()
    }
}

impl Duty {
    /// Waits until the relay says something.
    pub fn new() -> Duty {
        Duty {
            state: State::Waiting,
            term: 0,
            contested: false,
            asked: None,
            questions: 0,
            next_ask: None,
            rival: None,
            told: false,
        }
    }

    /// Whether frames may pass between LAN and room.
    pub fn is_active(&self, now: Instant) -> bool {
        match self.state {
            State::Waiting | State::Chosen => false,
            State::Active(_) => self.is_claimed(now) && !self.hears_rival(now),
        }
    }

    /// Whether the lease is ours, if not for the LAN: then the LAN is to know.
    pub fn is_claimed(&self, now: Instant) -> bool {
        matches!(self.state, State::Active(until) if until.is_none_or(|until| now < until))
    }

    /// The term of the newest lease that is known.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whether another LAN gateway is in the room, so that the LAN is to be told which one is active.
    pub fn is_contested(&self) -> bool {
        self.contested
    }

    /// We have come into the room. Whoever is alone in it is active at once.
    pub fn entered(&mut self, is_ours: bool) {
        self.contested = false;
        self.asked = None;
        self.next_ask = None;
        match (is_ours, self.state) {
            // It held before the connection was lost, and nobody has got it since.
            (true, _) => self.state = State::Active(None),
            (false, _) => self.wait(),
        }
    }

    /// The relay says whose the lease is.
    pub fn assigned(&mut self, now: Instant, is_ours: bool, term: u64) {
        if term < self.term {
            return;
        }
        self.term = term;
        match (is_ours, self.state) {
            (true, State::Waiting) => {
                self.state = State::Chosen;
                self.next_ask = Some(now);
            }
            (true, State::Chosen | State::Active(_)) => {}
            (false, _) => self.wait(),
        }
    }

    /// Another LAN gateway is in the room, or no other is.
    pub fn set_contested(&mut self, now: Instant, contested: bool) {
        if contested && !self.contested && self.state != State::Waiting {
            self.next_ask = Some(now);
        }
        self.contested = contested;
    }

    /// The relay's answer to a question.
    pub fn answered(&mut self, number: u64, term: u64, tenure: Tenure) {
        let Some((_, at)) = self.asked.take_if(|(asked, _)| *asked == number) else {
            return;
        };
        self.term = self.term.max(term);
        match tenure {
            Tenure::Waiting => self.wait(),
            Tenure::Unlimited => self.state = State::Active(None),
            Tenure::Milliseconds(lasts) => {
                self.state = State::Active(Some(at + Duration::from_millis(lasts.into())));
            }
        }
    }

    /// Another active LAN gateway of this room was heard on the LAN.
    pub fn heard_rival(&mut self, now: Instant, term: u64) {
        self.rival = Some(now);
        if term > self.term && self.state != State::Waiting {
            // The relay knows whose the lease is; until it has said so, nothing is carried.
            self.state = State::Chosen;
            self.next_ask.get_or_insert(now + ASK);
        }
    }

    /// The number of a question that is to be asked now.
    pub fn poll_question(&mut self, now: Instant) -> Option<u64> {
        if self.next_ask.is_none_or(|next| now < next) {
            return None;
        }
        let goes_on = self.contested || self.state == State::Chosen;
        self.next_ask = goes_on.then(|| now + ASK);
        self.questions += 1;
        // An answer that is still under way counts from its own question, which is the earlier and safer one; only one that is lost for
        // good, with its connection, is replaced.
        if self
            .asked
            .is_none_or(|(_, at)| now.saturating_duration_since(at) >= 4 * ASK)
        {
            self.asked = Some((self.questions, now));
            return Some(self.questions);
        }
        None
    }

    /// What has changed since the last call, for those who are to be told.
    pub fn poll_change(&mut self, now: Instant) -> Option<Change> {
        self.rival = self.rival.filter(|_| self.hears_rival(now));
        let active = self.is_active(now);
        (std::mem::replace(&mut self.told, active) != active).then_some(match active {
            true => Change::Begun,
            false => Change::Ended,
        })
    }

    /// When to look again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let end = match self.state {
            State::Active(until) if self.told => until,
            // The lease is there, and somebody else still speaks.
            State::Active(_) => self.rival.map(|heard| heard + SILENCE),
            State::Waiting | State::Chosen => None,
        };
        [end, self.next_ask].into_iter().flatten().min()
    }

    fn hears_rival(&self, now: Instant) -> bool {
        self.rival
            .is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE)
    }

    fn wait(&mut self) {
        self.state = State::Waiting;
        self.asked = None;
        self.next_ask = None;
    }
}
