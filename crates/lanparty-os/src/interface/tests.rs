//! Interfaces of recorded machines, and those of this one.

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
