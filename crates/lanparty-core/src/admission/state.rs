//! What a host keeps over its own restarts.

use std::collections::{BTreeMap, BTreeSet};

use lanparty_wire::{Admitted, PeerId, Profile, Standing, UnixTime};
use serde::{Deserialize, Serialize};

use super::invites::Invites;

/// The state of a host, as a file keeps it. It holds invites' secrets: readable by its owner only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostState {
    /// Of this layout.
    pub version: u8,
    /// Of the newest roster that was signed.
    pub roster_number: u64,
    #[serde(default)]
    pub approval: bool,
    #[serde(default)]
    pub profile: Profile,
    #[serde(default)]
    pub members: Vec<Admitted>,
    #[serde(default)]
    pub invites: Invites,
    #[serde(default)]
    pub bans: BTreeSet<PeerId>,
    /// Who was put out, and when.
    #[serde(default)]
    pub kicked: BTreeMap<PeerId, UnixTime>,
    /// What the host calls whom.
    #[serde(default)]
    pub names: BTreeMap<PeerId, String>,
    /// What the host has made of whom, whatever the invite says.
    #[serde(default)]
    pub standings: BTreeMap<PeerId, Standing>,
}

/// Why a host's state cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the host's state is of version {0}, which this program does not know; update it")]
pub struct StateError(pub u8);

impl HostState {
    /// The version that this program writes.
    pub const VERSION: u8 = 1;

    pub(super) fn check(&self) -> Result<(), StateError> {
        match self.version {
            HostState::VERSION => Ok(()),
            other => Err(StateError(other)),
        }
    }
}

impl Default for HostState {
    fn default() -> HostState {
        HostState {
            version: HostState::VERSION,
            roster_number: 0,
            approval: false,
            profile: Profile::Friends,
            members: Vec::new(),
            invites: Invites::default(),
            bans: BTreeSet::new(),
            kicked: BTreeMap::new(),
            names: BTreeMap::new(),
            standings: BTreeMap::new(),
        }
    }
}
