//! A contestant that is up: the machines, its programs, and what a measurement needs to know of them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
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

/// The program with which the player connects.
#[derive(Debug, Clone)]
pub struct Program {
    pub words: Vec<String>,
    /// In its log when it is connected; `None` for one that gets its address from the LAN by itself.
    pub ready: Option<&'static str>,
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
    processes: Vec<(Role, Process)>,
    /// `None` where no program connects.
    client: Option<Program>,
    _bulk: Process,
    pub party: Party,
}

impl Tunnel {
    /// Adds what every measurement needs, and waits until the player reaches the game server.
    pub fn finish(party: Party, processes: Vec<(Role, Process)>, client: Option<Program>) -> Result<Tunnel> {
        let bulk = party.lab.lan.games.spawn("iperf3", &["iperf3", "--server"])?;
        let tunnel = Tunnel {
            processes,
            client,
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
        let of_party = [(Role::Relay, Who::Relay), (Role::Gateway, Who::Gateway)];
        let of_party = of_party
            .into_iter()
            .filter_map(|(role, who)| Some((role, self.party.pid(who)?)));
        let others = self
            .processes
            .iter()
            .map(|(role, process)| (*role, process.pid()));
        of_party.chain(others).collect()
    }

    /// Ends the player's program, starts it again, and gives the time from its start to an address from the LAN's DHCP server.
    /// `None` where no program connects.
    pub fn reconnect(&mut self) -> Result<Option<Duration>> {
        let Some(program) = self.client.clone() else {
            return Ok(None);
        };
        let place = self.processes.iter().position(|(role, _)| *role == Role::Client);
        if let Some(place) = place {
            let (_, process) = self.processes.remove(place);
            process.stop(LIMIT)?;
        }
        let words: Vec<&str> = program.words.iter().map(String::as_str).collect();
        let start = Instant::now();
        let mut process = self.player().spawn(Role::Client.name(), &words)?;
        if let Some(ready) = program.ready {
            process.wait_for_log(ready, LIMIT)?;
            ask_for_address(self.player())?;
        }
        self.processes.push((Role::Client, process));
        let time = self.wait_for_address(start)?;
        wait_for_ping(self.player(), &GAME_SERVER.to_string(), LIMIT)?;
        Ok(Some(time))
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

fn ask_for_address(machine: &Machine) -> Result<()> {
    switch_on(machine)?;
    // Debian's own script sets the address; a second between tries is what udhcpc knows as shortest.
    let words = ["udhcpc", "-i", TAP, "-q", "-f", "-n", "-t", "15", "-T", "1"];
    let output = machine.output(&words, LIMIT)?;
    ensure!(output.status.success(), "udhcpc got no lease: {}", output.stderr);
    Ok(())
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
