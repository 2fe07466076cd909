//! The highest rate of the smallest frames at which fewer than one in a hundred is lost.
//!
//! Sender and receiver are sockets of this process in the two machines; they use `sendmmsg` and `recvmmsg`, so that their own
//! cost stays below that of what is measured. A rate counts as what *arrived* a second, not as what was offered.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lanparty_testkit::lab::{GAME_SERVER, Machine};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt},
};

use super::{report::Sample, seen::Seen, tunnel::Tunnel};

/// 14 of Ethernet, 20 of IPv4, 8 of UDP and 4 of the check sequence make the smallest frame, 64 bytes, with 18 of payload.
const PAYLOAD: usize = 18;
const BATCH: usize = 32;
/// No path of this machine carries more.
const CEILING: f64 = 4e6;
const PORT: u16 = 27_920;
/// What is still in queues when the sender has ended.
const DRAIN: Duration = Duration::from_millis(150);
/// More than that is not "under one per cent".
const TOLERATED: f64 = 0.01;

/// One trial at one rate.
#[derive(Debug, Clone, Copy, Default)]
struct Trial {
    arrived: f64,
    loss: f64,
}

impl Trial {
    fn good(&self) -> bool {
        self.loss < TOLERATED
    }
}

/// Searches the highest rate: doubles it until it fails or brings no more, then halves what is left so many times.
pub fn measure(tunnel: &Tunnel, trial: Duration, halvings: u32, sample: &mut Sample) -> Result<()> {
    /// A sender that is held back brings no more, however much is asked of it.
    const MORE: f64 = 1.05;
    let mut best = Trial::default();
    let mut flooded = Trial::default();
    let (mut low, mut high, mut rate) = (0.0, None, 16_000.0);
    let mut left = halvings;
    while left > 0 && rate < CEILING {
        left -= u32::from(high.is_some());
        // While the rate is doubled, a trial has to bring more than the last one; between two rates it has not to.
        let enough = if high.is_none() { best.arrived * MORE } else { 0.0 };
        let result = try_twice(tunnel, rate, trial, enough)?;
        if result.good() {
            let more = result.arrived > enough;
            if result.arrived > best.arrived {
                best = result;
            }
            if !more && high.is_none() {
                break;
            }
            low = rate;
        } else {
            flooded = result;
            high = Some(rate);
        }
        rate = high.map_or(rate * 2.0, |high| f64::midpoint(low, high));
    }
    if best.arrived == 0.0 {
        bail!("at no rate fewer than one in a hundred was lost; the last was {flooded:?}");
    }
    sample.put("arrived_per_s", best.arrived);
    sample.put("loss_percent", best.loss * 100.0);
    sample.put("flooded_arrived_per_s", flooded.arrived);
    Ok(())
}

/// A rate fails, or brings too little, when it does so twice: once may be this host's doing.
fn try_twice(tunnel: &Tunnel, rate: f64, time: Duration, enough: f64) -> Result<Trial> {
    let first = run(tunnel.player(), tunnel.games(), rate, time)?;
    if first.good() && first.arrived > enough {
        return Ok(first);
    }
    let second = run(tunnel.player(), tunnel.games(), rate, time)?;
    let first_is_better = first.good() && (!second.good() || first.arrived > second.arrived);
    Ok(if first_is_better { first } else { second })
}

fn run(player: &Machine, games: &Machine, rate: f64, time: Duration) -> Result<Trial> {
    let receiver = games
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))?
        .context("could not open the port of the packet counter")?;
    receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
    setsockopt(&receiver, sockopt::RcvBufForce, &(16 << 20))?;
    let sender = player
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?
        .context("could not open a port for the packet sender")?;
    sender.connect(SocketAddr::from((GAME_SERVER, PORT)))?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let counting = scope.spawn(|| count(&receiver, &ended));
        let sending = send(&sender, rate, time);
        thread::sleep(DRAIN);
        ended.store(true, Ordering::Relaxed);
        let seen = counting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (sent, lasted) = sending?;
        let (sent, arrived) = (sent as f64, seen.count() as f64);
        Ok(Trial {
            arrived: arrived / lasted.as_secs_f64(),
            loss: 1.0 - arrived / sent,
        })
    })
}

/// Sends numbered packets at `rate`, and says how many in how long.
fn send(socket: &UdpSocket, rate: f64, time: Duration) -> Result<(u64, Duration)> {
    /// Short enough that no queue overflows only because we send in lumps.
    const LUMP: Duration = Duration::from_micros(250);
    const LATENESS: Duration = Duration::from_millis(2);
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut payloads = [[0_u8; PAYLOAD]; BATCH];
    let addresses: [Option<SockaddrIn>; BATCH] = [None; BATCH];
    let start = Instant::now();
    let (mut sent, mut skipped) = (0_u64, 0_u64);
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        let late = due.saturating_sub(sent + skipped);
        // What could not be sent in time is left out: sent later and all at once, it would only show how long a queue is.
        skipped += late.saturating_sub((LATENESS.as_secs_f64() * rate) as u64);
        let batch = usize::try_from(due.saturating_sub(sent + skipped))
            .unwrap_or(BATCH)
            .min(BATCH);
        if batch == 0 {
            thread::sleep(LUMP);
            continue;
        }
        for (number, payload) in (sent..).zip(&mut payloads[..batch]) {
            payload[..8].copy_from_slice(&number.to_be_bytes());
        }
        let slices: Vec<[IoSlice<'_>; 1]> = payloads[..batch]
            .iter()
            .map(|payload| [IoSlice::new(payload)])
            .collect();
        match sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            addresses,
            [],
            MsgFlags::empty(),
        ) {
            Ok(results) => sent += results.count() as u64,
            // Nobody listened before our counter did, or a queue is full: the rest is due all the same.
            Err(Errno::ECONNREFUSED | Errno::ENOBUFS | Errno::EINTR) => sent += 1,
            Err(error) => return Err(error).context("could not send small packets"),
        }
    }
    Ok((sent, start.elapsed()))
}

fn count(socket: &UdpSocket, ended: &AtomicBool) -> Result<Seen> {
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut payloads = [[0_u8; PAYLOAD]; BATCH];
    let mut seen = Seen::default();
    while !ended.load(Ordering::Relaxed) {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = payloads
            .iter_mut()
            .map(|payload| [IoSliceMut::new(payload)])
            .collect();
        let received = match recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &mut slices,
            MsgFlags::MSG_WAITFORONE,
            None,
        ) {
            Ok(results) => results.filter(|result| result.bytes == PAYLOAD).count(),
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return Err(error).context("could not receive small packets"),
        };
        for payload in &payloads[..received] {
            let (number, _) = payload
                .split_first_chunk::<8>()
                .context("a payload has 18 bytes")?;
            seen.insert(u64::from_be_bytes(*number));
        }
    }
    Ok(seen)
}
