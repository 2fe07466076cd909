//! Drives a member's path in a task of its own, for tests that block.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use lanparty_quic::{Engine, Link, LinkId, Traffic};
use tokio::sync::mpsc;

/// Datagrams that wait before their sender has to.
const WAITING: usize = 64;
/// Datagrams that are kept for a late reader; beyond that the oldest are lost.
const KEPT: usize = 65_536;

/// Where datagrams go out; a full one makes its sender wait, and it closes with the connection.
pub(crate) type Departures = mpsc::Sender<Bytes>;

/// What has come and was not read yet. Any thread may wait for it.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Arc<(Mutex<VecDeque<Bytes>>, Condvar)>);

impl Arrivals {
    /// Everything that has come and comes until then.
    pub fn until(&self, limit: Instant) -> Vec<Bytes> {
        let (datagrams, arrived) = &*self.0;
        let mut all = Vec::new();
        let mut waiting = datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            all.extend(waiting.drain(..));
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return all;
            }
            waiting = match arrived.wait_timeout(waiting, left) {
                Ok((waiting, _)) => waiting,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// The next one, unless none comes until then.
    pub fn next(&self, limit: Instant) -> Option<Bytes> {
        let (datagrams, arrived) = &*self.0;
        let waiting = datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        let left = limit.saturating_duration_since(Instant::now());
        match arrived.wait_timeout_while(waiting, left, |waiting| waiting.is_empty()) {
            Ok((mut waiting, _)) => waiting.pop_front(),
            Err(poisoned) => poisoned.into_inner().0.pop_front(),
        }
    }

    fn add(&self, datagram: Bytes) {
        let (datagrams, arrived) = &*self.0;
        let mut waiting = datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == KEPT {
            waiting.pop_front();
        }
        waiting.push_back(datagram);
        arrived.notify_all();
    }
}

/// Starts the task; it ends with the connection. Needs a runtime.
pub(crate) fn start(engine: Engine, link: &Link) -> (Departures, Arrivals) {
    let (departures, from) = mpsc::channel(WAITING);
    let arrivals = Arrivals::default();
    let queue = Queue {
        link: link.id(),
        waiting: VecDeque::new(),
        arrivals: arrivals.clone(),
    };
    tokio::spawn(run(engine, link.clone(), queue, from));
    (departures, arrivals)
}

async fn run(mut engine: Engine, link: Link, mut queue: Queue, mut from: mpsc::Receiver<Bytes>) {
    let mut over = false;
    while link.close_reason().is_none() {
        tokio::select! {
            () = engine.ready() => {}
            datagram = from.recv(), if !over && queue.waiting.len() < WAITING => match datagram {
                Some(datagram) => queue.waiting.push_back(datagram),
                None => over = true,
            },
        }
        engine.drive(Instant::now(), &mut queue);
    }
    // Whoever waits for room, or for the other side to be told, goes on.
    drop(from);
    engine.wind_up(std::time::Duration::from_secs(1)).await;
}

struct Queue {
    link: LinkId,
    waiting: VecDeque<Bytes>,
    arrivals: Arrivals,
}

impl Traffic for Queue {
    fn received(&mut self, _now: Instant, _link: LinkId, datagram: Bytes) {
        self.arrivals.add(datagram);
    }

    fn next(&mut self, _now: Instant, _link: LinkId, _budget: u16) -> Option<Bytes> {
        self.waiting.pop_front()
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        if !self.waiting.is_empty() {
            links.push(self.link);
        }
    }
}
