//! One member's connection, from its hello to its end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use lanparty_core::{
    redundancy::Mode,
    relay::{Ingress, Join, Refusal, RosterRefusal, Seat, plain_words},
};
use lanparty_quic::{ControlReceiver, Inbound, Link, PathClosed, RecvError};
use lanparty_wire::{
    DropCounters, DropReason, LeaveReason, MemberId, RejectReason, ShortNumber,
    control::{self, Message, Stats},
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    egress::Egress,
    forward::{Place, Received},
    memory::unix_now,
    outbox::{Outbox, Receipt},
    pace::Pace,
    registry::{Joined, Registry, encode},
    relay::Relay,
};

/// How long a joiner waits at most until the others know of it and its id is on disk. A slow member must not keep it out.
const PATIENCE: Duration = Duration::from_millis(150);
/// How long a member has to take a last message.
const GOODBYE: Duration = Duration::from_millis(300);
/// The largest envelope that is passed on: a handshake message with a certificate and a roster's signature fits.
const MAX_ENVELOPE: usize = 4 * 1024;

/// What others need of a member.
#[derive(Debug)]
pub struct Member {
    pub egress: Egress,
    pub received: Received,
    /// What it last said about itself.
    pub reported: Mutex<Option<Stats>>,
    /// Its envelopes and rosters that went no further.
    pub control_drops: Mutex<DropCounters>,
    outbox: Outbox,
    dismissed: watch::Sender<Option<LeaveReason>>,
}

impl Member {
    fn new(link: Link, redundancy: Mode) -> Member {
        Member {
            egress: Egress::new(link, redundancy),
            received: Received::default(),
            reported: Mutex::new(None),
            control_drops: Mutex::default(),
            outbox: Outbox::default(),
            dismissed: watch::Sender::new(None),
        }
    }

    /// Ends its connection; only the first reason counts.
    pub fn dismiss(&self, reason: LeaveReason) {
        self.dismissed.send_if_modified(|dismissed| {
            let is_first = dismissed.is_none();
            dismissed.get_or_insert(reason);
            is_first
        });
    }

    /// Queues a control message that must not be missed.
    pub fn tell(&self, message: Bytes, receipt: Option<Receipt>) {
        if self.outbox.push(message, receipt).is_err() {
            self.dismiss(LeaveReason::ConnectionLost);
        }
    }

    /// Queues a roster, of which only the newest matters.
    pub fn tell_roster(&self, message: Bytes) {
        if self.outbox.push_roster(message).is_err() {
            self.dismiss(LeaveReason::ConnectionLost);
        }
    }

    fn drop_control(&self, seat: &Seat, what: &'static str, reason: DropReason) {
        self.control_drops.lock().count(reason);
        tracing::debug!(room = %seat.room, member = %seat.member, what, reason = reason.name(), "a control message was dropped");
    }
}

/// Serves one who has said hello, until he is gone.
pub async fn serve(relay: Arc<Relay>, inbound: Inbound) {
    if relay.is_stopping() {
        return inbound.reject(RejectReason::ShuttingDown, String::new()).await;
    }
    let member = Arc::new(Member::new(inbound.link().clone(), relay.plan.redundancy));
    let join = Join {
        identity: inbound.peer,
        hello: &inbound.hello,
        address: inbound.remote.ip(),
        may_open: may_open(&relay, &inbound).await,
        leg_budget: inbound.link().budget(),
        clock: Instant::now(),
    };
    let joined = match relay.registry.join(unix_now(), &join, &member) {
        Ok(joined) => joined,
        Err(refusal) => {
            log_refusal(&relay, &inbound, &refusal);
            return inbound.reject(refusal.reason, refusal.detail).await;
        }
    };
    log_join(&relay, &inbound, &joined);
    let (seat, address) = (joined.seat.clone(), inbound.remote.ip());
    let reason = host(&relay, &member, joined, inbound).await;
    relay.registry.leave(unix_now(), &seat, reason.clone());
    let unsent = member.egress.end();
    relay.unsent.fetch_add(unsent, Ordering::Relaxed);
    if relay.lines.may_write(Instant::now(), address) {
        tracing::info!(room = %seat.room, member = %seat.member, reason = reason.sentence(), unsent, "a member left");
    }
}

/// Tokens are read only where they count.
async fn may_open(relay: &Arc<Relay>, inbound: &Inbound) -> bool {
    if !relay.plan.require_token {
        return true;
    }
    let Some(token) = inbound.hello.token.clone() else {
        return false;
    };
    let relay = relay.clone();
    let check = tokio::task::spawn_blocking(move || relay.tokens.check(unix_now(), &token));
    check.await.unwrap_or(false)
}

fn log_refusal(relay: &Relay, inbound: &Inbound, refusal: &Refusal) {
    if relay.lines.may_write(Instant::now(), inbound.remote.ip()) {
        tracing::info!(room = %inbound.hello.room, remote = %inbound.remote, identity = ?inbound.peer,
            reason = ?refusal.reason, detail = refusal.detail, "a join was refused");
    }
}

fn log_join(relay: &Relay, inbound: &Inbound, joined: &Joined) {
    if relay.lines.may_write(Instant::now(), inbound.remote.ip()) {
        tracing::info!(room = %joined.seat.room, member = %joined.member.id, name = joined.member.name,
            role = ?joined.member.role, mac = joined.member.mac.map(tracing::field::display),
            remote = %inbound.remote, identity = ?inbound.peer,
            software = plain_words(&inbound.hello.software), "a member joined");
    }
}

/// Runs a member's tasks, and returns why it left.
async fn host(relay: &Arc<Relay>, member: &Arc<Member>, mut joined: Joined, inbound: Inbound) -> LeaveReason {
    let (link, sender, mut receiver) = inbound.split();
    wait_until_known(relay, &mut joined).await;
    // It is in its place before it is welcomed, and sends nothing before.
    relay.enter(Place {
        link: link.id(),
        room: joined.seat.room.clone(),
        id: joined.seat.member,
        member: member.clone(),
        ingress: Ingress::new(
            &joined.member,
            joined.seat.room.is_sealed(),
            &relay.plan.ingress,
            Instant::now(),
        ),
        roster: joined.roster.clone(),
    });
    let mut tasks = JoinSet::new();
    let writer = member.clone();
    tasks.spawn(async move { writer.outbox.write_to(sender).await });
    let mut dismissed = member.dismissed.subscribe();
    let reason = tokio::select! {
        reason = converse(relay, member, &joined, &link, &mut receiver) => reason,
        reason = dismissal(&mut dismissed) => {
            say_goodbye(member, reason.clone()).await;
            reason
        }
    };
    link.close(reason.clone());
    tasks.shutdown().await;
    relay.leave(link.id());
    reason
}

async fn dismissal(dismissed: &mut watch::Receiver<Option<LeaveReason>>) -> LeaveReason {
    match dismissed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(LeaveReason::ConnectionLost),
        Err(_) => LeaveReason::ConnectionLost,
    }
}

/// The others hear of a joiner before it is welcomed, so that they know it when its first frame comes; and its id is on disk, so
/// that not even a crash in the next moment gives it to somebody else.
async fn wait_until_known(relay: &Relay, joined: &mut Joined) {
    let mut saved = relay.registry.saved.subscribe();
    let change = joined.change;
    let known = async {
        // The channel ends with the last receipt.
        while joined.told.recv().await.is_some() {}
        if let Some(change) = change {
            // The sender lives as long as the relay.
            let _ = saved.wait_for(|saved| *saved >= change).await;
        }
    };
    if timeout(PATIENCE, known).await.is_err() {
        tracing::debug!(room = %joined.seat.room, member = %joined.seat.member,
            "a joiner is welcomed before everybody has heard of it");
    }
}

async fn say_goodbye(member: &Member, reason: LeaveReason) {
    if let Some(goodbye) = encode(&Message::Goodbye { reason })
        && member.outbox.push(goodbye, None).is_ok()
    {
        // Who does not take it in time reads the reason in the close.
        let _ = timeout(GOODBYE, member.outbox.flushed()).await;
    }
}

/// Handles what a member says and what its leg shows, until it has left.
async fn converse(
    relay: &Arc<Relay>,
    member: &Member,
    joined: &Joined,
    link: &Link,
    receiver: &mut ControlReceiver,
) -> LeaveReason {
    let mut budgets = link.budget_changes();
    let mut pace = Pace::new(Instant::now());
    let (mut next, mut consumed) = (Instant::now(), 0);
    // It may have changed since the member was let in.
    budgets.mark_changed();
    loop {
        tokio::select! {
            message = receive_from(next, receiver) => match message {
                Ok(Some(Message::Goodbye { .. })) | Ok(None) => return LeaveReason::Goodbye,
                Ok(Some(message)) => {
                    if let Message::Roster { .. } = &message {
                        pace.charge_roster();
                    }
                    handle(relay, member, joined, message);
                    next = pace.charge(Instant::now(), receiver.consumed() - consumed);
                    consumed = receiver.consumed();
                }
                Err(error) => return why(relay, link, &joined.seat, error),
            },
            changed = budgets.changed() => {
                if changed.is_err() {
                    return LeaveReason::ConnectionLost;
                }
                let budget = *budgets.borrow_and_update();
                relay.registry.set_budget(&joined.seat, None, Some(budget));
            }
        }
    }
}

/// The next message, but not before its time. Cancel-safe.
async fn receive_from(time: Instant, receiver: &mut ControlReceiver) -> Result<Option<Message>, RecvError> {
    sleep_until(time.into()).await;
    receiver.recv().await
}

fn why(relay: &Relay, link: &Link, seat: &Seat, error: RecvError) -> LeaveReason {
    match error {
        RecvError::Closed(PathClosed::Peer(LeaveReason::Goodbye)) => LeaveReason::Goodbye,
        RecvError::Closed(PathClosed::TimedOut) => LeaveReason::TimedOut,
        RecvError::Closed(_) => LeaveReason::ConnectionLost,
        RecvError::Decode(error) => {
            if relay.lines.may_write(Instant::now(), link.remote_address().ip()) {
                let error = plain_words(&error.to_string());
                tracing::info!(room = %seat.room, member = %seat.member, error, "a member sent an invalid control message");
            }
            LeaveReason::Malformed
        }
    }
}

fn handle(relay: &Arc<Relay>, member: &Member, joined: &Joined, message: Message) {
    let (registry, seat) = (&relay.registry, &joined.seat);
    match message {
        Message::Budget { bytes, .. } => registry.set_budget(seat, Some(bytes), None),
        Message::LanLink { up, .. } => registry.set_lan_link(seat, up),
        Message::Group { handle, members } => registry.set_group(seat, handle, &members),
        Message::Envelope { to, data, .. } => pass_on(member, joined, to, data),
        Message::Roster { data } => take_roster(relay, member, seat, &data),
        Message::ShortNumbers { numbers } => answer_numbers(registry, member, seat, &numbers),
        Message::Renew { number } => answer_renewal(registry, member, seat, number),
        Message::Standbys { identities } => registry.name_standbys(seat, &identities),
        Message::Stats(stats) => *member.reported.lock() = Some(stats),
        // What only a relay says, a second hello, and what a later version says.
        Message::Hello(_)
        | Message::Welcome(_)
        | Message::Reject { .. }
        | Message::Joined { .. }
        | Message::Left { .. }
        | Message::Goodbye { .. }
        | Message::Lookup { .. }
        | Message::Found { .. }
        | Message::Lease { .. }
        | Message::Gateway { .. }
        | Message::Unknown => {
            tracing::debug!(room = %seat.room, member = %seat.member, "a control message without meaning here");
        }
    }
}

#[cfg(feature = "test-hostile")]
fn show_old_rosters(relay: &Arc<Relay>, seat: &Seat, data: &str) {
    let (relay, room, data) = (relay.clone(), seat.room.clone(), data.to_owned());
    tokio::spawn(async move { crate::hostile::show_old(&relay.registry, &room, data).await });
}

fn take_roster(relay: &Arc<Relay>, member: &Member, seat: &Seat, data: &str) {
    let reason = match BASE64.decode(data) {
        Err(_) => DropReason::BadRoster,
        Ok(bytes) => match relay.registry.take_roster(unix_now(), seat, &bytes) {
            Ok(true) => {
                #[cfg(feature = "test-hostile")]
                show_old_rosters(relay, seat, data);
                return tracing::debug!(room = %seat.room, from = %seat.member, "a newer roster");
            }
            Ok(false) => return,
            Err(RosterRefusal::Paper(_)) => DropReason::BadRoster,
            Err(RosterRefusal::Older { .. }) => DropReason::OldRoster,
            Err(RosterRefusal::Equivocation(number)) => {
                if relay
                    .lines
                    .may_write(Instant::now(), member.egress.link().remote_address().ip())
                {
                    tracing::warn!(room = %seat.room, from = %seat.member, number,
                        "the host's key has signed two rosters with one number; the second is not taken");
                }
                DropReason::RosterConflict
            }
        },
    };
    member.drop_control(seat, "roster", reason);
}

fn answer_renewal(registry: &Registry, member: &Member, seat: &Seat, number: u64) {
    let Some((term, tenure)) = registry.renew(seat) else {
        return;
    };
    if let Some(answer) = encode(&Message::Lease { number, term, tenure }) {
        member.tell(answer, None);
    }
}

fn answer_numbers(registry: &Registry, member: &Member, seat: &Seat, numbers: &[ShortNumber]) {
    let held = registry.set_numbers(seat, numbers);
    let answer = held.and_then(|numbers| encode(&Message::ShortNumbers { numbers }));
    if let Some(answer) = answer {
        member.tell(answer, None);
    }
}

/// An envelope that is too large or finds no room is lost and counted with its sender, who asks again if it matters.
fn pass_on(sender: &Member, joined: &Joined, to: MemberId, data: String) {
    let from = joined.seat.member;
    let drop_it = |reason| sender.drop_control(&joined.seat, "envelope", reason);
    if data.len() > MAX_ENVELOPE {
        return drop_it(DropReason::DatagramBudget);
    }
    let roster = joined.roster.load();
    let target = match roster.addressee(from, to) {
        Ok(target) => target,
        Err(reason) => return drop_it(reason),
    };
    let envelope = Message::Envelope {
        from: Some(from),
        to,
        data,
    };
    if let Some(bytes) = encode(&envelope)
        && target.handle.outbox.push_envelope(bytes).is_err()
    {
        drop_it(DropReason::QueueFull);
    }
}

/// What everybody in the room is told of a member; for the report.
pub type Described = (control::Member, Arc<Member>);
