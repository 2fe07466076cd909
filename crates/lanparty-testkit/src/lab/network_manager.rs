//! A stand-in for the program that manages interfaces on most desktops.

use std::time::Duration;

use super::{LabError, Machine, Process};

const LIMIT: Duration = Duration::from_secs(30);

/// Stands for NetworkManager, which is found by its name and told by SIGHUP to read its configuration again. Its file of things
/// left alone is a change that does not go with the TAP, as all the others do. A shell cannot trap what was ignored when it began,
/// as SIGHUP is under `nohup`.
pub fn start_network_manager(machine: &Machine) -> Result<Process, LabError> {
    machine
        .shell("mkdir -p /run/NetworkManager/conf.d; : > /run/reloads; cp /bin/bash /run/NetworkManager/NetworkManager")
        ?;
    let script = "trap 'echo reload >> /run/reloads' HUP; echo ready; while :; do sleep 0.1; done";
    let mut process = machine.spawn(
        "NetworkManager",
        &[
            "env",
            "--default-signal=HUP",
            "/run/NetworkManager/NetworkManager",
            "-c",
            script,
        ],
    )?;
    process.wait_for_log("ready", LIMIT)?;
    Ok(process)
}
