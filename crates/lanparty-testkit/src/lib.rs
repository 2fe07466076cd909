//! What the tests of lanparty stand on: a LAN party out of network namespaces ([`lab`]), a member that follows no rule
//! ([`member`], driven by [`pump`]), one with keys that knows no role ([`rebel`]) or a thousand of them ([`crowd`]), a relay of
//! another version ([`later`]), a party in virtual time ([`world`]); and Windows programs on this machine ([`wine`]).
//!
//! Development only; no binary of the product depends on it.

pub mod chatter;
pub mod crowd;
pub mod lab;
pub mod later;
pub mod member;
pub mod pump;
pub mod rebel;
pub mod wine;
pub mod world;
