//! What one running process knows about itself.
//!
//! One struct for all programs, with a part for endpoints and a part for relays, so that every surface (the `status` command, a
//! window, a test) reads the same words. Fields may be added; a field's meaning never changes under one
//! [`STATUS_VERSION`]. Durations carry their unit in their name; times are seconds since the Unix epoch.

mod interface;
mod relay;

use std::net::{IpAddr, SocketAddr};

use lanparty_wire::{
    AdmissionRefusal, DropCounters, Incarnation, Mac, MemberId, PeerId, PortFault, Profile, RelayAddress,
    RoomId,
    control::{Mode, Role, Stats},
    host::Prefix,
};
use serde::{Deserialize, Serialize};

use crate::order::ServiceStatus;

pub use interface::InterfaceStatus;
pub use relay::{Handshakes, RelayStatus, RoomStatus, Sockets};

/// Counts incompatible changes of [`Status`].
pub const STATUS_VERSION: u16 = 1;

/// Which of the binaries it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    Client,
    Gateway,
    Relay,
}

impl Program {
    /// The name of the binary.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Client => "lanparty-client",
            Program::Gateway => "lanparty-gateway",
            Program::Relay => "lanparty-relay",
        }
    }
}

/// The state of one process at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_VERSION`] of the program that wrote it.
    pub version: u16,
    pub program: Program,
    /// Program version, as `--version` prints it.
    #[serde(default)]
    pub software: String,
    /// The system's process id.
    #[serde(default)]
    pub process: u32,
    /// When this process started.
    #[serde(default)]
    pub since_unix: u64,
    /// What is wrong now, in one sentence for the person at the keyboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(default)]
    pub traffic: Traffic,
    /// Everything that this process dropped since its start.
    #[serde(default)]
    pub drops: DropCounters,
    /// Of clients and LAN gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointStatus>,
    /// Of relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// Of a client that runs as a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,
}

impl Status {
    /// A process that has just started and knows nothing yet.
    pub fn new(program: Program) -> Status {
        Status {
            version: STATUS_VERSION,
            program,
            software: String::new(),
            process: 0,
            since_unix: 0,
            problem: None,
            traffic: Traffic::default(),
            drops: DropCounters::default(),
            endpoint: None,
            relay: None,
            service: None,
        }
    }
}

/// Counters since the start. *Out* is from the device to the room; a relay's *in* is from its members, its *out* to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    pub frames_out: u64,
    pub frames_in: u64,
    pub datagrams_out: u64,
    pub datagrams_in: u64,
    /// Bytes of datagrams.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Second copies of urgent datagrams, among the datagrams: what a leg's losses cost.
    pub duplicates_out: u64,
    /// Bytes of these, among the bytes out.
    pub duplicate_bytes_out: u64,
    /// Copies that came beside the first.
    pub duplicates_in: u64,
}

/// A client or a LAN gateway.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EndpointStatus {
    pub relay: RelayLink,
    pub room: RoomId,
    /// True if the relay cannot read frames.
    #[serde(default)]
    pub sealed: bool,
    /// In a sealed room of somebody else's, how far we have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// How far members are trusted with each other; `None` where nobody has said it: at players of open rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// How members reach each other; `None` until the room was joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What others see this member called.
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PeerId>,
    /// The client's address in the room. A LAN gateway has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Our number in the room, once it was joined. It stays ours while the connection is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// How often the room was joined since the start.
    #[serde(default)]
    pub joins: u32,
    /// For how long it has been joined; 0 while it is not.
    #[serde(default)]
    pub joined_ms: u64,
    /// The TAP, or the LAN's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceStatus>,
    #[serde(default)]
    pub dhcp: Dhcp,
    /// The LAN offered the TAP a default route, and we did not take it.
    #[serde(default)]
    pub default_route_offered: bool,
    /// What the person at the keyboard should know about this host's network, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// `None` where nothing has to be pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStatus>,
    /// Second copies on the way to the relay; what they cost is in the traffic. `None` while there is no connection to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy: Option<Redundancy>,
    /// The room's LAN gateway; `None` while there is none, and on the LAN gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// Of a client: why the LAN gateway has stopped its port, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fault: Option<PortFault>,
    /// Of a LAN gateway: whether it carries frames, or waits for another one to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_duty: Option<bool>,
    #[serde(default)]
    pub broadcast: BroadcastFlow,
    /// Frames since the start that hosts of the LAN sent to this member alone: they know it and answer.
    #[serde(default)]
    pub lan_answers: u64,
    /// The other members of the room.
    #[serde(default)]
    pub members: Vec<MemberStatus>,
}

impl EndpointStatus {
    /// True while we are in the room and the relay answers.
    pub fn is_joined(&self) -> bool {
        self.relay.connected && self.member.is_some()
    }

    /// An endpoint that has not reached its relay yet.
    pub fn new(relay: RelayAddress, room: RoomId) -> EndpointStatus {
        EndpointStatus {
            relay: RelayLink::new(relay),
            room,
            sealed: false,
            admission: None,
            profile: None,
            mode: None,
            name: String::new(),
            identity: None,
            mac: None,
            member: None,
            incarnation: None,
            joins: 0,
            joined_ms: 0,
            interface: None,
            dhcp: Dhcp::Off,
            default_route_offered: false,
            warnings: Vec::new(),
            route: None,
            redundancy: None,
            gateway: None,
            port_fault: None,
            on_duty: None,
            broadcast: BroadcastFlow::default(),
            lan_answers: 0,
            members: Vec::new(),
        }
    }
}

/// The way to the relay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RelayLink {
    pub address: RelayAddress,
    /// What the address resolved to, when last dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// True while the QUIC connection lives.
    #[serde(default)]
    pub connected: bool,
    /// Whether the relay takes QUIC datagrams; `None` until connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<bool>,
    /// The largest datagram that this leg takes now, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// For how long the relay has been asked without any answer; 0 while it answers.
    #[serde(default)]
    pub unanswered_ms: u64,
    /// Failed attempts since the last connection.
    #[serde(default)]
    pub attempts: u32,
    /// What the relay's certificate is trusted by: `pin`, `ca-cert`, `system`, `first use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// The certificate's pin as the relay prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

impl RelayLink {
    pub fn new(address: RelayAddress) -> RelayLink {
        RelayLink {
            address,
            remote: None,
            connected: false,
            datagrams: None,
            budget: None,
            rtt_us: None,
            unanswered_ms: 0,
            attempts: 0,
            trust: None,
            pin: None,
        }
    }
}

/// How far somebody who was invited to a sealed room has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Admission {
    /// The host is asked.
    Asking,
    /// The host is asked in person.
    Waiting,
    /// The host is not there, and nobody else can let anybody in.
    HostAway,
    /// Refused for a reason that may pass by itself; the host is asked again.
    Refused { reason: AdmissionRefusal },
    /// In.
    Admitted,
}

/// What the DHCP client on the TAP has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Dhcp {
    /// Not asked for.
    #[default]
    Off,
    /// Asking the LAN's server.
    Asking,
    Bound {
        address: Prefix,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<IpAddr>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_s: Option<u32>,
    },
}

/// Whether the connection to the relay keeps off the TAP.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The system says that the socket is bound to the interface, whatever routes the party's network makes.
    pub pinned: bool,
    /// Why it is not pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The interface that carries the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// Whether small urgent packets are sent twice, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Redundancy {
    /// What was asked for: `auto`, `off` or `on`.
    pub mode: String,
    /// True while copies are sent.
    pub active: bool,
    /// What the way to the relay has lost a short while ago, in percent of packets.
    pub loss_percent: f64,
}

/// The room's LAN gateway as another member sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GatewayStatus {
    pub member: MemberId,
    #[serde(default)]
    pub name: String,
    /// Whether its LAN cable has a link; `None` until it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan_link: Option<bool>,
    /// There and back, measured by a probe from member to member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
}

/// Broadcast and multicast frames since the start, the two ways apart, because each alone proves little.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BroadcastFlow {
    /// Sent while a LAN gateway was there.
    pub to_lan: u64,
    /// Received from the LAN gateway.
    pub from_lan: u64,
}

/// A member as this process sees it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    pub id: MemberId,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PeerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan_link: Option<bool>,
    /// Seconds since anything was heard from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_s: Option<u64>,
    /// Why its port is stopped, if it is; LAN gateways only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fault: Option<PortFault>,
    /// Its broadcasts and multicasts that came within the last second, those included that were dropped because they were too many.
    #[serde(default)]
    pub broadcasts_per_s: u64,
    /// Frames and datagrams from it that this process dropped.
    #[serde(default)]
    pub drops: DropCounters,
    /// Where its connection comes from; relays only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// What went to and from it; relays only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What it last reported of itself; relays only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Stats>,
}

impl MemberStatus {
    pub fn new(id: MemberId, role: Role) -> MemberStatus {
        MemberStatus {
            id,
            role,
            incarnation: None,
            name: String::new(),
            mac: None,
            identity: None,
            rtt_us: None,
            budget: None,
            lan_link: None,
            last_seen_s: None,
            port_fault: None,
            broadcasts_per_s: 0,
            drops: DropCounters::default(),
            remote: None,
            traffic: None,
            reported: None,
        }
    }

    /// What to call it: its name, else its address, else its number.
    pub fn label(&self) -> String {
        match (self.name.is_empty(), self.mac) {
            (false, _) => printable(&self.name),
            (true, Some(mac)) => mac.to_string(),
            (true, None) => format!("member {}", self.id),
        }
    }
}

/// A name from the network as it may reach a terminal: one line, at most 64 characters, nothing that steers the terminal.
pub fn printable(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .take(64)
        .collect()
}

/// Characters that turn or hide the text around them (Unicode, Bidi_Control and zero width).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests;
