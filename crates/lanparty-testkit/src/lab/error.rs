//! What can go wrong in the lab. A lab error ends a test, so it carries everything that a reader needs to see why:
//! the machine, the command, what it printed.

use std::{io, time::Duration};

/// A step of the lab that did not work.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The kernel lets only root make namespaces, devices and packet sockets.
    #[error("the lab needs root: it makes network namespaces, TAPs and packet sockets (run it with sudo)")]
    NotRoot,
    /// A program of the lab (or one of the three binaries) is not there.
    #[error("{program} is missing: {remedy}")]
    Missing {
        /// What was looked for.
        program: String,
        /// What to do about it.
        remedy: String,
    },
    /// A system call or file operation failed.
    #[error("{attempt}")]
    Io {
        /// What was attempted, and on what.
        attempt: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A command ran and said no.
    #[error("on {machine}: `{command}` ended with {status}: {output}")]
    Command {
        /// Where it ran.
        machine: String,
        /// What ran.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not happen in time.
    #[error("waited {waited:?} in vain for {what}{detail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen instead; empty, or starting with a separator.
        detail: String,
    },
    /// A program printed something that the lab cannot read.
    #[error("cannot read {what}: {text}")]
    Unreadable {
        /// What was being read.
        what: String,
        /// The text as it came.
        text: String,
    },
}

/// Adds to an I/O error what was attempted.
pub(crate) trait Attempt<T> {
    fn attempt(self, attempt: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt(self, attempt: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| {
            let source = error.into();
            LabError::Io {
                attempt: format!("{}: {source}", attempt()),
                source,
            }
        })
    }
}
