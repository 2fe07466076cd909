//! Systems that we cannot change yet.

use lanparty_wire::host::Change;

use super::{Host, HostError, Undo};
use crate::device::tap::Tap;

/// The machine that we run on.
#[derive(Debug, Default)]
pub struct ThisHost(());

impl Host for ThisHost {
    type Device = Tap;

    fn way_back(&mut self, _change: &Change) -> Result<Option<Undo>, HostError> {
        Err(HostError::Unsupported)
    }

    fn make(&mut self, _change: &Change) -> Result<Option<Tap>, HostError> {
        Err(HostError::Unsupported)
    }

    fn go_back(&mut self, _undo: &Undo) -> Result<(), HostError> {
        Err(HostError::Unsupported)
    }
}
