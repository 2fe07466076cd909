//! How an evening, or the service, is asked to stop.

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
