//! What a LAN gateway keeps of its LAN from run to run. Nothing of it is needed: a file that cannot be used is said, and begun anew.

use std::{fs, io, path::Path};

use lanparty_os::dirs::write_private;
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::block_in_place;

/// What an earlier run has kept in a file; `what` names it for the log.
pub fn read<T: DeserializeOwned + Default>(file: &Path, what: &str) -> T {
    let read = fs::read(file).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(%error, file = %file.display(), "{what} cannot be read; beginning anew");
        }
        T::default()
    })
}

/// Keeps it for the next run.
pub fn write<T: Serialize>(file: &Path, what: &str, content: &T) {
    let bytes = match serde_json::to_vec_pretty(content) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%error, "{what} cannot be written down");
            return;
        }
    };
    if let Err(error) = block_in_place(|| write_private(file, &bytes)) {
        tracing::warn!(%error, "{what} are forgotten at the next start");
    }
}
