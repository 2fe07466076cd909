//! Linux: capabilities(7).

use std::{fs, io};

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

use super::{Privilege, PrivilegeError};

pub(super) fn keep(privileges: &[Privilege]) -> Result<(), PrivilegeError> {
    let count = fs::read_dir("/proc/self/task")
        .map_err(failed("count the threads of this process"))?
        .count();
    if count > 1 {
        return Err(PrivilegeError::Threads { count });
    }
    let wanted: CapsHashSet = privileges
        .iter()
        .map(|privilege| capability(*privilege))
        .collect();
    let permitted = caps::read(None, CapSet::Permitted).map_err(caps_failed("read its capabilities"))?;
    let mut missing: Vec<_> = wanted.difference(&permitted).map(Capability::to_string).collect();
    if !missing.is_empty() {
        missing.sort();
        return Err(PrivilegeError::Missing { missing });
    }
    bound(&wanted, &permitted)?;
    // Effective before permitted, which has to contain it; inheritable before ambient, likewise.
    let sets = [
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
        CapSet::Ambient,
    ];
    caps::clear(None, CapSet::Ambient).map_err(caps_failed("clear its ambient capabilities"))?;
    for set in sets {
        caps::set(None, set, &wanted).map_err(caps_failed("give up capabilities"))?;
    }
    no_new_privileges()
}

pub(super) fn held(privileges: &[Privilege]) -> Vec<Privilege> {
    let has = |privilege: &Privilege| {
        caps::has_cap(None, CapSet::Effective, capability(*privilege)).unwrap_or(false)
    };
    privileges.iter().copied().filter(has).collect()
}

/// Takes everything else out of the set that no program started by us can exceed. Only who may change capabilities
/// may do that; for others the unit's `CapabilityBoundingSet=` and the flag below do it.
fn bound(wanted: &CapsHashSet, permitted: &CapsHashSet) -> Result<(), PrivilegeError> {
    if !permitted.contains(&Capability::CAP_SETPCAP) {
        return Ok(());
    }
    let attempt = "limit the capabilities of its children";
    caps::raise(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(caps_failed(attempt))?;
    let bounding = caps::read(None, CapSet::Bounding).map_err(caps_failed(attempt))?;
    for superfluous in bounding.difference(wanted) {
        caps::drop(None, CapSet::Bounding, *superfluous).map_err(caps_failed(attempt))?;
    }
    Ok(())
}

/// No program that we start gains anything by set-user-id bits or file capabilities.
fn no_new_privileges() -> Result<(), PrivilegeError> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(failed("rule out new privileges")(io::Error::last_os_error()))
    }
}

fn capability(privilege: Privilege) -> Capability {
    match privilege {
        Privilege::ConfigureNetwork => Capability::CAP_NET_ADMIN,
        Privilege::RawFrames => Capability::CAP_NET_RAW,
        Privilege::LowPorts => Capability::CAP_NET_BIND_SERVICE,
    }
}

fn failed(attempt: &'static str) -> impl FnOnce(io::Error) -> PrivilegeError {
    move |source| PrivilegeError::Failed { attempt, source }
}

fn caps_failed(attempt: &'static str) -> impl FnOnce(CapsError) -> PrivilegeError {
    move |error| PrivilegeError::Failed {
        attempt,
        source: io::Error::other(error),
    }
}
