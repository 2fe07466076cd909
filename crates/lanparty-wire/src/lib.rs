//! The nouns of lanparty: everything that crosses a seam between two crates or two machines.
//!
//! This crate does no I/O and knows no clock. Bytes from a network become checked values here, once; afterwards no
//! accessor fails. What is done with them is decided in `lanparty-core`.

mod address;
pub mod checksum;
mod class;
pub mod control;
mod frame;
mod header;
pub mod host;
mod id;
mod mac;
pub mod mtu;
mod pin;
mod reason;
mod room;
mod room_id;
pub mod seal;

pub use address::{AddressError, DEFAULT_RELAY_PORT, ListenAddress, RelayAddress};
pub use class::Class;
pub use frame::{ETHERNET_HEADER_LEN, EtherView, Frame, FrameError, MIN_FRAME_LEN, Offload, ethertype};
pub use header::{
    FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header, HeaderError, Kind, MAX_SEQUENCE, TAG_LEN,
    VERSION,
};
pub use id::{Destination, GroupHandle, Incarnation, MemberId, PeerId};
pub use mac::{Mac, MacError};
pub use pin::{Pin, PinError};
pub use reason::{Action, DropCounters, DropReason, LeaveReason, RejectReason};
pub use room::{RoomCode, RoomCodeError};
pub use room_id::{RoomId, SealedRoom, SealedRoomError};
