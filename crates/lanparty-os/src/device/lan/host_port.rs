//! The way to this machine itself.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
use unsupported as imp;

pub use imp::HostPort;

use crate::{device::DeviceError, network::NetworkError, transaction::TransactionError};

/// Why this machine's own programs cannot be reached by remote players; everything else works without.
#[derive(Debug, thiserror::Error)]
pub enum HostPortError {
    #[error("{interface} has no address of its own")]
    NoAddress { interface: String },
    #[error(transparent)]
    Change(#[from] TransactionError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "the kernel does not let {interface} hear what another interface receives; it takes the modules sch_ingress, cls_u32 and act_mirred"
    )]
    Kernel { interface: String, source: NetworkError },
}
