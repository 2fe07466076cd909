//! A shard's datagrams: each is judged as it comes, and put into its targets' queues.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use lanparty_core::relay::{Forward, Ingress, Roster};
use lanparty_quic::{LinkId, Traffic};
use lanparty_wire::{DropCounters, DropReason, EtherView, HEADER_LEN, LeaveReason, MemberId, RoomId};
use parking_lot::Mutex;

#[cfg(not(feature = "test-hostile"))]
use crate::egress::Parcel;
use crate::{member::Member, registry::SharedRoster, relay::Relay};

/// A roster as shards read it.
pub type Members = Roster<Arc<Member>>;

/// What has come from a member, for whoever asks.
#[derive(Debug, Default)]
pub struct Received {
    pub datagrams: AtomicU64,
    pub bytes: AtomicU64,
    /// Second copies, among the datagrams.
    pub duplicates: AtomicU64,
    pub drops: Mutex<DropCounters>,
}

/// A member's place in the loop of its shard.
#[derive(Debug)]
pub struct Place {
    pub link: LinkId,
    pub room: RoomId,
    pub id: MemberId,
    pub member: Arc<Member>,
    pub ingress: Ingress,
    pub roster: SharedRoster,
}

/// The members of one shard, and which of whom have got something to send.
pub struct Forwarder {
    relay: Arc<Relay>,
    shard: usize,
    /// By their connections' slots.
    places: Vec<Option<Place>>,
    wanting: Vec<LinkId>,
    /// Those with a copy to send, and when. All copies wait equally long, so what is put in last is due last.
    copies: VecDeque<(Instant, LinkId)>,
    /// Those of other shards, by their shards.
    elsewhere: Vec<Vec<LinkId>>,
    #[cfg(feature = "test-hostile")]
    mischief: crate::hostile::Mischief,
}

impl Forwarder {
    pub fn new(relay: Arc<Relay>, shard: usize) -> Forwarder {
        let shards = relay.shards.len();
        Forwarder {
            relay,
            shard,
            places: Vec::new(),
            wanting: Vec::new(),
            copies: VecDeque::new(),
            elsewhere: vec![Vec::new(); shards],
            #[cfg(feature = "test-hostile")]
            mischief: crate::hostile::Mischief::new(),
        }
    }

    /// From now on the member's datagrams are forwarded, and what was queued for it is sent.
    pub fn enter(&mut self, place: Place) {
        let slot = place.link.slot();
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        self.wanting.push(place.link);
        self.places[slot] = Some(place);
    }

    pub fn leave(&mut self, link: LinkId) {
        if let Some(place) = self.places.get_mut(link.slot())
            && place.as_ref().is_some_and(|place| place.link == link)
        {
            *place = None;
        }
    }

    /// Other shards have put something into these members' queues.
    pub fn wake(&mut self, links: &mut Vec<LinkId>) {
        self.wanting.append(links);
    }

    /// When the next copy is due.
    pub fn next_copy(&self) -> Option<Instant> {
        self.copies.front().map(|&(due, _)| due)
    }

    /// Those whose copies are due want to send them.
    pub fn wake_copies(&mut self, now: Instant) {
        let due = self.copies.partition_point(|&(due, _)| due <= now);
        self.wanting
            .extend(self.copies.drain(..due).map(|(_, link)| link));
    }

    /// Those of other shards that have got something, by their shards; to be emptied after each round.
    pub fn elsewhere(&mut self) -> impl Iterator<Item = (usize, &mut Vec<LinkId>)> {
        let some = |(_, links): &(usize, &mut Vec<LinkId>)| !links.is_empty();
        self.elsewhere.iter_mut().enumerate().filter(some)
    }
}

impl Traffic for Forwarder {
    fn received(&mut self, now: Instant, link: LinkId, datagram: Bytes) {
        let Forwarder {
            relay,
            shard,
            places,
            wanting,
            elsewhere,
            #[cfg(feature = "test-hostile")]
            mischief,
            ..
        } = self;
        let Some(place) = find(places, link) else {
            // Not let in yet, or gone in this moment.
            relay.strange.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if place.ingress.is_over_malformed_limit() {
            return;
        }
        let roster = place.roster.load();
        let decision = place.ingress.forward(now, &datagram, &roster);
        trace(&place.room, place.id, &datagram, &decision);
        match decision {
            Ok(forward) => {
                let wake = |target: LinkId| {
                    let shard_of_target = target.engine();
                    if shard_of_target == *shard {
                        wanting.push(target);
                    } else if let Some(links) = elsewhere.get_mut(shard_of_target) {
                        links.push(target);
                    }
                };
                #[cfg(feature = "test-hostile")]
                mischief.send(now, &datagram, &forward, &roster, wake);
                #[cfg(not(feature = "test-hostile"))]
                send(now, &datagram, &forward, wake);
            }
            // Nothing was lost; this leg has paid for its losses.
            Err(DropReason::Duplicate) => {
                place
                    .member
                    .received
                    .duplicates
                    .store(place.ingress.duplicates(), Ordering::Relaxed);
            }
            Err(reason) => refuse(now, relay, place, reason),
        }
        let (datagrams, bytes) = place.ingress.received();
        let received = &place.member.received;
        received.datagrams.store(datagrams, Ordering::Relaxed);
        received.bytes.store(bytes, Ordering::Relaxed);
    }

    fn next(&mut self, now: Instant, link: LinkId, budget: u16) -> Option<Bytes> {
        let place = find(&mut self.places, link)?;
        let egress = &place.member.egress;
        let (next, copy_due) = egress.next(now, place.id, budget);
        self.copies.extend(copy_due.map(|due| (due, link)));
        next
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        links.append(&mut self.wanting);
    }
}

fn find(places: &mut [Option<Place>], link: LinkId) -> Option<&mut Place> {
    let place = places.get_mut(link.slot())?.as_mut()?;
    (place.link == link).then_some(place)
}

#[cfg(not(feature = "test-hostile"))]
fn send(now: Instant, datagram: &Bytes, forward: &Forward<'_, Arc<Member>>, mut wake: impl FnMut(LinkId)) {
    let parcel = Parcel {
        datagram,
        class: forward.class,
        flow: forward.flow,
    };
    forward.targets.for_each(|target| {
        if target.handle.egress.push(now, parcel) {
            wake(target.handle.egress.link().id());
        }
    });
}

/// Publishes what was dropped; one who has sent too much that makes no sense has to go.
fn refuse(now: Instant, relay: &Relay, place: &Place, reason: DropReason) {
    *place.member.received.drops.lock() = place.ingress.drops().clone();
    if reason != DropReason::Malformed || !place.ingress.is_over_malformed_limit() {
        return;
    }
    let remote = place.member.egress.link().remote_address().ip();
    if relay.lines.may_write(now, remote) {
        tracing::warn!(room = %place.room, member = %place.id, malformed = place.ingress.malformed(),
            "a member sends malformed datagrams and is disconnected");
    }
    place.member.dismiss(LeaveReason::Malformed);
}

/// Every decision, for whoever asks for TRACE.
fn trace(
    room: &RoomId,
    member: MemberId,
    datagram: &[u8],
    decision: &Result<Forward<'_, Arc<Member>>, DropReason>,
) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let frame = datagram
        .get(HEADER_LEN..)
        .filter(|_| !room.is_sealed())
        .and_then(|bytes| EtherView::parse(bytes).ok());
    let (action, reason, targets) = match decision {
        Ok(forward) => ("forwarded", "", forward.targets.for_each(|_| {})),
        Err(reason) => (reason.action().name(), reason.name(), 0),
    };
    tracing::trace!(
        %room,
        %member,
        source = frame.map(|frame| tracing::field::display(frame.source())),
        destination = frame.map(|frame| tracing::field::display(frame.destination())),
        ethertype = frame.map(|frame| frame.type_or_length()),
        length = datagram.len(),
        action,
        reason,
        targets,
        "datagram"
    );
}
