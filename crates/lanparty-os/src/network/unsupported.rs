//! Systems whose network we cannot ask or change yet.

use std::{io, net::IpAddr};

use lanparty_wire::{
    Mac,
    host::{Prefix, Snapshot},
};

use super::{Added, BestRoute, NetworkChange, NetworkError};

const UNSUPPORTED: NetworkError = NetworkError::Unsupported {
    what: "managing the network",
};

/// Never made here.
pub struct Network(());
/// Never made here.
pub struct Watch(());

impl Network {
    /// # Errors
    /// Always: this platform's network is not supported yet.
    pub fn open() -> Result<Network, NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn snapshot(&self) -> Result<Snapshot, NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn best_route(&self, _to: IpAddr, _excluding: &[&str]) -> Result<BestRoute, NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn set_link(&self, _interface: &str, _up: bool) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn set_mtu(&self, _interface: &str, _mtu: u32) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn set_mac(&self, _interface: &str, _mac: Mac) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn redirect_received(&self, _from: &str, _to: &str) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn join_bridge(&self, _port: &str, _bridge: &str) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn add_address(&self, _interface: &str, _address: Prefix) -> Result<Added, NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn remove_address(&self, _interface: &str, _address: Prefix) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn add_route(
        &self,
        _interface: &str,
        _destination: Prefix,
        _via: Option<IpAddr>,
        _metric: u32,
    ) -> Result<Added, NetworkError> {
        Err(UNSUPPORTED)
    }

    pub async fn remove_route(
        &self,
        _interface: &str,
        _destination: Prefix,
        _via: Option<IpAddr>,
        _metric: u32,
    ) -> Result<(), NetworkError> {
        Err(UNSUPPORTED)
    }
}

impl Watch {
    /// # Errors
    /// Always: this platform's network is not supported yet.
    pub fn new() -> io::Result<Watch> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// # Errors
    /// Always: this platform's network is not supported yet.
    pub fn immediate() -> io::Result<Watch> {
        Watch::new()
    }

    pub async fn changed(&mut self) -> io::Result<NetworkChange> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
