//! Changes to this host as a transaction: everything that is done can be undone, even if the power goes in between.
//!
//! Before the host is touched, the way back is written to a journal and is on the disk. On exit the changes are
//! undone newest first; after a crash the next start finds the journal and does the same. Undoing is idempotent and
//! modest: what is already gone counts as undone, and what somebody else has changed since is left alone, as it is
//! no longer ours.
//!
//! A change takes milliseconds, on the disk above all, and blocks its thread for that long; it belongs to set-up
//! and to rare events.

mod journal;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
#[cfg(windows)]
mod windows;

use std::{io, net::IpAddr, path::Path, path::PathBuf};

use journal::Journal;
use lanparty_wire::{
    Mac,
    host::{Category, Change, Family, IpSetting, Owner, Prefix},
};
#[cfg(target_os = "linux")]
use linux as imp;
use serde::{Deserialize, Serialize};
#[cfg(windows)]
use windows as imp;

use crate::{
    device::{
        DeviceError,
        tap::{Tap, TapOptions},
    },
    dirs::DirError,
    network::NetworkError,
};

pub use imp::ThisHost;

/// The way back from one change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// Remove the TAP, if it is still the one with this address.
    RemoveTap {
        name: String,
        mac: Mac,
    },
    /// Put the previous value back, if the current one is ours.
    RestoreSysctl {
        key: String,
        previous: String,
        ours: String,
    },
    RemoveAddress {
        interface: String,
        address: Prefix,
    },
    RemoveRoute {
        interface: String,
        destination: Prefix,
        via: Option<IpAddr>,
        metric: u32,
    },
    /// Put the previous content back, or remove the file, if the current content is ours.
    RestoreFile {
        path: PathBuf,
        previous: Option<String>,
        ours: String,
        owner: Option<Owner>,
    },
    /// Put the previous setting back, if the current one is ours.
    RestoreFeature {
        interface: String,
        feature: String,
        previous: bool,
        ours: bool,
    },
    /// Put the previous setting back, if the current one is ours.
    RestoreIp {
        interface: String,
        family: Family,
        previous: IpSetting,
        ours: IpSetting,
    },
    /// Put the previous category back, if the current one is ours.
    RestoreCategory {
        interface: String,
        previous: Category,
        ours: Category,
    },
    /// Pull the TAP's cable.
    PullOut {
        interface: String,
    },
    /// Wi-Fi may look for other networks again.
    UnsteadyWifi {
        interface: String,
    },
}

impl Undo {
    /// Whether this is the way back from that change.
    fn is_from(&self, change: &Change) -> bool {
        match (self, change) {
            (Undo::RemoveTap { name, mac }, Change::CreateTap { name: n, mac: m, .. }) => {
                (name, mac) == (n, m)
            }
            (Undo::RestoreSysctl { key, ours, .. }, Change::SetSysctl { key: k, value }) => {
                (key, ours) == (k, value)
            }
            (
                Undo::RemoveAddress { interface, address },
                Change::AddAddress {
                    interface: i,
                    address: a,
                },
            ) => (interface, address) == (i, a),
            (
                Undo::RemoveRoute {
                    interface,
                    destination,
                    via,
                    metric,
                },
                Change::AddRoute {
                    interface: i,
                    destination: d,
                    via: v,
                    metric: m,
                },
            ) => (interface, destination, via, metric) == (i, d, v, m),
            (Undo::RestoreFile { path, ours, .. }, Change::WriteFile { path: p, content, .. }) => {
                (path, ours) == (p, content)
            }
            (
                Undo::RestoreFeature {
                    interface,
                    feature,
                    ours,
                    ..
                },
                Change::SetFeature {
                    interface: i,
                    feature: f,
                    enabled,
                },
            ) => (interface, feature, ours) == (i, f, enabled),
            (
                Undo::RestoreIp {
                    interface,
                    family,
                    ours,
                    ..
                },
                Change::SetIp {
                    interface: i,
                    family: f,
                    setting,
                },
            ) => (interface, family, ours) == (i, f, setting),
            (
                Undo::RestoreCategory { interface, ours, .. },
                Change::SetCategory {
                    interface: i,
                    category,
                },
            ) => (interface, ours) == (i, category),
            (Undo::PullOut { interface }, Change::PlugIn { interface: i })
            | (Undo::UnsteadyWifi { interface }, Change::SteadyWifi { interface: i }) => interface == i,
            (
                Undo::RemoveTap { .. }
                | Undo::RestoreSysctl { .. }
                | Undo::RemoveAddress { .. }
                | Undo::RemoveRoute { .. }
                | Undo::RestoreFile { .. }
                | Undo::RestoreFeature { .. }
                | Undo::RestoreIp { .. }
                | Undo::RestoreCategory { .. }
                | Undo::PullOut { .. }
                | Undo::UnsteadyWifi { .. },
                _,
            ) => false,
        }
    }
}

/// Whoever makes changes: this machine, or in tests one in memory.
pub trait Host {
    /// What a change may bring into being.
    type Device;

    /// The way back, found out before anything is done; `None` if the change would change nothing.
    ///
    /// # Errors
    /// When the current state cannot be read.
    fn way_back(&mut self, change: &Change) -> Result<Option<Undo>, HostError>;

    /// Makes the change.
    ///
    /// # Errors
    /// When the host refuses it.
    fn make(&mut self, change: &Change) -> Result<Option<Self::Device>, HostError>;

    /// Goes the way back. Has to be idempotent.
    ///
    /// # Errors
    /// When the host refuses it.
    fn go_back(&mut self, undo: &Undo) -> Result<(), HostError>;
}

/// Why a change could not be made or undone; its context is in the error around it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this system has no {what}")]
    Unknown { what: String },
    #[error("changing this platform's network is not supported yet")]
    Unsupported,
}

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    #[error("could not {change}")]
    Change { change: Box<Change>, source: HostError },
    #[error("could not take back: {change}")]
    TakeBack { change: Box<Change>, source: HostError },
    #[error("could not write the journal of changes to this machine")]
    Write { source: DirError },
    #[error("could not read the journal of changes to this machine, {}; what it lists may have to be undone by hand", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not learn this process's identity for the journal of changes")]
    Identity { source: io::Error },
    #[error("the changes in {} belong to process {pid}, which is still running", path.display())]
    OwnerAlive { path: PathBuf, pid: u32 },
}

impl TransactionError {
    /// True if the system simply has no such setting or feature, which for one that is to be switched off may be well.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            TransactionError::Change {
                source: HostError::Unknown { .. },
                ..
            }
        )
    }
}

/// What was undone, and what could not be.
#[derive(Debug, Default)]
pub struct Undone {
    pub count: usize,
    /// These stay in the journal, and the next start tries again.
    pub failed: Vec<(Undo, HostError)>,
}

/// Changes to a host that are undone when this is dropped.
pub struct Transaction<H: Host = ThisHost> {
    host: H,
    journal: Journal,
}

impl Transaction<ThisHost> {
    /// Undoes what a crashed process left in this state directory, and begins anew.
    ///
    /// # Errors
    /// [`TransactionError::OwnerAlive`] if the process that left it still runs.
    pub fn open(state_dir: &Path) -> Result<Transaction, TransactionError> {
        Transaction::open_on(ThisHost::default(), state_dir)
    }

    /// Creates a TAP. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be created, or the journal cannot be written.
    pub fn create_tap(&mut self, options: &TapOptions) -> Result<Tap, TransactionError> {
        let change = Change::CreateTap {
            name: options.name.clone(),
            mac: options.mac,
        };
        let failed = |source| TransactionError::Change {
            change: Box::new(change.clone()),
            source,
        };
        let tap = self
            .make(&change)?
            .ok_or_else(|| failed(HostError::Unsupported))?;
        tap.control()
            .set_mtu(options.mtu)
            .map_err(|error| failed(error.into()))?;
        Ok(tap)
    }
}

impl<H: Host> Transaction<H> {
    /// Like [`Transaction::open`], on a given host.
    ///
    /// # Errors
    /// [`TransactionError::OwnerAlive`] if the process that left changes still runs.
    pub fn open_on(mut host: H, state_dir: &Path) -> Result<Transaction<H>, TransactionError> {
        let mut journal = Journal::take_over(state_dir)?;
        undo_all(&mut host, &mut journal)?;
        Ok(Transaction { host, journal })
    }

    /// Makes a change, after the way back from it is on the disk. One that fails half way is undone at once.
    ///
    /// # Errors
    /// When the change cannot be made, or the journal cannot be written; then nothing is changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), TransactionError> {
        self.make(change).map(|_| ())
    }

    /// Undoes one change and keeps the others: an address that another one replaces. Nothing to do for a change
    /// that changed nothing, as what was there before is not ours.
    ///
    /// # Errors
    /// When the host refuses it; the change then stays in the journal. When the journal cannot be written.
    pub fn take_back(&mut self, change: &Change) -> Result<(), TransactionError> {
        let Some(at) = self
            .journal
            .entries()
            .iter()
            .rposition(|undo| undo.is_from(change))
        else {
            return Ok(());
        };
        let mut entries = self.journal.entries().to_vec();
        let undo = entries.remove(at);
        self.host
            .go_back(&undo)
            .map_err(|source| TransactionError::TakeBack {
                change: Box::new(change.clone()),
                source,
            })?;
        self.journal.replace(entries)
    }

    /// Undoes everything, newest first.
    ///
    /// # Errors
    /// When the journal cannot be written; the changes are undone nevertheless.
    pub fn rollback(&mut self) -> Result<Undone, TransactionError> {
        undo_all(&mut self.host, &mut self.journal)
    }

    fn make(&mut self, change: &Change) -> Result<Option<H::Device>, TransactionError> {
        let failed = |source| TransactionError::Change {
            change: Box::new(change.clone()),
            source,
        };
        let Some(undo) = self.host.way_back(change).map_err(failed)? else {
            return Ok(None);
        };
        self.journal.push(undo)?;
        match self.host.make(change) {
            Ok(device) => Ok(device),
            Err(error) => {
                if let Some(undo) = self.journal.last()
                    && self.host.go_back(undo).is_ok()
                {
                    self.journal.pop()?;
                }
                Err(failed(error))
            }
        }
    }
}

impl<H: Host> Drop for Transaction<H> {
    fn drop(&mut self) {
        match self.rollback() {
            Ok(undone) => {
                for (undo, error) in undone.failed {
                    tracing::warn!(?undo, %error, "a change to this machine could not be undone; the next start tries again");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "changes to this machine were undone, but not struck from the journal")
            }
        }
    }
}

/// Undoes what a crashed process left in this state directory; nothing to do if it left nothing.
///
/// # Errors
/// [`TransactionError::OwnerAlive`] if the process that left it still runs.
pub fn recover(state_dir: &Path) -> Result<Undone, TransactionError> {
    let mut journal = Journal::take_over(state_dir)?;
    undo_all(&mut ThisHost::default(), &mut journal)
}

fn undo_all<H: Host>(host: &mut H, journal: &mut Journal) -> Result<Undone, TransactionError> {
    let mut undone = Undone::default();
    let mut kept = Vec::new();
    for undo in journal.entries().iter().rev() {
        match host.go_back(undo) {
            Ok(()) => undone.count += 1,
            Err(error) => {
                kept.push(undo.clone());
                undone.failed.push((undo.clone(), error));
            }
        }
    }
    kept.reverse();
    journal.replace(kept)?;
    Ok(undone)
}
