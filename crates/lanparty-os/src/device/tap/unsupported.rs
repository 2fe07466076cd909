//! Systems without a TAP of ours yet.

use lanparty_wire::Mac;

use super::TapOptions;
use crate::device::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
};

const UNSUPPORTED: DeviceError = DeviceError::Unsupported { what: "a TAP" };

/// Cannot exist here.
pub enum Tap {}
/// Cannot exist here.
pub enum TapSource {}
/// Cannot exist here.
pub enum TapSink {}
/// Cannot exist here.
#[derive(Clone)]
pub enum TapControl {}

impl Tap {
    /// # Errors
    /// Always: this platform has no TAP of ours.
    pub fn create(_options: &TapOptions) -> Result<Tap, DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn control(&self) -> TapControl {
        match *self {}
    }
}

impl Device for Tap {
    type Source = TapSource;
    type Sink = TapSink;

    fn medium(&self) -> Medium {
        match *self {}
    }

    fn split(self) -> (TapSource, TapSink) {
        match self {}
    }
}

impl FrameSource for TapSource {
    async fn recv(&mut self, _batch: &mut Batch) -> Result<(), DeviceError> {
        match *self {}
    }

    fn losses(&mut self) -> SourceLosses {
        match *self {}
    }
}

impl FrameSink for TapSink {
    async fn send(&mut self, _frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        match *self {}
    }
}

impl TapControl {
    pub fn name(&self) -> &str {
        match *self {}
    }

    pub fn index(&self) -> u32 {
        match *self {}
    }

    pub fn mac(&self) -> Result<Mac, DeviceError> {
        match *self {}
    }

    pub fn set_link(&self, _up: bool) -> Result<(), DeviceError> {
        match *self {}
    }

    pub fn set_carrier(&self, _carrier: bool) -> Result<(), DeviceError> {
        match *self {}
    }

    pub fn set_mtu(&self, _mtu: u16) -> Result<(), DeviceError> {
        match *self {}
    }
}
