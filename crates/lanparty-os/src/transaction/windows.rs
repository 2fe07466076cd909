//! Windows: the changes for real.

use std::net::IpAddr;

use lanparty_wire::host::{Change, Prefix, Snapshot};

use super::{Host, HostError, Undo};
use crate::{
    device::{
        DeviceError,
        tap::{Tap, TapCable, TapOptions},
    },
    network::{self, NetworkError, Steady},
};

/// Ethernet's, which the driver begins with.
const DEFAULT_MTU: u16 = 1500;

/// The machine that we run on, with what lasts only as long as somebody holds it.
#[derive(Default)]
pub struct ThisHost {
    /// The TAP's, once there is one.
    cable: Option<TapCable>,
    steady: Vec<(String, Steady)>,
}

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
            Change::SetCategory { interface, category } => {
                let previous = network::category(interface)?.ok_or_else(|| HostError::Unknown {
                    what: format!("category of the network behind {interface}"),
                })?;
                Ok((previous != *category).then(|| Undo::RestoreCategory {
                    interface: interface.clone(),
                    previous,
                    ours: *category,
                }))
            }
            Change::PlugIn { interface } => Ok(Some(Undo::PullOut {
                interface: interface.clone(),
            })),
            Change::SteadyWifi { interface } => {
                let steadied = self.steady.iter().any(|(known, _)| known == interface);
                Ok((!steadied).then(|| Undo::UnsteadyWifi {
                    interface: interface.clone(),
                }))
            }
            Change::SetSysctl { .. } | Change::WriteFile { .. } | Change::SetFeature { .. } => {
                Err(unknown(&change.to_string()))
            }
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
                let tap = Tap::create(&options)?;
                self.cable = Some(TapCable::of(&tap));
                return Ok(Some(tap));
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
            Change::SetCategory { interface, category } => network::set_category(interface, *category)?,
            Change::PlugIn { interface } => {
                if !self.plug(true)? {
                    return Err(NetworkError::NoInterface {
                        name: interface.clone(),
                    }
                    .into());
                }
            }
            Change::SteadyWifi { interface } => {
                let steady = network::steady(interface)?;
                self.steady.push((interface.clone(), steady));
            }
            Change::SetSysctl { .. } | Change::WriteFile { .. } | Change::SetFeature { .. } => {
                return Err(unknown(&change.to_string()));
            }
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
            Undo::RestoreCategory {
                interface,
                previous,
                ours,
            } => {
                if network::category(interface)? == Some(*ours) {
                    network::set_category(interface, *previous)?;
                }
                Ok(())
            }
            // Of a TAP that is gone, the driver has pulled it.
            Undo::PullOut { .. } => Ok(self.plug(false).map(drop)?),
            // After a crash, Windows has done so itself.
            Undo::UnsteadyWifi { interface } => {
                self.steady.retain(|(known, _)| known != interface);
                Ok(())
            }
            // Never made here, so they are from a journal of another system: nothing of it is here.
            Undo::RestoreSysctl { .. } | Undo::RestoreFile { .. } | Undo::RestoreFeature { .. } => Ok(()),
        }
    }
}

impl ThisHost {
    /// False if there is no TAP of ours.
    fn plug(&self, connected: bool) -> Result<bool, DeviceError> {
        self.cable
            .as_ref()
            .map_or(Ok(false), |cable| cable.plug(connected))
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
    use lanparty_wire::host::{Category, Change, LinkKind};

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
    fn what_lasts_only_while_it_is_held_is_there_or_refused_and_undone_anyway() {
        let mut host = ThisHost::default();
        let interface = "no such interface".to_owned();
        let plug = Change::PlugIn {
            interface: interface.clone(),
        };
        assert!(host.way_back(&plug).unwrap().is_some());
        assert!(host.make(&plug).is_err(), "there is no TAP");
        let steady = Change::SteadyWifi {
            interface: interface.clone(),
        };
        assert!(host.way_back(&steady).unwrap().is_some());
        assert!(host.make(&steady).is_err());
        // From the journal of a process that has crashed.
        for undo in [
            Undo::PullOut {
                interface: interface.clone(),
            },
            Undo::UnsteadyWifi {
                interface: interface.clone(),
            },
            Undo::RestoreCategory {
                interface,
                previous: Category::Public,
                ours: Category::Private,
            },
        ] {
            host.go_back(&undo).unwrap();
        }
    }

    #[test]
    fn a_network_that_windows_has_not_looked_at_has_no_category_to_change() {
        let change = Change::SetCategory {
            interface: "no such interface".into(),
            category: Category::Private,
        };
        let error = ThisHost::default().way_back(&change).unwrap_err();
        assert!(matches!(error, HostError::Unknown { .. }), "{error}");
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
