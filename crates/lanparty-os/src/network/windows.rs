//! Windows: the IP Helper API (iphlpapi.dll).

mod change;
mod com;
mod tables;
mod watch;
mod wifi;

use std::net::IpAddr;

pub(crate) use change::set_mtu;
use lanparty_wire::{
    Mac,
    host::{Category, Family, IpSetting, Prefix, Snapshot},
};
use tables::Named;
pub(crate) use tables::{Granted, granted};
pub use watch::Watch;
pub(crate) use wifi::Steady;

use super::{Added, BestRoute, NetworkError, candidates};

/// The network of this machine. Interfaces go by their friendly names, as the control panel shows them.
pub struct Network(());

impl Network {
    /// # Errors
    /// None here: the system is asked without being connected to.
    pub fn open() -> Result<Network, NetworkError> {
        Ok(Network(()))
    }

    /// All links, their addresses, settings and categories, and the unicast routes. A route's metric is its own, to which the system adds
    /// its interface's.
    ///
    /// # Errors
    /// When the system does not tell.
    pub async fn snapshot(&self) -> Result<Snapshot, NetworkError> {
        snapshot()
    }

    /// The way to `to` that does not use the named interfaces: as the system says, or, when its answer is an excluded interface, the most
    /// specific route of a link that is up, the lowest metric among equals.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`] if no way is left.
    pub async fn best_route(&self, to: IpAddr, excluding: &[&str]) -> Result<BestRoute, NetworkError> {
        let snapshot = snapshot()?;
        let name = |index: u32| snapshot.link(index).map(|link| link.name.clone());
        if let Some(answer) = tables::ask(to)
            && let Some(interface) = name(answer.index)
            && !excluding.contains(&interface.as_str())
        {
            return Ok(BestRoute {
                interface,
                index: answer.index,
                source: answer.source,
                via: answer.via,
            });
        }
        let routes = candidates(&snapshot, to, excluding);
        let best = routes.first().and_then(|route| Some((name(route.link)?, *route)));
        let (interface, route) = best.ok_or(NetworkError::NoRoute { to })?;
        Ok(BestRoute {
            interface,
            index: route.link,
            source: None,
            via: route.via,
        })
    }

    /// # Errors
    /// Always: what is up is a network card's own affair here, and a TAP's is its media status.
    pub async fn set_link(&self, _interface: &str, _up: bool) -> Result<(), NetworkError> {
        Err(unsupported("switching an interface on or off"))
    }

    /// The MTU of IPv4 and IPv6 at this interface.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the system objects to.
    pub async fn set_mtu(&self, interface: &str, mtu: u32) -> Result<(), NetworkError> {
        change::set_mtu(index(interface)?, mtu)
            .map_err(failed(format!("set the MTU of {interface} to {mtu}")))
    }

    /// # Errors
    /// Always: an address is a setting of the card's driver, which reads it when it starts.
    pub async fn set_mac(&self, _interface: &str, _mac: Mac) -> Result<(), NetworkError> {
        Err(unsupported("changing the address of a running interface"))
    }

    /// # Errors
    /// Always: it is for LAN gateways, which run on Linux.
    pub async fn redirect_received(&self, _from: &str, _to: &str) -> Result<(), NetworkError> {
        Err(unsupported("redirecting what an interface receives"))
    }

    /// # Errors
    /// Always: it is for LAN gateways, which run on Linux.
    pub async fn join_bridge(&self, _port: &str, _bridge: &str) -> Result<(), NetworkError> {
        Err(unsupported("a bridge"))
    }

    /// # Errors
    /// [`NetworkError::NoInterface`], or what the system objects to.
    pub async fn add_address(&self, interface: &str, address: Prefix) -> Result<Added, NetworkError> {
        add_address(interface, address)
    }

    /// An address that is already gone, with its interface or without, counts as removed.
    ///
    /// # Errors
    /// What the system objects to.
    pub async fn remove_address(&self, interface: &str, address: Prefix) -> Result<(), NetworkError> {
        remove_address(interface, address)
    }

    /// Adds a route that lasts until the next start of the machine. Host bits of the destination are ignored. `metric` is the route's own.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the system objects to.
    pub async fn add_route(
        &self,
        interface: &str,
        destination: Prefix,
        via: Option<IpAddr>,
        metric: u32,
    ) -> Result<Added, NetworkError> {
        add_route(interface, destination, via, metric)
    }

    /// A route that is already gone, with its interface or without, counts as removed.
    ///
    /// # Errors
    /// What the system objects to.
    pub async fn remove_route(
        &self,
        interface: &str,
        destination: Prefix,
        via: Option<IpAddr>,
        _metric: u32,
    ) -> Result<(), NetworkError> {
        remove_route(interface, destination, via)
    }
}

/// What [`Network::snapshot`] gives, at once.
///
/// # Errors
/// When the system does not tell.
pub fn snapshot() -> Result<Snapshot, NetworkError> {
    let mut snapshot = tables::snapshot().map_err(failed("list links, addresses and routes".to_owned()))?;
    let families = snapshot
        .links
        .iter()
        .flat_map(|link| Family::ALL.map(|family| (link.index, family)));
    // What a link has not got, or the system does not tell, is left out.
    let settings = families.filter_map(|(index, family)| change::ip_settings(index, family).ok());
    snapshot.settings = settings.collect();
    snapshot.categories = categories().unwrap_or_else(|error| {
        // A service of its own, which may be switched off.
        tracing::debug!(%error, "Windows does not tell what it takes its networks for");
        Vec::new()
    });
    Ok(snapshot)
}

fn categories() -> std::io::Result<Vec<(u32, Category)>> {
    let adapters = tables::adapters()?;
    let index = |instance: &str| {
        let found = adapters.iter().find(|adapter| adapter.is(instance));
        found.map(|adapter| adapter.index)
    };
    let told = com::categories()?.into_iter();
    Ok(told
        .filter_map(|(instance, category)| Some((index(&instance)?, category)))
        .collect())
}

/// Changes what the network behind an interface is taken for.
pub(crate) fn set_category(interface: &str, category: Category) -> Result<(), NetworkError> {
    com::set_category(&instance(interface)?, category)
        .map_err(failed(format!("call the network behind {interface} {category}")))
}

/// What the network behind an interface is taken for; `None` if there is none, or the system does not tell.
pub(crate) fn category(interface: &str) -> Result<Option<Category>, NetworkError> {
    let snapshot = snapshot()?;
    let link = snapshot.link_named(interface);
    Ok(link.and_then(|link| snapshot.category_of(link.index)))
}

/// Keeps a Wi-Fi interface to its network for as long as what is given back lives.
pub(crate) fn steady(interface: &str) -> Result<Steady, NetworkError> {
    Steady::new(&instance(interface)?).map_err(failed(format!("steady {interface}")))
}

/// The index and the friendly name of an adapter that Windows calls `{…}`.
pub(crate) fn adapter_of(instance: &str) -> std::io::Result<Option<(u32, String)>> {
    let adapters = tables::adapters()?.into_iter();
    let mut its = adapters.filter(|adapter| adapter.is(instance));
    Ok(its.next().map(|adapter| (adapter.index, adapter.name)))
}

/// Gives an adapter that Windows calls `{…}` the name that a player sees.
pub(crate) fn rename(instance: &str, name: &str) -> std::io::Result<()> {
    com::rename(instance, name)
}

/// Keeps the names that this machine looks up from being asked at an adapter that Windows calls `{…}`.
pub(crate) fn keep_names_out(instance: &str) -> std::io::Result<()> {
    change::keep_names_out(instance)
}

fn instance(interface: &str) -> Result<String, NetworkError> {
    let adapters = tables::adapters()
        .map_err(failed("list adapters".to_owned()))?
        .into_iter();
    let mut named = adapters.filter(|adapter| adapter.name == interface);
    let found: Option<Named> = named.next();
    found
        .map(|adapter| adapter.instance)
        .ok_or_else(|| NetworkError::NoInterface {
            name: interface.to_owned(),
        })
}

/// The present value of what `setting` would set; `None` if the interface or its family is not there.
pub(crate) fn ip_setting(
    interface: &str,
    family: Family,
    setting: IpSetting,
) -> Result<Option<IpSetting>, NetworkError> {
    let Ok(index) = index(interface) else {
        return Ok(None);
    };
    Ok(change::ip_settings(index, family)
        .ok()
        .map(|settings| settings.current(setting)))
}

pub(crate) fn set_ip(interface: &str, family: Family, setting: IpSetting) -> Result<(), NetworkError> {
    change::set_ip(index(interface)?, family, setting)
        .map_err(failed(format!("set {family} {setting} at {interface}")))
}

pub(crate) fn add_address(interface: &str, address: Prefix) -> Result<Added, NetworkError> {
    change::add_address(index(interface)?, address)
        .map_err(failed(format!("add the address {address} to {interface}")))
}

pub(crate) fn remove_address(interface: &str, address: Prefix) -> Result<(), NetworkError> {
    let Ok(index) = index(interface) else {
        return Ok(());
    };
    change::remove_address(index, address)
        .map_err(failed(format!("remove the address {address} from {interface}")))
}

pub(crate) fn add_route(
    interface: &str,
    destination: Prefix,
    via: Option<IpAddr>,
    metric: u32,
) -> Result<Added, NetworkError> {
    change::add_route(index(interface)?, destination, via, metric)
        .map_err(failed(format!("add the route {destination} by {interface}")))
}

pub(crate) fn remove_route(
    interface: &str,
    destination: Prefix,
    via: Option<IpAddr>,
) -> Result<(), NetworkError> {
    let Ok(index) = index(interface) else {
        return Ok(());
    };
    change::remove_route(index, destination, via)
        .map_err(failed(format!("remove the route {destination} by {interface}")))
}

fn index(interface: &str) -> Result<u32, NetworkError> {
    let found = snapshot()?.link_named(interface).map(|link| link.index);
    found.ok_or_else(|| NetworkError::NoInterface {
        name: interface.to_owned(),
    })
}

fn unsupported(what: &'static str) -> NetworkError {
    NetworkError::Unsupported { what }
}

fn failed(attempt: String) -> impl FnOnce(std::io::Error) -> NetworkError {
    move |source| NetworkError::Failed { attempt, source }
}
