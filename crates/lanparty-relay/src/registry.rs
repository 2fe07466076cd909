//! All rooms of this process behind one lock that no datagram ever takes.
//!
//! Whoever changes a room under the lock also queues what its members are told, so that everybody reads the same order of
//! events; then the room's new roster is published for the readers.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use lanparty_core::relay::{
    Admission, Join, LookupRefusal, Numbers, Refusal, RoomLimits, Rooms, RosterRefusal, SavedRooms, Seat,
    Succession, UnixTime,
};
use lanparty_wire::{
    GroupHandle, LeaveReason, MemberId, PeerId, RoomId, Roster, SealedRoom, ShortNumber,
    control::{self, Message, Role, Tenure},
};
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::SmallRng};
use tokio::sync::{Notify, mpsc, watch};

use crate::{forward::Members, member::Member, outbox::Receipt};

/// The newest roster of one room.
pub type SharedRoster = Arc<ArcSwap<Members>>;

/// All rooms.
#[derive(Debug)]
pub struct Registry {
    state: Mutex<State>,
    /// Rings when the id table has changed.
    pub changed: Notify,
    /// Rings when a lease may end sooner than before.
    pub leases: Notify,
    /// How many changes are on disk.
    pub saved: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    rooms: Rooms<Arc<Member>>,
    rosters: HashMap<RoomId, SharedRoster>,
    numbers: Numbers,
    random: SmallRng,
    changes: u64,
}

/// Somebody is in, and the others' messages about it are queued.
#[derive(Debug)]
pub struct Joined {
    pub seat: Seat,
    pub member: control::Member,
    pub roster: SharedRoster,
    /// Ends when every other member was sent the news.
    pub told: mpsc::Receiver<()>,
    /// The change of the id table that must be on disk before the welcome, if there is any.
    pub change: Option<u64>,
}

impl Registry {
    pub fn new(limits: RoomLimits, saved: SavedRooms, now: UnixTime) -> Registry {
        Registry {
            state: Mutex::new(State {
                rooms: Rooms::restore(limits, saved, now),
                rosters: HashMap::new(),
                numbers: Numbers::default(),
                random: SmallRng::from_os_rng(),
                changes: 0,
            }),
            changed: Notify::new(),
            leases: Notify::new(),
            saved: watch::Sender::new(0),
        }
    }

    /// Lets somebody in. His outbox then holds the welcome and everybody who was there before.
    ///
    /// # Errors
    /// Why not.
    pub fn join(&self, now: UnixTime, join: &Join<'_>, member: &Arc<Member>) -> Result<Joined, Refusal> {
        let (receipt, told) = mpsc::channel(1);
        let mut state = self.state.lock();
        let lease_end = state.rooms.next_lease_end();
        let State { rooms, random, .. } = &mut *state;
        let admission = rooms.join(now, random, join, member.clone())?;
        tell_all(
            &admission.roster,
            (Some(admission.member.id), admission.member.role),
            Some(&receipt),
            &Message::Joined {
                member: admission.member.clone(),
            },
        );
        welcome(member, &admission);
        if let Some(ghost) = &admission.displaced {
            ghost.dismiss(LeaveReason::Displaced);
        }
        let roster = state.publish(&admission.seat.room, admission.roster);
        let change = Some(state.change()).filter(|_| !admission.is_known);
        self.watch_leases(&state, lease_end);
        drop(state);
        self.changed.notify_one();
        Ok(Joined {
            seat: admission.seat,
            member: admission.member,
            roster,
            told,
            change,
        })
    }

    /// Takes somebody out, and tells the others, unless his place was taken by himself.
    pub fn leave(&self, now: UnixTime, seat: &Seat, reason: LeaveReason) {
        let mut state = self.state.lock();
        let Some(departure) = state.rooms.leave(now, Instant::now(), seat, reason) else {
            return;
        };
        tell_all(
            &departure.roster,
            (Some(departure.member), departure.role),
            None,
            &Message::Left {
                member: departure.member,
                incarnation: departure.incarnation,
                reason: departure.reason,
            },
        );
        if let RoomId::Sealed(room) = &seat.room
            && room.belongs_to(&departure.identity)
        {
            state.numbers.register(*room, &[]);
        }
        if let Some(succession) = departure.successor {
            state.succeed(succession);
        }
        let is_empty = departure.roster.entries().is_empty();
        state.publish(&seat.room, departure.roster);
        if is_empty {
            state.rosters.remove(&seat.room);
        }
        state.change();
        drop(state);
        self.changed.notify_one();
    }

    /// A leg carries another size, as its member says or as our side of it shows.
    pub fn set_budget(&self, seat: &Seat, announced: Option<u16>, leg: Option<u16>) {
        let mut state = self.state.lock();
        let Some((news, roster)) = state.rooms.set_budget(seat, announced, leg) else {
            return;
        };
        if let (Some(bytes), Some(entry)) = (news, roster.entry(seat.member)) {
            let member = Some(seat.member);
            let about = (member, entry.member.role);
            tell_all(&roster, about, None, &Message::Budget { member, bytes });
        }
        state.publish(&seat.room, roster);
    }

    /// A LAN gateway's cable was plugged or pulled.
    pub fn set_lan_link(&self, seat: &Seat, up: bool) {
        let mut state = self.state.lock();
        let Some(roster) = state.rooms.set_lan_link(seat, up) else {
            return;
        };
        let member = Some(seat.member);
        let about = (member, Role::Gateway);
        tell_all(&roster, about, None, &Message::LanLink { member, up });
        state.publish(&seat.room, roster);
    }

    pub fn set_group(&self, seat: &Seat, handle: GroupHandle, members: &[MemberId]) {
        let mut state = self.state.lock();
        if let Some(roster) = state.rooms.set_group(seat, handle, members) {
            state.publish(&seat.room, roster);
        }
    }

    /// A member of a sealed room hands over a roster. A newer one than the known one is passed on to those who are in by it, and
    /// whoever is no longer in has to go. Returns true if it was newer.
    ///
    /// # Errors
    /// It is not the host's, older, or another one with the same number.
    pub fn take_roster(&self, now: UnixTime, seat: &Seat, bytes: &[u8]) -> Result<bool, RosterRefusal> {
        let RoomId::Sealed(room) = &seat.room else {
            return Ok(false);
        };
        if self.state.lock().rooms.knows_roster(seat, bytes) {
            return Ok(false);
        }
        // Checking a signature takes longer than everything else here, so it holds up nobody.
        let signed = Roster::verify(room, bytes)?;
        let mut state = self.state.lock();
        let Some(change) = state.rooms.take_roster(now, seat, signed)? else {
            return Ok(false);
        };
        if let Some(message) = encode_roster(bytes) {
            let admitted = change.roster.entries().iter().filter(|entry| entry.admitted);
            admitted
                .filter(|entry| entry.member.id != seat.member)
                .for_each(|entry| entry.handle.tell_roster(message.clone()));
        }
        state.publish(&seat.room, change.roster);
        for member in change.expelled {
            member.dismiss(LeaveReason::Kicked);
        }
        Ok(true)
    }

    /// A LAN gateway asks for its lease; `None` from anybody else.
    pub fn renew(&self, seat: &Seat) -> Option<(u64, Tenure)> {
        let mut state = self.state.lock();
        let lease_end = state.rooms.next_lease_end();
        let answer = state.rooms.renew(Instant::now(), seat);
        self.watch_leases(&state, lease_end);
        answer
    }

    /// The active LAN gateway of an open room, or the host of a sealed one, says who may wait to take over.
    pub fn name_standbys(&self, seat: &Seat, identities: &[PeerId]) {
        self.state.lock().rooms.name_standbys(seat, identities);
    }

    /// Wakes whoever gives leases on, if one ends sooner now than `before`; one that ends later is looked at in vain, and no harm.
    fn watch_leases(&self, state: &State, before: Option<Instant>) {
        let now = state.rooms.next_lease_end();
        if now.is_some_and(|now| before.is_none_or(|before| now < before)) {
            self.leases.notify_one();
        }
    }

    /// Gives leases that are over to those who wait. Returns when the next one is over.
    pub fn pass_leases(&self, now: UnixTime) -> Option<Instant> {
        let mut state = self.state.lock();
        for succession in state.rooms.pass_leases(now, Instant::now()) {
            state.succeed(succession);
        }
        state.rooms.next_lease_end()
    }

    /// The host of a sealed room has these short codes' numbers from now on; returns those that are really his. `None` from anybody else.
    pub fn set_numbers(&self, seat: &Seat, numbers: &[ShortNumber]) -> Option<Vec<ShortNumber>> {
        let RoomId::Sealed(room) = &seat.room else {
            return None;
        };
        let mut state = self.state.lock();
        let is_host = state.rooms.is_host(seat);
        is_host.then(|| state.numbers.register(*room, numbers))
    }

    /// The room that a short code's number leads to.
    ///
    /// # Errors
    /// There is none, or the address has asked too often.
    pub fn look_up(
        &self,
        now: UnixTime,
        address: IpAddr,
        number: ShortNumber,
    ) -> Result<SealedRoom, LookupRefusal> {
        self.state.lock().numbers.look_up(now, address, number)
    }

    /// Memberships end by themselves; whose has ended is cut off. To be called now and then.
    pub fn settle(&self, now: UnixTime) {
        let mut state = self.state.lock();
        for (room, roster) in state.rooms.settle(now) {
            state.publish(&room, roster);
        }
    }

    /// Everybody who is there, room by room.
    pub fn each_room(&self, mut each: impl FnMut(&RoomId, &[(control::Member, Arc<Member>)])) {
        let state = self.state.lock();
        let rooms: Vec<(RoomId, Vec<_>)> = state
            .rooms
            .rooms()
            .map(|(code, entries)| {
                let members = entries.map(|entry| (entry.member.clone(), entry.handle.clone()));
                (code.clone(), members.collect())
            })
            .collect();
        drop(state);
        rooms.iter().for_each(|(code, members)| each(code, members));
    }

    /// The id table as it is now, and how many changes it has seen.
    pub fn table(&self, now: UnixTime) -> (SavedRooms, u64) {
        let mut state = self.state.lock();
        state.rooms.expire(now);
        (state.rooms.save(), state.changes)
    }
}

impl State {
    /// Another LAN gateway is active.
    fn succeed(&mut self, succession: Succession<Arc<Member>>) {
        let Succession {
            room,
            gateway,
            term,
            roster,
        } = succession;
        tracing::info!(%room, %gateway, term, "another LAN gateway takes over");
        tell_all(
            &roster,
            (None, Role::Gateway),
            None,
            &Message::Gateway {
                member: gateway,
                term,
            },
        );
        self.publish(&room, roster);
    }

    fn publish(&mut self, room: &RoomId, roster: Arc<Members>) -> SharedRoster {
        let shared = self
            .rosters
            .entry(room.clone())
            .or_insert_with(|| Arc::new(ArcSwap::new(roster.clone())));
        introduce(&shared.load(), &roster);
        shared.store(roster);
        shared.clone()
    }

    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

/// Queues a message about somebody of this role for all that may know of it, but for one. Who cannot take it has lost the thread and must come
/// again.
fn tell_all(
    roster: &Members,
    (except, role): (Option<MemberId>, Role),
    receipt: Option<&Receipt>,
    message: &Message,
) {
    let Some(bytes) = encode(message) else { return };
    let others = roster
        .entries()
        .iter()
        .filter(|entry| Some(entry.member.id) != except);
    for entry in others.filter(|entry| entry.may_know(role)) {
        entry.handle.tell(bytes.clone(), receipt.cloned());
    }
}

/// Names everybody to those who are in from now on, and knew of the host alone.
fn introduce(before: &Members, roster: &Members) {
    for entry in roster.let_in_since(before, Arc::ptr_eq) {
        let others = roster.entries().iter().map(|other| &other.member);
        let unknown = others.filter(|other| other.role != Role::Gateway && other.id != entry.member.id);
        let joined = unknown.map(|other| Message::Joined {
            member: other.clone(),
        });
        for bytes in joined.filter_map(|message| encode(&message)) {
            entry.handle.tell(bytes, None);
        }
    }
}

fn welcome(member: &Member, admission: &Admission<Arc<Member>>) {
    let catch_up = admission.others.iter().map(|other| Message::Joined {
        member: other.clone(),
    });
    if let Some(welcome) = encode(&Message::Welcome(admission.welcome.clone())) {
        member.tell(welcome, None);
    }
    // Whom to believe, before those come who are to be believed.
    if let Some(roster) = admission.paper.as_deref().and_then(encode_roster) {
        member.tell_roster(roster);
    }
    for bytes in catch_up.filter_map(|message| encode(&message)) {
        member.tell(bytes, None);
    }
}

fn encode_roster(bytes: &[u8]) -> Option<Bytes> {
    encode(&Message::Roster {
        data: BASE64.encode(bytes),
    })
}

/// `None` for a message over the limit, which none of ours is.
pub fn encode(message: &Message) -> Option<Bytes> {
    match message.encode() {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a control message cannot be encoded");
            None
        }
    }
}
