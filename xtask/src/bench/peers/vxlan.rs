//! The kernel's VXLAN. It has no handshake that would open a NAT, so both NATs pass its port on.

use anyhow::Result;
use lanparty_testkit::lab::{Lab, Party, Site, TAP};

use super::{bridge, relay_address};
use crate::bench::tunnel::{Tunnel, address_player};

const SCRIPT: &str = include_str!("vxlan.sh");

pub fn start() -> Result<Tunnel> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    let lab = &party.lab;
    let player = &lab.players[0];
    for site in [player, &lab.gateway] {
        pass_port_on(site)?;
    }
    let (relay, seen) = (
        relay_address(),
        [player, &lab.gateway].map(|site| site.public_address().to_string()),
    );
    lab.internet
        .relay
        .run_words(&["sh", "-ec", SCRIPT, "vxlan", "relay", &seen[0], &seen[1]])?;
    player
        .host
        .run_words(&["sh", "-ec", SCRIPT, "vxlan", "player", &relay, TAP])?;
    let gateway = &lab.gateway.host;
    gateway.run_words(&["sh", "-ec", SCRIPT, "vxlan", "gateway", &relay, TAP])?;
    bridge(lab)?;
    address_player(&player.host)?;
    Tunnel::finish(party, Vec::new(), None)
}

fn pass_port_on(site: &Site) -> Result<()> {
    let host = site.host_address();
    let rules = format!(
        "table ip nat {{
            chain in {{ type nat hook prerouting priority -100; iifname wan udp dport 4789 dnat to {host}; }}
         }}
         insert rule ip wall pass udp dport 4789 accept
        "
    );
    site.router.feed(&["nft", "-f", "-"], &rules)?;
    Ok(())
}
