//! Systems without a TAP of ours yet.

use lanparty_wire::{Frame, Mac};

use super::TapOptions;
use crate::device::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
};

const UNSUPPORTED: DeviceError = DeviceError::Unsupported { what: "a TAP" };

/// Never made here.
pub struct Tap(());
/// Never made here.
pub struct TapSource(());
/// Never made here.
pub struct TapSink(());
/// Never made here.
#[derive(Clone)]
pub struct TapControl(());

impl Tap {
    /// # Errors
    /// Always: this platform has no TAP of ours.
    pub fn create(_options: &TapOptions) -> Result<Tap, DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn control(&self) -> TapControl {
        TapControl(())
    }
}

impl Device for Tap {
    type Source = TapSource;
    type Sink = TapSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (TapSource, TapSink) {
        (TapSource(()), TapSink(()))
    }
}

impl FrameSource for TapSource {
    async fn recv(&mut self, _batch: &mut Batch) -> Result<(), DeviceError> {
        Err(UNSUPPORTED)
    }

    fn losses(&mut self) -> SourceLosses {
        SourceLosses::default()
    }
}

impl FrameSink for TapSink {
    async fn send(&mut self, _frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        Err(UNSUPPORTED)
    }
}

impl TapControl {
    pub fn name(&self) -> &str {
        ""
    }

    pub fn index(&self) -> u32 {
        0
    }

    pub fn mac(&self) -> Result<Mac, DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn set_link(&self, _up: bool) -> Result<(), DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn set_carrier(&self, _carrier: bool) -> Result<(), DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn set_mtu(&self, _mtu: u16) -> Result<(), DeviceError> {
        Err(UNSUPPORTED)
    }
}

impl TapSink {
    pub(crate) fn write(
        &self,
        _frames: &OutBatch,
        _keep: impl Fn(Frame<'_>) -> bool,
    ) -> Result<Sent, DeviceError> {
        Err(UNSUPPORTED)
    }
}
