//! Systems whose privileges we cannot give up yet.

use super::{Privilege, PrivilegeError};

pub(super) fn keep(_privileges: &[Privilege]) -> Result<(), PrivilegeError> {
    Err(PrivilegeError::Unsupported)
}

pub(super) fn held(_privileges: &[Privilege]) -> Vec<Privilege> {
    Vec::new()
}
