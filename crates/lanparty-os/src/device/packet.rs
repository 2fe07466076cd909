//! A packet socket on one interface of the LAN: every frame on that wire, both ways.
//!
//! One socket captures and injects, because the kernel does not give a socket its own frames back: whatever is
//! captured as outgoing was therefore sent by this machine itself, and is part of the LAN that remote players see.
//! The card listens promiscuously, as frames for remote players carry addresses that are not its own.
//!
//! When the interface goes down or away, both sides answer [`DeviceError::Down`]; drop them and wait with
//! [`PacketDevice::open_when_ready`], which finds the interface again by its name.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod receive;
#[cfg(target_os = "linux")]
mod transmit;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
use unsupported as imp;

pub use imp::{PacketDevice, PacketSink, PacketSource};
use lanparty_wire::host::Change;

#[cfg(doc)]
use super::DeviceError;

/// The offloads that make super-frames which some kernels cannot describe: Linux before 6.2 answers EINVAL and
/// loses them. To be applied when [`super::SourceLosses::undescribed`] begins to count.
pub fn undescribed_offloads(interface: &str) -> Vec<Change> {
    ["tx-udp-segmentation", "rx-udp-gro-forwarding", "rx-gro-list"]
        .into_iter()
        .map(|feature| Change::SetFeature {
            interface: interface.to_owned(),
            feature: feature.to_owned(),
            enabled: false,
        })
        .collect()
}
