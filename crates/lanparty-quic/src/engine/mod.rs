//! Our own driver of QUIC: one UDP socket, one endpoint, its connections, owned by the loop of whoever carries frames.
//!
//! Frames are pulled, not pushed: [`Traffic::next`] is asked for a datagram only when QUIC can send it about now, so that no
//! queue of QUIC's own stands behind the caller's scheduler. Nothing on the way of a frame wakes another task, takes a lock or
//! changes the thread. What is rare (knocks, control messages, closing, moving to another socket) comes from handles on any
//! task ([`Link`], [`crate::Listener`], [`crate::ControlSender`]): they leave a wish at the engine's desk and wake its loop.
//!
//! The owner calls, for ever: [`Engine::ready`], then [`Engine::drive`]; and [`Engine::transmit`] whenever it has filled its
//! queues from elsewhere.

mod connection;
mod deadlines;
pub(crate) mod desk;
mod gso;
mod ready;
mod receive;
mod shard;
pub(crate) mod socket;
mod train;
mod transmit;
mod wishes;

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use lanparty_wire::LeaveReason;
use quinn_proto::{
    ClientConfig, ConnectError, ConnectionError, ConnectionHandle, EcnCodepoint, EndpointConfig, ServerConfig,
};

pub(crate) use shard::ShardedIds;
pub use socket::{SegmentationOffload, UnknownOffload};

use self::{
    connection::Connection,
    deadlines::Deadlines,
    desk::{Desk, Door},
    socket::{Receiver, Socket},
    transmit::Sender,
};
use crate::Link;

/// One connection of one engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkId {
    /// The engine's place among those of one listener; 0 if there is only one.
    engine: u8,
    slot: u32,
    generation: u32,
}

impl LinkId {
    /// Which of a listener's engines drives this connection.
    pub fn engine(self) -> usize {
        usize::from(self.engine)
    }

    /// A small number that no other connection of the same engine has at the same time, for tables.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Whose datagrams an engine carries. Every call comes from within [`Engine::drive`] or [`Engine::transmit`]; handles may be
/// used in all of them.
pub trait Traffic {
    /// A datagram came in.
    fn received(&mut self, now: Instant, link: LinkId, datagram: Bytes);

    /// The next datagram for `link`, at most `budget` bytes; asked for only when QUIC can send it about now. `None` if nothing
    /// waits. A larger one is dropped and counted ([`crate::PathStats::oversized_datagrams`]).
    fn next(&mut self, now: Instant, link: LinkId, budget: u16) -> Option<Bytes>;

    /// Moves the links that have got something to send since the last call into `links`; twice the same does no harm.
    fn wanting(&mut self, links: &mut Vec<LinkId>);
}

/// A UDP datagram that came in at another engine's socket.
#[derive(Debug)]
pub struct Packet {
    remote: SocketAddr,
    local: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    data: BytesMut,
}

/// See the module's documentation.
pub struct Engine {
    number: u8,
    /// How many engines the listener has.
    engines: usize,
    endpoint: quinn_proto::Endpoint,
    connections: Vec<Option<Connection>>,
    generation: u32,
    desk: Arc<Desk>,
    /// A listener's, which closes with its engines.
    door: Option<Arc<Door>>,
    socket: Socket,
    /// The socket before a move, until the first packet comes to the new one.
    previous: Option<Socket>,
    receiver: Receiver,
    /// There may be more to receive than the last batch.
    unread: bool,
    sender: Sender,
    deadlines: Deadlines,
    /// Slots that something has happened to in this round.
    touched: Vec<usize>,
    /// What came while nobody could take it.
    early: VecDeque<(LinkId, Bytes)>,
    strays: Vec<(usize, Packet)>,
    /// Why nobody is let in any more.
    closing: Option<LeaveReason>,
}

/// Datagrams that are kept while a dial waits for its welcome.
const EARLY: usize = 1024;

impl Engine {
    pub(crate) fn new(
        number: u8,
        engines: usize,
        socket: std::net::UdpSocket,
        offload: SegmentationOffload,
        config: EndpointConfig,
        server: Option<(Arc<ServerConfig>, Arc<Door>)>,
    ) -> io::Result<Engine> {
        let socket = Socket::new(socket, offload)?;
        let (server, door) = server.unzip();
        Ok(Engine {
            number,
            engines,
            endpoint: quinn_proto::Endpoint::new(Arc::new(config), server, socket.finds_mtu(), None),
            connections: Vec::new(),
            generation: 0,
            desk: Arc::new(Desk::new(socket.local_address()?, offload)),
            door,
            socket,
            previous: None,
            receiver: Receiver::new(),
            unread: false,
            sender: Sender::default(),
            deadlines: Deadlines::default(),
            touched: Vec::new(),
            early: VecDeque::new(),
            strays: Vec::new(),
            closing: None,
        })
    }

    /// Begins a connection.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        config: ClientConfig,
        remote: SocketAddr,
        name: &str,
    ) -> Result<Link, ConnectError> {
        let (handle, quic) = self.endpoint.connect(now, config, remote, name)?;
        Ok(self.insert(now, handle, quic))
    }

    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Connections, those that are closing included.
    pub fn connections(&self) -> usize {
        self.desk.connections.load(Ordering::Relaxed)
    }

    /// Waits until there is something to do: packets have come, the socket takes packets again, a timer of QUIC's is due, or a
    /// handle has a wish. Cancel-safe.
    pub async fn ready(&mut self) {
        if self.unread || !self.early.is_empty() || self.sender.has_more() {
            // Others on this thread have their turn as well.
            tokio::task::consume_budget().await;
            return;
        }
        let deadline = self.deadlines.earliest();
        let timer = async {
            match deadline {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        let previous = async {
            match &self.previous {
                Some(socket) => socket.readable().await,
                None => pending().await,
            }
        };
        let writable = async {
            if self.sender.is_stalled() {
                self.socket.writable().await;
            } else {
                pending().await
            }
        };
        tokio::select! {
            biased;
            () = self.socket.readable() => {}
            () = self.desk.wanted() => {}
            () = writable => {}
            () = previous => {}
            () = timer => {}
        }
    }

    /// Takes in what has come, a bounded number of packets, does what is due, shows `traffic` its datagrams, and sends.
    pub fn drive(&mut self, now: Instant, traffic: &mut impl Traffic) {
        self.handle_wishes(now);
        for (link, datagram) in self.early.drain(..) {
            traffic.received(now, link, datagram);
        }
        self.receive(now, traffic);
        self.handle_timeouts(now, traffic);
        self.transmit(now, traffic);
    }

    /// Only sends, after the owner's queues were filled from elsewhere.
    pub fn transmit(&mut self, now: Instant, traffic: &mut impl Traffic) {
        self.send(now, traffic);
        self.settle();
    }

    /// Drives until `until` is done, and keeps the datagrams that come meanwhile for the next [`Engine::drive`].
    pub async fn drive_until<F: Future>(&mut self, until: F) -> F::Output {
        tokio::pin!(until);
        let mut kept = Keep(VecDeque::new());
        let output = loop {
            tokio::select! {
                biased;
                output = &mut until => break output,
                () = self.ready() => {}
            }
            self.drive(Instant::now(), &mut kept);
        };
        self.early = kept.0;
        output
    }

    /// Drives until every connection that is closing has told the other side, or `within` has passed.
    pub async fn wind_up(mut self, within: Duration) {
        let desk = self.desk.clone();
        // A peer that does not answer must not hold anybody back.
        let _ = tokio::time::timeout(within, self.drive_until(desk.idle())).await;
    }

    fn handle_timeouts(&mut self, now: Instant, traffic: &mut impl Traffic) {
        let Engine {
            deadlines,
            touched,
            connections,
            ..
        } = self;
        for slot in deadlines.due(now) {
            if let Some(connection) = &mut connections[slot]
                && !std::mem::replace(&mut connection.touched, true)
            {
                touched.push(slot);
            }
        }
        for at in 0..self.touched.len() {
            let slot = self.touched[at];
            if let Some(connection) = &mut self.connections[slot] {
                if connection.due.is_some_and(|due| due <= now) {
                    connection.quic.handle_timeout(now);
                }
                connection.deliver(now, traffic);
            }
            self.handle_events(slot);
        }
    }

    /// Takes in what a connection tells after something has happened to it.
    fn handle_events(&mut self, slot: usize) {
        if let Some(connection) = &mut self.connections[slot] {
            connection.handle_events();
            // Whatever it was, there may be something to send now.
            self.sender.activate(connection);
        }
        self.handle_endpoint_events(slot);
    }

    /// Ends a round: timers and mailboxes of all that was touched.
    fn settle(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for &slot in &touched {
            // Sending may have given it something to say.
            self.handle_endpoint_events(slot);
            let Some(connection) = &mut self.connections[slot] else {
                continue;
            };
            connection.touched = false;
            connection.settle();
            let due = connection.quic.poll_timeout();
            self.deadlines.set(slot, &mut connection.due, due);
        }
        touched.clear();
        self.touched = touched;
    }

    /// Lets a connection and the endpoint tell each other what they must.
    fn handle_endpoint_events(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else {
            return;
        };
        while let Some(event) = connection.quic.poll_endpoint_events() {
            let drained = event.is_drained();
            if let Some(event) = self.endpoint.handle_event(connection.handle, event) {
                connection.quic.handle_event(event);
            }
            if drained {
                return self.remove(slot);
            }
        }
    }

    fn touch(&mut self, slot: usize) {
        if let Some(connection) = &mut self.connections[slot]
            && !std::mem::replace(&mut connection.touched, true)
        {
            self.touched.push(slot);
        }
    }

    fn insert(&mut self, now: Instant, handle: ConnectionHandle, quic: quinn_proto::Connection) -> Link {
        self.generation = self.generation.wrapping_add(1);
        let id = LinkId {
            engine: self.number,
            slot: u32::try_from(handle.0).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        let connection = Connection::new(id, handle, quic, now);
        let link = Link::new(id, connection.mailbox.clone(), self.desk.clone());
        if self.connections.len() <= handle.0 {
            self.connections.resize_with(handle.0 + 1, || None);
        }
        self.connections[handle.0] = Some(connection);
        self.desk.connections.fetch_add(1, Ordering::AcqRel);
        self.touch(handle.0);
        if let Some(connection) = &mut self.connections[handle.0] {
            self.sender.activate(connection);
        }
        link
    }

    fn remove(&mut self, slot: usize) {
        let Some(mut connection) = self.connections[slot].take() else {
            return;
        };
        self.deadlines.set(slot, &mut connection.due, None);
        connection.end(ConnectionError::LocallyClosed);
        self.desk.connections.fetch_sub(1, Ordering::AcqRel);
        self.desk.emptied.notify_waiters();
    }

    /// The connection of `id`, if it is still there.
    fn slot(&self, id: LinkId) -> Option<usize> {
        let slot = id.slot as usize;
        let connection = self.connections.get(slot)?.as_ref()?;
        (connection.id == id).then_some(slot)
    }
}

/// Whoever still has a handle must not wait for ever.
impl Drop for Engine {
    fn drop(&mut self) {
        self.ignore_wishes();
        for slot in 0..self.connections.len() {
            self.remove(slot);
        }
        if let Some(door) = &self.door {
            self.close_door(door);
        }
    }
}

/// Has nothing to send, and takes nothing.
pub(crate) struct Silence;

impl Traffic for Silence {
    fn received(&mut self, _now: Instant, _link: LinkId, _datagram: Bytes) {}

    fn next(&mut self, _now: Instant, _link: LinkId, _budget: u16) -> Option<Bytes> {
        None
    }

    fn wanting(&mut self, _links: &mut Vec<LinkId>) {}
}

/// Has nothing to send, and keeps what comes.
struct Keep(VecDeque<(LinkId, Bytes)>);

impl Traffic for Keep {
    fn received(&mut self, _now: Instant, link: LinkId, datagram: Bytes) {
        if self.0.len() < EARLY {
            self.0.push_back((link, datagram));
        }
    }

    fn next(&mut self, _now: Instant, _link: LinkId, _budget: u16) -> Option<Bytes> {
        None
    }

    fn wanting(&mut self, _links: &mut Vec<LinkId>) {}
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("number", &self.number)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
