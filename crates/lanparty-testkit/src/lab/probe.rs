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
