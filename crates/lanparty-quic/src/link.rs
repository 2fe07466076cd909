//! One connection as its users see it: datagrams in and out, and what is known about the path.
//!
//! Sending is pull, not push: the caller keeps its packets in a scheduler of its own and hands over one more only while
//! [`Link::try_send`] takes it. While a control message is on its way out, datagrams are held back, because quinn puts
//! datagrams into a packet before stream data and a saturated path would otherwise never carry a control message.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use lanparty_wire::LeaveReason;
use quinn::{Connection, ConnectionError, Endpoint, SendDatagramError, VarInt};
use tokio::sync::{Notify, watch};

/// How often budget and sign of life are looked up; quinn has no event for either.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// How many datagrams one [`Link::recv_many`] takes at most, so that a flood does not keep its reader from everything else.
const RECEIVE_BATCH: usize = 64;
/// How long a closing endpoint may take to say goodbye.
const CLOSING: Duration = Duration::from_millis(300);

/// A QUIC connection's datagrams and state. Cheap to clone; the connection closes with its last handle.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    connection: Connection,
    /// The dialling side's own endpoint; a relay's is shared by all its connections and not kept here.
    endpoint: Option<Endpoint>,
    budget: watch::Sender<u16>,
    heard: Mutex<Heard>,
    /// Datagrams that were handed out, and those that quinn has dropped because nobody took them in time.
    read: AtomicU64,
    missed: AtomicU64,
    gate: Gate,
}

#[derive(Clone, Copy)]
struct Heard {
    packets: u64,
    at: Instant,
}

/// Why a datagram was not taken. The datagram comes back where trying again may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    #[error("there is no room for another datagram now")]
    Full(Bytes),
    #[error("the datagram is larger than the path's budget")]
    TooLarge(Bytes),
    #[error(transparent)]
    Closed(#[from] PathClosed),
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathClosed {
    /// The other side does not know the connection (a stateless reset, RFC 9000, section 10.3).
    #[error("the other side has restarted")]
    Reset,
    #[error("nothing was heard from the other side any more")]
    TimedOut,
    #[error("the other side closed the connection ({})", .0.sentence())]
    Peer(LeaveReason),
    #[error("it was closed here")]
    Local,
    #[error("QUIC failed: {0}")]
    Failed(String),
}

/// Counters of a connection, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathStats {
    pub rtt: Duration,
    /// Bytes of UDP payload that the path is known to carry.
    pub mtu: u16,
    /// Bytes that may be on their way at once.
    pub congestion_window: u64,
    pub sent_packets: u64,
    pub lost_packets: u64,
    pub congestion_events: u64,
    pub black_holes: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_datagrams: u64,
    pub received_datagrams: u64,
    /// Received, and dropped before they were read: the reader was late.
    pub missed_datagrams: u64,
}

impl Link {
    pub(crate) fn new(connection: Connection, endpoint: Option<Endpoint>) -> Link {
        let budget = datagram_budget(&connection);
        let heard = Heard {
            packets: connection.stats().udp_rx.datagrams,
            at: Instant::now(),
        };
        let link = Link(Arc::new(Shared {
            connection,
            endpoint,
            budget: watch::Sender::new(budget),
            heard: Mutex::new(heard),
            read: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            gate: Gate::default(),
        }));
        tokio::spawn(sample(Arc::downgrade(&link.0)));
        link
    }

    /// Waits for a datagram, then appends it and those that came with it to `into`, a bounded number. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn recv_many(&self, into: &mut Vec<Bytes>) -> Result<(), PathClosed> {
        into.push(self.0.connection.read_datagram().await?);
        let arrived = self.0.connection.stats().frame_rx.datagram;
        let mut taken = 1;
        let drained = loop {
            if taken == RECEIVE_BATCH {
                break false;
            }
            match self.0.connection.read_datagram().now_or_never() {
                Some(Ok(datagram)) => into.push(datagram),
                // What came before the end is still good; the next call tells about the end.
                Some(Err(_)) | None => break true,
            }
            taken += 1;
        };
        let read = self.0.read.fetch_add(taken as u64, Ordering::Relaxed) + taken as u64;
        if drained {
            // All that had arrived then has been read by now, or will never be.
            let missed = arrived.saturating_sub(read);
            self.0.missed.fetch_max(missed, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sends a datagram if there is room for it now.
    ///
    /// # Errors
    /// No room (wait with [`Link::send_wait`]), larger than [`Link::budget`], or the connection has ended.
    pub fn try_send(&self, datagram: Bytes) -> Result<(), TrySendError> {
        if self.0.gate.is_held() {
            return Err(TrySendError::Full(datagram));
        }
        match self
            .0
            .connection
            .send_datagram_wait(datagram.clone())
            .now_or_never()
        {
            Some(Ok(())) => Ok(()),
            None => Err(TrySendError::Full(datagram)),
            Some(Err(error)) => Err(self.send_error(error, datagram)),
        }
    }

    /// Sends a datagram as soon as there is room for it. Not cancel-safe: a dropped call may lose its datagram.
    ///
    /// # Errors
    /// As [`Link::try_send`], but never [`TrySendError::Full`].
    pub async fn send_wait(&self, datagram: Bytes) -> Result<(), TrySendError> {
        loop {
            tokio::select! {
                () = self.0.gate.opened() => {}
                error = self.0.connection.closed() => return Err(PathClosed::from(error).into()),
            }
            // Somebody may hold the gate again before this task runs: ask anew, but never send past it.
            if !self.0.gate.is_held() {
                break;
            }
        }
        match self.0.connection.send_datagram_wait(datagram.clone()).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.send_error(error, datagram)),
        }
    }

    /// Bytes that [`Link::try_send`] would take now.
    pub fn send_space(&self) -> usize {
        if self.0.gate.is_held() {
            return 0;
        }
        self.0.connection.datagram_send_buffer_space()
    }

    /// The largest datagram that the path carries now, as known a quarter of a second ago.
    pub fn budget(&self) -> u16 {
        *self.0.budget.borrow()
    }

    /// Tells of every change of [`Link::budget`].
    pub fn budget_changes(&self) -> watch::Receiver<u16> {
        self.0.budget.subscribe()
    }

    /// The smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.0.connection.rtt()
    }

    /// When the last packet came, to a quarter of a second. The dialling side asks for one every two seconds.
    pub fn last_received(&self) -> Instant {
        self.0.hear(Instant::now())
    }

    pub fn stats(&self) -> PathStats {
        let stats = self.0.connection.stats();
        PathStats {
            rtt: stats.path.rtt,
            mtu: stats.path.current_mtu,
            congestion_window: stats.path.cwnd,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            congestion_events: stats.path.congestion_events,
            black_holes: stats.path.black_holes_detected,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            sent_datagrams: stats.frame_tx.datagram,
            received_datagrams: stats.frame_rx.datagram,
            missed_datagrams: self.0.missed.load(Ordering::Relaxed),
        }
    }

    /// The address that the other side has now; it changes when it roams.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.connection.remote_address()
    }

    /// The dialling side's own address, if it is known.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.endpoint.as_ref()?.local_addr().ok()
    }

    /// Moves the dialling side to another socket; the connection goes on (RFC 9000, section 9).
    ///
    /// # Errors
    /// The socket cannot be used, or this is the relay's side.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let Some(endpoint) = &self.0.endpoint else {
            return Err(io::Error::other(
                "only the dialling side of a connection can move",
            ));
        };
        endpoint.rebind(socket)
    }

    /// Ends the connection; the other side reads `reason`. Nothing that is still queued is sent.
    pub fn close(&self, reason: LeaveReason) {
        let text = serde_json::to_vec(&reason).unwrap_or_default();
        self.0.connection.close(VarInt::from_u32(0), &text);
    }

    /// As [`Link::close`], and gives the dialling side's endpoint a moment to get it out before the process ends.
    pub async fn shutdown(&self, reason: LeaveReason) {
        self.close(reason);
        if let Some(endpoint) = &self.0.endpoint {
            // A peer that does not answer must not hold the process back.
            let _ = tokio::time::timeout(CLOSING, endpoint.wait_idle()).await;
        }
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> PathClosed {
        self.0.connection.closed().await.into()
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<PathClosed> {
        self.0.connection.close_reason().map(PathClosed::from)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Holds datagrams back while the guard lives.
    pub(crate) fn hold(&self) -> Hold<'_> {
        self.0.gate.held.fetch_add(1, Ordering::AcqRel);
        Hold(&self.0.gate)
    }

    fn send_error(&self, error: SendDatagramError, datagram: Bytes) -> TrySendError {
        match error {
            SendDatagramError::TooLarge => {
                self.0.look_up_budget();
                TrySendError::TooLarge(datagram)
            }
            SendDatagramError::ConnectionLost(error) => PathClosed::from(error).into(),
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => {
                PathClosed::Failed(error.to_string()).into()
            }
        }
    }
}

impl Shared {
    fn look_up_budget(&self) {
        let budget = datagram_budget(&self.connection);
        self.budget
            .send_if_modified(|known| std::mem::replace(known, budget) != budget);
    }

    fn hear(&self, now: Instant) -> Instant {
        let packets = self.connection.stats().udp_rx.datagrams;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.packets != packets {
            *heard = Heard { packets, at: now };
        }
        heard.at
    }
}

/// Keeps budget and sign of life fresh until the connection is gone.
async fn sample(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SAMPLE_INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.connection.close_reason().is_some() {
            return;
        }
        shared.look_up_budget();
        shared.hear(Instant::now());
    }
}

/// 0 if the peer takes no datagrams.
fn datagram_budget(connection: &Connection) -> u16 {
    let bytes = connection.max_datagram_size().unwrap_or(0);
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// Closed while somebody sends a control message.
#[derive(Default)]
struct Gate {
    held: AtomicUsize,
    released: Notify,
}

impl Gate {
    fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    async fn opened(&self) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.is_held() {
                return;
            }
            released.await;
        }
    }
}

/// Opens the gate again when it is dropped.
pub(crate) struct Hold<'a>(&'a Gate);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.released.notify_waiters();
        }
    }
}

impl From<ConnectionError> for PathClosed {
    fn from(error: ConnectionError) -> PathClosed {
        match error {
            ConnectionError::Reset => PathClosed::Reset,
            ConnectionError::TimedOut => PathClosed::TimedOut,
            ConnectionError::LocallyClosed => PathClosed::Local,
            ConnectionError::ApplicationClosed(close) => {
                PathClosed::Peer(serde_json::from_slice(&close.reason).unwrap_or(LeaveReason::Unknown))
            }
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::CidsExhausted => PathClosed::Failed(error.to_string()),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("remote", &self.remote_address())
            .field("budget", &self.budget())
            .finish()
    }
}
