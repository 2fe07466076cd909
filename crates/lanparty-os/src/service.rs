//! A program as a service of the system: registered, taken off again, and run by whoever manages services.
//!
//! Windows has a manager that starts the program, asks for its state and gives it orders by calls; systemd needs none of that, as it has
//! unit files and signals, and [`ServiceError::Systemd`] says so.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::{ffi::OsString, io};

#[cfg(target_os = "linux")]
use linux as imp;
use tokio::sync::watch;
#[cfg(windows)]
use windows as imp;

/// What the manager is told of a program: this one, by the path that it was started by.
#[derive(Clone, Debug)]
pub struct Registration {
    /// What orders name it by.
    pub name: &'static str,
    /// What a person finds it by.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// What the program is started with.
    pub arguments: Vec<OsString>,
}

/// Why something could not be done with a service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("could not {attempt}")]
    Failed {
        attempt: &'static str,
        source: io::Error,
    },
    #[error("on this system services are kept by systemd, in unit files")]
    Systemd,
}

/// Registers the program and starts it: now, with the machine, and again when it has failed. One that is registered already gets these
/// arguments, and is started anew with them. What is given back is what the manager would not take, without which the service runs
/// all the same.
///
/// # Errors
/// No administrator's rights, or it does not start; on Linux always.
pub fn install(registration: &Registration) -> Result<Vec<ServiceError>, ServiceError> {
    imp::install(registration)
}

/// Stops the service and takes it off. False if there was none.
///
/// # Errors
/// No administrator's rights, or it does not stop; on Linux always.
pub fn uninstall(name: &str) -> Result<bool, ServiceError> {
    imp::uninstall(name)
}

/// Tells the manager, which must have started this program, that `main` is the service, and returns when `main` has. What `main` returns is
/// what the manager is told: 0 for an end that somebody has asked for. To be called once in a process.
///
/// # Errors
/// The manager has not started us; on Linux always.
pub fn run(
    name: &'static str,
    main: impl FnOnce(Managed) -> i32 + Send + 'static,
) -> Result<(), ServiceError> {
    imp::run(name, Box::new(main))
}

/// What the manager has asked for until now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// To end: by a person's order, or because the machine is shut down.
    pub stop: bool,
    /// So often the machine has woken from sleep, or somebody has come to it: what it knew of its networks may be over.
    pub woken: u32,
}

/// The manager, for the program that it has started.
pub struct Managed {
    pub asked: watch::Receiver<Asked>,
    manager: imp::Manager,
}

impl Managed {
    /// The service does its work from now on; until then it is being started.
    pub fn ready(&self) {
        self.manager.ready();
    }
}
