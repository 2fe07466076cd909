//! What a relay knows about itself.

use std::net::SocketAddr;

use lanparty_wire::{MemberId, RoomId};
use serde::{Deserialize, Serialize};

use super::MemberStatus;

/// A relay.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RelayStatus {
    pub listen: SocketAddr,
    /// The pin that endpoints give with `--relay-pin`.
    #[serde(default)]
    pub pin: String,
    /// Connections that live, joined or not.
    #[serde(default)]
    pub connections: u32,
    #[serde(default)]
    pub handshakes: Handshakes,
    #[serde(default)]
    pub sockets: Sockets,
    #[serde(default)]
    pub rooms: Vec<RoomStatus>,
}

/// What members' packets come in at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sockets {
    /// Each has a thread of its own; 0 if the relay is too old to say.
    pub count: u16,
    /// Packets that came in at another socket than their connection's, because the member has roamed.
    pub handed_over: u64,
    /// Packets that were lost on that way.
    pub not_handed_over: u64,
}

/// What became of those who knocked since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    pub accepted: u64,
    /// Asked to prove their address first.
    pub retried: u64,
    /// Turned away because of a limit.
    pub refused: u64,
    pub failed: u64,
}

/// A room on a relay.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoomStatus {
    pub room: RoomId,
    #[serde(default)]
    pub sealed: bool,
    #[serde(default)]
    pub gateway: Option<MemberId>,
    #[serde(default)]
    pub members: Vec<MemberStatus>,
}
