//! Asking a LAN with a few frames, from the interface's own address and from some that are not its own.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use lanparty_wire::{
    Frame, Mac,
    doctor::{LanProbe, Station},
};
use tokio::time::timeout_at;

use super::frames::{self, Answer};
use crate::device::{
    Batch, Device, DeviceError, FrameOrigin, FrameSink, FrameSource, OutBatch,
    packet::{PacketDevice, PacketSink},
};

/// How many foreign addresses ask: as many as a small party has players, so that a port's limit shows.
pub const PROBES: usize = 4;
/// How long answers are waited for: some DHCP servers ask around for three seconds before they offer.
pub const LISTENING: Duration = Duration::from_secs(5);

/// Who has not answered is asked again at this interval; an answer that takes half as long is late on any LAN.
const AGAIN: Duration = Duration::from_millis(600);
/// Hosts that are asked at most.
const MOST_HOSTS: usize = 8;
/// A leave shortly after its join, which a switch has noted by then.
const LEAVE_AFTER: Duration = Duration::from_millis(300);

/// Who asks, and whom to begin with.
#[derive(Clone, Debug)]
pub struct Probing {
    /// The interface's own address.
    pub own: Mac,
    /// Random addresses that players could have.
    pub foreign: [Mac; PROBES],
    /// Random.
    pub transaction: u32,
    /// Hosts that are believed to be on the LAN. Others are found by listening.
    pub hosts: Vec<Ipv4Addr>,
}

/// Asks for [`LISTENING`]. Must be called within a tokio runtime.
///
/// # Errors
/// The interface is down, or we may not send by it.
pub async fn probe_lan(interface: &str, probing: &Probing) -> Result<LanProbe, DeviceError> {
    let (mut source, mut sink) = PacketDevice::open(interface)?.split();
    let begin = Instant::now();
    let mut asked = Asked::new(probing);
    let mut batch = Batch::new();
    let mut round = begin;
    let mut has_left = false;
    while begin.elapsed() < LISTENING {
        let now = Instant::now();
        if now >= round {
            round = now + AGAIN;
            send(&mut sink, &asked.questions(now, probing)).await?;
        }
        if !has_left && begin.elapsed() >= LEAVE_AFTER {
            has_left = true;
            send(&mut sink, &[frames::leave(probing.own)]).await?;
        }
        let leave = (!has_left).then_some(begin + LEAVE_AFTER);
        let until = round.min(begin + LISTENING).min(leave.unwrap_or(round));
        // Nothing came in time.
        let Ok(received) = timeout_at(until.into(), source.recv(&mut batch)).await else {
            continue;
        };
        received?;
        for received in batch.received() {
            if let Some(answer) = frames::read(received.frame.bytes, probing.transaction) {
                asked.handle(probing, answer, received.origin);
            }
        }
    }
    Ok(asked.conclude())
}

async fn send(sink: &mut PacketSink, frames: &[Vec<u8>]) -> Result<(), DeviceError> {
    let mut batch = OutBatch::new();
    for frame in frames {
        if batch.is_full() {
            sink.send(&mut batch).await?;
        }
        // It is shorter than any device takes, and the batch has room.
        let _ = batch.push(Frame::plain(frame));
    }
    sink.send(&mut batch).await?;
    Ok(())
}

/// What was asked of whom, and what came back.
struct Asked {
    hosts: Vec<Host>,
    found: LanProbe,
    is_first: bool,
}

struct Host {
    address: Ipv4Addr,
    mac: Option<Mac>,
    own_asked: Option<Instant>,
    answered_own: bool,
    answered_foreign: BTreeSet<Mac>,
    large_asked: bool,
    answered_large: bool,
}

impl Asked {
    fn new(probing: &Probing) -> Asked {
        let mut asked = Asked {
            hosts: Vec::new(),
            found: LanProbe {
                probes: PROBES as u8,
                ..LanProbe::default()
            },
            is_first: true,
        };
        for address in &probing.hosts {
            asked.add(*address);
        }
        asked
    }

    fn add(&mut self, address: Ipv4Addr) {
        let is_known = self.hosts.iter().any(|host| host.address == address);
        let is_host = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        if is_host && !is_known && self.hosts.len() < MOST_HOSTS {
            self.hosts.push(Host {
                address,
                mac: None,
                own_asked: None,
                answered_own: false,
                answered_foreign: BTreeSet::new(),
                large_asked: false,
                answered_large: false,
            });
        }
    }

    /// What is to be sent in this round: everything that has no answer yet.
    fn questions(&mut self, now: Instant, probing: &Probing) -> Vec<Vec<u8>> {
        let mut questions = Vec::new();
        if std::mem::take(&mut self.is_first) {
            questions.push(frames::join(probing.own));
        }
        if self.found.offers.is_empty() {
            questions.push(frames::discover(probing.foreign[0], probing.transaction));
            // Where the switch takes no foreign address, the server is found all the same.
            questions.push(frames::discover(probing.own, probing.transaction));
        }
        for host in &mut self.hosts {
            let mut ask = |from, large| questions.push(frames::arp(from, host.address, large));
            if !host.answered_own {
                host.own_asked = Some(now);
                ask(probing.own, false);
            } else if !host.answered_large && host.own_asked.is_none_or(|asked| asked + AGAIN / 2 <= now) {
                // An answer that comes from here on cannot be one to a small frame.
                host.large_asked = true;
                ask(probing.own, true);
            }
            for foreign in &probing.foreign {
                if !host.answered_foreign.contains(foreign) {
                    ask(*foreign, false);
                }
            }
        }
        questions
    }

    fn handle(&mut self, probing: &Probing, answer: Answer, origin: FrameOrigin) {
        match (answer, origin) {
            (Answer::Offer(offer), _) => {
                self.add(offer.server);
                if !self.found.offers.contains(&offer) {
                    self.found.offers.push(offer);
                }
            }
            (Answer::Query(mac), _) => {
                if !self.found.queriers.contains(&mac) {
                    self.found.queriers.push(mac);
                }
            }
            (Answer::Seen(address), FrameOrigin::Wire) => self.add(address),
            (Answer::Arp { to, from, address }, FrameOrigin::Wire) => {
                let Some(host) = self.hosts.iter_mut().find(|host| host.address == address) else {
                    return;
                };
                host.mac = Some(from);
                if to == probing.own {
                    host.answered_large |= host.large_asked;
                    host.answered_own = true;
                } else if probing.foreign.contains(&to) {
                    host.answered_foreign.insert(to);
                }
            }
            (Answer::Seen(_) | Answer::Arp { .. }, FrameOrigin::ThisHost) => {}
        }
    }

    fn conclude(mut self) -> LanProbe {
        let stations = self.hosts.iter().filter_map(|host| {
            Some(Station {
                address: host.address,
                mac: host.mac?,
                answered_own: host.answered_own,
                answered_probes: host.answered_foreign.len() as u8,
                answered_large: host.answered_large,
            })
        });
        self.found.hosts = stations.collect();
        self.found
    }
}
