//! Broadcasts of games that Windows has sent by another interface than the party's.
//!
//! Windows sends a broadcast to 255.255.255.255 by one interface alone, and which one that is depends on more than the metric that we set (a game may
//! have chosen an address, another program a route). Whoever hears what this machine sends gives it to [`Strays`], and sends by the party's
//! interface what comes out: the same ports and payload, from this machine's address in the party. What the game sends there by itself is
//! heard as well, and then nothing comes out, so that the party gets each broadcast once.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, UdpHeader, UdpHeaderSlice};

/// A game that sends by every interface does so within this time, the party's being among them.
const WAIT: Duration = Duration::from_millis(20);
/// The same again within this time is a copy by another interface, and no repetition of the game's: those come at 250 ms and more.
const DOUBLE: Duration = Duration::from_millis(100);
/// More at a time are no search for games.
const MOST: usize = 32;
/// DHCP and the name and datagram services of NetBIOS are each interface's own.
const PER_INTERFACE: [u16; 4] = [67, 68, 137, 138];

/// What is waited with, and what has been seen.
#[derive(Debug, Default)]
pub struct Strays {
    held: VecDeque<Held>,
    /// Newest last.
    seen: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
struct Held {
    due: Instant,
    what: u64,
    source_port: u16,
    destination_port: u16,
    payload: Vec<u8>,
}

impl Strays {
    /// This machine has sent an IPv4 packet by whatever interface; `party` is its address in the party.
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8], party: Ipv4Addr) {
        let Some((source, udp, payload)) = broadcast(packet) else {
            return;
        };
        let what = fingerprint(&udp, payload);
        while self
            .seen
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= DOUBLE)
        {
            self.seen.pop_front();
        }
        let is_known = self.seen.iter().any(|(_, seen)| *seen == what);
        if !is_known && self.seen.len() < MOST {
            self.seen.push_back((now, what));
        }
        if source == party {
            self.held.retain(|held| held.what != what);
        } else if !is_known && self.held.len() < MOST {
            self.held.push_back(Held {
                due: now + WAIT,
                what,
                source_port: udp.source_port(),
                destination_port: udp.destination_port(),
                payload: payload.to_vec(),
            });
        }
    }

    /// When to ask [`poll`](Strays::poll) next.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|held| held.due)
    }

    /// A UDP datagram, header and payload, to be sent from `party` to 255.255.255.255.
    pub fn poll(&mut self, now: Instant, party: Ipv4Addr) -> Option<Vec<u8>> {
        if self.deadline()? > now {
            return None;
        }
        let held = self.held.pop_front()?;
        let to_all = Ipv4Addr::BROADCAST.octets();
        let ip = Ipv4Header::new(0, 1, IpNumber::UDP, party.octets(), to_all).ok()?;
        let ports = (held.source_port, held.destination_port);
        let header = UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, &held.payload).ok()?;
        Some([&header.to_bytes()[..], &held.payload].concat())
    }

    /// Forgets what waits: this machine is not in the party any more.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// Source, ports and payload of a whole UDP broadcast to every network that is not an interface's own affair.
fn broadcast(packet: &[u8]) -> Option<(Ipv4Addr, UdpHeaderSlice<'_>, &[u8])> {
    let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let whole = ip.protocol() == IpNumber::UDP && !ip.is_fragmenting_payload();
    if !whole || ip.destination_addr() != Ipv4Addr::BROADCAST || ip.source_addr().is_unspecified() {
        return None;
    }
    let body = packet.get(ip.slice().len()..usize::from(ip.total_len()).min(packet.len()))?;
    let udp = UdpHeaderSlice::from_slice(body).ok()?;
    let payload = body.get(udp.slice().len()..usize::from(udp.length()))?;
    let is_own_affair = |port| PER_INTERFACE.contains(&port);
    if is_own_affair(udp.source_port()) || is_own_affair(udp.destination_port()) {
        return None;
    }
    Some((ip.source_addr(), udp, payload))
}

fn fingerprint(udp: &UdpHeaderSlice<'_>, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (udp.source_port(), udp.destination_port(), payload).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
