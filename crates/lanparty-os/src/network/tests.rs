//! The network of a namespace, asked and changed.

use std::{process::Command, time::Duration};

use lanparty_wire::host::{LinkKind, Prefix, Route};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    device::tap::{Tap, TapOptions},
    network::{NetworkChange, Watch},
    testing::{Machine, in_namespace, ip, run, wait_for_link},
};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_snapshot_tells_links_addresses_and_routes() {
    in_namespace(|| async {
        let _other_ends = home();
        ip("link add br0 type bridge");
        let tap = Tap::create(&options()).unwrap();
        let network = Network::open().unwrap();
        let snapshot = network.snapshot().await.unwrap();

        let kind = |name: &str| snapshot.link_named(name).unwrap().kind;
        assert_eq!(
            (kind("lo"), kind("eth0"), kind("br0"), kind("party0")),
            (
                LinkKind::Loopback,
                LinkKind::Ethernet,
                LinkKind::Bridge,
                LinkKind::Tap
            )
        );
        let link = snapshot.link_named("party0").unwrap();
        assert_eq!(
            (link.index, link.mac, link.mtu, link.up),
            (tap.control().index(), Some(options().mac), 1500, false)
        );
        let eth0 = snapshot.link_named("eth0").unwrap();
        assert!(eth0.up && eth0.carrier);
        assert!(
            snapshot
                .addresses_of(eth0.index)
                .any(|address| address.address == prefix("192.168.1.50/24"))
        );
        for (destination, via, metric) in [
            ("0.0.0.0/0", Some("192.168.1.1"), 100),
            ("192.168.1.0/24", None, 0),
        ] {
            let via = via.map(|via| via.parse().unwrap());
            let route = Route {
                link: eth0.index,
                destination: prefix(destination),
                via,
                metric,
            };
            assert!(
                snapshot.routes.contains(&route),
                "{route:?} in {:?}",
                snapshot.routes
            );
        }
        // Broadcast and local routes are in another table.
        assert!(
            snapshot
                .routes
                .iter()
                .all(|route| route.destination != prefix("192.168.1.255/32"))
        );
    });
}

#[test]
fn the_best_route_avoids_what_is_excluded_and_prefers_the_lower_metric() {
    in_namespace(|| async {
        let router = home();
        let network = Network::open().unwrap();
        let relay = "203.0.113.7".parse().unwrap();
        let best = async |excluding: &[&str]| network.best_route(relay, excluding).await;

        let by_cable = best(&[]).await.unwrap();
        assert_eq!(
            (by_cable.interface.as_str(), by_cable.source),
            ("eth0", Some("192.168.1.50".parse().unwrap()))
        );
        assert_eq!(by_cable.via, Some("192.168.1.1".parse().unwrap()));

        // The party's network claims the relay's address, more specifically than anything else.
        let tap = Tap::create(&options()).unwrap();
        tap.control().set_carrier(true).unwrap();
        tap.control().set_link(true).unwrap();
        network
            .add_address("party0", prefix("10.73.42.51/24"))
            .await
            .unwrap();
        network
            .add_route("party0", prefix("203.0.113.7/32"), None, 0)
            .await
            .unwrap();
        assert_eq!(best(&[]).await.unwrap().interface, "party0");
        assert_eq!(best(&["party0"]).await.unwrap(), by_cable);

        // The cable is pulled, the route by it stays: the other way, though its metric is higher.
        router.run(|| ip("link set router0 down"));
        while run("ip", "-o link show dev eth0").contains("LOWER_UP") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(best(&["party0"]).await.unwrap().interface, "eth1");
        ip("route del 203.0.113.7/32");
        assert_eq!(best(&[]).await.unwrap().interface, "eth1");
        // A way that may be dead is better than none.
        assert_eq!(best(&["party0", "eth1"]).await.unwrap().interface, "eth0");
        ip("link set eth0 down");
        let error = best(&["party0", "eth1"]).await.unwrap_err();
        assert!(matches!(error, NetworkError::NoRoute { .. }), "{error}");
    });
}

#[test]
fn changes_are_made_told_apart_from_what_was_there_and_undone_twice() {
    in_namespace(|| async {
        let _other_ends = home();
        let network = Network::open().unwrap();
        for address in ["10.0.0.5/8", "2001:db8::5/64"].map(prefix) {
            assert_eq!(network.add_address("eth0", address).await.unwrap(), Added::Now);
            assert_eq!(network.add_address("eth0", address).await.unwrap(), Added::Before);
            network.remove_address("eth0", address).await.unwrap();
            network.remove_address("eth0", address).await.unwrap();
        }
        for (destination, via) in [
            ("198.51.100.9/24", Some("192.168.1.1")),
            ("198.51.100.9/24", None),
            ("2001:db8::/32", None),
        ] {
            let (destination, via) = (prefix(destination), via.map(|via| via.parse().unwrap()));
            assert_eq!(
                network.add_route("eth0", destination, via, 7).await.unwrap(),
                Added::Now
            );
            assert_eq!(
                network.add_route("eth0", destination, via, 7).await.unwrap(),
                Added::Before
            );
            network.remove_route("eth0", destination, via, 7).await.unwrap();
            network.remove_route("eth0", destination, via, 7).await.unwrap();
        }
        network
            .remove_address("gone0", prefix("10.0.0.5/8"))
            .await
            .unwrap();
        let error = network
            .add_address("gone0", prefix("10.0.0.5/8"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "there is no interface gone0");

        network.set_mtu("eth1", 1400).await.unwrap();
        network.set_link("eth1", false).await.unwrap();
        network
            .set_mac("eth1", lanparty_wire::Mac([2, 7, 7, 7, 7, 7]))
            .await
            .unwrap();
        let shown = run("ip", "-o link show dev eth1");
        assert!(
            shown.contains("mtu 1400") && shown.contains("02:07:07:07:07:07") && shown.contains("state DOWN"),
            "{shown}"
        );
    });
}

#[test]
fn a_burst_of_changes_is_reported_once_when_it_is_over() {
    in_namespace(|| async {
        let _other_ends = home();
        let mut watch = Watch::new().unwrap();
        assert!(
            timeout(Duration::from_millis(300), watch.changed())
                .await
                .is_err()
        );

        let begin = Instant::now();
        for number in 0..5 {
            ip(&format!("addr add 10.9.{number}.1/24 dev eth1"));
            // A wait that is given up must lose nothing.
            assert!(timeout(Duration::from_millis(20), watch.changed()).await.is_err());
        }
        let change = timeout(PATIENCE, watch.changed()).await.unwrap().unwrap();
        assert_eq!(
            change,
            NetworkChange {
                links: false,
                addresses: true,
                routes: true
            }
        );
        assert!(begin.elapsed() >= Duration::from_millis(280));
        assert!(
            timeout(Duration::from_millis(300), watch.changed())
                .await
                .is_err()
        );

        ip("link set eth1 down");
        assert!(timeout(PATIENCE, watch.changed()).await.unwrap().unwrap().links);
    });
}

#[test]
fn changes_that_never_pause_are_reported_nevertheless() {
    in_namespace(|| async {
        let _other_ends = home();
        let mut watch = Watch::new().unwrap();
        let script = "while :; do ip addr add 10.9.9.9/32 dev eth1; ip addr del 10.9.9.9/32 dev eth1; sleep 0.02; done";
        let mut restless = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let begin = Instant::now();
        let change = timeout(PATIENCE, watch.changed()).await;
        let elapsed = begin.elapsed();
        restless.kill().unwrap();
        restless.wait().unwrap();
        assert!(change.unwrap().unwrap().addresses);
        assert!(elapsed >= Duration::from_millis(900), "{elapsed:?}");
    });
}

/// A player's machine with two ways out, the first one better.
fn home() -> Machine {
    let router = Machine::new();
    for (name, peer, address, gateway, metric) in [
        ("eth0", "router0", "192.168.1.50/24", "192.168.1.1", 100),
        ("eth1", "router1", "192.168.2.50/24", "192.168.2.1", 200),
    ] {
        ip(&format!("link add {name} type veth peer name {peer}"));
        ip(&format!("link set {peer} netns {}", router.path));
        ip(&format!("link set {name} addrgenmode none"));
        ip(&format!("link set {name} up"));
        router.run(move || ip(&format!("link set {peer} up")));
        wait_for_link(name);
        ip(&format!("addr add {address} dev {name}"));
        ip(&format!(
            "route add default via {gateway} dev {name} metric {metric}"
        ));
    }
    router
}

fn options() -> TapOptions {
    TapOptions {
        name: "party0".into(),
        mac: lanparty_wire::Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}
