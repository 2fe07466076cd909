//! From a frame of the device to the queue: whether it is allowed, where it goes, how urgent it is, and in what segments.
//!
//! All of it is decided once per super-frame, before anything is copied; each segment is then a frame of its own.

use std::time::Instant;

use bytes::BytesMut;
use lanparty_wire::{
    Class, Destination, DropReason, EtherView, Frame, Kind, MemberId, Offload, control::Role, mtu,
};

use super::{Counters, Node, log, peers::Peer, transmit::Label};
use crate::{
    guard,
    lan::{Lan, Pass, groups::is_report},
    mss, segment,
    switch::{Egress, Forwarding, Port},
};

impl<F: Forwarding> Node<F> {
    /// Takes a frame from the device and queues it for the room.
    ///
    /// # Errors
    /// Why it goes no further; counted already.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), DropReason> {
        let result = self.forward(now, frame).inspect_err(|&reason| {
            self.counters.drops.count(reason);
            self.drop_log.frame(now, frame.bytes, reason);
        });
        self.drain_lan(now);
        result
    }

    fn forward(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), DropReason> {
        // Most of what a LAN says is between others, and must cost nothing but a look.
        if self.config.role == Role::Gateway {
            self.switch.concerns_room(frame)?;
        }
        if self.me.is_none() || self.paths.is_empty() {
            return Err(DropReason::NoPath);
        }
        if let Some(lan) = &mut self.lan {
            lan.at_the_door(now, frame.bytes)?;
        } else {
            self.own_port(now, frame.bytes)?;
        }
        if self.is_spectator() && !guard::spectator_may_send(frame.bytes) {
            return Err(DropReason::Spectator);
        }
        let (class, packet) = self.guard.admit_packet(now, frame)?;
        if self.config.role == Role::Client && is_report(&packet) {
            return self.report(now, class, frame);
        }
        self.note_lease(now, class, frame);
        let egress = self.switch.forward(now, Port::Device, frame);
        if egress == Err(DropReason::SourceIsRemote) {
            self.note_astray(now, packet.source);
        }
        let egress = egress?;
        let mut destination = match self.isolate(egress, frame)? {
            Egress::Flood => Destination::Flood,
            Egress::Member(member) => Destination::Member(member),
            Egress::UnknownVia(gateway) => {
                self.guard.admit_unknown_unicast(now, frame)?;
                Destination::Member(gateway)
            }
            Egress::Device | Egress::UnknownOnLan => return Err(DropReason::Reflection),
        };
        let pass = match &mut self.lan {
            None => Pass::AsItIs,
            Some(lan) => lan.toward_room(now, &packet, &mut destination)?,
        };
        let frame = match &pass {
            Pass::AsItIs => frame,
            Pass::Changed(bytes) => Frame::plain(bytes),
            Pass::Taken => return Ok(()),
        };
        self.check_port(destination)?;
        let label = self.label(class, frame.bytes, destination);
        let segments = self.queue(now, label, frame)?;
        self.note_queued(now, frame, destination, segments);
        Ok(())
    }

    /// What our own system listens to is for LAN gateways alone, those that wait included: another member that heard it would keep back
    /// that it listens as well (RFC 2236, section 3).
    fn report(&mut self, now: Instant, class: Class, frame: Frame<'_>) -> Result<(), DropReason> {
        let is_gateway = |peer: &&Peer| peer.is_told && peer.member.role == Role::Gateway;
        let gateways = self.peers.iter().filter(is_gateway);
        let gateways: Vec<MemberId> = gateways.map(|peer| peer.member.id).collect();
        if gateways.is_empty() {
            return Err(DropReason::NoGateway);
        }
        for destination in gateways.into_iter().map(Destination::Member) {
            let label = self.label(class, frame.bytes, destination);
            let segments = self.queue(now, label, frame)?;
            self.note_queued(now, frame, destination, segments);
        }
        Ok(())
    }

    /// How a frame is sent.
    pub(super) fn label(&self, class: Class, frame: &[u8], destination: Destination) -> Label {
        Label {
            kind: Kind::Frame,
            class,
            flow: guard::flow_hash(self.config.flow_key, frame),
            destination,
        }
    }

    /// Queues every segment of `frame`, and returns how many there were.
    pub(super) fn queue(&mut self, now: Instant, label: Label, frame: Frame<'_>) -> Result<u64, DropReason> {
        let is_single = matches!(label.destination, Destination::Member(_));
        if !is_single && self.lan.as_ref().is_some_and(Lan::any_port_stopped) {
            return self.queue_around(now, label, frame);
        }
        self.queue_once(now, label, frame)
    }

    pub(super) fn queue_once(
        &mut self,
        now: Instant,
        label: Label,
        frame: Frame<'_>,
    ) -> Result<u64, DropReason> {
        let (budget, lasting) = self.budgets_to(now, label.destination);
        let largest = match frame.offload {
            // What TCP sent as one is cut to fit; anything else is what its sender made it.
            Offload::TcpSegments { .. } => mtu::whole_payload(budget),
            Offload::None | Offload::ChecksumNeeded { .. } | Offload::UdpSegments { .. } => {
                mtu::frame_limit(self.config.mtu)
            }
        };
        let Counters {
            mss_clamped, drops, ..
        } = &mut self.counters;
        let mut segments = 0;
        for segment in segment::segments(frame, largest)? {
            segments += 1;
            let write = |arena: &mut BytesMut| {
                let begin = arena.len();
                segment.append_to(arena);
                *mss_clamped += u64::from(mss::clamp(&mut arena[begin..], lasting));
            };
            self.outbox.queue(now, label, segment.len(), write, drops);
        }
        Ok(segments)
    }

    /// What fits on the way to a destination now, and what a TCP connection should count on.
    fn budgets_to(&self, now: Instant, destination: Destination) -> (u16, u16) {
        let own = self.paths.active_leg();
        let now_own = own.map_or(mtu::MIN_BUDGET, |leg| leg.budget());
        let budget = self
            .peers
            .budget_to(destination)
            .map_or(now_own, |theirs| theirs.min(now_own));
        let lasting = self.paths.lasting_budget(now);
        let lasting = match destination {
            Destination::Member(id) => self
                .peers
                .get(id)
                .map_or(lasting, |peer| peer.leg.lasting_budget(now).min(lasting)),
            // Nobody opens a TCP connection to a group.
            Destination::Flood | Destination::Group(_) => lasting,
        };
        (budget, lasting)
    }

    fn note_queued(&mut self, now: Instant, frame: Frame<'_>, destination: Destination, segments: u64) {
        self.counters.frames_out += segments;
        self.note_activity();
        let peer = match destination {
            Destination::Member(id) => Some(id),
            Destination::Flood | Destination::Group(_) => None,
        };
        log::forwarded("out", peer, frame.bytes);
        if EtherView::parse(frame.bytes).is_ok_and(|view| view.destination().is_multicast()) {
            self.counters.broadcast_out += segments;
            if self.switch.gateway().is_some() {
                let news = self.broadcast.sent(now);
                self.tell_broadcast(news);
            }
        }
    }
}
