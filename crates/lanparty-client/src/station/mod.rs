//! An adapter that exists in memory only, with a small host at its cable.
//!
//! With `--adapter memory` nothing of this machine is changed and no rights are needed: the host takes an address from the party's DHCP
//! server, answers when it is asked who it is, and answers pings. So a room can be tried from a machine that cannot or should not have an
//! adapter, and whoever is at the party can see by a ping how the line is. Games see nothing of it.
//!
//! [`Station`] decides and does no I/O; [`plug_in`] runs it at one end of a cable in memory.

mod packets;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lanparty_os::{
    device::{
        Batch, Device, FrameSink, FrameSource, Medium, OutBatch,
        memory::{MemoryDevice, pair},
    },
    dhcp::{DhcpEvent, Lease},
};
use lanparty_wire::{Frame, Mac};
use packets::{Offer, Question, Reply, Said};
use tokio::sync::{Notify, mpsc};

/// Frames that the cable holds: a burst while the station is not scheduled.
const CABLE: usize = 256;
/// Events that wait for the session.
const EVENTS: usize = 16;
/// Between two questions that nobody answers: the first, doubled up to the last (RFC 2131, section 4.1).
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));

/// The session's hand on the station.
#[derive(Clone)]
pub struct Plug {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connected: AtomicBool,
    /// Somebody wants the server to be asked anew.
    asked: AtomicBool,
    notify: Notify,
}

impl Plug {
    /// The station begins to speak, as a host does when its cable is plugged in.
    pub fn connect(&self) {
        self.shared.connected.store(true, Ordering::Release);
        self.shared.notify.notify_one();
    }

    /// Asks the server anew.
    pub fn renew(&self) {
        self.shared.asked.store(true, Ordering::Release);
        self.shared.notify.notify_one();
    }
}

/// The adapter, the hand on its host, and what the host is given. Must be called within a tokio runtime; the host goes with the adapter.
pub fn plug_in(mac: Mac, transaction: u32) -> (MemoryDevice, Plug, mpsc::Receiver<DhcpEvent>) {
    let (adapter, cable) = pair(Medium::Ethernet, CABLE);
    let (events, receiver) = mpsc::channel(EVENTS);
    let plug = Plug {
        shared: Arc::default(),
    };
    tokio::spawn(live(
        Station::new(mac, transaction, Instant::now()),
        cable,
        plug.shared.clone(),
        events,
    ));
    (adapter, plug, receiver)
}

async fn live(
    mut station: Station,
    cable: MemoryDevice,
    shared: Arc<Shared>,
    events: mpsc::Sender<DhcpEvent>,
) {
    let (mut source, mut sink) = cable.split();
    let (mut batch, mut out) = (Batch::new(), OutBatch::new());
    loop {
        let now = Instant::now();
        if shared.connected.load(Ordering::Acquire) {
            if shared.asked.swap(false, Ordering::AcqRel) {
                station.ask_again(now);
            }
            station.handle_timeout(now);
        }
        for frame in station.frames.drain(..) {
            // It is bounded, and the station never has many.
            let _ = out.push(Frame::plain(&frame));
        }
        if !out.is_empty() && sink.send(&mut out).await.is_err() {
            return;
        }
        for event in station.events.drain(..) {
            // Nobody need listen.
            let _ = events.try_send(event);
        }
        let due = station.due.saturating_duration_since(Instant::now());
        tokio::select! {
            received = source.recv(&mut batch) => {
                if received.is_err() {
                    return;
                }
                let now = Instant::now();
                for frame in batch.iter() {
                    station.handle(now, frame.bytes);
                }
            }
            () = tokio::time::sleep(due), if shared.connected.load(Ordering::Acquire) => {}
            () = shared.notify.notified() => {}
        }
    }
}

/// The host at the cable.
struct Station {
    mac: Mac,
    transaction: u32,
    state: State,
    /// When something is to be done next.
    due: Instant,
    patience: Duration,
    frames: Vec<Vec<u8>>,
    events: Vec<DhcpEvent>,
}

enum State {
    Looking,
    /// An offer is taken, and not confirmed yet.
    Taking,
    Bound {
        offer: Offer,
        until: Instant,
    },
}

impl Station {
    fn new(mac: Mac, transaction: u32, now: Instant) -> Station {
        Station {
            mac,
            transaction,
            state: State::Looking,
            due: now,
            patience: PATIENCE.0,
            frames: Vec::new(),
            events: Vec::new(),
        }
    }

    fn address(&self) -> Option<Ipv4Addr> {
        match &self.state {
            State::Bound { offer, .. } => v4(offer),
            State::Looking | State::Taking => None,
        }
    }

    /// The server is asked at once, about the address that we have or for one.
    fn ask_again(&mut self, now: Instant) {
        (self.due, self.patience) = (now, PATIENCE.0);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        let question = match &self.state {
            State::Looking => Question::Discover,
            // The server has gone.
            State::Taking => {
                self.state = State::Looking;
                Question::Discover
            }
            State::Bound { until, .. } if *until <= now => {
                self.state = State::Looking;
                self.events.push(DhcpEvent::Deconfig);
                Question::Discover
            }
            State::Bound { offer, .. } => match v4(offer) {
                Some(address) => Question::Renew { address },
                None => Question::Discover,
            },
        };
        self.ask(now, question);
    }

    fn ask(&mut self, now: Instant, question: Question) {
        self.frames
            .push(packets::dhcp(self.mac, self.transaction, question));
        self.due = match self.state {
            State::Bound { until, .. } => until.min(now + self.patience),
            State::Looking | State::Taking => now + self.patience,
        };
        self.patience = (self.patience * 2).min(PATIENCE.1);
    }

    fn handle(&mut self, now: Instant, frame: &[u8]) {
        match packets::read(frame, self.mac, self.transaction) {
            Some(Said::WhoHas { asker, from, address }) if self.address() == Some(address) => {
                self.frames
                    .push(packets::here_i_am(self.mac, address, asker, from));
            }
            Some(Said::Ping {
                asker,
                from,
                to,
                rest,
            }) if self.address() == Some(to) => {
                self.frames.push(packets::pong(self.mac, to, asker, from, rest));
            }
            Some(Said::Dhcp(reply)) => self.handle_reply(now, reply),
            Some(Said::WhoHas { .. } | Said::Ping { .. }) | None => {}
        }
    }

    fn handle_reply(&mut self, now: Instant, reply: Reply) {
        match (reply, &self.state) {
            (Reply::Offer(offer), State::Looking) => {
                let Some(address) = v4(&offer) else { return };
                let server = offer.server;
                self.state = State::Taking;
                self.patience = PATIENCE.0;
                self.ask(now, Question::Request { address, server });
            }
            (Reply::Ack(offer), State::Taking) => self.bind(now, offer, DhcpEvent::Bound),
            (Reply::Ack(offer), State::Bound { .. }) => self.bind(now, offer, DhcpEvent::Renewed),
            (Reply::Nak, State::Taking | State::Bound { .. }) => {
                self.state = State::Looking;
                self.events.push(DhcpEvent::Deconfig);
                self.ask_again(now);
            }
            (Reply::Offer(_), _) | (Reply::Ack(_) | Reply::Nak, State::Looking) => {}
        }
    }

    fn bind(&mut self, now: Instant, offer: Offer, event: impl FnOnce(Lease) -> DhcpEvent) {
        if let Some(address) = v4(&offer) {
            self.frames.push(packets::announcement(self.mac, address));
        }
        self.events.push(event(Lease {
            address: offer.address,
            seconds: offer.seconds,
            server: Some(offer.server),
            routers: offer.routers.clone(),
            dns: offer.dns.clone(),
        }));
        let lease = Duration::from_secs(offer.seconds.into());
        // Half of it has to pass (RFC 2131, section 4.4.5).
        (self.due, self.patience) = (now + lease / 2, PATIENCE.0);
        self.state = State::Bound {
            offer,
            until: now + lease,
        };
    }
}

fn v4(offer: &Offer) -> Option<Ipv4Addr> {
    match offer.address.address() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests;
