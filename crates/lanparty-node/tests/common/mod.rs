//! Players and relays as tests make them.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
};

use lanparty_core::{guard::Limits, lan::LanConfig, redundancy};
use lanparty_node::EndpointConfig;
use lanparty_quic::{
    EndpointKeys, Engine, Identity, ListenConfig, Listener, RelayCertificate, SegmentationOffload, Trust,
};
use lanparty_wire::{
    Incarnation, Mac, MemberId, Pin, Profile, SealedRoom,
    control::{Mode, Role, Welcome},
};

/// The host's number in the room.
pub const HOST: u16 = 7;

/// How a player comes to a relay that it has never met.
pub fn newcomer(relay: &str, store: PathBuf) -> EndpointConfig {
    let identity = Identity::ephemeral().unwrap();
    EndpointConfig {
        role: Role::Client,
        room: SealedRoom::of(&identity.peer_id()).into(),
        mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        name: String::new(),
        software: String::new(),
        mtu: 1500,
        relay: relay.parse().unwrap(),
        relay_token: None,
        identity,
        trust: Trust {
            pin: None,
            ca_cert: None,
            server_name: None,
            store,
        },
        limits: Limits::default(),
        lan: LanConfig::default(),
        redundancy: redundancy::Mode::Auto,
        udp_offload: SegmentationOffload::Auto,
        profile: Profile::default(),
        avoid_interfaces: Vec::new(),
    }
}

/// What a relay says to `member` of a sealed room in which the host is there.
pub fn welcome(member: u16) -> Welcome {
    Welcome {
        version: 1,
        member: MemberId::new(member).unwrap(),
        incarnation: Incarnation(1),
        mode: Mode::Relay,
        sealed: true,
        gateway: MemberId::new(HOST),
        members: 2,
    }
}

/// Where a relay can be reached and what its key hashes to, and the two halves of it.
pub struct Open {
    pub address: String,
    pub pin: Pin,
    pub listener: Listener,
    pub engine: Engine,
}

/// Opens a relay that keeps its keys in `state`.
pub fn open(state: &Path) -> Open {
    let certificate = RelayCertificate::load_or_create(state).unwrap();
    let pin = certificate.pin();
    let config = ListenConfig {
        certificate,
        keys: EndpointKeys::load_or_create(state).unwrap(),
        segmentation_offload: SegmentationOffload::Auto,
    };
    let (listener, engine) = Listener::new(UdpSocket::bind("127.0.0.1:0").unwrap(), config).unwrap();
    Open {
        address: listener.local_address().unwrap().to_string(),
        pin,
        listener,
        engine,
    }
}
