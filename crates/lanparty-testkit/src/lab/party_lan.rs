//! The wired LAN of the party: a switch (a Linux bridge, or two in a row), a DHCP server, a game server, and a port
//! for the LAN gateway.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use super::{
    cable::{End, end, mac_of, plug},
    error::LabError,
    frame::mac_text,
    machine::Machine,
    process::Process,
    wait::wait_for,
};

/// The DHCP server, and (if it says so) the party's router.
pub const DHCP_SERVER: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 1);
/// The game server.
pub const GAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 10);
/// Global addresses of the party's LAN, if it has a router that advertises them.
pub const PREFIX6: &str = "fd73:42::";

/// How long a switch that was made to [`PartyLan::snoop`] forwards a group without hearing a report.
pub const MEMBERSHIP: Duration = Duration::from_secs(5);

const START_LIMIT: Duration = Duration::from_secs(10);

/// What the party's DHCP server offers, and what its router advertises.
#[derive(Debug, Clone)]
pub struct DhcpOptions {
    /// Offer a default gateway and a name server (options 3 and 6), as home routers do.
    pub offers_internet: bool,
    /// Send router advertisements with a default route, a prefix and a name server.
    pub advertises_router: bool,
    /// How long a lease holds.
    pub lease: Duration,
    /// More options, in dnsmasq's own words.
    pub extra: Vec<String>,
}

impl Default for DhcpOptions {
    fn default() -> Self {
        Self {
            offers_internet: true,
            advertises_router: false,
            // The shortest that dnsmasq knows; a client renews after half of it.
            lease: Duration::from_secs(120),
            extra: Vec::new(),
        }
    }
}

/// The party's LAN.
#[derive(Debug)]
pub struct PartyLan {
    /// The switch: bridge `br0`, and `br1` behind a trunk if there are two.
    pub switch: Machine,
    /// Runs the DHCP server on `eth0`.
    pub dhcp: Machine,
    /// A host that runs games, on `eth0`; on the far switch if there are two.
    pub games: Machine,
    two_switches: bool,
    options: DhcpOptions,
    dnsmasq: Option<Process>,
}

impl PartyLan {
    pub(super) fn build(
        directory: &Path,
        two_switches: bool,
        options: &DhcpOptions,
    ) -> Result<Self, LabError> {
        let switch = Machine::boot("switch", &directory.join("switch"))?;
        let dhcp = Machine::boot("dhcp", &directory.join("dhcp"))?;
        let games = Machine::boot("games", &directory.join("games"))?;
        add_bridge(&switch, "br0")?;
        if two_switches {
            add_bridge(&switch, "br1")?;
            plug(end(&switch, "trunk0"), end(&switch, "trunk1"), 1500)?;
            switch.run("ip link set trunk0 master br0")?;
            switch.run("ip link set trunk1 master br1")?;
        }
        connect(&switch, "br0", "p-dhcp", end(&dhcp, "eth0"))?;
        connect(
            &switch,
            if two_switches { "br1" } else { "br0" },
            "p-games",
            end(&games, "eth0"),
        )?;
        for (machine, address) in [(&dhcp, DHCP_SERVER), (&games, GAME_SERVER)] {
            machine.run(&format!("ip address add {address}/24 broadcast + dev eth0"))?;
        }
        games.run(&format!("ip route add default via {DHCP_SERVER}"))?;
        let dnsmasq = Some(start_dnsmasq(&dhcp, options)?);
        Ok(Self {
            switch,
            dhcp,
            games,
            two_switches,
            options: options.clone(),
            dnsmasq,
        })
    }

    /// Adds a host with a cable to the near switch; interface `eth0`, no address yet.
    pub fn add_host(&self, name: &str) -> Result<Machine, LabError> {
        let machine = Machine::boot(name, &self.switch.directory().with_file_name(name))?;
        connect(&self.switch, "br0", &format!("p-{name}"), end(&machine, "eth0"))?;
        Ok(machine)
    }

    /// Plugs the LAN gateway's interface `nic` into port `p-gateway` of the near switch.
    pub fn connect_gateway(&self, gateway: &Machine, nic: &str) -> Result<(), LabError> {
        connect(&self.switch, "br0", "p-gateway", end(gateway, nic))
    }

    /// Plugs interface `nic` of a machine into port `port` of the near switch.
    pub fn plug_in(&self, machine: &Machine, nic: &str, port: &str) -> Result<(), LabError> {
        connect(&self.switch, "br0", port, end(machine, nic))
    }

    /// The switch's end of the LAN gateway's cable.
    pub fn gateway_port(&self) -> End<'_> {
        end(&self.switch, "p-gateway")
    }

    /// How long the switches remember an address without traffic.
    pub fn set_ageing(&self, time: Duration) -> Result<(), LabError> {
        let centiseconds = time.as_millis() / 10;
        for bridge in self.bridges() {
            self.switch.run(&format!(
                "ip link set {bridge} type bridge ageing_time {centiseconds}"
            ))?;
        }
        Ok(())
    }

    /// Makes the near switch one that forwards a group only to ports where somebody listens, and asks who does, in these versions. Its timers
    /// are shortened: it asks every 2 s, and forgets after [`MEMBERSHIP`] what nobody has named.
    pub fn snoop(&self, igmp: u8, mld: u8) -> Result<(), LabError> {
        // The querier needs an address, or MLD has none to ask from.
        self.switch.sysctl("net/ipv6/conf/br0/disable_ipv6", "0")?;
        wait_for("the switch's own address", START_LIMIT, || {
            let addresses = self.switch.run("ip -6 address show dev br0").ok()?;
            (addresses.contains("fe80::") && !addresses.contains("tentative")).then_some(())
        })?;
        let membership = MEMBERSHIP.as_millis() / 10;
        self.switch
            .run(&format!(
                "ip link set br0 type bridge mcast_snooping 1 mcast_querier 1 \
                 mcast_igmp_version {igmp} mcast_mld_version {mld} mcast_query_interval 200 \
                 mcast_query_response_interval 100 mcast_startup_query_interval 100 \
                 mcast_membership_interval {membership} mcast_last_member_interval 50"
            ))
            .map(drop)
    }

    /// Whether the near switch forwards a group to a port, such as the LAN gateway's `p-gateway`.
    pub fn forwards_to(&self, port: &str, group: IpAddr) -> Result<bool, LabError> {
        let text = self.switch.run("bridge mdb show dev br0")?;
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let follows = |name: &str, value: &str| words.windows(2).any(|pair| pair == [name, value]);
            follows("port", port) && follows("grp", &group.to_string())
        };
        Ok(text.lines().any(entry))
    }

    /// The port of bridge `bridge` on which `mac` was learned.
    pub fn port_of(&self, bridge: &str, mac: [u8; 6]) -> Result<Option<String>, LabError> {
        let text = self
            .switch
            .run(&format!("bridge -json fdb show br {bridge} dynamic"))?;
        let entries: Vec<serde_json::Value> =
            serde_json::from_str(&text).map_err(|_| LabError::Unreadable {
                what: format!("the address table of {bridge}"),
                text,
            })?;
        let mac = mac_text(mac);
        let learned = entries.iter().find(|entry| entry["mac"] == mac.as_str());
        Ok(learned
            .and_then(|entry| entry["ifname"].as_str())
            .map(str::to_owned))
    }

    /// Waits until bridge `bridge` has learned `mac` on `port`.
    pub fn wait_for_port(
        &self,
        bridge: &str,
        mac: [u8; 6],
        port: &str,
        limit: Duration,
    ) -> Result<(), LabError> {
        let what = format!("{} on port {port} of {bridge}", mac_text(mac));
        wait_for(&what, limit, || {
            (self.port_of(bridge, mac).ok().flatten().as_deref() == Some(port)).then_some(())
        })
    }

    /// Makes it a LAN without a DHCP server.
    pub fn stop_dhcp(&mut self) {
        self.dnsmasq = None;
    }

    /// A DHCP server appears, as the lab has described it.
    pub fn start_dhcp(&mut self) -> Result<(), LabError> {
        self.dnsmasq = None;
        self.dnsmasq = Some(start_dnsmasq(&self.dhcp, &self.options)?);
        Ok(())
    }

    /// What the DHCP server has logged.
    pub fn dhcp_log(&self) -> String {
        self.dnsmasq.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The names of the bridges.
    pub fn bridges(&self) -> &'static [&'static str] {
        if self.two_switches {
            &["br0", "br1"]
        } else {
            &["br0"]
        }
    }

    /// The hardware address of the game server.
    pub fn games_mac(&self) -> Result<[u8; 6], LabError> {
        mac_of(&self.games, "eth0")
    }
}

/// A switch as one buys it for a party: no spanning tree, no snooping.
fn add_bridge(switch: &Machine, name: &str) -> Result<(), LabError> {
    switch.run(&format!(
        "ip link add {name} type bridge stp_state 0 mcast_snooping 0 forward_delay 0"
    ))?;
    // The switch is not a host on its own LAN: it sends nothing by itself.
    switch.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    switch.run(&format!("ip link set {name} up")).map(drop)
}

fn connect(switch: &Machine, bridge: &str, port: &str, host: End<'_>) -> Result<(), LabError> {
    plug(end(switch, port), host, 1500)?;
    switch.sysctl(&format!("net/ipv6/conf/{port}/disable_ipv6"), "1")?;
    switch
        .run(&format!("ip link set {port} master {bridge}"))
        .map(drop)
}

fn start_dnsmasq(machine: &Machine, options: &DhcpOptions) -> Result<Process, LabError> {
    let lease = options.lease.as_secs();
    let mut words: Vec<String> = [
        "dnsmasq",
        "--keep-in-foreground",
        "--log-facility=-",
        "--user=root",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--port=0",
        "--interface=eth0",
        "--bind-interfaces",
        "--dhcp-authoritative",
        // Probing an address before it is offered costs three seconds; nobody else is here to take it.
        "--no-ping",
        "--log-dhcp",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!(
        "--dhcp-range=10.73.42.100,10.73.42.200,255.255.255.0,{lease}s"
    ));
    words.push(format!(
        "--dhcp-leasefile={}",
        machine.directory().join("leases").display()
    ));
    if options.offers_internet {
        words.push(format!("--dhcp-option=3,{DHCP_SERVER}"));
        words.push(format!("--dhcp-option=6,{DHCP_SERVER}"));
    } else {
        // Without a value dnsmasq leaves the option out, instead of offering itself.
        words.extend(["--dhcp-option=3".to_owned(), "--dhcp-option=6".to_owned()]);
    }
    if options.advertises_router {
        machine.run(&format!("ip address add {PREFIX6}1/64 dev eth0"))?;
        machine.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        words.push("--enable-ra".to_owned());
        words.push("--ra-param=eth0,high,4,1800".to_owned());
        words.push(format!("--dhcp-range={PREFIX6},ra-only,64,{lease}s"));
        words.push(format!("--dhcp-option=option6:dns-server,[{PREFIX6}1]"));
    }
    words.extend(options.extra.iter().cloned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut process = machine.spawn("dnsmasq", &words)?;
    process.wait_for_log("started", START_LIMIT)?;
    Ok(process)
}
