//! Asking the host, and what its answer means.

use std::time::Instant;

use lanparty_wire::{
    AdmissionAnswer, AdmissionRefusal, AdmissionRequest, DropReason, Membership, Proof, UnixTime, VERSION,
    seal::{envelope, envelope_bytes},
};

use super::{Ask, Guest, GuestOutput, TEMPORARY, WAIT};
use crate::{
    admission::{
        SavedMembership,
        asking::{Asking, answer_in},
    },
    seal::pace::Repeat,
};

impl Guest {
    pub(super) fn begin(&mut self, now: Instant, unix: UnixTime) {
        let (Some(me), Some(host)) = (self.me, self.host) else {
            self.ask = Ask::Idle;
            return;
        };
        self.membership
            .take_if(|membership| membership.member().expires <= unix);
        let by_membership = self.membership.is_some();
        let (invite, secret) = self.config.invite;
        let proof = match &self.membership {
            Some(membership) => Proof::Membership(membership.bytes().to_vec()),
            None => Proof::Secret { invite, secret },
        };
        let request = AdmissionRequest {
            member: me.member,
            mac: self.config.mac,
            name: self.config.name.clone(),
            software: self.config.software.clone(),
            min_version: VERSION,
            max_version: VERSION,
            proof,
        };
        let asking = Asking {
            room: self.room,
            newcomer: me,
            host,
        };
        let begun = asking.begin(&mut self.random, &self.config.identity, &request.encode());
        let Some((handshake, parcel)) = begun else {
            // The host's identity was checked when the invite was read.
            self.ask = Ask::Idle;
            return;
        };
        let message = envelope(host.member, &parcel);
        self.outputs.push_back(GuestOutput::Send(Box::new(message)));
        let mut repeat = Repeat::starting(now);
        repeat.again(now);
        self.ask = Ask::Running {
            handshake: Box::new(handshake),
            parcel,
            repeat,
            by_membership,
        };
    }

    pub(super) fn envelope(&mut self, now: Instant, unix: UnixTime, data: &str) -> Result<(), DropReason> {
        let bytes = envelope_bytes(data).map_err(|_| DropReason::Malformed)?;
        let Some(noise) = answer_in(&bytes) else {
            return Ok(());
        };
        let Ask::Running {
            handshake,
            by_membership,
            ..
        } = &mut self.ask
        else {
            // An answer that came twice.
            return Ok(());
        };
        let by_membership = *by_membership;
        let (_, payload) = handshake.finish(noise).map_err(|_| DropReason::BadHandshake)?;
        let answer = AdmissionAnswer::decode(&self.room, &payload).map_err(|_| DropReason::Malformed)?;
        self.ask = Ask::Idle;
        self.answered(now, unix, answer, by_membership);
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        unix: UnixTime,
        answer: AdmissionAnswer,
        by_membership: bool,
    ) {
        self.is_waiting = false;
        self.refused = None;
        match answer {
            AdmissionAnswer::Admitted { membership, roster } => self.admitted(membership, roster),
            AdmissionAnswer::Wait => {
                self.is_waiting = true;
                self.ask = Ask::Later(now + WAIT);
            }
            AdmissionAnswer::Refused(AdmissionRefusal::MembershipOver | AdmissionRefusal::Kicked)
                if by_membership =>
            {
                // The invite may be newer than what it has brought before.
                self.membership = None;
                self.begin(now, unix);
            }
            AdmissionAnswer::Refused(refusal) if refusal.is_temporary() => {
                self.refused = Some(refusal);
                self.ask = Ask::Later(now + TEMPORARY);
            }
            AdmissionAnswer::Refused(refusal) => {
                self.outputs.push_back(GuestOutput::Refused(refusal));
            }
        }
    }

    fn admitted(&mut self, membership: Membership, roster: u64) {
        let is_mine = self.me.is_some_and(|me| {
            let member = membership.member();
            member.identity == me.identity && member.id == me.member
        });
        if !is_mine {
            return;
        }
        self.keeper.require(roster);
        let saved = SavedMembership::new(&membership, &self.keeper);
        self.outputs.push_back(GuestOutput::Save(saved));
        self.membership = Some(membership);
    }
}
