//! What the tests of lanparty stand on: a LAN party out of network namespaces ([`lab`]), a member that follows no rule
//! ([`member`], driven by [`pump`]), one with keys that knows no role ([`rebel`]) or a thousand of them ([`crowd`]), a relay of
//! another version ([`later`]), and a party in virtual time ([`world`]).
//!
//! Development only; no binary of the product depends on it.

pub mod chatter;
pub mod crowd;
pub mod lab;
pub mod later;
pub mod member;
pub mod pump;
pub mod rebel;
pub mod world;
