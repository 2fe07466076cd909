//! TCP through a path, made and counted by iperf3.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lanparty_testkit::lab::{GAME_SERVER, Machine};
use serde_json::Value;

use super::{cpu::Used, report::Sample, tunnel::Tunnel};

/// From where to where the bulk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the player to the LAN.
    Up,
    /// From the LAN to the player.
    Down,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::Up, Direction::Down];

    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// What a transfer moved.
pub struct Moved {
    pub bits_per_second: f64,
    pub gigabytes: f64,
}

/// One flow for `seconds`, its sender with the congestion control of this name.
pub fn transfer(player: &Machine, direction: Direction, control: &str, seconds: u32) -> Result<Moved> {
    let (target, time) = (GAME_SERVER.to_string(), seconds.to_string());
    let mut words = vec![
        "iperf3",
        "--json",
        "--client",
        &target,
        "--time",
        &time,
        "--congestion",
        control,
    ];
    if direction == Direction::Down {
        words.push("--reverse");
    }
    let report = iperf(player, &words, seconds)?;
    let received = &report["end"]["sum_received"];
    let number = |name: &str| {
        received[name]
            .as_f64()
            .with_context(|| format!("iperf3 reported no {name}"))
    };
    Ok(Moved {
        bits_per_second: number("bits_per_second")?,
        gigabytes: number("bytes")? / 1e9,
    })
}

/// Whether this kernel has the congestion control of this name, as a module that can be loaded at least.
pub fn knows(control: &str) -> bool {
    // Fails where there is none, which the list then shows.
    let _ = Command::new("modprobe")
        .args(["-q", &format!("tcp_{control}")])
        .status();
    fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .is_ok_and(|known| known.split_whitespace().any(|word| word == control))
}

/// Throughput both ways, and what it cost. Notes nothing if this kernel has no such congestion control.
pub fn measure(tunnel: &Tunnel, control: &str, seconds: u32, sample: &mut Sample) -> Result<()> {
    if !knows(control) {
        return Ok(());
    }
    let before = Used::now(tunnel)?;
    let mut gigabytes = 0.0;
    for direction in Direction::BOTH {
        let moved = transfer(tunnel.player(), direction, control, seconds)?;
        sample.put(
            &format!("{}_mbit_per_s", direction.name()),
            moved.bits_per_second / 1e6,
        );
        gigabytes += moved.gigabytes;
    }
    before.put_per_gigabyte(&Used::now(tunnel)?, gigabytes, sample);
    Ok(())
}

fn iperf(player: &Machine, words: &[&str], seconds: u32) -> Result<Value> {
    let limit = Duration::from_secs(u64::from(seconds) + 20);
    let start = Instant::now();
    loop {
        let output = player.output(words, limit)?;
        let report: Value = serde_json::from_str(&output.stdout)
            .with_context(|| format!("iperf3 said {}{}", output.stdout, output.stderr))?;
        match report["error"].as_str() {
            None => return Ok(report),
            // The server has not opened its port yet, or still tidies up after the last test.
            Some(_) if start.elapsed() < Duration::from_secs(5) => {}
            Some(error) => bail!("{}: {error}", words.join(" ")),
        }
    }
}
