//! How a process ends: one list of codes, and the one place that prints an error.

use std::{error::Error, fmt};

/// The codes that all binaries end with. Scripts may rely on them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExitCode {
    /// Done, or stopped because somebody asked for it.
    Ok = 0,
    /// Something failed that nobody foresaw, or `doctor` has found something red.
    Unexpected = 1,
    /// The command line, the environment or the configuration file is wrong.
    Usage = 2,
    /// This host does not let us: a missing permission, an unusable interface, an address in use.
    Host = 3,
    /// The relay or the host refused, and trying again would not help.
    Refused = 4,
    /// The relay's certificate is not the one that is trusted.
    Trust = 5,
    /// Another instance runs with this state dir.
    AlreadyRunning = 6,
    /// `status` found no running instance.
    NotRunning = 7,
}

/// For clap's `after_help`.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done, or stopped on request
  1  unexpected failure; doctor: something is red
  2  wrong command line, environment or configuration file
  3  this host does not allow it: permission, interface, address in use
  4  the relay or the host refused for good: the sentence says why
  5  the relay's certificate is not the trusted one
  6  another instance uses this state dir
  7  status: nothing is running with this state dir";

impl ExitCode {
    /// What the system sees.
    pub const fn value(self) -> i32 {
        self as i32
    }

    /// The code with this value; one of a later version is unexpected.
    pub fn of_value(value: i32) -> ExitCode {
        ExitCode::ALL
            .into_iter()
            .find(|code| code.value() == value)
            .unwrap_or(ExitCode::Unexpected)
    }

    const ALL: [ExitCode; 8] = [
        ExitCode::Ok,
        ExitCode::Unexpected,
        ExitCode::Usage,
        ExitCode::Host,
        ExitCode::Refused,
        ExitCode::Trust,
        ExitCode::AlreadyRunning,
        ExitCode::NotRunning,
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(code as u8)
    }
}

/// An error on its way to `main`: what went wrong, how the process ends, and what the user can do.
#[derive(Debug)]
pub struct Failure {
    code: ExitCode,
    error: Box<dyn Error + Send + Sync>,
    advice: Option<String>,
}

impl Failure {
    pub fn new(code: ExitCode, error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure {
            code,
            error: error.into(),
            advice: None,
        }
    }

    /// Adds one sentence that says what to do.
    pub fn advise(self, advice: impl Into<String>) -> Failure {
        Failure {
            advice: Some(advice.into()),
            ..self
        }
    }

    pub fn code(&self) -> ExitCode {
        self.code
    }

    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The whole chain, a line for each cause. A cause that its effect already quotes is left out.
    pub fn reason(&self) -> String {
        let mut said = self.error.to_string();
        let mut reason = said.clone();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                reason.push_str("\n  because: ");
                reason.push_str(&text);
            }
            said = text;
            cause = error.source();
        }
        reason
    }
}

impl fmt::Display for Failure {
    /// The reason, then the advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())?;
        match &self.advice {
            Some(advice) => write!(f, "\n  what to do: {advice}"),
            None => Ok(()),
        }
    }
}

/// Ends `main`: prints what failed, once, and gives the code.
pub fn finish(program: &str, outcome: Result<(), Failure>) -> std::process::ExitCode {
    match outcome {
        Ok(()) => ExitCode::Ok.into(),
        Err(failure) => {
            eprintln!("{program}: {failure}");
            failure.code.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not open the house")]
    struct House(#[source] Door);

    #[derive(Debug, thiserror::Error)]
    #[error("could not open the door: locked")]
    struct Door(#[source] io::Error);

    #[test]
    fn the_chain_is_told_once_and_ends_with_advice() {
        let failure =
            Failure::new(ExitCode::Host, House(Door(io::Error::other("locked")))).advise("ring the bell");
        assert_eq!(
            failure.to_string(),
            "could not open the house\n  because: could not open the door: locked\n  what to do: ring the bell"
        );
        assert_eq!(failure.code().value(), 3);
    }

    #[test]
    fn the_help_lists_every_code() {
        for code in ExitCode::ALL {
            assert!(
                EXIT_CODES_HELP.contains(&format!("\n  {}  ", code.value())),
                "{code:?}"
            );
        }
    }
}
