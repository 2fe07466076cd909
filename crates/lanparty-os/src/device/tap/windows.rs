//! The TAP of Windows: an adapter of the driver TAP-Windows6.
//!
//! The adapter is made once, is known by what Windows calls its instance (`NetCfgInstanceId`), and is ours alone; those of other programs
//! are never touched. The driver gives one program at a time a file of frames, one for each read and write, and pulls the cable when the
//! program has gone.

mod adapter;
mod control;
mod stream;

use std::sync::{Arc, Weak};

use lanparty_wire::{Frame, Mac, Offload};

use self::{adapter::Adapter, stream::Stream};
use super::{TapOptions, Written};
use crate::device::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
};

/// What a frame has beside its packet: the Ethernet header and a VLAN tag.
const HEADER: usize = 14 + 4;

/// An adapter of ours, opened. Dropping the last of it and its parts pulls its cable.
pub struct Tap(Arc<Shared>);

/// Frames that programs of this machine send into the TAP.
pub struct TapSource(Arc<Shared>);

/// Frames that the TAP receives, for programs of this machine.
pub struct TapSink(Arc<Shared>);

/// The switches of a TAP that is already carrying frames.
#[derive(Clone)]
pub struct TapControl(Arc<Shared>);

struct Shared {
    name: String,
    index: u32,
    stream: Stream,
}

pub(super) fn remove(name: &str) -> Result<bool, DeviceError> {
    Adapter::remove(name).map_err(|source| DeviceError::Io {
        attempt: "remove",
        device: name.to_owned(),
        source,
    })
}

impl Tap {
    /// Finds or makes the adapter of this name, gives it its address, and opens it with its cable pulled. Takes some seconds when an
    /// adapter is made or its address changes.
    ///
    /// # Errors
    /// The driver is missing or too old, another program has the adapter, or this one has no administrator's rights.
    pub fn create(options: &TapOptions) -> Result<Tap, DeviceError> {
        let fail = |attempt| {
            let device = options.name.clone();
            move |source| DeviceError::Io {
                attempt,
                device,
                source,
            }
        };
        if !crate::doctor::has_adapter_driver() {
            return Err(DeviceError::NoDriver);
        }
        let adapter = Adapter::of(&options.name).map_err(fail("find or make the adapter"))?;
        let is_new = adapter.set_mac(options.mac).map_err(fail("set the address of"))?;
        if is_new {
            adapter.restart().map_err(fail("restart"))?;
        }
        let handle = adapter.open().map_err(fail("open"))?;
        let version = control::version(&handle).map_err(fail("ask for the version of"))?;
        if version < control::OLDEST {
            return Err(DeviceError::Driver {
                found: format!("{}.{}", version.0, version.1),
                needed: format!("{}.{}", control::OLDEST.0, control::OLDEST.1),
            });
        }
        // What a crashed program has left, before any name is looked up.
        control::set_media(&handle, false).map_err(fail("pull the cable of"))?;
        let index = adapter.index().map_err(fail("find the number of"))?;
        if let Err(error) = adapter.keep_names_out() {
            // LAN gateways name no name servers; this is for those of other makes.
            tracing::warn!(%error, "names may be asked at the party's name servers, should it have any");
        }
        let longest = usize::from(options.mtu.max(1500)) + HEADER;
        let stream = Stream::new(handle, longest).map_err(fail("read from"))?;
        Ok(Tap(Arc::new(Shared {
            name: options.name.clone(),
            index,
            stream,
        })))
    }

    pub fn control(&self) -> TapControl {
        TapControl(Arc::clone(&self.0))
    }
}

/// The cable of a TAP, for somebody who does not keep the TAP: what lets go of it last pulls the cable anyway.
pub(crate) struct TapCable(Weak<Shared>);

impl TapCable {
    pub(crate) fn of(tap: &Tap) -> TapCable {
        TapCable(Arc::downgrade(&tap.0))
    }

    /// False if the TAP is gone.
    pub(crate) fn plug(&self, connected: bool) -> Result<bool, DeviceError> {
        let Some(shared) = self.0.upgrade() else {
            return Ok(false);
        };
        TapControl(shared).set_carrier(connected).map(|()| true)
    }
}

impl Device for Tap {
    type Source = TapSource;
    type Sink = TapSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (TapSource, TapSink) {
        (TapSource(Arc::clone(&self.0)), TapSink(self.0))
    }
}

impl FrameSource for TapSource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        batch.clear();
        let stream = &self.0.stream;
        let is_alive = || control::version(stream).is_ok();
        stream
            .recv(batch, is_alive)
            .await
            .map_err(|stream::Gone| self.0.down())
    }

    fn losses(&mut self) -> SourceLosses {
        SourceLosses {
            truncated: self.0.stream.truncated(),
            ..SourceLosses::default()
        }
    }
}

impl FrameSink for TapSink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        let result = self.write(frames, |_| true);
        frames.clear();
        result
    }
}

impl TapSink {
    /// Writes the frames that `keep` wants. Super-frames go as what they were put together from, as the driver takes nothing longer than
    /// its MTU.
    pub(crate) fn write(
        &self,
        frames: &OutBatch,
        keep: impl Fn(Frame<'_>) -> bool,
    ) -> Result<Sent, DeviceError> {
        let mut sent = Sent::default();
        for out in frames.frames().filter(|out| keep(out.frame)) {
            if out.is_merged() {
                for segment in out.segments() {
                    self.write_one(segment, &mut sent)?;
                }
            } else if out.frame.offload == Offload::None {
                self.write_one([out.frame.bytes, &[]], &mut sent)?;
            } else {
                sent.refused += out.count();
            }
        }
        Ok(sent)
    }

    fn write_one(&self, frame: [&[u8]; 2], sent: &mut Sent) -> Result<(), DeviceError> {
        match self.0.stream.write(frame) {
            Ok(Written::Accepted) => sent.accepted += 1,
            Ok(Written::Refused) => sent.refused += 1,
            Ok(Written::Busy) => sent.busy += 1,
            Err(stream::Gone) => return Err(self.0.down()),
        }
        Ok(())
    }
}

impl TapControl {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The system's number for the interface.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// The address that the driver really uses.
    ///
    /// # Errors
    /// The adapter is gone.
    pub fn mac(&self) -> Result<Mac, DeviceError> {
        control::mac(&self.0.stream).map_err(|source| self.0.failed("read the address of", source))
    }

    /// Nothing to do: the adapter is up, and its cable decides.
    ///
    /// # Errors
    /// None here.
    pub fn set_link(&self, up: bool) -> Result<(), DeviceError> {
        if up { Ok(()) } else { self.set_carrier(false) }
    }

    /// Plugs the virtual cable in, or pulls it. Windows asks for an address as soon as it is in.
    ///
    /// # Errors
    /// The adapter is gone.
    pub fn set_carrier(&self, carrier: bool) -> Result<(), DeviceError> {
        control::set_media(&self.0.stream, carrier)
            .map_err(|source| self.0.failed("set the cable of", source))?;
        self.0.stream.wake();
        Ok(())
    }

    /// # Errors
    /// Windows refuses it.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), DeviceError> {
        crate::network::set_mtu(self.0.index, mtu.into())
            .map_err(|source| self.0.failed("set the MTU of", source))
    }
}

impl Shared {
    fn down(&self) -> DeviceError {
        DeviceError::Down {
            device: self.name.clone(),
        }
    }

    fn failed(&self, attempt: &'static str, source: std::io::Error) -> DeviceError {
        DeviceError::Io {
            attempt,
            device: self.name.clone(),
            source,
        }
    }
}
