//! Small private files that are replaced as a whole, so that a crash leaves the old or the new one and never a half.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Replaces `path` with `bytes`, readable by the owner only. Makes the directory if it is missing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let temporary = temporary(path);
    // A crash may have left one behind, perhaps with other rights.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = imp::create_private(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Reads `path`; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`read`], and takes back any right that others have on the file.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = read(path)?;
    if bytes.is_some() && imp::make_private(path)? {
        tracing::warn!(file = %path.display(), "a key file could be read by others; only the owner can read it now");
    }
    Ok(bytes)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(unix)]
mod imp {
    use std::{
        fs::{self, File, OpenOptions, Permissions},
        io,
        os::unix::fs::{OpenOptionsExt, PermissionsExt},
        path::Path,
    };

    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    /// True if something had to be changed.
    pub(super) fn make_private(path: &Path) -> io::Result<bool> {
        if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
            return Ok(false);
        }
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(true)
    }
}

#[cfg(not(unix))]
mod imp {
    use std::{
        fs::{File, OpenOptions},
        io,
        path::Path,
    };

    /// The state directory's own access list keeps others out.
    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(super) fn make_private(_: &Path) -> io::Result<bool> {
        Ok(false)
    }
}
