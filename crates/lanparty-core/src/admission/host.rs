//! The host of a sealed room, as a state machine: what it is asked and told goes in, answers and signed papers come out.
//!
//! Every change makes a new roster with a higher number, also after a restart: the number is at least the time, so that even a host that
//! has lost its state is not taken for an older one. Call [`Host::handle_timeout`] at [`Host::next_timeout`], and after
//! every call [`Host::poll_event`] until it is empty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, AdmissionRequest, Admitted, HostKey, InviteId, InviteSecret,
    MAX_ROSTER, MemberId, Membership, PeerId, Profile, Proof, Roster, RosterContent, SealedRoom, Standing,
    UnixTime, VERSION,
};
use rand::{CryptoRng, Rng};

use super::{HostInvite, HostState, NewInvite, StateError, TooManyInvites, invites::InviteStatus};
use crate::relay::plain_words;

/// Newcomers that wait for the host's word at once; each of them is a line on the host's screen.
const MAX_WAITING: usize = 32;
/// Seconds after which nobody waits any more.
const WAITING: u64 = 600;
/// Identities that are remembered as put out; of more, the earliest are forgotten.
const MAX_KICKED: usize = 1024;

/// What a host is set up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostConfig {
    /// Members of the room, its LAN gateway included; at most [`MAX_ROSTER`].
    pub max_members: usize,
    /// Seconds for which a membership is good. Those present are renewed after half of it.
    pub lifetime: u64,
}

impl Default for HostConfig {
    /// A big party; a night and the day after it.
    fn default() -> HostConfig {
        HostConfig {
            max_members: 64,
            lifetime: 24 * 3600,
        }
    }
}

/// Somebody who waits for the host's word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub identity: PeerId,
    pub request: AdmissionRequest,
    pub since: UnixTime,
}

/// What a change has brought about, in the order in which it is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostEvent {
    /// [`Host::state`] has changed: store it before what follows leaves the machine.
    Save,
    /// A new roster, for the relay and every member.
    Roster(Roster),
    /// A new answer for somebody who asked before, or a newer membership for a member.
    Answer {
        identity: PeerId,
        member: MemberId,
        answer: AdmissionAnswer,
    },
    /// Somebody waits for the host's word now: [`Host::waiting`].
    Waiting(PeerId),
}

/// The host of a sealed room.
#[derive(Debug)]
pub struct Host {
    key: HostKey,
    config: HostConfig,
    state: HostState,
    waiting: BTreeMap<PeerId, Waiting>,
    present: BTreeSet<PeerId>,
    roster: Option<Roster>,
    events: VecDeque<HostEvent>,
}

impl Host {
    /// The host with this key, going on from what was stored, or from [`HostState::default`].
    ///
    /// # Errors
    /// The state is of a later version.
    pub fn new(key: HostKey, config: HostConfig, state: HostState) -> Result<Host, StateError> {
        state.check()?;
        Ok(Host {
            key,
            config: HostConfig {
                max_members: config.max_members.min(MAX_ROSTER),
                ..config
            },
            state,
            waiting: BTreeMap::new(),
            present: BTreeSet::new(),
            roster: None,
            events: VecDeque::new(),
        })
    }

    /// The room.
    pub fn room(&self) -> SealedRoom {
        self.key.room()
    }

    /// The host's own identity, which invites carry.
    pub fn identity(&self) -> PeerId {
        self.key.peer_id()
    }

    /// What to store.
    pub fn state(&self) -> &HostState {
        &self.state
    }

    /// The newest roster; there is one once the host is in its room.
    pub fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// Who waits for the host's word.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    /// The next thing to do.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// The host is in its room, with this id: from now on it is in the roster itself.
    pub fn enter(&mut self, now: UnixTime, member: MemberId) {
        let identity = self.key.peer_id();
        self.present.insert(identity);
        self.state
            .members
            .retain(|other| other.identity != identity && other.id != member);
        self.state.members.push(Admitted {
            identity,
            id: member,
            mac: None,
            standing: Standing::Gateway,
            expires: now.after(self.config.lifetime),
            name: self.state.names.get(&identity).cloned().unwrap_or_default(),
        });
        self.publish(now);
    }

    /// Whether an identity is in the room now; memberships of those present are renewed.
    pub fn set_present(&mut self, identity: PeerId, present: bool) {
        if present {
            self.present.insert(identity);
        } else {
            self.present.remove(&identity);
            self.waiting.remove(&identity);
        }
    }

    /// Somebody asks to be let in. `identity` was proven by the handshake that carries the request, and the request's member id is whose envelope it came
    /// in. Asking again is harmless.
    pub fn handle_request(
        &mut self,
        now: UnixTime,
        identity: PeerId,
        request: &AdmissionRequest,
    ) -> AdmissionAnswer {
        match self.judge(now, &identity, request) {
            Err(refusal) => AdmissionAnswer::Refused(refusal),
            Ok(_) if self.must_wait(now, &identity, request) => self.let_wait(now, identity, request),
            Ok(standing) => self.admit(now, identity, request, standing),
        }
    }

    /// The host lets somebody in who waits. False if nobody of that identity does.
    pub fn approve(&mut self, now: UnixTime, identity: &PeerId) -> bool {
        let Some(waiting) = self.waiting.remove(identity) else {
            return false;
        };
        let answer = match self.judge(now, identity, &waiting.request) {
            Ok(standing) => self.admit(now, *identity, &waiting.request, standing),
            Err(refusal) => AdmissionAnswer::Refused(refusal),
        };
        self.answer(&waiting, answer);
        true
    }

    /// The host does not let somebody in who waits. False if nobody of that identity does.
    pub fn deny(&mut self, identity: &PeerId) -> bool {
        let Some(waiting) = self.waiting.remove(identity) else {
            return false;
        };
        self.answer(&waiting, AdmissionAnswer::Refused(AdmissionRefusal::Denied));
        true
    }

    /// Puts somebody out, who needs a new invite to come back. False if it was no member.
    pub fn kick(&mut self, now: UnixTime, identity: &PeerId) -> bool {
        let before = self.state.members.len();
        let host = self.key.peer_id();
        self.state
            .members
            .retain(|member| member.identity != *identity || member.identity == host);
        if self.state.members.len() == before {
            return false;
        }
        if self.state.kicked.len() >= MAX_KICKED {
            let earliest = self.state.kicked.iter().min_by_key(|(_, at)| **at);
            if let Some(earliest) = earliest.map(|(identity, _)| *identity) {
                self.state.kicked.remove(&earliest);
            }
        }
        self.state.kicked.insert(*identity, now);
        self.publish(now);
        true
    }

    /// Puts somebody out for good, whether it is a member or not. The host itself cannot be banned.
    pub fn ban(&mut self, now: UnixTime, identity: PeerId) -> bool {
        if identity == self.key.peer_id() || !self.state.bans.insert(identity) {
            return false;
        }
        self.deny(&identity);
        if !self.kick(now, &identity) {
            self.events.push_back(HostEvent::Save);
        }
        true
    }

    /// Takes a ban back; coming in needs a new invite all the same.
    pub fn unban(&mut self, identity: &PeerId) -> bool {
        let was_banned = self.state.bans.remove(identity);
        if was_banned {
            self.events.push_back(HostEvent::Save);
        }
        was_banned
    }

    /// Makes somebody a player or a spectator, now and whenever it comes. False for a LAN gateway, which nobody else can be.
    pub fn set_standing(&mut self, now: UnixTime, identity: PeerId, standing: Standing) -> bool {
        if standing == Standing::Gateway || identity == self.key.peer_id() {
            return false;
        }
        self.state.standings.insert(identity, standing);
        self.change_member(now, &identity, |member| member.standing = standing);
        true
    }

    /// Gives somebody a name, now and whenever it comes.
    pub fn set_name(&mut self, now: UnixTime, identity: PeerId, name: &str) {
        let name = plain_words(name);
        self.state.names.insert(identity, name.clone());
        self.change_member(now, &identity, |member| member.name = name);
    }

    /// Sets the safety profile.
    pub fn set_profile(&mut self, now: UnixTime, profile: Profile) {
        if self.state.profile != profile {
            self.state.profile = profile;
            self.publish(now);
        }
    }

    /// Whether newcomers wait for the host's word.
    pub fn set_approval(&mut self, approval: bool) {
        if self.state.approval != approval {
            self.state.approval = approval;
            self.events.push_back(HostEvent::Save);
        }
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// There are too many that are still good.
    pub fn create_invite(
        &mut self,
        now: UnixTime,
        random: &mut (impl Rng + CryptoRng),
        new: &NewInvite,
    ) -> Result<HostInvite, TooManyInvites> {
        let mut id = InviteId(random.random());
        while self.state.invites.contains(id) {
            id = InviteId(random.random());
        }
        let secret = InviteSecret::new(random.random());
        let invite = self.state.invites.create(now, id, secret, new)?.clone();
        self.events.push_back(HostEvent::Save);
        Ok(invite)
    }

    /// The invites, the oldest first, with what has become of them.
    pub fn invites(&self, now: UnixTime) -> impl Iterator<Item = (&HostInvite, InviteStatus)> {
        self.state
            .invites
            .iter()
            .map(move |invite| (invite, invite.status(now)))
    }

    /// Takes an invite back. Who has come by it stays. False if it was not good any more.
    pub fn revoke_invite(&mut self, id: InviteId) -> bool {
        let was_open = self.state.invites.revoke(id);
        if was_open {
            self.events.push_back(HostEvent::Save);
        }
        was_open
    }

    /// When [`Host::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<UnixTime> {
        let renewals = self.state.members.iter().map(|member| self.due(member));
        let waiting = self.waiting.values().map(|waiting| waiting.since.after(WAITING));
        renewals.chain(waiting).min()
    }

    /// Renews those present, takes out those whose membership is over, and lets nobody wait for ever.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        let expires = now.after(self.config.lifetime);
        let mut renewed = Vec::new();
        for member in &mut self.state.members {
            let half = self.config.lifetime / 2;
            if self.present.contains(&member.identity) && member.expires.since(now) <= half {
                member.expires = expires;
                renewed.push(member.identity);
            }
        }
        let before = self.state.members.len();
        self.state.members.retain(|member| now < member.expires);
        if before != self.state.members.len() || !renewed.is_empty() {
            self.publish(now);
            renewed
                .iter()
                .for_each(|identity| self.send_membership(now, identity));
        }
        let over = |waiting: &Waiting| now >= waiting.since.after(WAITING);
        let late: Vec<PeerId> = self
            .waiting
            .values()
            .filter(|w| over(w))
            .map(|w| w.identity)
            .collect();
        late.iter().for_each(|identity| {
            self.deny(identity);
        });
    }

    fn due(&self, member: &Admitted) -> UnixTime {
        let ahead = if self.present.contains(&member.identity) {
            self.config.lifetime / 2
        } else {
            0
        };
        UnixTime(member.expires.0.saturating_sub(ahead))
    }

    /// As what somebody may come in.
    fn judge(
        &self,
        now: UnixTime,
        identity: &PeerId,
        request: &AdmissionRequest,
    ) -> Result<Standing, AdmissionRefusal> {
        if !(request.min_version..=request.max_version).contains(&VERSION) {
            return Err(AdmissionRefusal::Version);
        }
        if !request.mac.is_identity() {
            return Err(AdmissionRefusal::InvalidMac);
        }
        if self.state.bans.contains(identity) {
            return Err(AdmissionRefusal::Banned);
        }
        let standing = self.judge_proof(now, identity, &request.proof)?;
        let others = || {
            self.state
                .members
                .iter()
                .filter(|other| other.identity != *identity && now < other.expires)
        };
        if others().any(|other| other.mac == Some(request.mac)) {
            return Err(AdmissionRefusal::DuplicateMac);
        }
        // The relay gives no id twice; one of somebody who is away is from before it lost its memory.
        if others().any(|other| other.id == request.member && self.present.contains(&other.identity)) {
            return Err(AdmissionRefusal::Busy);
        }
        if others().count() >= self.config.max_members {
            return Err(AdmissionRefusal::RoomFull);
        }
        Ok(self.state.standings.get(identity).copied().unwrap_or(standing))
    }

    fn judge_proof(
        &self,
        now: UnixTime,
        identity: &PeerId,
        proof: &Proof,
    ) -> Result<Standing, AdmissionRefusal> {
        let kicked = self.state.kicked.get(identity);
        match proof {
            Proof::Secret { invite, secret } => {
                let standing = self.state.invites.judge(now, identity, *invite, secret)?;
                if kicked.is_some() && self.state.invites.was_used_by(*invite, identity) {
                    return Err(AdmissionRefusal::Kicked);
                }
                Ok(standing)
            }
            Proof::Membership(bytes) => {
                let membership = Membership::verify(&self.key.room(), bytes);
                let membership = membership.map_err(|_| AdmissionRefusal::MembershipOver)?;
                let member = membership.member();
                if member.identity != *identity || now >= member.expires {
                    return Err(AdmissionRefusal::MembershipOver);
                }
                if kicked.is_some_and(|at| membership.issued() <= *at) {
                    return Err(AdmissionRefusal::Kicked);
                }
                Ok(member.standing)
            }
        }
    }

    fn must_wait(&self, now: UnixTime, identity: &PeerId, request: &AdmissionRequest) -> bool {
        let is_member = |member: &Admitted| member.identity == *identity && now < member.expires;
        self.state.approval
            && matches!(request.proof, Proof::Secret { .. })
            && !self.state.members.iter().any(is_member)
    }

    fn let_wait(&mut self, now: UnixTime, identity: PeerId, request: &AdmissionRequest) -> AdmissionAnswer {
        if !self.waiting.contains_key(&identity) {
            if self.waiting.len() >= MAX_WAITING {
                return AdmissionAnswer::Refused(AdmissionRefusal::Busy);
            }
            self.events.push_back(HostEvent::Waiting(identity));
        }
        let entry = self.waiting.entry(identity).or_insert_with(|| Waiting {
            identity,
            request: request.clone(),
            since: now,
        });
        entry.request = request.clone();
        AdmissionAnswer::Wait
    }

    fn admit(
        &mut self,
        now: UnixTime,
        identity: PeerId,
        request: &AdmissionRequest,
        standing: Standing,
    ) -> AdmissionAnswer {
        if let Proof::Secret { invite, .. } = request.proof {
            self.state.invites.mark_used(invite, identity);
            self.state.kicked.remove(&identity);
        }
        self.waiting.remove(&identity);
        self.present.insert(identity);
        let given = self.state.names.get(&identity).cloned();
        let member = Admitted {
            identity,
            id: request.member,
            mac: Some(request.mac),
            standing,
            expires: now.after(self.config.lifetime),
            name: given.unwrap_or_else(|| plain_words(&request.name)),
        };
        let is_other = |other: &Admitted| other.identity != identity && other.id != request.member;
        self.state.members.retain(is_other);
        self.state.members.push(member.clone());
        self.publish(now);
        AdmissionAnswer::Admitted {
            membership: Membership::sign(&self.key, now, &member),
            roster: self.state.roster_number,
        }
    }

    fn change_member(&mut self, now: UnixTime, identity: &PeerId, change: impl FnOnce(&mut Admitted)) {
        let Some(member) = self
            .state
            .members
            .iter_mut()
            .find(|member| member.identity == *identity)
        else {
            self.events.push_back(HostEvent::Save);
            return;
        };
        change(member);
        self.publish(now);
        self.send_membership(now, identity);
    }

    fn send_membership(&mut self, now: UnixTime, identity: &PeerId) {
        let member = self
            .state
            .members
            .iter()
            .find(|member| member.identity == *identity);
        let Some(member) = member.filter(|member| member.standing != Standing::Gateway) else {
            return;
        };
        let answer = AdmissionAnswer::Admitted {
            membership: Membership::sign(&self.key, now, member),
            roster: self.state.roster_number,
        };
        self.events.push_back(HostEvent::Answer {
            identity: *identity,
            member: member.id,
            answer,
        });
    }

    fn answer(&mut self, waiting: &Waiting, answer: AdmissionAnswer) {
        self.events.push_back(HostEvent::Answer {
            identity: waiting.identity,
            member: waiting.request.member,
            answer,
        });
    }

    /// Signs the next roster. One that has not been taken yet is replaced.
    fn publish(&mut self, now: UnixTime) {
        self.state.members.retain(|member| now < member.expires);
        self.state.roster_number = (self.state.roster_number + 1).max(now.0);
        let content = RosterContent {
            number: self.state.roster_number,
            issued: now,
            profile: self.state.profile,
            wishes: 0,
            members: self.state.members.clone(),
        };
        // What `judge` lets in is what a roster can hold; a stored state that is not is kept out of the room's.
        let Some(roster) = Roster::sign(&self.key, content) else {
            return;
        };
        self.roster = Some(roster.clone());
        self.events.retain(|event| !matches!(event, HostEvent::Roster(_)));
        self.events.push_back(HostEvent::Save);
        self.events.push_back(HostEvent::Roster(roster));
    }
}

#[cfg(test)]
mod tests;
