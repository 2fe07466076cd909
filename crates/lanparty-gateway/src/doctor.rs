//! The host's doctor: `lanparty-gateway doctor`, and the look around at every start.

use std::{
    path::{Path, PathBuf},
    thread,
};

use lanparty_api::{
    cli::{DoctorArgs, ExitCode, Failure},
    doctor::{DoctorPage, sentence},
};
use lanparty_core::doctor as judge;
use lanparty_node::{RelayQuestion, examine_relay, say};
use lanparty_os::{
    device::DeviceError,
    dirs::create_private,
    doctor::{self as look, Probing},
    interface::SYSFS,
    network::Network,
    privileges::{Privilege, held},
};
use lanparty_quic::Trust;
use lanparty_wire::{
    Mac, RelayToken,
    doctor::{Card, Finding, Light},
    host::{Prefix, Snapshot},
};

use crate::settings::Settings;

/// Where Linux keeps its settings.
const SYSCTL: &str = "/proc/sys";
/// Routers sit at one end of their network or at the other.
const LIKELY_ROUTERS: [u32; 2] = [1, 254];

/// The flags behind `doctor`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// The wired interface that the LAN's cable is in
    #[arg(long, alias = "interface", value_name = "IF")]
    pub iface: Option<String>,
    #[command(flatten)]
    pub shared: DoctorArgs,
    /// The token that the relay's operator may ask of hosts
    #[arg(long, value_name = "TOKEN")]
    pub relay_token: Option<RelayToken>,
}

/// Looks at everything, and prints it.
///
/// # Errors
/// Something is red, or no interface was named.
pub fn run(arguments: Arguments, settings: Settings, state_dir: &Path) -> Result<(), Failure> {
    let Arguments {
        iface,
        shared,
        relay_token,
    } = arguments;
    let name = iface.or(settings.iface).ok_or_else(|| {
        Failure::new(ExitCode::Usage, "no interface was given".to_owned())
            .advise("name the one that the LAN's cable is in: --iface eth0 (`ip link` lists them)")
    })?;
    let question = shared.relay.or(settings.relay).map(|relay| RelayQuestion {
        relay,
        relay_token: relay_token.or(settings.relay_token),
        trust: Trust {
            pin: shared.relay_pin.or(settings.relay_pin),
            ca_cert: shared.relay_ca_cert.or(settings.relay_ca_cert),
            server_name: shared.server_name.or(settings.server_name),
            store: state_dir.join("known-relays.json"),
        },
        avoid_interfaces: Vec::new(),
        measure_throughput: true,
    });
    if question.is_some() {
        // A relay that is seen for the first time is kept there.
        create_private(state_dir).map_err(|error| Failure::new(ExitCode::Host, error))?;
    }
    let mut page = DoctorPage::new(shared.json);
    let (findings, card) = look_around(&name);
    page.add(findings)?;
    runtime()?.block_on(async {
        let (lan, relay) = tokio::join!(ask_lan(card.as_ref()), examine_relay(question));
        page.add(lan)?;
        page.add(relay)
    })?;
    page.finish()
}

/// Looks at the machine and the LAN in the background, and says what is not green. The relay is told of by the session itself.
pub fn in_background(name: String) {
    let examine = move || {
        let (findings, card) = look_around(&name);
        tell(&findings);
        match runtime() {
            Ok(runtime) => tell(&runtime.block_on(ask_lan(card.as_ref()))),
            Err(failure) => tracing::warn!(error = %failure, "the doctor cannot ask the LAN"),
        }
    };
    // A thread of its own, so that the one that carries frames is woken by nobody else.
    if let Err(error) = thread::Builder::new().name("doctor".into()).spawn(examine) {
        tracing::warn!(%error, "the doctor cannot start");
    }
}

fn tell(findings: &[Finding]) {
    for line in findings.iter().filter_map(sentence) {
        say(&line);
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))
}

/// What the machine shows at once. The interface comes back if it is fit to ask the LAN by.
fn look_around(name: &str) -> (Vec<Finding>, Option<Card>) {
    let needed = [Privilege::ConfigureNetwork, Privilege::RawFrames];
    let has = held(&needed);
    let missing: Vec<&str> = [
        (Privilege::ConfigureNetwork, "CAP_NET_ADMIN"),
        (Privilege::RawFrames, "CAP_NET_RAW"),
    ]
    .into_iter()
    .filter_map(|(privilege, text)| (!has.contains(&privilege)).then_some(text))
    .collect();
    let root = PathBuf::from(SYSFS);
    let mut card = look::card(&root, name);
    if let Some(card) = &mut card {
        card.offloads = look::offloads(name);
    }
    let mut findings = vec![judge::privileges(&missing)];
    findings.extend(judge::card(name, card.as_ref()));
    let is_fit = findings
        .iter()
        .all(|finding| finding.light != Light::Red || is_bearable(finding));
    findings.push(judge::own_box(look::has_adapter_driver()));
    if let Some(card) = &card {
        let filter = look::bridge_filter(&root, Path::new(SYSCTL), card.bridge.as_ref());
        findings.push(judge::bridge_filter(card, filter));
    }
    findings.push(judge::clock(&look::clock()));
    (findings, card.filter(|_| is_fit))
}

/// With a small MTU the LAN can still be asked.
fn is_bearable(finding: &Finding) -> bool {
    finding.name == lanparty_wire::doctor::Check::Mtu
}

async fn ask_lan(card: Option<&Card>) -> Vec<Finding> {
    let Some((card, own)) = card.and_then(|card| Some((card, card.mac?))) else {
        return Vec::new();
    };
    let networks = networks(&card.name).await;
    let probing = Probing {
        own,
        foreign: std::array::from_fn(|_| Mac::from_random(rand::random())),
        transaction: rand::random(),
        hosts: likely_hosts(&networks),
    };
    match look::probe_lan(&card.name, &probing).await {
        Ok(probe) => {
            let offered = probe.offers.iter().filter_map(|offer| offer.address);
            let all: Vec<Prefix> = networks.addresses.iter().copied().chain(offered).collect();
            let mut findings = judge::lan(&probe, card.bridge.as_ref());
            findings.push(judge::subnet(&all));
            findings
        }
        Err(error) => {
            tell_why(&error);
            Vec::new()
        }
    }
}

/// What keeps us from asking is a finding already, unless it has come just now.
fn tell_why(error: &DeviceError) {
    tracing::warn!(%error, "the doctor cannot ask the LAN");
}

/// What the system knows of the LAN.
#[derive(Default)]
struct Networks {
    /// The interface's own IPv4 addresses.
    addresses: Vec<Prefix>,
    /// Routers by which routes lead.
    routers: Vec<std::net::Ipv4Addr>,
}

async fn networks(name: &str) -> Networks {
    let network = match Network::open() {
        Ok(network) => network,
        Err(error) => {
            tracing::debug!(%error, "no look at this machine's network");
            return Networks::default();
        }
    };
    match network.snapshot().await {
        Ok(snapshot) => networks_in(&snapshot, name),
        Err(error) => {
            tracing::debug!(%error, "no look at this machine's network");
            Networks::default()
        }
    }
}

fn networks_in(snapshot: &Snapshot, name: &str) -> Networks {
    let Some(link) = snapshot.link_named(name) else {
        return Networks::default();
    };
    let addresses = snapshot.addresses_of(link.index).map(|address| address.address);
    let routes = snapshot.routes.iter().filter(|route| route.link == link.index);
    Networks {
        addresses: addresses.filter(|prefix| prefix.address().is_ipv4()).collect(),
        routers: routes
            .filter_map(|route| match route.via {
                Some(std::net::IpAddr::V4(via)) => Some(via),
                Some(std::net::IpAddr::V6(_)) | None => None,
            })
            .collect(),
    }
}

fn likely_hosts(networks: &Networks) -> Vec<std::net::Ipv4Addr> {
    let mut hosts = networks.routers.clone();
    for prefix in &networks.addresses {
        let std::net::IpAddr::V4(network) = prefix.network().address() else {
            continue;
        };
        let own = prefix.address();
        hosts.extend(
            LIKELY_ROUTERS
                .into_iter()
                .filter_map(|last| u32::from(network).checked_add(last).map(std::net::Ipv4Addr::from))
                .filter(|host| prefix.contains((*host).into()) && own != *host),
        );
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_both_ends_of_the_network_are_asked_but_not_ourselves() {
        let networks = Networks {
            addresses: vec!["10.73.42.1/24".parse().unwrap()],
            routers: vec!["10.73.42.7".parse().unwrap()],
        };
        let hosts: Vec<String> = likely_hosts(&networks).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["10.73.42.7", "10.73.42.254"]);
    }

    #[test]
    fn an_interface_that_is_not_there_is_one_red_line_and_is_not_asked_by() {
        let (findings, card) = look_around("no-such-if");
        assert!(card.is_none());
        assert!(findings.iter().any(|finding| finding.light == Light::Red));
    }
}
