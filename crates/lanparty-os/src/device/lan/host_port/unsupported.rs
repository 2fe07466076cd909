//! Systems without packet sockets have no LAN gateway, and no way to themselves.

use std::convert::Infallible;

use lanparty_wire::{Frame, Mac};

use super::HostPortError;
use crate::{
    device::{DeviceError, OutBatch, Received, Sent},
    interface::Interface,
    transaction::Transaction,
};

/// Never made here.
#[derive(Clone)]
pub struct HostPort(Infallible);

impl HostPort {
    /// # Errors
    /// Always.
    pub async fn open(_transaction: &mut Transaction, _lan: &Interface) -> Result<HostPort, HostPortError> {
        Err(DeviceError::Unsupported {
            what: "reaching this machine's own programs",
        }
        .into())
    }

    pub fn mac(&self) -> Mac {
        match self.0 {}
    }

    /// # Errors
    /// Never, as there is none.
    pub async fn follow(&self, _interface: &str, _mac: Mac) -> Result<(), HostPortError> {
        match self.0 {}
    }

    pub(crate) fn write(&self, _frames: &OutBatch) -> Sent {
        match self.0 {}
    }

    pub(crate) fn leaves_by_cable(&self, _frame: Frame<'_>) -> bool {
        match self.0 {}
    }

    pub(crate) fn is_news(&self, _received: Received<'_>) -> bool {
        match self.0 {}
    }
}
