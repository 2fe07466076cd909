//! The adapter on a real kernel, in a network namespace of each test's own.

use std::{future::Future, process::Command, thread};

use lanparty_os::network::Network;
use nix::sched::{CloneFlags, unshare};

use super::*;

#[test]
fn a_lease_comes_changes_and_goes_and_leaves_nothing_behind() {
    in_namespace(|| async {
        let state = tempfile::tempdir().unwrap();
        let before = host();
        let adapter = adapter(state.path(), 1500);
        let tap = adapter.create().unwrap();
        assert!(
            ip("link show party0").contains("02:00:00:00:00:07") && !ip("link show party0").contains(",UP")
        );
        assert_eq!(sysctl("net/ipv6/conf/party0/accept_ra_defrtr"), "0");
        assert_eq!(sysctl("net/ipv4/conf/party0/forwarding"), "0");

        adapter.link_up().unwrap();
        adapter
            .set_lease(&snapshot().await, Some(prefix("10.73.42.51/24")))
            .unwrap();
        assert!(ip("addr show party0").contains("inet 10.73.42.51/24"));
        for route in ["255.255.255.255", "224.0.0.0/4"] {
            assert!(
                ip("route").contains(&format!("{route} dev party0")),
                "{}",
                ip("route")
            );
        }

        adapter
            .set_lease(&snapshot().await, Some(prefix("10.9.0.7/16")))
            .unwrap();
        let addresses = ip("addr show party0");
        assert!(
            addresses.contains("inet 10.9.0.7/16") && !addresses.contains("10.73.42.51"),
            "{addresses}"
        );

        adapter.set_lease(&snapshot().await, None).unwrap();
        assert!(!ip("addr show party0").contains("inet 10."));
        assert!(!ip("route").contains("255.255.255.255"));

        assert!(adapter.close().unwrap().failed.is_empty());
        drop(tap);
        assert_eq!(host(), before);
        assert_eq!(
            std::fs::read_dir(state.path()).unwrap().count(),
            0,
            "no journal is left"
        );
    });
}

#[test]
fn what_somebody_takes_away_comes_back() {
    in_namespace(|| async {
        let state = tempfile::tempdir().unwrap();
        let adapter = adapter(state.path(), 1500);
        let tap = adapter.create().unwrap();
        adapter.link_up().unwrap();
        adapter
            .set_lease(&snapshot().await, Some(prefix("10.73.42.51/24")))
            .unwrap();

        ip("link set party0 down");
        ip("link set party0 up");
        assert!(!ip("route").contains("255.255.255.255"));
        adapter.refresh(&snapshot().await, None).unwrap();
        assert!(ip("route").contains("255.255.255.255 dev party0"));

        ip("link del party0");
        drop(tap);
        let again = adapter.create().unwrap();
        let addresses = ip("addr show party0");
        assert!(
            addresses.contains("inet 10.73.42.51/24") && addresses.contains(",UP"),
            "{addresses}"
        );
        adapter.close().unwrap();
        drop(again);
    });
}

#[test]
fn an_mtu_too_small_for_ipv6_still_makes_an_adapter() {
    in_namespace(|| async {
        let state = tempfile::tempdir().unwrap();
        let adapter = adapter(state.path(), 1200);
        let _tap = adapter.create().unwrap();
        assert!(ip("link show party0").contains("mtu 1200"));
        assert_eq!(sysctl("net/ipv4/conf/party0/arp_ignore"), "1");
    });
}

#[test]
fn a_name_that_is_taken_is_refused_and_its_owner_unharmed() {
    in_namespace(|| async {
        ip("link add party0 type veth peer name other0");
        let state = tempfile::tempdir().unwrap();
        let adapter = adapter(state.path(), 1500);
        let error = lanparty_api::cli::Failure::new(
            lanparty_api::cli::ExitCode::Host,
            adapter.create().err().unwrap(),
        );
        assert!(
            error.to_string().contains("choose another name with --tap-name"),
            "{error}"
        );
        adapter.close().unwrap();
        assert!(ip("link show party0").contains("party0"));
    });
}

fn adapter(state: &std::path::Path, mtu: u16) -> Adapter {
    let transaction = Transaction::open(state).unwrap();
    Adapter::new(transaction, "party0".into(), Mac([2, 0, 0, 0, 0, 7]), mtu, true)
}

async fn snapshot() -> Snapshot {
    Network::open().unwrap().snapshot().await.unwrap()
}

/// Everything of this namespace that an adapter could change, without counters.
fn host() -> String {
    let forwarding = sysctl("net/ipv4/conf/default/forwarding");
    [
        ip("-o link"),
        ip("-o addr"),
        ip("route show table all"),
        ip("rule"),
        forwarding,
    ]
    .join("\n")
}

fn sysctl(key: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/{key}"))
        .unwrap()
        .trim()
        .to_owned()
}

fn ip(words: &str) -> String {
    let output = Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Runs a test on a thread in a fresh network namespace, which ends with the thread.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("tests of the network need root");
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
