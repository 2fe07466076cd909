//! What the tests of lanparty stand on: a LAN party out of network namespaces ([`lab`]), and a member
//! that follows no rule ([`member`]).
//!
//! Development only; no binary of the product depends on it.

pub mod lab;
pub mod member;
