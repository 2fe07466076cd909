//! What Windows tells, and what only Linux can hear.

use std::{convert::Infallible, io};

use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, KEY_READ};

use super::Heard;
use crate::registry::Key;

/// The driver's service, whatever adapters it has.
const DRIVER: &str = r"SYSTEM\CurrentControlSet\Services\tap0901";

/// Our installer notes here that it has put the driver into Windows' store, where it waits for its first adapter.
const INSTALLED: (&str, &str) = (r"SOFTWARE\lanparty", "driver");

pub(super) fn has_adapter_driver() -> bool {
    let open = |path| Key::open(HKEY_LOCAL_MACHINE, path, KEY_READ);
    open(DRIVER).is_ok() || open(INSTALLED.0).is_ok_and(|key| key.text(INSTALLED.1).is_ok())
}

/// Windows keeps a clock in step by a service of its own, which does not tell programs how well.
pub(super) fn is_synchronized() -> Option<bool> {
    None
}

/// Frames of other types than IP are for drivers alone here, so a LAN gateway is never overheard.
pub struct Overhear(Infallible);

impl Overhear {
    /// # Errors
    /// Always: a program cannot listen to a network card on this system.
    pub fn open() -> io::Result<Overhear> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// # Errors
    /// Never called: there is none.
    pub async fn next(&self) -> io::Result<Heard> {
        match self.0 {}
    }
}
