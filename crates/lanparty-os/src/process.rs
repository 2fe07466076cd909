//! Processes by an identity that is never used twice: a process id alone comes back after a while.

#[cfg(target_os = "linux")]
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// One run of one program on one boot of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: u32,
    /// In the kernel's ticks since boot; on Windows in 100 ns since 1601.
    started: u64,
    /// The kernel's name for this boot; empty on Windows, where a start time says enough.
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

#[cfg(windows)]
fn start_time(pid: u32) -> io::Result<u64> {
    use std::{os::windows::io::AsRawHandle, ptr};

    use windows_sys::Win32::{
        Foundation::{FILETIME, WAIT_TIMEOUT},
        System::Threading::{
            GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
            WaitForSingleObject,
        },
    };

    use crate::win32::{check, owned};

    let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
    // SAFETY: no pointers are involved, and the handle that it makes is ours.
    let process = unsafe { owned(OpenProcess(rights, 0, pid)) }?;
    // A process that has ended stays as long as anybody has a handle.
    // SAFETY: the handle is open.
    if unsafe { WaitForSingleObject(process.as_raw_handle(), 0) } != WAIT_TIMEOUT {
        return Err(io::ErrorKind::NotFound.into());
    }
    let zero = FILETIME {
        dwLowDateTime: 0,
        dwHighDateTime: 0,
    };
    let [mut created, mut exited, mut kernel, mut user] = [zero; 4];
    // SAFETY: the handle is open, and the times are written where there is room.
    check(unsafe {
        GetProcessTimes(
            process.as_raw_handle(),
            ptr::from_mut(&mut created),
            &mut exited,
            &mut kernel,
            &mut user,
        )
    })?;
    Ok(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}

#[cfg(windows)]
fn boot() -> io::Result<String> {
    Ok(String::new())
}

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

        let program = if cfg!(windows) { "cmd" } else { "cat" };
        let mut child = Command::new(program)
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
