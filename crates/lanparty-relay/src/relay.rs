//! The running relay: the door, the tasks that keep books, and the end.

use std::{
    future::pending,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lanparty_api::{
    Program, Status,
    cli::{ExitCode, Failure},
    serve_status, socket_path,
    status::Handshakes,
};
use lanparty_core::{
    redundancy::Mode,
    relay::{IngressConfig, LookupRefusal, RoomLimits},
};
use lanparty_quic::{AcceptError, Inbound, Incoming, LinkId, Listener, Pin};
use lanparty_wire::{LeaveReason, RejectReason};
use parking_lot::Mutex;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{sleep, sleep_until},
};

use crate::{
    acme::{self, Acme},
    door::{Answer, Door},
    forward::Place,
    line_limit::LineLimit,
    member,
    memory::{Memory, unix_now},
    registry::Registry,
    report,
    shard::{Inbox, Threads},
    tokens::Tokens,
};

/// A client on a bad line needs a few round trips; one that needs longer begins again.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Joins that come together are written together.
const SAVE_DELAY: Duration = Duration::from_millis(20);
/// How long members have to hear that the relay stops.
const STOPPING: Duration = Duration::from_millis(700);

/// What a relay was told.
#[derive(Debug)]
pub struct Plan {
    pub room_limits: RoomLimits,
    pub ingress: IngressConfig,
    /// When urgent datagrams are sent twice.
    pub redundancy: Mode,
    pub state_dir: PathBuf,
    pub pin: Pin,
    /// Whether only those who have a token may open rooms.
    pub require_token: bool,
}

/// What all tasks share.
#[derive(Debug)]
pub struct Relay {
    pub plan: Plan,
    pub registry: Registry,
    pub tokens: Tokens,
    pub listener: Listener,
    /// By the numbers of the listener's engines.
    pub shards: Box<[Inbox]>,
    pub knocks: Knocks,
    pub lines: LineLimit,
    /// Datagrams that were still queued for members when their connections ended.
    pub unsent: AtomicU64,
    /// Datagrams of those who were not in a room.
    pub strange: AtomicU64,
    /// What is wrong now, in one sentence for the operator.
    pub problem: Mutex<Option<String>>,
    stopping: AtomicBool,
}

/// What became of those who knocked.
#[derive(Debug, Default)]
pub struct Knocks {
    under_way: AtomicUsize,
    accepted: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Knocks {
    pub fn totals(&self) -> Handshakes {
        Handshakes {
            accepted: self.accepted.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

impl Relay {
    pub fn new(listener: Listener, shards: usize, plan: Plan, memory: &mut Memory) -> Relay {
        Relay {
            registry: Registry::new(plan.room_limits, memory.take(), unix_now()),
            tokens: Tokens::new(&plan.state_dir),
            plan,
            listener,
            shards: (0..shards).map(|_| Inbox::default()).collect(),
            knocks: Knocks::default(),
            lines: LineLimit::default(),
            unsent: AtomicU64::new(0),
            strange: AtomicU64::new(0),
            problem: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Gives a member its place in the loop of its shard.
    pub fn enter(&self, place: Place) {
        if let Some(shard) = self.shards.get(place.link.engine()) {
            shard.enter(place);
        }
    }

    pub fn leave(&self, link: LinkId) {
        if let Some(shard) = self.shards.get(link.engine()) {
            shard.leave(link);
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Serves until somebody wants it to stop.
///
/// # Errors
/// The status socket cannot be opened, signals cannot be had, or a loop has failed.
pub async fn run(
    relay: Arc<Relay>,
    mut threads: Threads,
    memory: Memory,
    acme: Option<Acme>,
) -> Result<(), Failure> {
    let host = |error| Failure::new(ExitCode::Host, error);
    let (status, statuses) = watch::channel(Status::new(Program::Relay));
    report::publish(&relay, &status);
    let socket = socket_path(&relay.plan.state_dir, Program::Relay);
    let _server = serve_status(&socket, statuses).map_err(|error| Failure::new(ExitCode::Host, error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(host)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(host)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(host)?;
    let memory = Arc::new(memory);
    let keeper = tokio::spawn(keep_table(relay.clone(), memory.clone()));
    let reporter = tokio::spawn(report::run(relay.clone(), status));
    let leases = tokio::spawn(pass_leases(relay.clone()));
    let certifier = acme.map(|acme| tokio::spawn(acme::run(relay.clone(), acme)));
    tokio::select! {
        () = open_door(&relay) => {}
        () = threads.ended() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    stop(&relay).await;
    keeper.abort();
    reporter.abort();
    leases.abort();
    if let Some(certifier) = certifier {
        certifier.abort();
    }
    save(&relay, &memory).await;
    if !threads.stop(&relay.shards) {
        let text = "a thread that carries datagrams has failed; the log says why";
        return Err(Failure::new(ExitCode::Unexpected, text.to_owned()));
    }
    Ok(())
}

/// Answers everybody who knocks. Nothing here waits for anybody.
async fn open_door(relay: &Arc<Relay>) {
    let mut door = Door::new(Instant::now());
    while let Some(incoming) = relay.listener.knock().await {
        let address = incoming.remote_address().ip();
        let under_way = relay.knocks.under_way.load(Ordering::Relaxed);
        let proven = incoming.remote_address_validated();
        match door.answer(Instant::now(), address, proven, under_way) {
            Answer::Accept => greet(relay.clone(), incoming),
            Answer::Retry => match incoming.retry() {
                Ok(()) => count(&relay.knocks.retried),
                Err(incoming) => {
                    incoming.ignore();
                    count(&relay.knocks.refused);
                }
            },
            Answer::Ignore => {
                incoming.ignore();
                count(&relay.knocks.refused);
            }
        }
    }
}

fn greet(relay: Arc<Relay>, incoming: Incoming) {
    relay.knocks.under_way.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let remote = incoming.remote_address();
        let look_up = |remote: SocketAddr, number| {
            let found = relay.registry.look_up(unix_now(), remote.ip(), number);
            found.map_err(|refusal| match refusal {
                LookupRefusal::Unknown => RejectReason::UnknownCode,
                LookupRefusal::TooMany => RejectReason::TooManyConnections,
            })
        };
        let outcome = Inbound::accept(incoming, HANDSHAKE, look_up).await;
        relay.knocks.under_way.fetch_sub(1, Ordering::Relaxed);
        match outcome {
            Ok(inbound) => {
                count(&relay.knocks.accepted);
                member::serve(relay, inbound).await;
            }
            Err(AcceptError::LookedUp) => count(&relay.knocks.accepted),
            Err(error) => {
                count(&relay.knocks.failed);
                tell_failure(remote, &error);
            }
        }
    });
}

/// Anybody can cause these, so they are for whoever looks for them.
fn tell_failure(remote: SocketAddr, error: &AcceptError) {
    let cause = std::error::Error::source(error).map(tracing::field::display);
    tracing::debug!(%remote, %error, cause, "a handshake failed");
}

/// Gives the LAN gateways' leases that are over to those who wait.
async fn pass_leases(relay: Arc<Relay>) {
    loop {
        let end = async {
            match relay.registry.pass_leases(unix_now()) {
                Some(end) => sleep_until(end.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = relay.registry.leases.notified() => {}
        }
    }
}

/// Writes the id table after every change, at most one write at a time.
async fn keep_table(relay: Arc<Relay>, memory: Arc<Memory>) {
    loop {
        relay.registry.changed.notified().await;
        sleep(SAVE_DELAY).await;
        save(&relay, &memory).await;
    }
}

async fn save(relay: &Relay, memory: &Arc<Memory>) {
    let (table, changes) = relay.registry.table(unix_now());
    let writer = memory.clone();
    let written = tokio::task::spawn_blocking(move || writer.write(&table)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            tracing::warn!(%error, cause, "the table of members is not on disk");
        }
        Err(error) => tracing::error!(%error, "the table of members could not be written"),
    }
    // Also after a failure: joiners must not wait for a disk that is full.
    relay.registry.saved.send_replace(changes);
}

async fn stop(relay: &Arc<Relay>) {
    tracing::info!("stopping");
    relay.stopping.store(true, Ordering::Release);
    relay.registry.each_room(|_, members| {
        members
            .iter()
            .for_each(|(_, member)| member.dismiss(LeaveReason::RelayShutdown));
    });
    let deadline = Instant::now() + STOPPING;
    while relay.listener.connections() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    relay.listener.close(LeaveReason::RelayShutdown, STOPPING).await;
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
