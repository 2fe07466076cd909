//! Sealed rooms: what members send each other is encrypted and proven between them, past a relay that can only drop, delay and reorder.
//!
//! Each two members agree on keys by a [`handshake`]; unicast is sealed under the pair's keys, floods and groups under the sender's own,
//! which it hands to each member under the pair's. The chapter "Sealing" of `docs/protocol.md` has the bytes, ADR 11 the reasons.

pub mod aead;
pub mod handshake;
mod identity;

pub use identity::IdentityKey;
