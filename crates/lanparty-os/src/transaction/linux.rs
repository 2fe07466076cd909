//! Linux: the changes for real.

use std::{fs, io, net::IpAddr, path::Path};

use lanparty_wire::{
    Mac,
    host::{Change, LinkKind, Owner, Prefix, Snapshot},
};

use super::{Host, HostError, Undo};
use crate::{
    device::tap::{Tap, TapOptions},
    dirs, feature,
    network::{blocking, snapshot},
    network_manager, sysctl,
};

/// Ethernet's; whoever wants another sets it on the TAP, which takes it along when it goes.
const DEFAULT_MTU: u16 = 1500;

/// The machine that we run on.
#[derive(Debug, Default)]
pub struct ThisHost(());

impl Host for ThisHost {
    type Device = Tap;

    fn way_back(&mut self, change: &Change) -> Result<Option<Undo>, HostError> {
        match change {
            Change::CreateTap { name, mac, .. } => Ok(Some(Undo::RemoveTap {
                name: name.clone(),
                mac: *mac,
            })),
            Change::SetSysctl { key, value } => {
                let previous = sysctl::read(key)?.ok_or_else(|| unknown(format!("kernel setting {key}")))?;
                Ok((previous != *value).then(|| Undo::RestoreSysctl {
                    key: key.clone(),
                    previous,
                    ours: value.clone(),
                }))
            }
            Change::AddAddress { interface, address } => {
                let there = snapshot()?.has_address(interface, *address);
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
                let there = has_route(&snapshot()?, interface, *destination, *via, *metric);
                Ok((!there).then(|| Undo::RemoveRoute {
                    interface: interface.clone(),
                    destination: *destination,
                    via: *via,
                    metric: *metric,
                }))
            }
            Change::WriteFile { path, content, owner } => {
                let previous = read_file(path)?;
                let there = previous.as_ref() == Some(content);
                Ok((!there).then(|| Undo::RestoreFile {
                    path: path.clone(),
                    previous,
                    ours: content.clone(),
                    owner: *owner,
                }))
            }
            Change::SetFeature {
                interface,
                feature,
                enabled,
            } => {
                let previous = feature::read(interface, feature)?;
                let previous =
                    previous.ok_or_else(|| unknown(format!("feature {feature} of {interface}")))?;
                Ok((previous != *enabled).then(|| Undo::RestoreFeature {
                    interface: interface.clone(),
                    feature: feature.clone(),
                    previous,
                    ours: *enabled,
                }))
            }
            foreign @ (Change::SetIp { .. }
            | Change::SetCategory { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. }) => Err(unknown(format!("way to {foreign}"))),
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
            Change::SetSysctl { key, value } => sysctl::write(key, value)?,
            Change::AddAddress { interface, address } => {
                blocking(async |network| network.add_address(interface, *address).await)?;
            }
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                blocking(async |network| network.add_route(interface, *destination, *via, *metric).await)?;
            }
            Change::WriteFile { path, content, owner } => write_file(path, content, *owner)?,
            Change::SetFeature {
                interface,
                feature,
                enabled,
            } => feature::write(interface, feature, *enabled)?,
            foreign @ (Change::SetIp { .. }
            | Change::SetCategory { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. }) => return Err(unknown(format!("way to {foreign}"))),
        }
        Ok(None)
    }

    fn go_back(&mut self, undo: &Undo) -> Result<(), HostError> {
        match undo {
            Undo::RemoveTap { name, mac } => remove_tap(name, *mac),
            Undo::RestoreSysctl { key, previous, ours } => {
                // Gone with its interface, or changed by somebody else.
                if sysctl::read(key)?.as_ref() == Some(ours) {
                    sysctl::write(key, previous)?;
                }
                Ok(())
            }
            Undo::RemoveAddress { interface, address } => Ok(blocking(async |network| {
                network.remove_address(interface, *address).await
            })?),
            Undo::RemoveRoute {
                interface,
                destination,
                via,
                metric,
            } => Ok(blocking(async |network| {
                network.remove_route(interface, *destination, *via, *metric).await
            })?),
            Undo::RestoreFile {
                path,
                previous,
                ours,
                owner,
            } => restore_file(path, previous.as_deref(), ours, *owner),
            Undo::RestoreFeature {
                interface,
                feature,
                previous,
                ours,
            } => {
                match feature::read(interface, feature) {
                    Ok(Some(now)) if now == *ours => feature::write(interface, feature, *previous)?,
                    Ok(_) => {}
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                    Err(error) => return Err(error.into()),
                }
                Ok(())
            }
            // From a journal of another system: nothing of it is here.
            Undo::RestoreIp { .. }
            | Undo::RestoreCategory { .. }
            | Undo::PullOut { .. }
            | Undo::UnsteadyWifi { .. } => Ok(()),
        }
    }
}

fn has_route(
    snapshot: &Snapshot,
    interface: &str,
    destination: Prefix,
    via: Option<IpAddr>,
    metric: u32,
) -> bool {
    let Some(link) = snapshot.link_named(interface) else {
        return false;
    };
    let destination = destination.network();
    // A metric of 0 asks IPv6 for its default.
    let metric = if metric == 0 && destination.address().is_ipv6() {
        1024
    } else {
        metric
    };
    snapshot.routes.iter().any(|route| {
        route.link == link.index
            && route.destination == destination
            && route.via == via
            && route.metric == metric
    })
}

/// Removes the TAP of this name only if it is the one that we made: a TAP, with the address that we gave it.
fn remove_tap(name: &str, mac: Mac) -> Result<(), HostError> {
    let snapshot = snapshot()?;
    if let Some(link) = snapshot.link_named(name)
        && link.kind == LinkKind::Tap
        && link.mac == Some(mac)
    {
        blocking(async |network| network.delete_link(link.index).await)?;
    }
    Ok(())
}

fn read_file(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_file(path: &Path, content: &str, owner: Option<Owner>) -> Result<(), HostError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    dirs::write_public(path, content.as_bytes())?;
    Ok(tell(owner)?)
}

fn restore_file(
    path: &Path,
    previous: Option<&str>,
    ours: &str,
    owner: Option<Owner>,
) -> Result<(), HostError> {
    if read_file(path)?.as_deref() != Some(ours) {
        return Ok(());
    }
    match previous {
        Some(previous) => dirs::write_public(path, previous.as_bytes())?,
        None => fs::remove_file(path)?,
    }
    Ok(tell(owner)?)
}

fn tell(owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(Owner::NetworkManager) => network_manager::reload(),
        None => Ok(()),
    }
}

fn unknown(what: String) -> HostError {
    HostError::Unknown { what }
}
