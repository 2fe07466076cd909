//! The checks that an attack must get past, each of which a test can take out: an attack that fails with the check and fails without it
//! has not tried it.
//!
//! Only this crate's own tests can open a hole, on their own thread. In every other build [`is_open`] is a constant.

/// A check that can be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hole {
    /// Keys come from what two members have agreed on, and from nothing that others know.
    Agreement,
    /// What is sealed has the right tag.
    Tag,
    /// The header is sealed with the payload.
    Header,
    /// The destination is part of the nonce.
    Nonce,
    /// A number is taken once.
    Replay,
    /// What was sent before a key was told is not new.
    Floor,
    /// A letter's number only grows.
    LetterOrder,
    /// The initiator's static key is that of the identity which it claims.
    StaticKey,
    /// Each key and each handshake has random bytes of its own.
    Freshness,
    /// The roster names a member as the relay does.
    Admission,
    /// A sender key is replaced when somebody leaves who knows it.
    Rotation,
    /// A roster is not older than the newest seen.
    RosterNumber,
    /// A roster is signed by the host.
    RosterHost,
    /// The host is who the invite says.
    HostIdentity,
    /// A node of a sealed room takes nothing that is not sealed.
    Sealed,
    /// A member's frames have its own address as their source.
    SourceAddress,
}

/// True if a test has taken the check out.
#[cfg(not(test))]
pub(crate) const fn is_open(_: Hole) -> bool {
    false
}

#[cfg(test)]
pub(crate) use open::{is_open, without};

#[cfg(test)]
mod open {
    use std::cell::Cell;

    use super::Hole;

    thread_local! {
        /// One bit for each.
        static OPEN: Cell<u32> = const { Cell::new(0) };
    }

    pub(crate) fn is_open(hole: Hole) -> bool {
        OPEN.get() & 1 << hole as u32 != 0
    }

    /// Runs `attack` with these checks taken out, and no others.
    pub(crate) fn without<T>(checks: &[Hole], attack: impl FnOnce() -> T) -> T {
        OPEN.set(checks.iter().fold(0, |open, &hole| open | 1 << hole as u32));
        let outcome = attack();
        OPEN.set(0);
        outcome
    }
}
