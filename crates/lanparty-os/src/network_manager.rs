//! NetworkManager, which takes every new interface for its own: it would ask for an address by itself, and take the
//! party's default route and name servers with it. A file below `/run` tells it to leave a TAP alone, and is gone
//! with the next boot. Only Linux has it.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub use linux::leave_alone;
#[cfg(target_os = "linux")]
pub(crate) use linux::reload;

/// The change that keeps it away from this interface: none, as it does not run here.
#[cfg(not(target_os = "linux"))]
pub fn leave_alone(_interface: &str) -> Option<lanparty_wire::host::Change> {
    None
}
