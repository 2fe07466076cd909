//! Paths: authenticated QUIC connections that carry a room's datagrams and its control messages.
//!
//! This crate turns a bound UDP socket into a [`Path`]: the relay is trusted by pin, CA or first use ([`Trust`]), the dialling
//! side proves its [`Identity`] with a TLS client certificate, and both sides get the same handle ([`Link`]) for datagrams and
//! the same pair of ends ([`ControlSender`], [`ControlReceiver`]) for control messages. Whoever carries frames owns an [`Engine`],
//! which drives QUIC from the carrier's own loop and pulls each datagram when it can leave ([`Traffic`]).

mod certify;
mod congestion;
mod control;
mod crypto;
mod dial;
mod engine;
mod file;
mod identity;
mod link;
mod listen;
mod pin;
mod relay_keys;
mod resolve;
mod transport;
mod trust;
mod verify;

pub use control::{ControlReceiver, ControlSender, RecvError, SendError};
pub use dial::{DialConfig, DialError, Dialer, Path};
pub use engine::{Engine, LinkId, Packet, SegmentationOffload, Traffic, UnknownOffload};
pub use identity::{Identity, IdentityError};
pub use lanparty_wire::{Pin, PinError};
pub use link::{Link, PathClosed, PathStats};
pub use listen::{AcceptError, Inbound, Incoming, ListenConfig, ListenError, Listener};
pub use pin::pin_of_certificate;
pub use relay_keys::{CertificateError, EndpointKeys, RelayCertificate};
pub use resolve::{ResolveError, resolve};
pub use trust::{Trust, TrustError, TrustOutcome};
