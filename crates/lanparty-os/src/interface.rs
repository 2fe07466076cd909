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
mod tests {
    use super::*;

    #[test]
    fn a_wired_card_with_a_cable_is_accepted_and_described() {
        let machine = Machine::new();
        machine.card("eth0", &[("speed", "1000"), ("carrier", "1")]);
        let interface = check_lan_interface(machine.path(), "eth0").unwrap();
        assert_eq!(
            interface,
            Interface {
                name: "eth0".into(),
                kind: LinkKind::Ethernet,
                mac: Some(Mac([0, 0x16, 0x3e, 1, 2, 3])),
                mtu: Some(1500),
                up: true,
                carrier: Some(true),
                speed: Some(1000),
                master: None,
                own_tap: false,
            }
        );
    }

    #[test]
    fn a_card_that_does_not_tell_its_carrier_or_speed_is_accepted() {
        let machine = Machine::new();
        machine.card("eth0", &[("speed", "-1")]);
        let interface = check_lan_interface(machine.path(), "eth0").unwrap();
        assert_eq!((interface.carrier, interface.speed), (None, None));
    }

    #[test]
    fn each_unfit_interface_is_refused_with_what_to_do() {
        let machine = Machine::new();
        machine.card("wlan0", &[("phy80211/name", "phy0")]);
        machine.card("wlan1", &[("wireless/status", "0")]);
        machine.card("wlan2", &[("uevent", "DEVTYPE=wlan\nINTERFACE=wlan2")]);
        machine.card("lo", &[("type", "772")]);
        machine.card("ppp0", &[("type", "512")]);
        machine.card("wg0", &[("type", "65534")]);
        machine.card("tun0", &[("type", "65534"), ("tun_flags", "0x1001")]);
        machine.card("lan0", &[("tun_flags", "0x5002"), ("ifalias", TAP_ALIAS)]);
        machine.card("eth0", &[("flags", "0x1002")]);
        machine.card("eth1", &[("carrier", "0")]);
        for (name, advice) in [
            ("wlan0", "by cable"),
            ("wlan1", "by cable"),
            ("wlan2", "by cable"),
            ("lo", "loopback"),
            ("ppp0", "not an Ethernet"),
            ("wg0", "not an Ethernet"),
            ("tun0", "not an Ethernet"),
            ("lan0", "lanparty made itself"),
            ("eth0", "ip link set eth0 up"),
            ("eth1", "plug the LAN's cable in"),
        ] {
            let sentence = check_lan_interface(machine.path(), name).unwrap_err().to_string();
            assert!(sentence.contains(advice), "{name}: {sentence}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        let machine = Machine::new();
        machine.card("br0", &[("bridge/bridge_id", "8000.0")]);
        machine.card("bond0", &[("bonding/mode", "802.3ad 4")]);
        machine.card("eth0.7", &[("uevent", "DEVTYPE=vlan\nINTERFACE=eth0.7")]);
        machine.card("vnet0", &[("tun_flags", "0x1002")]);
        machine.card("eth1", &[]);
        std::os::unix::fs::symlink("../br0", machine.path().join("eth1/master")).unwrap();
        machine.file("bonding_masters", "bond0");
        let kinds: Vec<_> = list(machine.path())
            .unwrap()
            .into_iter()
            .map(|i| (i.name, i.kind, i.master))
            .collect();
        let expected = [
            ("bond0", LinkKind::Bond, None),
            ("br0", LinkKind::Bridge, None),
            ("eth0.7", LinkKind::Vlan, None),
            ("eth1", LinkKind::Ethernet, Some("br0".to_owned())),
            ("vnet0", LinkKind::Tap, None),
        ];
        assert_eq!(
            kinds,
            expected.map(|(name, kind, master)| (name.to_owned(), kind, master))
        );
    }

    #[test]
    fn a_part_of_a_bridge_or_a_bond_is_refused_with_the_name_of_the_whole() {
        let machine = Machine::new();
        machine.card("br0", &[("bridge/bridge_id", "8000.0")]);
        machine.card("bond0", &[("bonding/mode", "802.3ad 4")]);
        machine.card("vrf0", &[]);
        machine.card("bond0.7", &[("uevent", "DEVTYPE=vlan\nINTERFACE=bond0.7")]);
        for (card, master) in [("eth0", "br0"), ("eth1", "bond0"), ("eth2", "vrf0")] {
            machine.card(card, &[]);
            let link = machine.path().join(card).join("master");
            std::os::unix::fs::symlink(format!("../{master}"), link).unwrap();
        }
        let ask = |name| check_lan_interface(machine.path(), name);
        let sentence = ask("eth0").unwrap_err().to_string();
        assert!(
            sentence.ends_with("choose --iface br0 or --attach bridge=br0"),
            "{sentence}"
        );
        let sentence = ask("eth1").unwrap_err().to_string();
        assert!(sentence.ends_with("choose --iface bond0"), "{sentence}");
        for (name, kind) in [
            ("eth2", LinkKind::Ethernet),
            ("bond0", LinkKind::Bond),
            ("bond0.7", LinkKind::Vlan),
            ("br0", LinkKind::Bridge),
        ] {
            assert_eq!(ask(name).unwrap().kind, kind);
        }
        let sentence = ask("eth9").unwrap_err().to_string();
        assert!(
            sentence.ends_with("choose bond0, bond0.7, br0, eth2 or vrf0"),
            "{sentence}"
        );
    }

    #[test]
    fn only_a_bridge_that_is_up_can_be_joined() {
        let machine = Machine::new();
        machine.card("br0", &[("bridge/bridge_id", "8000.0"), ("carrier", "0")]);
        machine.card("br1", &[("bridge/bridge_id", "8000.0"), ("flags", "0x1002")]);
        machine.card("eth0", &[]);
        let ask = |name| check_bridge(machine.path(), name);
        assert_eq!(ask("br0").unwrap().kind, LinkKind::Bridge);
        for (name, advice) in [
            ("br1", "ip link set br1 up"),
            ("eth0", "use --iface eth0"),
            ("br9", "choose br0 or br1"),
        ] {
            let sentence = ask(name).unwrap_err().to_string();
            assert!(sentence.contains(advice), "{name}: {sentence}");
        }
    }

    #[test]
    fn a_missing_interface_is_answered_with_those_that_would_do() {
        let machine = Machine::new();
        let ask = |name| check_lan_interface(machine.path(), name).unwrap_err().to_string();
        assert!(ask("eth9").contains("plug one in"));
        machine.card("eth0", &[]);
        machine.card("wlan0", &[("wireless/status", "0")]);
        assert!(ask("eth9").ends_with("choose eth0"));
        machine.card("eth1", &[]);
        machine.card("eth2", &[]);
        assert!(ask("eth9").ends_with("choose eth0, eth1 or eth2"));
        assert!(ask("..").starts_with("there is no interface"));
        assert!(ask("eth0/../eth0").starts_with("there is no interface"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_real_machine_is_understood_as_a_recorded_one() {
        use crate::{
            device::tap::{Tap, TapOptions},
            testing::{in_namespace, ip, mount_sysfs, wait_for_link},
        };
        in_namespace(|| async {
            let directory = tempfile::tempdir().unwrap();
            let root = mount_sysfs(directory.path());
            ip("link add eth0 type veth peer name far0");
            ip("link set eth0 up");
            let refusal = check_lan_interface(&root, "eth0").unwrap_err();
            assert!(
                matches!(refusal, LanInterfaceError::NoCarrier { .. }),
                "{refusal}"
            );
            assert!(matches!(
                check_lan_interface(&root, "far0"),
                Err(LanInterfaceError::Down { .. })
            ));
            ip("link set far0 up");
            wait_for_link("eth0");
            let interface = check_lan_interface(&root, "eth0").unwrap();
            assert_eq!(
                (interface.kind, interface.carrier, interface.mtu),
                (LinkKind::Ethernet, Some(true), Some(1500))
            );

            let mac = Mac([2, 0, 0, 0, 0, 1]);
            let _tap = Tap::create(&TapOptions {
                name: "party0".into(),
                mac,
                mtu: 1500,
            })
            .unwrap();
            assert!(matches!(
                check_lan_interface(&root, "party0"),
                Err(LanInterfaceError::OwnTap { .. })
            ));
            ip("tuntap add mode tap name vnet0");
            ip("tuntap add mode tun name tun0");
            ip("link add br0 type bridge");
            ip("link set far0 master br0");
            assert!(matches!(
                check_lan_interface(&root, "tun0"),
                Err(LanInterfaceError::NotEthernet { .. })
            ));
            assert!(matches!(
                check_lan_interface(&root, "lo"),
                Err(LanInterfaceError::Loopback { .. })
            ));
            let look = |name| inspect(&root, name).unwrap().unwrap();
            assert_eq!(
                (look("vnet0").kind, look("vnet0").own_tap),
                (LinkKind::Tap, false)
            );
            assert_eq!(
                (look("br0").kind, look("far0").master.as_deref()),
                (LinkKind::Bridge, Some("br0"))
            );
            let missing = check_lan_interface(&root, "eth9").unwrap_err().to_string();
            assert!(missing.contains("choose eth0"), "{missing}");
        });
    }

    /// A recorded machine.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Machine {
            Machine(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        /// A wired card that is up, changed by the given files.
        fn card(&self, name: &str, files: &[(&str, &str)]) {
            let usual = [
                ("type", "1"),
                ("flags", "0x1003"),
                ("mtu", "1500"),
                ("address", "00:16:3e:01:02:03"),
            ];
            for (file, content) in usual.iter().chain(files) {
                self.file(&format!("{name}/{file}"), content);
            }
        }

        fn file(&self, path: &str, content: &str) {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        }
    }
}
