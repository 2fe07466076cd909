//! tinc 1.0 as a switch: one node on each machine, and nobody talks past the middle one.

use std::fs;

use anyhow::{Context, Result};
use lanparty_testkit::lab::{Lab, Machine, Party, TAP};

use super::{bridge, launch, relay_address, write_config};
use crate::bench::tunnel::{Program, Role, Tunnel, address_player};

const CONFIG: &str = include_str!("tinc.conf");
const HOST: &str = include_str!("tinc-host.conf");
/// Printed when the connection to the middle node is up, with `-d1`.
const READY: &str = "activated";

pub fn start() -> Result<Tunnel> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    let lab = &party.lab;
    let nodes = [
        (&lab.internet.relay, Role::Relay),
        (&lab.gateway.host, Role::Gateway),
        (&lab.players[0].host, Role::Client),
    ];
    let hosts = nodes
        .iter()
        .map(|(machine, role)| create(machine, *role))
        .collect::<Result<Vec<_>>>()?;
    let mut programs = Vec::new();
    for (machine, role) in nodes {
        for ((_, other), text) in nodes.iter().zip(&hosts) {
            super::write_file(machine, &format!("tinc/hosts/{}", other.name()), text)?;
        }
        programs.push(launch(machine, role, &as_words(&words(machine)))?);
    }
    for (_, process) in programs.iter_mut().skip(1) {
        process.wait_for_log(READY, super::LIMIT)?;
    }
    bridge(lab)?;
    let player = &lab.players[0].host;
    address_player(player)?;
    let program = Program {
        words: words(player),
        ready: Some(READY),
    };
    Tunnel::finish(party, programs, Some(program))
}

fn words(machine: &Machine) -> Vec<String> {
    let (config, pid) = (
        machine.directory().join("tinc"),
        machine.directory().join("tinc.pid"),
    );
    let (config, pid) = (config.display(), pid.display());
    vec![
        "tincd".to_owned(),
        format!("--config={config}"),
        format!("--pidfile={pid}"),
        "--no-detach".to_owned(),
        "--debug=1".to_owned(),
    ]
}

fn as_words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Writes a node's configuration and keys, and gives what the others have to know of it.
fn create(machine: &Machine, role: Role) -> Result<String> {
    let (device, connect_to, address) = match role {
        Role::Relay => ("bench-tap", "", format!("Address = {}", relay_address())),
        Role::Gateway | Role::Client => (TAP, "ConnectTo = relay", String::new()),
    };
    let values = [
        ("name", role.name()),
        ("device", device),
        ("connect_to", connect_to),
    ];
    write_config(machine, "tinc/tinc.conf", CONFIG, &values)?;
    let folder = machine.directory().join("tinc");
    fs::create_dir_all(folder.join("hosts")).context("could not create tinc's folder")?;
    let folder = folder.display();
    machine.shell(&format!(
        "tincd --config={folder} --generate-keys=2048 < /dev/null"
    ))?;
    let path = machine.directory().join("tinc/hosts").join(role.name());
    let public_key = fs::read_to_string(&path).with_context(|| format!("tinc left no {}", path.display()))?;
    Ok(HOST
        .replace("{address}", &address)
        .replace("{public_key}", &public_key))
}
