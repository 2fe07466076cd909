//! Windows: an administrator's rights, as a service has them.
//!
//! They cannot be given up by a thread that keeps some of them; which privileges a service starts with is part of its registration.

use super::{Privilege, PrivilegeError};
use crate::dirs;

pub(super) fn keep(privileges: &[Privilege]) -> Result<(), PrivilegeError> {
    if held(privileges).len() == privileges.len() {
        return Ok(());
    }
    Err(PrivilegeError::Missing {
        missing: vec!["administrator's rights".to_owned()],
    })
}

pub(super) fn held(privileges: &[Privilege]) -> Vec<Privilege> {
    let is_administrator = dirs::is_root();
    let has = |privilege: &Privilege| match privilege {
        Privilege::ConfigureNetwork | Privilege::RawFrames => is_administrator,
        // Any program may have any port that is free.
        Privilege::LowPorts => true,
    };
    privileges.iter().copied().filter(has).collect()
}
