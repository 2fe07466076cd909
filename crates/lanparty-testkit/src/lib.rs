//! What the tests of lanparty stand on: a LAN party out of network namespaces ([`lab`]).
//!
//! Development only; no binary of the product depends on it.

pub mod lab;
