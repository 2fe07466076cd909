//! The internet of the lab: one router that everybody's line ends in, a relay host with a public address, and a name
//! server. Nothing else sends there, so what a capture shows is ours.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::{
    cable::{End, end, plug, unplug},
    error::LabError,
    machine::Machine,
    process::Process,
};

/// Address of the router and name server.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Address of the relay's host.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// IPv6 address of the relay's host.
pub const RELAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10);
/// The relay's name, as the lab's name server knows it.
pub const RELAY_NAME: &str = "relay.lanparty.test";

/// The name server of the lab's internet is up when it says so; generous for a busy machine.
const START_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// The router of the internet and what hangs on it.
#[derive(Debug)]
pub struct Internet {
    /// Routes between all lines; runs the name server.
    pub router: Machine,
    /// Where the relay runs: interface `eth0`, public address [`RELAY`].
    pub relay: Machine,
    _names: Process,
}

impl Internet {
    pub(super) fn build(directory: &Path) -> Result<Self, LabError> {
        let router = Machine::boot("internet", &directory.join("internet"))?;
        let relay = Machine::boot("relay", &directory.join("relay"))?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        plug(end(&router, "relay"), end(&relay, "eth0"), 1500)?;
        router.run(&format!("ip address add {ROUTER}/24 dev relay"))?;
        router.run("ip address add 2001:db8:113::1/64 dev relay")?;
        relay.run(&format!("ip address add {RELAY}/24 dev eth0"))?;
        relay.run(&format!("ip address add {RELAY6}/64 dev eth0"))?;
        relay.run(&format!("ip route add default via {ROUTER}"))?;
        relay.run("ip route add default via 2001:db8:113::1")?;
        relay.set_resolver(ROUTER)?;
        let mut names = router.spawn(
            "names",
            &[
                "dnsmasq",
                "--keep-in-foreground",
                "--log-facility=-",
                "--user=root",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--no-resolv",
                "--no-hosts",
                &format!("--listen-address={ROUTER}"),
                &format!("--address=/{RELAY_NAME}/{RELAY}"),
            ],
        )?;
        names.wait_for_log("started", START_LIMIT)?;
        Ok(Self {
            router,
            relay,
            _names: names,
        })
    }
}

/// One place with its own line to the internet: a NAT router and the network behind it.
///
/// The router translates addresses and ports as home routers do: only answers come in, and a mapping that was
/// forgotten comes back with another port.
#[derive(Debug)]
pub struct Site {
    /// The NAT router: `wan` towards the internet, `lan` towards the house.
    pub router: Machine,
    /// The machine in the house.
    pub host: Machine,
    /// The name of the host's interface towards its router.
    pub uplink: &'static str,
    number: u8,
}

impl Site {
    /// Builds site `number`, whose line carries packets of up to `mtu` bytes.
    pub(super) fn build(
        internet: &Internet,
        directory: &Path,
        (number, name): (u8, &str),
        uplink: &'static str,
        mtu: u16,
    ) -> Result<Self, LabError> {
        let router_name = format!("{name}-router");
        let router = Machine::boot(&router_name, &directory.join(&router_name))?;
        let host = Machine::boot(name, &directory.join(name))?;
        let site = Self {
            router,
            host,
            uplink,
            number,
        };
        site.connect_line(internet, mtu)?;
        site.connect_house()?;
        site.host.set_resolver(ROUTER)?;
        Ok(site)
    }

    /// The host's address in the house.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 100 + self.number, 20)
    }

    /// The router's address in the house.
    pub fn router_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 100 + self.number, 1)
    }

    /// The address that the internet sees.
    pub fn public_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.number * 4 + 2)
    }

    /// Gives the host's uplink its address and default route, also after its cable was replaced.
    pub fn configure_host(&self, address: Ipv4Addr) -> Result<(), LabError> {
        self.host
            .run(&format!("ip address add {address}/24 dev {}", self.uplink))?;
        self.host
            .run(&format!(
                "ip route add default via {} dev {}",
                self.router_address(),
                self.uplink
            ))
            .map(drop)
    }

    /// Gives the site IPv6 as well: a prefix of its own, and a router that lets only answers in.
    pub fn add_ipv6(&self, internet: &Internet) -> Result<(), LabError> {
        let (number, line) = (self.number, format!("site{}", self.number));
        for machine in [&internet.router, &self.router] {
            machine.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        internet
            .router
            .run(&format!("ip address add 2001:db8:f{number:02x}::1/64 dev {line}"))?;
        internet.router.run(&format!(
            "ip route add 2001:db8:{number:x}::/64 via 2001:db8:f{number:02x}::2 dev {line}"
        ))?;
        self.router
            .run(&format!("ip address add 2001:db8:f{number:02x}::2/64 dev wan"))?;
        self.router
            .run(&format!("ip route add default via 2001:db8:f{number:02x}::1"))?;
        self.router
            .run(&format!("ip address add 2001:db8:{number:x}::1/64 dev lan"))?;
        self.host.run(&format!(
            "ip address add 2001:db8:{number:x}::20/64 dev {}",
            self.uplink
        ))?;
        self.host
            .run(&format!("ip route add default via 2001:db8:{number:x}::1"))?;
        self.router.feed(
            &["nft", "-f", "-"],
            "table ip6 wall {
                chain pass {
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    meta l4proto icmpv6 accept
                    iifname lan accept
                }
             }",
        )
    }

    /// Plugs the cable between router and host in again, after [`super::cable::unplug`]: new interfaces, new indices.
    pub fn reconnect_house(&self) -> Result<(), LabError> {
        plug(self.house_end(), end(&self.host, self.uplink), 1500)?;
        self.router
            .run(&format!("ip address add {}/24 dev lan", self.router_address()))
            .map(drop)
    }

    /// Gives the host a second line to its router, interface `nic`, and leads its default route there. The first line
    /// keeps carrier, address and neighbours; only nobody passes its packets on.
    pub fn move_to_second_line(&self, nic: &str) -> Result<(), LabError> {
        plug(end(&self.router, "lan2"), end(&self.host, nic), 1500)?;
        let net = format!("192.168.{}", 170 + self.number);
        self.router.run(&format!("ip address add {net}.1/24 dev lan2"))?;
        self.router.feed(
            &["nft", "-f", "-"],
            "add rule ip wall pass iifname lan2 accept
             table inet lab_dead_end { chain line { type filter hook prerouting priority -400; iifname lan drop; }
             }",
        )?;
        self.host.run(&format!("ip address add {net}.20/24 dev {nic}"))?;
        self.host
            .run(&format!("ip route replace default via {net}.1 dev {nic}"))
            .map(drop)
    }

    /// Takes the second line away; the first works again.
    pub fn move_to_first_line(&self, nic: &str) -> Result<(), LabError> {
        self.router.run("nft delete table inet lab_dead_end")?;
        unplug(&self.host, nic)?;
        let (router, uplink) = (self.router_address(), self.uplink);
        self.host
            .run(&format!("ip route add default via {router} dev {uplink}"))
            .map(drop)
    }

    /// The router's end of the cable to the host.
    pub fn house_end(&self) -> End<'_> {
        end(&self.router, "lan")
    }

    fn connect_line(&self, internet: &Internet, mtu: u16) -> Result<(), LabError> {
        let line = format!("site{}", self.number);
        let far = Ipv4Addr::new(198, 51, 100, self.number * 4 + 1);
        plug(end(&internet.router, &line), end(&self.router, "wan"), mtu)?;
        internet
            .router
            .run(&format!("ip address add {far}/30 dev {line}"))?;
        self.router
            .run(&format!("ip address add {}/30 dev wan", self.public_address()))?;
        self.router.run(&format!("ip route add default via {far}"))?;
        self.router.sysctl("net/ipv4/ip_forward", "1")?;
        self.router.feed(
            &["nft", "-f", "-"],
            "table ip nat {
                chain out { type nat hook postrouting priority 100; oifname wan masquerade fully-random; }
             }
             table ip wall {
                chain pass {
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    iifname lan accept
                }
             }",
        )
    }

    fn connect_house(&self) -> Result<(), LabError> {
        self.reconnect_house()?;
        self.configure_host(self.host_address())
    }
}
