//! Systems without packet sockets.

use crate::device::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
};

const UNSUPPORTED: DeviceError = DeviceError::Unsupported {
    what: "capturing from a LAN interface",
};

/// Cannot exist here.
pub enum PacketDevice {}
/// Cannot exist here.
pub enum PacketSource {}
/// Cannot exist here.
pub enum PacketSink {}

impl PacketDevice {
    /// # Errors
    /// Always: this platform has no packet sockets.
    pub fn open(_interface: &str) -> Result<PacketDevice, DeviceError> {
        Err(UNSUPPORTED)
    }

    /// # Errors
    /// Always: this platform has no packet sockets.
    pub async fn open_when_ready(_interface: &str) -> Result<PacketDevice, DeviceError> {
        Err(UNSUPPORTED)
    }

    pub fn index(&self) -> u32 {
        match *self {}
    }
}

impl Device for PacketDevice {
    type Source = PacketSource;
    type Sink = PacketSink;

    fn medium(&self) -> Medium {
        match *self {}
    }

    fn split(self) -> (PacketSource, PacketSink) {
        match self {}
    }
}

impl FrameSource for PacketSource {
    async fn recv(&mut self, _batch: &mut Batch) -> Result<(), DeviceError> {
        match *self {}
    }

    fn losses(&mut self) -> SourceLosses {
        match *self {}
    }
}

impl FrameSink for PacketSink {
    async fn send(&mut self, _frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        match *self {}
    }
}
