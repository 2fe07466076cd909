//! A lease for the TAP from the party's own DHCP server.
//!
//! On Windows the system asks by itself, and is looked at. On Linux the system's DHCP client does the talking, as it has for decades; what it must not do is what it usually does
//! with the result: set the default route, the name servers, the hostname. So it runs with a hook of ours instead
//! of its script. The hook is this program under another name: it hands each event to the running instance by a
//! socket in the state directory, and the instance decides. Nothing of what a party's server offers becomes
//! effective without passing through here.
//!
//! The client is restarted when it ends, dies with us, and gives no lease back: a player who is away for a minute
//! returns to the same address.

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod hook;
#[cfg(target_os = "linux")]
mod report;
#[cfg(windows)]
mod windows;

use std::{io, net::Ipv4Addr, path::PathBuf};

#[cfg(target_os = "linux")]
pub use client::DhcpClient;
use lanparty_wire::host::Prefix;
#[cfg(windows)]
pub use windows::DhcpClient;

/// What a client is started with.
#[derive(Clone, Debug)]
pub struct DhcpOptions {
    /// The TAP. It has to be up.
    pub interface: String,
    /// For the socket, the hook's link, and what dhclient remembers.
    pub state_dir: PathBuf,
}

/// The name under which this program is the hook. First of all in `main`: [`dispatch_hook`].
pub const HOOK_NAME: &str = "lanparty-dhcp-event";
#[cfg(target_os = "linux")]
const SOCKET_NAME: &str = "dhcp.sock";

/// Does the hook's work and ends the process, if that is what it was started for. To be called before anything else
/// in `main`: the arguments are then not this program's own.
#[cfg(target_os = "linux")]
pub fn dispatch_hook() {
    if let Some(result) = hook::run_if_asked() {
        if let Err(error) = &result {
            eprintln!("{HOOK_NAME}: {error}");
        }
        std::process::exit(i32::from(result.is_err()));
    }
}

/// This program is never a hook here.
#[cfg(windows)]
pub fn dispatch_hook() {}

/// What happened to the TAP's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DhcpEvent {
    /// There is an address, perhaps another one than before.
    Bound(Lease),
    /// The same address stays for longer.
    Renewed(Lease),
    /// The address must not be used any longer. Also said once at the start.
    Deconfig,
    /// No server answered, or it refused; the client goes on asking.
    NoLease,
}

/// What the party's server granted. Router and name servers are for the player to see, never to be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub address: Prefix,
    pub seconds: u32,
    pub server: Option<Ipv4Addr>,
    pub routers: Vec<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
}

/// Why there is no DHCP client.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    #[error(
        "there is no DHCP client on this machine; install udhcpc (Debian, Ubuntu: apt install udhcpc) or dhclient (isc-dhcp-client)"
    )]
    NoProgram,
    #[error("could not {attempt} {}", path.display())]
    Io {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}
