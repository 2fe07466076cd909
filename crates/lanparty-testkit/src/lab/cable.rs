//! Cables between machines, and what can happen to them.

use std::process::Command;

use super::{
    error::{Attempt, LabError},
    machine::{Machine, tail},
};

/// One end of a cable: an interface of a machine.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The interface's name there.
    pub name: &'a str,
}

/// Shorthand for an [`End`].
pub fn end<'a>(machine: &'a Machine, name: &'a str) -> End<'a> {
    End { machine, name }
}

/// Plugs a cable between two machines and switches both ends on.
///
/// The MTU holds at both ends, as on a real line: a router on it answers larger packets with "too big" or drops them.
pub fn plug(a: End<'_>, b: End<'_>, mtu: u16) -> Result<(), LabError> {
    // In the network of one machine but in the host's PID namespace: `netns` takes the process id of the other.
    let target = a.machine.init_pid().to_string();
    let peer = b.machine.init_pid().to_string();
    let mtu_text = mtu.to_string();
    let output = Command::new("nsenter")
        .args([
            "--target", &target, "--net", "--", "ip", "link", "add", a.name, "mtu", &mtu_text,
        ])
        .args([
            "type", "veth", "peer", "name", b.name, "mtu", &mtu_text, "netns", &peer,
        ])
        .output()
        .attempt(|| format!("plug a cable into {} of {}", a.name, a.machine.name()))?;
    if !output.status.success() {
        return Err(LabError::Command {
            machine: a.machine.name().to_owned(),
            command: format!("cable {} to {} of {}", a.name, b.name, b.machine.name()),
            status: output.status.to_string(),
            output: tail(&String::from_utf8_lossy(&output.stderr)),
        });
    }
    for End { machine, name } in [a, b] {
        machine.run(&format!("ip link set {name} up"))?;
    }
    Ok(())
}

/// Takes a cable away for good, at the given end; the interface is gone at both.
pub fn unplug(machine: &Machine, name: &str) -> Result<(), LabError> {
    machine.run(&format!("ip link del {name}")).map(drop)
}

/// Pulls (`false`) or re-inserts (`true`) the cable at the *other* end of it: what a machine sees then is the loss of
/// carrier, not an interface that somebody switched off.
pub fn set_carrier(far_end: End<'_>, present: bool) -> Result<(), LabError> {
    let state = if present { "up" } else { "down" };
    far_end
        .machine
        .run(&format!("ip link set {} {state}", far_end.name))
        .map(drop)
}

/// The hardware address of an interface.
pub fn mac_of(machine: &Machine, name: &str) -> Result<[u8; 6], LabError> {
    let text = machine.run(&format!("cat /sys/class/net/{name}/address"))?;
    super::frame::parse_mac(&text).ok_or_else(|| LabError::Unreadable {
        what: format!("the address of {name}"),
        text,
    })
}
