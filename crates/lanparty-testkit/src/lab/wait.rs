//! Waiting for something that another process does, always with a deadline.
//!
//! The lab never sleeps for a fixed time and hopes; it asks again and again until the answer is there or the deadline
//! has passed.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::error::LabError;

/// Short enough not to blur a limit of one second, long enough to leave the two cores to those who are waited for.
const POLL: Duration = Duration::from_millis(20);

/// Asks `question` until it answers, at most for `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return Ok(answer);
        }
        if start.elapsed() >= limit {
            return Err(LabError::Timeout {
                what: what.to_owned(),
                waited: limit,
                detail: String::new(),
            });
        }
        thread::sleep(POLL);
    }
}
