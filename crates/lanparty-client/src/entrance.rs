//! How the player comes in: by link, by short code, or by an open room's code.
//!
//! A short code is traded for an invite before anything on this machine is changed. What it was traded for is kept, so that a client that starts
//! anew with the same code goes on as the member that it is, instead of asking by a code that is over.

use std::{
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use lanparty_api::{Status, cli::Failure};
use lanparty_core::admission::SavedMembership;
use lanparty_node::{EndpointConfig, redeem, say};
use lanparty_os::dirs::write_private;
use lanparty_wire::{
    Invite, InviteError, RelayAddress, RoomCode, RoomId, SealedRoom, ShortCode, ShortCodeError, UnixTime,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// As the player has named it.
#[derive(Clone, Debug)]
pub enum Door {
    Open(RoomCode),
    Link(Invite),
    Code(ShortCode),
}

/// A link or a short code. Which of them was meant is seen by how it begins.
///
/// # Errors
/// One sentence that says what is wrong with it.
pub fn ticket(text: &str) -> Result<Door, String> {
    if text
        .trim_start()
        .starts_with(|first: char| first.is_ascii_digit())
        && !text.contains("://")
    {
        let code = text.parse().map(Door::Code);
        return code.map_err(|error: ShortCodeError| error.to_string());
    }
    text.parse().map(Door::Link).map_err(|error: InviteError| {
        if text.parse::<RoomCode>().is_ok() {
            format!(
                "{text:?} is neither an invite link nor a short code; give an open room's code with --room"
            )
        } else {
            error.to_string()
        }
    })
}

/// As it is known before the room is joined.
#[derive(Clone, Debug)]
pub struct Entrance {
    pub room: RoomId,
    /// How we come into a sealed room.
    pub invite: Option<Invite>,
}

impl From<Invite> for Entrance {
    fn from(invite: Invite) -> Entrance {
        Entrance {
            room: invite.room().into(),
            invite: Some(invite),
        }
    }
}

/// Where the membership of a sealed room is kept.
pub fn membership_file(state_dir: &Path, room: &SealedRoom) -> PathBuf {
    state_dir.join(format!("room-{room}.json"))
}

/// What a code was traded for. It holds secrets: readable by its owner only.
#[derive(Serialize, Deserialize)]
struct Traded {
    code: String,
    relay: RelayAddress,
    invite: String,
}

/// Trades a short code for an invite. `config` is that of the endpoint that is to be; its room is not looked at.
///
/// # Errors
/// The relay knows no such code, the host is away, or the words are not those of its code.
pub async fn trade(
    config: EndpointConfig,
    code: ShortCode,
    state_dir: &Path,
    status: &watch::Sender<Status>,
) -> Result<Invite, Failure> {
    let kept = state_dir.join("short-code.json");
    if let Some(invite) = traded_before(&kept, &config, &code) {
        return Ok(invite);
    }
    let relay = config.relay.clone();
    say(&format!(
        "Asking the host of the short code {}-… through {relay}",
        code.number
    ));
    let mut told = String::new();
    let invite = redeem(config, code, |problem| {
        if told != problem {
            say(&format!("No connection yet, trying again: {problem}"));
            problem.clone_into(&mut told);
            status.send_modify(|status| status.problem = Some(problem.to_owned()));
        }
    })
    .await?;
    let traded = Traded {
        code: code.to_string(),
        relay,
        invite: invite.to_string(),
    };
    // Without it the next start needs a code that is still good.
    match serde_json::to_vec(&traded).map_err(io::Error::from) {
        Ok(bytes) => {
            if let Err(error) = write_private(&kept, &bytes) {
                tracing::warn!(%error, "the invite by short code is not kept");
            }
        }
        Err(error) => tracing::warn!(%error, "the invite by short code is not kept"),
    }
    Ok(invite)
}

/// What this code was traded for, as long as the membership that came of it is good.
fn traded_before(kept: &Path, config: &EndpointConfig, code: &ShortCode) -> Option<Invite> {
    let traded: Traded = serde_json::from_slice(&std::fs::read(kept).ok()?).ok()?;
    if traded.code != code.to_string() || traded.relay != config.relay {
        return None;
    }
    let invite: Invite = traded.invite.parse().ok()?;
    let file = membership_file(kept.parent()?, &invite.room());
    let saved: SavedMembership = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let is_good =
        saved.host == invite.host && saved.restore(&config.identity.peer_id(), UnixTime(now)).is_some();
    is_good.then_some(invite)
}
