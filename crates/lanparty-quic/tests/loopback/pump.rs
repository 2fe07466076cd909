//! Drives an engine in a task of its own, for tests that wait for single datagrams.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_quic::{Engine, LinkId, Traffic};
use tokio::sync::{Notify, mpsc};

/// Datagrams that wait before [`Wire::send`] does.
const WAITING: usize = 64;

/// The task ends with its runtime.
#[derive(Clone)]
pub struct Pump {
    queues: Arc<Mutex<Queues>>,
    to: mpsc::Sender<(LinkId, Bytes)>,
    arrived: Arc<Notify>,
}

/// One connection's datagrams.
#[derive(Clone)]
pub struct Wire {
    pump: Pump,
    link: LinkId,
}

type Queues = HashMap<LinkId, VecDeque<Bytes>>;

struct Channels {
    outgoing: HashMap<LinkId, VecDeque<Bytes>>,
    incoming: Arc<Mutex<Queues>>,
    arrived: Arc<Notify>,
}

impl Pump {
    pub fn new(engine: Engine) -> Pump {
        let (to, from) = mpsc::channel(WAITING);
        let pump = Pump {
            queues: Arc::default(),
            to,
            arrived: Arc::default(),
        };
        let channels = Channels {
            outgoing: HashMap::new(),
            incoming: pump.queues.clone(),
            arrived: pump.arrived.clone(),
        };
        tokio::spawn(run(engine, channels, from));
        pump
    }

    pub fn wire(&self, link: LinkId) -> Wire {
        Wire {
            pump: self.clone(),
            link,
        }
    }
}

impl Wire {
    pub async fn send(&self, datagram: Bytes) {
        self.pump.to.send((self.link, datagram)).await.unwrap();
    }

    /// The next datagram, which has to come soon.
    pub async fn receive(&self) -> Bytes {
        tokio::time::timeout(Duration::from_secs(5), self.next())
            .await
            .unwrap()
    }

    pub async fn next(&self) -> Bytes {
        loop {
            let arrived = self.pump.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let waiting = self
                .pump
                .queues
                .lock()
                .unwrap()
                .get_mut(&self.link)
                .and_then(VecDeque::pop_front);
            if let Some(datagram) = waiting {
                return datagram;
            }
            arrived.await;
        }
    }
}

async fn run(mut engine: Engine, mut channels: Channels, mut from: mpsc::Receiver<(LinkId, Bytes)>) {
    loop {
        let waiting: usize = channels.outgoing.values().map(VecDeque::len).sum();
        tokio::select! {
            () = engine.ready() => {}
            Some((link, datagram)) = from.recv(), if waiting < WAITING => {
                channels.outgoing.entry(link).or_default().push_back(datagram);
            }
        }
        engine.drive(Instant::now(), &mut channels);
    }
}

impl Traffic for Channels {
    fn received(&mut self, _now: Instant, link: LinkId, datagram: Bytes) {
        self.incoming
            .lock()
            .unwrap()
            .entry(link)
            .or_default()
            .push_back(datagram);
        self.arrived.notify_waiters();
    }

    fn next(&mut self, _now: Instant, link: LinkId, _budget: u16) -> Option<Bytes> {
        self.outgoing.get_mut(&link)?.pop_front()
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        links.extend(
            self.outgoing
                .iter()
                .filter(|(_, queue)| !queue.is_empty())
                .map(|(link, _)| *link),
        );
    }
}
