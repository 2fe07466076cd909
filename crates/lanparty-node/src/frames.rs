//! Frames and datagrams on their way through the shell.

use std::{future::Future, mem, time::Instant};

use lanparty_core::node::Delivery;
use lanparty_os::device::{Device, DeviceError, FrameSink, FrameSource, SourceLosses};
use lanparty_quic::{PathClosed, TrySendError};
use lanparty_wire::{DropReason, Frame};

use crate::endpoint::{Endpoint, EndpointError, EndpointEvent};

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
            // A dropped frame is counted and logged by the core, and is nobody else's business.
            let _ = self.node.handle_frame(now, frame);
        }
        Ok(())
    }

    /// Datagrams from the path, or the news that it is gone.
    pub(crate) async fn handle_datagrams(
        &mut self,
        now: Instant,
        result: Result<(), PathClosed>,
    ) -> Result<(), EndpointError> {
        if let Err(closed) = result {
            return self.handle_closed(now, &closed);
        }
        let Some(path) = self.uplink.as_ref().map(|uplink| uplink.id) else {
            return Ok(());
        };
        let mut inbox = mem::take(&mut self.inbox);
        for datagram in inbox.drain(..) {
            if self.out.is_full() {
                self.write_device().await?;
            }
            match self.node.handle_datagram(now, path, &datagram) {
                Ok(Delivery::Frame(bytes)) => {
                    if self.out.push(Frame::plain(bytes)).is_err() {
                        self.node.count_drop(DropReason::DeviceRefused, 1);
                    }
                }
                Ok(Delivery::Nothing) | Err(_) => {}
            }
        }
        self.inbox = inbox;
        Ok(())
    }

    /// Moves datagrams from the scheduler to QUIC while there is room.
    pub(crate) fn transmit(&mut self, now: Instant) {
        let Some(uplink) = &self.uplink else { return };
        while self.writing.is_none() {
            let Some(datagram) = self.node.poll_transmit(now, uplink.id) else {
                return;
            };
            match uplink.link.try_send(datagram) {
                Ok(()) => {}
                Err(TrySendError::Full(datagram)) => {
                    let link = uplink.link.clone();
                    self.writing = Some(Box::pin(async move {
                        // The end of the path is noticed by its reader.
                        match link.send_wait(datagram).await {
                            Ok(()) => None,
                            Err(TrySendError::TooLarge(_) | TrySendError::Full(_)) => {
                                Some(DropReason::DatagramBudget)
                            }
                            Err(TrySendError::Closed(_)) => Some(DropReason::NoPath),
                        }
                    }));
                }
                Err(TrySendError::TooLarge(_)) => {
                    self.node.count_drop(DropReason::DatagramBudget, 1);
                    self.node.path_budget(now, uplink.id, uplink.link.budget());
                }
                Err(TrySendError::Closed(_)) => {
                    self.node.count_drop(DropReason::NoPath, 1);
                    return;
                }
            }
        }
    }

    /// The datagram that waited for room has left, or was lost for this reason.
    pub(crate) fn handle_written(&mut self, lost: Option<DropReason>) {
        self.writing = None;
        if let Some(reason) = lost {
            self.node.count_drop(reason, 1);
        }
    }

    /// What was on its way through a path that is gone now.
    pub(crate) fn drop_in_flight(&mut self) {
        let waiting = u64::from(self.writing.take().is_some());
        let unread = self.inbox.len() as u64;
        self.inbox.clear();
        self.node.count_drop(DropReason::NoPath, waiting + unread);
    }

    /// A frame of our own for the device.
    pub(crate) async fn inject(&mut self, frame: &[u8]) -> Result<(), EndpointError> {
        if self.out.is_full() {
            self.write_device().await?;
        }
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
