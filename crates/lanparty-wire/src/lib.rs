//! The nouns of lanparty: everything that crosses a seam between two crates or two machines.
//!
//! This crate does no I/O and knows no clock. Bytes from a network become checked values here, once; afterwards no
//! accessor fails. What is done with them is decided in `lanparty-core`.

mod address;
mod admission;
pub mod checksum;
mod class;
mod code_message;
pub mod control;
pub mod doctor;
mod frame;
mod header;
pub mod host;
mod host_key;
mod id;
mod invite;
mod mac;
mod membership;
pub mod mtu;
mod pack;
mod pin;
mod port;
mod reason;
mod relay_token;
mod room;
mod room_id;
pub mod seal;
mod short_code;
mod unix_time;

pub use address::{AddressError, DEFAULT_RELAY_PORT, ListenAddress, RelayAddress};
pub use admission::{AdmissionAnswer, AdmissionFormError, AdmissionRefusal, AdmissionRequest, Proof};
pub use class::Class;
pub use code_message::{CONFIRMATION_LEN, CodeMessage, CodeMessageError, MAX_GRANT, PAKE_LEN};
pub use frame::{ETHERNET_HEADER_LEN, EtherView, Frame, FrameError, MIN_FRAME_LEN, Offload, ethertype};
pub use header::{
    FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header, HeaderError, Kind, MAX_SEQUENCE, TAG_LEN,
    VERSION,
};
pub use host_key::{HostKey, SIGNATURE_LEN};
pub use id::{Destination, GroupHandle, Incarnation, MemberId, PeerId};
pub use invite::{Invite, InviteError, InviteId, InvitePage, InviteSecret, PageError};
pub use mac::{Mac, MacError};
pub use membership::{
    Admitted, MAX_NAME, MAX_ROSTER, Membership, PaperError, ParseProfileError, Profile, Roster,
    RosterContent, Standing,
};
pub use pin::{Pin, PinError};
pub use port::PortFault;
pub use reason::{Action, DropCounters, DropReason, LeaveReason, RejectReason};
pub use relay_token::{RelayToken, RelayTokenError};
pub use room::{RoomCode, RoomCodeError};
pub use room_id::{RoomId, SealedRoom, SealedRoomError};
pub use short_code::{ShortCode, ShortCodeError, ShortNumber};
pub use unix_time::UnixTime;
