//! One interface, looked at before it is used: is it a wired card with a cable in it?
//!
//! A LAN gateway on a Wi-Fi card or on an unplugged port would announce a party that nobody can reach, so the
//! answer is asked for before anything is announced, and a refusal says what to do. Everything is read from a
//! directory like `/sys/class/net` that is an argument, so that recorded machines can be looked at as well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lanparty_wire::{Mac, host::LinkKind};

/// Where Linux keeps it.
pub const SYSFS: &str = "/sys/class/net";
/// What a TAP of ours carries as its alias, so that nobody bridges a room into itself.
pub const TAP_ALIAS: &str = "lanparty TAP";

const ARPHRD_ETHER: u32 = 1;
const ARPHRD_LOOPBACK: u32 = 772;
const IFF_UP: u32 = 1;
const IFF_TAP: u32 = 2;

/// What the system tells about an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    pub name: String,
    pub kind: LinkKind,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// `None` where the driver does not tell.
    pub carrier: Option<bool>,
    /// Mbit/s, where the driver knows it.
    pub speed: Option<u32>,
    /// The bridge or bond that it is a part of.
    pub master: Option<String>,
    /// A TAP that lanparty made.
    pub own_tap: bool,
}

/// Why an interface cannot be the LAN side of a gateway, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LanInterfaceError {
    #[error("there is no interface {name}; {}", candidates_text(candidates))]
    Missing { name: String, candidates: Vec<String> },
    #[error(
        "{name} is a Wi-Fi interface, which cannot send for other machines; connect this machine to the LAN by cable and choose that interface"
    )]
    Wifi { name: String },
    #[error("{name} is the loopback interface; choose the one that the LAN's cable is in")]
    Loopback { name: String },
    #[error("{name} is a TAP that lanparty made itself; choose the interface that the LAN's cable is in")]
    OwnTap { name: String },
    #[error("{name} is not an Ethernet interface; choose the one that the LAN's cable is in")]
    NotEthernet { name: String },
    #[error("{name} is a part of {master}, which is the one that sends and receives; choose {advice}")]
    Enslaved {
        name: String,
        master: String,
        advice: String,
    },
    #[error(
        "{name} is not a bridge; choose one that `ip link show type bridge` lists, or use --iface {name}"
    )]
    NotBridge { name: String },
    #[error("{name} is switched off; switch it on with: ip link set {name} up")]
    Down { name: String },
    #[error("{name} has no link; plug the LAN's cable in, or see whether the switch at its other end is on")]
    NoCarrier { name: String },
    #[error("could not read what the system knows about {name}")]
    Unreadable { name: String, source: io::Error },
}

/// Looks at an interface; `None` if there is none of this name.
///
/// # Errors
/// When the directory cannot be read.
pub fn inspect(root: &Path, name: &str) -> io::Result<Option<Interface>> {
    // A name is one directory, never a way out of the root.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Ok(None);
    }
    let directory = Directory(root.join(name));
    match fs::metadata(&directory.0) {
        Ok(metadata) if metadata.is_dir() => {}
        // Files such as `bonding_masters` stand beside the interfaces.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let flags = directory.number("flags").unwrap_or(0);
    Ok(Some(Interface {
        name: name.to_owned(),
        kind: directory.kind(),
        mac: directory.text("address").and_then(|text| text.parse().ok()),
        mtu: directory.number("mtu"),
        up: flags & IFF_UP != 0,
        carrier: directory.number("carrier").map(|carrier| carrier != 0),
        // Without a link drivers answer -1, or the same as a number without a sign.
        speed: directory
            .number("speed")
            .filter(|speed| (1..u32::MAX).contains(speed)),
        master: directory.master(),
        own_tap: directory.text("ifalias").is_some_and(|alias| alias == TAP_ALIAS),
    }))
}

/// All interfaces, by name.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(root: &Path) -> io::Result<Vec<Interface>> {
    let mut names: Vec<_> = fs::read_dir(root)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut interfaces = Vec::new();
    for name in names {
        interfaces.extend(inspect(root, &name)?);
    }
    Ok(interfaces)
}

/// Looks at the interface that a LAN gateway is to use.
///
/// # Errors
/// A sentence that says why it cannot be, and what to do.
pub fn check_lan_interface(root: &Path, name: &str) -> Result<Interface, LanInterfaceError> {
    let unreadable = |source| LanInterfaceError::Unreadable {
        name: name.to_owned(),
        source,
    };
    let Some(interface) = inspect(root, name).map_err(unreadable)? else {
        let candidates = list(root)
            .map_err(unreadable)?
            .into_iter()
            .filter(|i| refusal(i).is_none() && enslaved(root, i).is_none())
            .map(|i| i.name);
        return Err(LanInterfaceError::Missing {
            name: name.to_owned(),
            candidates: candidates.collect(),
        });
    };
    let refused = refusal(&interface).or_else(|| enslaved(root, &interface));
    refused.map_or(Ok(interface), Err)
}

/// Looks at the bridge that a LAN gateway is to become a port of. It needs no other port with a link.
///
/// # Errors
/// A sentence that says why it cannot be, and what to do.
pub fn check_bridge(root: &Path, name: &str) -> Result<Interface, LanInterfaceError> {
    let unreadable = |source| LanInterfaceError::Unreadable {
        name: name.to_owned(),
        source,
    };
    let name = name.to_owned();
    match inspect(root, &name).map_err(unreadable)? {
        None => {
            let all = list(root).map_err(unreadable)?.into_iter();
            let bridges = all.filter(|i| i.kind == LinkKind::Bridge).map(|i| i.name);
            Err(LanInterfaceError::Missing {
                name,
                candidates: bridges.collect(),
            })
        }
        Some(interface) if interface.kind != LinkKind::Bridge => Err(LanInterfaceError::NotBridge { name }),
        Some(interface) if !interface.up => Err(LanInterfaceError::Down { name }),
        Some(interface) => Ok(interface),
    }
}

/// A bridge or a bond takes what its parts receive, and sends by which it likes. Other masters (a VRF) leave frames where they are.
fn enslaved(root: &Path, interface: &Interface) -> Option<LanInterfaceError> {
    let master = inspect(root, interface.master.as_deref()?).ok()??;
    let advice = match master.kind {
        LinkKind::Bridge => format!("--iface {0} or --attach bridge={0}", master.name),
        LinkKind::Bond => format!("--iface {}", master.name),
        LinkKind::Ethernet
        | LinkKind::Wifi
        | LinkKind::Loopback
        | LinkKind::Vlan
        | LinkKind::Tap
        | LinkKind::Tun
        | LinkKind::Other => return None,
    };
    Some(LanInterfaceError::Enslaved {
        name: interface.name.clone(),
        master: master.name,
        advice,
    })
}

fn refusal(interface: &Interface) -> Option<LanInterfaceError> {
    let name = interface.name.clone();
    if interface.own_tap {
        return Some(LanInterfaceError::OwnTap { name });
    }
    match interface.kind {
        LinkKind::Wifi => return Some(LanInterfaceError::Wifi { name }),
        LinkKind::Loopback => return Some(LanInterfaceError::Loopback { name }),
        LinkKind::Tun | LinkKind::Other => return Some(LanInterfaceError::NotEthernet { name }),
        LinkKind::Ethernet | LinkKind::Bridge | LinkKind::Bond | LinkKind::Vlan | LinkKind::Tap => {}
    }
    if !interface.up {
        return Some(LanInterfaceError::Down { name });
    }
    (interface.carrier == Some(false)).then_some(LanInterfaceError::NoCarrier { name })
}

fn candidates_text(candidates: &[String]) -> String {
    match candidates {
        [] => "this machine has no wired interface with a cable in it; plug one in".to_owned(),
        [one] => format!("choose {one}"),
        [first @ .., last] => format!("choose {} or {last}", first.join(", ")),
    }
}

/// An interface's directory.
struct Directory(PathBuf);

impl Directory {
    /// The content of a file; `None` if it is missing or the driver refuses to tell, as some do while a link is down.
    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file))
            .ok()
            .map(|text| text.trim().to_owned())
    }

    /// Decimal, or hexadecimal with `0x`.
    fn number(&self, file: &str) -> Option<u32> {
        let text = self.text(file)?;
        match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }

    fn kind(&self) -> LinkKind {
        let hardware = self.number("type");
        if hardware == Some(ARPHRD_LOOPBACK) {
            return LinkKind::Loopback;
        }
        if let Some(flags) = self.number("tun_flags") {
            return if flags & IFF_TAP != 0 {
                LinkKind::Tap
            } else {
                LinkKind::Tun
            };
        }
        if hardware != Some(ARPHRD_ETHER) {
            return LinkKind::Other;
        }
        if self.has("wireless") || self.has("phy80211") {
            return LinkKind::Wifi;
        }
        if self.has("bridge") {
            return LinkKind::Bridge;
        }
        if self.has("bonding") {
            return LinkKind::Bond;
        }
        let events = self.text("uevent").unwrap_or_default();
        match events.lines().find_map(|line| line.strip_prefix("DEVTYPE=")) {
            Some("wlan") => LinkKind::Wifi,
            Some("vlan") => LinkKind::Vlan,
            Some("bridge") => LinkKind::Bridge,
            Some("bond") => LinkKind::Bond,
            _ => LinkKind::Ethernet,
        }
    }

    fn master(&self) -> Option<String> {
        let target = fs::read_link(self.0.join("master")).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
