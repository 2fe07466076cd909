//! What an endpoint is told at its start.

use lanparty_core::{guard::Limits, lan::LanConfig, redundancy};
use lanparty_quic::{Identity, SegmentationOffload, Trust};
use lanparty_wire::{Mac, Profile, RelayAddress, RelayToken, RoomId, control::Role};

/// Everything that an endpoint needs to know.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub role: Role,
    pub room: RoomId,
    /// A client's own address; none for a LAN gateway.
    pub mac: Option<Mac>,
    /// What others see in their list of members.
    pub name: String,
    /// Program and version, for the relay's log.
    pub software: String,
    /// The MTU inside, 1500 unless the small-MTU mode is wanted.
    pub mtu: u16,
    pub relay: RelayAddress,
    /// What the relay may ask of a LAN gateway.
    pub relay_token: Option<RelayToken>,
    pub identity: Identity,
    pub trust: Trust,
    pub limits: Limits,
    /// What the host wants of a LAN gateway; means nothing to a client.
    pub lan: LanConfig,
    /// When small urgent packets are sent twice.
    pub redundancy: redundancy::Mode,
    /// Whether the kernel cuts and joins trains of UDP packets.
    pub udp_offload: SegmentationOffload,
    /// Of an open room's LAN gateway; in a sealed room the host's roster says it.
    pub profile: Profile,
    /// Interfaces that must never carry the relay's connection, because their frames go through it. If there is any, the
    /// socket is bound to the physical interface that leads to the relay.
    pub avoid_interfaces: Vec<String>,
}
