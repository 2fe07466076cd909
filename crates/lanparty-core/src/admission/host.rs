//! The host of a sealed room, as a state machine: what it is asked and told goes in, answers and signed papers come out.
//!
//! Every change makes a new roster with a higher number, also after a restart: the number is at least the time, so that even a host that
//! has lost its state is not taken for an older one. Call [`Host::handle_timeout`] at [`Host::next_timeout`], and after
//! every call [`Host::poll_event`] until it is empty.

mod judge;
mod standbys;
mod wishes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lanparty_wire::{
    AdmissionAnswer, AdmissionRequest, Admitted, HostKey, MAX_ROSTER, Mac, MemberId, Membership, PeerId,
    Roster, RosterContent, SealedRoom, Standing, UnixTime,
};

use super::{HostState, StateError};

/// Seconds after which nobody waits any more.
const WAITING: u64 = 600;

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
    /// Whose machines may take over from this one as LAN gateways; told anew at each start.
    standbys: BTreeSet<PeerId>,
    /// Addresses of the LAN's own stations that somebody has come with.
    on_lan: BTreeSet<Mac>,
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
            standbys: BTreeSet::new(),
            on_lan: BTreeSet::new(),
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
