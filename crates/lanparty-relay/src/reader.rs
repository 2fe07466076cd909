//! One member's datagrams: read in batches, judged, and sent to their targets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use lanparty_core::relay::{Forward, Ingress, Roster};
use lanparty_wire::{DropCounters, DropReason, EtherView, HEADER_LEN, LeaveReason, MemberId, RoomId};
use parking_lot::Mutex;

use crate::{egress::Parcel, member::Member, registry::SharedRoster, relay::Relay};

/// What has come from a member, for whoever asks.
#[derive(Debug, Default)]
pub struct Received {
    pub datagrams: AtomicU64,
    pub bytes: AtomicU64,
    pub drops: Mutex<DropCounters>,
}

/// Reads until the connection ends, or until the member has sent too much that makes no sense.
pub async fn read(
    relay: Arc<Relay>,
    member: Arc<Member>,
    mut ingress: Ingress,
    (room, id): (RoomId, MemberId),
    roster: SharedRoster,
) {
    let mut batch: Vec<Bytes> = Vec::new();
    while member.egress.link().recv_many(&mut batch).await.is_ok() {
        let now = Instant::now();
        let dropped = ingress.drops().total();
        {
            let roster = roster.load();
            for datagram in batch.drain(..) {
                let decision = ingress.forward(now, &datagram, &roster);
                trace(&room, id, &datagram, &decision);
                if let Ok(forward) = decision {
                    send(now, id, &datagram, &forward);
                }
            }
        }
        publish(&member.received, &ingress, dropped);
        if ingress.is_over_malformed_limit() {
            if relay
                .lines
                .may_write(now, member.egress.link().remote_address().ip())
            {
                tracing::warn!(%room, member = %id, malformed = ingress.malformed(), "a member sends malformed datagrams and is disconnected");
            }
            member.dismiss(LeaveReason::Malformed);
            return;
        }
    }
}

fn send(now: Instant, source: MemberId, datagram: &Bytes, forward: &Forward<'_, Arc<Member>>) {
    forward.targets.for_each(|target| {
        target.handle.egress.send(
            now,
            Parcel {
                datagram,
                class: forward.class,
                flow: forward.flow,
                source,
                target: target.member.id,
            },
        );
    });
}

fn publish(received: &Received, ingress: &Ingress, dropped_before: u64) {
    let (datagrams, bytes) = ingress.received();
    received.datagrams.store(datagrams, Ordering::Relaxed);
    received.bytes.store(bytes, Ordering::Relaxed);
    if ingress.drops().total() != dropped_before {
        *received.drops.lock() = ingress.drops().clone();
    }
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

/// A roster as readers hold it.
pub type Members = Roster<Arc<Member>>;
