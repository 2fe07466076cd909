//! The real relay on loopback, and members that speak its protocol.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod acme;
mod common;
mod hostile;
mod restart;
mod rooms;
mod sealed;
mod sockets;
mod tokens;
