//! What a LAN has answered to probes.

use std::net::Ipv4Addr;

use lanparty_wire::{
    doctor::{Bridge, Check, Finding, LanProbe, Offer, Station},
    host::Prefix,
};

/// A network that hardly any home uses.
const UNCOMMON: &str = "10.73.42.0/24";
/// What home routers give out of the box, by their second and third octet below 192.168, or whole.
const COMMON: [[u8; 3]; 14] = [
    [192, 168, 0],
    [192, 168, 1],
    [192, 168, 2],
    [192, 168, 8],
    [192, 168, 10],
    [192, 168, 50],
    [192, 168, 86],
    [192, 168, 100],
    [192, 168, 178],
    [192, 168, 188],
    [10, 0, 0],
    [10, 0, 1],
    [10, 1, 1],
    [172, 16, 0],
];

/// Judges everything that the LAN has answered. `bridge` is this machine's own, if the LAN is reached by one.
pub fn lan(probe: &LanProbe, bridge: Option<&Bridge>) -> Vec<Finding> {
    vec![
        dhcp(&probe.offers),
        foreign_macs(probe),
        large_frames(&probe.hosts),
        multicast(probe, bridge),
    ]
}

/// Whether players' homes are likely to have the same network: `networks` are those of the interface and of DHCP offers.
pub fn subnet(networks: &[Prefix]) -> Finding {
    let common = networks.iter().find(|network| {
        COMMON
            .iter()
            .any(|[a, b, c]| network.contains(Ipv4Addr::new(*a, *b, *c, 1).into()))
    });
    match (common, networks.first()) {
        (Some(network), _) => Finding::yellow(
            Check::Subnet,
            format!(
                "the LAN uses {}, as many homes do; players with the same network at home cannot join",
                network.network()
            ),
            format!("give the LAN an uncommon network such as {UNCOMMON}, in its router's settings"),
        ),
        (None, Some(network)) => Finding::green(
            Check::Subnet,
            format!("the LAN uses {}, which few homes have", network.network()),
        ),
        (None, None) => Finding::green(Check::Subnet, "no IPv4 network was seen on the LAN"),
    }
}

fn dhcp(offers: &[Offer]) -> Finding {
    let mut servers: Vec<(Ipv4Addr, String)> = offers
        .iter()
        .map(|offer| (offer.server, format!("{} ({})", offer.server, offer.mac)))
        .collect();
    servers.sort();
    servers.dedup();
    match servers.as_slice() {
        [] => Finding::yellow(
            Check::Dhcp,
            "no DHCP server answers on the LAN, so players get no address by themselves",
            "switch the router's on, or let lanparty-gateway give players addresses: --addresses auto",
        ),
        [(_, server)] => Finding::green(Check::Dhcp, format!("addresses come from {server}")),
        [first @ .., (_, last)] => {
            let first: Vec<&str> = first.iter().map(|(_, server)| server.as_str()).collect();
            Finding::yellow(
                Check::Dhcp,
                format!("several DHCP servers answer: {} and {last}", first.join(", ")),
                "switch all but one off; often one is a router or a phone that somebody has brought",
            )
        }
    }
}

/// Whether the switch passes what is sent from, and to, addresses that are not the interface's own.
fn foreign_macs(probe: &LanProbe) -> Finding {
    let asked = probe.probes;
    let most = probe.hosts.iter().max_by_key(|host| host.answered_probes);
    match most {
        None => Finding::yellow(
            Check::ForeignMacs,
            "no host on the LAN answers, so it is not known whether the switch lets players in",
            "switch another machine on, and look again",
        ),
        Some(host) if host.answered_probes >= asked => Finding::green(
            Check::ForeignMacs,
            format!(
                "the switch learned {asked} foreign addresses: {} answered each",
                host.address
            ),
        ),
        Some(host) if host.answered_probes > 0 => Finding::red(
            Check::ForeignMacs,
            format!(
                "only {} of {asked} foreign addresses got an answer of {}: the switch seems to limit the addresses of a port",
                host.answered_probes, host.address
            ),
            "raise the limit of MAC addresses on this machine's port, or use another port",
        ),
        Some(host) => Finding::red(
            Check::ForeignMacs,
            format!(
                "{} answers this machine, but none of {asked} foreign addresses: port security is likely on",
                host.address
            ),
            "switch port security (or a limit of MAC addresses) off for this machine's port, or use another port; in a \
             virtual machine allow promiscuous mode and forged transmits",
        ),
    }
}

fn large_frames(hosts: &[Station]) -> Finding {
    let answering: Vec<&Station> = hosts.iter().filter(|host| host.answered_own).collect();
    match (
        answering.iter().find(|host| host.answered_large),
        answering.first(),
    ) {
        (Some(host), _) => Finding::green(
            Check::LargeFrames,
            format!("packets of 1500 bytes reach {}", host.address),
        ),
        (None, Some(host)) => Finding::red(
            Check::LargeFrames,
            format!(
                "packets of 1500 bytes do not reach {}, smaller ones do",
                host.address
            ),
            "look for a switch, a bridge or a tunnel on the way whose MTU is below 1500",
        ),
        (None, None) => Finding::green(
            Check::LargeFrames,
            "no host on the LAN answers, so this was not tried",
        ),
    }
}

fn multicast(probe: &LanProbe, bridge: Option<&Bridge>) -> Finding {
    match (probe.queriers.first(), bridge) {
        (Some(querier), _) => Finding::green(
            Check::Multicast,
            format!("{querier} keeps the switches' lists of groups up to date (IGMP querier)"),
        ),
        (None, Some(bridge)) if bridge.snooping && !bridge.querier => Finding::yellow(
            Check::Multicast,
            format!(
                "{} snoops IGMP, and nobody on the LAN asks who is in a group: groups may stop arriving after minutes",
                bridge.name
            ),
            format!(
                "let the bridge ask: ip link set {0} type bridge mcast_querier 1; or let it not snoop: ip link set {0} type \
                 bridge mcast_snooping 0",
                bridge.name
            ),
        ),
        (None, Some(_) | None) => Finding::green(
            Check::Multicast,
            "no IGMP querier answers; that is fine as long as no switch snoops IGMP",
        ),
    }
}
