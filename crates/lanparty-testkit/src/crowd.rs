//! Many members at once, in many rooms, from many addresses: what a relay has to carry.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use lanparty_wire::{
    Class, Destination, HEADER_LEN, Header, Kind, LeaveReason, Mac, MemberId, control::Role,
};
use tokio::runtime::Runtime;

use crate::{
    lab::{Machine, RELAY},
    member::{BareMember, Join, runtime},
    pump::{Arrivals, Departures},
};

/// The crowd's addresses: 203.0.113.20 and the following, at most this many.
pub const MOST_ADDRESSES: u8 = 200;
/// The relay's server of handshakes is not what a crowd is to measure, and a household joins one after the other.
const JOINING_AT_ONCE: usize = 4;
/// A small frame of a game.
const FRAME: usize = 60;

/// Members that are connected.
pub struct Crowd {
    members: Vec<BareMember>,
    room_size: usize,
    runtime: Arc<Runtime>,
}

/// What became of the frames of a game.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    pub sent: u64,
    pub arrived: u64,
}

/// Who comes, and where from.
pub struct Gathering<'a> {
    /// The machine in which the crowd's addresses are: on the relay's own network, with interface `relay`.
    pub machine: &'a Machine,
    pub certificate: &'a Path,
    pub members: usize,
    pub room_size: usize,
}

impl Crowd {
    /// Joins all of them, and gives how long each took.
    ///
    /// # Errors
    /// The relay refuses one.
    pub fn gather(gathering: &Gathering<'_>) -> Result<(Crowd, Vec<Duration>)> {
        let addresses = give_addresses(gathering)?;
        let runtime = Arc::new(runtime(2)?);
        let numbers: Vec<usize> = (0..gathering.members).collect();
        let share = numbers.len().div_ceil(JOINING_AT_ONCE).max(1);
        let joined = gathering.machine.inside(|| {
            thread::scope(|scope| {
                let joining: Vec<_> = numbers
                    .chunks(share)
                    .map(|numbers| {
                        let (runtime, addresses) = (&runtime, &addresses);
                        scope.spawn(move || join_some(gathering, numbers, addresses, runtime))
                    })
                    .collect();
                let joined = joining.into_iter().map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                });
                joined.collect::<Result<Vec<_>>>()
            })
        })??;
        let (members, times) = joined.into_iter().flatten().unzip();
        let crowd = Crowd {
            members,
            room_size: gathering.room_size,
            runtime,
        };
        Ok((crowd, times))
    }

    /// Everybody sends small frames to the next in the room, so many a second.
    pub fn play(&self, per_second: u32, time: Duration) -> Played {
        /// What is under way when the last was sent.
        const DRAIN: Duration = Duration::from_secs(1);
        let numbered: Vec<(usize, &BareMember)> = self.members.iter().enumerate().collect();
        let rooms = numbered.chunks(self.room_size);
        let pairs = rooms.flat_map(|room| room.iter().zip(room.iter().cycle().skip(1)));
        let playing: Vec<_> = pairs
            .map(|((number, member), (next_number, next))| {
                let receiving = self.runtime.spawn(count(member.arrivals(), time + DRAIN));
                let frame = small_frame(mac_of(*next_number), mac_of(*number));
                let way = (member.id(), next.id());
                (
                    self.runtime
                        .spawn(send(member.departures(), way, frame, per_second, time)),
                    receiving,
                )
            })
            .collect();
        self.runtime.block_on(async {
            let mut played = Played::default();
            for (sending, receiving) in playing {
                played.sent += sending.await.unwrap_or_default();
                played.arrived += receiving.await.unwrap_or_default();
            }
            played
        })
    }

    /// Everybody leaves, and the relay is told so.
    pub fn leave(self) {
        for member in &self.members {
            member.link().close(LeaveReason::Goodbye);
        }
        self.runtime.block_on(async {
            for member in &self.members {
                member.link().shutdown(LeaveReason::Goodbye).await;
            }
        });
    }
}

fn give_addresses(gathering: &Gathering<'_>) -> Result<Vec<Ipv4Addr>> {
    let rooms = gathering.members.div_ceil(gathering.room_size);
    let count = u8::try_from(rooms)
        .unwrap_or(MOST_ADDRESSES)
        .clamp(1, MOST_ADDRESSES);
    let addresses: Vec<Ipv4Addr> = (0..count)
        .map(|number| Ipv4Addr::new(203, 0, 113, 20 + number))
        .collect();
    let commands: String = addresses
        .iter()
        .map(|address| format!("address replace {address}/24 dev relay\n"))
        .collect();
    gathering.machine.feed(&["ip", "-batch", "-"], &commands)?;
    Ok(addresses)
}

fn join_some(
    gathering: &Gathering<'_>,
    numbers: &[usize],
    addresses: &[Ipv4Addr],
    runtime: &Arc<Runtime>,
) -> Result<Vec<(BareMember, Duration)>> {
    numbers
        .iter()
        .map(|&number| {
            let room = number / gathering.room_size;
            let socket = UdpSocket::bind((addresses[room % addresses.len()], 0))
                .with_context(|| format!("could not open a socket for member {number}"))?;
            let state_dir = gathering.machine.directory().join(format!("crowd/{number}"));
            fs::create_dir_all(&state_dir).context("could not create a member's folder")?;
            let join = Join {
                relay: SocketAddr::from((RELAY, 443)),
                certificate: gathering.certificate,
                state_dir: &state_dir,
                room: &format!("CROWD-{room}"),
                role: Role::Client,
                mac: Some(mac_of(number)),
                token: None,
            };
            let start = Instant::now();
            let member = BareMember::join_on(Arc::clone(runtime), socket, &join)
                .with_context(|| format!("member {number} could not join"))?;
            Ok((member, start.elapsed()))
        })
        .collect()
}

fn mac_of(number: usize) -> Mac {
    let [.., high, low] = number.to_be_bytes();
    Mac([2, 0x66, 0, 0, high, low])
}

/// Of the type that IEEE 802 keeps for experiments (0x88b5).
fn small_frame(to: Mac, from: Mac) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

async fn send(
    departures: Departures,
    (from, to): (MemberId, MemberId),
    frame: [u8; FRAME],
    per_second: u32,
    time: Duration,
) -> u64 {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    let start = Instant::now();
    let mut sequence = 0;
    while start.elapsed() < time {
        ticks.tick().await;
        let header = Header {
            kind: Kind::Frame,
            fragment: false,
            congested: false,
            class: Class::Interactive,
            key_id: 0,
            flow: 0,
            source: from,
            destination: Destination::Member(to),
            sequence,
        };
        let datagram = [&header.encode()[..], &frame].concat();
        if departures.send(Bytes::from(datagram)).await.is_err() {
            break;
        }
        sequence += 1;
    }
    sequence
}

async fn count(arrivals: Arrivals, time: Duration) -> u64 {
    tokio::time::sleep(time).await;
    let received = arrivals.until(Instant::now());
    // Nothing else of this length comes to a member in a room of such members.
    let ours = received
        .iter()
        .filter(|datagram| datagram.len() == HEADER_LEN + FRAME);
    ours.count() as u64
}
