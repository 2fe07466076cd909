//! The interface that the LAN's cable is in, and what this machine does with bridged frames.

use lanparty_wire::{
    doctor::{BridgeFilter, Card, Check, Finding},
    host::LinkKind,
    mtu,
};

/// Judges the interface; `None` if there is none of this name. What follows from a red line is not looked at.
pub fn card(name: &str, card: Option<&Card>) -> Vec<Finding> {
    let Some(card) = card else {
        return vec![Finding::red(
            Check::Interface,
            format!("there is no interface {name}"),
            "choose the one that the LAN's cable is in; `ip link` lists them",
        )];
    };
    if let Some(finding) = unfit(card) {
        return vec![finding];
    }
    let mut findings = vec![Finding::green(Check::Interface, described(card)), carrier(card)];
    if card.up && card.carrier != Some(false) {
        findings.extend([speed(card), mtu(card), offloads(card)]);
    }
    findings
}

/// Whether bridged frames are lost to this machine's own firewall.
pub fn bridge_filter(card: &Card, filter: BridgeFilter) -> Finding {
    let Some(bridge) = card.bridge.as_ref() else {
        return Finding::green(Check::BrNetfilter, "no bridge of this machine is in between");
    };
    let advice = "let bridged frames pass: sysctl -w net.bridge.bridge-nf-call-iptables=0 \
                  net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0";
    match filter {
        BridgeFilter {
            calls_firewall: false,
            ..
        } => Finding::green(
            Check::BrNetfilter,
            format!("the firewall does not look at what {} bridges", bridge.name),
        ),
        BridgeFilter { docker: true, .. } => Finding::red(
            Check::BrNetfilter,
            format!(
                "br_netfilter sends what {} bridges through the firewall, and Docker's drops it",
                bridge.name
            ),
            advice,
        ),
        BridgeFilter { docker: false, .. } => Finding::yellow(
            Check::BrNetfilter,
            format!(
                "br_netfilter sends what {} bridges through the firewall, which may drop it",
                bridge.name
            ),
            advice,
        ),
    }
}

fn unfit(card: &Card) -> Option<Finding> {
    let name = &card.name;
    let red = |found: String, advice: &str| Some(Finding::red(Check::Interface, found, advice));
    let choose = "choose the interface that the LAN's cable is in";
    if card.own_tap {
        return red(format!("{name} is a TAP that lanparty made itself"), choose);
    }
    if let Some(bridge) = card.bridge.as_ref().filter(|bridge| bridge.name != *name) {
        return red(
            format!(
                "{name} is a port of the bridge {}, which takes its frames",
                bridge.name
            ),
            &format!("choose the bridge: --iface {}", bridge.name),
        );
    }
    match card.kind {
        LinkKind::Wifi => red(
            format!(
                "{name} is a Wi-Fi interface: an access point drops what is sent for other machines, so no player can be bridged"
            ),
            "connect this machine to the LAN by cable and choose that interface",
        ),
        LinkKind::Loopback => red(format!("{name} is the loopback interface"), choose),
        LinkKind::Tun | LinkKind::Other => red(format!("{name} is not an Ethernet interface"), choose),
        LinkKind::Ethernet | LinkKind::Bridge | LinkKind::Bond | LinkKind::Vlan | LinkKind::Tap => None,
    }
}

fn described(card: &Card) -> String {
    let kind = match card.kind {
        LinkKind::Bridge => "a bridge of this machine",
        LinkKind::Bond => "a bond",
        LinkKind::Vlan => "a VLAN",
        LinkKind::Tap => "a TAP of another program",
        LinkKind::Ethernet | LinkKind::Wifi | LinkKind::Loopback | LinkKind::Tun | LinkKind::Other => {
            "a wired interface"
        }
    };
    format!("{} is {kind}", card.name)
}

fn carrier(card: &Card) -> Finding {
    let name = &card.name;
    if !card.up {
        return Finding::red(
            Check::Carrier,
            format!("{name} is switched off"),
            format!("switch it on with: ip link set {name} up"),
        );
    }
    match card.carrier {
        Some(false) => Finding::red(
            Check::Carrier,
            format!("{name} has no link"),
            "plug the LAN's cable in, or see whether the switch at its other end is on",
        ),
        Some(true) => Finding::green(Check::Carrier, format!("{name} has a link")),
        None => Finding::green(
            Check::Carrier,
            format!("{name} is up; its driver does not tell of a link"),
        ),
    }
}

/// A file copy at a party is a gigabit; below that everybody feels it, below 100 Mbit/s games do.
fn speed(card: &Card) -> Finding {
    let cable = "try another cable and another port of the switch";
    match (card.speed, card.half_duplex) {
        (Some(speed), Some(true)) => Finding::yellow(
            Check::Speed,
            format!("the link runs at {speed} Mbit/s half duplex, one way at a time"),
            "let both ends negotiate (ethtool -s IF autoneg on), and replace a hub by a switch",
        ),
        (Some(speed @ 0..100), _) => Finding::yellow(
            Check::Speed,
            format!("the link runs at {speed} Mbit/s only"),
            cable,
        ),
        (Some(speed @ 100..1000), _) => Finding::yellow(
            Check::Speed,
            format!("the link runs at {speed} Mbit/s; all players share it"),
            cable,
        ),
        (Some(speed), _) => Finding::green(Check::Speed, format!("the link runs at {speed} Mbit/s")),
        (None, _) => Finding::green(Check::Speed, "the driver does not tell how fast the link is"),
    }
}

fn mtu(card: &Card) -> Finding {
    let wanted = u32::from(mtu::DEFAULT_MTU);
    let advice = format!("set it to {wanted}: ip link set {} mtu {wanted}", card.name);
    match card.mtu {
        Some(mtu) if mtu < wanted => Finding::red(
            Check::Mtu,
            format!(
                "{} carries packets of {mtu} bytes only, and players send {wanted}",
                card.name
            ),
            advice,
        ),
        Some(mtu) if mtu > wanted => Finding::yellow(
            Check::Mtu,
            format!(
                "{} takes jumbo frames of {mtu} bytes, which no remote player can receive",
                card.name
            ),
            advice,
        ),
        Some(_) | None => Finding::green(Check::Mtu, format!("packets of {wanted} bytes")),
    }
}

/// Large receive offload merges packets so that they cannot be taken apart again; everything else the LAN gateway undoes itself.
fn offloads(card: &Card) -> Finding {
    let is_on = |name: &str| card.offloads.iter().any(|feature| feature == name);
    if is_on("rx-lro") {
        return Finding::yellow(
            Check::Offloads,
            format!("{} merges received packets for good (LRO)", card.name),
            format!("switch it off: ethtool -K {} lro off", card.name),
        );
    }
    let handled: Vec<&str> = [
        ("rx-gro", "merged packets are cut again (GRO)"),
        ("rx-vlan-hw-parse", "VLAN tags are put back"),
    ]
    .into_iter()
    .filter_map(|(feature, words)| is_on(feature).then_some(words))
    .collect();
    let found = if handled.is_empty() {
        "none that matters".to_owned()
    } else {
        format!("handled here: {}", handled.join(", "))
    };
    Finding::green(Check::Offloads, found)
}
