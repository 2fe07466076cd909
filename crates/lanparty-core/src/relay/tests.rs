//! Rooms and ingress together, as a relay uses them, in virtual time.

mod admission;
mod forwarding;
mod identity;
mod lease;
mod sealed;

use std::time::{Duration, Instant};

use lanparty_wire::{
    Class, Destination, DropReason, FragmentHeader, GroupHandle, Header, Incarnation, Kind, LeaveReason, Mac,
    MemberId, PeerId, RejectReason, SealedRoom,
    control::{self, Hello, Role},
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::guard::{Bandwidth, Limits};

const NOW: UnixTime = UnixTime(1_000_000);

struct Relay {
    rooms: Rooms<u32>,
    random: SmallRng,
    instant: Instant,
    config: IngressConfig,
}

impl Relay {
    fn new() -> Relay {
        Relay::with(RoomLimits::default())
    }

    // A test may begin at any time: only differences matter.
    #[allow(clippy::disallowed_methods)]
    fn with(limits: RoomLimits) -> Relay {
        Relay {
            rooms: Rooms::new(limits),
            random: SmallRng::seed_from_u64(7),
            instant: Instant::now(),
            config: IngressConfig {
                limits: Limits::default(),
                mtu: 1500,
                malformed_limit: 10,
                guard: true,
            },
        }
    }

    fn join(&mut self, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.join_at(NOW, who, hello)
    }

    fn join_at(&mut self, now: UnixTime, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.admit(now, "192.0.2.1", who, &hello)
    }

    fn join_from(&mut self, address: &str, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.admit(NOW, address, who, &hello)
    }

    fn admit(
        &mut self,
        now: UnixTime,
        address: &str,
        who: u32,
        hello: &Hello,
    ) -> Result<Admission<u32>, Refusal> {
        let join = Join {
            identity: identity(who),
            hello,
            address: address.parse().unwrap(),
            may_open: true,
            leg_budget: 1300,
            clock: self.instant,
        };
        self.rooms.join(now, &mut self.random, &join, who)
    }

    fn three(&mut self) -> (Admission<u32>, Admission<u32>, Admission<u32>) {
        let mut next = |n: u8| self.join(u32::from(n), player(n)).unwrap();
        (next(1), next(2), next(3))
    }

    fn ingress(&self, member: &Admission<u32>) -> Ingress {
        Ingress::new(
            &member.member,
            member.seat.room.is_sealed(),
            &self.config,
            self.instant,
        )
    }

    /// The newest roster of the only room.
    fn roster(&self) -> Roster<u32> {
        let (_, entries) = self.rooms.rooms().next().unwrap();
        Roster::new(entries.cloned())
    }

    fn forward(
        &self,
        ingress: &mut Ingress,
        from: &Admission<u32>,
        bytes: &[u8],
    ) -> Result<Vec<MemberId>, DropReason> {
        assert_eq!(from.seat.member, from.member.id);
        let roster = self.roster();
        let forward = ingress.forward(self.instant, bytes, &roster)?;
        let mut reached = Vec::new();
        forward.targets.for_each(|entry| reached.push(entry.member.id));
        Ok(reached)
    }
}

fn identity(who: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&who.to_be_bytes());
    PeerId(bytes)
}

fn ids(roster: &Roster<u32>) -> Vec<MemberId> {
    roster.entries().iter().map(|entry| entry.member.id).collect()
}

fn sorted<const N: usize>(mut ids: [MemberId; N]) -> Vec<MemberId> {
    ids.sort_unstable();
    ids.to_vec()
}

fn player(last: u8) -> Hello {
    Hello {
        min_version: 1,
        max_version: 1,
        room: "ABCD".parse().unwrap(),
        role: Role::Client,
        mac: Some(Mac([2, 0, 0, 0, 0, last])),
        budget: 1300,
        name: String::new(),
        session: 1,
        token: None,
        capabilities: Vec::new(),
        software: String::new(),
    }
}

fn gateway() -> Hello {
    Hello {
        role: Role::Gateway,
        mac: None,
        ..player(0)
    }
}

fn session(hello: Hello, session: u64) -> Hello {
    Hello { session, ..hello }
}

/// A unicast IPX frame from player `source`.
fn frame(source: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 200, 2, 0, 0, 0, 0, source, 0x81, 0x37];
    frame.resize(60, 0);
    frame
}

fn datagram(from: &Admission<u32>, destination: Destination, class: Class, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class,
        key_id: 0,
        flow: 0,
        source: from.member.id,
        destination,
        sequence: 0,
    };
    [&header.encode()[..], payload].concat()
}
