//! How many datagrams are given to QUIC at once, and whose turn it is after them.
//!
//! What was given to QUIC cannot be overtaken any more, so this is what the path takes in about a millisecond: two full ones at
//! 20 Mbit/s, a whole train for the kernel's segmentation at 1 Gbit/s.

use std::time::Duration;

/// Two, so that one is ready when the other has left.
const LEAST: usize = 2;
/// What the kernel takes in one train.
const MOST: usize = 64;
/// What stands in QUIC's queue is late by about this time at most.
const HORIZON: Duration = Duration::from_millis(1);

/// Datagrams to pull now.
pub(crate) fn length(quic: &quinn_proto::Connection) -> usize {
    let round_trip = quic.rtt().max(Duration::from_micros(1));
    let bytes_per_second = quic.congestion_state().window() as f64 / round_trip.as_secs_f64();
    let datagrams = bytes_per_second * HORIZON.as_secs_f64() / f64::from(quic.current_mtu());
    (datagrams as usize).clamp(LEAST, MOST)
}

/// Whose turn it is once all datagrams that were pulled have left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Turn {
    #[default]
    Datagrams,
    /// Control messages, and what QUIC has to say by itself.
    Others,
}
