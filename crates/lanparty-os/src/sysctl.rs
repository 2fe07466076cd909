//! Kernel settings, and those that a TAP needs.
//!
//! A party's network must not move a player's internet. DHCP is in our own hands, but a router's advertisement (RFC
//! 4861) is taken by the kernel: its default route, its more specific routes (RFC 4191), its on-link prefixes and
//! redirects are switched off for the TAP. IPv6 on the LAN works by link-local addresses. Name servers in
//! advertisements (RFC 8106) are no matter of the kernel; programs that would take them are told to leave the TAP
//! alone (see [`crate::network_manager`]). A system without `/proc/sys` has no such settings.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use lanparty_wire::host::Change;

const ROOT: &str = "/proc/sys";

/// The settings that keep the party's routers from changing this machine's routes. Those that this kernel does not
/// have, for lack of IPv6 above all, are left out. The TAP need not exist yet.
pub fn quiet_ipv6(tap: &str) -> Vec<Change> {
    let settings = [
        ("accept_ra_defrtr", "0"),
        // An advertised on-link prefix becomes a route whatever its length: 2000::/3 would be the whole internet.
        ("accept_ra_pinfo", "0"),
        ("accept_ra_rtr_pref", "0"),
        // Advertised routes longer than this are refused, and shorter than 0 there are none but the default.
        ("accept_ra_rt_info_max_plen", "0"),
        ("accept_ra_mtu", "0"),
        ("accept_redirects", "0"),
        // A machine that routes for others (containers) must not route between the party and its home.
        ("forwarding", "0"),
    ];
    existing("net/ipv6/conf", tap, &settings)
}

/// The same for IPv4. Linux answers ARP by any interface for the addresses of all, so without this a player's home
/// address would be claimed at the party.
pub fn quiet_ipv4(tap: &str) -> Vec<Change> {
    let settings = [
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
        ("accept_redirects", "0"),
        ("forwarding", "0"),
    ];
    existing("net/ipv4/conf", tap, &settings)
}

/// Whether this kernel has the setting of a change.
#[cfg(target_os = "linux")]
pub(crate) fn exists(change: &Change) -> bool {
    matches!(change, Change::SetSysctl { key, .. } if matches!(read(key), Ok(Some(_))))
}

/// Every interface has what `default` has.
fn existing(family: &str, tap: &str, settings: &[(&str, &str)]) -> Vec<Change> {
    let known = settings
        .iter()
        .filter(|(name, _)| matches!(read(&format!("{family}/default/{name}")), Ok(Some(_))));
    let change = |(name, value): &(&str, &str)| Change::SetSysctl {
        key: format!("{family}/{tap}/{name}"),
        value: (*value).to_owned(),
    };
    known.map(change).collect()
}

/// The value of a setting; `None` if the kernel has none of this name.
pub(crate) fn read(key: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(path(key)?) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets a setting that exists.
#[cfg(target_os = "linux")]
pub(crate) fn write(key: &str, value: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new()
        .write(true)
        .open(path(key)?)?
        .write_all(value.as_bytes())
}

/// A key may come from a journal, so it must not lead out of the settings.
fn path(key: &str) -> io::Result<PathBuf> {
    let relative = Path::new(key);
    if relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)))
    {
        Ok(Path::new(ROOT).join(relative))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{key:?} is no kernel setting"),
        ))
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespace, ip};

    #[test]
    fn every_setting_that_a_tap_needs_exists_and_takes_its_value() {
        in_namespace(|| async {
            let changes: Vec<_> = quiet_ipv6("lan0").into_iter().chain(quiet_ipv4("lan0")).collect();
            assert_eq!(changes.len(), 11);
            ip("link add lan0 type veth peer name host0");
            let mut changed = 0;
            for change in changes {
                let Change::SetSysctl { key, value } = change else {
                    panic!("{change:?}")
                };
                let before = read(&key).unwrap().unwrap();
                write(&key, &value).unwrap();
                assert_eq!(read(&key).unwrap().unwrap(), value);
                let other = key.replace("lan0", "host0");
                assert_eq!(read(&other).unwrap().unwrap(), before);
                changed += usize::from(before != value);
            }
            assert!(changed >= 6, "{changed}");
        });
    }

    #[test]
    fn keys_cannot_lead_elsewhere() {
        for key in ["../../etc/passwd", "/etc/passwd", "net/../../../etc/passwd"] {
            assert!(read(key).is_err() && write(key, "").is_err(), "{key}");
        }
        assert_eq!(read("net/ipv6/conf/nobody/accept_ra").unwrap(), None);
    }
}
