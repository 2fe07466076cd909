//! A relay that attacks its own members, for the test that they bear it: it loses, reorders, repeats, changes, invents and misdirects
//! datagrams, and shows old rosters. It is in no build for people (feature `test-hostile`).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_core::{relay::Forward, scheduler::FlowId};
use lanparty_quic::LinkId;
use lanparty_wire::{Class, Destination, HEADER_LEN, Header, RoomId};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    egress::Parcel,
    forward::Members,
    member::Member,
    registry::{self, Registry},
};

/// Datagrams from which it repeats.
const REMEMBERED: usize = 512;
/// When an older roster follows a newer one.
const LATER: Duration = Duration::from_millis(500);

/// What it has seen and held back.
#[derive(Debug)]
pub struct Mischief {
    random: SmallRng,
    seen: VecDeque<Mail>,
    held: Option<Mail>,
}

/// A datagram, and to whom it goes.
#[derive(Clone, Debug)]
struct Mail {
    datagram: Bytes,
    class: Class,
    flow: FlowId,
    targets: Vec<Arc<Member>>,
}

impl Mischief {
    pub fn new() -> Mischief {
        Mischief {
            random: SmallRng::from_os_rng(),
            seen: VecDeque::new(),
            held: None,
        }
    }

    /// Does with a datagram what it likes.
    pub fn send(
        &mut self,
        now: Instant,
        datagram: &Bytes,
        forward: &Forward<'_, Arc<Member>>,
        roster: &Members,
        mut wake: impl FnMut(LinkId),
    ) {
        let mut targets = Vec::new();
        forward
            .targets
            .for_each(|target| targets.push(target.handle.clone()));
        let mail = Mail {
            datagram: datagram.clone(),
            class: forward.class,
            flow: forward.flow,
            targets,
        };
        let forged = self.forge(&mail, roster);
        self.remember(&mail);
        for mail in self.pass(mail).into_iter().chain([forged]).flatten() {
            let parcel = Parcel {
                datagram: &mail.datagram,
                class: mail.class,
                flow: mail.flow,
            };
            for target in &mail.targets {
                if target.egress.push(now, parcel) {
                    wake(target.egress.link().id());
                }
            }
        }
    }

    /// The genuine one: lost, held back until the next has passed it, or passed on.
    fn pass(&mut self, mail: Mail) -> [Option<Mail>; 2] {
        let held = self.held.take();
        match self.random.random_range(0..200) {
            0 => [held, None],
            1..4 if held.is_none() => {
                self.held = Some(mail);
                [None, None]
            }
            _ => [Some(mail), held],
        }
    }

    /// Often one besides that no honest relay would send.
    fn forge(&mut self, mail: &Mail, roster: &Members) -> Option<Mail> {
        let (header, payload) = Header::decode(&mail.datagram).ok()?;
        let other = roster.entries().iter().rfind(|entry| {
            entry.member.id != header.source && header.destination != Destination::Member(entry.member.id)
        })?;
        let mut forged = mail.clone();
        let mut with = |header: Header| forged.datagram = [&header.encode()[..], payload].concat().into();
        match self.random.random_range(0..40) {
            0 => {
                let bit = self.random.random_range(HEADER_LEN * 8..mail.datagram.len() * 8);
                let mut changed = mail.datagram.to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                forged.datagram = changed.into();
            }
            1 => with(Header {
                source: other.member.id,
                ..header
            }),
            2 => with(Header { key_id: 0, ..header }),
            3 => {
                with(Header {
                    destination: Destination::Member(other.member.id),
                    ..header
                });
                forged.targets = vec![other.handle.clone()];
            }
            4 => forged.targets = vec![other.handle.clone()],
            5 | 6 if !self.seen.is_empty() => {
                let index = self.random.random_range(0..self.seen.len());
                forged = self.seen[index].clone();
            }
            _ => return None,
        }
        Some(forged)
    }

    fn remember(&mut self, mail: &Mail) {
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(mail.clone());
    }
}

/// The rosters that have come, in their order.
static ROSTERS: Mutex<Vec<(RoomId, Bytes)>> = Mutex::new(Vec::new());

/// A newer roster has come: everybody is shown all older ones after it.
pub async fn show_old(registry: &Registry, room: &RoomId, data: String) {
    let old: Vec<Bytes> = {
        let mut rosters = ROSTERS.lock();
        let old = rosters.iter().filter(|(of, _)| of == room);
        let old = old.map(|(_, message)| message.clone()).collect();
        let message = registry::encode(&lanparty_wire::control::Message::Roster { data });
        rosters.extend(message.map(|message| (room.clone(), message)));
        old
    };
    tokio::time::sleep(LATER).await;
    registry.each_room(|of, members| {
        for (_, member) in members.iter().filter(|_| of == room) {
            old.iter().for_each(|message| member.tell(message.clone(), None));
        }
    });
}
