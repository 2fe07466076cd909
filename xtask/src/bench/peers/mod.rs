//! The other systems, each in its best known configuration on the same lines; the configurations stand beside this file.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use lanparty_testkit::lab::{LAN_NIC, Lab, Machine, Process, RELAY, TAP};

use super::tunnel::{Role, switch_on};

pub mod fastd;
pub mod openvpn;
pub mod tinc;
pub mod vxlan;

/// How long a peer may take to connect; two seconds are usual.
const LIMIT: Duration = Duration::from_secs(20);

/// Fills the `{placeholders}` of a template and leaves the file with the machine.
fn write_config(machine: &Machine, name: &str, template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (placeholder, value) in values {
        text = text.replace(&format!("{{{placeholder}}}"), value);
    }
    write_file(machine, name, &text)
}

fn write_file(machine: &Machine, name: &str, text: &str) -> Result<String> {
    let path: PathBuf = machine.directory().join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    }
    // Written once: a program that was started with it before may be reading it.
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(path.display().to_string());
    }
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// Starts a program in a role.
fn launch(machine: &Machine, role: Role, words: &[&str]) -> Result<(Role, Process)> {
    Ok((role, machine.spawn(role.name(), words)?))
}

/// Joins the tunnel of the LAN gateway's machine with the LAN.
fn bridge(lab: &Lab) -> Result<()> {
    let gateway = &lab.gateway.host;
    gateway.run("ip link add bench-br type bridge stp_state 0 mcast_snooping 0 forward_delay 0")?;
    gateway.run(&format!("ip link set {LAN_NIC} master bench-br"))?;
    gateway.run("ip link set bench-br up")?;
    switch_on(gateway)?;
    gateway.run(&format!("ip link set {TAP} master bench-br"))?;
    Ok(())
}

fn relay_address() -> String {
    RELAY.to_string()
}
