//! A member without a client's guard, in the home of a player who has not started his client.

#![allow(dead_code, reason = "each test file uses its part")]

mod captures;
pub mod drops;
pub mod forgeries;
pub mod frames;
mod packets;
pub mod party;
pub mod storm;

use std::{
    fs, iter,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use lanparty_testkit::{
    lab::{Capture, Party, RELAY, ROOM, Who, junk::decent, wait_for},
    member::{BareMember, Join},
};
use lanparty_wire::{
    Class, Destination, FragmentHeader, Header, Kind, Mac, MemberId,
    control::{Message, Role},
};

pub use self::captures::Captures;
use self::{drops::Drops, frames::Unwanted};

pub const SOON: Duration = Duration::from_secs(5);
/// The player whose home the hostile member is in.
pub const HOME: usize = 1;

/// How often the storm of a [`Hostile`] catches up with its rate.
const BATCHES: u32 = 100;

/// A member that sends what it wants.
pub struct Hostile {
    pub member: BareMember,
    pub mac: [u8; 6],
    pub gateway: MemberId,
    sequence: u64,
    decent: u16,
}

/// How a frame travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Whole,
    /// In pieces, which no relay looks into.
    Pieces,
}

impl Hostile {
    /// Joins the room of a party whose LAN gateway is there. `number` makes it another member each time.
    pub fn join(party: &Party, number: u8) -> Hostile {
        Hostile::join_as(party, number, [2, 0x66, 0, 0, 0, number])
    }

    /// Joins with an address of its choice.
    pub fn join_as(party: &Party, number: u8, mac: [u8; 6]) -> Hostile {
        let home = party.machine(Who::Player(HOME));
        let socket = home
            .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap())
            .unwrap();
        let state_dir = home.directory().join(format!("hostile{number}"));
        fs::create_dir_all(&state_dir).unwrap();
        let member = BareMember::join(
            socket,
            &Join {
                relay: (RELAY, 443).into(),
                certificate: party.certificate().as_ref(),
                state_dir: &state_dir,
                room: ROOM,
                role: Role::Client,
                mac: Some(Mac(mac)),
                token: None,
            },
        )
        .unwrap();
        let gateway = member.welcome().gateway.expect("the LAN gateway is there");
        Hostile {
            member,
            mac,
            gateway,
            sequence: 0,
            decent: 0,
        }
    }

    /// The next header for a frame.
    pub fn header(&mut self, destination: Destination, class: Class) -> Header {
        self.sequence += 1;
        Header {
            kind: Kind::Frame,
            fragment: false,
            congested: false,
            class,
            key_id: 0,
            flow: 0,
            source: self.member.id(),
            destination,
            sequence: self.sequence,
        }
    }

    /// Leaves out `count` sequence numbers.
    pub fn skip(&mut self, count: u64) {
        self.sequence += count;
    }

    pub fn send(&mut self, destination: Destination, class: Class, how: How, frame: &[u8]) {
        let header = self.header(destination, class);
        match how {
            How::Whole => self.send_with(&header, frame),
            How::Pieces => {
                for (offset, piece) in pieces(frame) {
                    self.send_piece(&header, frame.len(), offset, piece);
                }
            }
        }
    }

    pub fn send_with(&self, header: &Header, payload: &[u8]) {
        self.member
            .send_datagram([&header.encode()[..], payload].concat())
            .unwrap();
    }

    pub fn send_piece(&self, header: &Header, total: usize, offset: usize, piece: &[u8]) {
        let header = Header {
            fragment: true,
            ..*header
        };
        let range = FragmentHeader {
            offset: u16::try_from(offset).unwrap(),
            total: u16::try_from(total).unwrap(),
        };
        self.member
            .send_datagram([&header.encode()[..], &range.encode(), piece].concat())
            .unwrap();
    }

    /// Sends a decent frame in the same way and waits for it: what was sent before has been decided then.
    pub fn send_decent(
        &mut self,
        beside: &str,
        destination: Destination,
        class: Class,
        how: How,
        at: &Capture,
    ) {
        let [high, low] = self.decent.to_be_bytes();
        self.decent += 1;
        let mark = [b'd', b'e', b'c', b'e', b'n', high, low, self.mac[5]];
        let frame = padded(decent(self.mac, mark).bytes());
        self.send(destination, class, how, &frame);
        at.wait_for(&format!("the decent frame beside {beside}"), SOON, |frame| {
            frame.contains(&mark)
        })
        .unwrap();
    }

    /// Sends a frame to the LAN gateway as if it were for one station there, whatever it is.
    pub fn send_to_gateway(&mut self, class: Class, frame: &[u8]) {
        self.send(Destination::Member(self.gateway), class, How::Whole, frame);
    }

    /// Does `each` `rate` times a second for `length`, and returns how often that was.
    pub fn storm(&mut self, rate: u32, length: Duration, mut each: impl FnMut(&mut Hostile, u32)) -> u32 {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < length {
            for _ in 0..rate / BATCHES {
                each(self, sent);
                sent += 1;
            }
            let due = Duration::from_secs(1) * (sent / (rate / BATCHES)) / BATCHES;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        sent
    }

    /// Registers a group of the LAN gateway alone, and waits until the relay knows it.
    pub fn register_group(&mut self, at: &Capture) -> Destination {
        let handle = lanparty_wire::GroupHandle::new(0xff07).unwrap();
        let members = vec![self.gateway];
        self.member
            .send_control(&Message::Group { handle, members })
            .unwrap();
        // Datagrams overtake it in the relay, and what comes too early is a drop that nobody expects.
        std::thread::sleep(Duration::from_millis(300));
        let (group, mark) = (Destination::Group(handle), *b"to_group");
        let frame = decent(self.mac, mark);
        wait_for("the group to be known", SOON, || {
            self.send(group, Class::Bulk, How::Whole, frame.bytes());
            at.wait_for("a frame to the group", Duration::from_millis(200), |frame| {
                frame.contains(&mark)
            })
            .ok()
        })
        .unwrap();
        group
    }
}

/// The pieces of a frame and where they begin: the smallest first one that there may be, and the rest.
pub fn pieces(frame: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    const FIRST: usize = FragmentHeader::MIN_FIRST;
    /// Fits every leg.
    const SIZE: usize = 900;
    let (first, rest) = frame.split_at(FIRST);
    let rest = rest.chunks(SIZE).enumerate();
    iter::once((0, first)).chain(rest.map(|(number, piece)| (FIRST + number * SIZE, piece)))
}

/// A frame that is long enough to travel in pieces; what a packet in it does not count is padding.
pub fn padded(frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes.resize(bytes.len().max(FragmentHeader::MIN_FIRST + 64), 0);
    bytes
}

/// Sends each of `frames` to each destination, under every class in turn, with a decent frame behind it: all decent ones
/// arrive, no other does. Returns why and how often the LAN gateway, or whoever is before it, has to have refused.
pub fn attack(
    hostile: &mut Hostile,
    frames: &[Unwanted],
    destinations: &[Destination],
    how: How,
    captures: &Captures,
) -> Drops {
    let mut refused = Drops::new();
    for (number, frame) in frames.iter().enumerate() {
        if how == How::Pieces && !frame.can_be_padded {
            continue;
        }
        let bytes = match how {
            How::Whole => frame.bytes.clone(),
            How::Pieces => padded(&frame.bytes),
        };
        for (turn, &destination) in destinations.iter().enumerate() {
            let class = Class::BY_URGENCY[(number + turn) % Class::COUNT];
            hostile.send(destination, class, how, &bytes);
            *refused.entry(frame.reason).or_default() += 1;
            let name = format!("{} ({how:?}, to {destination:?}, as {class:?})", frame.name);
            hostile.send_decent(&name, destination, class, how, &captures.gateway);
            captures.assert_absent(&name, &frame.mark);
        }
    }
    refused
}
