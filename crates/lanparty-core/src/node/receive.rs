//! From a datagram to a frame for the device: who sent it, whether it is new, whether it is whole, whether it is allowed.
//!
//! The order matters. What is cheap and needs no trust comes first; the replay window moves only for what has proven genuine; the
//! guard sees whole frames only; the switch has the last word about where a frame may go.

use std::time::Instant;

use bytes::BytesMut;
use lanparty_wire::{
    Destination, DropReason, EtherView, Frame, HEADER_LEN, Header, Kind, MIN_FRAME_LEN, MemberId,
    control::Role, ethertype,
};

use super::{
    Delivery, Node, PathId,
    event::{Event, Output},
    log, port,
    port::StoppedPort,
    probe::Probe,
    strangers::check_stranger,
    transmit::Label,
};
use crate::{
    ecn, guard,
    hole::{Hole, is_open},
    lan::{Pass, groups::is_report_frame},
    mss,
    switch::{Egress, Forwarding, Port},
};

/// Where the frame for the device stands.
enum Place {
    /// In the datagram, behind its header.
    Datagram,
    /// In the node's own buffer.
    Buffer,
    /// There is none.
    Nowhere,
}

impl<F: Forwarding> Node<F> {
    /// Takes a datagram from a path. A frame in it is to be written to the device.
    ///
    /// # Errors
    /// Why it goes no further; counted already.
    pub fn handle_datagram<'a>(
        &'a mut self,
        now: Instant,
        path: PathId,
        datagram: &'a [u8],
    ) -> Result<Delivery<'a>, DropReason> {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        self.refused.clear();
        let received = self.receive(now, path, datagram);
        self.drain_lan(now);
        match received {
            Ok(Place::Nowhere) => Ok(Delivery::Nothing),
            Ok(Place::Datagram) => Ok(Delivery::Frame(&datagram[HEADER_LEN..])),
            Ok(Place::Buffer) => Ok(Delivery::Frame(&self.buffer)),
            // A second copy, and as it should be.
            Err(DropReason::Duplicate) => {
                self.counters.duplicates_in += 1;
                Err(DropReason::Duplicate)
            }
            Err(reason) => {
                self.counters.drops.count(reason);
                self.drop_log.datagram(now, datagram, reason);
                Err(reason)
            }
        }
    }

    /// The frame of a datagram that [`Node::handle_datagram`] has just refused for what the frame is; empty if it came to no frame.
    pub fn refused(&self) -> &[u8] {
        &self.refused
    }

    fn receive(&mut self, now: Instant, path: PathId, datagram: &[u8]) -> Result<Place, DropReason> {
        let me = self.me.as_ref().ok_or(DropReason::NoPath)?;
        if !self.paths.is_up(path) {
            return Err(DropReason::NoPath);
        }
        let (header, rest) = Header::decode(datagram).map_err(|_| DropReason::Malformed)?;
        if header.source == me.id {
            return Err(DropReason::Reflection);
        }
        if let Destination::Member(id) = header.destination
            && id != me.id
        {
            return Err(DropReason::Misdirected);
        }
        let sealed = me.sealed;
        let result = self.accept(now, &header, rest, sealed);
        if let Err(reason) = result
            && reason != DropReason::Duplicate
            && let Some(peer) = self.peers.get_mut(header.source)
        {
            peer.drops.count(reason);
        }
        result
    }

    /// What a member has sent, once it is clear who.
    fn accept(
        &mut self,
        now: Instant,
        header: &Header,
        rest: &[u8],
        sealed: bool,
    ) -> Result<Place, DropReason> {
        let peer = self
            .peers
            .get_mut(header.source)
            .ok_or(DropReason::UnknownSource)?;
        let is_unsealed = header.key_id == 0 && is_open(Hole::Sealed);
        let sealing = self.sealing.as_mut().filter(|_| !is_unsealed);
        peer.check(sealing.is_some(), header)?;
        let mut place = Place::Datagram;
        let mut congested = header.congested;
        if header.fragment {
            let drops = &mut self.counters.drops;
            let Some((whole, payload)) = peer.reassembler.insert(now, header, rest, drops)? else {
                self.reassembly_due = self.reassembly_due.or(peer.reassembler.poll_timeout());
                return Ok(Place::Nowhere);
            };
            congested = whole.congested;
            self.counters.reassembled_in += 1;
            self.buffer.clear();
            self.buffer.extend_from_slice(payload);
            place = Place::Buffer;
        }
        if let Some(sealing) = sealing {
            if matches!(place, Place::Datagram) {
                self.buffer.clear();
                self.buffer.extend_from_slice(rest);
                place = Place::Buffer;
            }
            sealing.open(now, peer, header, &mut self.buffer)?;
        } else if sealed {
            // An open node in a room that has turned out to be a sealed one knows no keys.
            return Err(DropReason::WrongKey);
        } else {
            peer.commit(header)?;
        }
        let header = &Header { congested, ..*header };
        match place {
            Place::Datagram => self.dispatch(now, header, rest),
            Place::Buffer | Place::Nowhere => {
                let payload = std::mem::take(&mut self.buffer);
                let dispatched = self.dispatch(now, header, &payload);
                if matches!(dispatched, Ok(Place::Buffer)) {
                    // A changed copy took the buffer's place.
                    return dispatched;
                }
                self.buffer = payload;
                dispatched.map(|place| match place {
                    Place::Datagram | Place::Buffer => Place::Buffer,
                    Place::Nowhere => Place::Nowhere,
                })
            }
        }
    }

    /// Hands on what has proven genuine. [`Place::Datagram`] stands for `payload` as it is.
    fn dispatch(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Result<Place, DropReason> {
        match header.kind {
            Kind::Frame => {
                let delivered = self.deliver(now, header.source, payload, header.congested);
                if delivered.is_err() {
                    self.refused.extend_from_slice(payload);
                }
                delivered
            }
            // No probe is longer than a datagram.
            Kind::Probe if header.fragment => Err(DropReason::Malformed),
            Kind::Probe => self.answer(now, header, payload),
        }
    }

    /// Passes a whole frame through guard and switch. [`Place::Datagram`] stands for `frame` as it is. A queue on the way may have found
    /// that its sender must slow down: it is told with a mark, or by the loss (RFC 6040, section 4.2).
    fn deliver(
        &mut self,
        now: Instant,
        from: MemberId,
        frame: &[u8],
        congested: bool,
    ) -> Result<Place, DropReason> {
        let is_for_strangers = self.is_for_strangers();
        let peer = self.peers.get_mut(from).ok_or(DropReason::UnknownSource)?;
        if peer.is_spectator() && !guard::spectator_may_send(frame) {
            return Err(DropReason::Spectator);
        }
        if peer.member.role == Role::Gateway && self.config.role == Role::Gateway {
            self.hear_gateway(now, from, frame)?;
            return Ok(Place::Nowhere);
        }
        let is_waiting = self.lan.as_ref().is_some_and(|lan| !lan.duty().is_active(now));
        if peer.member.standby || is_waiting && !is_report_frame(frame) {
            return Err(DropReason::Standby);
        }
        let asked = self.port.is_some() && peer.member.role == Role::Gateway && port::is_question(frame);
        let stopped = self.lan.as_ref().and_then(|lan| lan.port_fault(from));
        let stopped = stopped.or(self.port.as_ref().map(StoppedPort::fault).filter(|_| !asked));
        if let Some(fault) = stopped {
            return Err(fault.drop_reason());
        }
        peer.broadcasts += u64::from(is_group(frame));
        let admitted = peer.guard.admit_packet(now, Frame::plain(frame));
        if let (Err(DropReason::ForgedSource), Some(lan)) = (&admitted, &mut self.lan) {
            lan.note_loop(|loops, _| loops.hint(now, from));
        }
        let (_, packet) = admitted?;
        if let Some(lan) = self.lan.as_mut().filter(|_| is_waiting) {
            lan.overhear(now, from, &packet);
            return Ok(Place::Nowhere);
        }
        if is_for_strangers {
            check_stranger(self.config.role, peer, Frame::plain(frame))?;
        }
        let pass = match &mut self.lan {
            None => Pass::AsItIs,
            Some(lan) => lan.toward_lan(now, from, &packet)?,
        };
        let frame = match &pass {
            Pass::AsItIs => frame,
            Pass::Changed(bytes) => bytes,
            Pass::Taken => return Ok(Place::Nowhere),
        };
        match self
            .switch
            .forward(now, Port::Member(from), Frame::plain(frame))?
        {
            Egress::Device => {}
            Egress::UnknownOnLan => peer.guard.admit_unknown_unicast(now, Frame::plain(frame))?,
            Egress::Member(_) | Egress::UnknownVia(_) | Egress::Flood => return Err(DropReason::Reflection),
        }
        if congested && !ecn::is_capable(frame) {
            return Err(DropReason::QueueDelay);
        }
        let budget = self.paths.lasting_budget(now).min(peer.leg.lasting_budget(now));
        if !port::is_question(frame) {
            self.note_delivered(now, from, frame);
        }
        let is_own = pass == Pass::AsItIs;
        if is_own && frame.len() >= MIN_FRAME_LEN && !congested && !may_open_tcp(frame) {
            return Ok(Place::Datagram);
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(frame);
        if self.buffer.len() < MIN_FRAME_LEN {
            self.buffer.resize(MIN_FRAME_LEN, 0);
        }
        if congested {
            ecn::mark(&mut self.buffer);
        }
        if mss::clamp(&mut self.buffer, budget) {
            self.counters.mss_clamped += 1;
        }
        Ok(Place::Buffer)
    }

    fn note_delivered(&mut self, now: Instant, from: MemberId, frame: &[u8]) {
        self.counters.frames_in += 1;
        self.note_activity();
        log::forwarded("in", Some(from), frame);
        let is_of_lan = self.switch.gateway() == Some(from);
        if !is_group(frame) {
            self.counters.unicast_in_lan += u64::from(is_of_lan);
            return;
        }
        if is_of_lan {
            self.counters.broadcast_in_lan += 1;
            let news = self.broadcast.heard(now);
            self.tell_broadcast(news);
        } else {
            self.counters.broadcast_in_members += 1;
        }
    }

    /// A probe: a question to answer, or the answer to ours.
    fn answer(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Result<Place, DropReason> {
        let probe = Probe::decode(payload).ok_or(DropReason::Malformed)?;
        if !matches!(header.destination, Destination::Member(_)) {
            return Err(DropReason::Malformed);
        }
        match probe {
            Probe::Request(nonce) => {
                let peer = self
                    .peers
                    .get_mut(header.source)
                    .ok_or(DropReason::UnknownSource)?;
                if !peer.answers.allow(now) {
                    return Err(DropReason::NeighborRate);
                }
                let label = Label::probe(header.source);
                let answer = Probe::Answer(nonce).encode();
                let write = |arena: &mut BytesMut| arena.extend_from_slice(&answer);
                self.outbox
                    .queue(now, label, answer.len(), write, &mut self.counters.drops);
                self.counters.probes_answered += 1;
            }
            Probe::Answer(nonce) => {
                let Some(prober) = self.prober.as_mut().filter(|p| p.target() == header.source) else {
                    return Err(DropReason::Malformed);
                };
                if let Some(rtt) = prober.answered(now, nonce) {
                    self.outputs.push_back(Output::Event(Event::GatewayRtt(rtt)));
                }
            }
            Probe::Heard(token) => self.heard_elsewhere(now, header.source, &token)?,
            Probe::Port(fault) => self.port_is(now, header.source, fault)?,
        }
        Ok(Place::Nowhere)
    }
}

fn is_group(frame: &[u8]) -> bool {
    EtherView::parse(frame).is_ok_and(|view| view.destination().is_multicast())
}

/// True if the frame may carry an MSS option: TCP with SYN, or IPv6 with headers in front of whatever it is. Only such a frame is copied on
/// its way to the device.
fn may_open_tcp(frame: &[u8]) -> bool {
    const TCP: u8 = 6;
    const SYN: u8 = 2;
    let Ok(view) = EtherView::parse(frame) else {
        return false;
    };
    let packet = view.payload();
    let syn = |at: usize| packet.get(at + 13).is_some_and(|flags| flags & SYN != 0);
    match (view.type_or_length(), packet) {
        (ethertype::IPV4, [first, _, _, _, _, _, _, _, _, TCP, ..]) => syn(usize::from(first & 0xf) * 4),
        (ethertype::IPV6, [_, _, _, _, _, _, next, ..]) => match *next {
            TCP => syn(40),
            // UDP and ICMPv6 are what there is besides; anything else may have TCP behind it.
            17 | 58 => false,
            _ => true,
        },
        _ => false,
    }
}
