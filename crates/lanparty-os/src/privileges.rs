//! Privileges: a program that moves foreign frames keeps the few that it needs and can never get others back.
//!
//! [`keep`] works for root and for a systemd unit with `AmbientCapabilities=` alike, and is called at the start of
//! `main`, because capabilities belong to threads: those that exist already would keep theirs. Programs that we
//! start (a DHCP client) get the same capabilities and no more.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::io;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(windows)]
use windows as imp;

/// A privilege that a part of lanparty needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Privilege {
    /// Interfaces, addresses, routes (CAP_NET_ADMIN).
    ConfigureNetwork,
    /// Packet sockets (CAP_NET_RAW).
    RawFrames,
    /// Ports below 1024 (CAP_NET_BIND_SERVICE).
    LowPorts,
}

/// Why privileges could not be given up, or are too few.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("this program needs {}; run it as root or administrator, or as its service", missing.join(", "))]
    Missing { missing: Vec<String> },
    #[error("privileges have to be given up before there are other threads, and there are {count}")]
    Threads { count: usize },
    #[error("could not {attempt}")]
    Failed {
        attempt: &'static str,
        source: io::Error,
    },
}

/// Gives up everything but these, for this process and all that it will start. On Windows they are only looked for.
///
/// # Errors
/// [`PrivilegeError::Missing`] if one of them is not there to be kept, [`PrivilegeError::Threads`] when called too
/// late.
pub fn keep(privileges: &[Privilege]) -> Result<(), PrivilegeError> {
    imp::keep(privileges)
}

/// Those of the given privileges that this process has.
pub fn held(privileges: &[Privilege]) -> Vec<Privilege> {
    imp::held(privileges)
}
