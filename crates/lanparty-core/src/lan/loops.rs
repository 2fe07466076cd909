//! Finds members that have a second way to the LAN or to each other, and stops their ports before frames go round.
//!
//! A bridge between a player's adapter and his cable, or another VPN beside this one, makes a ring of the room and the LAN, and a
//! broadcast in a ring never ends. No spanning tree runs through the tunnel, so the LAN gateway asks: every [`INTERVAL`] a
//! small frame with a [`Token`] goes to each member alone and another one to the LAN. A member's token that is heard on the LAN names
//! that member; the LAN's token names the member that has heard it at its adapter, and says so;
//! and a member's token that another member has heard names the two. Tokens are keyed, so that nobody blames another, and good for
//! [`FRESH`]. What looks like a ring (a frame of the LAN that comes again and again, a member's address on the LAN) makes the next
//! question come at once.
//!
//! The cost: 60 bytes to each member and on the LAN every [`INTERVAL`], and every [`INTERVAL_BLOCKED`] to whom is stopped.
//!
//! A stopped port is asked on, and opens when no token has come back for its hold: [`HOLD`] the first time, twice as long each time that it
//! comes again, up to [`MAX_HOLD`]; who was good for [`FORGIVEN`] begins anew. A member whose address moves between room and LAN too
//! often ([`MAX_FLIPS`]), with no token to prove why, is stopped for its hold as well.

mod port;
mod token;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use lanparty_wire::{Mac, MemberId, PortFault};

use super::{Effect, Effects, RoomTag, Signal};
use crate::node::Event;
use port::Port;
use token::Minter;

pub use token::Token;

/// How often each member and the LAN are asked.
pub const INTERVAL: Duration = Duration::from_secs(3);
/// How often while a port is stopped.
pub const INTERVAL_BLOCKED: Duration = Duration::from_secs(1);
/// A hint makes the next question come at once, but no sooner than so long after the last one.
const AT_ONCE: Duration = Duration::from_millis(250);
/// A newcomer is asked after so long: the keys of a sealed room are agreed by then.
const SETTLED: Duration = Duration::from_millis(500);
/// How long a token is good for: the longest way there and back, and more.
pub const FRESH: Duration = Duration::from_secs(5);
/// How long a port stays stopped after the last token has come back, the first time.
pub const HOLD: Duration = Duration::from_secs(10);
/// The longest that it stays stopped.
pub const MAX_HOLD: Duration = Duration::from_secs(300);
/// After so long without a fault the next one is a first one.
pub const FORGIVEN: Duration = Duration::from_secs(600);
/// An address may move between room and LAN so often within [`FLIP_WINDOW`]: a machine that moves into the LAN moves once.
pub const MAX_FLIPS: u32 = 20;
/// Over how long moves are counted.
pub const FLIP_WINDOW: Duration = Duration::from_secs(10);
/// A LAN that sends our own frames back (some Wi-Fi does) shows nobody's address to have moved.
const REFLECTING: Duration = Duration::from_secs(30);
/// Members that are gone and whose faults are remembered.
const MAX_REMEMBERED: usize = 256;

/// What has become of a member's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// Frames to and from it are dropped from here on, for at least `hold`.
    Stopped {
        member: MemberId,
        fault: PortFault,
        hold: Duration,
    },
    /// It is as others' again.
    Opened { member: MemberId },
    /// The LAN has sent one of our own frames back to us: it has a loop of its own, or mirrors what it is sent.
    LanReflects,
}

/// The ports of a room, as its LAN gateway watches them.
#[derive(Debug)]
pub struct Loops {
    minter: Minter,
    tag: RoomTag,
    ports: BTreeMap<MemberId, Port>,
    blocked: usize,
    /// Whether the address of a member that is there was heard on the LAN last.
    is_astray: bool,
    lan_due: Option<Instant>,
    lan_asked: Option<Instant>,
    reflected: Option<Instant>,
    echoes: Echoes,
    /// The earliest of all timers, which is asked for after every frame.
    next: Option<Instant>,
}

impl Loops {
    /// Watches nobody yet. `secret` is random for each start, and keys the tokens.
    pub fn new(secret: [u8; 32], tag: RoomTag) -> Loops {
        Loops {
            minter: Minter::new(secret),
            tag,
            ports: BTreeMap::new(),
            blocked: 0,
            is_astray: false,
            lan_due: None,
            lan_asked: None,
            reflected: None,
            echoes: Echoes::default(),
            next: None,
        }
    }

    /// Why the port of a member is stopped, if it is.
    pub fn fault(&self, member: MemberId) -> Option<PortFault> {
        if self.blocked == 0 {
            return None;
        }
        self.ports.get(&member)?.fault()
    }

    /// Whether any port is stopped, so that what is for everybody must be sent to each member that is not.
    pub fn any_stopped(&self) -> bool {
        self.blocked > 0
    }

    /// Nobody is known to be there any more; faults are remembered.
    pub(super) fn room_entered(&mut self) {
        self.ports.values_mut().for_each(|port| port.present = false);
        self.schedule();
    }

    pub(super) fn member_came(&mut self, now: Instant, id: MemberId) {
        let due = now + SETTLED;
        let port = self.ports.entry(id).or_insert_with(|| Port::new(due));
        port.present = true;
        port.due = due;
        self.lan_due.get_or_insert(due);
        self.schedule();
    }

    pub(super) fn member_left(&mut self, id: MemberId) {
        if let Some(port) = self.ports.get_mut(&id) {
            port.present = false;
        }
        self.schedule();
    }

    /// A token was heard on the LAN.
    pub(super) fn heard_on_lan(&mut self, now: Instant, token: &Token, effects: &mut Effects) {
        if !self.minter.is_ours(now, token) {
            return;
        }
        match token.target {
            Some(member) => self.found(now, member, PortFault::LanLoop, effects),
            None => {
                let was = self.reflected.replace(now);
                if was.is_none_or(|at| now.saturating_duration_since(at) > FORGIVEN) {
                    effects.push_back(Effect::Tell(Event::Port(News::LanReflects)));
                }
            }
        }
    }

    /// A member has heard a token at its own adapter, and says so.
    pub(crate) fn returned(&mut self, now: Instant, from: MemberId, token: &Token, effects: &mut Effects) {
        if !self.minter.is_ours(now, token) {
            return;
        }
        match token.target {
            None => self.found(now, from, PortFault::LanLoop, effects),
            // One of two that are joined is enough to stop.
            Some(other) if other != from && self.fault(other).is_some() => {
                self.found(now, other, PortFault::MemberLoop, effects);
            }
            Some(_) => self.found(now, from, PortFault::MemberLoop, effects),
        }
    }

    /// The LAN has said something under a member's address.
    pub(crate) fn heard_member_on_lan(&mut self, now: Instant, id: MemberId, effects: &mut Effects) {
        self.hint(now, id);
        let is_explained = self.blocked > 0 || self.reflects(now);
        let Some(port) = self.ports.get_mut(&id).filter(|_| !is_explained) else {
            return;
        };
        self.is_astray = true;
        if port.moved(now, true) > MAX_FLIPS {
            self.found(now, id, PortFault::MacFlapping, effects);
        }
    }

    /// A member's frame goes to the LAN.
    pub(super) fn heard_from_member(&mut self, now: Instant, id: MemberId, effects: &mut Effects) {
        if !self.is_astray {
            return;
        }
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        let flips = port.moved(now, false);
        self.is_astray = self.ports.values().any(|port| port.is_astray());
        if flips > MAX_FLIPS {
            self.found(now, id, PortFault::MacFlapping, effects);
        }
    }

    /// Something that only a ring would explain was seen at this member.
    pub(crate) fn hint(&mut self, now: Instant, id: MemberId) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        port.ask_soon(now, AT_ONCE);
        self.ask_lan_soon(now);
    }

    /// The LAN says something to everybody. One frame that comes again and again within a moment may be going round.
    pub(super) fn heard_flood(&mut self, now: Instant, frame: &[u8]) {
        if self.echoes.heard(now, frame) {
            self.ports
                .values_mut()
                .for_each(|port| port.ask_soon(now, AT_ONCE));
            self.ask_lan_soon(now);
        }
    }

    /// When [`Loops::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Asks who is to be asked, and opens the ports whose hold is over. A LAN gateway that is not the active one asks nobody.
    pub(super) fn handle_timeout(&mut self, now: Instant, is_active: bool, effects: &mut Effects) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        let stopped: Vec<MemberId> = self.stopped().collect();
        for id in stopped {
            self.open_if_over(now, id, is_active, effects);
        }
        let due = |port: &Port| port.present && port.due <= now;
        let asked: Vec<MemberId> = self
            .ports
            .iter()
            .filter(|(_, p)| due(p))
            .map(|(&id, _)| id)
            .collect();
        for id in asked {
            self.ask(now, id, is_active, effects);
        }
        if self.lan_due.is_some_and(|due| due <= now) {
            self.lan_due = Some(now + self.lan_interval());
            self.lan_asked = Some(now);
            if is_active {
                let question = self.question(now, None);
                effects.push_back(Effect::ToLan(question));
            }
        }
        self.forget(now);
        self.schedule();
    }

    fn ask(&mut self, now: Instant, id: MemberId, is_active: bool, effects: &mut Effects) {
        let question = self.question(now, Some(id));
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        port.asked(now);
        if !is_active {
            return;
        }
        effects.push_back(Effect::ToMember(id, question));
        if let Some(fault) = port.fault() {
            effects.push_back(Effect::Port(id, Some(fault)));
        }
    }

    fn question(&mut self, now: Instant, target: Option<MemberId>) -> Vec<u8> {
        let token = self.minter.token(now, target);
        Signal::Probe(token).frame(self.source(target), self.tag)
    }

    /// Under which address a question goes. What is on the LAN and what is in the room have one each, so that no switch sees one move,
    /// and neither is anybody's.
    fn source(&self, target: Option<MemberId>) -> Mac {
        self.minter.mac(target.is_some())
    }

    fn found(&mut self, now: Instant, id: MemberId, fault: PortFault, effects: &mut Effects) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        if let Some(block) = &mut port.block {
            block.last = now;
            return;
        }
        let hold = port.stop(now, fault);
        self.blocked += 1;
        // What moved did so because of this one.
        self.ports.values_mut().for_each(Port::forget_moves);
        self.is_astray = false;
        let due = now + INTERVAL_BLOCKED;
        self.lan_due = Some(self.lan_due.map_or(due, |at| at.min(due)));
        let stopped = News::Stopped {
            member: id,
            fault,
            hold,
        };
        effects.push_back(Effect::Tell(Event::Port(stopped)));
        effects.push_back(Effect::Port(id, Some(fault)));
        self.schedule();
    }

    fn open_if_over(&mut self, now: Instant, id: MemberId, is_active: bool, effects: &mut Effects) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        let is_over = port.block.as_ref().is_some_and(|block| block.until() <= now);
        if !is_over && is_active {
            return;
        }
        port.open(now);
        self.blocked = self.stopped().count();
        effects.push_back(Effect::Tell(Event::Port(News::Opened { member: id })));
        effects.push_back(Effect::Port(id, None));
    }

    fn stopped(&self) -> impl Iterator<Item = MemberId> + '_ {
        let stopped = |(&id, port): (&MemberId, &Port)| port.block.is_some().then_some(id);
        self.ports.iter().filter_map(stopped)
    }

    fn lan_interval(&self) -> Duration {
        if self.blocked > 0 {
            INTERVAL_BLOCKED
        } else {
            INTERVAL
        }
    }

    fn reflects(&self, now: Instant) -> bool {
        self.reflected
            .is_some_and(|at| now.saturating_duration_since(at) < REFLECTING)
    }

    fn ask_lan_soon(&mut self, now: Instant) {
        let soonest = self.lan_asked.map_or(now, |asked| (asked + AT_ONCE).max(now));
        self.lan_due = self.lan_due.map(|due| due.min(soonest));
        self.schedule();
    }

    /// Who is gone and was good for long enough is nobody any more.
    fn forget(&mut self, now: Instant) {
        self.ports
            .retain(|_, port| port.present || port.is_remembered(now));
        let absent = |(&id, port): (&MemberId, &Port)| (!port.present).then_some(id);
        let absent: Vec<MemberId> = self.ports.iter().filter_map(absent).collect();
        for id in absent.iter().skip(MAX_REMEMBERED) {
            self.ports.remove(id);
        }
        self.blocked = self.stopped().count();
    }

    fn schedule(&mut self) {
        if self.ports.values().all(|port| !port.present) {
            self.lan_due = None;
        }
        let ports = self.ports.values().filter_map(Port::due);
        self.next = ports.chain(self.lan_due).min();
    }
}

/// Frames of the LAN to everybody that were heard a moment ago.
#[derive(Debug)]
struct Echoes {
    /// By hash: since when, and how often.
    recent: [Option<(u64, Instant, u32)>; Echoes::SLOTS],
}

impl Default for Echoes {
    fn default() -> Echoes {
        Echoes {
            recent: [None; Echoes::SLOTS],
        }
    }
}

impl Echoes {
    const SLOTS: usize = 64;
    /// How long a moment is. Around a ring it takes a round trip.
    const MOMENT: Duration = Duration::from_secs(1);
    /// Nothing in its right mind says the same so often within a moment.
    const MANY: u32 = 6;
    /// Bytes that tell one frame from another.
    const LOOKED_AT: usize = 128;

    /// True if this one comes again and again; once for each moment.
    fn heard(&mut self, now: Instant, frame: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        frame.len().hash(&mut hasher);
        frame[..frame.len().min(Echoes::LOOKED_AT)].hash(&mut hasher);
        let hash = hasher.finish();
        let slot = &mut self.recent[hash as usize % Echoes::SLOTS];
        match slot {
            Some((known, since, count))
                if *known == hash && now.saturating_duration_since(*since) < Echoes::MOMENT =>
            {
                *count += 1;
                *count == Echoes::MANY
            }
            _ => {
                *slot = Some((hash, now, 1));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
