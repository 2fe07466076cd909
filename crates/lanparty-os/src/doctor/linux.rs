//! What Linux tells, below roots that are arguments.

use std::{fs, path::Path};

use lanparty_wire::{
    doctor::{Bridge, BridgeFilter, Card},
    host::LinkKind,
};

use crate::{feature, interface};

/// Offloads that a doctor has an opinion on.
const OFFLOADS: [&str; 3] = ["rx-lro", "rx-gro", "rx-vlan-hw-parse"];
/// The kernel's clock follows nothing (adjtimex(2): TIME_ERROR).
const CLOCK_UNSYNCHRONIZED: libc::c_int = 5;

/// An interface below `root`, which is like `/sys/class/net`; `None` if it is not there or cannot be read.
pub fn card(root: &Path, name: &str) -> Option<Card> {
    let found = interface::inspect(root, name).ok()??;
    let text = |path: &str| fs::read_to_string(root.join(name).join(path)).ok();
    let bridge = match found.kind {
        LinkKind::Bridge => bridge(root, name),
        _ => found.master.as_deref().and_then(|master| bridge(root, master)),
    };
    Some(Card {
        half_duplex: text("duplex").and_then(|duplex| match duplex.trim() {
            "half" => Some(true),
            "full" => Some(false),
            _ => None,
        }),
        name: found.name,
        kind: found.kind,
        mac: found.mac,
        up: found.up,
        carrier: found.carrier,
        speed: found.speed,
        mtu: found.mtu,
        own_tap: found.own_tap,
        bridge,
        offloads: Vec::new(),
    })
}

/// Those offloads of a present interface that are on and matter to a doctor.
pub fn offloads(name: &str) -> Vec<String> {
    OFFLOADS
        .into_iter()
        .filter(|feature| matches!(feature::read(name, feature), Ok(Some(true))))
        .map(str::to_owned)
        .collect()
}

/// What becomes of frames that `bridge` forwards. `settings` is like `/proc/sys`.
pub fn bridge_filter(root: &Path, settings: &Path, bridge: Option<&Bridge>) -> BridgeFilter {
    let is_on = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    let global = ["iptables", "ip6tables", "arptables"]
        .iter()
        .any(|table| is_on(&settings.join(format!("net/bridge/bridge-nf-call-{table}"))));
    let own = bridge.is_some_and(|bridge| {
        ["iptables", "ip6tables", "arptables"]
            .iter()
            .any(|table| is_on(&root.join(&bridge.name).join(format!("bridge/nf_call_{table}"))))
    });
    BridgeFilter {
        calls_firewall: global || own,
        docker: root.join("docker0").exists(),
    }
}

pub(super) fn has_adapter_driver() -> bool {
    Path::new("/dev/net/tun").exists()
}

pub(super) fn is_synchronized() -> Option<bool> {
    // SAFETY: `timex` is plain data, for which zeros are valid; no modes means that nothing is set.
    let mut question: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the argument is live and writable.
    let state = unsafe { libc::adjtimex(&mut question) };
    (state >= 0).then_some(state != CLOCK_UNSYNCHRONIZED)
}

fn bridge(root: &Path, name: &str) -> Option<Bridge> {
    let directory = root.join(name).join("bridge");
    let is_on = |file: &str| {
        fs::read_to_string(directory.join(file)).is_ok_and(|text| text.trim().parse() != Ok(0_u8))
    };
    directory.is_dir().then(|| Bridge {
        name: name.to_owned(),
        snooping: is_on("multicast_snooping"),
        querier: is_on("multicast_querier"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_recorded_wifi_card_with_its_speed_is_read() {
        let machine = Recorded::new();
        machine.write("net/wlan0/type", "1");
        machine.write("net/wlan0/flags", "0x1003");
        machine.write("net/wlan0/phy80211/name", "phy0");
        machine.write("net/eth0/type", "1");
        machine.write("net/eth0/flags", "0x1003");
        machine.write("net/eth0/carrier", "1");
        machine.write("net/eth0/speed", "10");
        machine.write("net/eth0/duplex", "half");
        machine.write("net/eth0/mtu", "1400");
        assert_eq!(card(&machine.net(), "wlan0").unwrap().kind, LinkKind::Wifi);
        let wired = card(&machine.net(), "eth0").unwrap();
        assert_eq!(
            (wired.speed, wired.half_duplex, wired.mtu, wired.bridge),
            (Some(10), Some(true), Some(1400), None)
        );
        assert_eq!(card(&machine.net(), "eth9"), None);
    }

    #[test]
    fn the_bridge_is_found_from_itself_and_from_its_port() {
        let machine = Recorded::new();
        for name in ["br0", "eth0"] {
            machine.write(&format!("net/{name}/type"), "1");
        }
        machine.write("net/br0/bridge/multicast_snooping", "1");
        machine.write("net/br0/bridge/multicast_querier", "0");
        std::os::unix::fs::symlink("../br0", machine.net().join("eth0/master")).unwrap();
        let expected = Some(Bridge {
            name: "br0".into(),
            snooping: true,
            querier: false,
        });
        assert_eq!(card(&machine.net(), "br0").unwrap().bridge, expected);
        assert_eq!(card(&machine.net(), "eth0").unwrap().bridge, expected);
    }

    #[test]
    fn a_firewall_on_bridges_and_docker_are_seen() {
        let machine = Recorded::new();
        let settings = machine.0.path().join("sys");
        let look = || bridge_filter(&machine.net(), &settings, None);
        assert_eq!(look(), BridgeFilter::default());
        machine.write("sys/net/bridge/bridge-nf-call-iptables", "0\n");
        assert!(!look().calls_firewall);
        machine.write("sys/net/bridge/bridge-nf-call-arptables", "1\n");
        machine.write("net/docker0/type", "1");
        let expected = BridgeFilter {
            calls_firewall: true,
            docker: true,
        };
        assert_eq!(look(), expected);
    }

    struct Recorded(tempfile::TempDir);

    impl Recorded {
        fn new() -> Recorded {
            let machine = Recorded(tempfile::tempdir().unwrap());
            fs::create_dir_all(machine.net()).unwrap();
            machine
        }

        fn net(&self) -> PathBuf {
            self.0.path().join("net")
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
}
