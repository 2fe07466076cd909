//! The TAP: a virtual network card of this machine, whose cable is the room.
//!
//! On Linux it lives as long as the program: the kernel removes it with its last descriptor, so even `kill -9` leaves none
//! behind. On Windows it stays for the next evening, with its cable pulled. It is created without a link; the link comes up when the room is joined, so that no program speaks to a
//! party that is not there.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(windows)]
use windows as imp;

#[cfg(windows)]
pub(crate) use imp::TapCable;
pub use imp::{Tap, TapControl, TapSink, TapSource};
use lanparty_wire::Mac;

use super::DeviceError;

/// What a TAP is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapOptions {
    pub name: String,
    pub mac: Mac,
    /// Bytes of IP packet, 68 to 65,521.
    pub mtu: u16,
}

/// Takes off the adapter of this name that an earlier evening has left for the next one. False if there is none; on Linux there never is.
///
/// # Errors
/// The system refuses, or this program has no administrator's rights.
pub fn remove(name: &str) -> Result<bool, DeviceError> {
    imp::remove(name)
}

/// What the system did with one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Written {
    Accepted,
    Refused,
    Busy,
}
