//! A broadcast on the LAN, until the last of many players has it.
//!
//! All players' programs run on one machine, each with an adapter of its own, because what is measured is the copying in the
//! relay and not thirty homes. Each broadcast carries the time at which it was sent.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lanparty_testkit::lab::{Lab, Machine, Party, Process, RELAY_NAME, ROOM, Who, wait_for};
use nix::sys::socket::{setsockopt, sockopt};

use super::{
    measure::Plan,
    peers::openvpn,
    report::{Sample, percentile},
    tunnel::Role,
};

const PORT: u16 = 27_922;
const BROADCASTS: usize = 200;
/// Below the limits on broadcasts of every system here.
const EVERY: Duration = Duration::from_millis(20);
const DRAIN: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
const PAYLOAD: usize = 32;

/// A party with many players.
struct Gathering {
    relay: i32,
    _programs: Vec<(Role, Process)>,
    party: Party,
}

pub fn measure(variant: &str, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let gathering = match variant {
        "openvpn" => with_openvpn(plan.fanout)?,
        _ => with_us(plan.fanout)?,
    };
    let player = &gathering.party.lab.players[0].host;
    let sockets = (0..plan.fanout)
        .map(|number| listen_on(player, number))
        .collect::<Result<Vec<_>>>()?;
    let games = &gathering.party.lab.lan.games;
    wait_for_all(games, &sockets)?;
    let before = Process::cpu_time_of(gathering.relay)?;
    let times = exchange(games, &sockets)?;
    let used = Process::cpu_time_of(gathering.relay)? - before;
    let arrived: usize = times.iter().map(Vec::len).sum();
    let copies = BROADCASTS * plan.fanout;
    sample.put("lost_percent", (1.0 - arrived as f64 / copies as f64) * 100.0);
    sample.put("relay_cpu_us_per_copy", used.as_secs_f64() * 1e6 / copies as f64);
    let last = times.iter().filter(|arrived| arrived.len() == plan.fanout);
    sample.put_times("last", last.map(|arrived| latest(arrived)).collect());
    sample.put_times("each", times.concat());
    Ok(())
}

fn latest(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 100)
}

fn device(number: usize) -> String {
    format!("party{number}")
}

fn with_openvpn(players: usize) -> Result<Gathering> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    let (mut programs, member) = openvpn::start_middle(&party.lab)?;
    let relay = programs[0].1.pid();
    let player = &party.lab.players[0].host;
    for number in 0..players {
        let words = openvpn::words(player, &member, &device(number))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        programs.push((Role::Client, player.spawn(&format!("client{number}"), &words)?));
    }
    for (_, process) in programs.iter_mut().skip(2) {
        process.wait_for_log(openvpn::READY, LIMIT)?;
    }
    Ok(Gathering {
        relay,
        _programs: programs,
        party,
    })
}

fn with_us(players: usize) -> Result<Gathering> {
    let mut party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    party.launch(Who::Relay)?;
    party.launch(Who::Gateway)?;
    party.wait_until_joined(Who::Gateway, LIMIT)?;
    let (client, certificate) = (party.binary(Who::Player(0)), party.certificate());
    let player = &party.lab.players[0].host;
    let mut programs = Vec::new();
    for number in 0..players {
        let (tap, state) = (device(number), player.directory().join(format!("state{number}")));
        let state = state.display().to_string();
        let words = [
            &client,
            "--state-dir",
            &state,
            "--relay",
            RELAY_NAME,
            "--relay-ca-cert",
            &certificate,
            "--room",
            ROOM,
            "--tap-name",
            &tap,
        ];
        programs.push((Role::Client, player.spawn(&format!("client{number}"), &words)?));
    }
    let relay = party.pid(Who::Relay).context("the relay has ended")?;
    Ok(Gathering {
        relay,
        _programs: programs,
        party,
    })
}

/// Gives a player's adapter an address, and opens a socket that hears this adapter alone.
fn listen_on(player: &Machine, number: usize) -> Result<UdpSocket> {
    let device = device(number);
    let address = Ipv4Addr::new(10, 73, 42, 60 + u8::try_from(number)?);
    wait_for(&format!("{device} to be there"), LIMIT, || {
        player.run(&format!("ip link set {device} up")).ok()
    })?;
    player.run(&format!("ip address add {address}/24 broadcast + dev {device}"))?;
    let socket = player
        .inside(|| open(&device))?
        .with_context(|| format!("could not listen on {device}"))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}

fn open(device: &str) -> Result<UdpSocket> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
    use std::os::fd::AsRawFd;
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from(device))?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, PORT))?;
    Ok(socket.into())
}

/// Broadcasts until each player has heard one.
fn wait_for_all(games: &Machine, sockets: &[UdpSocket]) -> Result<()> {
    let sender = sender(games)?;
    let start = Instant::now();
    let mut deaf: Vec<&UdpSocket> = sockets.iter().collect();
    while !deaf.is_empty() {
        if start.elapsed() > LIMIT {
            bail!("{} of {} players hear no broadcast", deaf.len(), sockets.len());
        }
        broadcast(&sender, usize::MAX, Instant::now())?;
        deaf.retain(|socket| socket.recv(&mut [0; PAYLOAD]).is_err());
    }
    Ok(())
}

fn sender(games: &Machine) -> Result<UdpSocket> {
    let socket = games
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?
        .context("could not open a socket for broadcasts")?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

fn broadcast(socket: &UdpSocket, number: usize, epoch: Instant) -> Result<()> {
    let mut packet = [0; PAYLOAD];
    packet[..8].copy_from_slice(&(number as u64).to_be_bytes());
    packet[8..24].copy_from_slice(&epoch.elapsed().as_nanos().to_be_bytes());
    socket
        .send_to(&packet, (Ipv4Addr::new(10, 73, 42, 255), PORT))
        .context("could not send a broadcast")?;
    Ok(())
}

/// Sends all broadcasts; gives for each of them the times until the players had it, in milliseconds.
fn exchange(games: &Machine, sockets: &[UdpSocket]) -> Result<Vec<Vec<f64>>> {
    let sender = sender(games)?;
    let (epoch, ended) = (Instant::now(), AtomicBool::new(false));
    let heard = thread::scope(|scope| -> Result<Vec<(usize, f64)>> {
        let listening: Vec<_> = sockets
            .iter()
            .map(|socket| scope.spawn(|| hear(socket, epoch, &ended)))
            .collect();
        let sent = (0..BROADCASTS).try_for_each(|number| {
            let due = EVERY * u32::try_from(number).unwrap_or(u32::MAX);
            thread::sleep(due.saturating_sub(epoch.elapsed()));
            broadcast(&sender, number, epoch)
        });
        thread::sleep(DRAIN);
        ended.store(true, Ordering::Relaxed);
        let mut heard = Vec::new();
        for listener in listening {
            heard.extend(
                listener
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        sent.map(|()| heard)
    })?;
    let mut times = vec![Vec::new(); BROADCASTS];
    for (number, time) in heard {
        times[number].push(time);
    }
    Ok(times)
}

/// Each broadcast that one player hears, once.
fn hear(socket: &UdpSocket, epoch: Instant, ended: &AtomicBool) -> Vec<(usize, f64)> {
    let mut times = [None; BROADCASTS];
    let mut packet = [0; PAYLOAD];
    while !ended.load(Ordering::Relaxed) {
        let Ok(PAYLOAD) = socket.recv(&mut packet) else {
            continue;
        };
        let now = epoch.elapsed().as_nanos();
        let Some((number, rest)) = packet.split_first_chunk::<8>() else {
            continue;
        };
        let place = usize::try_from(u64::from_be_bytes(*number)).ok();
        let Some(time) = place.and_then(|number| times.get_mut(number)) else {
            continue;
        };
        if let Some((sent, _)) = rest.split_first_chunk::<16>() {
            time.get_or_insert(now.saturating_sub(u128::from_be_bytes(*sent)) as f64 / 1e6);
        }
    }
    let numbered = times.into_iter().enumerate();
    numbered
        .filter_map(|(number, time)| Some((number, time?)))
        .collect()
}
