//! The adapter on this machine, and everything that hangs on it.
//!
//! What the machine is to look like is planned by `core::host`; here a plan is compared with what was done before, and only the
//! difference is applied, as one transaction. So a new lease changes one address and two routes, and leaving undoes all of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanparty_core::host::{Goal, plan};
use lanparty_os::{
    device::{
        DeviceError,
        tap::{Tap, TapControl, TapOptions},
    },
    network_manager, sysctl,
    transaction::{Transaction, TransactionError, Undone},
};
use lanparty_wire::{
    Mac,
    host::{Change, Prefix, Snapshot},
};

/// RFC 8200, section 5.
const IPV6_MIN_MTU: u16 = 1280;

/// Why the adapter is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("could not prepare this machine")]
    Transaction(#[from] TransactionError),
    #[error("could not switch the adapter")]
    Device(#[from] DeviceError),
    #[error(
        "the adapter {name} has the address {actual} instead of {wanted}; is another program changing it?"
    )]
    WrongMac { name: String, actual: Mac, wanted: Mac },
}

/// The adapter. Shared, because the endpoint asks for a new TAP when somebody has removed the old one.
#[derive(Clone)]
pub struct Adapter(Arc<Mutex<Inner>>);

struct Inner {
    transaction: Transaction,
    goal: Goal,
    mtu: u16,
    applied: Vec<Change>,
    tap: Option<TapControl>,
    /// Whether the room is joined; what the link of a re-created TAP is to be.
    up: bool,
}

impl Adapter {
    /// Begins with what a crashed process left undone. Nothing is changed yet.
    pub fn new(transaction: Transaction, tap: String, mac: Mac, mtu: u16, lan_games: bool) -> Adapter {
        let unmanaged = network_manager::leave_alone(&tap);
        let goal = Goal {
            tap,
            mac,
            unmanaged,
            settings: Vec::new(),
            lease: None,
            lan_games,
        };
        Adapter(Arc::new(Mutex::new(Inner {
            transaction,
            goal,
            mtu,
            applied: Vec::new(),
            tap: None,
            up: false,
        })))
    }

    /// Creates the TAP, with its link down until the room is joined. A TAP that is gone is created anew with all that hung on it.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The name is taken, or the system does not allow it.
    pub fn create(&self) -> Result<Tap, AdapterError> {
        let mut inner = self.lock();
        inner.tap = None;
        inner.rollback()?;
        inner.create()
    }

    /// The room is joined: games may use the adapter.
    ///
    /// # Errors
    /// The TAP is gone, or the system refuses.
    pub fn link_up(&self) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.up = true;
        inner.switch()
    }

    /// Uses another address of the party's, or none.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lease(&self, snapshot: &Snapshot, lease: Option<Prefix>) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.goal.lease = lease;
        inner.reconcile(snapshot)
    }

    /// Whether broadcasts of games leave through the adapter.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lan_games(&self, snapshot: &Snapshot, wanted: bool) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.goal.lan_games = wanted;
        inner.reconcile(snapshot)
    }

    /// The machine's network has changed by other hands; does what follows from that.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn refresh(&self, snapshot: &Snapshot) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.forget_lost(snapshot);
        inner.reconcile(snapshot)
    }

    /// Takes the link down and undoes everything. What could not be undone stays in the journal for the next start.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn close(&self) -> Result<Undone, AdapterError> {
        let mut inner = self.lock();
        inner.up = false;
        if let Some(tap) = inner.tap.take() {
            // It may be gone already, which is where this leads anyway.
            let _ = tap.set_link(false);
        }
        inner.rollback()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What was applied is noted change by change, so a panic in between leaves nothing half known.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn create(&mut self) -> Result<Tap, AdapterError> {
        let name = self.goal.tap.clone();
        self.goal.settings.clear();
        let mut created = None;
        for change in plan(&Snapshot::default(), &self.goal) {
            if let Change::CreateTap { name, mac } = &change {
                let options = TapOptions {
                    name: name.clone(),
                    mac: *mac,
                    mtu: self.mtu,
                };
                created = Some(self.transaction.create_tap(&options)?);
                self.applied.push(change);
                break;
            }
            self.apply(change)?;
        }
        let Some(tap) = created else {
            return Err(DeviceError::Down { device: name }.into());
        };
        let control = tap.control();
        let (actual, wanted) = (control.mac()?, self.goal.mac);
        if actual != wanted {
            return Err(AdapterError::WrongMac { name, actual, wanted });
        }
        self.tap = Some(control);
        self.goal.settings = sysctl::quiet_ipv4(&name);
        // Below that MTU the kernel gives the interface no IPv6, and no settings for it.
        if self.mtu >= IPV6_MIN_MTU {
            self.goal.settings.extend(sysctl::quiet_ipv6(&name));
        }
        if self.up {
            self.switch()?;
        }
        self.reconcile(&Snapshot::default())?;
        Ok(tap)
    }

    /// Link before carrier, so that whoever waits for the carrier finds the link up.
    fn switch(&mut self) -> Result<(), AdapterError> {
        if let Some(tap) = &self.tap {
            tap.set_link(true)?;
            tap.set_carrier(true)?;
        }
        Ok(())
    }

    /// Routes vanish when somebody takes the link down for a moment; what is not there any more has to be applied again.
    fn forget_lost(&mut self, snapshot: &Snapshot) {
        let Some(link) = snapshot.link_named(&self.goal.tap).filter(|link| link.up) else {
            return;
        };
        self.applied.retain(|change| match change {
            Change::AddAddress { address, .. } => {
                snapshot.addresses_of(link.index).any(|a| a.address == *address)
            }
            Change::AddRoute { destination, .. } => snapshot
                .routes
                .iter()
                .any(|route| (route.link, route.destination) == (link.index, *destination)),
            Change::CreateTap { .. }
            | Change::SetSysctl { .. }
            | Change::WriteFile { .. }
            | Change::SetFeature { .. }
            | Change::SetIp { .. }
            | Change::SetCategory { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. } => true,
        });
    }

    /// From what was applied to what is planned now: first what is gone, newest first, then what is new.
    fn reconcile(&mut self, snapshot: &Snapshot) -> Result<(), AdapterError> {
        if self.tap.is_none() {
            return Ok(());
        }
        let planned = plan(snapshot, &self.goal);
        let gone: Vec<Change> = self
            .applied
            .iter()
            .filter(|change| !planned.contains(change))
            .cloned()
            .collect();
        for change in gone.into_iter().rev() {
            tracing::info!(%change, "taking back");
            self.transaction.take_back(&change)?;
            self.applied.retain(|applied| *applied != change);
        }
        for change in planned {
            if !self.applied.contains(&change) {
                self.apply(change)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) -> Result<(), AdapterError> {
        tracing::debug!(%change, "applying");
        self.transaction.apply(&change)?;
        self.applied.push(change);
        Ok(())
    }

    fn rollback(&mut self) -> Result<Undone, AdapterError> {
        self.applied.clear();
        Ok(self.transaction.rollback()?)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
