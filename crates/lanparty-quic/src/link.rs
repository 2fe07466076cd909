//! One connection as its users see it, on whatever task they are: what is known about the path, and its end.
//!
//! Its datagrams go another way, straight between the engine that owns it and that engine's [`crate::Traffic`].

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use lanparty_wire::LeaveReason;
use quinn_proto::ConnectionError;
use tokio::sync::watch;

use crate::engine::{
    LinkId,
    desk::{Command, Desk, Mailbox},
    socket::Socket,
};

/// How long a closing connection may take to say goodbye.
const CLOSING: Duration = Duration::from_millis(300);

/// A QUIC connection's state. Cheap to clone; the connection closes with its last handle. What it is told to do is done when its
/// [`crate::Engine`] is driven next.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    id: LinkId,
    mailbox: Arc<Mailbox>,
    desk: Arc<Desk>,
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
    /// Those among them that the other side has to acknowledge (RFC 9002, section 2), give or take a few: of no others a loss is
    /// noticed. Who only receives sends thousands of the others.
    pub eliciting_packets: u64,
    pub lost_packets: u64,
    pub congestion_events: u64,
    pub black_holes: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_datagrams: u64,
    pub received_datagrams: u64,
    /// Dropped because they were larger than the path's budget.
    pub oversized_datagrams: u64,
}

impl Link {
    pub(crate) fn new(id: LinkId, mailbox: Arc<Mailbox>, desk: Arc<Desk>) -> Link {
        Link(Arc::new(Shared { id, mailbox, desk }))
    }

    /// What [`crate::Traffic`] calls this connection.
    pub fn id(&self) -> LinkId {
        self.0.id
    }

    /// The largest datagram that the path carries now.
    pub fn budget(&self) -> u16 {
        *self.0.mailbox.budget.borrow()
    }

    /// Tells of every change of [`Link::budget`].
    pub fn budget_changes(&self) -> watch::Receiver<u16> {
        self.0.mailbox.budget.subscribe()
    }

    /// The smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.stats().rtt
    }

    /// When the last packet came. The dialling side asks for one every two seconds.
    pub fn last_received(&self) -> Instant {
        self.0.mailbox.state.lock().heard
    }

    /// As they were when the engine last had to do with this connection; nothing changes in between.
    pub fn stats(&self) -> PathStats {
        self.0.mailbox.state.lock().stats
    }

    /// The address that the other side has now; it changes when it roams.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.mailbox.state.lock().remote
    }

    /// The address of our socket.
    pub fn local_address(&self) -> SocketAddr {
        *self.0.desk.address.lock()
    }

    /// Moves the dialling side to another socket; the connection goes on (RFC 9000, section 9). Needs a runtime.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let socket = Socket::new(socket, self.0.desk.offload)?;
        self.0.desk.command(Command::Rebind(socket));
        Ok(())
    }

    /// Ends the connection; the other side reads `reason`. Nothing that is still queued is sent.
    pub fn close(&self, reason: LeaveReason) {
        self.0.close(reason);
    }

    /// As [`Link::close`], and waits a moment until the other side has been told. Somebody else has to drive the engine.
    pub async fn shutdown(&self, reason: LeaveReason) {
        self.close(reason);
        let drained = self.0.mailbox.wait(|letters| letters.drained.then_some(()));
        // A peer that does not answer must not hold the process back.
        let _ = tokio::time::timeout(CLOSING, drained).await;
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> PathClosed {
        self.ended().await.into()
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<PathClosed> {
        self.0.mailbox.state.lock().closed.clone().map(PathClosed::from)
    }

    pub(crate) async fn ended(&self) -> ConnectionError {
        self.0.mailbox.wait(|letters| letters.closed.clone()).await
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.0.mailbox
    }

    /// Makes the engine look into the mailbox.
    pub(crate) fn ring(&self) {
        self.0.desk.ring(self.0.id);
    }
}

impl Shared {
    fn close(&self, reason: LeaveReason) {
        let mut letters = self.mailbox.state.lock();
        if letters.closed.is_some() {
            return;
        }
        letters.close.get_or_insert(reason);
        letters.closed = Some(ConnectionError::LocallyClosed);
        drop(letters);
        self.mailbox.changed.notify_waiters();
        self.desk.ring(self.id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(LeaveReason::Goodbye);
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
