//! Changes of Windows' network.
//!
//! The functions are looked up by name when they are needed, as Wine has not got all of them.

use std::{ffi::CStr, io, net::IpAddr};

use lanparty_wire::host::{Family, IpSetting, IpSettings, Metric, Prefix};
use windows::core::GUID;
use windows_sys::Win32::{
    Foundation::{ERROR_NOT_FOUND, ERROR_OBJECT_ALREADY_EXISTS},
    NetworkManagement::IpHelper::{
        DNS_INTERFACE_SETTINGS, DNS_INTERFACE_SETTINGS_EX, DNS_INTERFACE_SETTINGS_VERSION2,
        DNS_SETTING_DISABLE_UNCONSTRAINED_QUERIES, DNS_SETTING_IPV6, DNS_SETTING_REGISTRATION_ENABLED,
        MIB_IPFORWARD_ROW2, MIB_IPINTERFACE_ROW, MIB_UNICASTIPADDRESS_ROW,
    },
    Networking::WinSock::{AF_INET, AF_INET6, IpDadStatePreferred, MIB_IPPROTO_NETMGMT},
};

use super::tables::sockaddr;
use crate::{
    network::Added,
    win32::{check_code, function},
};

const FOR_EVER: u32 = u32::MAX;

pub(super) fn add_route(
    index: u32,
    destination: Prefix,
    via: Option<IpAddr>,
    metric: u32,
) -> io::Result<Added> {
    let row = MIB_IPFORWARD_ROW2 {
        Metric: metric,
        ..route_row(index, destination, via)
    };
    added(call(c"CreateIpForwardEntry2", &mut { row }))
}

pub(super) fn remove_route(index: u32, destination: Prefix, via: Option<IpAddr>) -> io::Result<()> {
    removed(call(
        c"DeleteIpForwardEntry2",
        &mut route_row(index, destination, via),
    ))
}

pub(super) fn add_address(index: u32, address: Prefix) -> io::Result<Added> {
    added(call(
        c"CreateUnicastIpAddressEntry",
        &mut address_row(index, address),
    ))
}

pub(super) fn remove_address(index: u32, address: Prefix) -> io::Result<()> {
    removed(call(
        c"DeleteUnicastIpAddressEntry",
        &mut address_row(index, address),
    ))
}

/// The MTU of both families; one that the interface has not got, or that needs more (IPv6: RFC 8200, section 5), is left out.
pub(crate) fn set_mtu(index: u32, mtu: u32) -> io::Result<()> {
    for family in Family::ALL {
        if family == Family::V6 && mtu < 1280 {
            continue;
        }
        match set_ip(index, family, IpSetting::Mtu(mtu)) {
            Err(error) if is(&error, ERROR_NOT_FOUND) => {}
            set => set?,
        }
    }
    Ok(())
}

/// What a family of an interface is set to.
pub(super) fn ip_settings(index: u32, family: Family) -> io::Result<IpSettings> {
    let row = interface_row(index, family)?;
    Ok(IpSettings {
        link: index,
        family,
        metric: if row.UseAutomaticMetric {
            Metric::Automatic(row.Metric)
        } else {
            Metric::Fixed(row.Metric)
        },
        default_routes: !row.DisableDefaultRoutes,
        mtu: row.NlMtu,
    })
}

pub(super) fn set_ip(index: u32, family: Family, setting: IpSetting) -> io::Result<()> {
    let mut row = interface_row(index, family)?;
    match setting {
        IpSetting::Metric(Metric::Automatic(_)) => row.UseAutomaticMetric = true,
        IpSetting::Metric(Metric::Fixed(metric)) => {
            row.UseAutomaticMetric = false;
            row.Metric = metric;
        }
        IpSetting::DefaultRoutes(count) => row.DisableDefaultRoutes = !count,
        IpSetting::Mtu(mtu) => row.NlMtu = mtu,
    }
    // What `SetIpInterfaceEntry` asks of IPv4, where a site's prefix means nothing.
    row.SitePrefixLength = 0;
    call(c"SetIpInterfaceEntry", &mut row)
}

fn interface_row(index: u32, family: Family) -> io::Result<MIB_IPINTERFACE_ROW> {
    let mut row = MIB_IPINTERFACE_ROW {
        Family: match family {
            Family::V4 => AF_INET,
            Family::V6 => AF_INET6,
        },
        InterfaceIndex: index,
        ..MIB_IPINTERFACE_ROW::default()
    };
    call(c"GetIpInterfaceEntry", &mut row)?;
    Ok(row)
}

/// Keeps names that this machine looks up from being asked at an interface's name servers, and its own name from being registered there.
/// Windows asks at the interface of the lowest metric first, which is ours. Since Windows 10 of 2020.
pub(super) fn keep_names_out(adapter: &str) -> io::Result<()> {
    let id = adapter.trim_matches(['{', '}']);
    let id = GUID::try_from(id).map_err(|_| io::ErrorKind::InvalidInput)?;
    let function = function(c"iphlpapi.dll", c"SetInterfaceDnsSettings")?;
    // SAFETY: this is what netioapi.h says of it.
    let set: SetDns = unsafe { std::mem::transmute(function) };
    for family in [0, DNS_SETTING_IPV6] {
        let what = DNS_SETTING_DISABLE_UNCONSTRAINED_QUERIES | DNS_SETTING_REGISTRATION_ENABLED;
        let settings = DNS_INTERFACE_SETTINGS_EX {
            SettingsV1: DNS_INTERFACE_SETTINGS {
                Version: DNS_INTERFACE_SETTINGS_VERSION2,
                Flags: u64::from(what | family),
                RegistrationEnabled: 0,
                ..DNS_INTERFACE_SETTINGS::default()
            },
            DisableUnconstrainedQueries: 1,
            ..DNS_INTERFACE_SETTINGS_EX::default()
        };
        // SAFETY: the settings are live, and of the version that they say they are.
        check_code(unsafe { set(id, &settings) })?;
    }
    Ok(())
}

fn route_row(index: u32, destination: Prefix, via: Option<IpAddr>) -> MIB_IPFORWARD_ROW2 {
    let network = destination.network();
    let on_link: IpAddr = match network.address() {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0; 16].into(),
    };
    let mut row = MIB_IPFORWARD_ROW2 {
        InterfaceIndex: index,
        NextHop: sockaddr(via.unwrap_or(on_link)),
        ValidLifetime: FOR_EVER,
        PreferredLifetime: FOR_EVER,
        Protocol: MIB_IPPROTO_NETMGMT,
        Immortal: true,
        ..MIB_IPFORWARD_ROW2::default()
    };
    row.DestinationPrefix.Prefix = sockaddr(network.address());
    row.DestinationPrefix.PrefixLength = network.length();
    row
}

fn address_row(index: u32, address: Prefix) -> MIB_UNICASTIPADDRESS_ROW {
    MIB_UNICASTIPADDRESS_ROW {
        Address: sockaddr(address.address()),
        InterfaceIndex: index,
        OnLinkPrefixLength: address.length(),
        ValidLifetime: FOR_EVER,
        PreferredLifetime: FOR_EVER,
        DadState: IpDadStatePreferred,
        ..MIB_UNICASTIPADDRESS_ROW::default()
    }
}

/// The functions of this module take one row, and answer with an error's number.
type OfRow<R> = unsafe extern "system" fn(*mut R) -> u32;

type SetDns = unsafe extern "system" fn(GUID, *const DNS_INTERFACE_SETTINGS_EX) -> u32;

/// Calls a function of iphlpapi.dll. `R` is the row that the named one takes.
fn call<R>(name: &CStr, row: &mut R) -> io::Result<()> {
    let function = function(c"iphlpapi.dll", name)?;
    // SAFETY: all functions that are named in this module are of this kind, and callers give each the row that it takes.
    let function: OfRow<R> = unsafe { std::mem::transmute(function) };
    // SAFETY: the row is live and writable.
    check_code(unsafe { function(row) })
}

fn added(result: io::Result<()>) -> io::Result<Added> {
    match result {
        Ok(()) => Ok(Added::Now),
        Err(error) if is(&error, ERROR_OBJECT_ALREADY_EXISTS) => Ok(Added::Before),
        Err(error) => Err(error),
    }
}

fn removed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is(&error, ERROR_NOT_FOUND) => Ok(()),
        other => other,
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_missing_is_an_error_and_not_the_end() {
        let error = call(c"NoSuchFunction", &mut 0_u32).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_route_has_no_host_bits_and_a_next_hop_of_its_family() {
        let row = route_row(7, "10.73.42.51/24".parse().unwrap(), None);
        assert_eq!((row.InterfaceIndex, row.DestinationPrefix.PrefixLength), (7, 24));
        // SAFETY: both are IPv4.
        let (prefix, hop) = unsafe { (row.DestinationPrefix.Prefix.Ipv4, row.NextHop) };
        // SAFETY: all sides of the union are the same four bytes.
        assert_eq!(
            unsafe { prefix.sin_addr.S_un.S_addr }.to_ne_bytes(),
            [10, 73, 42, 0]
        );
        // SAFETY: it was made with a family.
        assert_eq!(unsafe { hop.si_family }, AF_INET);
    }
}
