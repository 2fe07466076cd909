//! Where the room's cable ends: at an adapter of this machine, or at a host in memory ([`crate::station`]).

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::ValueEnum;
use lanparty_api::status::InterfaceStatus;
use lanparty_os::{
    device::{
        Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
        memory::{MemoryDevice, MemorySink, MemorySource},
        tap::{Tap, TapSink, TapSource},
    },
    dhcp::{DhcpClient, DhcpError, DhcpEvent, DhcpOptions},
    transaction::Undone,
};
use lanparty_wire::{
    Mac,
    host::{Prefix, Snapshot},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::{
    adapter::{Adapter, AdapterError},
    station::{Plug, plug_in},
};

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// An adapter that games see.
    #[default]
    System,
    /// None: a small host inside this program takes an address and answers pings. It needs no rights and changes nothing.
    Memory,
}

/// The end of the cable. Shared, because the endpoint asks for a new device when somebody has removed the old one.
#[derive(Clone)]
pub enum Mount {
    System(Adapter),
    Memory(Arc<Mutex<InMemory>>),
}

pub struct InMemory {
    mac: Mac,
    host: Option<(Plug, Option<mpsc::Receiver<DhcpEvent>>)>,
    /// Whether the room is joined.
    up: bool,
}

impl Mount {
    /// One that changes nothing of this machine.
    pub fn in_memory(mac: Mac) -> Mount {
        Mount::Memory(Arc::new(Mutex::new(InMemory {
            mac,
            host: None,
            up: false,
        })))
    }

    /// The device, silent until the room is joined. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Adapter::create`].
    pub fn create(&self) -> Result<Cable, AdapterError> {
        match self {
            Mount::System(adapter) => adapter.create().map(Cable::Tap),
            Mount::Memory(memory) => {
                let mut memory = lock(memory);
                let (device, plug, events) = plug_in(memory.mac, rand::random());
                if memory.up {
                    plug.connect();
                }
                memory.host = Some((plug, Some(events)));
                Ok(Cable::Memory(device))
            }
        }
    }

    /// The room is joined.
    ///
    /// # Errors
    /// As [`Adapter::link_up`].
    pub fn link_up(&self) -> Result<(), AdapterError> {
        match self {
            Mount::System(adapter) => adapter.link_up(),
            Mount::Memory(memory) => {
                let mut memory = lock(memory);
                memory.up = true;
                if let Some((plug, _)) = &memory.host {
                    plug.connect();
                }
                Ok(())
            }
        }
    }

    /// What the status says of it. The host in memory has a name and no index, as no system knows it.
    pub fn shown(&self, snapshot: &Snapshot, tap: &str) -> Option<InterfaceStatus> {
        match self {
            Mount::System(_) => InterfaceStatus::of(snapshot, tap),
            Mount::Memory(memory) => {
                let memory = lock(memory);
                Some(InterfaceStatus {
                    mac: Some(memory.mac),
                    up: memory.host.is_some(),
                    carrier: memory.up,
                    ..InterfaceStatus::absent("memory")
                })
            }
        }
    }

    /// Who says which address there is.
    ///
    /// # Errors
    /// As [`DhcpClient::start`].
    pub fn leases(&self, options: &DhcpOptions) -> Result<Leases, DhcpError> {
        match self {
            Mount::System(_) => DhcpClient::start(options).map(Leases::System),
            Mount::Memory(memory) => {
                let mut memory = lock(memory);
                let host = memory.host.as_mut();
                Ok(Leases::Memory(
                    host.and_then(|(plug, events)| Some((plug.clone(), events.take()?))),
                ))
            }
        }
    }

    /// As [`Adapter::set_lease`]; in memory the host has it already.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lease(&self, snapshot: &Snapshot, lease: Option<Prefix>) -> Result<(), AdapterError> {
        match self {
            Mount::System(adapter) => adapter.set_lease(snapshot, lease),
            Mount::Memory(_) => Ok(()),
        }
    }

    /// As [`Adapter::set_lan_games`]; no game sees the one in memory.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lan_games(&self, snapshot: &Snapshot, wanted: bool) -> Result<(), AdapterError> {
        match self {
            Mount::System(adapter) => adapter.set_lan_games(snapshot, wanted),
            Mount::Memory(_) => Ok(()),
        }
    }

    /// As [`Adapter::refresh`].
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn refresh(&self, snapshot: &Snapshot, relay: Option<IpAddr>) -> Result<(), AdapterError> {
        match self {
            Mount::System(adapter) => adapter.refresh(snapshot, relay),
            Mount::Memory(_) => Ok(()),
        }
    }

    /// As [`Adapter::wants_look`].
    pub fn wants_look(&self) -> bool {
        match self {
            Mount::System(adapter) => adapter.wants_look(),
            Mount::Memory(_) => false,
        }
    }

    /// As [`Adapter::troubles`].
    pub fn troubles(&self, snapshot: &Snapshot) -> Vec<String> {
        match self {
            Mount::System(adapter) => adapter.troubles(snapshot),
            Mount::Memory(_) => Vec::new(),
        }
    }

    /// As [`Adapter::close`].
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn close(&self) -> Result<Undone, AdapterError> {
        match self {
            Mount::System(adapter) => adapter.close(),
            Mount::Memory(memory) => {
                lock(memory).host = None;
                Ok(Undone::default())
            }
        }
    }
}

fn lock(memory: &Mutex<InMemory>) -> MutexGuard<'_, InMemory> {
    // Each change of it is one assignment.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where addresses come from.
pub enum Leases {
    System(DhcpClient),
    /// None if somebody has them already.
    Memory(Option<(Plug, mpsc::Receiver<DhcpEvent>)>),
}

impl Leases {
    /// What has happened to the address. Cancel safe.
    pub async fn event(&mut self) -> Option<DhcpEvent> {
        match self {
            Leases::System(client) => client.event().await,
            Leases::Memory(Some((_, events))) => events.recv().await,
            Leases::Memory(None) => None,
        }
    }

    /// Asks the server anew.
    pub fn renew(&self) {
        match self {
            Leases::System(client) => client.renew(),
            Leases::Memory(Some((plug, _))) => plug.renew(),
            Leases::Memory(None) => {}
        }
    }
}

/// The device of either kind.
pub enum Cable {
    Tap(Tap),
    Memory(MemoryDevice),
}

pub enum CableSource {
    Tap(TapSource),
    Memory(MemorySource),
}

pub enum CableSink {
    Tap(TapSink),
    Memory(MemorySink),
}

impl Device for Cable {
    type Source = CableSource;
    type Sink = CableSink;

    fn medium(&self) -> Medium {
        match self {
            Cable::Tap(tap) => tap.medium(),
            Cable::Memory(device) => device.medium(),
        }
    }

    fn split(self) -> (CableSource, CableSink) {
        match self {
            Cable::Tap(tap) => {
                let (source, sink) = tap.split();
                (CableSource::Tap(source), CableSink::Tap(sink))
            }
            Cable::Memory(device) => {
                let (source, sink) = device.split();
                (CableSource::Memory(source), CableSink::Memory(sink))
            }
        }
    }
}

impl FrameSource for CableSource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        match self {
            CableSource::Tap(source) => source.recv(batch).await,
            CableSource::Memory(source) => source.recv(batch).await,
        }
    }

    fn losses(&mut self) -> SourceLosses {
        match self {
            CableSource::Tap(source) => source.losses(),
            CableSource::Memory(source) => source.losses(),
        }
    }
}

impl FrameSink for CableSink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        match self {
            CableSink::Tap(sink) => sink.send(frames).await,
            CableSink::Memory(sink) => sink.send(frames).await,
        }
    }
}
