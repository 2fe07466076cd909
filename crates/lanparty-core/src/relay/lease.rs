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
    MemberId, PeerId, RejectReason, RoomId, Standing, UnixTime,
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
    /// Whom the active LAN gateway of an open room has named, or the host of a sealed one.
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
        let is_admitted = room.place(seat)?.entry.admitted;
        let somebody_waits = room.standbys().next().is_some();
        let lease = &mut room.lease;
        // Whose membership is over loses the lease to the next one, if there is one.
        let is_held = lease.holder == Some(seat.member) && is_admitted;
        let tenure = match (is_held, somebody_waits) {
            (false, _) => Tenure::Waiting,
            (true, false) => Tenure::Unlimited,
            (true, true) => {
                lease.expires = Some(clock + LEASE + GRACE);
                Tenure::Milliseconds(LEASE.as_millis() as u32)
            }
        };
        Some((lease.term, tenure))
    }

    /// The active LAN gateway of an open room, or the host of a sealed one, names who may come and wait to take over, at most [`MAX_STANDBYS`].
    /// From others it means nothing. In a sealed room the host's roster says who may take over; this lets him in who is not on it yet.
    pub fn name_standbys(&mut self, seat: &Seat, identities: &[PeerId]) {
        let Some(room) = self.rooms.get_mut(&seat.room) else {
            return;
        };
        let Some(identity) = room.place(seat).map(|place| place.entry.member.identity) else {
            return;
        };
        let may_name = match room.keeper {
            None => room.lease.holder == Some(seat.member),
            Some(_) => room.is_of_host(&identity),
        };
        if may_name {
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
    pub(super) fn check_gateway(&self, now: UnixTime, join: &Join<'_>) -> Result<(), Refusal> {
        let is_named = self.lease.named.contains(&join.identity);
        if self.keeper.is_some() {
            return self.check_sealed_gateway(now, is_named, join);
        }
        let is_held = self
            .lease
            .holder
            .and_then(|holder| self.places.get(&holder))
            .is_some_and(|place| place.entry.member.identity != join.identity);
        if is_held && (!is_named || self.standbys().count() >= MAX_STANDBYS) {
            return Err(not_named(RejectReason::GatewayPresent, &join.identity));
        }
        Ok(())
    }

    /// A sealed room's name is a hash of its host's key, which the connection has proven. Others come in by the host's roster, or while the host
    /// is there to put them on it.
    fn check_sealed_gateway(&self, now: UnixTime, is_named: bool, join: &Join<'_>) -> Result<(), Refusal> {
        if self.is_of_host(&join.identity) {
            return Ok(());
        }
        let is_host_there = || self.members().any(|member| self.is_of_host(&member.identity));
        let paper = self.on_paper(now, &join.identity);
        let is_on_paper = paper.is_some_and(|paper| paper.standing == Standing::Gateway);
        let waiting = self.places.values().filter(|place| {
            let member = &place.entry.member;
            member.role == Role::Gateway && member.identity != join.identity
        });
        let may_wait = is_on_paper || is_named && is_host_there();
        if !may_wait {
            return Err(not_named(RejectReason::NotTheHost, &join.identity));
        }
        if waiting.count() > MAX_STANDBYS {
            return Err(refuse(RejectReason::GatewayPresent));
        }
        Ok(())
    }

    /// Those who wait and may take over, the longest first.
    pub(super) fn standbys(&self) -> impl Iterator<Item = MemberId> {
        let mut waiting: Vec<_> = self
            .places
            .values()
            .filter(|place| place.entry.member.role == Role::Gateway && place.entry.admitted)
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

/// A LAN gateway that nobody has named, and how it is named.
fn not_named(reason: RejectReason, identity: &PeerId) -> Refusal {
    Refusal {
        reason,
        detail: format!("to let this one take over, start the other one with --standby {identity}"),
    }
}
