//! The LAN side: an interface together with this machine itself, or a port of a bridge.

use std::{future::Future, path::Path, pin::Pin, str::FromStr, time::Duration};

use lanparty_node::say;
use lanparty_os::{
    device::{
        DeviceError,
        lan::{HostPort, LanDevice, port_mac},
        packet::PacketDevice,
        tap::{Tap, TapOptions},
    },
    interface::{self, Interface, LanInterfaceError},
    network::{Network, Watch},
    transaction::Transaction,
};
use lanparty_wire::Mac;
use serde::{Deserialize, de::Error};
use tokio::{task::block_in_place, time::timeout};

/// How often a bridge that is away is looked for without having been announced.
const RETRY: Duration = Duration::from_millis(500);

/// What `--attach` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    pub bridge: String,
}

impl FromStr for Attach {
    type Err = String;

    fn from_str(text: &str) -> Result<Attach, String> {
        match text.split_once('=') {
            Some(("bridge", name)) if !name.is_empty() => Ok(Attach {
                bridge: name.to_owned(),
            }),
            _ => Err("say bridge=NAME, for example bridge=br0".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Attach {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Attach, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Where the LAN is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lan {
    Interface(String),
    Bridge(String),
}

impl Lan {
    /// # Errors
    /// A sentence that says why the LAN cannot be there, and what to do.
    pub fn check(&self, root: &Path) -> Result<Interface, LanInterfaceError> {
        match self {
            Lan::Interface(name) => interface::check_lan_interface(root, name),
            Lan::Bridge(name) => interface::check_bridge(root, name),
        }
    }
}

/// The LAN, open, with what brings it back after it was away.
pub struct OpenLan {
    /// Interface or bridge.
    pub name: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Interface(Option<HostPort>),
    Bridge(TapOptions),
}

type Reopening = Pin<Box<dyn Future<Output = Result<LanDevice, DeviceError>> + Send>>;

impl OpenLan {
    /// Opens what was checked. A machine whose own programs cannot be reached is told so, and bridges nevertheless.
    ///
    /// # Errors
    /// When frames cannot be had from it or given to it.
    pub async fn open(
        lan: &Lan,
        found: &Interface,
        changes: &mut Transaction,
    ) -> Result<(LanDevice, OpenLan), DeviceError> {
        let name = found.name.clone();
        match lan {
            Lan::Interface(_) => {
                let card = PacketDevice::open(&name)?;
                let host = host_port(found, changes).await;
                let way = Way::Interface(host.clone());
                Ok((LanDevice::Card(card, host), OpenLan { name, way }))
            }
            Lan::Bridge(_) => {
                let options = port_options(found);
                let failed = |source| DeviceError::Io {
                    attempt: "add a port to",
                    device: name.clone(),
                    source: std::io::Error::other(source),
                };
                let tap = block_in_place(|| changes.create_tap(&options)).map_err(failed)?;
                plug(&tap, &name).await?;
                let way = Way::Bridge(options);
                Ok((LanDevice::Port(tap), OpenLan { name, way }))
            }
        }
    }

    /// Waits until the LAN is back.
    pub fn reopen(&self) -> impl FnMut() -> Reopening + Send + use<> {
        let (name, way) = (self.name.clone(), self.way.clone());
        move || {
            let (name, way) = (name.clone(), way.clone());
            Box::pin(async move {
                match way {
                    Way::Interface(host) => {
                        let card = PacketDevice::open_when_ready(&name).await?;
                        if let Some(host) = &host {
                            follow(host, &name).await;
                        }
                        Ok(LanDevice::Card(card, host))
                    }
                    Way::Bridge(options) => port_when_ready(&options, &name).await,
                }
            })
        }
    }

    /// The interface has this address now.
    pub async fn has_address(&self, mac: Mac) {
        if let Way::Interface(Some(host)) = &self.way
            && host.mac() != mac
            && let Err(error) = host.follow(&self.name, mac).await
        {
            tracing::warn!(%error, "programs on this machine cannot be reached by remote players any more");
        }
    }
}

async fn host_port(found: &Interface, changes: &mut Transaction) -> Option<HostPort> {
    match HostPort::open(changes, found).await {
        Ok(host) => Some(host),
        Err(error) => {
            say(&format!(
                "Remote players cannot reach programs on this machine itself: {}. Everything else works",
                chain(&error)
            ));
            None
        }
    }
}

async fn follow(host: &HostPort, name: &str) {
    let followed = async {
        let network = Network::open()?;
        let snapshot = network.snapshot().await?;
        Ok::<_, lanparty_os::network::NetworkError>(snapshot.link_named(name).and_then(|link| link.mac))
    };
    match followed.await {
        Ok(Some(mac)) => {
            if let Err(error) = host.follow(name, mac).await {
                tracing::warn!(%error, "programs on this machine cannot be reached by remote players any more");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "could not look at the interface that is back"),
    }
}

/// The TAP that becomes a port. Its MTU is the bridge's, which a lower one would pull down.
fn port_options(bridge: &Interface) -> TapOptions {
    let rest: String = bridge.name.chars().rev().take(11).collect();
    TapOptions {
        name: format!("lan-{}", rest.chars().rev().collect::<String>()),
        mac: port_mac(bridge.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 0]))),
        mtu: bridge.mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(1500),
    }
}

async fn plug(tap: &Tap, bridge: &str) -> Result<(), DeviceError> {
    let control = tap.control();
    let joined = async { Network::open()?.join_bridge(control.name(), bridge).await };
    joined.await.map_err(|source| DeviceError::Io {
        attempt: "join",
        device: bridge.to_owned(),
        source: std::io::Error::other(source),
    })?;
    control.set_carrier(true)?;
    control.set_link(true)
}

/// The port went with its bridge, or somebody has taken it away. The journal still knows it by its name and address.
async fn port_when_ready(options: &TapOptions, bridge: &str) -> Result<LanDevice, DeviceError> {
    let mut watch = Watch::immediate().map_err(|source| DeviceError::Io {
        attempt: "watch for",
        device: bridge.to_owned(),
        source,
    })?;
    loop {
        let exists = interface::check_bridge(Path::new(interface::SYSFS), bridge).is_ok();
        if exists
            && let Ok(tap) = Tap::create(options)
            && plug(&tap, bridge).await.is_ok()
        {
            return Ok(LanDevice::Port(tap));
        }
        // An error of the watch leaves the interval.
        let _ = timeout(RETRY, watch.changed()).await;
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_attached_to_by_name() {
        assert_eq!("bridge=br0".parse::<Attach>().unwrap().bridge, "br0");
        for text in ["br0", "bridge=", "bond=bond0", ""] {
            assert!(text.parse::<Attach>().is_err(), "{text}");
        }
    }
}
