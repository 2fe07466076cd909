//! Frames and datagrams on their way through the shell.

use std::{future::Future, mem, time::Instant};

use bytes::Bytes;
use lanparty_core::node::{Delivery, Node, PathId};
use lanparty_os::device::{Device, DeviceError, FrameSink, FrameSource, OutBatch, SourceLosses};
use lanparty_quic::{Engine, LinkId, Traffic};
use lanparty_wire::{DropReason, Frame};

use crate::{
    endpoint::{Endpoint, EndpointError, EndpointEvent},
    record::{self, Side, Witness},
    uplink::Uplink,
};

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// Frames from the device, or the news that it is gone.
    pub(crate) fn handle_frames(
        &mut self,
        now: Instant,
        result: Result<(), DeviceError>,
    ) -> Result<(), EndpointError> {
        if let Err(error) = result {
            return self.device_failed(error);
        }
        for frame in self.batch.iter() {
            // A dropped frame is counted and logged by the core.
            let verdict = self.node.handle_frame(now, frame);
            self.witness.saw(now, Side::Device, frame.bytes, verdict);
        }
        Ok(())
    }

    /// Lets the path take in what has come and send what it can.
    pub(crate) async fn drive(&mut self, now: Instant) -> Result<(), EndpointError> {
        if let Some((engine, mut round)) = self.round() {
            engine.drive(now, &mut round);
        }
        self.write_device().await?;
        while !self.inbox.is_empty() {
            let inbox = mem::take(&mut self.inbox);
            if let Some((_, mut round)) = self.round() {
                round.deliver(now, inbox);
            }
            self.write_device().await?;
        }
        let closed = self.uplink.as_ref().and_then(|uplink| uplink.link.close_reason());
        match closed {
            Some(closed) => self.handle_closed(now, &closed),
            None => Ok(()),
        }
    }

    /// Moves datagrams from the scheduler to QUIC while they can leave.
    pub(crate) fn transmit(&mut self, now: Instant) {
        if let Some((engine, mut round)) = self.round() {
            engine.transmit(now, &mut round);
        }
    }

    fn round(&mut self) -> Option<(&mut Engine, Round<'_>)> {
        let Uplink {
            engine,
            link,
            id,
            budget,
            ..
        } = self.uplink.as_mut()?;
        let round = Round {
            node: &mut self.node,
            witness: &mut self.witness,
            path: *id,
            link: link.id(),
            budget,
            out: &mut self.out,
            inbox: &mut self.inbox,
        };
        Some((engine, round))
    }

    /// A frame of our own for the device.
    pub(crate) async fn inject(&mut self, now: Instant, frame: &[u8]) -> Result<(), EndpointError> {
        if self.out.is_full() {
            self.write_device().await?;
        }
        self.witness.saw(now, Side::Ours, frame, Ok(()));
        if self.out.push(Frame::plain(frame)).is_err() {
            self.node.count_drop(DropReason::DeviceRefused, 1);
        }
        Ok(())
    }

    pub(crate) async fn write_device(&mut self) -> Result<(), EndpointError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let waiting = self.out.len() as u64;
        let Some((_, sink)) = &mut self.device else {
            self.node.count_drop(DropReason::DeviceDown, waiting);
            self.out.clear();
            return Ok(());
        };
        match sink.send(&mut self.out).await {
            Ok(sent) => {
                self.node
                    .count_drop(DropReason::DeviceRefused, u64::from(sent.refused));
                self.node.count_drop(DropReason::DeviceBusy, u64::from(sent.busy));
                Ok(())
            }
            Err(error) => {
                self.node.count_drop(DropReason::DeviceDown, waiting);
                self.device_failed(error)
            }
        }
    }

    /// A device that went down is waited for.
    fn device_failed(&mut self, error: DeviceError) -> Result<(), EndpointError> {
        let DeviceError::Down { .. } = error else {
            return Err(error.into());
        };
        if self.device.take().is_some() {
            tracing::warn!(%error, "waiting for the device");
            self.losses = SourceLosses::default();
            self.reopening = Some(Box::pin((self.reopen)()));
            self.tell(EndpointEvent::DeviceDown);
        }
        Ok(())
    }

    pub(crate) fn handle_reopened(&mut self, device: D) {
        self.reopening = None;
        self.device = Some(device.split());
        tracing::info!("the device is back");
        self.tell(EndpointEvent::DeviceUp);
    }

    /// Counts what was lost before we could read it.
    pub(crate) fn count_losses(&mut self) {
        let Some((source, _)) = &mut self.device else {
            return;
        };
        let losses = source.losses();
        let before = mem::replace(&mut self.losses, losses);
        if losses.undescribed > 0 && before.undescribed == 0 {
            self.tell(EndpointEvent::UndescribedSuperFrames);
        }
        self.node.count_drop(
            DropReason::DeviceOverrun,
            losses.overrun.saturating_sub(before.overrun),
        );
        self.node.count_drop(
            DropReason::Jumbo,
            losses.truncated.saturating_sub(before.truncated),
        );
        self.node.count_drop(
            DropReason::BadSuperFrame,
            losses.undescribed.saturating_sub(before.undescribed),
        );
    }
}

/// What the core and the device have to do with a path for the length of a turn.
struct Round<'a> {
    node: &'a mut Node,
    witness: &'a mut Witness,
    path: PathId,
    link: LinkId,
    /// The path's, as far as the core knows it.
    budget: &'a mut u16,
    out: &'a mut OutBatch,
    inbox: &'a mut Vec<Bytes>,
}

impl Round<'_> {
    fn deliver(&mut self, now: Instant, datagrams: Vec<Bytes>) {
        for datagram in datagrams {
            self.received(now, self.link, datagram);
        }
    }
}

impl Traffic for Round<'_> {
    fn received(&mut self, now: Instant, _link: LinkId, datagram: Bytes) {
        if self.out.is_full() {
            self.inbox.push(datagram);
            return;
        }
        match self.node.handle_datagram(now, self.path, &datagram) {
            Ok(Delivery::Frame(bytes)) => {
                if let Some(from) = record::sender(&datagram) {
                    self.witness.saw(now, Side::Member(from), bytes, Ok(()));
                }
                if self.out.push(Frame::plain(bytes)).is_err() {
                    self.node.count_drop(DropReason::DeviceRefused, 1);
                }
            }
            Ok(Delivery::Nothing) => {}
            Err(reason) => self
                .witness
                .saw_refused(now, &datagram, self.node.refused(), reason),
        }
    }

    fn next(&mut self, now: Instant, _link: LinkId, budget: u16) -> Option<Bytes> {
        if mem::replace(self.budget, budget) != budget {
            self.node.path_budget(now, self.path, budget);
        }
        loop {
            let datagram = self.node.poll_transmit(now, self.path)?;
            if datagram.len() <= usize::from(budget) {
                return Some(datagram);
            }
            // The rest of a frame that was cut before the path shrank.
            self.node.count_drop(DropReason::DatagramBudget, 1);
        }
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        if self.node.has_transmit(self.path) {
            links.push(self.link);
        }
    }
}
