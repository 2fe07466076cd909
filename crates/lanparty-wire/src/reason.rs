//! Why a frame was dropped, a member left, a join was refused: one vocabulary for code, logs, counters and screens.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What became of a frame, as logs name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Forwarded,
    /// It could not be carried or was not ours to carry.
    Dropped,
    /// A safety rule forbids it.
    Filtered,
    /// Its sender was over a limit.
    RateLimited,
}

impl Action {
    /// `forwarded`, `dropped`, `filtered` or `rate-limited`.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Forwarded => "forwarded",
            Action::Dropped => "dropped",
            Action::Filtered => "filtered",
            Action::RateLimited => "rate-limited",
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $action:ident;)+) => {
        /// Why a frame or datagram went no further.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum DropReason {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant),+];

            /// The name in logs, counters and the API.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }

            /// The reason of that name, if this version knows it.
            pub fn named(name: &str) -> Option<DropReason> {
                DropReason::ALL.iter().copied().find(|reason| reason.name() == name)
            }

            /// What logs call it.
            pub const fn action(self) -> Action {
                match self { $(DropReason::$variant => Action::$action,)+ }
            }
        }
    };
}

drop_reasons! {
    /// A datagram without a valid header, or a frame whose headers contradict themselves.
    Malformed = "malformed", Dropped;
    /// Larger than the sender's or the target's budget.
    DatagramBudget = "datagram_budget", Dropped;
    /// The header's source is not the member whose connection it came on.
    SourceMismatch = "source_mismatch", Filtered;
    /// The header's source is no member of the roster.
    UnknownSource = "unknown_source", Dropped;
    /// No such member or group.
    UnknownDestination = "unknown_destination", Dropped;
    /// Sealed under a key that is not known, or sealed in an open room.
    WrongKey = "wrong_key", Dropped;
    /// Not sealed, in a sealed room.
    Unsealed = "unsealed", Filtered;
    /// The seal does not open: what was sealed is not what has come, or another has sealed it.
    BadSeal = "bad_seal", Filtered;
    /// From a member that is not in the newest roster, or is not what the roster says.
    NotAdmitted = "not_admitted", Filtered;
    /// For a member with whom no keys are agreed yet.
    NoSession = "no_session", Dropped;
    /// A handshake message that does not prove its sender, or that nobody waits for.
    BadHandshake = "bad_handshake", Filtered;
    /// More handshake messages than an honest member sends.
    HandshakeRate = "handshake_rate", RateLimited;
    /// A roster that is older than the newest one seen.
    OldRoster = "old_roster", Filtered;
    /// What claims to be a roster and is not signed by the room's host, or not in a roster's form.
    BadRoster = "bad_roster", Filtered;
    /// A second roster with the number of the newest one seen: the host's key has signed for two hosts.
    RosterConflict = "roster_conflict", Filtered;
    /// A spectator's frame that is neither ARP nor DHCP nor a report of groups.
    Spectator = "spectator", Filtered;
    /// From, to or through a LAN gateway that waits to take over from the active one, or may not go on.
    Standby = "standby", Filtered;
    /// Between members of a room for strangers, and neither discovery nor a game's.
    Stranger = "stranger", Filtered;
    /// For a service of the LAN that is closed to strangers: files, desktops, shells.
    ClosedService = "closed_service", Filtered;
    /// A stranger's frame under an IP address that the LAN's DHCP server has not given it.
    ForgedAddress = "forged_address", Filtered;
    /// What only LAN gateways say to each other, from a player.
    GatewaySignal = "gateway_signal", Filtered;
    /// To or from a member that has another way to the LAN or to another member, which would close a loop.
    LoopBlocked = "loop_blocked", Filtered;
    /// To or from a member whose address is heard on the LAN as well, by turns.
    MacFlapping = "mac_flapping", Filtered;
    /// The sequence number was seen before.
    Duplicate = "duplicate", Dropped;
    /// The sequence number is older than the replay window.
    TooOld = "too_old", Dropped;
    /// Fragments of one frame that contradict each other.
    FragmentConflict = "fragment_conflict", Dropped;
    /// The rest of a fragmented frame did not come in time.
    ReassemblyTimeout = "reassembly_timeout", Dropped;
    /// The sender has too many unfinished frames.
    ReassemblyFull = "reassembly_full", Dropped;
    /// Shorter than an Ethernet header.
    Runt = "runt", Dropped;
    /// A super-frame that cannot be cut into segments.
    BadSuperFrame = "bad_super_frame", Dropped;
    /// The source is a group address or zero.
    InvalidSource = "invalid_source", Filtered;
    /// The source is not the sender's own address.
    ForgedSource = "forged_source", Filtered;
    /// A frame from the LAN whose source is a remote member's.
    SourceIsRemote = "source_is_remote", Filtered;
    /// More than 1500 bytes of payload.
    Jumbo = "jumbo", Filtered;
    /// 802.1X port authentication.
    Eapol = "eapol", Filtered;
    /// For a bridge's reserved group address: STP, pause, GVRP and their like.
    SwitchControl = "switch_control", Filtered;
    /// Link-layer discovery.
    Lldp = "lldp", Filtered;
    /// LACP, OAM and other slow protocols.
    SlowProtocol = "slow_protocol", Filtered;
    /// A VLAN tag from a remote member.
    VlanTag = "vlan_tag", Filtered;
    /// A DHCP server's message from a remote member.
    DhcpServer = "dhcp_server", Filtered;
    /// A DHCPv6 server's or relay's message from a remote member.
    Dhcpv6Server = "dhcpv6_server", Filtered;
    /// A router advertisement from a remote member, or one of IPv4 for it.
    RouterAdvertisement = "router_advertisement", Filtered;
    /// An IPv6 redirect, from a remote member or for one.
    Ipv6Redirect = "ipv6_redirect", Filtered;
    /// An IPv4 redirect for a remote member, whose routes it would turn.
    Ipv4Redirect = "ipv4_redirect", Filtered;
    /// A remote member asks who listens to groups, or says that it routes them.
    MulticastRouter = "multicast_router", Filtered;
    /// A DHCP reply or router advertisement of the LAN that cannot be cleared of what would move a member's internet.
    Unshapable = "unshapable", Filtered;
    /// An IPv6 fragment from a remote member.
    Ipv6Fragment = "ipv6_fragment", Filtered;
    /// An IPv4 fragment from a remote member that hides its upper header.
    Ipv4Fragment = "ipv4_fragment", Filtered;
    /// An IPv6 header chain that cannot be walked to its end.
    Ipv6Chain = "ipv6_chain", Filtered;
    /// Unicast for somebody else.
    Misdirected = "misdirected", Dropped;
    /// LAN unicast that is for no remote member.
    NotRemote = "not_remote", Dropped;
    /// To a group that no member has joined.
    NotJoined = "not_joined", Dropped;
    /// What a station of the LAN has joined: members that heard it would not say that they have as well.
    MembershipReport = "membership_report", Dropped;
    /// It would go back where it came from.
    Reflection = "reflection", Dropped;
    /// Nobody has that address.
    UnknownUnicast = "unknown_unicast", Dropped;
    /// Larger than the room's MTU.
    OverMtu = "over_mtu", Dropped;
    /// Too many ARP, neighbour discovery or DHCP frames.
    NeighborRate = "neighbor_rate", RateLimited;
    /// Too much background discovery.
    ChatterRate = "chatter_rate", RateLimited;
    /// Background discovery that its sender has said a moment ago, word for word.
    RepeatedChatter = "repeated_chatter", Dropped;
    /// Too many other broadcasts and multicasts.
    FloodRate = "flood_rate", RateLimited;
    /// Too many frames for unknown stations.
    UnknownUnicastRate = "unknown_unicast_rate", RateLimited;
    /// More bytes than the member may send.
    BandwidthRate = "bandwidth_rate", RateLimited;
    /// A scheduler queue was full.
    QueueFull = "queue_full", Dropped;
    /// It waited too long in a queue.
    QueueDelay = "queue_delay", Dropped;
    /// There is no path to the room.
    NoPath = "no_path", Dropped;
    /// There is no LAN gateway in the room.
    NoGateway = "no_gateway", Dropped;
    /// The kernel would not take the frame.
    DeviceRefused = "device_refused", Dropped;
    /// The device's own queue was full.
    DeviceBusy = "device_busy", Dropped;
    /// The device is down or gone.
    DeviceDown = "device_down", Dropped;
    /// The kernel's own queue was full before we could read.
    DeviceOverrun = "device_overrun", Dropped;
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many were dropped for each reason. Serialises as a map of those that are not zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u64>", into = "BTreeMap<DropReason, u64>")]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl DropCounters {
    /// Counts one.
    pub fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub fn add(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &DropCounters) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// How many were dropped for `reason`.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many were dropped.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.of(reason)))
            .filter(|&(_, count)| count > 0)
    }
}

impl Default for DropCounters {
    fn default() -> DropCounters {
        DropCounters([0; DropReason::ALL.len()])
    }
}

impl From<BTreeMap<String, u64>> for DropCounters {
    /// Reasons that this version does not know are left out.
    fn from(map: BTreeMap<String, u64>) -> DropCounters {
        let mut counters = DropCounters::default();
        for (name, count) in map {
            if let Some(reason) = DropReason::named(&name) {
                counters.add(reason, count);
            }
        }
        counters
    }
}

impl From<DropCounters> for BTreeMap<DropReason, u64> {
    fn from(counters: DropCounters) -> BTreeMap<DropReason, u64> {
        counters.iter().collect()
    }
}

/// Why a member is no longer there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said goodbye.
    Goodbye,
    /// Nothing was heard from it.
    TimedOut,
    /// Its connection broke.
    ConnectionLost,
    /// The same identity has joined again.
    Displaced,
    /// It sent too many malformed datagrams.
    Malformed,
    /// The relay stops.
    RelayShutdown,
    /// The host has put it out.
    Kicked,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl LeaveReason {
    /// What a player reads after the member's name.
    pub const fn sentence(&self) -> &'static str {
        match self {
            LeaveReason::Goodbye => "left",
            LeaveReason::TimedOut => "was not heard from any more",
            LeaveReason::ConnectionLost => "lost the connection",
            LeaveReason::Displaced => "connected again from elsewhere",
            LeaveReason::Malformed => "was disconnected because it sent malformed data",
            LeaveReason::RelayShutdown => "left because the relay stops",
            LeaveReason::Kicked => "was put out by the host",
            LeaveReason::Unknown => "left",
        }
    }
}

/// Why a join was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// No version in common.
    Version,
    /// The hello was not understood.
    BadHello,
    /// The MAC is no member's address: a group, zero, or not locally administered.
    InvalidMac,
    /// Another member has this MAC.
    DuplicateMac,
    /// Another LAN gateway is active in the room.
    GatewayPresent,
    /// The room has as many members as it may have.
    RoomFull,
    /// The relay has as many rooms as it may have.
    TooManyRooms,
    /// Too many connections from this address.
    TooManyConnections,
    /// The relay stops.
    ShuttingDown,
    /// A sealed room's LAN gateway can only be the host whose key the room's name is made from, and who the host has named.
    NotTheHost,
    /// No room has this short code's number now.
    UnknownCode,
    /// LAN gateways need a token of this relay's operator, and there was none, or not one of his.
    TokenRequired,
    /// The room is not open, and on this relay only a LAN gateway with a token opens one.
    RoomNotOpen,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl RejectReason {
    /// What the person at the keyboard reads, and what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            RejectReason::Version => {
                "this version and the relay's have no protocol in common; update the older one"
            }
            RejectReason::BadHello => "the relay did not understand this client; update the older one",
            RejectReason::InvalidMac => {
                "this MAC address cannot be used; give a locally administered one such as 02:12:34:56:78:9a"
            }
            RejectReason::DuplicateMac => {
                "another member of the room already has this MAC address; remove --virtual-mac, or give another one"
            }
            RejectReason::GatewayPresent => {
                "the room already has a LAN gateway; stop the other one, or choose another room code"
            }
            RejectReason::RoomFull => {
                "the room is full; ask the host to make room, or the relay's operator to raise max-members"
            }
            RejectReason::TooManyRooms => "the relay has no room left for another room; try another relay",
            RejectReason::TooManyConnections => {
                "there are too many connections from this address; close some, or wait a minute"
            }
            RejectReason::ShuttingDown => "the relay is stopping; it is tried again until it is back",
            RejectReason::NotTheHost => {
                "the room belongs to another host's key, and that host is not there or has not named this machine; start it with --standby and this one's identity"
            }
            RejectReason::UnknownCode => {
                "no host shows this short code at this relay now; ask the host to start the LAN gateway, and to read the code that is on the screen"
            }
            RejectReason::TokenRequired => {
                "the relay opens rooms only for those who have a token of its operator; ask him for one, and give it with --relay-token"
            }
            RejectReason::RoomNotOpen => {
                "the room is not open, and on this relay only its host can open it; ask the host to start the LAN gateway, or check the room's name"
            }
            RejectReason::Unknown => {
                "the relay refused for a reason that this version does not know; update it"
            }
        }
    }

    /// True if trying again by itself may help, without anybody changing a setting.
    pub const fn is_temporary(self) -> bool {
        match self {
            RejectReason::ShuttingDown
            | RejectReason::TooManyConnections
            | RejectReason::RoomFull
            | RejectReason::TooManyRooms
            | RejectReason::DuplicateMac
            | RejectReason::GatewayPresent
            | RejectReason::NotTheHost
            | RejectReason::RoomNotOpen => true,
            RejectReason::Version
            | RejectReason::BadHello
            | RejectReason::InvalidMac
            | RejectReason::UnknownCode
            | RejectReason::TokenRequired
            | RejectReason::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_counters_keep_them() {
        let mut counters = DropCounters::default();
        DropReason::ALL
            .iter()
            .for_each(|&reason| counters.add(reason, reason as u64 + 1));
        let text = serde_json::to_string(&counters).unwrap();
        assert_eq!(serde_json::from_str::<DropCounters>(&text).unwrap(), counters);
        assert_eq!(counters.iter().count(), DropReason::ALL.len());
    }

    #[test]
    fn a_reason_of_a_later_version_is_understood_as_unknown() {
        assert_eq!(
            serde_json::from_str::<LeaveReason>("\"moon\"").unwrap(),
            LeaveReason::Unknown
        );
        assert_eq!(
            serde_json::from_str::<RejectReason>("\"moon\"").unwrap(),
            RejectReason::Unknown
        );
    }
}
