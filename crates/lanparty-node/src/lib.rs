//! The shell of an endpoint: one task that owns a `core::Node`, its device and its path to the relay.
//!
//! Client and LAN gateway are the same thing here; what differs is the device and the role. The shell moves bytes and time between
//! the world and the core, and decides nothing itself: when to dial is said by `core::session`, what to do with a frame by
//! `core::node`. Events tell the binary what it must do on the host (link up, DHCP); the status is the whole truth at any
//! moment, and what a player reads is made from it.

mod config;
mod doctor;
mod endpoint;
mod frames;
mod record;
mod report;
mod sealed;
mod storms;
mod surface;
mod uplink;
mod uplinked;

pub use config::EndpointConfig;
pub use doctor::{RelayQuestion, examine_relay};
pub use endpoint::{Endpoint, EndpointError, EndpointEvent, EndpointHandle, Remembered, endpoint};
pub use record::{DEFAULT_LIMIT as DEFAULT_RECORDING, Recorder};
pub use sealed::{HostFileError, SealedConfig, load_host, redeem, unix_now};
pub use surface::{first_status, say, say_first_use, tell_story};
