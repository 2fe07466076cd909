//! Connections between members and the relay: lines, a NAT in front of each member, control streams, and silence.
//!
//! A NAT is modelled by what it does to a path: when it forgets its mapping, what the relay sends goes nowhere until the member has
//! sent something, because only then does the relay learn the new address (RFC 9000, section 9). QUIC's keep-alive is what
//! guarantees that it does.

use std::{collections::VecDeque, time::Duration};

use lanparty_core::switch::Forwarding;
use lanparty_wire::{FragmentHeader, Header, LeaveReason, control::Message};

use super::{
    World,
    ledger::{FrameId, Parcel},
    link::{Fate, Link},
    relay::Conn,
    seat::path,
    stamp,
};

/// As the shell configures QUIC.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a message of the reliable stream is tried again at a path that has moved.
const RETRY: Duration = Duration::from_millis(100);
const KEEP_ALIVE_BYTES: usize = 40;

/// What happens in a world.
#[derive(Debug)]
pub(super) enum Event {
    /// A datagram reaches the relay; `mapping` is the NAT's, when it passed.
    AtRelay {
        conn: Conn,
        mapping: u32,
        parcel: Parcel,
    },
    /// A datagram reaches a NAT, addressed to the mapping that the relay knew.
    AtMember {
        conn: Conn,
        mapping: u32,
        parcel: Parcel,
    },
    /// The next control message reaches the relay.
    MailAtRelay {
        conn: Conn,
    },
    /// The next control message reaches a member.
    MailAtMember {
        conn: Conn,
    },
    KeepAlive {
        conn: Conn,
    },
    /// A keep-alive reaches the relay.
    Alive {
        conn: Conn,
        mapping: u32,
    },
    /// The relay looks whether it has heard anything.
    Silence {
        conn: Conn,
    },
    /// A line can take the next datagram.
    UpFree {
        conn: Conn,
    },
    DownFree {
        conn: Conn,
    },
    /// A second copy for a member is due.
    CopyDue {
        conn: Conn,
    },
    Wake {
        seat: usize,
        at: Duration,
    },
}

/// One connection, from both ends.
#[derive(Debug)]
pub(super) struct Connection {
    seat: usize,
    up: Link,
    down: Link,
    /// Counts the mappings that the NAT has had for it.
    mapping: u32,
    /// The mapping that the relay sends to.
    known_mapping: u32,
    /// When the relay has heard of it last.
    heard: Duration,
    /// The member's end.
    pub(super) is_open: bool,
    mail_up: VecDeque<Message>,
    mail_down: VecDeque<Message>,
    mail_up_last: Duration,
    mail_down_last: Duration,
    /// The frame whose first piece left last; its other pieces follow.
    in_pieces: Option<FrameId>,
    up_waits: bool,
    down_waits: bool,
}

impl<F: Forwarding> World<F> {
    /// The NAT in front of a seat forgets its mapping.
    pub fn rebind(&mut self, seat: usize) {
        if let Some(conn) = self.seats[seat].connection {
            self.connections[conn.0].mapping += 1;
        }
    }

    /// The relay is killed and comes back. Members notice at their next packet, and lose their connections.
    pub fn restart_relay(&mut self) {
        for conn in self.relay.restart(self.now) {
            let connection = &self.connections[conn.0];
            if connection.is_open {
                self.lose_connection(connection.seat);
            }
        }
    }

    pub(super) fn open_connection(&mut self, seat: usize) -> Conn {
        let conn = Conn(self.connections.len());
        let (up, down) = (self.seed_for(), self.seed_for());
        self.connections.push(Connection {
            seat,
            up: Link::new(self.config.link, up),
            down: Link::new(self.config.link, down),
            mapping: 1,
            known_mapping: 1,
            heard: self.now,
            is_open: true,
            mail_up: VecDeque::new(),
            mail_down: VecDeque::new(),
            mail_up_last: Duration::ZERO,
            mail_down_last: Duration::ZERO,
            in_pieces: None,
            up_waits: false,
            down_waits: false,
        });
        self.agenda.put(self.now + KEEP_ALIVE, Event::KeepAlive { conn });
        self.agenda.put(self.now + IDLE_TIMEOUT, Event::Silence { conn });
        conn
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::AtRelay {
                conn,
                mapping,
                parcel,
            } => self.at_relay(conn, mapping, parcel),
            Event::AtMember {
                conn,
                mapping,
                parcel,
            } => self.at_member(conn, mapping, &parcel),
            Event::MailAtRelay { conn } => self.mail_at_relay(conn),
            Event::MailAtMember { conn } => self.mail_at_member(conn),
            Event::KeepAlive { conn } => self.keep_alive(conn),
            Event::Alive { conn, mapping } => self.heard(conn, mapping),
            Event::Silence { conn } => self.silence(conn),
            Event::UpFree { conn } => {
                let connection = &mut self.connections[conn.0];
                connection.up_waits = false;
                let seat = connection.seat;
                self.pump_up(seat);
            }
            Event::DownFree { conn } => {
                self.connections[conn.0].down_waits = false;
                self.pump_down(conn);
            }
            Event::CopyDue { conn } => self.pump_down(conn),
            Event::Wake { seat, at } => self.wake(seat, at),
        }
    }

    /// Sends what a node has for its path, as long as the line has room.
    pub(super) fn pump_up(&mut self, seat: usize) {
        let Some(conn) = self.seats[seat].connection else {
            return;
        };
        let now = self.instant();
        loop {
            let connection = &mut self.connections[conn.0];
            let Some(node) = &mut self.seats[seat].node else {
                return;
            };
            if !node.has_transmit(path(conn)) {
                return;
            }
            let free = connection.up.free_at(self.now);
            if free > self.now {
                if !std::mem::replace(&mut connection.up_waits, true) {
                    self.agenda.put(free, Event::UpFree { conn });
                }
                return;
            }
            let (sent, lost) = connection.up.stats();
            node.path_stats(now, path(conn), sent, lost);
            let copies = node.counters().duplicates_out;
            let Some(bytes) = node.poll_transmit(now, path(conn)) else {
                return;
            };
            let is_copy = node.counters().duplicates_out > copies;
            let frame = connection.frame_of(&bytes);
            let parcel = Parcel {
                bytes,
                frame,
                arrival: 0,
            };
            self.send_up(conn, parcel, is_copy);
        }
    }

    fn send_up(&mut self, conn: Conn, parcel: Parcel, is_copy: bool) {
        self.trace.note(self.now, b'u', conn.0 as u64, &parcel.bytes);
        let connection = &mut self.connections[conn.0];
        match parcel.frame {
            Some(frame) if is_copy => self.ledger.copied(frame),
            Some(frame) => self.ledger.left_sender(connection.seat, frame),
            None => {}
        }
        let mapping = connection.mapping;
        match connection.up.send(self.now, parcel.bytes.len()) {
            Fate::Arrives(at) => self.agenda.put(
                at,
                Event::AtRelay {
                    conn,
                    mapping,
                    parcel,
                },
            ),
            Fate::Lost => {
                if let Some(frame) = parcel.frame {
                    self.ledger.lose_up(frame);
                }
            }
        }
    }

    fn at_relay(&mut self, conn: Conn, mapping: u32, mut parcel: Parcel) {
        self.trace.note(self.now, b'r', conn.0 as u64, &parcel.bytes);
        self.heard(conn, mapping);
        self.arrivals += 1;
        parcel.arrival = self.arrivals;
        let now = self.instant();
        let copies = match self.relay.forward(now, conn, &parcel.bytes) {
            Ok(copies) => copies,
            Err(reason) => {
                if let Some(frame) = parcel.frame {
                    self.ledger.dropped(frame, "relay", reason);
                }
                return;
            }
        };
        for copy in copies {
            if copy.target == conn {
                self.ledger
                    .violate(format!("the relay gives {conn:?} its own datagram back"));
            }
            let for_target = Parcel {
                bytes: copy.bytes.clone(),
                ..parcel
            };
            let ledger = &mut self.ledger;
            self.relay.queue(now, &copy, for_target, |victim| {
                if let Some(frame) = victim.frame {
                    ledger.dropped(frame, "relay", lanparty_wire::DropReason::QueueFull);
                }
            });
            self.pump_down(copy.target);
        }
    }

    /// Sends what the relay has for a target, as long as the line has room.
    fn pump_down(&mut self, conn: Conn) {
        let now = self.instant();
        loop {
            let connection = &mut self.connections[conn.0];
            let free = connection.down.free_at(self.now);
            if free > self.now {
                if self.relay.has(conn) && !std::mem::replace(&mut connection.down_waits, true) {
                    self.agenda.put(free, Event::DownFree { conn });
                }
                return;
            }
            let ledger = &mut self.ledger;
            let late = |victim: Parcel| {
                if let Some(frame) = victim.frame {
                    ledger.late(1);
                    ledger.dropped(frame, "relay", lanparty_wire::DropReason::QueueDelay);
                }
            };
            let parcel = match self.relay.pop_copy(now, conn, connection.down.stats()) {
                Some(copy) => {
                    copy.frame.into_iter().for_each(|frame| ledger.copied(frame));
                    copy
                }
                None => {
                    let Some(parcel) = self.relay.pop(now, conn, late) else {
                        return;
                    };
                    if let Some(frame) = parcel.frame {
                        self.ledger.left_relay(conn, frame, parcel.arrival);
                    }
                    if let Some(due) = self.relay.copy_due(now, conn) {
                        let due = due.saturating_duration_since(self.epoch);
                        self.agenda.put(due.max(self.now), Event::CopyDue { conn });
                    }
                    parcel
                }
            };
            let (seat, mapping) = (connection.seat, connection.known_mapping);
            match connection.down.send(self.now, parcel.bytes.len()) {
                Fate::Arrives(at) => self.agenda.put(
                    at,
                    Event::AtMember {
                        conn,
                        mapping,
                        parcel,
                    },
                ),
                Fate::Lost => self.lost_down(seat, &parcel),
            }
        }
    }

    fn at_member(&mut self, conn: Conn, mapping: u32, parcel: &Parcel) {
        self.trace.note(self.now, b'm', conn.0 as u64, &parcel.bytes);
        let connection = &self.connections[conn.0];
        let seat = connection.seat;
        if mapping != connection.mapping {
            return self.lost_down(seat, parcel);
        }
        if connection.is_open {
            self.datagram(seat, conn, parcel);
        }
    }

    fn lost_down(&mut self, seat: usize, parcel: &Parcel) {
        if let Some(frame) = parcel.frame {
            self.ledger.lose_down(frame, seat);
        }
    }

    /// Puts a message on the stream to the relay.
    pub(super) fn mail_to_relay(&mut self, conn: Conn, message: Message) {
        let connection = &mut self.connections[conn.0];
        connection.mail_up.push_back(message);
        let at = connection
            .up
            .send_reliably(self.now, &mut connection.mail_up_last);
        self.agenda.put(at, Event::MailAtRelay { conn });
    }

    fn mail_to_member(&mut self, conn: Conn, message: Message) {
        let connection = &mut self.connections[conn.0];
        connection.mail_down.push_back(message);
        let at = connection
            .down
            .send_reliably(self.now, &mut connection.mail_down_last);
        self.agenda.put(at, Event::MailAtMember { conn });
    }

    fn mail_at_relay(&mut self, conn: Conn) {
        let connection = &mut self.connections[conn.0];
        let (seat, mapping) = (connection.seat, connection.mapping);
        let Some(message) = connection.mail_up.pop_front() else {
            return;
        };
        self.trace.note(self.now, b'c', conn.0 as u64, &[]);
        self.heard(conn, mapping);
        let letters = match &message {
            Message::Hello(hello) => {
                let identity = self.seats[seat].identity();
                let welcomed = self.relay.hello(self.instant(), self.now, conn, identity, hello);
                welcomed.letters
            }
            other => self.relay.control(self.instant(), self.now, conn, other),
        };
        self.post(letters);
    }

    fn mail_at_member(&mut self, conn: Conn) {
        let connection = &mut self.connections[conn.0];
        if connection.is_open && connection.known_mapping != connection.mapping {
            self.agenda.put(self.now + RETRY, Event::MailAtMember { conn });
            return;
        }
        let (seat, open) = (connection.seat, connection.is_open);
        let Some(message) = connection.mail_down.pop_front() else {
            return;
        };
        self.trace.note(self.now, b'd', conn.0 as u64, &[]);
        if open {
            self.control(seat, conn, &message);
        }
    }

    fn post(&mut self, letters: Vec<super::relay::Letter>) {
        for (conn, message) in letters {
            self.mail_to_member(conn, message);
        }
    }

    fn keep_alive(&mut self, conn: Conn) {
        let connection = &mut self.connections[conn.0];
        if !connection.is_open {
            return;
        }
        let mapping = connection.mapping;
        if let Fate::Arrives(at) = connection.up.send(self.now, KEEP_ALIVE_BYTES) {
            self.agenda.put(at, Event::Alive { conn, mapping });
        }
        self.agenda.put(self.now + KEEP_ALIVE, Event::KeepAlive { conn });
    }

    fn heard(&mut self, conn: Conn, mapping: u32) {
        let connection = &mut self.connections[conn.0];
        connection.heard = self.now;
        connection.known_mapping = connection.known_mapping.max(mapping);
    }

    fn silence(&mut self, conn: Conn) {
        let until = self.connections[conn.0].heard + IDLE_TIMEOUT;
        if until > self.now {
            self.agenda.put(until, Event::Silence { conn });
            return;
        }
        let letters = self
            .relay
            .gone(self.instant(), self.now, conn, LeaveReason::TimedOut);
        self.post(letters);
    }
}

impl Connection {
    /// The test frame that a datagram of this connection's member carries.
    fn frame_of(&mut self, datagram: &[u8]) -> Option<FrameId> {
        let (header, rest) = Header::decode(datagram).ok()?;
        if !header.fragment {
            return stamp::read(rest);
        }
        let (range, piece) = FragmentHeader::decode(rest).ok()?;
        if range.offset == 0 {
            self.in_pieces = stamp::read(piece);
        }
        self.in_pieces
    }
}
