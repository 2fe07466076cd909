//! Who comes in: what somebody who asks is told, at once or after the host's word.

use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, AdmissionRequest, Admitted, Membership, PeerId, Proof, Standing,
    UnixTime, VERSION,
};

use super::{Host, HostEvent, Waiting};
use crate::relay::plain_words;

/// Newcomers that wait for the host's word at once; each of them is a line on the host's screen.
const MAX_WAITING: usize = 32;

impl Host {
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
        if self.on_lan.contains(&request.mac) {
            return Err(AdmissionRefusal::OnLan);
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

    fn answer(&mut self, waiting: &Waiting, answer: AdmissionAnswer) {
        self.events.push_back(HostEvent::Answer {
            identity: waiting.identity,
            member: waiting.request.member,
            answer,
        });
    }
}
