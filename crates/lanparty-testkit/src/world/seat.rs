//! A member's machine: its node, its device, and its comings and goings.

use std::time::Duration;

use lanparty_core::{
    guard::Limits,
    node::{Delivery, Event as NodeEvent, Node, NodeConfig, Output, PathId},
    switch::Forwarding,
};
use lanparty_wire::{
    DropReason, Frame, LeaveReason, Mac, PeerId,
    control::{Hello, Message, Role},
    mtu,
};

use super::{
    World,
    lan::LanPort,
    ledger::{Parcel, SETTLING, Station},
    network::Event,
    pcap::Direction,
    relay::Conn,
    stamp,
};

/// Each connection is a path of its own.
pub(super) fn path(conn: Conn) -> PathId {
    PathId(conn.0 as u32)
}

/// A machine that is a member, or may become one.
pub(super) struct Seat<F> {
    pub(super) role: Role,
    pub(super) mac: Option<Mac>,
    identity: PeerId,
    /// The running process, if it runs.
    pub(super) node: Option<Node<F>>,
    process: u64,
    budget: u16,
    pub(super) connection: Option<Conn>,
    welcomed: Option<Duration>,
    /// The wake-up that is on the agenda.
    wake: Option<Duration>,
    interface: u32,
    pub(super) events: Vec<NodeEvent>,
}

impl<F> Seat<F> {
    pub(super) fn identity(&self) -> PeerId {
        self.identity
    }
}

impl<F: Forwarding> World<F> {
    /// A machine for a LAN gateway, not yet running.
    pub fn add_gateway(&mut self) -> usize {
        self.add_seat(Role::Gateway, mtu::ASSUMED_BUDGET)
    }

    /// A machine for a player, not yet running, whose line takes datagrams of `budget` bytes.
    pub fn add_player(&mut self, budget: u16) -> Station {
        Station::Player(self.add_seat(Role::Client, budget))
    }

    fn add_seat(&mut self, role: Role, budget: u16) -> usize {
        let number = self.seats.len();
        let name = format!("{role:?} {number}").to_lowercase();
        self.seats.push(Seat {
            role,
            mac: (role == Role::Client).then(|| Mac::from_random([0, 0, 0, 1, number as u8])),
            identity: PeerId([number as u8 + 1; 32]),
            node: None,
            process: 0,
            budget,
            connection: None,
            welcomed: None,
            wake: None,
            interface: self.capture.interface(name),
            events: Vec::new(),
        });
        number
    }

    /// Connects; a process that does not run is started first.
    pub fn connect(&mut self, seat: usize) {
        let flow_key = self.seed_for();
        let now = self.instant();
        let machine = &mut self.seats[seat];
        if machine.node.is_none() {
            machine.process += 1;
            let config = NodeConfig {
                role: machine.role,
                mac: machine.mac,
                mtu: mtu::DEFAULT_MTU,
                limits: Limits::default(),
                flow_key,
            };
            let forwarding = (self.forwarding)(machine.role, machine.mac);
            machine.node = Some(Node::with_forwarding(config, forwarding, now));
        }
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            room: "WORLD".parse().expect("it is a room code"),
            role: machine.role,
            mac: machine.mac,
            budget: machine.budget,
            name: format!("seat {seat}"),
            session: machine.process,
            token: None,
            capabilities: Vec::new(),
            software: String::new(),
        };
        let conn = self.open_connection(seat);
        self.seats[seat].connection = Some(conn);
        self.ledger.moved(self.now, seat);
        self.mail_to_relay(conn, Message::Hello(hello));
        if self.seats[seat].role == Role::Gateway {
            self.lan.plug_gateway(true);
        }
    }

    /// Says goodbye and stops.
    pub fn leave(&mut self, seat: usize) {
        if let Some(conn) = self.seats[seat].connection {
            let reason = LeaveReason::Goodbye;
            self.mail_to_relay(conn, Message::Goodbye { reason });
        }
        self.crash(seat);
    }

    /// The process dies without a word.
    pub fn crash(&mut self, seat: usize) {
        self.lose_connection(seat);
        self.seats[seat].node = None;
        if self.seats[seat].role == Role::Gateway {
            self.lan.plug_gateway(false);
        }
    }

    /// The connection is lost; the process goes on, and may connect again.
    pub fn lose_connection(&mut self, seat: usize) {
        let now = self.instant();
        self.ledger.moved(self.now, seat);
        let machine = &mut self.seats[seat];
        machine.welcomed = None;
        if let Some(conn) = machine.connection.take() {
            self.connections[conn.0].is_open = false;
            if let Some(node) = &mut machine.node {
                node.path_down(now, path(conn));
            }
        }
    }

    /// What a node has told its shell since the beginning.
    pub fn events(&self, seat: usize) -> &[NodeEvent] {
        &self.seats[seat].events
    }

    /// The node of a seat, if it runs.
    pub fn node(&self, seat: usize) -> Option<&Node<F>> {
        self.seats[seat].node.as_ref()
    }

    /// True if nobody who is there for sure can fail to know it.
    pub(super) fn is_established(&self, seat: usize) -> bool {
        self.seats[seat]
            .welcomed
            .is_some_and(|at| self.now >= at + SETTLING)
    }

    /// A frame comes from the seat's device.
    pub(super) fn device_out(&mut self, seat: usize, frame: &[u8]) {
        let now = self.instant();
        let machine = &mut self.seats[seat];
        let Some(node) = &mut machine.node else { return };
        self.capture
            .frame(self.now, machine.interface, Direction::Out, frame);
        if let Err(reason) = node.handle_frame(now, Frame::plain(frame)) {
            self.note_drop(frame, &format!("seat {seat} out"), reason);
        }
        self.after_input(seat);
    }

    /// A datagram arrives at the seat.
    pub(super) fn datagram(&mut self, seat: usize, conn: Conn, parcel: &Parcel) {
        let now = self.instant();
        let machine = &mut self.seats[seat];
        let Some(node) = &mut machine.node else { return };
        let delivered = match node.handle_datagram(now, path(conn), &parcel.bytes) {
            Ok(Delivery::Frame(frame)) => Some(frame.to_vec()),
            Ok(Delivery::Nothing) => None,
            Err(reason) => {
                if let Some(frame) = parcel.frame {
                    self.ledger.dropped(frame, &format!("seat {seat} in"), reason);
                }
                None
            }
        };
        self.after_input(seat);
        if let Some(frame) = delivered {
            self.device_in(seat, parcel, &frame);
        }
    }

    fn device_in(&mut self, seat: usize, parcel: &Parcel, frame: &[u8]) {
        if stamp::read(frame) != parcel.frame {
            let what = format!("seat {seat} was given another frame than its datagram's");
            self.ledger.violate(what);
        }
        let interface = self.seats[seat].interface;
        self.capture.frame(self.now, interface, Direction::In, frame);
        match self.seats[seat].role {
            Role::Client => self.seen_by(Station::Player(seat), frame),
            Role::Gateway => self.onto_lan(LanPort::Gateway, frame),
        }
    }

    /// A control message arrives at the seat.
    pub(super) fn control(&mut self, seat: usize, conn: Conn, message: &Message) {
        let now = self.instant();
        if self.seats[seat].connection != Some(conn) {
            return;
        }
        let budget = self.seats[seat].budget;
        let machine = &mut self.seats[seat];
        let Some(node) = &mut machine.node else { return };
        match message {
            Message::Welcome(_) => {
                machine.welcomed = Some(self.now);
                node.path_up(now, path(conn), budget);
            }
            Message::Reject { reason, .. } => {
                self.ledger
                    .violate(format!("seat {seat} was refused: {reason:?}"));
            }
            Message::Hello(_)
            | Message::Joined { .. }
            | Message::Left { .. }
            | Message::Budget { .. }
            | Message::LanLink { .. }
            | Message::Group { .. }
            | Message::Envelope { .. }
            | Message::Stats(_)
            | Message::Goodbye { .. }
            | Message::Roster { .. }
            | Message::Renew { .. }
            | Message::Lease { .. }
            | Message::Gateway { .. }
            | Message::Standbys { .. }
            | Message::ShortNumbers { .. }
            | Message::Lookup { .. }
            | Message::Found { .. }
            | Message::Unknown => {}
        }
        node.handle_control(now, message);
        self.after_input(seat);
    }

    /// The seat's timer.
    pub(super) fn wake(&mut self, seat: usize, at: Duration) {
        let now = self.instant();
        let machine = &mut self.seats[seat];
        if machine.wake != Some(at) {
            return;
        }
        machine.wake = None;
        if let Some(node) = &mut machine.node {
            node.handle_timeout(now);
        }
        self.after_input(seat);
    }

    /// The line's budget has changed.
    pub fn set_budget(&mut self, seat: usize, budget: u16) {
        let now = self.instant();
        let machine = &mut self.seats[seat];
        machine.budget = budget;
        if let (Some(node), Some(conn)) = (&mut machine.node, machine.connection) {
            node.path_budget(now, path(conn), budget);
        }
        self.after_input(seat);
    }

    /// What the contract of a node asks for after every input.
    fn after_input(&mut self, seat: usize) {
        while let Some(output) = self.seats[seat].node.as_mut().and_then(|node| node.poll_output()) {
            match output {
                Output::Control(message) => {
                    if let Some(conn) = self.seats[seat].connection {
                        self.mail_to_relay(conn, message);
                    }
                }
                Output::Inject(frame) => self.onto_lan(LanPort::Gateway, &frame),
                Output::Event(event) => self.seats[seat].events.push(event),
            }
        }
        self.pump_up(seat);
        let machine = &mut self.seats[seat];
        let due = machine.node.as_ref().and_then(|node| node.poll_timeout());
        let due = due.map(|(due, _)| due.saturating_duration_since(self.epoch).max(self.now));
        if let Some(at) = due
            && machine.wake.is_none_or(|wake| at < wake)
        {
            machine.wake = Some(at);
            self.agenda.put(at, Event::Wake { seat, at });
        }
    }

    fn note_drop(&mut self, frame: &[u8], who: &str, reason: DropReason) {
        if let Some(id) = stamp::read(frame) {
            self.ledger.dropped(id, who, reason);
        }
    }
}
