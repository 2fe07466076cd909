//! Judging what a host shows: facts go in, findings come out, each with what was found and what to do.
//!
//! Red is what keeps a party from working, yellow what may hurt it. The words are for somebody who stands beside a switch and has
//! never heard of us; `docs/doctor.md` says more about each.

mod card;
mod lan;
mod relay;

use lanparty_wire::{
    doctor::{Check, Clock, Finding},
    host::{LinkKind, Prefix, Snapshot},
};

pub use card::{bridge_filter, card};
pub use lan::{lan, subnet};
pub use relay::{line, relay};

/// A clock that is off by less hurts no invite.
const CLOCK_SLACK: u64 = 24 * 3600;

/// What a player's machine needs to make its adapter.
pub fn tun(is_there: bool) -> Finding {
    if is_there {
        return Finding::green(Check::Tun, "/dev/net/tun is there");
    }
    Finding::red(
        Check::Tun,
        "/dev/net/tun is missing, so no network adapter can be made",
        "load it with: modprobe tun; in a container pass the device in (--device /dev/net/tun)",
    )
}

/// What a LAN gateway needs so that players reach its own machine as well.
pub fn own_box(has_tun: bool) -> Finding {
    if has_tun {
        return Finding::green(Check::Tun, "players reach servers on this machine as well");
    }
    Finding::yellow(
        Check::Tun,
        "/dev/net/tun is missing, so players do not reach servers on this machine itself",
        "load it with: modprobe tun; in a container pass the device in (--device /dev/net/tun). The rest of the LAN needs none",
    )
}

/// The same on Windows, where a driver of others makes it.
pub fn tap_windows(is_there: bool) -> Finding {
    if is_there {
        return Finding::green(Check::Tun, "the driver TAP-Windows6 is installed");
    }
    Finding::red(
        Check::Tun,
        "the driver TAP-Windows6 is missing, so no network adapter can be made",
        "install it: it comes with OpenVPN's installer for Windows",
    )
}

/// Whether this process may do what a run needs; `missing` names what it may not.
pub fn privileges(missing: &[&str]) -> Finding {
    if missing.is_empty() {
        return Finding::green(Check::Privileges, "this program has the privileges that it needs");
    }
    Finding::red(
        Check::Privileges,
        format!("this program lacks {}", missing.join(" and ")),
        "run it as root or as its systemd service",
    )
}

/// Invites and memberships end at a time, so the clock has to be about right.
pub fn clock(clock: &Clock) -> Finding {
    let advice = "set the clock, best by time synchronisation: timedatectl set-ntp true";
    match (clock.not_before, clock.is_synchronized) {
        (Some(not_before), _) if clock.now.saturating_add(CLOCK_SLACK) < not_before => Finding::red(
            Check::Clock,
            format!(
                "this machine's clock is at least {} days slow, so invites end at the wrong time",
                (not_before - clock.now) / (24 * 3600)
            ),
            advice,
        ),
        (_, Some(false)) => Finding::yellow(
            Check::Clock,
            "nothing keeps this machine's clock in step; invites end at the wrong time if it is off",
            advice,
        ),
        (_, Some(true)) => Finding::green(Check::Clock, "the clock follows a time source"),
        (_, None) => Finding::green(Check::Clock, "the clock is plausible"),
    }
}

/// Whether the network at home could be mistaken for the party's. `party` is what the TAP has, or is about to get.
pub fn home_network(snapshot: &Snapshot, tap: &str, party: Option<Prefix>) -> Finding {
    let home = home_networks(snapshot, tap);
    let Some(party) = party else {
        let shown: Vec<String> = home
            .iter()
            .map(|(name, net)| format!("{net} at {name}"))
            .collect();
        let networks = if shown.is_empty() {
            "none".to_owned()
        } else {
            shown.join(", ")
        };
        return Finding::green(
            Check::HomeNetwork,
            format!("networks here: {networks}; a party must use another one"),
        );
    };
    match home.iter().find(|(_, network)| network.overlaps(party)) {
        None => Finding::green(
            Check::HomeNetwork,
            format!("the party's network {} is none of those here", party.network()),
        ),
        Some((name, network)) => Finding::red(
            Check::HomeNetwork,
            format!(
                "the party uses {}, and so does your network at {name} ({network}): machines of one of them would not be found",
                party.network()
            ),
            "ask the host for an uncommon network such as 10.73.42.0/24, change yours, or go on with --anyway",
        ),
    }
}

/// Whether a LAN gateway was heard on a network of this machine by cable or Wi-Fi: it needs no tunnel then. `here` names the
/// interface.
pub fn party_lan(here: Option<&str>) -> Finding {
    match here {
        None => Finding::green(Check::PartyLan, "this machine is not on a party's LAN"),
        Some(name) => Finding::red(
            Check::PartyLan,
            format!("this machine is on the party's LAN already, at {name}"),
            "play without lanparty-client, which would close a loop; or go on with --anyway",
        ),
    }
}

/// The IPv4 networks of this machine, but not the TAP's, with their interfaces.
fn home_networks(snapshot: &Snapshot, tap: &str) -> Vec<(String, Prefix)> {
    let networks = snapshot.addresses.iter().filter_map(|address| {
        let link = snapshot.link(address.link)?;
        let counts = link.up && link.name != tap && link.kind != LinkKind::Loopback;
        let is_v4 = address.address.address().is_ipv4();
        (counts && is_v4).then(|| (link.name.clone(), address.address.network()))
    });
    networks.collect()
}

#[cfg(test)]
mod tests;
