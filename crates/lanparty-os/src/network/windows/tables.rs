//! What Windows tells of its network.

use std::{
    ffi::CStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr,
};

use lanparty_wire::{
    Mac,
    host::{Address, Link, LinkKind, Prefix, Route, Snapshot},
};
use windows_sys::Win32::{
    Foundation::{ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA},
    NetworkManagement::{
        IpHelper::{
            FreeMibTable, GAA_FLAG_INCLUDE_GATEWAYS, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_MULTICAST,
            GetAdaptersAddresses, GetBestRoute2, GetIpForwardTable2, IF_TYPE_ETHERNET_CSMACD,
            IF_TYPE_IEEE80211, IF_TYPE_PROP_VIRTUAL, IF_TYPE_SOFTWARE_LOOPBACK, IP_ADAPTER_ADDRESSES_LH,
            MIB_IPFORWARD_ROW2, MIB_IPFORWARD_TABLE2,
        },
        Ndis::IfOperStatusUp,
    },
    Networking::WinSock::{
        AF_INET, AF_INET6, AF_UNSPEC, IN_ADDR, IN_ADDR_0, IN6_ADDR, IN6_ADDR_0, IpDadStatePreferred,
        IpPrefixOriginDhcp, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_INET, SOCKET_ADDRESS,
    },
};

use crate::{
    dhcp::Lease,
    win32::{check_code, narrow_pointer},
};

/// Enough for the adapters of most machines at the first attempt.
const FIRST_GUESS: u32 = 16 * 1024;
/// The list may grow between the question for its length and that for itself.
const ATTEMPTS: u32 = 4;
/// What drivers of the kind that we use are called.
const TAP_DESCRIPTION: &str = "TAP-Windows";

/// What the party's DHCP server has given an adapter, as far as the system tells it.
pub(crate) struct Granted {
    /// What the calls that renew it take: an index and a name.
    pub(crate) index: u32,
    pub(crate) guid: String,
    pub(crate) lease: Option<Lease>,
}

/// An adapter by its friendly name, with its lease; `None` if there is no such adapter.
pub(crate) fn granted(interface: &str) -> io::Result<Option<Granted>> {
    let adapters = Adapters::read()?;
    // SAFETY: the name lies in the buffer, with a zero at its end.
    let named =
        |adapter: &&IP_ADAPTER_ADDRESSES_LH| unsafe { narrow_pointer(adapter.FriendlyName) } == interface;
    Ok(adapters.iter().find(named).map(|adapter| Granted {
        index: link(adapter).index,
        guid: guid(adapter),
        lease: lease(adapter),
    }))
}

/// An adapter by what Windows calls it and by what a player does.
pub(crate) struct Named {
    /// `{…}`
    pub(crate) instance: String,
    pub(crate) index: u32,
    pub(crate) name: String,
}

impl Named {
    /// Whether this is what Windows calls it, which differs in case from place to place.
    pub(crate) fn is(&self, instance: &str) -> bool {
        self.instance.eq_ignore_ascii_case(instance)
    }
}

/// All of them.
pub(crate) fn adapters() -> io::Result<Vec<Named>> {
    let adapters = Adapters::read()?;
    let named = |adapter| {
        let Link { index, name, .. } = link(adapter);
        Named {
            instance: guid(adapter),
            index,
            name,
        }
    };
    Ok(adapters.iter().map(named).collect())
}

fn guid(adapter: &IP_ADAPTER_ADDRESSES_LH) -> String {
    // SAFETY: the name lies in the buffer, in single bytes with a zero at its end.
    let name = unsafe { CStr::from_ptr(adapter.AdapterName.cast()) };
    name.to_string_lossy().into_owned()
}

fn lease(adapter: &IP_ADAPTER_ADDRESSES_LH) -> Option<Lease> {
    // SAFETY: the lists lie in the buffer and end with null, and their addresses state their lengths and families.
    let entry = list(adapter.FirstUnicastAddress, |entry| entry.Next).find(|entry| {
        let v4 = unsafe { socket_address(&entry.Address) }.is_some_and(|ip| ip.is_ipv4());
        v4 && entry.PrefixOrigin == IpPrefixOriginDhcp && entry.DadState == IpDadStatePreferred
    })?;
    // SAFETY: as above.
    let v4 = |address: &SOCKET_ADDRESS| match unsafe { socket_address(address) } {
        Some(IpAddr::V4(ip)) => Some(ip),
        Some(IpAddr::V6(_)) | None => None,
    };
    Some(Lease {
        address: Prefix::new(v4(&entry.Address)?.into(), entry.OnLinkPrefixLength)?,
        seconds: entry.LeaseLifetime,
        server: v4(&adapter.Dhcpv4Server),
        routers: list(adapter.FirstGatewayAddress, |entry| entry.Next)
            .filter_map(|entry| v4(&entry.Address))
            .collect(),
        dns: list(adapter.FirstDnsServerAddress, |entry| entry.Next)
            .filter_map(|entry| v4(&entry.Address))
            .collect(),
    })
}

/// The entries of a list that ends with null. It has to live as long as what is given out.
fn list<'a, T: 'a>(first: *const T, next: impl Fn(&T) -> *mut T) -> impl Iterator<Item = &'a T> {
    // SAFETY: all lists here are Windows' own, in a buffer that the caller holds.
    std::iter::successors(unsafe { first.as_ref() }, move |entry| unsafe {
        next(*entry).as_ref()
    })
}

/// What the system answers to "how would you send this".
pub(super) struct Answer {
    pub(super) index: u32,
    pub(super) source: Option<IpAddr>,
    pub(super) via: Option<IpAddr>,
}

/// `None` where the system knows no way, for whatever reason it gives.
pub(super) fn ask(to: IpAddr) -> Option<Answer> {
    let (to, mut row, mut source) = (
        sockaddr(to),
        MIB_IPFORWARD_ROW2::default(),
        SOCKADDR_INET::default(),
    );
    // SAFETY: all pointers are null where that means "any", or point to live values of their types.
    let code = unsafe { GetBestRoute2(ptr::null(), 0, ptr::null(), &to, 0, &mut row, &mut source) };
    (code == 0).then(|| Answer {
        index: row.InterfaceIndex,
        source: ip(&source),
        via: ip(&row.NextHop).filter(|hop| !hop.is_unspecified()),
    })
}

pub(super) fn snapshot() -> io::Result<Snapshot> {
    let adapters = Adapters::read()?;
    let mut snapshot = Snapshot::default();
    for adapter in adapters.iter() {
        let link = link(adapter);
        for entry in list(adapter.FirstUnicastAddress, |entry| entry.Next) {
            // SAFETY: an entry's address is one of the two families' or of neither.
            let address = unsafe { socket_address(&entry.Address) };
            if let Some(address) = address.and_then(|ip| Prefix::new(ip, entry.OnLinkPrefixLength)) {
                snapshot.addresses.push(Address {
                    link: link.index,
                    address,
                    preferred: entry.DadState == IpDadStatePreferred,
                });
            }
        }
        snapshot.links.push(link);
    }
    for row in routes()? {
        let prefix = ip(&row.DestinationPrefix.Prefix);
        let Some(destination) = prefix.and_then(|ip| Prefix::new(ip, row.DestinationPrefix.PrefixLength))
        else {
            continue;
        };
        if row.Loopback || destination.address().is_multicast() {
            continue;
        }
        snapshot.routes.push(Route {
            link: row.InterfaceIndex,
            destination,
            via: ip(&row.NextHop).filter(|hop| !hop.is_unspecified()),
            metric: row.Metric,
        });
    }
    Ok(snapshot)
}

fn link(adapter: &IP_ADAPTER_ADDRESSES_LH) -> Link {
    // SAFETY: both strings lie in the buffer, with zeros at their ends.
    let (name, description) = unsafe {
        (
            narrow_pointer(adapter.FriendlyName),
            narrow_pointer(adapter.Description),
        )
    };
    // SAFETY: the union's other side is the same bytes as one number.
    let index = unsafe { adapter.Anonymous1.Anonymous.IfIndex };
    let octets: Option<[u8; 6]> = adapter.PhysicalAddress[..6].try_into().ok();
    Link {
        // An adapter without IPv4 has only the other.
        index: if index == 0 { adapter.Ipv6IfIndex } else { index },
        kind: kind(adapter.IfType, &description),
        name,
        mac: octets.filter(|_| adapter.PhysicalAddressLength == 6).map(Mac),
        mtu: adapter.Mtu,
        up: adapter.OperStatus == IfOperStatusUp,
        carrier: adapter.OperStatus == IfOperStatusUp,
    }
}

fn kind(of: u32, description: &str) -> LinkKind {
    if description.starts_with(TAP_DESCRIPTION) {
        return LinkKind::Tap;
    }
    match of {
        IF_TYPE_ETHERNET_CSMACD => LinkKind::Ethernet,
        IF_TYPE_IEEE80211 => LinkKind::Wifi,
        IF_TYPE_SOFTWARE_LOOPBACK => LinkKind::Loopback,
        // WireGuard's and Wintun's adapters, and what other overlays call themselves.
        IF_TYPE_PROP_VIRTUAL => LinkKind::Tun,
        _ => LinkKind::Other,
    }
}

/// The list that `GetAdaptersAddresses` makes in one buffer, aligned as its entries want.
struct Adapters(Vec<u64>);

impl Adapters {
    fn read() -> io::Result<Adapters> {
        let mut len = FIRST_GUESS;
        for _ in 0..ATTEMPTS {
            let mut buffer = vec![0_u64; (len as usize).div_ceil(size_of::<u64>())];
            let flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_INCLUDE_GATEWAYS;
            // SAFETY: the buffer is writable, aligned, and at least as long as stated.
            let code = unsafe {
                GetAdaptersAddresses(
                    u32::from(AF_UNSPEC),
                    flags,
                    ptr::null(),
                    buffer.as_mut_ptr().cast(),
                    &mut len,
                )
            };
            match code {
                ERROR_BUFFER_OVERFLOW => {}
                ERROR_NO_DATA => return Ok(Adapters(Vec::new())),
                code => return check_code(code).map(|()| Adapters(buffer)),
            }
        }
        check_code(ERROR_BUFFER_OVERFLOW).map(|()| Adapters(Vec::new()))
    }

    fn iter(&self) -> impl Iterator<Item = &IP_ADAPTER_ADDRESSES_LH> {
        let first: *const IP_ADAPTER_ADDRESSES_LH = if self.0.is_empty() {
            ptr::null()
        } else {
            self.0.as_ptr().cast()
        };
        list(first, |adapter| adapter.Next)
    }
}

fn routes() -> io::Result<Vec<MIB_IPFORWARD_ROW2>> {
    let mut table: *mut MIB_IPFORWARD_TABLE2 = ptr::null_mut();
    // SAFETY: the pointer is written where there is room.
    check_code(unsafe { GetIpForwardTable2(AF_UNSPEC, &mut table) })?;
    // SAFETY: the call has made a table with so many rows, which is copied before it is given back, once.
    unsafe {
        let first = (&raw const (*table).Table).cast();
        let rows = std::slice::from_raw_parts(first, (*table).NumEntries as usize).to_vec();
        FreeMibTable(table.cast());
        Ok(rows)
    }
}

/// # Safety
/// The address is null, or of the length and family that it states.
unsafe fn socket_address(address: &SOCKET_ADDRESS) -> Option<IpAddr> {
    // SAFETY: every address begins with its family.
    let family = unsafe { address.lpSockaddr.as_ref() }?.sa_family;
    // SAFETY: the family says which structure it is.
    match family {
        AF_INET => Some(unsafe { ipv4(&*address.lpSockaddr.cast()) }.into()),
        AF_INET6 => Some(unsafe { ipv6(&*address.lpSockaddr.cast()) }.into()),
        _ => None,
    }
}

fn ip(address: &SOCKADDR_INET) -> Option<IpAddr> {
    // SAFETY: the family says which side of the union is valid, and is at the same place in all.
    match unsafe { address.si_family } {
        AF_INET => Some(unsafe { ipv4(&address.Ipv4) }.into()),
        AF_INET6 => Some(unsafe { ipv6(&address.Ipv6) }.into()),
        _ => None,
    }
}

fn ipv4(address: &SOCKADDR_IN) -> Ipv4Addr {
    // SAFETY: all sides of the union are the same four bytes.
    Ipv4Addr::from(unsafe { address.sin_addr.S_un.S_addr }.to_ne_bytes())
}

fn ipv6(address: &SOCKADDR_IN6) -> Ipv6Addr {
    // SAFETY: both sides of the union are the same sixteen bytes.
    Ipv6Addr::from(unsafe { address.sin6_addr.u.Byte })
}

pub(super) fn sockaddr(ip: IpAddr) -> SOCKADDR_INET {
    match ip {
        IpAddr::V4(ip) => SOCKADDR_INET {
            Ipv4: SOCKADDR_IN {
                sin_family: AF_INET,
                sin_addr: IN_ADDR {
                    S_un: IN_ADDR_0 {
                        S_addr: u32::from_ne_bytes(ip.octets()),
                    },
                },
                ..SOCKADDR_IN::default()
            },
        },
        IpAddr::V6(ip) => SOCKADDR_INET {
            Ipv6: SOCKADDR_IN6 {
                sin6_family: AF_INET6,
                sin6_addr: IN6_ADDR {
                    u: IN6_ADDR_0 { Byte: ip.octets() },
                },
                ..SOCKADDR_IN6::default()
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(ip(&sockaddr(address)), Some(address));
        }
        assert_eq!(ip(&SOCKADDR_INET::default()), None);
    }

    #[test]
    fn this_machine_has_a_loopback_with_its_address() {
        let snapshot = snapshot().unwrap();
        let loopback = snapshot
            .links
            .iter()
            .find(|link| link.kind == LinkKind::Loopback)
            .unwrap();
        assert!(!loopback.name.is_empty() && loopback.up);
        let mut addresses = snapshot.addresses_of(loopback.index);
        assert!(addresses.any(|address| address.address.address() == IpAddr::from(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn adapters_of_our_kind_are_known_by_what_they_call_themselves() {
        assert_eq!(
            kind(IF_TYPE_ETHERNET_CSMACD, "TAP-Windows Adapter V9 #2"),
            LinkKind::Tap
        );
        assert_eq!(
            kind(IF_TYPE_ETHERNET_CSMACD, "Realtek PCIe GbE"),
            LinkKind::Ethernet
        );
        assert_eq!(kind(IF_TYPE_PROP_VIRTUAL, "WireGuard Tunnel"), LinkKind::Tun);
    }
}
