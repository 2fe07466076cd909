//! NetworkManager as it runs on Linux: told by a file and a signal.

use std::{fs, io, path::PathBuf};

use lanparty_wire::host::{Change, Owner};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PID_FILE: &str = "/run/NetworkManager/NetworkManager.pid";
const DIRECTORY: &str = "/run/NetworkManager/conf.d";
const COMMAND: &str = "NetworkManager";

/// The change that keeps it away from this interface; `None` if it does not run. To be made before the interface is.
pub fn leave_alone(interface: &str) -> Option<Change> {
    find().map(|_| Change::WriteFile {
        path: PathBuf::from(format!("{DIRECTORY}/90-lanparty-{interface}.conf")),
        content: format!(
            "# Written by lanparty while it runs.
[device-lanparty-{interface}]
\
             match-device=interface-name:{interface}
managed=0
"
        ),
        owner: Some(Owner::NetworkManager),
    })
}

/// Makes it read its configuration again; nothing to do if it does not run.
pub(crate) fn reload() -> io::Result<()> {
    match find() {
        Some(pid) => kill(pid, Signal::SIGHUP).map_err(io::Error::from),
        None => Ok(()),
    }
}

/// By its pid file, and where there is none (newer versions under systemd) by its name.
fn find() -> Option<Pid> {
    let is_it =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == COMMAND);
    let by_file = fs::read_to_string(PID_FILE)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(is_it);
    let all = || {
        fs::read_dir("/proc")
            .ok()?
            .find_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().filter(is_it))
    };
    by_file.or_else(all).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn it_is_found_by_name_told_by_signal_and_not_bothered_otherwise() {
        // A program of that name which ends with 7 when it is told to read its configuration again.
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(COMMAND);
        fs::copy("/bin/bash", &program).unwrap();
        assert_eq!(leave_alone("lan0"), None);
        reload().unwrap();

        let mut child = Command::new(&program)
            .args([
                "-c",
                "trap 'exit 7' HUP; echo ready; while :; do sleep 0.05; done",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let Some(Change::WriteFile { path, content, .. }) = leave_alone("lan0") else {
            panic!("it was not found")
        };
        assert_eq!(
            path,
            PathBuf::from("/run/NetworkManager/conf.d/90-lanparty-lan0.conf")
        );
        assert!(
            content.contains(
                "
match-device=interface-name:lan0
managed=0
"
            ),
            "{content}"
        );
        reload().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}
