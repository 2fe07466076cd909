//! What machines say to a whole network when they come to it or wake up, as a table with its sources, and frames made from it.
//!
//! Limits are tuned against it, so it stands here before them: what the specifications and the makers' documents say, in numbers, where a
//! machine may choose the most that it may. `docs/chatter.md` shows the same table to people, and a test holds the two together.

mod table;

use std::{net::Ipv4Addr, time::Duration};

pub use table::BURSTS;

/// Whose burst it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    Windows,
    Mac,
    /// iOS or Android.
    Phone,
}

impl Machine {
    /// As the table names it.
    pub const fn name(self) -> &'static str {
        match self {
            Machine::Windows => "Windows",
            Machine::Mac => "macOS",
            Machine::Phone => "phone",
        }
    }
}

/// Machines of every kind.
pub const ALL: &[Machine] = &[Machine::Windows, Machine::Mac, Machine::Phone];
/// Machines that one plays on.
pub const PCS: &[Machine] = &[Machine::Windows, Machine::Mac];
const WINDOWS: &[Machine] = &[Machine::Windows];
const MAC: &[Machine] = &[Machine::Mac];
const PHONE: &[Machine] = &[Machine::Phone];

/// What the frames of a burst are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// ARP, for addresses from this one on.
    Arp,
    /// An ICMPv6 message to a link-local group, by its type.
    Icmpv6(u8),
    /// IGMP to 224.0.0.22.
    Igmp,
    /// UDP over IPv4 to a group or everybody, and to this port.
    Udp4([u8; 4], u16),
    /// UDP over IPv6 to `ff02::…` with this last word, and to this port.
    Udp6(u16, u16),
    /// IPX to everybody, in Ethernet II, and to this socket.
    Ipx(u16),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub machines: &'static [Machine],
    pub what: &'static str,
    /// Who says so.
    pub source: &'static str,
    pub shape: Shape,
    /// Bytes of payload.
    pub length: usize,
    /// How many at each moment; each says something else.
    pub at_once: u32,
    /// The moments, in milliseconds after the machine has come. What is said again is the same frame.
    pub at_ms: &'static [u32],
}

impl Burst {
    /// How many frames it is.
    pub fn frames(&self) -> usize {
        self.at_once as usize * self.at_ms.len()
    }
}

/// Everything that a machine says, in the order of time. `number` tells machines of a party apart.
pub fn arrival(machine: Machine, number: u8, mac: [u8; 6]) -> Vec<(Duration, Vec<u8>)> {
    let own = BURSTS.iter().filter(|burst| burst.machines.contains(&machine));
    let mut said = Vec::new();
    for (row, burst) in own.enumerate() {
        for &at in burst.at_ms {
            for which in 0..burst.at_once {
                let frame = frame(burst, (number, mac), row as u32 * 1000 + which);
                said.push((Duration::from_millis(at.into()), frame));
            }
        }
    }
    said.sort_by_key(|(at, _)| *at);
    said
}

/// One frame of a burst; `which` tells what it says from what others say.
fn frame(burst: &Burst, (number, mac): (u8, [u8; 6]), which: u32) -> Vec<u8> {
    use crate::lab::frame::{ARP, BROADCAST, Frame};

    let own4 = Ipv4Addr::new(10, 73, 42, number);
    let own6 = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number.into());
    let mut payload = vec![0; burst.length.max(4)];
    payload[..4].copy_from_slice(&which.to_be_bytes());
    let made = match burst.shape {
        Shape::Arp => {
            let target = [10, 73, 42, which as u8];
            let body = [
                &[0, 1, 8, 0, 6, 4, 0, 1][..],
                &mac,
                &own4.octets(),
                &[0; 6],
                &target,
            ]
            .concat();
            Frame::new(BROADCAST, mac, ARP, &body)
        }
        Shape::Icmpv6(kind) => {
            let to = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
            let message = [&[kind, 0, 0, 0][..], &payload].concat();
            Frame::icmp6(([0x33, 0x33, 0, 0, 0, 0x16], mac), (own6, to), &message)
        }
        Shape::Igmp => {
            let message = [&[0x22, 0, 0, 0][..], &payload].concat();
            let packet = ipv4(own4, Ipv4Addr::new(224, 0, 0, 22), 2, &message);
            Frame::new([1, 0, 0x5e, 0, 0, 0x16], mac, 0x0800, &packet)
        }
        Shape::Udp4(to, port) => {
            let group = if to == [255; 4] {
                BROADCAST
            } else {
                [1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]]
            };
            // Whoever asks for an address asks from the next port.
            let from = if port == 67 { 68 } else { port };
            Frame::udp4((group, mac), (own4, from), (to.into(), port), &payload)
        }
        Shape::Udp6(group, port) => {
            let [high, low] = group.to_be_bytes();
            let to = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, group);
            Frame::udp6(
                ([0x33, 0x33, 0, 0, high, low], mac),
                (own6, port),
                (to, port),
                &payload,
            )
        }
        Shape::Ipx(socket) => {
            let [high, low] = socket.to_be_bytes();
            let length = (30 + payload.len()) as u16;
            let head = [
                &[0xff, 0xff][..],
                &length.to_be_bytes(),
                &[0, 4, 0, 0, 0, 0],
                &[0xff; 6],
                &[high, low],
            ];
            let tail = [&[0, 0, 0, 0][..], &mac, &[high, low], &payload];
            Frame::new(BROADCAST, mac, 0x8137, &[head.concat(), tail.concat()].concat())
        }
    };
    let mut bytes = made.bytes().to_vec();
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// An IPv4 packet without options.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let fixed = [
        &[0x45, 0][..],
        &length.to_be_bytes(),
        &[0, 0, 0, 0, 1, protocol, 0, 0],
    ]
    .concat();
    [&fixed[..], &from.octets(), &to.octets(), payload].concat()
}

/// The table as `docs/chatter.md` shows it.
pub fn markdown() -> String {
    let mut text = String::from("| who | what | frames | at (ms) | source |\n|---|---|---:|---|---|\n");
    for burst in BURSTS {
        let who: Vec<&str> = burst.machines.iter().map(|machine| machine.name()).collect();
        let who = if who.len() == ALL.len() {
            "all".to_owned()
        } else {
            who.join(", ")
        };
        let at: Vec<String> = burst.at_ms.iter().map(u32::to_string).collect();
        let at = match at.as_slice() {
            [first, second, .., last] if at.len() > 12 => format!("{first}, {second} … {last}"),
            all => all.join(", "),
        };
        let row = format!(
            "| {who} | {} | {} | {at} | {} |\n",
            burst.what,
            burst.frames(),
            burst.source
        );
        text.push_str(&row);
    }
    text
}
