//! A pair of devices joined by a virtual cable, in memory: what goes into one comes out of the other.
//!
//! It stands in for TAP and packet socket where a test is about what is between them. Like a real cable it has a
//! bound, and what does not fit is lost and counted.

use lanparty_wire::{Frame, Offload};
use tokio::sync::mpsc;

use super::{
    Batch, Device, DeviceError, FrameOrigin, FrameSink, FrameSource, MAX_BATCH, Medium, OutBatch, Sent,
    SourceLosses,
};

/// One end of the cable.
pub struct MemoryDevice {
    medium: Medium,
    source: MemorySource,
    sink: MemorySink,
}

/// Frames that the other end sent.
pub struct MemorySource(mpsc::Receiver<(Vec<u8>, Offload)>);

/// Frames for the other end.
#[derive(Clone)]
pub struct MemorySink(mpsc::Sender<(Vec<u8>, Offload)>);

/// Two ends of a cable that holds up to `capacity` frames or super-frames in each direction.
///
/// # Panics
/// If `capacity` is zero.
pub fn pair(medium: Medium, capacity: usize) -> (MemoryDevice, MemoryDevice) {
    let (left_sender, right_receiver) = mpsc::channel(capacity);
    let (right_sender, left_receiver) = mpsc::channel(capacity);
    let end = |sender, receiver| MemoryDevice {
        medium,
        source: MemorySource(receiver),
        sink: MemorySink(sender),
    };
    (end(left_sender, left_receiver), end(right_sender, right_receiver))
}

impl Device for MemoryDevice {
    type Source = MemorySource;
    type Sink = MemorySink;

    fn medium(&self) -> Medium {
        self.medium
    }

    fn split(self) -> (MemorySource, MemorySink) {
        (self.source, self.sink)
    }
}

impl FrameSource for MemorySource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        batch.clear();
        let mut next = self.0.recv().await;
        loop {
            let Some((bytes, offload)) = next else {
                return if batch.is_empty() { Err(gone()) } else { Ok(()) };
            };
            if let Some(to) = batch.spare().and_then(|spare| spare.get_mut(..bytes.len())) {
                to.copy_from_slice(&bytes);
                batch.commit(bytes.len(), offload, FrameOrigin::Wire);
            }
            if batch.len() == MAX_BATCH {
                return Ok(());
            }
            match self.0.try_recv() {
                Ok(frame) => next = Some(frame),
                Err(_) => return Ok(()),
            }
        }
    }

    fn losses(&mut self) -> SourceLosses {
        SourceLosses::default()
    }
}

impl FrameSink for MemorySink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        let mut sent = Sent::default();
        let mut open = true;
        for out in frames.frames() {
            let Frame { bytes, offload } = out.frame;
            match self.0.try_send((bytes.to_vec(), offload)) {
                Ok(()) => sent.accepted += out.count(),
                Err(mpsc::error::TrySendError::Full(_)) => sent.busy += out.count(),
                Err(mpsc::error::TrySendError::Closed(_)) => open = false,
            }
        }
        frames.clear();
        if open { Ok(sent) } else { Err(gone()) }
    }
}

fn gone() -> DeviceError {
    DeviceError::Down {
        device: "the memory device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_cross_the_cable_in_order_with_their_offload() {
        let (left, right) = pair(Medium::Ethernet, 8);
        let (mut source, _) = left.split();
        let (_, mut sink) = right.split();
        let mut out = OutBatch::new();
        let offload = Offload::ChecksumNeeded { start: 1, offset: 2 };
        out.push(Frame::plain(&[1; 60])).unwrap();
        out.push(Frame {
            bytes: &[2; 70],
            offload,
        })
        .unwrap();
        assert_eq!(
            sink.send(&mut out).await.unwrap(),
            Sent {
                accepted: 2,
                ..Sent::default()
            }
        );
        assert!(out.is_empty());

        let mut batch = Batch::new();
        source.recv(&mut batch).await.unwrap();
        let frames: Vec<_> = batch.iter().collect();
        assert_eq!(
            frames,
            [
                Frame::plain(&[1; 60]),
                Frame {
                    bytes: &[2; 70],
                    offload
                }
            ]
        );
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_an_end_without_its_other_is_down() {
        let (left, right) = pair(Medium::Ethernet, 1);
        let (_, mut sink) = left.split();
        let mut out = OutBatch::new();
        for _ in 0..3 {
            out.push(Frame::plain(&[0; 60])).unwrap();
        }
        assert_eq!(
            sink.send(&mut out).await.unwrap(),
            Sent {
                accepted: 1,
                busy: 2,
                ..Sent::default()
            }
        );
        drop(right);
        out.push(Frame::plain(&[0; 60])).unwrap();
        assert!(matches!(sink.send(&mut out).await, Err(DeviceError::Down { .. })));
    }
}
