//! Processes by an identity that is never used twice: a process id alone comes back after a while.

#[cfg(target_os = "linux")]
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// One run of one program on one boot of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: u32,
    /// In the kernel's ticks since boot.
    started: u64,
    boot: String,
}

impl ProcessIdentity {
    /// This process.
    pub(crate) fn own() -> io::Result<ProcessIdentity> {
        let pid = std::process::id();
        Ok(ProcessIdentity {
            pid,
            started: start_time(pid)?,
            boot: boot()?,
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        let same =
            |boot| boot == self.boot && start_time(self.pid).is_ok_and(|started| started == self.started);
        boot().is_ok_and(same)
    }
}

#[cfg(not(target_os = "linux"))]
fn start_time(_pid: u32) -> io::Result<u64> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(not(target_os = "linux"))]
fn boot() -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)). The second field is a name that may contain anything, so fields
/// are counted from its closing parenthesis.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // A zombie has ended; only its parent has not noticed.
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    if matches!(fields.next(), None | Some("Z" | "X")) {
        return Err(gone());
    }
    fields
        .nth(18)
        .and_then(|field| field.parse().ok())
        .ok_or_else(gone)
}

#[cfg(target_os = "linux")]
fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends_and_another_with_its_id_is_not_it() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.is_alive());
        assert!(
            !ProcessIdentity {
                started: own.started + 1,
                ..own.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessIdentity {
                boot: "another".into(),
                ..own.clone()
            }
            .is_alive()
        );

        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let identity = ProcessIdentity {
            pid: child.id(),
            started: start_time(child.id()).unwrap(),
            ..own
        };
        assert!(identity.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }
}
