//! `cargo xtask bench`: what lanparty costs, against the plain path over the same lines, in one run.
//!
//! The plain path is routed by the kernel from the player's machine through both routers and the LAN gateway's machine to
//! the game server; lanparty's goes from the player's TAP over the relay to the same game server. All machines share this host's
//! processors, so only the ratio of two numbers of one run means something.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use lanparty_testkit::lab::{GAME_SERVER, LAN_NIC, Lab, Machine, Party, Process, Who, probe::wait_for_ping};
use serde::Serialize;
use serde_json::Value;

use crate::{binaries, setup, step::root};

#[derive(Args)]
pub struct Options {
    /// How long each measurement runs, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=300))]
    seconds: u16,
    /// Where the numbers go [default: target/bench.json]
    #[arg(long)]
    json: Option<PathBuf>,
}

/// How many echo requests make a distribution.
const PINGS: usize = 500;
/// 18 bytes of payload make a frame of 64 bytes with its check sequence, the smallest that Ethernet has.
const SMALL: &str = "18";

/// What was measured on one path.
#[derive(Serialize)]
struct Numbers {
    path: &'static str,
    tcp_up_mbit: f64,
    tcp_down_mbit: f64,
    small_packets_sent_per_s: f64,
    small_packets_arrived_per_s: f64,
    rtt_p50_ms: f64,
    rtt_p99_ms: f64,
    /// Processor time of the whole machine, measuring programs included.
    cpu_s_per_gb: f64,
    /// Processor time of relay, LAN gateway and client alone.
    lanparty_cpu_s_per_gb: f64,
}

pub fn run(options: &Options) -> Result<()> {
    setup::need_root("bench", "")?;
    setup::lab_packages()?;
    binaries::build()?;
    let numbers = [plain(options)?, lanparty(options)?];
    print_table(&numbers);
    let path = options
        .json
        .clone()
        .unwrap_or_else(|| root().join("target/bench.json"));
    let text = serde_json::to_string_pretty(&numbers).context("could not write the numbers as JSON")?;
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    println!("\nthe same as JSON: {}", path.display());
    Ok(())
}

fn plain(options: &Options) -> Result<Numbers> {
    let lab = Lab::builder().build()?;
    open_the_way(&lab)?;
    measure(
        "plain",
        options,
        &lab.players[0].host,
        &lab.lan.games,
        &mut || Ok(Duration::ZERO),
    )
}

/// Routes from the internet through the LAN gateway's machine into the LAN, which no real party would have.
fn open_the_way(lab: &Lab) -> Result<()> {
    const INSIDE: &str = "10.73.42.2";
    let gateway = &lab.gateway;
    gateway
        .host
        .run(&format!("ip address add {INSIDE}/24 dev {LAN_NIC}"))?;
    gateway.host.sysctl("net/ipv4/ip_forward", "1")?;
    gateway.router.run(&format!(
        "ip route add 10.73.42.0/24 via {}",
        gateway.host_address()
    ))?;
    gateway.router.run("nft insert rule ip wall pass accept")?;
    lab.internet.router.run(&format!(
        "ip route add 10.73.42.0/24 via {}",
        gateway.public_address()
    ))?;
    lab.lan
        .games
        .run(&format!("ip route replace default via {INSIDE}"))?;
    Ok(())
}

fn lanparty(options: &Options) -> Result<Numbers> {
    let mut party = Party::start(&Lab::builder())?;
    // The party's machines are borrowed while its processes are asked, so they are asked by process id.
    let mut processes = Vec::new();
    for who in party.everybody().collect::<Vec<Who>>() {
        processes.push(party.process(who)?.pid());
    }
    let mut cpu = || {
        let times = processes.iter().map(|&pid| Process::cpu_time_of(pid));
        Ok(times.collect::<Result<Vec<_>, _>>()?.into_iter().sum())
    };
    measure(
        "lanparty",
        options,
        party.machine(Who::Player(0)),
        &party.lab.lan.games,
        &mut cpu,
    )
}

fn measure(
    path: &'static str,
    options: &Options,
    player: &Machine,
    games: &Machine,
    cpu: &mut dyn FnMut() -> Result<Duration>,
) -> Result<Numbers> {
    println!("measuring: {path}");
    let _server = games.spawn("iperf3", &["iperf3", "--server"])?;
    wait_for_ping(player, &GAME_SERVER.to_string(), Duration::from_secs(10))?;
    let rtt = round_trips(player)?;
    let (busy, ours) = (busy_time()?, cpu()?);
    let up = iperf(player, options, &[])?;
    let down = iperf(player, options, &["--reverse"])?;
    let (busy, ours) = (busy_time()?.saturating_sub(busy), cpu()?.saturating_sub(ours));
    let gigabytes = (received(&up)? + received(&down)?) * f64::from(options.seconds) / 8e9;
    let small = iperf(player, options, &["--udp", "--length", SMALL, "--bandwidth", "0"])?;
    let (sent, arrived) = small_packets(&small)?;
    Ok(Numbers {
        path,
        tcp_up_mbit: received(&up)? / 1e6,
        tcp_down_mbit: received(&down)? / 1e6,
        small_packets_sent_per_s: sent,
        small_packets_arrived_per_s: arrived,
        rtt_p50_ms: percentile(&rtt, 50),
        rtt_p99_ms: percentile(&rtt, 99),
        cpu_s_per_gb: busy.as_secs_f64() / gigabytes,
        lanparty_cpu_s_per_gb: ours.as_secs_f64() / gigabytes,
    })
}

fn iperf(player: &Machine, options: &Options, more: &[&str]) -> Result<Value> {
    let (target, seconds) = (GAME_SERVER.to_string(), options.seconds.to_string());
    let words = [
        &["iperf3", "--json", "--client", &target, "--time", &seconds],
        more,
    ]
    .concat();
    let limit = Duration::from_secs(u64::from(options.seconds) + 20);
    let start = Instant::now();
    loop {
        let output = player.output(&words, limit)?;
        let report: Value = serde_json::from_str(&output.stdout)
            .with_context(|| format!("iperf3 said {}{}", output.stdout, output.stderr))?;
        match report["error"].as_str() {
            None => return Ok(report),
            // The server has not opened its port yet, or still tidies up after the last test.
            Some(_) if start.elapsed() < Duration::from_secs(5) => {}
            Some(error) => anyhow::bail!("iperf3 {more:?}: {error}"),
        }
    }
}

/// Bits per second that arrived.
fn received(report: &Value) -> Result<f64> {
    report["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .context("iperf3 reported no throughput")
}

/// Packets per second sent and arrived.
fn small_packets(report: &Value) -> Result<(f64, f64)> {
    let sum = &report["end"]["sum"];
    let number = |name: &str| {
        sum[name]
            .as_f64()
            .with_context(|| format!("iperf3 reported no {name}"))
    };
    let (packets, lost, seconds) = (number("packets")?, number("lost_packets")?, number("seconds")?);
    Ok((packets / seconds, (packets - lost) / seconds))
}

/// Sorted round trip times, in milliseconds.
fn round_trips(player: &Machine) -> Result<Vec<f64>> {
    let (count, target) = (PINGS.to_string(), GAME_SERVER.to_string());
    let text = player.run_words(&["ping", "-n", "-i", "0.01", "-c", &count, &target])?;
    let mut times: Vec<f64> = text
        .split("time=")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Time that this machine's processors have not been idle since it started.
fn busy_time() -> Result<Duration> {
    /// `USER_HZ`.
    const TICK: Duration = Duration::from_millis(10);
    let text = fs::read_to_string("/proc/stat").context("could not read /proc/stat")?;
    let fields: Vec<u32> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user already.
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&index| fields.get(index))
        .sum::<u32>();
    Ok(TICK * busy)
}

fn print_table(numbers: &[Numbers]) {
    println!(
        "\n{:<10} {:>11} {:>13} {:>12} {:>12} {:>9} {:>9} {:>10} {:>14}",
        "path", "TCP up", "TCP down", "64 B sent", "arrived", "RTT p50", "RTT p99", "CPU/GB", "lanparty's"
    );
    for row in numbers {
        println!(
            "{:<10} {:>4.0} Mbit/s {:>6.0} Mbit/s {:>10.0}/s {:>10.0}/s {:>6.2} ms {:>6.2} ms {:>8.2} s {:>12.2} s",
            row.path,
            row.tcp_up_mbit,
            row.tcp_down_mbit,
            row.small_packets_sent_per_s,
            row.small_packets_arrived_per_s,
            row.rtt_p50_ms,
            row.rtt_p99_ms,
            row.cpu_s_per_gb,
            row.lanparty_cpu_s_per_gb,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (51.0, 100.0));
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn small_packets_are_read_from_iperfs_report() {
        let report =
            serde_json::json!({"end": {"sum": {"packets": 1000, "lost_packets": 100, "seconds": 2.0}}});
        assert_eq!(small_packets(&report).unwrap(), (500.0, 450.0));
    }
}
