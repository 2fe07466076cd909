//! What a dial that succeeded gives.

use crate::{ControlReceiver, ControlSender, Engine, Link, Pin, TrustOutcome};

/// A joined connection, and the engine that its owner drives from now on.
#[derive(Debug)]
pub struct Path {
    pub(super) engine: Engine,
    pub(super) link: Link,
    pub(super) sender: ControlSender,
    pub(super) receiver: ControlReceiver,
    pub(super) trust: TrustOutcome,
    pub(super) pin: Pin,
}

impl Path {
    /// Why the relay was trusted.
    pub fn trust(&self) -> TrustOutcome {
        self.trust
    }

    /// The relay's key, as it has shown it.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// State of the connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The parts. The engine belongs to the loop that carries the frames; different tasks may own the others.
    pub fn split(self) -> (Engine, Link, ControlSender, ControlReceiver) {
        (self.engine, self.link, self.sender, self.receiver)
    }
}
