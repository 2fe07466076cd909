//! What Windows is to look like. The adapter stays for the next evening, so its settings are put back; Windows' own DHCP client puts the
//! address on; and the relay has a route of its own, beside the socket that is bound to its interface.

use std::net::IpAddr;

use lanparty_core::host::windows::{Goal, Trouble, plan, verify};
use lanparty_os::{
    device::{DeviceError, tap::TapControl},
    network,
    transaction::TransactionError,
};
use lanparty_wire::{
    Mac,
    host::{Category, Change, IpSetting, Prefix, Snapshot},
};

pub(super) struct Wanted(Goal);

impl Wanted {
    pub(super) fn new(tap: String, mac: Mac, mtu: u16, lan_games: bool) -> Wanted {
        Wanted(Goal {
            tap,
            mac,
            relay: Vec::new(),
            mtu: Some(mtu),
            plugged_in: false,
            broadcasts: lan_games,
        })
    }

    pub(super) fn tap(&self) -> &str {
        &self.0.tap
    }

    pub(super) fn mac(&self) -> Mac {
        self.0.mac
    }

    pub(super) fn plan(&self, snapshot: &Snapshot) -> Vec<Change> {
        plan(snapshot, &self.0)
    }

    pub(super) fn set_created(&mut self, _created: bool) {}

    /// What a new adapter is planned from: which families of addresses it has is the machine's affair. Without it both are tried.
    pub(super) fn first_look() -> Snapshot {
        network::snapshot().unwrap_or_default()
    }

    pub(super) fn set_lease(&mut self, _lease: Option<Prefix>) {}

    pub(super) fn set_lan_games(&mut self, wanted: bool) {
        self.0.broadcasts = wanted;
    }

    pub(super) fn set_relay(&mut self, relay: Option<IpAddr>) {
        // One on this machine needs no way.
        self.0.relay = relay.into_iter().filter(|relay| !relay.is_loopback()).collect();
    }

    /// The cable is a change like others, behind the route to the relay.
    pub(super) fn connect(&mut self, _tap: &TapControl) -> Result<(), DeviceError> {
        self.0.plugged_in = true;
        Ok(())
    }

    /// Without these an evening would be no use, or would move the way to the internet. A family of addresses that the machine has not got
    /// needs no settings.
    pub(super) fn can_do_without(change: &Change, error: &TransactionError) -> bool {
        match change {
            Change::CreateTap { .. } | Change::PlugIn { .. } => false,
            Change::SetIp {
                setting: IpSetting::DefaultRoutes(_),
                ..
            } => error.is_unknown(),
            Change::SetIp { .. }
            | Change::AddRoute { .. }
            | Change::AddAddress { .. }
            | Change::SetCategory { .. }
            | Change::SteadyWifi { .. }
            | Change::SetSysctl { .. }
            | Change::WriteFile { .. }
            | Change::SetFeature { .. } => true,
        }
    }

    /// Windows looks at a network for some seconds after the cable is in, and calls nobody when it has come to a category.
    pub(super) fn is_settled(&self, snapshot: &Snapshot) -> bool {
        let tap = snapshot.link_named(&self.0.tap);
        let category = tap.and_then(|tap| snapshot.category_of(tap.index));
        !self.0.plugged_in || matches!(category, Some(Category::Private | Category::Domain))
    }

    /// What a player should know, beside [`warnings`](lanparty_core::host::warnings), which tell of default routes.
    pub(super) fn troubles(&self, snapshot: &Snapshot) -> Vec<String> {
        let untold = |trouble: &Trouble| !matches!(trouble, Trouble::DefaultRoute { .. });
        let troubles = verify(snapshot, &self.0).into_iter().filter(untold);
        troubles.map(|trouble| trouble.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use lanparty_os::transaction::Transaction;
    use lanparty_wire::host::{Link, LinkKind};

    use super::*;

    #[test]
    fn the_cable_is_planned_only_when_the_room_is_joined() {
        let (mut wanted, snapshot) = (wanted(), Snapshot::default());
        let is_plug = |change: &Change| matches!(change, Change::PlugIn { .. });
        assert!(!wanted.plan(&snapshot).iter().any(is_plug));
        wanted.0.plugged_in = true;
        assert!(wanted.plan(&snapshot).iter().any(is_plug));
    }

    #[test]
    fn a_network_is_looked_at_until_windows_takes_it_for_a_private_one() {
        let mut wanted = wanted();
        let mut snapshot = Snapshot {
            links: vec![Link::new(9, "lanparty0", LinkKind::Tap)],
            ..Snapshot::default()
        };
        assert!(wanted.is_settled(&snapshot), "the cable is out");
        wanted.0.plugged_in = true;
        assert!(!wanted.is_settled(&snapshot));
        snapshot.categories = vec![(9, Category::Public)];
        assert!(!wanted.is_settled(&snapshot));
        assert_eq!(wanted.troubles(&snapshot).len(), 1);
        snapshot.categories = vec![(9, Category::Private)];
        assert!(wanted.is_settled(&snapshot));
        assert!(wanted.troubles(&snapshot).is_empty());
    }

    #[test]
    fn what_this_machine_has_not_got_is_left_out_and_the_rest_of_a_plan_goes_on() {
        let state = tempfile::tempdir().unwrap();
        let mut transaction = Transaction::open(state.path()).unwrap();
        let mut wanted = wanted();
        wanted.0.plugged_in = true;
        // There is no adapter of this name, so nothing of its plan can be made.
        for change in wanted.plan(&Snapshot::default()) {
            if matches!(change, Change::CreateTap { .. }) {
                continue;
            }
            let error = transaction.apply(&change).unwrap_err();
            let is_cable = matches!(change, Change::PlugIn { .. });
            assert_eq!(
                Wanted::can_do_without(&change, &error),
                !is_cable,
                "{change}: {error}"
            );
        }
        assert!(transaction.rollback().unwrap().failed.is_empty());
    }

    fn wanted() -> Wanted {
        Wanted::new("lanparty0".into(), Mac([2, 0, 0, 0, 0, 7]), 1500, true)
    }
}
