//! The journal: what to undo, and whose changes they are.
//!
//! One JSON file that is replaced as a whole, so it is never half written. It is small: a TAP needs some fifteen
//! entries.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{TransactionError, Undo};
use crate::{
    dirs::{self, DirError},
    process::ProcessIdentity,
};

const FILE: &str = "host-changes.json";
const FORMAT: u32 = 1;

pub(super) struct Journal {
    path: PathBuf,
    content: Content,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    owner: ProcessIdentity,
    /// Oldest first.
    entries: Vec<Undo>,
}

impl Journal {
    /// Reads what is there and makes it this process's; what is empty needs no file.
    pub(super) fn take_over(state_dir: &Path) -> Result<Journal, TransactionError> {
        let path = state_dir.join(FILE);
        let owner = ProcessIdentity::own().map_err(|source| TransactionError::Identity { source })?;
        let entries = match read(&path).map_err(|source| TransactionError::Read {
            path: path.clone(),
            source,
        })? {
            Some(left) if left.owner != owner && left.owner.is_alive() => {
                return Err(TransactionError::OwnerAlive {
                    path,
                    pid: left.owner.pid,
                });
            }
            Some(left) => left.entries,
            None => Vec::new(),
        };
        Ok(Journal {
            path,
            content: Content {
                format: FORMAT,
                owner,
                entries,
            },
        })
    }

    pub(super) fn entries(&self) -> &[Undo] {
        &self.content.entries
    }

    pub(super) fn last(&self) -> Option<&Undo> {
        self.content.entries.last()
    }

    /// On the disk when this returns.
    pub(super) fn push(&mut self, undo: Undo) -> Result<(), TransactionError> {
        self.content.entries.push(undo);
        let result = self.write();
        if result.is_err() {
            self.content.entries.pop();
        }
        result
    }

    pub(super) fn pop(&mut self) -> Result<(), TransactionError> {
        self.content.entries.pop();
        self.write()
    }

    pub(super) fn replace(&mut self, entries: Vec<Undo>) -> Result<(), TransactionError> {
        let unchanged = entries == self.content.entries && (!entries.is_empty() || !self.path.exists());
        self.content.entries = entries;
        if unchanged { Ok(()) } else { self.write() }
    }

    fn write(&self) -> Result<(), TransactionError> {
        let failed = |source| TransactionError::Write {
            source: DirError::Io {
                attempt: "write",
                path: self.path.clone(),
                source,
            },
        };
        if self.content.entries.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let json = serde_json::to_vec_pretty(&self.content).map_err(|error| failed(error.into()))?;
        dirs::write_private(&self.path, &json).map_err(|source| TransactionError::Write { source })
    }
}

fn read(path: &Path) -> io::Result<Option<Content>> {
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let content: Content = serde_json::from_slice(&json)?;
    if content.format != FORMAT {
        let text = format!(
            "its format {} is not {FORMAT}, the one that this version knows",
            content.format
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some(content))
}
