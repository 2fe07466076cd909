//! Linux: systemd starts and stops programs like any other, so there is nothing to be called.

use std::convert::Infallible;

use super::{Managed, Registration, ServiceError};

pub(super) fn install(_: &Registration) -> Result<Vec<ServiceError>, ServiceError> {
    Err(ServiceError::Systemd)
}

pub(super) fn uninstall(_: &str) -> Result<bool, ServiceError> {
    Err(ServiceError::Systemd)
}

pub(super) fn run(_: &'static str, _: Box<dyn FnOnce(Managed) -> i32 + Send>) -> Result<(), ServiceError> {
    Err(ServiceError::Systemd)
}

pub(super) struct Manager(Infallible);

impl Manager {
    pub(super) fn ready(&self) {
        match self.0 {}
    }
}
