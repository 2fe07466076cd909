//! Examining the way to the relay: dialling it as an endpoint does, and measuring what it carries.
//!
//! Two members of the moment meet in an open room with a random code, and one sends datagrams to the other: the way of frames, up and
//! down, with the limits that members have. So the relay needs no service that answers strangers, which somebody could point at others.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_core::{doctor as judge, guard::Limits, lan::LanConfig, session::Failure};
use lanparty_quic::{DialError, Engine, Identity, Link, LinkId, Traffic, Trust, TrustOutcome};
use lanparty_wire::{
    Class, Destination, HEADER_LEN, Header, Kind, LeaveReason, Mac, MemberId, RelayAddress, RelayToken,
    RoomCode,
    control::Role,
    doctor::{Finding, Line, RelayProbe},
    mtu,
};
use tokio::time::sleep_until;

use crate::{
    EndpointConfig,
    uplink::{DialFailure, Dialed, Uplinks},
    uplinked::chain,
};

/// A dial, with its handshake and the relay's answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(6);
/// A line that loses packets may lose all of one try, and is to be told from one that leads nowhere. Systems ask for a name again after
/// five seconds only.
const PATIENCE: Duration = Duration::from_secs(10);
/// A game's pace.
const EVEN_PACE: Duration = Duration::from_millis(10);
/// Two seconds of it.
const EVEN_COUNT: u64 = 200;
/// The size of a game's datagram, with its header.
const EVEN_LEN: usize = 200;
/// How long datagrams are on their way at most.
const LATE: Duration = Duration::from_millis(800);
/// How long the line is filled.
const FULL: Duration = Duration::from_secs(1);
/// What is sent at most for that, in bytes: 40 Mbit/s are enough to know.
const FULL_BYTES: usize = 5_000_000;
/// What came within such a time is the throughput, if it is the most.
const WINDOW: Duration = Duration::from_millis(200);

/// Which relay is examined, and how.
#[derive(Debug, Clone)]
pub struct RelayQuestion {
    pub relay: RelayAddress,
    pub relay_token: Option<RelayToken>,
    pub trust: Trust,
    /// Interfaces that must not carry the connection.
    pub avoid_interfaces: Vec<String>,
    /// Whether the line is filled for a moment to see what it carries.
    pub measure_throughput: bool,
}

/// Dials the relay, measures the line to it, and judges both; without a relay there is nothing to say. Must be called within a tokio
/// runtime.
pub async fn examine_relay(question: Option<RelayQuestion>) -> Vec<Finding> {
    let Some(question) = question else {
        return Vec::new();
    };
    let address = question.relay.to_string();
    let (probe, line) = ask(question).await;
    let mut findings = vec![judge::relay(&address, &probe)];
    findings.extend(line.as_ref().map(judge::line));
    findings
}

/// Without a first connection there is no measurement.
async fn ask(question: RelayQuestion) -> (RelayProbe, Option<Line>) {
    let code = format!("DOCTOR-{:016X}", rand::random::<u64>());
    // Letters, digits and a dash, and no more than a code may have.
    let Ok(code) = code.parse::<RoomCode>() else {
        return (unreachable("no room for the measurement".into()), None);
    };
    let dialled = match dial(&question, Role::Gateway, &code).await {
        Ok(dialled) => dialled,
        Err(failure) => return (failed(&failure), None),
    };
    let first_use = match dialled.path.trust() {
        TrustOutcome::FirstUse(pin) => Some(pin),
        TrustOutcome::Pinned | TrustOutcome::Ca | TrustOutcome::System | TrustOutcome::Known => None,
    };
    let rtt_ms = u64::try_from(dialled.path.link().rtt().as_millis()).unwrap_or(u64::MAX);
    let reached = RelayProbe::Reached { rtt_ms, first_use };
    let line = match dial(&question, Role::Client, &code).await {
        Ok(other) => measure(dialled, other, question.measure_throughput).await,
        Err(failure) => Line::Broken { why: chain(&failure) },
    };
    (reached, Some(line))
}

async fn dial(question: &RelayQuestion, role: Role, code: &RoomCode) -> Result<Dialed, DialFailure> {
    let identity = Identity::ephemeral().map_err(|error| DialError::Protocol(error.to_string()))?;
    let config = EndpointConfig {
        role,
        room: code.clone().into(),
        mac: (role == Role::Client).then(|| Mac::from_random(rand::random())),
        name: "doctor".into(),
        software: concat!("lanparty doctor ", env!("CARGO_PKG_VERSION")).into(),
        mtu: mtu::DEFAULT_MTU,
        relay: question.relay.clone(),
        relay_token: question.relay_token.clone(),
        identity,
        trust: question.trust.clone(),
        limits: Limits::default(),
        lan: LanConfig::default(),
        avoid_interfaces: question.avoid_interfaces.clone(),
        profile: Default::default(),
        redundancy: Default::default(),
        udp_offload: Default::default(),
    };
    let uplinks = Uplinks::new(config, rand::random())?;
    let start = Instant::now();
    let mut attempt = 1;
    loop {
        match uplinks.dial(attempt, DIAL_TIMEOUT).await {
            Err(failure) if failure.is_unanswered() && start.elapsed() < PATIENCE => attempt += 1,
            result => return result,
        }
    }
}

fn failed(failure: &DialFailure) -> RelayProbe {
    let why = chain(failure);
    match failure.kind() {
        Failure::Untrusted => RelayProbe::Untrusted { why },
        Failure::Rejected(_) => RelayProbe::Refused { why },
        Failure::Unreachable | Failure::Closed(_) => unreachable(why),
    }
}

fn unreachable(why: String) -> RelayProbe {
    RelayProbe::Unreachable { why }
}

/// Sends from one to the other, first at a game's pace, then as fast as the line takes it.
async fn measure(from: Dialed, to: Dialed, throughput: bool) -> Line {
    let (source, target) = (from.welcome.member, to.welcome.member);
    let (mut near, near_link, _near_sender, _near_receiver) = from.path.split();
    let (mut far, far_link, _far_sender, _far_receiver) = to.path.split();
    let mut sending = Sending::new(near_link.id(), source, target);
    let mut arriving = Arriving::new(source);
    let begin = Instant::now();
    let even = EVEN_PACE * EVEN_COUNT as u32 + LATE;
    run(&mut near, &mut far, &mut sending, &mut arriving, begin + even).await;
    let (sent, arrived) = (sending.sequence, arriving.even.len() as u64);
    let mut kbit_per_second = None;
    if throughput {
        let begin = Instant::now();
        sending.fill_until = Some(begin + FULL);
        run(
            &mut near,
            &mut far,
            &mut sending,
            &mut arriving,
            begin + FULL + LATE,
        )
        .await;
        kbit_per_second = Some(arriving.best_kbit_per_second());
    }
    part(near, near_link, far, far_link).await;
    Line::Measured {
        sent,
        arrived,
        kbit_per_second,
    }
}

async fn part(near: Engine, near_link: Link, far: Engine, far_link: Link) {
    near_link.close(LeaveReason::Goodbye);
    far_link.close(LeaveReason::Goodbye);
    tokio::join!(near.wind_up(LATE), far.wind_up(LATE));
}

async fn run(
    near: &mut Engine,
    far: &mut Engine,
    sending: &mut Sending,
    arriving: &mut Arriving,
    end: Instant,
) {
    loop {
        let now = Instant::now();
        near.drive(now, sending);
        far.drive(now, arriving);
        if now >= end {
            return;
        }
        let wake = end.min(sending.due.unwrap_or(end));
        tokio::select! {
            () = near.ready() => {}
            () = far.ready() => {}
            () = sleep_until(wake.into()) => {}
        }
    }
}

/// The one that sends.
struct Sending {
    link: LinkId,
    header: Header,
    sequence: u64,
    /// When the next datagram of the even ones leaves; `None` when all have.
    due: Option<Instant>,
    fill_until: Option<Instant>,
    filled: usize,
}

impl Sending {
    fn new(link: LinkId, source: MemberId, target: MemberId) -> Sending {
        Sending {
            link,
            header: Header {
                // Nobody takes it for a frame, and the relay does not look into it.
                kind: Kind::Probe,
                fragment: false,
                congested: false,
                // What is more urgent is sent twice on lines that lose packets.
                class: Class::Bulk,
                key_id: 0,
                flow: 0,
                source,
                destination: Destination::Member(target),
                sequence: 0,
            },
            sequence: 0,
            due: Some(Instant::now()),
            fill_until: None,
            filled: 0,
        }
    }

    fn is_filling(&self, now: Instant) -> bool {
        self.filled < FULL_BYTES && self.fill_until.is_some_and(|until| now < until)
    }

    fn datagram(&mut self, len: usize) -> Bytes {
        self.header.sequence = self.sequence;
        self.sequence += 1;
        let mut datagram = vec![0; len.max(HEADER_LEN)];
        datagram[..HEADER_LEN].copy_from_slice(&self.header.encode());
        datagram.into()
    }
}

impl Traffic for Sending {
    fn received(&mut self, _now: Instant, _link: LinkId, _datagram: Bytes) {}

    fn next(&mut self, now: Instant, _link: LinkId, budget: u16) -> Option<Bytes> {
        if let Some(due) = self.due.filter(|due| *due <= now) {
            self.due = (self.sequence + 1 < EVEN_COUNT).then(|| due + EVEN_PACE);
            return Some(self.datagram(EVEN_LEN));
        }
        if !self.is_filling(now) {
            return None;
        }
        let len = usize::from(budget);
        self.filled += len;
        Some(self.datagram(len))
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) || self.is_filling(now) {
            links.push(self.link);
        }
    }
}

/// The one that counts.
struct Arriving {
    source: MemberId,
    even: BTreeSet<u64>,
    /// When the first of the filling ones came.
    begin: Option<Instant>,
    /// Bytes that came in each window since then.
    windows: Vec<usize>,
}

impl Arriving {
    fn new(source: MemberId) -> Arriving {
        Arriving {
            source,
            even: BTreeSet::new(),
            begin: None,
            windows: Vec::new(),
        }
    }

    fn best_kbit_per_second(&self) -> u64 {
        let best = self.windows.iter().max().copied().unwrap_or(0) as u64;
        best * 8 / u64::try_from(WINDOW.as_millis()).unwrap_or(1)
    }
}

impl Traffic for Arriving {
    fn received(&mut self, now: Instant, _link: LinkId, datagram: Bytes) {
        let Ok((header, _)) = Header::decode(&datagram) else {
            return;
        };
        if header.source != self.source || header.kind != Kind::Probe {
            return;
        }
        if header.sequence < EVEN_COUNT {
            self.even.insert(header.sequence);
            return;
        }
        let begin = *self.begin.get_or_insert(now);
        let window = (now.saturating_duration_since(begin).as_millis() / WINDOW.as_millis()) as usize;
        // The measurement is over long before there are many.
        self.windows.resize(self.windows.len().max(window + 1), 0);
        self.windows[window] += datagram.len();
    }

    fn next(&mut self, _now: Instant, _link: LinkId, _budget: u16) -> Option<Bytes> {
        None
    }

    fn wanting(&mut self, _links: &mut Vec<LinkId>) {}
}
