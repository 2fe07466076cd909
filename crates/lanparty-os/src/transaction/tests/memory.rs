//! A host in memory, with the failures that a real one has, and changes for it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use lanparty_wire::host::Metric;
use proptest::prelude::*;

use super::super::*;

/// A host as maps, with the failures that a real one has.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct MemoryHost {
    pub(super) taps: BTreeMap<String, Mac>,
    pub(super) sysctls: BTreeMap<String, String>,
    pub(super) addresses: BTreeSet<(String, Prefix)>,
    pub(super) routes: BTreeSet<(String, Prefix, u32)>,
    pub(super) files: BTreeMap<PathBuf, String>,
    pub(super) features: BTreeMap<(String, String), bool>,
    pub(super) metrics: BTreeMap<(String, Family), Metric>,
    pub(super) categories: BTreeMap<String, Category>,
    pub(super) plugged_in: BTreeSet<String>,
    pub(super) steady: BTreeSet<String>,
}

#[derive(Default)]
pub(super) struct Faulty {
    pub(super) state: MemoryHost,
    /// Changes are not made, as if the process had ended just before.
    pub(super) deaf: bool,
    /// The process ends while undoing, after so many.
    pub(super) crash_after: Option<usize>,
    /// A setting that cannot be written.
    pub(super) refuses: Option<String>,
}

#[derive(Clone)]
pub(super) struct Shared(pub(super) Rc<RefCell<Faulty>>);

impl Shared {
    pub(super) fn new(state: MemoryHost) -> Shared {
        Shared(Rc::new(RefCell::new(Faulty {
            state,
            ..Faulty::default()
        })))
    }
}

impl Host for Shared {
    type Device = ();

    fn way_back(&mut self, change: &Change) -> Result<Option<Undo>, HostError> {
        let host = &self.0.borrow().state;
        let unknown = || HostError::Unknown { what: "that".into() };
        Ok(match change.clone() {
            Change::CreateTap { name, mac, .. } => Some(Undo::RemoveTap { name, mac }),
            Change::SetSysctl { key, value } => {
                let previous = host.sysctls.get(&key).ok_or_else(unknown)?.clone();
                (previous != value).then_some(Undo::RestoreSysctl {
                    key,
                    previous,
                    ours: value,
                })
            }
            Change::AddAddress { interface, address } => {
                let there = host.addresses.contains(&(interface.clone(), address));
                (!there).then_some(Undo::RemoveAddress { interface, address })
            }
            Change::AddRoute {
                interface,
                destination,
                via,
                metric,
            } => {
                let there = host.routes.contains(&(interface.clone(), destination, metric));
                (!there).then_some(Undo::RemoveRoute {
                    interface,
                    destination,
                    via,
                    metric,
                })
            }
            Change::WriteFile { path, content, owner } => {
                let previous = host.files.get(&path).cloned();
                let there = previous.as_ref() == Some(&content);
                (!there).then_some(Undo::RestoreFile {
                    path,
                    previous,
                    ours: content,
                    owner,
                })
            }
            Change::SetFeature {
                interface,
                feature,
                enabled,
            } => {
                let key = (interface.clone(), feature.clone());
                let previous = *host.features.get(&key).ok_or_else(unknown)?;
                (previous != enabled).then_some(Undo::RestoreFeature {
                    interface,
                    feature,
                    previous,
                    ours: enabled,
                })
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => {
                let known = host.metrics.get(&(interface.clone(), family));
                let previous = IpSetting::Metric(*known.ok_or_else(unknown)?);
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
                let previous = *host.categories.get(&interface).ok_or_else(unknown)?;
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
        })
    }

    fn make(&mut self, change: &Change) -> Result<Option<()>, HostError> {
        let mut faulty = self.0.borrow_mut();
        if faulty.deaf {
            return Ok(None);
        }
        let host = &mut faulty.state;
        match change.clone() {
            Change::CreateTap { name, mac, .. } if host.taps.contains_key(&name) => {
                let _ = mac;
                return Err(HostError::Device(DeviceError::Exists { name }));
            }
            Change::CreateTap { name, mac, .. } => drop(host.taps.insert(name, mac)),
            Change::SetSysctl { key, value } => drop(host.sysctls.insert(key, value)),
            Change::AddAddress { interface, address } => drop(host.addresses.insert((interface, address))),
            Change::AddRoute {
                interface,
                destination,
                metric,
                ..
            } => {
                host.routes.insert((interface, destination, metric));
            }
            Change::WriteFile { path, content, .. } => drop(host.files.insert(path, content)),
            Change::SetFeature {
                interface,
                feature,
                enabled,
            } => {
                host.features.insert((interface, feature), enabled);
            }
            Change::SetIp {
                interface,
                family,
                setting: IpSetting::Metric(metric),
            } => {
                host.metrics.insert((interface, family), metric);
            }
            Change::SetIp { .. } => {}
            Change::SetCategory { interface, category } => {
                host.categories.insert(interface, category);
            }
            Change::PlugIn { interface } => drop(host.plugged_in.insert(interface)),
            Change::SteadyWifi { interface } => drop(host.steady.insert(interface)),
        }
        Ok(None)
    }

    fn go_back(&mut self, undo: &Undo) -> Result<(), HostError> {
        let mut faulty = self.0.borrow_mut();
        if let Some(left) = &mut faulty.crash_after {
            let Some(less) = left.checked_sub(1) else {
                drop(faulty);
                std::panic::resume_unwind(Box::new("the process ends here"));
            };
            *left = less;
        }
        if let Undo::RestoreSysctl { key, .. } = undo
            && faulty.refuses.as_ref() == Some(key)
        {
            return Err(HostError::Io(io::Error::from(io::ErrorKind::PermissionDenied)));
        }
        let host = &mut faulty.state;
        match undo.clone() {
            Undo::RemoveTap { name, mac } => {
                host.taps
                    .retain(|known, address| (known, *address) != (&name, mac));
            }
            Undo::RestoreSysctl { key, previous, ours } => {
                restore(&mut host.sysctls, key, previous, ours);
            }
            Undo::RemoveAddress { interface, address } => drop(host.addresses.remove(&(interface, address))),
            Undo::RemoveRoute {
                interface,
                destination,
                metric,
                ..
            } => {
                host.routes.remove(&(interface, destination, metric));
            }
            Undo::RestoreFile {
                path, previous, ours, ..
            } if host.files.get(&path) == Some(&ours) => match previous {
                Some(previous) => drop(host.files.insert(path, previous)),
                None => drop(host.files.remove(&path)),
            },
            Undo::RestoreFile { .. } => {}
            Undo::RestoreFeature {
                interface,
                feature,
                previous,
                ours,
            } => {
                restore(&mut host.features, (interface, feature), previous, ours);
            }
            Undo::RestoreIp {
                interface,
                family,
                previous: IpSetting::Metric(previous),
                ours: IpSetting::Metric(ours),
            } => restore(&mut host.metrics, (interface, family), previous, ours),
            Undo::RestoreIp { .. } => {}
            Undo::RestoreCategory {
                interface,
                previous,
                ours,
            } => restore(&mut host.categories, interface, previous, ours),
            Undo::PullOut { interface } => drop(host.plugged_in.remove(&interface)),
            Undo::UnsteadyWifi { interface } => drop(host.steady.remove(&interface)),
        }
        Ok(())
    }
}

fn restore<K: Ord, V: PartialEq>(of: &mut BTreeMap<K, V>, key: K, previous: V, ours: V) {
    if let Some(now) = of.get_mut(&key)
        && *now == ours
    {
        *now = previous;
    }
}

pub(super) fn memory_host() -> impl Strategy<Value = MemoryHost> {
    let sysctls = prop::collection::btree_map(word(), value(), 0..3);
    let addresses = prop::collection::btree_set((word(), prefix()), 0..3);
    let routes = prop::collection::btree_set((word(), prefix(), 0u32..2), 0..3);
    let files = prop::collection::btree_map(word().prop_map(PathBuf::from), value(), 0..3);
    let features = prop::collection::btree_map((word(), word()), any::<bool>(), 0..4);
    let metrics = prop::collection::btree_map((word(), family()), metric(), 0..4);
    let categories = prop::collection::btree_map(word(), category(), 0..3);
    let cables = prop::collection::btree_set(word(), 0..2);
    // A TAP that was there before has an address that is not ours.
    let taps = prop::collection::btree_map(word(), Just(Mac([2, 9, 9, 9, 9, 9])), 0..2);
    let windows = (metrics, categories, cables);
    (taps, sysctls, addresses, routes, files, features, windows).prop_map(
        |(taps, sysctls, addresses, routes, files, features, (metrics, categories, plugged_in))| MemoryHost {
            taps,
            sysctls,
            addresses,
            routes,
            files,
            features,
            metrics,
            categories,
            plugged_in,
            // Nobody else does it.
            steady: BTreeSet::new(),
        },
    )
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        word().prop_map(|name| Change::CreateTap {
            name,
            mac: Mac([2, 0, 0, 0, 0, 1])
        }),
        (word(), value()).prop_map(|(key, value)| Change::SetSysctl { key, value }),
        (word(), prefix()).prop_map(|(interface, address)| Change::AddAddress { interface, address }),
        (word(), prefix(), 0u32..2).prop_map(|(interface, destination, metric)| Change::AddRoute {
            interface,
            destination,
            via: None,
            metric
        }),
        (word(), value()).prop_map(|(path, content)| Change::WriteFile {
            path: path.into(),
            content,
            owner: None
        }),
        (word(), word(), any::<bool>()).prop_map(|(interface, feature, enabled)| Change::SetFeature {
            interface,
            feature,
            enabled
        }),
        (word(), family(), metric()).prop_map(|(interface, family, metric)| Change::SetIp {
            interface,
            family,
            setting: IpSetting::Metric(metric)
        }),
        (word(), category()).prop_map(|(interface, category)| Change::SetCategory { interface, category }),
        word().prop_map(|interface| Change::PlugIn { interface }),
        word().prop_map(|interface| Change::SteadyWifi { interface }),
    ]
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(&Family::ALL[..])
}

fn metric() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::Automatic(25)), (1u32..3).prop_map(Metric::Fixed)]
}

fn category() -> impl Strategy<Value = Category> {
    prop::sample::select(vec![Category::Public, Category::Private, Category::Domain])
}

/// Few of each, so that changes meet each other.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a".to_owned(), "b".to_owned()])
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["0".to_owned(), "1".to_owned(), "2".to_owned()])
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop::sample::select(vec!["10.0.0.1/8", "192.0.2.1/24"]).prop_map(|text| text.parse().unwrap())
}
