//! Who is compared. To add a contestant is to add a line here and the function that starts it.

use anyhow::Result;
use lanparty_testkit::lab::{LAN_NIC, Lab, Party};

use super::{ours, peers, tunnel::Tunnel};

/// One of those that are compared.
pub struct Variant {
    /// For tables and `--only`.
    pub name: &'static str,
    pub what: &'static str,
    pub start: fn() -> Result<Tunnel>,
}

/// In the order of the tables.
pub const VARIANTS: [Variant; 7] = [
    Variant {
        name: "plain",
        what: "no tunnel: routed by the kernel over the same lines",
        start: plain,
    },
    Variant {
        name: "vxlan",
        what: "the kernel's VXLAN, bridged in the relay's place, not encrypted",
        start: peers::vxlan::start,
    },
    Variant {
        name: "openvpn",
        what: "OpenVPN tap through a server in the relay's place, AES-128-GCM over UDP",
        start: peers::openvpn::start,
    },
    Variant {
        name: "fastd",
        what: "fastd tap through a forwarding node in the relay's place",
        start: peers::fastd::start,
    },
    Variant {
        name: "tinc",
        what: "tinc 1.0 in switch mode through a node in the relay's place, AES-128-CBC",
        start: peers::tinc::start,
    },
    Variant {
        name: "open",
        what: "lanparty, open room",
        start: ours::open_room,
    },
    Variant {
        name: "sealed",
        what: "lanparty, sealed room: the relay cannot read its frames",
        start: ours::sealed_room,
    },
];

fn plain() -> Result<Tunnel> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    open_the_way(&party.lab)?;
    Tunnel::finish(party, Vec::new(), None)
}

/// Routes from the internet through the LAN gateway's machine into the LAN, which no real party would have.
fn open_the_way(lab: &Lab) -> Result<()> {
    const INSIDE: &str = "10.73.42.2";
    let gateway = &lab.gateway;
    gateway
        .host
        .run(&format!("ip address add {INSIDE}/24 dev {LAN_NIC}"))?;
    gateway.host.sysctl("net/ipv4/ip_forward", "1")?;
    gateway.router.run(&format!(
        "ip route add 10.73.42.0/24 via {}",
        gateway.host_address()
    ))?;
    gateway.router.run("nft insert rule ip wall pass accept")?;
    lab.internet.router.run(&format!(
        "ip route add 10.73.42.0/24 via {}",
        gateway.public_address()
    ))?;
    lab.lan
        .games
        .run(&format!("ip route replace default via {INSIDE}"))?;
    Ok(())
}
