//! The relay without its sockets: the real admission, the real checks of each datagram, a real scheduler per target.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_core::{
    ecn, fragment,
    guard::Limits,
    redundancy::{Mode, Redundancy},
    relay::{Ingress, IngressConfig, Join, RoomLimits, Rooms, Roster, Seat, UnixTime},
    scheduler::{Bounds, FlowId, Scheduler},
};
use lanparty_wire::{
    Class, DropReason, LeaveReason, MemberId, PeerId,
    control::{Hello, Message},
    mtu,
};
use rand::{SeedableRng, rngs::SmallRng};

use super::ledger::Parcel;

/// A connection, by its number in the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Conn(pub usize);

/// A message for a connection's control stream.
pub type Letter = (Conn, Message);

/// A copy of a datagram for one target.
#[derive(Debug)]
pub struct Copy {
    pub target: Conn,
    pub class: Class,
    pub flow: FlowId,
    pub bytes: Bytes,
}

/// What a hello led to.
#[derive(Debug)]
pub struct Welcomed {
    pub letters: Vec<Letter>,
    pub displaced: Option<Conn>,
    pub admitted: bool,
}

/// All of a relay's state for one room.
pub struct Relay {
    rooms: Rooms<Conn>,
    config: IngressConfig,
    random: SmallRng,
    members: BTreeMap<Conn, Seated>,
    roster: Arc<Roster<Conn>>,
}

struct Seated {
    seat: Seat,
    ingress: Ingress,
    queue: Scheduler<Queued>,
    copies: Redundancy<Parcel>,
}

/// A datagram and its flow.
type Queued = (FlowId, Parcel);

impl Relay {
    pub fn new(seed: u64) -> Relay {
        Relay {
            rooms: Rooms::new(RoomLimits::default()),
            config: IngressConfig {
                limits: Limits::default(),
                mtu: mtu::DEFAULT_MTU,
                malformed_limit: 10,
                guard: true,
            },
            random: SmallRng::seed_from_u64(seed),
            members: BTreeMap::new(),
            roster: Arc::new(Roster::new([])),
        }
    }

    /// The process is killed and started again: what it keeps on disk is all that it knows. Returns the connections that it had.
    pub fn restart(&mut self, at: Duration) -> Vec<Conn> {
        let saved = self.rooms.save();
        self.rooms = Rooms::restore(RoomLimits::default(), saved, unix(at));
        self.roster = Arc::new(Roster::new([]));
        std::mem::take(&mut self.members).into_keys().collect()
    }

    /// Somebody asks to be let in.
    pub fn hello(
        &mut self,
        now: Instant,
        at: Duration,
        conn: Conn,
        identity: PeerId,
        hello: &Hello,
    ) -> Welcomed {
        let join = Join {
            identity,
            hello,
            address: Ipv4Addr::new(192, 0, 2, (conn.0 % 250) as u8).into(),
            may_open: true,
            leg_budget: hello.budget,
            clock: now,
        };
        let admission = match self.rooms.join(unix(at), &mut self.random, &join, conn) {
            Ok(admission) => admission,
            Err(refusal) => {
                let reject = Message::Reject {
                    reason: refusal.reason,
                    detail: refusal.detail,
                };
                return Welcomed {
                    letters: vec![(conn, reject)],
                    displaced: None,
                    admitted: false,
                };
            }
        };
        if let Some(ghost) = admission.displaced {
            self.members.remove(&ghost);
        }
        self.roster = admission.roster;
        let member = admission.member;
        let mut letters = self.to_others(
            member.id,
            &Message::Joined {
                member: member.clone(),
            },
        );
        letters.push((conn, Message::Welcome(admission.welcome)));
        let catch_up = admission.others.into_iter();
        letters.extend(catch_up.map(|member| (conn, Message::Joined { member })));
        self.members.insert(
            conn,
            Seated {
                ingress: Ingress::new(&member, admission.seat.room.is_sealed(), &self.config, now),
                seat: admission.seat,
                queue: Scheduler::new(Bounds::default()),
                copies: Redundancy::new(Mode::Auto),
            },
        );
        Welcomed {
            letters,
            displaced: admission.displaced,
            admitted: true,
        }
    }

    /// A message of a member's; what others are told because of it.
    pub fn control(&mut self, now: Instant, at: Duration, conn: Conn, message: &Message) -> Vec<Letter> {
        let Some(seated) = self.members.get(&conn) else {
            return Vec::new();
        };
        let id = seated.seat.member;
        match message {
            Message::Goodbye { reason } => self.gone(now, at, conn, reason.clone()),
            Message::Budget { bytes, .. } => {
                let Some((change, roster)) = self.rooms.set_budget(&seated.seat, Some(*bytes), Some(*bytes))
                else {
                    return Vec::new();
                };
                self.roster = roster;
                let tell = |bytes| {
                    let member = Some(id);
                    self.to_others(id, &Message::Budget { member, bytes })
                };
                change.map_or_else(Vec::new, tell)
            }
            Message::LanLink { up, .. } => {
                let Some(roster) = self.rooms.set_lan_link(&seated.seat, *up) else {
                    return Vec::new();
                };
                self.roster = roster;
                let (member, up) = (Some(id), *up);
                self.to_others(id, &Message::LanLink { member, up })
            }
            other => panic!("a node has sent {other:?}"),
        }
    }

    /// A connection has ended.
    pub fn gone(&mut self, now: Instant, at: Duration, conn: Conn, reason: LeaveReason) -> Vec<Letter> {
        let Some(seated) = self.members.remove(&conn) else {
            return Vec::new();
        };
        let Some(departure) = self.rooms.leave(unix(at), now, &seated.seat, reason) else {
            return Vec::new();
        };
        self.roster = departure.roster;
        let left = Message::Left {
            member: departure.member,
            incarnation: departure.incarnation,
            reason: departure.reason,
        };
        self.to_others(departure.member, &left)
    }

    /// Whom a datagram goes to, cut for each who cannot take it whole.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn forward(&mut self, now: Instant, conn: Conn, datagram: &Bytes) -> Result<Vec<Copy>, DropReason> {
        let seated = self.members.get_mut(&conn).ok_or(DropReason::UnknownSource)?;
        let forward = seated.ingress.forward(now, datagram, &self.roster)?;
        let mut copies = Vec::new();
        forward.targets.for_each(|entry| {
            let mut copy = |bytes| {
                copies.push(Copy {
                    target: entry.handle,
                    class: forward.class,
                    flow: forward.flow,
                    bytes,
                });
            };
            let budget = entry.member.budget;
            if datagram.len() <= usize::from(budget) {
                return copy(datagram.clone());
            }
            let cut = fragment::recut(datagram, budget, |head, body| copy([head, body].concat().into()));
            assert_eq!(cut, Ok(()), "a leg of {budget} bytes takes no piece");
        });
        Ok(copies)
    }

    /// Queues a copy for its target.
    pub fn queue(&mut self, now: Instant, copy: &Copy, parcel: Parcel, mut dropped: impl FnMut(Parcel)) {
        match self.members.get_mut(&copy.target) {
            Some(seated) => {
                let size = parcel.bytes.len();
                let queued = (copy.flow, parcel);
                seated
                    .queue
                    .push(now, copy.class, copy.flow, size, queued, |(_, victim)| {
                        dropped(victim)
                    });
            }
            None => dropped(parcel),
        }
    }

    /// The next datagram for a target.
    pub fn pop(&mut self, now: Instant, target: Conn, mut late: impl FnMut(Parcel)) -> Option<Parcel> {
        let mark = |(_, parcel): &mut Queued| ecn::set_congested(&mut parcel.bytes);
        let Seated { queue, copies, .. } = self.members.get_mut(&target)?;
        let popped = queue.pop(now, mark, |(_, victim)| late(victim))?;
        let (flow, parcel) = popped.item;
        copies.push(now, popped.class, flow, parcel.bytes.len(), &parcel);
        Some(parcel)
    }

    /// A second copy for a target that is due, given what its line has sent and lost.
    pub fn pop_copy(&mut self, now: Instant, target: Conn, (sent, lost): (u64, u64)) -> Option<Parcel> {
        let copies = &mut self.members.get_mut(&target)?.copies;
        copies.note_stats(now, sent, lost);
        copies.poll(now)
    }

    /// When a copy for a target is due that nobody was woken for.
    pub fn copy_due(&mut self, now: Instant, target: Conn) -> Option<Instant> {
        let copies = &mut self.members.get_mut(&target)?.copies;
        let due = copies.poll_timeout()?;
        copies.handle_timeout(due.max(now));
        Some(due)
    }

    /// True if something waits for a target.
    pub fn has(&self, target: Conn) -> bool {
        self.members
            .get(&target)
            .is_some_and(|seated| !seated.queue.is_empty())
    }

    /// The room's members.
    pub fn members(&self) -> Vec<MemberId> {
        self.roster
            .entries()
            .iter()
            .map(|entry| entry.member.id)
            .collect()
    }

    fn to_others(&self, id: MemberId, message: &Message) -> Vec<Letter> {
        let others = self.roster.entries().iter().filter(|entry| entry.member.id != id);
        others.map(|entry| (entry.handle, message.clone())).collect()
    }
}

/// The world begins at some day.
fn unix(at: Duration) -> UnixTime {
    UnixTime(1_700_000_000 + at.as_secs())
}
