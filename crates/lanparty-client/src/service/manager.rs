//! The service as Windows' manager knows it. On Linux systemd starts it as a person would, and there is nothing to be registered.

use std::{env, ffi::OsString, path::Path};

use lanparty_api::cli::{ExitCode, Failure, LogTail};
use lanparty_node::say;
use lanparty_os::{
    device::tap,
    dirs::{StateDir, create_private},
    service::{self, Asked, Registration, ServiceError},
};
use tokio::sync::watch;

use super::{Begin, Caller};
use crate::{
    failure::state_failure,
    stop::{Stop, Woken},
};

const NAME: &str = "lanparty";
/// In the state dir, as the manager shows nobody what a service writes.
const LOG: &str = "service.log";

/// Registers this program, with the flags of this call.
///
/// # Errors
/// The system refuses, or has no such manager.
pub fn install() -> Result<(), Failure> {
    let registration = Registration {
        name: NAME,
        title: "lanparty",
        description: "Owns the network adapter that LAN games see, and brings it into a room elsewhere when the window asks for it.",
        arguments: as_service(env::args_os().skip(1).collect()),
    };
    for refused in service::install(&registration).map_err(refusal)? {
        say(&format!(
            "Left out: {}",
            Failure::new(ExitCode::Host, refused).reason()
        ));
    }
    say("The service lanparty is installed, and starts with this machine");
    Ok(())
}

/// # Errors
/// The system refuses, or has no such manager.
pub fn uninstall(state_dir: &Path, adapter: Option<String>) -> Result<(), Failure> {
    say(match service::uninstall(NAME).map_err(refusal)? {
        true => "The service lanparty has stopped and is gone",
        false => "There is no service lanparty on this machine",
    });
    if state_dir.is_dir() {
        let state = StateDir::open(state_dir).map_err(state_failure)?;
        super::recover(state.path())?;
    }
    if let Some(name) = adapter
        && tap::remove(&name).map_err(|error| Failure::new(ExitCode::Host, error))?
    {
        say(&format!("The network adapter {name} is gone"));
    }
    Ok(())
}

/// The manager has started us.
///
/// # Errors
/// It has not.
pub(super) fn run(begin: Begin) -> Result<(), Failure> {
    let serve = |managed| {
        let outcome = log_file(&begin.state_dir).and_then(|tail| {
            let ended = begin.serve(tail.clone(), Caller::Manager(managed));
            if let Err(failure) = &ended {
                tail.push(&failure.to_string());
            }
            ended
        });
        outcome.map_or_else(|failure| failure.code().value(), |()| 0)
    };
    service::run(NAME, serve).map_err(refusal)
}

/// What the manager asks for, as the service takes it. Needs a tokio runtime.
pub(super) fn heard(mut asked: watch::Receiver<Asked>) -> (Stop, Woken) {
    let (stopper, stop) = Stop::new();
    let (waker, woken) = Woken::new();
    tokio::spawn(async move {
        while asked.changed().await.is_ok() {
            let Asked { stop, woken } = *asked.borrow_and_update();
            if stop {
                tracing::info!("Windows asks the service to stop");
                stopper.send_replace(true);
            } else {
                tracing::info!("this machine has woken, or somebody has come to it");
                waker.send_replace(woken);
            }
        }
    });
    (stop, woken)
}

fn log_file(state_dir: &Path) -> Result<LogTail, Failure> {
    create_private(state_dir).map_err(state_failure)?;
    LogTail::in_file(&state_dir.join(LOG)).map_err(|error| Failure::new(ExitCode::Host, error))
}

/// The words of an installation as those of the service's start.
fn as_service(words: Vec<OsString>) -> Vec<OsString> {
    let last = words.iter().rposition(|word| word == "install");
    let words = words.into_iter().enumerate();
    let as_started = words.flat_map(|(at, word)| match Some(at) == last {
        true => vec![OsString::from("run"), OsString::from("--scm")],
        false => vec![word],
    });
    as_started.collect()
}

fn refusal(error: ServiceError) -> Failure {
    let advice = match error {
        ServiceError::Failed { .. } => {
            "run this as administrator; `lanparty-client service run` serves without being installed"
        }
        ServiceError::Systemd => {
            "copy packaging/systemd/lanparty-client.service to /etc/systemd/system, and run `systemctl enable --now lanparty-client`; the \
             file says the rest"
        }
    };
    Failure::new(ExitCode::Host, error).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_with_is_what_the_service_is_started_with() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            as_service(words("--tap-name install -v service install --socket s")),
            words("--tap-name install -v service run --scm --socket s")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn where_systemd_keeps_services_it_is_named() {
        let failure = install().unwrap_err();
        assert_eq!(failure.code(), ExitCode::Host);
        assert!(
            failure
                .to_string()
                .contains("systemctl enable --now lanparty-client")
        );
        assert!(uninstall(Path::new("/nonexistent"), None).is_err());
    }
}
