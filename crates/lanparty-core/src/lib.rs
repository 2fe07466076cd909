//! The verbs of lanparty: every decision about frames, members, paths and hosts, without any I/O.
//!
//! Frames, datagrams, time and random bytes come in as arguments; decisions go out as values. There is no socket, clock,
//! thread or environment in here (clippy and a wasm32 build prove it), so that a party of thirty behind NATs is an
//! ordinary test in virtual time.

pub mod admission;
pub mod codel;
pub mod doctor;
pub mod ecn;
pub mod fragment;
pub mod guard;
mod hole;
pub mod host;
pub mod lan;
pub mod mss;
pub mod node;
pub mod redundancy;
pub mod relay;
pub mod replay;
pub mod scheduler;
pub mod seal;
pub mod segment;
pub mod session;
pub mod switch;
