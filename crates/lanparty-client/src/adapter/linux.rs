//! What Linux is to look like. The TAP goes with the program, an address is put on by us, and the socket to the relay is bound to its
//! interface by the kernel, so that no route of its own is needed.

use std::net::IpAddr;

use lanparty_core::host::{Goal, plan};
use lanparty_os::{
    device::{DeviceError, tap::TapControl},
    network_manager, sysctl,
    transaction::TransactionError,
};
use lanparty_wire::{
    Mac,
    host::{Change, Prefix, Snapshot},
};

/// RFC 8200, section 5.
const IPV6_MIN_MTU: u16 = 1280;

pub(super) struct Wanted {
    goal: Goal,
    mtu: u16,
}

impl Wanted {
    pub(super) fn new(tap: String, mac: Mac, mtu: u16, lan_games: bool) -> Wanted {
        let unmanaged = network_manager::leave_alone(&tap);
        let goal = Goal {
            tap,
            mac,
            unmanaged,
            settings: Vec::new(),
            lease: None,
            lan_games,
        };
        Wanted { goal, mtu }
    }

    pub(super) fn tap(&self) -> &str {
        &self.goal.tap
    }

    pub(super) fn mac(&self) -> Mac {
        self.goal.mac
    }

    pub(super) fn plan(&self, snapshot: &Snapshot) -> Vec<Change> {
        plan(snapshot, &self.goal)
    }

    /// What this kernel has for a TAP can be told only once there is one.
    pub(super) fn set_created(&mut self, created: bool) {
        self.goal.settings.clear();
        if !created {
            return;
        }
        self.goal.settings = sysctl::quiet_ipv4(&self.goal.tap);
        // Below that MTU the kernel gives the interface no IPv6, and no settings for it.
        if self.mtu >= IPV6_MIN_MTU {
            self.goal.settings.extend(sysctl::quiet_ipv6(&self.goal.tap));
        }
    }

    /// What a new TAP is planned from: nobody has had time to do anything to it.
    pub(super) fn first_look() -> Snapshot {
        Snapshot::default()
    }

    pub(super) fn set_lease(&mut self, lease: Option<Prefix>) {
        self.goal.lease = lease;
    }

    pub(super) fn set_lan_games(&mut self, wanted: bool) {
        self.goal.lan_games = wanted;
    }

    pub(super) fn set_relay(&mut self, _relay: Option<IpAddr>) {}

    /// Link before carrier, so that whoever waits for the carrier finds the link up.
    pub(super) fn connect(&mut self, tap: &TapControl) -> Result<(), DeviceError> {
        tap.set_link(true)?;
        tap.set_carrier(true)
    }

    /// Whether an evening goes on without a change that could not be made.
    pub(super) fn can_do_without(_change: &Change, _error: &TransactionError) -> bool {
        false
    }

    /// Whether nothing is waited for that nobody tells of.
    pub(super) fn is_settled(&self, _snapshot: &Snapshot) -> bool {
        true
    }

    /// What a player should know, beside [`warnings`](lanparty_core::host::warnings).
    pub(super) fn troubles(&self, _snapshot: &Snapshot) -> Vec<String> {
        Vec::new()
    }
}
