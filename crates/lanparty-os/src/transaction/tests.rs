//! Any number of changes, a crash at any point, and the host is as it was: on a host in memory, and on a real one
//! in a namespace.

mod memory;

use std::fs;

use lanparty_wire::host::Snapshot;
use memory::{MemoryHost, Shared, change, memory_host};
use proptest::prelude::*;

use super::*;
use crate::{
    feature,
    network::Network,
    sysctl,
    testing::{in_namespace, ip, run},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn after_a_crash_anywhere_the_next_start_restores_the_host(
        before in memory_host(),
        changes in prop::collection::vec(change(), 0..12),
        made in 0usize..13,
        cut_short: bool,
        undone_before_second_crash in prop::option::of(0usize..6),
    ) {
        let state = tempfile::tempdir().unwrap();
        let host = Shared::new(before.clone());
        let mut transaction = Transaction::open_on(host.clone(), state.path()).unwrap();
        for change in changes.iter().take(made) {
            // A change that the host refuses must leave it as it was, and not end the transaction.
            let _ = transaction.apply(change);
        }
        if cut_short && let Some(next) = changes.get(made) {
            // The crash comes after the journal is written and before the host is touched.
            host.0.borrow_mut().deaf = true;
            let _ = transaction.apply(next);
            host.0.borrow_mut().deaf = false;
        }
        std::mem::forget(transaction);
        if let Some(count) = undone_before_second_crash {
            host.0.borrow_mut().crash_after = Some(count);
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                std::mem::forget(Transaction::open_on(host.clone(), state.path()));
            }));
            host.0.borrow_mut().crash_after = None;
        }

        drop(Transaction::open_on(host.clone(), state.path()).unwrap());

        prop_assert_eq!(&host.0.borrow().state, &before);
        prop_assert!(!state.path().join("host-changes.json").exists());
    }

    #[test]
    fn leaving_in_order_restores_the_host(before in memory_host(), changes in prop::collection::vec(change(), 0..12)) {
        let state = tempfile::tempdir().unwrap();
        let host = Shared::new(before.clone());
        let mut transaction = Transaction::open_on(host.clone(), state.path()).unwrap();
        for change in &changes {
            let _ = transaction.apply(change);
        }
        drop(transaction);
        prop_assert_eq!(&host.0.borrow().state, &before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_taken_back_is_as_if_never_made(before in memory_host(), kept in change(), replaced in change()) {
        let state = tempfile::tempdir().unwrap();
        let host = Shared::new(before.clone());
        let mut transaction = Transaction::open_on(host.clone(), state.path()).unwrap();
        let _ = transaction.apply(&kept);
        let with_one = host.0.borrow().state.clone();
        let made = transaction.apply(&replaced).is_ok();
        // The same setting twice has one value, which only the newer one can give back.
        if made {
            transaction.take_back(&replaced).unwrap();
            if replaced != kept {
                prop_assert_eq!(&host.0.borrow().state, &with_one);
            }
        }
        drop(transaction);
        prop_assert_eq!(&host.0.borrow().state, &before);
    }
}

#[test]
fn what_cannot_be_undone_now_is_tried_again_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let before = MemoryHost {
        sysctls: [("a".into(), "0".into()), ("b".into(), "0".into())].into(),
        ..Default::default()
    };
    let host = Shared::new(before.clone());
    let mut transaction = Transaction::open_on(host.clone(), state.path()).unwrap();
    for key in ["a", "b"] {
        transaction
            .apply(&Change::SetSysctl {
                key: key.into(),
                value: "1".into(),
            })
            .unwrap();
    }
    host.0.borrow_mut().refuses = Some("b".into());
    let undone = transaction.rollback().unwrap();
    assert_eq!((undone.count, undone.failed.len()), (1, 1));
    std::mem::forget(transaction);
    host.0.borrow_mut().refuses = None;
    drop(Transaction::open_on(host.clone(), state.path()).unwrap());
    assert_eq!(host.0.borrow().state, before);
}

#[test]
fn the_changes_of_a_live_process_are_not_undone() {
    let state = tempfile::tempdir().unwrap();
    let mut owner = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", owner.id())).unwrap();
    let started = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(19)
        .unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let journal = format!(
        r#"{{"format":1,"owner":{{"pid":{},"started":{started},"boot":"{}"}},"entries":[
            {{"undo":"restore_sysctl","key":"a","previous":"0","ours":"1"}}]}}"#,
        owner.id(),
        boot.trim(),
    );
    fs::write(state.path().join("host-changes.json"), journal).unwrap();
    let changed = MemoryHost {
        sysctls: [("a".into(), "1".into())].into(),
        ..Default::default()
    };
    let host = Shared::new(changed.clone());

    let refusal = Transaction::open_on(host.clone(), state.path()).err().unwrap();
    assert!(
        matches!(refusal, TransactionError::OwnerAlive { pid, .. } if pid == owner.id()),
        "{refusal}"
    );
    assert_eq!(host.0.borrow().state, changed);

    owner.kill().unwrap();
    owner.wait().unwrap();
    drop(Transaction::open_on(host.clone(), state.path()).unwrap());
    assert_eq!(host.0.borrow().state.sysctls["a"], "0");
}

#[test]
fn a_damaged_journal_is_an_error_and_not_forgotten() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("host-changes.json");
    for content in [
        "",
        "{",
        r#"{"format":2,"owner":{"pid":1,"started":1,"boot":""},"entries":[]}"#,
    ] {
        fs::write(&path, content).unwrap();
        let result = Transaction::open_on(Shared::new(MemoryHost::default()), state.path());
        assert!(matches!(result, Err(TransactionError::Read { .. })), "{content}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn the_real_host_is_as_before_after_leaving_and_after_a_crash() {
    in_namespace(|| async {
        ip("link add lan0 type veth peer name host0");
        ip("link set host0 up");
        ip("link set lan0 up");
        ip("addr add 192.0.2.2/24 dev lan0");
        ip("route add 198.51.100.9/32 via 192.0.2.1 dev lan0 metric 5 proto static");
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("conf.d/drop-in.conf");
        settle().await;
        let before = observe(&file).await;
        for crash in [false, true] {
            let mut transaction = Transaction::open(state.path()).unwrap();
            let options = TapOptions {
                name: "party0".into(),
                mac: Mac([2, 0, 0, 0, 0, 1]),
                mtu: 1500,
            };
            let tap = transaction.create_tap(&options).unwrap();
            tap.control().set_link(true).unwrap();
            tap.control().set_carrier(true).unwrap();
            for change in all_changes(&file) {
                transaction.apply(&change).unwrap();
            }
            settle().await;
            let during = observe(&file).await;
            assert_eq!(during.0.links.len(), before.0.links.len() + 1);
            assert!(
                during
                    .0
                    .routes
                    .iter()
                    .any(|r| r.destination.to_string() == "203.0.113.7/32")
            );
            assert_eq!(
                (during.1.as_str(), during.2, during.3.as_deref()),
                ("1", false, Some("ours\n"))
            );
            if crash {
                // The kernel closes descriptors of the dead, which is all that it does.
                std::mem::forget(transaction);
                drop(tap);
                recover(state.path()).unwrap();
            } else {
                drop(transaction);
                drop(tap);
            }
            settle().await;
            assert_eq!(observe(&file).await, before, "crash: {crash}");
        }
    });
}

#[test]
fn what_somebody_else_changed_since_is_left_alone() {
    in_namespace(|| async {
        ip("link add lan0 type veth peer name host0");
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("drop-in.conf");
        let mut transaction = Transaction::open(state.path()).unwrap();
        let key = "net/ipv4/conf/lan0/arp_ignore";
        let changes = [
            Change::SetSysctl {
                key: key.into(),
                value: "1".into(),
            },
            Change::WriteFile {
                path: file.clone(),
                content: "ours\n".into(),
                owner: None,
            },
        ];
        for change in &changes {
            transaction.apply(change).unwrap();
        }
        sysctl::write(key, "2").unwrap();
        fs::write(&file, "theirs\n").unwrap();
        drop(transaction);
        assert_eq!(sysctl::read(key).unwrap().as_deref(), Some("2"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs\n");
    });
}

#[test]
fn what_is_not_there_to_be_changed_is_an_error_that_names_it() {
    in_namespace(|| async {
        let state = tempfile::tempdir().unwrap();
        let mut transaction = Transaction::open(state.path()).unwrap();
        let sysctl = Change::SetSysctl {
            key: "net/ipv4/conf/nobody/arp_ignore".into(),
            value: "1".into(),
        };
        let feature = Change::SetFeature {
            interface: "lo".into(),
            feature: "telepathy".into(),
            enabled: true,
        };
        let address = Change::AddAddress {
            interface: "nobody".into(),
            address: "10.0.0.1/8".parse().unwrap(),
        };
        for change in [sysctl, feature, address] {
            let error = transaction.apply(&change).unwrap_err();
            assert_eq!(error.to_string(), format!("could not {change}"));
        }
        assert!(!state.path().join("host-changes.json").exists());
    });
}

#[test]
fn a_strangers_tap_of_the_same_name_survives() {
    in_namespace(|| async {
        ip("tuntap add mode tap name party0");
        let mut host = ThisHost::default();
        host.go_back(&Undo::RemoveTap {
            name: "party0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
        })
        .unwrap();
        assert!(run("ip", "-o link show dev party0").contains("party0"));
    });
}

fn all_changes(file: &Path) -> Vec<Change> {
    vec![
        Change::SetSysctl {
            key: "net/ipv4/conf/party0/arp_ignore".into(),
            value: "1".into(),
        },
        Change::SetSysctl {
            key: "net/ipv4/conf/lan0/arp_ignore".into(),
            value: "1".into(),
        },
        Change::AddAddress {
            interface: "party0".into(),
            address: "10.73.42.51/24".parse().unwrap(),
        },
        // Both of these were there before, and have to stay.
        Change::AddAddress {
            interface: "lan0".into(),
            address: "192.0.2.2/24".parse().unwrap(),
        },
        Change::AddRoute {
            interface: "lan0".into(),
            destination: "198.51.100.9/32".parse().unwrap(),
            via: Some("192.0.2.1".parse().unwrap()),
            metric: 5,
        },
        Change::AddRoute {
            interface: "lan0".into(),
            destination: "203.0.113.7/32".parse().unwrap(),
            via: Some("192.0.2.1".parse().unwrap()),
            metric: 5,
        },
        Change::AddRoute {
            interface: "party0".into(),
            destination: "2001:db8::/64".parse().unwrap(),
            via: None,
            metric: 50,
        },
        Change::WriteFile {
            path: file.to_owned(),
            content: "ours\n".into(),
            owner: None,
        },
        Change::SetFeature {
            interface: "lan0".into(),
            feature: "tx-udp-segmentation".into(),
            enabled: false,
        },
    ]
}

/// What the changes above are about.
async fn observe(file: &Path) -> (Snapshot, String, bool, Option<String>) {
    let mut snapshot = Network::open().unwrap().snapshot().await.unwrap();
    snapshot.routes.sort();
    snapshot.addresses.sort();
    let sysctl = sysctl::read("net/ipv4/conf/lan0/arp_ignore").unwrap().unwrap();
    let feature = feature::read("lan0", "tx-udp-segmentation").unwrap().unwrap();
    (snapshot, sysctl, feature, fs::read_to_string(file).ok())
}

/// Waits until IPv6 addresses are no longer tentative.
async fn settle() {
    let network = Network::open().unwrap();
    while network
        .snapshot()
        .await
        .unwrap()
        .addresses
        .iter()
        .any(|address| !address.preferred)
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
