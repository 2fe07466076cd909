//! What is measured. To add a measure is to add a line here and the function that takes it.

use std::{thread, time::Duration};

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
    /// The same on the narrow line.
    pub narrow_probe: Duration,
    /// How long the line has been bad before it counts, as one is in a game of many minutes: an overlay that adapts has to see losses
    /// first. The same for every contestant.
    pub bad_line: Duration,
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
    /// Three rounds of it last less than 25 minutes on a quiet machine; more rounds tell more than longer measures.
    pub const FULL: Plan = Plan {
        tcp: 3,
        lossy_tcp: 4,
        probe: Duration::from_millis(2500),
        loaded_probe: Duration::from_millis(2500),
        narrow_probe: Duration::from_secs(3),
        bad_line: Duration::from_secs(4),
        loss_probe: Duration::from_secs(5),
        trial: Duration::from_millis(400),
        halvings: 4,
        crowd: 1000,
        fanout: 30,
    };
    pub const QUICK: Plan = Plan {
        tcp: 2,
        lossy_tcp: 4,
        probe: Duration::from_secs(1),
        loaded_probe: Duration::from_secs(2),
        narrow_probe: Duration::from_secs(2),
        bad_line: Duration::from_secs(4),
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

type Taken = fn(&mut Tunnel, &Plan, &mut Sample) -> Result<()>;

/// What a measure works on.
pub enum Take {
    /// A tunnel that is up all the time, of every contestant.
    Tunnel(Taken),
    /// The same, of these contestants: of the others it would say nothing new.
    TunnelOf(&'static [&'static str], Taken),
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
        what: "the same with BBR inside, where the kernel has it",
        take: Take::TunnelOf(&["plain", "openvpn", "open", "sealed"], |tunnel, plan, sample| {
            tcp::measure(tunnel, "bbr", plan.tcp, sample)
        }),
    },
    Measure {
        name: "packets",
        what: "the highest rate of 64-byte frames at which fewer than 1 % are lost",
        take: Take::Tunnel(|tunnel, plan, sample| flood::measure(tunnel, plan.trial, plan.halvings, sample)),
    },
    Measure {
        name: "loaded-up",
        what: "small packets beside a TCP flow from the player, no narrow line",
        take: Take::Tunnel(|tunnel, plan, sample| loaded(tunnel, Direction::Up, plan.loaded_probe, sample)),
    },
    Measure {
        name: "loaded-down",
        what: "small packets beside a TCP flow to the player, no narrow line",
        take: Take::Tunnel(|tunnel, plan, sample| loaded(tunnel, Direction::Down, plan.loaded_probe, sample)),
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
        what: "small packets lost, and TCP, while the player's line loses 2 % each way, and has done so for seconds",
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

impl Measure {
    /// Whether it is taken of this contestant's tunnel.
    pub fn is_of_tunnel(&self, variant: &str) -> bool {
        match self.take {
            Take::Tunnel(_) => true,
            Take::TunnelOf(variants, _) => variants.contains(&variant),
            Take::Alone(..) => false,
        }
    }
}

/// The bulk is there before the first small packet and after the last.
const LEAD: Duration = Duration::from_millis(1200);
const TAIL: Duration = Duration::from_millis(500);

/// Small packets beside a TCP flow.
fn loaded(tunnel: &Tunnel, direction: Direction, probe: Duration, sample: &mut Sample) -> Result<()> {
    let seconds = (LEAD + probe + echo::PATIENCE + TAIL).as_secs_f64().ceil() as u32;
    thread::scope(|scope| {
        let bulk = scope.spawn(|| tcp::transfer(tunnel.player(), direction, "cubic", seconds));
        thread::sleep(LEAD);
        let probed = echo::measure(tunnel, echo::PLAYER, probe, sample);
        let moved = bulk
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .context("the TCP flow beside them failed")?;
        sample.put("tcp_mbit_per_s", moved.bits_per_second / 1e6);
        probed
    })
}

/// The same on the narrow line, whose use is counted.
fn narrow(tunnel: &Tunnel, direction: Direction, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let line = Narrow::install(tunnel.lab(), direction)?;
    let used = thread::scope(|scope| {
        let used = scope.spawn(|| {
            thread::sleep(LEAD);
            line.rate_over(plan.narrow_probe)
        });
        loaded(tunnel, direction, plan.narrow_probe, sample)?;
        used.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    sample.put("line_used_percent", used / (LINE_MBIT * 1e6) * 100.0);
    Ok(())
}

fn lossy(tunnel: &mut Tunnel, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let _line = Lossy::install(tunnel.lab())?;
    echo::measure(tunnel, echo::PLAYERS, plan.bad_line, &mut Sample::default())?;
    echo::measure(tunnel, echo::PLAYERS, plan.loss_probe, sample)?;
    tcp::measure(tunnel, "cubic", plan.lossy_tcp, sample)
}
