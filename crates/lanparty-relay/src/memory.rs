//! The id table on disk: who had which id and address in which room.

use std::{
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use lanparty_core::relay::{SavedRooms, UnixTime};
use lanparty_os::dirs::{self, DirError};

const FILE: &str = "members.json";

/// The file, and what it held at the start.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    saved: SavedRooms,
}

impl Memory {
    /// Reads the table. One that cannot be understood is put aside: that members get other ids is better than no relay.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(state_dir: &Path) -> io::Result<Memory> {
        let path = state_dir.join(FILE);
        let saved = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => SavedRooms::default(),
            Err(error) => return Err(error),
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let aside = path.with_extension("json.damaged");
                tracing::warn!(%error, file = %path.display(), aside = %aside.display(),
                    "the table of members is damaged and put aside; everybody gets another member id");
                if let Err(error) = std::fs::rename(&path, &aside) {
                    tracing::warn!(%error, "it could not be put aside and will be overwritten");
                }
                SavedRooms::default()
            }),
        };
        Ok(Memory { path, saved })
    }

    /// What was read.
    pub fn take(&mut self) -> SavedRooms {
        std::mem::take(&mut self.saved)
    }

    /// Replaces the table as a whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, rooms: &SavedRooms) -> Result<(), DirError> {
        let bytes = serde_json::to_vec(rooms).map_err(|error| DirError::Io {
            attempt: "encode the table of members for",
            path: self.path.clone(),
            source: error.into(),
        })?;
        dirs::write_private(&self.path, &bytes)
    }
}

/// The wall clock, which reservations are timed by.
pub fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_table_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, "{").unwrap();
        let mut memory = Memory::open(directory.path()).unwrap();
        assert_eq!(memory.take(), SavedRooms::default());
        assert!(!path.exists() && directory.path().join("members.json.damaged").exists());
        memory.write(&SavedRooms::default()).unwrap();
        assert!(path.exists());
    }
}
