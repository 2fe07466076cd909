//! What the relay tells a node on the control stream, and what a node does about it.

use std::time::Instant;

use lanparty_wire::{
    DropReason, Incarnation, LeaveReason, MemberId,
    control::{Member, Message, Role, Welcome},
};

use super::{
    Me, Node, cam,
    event::{Event, Output, RefreshReason},
    peers::Arrival,
    probe::Prober,
};
use crate::switch::Forwarding;

impl<F: Forwarding> Node<F> {
    /// Takes a control message. Messages come before the frames that were received with them.
    pub fn handle_control(&mut self, now: Instant, message: &Message) {
        self.take_control(now, message);
        self.flush_sealing(now);
        self.drain_lan(now);
    }

    fn take_control(&mut self, now: Instant, message: &Message) {
        match message {
            Message::Welcome(welcome) => self.welcome(now, welcome),
            Message::Joined { member } => self.joined(now, member),
            Message::Left {
                member,
                incarnation,
                reason,
            } => self.left(now, *member, *incarnation, reason),
            Message::Budget {
                member: Some(member),
                bytes,
            } => self.peers.set_budget(now, *member, *bytes),
            Message::LanLink {
                member: Some(member),
                up,
            } => self.gateway_link(*member, *up),
            Message::Envelope {
                from: Some(from),
                data,
                ..
            } => self.envelope(now, *from, data),
            Message::Gateway { member, term } => self.succession(now, *member, *term),
            Message::Lease { number, term, tenure } => {
                if let Some(lan) = &mut self.lan {
                    lan.duty_mut().answered(*number, *term, *tenure);
                }
            }
            // The shell's: what ends a connection, and what does not concern frames.
            Message::Hello(_)
            | Message::Reject { .. }
            | Message::Budget { member: None, .. }
            | Message::LanLink { member: None, .. }
            | Message::Group { .. }
            | Message::Envelope { from: None, .. }
            | Message::Stats(_)
            | Message::Goodbye { .. }
            | Message::Roster { .. }
            | Message::Renew { .. }
            | Message::Standbys { .. }
            | Message::ShortNumbers { .. }
            | Message::Lookup { .. }
            | Message::Found { .. }
            | Message::Unknown => {}
        }
    }

    /// The LAN gateway's own cable was plugged or pulled.
    pub fn lan_link(&mut self, now: Instant, up: bool) {
        if self.lan_link == Some(up) {
            return;
        }
        let was = self.lan_link.replace(up);
        self.tell_relay(Message::LanLink { member: None, up });
        if up && was == Some(false) {
            self.refresh_all(now);
        }
    }

    fn welcome(&mut self, now: Instant, welcome: &Welcome) {
        for member in self.peers.park() {
            self.tell_left(now, member, LeaveReason::Unknown);
        }
        self.switch.clear();
        self.cam.clear();
        if let Some(lan) = &mut self.lan {
            lan.duty_mut().entered(welcome.gateway == Some(welcome.member));
            lan.room_entered(now);
        }
        self.me = Some(Me {
            id: welcome.member,
            incarnation: welcome.incarnation,
            sealed: welcome.sealed,
        });
        self.seal_welcome(now);
        self.expected = welcome.members;
        if let Some(sealing) = self.sealing.as_mut().filter(|_| welcome.members == 0) {
            // Of those who are gone by now we may never hear.
            sealing.someone_left(now);
        }
        self.tell(Event::Joined {
            member: welcome.member,
            mode: welcome.mode,
            members: welcome.members,
        });
        if let Some(up) = self.lan_link {
            self.tell_relay(Message::LanLink { member: None, up });
        }
        self.announce_budget();
        if welcome.gateway.is_none() {
            self.gateway_is(false);
        }
        self.all_named(now);
    }

    fn joined(&mut self, now: Instant, member: &Member) {
        if self.me.as_ref().is_none_or(|me| me.id == member.id) {
            return;
        }
        if self.harms_the_lan(now, member) {
            // The welcome has counted it, and those who were not named must not wait for it.
            self.expected = self.expected.saturating_sub(1);
            self.all_named(now);
            return;
        }
        if let Some(peer) = self.peers.get(member.id).filter(|peer| peer.is_told)
            && self.has_port(&peer.member)
        {
            let mac = peer.member.mac;
            self.switch.remove(member.id, mac);
        }
        match self.peers.join(now, member.clone()) {
            Arrival::Refused => return,
            Arrival::Reborn(Some(before)) => self.tell_left(now, before, LeaveReason::Displaced),
            Arrival::Reborn(None) | Arrival::New | Arrival::Known => {}
        }
        self.admit(now, member.id);
        self.all_named(now);
    }

    /// A member that is there and may be has its place in the switch from here on; who may not be loses it.
    pub(super) fn admit(&mut self, now: Instant, id: MemberId) {
        let is_admitted = self.link_with(now, id);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let was_told = std::mem::replace(&mut peer.is_told, is_admitted);
        let member = peer.member.clone();
        match (was_told, is_admitted) {
            (false, false) => {}
            (true, false) => self.depart(now, member, LeaveReason::Kicked),
            (false, true) => {
                self.tell(Event::MemberJoined {
                    member: member.clone(),
                });
                self.greet(now, &member);
            }
            (true, true) => self.greet(now, &member),
        }
    }

    pub(super) fn greet(&mut self, now: Instant, member: &Member) {
        if member.role == Role::Gateway {
            self.count_gateways(now);
        }
        if !self.has_port(member) {
            return;
        }
        self.switch.add(member.id, member.role, member.mac);
        match (self.config.role, member.role, member.mac) {
            (Role::Client, Role::Gateway, _) => self.gateway_came(now, member),
            (Role::Gateway, Role::Client, Some(mac)) => {
                self.cam.add(now, member.id, mac);
                self.refresh(now, mac, RefreshReason::PeerJoined);
                if let Some(lan) = &mut self.lan {
                    let recalled = lan.recalled(now, mac);
                    if let Some(peer) = self.peers.get_mut(member.id) {
                        peer.lease = peer.lease.or(recalled);
                    }
                    lan.member_came(now, member);
                }
            }
            (Role::Client | Role::Gateway, Role::Client | Role::Gateway, _) => {}
        }
    }

    /// A member that was there is gone, or may not be there any more.
    fn depart(&mut self, now: Instant, member: Member, reason: LeaveReason) {
        if self.has_port(&member) {
            self.switch.remove(member.id, member.mac);
        }
        self.cam.remove(member.id);
        if let Some(lan) = &mut self.lan {
            lan.member_left(now, &member);
        }
        self.gone(now, member, reason);
    }

    fn gone(&mut self, now: Instant, member: Member, reason: LeaveReason) {
        let (was_gateway, spoke) = (member.role == Role::Gateway, self.speaks_for_lan(&member));
        self.tell_left(now, member, reason);
        if spoke {
            self.gateway_is(false);
        }
        if was_gateway {
            self.count_gateways(now);
        }
    }

    /// A LAN gateway believes nothing of its relay that would open the LAN: none has the address of a station that was heard on ours.
    /// (Another LAN gateway gets no port, see [`Node::has_port`].)
    fn harms_the_lan(&mut self, now: Instant, member: &Member) -> bool {
        if self.config.role != Role::Gateway {
            return false;
        }
        let harm = match (member.role, member.mac) {
            (Role::Client, Some(mac)) if self.switch.is_station(now, mac) => Some(DropReason::ForgedSource),
            (Role::Client | Role::Gateway, _) => None,
        };
        let Some(reason) = harm else { return false };
        if let (DropReason::ForgedSource, Some(mac)) = (reason, member.mac) {
            self.tell(Event::OnLan { mac });
        }
        self.counters.drops.count(reason);
        tracing::warn!(member = %member.id, role = ?member.role, mac = ?member.mac, reason = reason.name(),
            "a member that would harm the LAN is ignored");
        true
    }

    fn left(&mut self, now: Instant, id: MemberId, incarnation: Incarnation, reason: &LeaveReason) {
        let was_present = self.peers.get(id).is_some();
        let Some(member) = self.peers.leave(id, incarnation) else {
            return;
        };
        if was_present {
            self.depart(now, member, reason.clone());
        } else {
            self.gone(now, member, reason.clone());
        }
    }

    fn gateway_came(&mut self, now: Instant, member: &Member) {
        if self.prober.as_ref().is_none_or(|p| p.target() != member.id) {
            self.prober = Some(Prober::new(member.id, self.config.flow_key, now));
        }
        self.gateway_is(true);
        if let Some(up) = member.lan_link {
            self.gateway_link(member.id, up);
        }
    }

    /// Tells whether there is a LAN gateway if that is news.
    pub(super) fn gateway_is(&mut self, present: bool) {
        if self.config.role == Role::Gateway {
            return;
        }
        if !present {
            self.prober = None;
            self.broadcast = Default::default();
            self.told_link = None;
        }
        if self.told_gateway != Some(present) {
            self.told_gateway = Some(present);
            self.tell(Event::GatewayPresent(present));
        }
    }

    fn gateway_link(&mut self, member: MemberId, up: bool) {
        let Some(peer) = self.peers.get_mut(member) else {
            return;
        };
        peer.member.lan_link = Some(up);
        if peer.member.role == Role::Gateway && self.told_link != Some(up) {
            self.told_link = Some(up);
            self.tell(Event::LanLink(up));
        }
    }

    /// Once everybody is named whom the welcome has counted, those that were known before and were not named are gone.
    fn all_named(&mut self, now: Instant) {
        // Who is not in, as far as the relay knows, is named nobody but the host: it is not known yet who is gone.
        if self.expected == 0 || self.peers.len() + 1 < usize::from(self.expected) {
            return;
        }
        for member in self.peers.forget_parked() {
            self.tell_left(now, member, LeaveReason::Unknown);
        }
    }

    /// Shows an address to the LAN's switches, unless the cable is out or another LAN gateway is the active one.
    pub(super) fn refresh(&mut self, now: Instant, mac: lanparty_wire::Mac, reason: RefreshReason) {
        if self.lan_link == Some(false) || !self.is_on_duty(now) {
            return;
        }
        self.tell(Event::CamRefresh { mac, reason });
        self.outputs.push_back(Output::Inject(cam::frame(mac)));
    }

    fn tell_left(&mut self, now: Instant, member: Member, reason: LeaveReason) {
        if let Some(sealing) = &mut self.sealing {
            sealing.someone_left(now);
        }
        self.tell(Event::MemberLeft { member, reason });
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Tells the room what our leg carries if that has changed, as soon as we are in it.
    pub(super) fn announce_budget(&mut self) {
        if self.me.is_none() {
            return;
        }
        if let Some(bytes) = self.paths.announce() {
            self.tell_relay(Message::Budget { member: None, bytes });
        }
    }

    pub(super) fn tell_relay(&mut self, message: Message) {
        if self.me.is_some() {
            self.outputs.push_back(Output::Control(message));
        }
    }
}
