//! In a room for strangers: what members send to each other and to the LAN, and whose address is whose.
//!
//! Each receiver decides for itself, so it holds against members that have other ideas. Senders keep back what nobody would take, and
//! say to the LAN gateway alone what is for the LAN. Addresses are the LAN gateway's to tell: it hears the LAN's DHCP server, or is it.

use std::{net::Ipv4Addr, time::Instant};

use lanparty_wire::{
    Class, DropReason, Frame, MemberId, Profile,
    control::Role,
    seal::{Letter, MAX_LEASES},
};

use super::{Event, Node, peers::Peer};
use crate::{
    guard,
    seal::MemberRole,
    switch::{Egress, Forwarding},
};

impl<F: Forwarding> Node<F> {
    /// Of an open room's LAN gateway, which can only guard its own LAN: members do not know of it. A sealed room's roster says it.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// How far members are trusted with each other; `None` where nobody has said it.
    pub fn profile(&self) -> Option<Profile> {
        match &self.sealing {
            Some(sealing) => sealing.profile(),
            None => Some(self.profile).filter(|_| self.config.role == Role::Gateway),
        }
    }

    pub(super) fn is_for_strangers(&self) -> bool {
        self.profile() == Some(Profile::Strangers)
    }

    /// Where a player's own frame goes instead of where the switch has sent it.
    pub(super) fn isolate(&self, egress: Egress, frame: Frame<'_>) -> Result<Egress, DropReason> {
        let to_players = match egress {
            Egress::Flood => true,
            Egress::Member(member) => self.switch.gateway() != Some(member),
            Egress::Device | Egress::UnknownOnLan | Egress::UnknownVia(_) => false,
        };
        if !to_players || self.config.role == Role::Gateway || !self.is_for_strangers() {
            return Ok(egress);
        }
        match (guard::between_strangers(frame), egress) {
            (Ok(()), egress) => Ok(egress),
            (Err(_), Egress::Flood) => {
                let gateway = self.switch.gateway().ok_or(DropReason::NoGateway)?;
                Ok(Egress::Member(gateway))
            }
            (Err(reason), _) => Err(reason),
        }
    }

    /// A LAN gateway listens to the LAN's DHCP server, and to its own.
    pub(super) fn note_lease(&mut self, now: Instant, class: Class, frame: Frame<'_>) {
        if class != Class::Neighbor || self.config.role != Role::Gateway {
            return;
        }
        let Some(heard) = guard::lease_in(frame) else {
            return;
        };
        let peer = self
            .peers
            .iter_mut()
            .find(|peer| peer.member.mac == Some(heard.mac));
        let Some(peer) = peer else { return };
        let is_news = peer.lease.replace(heard.address) != Some(heard.address);
        self.tell(Event::LeaseHeard(heard));
        if is_news {
            self.tell_leases(now);
        }
    }

    /// The active LAN gateway tells members whose address is whose, whenever that or the profile has changed, or somebody can be told.
    pub(super) fn tell_leases(&mut self, now: Instant) {
        if self.config.role != Role::Gateway || !self.is_on_duty(now) || !self.is_for_strangers() {
            return;
        }
        let Some(sealing) = self.sealing.as_mut() else {
            return;
        };
        let leases = self
            .peers
            .iter()
            .filter_map(|peer| Some((peer.member.id, peer.lease?)));
        let leases: Vec<(MemberId, Ipv4Addr)> = leases.take(MAX_LEASES).collect();
        if leases.is_empty() {
            return;
        }
        let letter = Letter::Leases(leases);
        for link in self.peers.iter_mut().filter_map(|peer| peer.link.as_mut()) {
            // Who has no keys yet is told when there are.
            let _ = link.write(&letter, &mut sealing.shared);
        }
        self.flush_sealing(now);
    }

    /// Only a LAN gateway's word about addresses counts.
    pub(super) fn told_leases(&mut self, from: MemberId, leases: &[(MemberId, Ipv4Addr)]) {
        let role = self.peers.get(from).and_then(|peer| peer.link.as_ref());
        if role.map(|link| link.role()) != Some(MemberRole::Gateway) {
            return;
        }
        for &(member, address) in leases {
            if let Some(peer) = self.peers.get_mut(member) {
                peer.lease = Some(address);
            }
        }
    }
}

/// Whether a frame of a player's may come to us in a room for strangers, and whether the addresses in it are his.
pub(super) fn check_stranger(own: Role, peer: &Peer, frame: Frame<'_>) -> Result<(), DropReason> {
    let (Role::Client, Some(mac)) = (peer.member.role, peer.member.mac) else {
        return Ok(());
    };
    match own {
        Role::Client => guard::between_strangers(frame)?,
        Role::Gateway => guard::stranger_to_lan(frame)?,
    }
    guard::claims_its_own(frame, mac, peer.lease)
}
