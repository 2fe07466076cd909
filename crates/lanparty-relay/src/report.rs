//! What the relay tells about itself: its status for whoever asks, and a few lines about what was dropped.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lanparty_api::{
    DropLog, Program, Status,
    status::{MemberStatus, RelayStatus, RoomStatus, Sockets, Traffic},
};
use lanparty_wire::{DropCounters, DropReason, MemberId, RoomId, control::Role};
use tokio::sync::watch;

use crate::{member::Described, memory::unix_now, relay::Relay, shard::Inbox};

const INTERVAL: Duration = Duration::from_secs(1);

/// Drop lines of one member, with what of it is already in the totals.
#[derive(Default)]
struct Book {
    log: DropLog,
    seen: (Traffic, DropCounters),
    round: u64,
}

/// Counters of members that have left stay in the totals.
#[derive(Default)]
struct Books {
    members: HashMap<(RoomId, MemberId), Book>,
    gone: (Traffic, DropCounters),
    round: u64,
}

/// Publishes the status every second, and logs what was dropped.
pub async fn run(relay: Arc<Relay>, status: watch::Sender<Status>) {
    let mut books = Books::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        relay.registry.settle(unix_now());
        refresh(&relay, &status, &mut books);
    }
}

/// The first status, before anybody can ask.
pub fn publish(relay: &Relay, status: &watch::Sender<Status>) {
    status.send_modify(|status| {
        status.software = concat!("lanparty-relay ", env!("CARGO_PKG_VERSION")).into();
        status.process = std::process::id();
        status.since_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
    });
    refresh(relay, status, &mut Books::default());
}

fn refresh(relay: &Relay, status: &watch::Sender<Status>, books: &mut Books) {
    let now = Instant::now();
    let mut rooms = Vec::new();
    books.round += 1;
    relay.registry.each_room(|code, members| {
        let gateway = members.iter().find(|(member, _)| member.role == Role::Gateway);
        rooms.push(RoomStatus {
            room: code.clone(),
            sealed: code.is_sealed(),
            gateway: gateway.map(|(member, _)| member.id),
            members: members
                .iter()
                .map(|described| books.enter(code, described, now))
                .collect(),
        });
    });
    let (traffic, mut drops) = books.totals();
    drops.add(DropReason::NoPath, relay.unsent.load(Ordering::Relaxed));
    drops.add(DropReason::UnknownSource, relay.strange.load(Ordering::Relaxed));
    if let Some(count) = relay.lines.summary(now) {
        tracing::info!(
            count,
            "lines about joins, refusals and departures were not written, to keep the log short"
        );
    }
    let Ok(listen) = relay.listener.local_address() else {
        return;
    };
    status.send_modify(|status| {
        debug_assert_eq!(status.program, Program::Relay);
        status.traffic = traffic;
        status.drops = drops;
        status.problem = relay.problem.lock().clone();
        status.relay = Some(RelayStatus {
            listen,
            pin: relay.plan.pin.to_string(),
            connections: u32::try_from(relay.listener.connections()).unwrap_or(u32::MAX),
            handshakes: relay.knocks.totals(),
            sockets: sockets(relay),
            rooms,
        });
    });
}

fn sockets(relay: &Relay) -> Sockets {
    let sum = |counter: fn(&Inbox) -> &AtomicU64| {
        let each = relay
            .shards
            .iter()
            .map(|shard| counter(shard).load(Ordering::Relaxed));
        each.sum()
    };
    Sockets {
        count: u16::try_from(relay.shards.len()).unwrap_or(u16::MAX),
        handed_over: sum(|shard| &shard.handed_over),
        not_handed_over: sum(|shard| &shard.not_handed_over),
    }
}

impl Books {
    /// Describes a member, and logs what of its datagrams was dropped.
    fn enter(&mut self, room: &RoomId, (described, member): &Described, now: Instant) -> MemberStatus {
        let (received, sent) = (&member.received, member.egress.sent());
        member.egress.measure(now);
        let mut drops = received.drops.lock().clone();
        drops.merge(&sent.drops);
        drops.merge(&member.control_drops.lock());
        drops.add(
            DropReason::DatagramBudget,
            member.egress.link().stats().oversized_datagrams,
        );
        let traffic = Traffic {
            datagrams_in: received.datagrams.load(Ordering::Relaxed),
            bytes_in: received.bytes.load(Ordering::Relaxed),
            datagrams_out: sent.datagrams,
            bytes_out: sent.bytes,
            duplicates_in: received.duplicates.load(Ordering::Relaxed),
            duplicates_out: sent.duplicates,
            duplicate_bytes_out: sent.duplicate_bytes,
            ..Traffic::default()
        };
        let book = self.members.entry((room.clone(), described.id)).or_default();
        if traffic.datagrams_in < book.seen.0.datagrams_in
            || traffic.datagrams_out < book.seen.0.datagrams_out
        {
            // The same member on a new connection, which counts from the start.
            add(&mut self.gone, &book.seen);
            book.log = DropLog::default();
        }
        book.round = self.round;
        let place = format!("room {room}, member {}", described.id);
        book.log.due(now, &drops).for_each(|notice| notice.log(&place));
        book.seen = (traffic, drops.clone());
        let link = member.egress.link();
        let silent = now.saturating_duration_since(link.last_received());
        let remote = link.remote_address();
        MemberStatus {
            incarnation: Some(described.incarnation),
            name: described.name.clone(),
            mac: described.mac,
            identity: Some(described.identity),
            rtt_us: u64::try_from(link.rtt().as_micros()).ok(),
            budget: Some(described.budget),
            lan_link: described.lan_link,
            last_seen_s: Some(silent.as_secs()),
            drops,
            remote: Some(SocketAddr::new(remote.ip().to_canonical(), remote.port())),
            traffic: Some(traffic),
            reported: member.reported.lock().clone(),
            ..MemberStatus::new(described.id, described.role)
        }
    }

    fn totals(&mut self) -> (Traffic, DropCounters) {
        let Books { members, gone, round } = self;
        members.retain(|_, book| {
            let is_there = book.round == *round;
            if !is_there {
                add(gone, &book.seen);
            }
            is_there
        });
        let mut totals = gone.clone();
        members.values().for_each(|book| add(&mut totals, &book.seen));
        totals
    }
}

fn add(sum: &mut (Traffic, DropCounters), part: &(Traffic, DropCounters)) {
    sum.0.datagrams_in += part.0.datagrams_in;
    sum.0.bytes_in += part.0.bytes_in;
    sum.0.datagrams_out += part.0.datagrams_out;
    sum.0.bytes_out += part.0.bytes_out;
    sum.0.duplicates_in += part.0.duplicates_in;
    sum.0.duplicates_out += part.0.duplicates_out;
    sum.0.duplicate_bytes_out += part.0.duplicate_bytes_out;
    sum.1.merge(&part.1);
}
