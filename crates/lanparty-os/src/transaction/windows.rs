//! Windows: the changes for real.

use std::net::IpAddr;

use lanparty_wire::host::{Change, Prefix, Snapshot};

use super::{Host, HostError, Undo};
use crate::{
    device::tap::{Tap, TapOptions},
    network,
};

/// Ethernet's, which the driver begins with.
const DEFAULT_MTU: u16 = 1500;

/// The machine that we run on.
#[derive(Debug, Default)]
pub struct ThisHost(());

impl Host for ThisHost {
    type Device = Tap;

    fn way_back(&mut self, change: &Change) -> Result<Option<Undo>, HostError> {
        match change {
            Change::CreateTap { name, mac } => Ok(Some(Undo::RemoveTap {
                name: name.clone(),
                mac: *mac,
            })),
            Change::AddAddress { interface, address } => {
                let there = network::snapshot()?.has_address(interface, *address);
                Ok((!there).then(|| Undo::RemoveAddress {
                    interface: interface.clone(),
                    address: *address,
                }))
            }
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                let there = has_route(&network::snapshot()?, interface, *destination, *via);
                Ok((!there).then(|| Undo::RemoveRoute {
                    interface: interface.clone(),
                    destination: *destination,
                    via: *via,
                    metric: *metric,
                }))
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => {
                let previous = network::ip_setting(interface, *family, *setting)?;
                let previous = previous.ok_or_else(|| HostError::Unknown {
                    what: format!("{family} at {interface}"),
                })?;
                Ok((previous != *setting).then(|| Undo::RestoreIp {
                    interface: interface.clone(),
                    family: *family,
                    previous,
                    ours: *setting,
                }))
            }
            Change::SetSysctl { .. }
            | Change::WriteFile { .. }
            | Change::SetFeature { .. }
            | Change::SetCategory { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. } => Err(unknown(&change.to_string())),
        }
    }

    fn make(&mut self, change: &Change) -> Result<Option<Tap>, HostError> {
        match change {
            Change::CreateTap { name, mac } => {
                let options = TapOptions {
                    name: name.clone(),
                    mac: *mac,
                    mtu: DEFAULT_MTU,
                };
                return Ok(Some(Tap::create(&options)?));
            }
            Change::AddAddress { interface, address } => {
                network::add_address(interface, *address)?;
            }
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                network::add_route(interface, *destination, *via, *metric)?;
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => network::set_ip(interface, *family, *setting)?,
            Change::SetSysctl { .. }
            | Change::WriteFile { .. }
            | Change::SetFeature { .. }
            | Change::SetCategory { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. } => return Err(unknown(&change.to_string())),
        }
        Ok(None)
    }

    fn go_back(&mut self, undo: &Undo) -> Result<(), HostError> {
        match undo {
            // The adapter stays for the next evening; its cable is pulled by the driver when the program has gone.
            Undo::RemoveTap { .. } => Ok(()),
            Undo::RemoveAddress { interface, address } => Ok(network::remove_address(interface, *address)?),
            Undo::RemoveRoute {
                interface,
                destination,
                via,
                ..
            } => Ok(network::remove_route(interface, *destination, *via)?),
            Undo::RestoreIp {
                interface,
                family,
                previous,
                ours,
            } => {
                if network::ip_setting(interface, *family, *ours)? == Some(*ours) {
                    network::set_ip(interface, *family, *previous)?;
                }
                Ok(())
            }
            // Never made here, so they are from a journal of another system: nothing of it is here.
            Undo::RestoreSysctl { .. }
            | Undo::RestoreFile { .. }
            | Undo::RestoreFeature { .. }
            | Undo::RestoreCategory { .. }
            | Undo::PullOut { .. }
            | Undo::UnsteadyWifi { .. } => Ok(()),
        }
    }
}

/// The same destination by the same next hop is the same route, whatever its metric.
fn has_route(snapshot: &Snapshot, interface: &str, destination: Prefix, via: Option<IpAddr>) -> bool {
    let Some(link) = snapshot.link_named(interface) else {
        return false;
    };
    snapshot
        .routes
        .iter()
        .any(|route| (route.link, route.destination, route.via) == (link.index, destination.network(), via))
}

fn unknown(what: &str) -> HostError {
    HostError::Unknown {
        what: format!("way to {what}"),
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::host::{Change, LinkKind};

    use super::*;

    #[test]
    fn what_is_there_already_is_not_ours_to_undo() {
        let snapshot = network::snapshot().unwrap();
        let loopback = snapshot.links.iter().find(|link| link.kind == LinkKind::Loopback);
        let change = |address: &str| Change::AddAddress {
            interface: loopback.unwrap().name.clone(),
            address: address.parse().unwrap(),
        };
        let mut host = ThisHost::default();
        let before = snapshot.addresses_of(loopback.unwrap().index).next().unwrap();
        assert_eq!(host.way_back(&change(&before.address.to_string())).unwrap(), None);
        assert!(host.way_back(&change("10.73.42.51/24")).unwrap().is_some());
    }

    #[test]
    fn a_setting_that_there_is_no_call_for_is_refused_by_name() {
        let change = Change::SetSysctl {
            key: "net/ipv4".into(),
            value: "0".into(),
        };
        let error = ThisHost::default().way_back(&change).unwrap_err().to_string();
        assert!(error.contains("net/ipv4"), "{error}");
    }
}
