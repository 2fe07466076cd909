//! How an evening, or the service, is asked to stop, or to look around.

use std::{future::pending, io};

use tokio::sync::watch;

use crate::signals::Signals;

/// Somebody may ask us to stop; who has been asked stays asked.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// With whom to ask by.
    pub fn new() -> (watch::Sender<bool>, Stop) {
        let (asking, asked) = watch::channel(false);
        (asking, Stop(asked))
    }

    /// The system asks by signals. Needs a tokio runtime.
    ///
    /// # Errors
    /// Signals cannot be had.
    pub fn by_signal() -> io::Result<Stop> {
        let mut signals = Signals::new()?;
        let (asking, stop) = Stop::new();
        tokio::spawn(async move {
            signals.any().await;
            asking.send_replace(true);
        });
        Ok(stop)
    }

    /// Waits until somebody has asked. Cancel safe.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody can ask any more.
            pending().await
        }
    }
}

/// Whether this machine has woken from sleep, so that what was known of its networks may be over although nobody says so.
#[derive(Clone, Debug)]
pub struct Woken(watch::Receiver<u32>);

impl Woken {
    /// With whom to say it by: a number that it was not before.
    pub fn new() -> (watch::Sender<u32>, Woken) {
        let (saying, said) = watch::channel(0);
        (saying, Woken(said))
    }

    /// Where only the network's own changes tell.
    pub fn never() -> Woken {
        Woken::new().1
    }

    /// Waits for the next time. Cancel safe.
    pub async fn again(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody will say it.
            pending().await
        }
    }
}
