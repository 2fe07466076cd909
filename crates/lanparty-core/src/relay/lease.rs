//! Which LAN gateway of a room carries frames: a lease that the relay gives, with a term number that only grows.
//!
//! One LAN gateway is active, others wait to take over. While nobody waits, the lease lasts as long as its holder's connection, and
//! costs nothing. Once somebody does, the holder asks for it again and again, stops by itself [`LEASE`] after it last asked with
//! success, and the relay gives it to the next one [`GRACE`] later. A holder that has not asked since somebody waits is given
//! [`UNHEARD`]: it may not have heard of it yet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lanparty_wire::{
    MemberId, PeerId, RejectReason, RoomId, UnixTime,
    control::{Role, Tenure},
};

use super::{
    Join, Refusal, Roster, Seat,
    room::{Room, refuse},
    rooms::Rooms,
};

/// How long a LAN gateway may go on, counted from when it asked.
pub const LEASE: Duration = Duration::from_millis(1000);
/// What the relay waits beyond that: clocks run differently, and so do the last frames.
const GRACE: Duration = Duration::from_millis(200);
/// For a holder that has perhaps not heard yet that somebody waits.
const UNHEARD: Duration = Duration::from_secs(3);
/// LAN gateways that may wait in one room, and identities that may be named for it.
pub const MAX_STANDBYS: usize = 8;

/// A room's lease.
#[derive(Debug, Default)]
pub(super) struct Lease {
    holder: Option<MemberId>,
    term: u64,
    /// Present while somebody waits.
    expires: Option<Instant>,
    /// Whom the active LAN gateway of an open room has named.
    named: Vec<PeerId>,
}

/// Another LAN gateway is active from now on; everybody is to be told.
#[derive(Debug)]
pub struct Succession<H> {
    pub room: RoomId,
    pub gateway: MemberId,
    pub term: u64,
    pub roster: Arc<Roster<H>>,
}

impl Lease {
    pub(super) fn holder(&self) -> Option<MemberId> {
        self.holder
    }

    /// Terms grow over a restart of the relay too, because they begin with the time.
    fn give(&mut self, now: UnixTime, holder: Option<MemberId>, expires: Option<Instant>) {
        self.holder = holder;
        self.expires = expires;
        if holder.is_some() {
            self.term = (self.term + 1).max(now.0 << 16);
        }
    }
}

impl<H: Clone> Rooms<H> {
    /// A LAN gateway asks for its lease. `None` from anybody else.
    ///
    /// A lease that is renewed ends later than before, but for the first time: who was given [`UNHEARD`] has been heard now.
    pub fn renew(&mut self, clock: Instant, seat: &Seat) -> Option<(u64, Tenure)> {
        let room = self.rooms.get_mut(&seat.room)?;
        if room.place(seat)?.entry.member.role != Role::Gateway {
            return None;
        }
        let somebody_waits = room.standbys().next().is_some();
        let lease = &mut room.lease;
        let tenure = match (lease.holder == Some(seat.member), somebody_waits) {
            (false, _) => Tenure::Waiting,
            (true, false) => Tenure::Unlimited,
            (true, true) => {
                lease.expires = Some(clock + LEASE + GRACE);
                Tenure::Milliseconds(LEASE.as_millis() as u32)
            }
        };
        Some((lease.term, tenure))
    }

    /// The active LAN gateway of an open room names who may wait to take over, at most [`MAX_STANDBYS`]. From others, and in a sealed
    /// room, where the host's signature says it, it means nothing.
    pub fn name_standbys(&mut self, seat: &Seat, identities: &[PeerId]) {
        let Some(room) = self.rooms.get_mut(&seat.room) else {
            return;
        };
        if room.place(seat).is_some() && room.lease.holder == Some(seat.member) && room.keeper.is_none() {
            room.lease.named = identities[..identities.len().min(MAX_STANDBYS)].to_vec();
        }
    }

    /// Gives the leases that are over to those who wait.
    pub fn pass_leases(&mut self, now: UnixTime, clock: Instant) -> Vec<Succession<H>> {
        let pass = |(code, room): (&RoomId, &mut Room<H>)| {
            let is_over = room.lease.expires.is_some_and(|expires| expires <= clock);
            let next = is_over.then(|| room.pass_lease(now, clock)).flatten();
            next.map(|gateway| room.succession(code, gateway))
        };
        self.rooms.iter_mut().filter_map(pass).collect()
    }

    /// When the next lease is over.
    pub fn next_lease_end(&self) -> Option<Instant> {
        self.rooms.values().filter_map(|room| room.lease.expires).min()
    }
}

impl<H: Clone> Room<H> {
    /// Whether a LAN gateway may come in, and wait if another one is active.
    pub(super) fn check_gateway(&self, join: &Join<'_>) -> Result<(), Refusal> {
        let is_held = self
            .lease
            .holder
            .and_then(|holder| self.places.get(&holder))
            .is_some_and(|place| place.entry.member.identity != join.identity);
        if let RoomId::Sealed(room) = &join.hello.room {
            // Its name is a hash of its host's key, which the connection has proven.
            return match room.belongs_to(&join.identity) {
                true => Ok(()),
                false => Err(refuse(RejectReason::NotTheHost)),
            };
        }
        if is_held && (!self.lease.named.contains(&join.identity) || self.standbys().count() >= MAX_STANDBYS)
        {
            return Err(Refusal {
                reason: RejectReason::GatewayPresent,
                detail: format!(
                    "to let this one take over, start the other one with --standby {}",
                    join.identity
                ),
            });
        }
        Ok(())
    }

    /// Those who wait, the longest first.
    pub(super) fn standbys(&self) -> impl Iterator<Item = MemberId> {
        let mut waiting: Vec<_> = self
            .places
            .values()
            .filter(|place| place.entry.member.role == Role::Gateway)
            .map(|place| (place.serial, place.entry.member.id))
            .filter(|(_, id)| self.lease.holder != Some(*id))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id)
    }

    /// A LAN gateway has come, or come back. It holds the lease if nobody else does, and else waits; true if it waits.
    pub(super) fn lease_to(&mut self, now: UnixTime, clock: Instant, id: MemberId) -> bool {
        match self.lease.holder {
            Some(holder) if holder != id => {
                self.lease.expires.get_or_insert(clock + UNHEARD);
                true
            }
            _ => {
                let expires = self
                    .standbys()
                    .any(|other| other != id)
                    .then_some(clock + UNHEARD);
                self.lease.give(now, Some(id), expires);
                false
            }
        }
    }

    /// A LAN gateway has left. Returns who takes over from it.
    pub(super) fn lease_from(&mut self, now: UnixTime, clock: Instant, id: MemberId) -> Option<MemberId> {
        if self.lease.holder == Some(id) {
            return self.pass_lease(now, clock);
        }
        if self.standbys().next().is_none() {
            self.lease.expires = None;
        }
        None
    }

    /// Gives the lease to the one who has waited for longest; the former holder, if it is still there, waits behind it.
    fn pass_lease(&mut self, now: UnixTime, clock: Instant) -> Option<MemberId> {
        let next = self.standbys().next();
        let former = self.lease.holder;
        let expires = next.map(|_| clock + UNHEARD);
        self.lease.give(now, next, expires);
        if let Some(former) = former.and_then(|id| self.places.get_mut(&id)) {
            former.entry.member.standby = true;
        }
        let next = self.places.get_mut(&next?)?;
        next.entry.member.standby = false;
        let next = next.entry.member.id;
        if self.standbys().next().is_none() {
            self.lease.expires = None;
        }
        Some(next)
    }

    pub(super) fn succession(&self, room: &RoomId, gateway: MemberId) -> Succession<H> {
        Succession {
            room: room.clone(),
            gateway,
            term: self.lease.term,
            roster: self.roster(),
        }
    }
}
