//! What a running instance tells, and how the three binaries are spoken to.
//!
//! [`Status`] is what one process knows about itself; it is served on a local socket in the state dir ([`local`]), printed for
//! people ([`render`]) and, as the difference of two moments, told to a player in sentences ([`story()`]). Later surfaces (REST, a
//! window, a terminal dashboard) show the same value. [`cli`] holds the words that all binaries share, so that scripts can rely
//! on them.

pub mod cli;
pub mod desk;
pub mod diagnostics;
pub mod doctor;
mod drop_log;
pub mod local;
pub mod order;
pub mod render;
pub mod status;
pub mod story;

pub use desk::Desk;
pub use drop_log::{DropLog, DropNotice};
pub use local::{query, query_discovery, serve_endpoint, serve_status, socket_path};
pub use order::{Answer, Command};
pub use status::{Program, Status};
pub use story::{Line, Storyteller, story};
