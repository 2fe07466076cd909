//! Unix: modes, `flock`, atomic renames.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process,
};

use super::Environment;

pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub(super) fn default_dir(environment: &Environment, role: &str) -> Option<PathBuf> {
    if environment.root {
        return Some(Path::new("/var/lib/lanparty").join(role));
    }
    let absolute = |value: &Option<OsString>| {
        value
            .as_ref()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || absolute(&environment.home).map(|home| home.join(".local/state"));
    let base = absolute(&environment.xdg_state_home).or_else(home)?;
    Some(base.join("lanparty").join(role))
}

pub(super) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    // One that was there before, perhaps made by hand.
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

pub(super) fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

pub(super) fn share_with_group(path: &Path, group: &str) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let Some(group) = nix::unistd::Group::from_name(group)? else {
        return Ok(false);
    };
    std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))?;
    // Set-group-id: what is made in there belongs to the group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o2750))?;
    Ok(true)
}

/// `None` if somebody else has it.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // SAFETY: no pointers are involved, and the descriptor is open.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock {
            Ok(None)
        } else {
            Err(error)
        };
    }
    // For the sentence that another instance will say; the lock itself does not depend on it.
    file.set_len(0)?;
    write!(file, "{}", process::id())?;
    Ok(Some(file))
}

pub(super) fn lock_owner(path: &Path) -> String {
    super::owner_of_lock(fs::read_to_string(path))
}

pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = super::beside(path)?;
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // The error that matters is the first; a leftover is taken away by the next write.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // The rename itself is durable only when the directory is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
