//! The adapter on this machine, and everything that hangs on it.
//!
//! What the machine is to look like is planned by `core::host`, which each system's `Wanted` asks in its own way; here a plan is
//! compared with what was done before, and only the difference is applied, as one transaction. So a new lease changes one address and
//! two routes, and leaving undoes all of it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lanparty_api::cli::{ExitCode, Failure};
use lanparty_os::{
    device::{
        DeviceError,
        tap::{Tap, TapControl, TapOptions},
    },
    transaction::{Transaction, TransactionError, Undone},
};
use lanparty_wire::{
    Mac,
    host::{Change, Prefix, Snapshot},
};

#[cfg(target_os = "linux")]
use linux::Wanted;
#[cfg(windows)]
use windows::Wanted;

/// So often a system is looked at that does not say when it is ready, at most, after each time that the room was joined; once a second.
const LOOKS: u32 = 60;

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
    wanted: Wanted,
    mtu: u16,
    applied: Vec<Change>,
    /// What the system would not do, and we do without; tried again with each plan, and told once.
    refused: Vec<Change>,
    tap: Option<TapControl>,
    /// Whether the room is joined; what the link of a re-created TAP is to be.
    up: bool,
    /// How often the system is still to be looked at although it has told of nothing.
    looks: u32,
}

impl Adapter {
    /// Begins with what a crashed process left undone. Nothing is changed yet.
    pub fn new(transaction: Transaction, tap: String, mac: Mac, mtu: u16, lan_games: bool) -> Adapter {
        Adapter(Arc::new(Mutex::new(Inner {
            transaction,
            wanted: Wanted::new(tap, mac, mtu, lan_games),
            mtu,
            applied: Vec::new(),
            refused: Vec::new(),
            tap: None,
            up: false,
            looks: 0,
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
        inner.looks = LOOKS;
        inner.switch()
    }

    /// Uses another address of the party's, or none.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lease(&self, snapshot: &Snapshot, lease: Option<Prefix>) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.wanted.set_lease(lease);
        inner.reconcile(snapshot)
    }

    /// Whether broadcasts of games leave through the adapter.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn set_lan_games(&self, snapshot: &Snapshot, wanted: bool) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.wanted.set_lan_games(wanted);
        inner.reconcile(snapshot)
    }

    /// The machine's network has changed by other hands, or the relay has another address; does what follows from that.
    ///
    /// # Errors
    /// The system refuses a change.
    pub fn refresh(&self, snapshot: &Snapshot, relay: Option<IpAddr>) -> Result<(), AdapterError> {
        let mut inner = self.lock();
        inner.looks = match inner.wanted.is_settled(snapshot) {
            true => 0,
            false => inner.looks.saturating_sub(1),
        };
        inner.wanted.set_relay(relay);
        inner.forget_lost(snapshot);
        inner.reconcile(snapshot)
    }

    /// Whether the machine is to be looked at again soon, although it tells of no change.
    pub fn wants_look(&self) -> bool {
        self.lock().looks > 0
    }

    /// What a player should know of this machine.
    pub fn troubles(&self, snapshot: &Snapshot) -> Vec<String> {
        self.lock().wanted.troubles(snapshot)
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
        let name = self.wanted.tap().to_owned();
        self.wanted.set_created(false);
        let mut created = None;
        for change in self.wanted.plan(&Snapshot::default()) {
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
        let (actual, wanted) = (control.mac()?, self.wanted.mac());
        if actual != wanted {
            return Err(AdapterError::WrongMac { name, actual, wanted });
        }
        self.tap = Some(control);
        self.wanted.set_created(true);
        if self.up {
            self.switch()?;
        }
        self.reconcile(&Wanted::first_look())?;
        Ok(tap)
    }

    fn switch(&mut self) -> Result<(), AdapterError> {
        if let Some(tap) = &self.tap {
            self.wanted.connect(tap)?;
        }
        Ok(())
    }

    /// Routes vanish when somebody takes the link down for a moment; what is not there any more has to be applied again.
    fn forget_lost(&mut self, snapshot: &Snapshot) {
        let up = |name: &str| snapshot.link_named(name).filter(|link| link.up);
        if up(self.wanted.tap()).is_none() {
            return;
        }
        self.applied.retain(|change| match change {
            Change::AddAddress { interface, address } => snapshot.has_address(interface, *address),
            Change::AddRoute {
                interface,
                destination,
                ..
            } => up(interface).is_none_or(|link| {
                let mut routes = snapshot.routes.iter();
                routes.any(|route| (route.link, route.destination) == (link.index, *destination))
            }),
            Change::SetCategory { interface, category } => {
                let link = snapshot.link_named(interface);
                link.and_then(|link| snapshot.category_of(link.index)) == Some(*category)
            }
            Change::CreateTap { .. }
            | Change::SetSysctl { .. }
            | Change::WriteFile { .. }
            | Change::SetFeature { .. }
            | Change::SetIp { .. }
            | Change::PlugIn { .. }
            | Change::SteadyWifi { .. } => true,
        });
    }

    /// From what was applied to what is planned now: first what is gone, newest first, then what is new.
    fn reconcile(&mut self, snapshot: &Snapshot) -> Result<(), AdapterError> {
        if self.tap.is_none() {
            return Ok(());
        }
        let planned = self.wanted.plan(snapshot);
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
        match self.transaction.apply(&change) {
            Ok(()) => {
                self.refused.retain(|refused| *refused != change);
                self.applied.push(change);
            }
            Err(error) if Wanted::can_do_without(&change, &error) => {
                if !self.refused.contains(&change) {
                    tracing::warn!(%change, "left out: {}", Failure::new(ExitCode::Host, error).reason());
                    self.refused.push(change);
                }
            }
            Err(error) => return Err(error.into()),
        }
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
