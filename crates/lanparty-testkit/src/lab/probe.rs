//! Questions that players and games ask a network, asked with ordinary sockets and programs.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    error::{Attempt, LabError},
    machine::Machine,
    process::Process,
    wait::wait_for,
};

/// The port on which [`Beacon`] listens; no game of the lab uses it.
pub const BEACON_PORT: u16 = 27_915;

/// How long one question waits for its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Sends one echo request and gives the time until its answer.
pub fn ping(machine: &Machine, target: &str, more: &[&str]) -> Result<Duration, LabError> {
    let words = [&["ping", "-n", "-c1", "-W1"], more, &[target]].concat();
    let text = machine.run_words(&words)?;
    let time = text
        .split("time=")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    let unreadable = || LabError::Unreadable {
        what: "ping's answer".to_owned(),
        text: text.clone(),
    };
    Ok(Duration::from_secs_f64(time.ok_or_else(unreadable)? / 1000.0))
}

/// Pings until an answer comes.
pub fn wait_for_ping(machine: &Machine, target: &str, limit: Duration) -> Result<Duration, LabError> {
    wait_for(&format!("{} to reach {target}", machine.name()), limit, || {
        ping(machine, target, &[]).ok()
    })
}

/// Questions at a steady pace, for as long as it takes to ask them all.
#[derive(Debug)]
pub struct Pinging {
    process: Process,
    count: u32,
    every: Duration,
}

/// How long answers took.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub sent: usize,
    pub lost: usize,
    /// One in a hundred took longer.
    pub slowest_hundredth: Duration,
}

impl Pinging {
    /// Starts to ask `target` `count` times, ten times a second.
    pub fn start(machine: &Machine, target: &str, count: u32) -> Result<Self, LabError> {
        Self::paced(machine, target, count, Duration::from_millis(100))
    }

    /// Starts to ask `target` 300 times, fifty times a second.
    pub fn often(machine: &Machine, target: &str) -> Result<Self, LabError> {
        Self::paced(machine, target, 300, Duration::from_millis(20))
    }

    fn paced(machine: &Machine, target: &str, count: u32, every: Duration) -> Result<Self, LabError> {
        let (number, pace) = (count.to_string(), every.as_secs_f64().to_string());
        let words = ["ping", "-n", "-i", &pace, "-c", &number, "-W", "1", target];
        Ok(Self {
            process: machine.spawn("ping", &words)?,
            count,
            every,
        })
    }

    /// Waits for the last answer: the longest time for which none came, and how many came twice.
    pub fn end(self) -> (Duration, usize) {
        let (every, sent) = (self.every, self.count);
        outage(&self.log_of_all(), sent, every)
    }

    /// Waits for the last answer, and gives how long they took.
    pub fn times(self) -> Times {
        let sent = self.count as usize;
        let text = self.log_of_all();
        let time = |line: &str| {
            let time = line.split("time=").nth(1)?;
            time.split_whitespace().next()?.parse::<f64>().ok()
        };
        let first = text.lines().filter(|line| !line.contains("DUP!"));
        let mut took: Vec<f64> = first.filter_map(time).collect();
        took.sort_by(f64::total_cmp);
        let slowest = took.len().saturating_sub(1 + took.len() / 100);
        let slowest = took.get(slowest).copied().unwrap_or(f64::from(u32::MAX));
        Times {
            sent,
            lost: sent.saturating_sub(took.len()),
            slowest_hundredth: Duration::from_secs_f64(slowest / 1000.0),
        }
    }

    fn log_of_all(mut self) -> String {
        // It ends with an error if a single answer is missing.
        let _ = self
            .process
            .wait(self.every * self.count * 3 + Duration::from_secs(5));
        self.process.log()
    }
}

fn outage(text: &str, sent: u32, every: Duration) -> (Duration, usize) {
    let number = |line: &str| {
        line.split("icmp_seq=")
            .nth(1)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let first = |line: &&str| !line.contains("DUP!");
    let mut answered: Vec<u32> = text.lines().filter(first).filter_map(number).collect();
    answered.sort_unstable();
    answered.insert(0, 0);
    answered.push(sent + 1);
    let gaps = answered
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0] + 1));
    let longest = gaps.max().unwrap_or(sent);
    (every * longest, text.matches("DUP!").count())
}

/// A stand-in for every game server: answers whoever asks on [`BEACON_PORT`], also by broadcast.
#[derive(Debug)]
pub struct Beacon {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beacon {
    /// Starts to answer on `machine`.
    pub fn start(machine: &Machine) -> Result<Self, LabError> {
        let attempt = || format!("open the beacon's port on {}", machine.name());
        let socket = machine
            .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, BEACON_PORT)))?
            .attempt(attempt)?;
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .attempt(attempt)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        // Whoever asked and left already does not hear it.
                        let _ = socket.send_to(&buffer[..length], from);
                    }
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Beacon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks `255.255.255.255` from the interface that has `address`, and gives who answered after how long.
pub fn ask_everybody(machine: &Machine, address: Ipv4Addr) -> Result<(SocketAddr, Duration), LabError> {
    let attempt = || format!("ask by broadcast from {address} on {}", machine.name());
    let socket = machine
        .inside(|| UdpSocket::bind((address, 0)))?
        .attempt(attempt)?;
    socket.set_broadcast(true).attempt(attempt)?;
    socket.set_read_timeout(Some(ANSWER_LIMIT)).attempt(attempt)?;
    let start = Instant::now();
    socket
        .send_to(b"who is there?", (Ipv4Addr::BROADCAST, BEACON_PORT))
        .attempt(attempt)?;
    let (_, from) = socket.recv_from(&mut [0; 64]).attempt(attempt)?;
    Ok((from, start.elapsed()))
}
