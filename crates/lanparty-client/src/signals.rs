//! What asks this program to stop: a person at the terminal, or the system.

use std::io;

#[cfg(unix)]
pub use unix::Signals;
#[cfg(windows)]
pub use windows::Signals;

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::io;

    pub struct Signals([Signal; 3]);

    impl Signals {
        /// Needs a tokio runtime. Hears of everything from now on.
        ///
        /// # Errors
        /// The system gives us no signals.
        pub fn new() -> io::Result<Signals> {
            let [a, b, c] = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ]
            .map(signal);
            Ok(Signals([a?, b?, c?]))
        }

        /// Waits for any of them. Cancel safe.
        pub async fn any(&mut self) {
            let [interrupt, terminate, hangup] = &mut self.0;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
    }
}

#[cfg(windows)]
mod windows {
    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
    };

    use super::io;

    /// Ctrl-C, Ctrl-Break, the console's window closed, the machine shut down.
    pub struct Signals(CtrlC, CtrlBreak, CtrlClose, CtrlShutdown);

    impl Signals {
        /// Needs a tokio runtime. Hears of everything from now on.
        ///
        /// # Errors
        /// The system gives us no signals.
        pub fn new() -> io::Result<Signals> {
            Ok(Signals(ctrl_c()?, ctrl_break()?, ctrl_close()?, ctrl_shutdown()?))
        }

        /// Waits for any of them. Cancel safe.
        pub async fn any(&mut self) {
            let Signals(interrupt, stop, close, shutdown) = self;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = stop.recv() => {}
                _ = close.recv() => {}
                _ = shutdown.recv() => {}
            }
        }
    }
}
