//! The loops that carry datagrams: one thread for each socket.
//!
//! A shard is a socket with its QUIC engine and the members whose connections were made there. One thread drives it, with a
//! runtime of its own, so that a packet wakes nobody but its loop, and no handshake, control message or report of the other
//! tasks stands before a frame. Everybody else leaves what he wants in the shard's inbox: members that come and go, members that
//! have got something to send, and packets that came in at another socket because their sender has roamed.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use lanparty_quic::{Engine, LinkId, Packet};
use parking_lot::Mutex;
use tokio::{
    runtime::Runtime,
    sync::{Notify, oneshot},
    time::sleep_until,
};

use crate::{
    forward::{Forwarder, Place},
    relay::Relay,
};

/// Packets that wait to be handed to their shard. A client that has roamed sends through another socket for as long as it stays
/// where it is, so this is a way for game traffic and not only for its first packet.
const MAX_STRAYS: usize = 4096;

/// What others want of a shard.
#[derive(Debug, Default)]
pub struct Inbox {
    mail: Mutex<Mail>,
    /// Saves the shard a lock, and the others a wake-up.
    waiting: AtomicBool,
    woken: Notify,
    /// Packets that came in elsewhere and were handed over here, and those that found no room.
    pub handed_over: AtomicU64,
    pub not_handed_over: AtomicU64,
}

#[derive(Debug, Default)]
struct Mail {
    places: Vec<Place>,
    gone: Vec<LinkId>,
    wanting: Vec<LinkId>,
    strays: Vec<Packet>,
    stop: bool,
}

impl Inbox {
    pub fn enter(&self, place: Place) {
        self.mail.lock().places.push(place);
        self.wake();
    }

    pub fn leave(&self, link: LinkId) {
        self.mail.lock().gone.push(link);
        self.wake();
    }

    /// Ends the loop.
    pub fn stop(&self) {
        self.mail.lock().stop = true;
        self.wake();
    }

    fn want(&self, links: &mut Vec<LinkId>) {
        self.mail.lock().wanting.append(links);
        self.wake();
    }

    fn hand_over(&self, packet: Packet) {
        let mut mail = self.mail.lock();
        let counter = if mail.strays.len() < MAX_STRAYS {
            mail.strays.push(packet);
            &self.handed_over
        } else {
            &self.not_handed_over
        };
        drop(mail);
        counter.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if !self.waiting.swap(true, Ordering::AcqRel) {
            self.woken.notify_one();
        }
    }

    /// Cancel-safe.
    async fn wanted(&self) {
        while !self.waiting.load(Ordering::Acquire) {
            self.woken.notified().await;
        }
    }

    /// Swaps what has come with `mail`, which is empty.
    fn take(&self, mail: &mut Mail) {
        if self.waiting.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut *self.mail.lock(), mail);
        }
    }
}

/// The running loops.
#[derive(Debug)]
pub struct Threads(Vec<Thread>);

#[derive(Debug)]
struct Thread {
    join: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Threads {
    /// Starts the loop of every shard. Not to be called on a runtime.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(relay: &Arc<Relay>, shards: Vec<(Engine, Runtime)>) -> io::Result<Threads> {
        let start = |(number, (engine, runtime)): (usize, (Engine, Runtime))| {
            let (end, ended) = oneshot::channel();
            let shard = Shard {
                number,
                engine,
                forwarder: Forwarder::new(relay.clone(), number),
                relay: relay.clone(),
                mail: Mail::default(),
            };
            let run = move || {
                runtime.block_on(shard.run());
                // Nobody listens any more once the relay stops.
                let _ = end.send(());
            };
            let thread = std::thread::Builder::new().name(format!("shard-{number}"));
            Ok(Thread {
                join: thread.spawn(run)?,
                ended,
            })
        };
        shards
            .into_iter()
            .enumerate()
            .map(start)
            .collect::<io::Result<_>>()
            .map(Threads)
    }

    /// Waits until one of the loops has ended, which none does by itself. Cancel-safe.
    pub async fn ended(&mut self) {
        let each = self.0.iter_mut().map(|thread| &mut thread.ended);
        let mut each: Vec<_> = each.collect();
        std::future::poll_fn(|context| {
            let ended = |ended: &mut &mut oneshot::Receiver<()>| {
                std::pin::Pin::new(&mut **ended).poll(context).is_ready()
            };
            match each.iter_mut().any(ended) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }

    /// Ends the loops. False if one had failed.
    pub fn stop(self, inboxes: &[Inbox]) -> bool {
        inboxes.iter().for_each(Inbox::stop);
        let ends: Vec<bool> = self
            .0
            .into_iter()
            .map(|thread| thread.join.join().is_ok())
            .collect();
        ends.into_iter().all(|well| well)
    }
}

struct Shard {
    number: usize,
    engine: Engine,
    forwarder: Forwarder,
    relay: Arc<Relay>,
    /// Empty between rounds; keeps its memory.
    mail: Mail,
}

impl Shard {
    async fn run(mut self) {
        loop {
            let copies = self.forwarder.next_copy();
            let copy_due = async {
                match copies {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            let has_packets = tokio::select! {
                biased;
                () = self.engine.ready() => true,
                () = self.relay.shards[self.number].wanted() => false,
                () = copy_due => false,
            };
            let now = Instant::now();
            self.forwarder.wake_copies(now);
            let has_strays = self.take_mail(now);
            if std::mem::take(&mut self.mail.stop) {
                return;
            }
            if has_packets || has_strays {
                self.engine.drive(now, &mut self.forwarder);
            } else {
                self.engine.transmit(now, &mut self.forwarder);
            }
            self.tell_others();
        }
    }

    /// True if packets were handed over.
    fn take_mail(&mut self, now: Instant) -> bool {
        self.relay.shards[self.number].take(&mut self.mail);
        // First those that go: a place may be free and taken again.
        self.mail
            .gone
            .drain(..)
            .for_each(|link| self.forwarder.leave(link));
        for place in self.mail.places.drain(..) {
            self.forwarder.enter(place);
        }
        self.forwarder.wake(&mut self.mail.wanting);
        let has_strays = !self.mail.strays.is_empty();
        for packet in self.mail.strays.drain(..) {
            self.engine.inject(now, packet);
        }
        has_strays
    }

    fn tell_others(&mut self) {
        for (shard, packet) in self.engine.strays() {
            if let Some(inbox) = self.relay.shards.get(shard) {
                inbox.hand_over(packet);
            }
        }
        for (shard, links) in self.forwarder.elsewhere() {
            self.relay.shards[shard].want(links);
        }
    }
}
