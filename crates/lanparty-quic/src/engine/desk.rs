//! Where handles and engine meet: each connection's mailbox, each engine's desk, and the door of a listener.
//!
//! The locks here are held for a few moves of memory and never while frames are carried; an engine takes one of a mailbox once
//! for each batch of a connection.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use lanparty_wire::LeaveReason;
use parking_lot::Mutex;
use quinn_proto::ConnectionError;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, oneshot, watch};

use super::{LinkId, SegmentationOffload, socket::Socket};
use crate::{Link, PathStats};

/// What handles want of an engine.
#[derive(Debug)]
pub(crate) struct Desk {
    wishes: Mutex<Wishes>,
    /// Saves the engine a lock when nobody wants anything.
    waiting: AtomicBool,
    woken: Notify,
    /// Connections, those that are closing included.
    pub connections: AtomicUsize,
    /// Told when a connection is gone for good.
    pub emptied: Notify,
    pub address: Mutex<SocketAddr>,
    /// For sockets that the engine moves to.
    pub offload: SegmentationOffload,
}

#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub commands: Vec<Command>,
    /// Connections whose mailbox has something for the engine.
    pub links: HashSet<LinkId>,
}

/// What an engine is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Accept(
        Box<quinn_proto::Incoming>,
        oneshot::Sender<Result<Link, ConnectionError>>,
    ),
    Retry(Box<quinn_proto::Incoming>),
    Ignore(Box<quinn_proto::Incoming>),
    Rebind(Socket),
    /// Close every connection, and let nobody in any more.
    Close(LeaveReason),
}

impl Desk {
    pub(crate) fn new(address: SocketAddr, offload: SegmentationOffload) -> Desk {
        Desk {
            wishes: Mutex::default(),
            waiting: AtomicBool::new(false),
            woken: Notify::new(),
            connections: AtomicUsize::new(0),
            emptied: Notify::new(),
            address: Mutex::new(address),
            offload,
        }
    }

    pub(crate) fn command(&self, command: Command) {
        self.wishes.lock().commands.push(command);
        self.wake();
    }

    /// The engine is to look into the mailbox of `link`.
    pub(crate) fn ring(&self, link: LinkId) {
        if self.wishes.lock().links.insert(link) {
            self.wake();
        }
    }

    /// What was wished since the last call.
    pub(crate) fn take(&self) -> Option<Wishes> {
        self.waiting
            .swap(false, Ordering::AcqRel)
            .then(|| std::mem::take(&mut *self.wishes.lock()))
    }

    /// Waits for a wish. Cancel-safe.
    pub(crate) async fn wanted(&self) {
        while !self.waiting.load(Ordering::Acquire) {
            self.woken.notified().await;
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Waits until there is no connection any more.
    pub(crate) async fn idle(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn wake(&self) {
        self.waiting.store(true, Ordering::Release);
        self.woken.notify_one();
    }
}

/// Those who knock at a listener, and wait to be let in.
#[derive(Debug, Default)]
pub(crate) struct Door {
    pub state: Mutex<Knocking>,
    pub knocked: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Knocking {
    pub waiting: VecDeque<(Arc<Desk>, Box<quinn_proto::Incoming>)>,
    pub closed: bool,
}

/// What a connection's handles and its engine tell each other.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub state: Mutex<Letters>,
    /// Told when something in the engine's part of [`Letters`] has changed that somebody may wait for.
    pub changed: Notify,
    pub budget: watch::Sender<u16>,
}

#[derive(Debug)]
pub(crate) struct Letters {
    // From the handles.
    pub outgoing: Vec<Bytes>,
    /// Bytes of control messages that were ever posted.
    pub posted: u64,
    pub finish: bool,
    pub close: Option<LeaveReason>,
    // From the engine.
    /// Bytes of control messages that QUIC has taken.
    pub taken: u64,
    /// The other side has everything up to the end of our stream, or will not read it.
    pub finished: bool,
    pub incoming: BytesMut,
    /// The engine has stopped to read because nobody takes what came.
    pub full: bool,
    /// The other side has ended its stream.
    pub ended: bool,
    pub connected: bool,
    /// There is a control stream.
    pub opened: bool,
    pub identity: Option<Vec<CertificateDer<'static>>>,
    pub closed: Option<ConnectionError>,
    /// Nothing is left to do for it, not even to answer late packets.
    pub drained: bool,
    pub remote: SocketAddr,
    pub heard: Instant,
    pub stats: PathStats,
}

impl Mailbox {
    pub(crate) fn new(remote: SocketAddr, now: Instant) -> Mailbox {
        Mailbox {
            state: Mutex::new(Letters {
                outgoing: Vec::new(),
                posted: 0,
                finish: false,
                close: None,
                taken: 0,
                finished: false,
                incoming: BytesMut::new(),
                full: false,
                ended: false,
                connected: false,
                opened: false,
                identity: None,
                closed: None,
                drained: false,
                remote,
                heard: now,
                stats: PathStats::default(),
            }),
            changed: Notify::new(),
            budget: watch::Sender::new(0),
        }
    }

    /// Waits until `look` finds what it wants. Cancel-safe as far as `look` is.
    pub(crate) async fn wait<T>(&self, mut look: impl FnMut(&mut Letters) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From now on a change wakes us, so that none is missed between the look and the wait.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state.lock()) {
                return found;
            }
            changed.await;
        }
    }
}
