//! Batches of frames with buffers that are used again.

use std::fmt;

use lanparty_wire::{Frame, Offload};

/// Frames in one batch at most. Enough that the cost of a system call vanishes, few enough that a batch is worked off
/// (64 full frames: about 0.2 ms) before a control message has to wait for it.
pub const MAX_BATCH: usize = 64;
/// The longest super-frame: 64 KiB of IP packet, Ethernet header, two VLAN tags.
pub const MAX_FRAME_LEN: usize = 65_536 + 14 + 8;
/// A frame's slot, rounded up to cache lines, with room in front for a VLAN tag to be put back.
const SLOT_LEN: usize = 65_600;

/// Frames as they were received.
pub struct Batch {
    buffer: Box<[u8]>,
    entries: Vec<Entry>,
    /// Where the next frame goes when frames are packed one behind the other.
    end: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    len: usize,
    offload: Offload,
    origin: FrameOrigin,
}

/// Who sent a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameOrigin {
    /// It arrived at the device.
    Wire,
    /// This machine's own network stack is sending it by the same interface.
    ThisHost,
}

/// A frame and who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    pub frame: Frame<'a>,
    pub origin: FrameOrigin,
}

impl Batch {
    /// Reserves about 4 MiB of address space; memory is used as frames fill it.
    pub fn new() -> Batch {
        Batch {
            buffer: vec![0; MAX_BATCH * SLOT_LEN].into_boxed_slice(),
            entries: Vec::with_capacity(MAX_BATCH),
            end: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        self.received().map(|received| received.frame)
    }

    /// The frames, each with its sender.
    pub fn received(&self) -> impl ExactSizeIterator<Item = Received<'_>> {
        self.entries.iter().map(|entry| Received {
            frame: Frame {
                bytes: &self.buffer[entry.start..entry.start + entry.len],
                offload: entry.offload,
            },
            origin: entry.origin,
        })
    }

    /// Takes frames out that are not wanted.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(Received<'_>) -> bool) {
        let buffer = &self.buffer;
        self.entries.retain(|entry| {
            wanted(Received {
                frame: Frame {
                    bytes: &buffer[entry.start..entry.start + entry.len],
                    offload: entry.offload,
                },
                origin: entry.origin,
            })
        });
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.end = 0;
    }

    /// The free space for one more packed frame, or `None` when the batch is full.
    pub(crate) fn spare(&mut self) -> Option<&mut [u8]> {
        if self.entries.len() == MAX_BATCH {
            return None;
        }
        self.buffer.get_mut(self.end..self.end + MAX_FRAME_LEN)
    }

    /// Takes the first `len` bytes of [`Batch::spare`] as a frame.
    pub(crate) fn commit(&mut self, len: usize, offload: Offload, origin: FrameOrigin) {
        debug_assert!(len <= MAX_FRAME_LEN && self.entries.len() < MAX_BATCH);
        self.entries.push(Entry {
            start: self.end,
            len,
            offload,
            origin,
        });
        // Frames start on cache lines, so that two cores never write one line.
        self.end += len.next_multiple_of(64);
    }

    /// The slots of a batch that is filled by one call, in order.
    #[cfg(target_os = "linux")]
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.buffer.chunks_exact_mut(SLOT_LEN)
    }

    /// Takes bytes of slot `index` as a frame.
    #[cfg(target_os = "linux")]
    pub(crate) fn commit_slot(
        &mut self,
        index: usize,
        within: std::ops::Range<usize>,
        offload: Offload,
        origin: FrameOrigin,
    ) {
        debug_assert!(within.end <= SLOT_LEN && self.entries.len() < MAX_BATCH);
        self.entries.push(Entry {
            start: index * SLOT_LEN + within.start,
            len: within.len(),
            offload,
            origin,
        });
    }

    /// One slot, to be changed before it is committed.
    #[cfg(target_os = "linux")]
    pub(crate) fn slot(&mut self, index: usize) -> &mut [u8] {
        &mut self.buffer[index * SLOT_LEN..(index + 1) * SLOT_LEN]
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.received()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_frames_come_out_as_they_went_in() {
        let mut batch = Batch::new();
        for len in [14usize, 60, 1514, MAX_FRAME_LEN] {
            batch.spare().unwrap()[..len].fill(len as u8);
            batch.commit(len, Offload::None, FrameOrigin::Wire);
        }
        let lens: Vec<_> = batch.iter().map(|f| f.bytes.len()).collect();
        assert_eq!(lens, [14, 60, 1514, MAX_FRAME_LEN]);
        assert!(
            batch
                .iter()
                .all(|f| f.bytes.iter().all(|b| *b == f.bytes.len() as u8))
        );
    }

    #[test]
    fn a_batch_of_the_longest_frames_holds_every_one_that_it_promises() {
        let mut batch = Batch::new();
        let mut count = 0;
        while let Some(spare) = batch.spare() {
            assert_eq!(spare.len(), MAX_FRAME_LEN);
            batch.commit(MAX_FRAME_LEN, Offload::None, FrameOrigin::Wire);
            count += 1;
        }
        assert_eq!(count, MAX_BATCH);
    }
}
