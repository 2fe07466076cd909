//! What is asked of a running instance, and what it answers.
//!
//! Every program answers [`Command::Status`] and [`Command::Watch`], endpoints also [`Command::Discovery`]. The rest belongs to the
//! client's service, which owns adapter, routes and tunnel while windows and command lines have no rights of their own: what a
//! [`Wish`] can say is therefore what anybody at this machine may decide, and names no file.

use base64::{Engine, prelude::BASE64_STANDARD};
use lanparty_wire::{Pin, RelayAddress, RoomCode};
use serde::{Deserialize, Serialize};

use crate::{cli::Failure, status::Status};

/// What a process is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Its [`Status`].
    Status,
    /// Its [`Status`] now and whenever it changes, until the asker goes away.
    Watch,
    /// The last minute of discovery frames, as a pcapng file.
    Discovery,
    /// Join a room. Answered when the wish is understood; what comes of it is in the status.
    Connect(Box<Wish>),
    /// Leave the room and put this machine back. Answered when that is done.
    Disconnect,
    /// The rooms of the last evenings, newest first.
    Rooms,
    /// Remove a room from that list, with everything that is kept for coming back to it.
    Forget { room: String },
    /// The service's settings.
    Settings,
    /// Change the service's settings. They hold at once where that is possible, otherwise from the next room on.
    Change { settings: ServiceSettings },
    /// A zip with what somebody needs who is asked for help, without secrets.
    Diagnostics,
    /// A command of a later version.
    #[serde(other)]
    Unknown,
}

/// What comes back: one line, or several after [`Command::Watch`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Status {
        status: Box<Status>,
    },
    /// In base64.
    Discovery {
        file: String,
    },
    Done,
    Rooms {
        rooms: Vec<RecentRoom>,
    },
    Settings {
        settings: ServiceSettings,
    },
    /// In base64.
    Diagnostics {
        file: String,
    },
    Refused {
        reason: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
    },
}

impl Answer {
    /// The answer to [`Command::Diagnostics`].
    pub fn diagnostics(zip: &[u8]) -> Answer {
        Answer::Diagnostics {
            file: BASE64_STANDARD.encode(zip),
        }
    }

    pub fn refused(reason: impl Into<String>) -> Answer {
        let reason = reason.into();
        Answer::Refused { reason, advice: None }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        Answer::Refused {
            reason: failure.reason(),
            advice: failure.advice().map(str::to_owned),
        }
    }
}

/// Into which room, and how. One of `ticket`, `recent` and `room` names the room.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// The host's invite link or short code, as it was pasted or typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// [`RecentRoom::id`] of a room of an earlier evening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent: Option<String>,
    /// Beside a short code or an open room's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayAddress>,
    /// An open room's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomCode>,
    /// The relay's key, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_pin: Option<Pin>,
    /// The name in the relay's certificate, if it is not the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What others see; the settings' otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the party's DHCP server is asked for an address; the settings' otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<bool>,
    /// Go on although the party's network is also this machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anyway: Option<bool>,
}

/// A room that was joined before. How to come in again is known to the service and to nobody else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecentRoom {
    /// For [`Wish::recent`]; tells nobody how to come in.
    pub id: String,
    /// True if the relay cannot read its frames.
    pub sealed: bool,
    /// The code of an open room, the beginning of a sealed room's number.
    pub title: String,
    /// The host's name for itself, once it was seen.
    #[serde(default)]
    pub host: String,
    pub relay: RelayAddress,
    /// When it was joined last, in seconds since the Unix epoch.
    pub joined_unix: u64,
}

/// What the service keeps from evening to evening.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// What others see this player called; empty: the address in the room.
    pub name: String,
    /// Whether the party's DHCP server is asked for an address.
    pub dhcp: bool,
    /// Whether broadcasts of games leave through the party's adapter, whatever network they are meant for.
    pub lan_games: bool,
}

impl Default for ServiceSettings {
    fn default() -> ServiceSettings {
        ServiceSettings {
            name: String::new(),
            dhcp: true,
            lan_games: true,
        }
    }
}

/// What the service does, beside what its endpoint is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub phase: Phase,
    /// Why the last room was left, unless somebody wanted that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    #[serde(default)]
    pub settings: ServiceSettings,
}

/// How far the service is with an evening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In no room; this machine is as it was.
    #[default]
    Idle,
    /// Trading a short code, making the adapter.
    Preparing,
    /// What is reached is in the endpoint's part of the status.
    Playing,
    /// Saying goodbye and putting this machine back.
    Leaving,
}

/// An evening that ended before the player wanted it to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// As the binaries end with, see [`crate::cli::ExitCode`].
    pub exit_code: i32,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl From<&Failure> for Ended {
    fn from(failure: &Failure) -> Ended {
        Ended {
            exit_code: failure.code().value(),
            reason: failure.reason(),
            advice: failure.advice().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_a_later_version_is_known_to_be_one() {
        let dance: Command = serde_json::from_str(r#"{"command":"dance","with":"wolves"}"#).unwrap();
        assert_eq!(dance, Command::Unknown);
    }

    #[test]
    fn a_wish_needs_only_what_it_says() {
        let line = r#"{"command":"connect","ticket":"4711-rider-apple-stone","relay":"relay.example.org"}"#;
        let Command::Connect(wish) = serde_json::from_str(line).unwrap() else {
            panic!("no connect")
        };
        assert_eq!(wish.ticket.as_deref(), Some("4711-rider-apple-stone"));
        assert_eq!(wish.dhcp, None);
        let again = serde_json::to_string(&Command::Connect(wish)).unwrap();
        assert_eq!(again, line.replace("relay.example.org", "relay.example.org:443"));
    }

    #[test]
    fn a_wish_that_names_no_room_that_can_be_is_not_understood() {
        let line = r#"{"command":"connect","room":"a_b"}"#;
        assert!(serde_json::from_str::<Command>(line).is_err());
    }
}
