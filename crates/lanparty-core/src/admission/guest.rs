//! The newcomer's side of admission: finds the host, asks it, keeps what it says, and asks again whenever that may have changed.
//!
//! Goes beside a node of a sealed room. Feed it every control message, the host's notes and the time, and do what
//! [`Guest::poll_output`] says. Nothing that the relay says lets anybody in.

mod ask;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, DropReason, InviteId, InviteSecret, Mac, MemberId, Membership, PeerId,
    SealedRoom, Standing, UnixTime,
    control::{Message, Role},
    seal::envelope,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{RosterKeeper, SavedMembership};
use crate::{
    hole::{Hole, is_open},
    seal::{
        IdentityKey,
        handshake::{Handshake, Party},
        pace::Repeat,
    },
};

/// Who waits for the host's word asks again after this time.
const WAIT: Duration = Duration::from_secs(2);
/// A refusal that may pass by itself is asked about again after this time.
const TEMPORARY: Duration = Duration::from_secs(5);

/// What a guest is told once.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    pub host: PeerId,
    pub identity: IdentityKey,
    pub mac: Mac,
    /// What it wants to be called.
    pub name: String,
    /// Program and version, for the host's log.
    pub software: String,
    /// What it may ask by.
    pub invite: (InviteId, InviteSecret),
    /// Random, secret, and another one in every process.
    pub seed: [u8; 32],
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestState {
    /// The host is asked.
    Asking,
    /// The host has to be asked in person.
    Waiting,
    /// The host is not there, and nobody else can let it in.
    HostAway,
    /// Refused for a reason that may pass by itself.
    Refused(AdmissionRefusal),
    /// The newest roster has it.
    Admitted,
}

/// What the shell does.
#[derive(Clone, PartialEq, Debug)]
pub enum GuestOutput {
    /// For the control stream.
    Send(Box<Message>),
    /// What the node is to hold members against from now on.
    Roster(crate::seal::Roster),
    /// Store this, to come back with.
    Save(SavedMembership),
    /// The host has refused, and only a person can change that.
    Refused(AdmissionRefusal),
}

#[derive(Debug)]
enum Ask {
    /// Nothing to ask.
    Idle,
    Running {
        handshake: Box<Handshake>,
        parcel: Vec<u8>,
        repeat: Repeat,
        by_membership: bool,
    },
    /// Not before this time.
    Later(Instant),
}

/// Somebody who wants to be a member, or is.
#[derive(Debug)]
pub struct Guest {
    config: GuestConfig,
    room: SealedRoom,
    random: ChaCha20Rng,
    me: Option<Party>,
    host: Option<Party>,
    keeper: RosterKeeper,
    membership: Option<Membership>,
    ask: Ask,
    is_waiting: bool,
    refused: Option<AdmissionRefusal>,
    /// When the newest roster loses its next member.
    next_expiry: Option<UnixTime>,
    outputs: VecDeque<GuestOutput>,
}

impl Guest {
    /// A guest, going on from what was stored if that is of this host and still good.
    pub fn new(unix: UnixTime, config: GuestConfig, saved: Option<&SavedMembership>) -> Guest {
        let room = SealedRoom::of(&config.host);
        let me = config.identity.peer_id();
        let restored = saved
            .filter(|saved| saved.host == config.host)
            .and_then(|saved| saved.restore(&me, unix));
        let (membership, keeper) = match restored {
            Some((membership, keeper)) => (Some(membership), keeper),
            None => (None, RosterKeeper::new(room, 0)),
        };
        Guest {
            room,
            random: ChaCha20Rng::from_seed(config.seed),
            config,
            me: None,
            host: None,
            keeper,
            membership,
            ask: Ask::Idle,
            is_waiting: false,
            refused: None,
            next_expiry: None,
            outputs: VecDeque::new(),
        }
    }

    /// How far it has come.
    pub fn state(&self, unix: UnixTime) -> GuestState {
        match (self.is_in(unix), &self.host, self.refused) {
            (true, _, _) => GuestState::Admitted,
            (false, None, _) => GuestState::HostAway,
            (false, Some(_), _) if self.is_waiting => GuestState::Waiting,
            (false, Some(_), Some(refusal)) => GuestState::Refused(refusal),
            (false, Some(_), None) => GuestState::Asking,
        }
    }

    /// The next thing to do. Drained after every call.
    pub fn poll_output(&mut self) -> Option<GuestOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Guest::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.ask {
            Ask::Idle => None,
            Ask::Running { repeat, .. } => Some(repeat.next),
            Ask::Later(at) => Some(*at),
        }
    }

    /// Asks again, or for the first time, if that is due.
    pub fn handle_timeout(&mut self, now: Instant, unix: UnixTime) {
        match &mut self.ask {
            Ask::Running { parcel, repeat, .. } if repeat.next <= now => {
                repeat.again(now);
                if let Some(host) = &self.host {
                    let again = envelope(host.member, parcel);
                    self.outputs.push_back(GuestOutput::Send(Box::new(again)));
                }
            }
            Ask::Later(at) if *at <= now => self.begin(now, unix),
            Ask::Idle | Ask::Running { .. } | Ask::Later(_) => {}
        }
    }

    /// Looks at what only a clock can tell, about once a second.
    pub fn handle_clock(&mut self, now: Instant, unix: UnixTime) {
        if self.next_expiry.is_some_and(|at| at <= unix) {
            self.show_roster(unix);
        }
        // The host renews those present after half the time; what it wrote may have been lost.
        let is_old = self.membership.as_ref().is_some_and(|membership| {
            let expires = membership.member().expires;
            expires.since(unix) < expires.since(membership.issued()) * 2 / 5
        });
        if is_old && matches!(self.ask, Ask::Idle) && self.host.is_some() {
            self.begin(now, unix);
        }
    }

    /// Takes a control message; those that do not concern admission change nothing.
    ///
    /// # Errors
    /// Why a roster was not taken, somebody who is said to be the host is not, or an envelope of the host's is not its answer.
    pub fn handle_control(
        &mut self,
        now: Instant,
        unix: UnixTime,
        message: &Message,
    ) -> Result<(), DropReason> {
        match message {
            Message::Welcome(welcome) => {
                self.me = Some(Party {
                    identity: self.config.identity.peer_id(),
                    member: welcome.member,
                    incarnation: welcome.incarnation,
                });
                self.host = None;
                self.ask = Ask::Idle;
                self.outputs.extend(self.keeper.message().map(GuestOutput::Send));
            }
            Message::Joined { member } if member.role == Role::Gateway => {
                if member.identity != self.config.host && !is_open(Hole::HostIdentity) {
                    // One that waits, if the host says so; only the host itself can be asked.
                    let named = self.keeper.member(&member.identity, unix);
                    let is_named = named.is_some_and(|named| named.standing == Standing::Gateway);
                    return is_named.then_some(()).ok_or(DropReason::NotAdmitted);
                }
                let host = Party {
                    identity: member.identity,
                    member: member.id,
                    incarnation: member.incarnation,
                };
                if self.host.replace(host) != Some(host) {
                    self.begin(now, unix);
                }
            }
            Message::Left {
                member, incarnation, ..
            } => {
                let is_meant = |host: &mut Party| host.member == *member && host.incarnation == *incarnation;
                if self.host.take_if(is_meant).is_some() {
                    self.ask = Ask::Idle;
                }
            }
            Message::Roster { data } => return self.offered(now, unix, data),
            Message::Envelope {
                from: Some(from),
                data,
                ..
            } if self.is_host(*from) => return self.envelope(now, unix, data),
            _ => {}
        }
        Ok(())
    }

    /// Takes what a member has written under the keys that both share; only the host's word counts.
    pub fn handle_note(&mut self, now: Instant, unix: UnixTime, from: MemberId, bytes: &[u8]) {
        if !self.is_host(from) {
            return;
        }
        if let Ok(answer @ AdmissionAnswer::Admitted { .. }) = AdmissionAnswer::decode(&self.room, bytes) {
            self.answered(now, unix, answer, false);
        }
    }

    fn is_host(&self, id: MemberId) -> bool {
        self.host.is_some_and(|host| host.member == id)
    }

    fn is_in(&self, unix: UnixTime) -> bool {
        self.me.is_some_and(|me| {
            let entry = self.keeper.member(&me.identity, unix);
            entry.is_some_and(|entry| entry.id == me.member)
        })
    }

    fn offered(&mut self, now: Instant, unix: UnixTime, data: &str) -> Result<(), DropReason> {
        self.keeper.offered(data)?;
        self.show_roster(unix);
        // Put out, or expired: the host says which, if it is there.
        if !self.is_in(unix) && matches!(self.ask, Ask::Idle) && self.host.is_some() {
            self.begin(now, unix);
        }
        Ok(())
    }

    fn show_roster(&mut self, unix: UnixTime) {
        if let Some((roster, next)) = self.keeper.at(unix) {
            self.next_expiry = next;
            self.outputs.push_back(GuestOutput::Roster(roster));
        }
    }
}
