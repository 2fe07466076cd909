//! What an endpoint has seen, as files that network analysers read: a recording of everything (`--pcap`), and the last minute of
//! discovery frames, which is always kept because nobody records before a game does not appear.
//!
//! Each frame stands with its direction and what became of it. A recording never holds frames up: it is written by a thread of its own,
//! and what that thread cannot keep up with is left out and counted.

mod discovery;
mod pcapng;
mod writer;

use std::time::{Instant, SystemTime};

use lanparty_wire::{DropReason, Header, MemberId};

use self::discovery::Discovery;
pub use self::writer::{DEFAULT_LIMIT, Recorder};

/// Where a frame came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// From the device, on its way to the room.
    Device,
    /// From a member, on its way to the device.
    Member(MemberId),
    /// Made by this program for the device.
    Ours,
}

/// Notes what passes by.
pub(crate) struct Witness {
    /// The same moment on both clocks.
    began: (Instant, SystemTime),
    recorder: Option<Recorder>,
    discovery: Discovery,
    comment: String,
}

impl Witness {
    pub fn new(now: Instant, wall: SystemTime) -> Witness {
        Witness {
            began: (now, wall),
            recorder: None,
            discovery: Discovery::default(),
            comment: String::new(),
        }
    }

    /// Writes down from now on what it sees.
    pub fn record_to(&mut self, recorder: Option<Recorder>) {
        self.recorder = recorder;
    }

    /// A frame, and what became of it.
    pub fn saw(&mut self, now: Instant, side: Side, frame: &[u8], verdict: Result<(), DropReason>) {
        // What others of a LAN say to each other is not for this room, and for no file either.
        if verdict == Err(DropReason::NotRemote) {
            return;
        }
        let is_discovery = Discovery::wants(frame);
        if self.recorder.is_none() && !is_discovery {
            return;
        }
        self.describe(side, verdict);
        let (began, wall) = self.began;
        let time = wall + now.saturating_duration_since(began);
        let inbound = side == Side::Device;
        if is_discovery {
            self.discovery.keep(now, time, inbound, frame, &self.comment);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record(time, inbound, frame, &self.comment);
        }
    }

    /// A datagram from the room that was refused. `frame` is what was in it, or nothing if the node did not come so far.
    pub fn saw_refused(&mut self, now: Instant, datagram: &[u8], frame: &[u8], reason: DropReason) {
        if frame.is_empty() {
            return;
        }
        if let Some(from) = sender(datagram) {
            self.saw(now, Side::Member(from), frame, Err(reason));
        }
    }

    /// The last minute of discovery frames, as a file.
    pub fn discovery(&self, now: Instant) -> Vec<u8> {
        self.discovery.to_file(now)
    }

    fn describe(&mut self, side: Side, verdict: Result<(), DropReason>) {
        use std::fmt::Write;
        self.comment.clear();
        // Writing to a string cannot fail.
        let _ = match side {
            Side::Device => write!(self.comment, "from the device to the room"),
            Side::Member(id) => write!(self.comment, "from member {} to the device", id.value()),
            Side::Ours => write!(self.comment, "made here for the device"),
        };
        let _ = match verdict {
            Ok(()) => write!(self.comment, ": passed"),
            Err(reason) => write!(self.comment, ": dropped, {}", reason.name()),
        };
    }
}

/// The member that a datagram says it is from.
pub(crate) fn sender(datagram: &[u8]) -> Option<MemberId> {
    Header::decode(datagram).ok().map(|(header, _)| header.source)
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests read the clock"
)]
mod tests {
    use super::*;

    #[test]
    fn what_others_of_the_lan_say_is_in_no_file() {
        let now = Instant::now();
        let mut witness = Witness::new(now, SystemTime::UNIX_EPOCH);
        let frame = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
        let frame = [&frame[..], &[8, 6], &[0; 46]].concat();
        let empty = witness.discovery(now).len();
        witness.saw(now, Side::Device, &frame, Err(DropReason::NotRemote));
        assert_eq!(witness.discovery(now).len(), empty);
        witness.saw(now, Side::Device, &frame, Err(DropReason::NoPath));
        let file = witness.discovery(now);
        let text = String::from_utf8_lossy(&file);
        assert!(
            text.contains("from the device to the room: dropped, no_path"),
            "{text}"
        );
    }
}
