//! The facts that a doctor judges, as far as this machine and its LAN show them.
//!
//! What the system tells is read below roots that are arguments, so that recorded machines can be looked at as well. What only
//! the LAN can tell is asked with a few frames ([`probe_lan`]); nothing is changed, neither here nor on any other host.

#[cfg(target_os = "linux")]
mod frames;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod overhear;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(windows)]
mod windows;

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use lanparty_wire::{Mac, doctor::Clock};

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(target_os = "linux")]
pub use linux::{bridge_filter, card, offloads};
#[cfg(target_os = "linux")]
pub use overhear::Overhear;
#[cfg(target_os = "linux")]
pub use probe::{LISTENING, PROBES, Probing, probe_lan};
#[cfg(windows)]
use windows as imp;
#[cfg(windows)]
pub use windows::Overhear;

/// A broadcast of a LAN gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    pub interface: String,
    /// The address that it shows.
    pub shown: Mac,
}

/// What this machine knows of the time.
pub fn clock() -> Clock {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    let program = std::env::current_exe().and_then(fs::metadata);
    Clock {
        now: seconds(SystemTime::now()).unwrap_or(0),
        is_synchronized: imp::is_synchronized(),
        not_before: program
            .and_then(|program| program.modified())
            .ok()
            .and_then(seconds),
    }
}

/// Whether a player's adapter can be made: the kernel's TUN and TAP devices on Linux, the driver TAP-Windows6 on Windows.
pub fn has_adapter_driver() -> bool {
    imp::has_adapter_driver()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_not_before_this_program() {
        let clock = clock();
        assert!(clock.now >= clock.not_before.unwrap());
    }
}
