//! A lease for the TAP from the party's own DHCP server.
//!
//! The system's DHCP client does the talking, as it has for decades; what it must not do is what it usually does
//! with the result: set the default route, the name servers, the hostname. So it runs with a hook of ours instead
//! of its script. The hook is this program under another name: it hands each event to the running instance by a
//! socket in the state directory, and the instance decides. Nothing of what a party's server offers becomes
//! effective without passing through here.
//!
//! The client is restarted when it ends, dies with us, and gives no lease back: a player who is away for a minute
//! returns to the same address.

mod client;
mod event;
mod hook;

use std::{io, path::PathBuf};

pub use client::{DhcpClient, DhcpOptions};
pub use event::{DhcpEvent, Lease};

/// The name under which this program is the hook. First of all in `main`: [`dispatch_hook`].
pub const HOOK_NAME: &str = "lanparty-dhcp-event";
const SOCKET_NAME: &str = "dhcp.sock";

/// Does the hook's work and ends the process, if that is what it was started for. To be called before anything else
/// in `main`: the arguments are then not this program's own.
pub fn dispatch_hook() {
    if let Some(result) = hook::run_if_asked() {
        if let Err(error) = &result {
            eprintln!("{HOOK_NAME}: {error}");
        }
        std::process::exit(i32::from(result.is_err()));
    }
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
