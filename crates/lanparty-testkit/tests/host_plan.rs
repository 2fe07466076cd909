//! Plans for Windows hosts, applied by the transaction to a host in memory: whatever fails and whenever the process ends, undoing
//! brings back the very host that was there before.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{cell::RefCell, rc::Rc};

use lanparty_core::host::windows::{Goal, Trouble, plan, verify};
use lanparty_os::transaction::{Host, HostError, Transaction, Undo};
use lanparty_wire::{
    Mac,
    host::{Address, Category, Change, Family, IpSettings, Link, LinkKind, Metric, Prefix, Route, Snapshot},
};
use proptest::prelude::*;

const TAP: &str = "lanparty";
const TAP_INDEX: u32 = 99;
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// A Windows host as far as a snapshot tells of it, and the cables and Wi-Fi that it does not tell of.
#[derive(Clone, PartialEq, Debug, Default)]
struct Machine {
    seen: Snapshot,
    plugged_in: Vec<String>,
    steady: Vec<String>,
    /// Changes that are made until one is refused.
    patience: Option<usize>,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Machine>>);

impl Machine {
    fn index(&self, interface: &str) -> Option<u32> {
        self.seen.link_named(interface).map(|link| link.index)
    }

    fn settings(&mut self, interface: &str, family: Family) -> Option<&mut IpSettings> {
        let link = self.index(interface)?;
        let is_it = |settings: &&mut IpSettings| (settings.link, settings.family) == (link, family);
        self.seen.settings.iter_mut().find(is_it)
    }

    fn route(&self, change: &Change) -> Option<Route> {
        match change {
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => Some(Route {
                link: self.index(interface)?,
                destination: *destination,
                via: *via,
                metric: *metric,
            }),
            _ => None,
        }
    }

    /// What the system does by itself when an adapter comes: it gives it settings, and takes its network for a stranger's.
    fn add_tap(&mut self) {
        self.seen.links.push(Link::new(TAP_INDEX, TAP, LinkKind::Tap));
        self.seen.settings.extend(IpSettings::automatic(TAP_INDEX, 25));
    }

    /// Windows sorts as it likes.
    fn sorted(mut self) -> Machine {
        self.seen.routes.sort();
        self.seen.links.sort_by_key(|link| link.index);
        self.seen.settings.sort_by_key(|of| (of.link, of.family));
        self.seen.categories.sort_by_key(|&(link, _)| link);
        self
    }
}

fn unknown() -> HostError {
    HostError::Unknown { what: "that".into() }
}

impl Host for Shared {
    type Device = ();

    fn way_back(&mut self, change: &Change) -> Result<Option<Undo>, HostError> {
        let mut host = self.0.borrow_mut();
        Ok(match change.clone() {
            Change::CreateTap { name, mac } => host
                .index(&name)
                .is_none()
                .then_some(Undo::RemoveTap { name, mac }),
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                let route = host.route(change).ok_or_else(unknown)?;
                (!host.seen.routes.contains(&route)).then_some(Undo::RemoveRoute {
                    interface,
                    destination,
                    via,
                    metric,
                })
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => {
                let now = host.settings(&interface, family).ok_or_else(unknown)?;
                let previous = now.current(setting);
                (previous != setting).then_some(Undo::RestoreIp {
                    interface,
                    family,
                    previous,
                    ours: setting,
                })
            }
            Change::SetCategory {
                interface,
                category: ours,
            } => {
                let link = host.index(&interface).ok_or_else(unknown)?;
                let previous = host.seen.category_of(link).ok_or_else(unknown)?;
                (previous != ours).then_some(Undo::RestoreCategory {
                    interface,
                    previous,
                    ours,
                })
            }
            Change::PlugIn { interface } => {
                (!host.plugged_in.contains(&interface)).then_some(Undo::PullOut { interface })
            }
            Change::SteadyWifi { interface } => {
                (!host.steady.contains(&interface)).then_some(Undo::UnsteadyWifi { interface })
            }
            other => unreachable!("no plan for Windows has {other:?}"),
        })
    }

    fn make(&mut self, change: &Change) -> Result<Option<()>, HostError> {
        let mut host = self.0.borrow_mut();
        if let Some(left) = &mut host.patience {
            *left = left.checked_sub(1).ok_or_else(unknown)?;
        }
        match change.clone() {
            Change::CreateTap { .. } => host.add_tap(),
            Change::AddRoute { .. } => {
                let route = host.route(change).ok_or_else(unknown)?;
                host.seen.routes.push(route);
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => host
                .settings(&interface, family)
                .ok_or_else(unknown)?
                .set(setting),
            Change::SetCategory { interface, category } => {
                let link = host.index(&interface).ok_or_else(unknown)?;
                host.seen.categories.retain(|(of, _)| *of != link);
                host.seen.categories.push((link, category));
            }
            Change::PlugIn { interface } => {
                host.plugged_in.push(interface);
                host.seen.categories.push((TAP_INDEX, Category::Public));
            }
            Change::SteadyWifi { interface } => host.steady.push(interface),
            other => unreachable!("no plan for Windows has {other:?}"),
        }
        Ok(None)
    }

    fn go_back(&mut self, undo: &Undo) -> Result<(), HostError> {
        let mut host = self.0.borrow_mut();
        match undo.clone() {
            Undo::RemoveTap { name, .. } => {
                if let Some(index) = host.index(&name) {
                    host.seen.links.retain(|link| link.index != index);
                    host.seen.settings.retain(|of| of.link != index);
                    host.seen.routes.retain(|route| route.link != index);
                    host.seen.addresses.retain(|own| own.link != index);
                    host.seen.categories.retain(|(of, _)| *of != index);
                }
            }
            Undo::RemoveRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                if let Some(link) = host.index(&interface) {
                    let ours = Route {
                        link,
                        destination,
                        via,
                        metric,
                    };
                    host.seen.routes.retain(|route| *route != ours);
                }
            }
            Undo::RestoreIp {
                interface,
                family,
                previous,
                ours,
            } => {
                if let Some(now) = host.settings(&interface, family)
                    && now.current(ours) == ours
                {
                    now.set(previous);
                }
            }
            Undo::RestoreCategory {
                interface,
                previous,
                ours,
            } => {
                let link = host.index(&interface);
                let found = host.seen.categories.iter_mut().find(|(of, _)| Some(*of) == link);
                if let Some((_, now)) = found
                    && *now == ours
                {
                    *now = previous;
                }
            }
            Undo::PullOut { interface } => {
                host.plugged_in.retain(|known| *known != interface);
                let link = host.index(&interface);
                host.seen.categories.retain(|(of, _)| Some(*of) != link);
            }
            Undo::UnsteadyWifi { interface } => host.steady.retain(|known| *known != interface),
            other => unreachable!("no plan for Windows has {other:?}"),
        }
        Ok(())
    }
}

/// The steps of a client that connects, each planned from what the machine is by then.
fn steps(relay: &[std::net::IpAddr]) -> [Goal; 4] {
    let prepared = Goal {
        tap: TAP.into(),
        mac: MAC,
        relay: Vec::new(),
        mtu: None,
        plugged_in: false,
        broadcasts: true,
    };
    let pinned = Goal {
        relay: relay.to_vec(),
        ..prepared.clone()
    };
    let negotiated = Goal {
        mtu: Some(1500),
        ..pinned.clone()
    };
    let live = Goal {
        plugged_in: true,
        ..negotiated.clone()
    };
    [prepared, pinned, negotiated, live]
}

/// Goes through the steps until something is refused; says whether all was made.
fn connect(transaction: &mut Transaction<Shared>, machine: &Shared, relay: &[std::net::IpAddr]) -> bool {
    for goal in steps(relay) {
        let planned = plan(&machine.0.borrow().seen, &goal);
        for change in &planned {
            if transaction.apply(change).is_err() {
                return false;
            }
        }
        if goal.plugged_in {
            // The party's DHCP server answers, and the system has looked at the network: planned once more.
            machine
                .0
                .borrow_mut()
                .seen
                .addresses
                .push(address(TAP_INDEX, "10.73.42.51/24"));
            let planned = plan(&machine.0.borrow().seen, &goal);
            return planned.iter().all(|change| transaction.apply(change).is_ok());
        }
    }
    unreachable!("the last step is plugged in");
}

proptest! {
    // Every change is on the disk before it is made.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_refused_the_host_is_as_it_was(before in machine(), relay in relays(), patience in 0usize..20) {
        let directory = tempfile::tempdir().unwrap();
        let machine = Shared(Rc::new(RefCell::new(before.clone())));
        machine.0.borrow_mut().patience = Some(patience);
        let mut transaction = Transaction::open_on(machine.clone(), directory.path()).unwrap();
        connect(&mut transaction, &machine, &relay);
        prop_assert!(transaction.rollback().unwrap().failed.is_empty());
        machine.0.borrow_mut().patience = None;
        machine.0.borrow_mut().seen.addresses.retain(|own| own.link != TAP_INDEX);
        prop_assert_eq!(machine.0.borrow().clone().sorted(), before.sorted());
    }

    /// The journal of a process that has ended at once brings the host back at the next start, and what that start then does fits
    /// the host that the process has found.
    #[test]
    fn a_crash_anywhere_is_undone_at_the_next_start(before in machine(), relay in relays(), patience in 0usize..20) {
        let directory = tempfile::tempdir().unwrap();
        let machine = Shared(Rc::new(RefCell::new(before.clone())));
        machine.0.borrow_mut().patience = Some(patience);
        let mut transaction = Transaction::open_on(machine.clone(), directory.path()).unwrap();
        connect(&mut transaction, &machine, &relay);
        std::mem::forget(transaction);
        machine.0.borrow_mut().patience = None;
        drop(Transaction::open_on(machine.clone(), directory.path()).unwrap());
        machine.0.borrow_mut().seen.addresses.retain(|own| own.link != TAP_INDEX);
        prop_assert_eq!(machine.0.borrow().clone().sorted(), before.sorted());
    }

    /// With everything made, the relay is reached by a route of its own where there is any real way to it, and nothing of the
    /// party's leads anywhere else.
    #[test]
    fn what_was_made_is_what_was_wanted(before in machine(), relay in relays()) {
        let directory = tempfile::tempdir().unwrap();
        let machine = Shared(Rc::new(RefCell::new(before)));
        let mut transaction = Transaction::open_on(machine.clone(), directory.path()).unwrap();
        prop_assert!(connect(&mut transaction, &machine, &relay));
        let live = &steps(&relay)[3];
        // A default route that the party's server offers does not count.
        machine.0.borrow_mut().seen.routes.push(route(TAP_INDEX, "0.0.0.0/0", Some("10.73.42.1"), 0));
        let seen = machine.0.borrow().seen.clone();
        for trouble in verify(&seen, live) {
            let expected = match &trouble {
                Trouble::NoWay { .. } => true,
                // Another tunnel has a route of its own to the relay: only the socket can be kept off that.
                Trouble::Tunnelled { relay, interface } => seen.routes.iter().any(|route| {
                    route.destination == Prefix::host(*relay)
                        && seen.link(route.link).is_some_and(|link| link.name == *interface)
                }),
                Trouble::Unpinned { .. } | Trouble::DefaultRoute { .. } | Trouble::Public => false,
            };
            prop_assert!(expected, "{trouble:?} in {seen:#?}");
        }
        // Planned again, nothing changes: what is there is not taken back and made anew.
        let again = plan(&seen, live);
        let mut host = machine.clone();
        for change in &again {
            prop_assert!(host.way_back(change).unwrap().is_none(), "{change}");
        }
    }
}

fn relays() -> impl Strategy<Value = Vec<std::net::IpAddr>> {
    let addresses = ["203.0.113.10", "198.51.100.7", "192.168.1.200", "2001:db8:5::10"];
    prop::sample::subsequence(addresses.to_vec(), 1..=3)
        .prop_map(|texts| texts.into_iter().map(|text| text.parse().unwrap()).collect())
}

/// A PC with several cards, tunnels of others, leftovers of a crash, homes with any network.
fn machine() -> impl Strategy<Value = Machine> {
    let links = prop::collection::vec((link_kind(), any::<bool>(), any::<bool>(), 5u32..100), 1..5);
    let routes = prop::collection::btree_set((1u32..7, destination(), next_hop(), 0u32..3), 0..8);
    let fixed = any::<bool>();
    (links, routes, fixed).prop_map(|(kinds, routes, fixed)| {
        let mut machine = Machine::default();
        for (index, (kind, up, carrier, metric)) in (1u32..).zip(kinds) {
            machine.seen.links.push(Link {
                up,
                carrier,
                ..Link::new(index, &format!("card {index}"), kind)
            });
            machine
                .seen
                .addresses
                .push(address(index, &format!("192.168.{index}.20/24")));
            let of = IpSettings::automatic(index, metric).map(|of| IpSettings {
                metric: if fixed { Metric::Fixed(metric) } else { of.metric },
                ..of
            });
            machine.seen.settings.extend(of);
            machine.seen.categories.push((index, Category::Private));
        }
        let links = machine.seen.links.len() as u32;
        let routes = routes.into_iter().filter(|(link, ..)| *link <= links);
        machine.seen.routes = routes
            .filter(|(_, destination, via, _)| {
                via.is_none_or(|via| via.is_ipv4() == destination.address().is_ipv4())
            })
            .map(|(link, destination, via, metric)| Route {
                link,
                destination,
                via,
                metric,
            })
            .collect();
        machine
    })
}

fn link_kind() -> impl Strategy<Value = LinkKind> {
    prop::sample::select(vec![
        LinkKind::Ethernet,
        LinkKind::Wifi,
        LinkKind::Tun,
        LinkKind::Tap,
    ])
}

fn destination() -> impl Strategy<Value = Prefix> {
    let texts = [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "192.168.1.0/24",
        "203.0.113.0/24",
        "203.0.113.10/32",
        "198.51.100.7/32",
        "::/0",
        "2001:db8::/32",
        "2001:db8:5::10/128",
        "255.255.255.255/32",
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn next_hop() -> impl Strategy<Value = Option<std::net::IpAddr>> {
    let texts = [
        "192.168.1.1",
        "192.168.2.1",
        "10.9.9.9",
        "fe80::1",
        "2001:db8:77::1",
    ];
    prop::option::of(prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap()))
}

fn route(link: u32, destination: &str, via: Option<&str>, metric: u32) -> Route {
    Route {
        link,
        destination: destination.parse().unwrap(),
        via: via.map(|via| via.parse().unwrap()),
        metric,
    }
}

fn address(link: u32, text: &str) -> Address {
    Address::new(link, text.parse().unwrap())
}
