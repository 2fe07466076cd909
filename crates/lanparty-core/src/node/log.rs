//! What a node writes to the log about single frames: each at TRACE, and of the drops the first of each kind at DEBUG.
//!
//! One station gone mad must not fill a disk, so a reason is named again only after [`QUIET`], with the number of drops that were not.
//! Counters tell the whole story.

use std::time::{Duration, Instant};

use lanparty_wire::{Action, DropReason, EtherView, Header, MemberId};

/// How long a reason is not named again.
const QUIET: Duration = Duration::from_secs(60);

/// Which reasons were named when.
#[derive(Debug)]
pub struct DropLog {
    last: [Option<Instant>; DropReason::ALL.len()],
    unnamed: [u64; DropReason::ALL.len()],
}

/// A frame that goes on. `direction` is `out` (device to room) or `in`.
pub fn forwarded(direction: &'static str, peer: Option<MemberId>, frame: &[u8]) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let Ok(view) = EtherView::parse(frame) else {
        return;
    };
    tracing::trace!(
        direction,
        peer = peer.map(MemberId::value),
        source = %view.source(),
        destination = %view.destination(),
        ethertype = format_args!("{:#06x}", view.type_or_length()),
        length = frame.len(),
        action = Action::Forwarded.name(),
        "frame"
    );
}

impl DropLog {
    /// Nothing was named yet.
    pub fn new() -> DropLog {
        DropLog {
            last: [None; DropReason::ALL.len()],
            unnamed: [0; DropReason::ALL.len()],
        }
    }

    /// A frame from the device was dropped.
    pub fn frame(&mut self, now: Instant, frame: &[u8], reason: DropReason) {
        let Some(unnamed) = self.due(now, reason) else {
            return;
        };
        let view = EtherView::parse(frame).ok();
        tracing::debug!(
            direction = "out",
            source = view.map(|view| tracing::field::display(view.source())),
            destination = view.map(|view| tracing::field::display(view.destination())),
            ethertype = view.map(|view| view.type_or_length()),
            length = frame.len(),
            action = reason.action().name(),
            reason = reason.name(),
            unnamed,
            "frame dropped"
        );
    }

    /// A datagram was dropped, or the frame in it.
    pub fn datagram(&mut self, now: Instant, datagram: &[u8], reason: DropReason) {
        let Some(unnamed) = self.due(now, reason) else {
            return;
        };
        let decoded = Header::decode(datagram).ok();
        let view = decoded
            .filter(|(header, _)| !header.fragment)
            .and_then(|(_, rest)| EtherView::parse(rest).ok());
        tracing::debug!(
            direction = "in",
            peer = decoded.map(|(header, _)| header.source.value()),
            sequence = decoded.map(|(header, _)| header.sequence),
            source = view.map(|view| tracing::field::display(view.source())),
            destination = view.map(|view| tracing::field::display(view.destination())),
            ethertype = view.map(|view| view.type_or_length()),
            length = datagram.len(),
            action = reason.action().name(),
            reason = reason.name(),
            unnamed,
            "datagram dropped"
        );
    }

    /// How many of this reason were not named since the last one that was, if it is time to name one.
    fn due(&mut self, now: Instant, reason: DropReason) -> Option<u64> {
        let index = reason as usize;
        if self.last[index].is_some_and(|last| now.saturating_duration_since(last) < QUIET) {
            self.unnamed[index] += 1;
            return None;
        }
        self.last[index] = Some(now);
        Some(std::mem::take(&mut self.unnamed[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_kind_is_named_once_in_a_while_with_what_was_not_named() {
        let now = Instant::now();
        let mut log = DropLog::new();
        assert_eq!(log.due(now, DropReason::Runt), Some(0));
        for _ in 0..1000 {
            assert_eq!(log.due(now + QUIET / 2, DropReason::Runt), None);
        }
        assert_eq!(log.due(now, DropReason::Jumbo), Some(0), "another kind");
        assert_eq!(log.due(now + QUIET, DropReason::Runt), Some(1000));
    }
}
