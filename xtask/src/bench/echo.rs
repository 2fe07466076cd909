//! Round trips and losses of small packets: what a player feels.
//!
//! Several UDP flows at a steady rate, as games have them, and the system's `ping`, at the same time. The far end counts what
//! reaches it before it answers, so that the two ways are told apart.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lanparty_testkit::lab::{GAME_SERVER, Machine};

use super::{report::Sample, seen::Seen, tunnel::Tunnel};

const PORT: u16 = 27_921;
/// As large as an input packet of a shooter.
const PAYLOAD: usize = 64;
/// What comes later than that is lost for a game, and for us.
pub const PATIENCE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(50);

/// How the small packets come.
#[derive(Debug, Clone, Copy)]
pub struct Flows {
    pub count: u64,
    /// Of one flow.
    pub per_second: u64,
}

/// One player: a game's flow.
pub const PLAYER: Flows = Flows {
    count: 1,
    per_second: 100,
};
/// Eight of them, to see one lost packet among thousands in seconds.
pub const PLAYERS: Flows = Flows {
    count: 8,
    per_second: 125,
};

/// Sends UDP and pings for so long, and notes round trips and losses.
pub fn measure(tunnel: &Tunnel, flows: Flows, time: Duration, sample: &mut Sample) -> Result<()> {
    let (udp, ping) = thread::scope(|scope| {
        let ping = scope.spawn(|| pings(tunnel.player(), time));
        let udp = exchange(tunnel, flows, time);
        (
            udp,
            ping.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    let (udp, ping) = (udp?, ping?);
    sample.put("lost_up_percent", udp.lost_up * 100.0);
    sample.put("lost_down_percent", udp.lost_down * 100.0);
    sample.put_times("udp", udp.times);
    sample.put_times("ping", ping);
    Ok(())
}

/// What became of the packets of all flows.
struct Exchanged {
    /// Round trips, in milliseconds.
    times: Vec<f64>,
    lost_up: f64,
    lost_down: f64,
}

fn exchange(tunnel: &Tunnel, flows: Flows, time: Duration) -> Result<Exchanged> {
    let far_end = FarEnd::start(tunnel.games())?;
    let sockets = (0..flows.count)
        .map(|_| open_flow(tunnel.player()))
        .collect::<Result<Vec<_>>>()?;
    let epoch = Instant::now();
    let ended = AtomicBool::new(false);
    let (sent, times) = thread::scope(|scope| {
        let listening: Vec<_> = sockets
            .iter()
            .map(|socket| scope.spawn(|| listen(socket, epoch, &ended)))
            .collect();
        let sent = send(&sockets, flows, time, epoch);
        thread::sleep(PATIENCE);
        ended.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for listener in listening {
            times.extend(
                listener
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        (sent, times)
    });
    let (sent, reached) = (sent as f64, far_end.finish()? as f64);
    Ok(Exchanged {
        lost_up: 1.0 - reached / sent,
        lost_down: 1.0 - times.len() as f64 / reached.max(1.0),
        times,
    })
}

fn open_flow(player: &Machine) -> Result<UdpSocket> {
    let socket = player
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?
        .context("could not open a port for small packets")?;
    socket.connect(SocketAddr::from((GAME_SERVER, PORT)))?;
    socket.set_read_timeout(Some(POLL))?;
    Ok(socket)
}

/// Sends at the given times, one flow after the other, and says how many.
fn send(sockets: &[UdpSocket], flows: Flows, time: Duration, epoch: Instant) -> u64 {
    let all = flows.count * flows.per_second;
    let count = (time.as_secs_f64() * all as f64) as u64;
    for (number, socket) in (0..count).zip(sockets.iter().cycle()) {
        let due = Duration::from_secs_f64(number as f64 / all as f64);
        thread::sleep(due.saturating_sub(epoch.elapsed()));
        let mut packet = [0; PAYLOAD];
        packet[..8].copy_from_slice(&number.to_be_bytes());
        packet[8..24].copy_from_slice(&epoch.elapsed().as_nanos().to_be_bytes());
        // What the system does not take is a packet that does not arrive.
        let _ = socket.send(&packet);
    }
    count
}

/// The round trips of everything that comes back, each once.
fn listen(socket: &UdpSocket, epoch: Instant, ended: &AtomicBool) -> Vec<f64> {
    let mut seen = Seen::default();
    let mut times = Vec::new();
    let mut packet = [0; PAYLOAD];
    while !ended.load(Ordering::Relaxed) {
        let Ok(PAYLOAD) = socket.recv(&mut packet) else {
            continue;
        };
        let now = epoch.elapsed().as_nanos();
        let (Some((number, rest)), true) = (packet.split_first_chunk::<8>(), now > 0) else {
            continue;
        };
        if let Some((sent, _)) = rest.split_first_chunk::<16>()
            && seen.insert(u64::from_be_bytes(*number))
        {
            times.push(now.saturating_sub(u128::from_be_bytes(*sent)) as f64 / 1e6);
        }
    }
    times
}

/// Counts and answers.
struct FarEnd {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl FarEnd {
    fn start(games: &Machine) -> Result<FarEnd> {
        let socket = games
            .inside(|| -> io::Result<UdpSocket> {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
                socket.set_read_timeout(Some(POLL))?;
                Ok(socket)
            })?
            .context("could not open the port that answers small packets")?;
        let ended = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let ended = Arc::clone(&ended);
            move || answer(&socket, &ended)
        });
        Ok(FarEnd { ended, thread })
    }

    /// How many different packets have come.
    fn finish(self) -> Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that answers small packets failed"))
    }
}

fn answer(socket: &UdpSocket, ended: &AtomicBool) -> u64 {
    let mut seen = Seen::default();
    let mut packet = [0; PAYLOAD];
    while !ended.load(Ordering::Relaxed) {
        let Ok((PAYLOAD, from)) = socket.recv_from(&mut packet) else {
            continue;
        };
        if let Some((number, _)) = packet.split_first_chunk::<8>()
            && seen.insert(u64::from_be_bytes(*number))
        {
            let _ = socket.send_to(&packet, from);
        }
    }
    seen.count()
}

/// Round trips of the system's `ping`, in milliseconds.
fn pings(player: &Machine, time: Duration) -> Result<Vec<f64>> {
    const EVERY: f64 = 0.01;
    let (count, target) = (
        format!("{:.0}", time.as_secs_f64() / EVERY),
        GAME_SERVER.to_string(),
    );
    let words = ["ping", "-n", "-i", "0.01", "-W", "0.5", "-c", &count, &target];
    let output = player.output(&words, time * 4 + Duration::from_secs(10))?;
    let times = output.stdout.split("time=").skip(1);
    Ok(times
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect())
}
