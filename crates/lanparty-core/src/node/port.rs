//! The node's side of [`loops`](crate::lan::loops): ports that are stopped, at the LAN gateway that stops them and at the client whose own it is.
//!
//! Both sides hold it: the LAN gateway sends nothing to a stopped member and takes nothing from it, whatever its client does; the
//! client keeps what other members send from its adapter as well, which the LAN gateway cannot. The LAN gateway repeats that
//! a port is stopped for as long as it is, so a client that hears no more of it for [`LASTS`] goes on.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use lanparty_wire::{
    Destination, DropReason, EtherView, Frame, Mac, MemberId, PortFault, control::Role, ethertype,
};

use super::{Event, Node, probe::Probe, transmit::Label};
use crate::{
    lan::{
        Signal,
        loops::{INTERVAL_BLOCKED, Token},
    },
    switch::Forwarding,
};

/// How long a client believes that its port is stopped: five repetitions may be lost.
const LASTS: Duration = INTERVAL_BLOCKED.saturating_mul(6);

/// A client's own port.
#[derive(Debug)]
pub(super) struct StoppedPort {
    fault: PortFault,
    until: Instant,
}

impl StoppedPort {
    pub(super) fn fault(&self) -> PortFault {
        self.fault
    }

    /// When it is open again, unless the LAN gateway repeats that it is not.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

/// True for a question of a LAN gateway by which loops are found. A stopped client's adapter is given these and nothing else.
pub(super) fn is_question(frame: &[u8]) -> bool {
    question_in(frame).is_some()
}

fn question_in(frame: &[u8]) -> Option<Token> {
    let view = EtherView::parse(frame).ok()?;
    if view.type_or_length() != ethertype::LOCAL_EXPERIMENTAL {
        return None;
    }
    match Signal::parse(frame)? {
        (_, Signal::Probe(token)) => Some(token),
        (_, Signal::Beacon { .. } | Signal::Lease(_)) => None,
    }
}

impl<F: Forwarding> Node<F> {
    /// Why the LAN gateway has stopped a client's own port, if it has.
    pub fn own_port_fault(&self) -> Option<PortFault> {
        self.port.as_ref().map(StoppedPort::fault)
    }

    /// At a LAN gateway: why a member's port is stopped, if it is.
    pub fn port_fault(&self, member: MemberId) -> Option<PortFault> {
        self.lan.as_ref()?.port_fault(member)
    }

    /// A frame of a client's own device: what the LAN gateway has asked somebody else goes back to it, and nothing leaves a stopped port.
    pub(super) fn own_port(&mut self, now: Instant, frame: &[u8]) -> Result<(), DropReason> {
        if let Some(token) = question_in(frame) {
            if let Some(gateway) = self.switch.gateway()
                && self.returns.allow(now)
            {
                self.send_notice(now, gateway, Probe::Heard(token));
            }
            return Err(DropReason::Reflection);
        }
        self.port
            .as_ref()
            .map_or(Ok(()), |port| Err(port.fault.drop_reason()))
    }

    /// Whether a frame of the LAN may go to one member.
    pub(super) fn check_port(&self, destination: Destination) -> Result<(), DropReason> {
        let Destination::Member(id) = destination else {
            return Ok(());
        };
        self.port_fault(id)
            .map_or(Ok(()), |fault| Err(fault.drop_reason()))
    }

    /// Sends to each member whose port is not stopped what is for everybody. Rare, and costs our line a copy for each.
    pub(super) fn queue_around(
        &mut self,
        now: Instant,
        label: Label,
        frame: Frame<'_>,
    ) -> Result<u64, DropReason> {
        let players = self
            .peers
            .iter()
            .filter(|peer| peer.is_told && self.has_port(&peer.member));
        let open = players
            .map(|peer| peer.member.id)
            .filter(|&id| self.port_fault(id).is_none());
        let open: Vec<MemberId> = open.collect();
        let mut segments = Ok(0);
        for id in open {
            let destination = Destination::Member(id);
            segments = self.queue_once(now, Label { destination, ..label }, frame);
        }
        segments
    }

    /// The LAN has said something under a member's address.
    pub(super) fn note_astray(&mut self, now: Instant, mac: Mac) {
        let Some(lan) = &mut self.lan else { return };
        let owner = self.peers.iter().find(|peer| peer.member.mac == Some(mac));
        if let Some(owner) = owner {
            let id = owner.member.id;
            lan.note_loop(|loops, effects| loops.heard_member_on_lan(now, id, effects));
        }
    }

    /// A member has heard at its adapter what we have asked somebody else.
    pub(super) fn heard_elsewhere(
        &mut self,
        now: Instant,
        from: MemberId,
        token: &Token,
    ) -> Result<(), DropReason> {
        let peer = self.peers.get_mut(from).ok_or(DropReason::UnknownSource)?;
        let Some(lan) = &mut self.lan else {
            return Err(DropReason::Malformed);
        };
        if !peer.answers.allow(now) {
            return Err(DropReason::NeighborRate);
        }
        lan.note_loop(|loops, effects| loops.returned(now, from, token, effects));
        Ok(())
    }

    /// A LAN gateway tells a member about its port.
    pub(super) fn tell_port(&mut self, now: Instant, member: MemberId, fault: Option<PortFault>) {
        self.send_notice(now, member, Probe::Port(fault));
    }

    /// The LAN gateway tells us about our port.
    pub(super) fn port_is(
        &mut self,
        now: Instant,
        from: MemberId,
        fault: Option<PortFault>,
    ) -> Result<(), DropReason> {
        if self.config.role != Role::Client || self.switch.gateway() != Some(from) {
            return Err(DropReason::GatewaySignal);
        }
        let until = now + LASTS;
        self.set_port(fault.map(|fault| StoppedPort { fault, until }));
        Ok(())
    }

    /// Nobody says any more that our port is stopped.
    pub(super) fn port_timeout(&mut self, now: Instant) {
        if self.port.as_ref().is_some_and(|port| port.until <= now) {
            self.set_port(None);
        }
    }

    fn set_port(&mut self, port: Option<StoppedPort>) {
        let before = self.own_port_fault();
        self.port = port;
        if before != self.own_port_fault() {
            self.tell(Event::OwnPort(self.own_port_fault()));
        }
    }

    fn send_notice(&mut self, now: Instant, to: MemberId, notice: Probe) {
        if self.me.is_none() || self.paths.is_empty() {
            return;
        }
        let bytes = notice.encode();
        let write = |arena: &mut BytesMut| arena.extend_from_slice(&bytes);
        self.outbox.queue(
            now,
            Label::probe(to),
            bytes.len(),
            write,
            &mut self.counters.drops,
        );
    }
}
