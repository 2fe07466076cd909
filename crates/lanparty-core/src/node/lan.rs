//! The node's side of [`Lan`]: what a LAN gateway's house wants sent is sent here.

use std::time::Instant;

use lanparty_wire::{Destination, DropReason, Frame, control::Message};

use super::{
    Node,
    event::{Event, Output, RefreshReason},
};
use crate::{
    guard,
    lan::{Effect, Lan, LanConfig, Station, addresses::Leases, groups::Registration, loops::News},
    switch::Forwarding,
};

impl<F: Forwarding> Node<F> {
    /// Says what the host wants; to be called before anything else happens. Means nothing to a client.
    pub fn set_lan(&mut self, now: Instant, config: LanConfig) {
        if let Some(lan) = &mut self.lan {
            lan.configure(now, config);
        }
    }

    /// What only a LAN gateway has.
    pub fn lan(&self) -> Option<&Lan> {
        self.lan.as_ref()
    }

    /// What this machine's own interface on the LAN is from now on.
    pub fn lan_station(&mut self, now: Instant, station: Station) {
        if let Some(lan) = &mut self.lan {
            lan.set_station(now, station);
            self.drain_lan(now);
        }
    }

    /// Goes on with the addresses that another LAN gateway has handed out.
    pub fn adopt_leases(&mut self, leases: Leases) {
        if let Some(lan) = &mut self.lan {
            lan.adopt_leases(leases);
        }
    }

    /// Does what the inhabitants of the house have left to be done. Called after every input that they may have seen.
    pub(super) fn drain_lan(&mut self, now: Instant) {
        self.drain_duty(now);
        let on_duty = self.is_on_duty(now);
        while let Some(effect) = self.lan.as_mut().and_then(Lan::poll_effect) {
            match effect {
                // Nobody hears it while the cable is out.
                Effect::ToLan(_) if self.lan_link == Some(false) || !on_duty => {}
                Effect::ToLan(frame) => self.outputs.push_back(Output::Inject(frame)),
                Effect::ToMember(member, frame) => self.send_own(now, Destination::Member(member), &frame),
                Effect::ToRoom(frame) => self.send_own(now, Destination::Flood, &frame),
                // The house has seen to it.
                Effect::Share(_) => {}
                Effect::Register(Registration { handle, members }) => {
                    self.tell_relay(Message::Group { handle, members });
                }
                Effect::Tell(event) => {
                    let stopped = matches!(event, Event::Port(News::Stopped { .. }));
                    self.tell(event);
                    if stopped {
                        // The LAN's switches may have seen everybody behind that port.
                        self.refresh_all(now);
                    }
                }
                Effect::Port(member, fault) => self.tell_port(now, member, fault),
            }
        }
    }

    /// A frame of our own for the room.
    fn send_own(&mut self, now: Instant, destination: Destination, frame: &[u8]) {
        let class = guard::class_of(frame);
        // The house may be the DHCP server.
        self.note_lease(now, class, Frame::plain(frame));
        let label = self.label(class, frame, destination);
        let queued = if self.me.is_none() || self.paths.is_empty() {
            Err(DropReason::NoPath)
        } else {
            self.queue(now, label, Frame::plain(frame))
        };
        match queued {
            Ok(segments) => self.counters.frames_out += segments,
            Err(reason) => self.counters.drops.count(reason),
        }
    }

    /// Shows every member's address to the LAN's switches now, and what they listen to, for instance because we have just become the one that
    /// injects for them.
    pub fn refresh_all(&mut self, now: Instant) {
        if let Some(lan) = &mut self.lan {
            lan.resume(now);
        }
        for mac in self.cam.all(now) {
            self.refresh(now, mac, RefreshReason::LinkUp);
        }
    }
}
