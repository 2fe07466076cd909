//! A client that is turned away: how it ends, and what is on its screen then.

use std::time::Duration;

use super::{
    error::LabError,
    party::{Party, Who},
};

/// The exit status of who was refused for good, and would not come in by trying again.
const REFUSED: &str = "exit status: 4";

impl Party {
    /// Starts a process with more arguments than usual, and waits until it ends as who is refused with these words.
    pub fn launch_refused(
        &mut self,
        who: Who,
        more: &[&str],
        words: &str,
        limit: Duration,
    ) -> Result<(), LabError> {
        match self.launch_with(who, more) {
            Ok(()) => self.wait_for_refusal(who, words, limit),
            // It has ended before the lab has seen it start.
            Err(LabError::Command { status, output, .. }) => check(who, status, output, words),
            Err(error) => Err(error),
        }
    }

    /// Waits until a process that runs ends as who is refused with these words.
    pub fn wait_for_refusal(&mut self, who: Who, words: &str, limit: Duration) -> Result<(), LabError> {
        let process = self.process(who)?;
        let status = process.wait(limit)?.to_string();
        check(who, status, process.log(), words)
    }
}

fn check(who: Who, status: String, output: String, words: &str) -> Result<(), LabError> {
    if status == REFUSED && output.contains(words) {
        return Ok(());
    }
    Err(LabError::Command {
        machine: format!("{who:?}"),
        command: format!("a join that is refused with {words:?}"),
        status,
        output,
    })
}
