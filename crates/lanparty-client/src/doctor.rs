//! The player's doctor: what `lanparty-client doctor` looks at before an evening, and what a run refuses to begin with.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use lanparty_api::{
    cli::{DoctorArgs, ExitCode, Failure},
    doctor::DoctorPage,
};
use lanparty_core::{doctor as judge, host::never_carry};
use lanparty_node::{RelayQuestion, examine_relay};
use lanparty_os::{
    dirs::create_private,
    doctor::{self as look, Heard, Overhear},
    network::Network,
    privileges::{Privilege, held},
};
use lanparty_quic::Trust;
use lanparty_wire::{
    Mac,
    doctor::{Finding, Light},
    host::{Prefix, Snapshot},
};

use crate::{failure::unexpected, settings::Settings};

/// How long a LAN gateway is listened for. One that has players shows one of them every few seconds.
const LISTENING: Duration = Duration::from_secs(5);

/// Looks at everything, and prints it.
///
/// # Errors
/// Something is red.
pub fn run(arguments: DoctorArgs, settings: Settings, state_dir: &Path) -> Result<(), Failure> {
    let mut page = DoctorPage::new(arguments.json);
    let tap = settings.tap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unexpected)?;
    runtime.block_on(async {
        let network = Network::open().map_err(unexpected)?;
        let snapshot = network.snapshot().await.map_err(unexpected)?;
        page.add(machine(&snapshot, &tap))?;
        let avoid = never_carry(&snapshot, &tap);
        let question = question(arguments, settings, state_dir, avoid)?;
        if question.is_some() {
            // A relay that is seen for the first time is kept there.
            create_private(state_dir).map_err(|error| Failure::new(ExitCode::Host, error))?;
        }
        let (lan, relay) = tokio::join!(listen(&tap), examine_relay(question));
        page.add(lan)?;
        page.add(relay)
    })?;
    page.finish()
}

/// Refuses an address of the party's that this machine's own network has too.
///
/// # Errors
/// The two overlap.
pub fn check_network(snapshot: &Snapshot, tap: &str, party: Prefix) -> Result<(), Failure> {
    refuse(judge::home_network(snapshot, tap, Some(party)))
}

/// Refuses to be on the party's LAN twice.
///
/// # Errors
/// The LAN gateway was heard at an ordinary interface, showing this member's own address.
pub fn check_heard(heard: &Heard, tap: &str, own: Mac) -> Result<(), Failure> {
    if heard.interface == tap || heard.shown != own {
        return Ok(());
    }
    refuse(judge::party_lan(Some(&heard.interface)))
}

/// Hears the LAN gateway by cable or Wi-Fi; without the right to listen there is nothing to hear.
pub struct Ear(Option<Overhear>);

impl Ear {
    /// Must be called within a tokio runtime.
    pub fn open() -> Ear {
        Ear(Overhear::open()
            .inspect_err(|error| tracing::debug!(%error, "cannot listen for the LAN gateway"))
            .ok())
    }

    /// What was heard next; waits for ever when nothing can be heard any more. Cancel safe.
    pub async fn next(&mut self) -> Heard {
        if let Some(overhear) = &self.0 {
            match overhear.next().await {
                Ok(heard) => return heard,
                Err(error) => tracing::debug!(%error, "cannot listen for the LAN gateway any more"),
            }
        }
        self.0 = None;
        std::future::pending().await
    }
}

fn refuse(finding: Finding) -> Result<(), Failure> {
    if finding.light != Light::Red {
        return Ok(());
    }
    let failure = Failure::new(ExitCode::Host, finding.found);
    Err(match finding.advice {
        Some(advice) => failure.advise(advice),
        None => failure,
    })
}

/// What can be said of this machine without asking anybody.
pub fn machine(snapshot: &Snapshot, tap: &str) -> Vec<Finding> {
    let has = held(&[Privilege::ConfigureNetwork, Privilege::RawFrames]);
    let missing: Vec<&str> = [
        (Privilege::ConfigureNetwork, "CAP_NET_ADMIN"),
        (Privilege::RawFrames, "CAP_NET_RAW"),
    ]
    .into_iter()
    .filter_map(|(privilege, text)| (!has.contains(&privilege)).then_some(text))
    .collect();
    vec![
        judge::privileges(&missing),
        if cfg!(windows) {
            judge::tap_windows(look::has_adapter_driver())
        } else {
            judge::tun(look::has_adapter_driver())
        },
        judge::clock(&look::clock()),
        judge::home_network(snapshot, tap, party(snapshot, tap)),
    ]
}

/// What a running client's TAP has.
fn party(snapshot: &Snapshot, tap: &str) -> Option<Prefix> {
    let link = snapshot.link_named(tap)?;
    let addresses = snapshot.addresses_of(link.index).map(|address| address.address);
    addresses.into_iter().find(|prefix| prefix.address().is_ipv4())
}

async fn listen(tap: &str) -> Vec<Finding> {
    let hear = async |overhear: Overhear| -> io::Result<Heard> {
        loop {
            let heard = overhear.next().await?;
            if heard.interface != tap && heard.shown.is_identity() {
                return Ok(heard);
            }
        }
    };
    let Ok(overhear) = Overhear::open() else {
        // Privileges are a finding of their own.
        return Vec::new();
    };
    match tokio::time::timeout(LISTENING, hear(overhear)).await {
        Ok(Ok(heard)) => vec![judge::party_lan(Some(&heard.interface))],
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot listen for a LAN gateway");
            Vec::new()
        }
        Err(_) => vec![judge::party_lan(None)],
    }
}

fn question(
    arguments: DoctorArgs,
    settings: Settings,
    state_dir: &Path,
    avoid_interfaces: Vec<String>,
) -> Result<Option<RelayQuestion>, Failure> {
    let (relay, pin) = settings.relay_and_pin()?;
    let store: PathBuf = state_dir.join("known-relays.json");
    let Some(relay) = arguments.relay.or(relay) else {
        return Ok(None);
    };
    Ok(Some(RelayQuestion {
        relay,
        relay_token: None,
        trust: Trust {
            pin: arguments.relay_pin.or(pin),
            ca_cert: arguments.relay_ca_cert.or(settings.relay_ca_cert),
            server_name: arguments.server_name.or(settings.server_name),
            store,
        },
        avoid_interfaces,
        measure_throughput: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 7]);

    #[test]
    fn only_our_own_address_at_an_ordinary_interface_is_refused() {
        let heard = |interface: &str, shown| Heard {
            interface: interface.into(),
            shown,
        };
        let check = |heard: Heard| check_heard(&heard, "lanparty0", OWN);
        assert!(check(heard("lanparty0", OWN)).is_ok());
        assert!(check(heard("eth0", Mac([2, 0, 0, 0, 0, 8]))).is_ok());
        let failure = check(heard("eth0", OWN)).unwrap_err();
        assert_eq!(failure.code(), ExitCode::Host);
        assert!(failure.to_string().contains("--anyway"), "{failure}");
    }
}
