//! Switches broken on purpose, each in one way. A check that lets them pass checks nothing.

use std::time::Instant;

use lanparty_core::switch::{Egress, Forwarding, Port, Switch};
use lanparty_wire::{DropReason, EtherView, Frame, Mac, MemberId, control::Role};

/// Sends unicast to everybody, and takes everybody's.
pub struct FloodsUnicast(Switch);

impl FloodsUnicast {
    pub fn new(role: Role, mac: Option<Mac>) -> FloodsUnicast {
        FloodsUnicast(Switch::new(role, mac))
    }
}

/// Lets no broadcast out.
pub struct SwallowsBroadcast(Switch);

impl SwallowsBroadcast {
    pub fn new(role: Role, mac: Option<Mac>) -> SwallowsBroadcast {
        SwallowsBroadcast(Switch::new(role, mac))
    }
}

/// Takes whatever the LAN or the room says for new, even what remote members have said themselves.
pub struct ForgetsWhoIsRemote(Switch);

impl ForgetsWhoIsRemote {
    pub fn new(role: Role, mac: Option<Mac>) -> ForgetsWhoIsRemote {
        ForgetsWhoIsRemote(Switch::new(role, mac))
    }
}

/// What all of them leave to the sound switch.
macro_rules! knows_as_the_sound_one {
    () => {
        fn add(&mut self, member: MemberId, role: Role, mac: Option<Mac>) {
            self.0.add(member, role, mac);
        }
        fn remove(&mut self, member: MemberId, mac: Option<Mac>) {
            self.0.remove(member, mac);
        }
        fn clear(&mut self) {
            self.0.clear();
        }
        fn gateway(&self) -> Option<MemberId> {
            self.0.gateway()
        }
        fn concerns_room(&self, frame: Frame<'_>) -> Result<(), DropReason> {
            self.0.concerns_room(frame)
        }
    };
}

impl Forwarding for FloodsUnicast {
    knows_as_the_sound_one!();

    fn forward(&mut self, now: Instant, ingress: Port, frame: Frame<'_>) -> Result<Egress, DropReason> {
        match (self.0.forward(now, ingress, frame), ingress) {
            (Ok(Egress::Member(_) | Egress::UnknownVia(_)), _) => Ok(Egress::Flood),
            (Err(DropReason::Misdirected), Port::Member(_)) => Ok(Egress::Device),
            (decision, _) => decision,
        }
    }
}

impl Forwarding for SwallowsBroadcast {
    knows_as_the_sound_one!();

    fn forward(&mut self, now: Instant, ingress: Port, frame: Frame<'_>) -> Result<Egress, DropReason> {
        match self.0.forward(now, ingress, frame)? {
            Egress::Flood => Err(DropReason::UnknownDestination),
            egress => Ok(egress),
        }
    }
}

impl Forwarding for ForgetsWhoIsRemote {
    knows_as_the_sound_one!();

    fn forward(&mut self, now: Instant, ingress: Port, frame: Frame<'_>) -> Result<Egress, DropReason> {
        let group = EtherView::parse(frame.bytes).is_ok_and(|view| view.destination().is_multicast());
        match (self.0.forward(now, ingress, frame), ingress) {
            (Err(DropReason::SourceIsRemote), Port::Device) if group => Ok(Egress::Flood),
            (Err(DropReason::SourceIsRemote | DropReason::Reflection), Port::Member(_)) if group => {
                Ok(Egress::Device)
            }
            (decision, _) => decision,
        }
    }
}
