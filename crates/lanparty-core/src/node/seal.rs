//! A node in a sealed room: with whom it agrees on keys, and what goes in envelopes for that.

use std::time::Instant;

use lanparty_wire::{
    DropReason, MemberId,
    seal::{self, Letter, MAX_NOTE, Parcel, Purpose},
};

use super::{Event, Node, Output};
use crate::{
    seal::{MemberRole, Roster, Sealing, SealingConfig, Told, handshake::Party},
    switch::Forwarding,
};

impl<F: Forwarding> Node<F> {
    /// Makes it a node of a sealed room, once and before it has a path. From here on it neither sends nor takes anything that is not
    /// sealed, whatever a welcome says, and deals only with members of the newest roster ([`Node::set_roster`]).
    pub fn sealed(mut self, config: &SealingConfig, now: Instant) -> Node<F> {
        self.sealing = Some(Sealing::new(config, now));
        self
    }

    /// Who is admitted, from a roster whose signature the caller has checked. Members that are not in it any more are as if they had
    /// left, and cannot read what is flooded from then on.
    ///
    /// # Errors
    /// [`DropReason::OldRoster`] if a newer one is known, which is counted; [`DropReason::WrongKey`] in an open room.
    pub fn set_roster(&mut self, now: Instant, roster: Roster) -> Result<(), DropReason> {
        let sealing = self.sealing.as_mut().ok_or(DropReason::WrongKey)?;
        sealing
            .set_roster(roster)
            .inspect_err(|&reason| self.counters.drops.count(reason))?;
        let present: Vec<MemberId> = self.peers.iter().map(|peer| peer.member.id).collect();
        for id in present {
            let was_told = self.peers.get(id).is_some_and(|peer| peer.is_told);
            let is_admitted = self.link_with(now, id);
            if was_told != is_admitted {
                self.admit(now, id);
            }
        }
        self.tell_leases(now);
        self.flush_sealing(now);
        Ok(())
    }

    /// Writes up to [`MAX_NOTE`] bytes to a member, under the keys that both share; there it is an [`Event::Note`]. It may be lost, as
    /// everything on the way may be.
    ///
    /// # Errors
    /// [`DropReason::NoSession`] if no keys are agreed yet, [`DropReason::DatagramBudget`] if it is too long. Not counted: nothing was
    /// dropped that was not handed back.
    pub fn write_note(&mut self, now: Instant, to: MemberId, bytes: &[u8]) -> Result<(), DropReason> {
        if bytes.len() > MAX_NOTE {
            return Err(DropReason::DatagramBudget);
        }
        let sealing = self.sealing.as_mut().ok_or(DropReason::NoSession)?;
        let link = self.peers.get_mut(to).and_then(|peer| peer.link.as_mut());
        let letter = Letter::Note(bytes.to_vec());
        link.ok_or(DropReason::NoSession)?
            .write(&letter, &mut sealing.shared)?;
        self.flush_sealing(now);
        Ok(())
    }

    /// True if keys are agreed with this member.
    pub fn is_secured(&self, member: MemberId) -> bool {
        let link = self.peers.get(member).and_then(|peer| peer.link.as_ref());
        link.is_some_and(|link| link.is_secured())
    }

    /// True if the host lets us do nothing but look on.
    pub(super) fn is_spectator(&self) -> bool {
        let role = self.sealing.as_ref().and_then(Sealing::own_role);
        role == Some(MemberRole::Spectator)
    }

    /// We are in the room under this id and incarnation.
    pub(super) fn seal_welcome(&mut self, now: Instant) {
        let (Some(sealing), Some(me)) = (&mut self.sealing, &self.me) else {
            return;
        };
        let me = Party {
            identity: sealing.shared.identity.peer_id(),
            member: me.id,
            incarnation: me.incarnation,
        };
        if sealing.welcomed(now, me) {
            self.peers.drop_links();
        }
    }

    /// Whether a member that is there may be there. In a sealed room it has a link then, and has none otherwise.
    pub(super) fn link_with(&mut self, now: Instant, id: MemberId) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return false;
        };
        let Some(sealing) = &self.sealing else {
            return true;
        };
        let role = sealing.admitted(&peer.member);
        match (role, &mut peer.link) {
            (Some(role), Some(link)) => link.set_role(role),
            (Some(role), none) => *none = sealing.link(now, &peer.member, role),
            (None, link) => *link = None,
        }
        peer.link.is_some()
    }

    /// What the relay says that another member says.
    pub(super) fn envelope(&mut self, now: Instant, from: MemberId, data: &str) {
        if self.sealing.is_none() {
            return;
        }
        if let Err(reason) = self.open_envelope(now, from, data) {
            self.counters.drops.count(reason);
            if let Some(peer) = self.peers.get_mut(from) {
                peer.drops.count(reason);
            }
            tracing::debug!(%from, reason = reason.name(), "an envelope is not what a member would write");
        }
    }

    fn open_envelope(&mut self, now: Instant, from: MemberId, data: &str) -> Result<(), DropReason> {
        let bytes = seal::envelope_bytes(data).map_err(|_| DropReason::Malformed)?;
        let parcel = Parcel::decode(&bytes).map_err(|_| DropReason::Malformed)?;
        match parcel {
            // The host's and the newcomer's business, which their shells see to.
            Parcel::Initiate {
                purpose: Purpose::Admission,
                ..
            }
            | Parcel::Respond {
                purpose: Purpose::Admission,
                ..
            } => return Ok(()),
            Parcel::Hail | Parcel::Initiate { .. } | Parcel::Respond { .. } | Parcel::Letter { .. } => {}
        }
        let sealing = self.sealing.as_mut().ok_or(DropReason::WrongKey)?;
        let peer = self.peers.get_mut(from).ok_or(DropReason::UnknownSource)?;
        let link = peer.link.as_mut().ok_or(DropReason::NotAdmitted)?;
        link.handle_parcel(now, parcel, &mut sealing.shared)
    }

    /// Does what is due about keys.
    pub(super) fn seal_timeout(&mut self, now: Instant) {
        let Some(sealing) = self.sealing.as_mut() else {
            return;
        };
        if sealing.due.is_none_or(|due| due > now) {
            return;
        }
        let links = self.peers.iter_mut().filter_map(|peer| peer.link.as_mut());
        sealing.handle_timeout(now, links);
        self.flush_sealing(now);
    }

    /// Says what is to be said, and finds what is due next. To be called whenever links may have changed.
    pub(super) fn flush_sealing(&mut self, now: Instant) {
        let Some(sealing) = self.sealing.as_mut() else {
            return;
        };
        let links = self.peers.iter().filter_map(|peer| peer.link.as_ref());
        sealing.refresh(now, links);
        let (outgoing, told) = sealing.shared.take();
        for (to, parcel) in outgoing {
            self.outputs
                .push_back(Output::Control(seal::envelope(to, &parcel)));
        }
        let mut is_new = false;
        for told in told {
            let event = match told {
                Told::Secured(member) => {
                    is_new = true;
                    self.outbox.release(now, member, &mut self.counters.drops);
                    if let Some(lan) = &mut self.lan {
                        lan.member_secured(now, member);
                    }
                    Event::MemberSecured { member }
                }
                Told::Unproven(member) => Event::MemberUnproven { member },
                Told::Note { from, bytes } => Event::Note { from, bytes },
                Told::Leases { from, leases } => {
                    self.told_leases(from, &leases);
                    continue;
                }
            };
            self.tell(event);
        }
        if is_new {
            self.tell_leases(now);
        }
    }
}
