//! The book of every test frame: who sent it, who must get it, who got it, and which copies the network itself lost.
//!
//! The rule is strict in both directions. A station that must get a frame gets it exactly once, unless the emulator lost one of the
//! datagrams that carried *this* copy, and then not at all. Nobody else gets it. What a member that comes or goes at that moment gets is
//! its own luck, but never twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use bytes::Bytes;
use lanparty_wire::DropReason;

use super::relay::Conn;

/// A member that comes or goes within this time of a frame may miss it. Longer than any datagram is on its way.
pub const SETTLING: Duration = Duration::from_millis(1500);
/// Violations beyond these say nothing new.
const MAX_TOLD: usize = 20;

/// Somebody who sends and receives frames: a member of the room (but not the LAN gateway), or a host on the LAN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Station {
    /// By its seat.
    Player(usize),
    /// By its number on the LAN.
    Host(usize),
}

/// Who is to get a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    Everybody,
    One(Station),
}

/// A frame of a test, in the order of sending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameId(pub u64);

/// A datagram on its way, and what the emulator knows of it without looking inside.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub bytes: Bytes,
    /// The test frame in it, or of which it is a piece.
    pub frame: Option<FrameId>,
    /// When it arrived at the relay, as a count.
    pub arrival: u64,
}

/// What must stay in order.
type Flow = (Station, Target, u16);

#[derive(Debug)]
struct Sent {
    at: Duration,
    from: Station,
    to: Target,
    flow: u16,
    must: BTreeSet<Station>,
    /// The LAN gateway's seat, if it stands between the sender and some of the receivers.
    gateway: Option<usize>,
}

/// The book.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: Vec<Sent>,
    got: BTreeMap<(FrameId, Station), u32>,
    lost_up: BTreeSet<FrameId>,
    /// A second copy has left for whoever might miss the first.
    copied: BTreeSet<FrameId>,
    /// By the seat that the copy was for.
    lost_down: BTreeSet<(FrameId, usize)>,
    /// When which seat came or went.
    moves: Vec<(usize, Duration)>,
    drops: BTreeMap<FrameId, Vec<String>>,
    violations: Vec<String>,
    /// Copies that a queue has dropped because they had waited for too long, or so that their sender slows down.
    late: usize,
    /// When a station got something of a flow last.
    last: BTreeMap<(Station, u16), Duration>,
    left_sender: BTreeMap<(usize, Flow), FrameId>,
    left_relay: BTreeMap<(Conn, Flow), (u64, FrameId)>,
}

/// How a run went, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    pub frames: usize,
    /// Copies that had to arrive.
    pub due: usize,
    pub arrived: usize,
    /// Copies that the emulator lost.
    pub lost: usize,
    /// Copies that somebody's coming or going excuses.
    pub excused: usize,
    /// Frames that a queue has dropped to stay short.
    pub late: usize,
}

impl std::ops::Add for Summary {
    type Output = Summary;

    fn add(self, other: Summary) -> Summary {
        Summary {
            frames: self.frames + other.frames,
            due: self.due + other.due,
            arrived: self.arrived + other.arrived,
            lost: self.lost + other.lost,
            excused: self.excused + other.excused,
            late: self.late + other.late,
        }
    }
}

impl Ledger {
    /// A station sends a frame that `must` get.
    pub fn send(
        &mut self,
        at: Duration,
        from: Station,
        to: Target,
        flow: u16,
        must: BTreeSet<Station>,
        gateway: Option<usize>,
    ) -> FrameId {
        self.sent.push(Sent {
            at,
            from,
            to,
            flow,
            must,
            gateway,
        });
        FrameId(self.sent.len() as u64 - 1)
    }

    /// A seat comes or goes.
    pub fn moved(&mut self, at: Duration, seat: usize) {
        self.moves.push((seat, at));
    }

    /// A datagram leaves its sender: within a flow, in the order of sending.
    pub fn left_sender(&mut self, seat: usize, frame: FrameId) {
        let Some(flow) = self.flow(frame) else { return };
        let last = self.left_sender.insert((seat, flow), frame);
        if last.is_some_and(|last| last > frame) {
            self.violate(format!(
                "{frame:?} left seat {seat} after {last:?} of the same flow"
            ));
        }
    }

    /// A copy leaves the relay: within a flow, in the order of arrival there. Where the network has put an urgent frame behind a patient
    /// one that was sent after it, the relay may put that right.
    pub fn left_relay(&mut self, target: Conn, frame: FrameId, arrival: u64) {
        let Some(flow) = self.flow(frame) else { return };
        let last = self.left_relay.insert((target, flow), (arrival, frame));
        if let Some((last_arrival, last)) = last
            && last_arrival > arrival
            && last >= frame
        {
            self.violate(format!("the relay sent {last:?} to {target:?} before {frame:?}"));
        }
    }

    /// A second copy of a frame leaves somebody, in no order.
    pub fn copied(&mut self, frame: FrameId) {
        self.copied.insert(frame);
    }

    /// How many frames of a flow a station was to get, and how many of those it got.
    pub fn delivered(&self, station: Station, flow: u16) -> (usize, usize) {
        let of_flow = |sent: &Sent| sent.flow == flow && sent.must.contains(&station);
        let due = (0..)
            .map(FrameId)
            .zip(&self.sent)
            .filter(|(_, sent)| of_flow(sent));
        due.fold((0, 0), |(due, got), (frame, _)| {
            (
                due + 1,
                got + usize::from(self.got.contains_key(&(frame, station))),
            )
        })
    }

    /// The emulator loses a datagram on its way to the relay, and so every copy.
    pub fn lose_up(&mut self, frame: FrameId) {
        self.lost_up.insert(frame);
    }

    /// The emulator loses one copy.
    pub fn lose_down(&mut self, frame: FrameId, seat: usize) {
        self.lost_down.insert((frame, seat));
    }

    /// Somebody of ours drops it; that may be right, and is told where it was not.
    pub fn dropped(&mut self, frame: FrameId, who: &str, reason: DropReason) {
        let drops = self.drops.entry(frame).or_default();
        if drops.len() < 4 {
            drops.push(format!("{who}: {reason}"));
        }
    }

    /// A station's system sees the frame.
    pub fn receive(&mut self, at: Duration, frame: FrameId, station: Station) {
        let Some(sent) = self.sent.get(frame.0 as usize) else {
            return self.violate(format!("{station:?} got {frame:?}, which nobody has sent"));
        };
        let (from, to) = (sent.from, sent.to);
        self.last.insert((station, sent.flow), at);
        let count = self.got.entry((frame, station)).or_default();
        *count += 1;
        let count = *count;
        if count > 1 {
            self.violate(format!("{station:?} got {frame:?} of {from:?} {count} times"));
        }
        if station == from {
            self.violate(format!("{frame:?} came back to {from:?}"));
        }
        if matches!(to, Target::One(meant) if meant != station) {
            self.violate(format!("{station:?} got {frame:?} of {from:?} for {to:?}"));
        }
    }

    /// When a station got something of a flow last, from whomever.
    pub fn last(&self, station: Station, flow: u16) -> Option<Duration> {
        self.last.get(&(station, flow)).copied()
    }

    /// Queues have dropped so many to stay short. It need not be known which.
    pub fn late(&mut self, count: usize) {
        self.late += count;
    }

    /// Something that must never be.
    pub fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Balances the book. Nodes have dropped `late` frames to keep their queues short.
    ///
    /// # Errors
    /// What was wrong, in lines.
    pub fn balance(&self, late: usize) -> Result<Summary, String> {
        let mut wrong: Vec<String> = self.violations.clone();
        let mut summary = Summary {
            frames: self.sent.len(),
            ..Summary::default()
        };
        let mut missing: Vec<(FrameId, String)> = Vec::new();
        for (index, sent) in self.sent.iter().enumerate() {
            let frame = FrameId(index as u64);
            for &station in &sent.must {
                summary.due += 1;
                let arrived = self.got.contains_key(&(frame, station));
                // Of two copies one may be lost.
                let lost = self.is_lost(frame, sent, station) && !(arrived && self.copied.contains(&frame));
                summary.arrived += usize::from(arrived);
                summary.lost += usize::from(lost);
                if arrived != lost {
                    continue;
                }
                if !arrived && self.is_excused(sent, station) {
                    summary.excused += 1;
                    continue;
                }
                let described = self.describe(frame, sent);
                if arrived {
                    wrong.push(format!("{station:?} got, though it was lost, {described}"));
                } else {
                    missing.push((frame, format!("{station:?} never got {described}")));
                }
            }
        }
        summary.late = missing
            .iter()
            .map(|(frame, _)| frame)
            .collect::<BTreeSet<_>>()
            .len();
        if summary.late > self.late + late {
            wrong.extend(missing.into_iter().map(|(_, what)| what));
        }
        if wrong.is_empty() {
            return Ok(summary);
        }
        let count = wrong.len();
        wrong.truncate(MAX_TOLD);
        let mut text = wrong.join("\n");
        let _ = write!(text, "\n({count} in all; {summary:?})");
        Err(text)
    }

    /// A copy between two stations crosses the room once: from the player or LAN gateway in front of the sender to the one in front of
    /// the receiver.
    fn is_lost(&self, frame: FrameId, sent: &Sent, station: Station) -> bool {
        let door = |station| match station {
            Station::Player(seat) => Some(seat),
            Station::Host(_) => sent.gateway,
        };
        let (Some(from), Some(to)) = (door(sent.from), door(station)) else {
            return false;
        };
        from != to && (self.lost_up.contains(&frame) || self.lost_down.contains(&(frame, to)))
    }

    fn is_excused(&self, sent: &Sent, station: Station) -> bool {
        let concerned = |seat: usize| {
            sent.gateway == Some(seat)
                || sent.from == Station::Player(seat)
                || station == Station::Player(seat)
        };
        self.moves
            .iter()
            .any(|&(seat, at)| concerned(seat) && at >= sent.at && at <= sent.at + SETTLING)
    }

    fn describe(&self, frame: FrameId, sent: &Sent) -> String {
        let drops = self.drops.get(&frame).map_or(&[][..], |drops| drops);
        format!(
            "{frame:?} sent at {:?} by {:?} to {:?} {drops:?}",
            sent.at, sent.from, sent.to
        )
    }

    fn flow(&self, frame: FrameId) -> Option<Flow> {
        let sent = self.sent.get(frame.0 as usize)?;
        Some((sent.from, sent.to, sent.flow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Station = Station::Player(1);
    const RECEIVER: Station = Station::Player(2);

    fn ledger() -> (Ledger, FrameId) {
        let mut ledger = Ledger::default();
        let must = BTreeSet::from([RECEIVER]);
        let frame = ledger.send(Duration::ZERO, SENDER, Target::One(RECEIVER), 0, must, Some(0));
        (ledger, frame)
    }

    #[test]
    fn a_frame_that_arrives_once_balances() {
        let (mut ledger, frame) = ledger();
        ledger.receive(Duration::ZERO, frame, RECEIVER);
        let summary = ledger.balance(0).unwrap();
        assert_eq!((summary.due, summary.arrived, summary.lost), (1, 1, 0));
    }

    #[test]
    fn each_way_to_be_wrong_is_found() {
        let (ledger_with_nothing, _) = ledger();
        assert!(ledger_with_nothing.balance(0).is_err(), "missing");
        for wrong in [
            |ledger: &mut Ledger, frame| (0..2).for_each(|_| ledger.receive(Duration::ZERO, frame, RECEIVER)),
            |ledger: &mut Ledger, frame| {
                [RECEIVER, SENDER]
                    .map(|s| ledger.receive(Duration::ZERO, frame, s))
                    .into_iter()
                    .collect()
            },
            |ledger: &mut Ledger, frame| {
                ledger.receive(Duration::ZERO, frame, RECEIVER);
                ledger.receive(Duration::ZERO, frame, Station::Host(3));
            },
            |ledger: &mut Ledger, frame| {
                ledger.receive(Duration::ZERO, frame, RECEIVER);
                ledger.lose_down(frame, 2);
            },
        ] {
            let (mut ledger, frame) = ledger();
            wrong(&mut ledger, frame);
            assert!(ledger.balance(0).is_err(), "{ledger:?}");
        }
    }

    #[test]
    fn only_the_copy_that_was_lost_is_forgiven() {
        let (mut lost, frame) = ledger();
        lost.lose_down(frame, 2);
        assert!(lost.balance(0).is_ok());
        let (mut other, frame) = ledger();
        other.lose_down(frame, 3);
        assert!(other.balance(0).is_err(), "another's copy");
        let (mut up, frame) = ledger();
        up.lose_up(frame);
        assert!(up.balance(0).is_ok());
    }

    #[test]
    fn leaving_excuses_for_a_moment_only() {
        let (mut leaving, _) = ledger();
        leaving.moved(SETTLING / 2, 2);
        assert_eq!(leaving.balance(0).unwrap().excused, 1);
        let (mut later, _) = ledger();
        later.moved(SETTLING * 2, 2);
        assert!(later.balance(0).is_err());
    }

    #[test]
    fn a_flow_out_of_order_is_found() {
        let mut ledger = Ledger::default();
        let mut send = |flow| {
            ledger.send(
                Duration::ZERO,
                SENDER,
                Target::Everybody,
                flow,
                BTreeSet::new(),
                None,
            )
        };
        let (first, second, other) = (send(1), send(1), send(2));
        ledger.left_sender(1, other);
        ledger.left_sender(1, first);
        ledger.left_sender(1, second);
        assert!(ledger.balance(0).is_ok(), "flows may overtake each other");
        ledger.left_sender(1, first);
        assert!(ledger.balance(0).is_err());
    }

    #[test]
    fn a_relay_may_mend_the_order_and_not_spoil_it() {
        let mut ledger = Ledger::default();
        let mut send = || {
            ledger.send(
                Duration::ZERO,
                SENDER,
                Target::Everybody,
                1,
                BTreeSet::new(),
                None,
            )
        };
        let (first, second, third) = (send(), send(), send());
        ledger.left_relay(Conn(1), first, 2);
        ledger.left_relay(Conn(1), second, 1);
        assert!(ledger.balance(0).is_ok(), "as they were sent");
        ledger.left_relay(Conn(1), third, 4);
        ledger.left_relay(Conn(1), second, 3);
        assert!(ledger.balance(0).is_err());
    }
}
