//! Members with a second way to the LAN or to each other, as the nodes of a room see them.

use std::time::Duration;

use lanparty_wire::{DropReason, PortFault};

use super::room::{GATEWAY, Room, STATION, Written, config, mac, member_id};
use crate::{
    guard::crafted,
    lan::{
        LanConfig, Signal,
        loops::{HOLD, INTERVAL, News},
    },
    node::{Event, Node},
};

const SOON: Duration = INTERVAL;

/// A room whose LAN gateway looks for loops, and what is tied together behind its back.
struct Ring {
    room: Room,
    /// A member whose adapter is bridged to the LAN.
    bridge: Option<u16>,
    /// Two members whose adapters are joined.
    overlay: Option<(u16, u16)>,
}

impl Ring {
    fn new() -> Ring {
        let mut room = Room::empty();
        let gateway = Node::new(config(GATEWAY), room.now);
        room.nodes.insert(GATEWAY, gateway);
        let now = room.now;
        room.node(GATEWAY).set_lan(
            now,
            LanConfig {
                loop_secret: Some([1; 32]),
                ..LanConfig::default()
            },
        );
        room.join(GATEWAY, 1);
        (1..=3).for_each(|client| room.join(client, 1));
        Ring {
            room,
            bridge: None,
            overlay: None,
        }
    }

    /// Lets time go by in small steps, and carries what the bridge and the overlay carry.
    fn pass(&mut self, time: Duration) {
        const STEP: Duration = Duration::from_millis(50);
        for _ in 0..time.as_millis() / STEP.as_millis() {
            let written = self.room.pass(STEP);
            self.carry(written, 20);
        }
    }

    /// Carries frames on where they are tied together, up to so many times around.
    fn carry(&mut self, mut written: Vec<Written>, rounds: usize) -> usize {
        for round in 0..rounds {
            let injected = std::mem::take(&mut self.room.injected);
            let mut next = Vec::new();
            for (to, frame) in &written {
                if self.bridge == Some(*to) {
                    next.extend(self.room.send(GATEWAY, frame));
                }
                if *to == GATEWAY
                    && let Some(member) = self.bridge
                {
                    next.extend(self.room.send(member, frame));
                }
                match self.overlay {
                    Some((a, b)) if a == *to => next.extend(self.room.send(b, frame)),
                    Some((a, b)) if b == *to => next.extend(self.room.send(a, frame)),
                    _ => {}
                }
            }
            for frame in &injected {
                if let Some(member) = self.bridge {
                    next.extend(self.room.send(member, frame));
                }
            }
            if next.is_empty() {
                return round;
            }
            written = next;
        }
        rounds
    }

    fn shout_of_the_lan(&mut self) -> usize {
        let written = self.room.send(GATEWAY, &shout(STATION.0));
        self.carry(written, 1000)
    }
}

/// A game's broadcast.
fn shout(source: [u8; 6]) -> Vec<u8> {
    let mut frame = crafted::v4(&crafted::ipv4(17, &[], &[0x0f; 40]));
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&source);
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn a_member_that_bridges_the_lan_is_stopped_and_told_and_others_play_on() {
    let mut ring = Ring::new();
    ring.pass(SOON);
    ring.bridge = Some(2);
    assert_eq!(ring.shout_of_the_lan(), 1000, "it goes round and round");
    ring.pass(Duration::from_millis(200));
    assert_eq!(
        ring.room.node(GATEWAY).port_fault(member_id(2)),
        Some(PortFault::LanLoop)
    );
    assert_eq!(ring.room.node(2).own_port_fault(), Some(PortFault::LanLoop));
    let told = Event::OwnPort(Some(PortFault::LanLoop));
    assert!(ring.room.events_of(2).contains(&&told));

    // What the LAN says to everybody still comes to everybody else, once.
    let to: Vec<u16> = ring
        .room
        .send(GATEWAY, &shout(STATION.0))
        .iter()
        .map(|w| w.0)
        .collect();
    assert_eq!(to, [1, 3]);
    ring.room.drops.clear();
    let to: Vec<u16> = ring.room.send(1, &shout(mac(1).0)).iter().map(|w| w.0).collect();
    assert_eq!(to, [3, GATEWAY]);
    assert!(ring.room.drops.contains(&(2, DropReason::LoopBlocked)));
    assert_eq!(ring.room.send(2, &shout(mac(2).0)), []);
}

#[test]
fn the_port_opens_when_the_bridge_is_gone() {
    let mut ring = Ring::new();
    ring.bridge = Some(2);
    ring.pass(SOON);
    ring.pass(HOLD * 3);
    assert!(
        ring.room.node(GATEWAY).port_fault(member_id(2)).is_some(),
        "the bridge is still there"
    );
    ring.bridge = None;
    ring.pass(HOLD + SOON);
    assert_eq!(ring.room.node(GATEWAY).port_fault(member_id(2)), None);
    assert_eq!(ring.room.node(2).own_port_fault(), None);
    let opened = Event::Port(News::Opened { member: member_id(2) });
    assert!(ring.room.events_of(GATEWAY).contains(&&opened));
    assert_eq!(ring.room.send(2, &shout(mac(2).0)).len(), 3);
}

#[test]
fn what_the_lan_says_to_a_stopped_member_does_not_even_leave() {
    let mut ring = Ring::new();
    ring.bridge = Some(2);
    ring.pass(SOON);
    let mut unicast = shout(STATION.0);
    unicast[..6].copy_from_slice(&mac(2).0);
    ring.room.drops.clear();
    assert_eq!(ring.room.send(GATEWAY, &unicast), []);
    assert_eq!(ring.room.drops, [(GATEWAY, DropReason::LoopBlocked)]);
}

#[test]
fn two_members_that_are_joined_by_another_overlay_lose_one_port() {
    let mut ring = Ring::new();
    ring.overlay = Some((1, 3));
    ring.pass(SOON * 2);
    let fault = |ring: &mut Ring, id| ring.room.node(GATEWAY).port_fault(member_id(id));
    let stopped = [1, 2, 3].map(|id| fault(&mut ring, id));
    let count = stopped.iter().flatten().count();
    assert_eq!((count, stopped[1]), (1, None), "{stopped:?}");
    ring.overlay = None;
    ring.pass(HOLD + SOON * 2);
    assert_eq!([1, 2, 3].map(|id| fault(&mut ring, id)), [None; 3]);
}

#[test]
fn nobody_but_the_lan_gateway_stops_a_port_or_asks_such_questions() {
    let mut ring = Ring::new();
    let now = ring.room.now;
    let refused = ring
        .room
        .node(2)
        .port_is(now, member_id(1), Some(PortFault::LanLoop));
    assert_eq!(refused, Err(DropReason::GatewaySignal));
    assert_eq!(ring.room.node(2).own_port_fault(), None);
    // A question that a member sends goes nowhere but back to who has asked it.
    let mut frame = ring.room.pass(SOON).into_iter().map(|(_, frame)| frame);
    let mut question = frame
        .find(|frame| matches!(Signal::parse(frame), Some((_, Signal::Probe(_)))))
        .unwrap();
    question[6..12].copy_from_slice(&mac(1).0);
    ring.room.drops.clear();
    assert_eq!(ring.room.send(1, &question), []);
    assert_eq!(ring.room.drops, [(1, DropReason::Reflection)]);
}

#[test]
fn questions_are_no_proof_that_broadcasts_come_from_the_lan() {
    let mut ring = Ring::new();
    ring.pass(SOON * 4);
    assert_eq!(ring.room.node(1).counters().broadcast_in_lan, 0);
}
