//! Devices: where frames of this host come from, and where they go.
//!
//! Frames travel in batches, because a system call and a wake-up per frame are what makes a tunnel slow. A batch
//! owns its buffers and is used again, so nothing is allocated per frame. Super-frames that come from the kernel stay whole and are
//! described, since cutting them is a decision of the core; on the way to the kernel successive segments of TCP are put together
//! again (`coalesce.rs`), because one call for 64 KiB is what makes a download fast.
//!
//! A frame that the kernel refuses is counted and is no error; an error means that the device as a whole has a problem,
//! and [`DeviceError::Down`] that it may come back.

mod batch;
mod coalesce;
pub mod lan;
pub mod memory;
mod out;
pub mod packet;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod stream_tests;
pub mod tap;
#[cfg(target_os = "linux")]
mod vnet;

use std::{future::Future, io};

pub use batch::{Batch, FrameOrigin, MAX_BATCH, MAX_FRAME_LEN, Received};
pub use lanparty_wire::host::Medium;
#[cfg(target_os = "linux")]
use out::{MAX_SEGMENTS, OutFrame};
pub use out::{OutBatch, PushError};

/// A device, ready to be used from two sides at once.
pub trait Device {
    type Source: FrameSource + 'static;
    type Sink: FrameSink + 'static;

    fn medium(&self) -> Medium;
    fn split(self) -> (Self::Source, Self::Sink);
}

/// The side of a device that frames come from.
pub trait FrameSource: Send {
    /// Waits until there is a frame, then replaces what is in the batch by as many as there are, [`MAX_BATCH`] at
    /// most. May return with an empty batch when all that was there turned out unusable. Cancel safe: a frame is
    /// either in the batch or still in the device.
    ///
    /// # Errors
    /// [`DeviceError::Down`] when the interface went down or away; anything else is not expected to pass by itself.
    fn recv(&mut self, batch: &mut Batch) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// What was lost between the wire and [`FrameSource::recv`], since the device was opened.
    fn losses(&mut self) -> SourceLosses;
}

/// The side of a device that frames go to.
pub trait FrameSink: Send {
    /// Hands all frames of the batch to the device and empties it, on errors too. A device that has no room loses
    /// the frame, as a full switch port does: waiting would keep control messages and other members from being
    /// served.
    ///
    /// # Errors
    /// [`DeviceError::Down`] when the interface went down or away; frames not yet handed over are lost.
    fn send(&mut self, frames: &mut OutBatch) -> impl Future<Output = Result<Sent, DeviceError>> + Send;
}

/// What became of a batch of frames. Each that was pushed counts, whether or not it became a part of a super-frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    pub accepted: u32,
    /// Refused for what they are: too long for the link, malformed.
    pub refused: u32,
    /// Refused because the device's queue was full.
    pub busy: u32,
    /// Super-frames that the kernel did not take and that went segment by segment. If this counts, sending is slow, and nothing more.
    pub recut: u32,
}

/// Frames that never reached a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceLosses {
    /// Dropped by the kernel because the socket's buffer was full.
    pub overrun: u64,
    /// Longer than a batch's slot.
    pub truncated: u64,
    /// Super-frames of a kind that the kernel could not describe to us, or described wrongly. If this counts,
    /// offloads of the interface have to be switched off (see [`packet::undescribed_offloads`]).
    pub undescribed: u64,
}

/// Why a device could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("{device} is down or gone")]
    Down { device: String },
    #[error("could not {attempt} {device}")]
    Io {
        attempt: &'static str,
        device: String,
        source: io::Error,
    },
    #[error("{name:?} cannot name an interface; use 1 to 15 letters, digits, dots, dashes or underscores")]
    Name { name: String },
    #[error("there is already an interface {name}; remove it, or choose another name with --tap-name")]
    Exists { name: String },
    #[error("not allowed to {attempt} {device}; run as root or with CAP_NET_ADMIN and CAP_NET_RAW")]
    Permission { attempt: &'static str, device: String },
    #[error(
        "the driver TAP-Windows6 is not installed, so there can be no adapter; it comes with OpenVPN's installer for Windows"
    )]
    NoDriver,
    #[error("the driver TAP-Windows6 is of version {found}, and {needed} is needed; install the newest one")]
    Driver { found: String, needed: String },
    #[error("{what} is not supported on this platform")]
    Unsupported { what: &'static str },
}

impl DeviceError {
    /// Sorts an error of the system into those that callers tell apart.
    #[cfg(target_os = "linux")]
    fn from_io(attempt: &'static str, device: &str, source: io::Error) -> DeviceError {
        let device = device.to_owned();
        match source.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADFD) => DeviceError::Down { device },
            Some(libc::EPERM | libc::EACCES) => DeviceError::Permission { attempt, device },
            _ => DeviceError::Io {
                attempt,
                device,
                source,
            },
        }
    }
}

/// Checks a name that we are about to give to an interface: what the kernel takes, without what shells and sysctl paths
/// would read differently.
///
/// # Errors
/// [`DeviceError::Name`]
pub fn check_interface_name(name: &str) -> Result<(), DeviceError> {
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if fits && plain {
        Ok(())
    } else {
        Err(DeviceError::Name {
            name: name.chars().take(40).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_or_a_path_would_misread_are_refused() {
        for name in ["lan0", "lanparty-1", "a.b_c", "fifteen-letters"] {
            assert!(check_interface_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "sixteen-letters-",
            "a/b",
            "a b",
            "lan%d",
            "lan:1",
            "länger",
        ] {
            assert!(check_interface_name(name).is_err(), "{name}");
        }
    }
}
