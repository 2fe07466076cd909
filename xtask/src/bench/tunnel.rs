//! A contestant that is up: the machines, its programs, and what a measurement needs to know of them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lanparty_testkit::lab::{
    GAME_SERVER, Lab, Machine, Party, Process, TAP, Who, probe::wait_for_ping, wait_for,
};
use nix::ifaddrs::getifaddrs;

/// The programs of a tunnel by what they do in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Client,
    Relay,
    Gateway,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Relay => "relay",
            Role::Gateway => "gateway",
        }
    }
}

/// How the player's program of a peer is started again, and how one sees that it is connected.
#[derive(Debug, Clone)]
pub struct Restart {
    pub words: Vec<String>,
    /// In its log.
    pub ready: &'static str,
}

/// How a player connects.
pub enum Connect {
    /// No program does: there is no lease to wait for.
    Never,
    Ours,
    Peer(Restart),
}

/// The player's address with peers that get none by themselves.
const PLAYER: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 60);
/// Generous for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// Fine enough for a target of 300 ms.
const GLANCE: Duration = Duration::from_millis(2);

/// A contestant that is up.
pub struct Tunnel {
    // Programs stand before the machines, so that they end first.
    pub peers: Vec<(Role, Process)>,
    pub connect: Connect,
    _bulk: Process,
    pub party: Party,
}

impl Tunnel {
    /// Adds what every measurement needs, and waits until the player reaches the game server.
    pub fn finish(party: Party, peers: Vec<(Role, Process)>, connect: Connect) -> Result<Tunnel> {
        let bulk = party.lab.lan.games.spawn("iperf3", &["iperf3", "--server"])?;
        let tunnel = Tunnel {
            peers,
            connect,
            _bulk: bulk,
            party,
        };
        wait_for_ping(tunnel.player(), &GAME_SERVER.to_string(), LIMIT)?;
        Ok(tunnel)
    }

    pub fn lab(&self) -> &Lab {
        &self.party.lab
    }

    pub fn player(&self) -> &Machine {
        &self.party.lab.players[0].host
    }

    pub fn games(&self) -> &Machine {
        &self.party.lab.lan.games
    }

    /// Its programs, by process id.
    pub fn programs(&self) -> Vec<(Role, i32)> {
        let ours = [
            (Role::Client, Who::Player(0)),
            (Role::Relay, Who::Relay),
            (Role::Gateway, Who::Gateway),
        ];
        let ours = ours
            .into_iter()
            .filter_map(|(role, who)| Some((role, self.party.pid(who)?)));
        let peers = self.peers.iter().map(|(role, process)| (*role, process.pid()));
        ours.chain(peers).collect()
    }

    /// Ends the player's program, starts it again, and gives the time from its start to an address from the LAN's DHCP server.
    /// `None` where no program connects.
    pub fn reconnect(&mut self) -> Result<Option<Duration>> {
        let time = match self.connect {
            Connect::Never => return Ok(None),
            Connect::Ours => self.reconnect_ours()?,
            Connect::Peer(ref restart) => {
                let restart = restart.clone();
                self.reconnect_peer(&restart)?
            }
        };
        wait_for_ping(self.player(), &GAME_SERVER.to_string(), LIMIT)?;
        Ok(Some(time))
    }

    fn reconnect_ours(&mut self) -> Result<Duration> {
        self.party.stop(Who::Player(0))?;
        let start = Instant::now();
        self.party.launch(Who::Player(0))?;
        self.wait_for_address(start)
    }

    fn reconnect_peer(&mut self, restart: &Restart) -> Result<Duration> {
        let position = self.peers.iter().position(|(role, _)| *role == Role::Client);
        if let Some(position) = position {
            let (_, process) = self.peers.remove(position);
            process.stop(LIMIT)?;
        }
        let words: Vec<&str> = restart.words.iter().map(String::as_str).collect();
        let start = Instant::now();
        let mut process = self.player().spawn("client", &words)?;
        process.wait_for_log(restart.ready, LIMIT)?;
        self.peers.push((Role::Client, process));
        switch_on(self.player())?;
        // Debian's own script sets the address; a second between tries is what udhcpc knows as shortest.
        let words = ["udhcpc", "-i", TAP, "-q", "-f", "-n", "-t", "15", "-T", "1"];
        let output = self.player().output(&words, LIMIT)?;
        if !output.status.success() {
            bail!("udhcpc got no lease: {}", output.stderr);
        }
        self.wait_for_address(start)
    }

    fn wait_for_address(&self, start: Instant) -> Result<Duration> {
        let found = self.player().inside(|| {
            while start.elapsed() < LIMIT {
                let there = getifaddrs().is_ok_and(|mut entries| {
                    entries.any(|entry| {
                        entry.interface_name == TAP
                            && entry
                                .address
                                .is_some_and(|address| address.as_sockaddr_in().is_some())
                    })
                });
                if there {
                    return Some(start.elapsed());
                }
                std::thread::sleep(GLANCE);
            }
            None
        })?;
        found.ok_or_else(|| anyhow::anyhow!("no address within {LIMIT:?}"))
    }
}

/// Switches the player's tunnel interface on once it is there.
pub fn switch_on(machine: &Machine) -> Result<()> {
    wait_for(&format!("{TAP} on {}", machine.name()), LIMIT, || {
        machine.run(&format!("ip link set {TAP} up")).ok()
    })?;
    Ok(())
}

/// Gives the player of a peer his address by hand.
pub fn address_player(machine: &Machine) -> Result<()> {
    switch_on(machine)?;
    machine.run(&format!("ip address add {PLAYER}/24 broadcast + dev {TAP}"))?;
    Ok(())
}
