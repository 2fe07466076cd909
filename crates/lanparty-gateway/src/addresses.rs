//! The addresses that this LAN gateway has given to players: where they are kept, and what the host hears of it.

use std::path::Path;

use lanparty_core::lan::addresses::{Leases, News};
use lanparty_node::say;

use crate::kept;

const FILE: &str = "addresses.json";
const WHAT: &str = "the addresses that were handed out";

/// What an earlier run has handed out. Every address is asked for on the LAN before anybody gets it.
pub fn load(state_dir: &Path) -> Leases {
    kept::read(&state_dir.join(FILE), WHAT)
}

/// Keeps what is to be kept, and tells the host the rest.
pub fn handle(state_dir: &Path, news: &News) {
    match news {
        News::Leases(leases) => kept::write(&state_dir.join(FILE), WHAT, leases),
        news => say(&news.to_string()),
    }
}
