//! What a LAN gateway that waits in another host's room wants done.

use std::{future::Future, time::Instant};

use lanparty_core::admission::StandbyOutput;
use lanparty_os::device::{Device, DeviceError};

use crate::endpoint::Endpoint;

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// True: there may be more to do.
    pub(super) fn do_for_standby(&mut self, now: Instant, output: StandbyOutput) -> bool {
        match output {
            StandbyOutput::Send(message) => self.send_control(*message),
            StandbyOutput::Roster(roster) => {
                // Counted there if it is old.
                let _ = self.node.set_roster(now, roster);
            }
            StandbyOutput::Save(saved) => {
                if let Some(sealed) = &mut self.sealed {
                    sealed.store(&saved);
                }
            }
        }
        true
    }
}
