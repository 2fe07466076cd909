//! A member without a client's guard, in the home of a player who has not started his client.

pub mod forgeries;
pub mod frames;
pub mod packets;

use std::{
    collections::BTreeMap,
    fs, iter,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use lanparty_testkit::{
    lab::{
        Capture, Party, RELAY, ROOM, TAP, Who,
        frame::{ARP, BROADCAST, Frame},
        junk::decent,
    },
    member::{BareMember, Join},
};
use lanparty_wire::{
    Class, Destination, DropReason, FragmentHeader, Header, Kind, Mac, MemberId,
    control::{Message, Role},
};
use serde_json::Value;

use self::frames::Unwanted;

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
        let home = party.machine(Who::Player(HOME));
        let socket = home
            .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap())
            .unwrap();
        let state_dir = home.directory().join(format!("hostile{number}"));
        fs::create_dir_all(&state_dir).unwrap();
        let mac = [2, 0x66, 0, 0, 0, number];
        let member = BareMember::join(
            socket,
            &Join {
                relay: (RELAY, 443).into(),
                certificate: party.certificate().as_ref(),
                state_dir: &state_dir,
                room: ROOM,
                role: Role::Client,
                mac: Some(Mac(mac)),
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

    /// Sends `rate` frames a second for `length` to the LAN gateway and returns how many that were.
    pub fn storm(
        &mut self,
        rate: u32,
        length: Duration,
        class: Class,
        mut frame: impl FnMut(u32) -> Vec<u8>,
    ) -> u32 {
        let (start, destination) = (Instant::now(), Destination::Member(self.gateway));
        let mut sent = 0;
        while start.elapsed() < length {
            for _ in 0..rate / BATCHES {
                let frame = frame(sent);
                self.send(destination, class, How::Whole, &frame);
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
        let (group, mark) = (Destination::Group(handle), *b"to_group");
        let frame = decent(self.mac, mark);
        lanparty_testkit::lab::wait_for("the group to be known", SOON, || {
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

/// What is seen of the hostile member's frames on the LAN and by another member.
pub struct Captures {
    /// At the switch's own port: a bridge would swallow some frames before any host saw them.
    pub gateway: Capture,
    station: Capture,
    player: Capture,
}

impl Captures {
    pub fn start(party: &Party) -> Captures {
        let lan = &party.lab.lan;
        Captures {
            gateway: Capture::start(&lan.switch, "p-gateway").unwrap(),
            station: Capture::start(&lan.games, "eth0").unwrap(),
            player: Capture::start(party.machine(Who::Player(0)), TAP).unwrap(),
        }
    }

    /// Asserts that nothing on the LAN had this mark so far.
    pub fn assert_absent(&self, name: &str, mark: &[u8]) {
        for at in [&self.gateway, &self.station] {
            let count = at.count(|frame| frame.contains(mark));
            assert_eq!(count, 0, "{name} came to the LAN:\n{}", at.summary());
        }
    }

    /// Asserts the same for all of them, and that another member's guard stops them as well.
    pub fn assert_none_of(&self, frames: &[Unwanted]) {
        for frame in frames {
            self.assert_absent(&frame.name, &frame.mark);
            // A frame for the other member itself may come.
            if frame.reason != DropReason::Misdirected {
                let count = self.player.count(|seen| seen.contains(&frame.mark));
                assert_eq!(
                    count,
                    0,
                    "{} came to a player:\n{}",
                    frame.name,
                    self.player.summary()
                );
            }
        }
    }
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

/// Frames to everybody with their marks: a game's broadcast, ARP, mDNS, and a game's multicast in IPv6.
pub fn storm_frames(mac: [u8; 6], game: u16) -> [([u8; 8], Vec<u8>); 4] {
    let marks = [*b"storm 0!", *b"storm 1!", *b"storm 2!", *b"storm 3!"];
    let ipv4 = Ipv4Addr::new(10, 73, 42, 66);
    let ipv6 = "fe80::66".parse().unwrap();
    let question = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &mac,
        &ipv4.octets(),
        &[0; 6],
        &[10, 73, 42, 67],
        // Where padding would be.
        &marks[1],
        &[0; 10],
    ];
    let frames = [
        Frame::new(BROADCAST, mac, game, &[&marks[0][..], &[0; 46]].concat()),
        Frame::new(BROADCAST, mac, ARP, &question.concat()),
        Frame::udp4(
            ([1, 0, 0x5e, 0, 0, 0xfb], mac),
            (ipv4, 5353),
            (Ipv4Addr::new(224, 0, 0, 251), 5353),
            &marks[2],
        ),
        Frame::udp6(
            ([0x33, 0x33, 0, 0, 0, 1], mac),
            (ipv6, 4000),
            ("ff02::1".parse().unwrap(), 4000),
            &marks[3],
        ),
    ];
    let mut frames = frames.into_iter();
    marks.map(|mark| (mark, frames.next().expect("as many as marks").bytes().to_vec()))
}

/// How many frames of a member `who` has dropped, by reason.
pub type Drops = BTreeMap<DropReason, u64>;

/// What `who` says that it dropped of what `member` sent.
pub fn drops_of(party: &Party, who: Who, member: MemberId) -> Drops {
    find_drops(&party.status(who).unwrap(), member)
}

/// Waits until `who` says that it dropped exactly this of what `member` sent: neither less nor more.
pub fn wait_for_drops(party: &Party, who: Who, member: MemberId, expected: &Drops) {
    let found = party.wait_for_status(who, &format!("to have dropped {expected:?}"), SOON, |status| {
        find_drops(status, member) == *expected
    });
    let found = found.map(drop).map_err(|_| drops_of(party, who, member));
    assert_eq!(
        found.err().unwrap_or_else(|| expected.clone()),
        *expected,
        "at {who:?}"
    );
}

fn find_drops(status: &Value, member: MemberId) -> Drops {
    let id = serde_json::to_value(member).unwrap();
    let rooms = status["relay"]["rooms"].as_array();
    let of_rooms = rooms.into_iter().flatten().map(|room| &room["members"]);
    let lists = of_rooms.chain([&status["endpoint"]["members"]]);
    let mut members = lists.filter_map(Value::as_array).flatten();
    members
        .find(|described| described["id"] == id)
        .map(|described| serde_json::from_value(described["drops"].clone()).unwrap())
        .unwrap_or_default()
}
