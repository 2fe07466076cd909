//! Systems without packet sockets.

use lanparty_wire::Frame;

use crate::device::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
};

const UNSUPPORTED: DeviceError = DeviceError::Unsupported {
    what: "capturing from a LAN interface",
};

/// Never made here.
pub struct PacketDevice(());
/// Never made here.
pub struct PacketSource(());
/// Never made here.
pub struct PacketSink(());

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
        0
    }
}

impl Device for PacketDevice {
    type Source = PacketSource;
    type Sink = PacketSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (PacketSource, PacketSink) {
        (PacketSource(()), PacketSink(()))
    }
}

impl FrameSource for PacketSource {
    async fn recv(&mut self, _batch: &mut Batch) -> Result<(), DeviceError> {
        Err(UNSUPPORTED)
    }

    fn losses(&mut self) -> SourceLosses {
        SourceLosses::default()
    }
}

impl FrameSink for PacketSink {
    async fn send(&mut self, _frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        Err(UNSUPPORTED)
    }
}

impl PacketSink {
    pub(crate) fn send_some(
        &mut self,
        _frames: &mut OutBatch,
        _keep: impl Fn(Frame<'_>) -> bool,
    ) -> Result<Sent, DeviceError> {
        Err(UNSUPPORTED)
    }
}
