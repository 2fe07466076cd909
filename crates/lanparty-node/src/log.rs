//! Frames in the log, each one at TRACE. Drops are told from the counters, once a minute and reason at most.

use lanparty_wire::{DropReason, EtherView, Header};

/// Which way a frame goes. *Out* is from the device to the room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Out,
    In,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Out => "out",
            Direction::In => "in",
        }
    }
}

/// One frame and what became of it.
pub(crate) fn frame(direction: Direction, bytes: &[u8], result: Result<(), DropReason>) {
    if tracing::enabled!(tracing::Level::TRACE) {
        trace_frame(direction, bytes, result);
    }
}

/// A datagram that was dropped before it was a frame, or because of the frame in it.
pub(crate) fn datagram(bytes: &[u8], reason: DropReason) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    match Header::decode(bytes) {
        Ok((header, payload)) if !header.fragment => {
            tracing::trace!(member = %header.source, "dropped from");
            trace_frame(Direction::In, payload, Err(reason));
        }
        Ok(_) | Err(_) => {
            tracing::trace!(
                direction = "in",
                length = bytes.len(),
                action = reason.action().name(),
                reason = reason.name(),
                "datagram"
            );
        }
    }
}

#[cold]
fn trace_frame(direction: Direction, bytes: &[u8], result: Result<(), DropReason>) {
    let action = result.map_or_else(|reason| reason.action().name(), |()| "forwarded");
    let reason = result.err().map(DropReason::name);
    let direction = direction.name();
    match EtherView::parse(bytes) {
        Ok(view) => tracing::trace!(
            direction,
            src = %view.source(),
            dst = %view.destination(),
            ethertype = format_args!("{:#06x}", view.type_or_length()),
            length = bytes.len(),
            action,
            reason,
            "frame"
        ),
        Err(_) => tracing::trace!(direction, length = bytes.len(), action, reason, "frame"),
    }
}
