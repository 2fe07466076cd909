//! Real endpoints over loopback: trust, identity, control, datagrams, roaming. A restarted relay is tested with the real
//! program, which can be killed (`lanparty-relay/tests`).

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod common;
mod identity;
mod path;
mod pump;
mod trust;
