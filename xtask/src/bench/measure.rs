//! What is measured. To add a measure is to add a line here and the function that takes it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    connect, crowd, echo, fanout, flood,
    line::{LINE_MBIT, Lossy, Narrow},
    report::Sample,
    tcp::{self, Direction},
    tunnel::Tunnel,
};

/// How long everything takes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// One TCP transfer, in seconds.
    pub tcp: u32,
    /// The same on the lossy line, where one timeout more or less counts.
    pub lossy_tcp: u32,
    /// Small packets alone.
    pub probe: Duration,
    /// Small packets beside bulk.
    pub loaded_probe: Duration,
    /// Small packets on the lossy line.
    pub loss_probe: Duration,
    /// One trial of the search for the highest packet rate.
    pub trial: Duration,
    pub halvings: u32,
    /// Members that join, play and leave.
    pub crowd: usize,
    /// Players that a broadcast goes to.
    pub fanout: usize,
}

impl Plan {
    pub const FULL: Plan = Plan {
        tcp: 5,
        lossy_tcp: 10,
        probe: Duration::from_secs(5),
        loaded_probe: Duration::from_secs(6),
        loss_probe: Duration::from_secs(10),
        trial: Duration::from_secs(1),
        halvings: 5,
        crowd: 1000,
        fanout: 30,
    };
    pub const QUICK: Plan = Plan {
        tcp: 2,
        lossy_tcp: 4,
        probe: Duration::from_secs(1),
        loaded_probe: Duration::from_secs(2),
        loss_probe: Duration::from_secs(2),
        trial: Duration::from_millis(300),
        halvings: 3,
        crowd: 200,
        fanout: 30,
    };
}

/// One measure, taken of every contestant in every round.
pub struct Measure {
    /// For the report and `--only`.
    pub name: &'static str,
    pub what: &'static str,
    pub take: Take,
}

/// What a measure works on.
pub enum Take {
    /// A tunnel that is up all the time.
    Tunnel(fn(&mut Tunnel, &Plan, &mut Sample) -> Result<()>),
    /// It builds something of its own, for these contestants.
    Alone(
        &'static [&'static str],
        fn(&str, &Plan, &mut Sample) -> Result<()>,
    ),
}

/// In the order in which they are taken and shown.
pub const MEASURES: [Measure; 12] = [
    Measure {
        name: "idle",
        what: "round trips of small UDP and ping on an idle path",
        take: Take::Tunnel(|tunnel, plan, sample| echo::measure(tunnel, echo::PLAYER, plan.probe, sample)),
    },
    Measure {
        name: "tcp",
        what: "one TCP flow (Cubic) each way, and processor time for each gigabyte",
        take: Take::Tunnel(|tunnel, plan, sample| tcp::measure(tunnel, "cubic", plan.tcp, sample)),
    },
    Measure {
        name: "bbr",
        what: "the same with BBR inside",
        take: Take::Tunnel(|tunnel, plan, sample| tcp::measure(tunnel, "bbr", plan.tcp, sample)),
    },
    Measure {
        name: "packets",
        what: "the highest rate of 64-byte frames at which fewer than 1 % are lost",
        take: Take::Tunnel(|tunnel, plan, sample| flood::measure(tunnel, plan.trial, plan.halvings, sample)),
    },
    Measure {
        name: "loaded-up",
        what: "small packets beside a TCP flow from the player, no narrow line",
        take: Take::Tunnel(|tunnel, plan, sample| loaded(tunnel, Direction::Up, plan, sample)),
    },
    Measure {
        name: "loaded-down",
        what: "small packets beside a TCP flow to the player, no narrow line",
        take: Take::Tunnel(|tunnel, plan, sample| loaded(tunnel, Direction::Down, plan, sample)),
    },
    Measure {
        name: "narrow-up",
        what: "small packets beside a TCP flow that fills the player's uplink of 20 Mbit/s with a buffer of 100 ms",
        take: Take::Tunnel(|tunnel, plan, sample| narrow(tunnel, Direction::Up, plan, sample)),
    },
    Measure {
        name: "narrow-down",
        what: "the same with the downlink",
        take: Take::Tunnel(|tunnel, plan, sample| narrow(tunnel, Direction::Down, plan, sample)),
    },
    Measure {
        name: "lossy",
        what: "small packets lost, and TCP, while the player's line loses 2 % each way",
        take: Take::Tunnel(lossy),
    },
    Measure {
        name: "connect",
        what: "from the start of the player's program to an address from the LAN's DHCP server",
        take: Take::Tunnel(|tunnel, _, sample| connect::measure(tunnel, sample)),
    },
    Measure {
        name: "fanout",
        what: "a broadcast from the LAN until the last of 30 players has it",
        take: Take::Alone(&["openvpn", "open"], fanout::measure),
    },
    Measure {
        name: "crowd",
        what: "memory of the relay for each member, and 1,000 members in 100 rooms that join, play and leave",
        take: Take::Alone(&["open"], crowd::measure),
    },
];

/// The bulk is there before the first small packet and after the last.
const LEAD: Duration = Duration::from_millis(1500);
const TAIL: u32 = 4;

fn loaded(tunnel: &Tunnel, direction: Direction, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let seconds = u32::try_from(plan.loaded_probe.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(TAIL);
    thread::scope(|scope| {
        let bulk = scope.spawn(|| tcp::transfer(tunnel.player(), direction, "cubic", seconds));
        thread::sleep(LEAD);
        let probed = echo::measure(tunnel, echo::PLAYER, plan.loaded_probe, sample);
        let moved = bulk
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sample.put("tcp_mbit_per_s", moved.bits_per_second / 1e6);
        probed
    })
}

fn narrow(tunnel: &Tunnel, direction: Direction, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let line = Narrow::install(tunnel.lab(), direction)?;
    let seconds = u32::try_from(plan.loaded_probe.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(TAIL);
    thread::scope(|scope| {
        let bulk = scope.spawn(|| tcp::transfer(tunnel.player(), direction, "cubic", seconds));
        thread::sleep(LEAD);
        let (start, before) = (Instant::now(), line.bytes()?);
        let probed = echo::measure(tunnel, echo::PLAYER, plan.loaded_probe, sample);
        let (time, bytes) = (start.elapsed(), line.bytes()? - before);
        let moved = bulk
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .context("the TCP flow on the narrow line failed")?;
        let used = bytes * 8.0 / time.as_secs_f64() / (LINE_MBIT * 1e6);
        sample.put("line_used_percent", used * 100.0);
        sample.put("tcp_mbit_per_s", moved.bits_per_second / 1e6);
        probed
    })
}

fn lossy(tunnel: &mut Tunnel, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let _line = Lossy::install(tunnel.lab())?;
    echo::measure(tunnel, echo::PLAYERS, plan.loss_probe, sample)?;
    tcp::measure(tunnel, "cubic", plan.lossy_tcp, sample)
}
