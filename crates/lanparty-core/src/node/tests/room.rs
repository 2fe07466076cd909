//! A room without a network: every datagram arrives at once, unless the test holds it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_wire::{
    Destination, DropReason, Frame, GroupHandle, Header, Incarnation, LeaveReason, Mac, MemberId, PeerId,
    control::{Member, Message, Mode, Role, Welcome},
    mtu::DEFAULT_MTU,
};

use crate::{
    guard::Limits,
    node::{Delivery, Event, Node, NodeConfig, Output, PathId},
};

pub const PATH: PathId = PathId(1);
pub const GATEWAY: u16 = 9;
/// Another LAN gateway, which waits.
pub const STANDBY: u16 = 999;
pub const STATION: Mac = Mac([0, 0x1b, 0x21, 0, 0, 1]);
pub const BUDGET: u16 = 1414;

/// What a device was given.
pub type Written = (u16, Vec<u8>);

pub struct Room {
    pub now: Instant,
    pub nodes: BTreeMap<u16, Node>,
    pub budgets: BTreeMap<u16, u16>,
    pub events: Vec<(u16, Event)>,
    pub controls: Vec<(u16, Message)>,
    pub injected: Vec<Vec<u8>>,
    pub drops: Vec<(u16, DropReason)>,
}

impl Room {
    /// A LAN gateway, and clients 1 to `clients`.
    pub fn new(clients: u16) -> Room {
        let mut room = Room::empty();
        room.join(GATEWAY, 1);
        (1..=clients).for_each(|client| room.join(client, 1));
        room
    }

    #[allow(clippy::disallowed_methods)]
    pub fn empty() -> Room {
        Room {
            now: Instant::now(),
            nodes: BTreeMap::new(),
            budgets: BTreeMap::new(),
            events: Vec::new(),
            controls: Vec::new(),
            injected: Vec::new(),
            drops: Vec::new(),
        }
    }

    /// A node joins as the relay would do it: the others hear first, then it is welcomed and hears of them.
    pub fn join(&mut self, id: u16, incarnation: u32) {
        let budget = *self.budgets.entry(id).or_insert(BUDGET);
        let fresh = || Node::new(config(id), self.now);
        let mut node = self.nodes.remove(&id).unwrap_or_else(fresh);
        let joined = Message::Joined {
            member: member(id, incarnation, budget),
        };
        let others: Vec<u16> = self.nodes.keys().copied().collect();
        for other in self.nodes.values_mut() {
            other.handle_control(self.now, &joined);
        }
        node.path_up(self.now, PATH, budget);
        node.handle_control(self.now, &welcome(id, incarnation, &others));
        for other in others {
            let member = member(other, 1, self.budgets[&other]);
            node.handle_control(self.now, &Message::Joined { member });
        }
        self.nodes.insert(id, node);
        self.drain();
    }

    pub fn leave(&mut self, id: u16) {
        self.nodes.remove(&id);
        self.tell_all(&Message::Left {
            member: member_id(id),
            incarnation: Incarnation(1),
            reason: LeaveReason::Goodbye,
        });
    }

    pub fn tell_all(&mut self, message: &Message) {
        for node in self.nodes.values_mut() {
            node.handle_control(self.now, message);
        }
        self.drain();
    }

    pub fn node(&mut self, id: u16) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// A frame comes from a device; what reaches devices because of it.
    pub fn send(&mut self, from: u16, frame: &[u8]) -> Vec<Written> {
        self.send_offloaded(from, Frame::plain(frame))
    }

    pub fn send_offloaded(&mut self, from: u16, frame: Frame<'_>) -> Vec<Written> {
        let now = self.now;
        if let Err(reason) = self.node(from).handle_frame(now, frame) {
            self.drops.push((from, reason));
        }
        self.run()
    }

    /// Forwards until nobody has anything to send.
    pub fn run(&mut self) -> Vec<Written> {
        let mut written = Vec::new();
        loop {
            let datagrams = self.take_datagrams();
            if datagrams.is_empty() {
                return written;
            }
            for (_, datagram) in datagrams {
                written.extend(self.forward(&datagram));
            }
        }
    }

    /// What nodes want to send, taken out and not forwarded.
    pub fn take_datagrams(&mut self) -> Vec<(u16, Bytes)> {
        let now = self.now;
        let mut taken = Vec::new();
        for (&id, node) in &mut self.nodes {
            while let Some(datagram) = node.poll_transmit(now, PATH) {
                assert!(datagram.len() <= usize::from(self.budgets[&id]));
                taken.push((id, datagram));
            }
            assert!(!node.has_transmit(PATH));
        }
        taken
    }

    /// What a relay does with a datagram.
    pub fn forward(&mut self, datagram: &[u8]) -> Vec<Written> {
        let (header, _) = Header::decode(datagram).unwrap();
        let targets: Vec<u16> = match header.destination {
            Destination::Member(id) => vec![id.value()],
            Destination::Flood => self.nodes.keys().copied().collect(),
            Destination::Group(handle) => self.registered(header.source.value(), handle),
        };
        let others = targets.into_iter().filter(|&id| id != header.source.value());
        others
            .filter_map(|id| Some((id, self.deliver(id, datagram)?)))
            .collect()
    }

    /// The members of a group, as its sender has registered it last.
    fn registered(&self, by: u16, wanted: GroupHandle) -> Vec<u16> {
        let registered = self
            .controls
            .iter()
            .rev()
            .find_map(|(from, message)| match message {
                Message::Group { handle, members } if (*from, *handle) == (by, wanted) => Some(members),
                _ => None,
            });
        let members = registered.into_iter().flatten();
        members.map(|member| member.value()).collect()
    }

    /// Gives a datagram to one node; the frame that its device gets.
    pub fn deliver(&mut self, to: u16, datagram: &[u8]) -> Option<Vec<u8>> {
        let now = self.now;
        assert!(
            datagram.len() <= usize::from(self.budgets[&to]),
            "over the target's budget"
        );
        let delivered = match self.nodes.get_mut(&to)?.handle_datagram(now, PATH, datagram) {
            Ok(Delivery::Frame(frame)) => Some(frame.to_vec()),
            Ok(Delivery::Nothing) => None,
            Err(reason) => {
                self.drops.push((to, reason));
                None
            }
        };
        self.drain();
        delivered
    }

    /// Lets time go by, with every timer at its moment.
    pub fn pass(&mut self, time: Duration) -> Vec<Written> {
        let end = self.now + time;
        let mut written = Vec::new();
        loop {
            let due = self
                .nodes
                .values()
                .filter_map(|node| Some(node.poll_timeout()?.0));
            match due.min().filter(|&due| due <= end) {
                None => break,
                Some(due) => self.now = self.now.max(due),
            }
            for node in self.nodes.values_mut() {
                node.handle_timeout(self.now);
            }
            self.drain();
            written.extend(self.run());
        }
        self.now = end;
        written
    }

    pub fn drain(&mut self) {
        for (&id, node) in &mut self.nodes {
            while let Some(output) = node.poll_output() {
                match output {
                    Output::Control(message) => self.controls.push((id, message)),
                    Output::Inject(frame) => self.injected.push(frame),
                    Output::Event(event) => self.events.push((id, event)),
                }
            }
        }
    }

    pub fn events_of(&self, id: u16) -> Vec<&Event> {
        self.events
            .iter()
            .filter(|(of, _)| *of == id)
            .map(|(_, event)| event)
            .collect()
    }
}

pub fn config(id: u16) -> NodeConfig {
    NodeConfig {
        role: role(id),
        mac: (role(id) == Role::Client).then(|| mac(id)),
        mtu: DEFAULT_MTU,
        limits: Limits::default(),
        flow_key: id.into(),
    }
}

pub fn role(id: u16) -> Role {
    if id == GATEWAY || id == STANDBY {
        Role::Gateway
    } else {
        Role::Client
    }
}

pub fn mac(id: u16) -> Mac {
    Mac::from_random([0, 0, 0, 0, id as u8])
}

pub fn member_id(id: u16) -> MemberId {
    MemberId::new(id).unwrap()
}

pub fn member(id: u16, incarnation: u32, budget: u16) -> Member {
    Member {
        id: member_id(id),
        incarnation: Incarnation(incarnation),
        role: role(id),
        identity: PeerId([id as u8; 32]),
        mac: (role(id) == Role::Client).then(|| mac(id)),
        budget,
        name: String::new(),
        lan_link: None,
        standby: id == STANDBY,
    }
}

pub fn welcome(id: u16, incarnation: u32, others: &[u16]) -> Message {
    Message::Welcome(Welcome {
        version: 1,
        member: member_id(id),
        incarnation: Incarnation(incarnation),
        mode: Mode::Relay,
        sealed: false,
        gateway: (id == GATEWAY || others.contains(&GATEWAY)).then(|| member_id(GATEWAY)),
        members: others.len() as u16 + 1,
    })
}
