//! Where newcomers meet the host: their handshakes come in past the relay, and the host's answers go back to them alone.
//!
//! Goes between the control stream and a [`Host`]. Feed it every control message and the time, and do what
//! [`Reception::poll_output`] says, in that order.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, AdmissionRequest, CodeMessage, DropReason, MemberId, PeerId, Roster,
    UnixTime,
    control::{Member, Message, Role, Welcome},
    seal,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    Host, HostEvent,
    asking::{self, Asking},
    counter::{Counter, ShownCode},
};
use crate::seal::{IdentityKey, handshake::Party, pace::Allowance};

/// Refusals that wait for their askers to ask again; who never does must not fill our memory.
const MAX_DECIDED: usize = 64;

/// What the shell does.
#[derive(Clone, PartialEq, Debug)]
pub enum ReceptionOutput {
    /// Store [`Host::state`] before what follows leaves the machine.
    Save,
    /// A new roster, for our own node and for the relay.
    Roster(Roster),
    /// For the control stream.
    Send(Box<Message>),
    /// A note for a member, under the keys that both share. It may be lost: members ask again in time.
    Note { to: MemberId, bytes: Vec<u8> },
    /// Somebody waits for the host's word now: [`Host::waiting`].
    Waiting(PeerId),
    /// There is another short code to show.
    Code(ShownCode),
}

/// Somebody who is there, a member or not.
#[derive(Debug)]
struct Visitor {
    party: Party,
    /// The last message that was answered, and the answer: a message that was repeated gets it again.
    answered: Option<(Vec<u8>, Vec<u8>)>,
    allowance: Allowance,
}

/// The host's door.
#[derive(Debug)]
pub struct Reception {
    identity: IdentityKey,
    pub(super) host: Host,
    pub(super) random: ChaCha20Rng,
    me: Option<Party>,
    visitors: BTreeMap<MemberId, Visitor>,
    /// What the host has refused since they were told to wait.
    decided: BTreeMap<PeerId, AdmissionRefusal>,
    pub(super) counter: Option<Counter>,
    pub(super) outputs: VecDeque<ReceptionOutput>,
}

impl Reception {
    /// The door of `host`, whose key `identity` is. `seed` is random, secret, and another one in every process.
    pub fn new(host: Host, identity: IdentityKey, seed: [u8; 32]) -> Reception {
        Reception {
            identity,
            host,
            random: ChaCha20Rng::from_seed(seed),
            me: None,
            visitors: BTreeMap::new(),
            decided: BTreeMap::new(),
            counter: None,
            outputs: VecDeque::new(),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host, for its wishes.
    pub fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    /// The next thing to do. Drained after every call.
    pub fn poll_output(&mut self) -> Option<ReceptionOutput> {
        self.collect();
        self.outputs.pop_front()
    }

    /// Does what is due, about once a second.
    pub fn handle_timeout(&mut self, unix: UnixTime) {
        // Before it is in its room the host has no roster to change.
        if self.me.is_some() && self.host.next_timeout().is_some_and(|due| due <= unix) {
            self.host.handle_timeout(unix);
        }
        self.look_at_code(unix);
    }

    /// Takes a control message; those that do not concern the door change nothing.
    ///
    /// # Errors
    /// Why an envelope is not what somebody who asks would write.
    pub fn handle_control(
        &mut self,
        now: Instant,
        unix: UnixTime,
        message: &Message,
    ) -> Result<(), DropReason> {
        match message {
            Message::Welcome(welcome) => self.enter(unix, welcome),
            Message::Joined { member } => self.joined(now, unix, member),
            Message::ShortNumbers { numbers } => self.numbered(unix, numbers),
            Message::Left {
                member, incarnation, ..
            } => {
                let is_meant = |visitor: &Visitor| visitor.party.incarnation == *incarnation;
                if self.visitors.get(member).is_some_and(is_meant) {
                    self.forget(*member);
                }
            }
            Message::Envelope {
                from: Some(from),
                data,
                ..
            } => return self.envelope(now, unix, *from, data),
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, unix: UnixTime, welcome: &Welcome) {
        self.me = Some(Party {
            identity: self.identity.peer_id(),
            member: welcome.member,
            incarnation: welcome.incarnation,
        });
        // Whoever is still there is named again.
        self.visitors.clear();
        self.host.enter(unix, welcome.member);
    }

    fn joined(&mut self, now: Instant, unix: UnixTime, member: &Member) {
        if member.role == Role::Gateway {
            self.host.standby_came(unix, member.identity, member.id);
            return;
        }
        let party = Party {
            identity: member.identity,
            member: member.id,
            incarnation: member.incarnation,
        };
        self.host.set_present(member.identity, true);
        if self
            .visitors
            .get(&member.id)
            .is_none_or(|known| known.party != party)
        {
            let visitor = Visitor {
                party,
                answered: None,
                allowance: Allowance::new(now),
            };
            self.visitors.insert(member.id, visitor);
        }
    }

    fn forget(&mut self, id: MemberId) {
        let Some(gone) = self.visitors.remove(&id) else {
            return;
        };
        let identity = gone.party.identity;
        if self
            .visitors
            .values()
            .all(|other| other.party.identity != identity)
        {
            self.host.set_present(identity, false);
            self.gone(&identity);
        }
    }

    fn envelope(
        &mut self,
        now: Instant,
        unix: UnixTime,
        from: MemberId,
        data: &str,
    ) -> Result<(), DropReason> {
        let bytes = seal::envelope_bytes(data).map_err(|_| DropReason::Malformed)?;
        if CodeMessage::is_one(&bytes) {
            return self.tried(unix, from, &bytes);
        }
        match asking::request_in(&bytes) {
            Some(noise) => self.asked(now, unix, from, noise),
            None => Ok(()),
        }
    }

    fn asked(
        &mut self,
        now: Instant,
        unix: UnixTime,
        from: MemberId,
        noise: &[u8],
    ) -> Result<(), DropReason> {
        let me = self.me.ok_or(DropReason::UnknownSource)?;
        let visitor = self.visitors.get_mut(&from).ok_or(DropReason::UnknownSource)?;
        if let Some((_, answer)) = visitor.answered.as_ref().filter(|(asked, _)| asked == noise) {
            let again = seal::envelope(from, answer);
            self.send(again);
            return Ok(());
        }
        visitor.allowance.take(now)?;
        let asking = Asking {
            room: self.host.room(),
            newcomer: visitor.party,
            host: me,
        };
        let identity = visitor.party.identity;
        let (handshake, request) = asking.hear(&mut self.random, &self.identity, noise)?;
        let answer = self.decide(unix, from, identity, &request);
        // A roster comes before the answer that names it, and the file before both.
        self.collect();
        let parcel = asking::end(handshake, &answer.encode())?;
        let message = seal::envelope(from, &parcel);
        if let Some(visitor) = self.visitors.get_mut(&from) {
            visitor.answered = Some((noise.to_vec(), parcel));
        }
        self.send(message);
        Ok(())
    }

    pub(super) fn send(&mut self, message: Message) {
        self.outputs.push_back(ReceptionOutput::Send(Box::new(message)));
    }

    /// Who sits there.
    pub(super) fn identity_of(&self, member: MemberId) -> Option<PeerId> {
        self.visitors.get(&member).map(|visitor| visitor.party.identity)
    }

    fn decide(
        &mut self,
        unix: UnixTime,
        from: MemberId,
        identity: PeerId,
        request: &[u8],
    ) -> AdmissionAnswer {
        match AdmissionRequest::decode(request) {
            Ok(request) if request.member == from => match self.decided.remove(&identity) {
                Some(refusal) => AdmissionAnswer::Refused(refusal),
                None => self.host.handle_request(unix, identity, &request),
            },
            // A request that was made for another seat is not this one's.
            Ok(_) | Err(_) => AdmissionAnswer::Refused(AdmissionRefusal::Malformed),
        }
    }

    pub(super) fn collect(&mut self) {
        while let Some(event) = self.host.poll_event() {
            match event {
                HostEvent::Save => self.outputs.push_back(ReceptionOutput::Save),
                HostEvent::Roster(roster) => self.outputs.push_back(ReceptionOutput::Roster(roster)),
                HostEvent::Waiting(identity) => self.outputs.push_back(ReceptionOutput::Waiting(identity)),
                HostEvent::Answer {
                    identity,
                    answer: AdmissionAnswer::Refused(refusal),
                    ..
                } => {
                    if self.decided.len() < MAX_DECIDED {
                        self.decided.insert(identity, refusal);
                    }
                }
                HostEvent::Answer { member, answer, .. } => self.outputs.push_back(ReceptionOutput::Note {
                    to: member,
                    bytes: answer.encode(),
                }),
            }
        }
    }
}
