//! fastd in tap mode: one node on each machine, the middle one forwards.

use anyhow::{Context, Result};
use lanparty_testkit::lab::{Lab, Machine, Party, TAP};

use super::{bridge, launch, relay_address, write_config};
use crate::bench::tunnel::{Program, Role, Tunnel, address_player};

const RELAY_CONFIG: &str = include_str!("fastd-relay.conf");
const MEMBER_CONFIG: &str = include_str!("fastd-member.conf");
/// The fastest of its encrypting methods on a processor with AES instructions: measured here beside salsa2012+umac, which is the usual one.
const METHOD: &str = "aes128-ctr+umac";
const READY: &str = "established";

pub fn start() -> Result<Tunnel> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    let lab = &party.lab;
    let relay = &lab.internet.relay;
    let (secret, public) = create_key(relay)?;
    let address = relay_address();
    let values = [
        ("relay", address.as_str()),
        ("method", METHOD),
        ("secret", &secret),
    ];
    let config = write_config(relay, "fastd.conf", RELAY_CONFIG, &values)?;
    let mut programs = vec![launch(relay, Role::Relay, &["fastd", "--config", &config])?];
    for (machine, role) in [
        (&lab.gateway.host, Role::Gateway),
        (&lab.players[0].host, Role::Client),
    ] {
        let (secret, _) = create_key(machine)?;
        let values = [
            ("relay", address.as_str()),
            ("device", TAP),
            ("method", METHOD),
            ("secret", &secret),
            ("relay_key", &public),
        ];
        let config = write_config(machine, "fastd.conf", MEMBER_CONFIG, &values)?;
        let (_, mut process) = launch(machine, role, &["fastd", "--config", &config])?;
        process.wait_for_log(READY, super::LIMIT)?;
        programs.push((role, process));
    }
    bridge(lab)?;
    let player = &lab.players[0].host;
    address_player(player)?;
    let config = player.directory().join("fastd.conf").display().to_string();
    let program = Program {
        words: ["fastd", "--config", &config].map(str::to_owned).to_vec(),
        ready: Some(READY),
    };
    Tunnel::finish(party, programs, Some(program))
}

/// A secret key and its public one.
fn create_key(machine: &Machine) -> Result<(String, String)> {
    let text = machine.run("fastd --generate-key")?;
    let key = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|key| key.trim().to_owned())
            .with_context(|| format!("fastd generated no key: {text}"))
    };
    Ok((key("Secret:")?, key("Public:")?))
}
