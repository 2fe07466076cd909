//! Ctrl-C as a question that a loop can ask, so that it ends by returning and everything it made is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Knows whether somebody wants us to end.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C and SIGTERM set a flag; a second one ends the process at once.
    pub fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order the first signal finds the flag unset and does nothing but set it.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
                .context("could not take over Ctrl-C")?;
        }
        Ok(Self(flag))
    }

    /// True after Ctrl-C.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits for `time`, or until Ctrl-C; true means Ctrl-C.
    pub fn wait(&self, time: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < time && !self.requested() {
            thread::sleep(Duration::from_millis(50).min(time));
        }
        self.requested()
    }
}
