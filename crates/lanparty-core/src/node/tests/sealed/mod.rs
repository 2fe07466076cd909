//! A sealed room whose relay is the test: it sees, holds, changes and invents whatever passes.

mod attacks;
mod checks;
mod healing;
mod standby;
mod strangers;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_wire::{
    Destination, DropReason, Frame, Header, Incarnation, LeaveReason, Mac, MemberId, PeerId, Profile,
    control::{Member, Message},
};

use super::{
    frames::udp,
    room::{BUDGET, GATEWAY, PATH, STANDBY, config, mac, member, member_id, welcome},
};
use crate::{
    node::{Delivery, Event, Node, Output},
    seal::{IdentityKey, MemberRole, Roster, SealedMember, SealingConfig},
};

/// An envelope at the relay.
#[derive(Clone, Debug)]
pub struct Mail {
    pub from: u16,
    pub to: u16,
    pub data: String,
}

pub struct Party {
    pub now: Instant,
    pub nodes: BTreeMap<u16, Node>,
    pub incarnations: BTreeMap<u16, u32>,
    pub roster: Roster,
    /// What the relay has not passed on yet.
    pub mail: VecDeque<Mail>,
    pub wire: VecDeque<(u16, Bytes)>,
    /// What the relay has seen.
    pub all_mail: Vec<Mail>,
    pub all_datagrams: Vec<Bytes>,
    pub events: Vec<(u16, Event)>,
    processes: u8,
}

pub fn key(id: u16) -> IdentityKey {
    IdentityKey::from_seed(&[id as u8; 32])
}

pub fn identity(id: u16) -> PeerId {
    key(id).peer_id()
}

/// Of two members, who begins handshakes, and who answers.
pub fn roles(one: u16, two: u16) -> (u16, u16) {
    if identity(one) < identity(two) {
        (one, two)
    } else {
        (two, one)
    }
}

pub fn entry(id: u16, role: MemberRole) -> SealedMember {
    SealedMember {
        identity: identity(id),
        id: member_id(id),
        mac: (id != GATEWAY && id != STANDBY).then(|| mac(id)),
        role,
    }
}

/// UDP from a member to everybody or to another, with a payload of its own.
pub fn frame(from: u16, to: Option<u16>, payload: &[u8]) -> Vec<u8> {
    udp(mac(from), to.map_or(Mac::BROADCAST, mac), (4000, 4000), payload)
}

impl Party {
    /// A host and players 1 to `players`, all admitted, and there since some seconds.
    pub fn new(players: u16) -> Party {
        let mut party = Party::empty(players);
        party.start(GATEWAY);
        (1..=players).for_each(|player| party.start(player));
        party.pass(Duration::from_secs(3));
        party
    }

    /// The same, with nobody there yet.
    #[allow(clippy::disallowed_methods)]
    pub fn empty(players: u16) -> Party {
        let admitted = (1..=players).map(|id| entry(id, MemberRole::Player));
        Party {
            now: Instant::now(),
            nodes: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            roster: Roster {
                number: 1,
                profile: Profile::Friends,
                members: admitted.chain([entry(GATEWAY, MemberRole::Gateway)]).collect(),
            },
            mail: VecDeque::new(),
            wire: VecDeque::new(),
            all_mail: Vec::new(),
            all_datagrams: Vec::new(),
            events: Vec::new(),
            processes: 0,
        }
    }

    /// A new process joins, in place of the old one if there is one.
    pub fn start(&mut self, id: u16) {
        *self.incarnations.entry(id).or_default() += 1;
        self.start_as_before(id);
    }

    /// A new process joins, and the relay does not say that it is a new one.
    pub fn start_as_before(&mut self, id: u16) {
        self.processes += 1;
        let mut seed = [self.processes; 32];
        seed[0] = id as u8;
        let config_of = SealingConfig {
            host: identity(GATEWAY),
            identity: key(id),
            seed,
        };
        let mut node = Node::new(config(id), self.now).sealed(&config_of, self.now);
        node.set_roster(self.now, self.roster.clone()).unwrap();
        self.nodes.insert(id, node);
        self.join(id);
    }

    /// A process joins, or joins anew, as the relay does it.
    pub fn join(&mut self, id: u16) {
        let joined = Message::Joined {
            member: self.member(id),
        };
        let others: Vec<u16> = self.nodes.keys().copied().filter(|&other| other != id).collect();
        for &other in &others {
            self.control(other, &joined);
        }
        let now = self.now;
        self.node(id).path_up(now, PATH, BUDGET);
        let incarnation = self.incarnations[&id];
        self.control(id, &welcome(id, incarnation, &others));
        for other in others {
            let member = self.member(other);
            self.control(id, &Message::Joined { member });
        }
    }

    pub fn leave(&mut self, id: u16) {
        self.nodes.remove(&id);
        let left = Message::Left {
            member: member_id(id),
            incarnation: Incarnation(self.incarnations[&id]),
            reason: LeaveReason::Goodbye,
        };
        let others: Vec<u16> = self.nodes.keys().copied().collect();
        others.into_iter().for_each(|other| self.control(other, &left));
    }

    pub fn member(&self, id: u16) -> Member {
        Member {
            identity: identity(id),
            ..member(id, self.incarnations[&id], BUDGET)
        }
    }

    pub fn node(&mut self, id: u16) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub fn control(&mut self, to: u16, message: &Message) {
        let now = self.now;
        self.node(to).handle_control(now, message);
        self.collect();
    }

    /// A new roster reaches everybody whom it names.
    pub fn publish(&mut self, change: impl FnOnce(&mut Roster)) {
        self.roster.number += 1;
        change(&mut self.roster);
        let (now, roster) = (self.now, self.roster.clone());
        for (&id, node) in &mut self.nodes {
            if roster.members.iter().any(|entry| entry.id.value() == id) {
                node.set_roster(now, roster.clone()).unwrap();
            }
        }
        self.collect();
    }

    /// Puts what nodes want to send into the relay's hands.
    pub fn collect(&mut self) {
        let now = self.now;
        for (&id, node) in &mut self.nodes {
            while let Some(output) = node.poll_output() {
                match output {
                    Output::Control(Message::Envelope { to, data, .. }) => {
                        let mail = Mail {
                            from: id,
                            to: to.value(),
                            data,
                        };
                        self.all_mail.push(mail.clone());
                        self.mail.push_back(mail);
                    }
                    Output::Control(_) | Output::Inject(_) => {}
                    Output::Event(event) => self.events.push((id, event)),
                }
            }
            while let Some(datagram) = node.poll_transmit(now, PATH) {
                assert!(datagram.len() <= usize::from(BUDGET));
                self.all_datagrams.push(datagram.clone());
                self.wire.push_back((id, datagram));
            }
        }
    }

    /// Passes on all that waits, as an honest relay does, until nothing does. What devices were given because of it.
    pub fn run(&mut self) -> Vec<(u16, Vec<u8>)> {
        let mut written = Vec::new();
        self.collect();
        loop {
            if let Some(mail) = self.mail.pop_front() {
                self.hand(&mail);
            } else if let Some((_, datagram)) = self.wire.pop_front() {
                written.extend(self.forward(&datagram));
            } else {
                return written;
            }
        }
    }

    /// An envelope reaches its target.
    pub fn hand(&mut self, mail: &Mail) {
        if self.nodes.contains_key(&mail.to) {
            let message = Message::Envelope {
                from: Some(member_id(mail.from)),
                to: member_id(mail.to),
                data: mail.data.clone(),
            };
            self.control(mail.to, &message);
        }
    }

    pub fn forward(&mut self, datagram: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let (header, _) = Header::decode(datagram).unwrap();
        let targets: Vec<u16> = match header.destination {
            Destination::Member(id) => vec![id.value()],
            Destination::Flood | Destination::Group(_) => self.nodes.keys().copied().collect(),
        };
        let others = targets.into_iter().filter(|&id| id != header.source.value());
        others
            .filter_map(|id| Some((id, self.deliver(id, datagram).ok()??)))
            .collect()
    }

    /// Gives a datagram to one node: the frame that its device gets, or why there is none.
    pub fn deliver(&mut self, to: u16, datagram: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&to) else {
            return Ok(None);
        };
        let delivered = node
            .handle_datagram(now, PATH, datagram)
            .map(|delivery| match delivery {
                Delivery::Frame(frame) => Some(frame.to_vec()),
                Delivery::Nothing => None,
            });
        self.collect();
        delivered
    }

    /// A frame comes from a device; what reaches devices because of it.
    pub fn send(&mut self, from: u16, frame: &[u8]) -> Vec<(u16, Vec<u8>)> {
        self.put(from, frame);
        self.run()
    }

    /// A frame comes from a device, and its datagrams stay in the relay's hands.
    pub fn catch(&mut self, from: u16, frame: &[u8]) -> Vec<Bytes> {
        self.put(from, frame);
        self.collect();
        self.wire.drain(..).map(|(_, datagram)| datagram).collect()
    }

    fn put(&mut self, from: u16, frame: &[u8]) {
        let now = self.now;
        self.node(from).handle_frame(now, Frame::plain(frame)).unwrap();
    }

    /// Lets time go by with an honest relay. What devices were given meanwhile.
    pub fn pass(&mut self, time: Duration) -> Vec<(u16, Vec<u8>)> {
        let end = self.now + time;
        let mut written = self.run();
        while self.step(end) {
            written.extend(self.run());
        }
        self.now = end;
        written
    }

    /// Goes to the next timer before `end`, if there is one.
    pub fn step(&mut self, end: Instant) -> bool {
        let dues = self
            .nodes
            .values()
            .filter_map(|node| Some(node.poll_timeout()?.0));
        let Some(due) = dues.min().filter(|&due| due <= end) else {
            return false;
        };
        self.now = self.now.max(due);
        for node in self.nodes.values_mut() {
            node.handle_timeout(self.now);
        }
        self.collect();
        true
    }

    pub fn drops(&self, id: u16, reason: DropReason) -> u64 {
        self.nodes[&id].counters().drops.of(reason)
    }

    /// Nobody has dropped anything but its first probe, which is before any keys.
    pub fn nothing_is_lost(&self) {
        for (id, node) in &self.nodes {
            let drops: Vec<_> = node.counters().drops.iter().collect();
            assert!(
                matches!(drops[..], [] | [(DropReason::NoSession, 1)]),
                "{id}: {drops:?}"
            );
        }
    }

    /// Everybody's broadcasts and unicast reach everybody; `tag` makes the frames this call's own.
    pub fn everyone_hears_everyone(&mut self, tag: u8) {
        let players: Vec<u16> = self.nodes.keys().copied().filter(|&id| id != GATEWAY).collect();
        for &from in &players {
            let flood = frame(from, None, &[tag, from as u8, 1, 7]);
            let heard: Vec<u16> = self.send(from, &flood).iter().map(|&(to, _)| to).collect();
            let others: Vec<u16> = self.nodes.keys().copied().filter(|&id| id != from).collect();
            assert_eq!(heard, others, "a broadcast of {from}");
            for &to in players.iter().filter(|&&to| to != from) {
                let unicast = frame(from, Some(to), &[tag, from as u8, 2, 7]);
                let heard: Vec<u16> = self.send(from, &unicast).iter().map(|&(to, _)| to).collect();
                assert_eq!(heard, [to], "from {from} to {to}");
            }
        }
    }
}

/// A datagram with another header.
pub fn reheaded(datagram: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let (mut header, rest) = Header::decode(datagram).unwrap();
    change(&mut header);
    [&header.encode()[..], rest].concat()
}

pub fn to(id: u16) -> MemberId {
    member_id(id)
}
