//! Batches of frames on their way to a device, in which segments of TCP are put together.

use std::fmt;

use lanparty_wire::{Frame, Offload};

use super::{
    MAX_BATCH, MAX_FRAME_LEN,
    coalesce::{MAX_HEADER_LEN, Open, Part, Segment},
};

/// Segments in one super-frame at most. 64 KiB of segments that fill a datagram are fewer than 50; of small ones there is little to win.
pub(super) const MAX_SEGMENTS: usize = 64;
/// Super-frames that can grow at the same time. Linux's GRO keeps up to 8 flows in each of 8 buckets for a whole LAN; here it is the
/// downloads of one moment.
const MAX_OPEN: usize = 8;
/// The longest super-frame, rounded up to cache lines.
const FRAME_SPACE: usize = MAX_FRAME_LEN.next_multiple_of(64);
/// Room for the headers of one segment.
const HEADER_SPACE: usize = MAX_HEADER_LEN.next_multiple_of(64);
/// A super-frame, and the headers of the segments that it is made of.
const SLOT_LEN: usize = FRAME_SPACE + MAX_SEGMENTS * HEADER_SPACE;

/// Frames to be sent, copied in.
///
/// A segment of TCP that continues one in the batch becomes a part of it, as far as a device can undo that byte by byte; so what
/// [`OutBatch::iter`] gives are fewer and longer frames than were pushed. Frames of one flow keep their order. Nothing waits in here:
/// whoever pushes also sends, when there is nothing more to push.
pub struct OutBatch {
    buffer: Box<[u8]>,
    entries: Vec<Entry>,
    /// The oldest first.
    open: Vec<Open>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    len: usize,
    offload: Offload,
    /// Segments that were put together; 1 for a frame as it was pushed.
    segments: usize,
}

/// Why a frame did not get into a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    /// Send it first.
    #[error("the batch is full")]
    Full,
    /// Longer than [`MAX_FRAME_LEN`].
    #[error("the frame is longer than any device takes")]
    TooLong,
}

impl OutBatch {
    /// Reserves about 5 MiB of address space; memory is used as frames fill it.
    pub fn new() -> OutBatch {
        OutBatch {
            buffer: vec![0; MAX_BATCH * SLOT_LEN].into_boxed_slice(),
            entries: Vec::with_capacity(MAX_BATCH),
            open: Vec::with_capacity(MAX_OPEN),
            len: 0,
        }
    }

    /// Frames that were pushed, those that became parts of others included.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if only frames that continue others still have a place.
    pub fn is_full(&self) -> bool {
        self.entries.len() == MAX_BATCH
    }

    /// Adds a frame: to the super-frame that it continues, or behind all others.
    ///
    /// # Errors
    /// When the batch already holds [`MAX_BATCH`] frames and this one continues none, or it is too long for any device.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<(), PushError> {
        if frame.bytes.len() > MAX_FRAME_LEN {
            return Err(PushError::TooLong);
        }
        let part = match frame.offload {
            Offload::None => Part::of(frame.bytes),
            // It is a super-frame already, or its checksum says nothing.
            Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. } | Offload::UdpSegments { .. } => {
                Part::Unclear
            }
        };
        if let Part::Segment(segment) = &part
            && self.merge(frame.bytes, segment)
        {
            self.len += 1;
            return Ok(());
        }
        if self.is_full() {
            return Err(PushError::Full);
        }
        self.append(frame, part);
        Ok(())
    }

    /// The frames in order of their beginnings.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        self.frames().map(|out| out.frame)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.open.clear();
        self.len = 0;
    }

    /// The frames, each with what it is made of.
    pub(crate) fn frames(&self) -> impl ExactSizeIterator<Item = OutFrame<'_>> {
        let slots = self.buffer.chunks_exact(SLOT_LEN);
        self.entries.iter().zip(slots).map(|(entry, slot)| {
            let (bytes, headers) = slot.split_at(FRAME_SPACE);
            OutFrame {
                frame: Frame {
                    bytes: &bytes[..entry.len],
                    offload: entry.offload,
                },
                headers: match entry.segments {
                    1 => &[],
                    count => &headers[..count * HEADER_SPACE],
                },
            }
        })
    }

    /// Makes `frame` a part of the super-frame that it continues. False if there is none.
    fn merge(&mut self, frame: &[u8], segment: &Segment) -> bool {
        let Some(at) = self.open.iter().position(|open| open.flow == segment.flow) else {
            return false;
        };
        let open = &mut self.open[at];
        let (slot, headers) = slot_of(&mut self.buffer, open.entry);
        if !open.is_continued_by(&slot[..open.len], frame, segment) {
            return false;
        }
        let entry = &mut self.entries[open.entry];
        let header_len = open.header_len();
        if entry.segments == 1 {
            headers[..header_len].copy_from_slice(&slot[..header_len]);
            entry.offload = Offload::TcpSegments {
                size: open.size(),
                header_len: header_len as u16,
            };
        }
        let place = entry.segments * HEADER_SPACE;
        headers[place..place + header_len].copy_from_slice(&frame[..header_len]);
        let can_grow = open.append(slot, frame, segment);
        entry.len = open.len;
        entry.segments += 1;
        if !can_grow || entry.segments == MAX_SEGMENTS {
            self.open.remove(at);
        }
        true
    }

    /// Adds a frame of its own, after which no super-frame may grow that it could belong to.
    fn append(&mut self, frame: Frame<'_>, part: Part) {
        let index = self.entries.len();
        let (slot, _) = slot_of(&mut self.buffer, index);
        let len = frame.bytes.len();
        slot[..len].copy_from_slice(frame.bytes);
        self.entries.push(Entry {
            len,
            offload: frame.offload,
            segments: 1,
        });
        self.len += 1;
        match part {
            Part::Apart => {}
            Part::Unclear => self.open.clear(),
            Part::Alone { flow } => self.open.retain(|open| open.flow != flow),
            Part::Segment(segment) => {
                self.open.retain(|open| open.flow != segment.flow);
                if self.open.len() == MAX_OPEN {
                    self.open.remove(0);
                }
                self.open.extend(Open::begin(index, frame.bytes, segment));
            }
        }
    }
}

/// A slot's frame, and the room for the headers of its segments.
fn slot_of(buffer: &mut [u8], index: usize) -> (&mut [u8], &mut [u8]) {
    buffer[index * SLOT_LEN..(index + 1) * SLOT_LEN].split_at_mut(FRAME_SPACE)
}

impl Default for OutBatch {
    fn default() -> OutBatch {
        OutBatch::new()
    }
}

impl fmt::Debug for OutBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A frame of a batch, and what it is made of.
#[derive(Clone, Copy)]
pub(crate) struct OutFrame<'a> {
    pub(crate) frame: Frame<'a>,
    /// The headers of the segments that were put together, each in a place of its own; none for a frame as it was pushed.
    headers: &'a [u8],
}

impl<'a> OutFrame<'a> {
    /// Frames that were pushed for this one.
    pub(crate) fn count(&self) -> u32 {
        (self.headers.len() / HEADER_SPACE).max(1) as u32
    }

    /// True if it was put together here, and [`OutFrame::segments`] undoes that.
    pub(crate) fn is_merged(&self) -> bool {
        !self.headers.is_empty()
    }

    /// The segments as they were pushed, each as its headers and its payload. None if it was not put together here.
    pub(crate) fn segments(&self) -> impl Iterator<Item = [&'a [u8]; 2]> + use<'a> {
        let (size, header_len) = match self.frame.offload {
            Offload::TcpSegments { size, header_len } => (size.into(), header_len.into()),
            // Not put together here, and then there are no headers.
            Offload::None | Offload::ChecksumNeeded { .. } | Offload::UdpSegments { .. } => (1, 0),
        };
        let payload = &self.frame.bytes[header_len..];
        self.headers
            .chunks_exact(HEADER_SPACE)
            .zip(payload.chunks(size))
            .map(move |(header, payload)| [&header[..header_len], payload])
    }
}

#[cfg(test)]
mod tests;
