//! Linux: rtnetlink(7).

use std::{io, net::IpAddr, thread};

use lanparty_wire::{
    Mac,
    host::{Prefix, Snapshot},
};
use netlink_packet_route::{
    address::AddressMessage,
    link::LinkMessage,
    route::{RouteMessage, RouteScope},
};
use rtnetlink::{AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use tokio::task::JoinHandle;

mod steer;

use super::{Added, BestRoute, NetworkError, query};
use crate::syscall;

/// A conversation with the kernel about its network.
pub struct Network {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Network {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives us no socket for it.
    pub fn open() -> Result<Network, NetworkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|source| NetworkError::Failed {
            attempt: "ask the kernel about the network".into(),
            source,
        })?;
        Ok(Network {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    /// All links, their addresses, and the unicast routes of the main table.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn snapshot(&self) -> Result<Snapshot, NetworkError> {
        query::snapshot(&self.handle)
            .await
            .map_err(failed("list links, addresses and routes"))
    }

    /// The way to `to` that does not use the named interfaces.
    ///
    /// The kernel is asked first, so that policy rules and a player's own VPN are honoured. Only when its answer is
    /// an excluded interface, or one without a carrier, the main table decides, and of rules nothing else: the most
    /// specific route of a link that is up and has a carrier, the lowest metric among equals.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`] if no way is left.
    pub async fn best_route(&self, to: IpAddr, excluding: &[&str]) -> Result<BestRoute, NetworkError> {
        let found = query::best_route(&self.handle, to, excluding).await;
        found
            .map_err(failed(&format!("find the route to {to}")))?
            .ok_or(NetworkError::NoRoute { to })
    }

    /// Sets an interface administratively up or down.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn set_link(&self, interface: &str, up: bool) -> Result<(), NetworkError> {
        let state = if up { "up" } else { "down" };
        let message = |link: LinkMessageBuilder<LinkUnspec>| if up { link.up() } else { link.down() };
        self.change_link(interface, message, &format!("set {interface} {state}"))
            .await
    }

    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn set_mtu(&self, interface: &str, mtu: u32) -> Result<(), NetworkError> {
        self.change_link(
            interface,
            |link| link.mtu(mtu),
            &format!("set the MTU of {interface} to {mtu}"),
        )
        .await
    }

    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn set_mac(&self, interface: &str, mac: Mac) -> Result<(), NetworkError> {
        let message = |link: LinkMessageBuilder<LinkUnspec>| link.address(mac.0.to_vec());
        self.change_link(
            interface,
            message,
            &format!("set the address of {interface} to {mac}"),
        )
        .await
    }

    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn add_address(&self, interface: &str, address: Prefix) -> Result<Added, NetworkError> {
        let index = index(interface)?;
        let result = self
            .handle
            .address()
            .add(index, address.address(), address.length())
            .execute()
            .await;
        added(result).map_err(failed(&format!("add the address {address} to {interface}")))
    }

    /// An address that is already gone, with its interface or without, counts as removed.
    ///
    /// # Errors
    /// What the kernel objects to.
    pub async fn remove_address(&self, interface: &str, address: Prefix) -> Result<(), NetworkError> {
        let Ok(index) = index(interface) else {
            return Ok(());
        };
        let result = self
            .handle
            .address()
            .del(address_message(index, address))
            .execute()
            .await;
        removed(result).map_err(failed(&format!("remove the address {address} from {interface}")))
    }

    /// Adds a route to the main table. Host bits of the destination are ignored.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn add_route(
        &self,
        interface: &str,
        destination: Prefix,
        via: Option<IpAddr>,
        metric: u32,
    ) -> Result<Added, NetworkError> {
        let attempt = format!("add the route {destination} by {interface}");
        let message = route_message(index(interface)?, destination, via, metric).map_err(failed(&attempt))?;
        added(self.handle.route().add(message).execute().await).map_err(failed(&attempt))
    }

    /// A route that is already gone, with its interface or without, counts as removed.
    ///
    /// # Errors
    /// What the kernel objects to.
    pub async fn remove_route(
        &self,
        interface: &str,
        destination: Prefix,
        via: Option<IpAddr>,
        metric: u32,
    ) -> Result<(), NetworkError> {
        let Ok(index) = index(interface) else {
            return Ok(());
        };
        let attempt = format!("remove the route {destination} by {interface}");
        let message = route_message(index, destination, via, metric).map_err(failed(&attempt))?;
        removed(self.handle.route().del(message).execute().await).map_err(failed(&attempt))
    }

    /// Removes an interface; one that is already gone counts as removed.
    pub(crate) async fn delete_link(&self, index: u32) -> Result<(), NetworkError> {
        removed(self.handle.link().del(index).execute().await).map_err(failed("remove an interface"))
    }

    pub(crate) async fn set_alias(&self, index: u32, alias: &str) -> Result<(), NetworkError> {
        let message: LinkMessage = LinkUnspec::new_with_index(index).alias(alias).build();
        let result = self.handle.link().change(message).execute().await;
        result.map_err(to_io).map_err(failed("set an interface's alias"))
    }

    async fn change_link(
        &self,
        interface: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
        attempt: &str,
    ) -> Result<(), NetworkError> {
        let message: LinkMessage = change(LinkUnspec::new_with_index(index(interface)?)).build();
        self.handle
            .link()
            .change(message)
            .execute()
            .await
            .map_err(to_io)
            .map_err(failed(attempt))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What [`Network::snapshot`] gives, at once; for callers that cannot wait asynchronously.
///
/// # Errors
/// When the kernel does not answer.
pub fn snapshot() -> Result<Snapshot, NetworkError> {
    blocking(async |network| network.snapshot().await)
}

/// Runs a conversation to its end on a thread of its own, for callers that cannot wait asynchronously: a `Drop`
/// inside a runtime above all. The thread is in the caller's network namespace.
pub(crate) fn blocking<T: Send>(
    conversation: impl AsyncFnOnce(&Network) -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let run = || {
        let failed = |source| NetworkError::Failed {
            attempt: "start a conversation with the kernel".into(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(failed)?;
        runtime.block_on(async { conversation(&Network::open()?).await })
    };
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// What rtnetlink reports, as the error number that it stands for.
pub(super) fn to_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

fn failed(attempt: &str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Failed {
        attempt: attempt.to_owned(),
        source,
    }
}

fn index(interface: &str) -> Result<u32, NetworkError> {
    let index = syscall::interface_index(interface);
    index
        .map(i32::cast_unsigned)
        .map_err(|_| NetworkError::NoInterface {
            name: interface.to_owned(),
        })
}

fn added(result: Result<(), rtnetlink::Error>) -> io::Result<Added> {
    match result.map_err(to_io) {
        Ok(()) => Ok(Added::Now),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(Added::Before),
        Err(error) => Err(error),
    }
}

fn removed(result: Result<(), rtnetlink::Error>) -> io::Result<()> {
    match result.map_err(to_io) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EADDRNOTAVAIL | libc::ESRCH | libc::ENODEV | libc::ENOENT)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn address_message(index: u32, address: Prefix) -> AddressMessage {
    match address.address() {
        IpAddr::V4(ip) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(ip, address.length())
            .build(),
        IpAddr::V6(ip) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(index)
            .address(ip, address.length())
            .build(),
    }
}

fn route_message(
    index: u32,
    destination: Prefix,
    via: Option<IpAddr>,
    metric: u32,
) -> io::Result<RouteMessage> {
    let network = destination.network();
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(network.address(), network.length())
        .map_err(io::Error::other)?
        .output_interface(index)
        .priority(metric);
    let builder = match via {
        Some(via) => builder.gateway(via).map_err(io::Error::other)?,
        // Without a next hop the destination is on the link itself; IPv6 knows no scopes of routes.
        None if network.address().is_ipv4() => builder.scope(RouteScope::Link),
        None => builder,
    };
    Ok(builder.build())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
