//! The party's LAN: one learning switch with hosts, and the LAN gateway's wire on a port of its own.
//!
//! It is as good as switches are, which is the point: what a switch does with unknown addresses, group frames and forgotten
//! entries is what lanparty has to live with. It may have a loop behind it, as cables at parties have.

use std::{collections::BTreeMap, time::Duration};

use lanparty_wire::{EtherView, Mac};

/// How long the switch remembers an address.
const AGEING: Duration = Duration::from_secs(300);

/// A port of the switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LanPort {
    /// The LAN gateway's wire.
    Gateway,
    /// A host's, by its number.
    Host(usize),
}

/// A switch with its hosts.
#[derive(Debug)]
pub struct Lan {
    table: BTreeMap<Mac, (LanPort, Duration)>,
    hosts: Vec<Mac>,
    has_gateway: bool,
    /// Group frames come back out of the LAN gateway's port: a cheap switch between, with a cable plugged into itself.
    looped: bool,
}

impl Lan {
    pub fn new(looped: bool) -> Lan {
        Lan {
            table: BTreeMap::new(),
            hosts: Vec::new(),
            has_gateway: false,
            looped,
        }
    }

    /// Plugs a host in; its number.
    pub fn add_host(&mut self, mac: Mac) -> usize {
        self.hosts.push(mac);
        self.hosts.len() - 1
    }

    /// Plugs the LAN gateway in or out.
    pub fn plug_gateway(&mut self, present: bool) {
        self.has_gateway = present;
        if !present {
            self.table.retain(|_, (port, _)| *port != LanPort::Gateway);
        }
    }

    pub fn host_mac(&self, host: usize) -> Mac {
        self.hosts[host]
    }

    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The port on which the switch believes an address to be.
    pub fn port_of(&self, now: Duration, mac: Mac) -> Option<LanPort> {
        let (port, seen) = self.table.get(&mac)?;
        (now - *seen < AGEING).then_some(*port)
    }

    /// A frame comes in by a port; the ports that it leaves by. Hosts' cards drop what is not for them, so a host is among them
    /// only if its system sees the frame; the LAN gateway's card is promiscuous.
    pub fn switch(&mut self, now: Duration, ingress: LanPort, frame: &[u8]) -> Vec<LanPort> {
        let Ok(view) = EtherView::parse(frame) else {
            return Vec::new();
        };
        let (source, destination) = (view.source(), view.destination());
        if source.is_valid_source() {
            self.table.insert(source, (ingress, now));
        }
        let flooded = destination.is_multicast();
        let known = self.port_of(now, destination).filter(|_| !flooded);
        let hosts = (0..self.hosts.len()).map(LanPort::Host);
        hosts
            .chain(self.has_gateway.then_some(LanPort::Gateway))
            .filter(|&port| port != ingress || self.looped && flooded && port == LanPort::Gateway)
            .filter(|&port| known.is_none_or(|known| known == port))
            .filter(|&port| match port {
                LanPort::Gateway => true,
                LanPort::Host(host) => flooded || self.hosts[host] == destination,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYER: Mac = Mac([2, 0, 0, 0, 0, 7]);

    fn host(n: u8) -> Mac {
        Mac([0, 0, 0, 0, 1, n])
    }

    fn frame(source: Mac, destination: Mac) -> Vec<u8> {
        [&destination.0[..], &source.0, &[0x81, 0x37], &[0; 46]].concat()
    }

    #[test]
    fn it_floods_until_it_has_learned_and_forgets() {
        let mut lan = Lan::new(false);
        lan.add_host(host(0));
        lan.add_host(host(1));
        lan.plug_gateway(true);
        let now = Duration::from_secs(1);
        let to_player = frame(host(0), PLAYER);
        let learning = frame(PLAYER, Mac::BROADCAST);
        assert_eq!(lan.switch(now, LanPort::Host(0), &to_player), [LanPort::Gateway]);
        assert_eq!(
            lan.switch(now, LanPort::Gateway, &learning),
            [LanPort::Host(0), LanPort::Host(1)]
        );
        assert_eq!(lan.port_of(now, PLAYER), Some(LanPort::Gateway));
        assert_eq!(lan.port_of(now + AGEING, PLAYER), None);
        let between_hosts = frame(host(1), host(0));
        assert_eq!(
            lan.switch(now, LanPort::Host(1), &between_hosts),
            [LanPort::Host(0)]
        );
    }

    #[test]
    fn a_loop_gives_group_frames_back() {
        let mut lan = Lan::new(true);
        lan.add_host(host(0));
        lan.plug_gateway(true);
        let out = lan.switch(Duration::ZERO, LanPort::Gateway, &frame(PLAYER, Mac::BROADCAST));
        assert_eq!(out, [LanPort::Host(0), LanPort::Gateway]);
    }
}
