//! A whole LAN party on one Linux machine, out of real parts, for tests and for `cargo xtask demo`.
//!
//! ```text
//!   player1 ── player1-router ─┐                               ┌─ dhcp   10.73.42.1
//!   192.168.101.20      NAT    ├─ internet ─ relay             │
//!   player2 ── player2-router ─┤              203.0.113.10   switch (br0, optionally br1)
//!                              │                               │
//!              gateway-router ─┘                               ├─ games  10.73.42.10
//!                     └─── gateway ── lan0 ────────────────────┘
//! ```
//!
//! Every box is a [`Machine`]: namespaces of the kernel, with real routing, NAT, a real bridge, dnsmasq, and whatever
//! programs a test starts. Nothing can leave these namespaces, and nothing of them survives the process that made
//! them (see [`machine`]). Players and the LAN gateway each have a line of their own whose MTU can be small, so that
//! QUIC's path MTU discovery really has something to find.

use std::path::{Path, PathBuf};

mod cable;
pub mod copy;
mod directory;
mod error;
mod faults;
pub mod flood;
pub mod frame;
pub mod game;
pub mod groups;
mod internet;
pub mod junk;
pub mod machine;
mod network_manager;
pub mod party;
mod party_lan;
pub mod probe;
mod process;
mod raw;
mod refusal;
mod screen;
mod snapshot;
mod wait;

pub use self::{
    cable::{End, end, mac_of, plug, set_carrier, unplug},
    error::LabError,
    faults::Fault,
    frame::Frame,
    internet::{Internet, RELAY, RELAY_NAME, RELAY6, ROUTER, Site},
    machine::{Machine, Output},
    network_manager::start_network_manager,
    party::{Party, ROOM, TAP, Who},
    party_lan::{DHCP_SERVER, DhcpOptions, GAME_SERVER, MEMBERSHIP, PREFIX6, PartyLan},
    process::Process,
    raw::{Capture, RawPort, Seen},
    screen::Screen,
    snapshot::HostSnapshot,
    wait::wait_for,
};

use self::directory::Directory;

/// The name of a player's interface towards his router, and of the LAN gateway's.
pub const UPLINK: &str = "eth0";
/// The name of the LAN gateway's interface on the party's LAN.
pub const LAN_NIC: &str = "lan0";

/// What the lab shall look like.
#[derive(Debug, Clone)]
pub struct LabBuilder {
    players: u8,
    player_mtu: u16,
    gateway_mtu: u16,
    two_switches: bool,
    ipv6: bool,
    dhcp: DhcpOptions,
    binaries: &'static str,
}

impl Default for LabBuilder {
    fn default() -> Self {
        Self {
            players: 1,
            player_mtu: 1500,
            gateway_mtu: 1500,
            two_switches: false,
            ipv6: false,
            dhcp: DhcpOptions::default(),
            binaries: "debug",
        }
    }
}

impl LabBuilder {
    /// The folder in `target` whose binaries a party runs; `debug` unless said otherwise.
    #[must_use]
    pub fn binaries_of(mut self, folder: &'static str) -> Self {
        self.binaries = folder;
        self
    }

    /// How many players, each behind a NAT of his own. At most 60.
    #[must_use]
    pub fn players(mut self, count: u8) -> Self {
        self.players = count.min(60);
        self
    }

    /// The largest packet that the players' lines carry.
    #[must_use]
    pub fn player_mtu(mut self, mtu: u16) -> Self {
        self.player_mtu = mtu;
        self
    }

    /// The largest packet that the LAN gateway's line to the internet carries.
    #[must_use]
    pub fn gateway_mtu(mut self, mtu: u16) -> Self {
        self.gateway_mtu = mtu;
        self
    }

    /// Two switches in a row, with the game server on the far one.
    #[must_use]
    pub fn two_switches(mut self) -> Self {
        self.two_switches = true;
        self
    }

    /// IPv6 beside IPv4 on all lines to the internet. Numbers are global, so there is no NAT, only a wall.
    #[must_use]
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// What the party's DHCP server and router offer.
    #[must_use]
    pub fn dhcp(mut self, options: DhcpOptions) -> Self {
        self.dhcp = options;
        self
    }

    /// Builds it.
    pub fn build(&self) -> Result<Lab, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let directory = Directory::create()?;
        let path = directory.path();
        let internet = Internet::build(path)?;
        let lan = PartyLan::build(path, self.two_switches, &self.dhcp)?;
        let gateway = Site::build(&internet, path, (0, "gateway"), UPLINK, self.gateway_mtu)?;
        lan.connect_gateway(&gateway.host, LAN_NIC)?;
        let players = (1..=self.players)
            .map(|number| {
                let name = format!("player{number}");
                Site::build(&internet, path, (number, &name), UPLINK, self.player_mtu)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if self.ipv6 {
            players
                .iter()
                .chain([&gateway])
                .try_for_each(|site| site.add_ipv6(&internet))?;
        }
        Ok(Lab {
            players,
            gateway,
            lan,
            internet,
            directory,
        })
    }
}

/// A running lab. Dropping it removes all of it.
#[derive(Debug)]
pub struct Lab {
    /// The players and their routers.
    pub players: Vec<Site>,
    /// The LAN gateway's box: [`UPLINK`] towards its router, [`LAN_NIC`] on the party's LAN (no address).
    pub gateway: Site,
    /// The party's LAN.
    pub lan: PartyLan,
    /// Everything between.
    pub internet: Internet,
    // Last, because the machines write there until they are gone.
    directory: Directory,
}

impl Lab {
    /// Starts to describe a lab: one player, 1500 bytes everywhere, one switch.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// Where logs and state files are, one folder for each machine.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path for a file of `machine`.
    pub fn file(&self, machine: &Machine, name: &str) -> PathBuf {
        machine.directory().join(name)
    }

    /// All machines, with their names.
    pub fn machines(&self) -> Vec<&Machine> {
        let sites = self
            .players
            .iter()
            .chain([&self.gateway])
            .flat_map(|site| [&site.host, &site.router]);
        let lan = [&self.lan.switch, &self.lan.dhcp, &self.lan.games];
        sites
            .chain(lan)
            .chain([&self.internet.router, &self.internet.relay])
            .collect()
    }
}
