//! A newcomer with a short code: finds the host by its number, proves the words to it, and has an invite then.

use std::time::Duration;

use lanparty_core::admission::{CodeStep, CodeTry};
use lanparty_quic::{ControlReceiver, ControlSender, DialError, Path, TrustOutcome};
use lanparty_wire::{
    AdmissionRefusal, CodeMessage, Invite, LeaveReason, MemberId, PeerId, RejectReason, SealedRoom,
    ShortCode,
    control::{Message, Role, Welcome},
    seal::{envelope, envelope_bytes},
};

use crate::{
    EndpointConfig, EndpointError,
    uplink::{DialFailure, Uplinks},
    uplinked::chain,
};

/// How long the relay may take to name a host that is there.
const NAMED: Duration = Duration::from_secs(3);
/// How long a host that is there may take for the whole exchange of four messages.
const PATIENCE: Duration = Duration::from_secs(15);
/// A relay that cannot be reached is tried again after this time.
const PAUSE: Duration = Duration::from_secs(2);

/// Trades a short code for an invite, trying as long as the relay cannot be reached; `problem` hears why. The room in `config` is not looked
/// at. An invite names the relay as `config` does, and its key where nothing but the exchange has vouched for it.
///
/// # Errors
/// The relay knows no such code or is not trusted, the host is away, or the words are not those of its code.
pub async fn redeem(
    config: EndpointConfig,
    code: ShortCode,
    mut problem: impl FnMut(&str),
) -> Result<Invite, EndpointError> {
    let me = config.identity.peer_id();
    let uplinks = Uplinks::new(config, rand::random()).map_err(EndpointError::Untrusted)?;
    let mut attempt = 0;
    let (path, welcome, room) = loop {
        attempt += 1;
        match uplinks.dial_number(attempt, code.number).await {
            Ok(joined) => break joined,
            Err(failure @ DialFailure::Dial(DialError::Rejected(RejectReason::ShuttingDown, _))) => {
                wait_after(&failure, &mut problem).await;
            }
            Err(failure) => match failure.into_final() {
                Ok(error) => return Err(error),
                Err(failure) => wait_after(&failure, &mut problem).await,
            },
        }
    };
    let trust = path.trust();
    let pin = path.pin();
    let mut invite = ask(path, welcome, room, code, me).await?;
    // The host may see the relay under a name that means nothing here.
    invite.relay = uplinks.relay().clone();
    if matches!(trust, TrustOutcome::FirstUse(_) | TrustOutcome::Known) {
        invite.pin = Some(pin);
    }
    Ok(invite)
}

async fn wait_after(failure: &DialFailure, problem: &mut impl FnMut(&str)) {
    problem(&chain(failure));
    tokio::time::sleep(PAUSE).await;
}

/// Asks the host of the room, and leaves.
async fn ask(
    path: Path,
    welcome: Welcome,
    room: SealedRoom,
    code: ShortCode,
    me: PeerId,
) -> Result<Invite, EndpointError> {
    let pin = path.pin();
    let (mut engine, link, mut sender, mut receiver) = path.split();
    let exchange = async {
        if !welcome.sealed {
            return Err(EndpointError::Downgraded);
        }
        let named = tokio::time::timeout(NAMED, find_host(&mut receiver, &room)).await;
        let (host, identity) = named.ok().flatten().ok_or(AWAY)?;
        let (attempt, start) = CodeTry::start(&mut rand::rng(), code, me, identity, pin);
        let proven = prove(&mut sender, &mut receiver, host, attempt, start);
        tokio::time::timeout(PATIENCE, proven).await.map_err(|_| AWAY)?
    };
    let outcome = engine.drive_until(exchange).await;
    engine.drive_until(link.shutdown(LeaveReason::Goodbye)).await;
    outcome
}

const AWAY: EndpointError = EndpointError::Refused(AdmissionRefusal::HostAway);

/// The LAN gateway, if it is the one whom the room belongs to.
async fn find_host(receiver: &mut ControlReceiver, room: &SealedRoom) -> Option<(MemberId, PeerId)> {
    loop {
        let message = receiver.recv().await.ok()??;
        if let Message::Joined { member } = message
            && member.role == Role::Gateway
            && room.belongs_to(&member.identity)
        {
            return Some((member.id, member.identity));
        }
    }
}

async fn prove(
    sender: &mut ControlSender,
    receiver: &mut ControlReceiver,
    host: MemberId,
    mut attempt: CodeTry,
    start: CodeMessage,
) -> Result<Invite, EndpointError> {
    let write = |message: &CodeMessage| envelope(host, &message.encode());
    sender.send(&write(&start)).await.map_err(|_| AWAY)?;
    loop {
        let message = receiver.recv().await.ok().flatten().ok_or(AWAY)?;
        let Some(message) = code_message(&message, host) else {
            continue;
        };
        match attempt.handle(&message) {
            Ok(CodeStep::Send(message)) => sender.send(&write(&message)).await.map_err(|_| AWAY)?,
            Ok(CodeStep::Invited(invite)) => return Ok(*invite),
            Err(refusal) => {
                // The host need not wait for us any more; whether it hears that changes nothing for us.
                let _ = sender.send(&write(&CodeMessage::Refused(refusal))).await;
                return Err(EndpointError::Refused(refusal));
            }
        }
    }
}

/// What the host says about the code.
fn code_message(message: &Message, host: MemberId) -> Option<CodeMessage> {
    let Message::Envelope {
        from: Some(from),
        data,
        ..
    } = message
    else {
        return None;
    };
    let bytes = envelope_bytes(data).ok()?;
    let is_ours = *from == host && CodeMessage::is_one(&bytes);
    is_ours.then(|| CodeMessage::decode(&bytes).ok()).flatten()
}
