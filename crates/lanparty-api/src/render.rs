//! A status as text for people.
//!
//! One fact a line, the name of the fact in front, so that it reads on a small terminal and in a screenshot. Scripts read the
//! JSON instead. Names from the network are cleaned before they reach a terminal.

use std::fmt::{self, Display, Write};

use lanparty_wire::{
    DropCounters, Profile,
    control::{Mode, Role},
};

use crate::{
    status::{
        Admission, Dhcp, EndpointStatus, GatewayStatus, InterfaceStatus, MemberStatus, Redundancy, RelayLink,
        RelayStatus, Status, Traffic, printable,
    },
    story::{Flow, STORM_PER_S, whole_ms},
};

/// The whole status. `now_unix` is the present in seconds since the Unix epoch.
pub fn text(status: &Status, now_unix: u64) -> String {
    let mut page = Page(String::new());
    let age = duration(now_unix.saturating_sub(status.since_unix));
    let name = if status.software.is_empty() {
        status.program.name()
    } else {
        &status.software
    };
    // Writing to a string cannot fail.
    let _ = writeln!(page.0, "{name}, process {}, running for {age}", status.process);
    if let Some(problem) = &status.problem {
        page.line("Problem", format_args!("{}", printable_line(problem)));
    }
    if let Some(endpoint) = &status.endpoint {
        page.endpoint(endpoint);
    }
    if let Some(relay) = &status.relay {
        page.relay(relay);
    }
    page.traffic(&status.traffic);
    page.line("Drops", drops(&status.drops));
    if let Some(endpoint) = &status.endpoint {
        page.members(&endpoint.members);
    }
    for room in status.relay.iter().flat_map(|relay| &relay.rooms) {
        page.line(
            "Room",
            format_args!("{}, {}", room.room, plural(room.members.len(), "member")),
        );
        page.members(&room.members);
    }
    page.0
}

/// Collects lines; the facts' names stand in one column.
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<13} {value}");
    }

    fn endpoint(&mut self, endpoint: &EndpointStatus) {
        self.line("Relay", relay_link(&endpoint.relay));
        self.line("Room", room(endpoint));
        if let Some(identity) = endpoint.identity {
            self.line("Identity", format_args!("{identity:?}"));
        }
        if let Some(interface) = &endpoint.interface {
            self.line("Adapter", adapter(interface));
            self.line("Address", address(interface, &endpoint.dhcp));
        }
        if let Some(route) = &endpoint.route {
            let carrier = route.interface.as_deref().unwrap_or("an unknown interface");
            let pinned = if route.pinned {
                "pinned to"
            } else {
                "NOT pinned, at present by"
            };
            let reason = route
                .reason
                .iter()
                .map(|reason| format!(": {}", printable_line(reason)));
            self.line(
                "Relay route",
                format_args!("{pinned} {carrier}{}", reason.collect::<String>()),
            );
        }
        if let Some(redundancy) = &endpoint.redundancy {
            self.line("Redundancy", redundant(redundancy));
        }
        // A LAN gateway is its own.
        if endpoint.mac.is_some() {
            self.line(
                "LAN gateway",
                endpoint
                    .gateway
                    .as_ref()
                    .map_or_else(|| no_gateway(endpoint), gateway),
            );
            self.line("Broadcasts", broadcasts(endpoint));
        }
        if let Some(fault) = endpoint.port_fault {
            self.line("Warning", fault.sentence());
        }
        for warning in &endpoint.warnings {
            let text = warning.strip_prefix("Warning: ").unwrap_or(warning);
            self.line("Warning", printable_line(text));
        }
        if endpoint.default_route_offered {
            self.line("Warning", "TAP received default route, adjusted metric");
        }
    }

    fn relay(&mut self, relay: &RelayStatus) {
        self.line(
            "Listening",
            format_args!(
                "{}/udp, {}",
                relay.listen,
                plural(relay.connections as usize, "connection")
            ),
        );
        self.line("Pin", &relay.pin);
        let shakes = &relay.handshakes;
        self.line(
            "Handshakes",
            format_args!(
                "{} accepted, {} asked to retry, {} refused, {} failed",
                shakes.accepted, shakes.retried, shakes.refused, shakes.failed
            ),
        );
        let sockets = &relay.sockets;
        if sockets.count > 1 {
            self.line(
                "Sockets",
                format_args!(
                    "{}, {} packets handed over, {} lost on the way",
                    sockets.count, sockets.handed_over, sockets.not_handed_over
                ),
            );
        }
        self.line("Rooms", relay.rooms.len());
    }

    fn traffic(&mut self, traffic: &Traffic) {
        self.line(
            "Frames",
            format_args!("{} out, {} in", traffic.frames_out, traffic.frames_in),
        );
        self.line(
            "Datagrams",
            format_args!(
                "{} out ({}), {} in ({})",
                traffic.datagrams_out,
                bytes(traffic.bytes_out),
                traffic.datagrams_in,
                bytes(traffic.bytes_in)
            ),
        );
        if (traffic.duplicates_out, traffic.duplicates_in) != (0, 0) {
            self.line(
                "Copies",
                format_args!(
                    "{} out ({}, {:.1} % of all bytes out), {} in",
                    traffic.duplicates_out,
                    bytes(traffic.duplicate_bytes_out),
                    traffic.duplicate_bytes_out as f64 * 100.0 / traffic.bytes_out.max(1) as f64,
                    traffic.duplicates_in
                ),
            );
        }
    }

    fn members(&mut self, members: &[MemberStatus]) {
        for member in members {
            self.line("  Member", Row(member));
        }
    }
}

fn relay_link(relay: &RelayLink) -> String {
    let mut parts = vec![match relay.remote {
        Some(remote) if remote.to_string() != relay.address.to_string() => {
            format!("{} ({remote})", relay.address)
        }
        Some(_) | None => relay.address.to_string(),
    }];
    parts.push(match (relay.connected, relay.attempts) {
        (true, _) => "connected".into(),
        (false, 0) => "connecting".into(),
        (false, attempts) => format!("not reached, {} so far", plural(attempts as usize, "attempt")),
    });
    parts.extend(relay.rtt_us.map(|rtt| format!("RTT {} ms", whole_ms(rtt))));
    parts.extend(
        relay
            .datagrams
            .filter(|taken| !taken)
            .map(|_| "takes no datagrams".into()),
    );
    parts.extend(relay.budget.map(|budget| format!("{budget} bytes a datagram")));
    parts.extend(relay.trust.as_ref().map(|trust| format!("trusted by {trust}")));
    parts.join(", ")
}

fn room(endpoint: &EndpointStatus) -> String {
    let trust = if endpoint.sealed {
        "sealed end to end"
    } else {
        "open: the relay's operator could read frames"
    };
    let joined = match endpoint.member.filter(|_| endpoint.is_joined()) {
        Some(member) => format!("joined as member {member}"),
        None => "not joined".into(),
    };
    let mode = match endpoint.mode {
        None | Some(Mode::Unknown) => "",
        Some(Mode::Relay) => ", through the relay",
        Some(Mode::DirectP2p) => ", directly",
        Some(Mode::DirectFailedRelayFallback) => ", through the relay because direct paths failed",
    };
    let profile = match endpoint.profile {
        Some(Profile::Strangers) => ", for strangers",
        Some(Profile::Friends) | None => "",
    };
    format!("{} ({trust}{profile}), {joined}{mode}", endpoint.room)
}

fn adapter(interface: &InterfaceStatus) -> String {
    let link = match (interface.up, interface.carrier) {
        (true, true) => "up",
        (true, false) => "no link",
        (false, _) => "down",
    };
    let mac = interface.mac.map(|mac| format!(", {mac}")).unwrap_or_default();
    format!(
        "{}{mac}, MTU {}, {link}, index {}",
        interface.name, interface.mtu, interface.index
    )
}

fn address(interface: &InterfaceStatus, dhcp: &Dhcp) -> String {
    let shown = interface.preferred_address().map(|address| address.to_string());
    match dhcp {
        Dhcp::Bound { address, .. } => format!("{address}, by DHCP from the LAN"),
        Dhcp::Asking => format!(
            "{}, asking the LAN's DHCP server",
            shown.as_deref().unwrap_or("none yet")
        ),
        Dhcp::Off => shown.unwrap_or_else(|| "none".into()),
    }
}

fn gateway(gateway: &GatewayStatus) -> String {
    let name = if gateway.name.is_empty() {
        String::new()
    } else {
        format!(" {}", printable(&gateway.name))
    };
    let latency = gateway
        .rtt_us
        .map(|rtt| format!(", latency {} ms", whole_ms(rtt)))
        .unwrap_or_default();
    let cable = match gateway.lan_link {
        None => "",
        Some(true) => ", LAN cable in",
        Some(false) => ", the host's LAN cable is out",
    };
    format!("member {}{name}{latency}{cable}", gateway.member)
}

fn redundant(redundancy: &Redundancy) -> String {
    let does = if redundancy.active {
        "small packets are sent twice"
    } else {
        "small packets are sent once"
    };
    format!(
        "{}, {does}; the way to the relay loses {:.1} % of packets",
        printable_line(&redundancy.mode),
        redundancy.loss_percent
    )
}

/// Why there is none.
fn no_gateway(endpoint: &EndpointStatus) -> String {
    match endpoint.admission {
        Some(Admission::Asking) => "asking the host to let you in".into(),
        Some(Admission::Waiting) => "waiting for the host to let you in".into(),
        Some(Admission::HostAway) => "the host is away, and only the host can let you in".into(),
        Some(Admission::Refused { reason }) => reason.sentence().into(),
        Some(Admission::Admitted) => "the host is away".into(),
        None => "none yet: waiting for the host".into(),
    }
}

fn broadcasts(endpoint: &EndpointStatus) -> String {
    let flow = &endpoint.broadcast;
    let verdict = match Flow::of(endpoint) {
        Flow::BothWays => ": flowing",
        Flow::OnlyToLan => ": nothing comes back from the LAN",
        Flow::OnlyFromLan => ": nothing was sent to the LAN",
        Flow::Undecided => "",
    };
    format!(
        "{} to the LAN, {} from the LAN{verdict}",
        flow.to_lan, flow.from_lan
    )
}

/// A member on one line.
struct Row<'a>(&'a MemberStatus);

impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.0;
        let role = match member.role {
            Role::Client => "player",
            Role::Gateway => "LAN gateway",
        };
        write!(f, "{:<6} {role:<11} {}", member.id.to_string(), member.label())?;
        if let Some(mac) = member.mac.filter(|_| !member.name.is_empty()) {
            write!(f, ", {mac}")?;
        }
        if let Some(rtt) = member.rtt_us {
            write!(f, ", {} ms", whole_ms(rtt))?;
        }
        if let Some(remote) = member.remote {
            write!(f, ", from {remote}")?;
        }
        if let Some(seconds) = member.last_seen_s {
            write!(f, ", heard {seconds} s ago")?;
        }
        if let Some(fault) = member.port_fault {
            write!(f, ", STOPPED: it {}", fault.host_sentence())?;
        }
        if member.broadcasts_per_s >= STORM_PER_S {
            write!(f, ", FLOODS: {} broadcasts a second", member.broadcasts_per_s)?;
        }
        if member.drops.total() > 0 {
            write!(f, ", dropped: {}", drops(&member.drops))?;
        }
        Ok(())
    }
}

fn drops(counters: &DropCounters) -> String {
    let shown: Vec<String> = counters
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if shown.is_empty() {
        "none".into()
    } else {
        shown.join(", ")
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn printable_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn duration(seconds: u64) -> String {
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..UNITS.len())
        .rev()
        .find(|unit| count >> (10 * unit) > 0)
        .unwrap_or(0);
    match unit {
        0 => format!("{count} bytes"),
        unit => format!(
            "{:.1} {}",
            count as f64 / (1u64 << (10 * unit)) as f64,
            UNITS[unit]
        ),
    }
}

#[cfg(test)]
mod tests;
