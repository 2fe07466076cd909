//! What the helper says to members.

use std::net::{IpAddr, Ipv4Addr};

use lanparty_wire::{Mac, MemberId};

use super::{
    Effect, Effects, Helper, LEASE, Lease, NOBODY, News,
    message::{Kind, Message, Terms, answer},
    tell,
};

impl Helper {
    pub(super) fn grant(
        &mut self,
        member: MemberId,
        request: &Message,
        address: Ipv4Addr,
        effects: &mut Effects,
    ) {
        let mac = request.hardware;
        self.trials.remove(&mac);
        let is_new = self.leases.of(mac) != Some(address);
        if self.leases.put(mac, address) {
            tell(effects, News::Leases(self.leases.clone()));
        }
        if is_new {
            effects.push_back(Effect::Share(Lease { mac, address }));
            tell(effects, News::Leased { mac, address });
        }
        self.send(member, request, Kind::Ack, Some(address), effects);
    }

    pub(super) fn refuse(&mut self, member: MemberId, request: &Message, effects: &mut Effects) {
        self.trials.remove(&request.hardware);
        self.send(member, request, Kind::Nak, None, effects);
    }

    pub(super) fn send_answer(&mut self, mac: Mac, effects: &mut Effects) {
        let Some(trial) = self.trials.get(&mac) else {
            return;
        };
        self.send(
            trial.member,
            &trial.request,
            trial.answer,
            Some(trial.address),
            effects,
        );
    }

    fn send(
        &self,
        member: MemberId,
        request: &Message,
        kind: Kind,
        address: Option<Ipv4Addr>,
        effects: &mut Effects,
    ) {
        let (Some(station), Some(range)) = (self.station.mac, self.range) else {
            return;
        };
        let terms = Terms {
            station,
            server: self.server(),
            length: range.length(),
            lease: LEASE,
        };
        let frame = answer(request, kind, address, &terms);
        effects.push_back(Effect::ToMember(member, frame));
    }

    /// How clients name us: this machine's address in the network, if it has one.
    pub(super) fn server(&self) -> Ipv4Addr {
        let mut own = self
            .station
            .addresses
            .iter()
            .filter_map(|prefix| match prefix.address() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            });
        let in_network =
            |address: &Ipv4Addr| self.range.is_some_and(|range| range.network_contains(*address));
        own.find(in_network).unwrap_or(NOBODY)
    }
}
