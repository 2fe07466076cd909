//! Systems whose locks and permissions we do not know yet.

use std::{fs::File, io, path::Path};

pub(super) fn is_root() -> bool {
    false
}

pub(super) fn create_private(_path: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

pub(super) fn lock(_path: &Path) -> io::Result<Option<File>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

pub(super) fn lock_owner(_path: &Path) -> String {
    "another process".to_owned()
}

pub(super) fn replace(_path: &Path, _content: &[u8], _mode: u32) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
