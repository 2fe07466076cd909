//! The node's side of [`Duty`](crate::lan::duty::Duty): which LAN gateway is the active one, and what passes through one that waits.

use std::time::Instant;

use lanparty_wire::{
    DropReason, MemberId,
    control::{Member, Message, Role},
};

use super::{Event, Node, Output};
use crate::{
    lan::{Signal, duty::Change},
    switch::Forwarding,
};

impl<F: Forwarding> Node<F> {
    /// Whether frames may pass to and from our own device. Only a LAN gateway that waits for another one must not let them.
    pub fn is_on_duty(&self, now: Instant) -> bool {
        self.lan.as_ref().is_none_or(|lan| lan.duty().is_active(now))
    }

    /// Whether a member that is there has a place in our switch. A LAN gateway has no use for another one, and nobody for one
    /// that waits.
    pub(super) fn has_port(&self, member: &Member) -> bool {
        member.role == Role::Client || self.speaks_for_lan(member)
    }

    /// Whether what is not a member's goes to this one.
    pub(super) fn speaks_for_lan(&self, member: &Member) -> bool {
        self.config.role == Role::Client && member.role == Role::Gateway && !member.standby
    }

    /// The relay says which LAN gateway is the active one.
    pub(super) fn succession(&mut self, now: Instant, gateway: MemberId, term: u64) {
        let is_ours = self.me.as_ref().is_some_and(|me| me.id == gateway);
        if let Some(lan) = &mut self.lan {
            lan.duty_mut().assigned(now, is_ours, term);
        }
        let gateways = self.peers.iter().filter(|peer| peer.member.role == Role::Gateway);
        let changed: Vec<MemberId> = gateways
            .filter(|peer| peer.member.standby == (peer.member.id == gateway))
            .map(|peer| peer.member.id)
            .collect();
        // Those who are to wait first, so that there are never two.
        for id in changed.iter().copied().filter(|id| *id != gateway) {
            self.set_standby(now, id, true);
        }
        for id in changed.into_iter().filter(|id| *id == gateway) {
            self.set_standby(now, id, false);
            if self.peers.get(id).is_some_and(|peer| peer.is_told) {
                self.tell(Event::GatewayChanged { member: id });
            }
        }
        if self.config.role == Role::Client && self.switch.gateway().is_none() {
            self.gateway_is(false);
        }
    }

    fn set_standby(&mut self, now: Instant, id: MemberId, standby: bool) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.member.standby = standby;
        let (member, is_told) = (peer.member.clone(), peer.is_told);
        if self.config.role == Role::Gateway || !is_told {
            return;
        }
        if standby {
            self.switch.remove(id, None);
        } else {
            self.greet(now, &member);
        }
    }

    /// Another LAN gateway may have come or gone.
    pub(super) fn count_gateways(&mut self, now: Instant) {
        let others: Vec<MemberId> = self
            .peers
            .iter()
            .filter(|peer| peer.is_told && peer.member.role == Role::Gateway)
            .map(|peer| peer.member.id)
            .collect();
        if let Some(lan) = &mut self.lan {
            lan.set_rivals(now, others);
        }
    }

    /// A frame of another LAN gateway, for us alone: it is a signal, or nothing.
    pub(super) fn hear_gateway(
        &mut self,
        now: Instant,
        from: MemberId,
        frame: &[u8],
    ) -> Result<(), DropReason> {
        let (Some(lan), Some(peer)) = (&mut self.lan, self.peers.get(from)) else {
            return Err(DropReason::Standby);
        };
        let is_active = !peer.member.standby;
        match Signal::parse(frame) {
            Some((room, Signal::Lease(lease)))
                if is_active && room == lan.tag() && !lan.duty().is_active(now) =>
            {
                lan.learn_lease(lease);
                Ok(())
            }
            _ => Err(DropReason::Standby),
        }
    }

    /// Says what is to be said about the lease. Called after every input.
    pub(super) fn drain_duty(&mut self, now: Instant) {
        let Some(lan) = &mut self.lan else { return };
        let is_heard = self.me.is_some() && self.lan_link != Some(false);
        let beacon = lan.poll_beacon(now).filter(|_| is_heard);
        let question = lan.duty_mut().poll_question(now);
        let change = lan.duty_mut().poll_change(now);
        if change == Some(Change::Begun) {
            lan.took_over();
        }
        let standbys = lan.poll_standbys(now);
        if let Some(number) = question {
            self.tell_relay(Message::Renew { number });
        }
        if let Some(beacon) = beacon {
            self.outputs.push_back(Output::Inject(beacon));
        }
        if let Some(identities) = standbys {
            self.tell_relay(Message::Standbys { identities });
        }
        let Some(change) = change else { return };
        self.tell(Event::Duty(change));
        if change == Change::Begun {
            self.refresh_all(now);
        }
    }
}
