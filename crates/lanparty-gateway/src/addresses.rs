//! The addresses that this LAN gateway has given to players: where they are kept, and what the host hears of it.

use std::{fs, io, path::Path};

use lanparty_core::lan::addresses::{Leases, News};
use lanparty_node::say;
use lanparty_os::dirs::write_private;
use tokio::task::block_in_place;

const FILE: &str = "addresses.json";

/// What an earlier run has handed out. A file that cannot be used is no reason to stop: every address is asked for on the LAN before
/// anybody gets it.
pub fn load(state_dir: &Path) -> Leases {
    let file = state_dir.join(FILE);
    match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "the addresses that were handed out cannot be read; beginning anew");
            Leases::default()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Leases::default(),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "the addresses that were handed out cannot be read; beginning anew");
            Leases::default()
        }
    }
}

/// Keeps what is to be kept, and tells the host the rest.
pub fn handle(state_dir: &Path, news: &News) {
    let News::Leases(leases) = news else {
        say(&news.to_string());
        return;
    };
    let file = state_dir.join(FILE);
    let content = match serde_json::to_vec_pretty(leases) {
        Ok(content) => content,
        Err(error) => {
            tracing::warn!(%error, "the addresses that were handed out cannot be written down");
            return;
        }
    };
    if let Err(error) = block_in_place(|| write_private(&file, &content)) {
        tracing::warn!(%error, "the addresses that were handed out are forgotten at the next start");
    }
}
