//! What client and LAN gateway tell their user in the same way: the first status, sentences, and why they ended.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use lanparty_api::{
    Program, Status, Storyteller,
    cli::{ExitCode, Failure},
    status::EndpointStatus,
};
use lanparty_quic::{DialError, TrustError};
use lanparty_wire::Pin;
use tokio::sync::watch;

use crate::{EndpointConfig, EndpointError};

/// The status of an endpoint that has done nothing yet.
pub fn first_status(program: Program, config: &EndpointConfig, now: SystemTime) -> Status {
    let mut status = Status::new(program);
    status.software.clone_from(&config.software);
    status.process = std::process::id();
    status.since_unix = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut endpoint = EndpointStatus::new(config.relay.clone(), config.room.clone());
    endpoint.name.clone_from(&config.name);
    endpoint.identity = Some(config.identity.peer_id());
    endpoint.mac = config.mac;
    endpoint.sealed = config.room.is_sealed();
    status.endpoint = Some(endpoint);
    status
}

/// Prints what the user wants to know, as it happens.
pub async fn tell_story(mut status: watch::Receiver<Status>) {
    let mut teller = Storyteller::default();
    loop {
        let now = status.borrow_and_update().clone();
        for line in teller.tell(&now) {
            say(&line.text);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// A sentence for the user. Nobody has to listen.
pub fn say(sentence: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{sentence}").and_then(|()| out.flush());
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Failure {
        let code = match error {
            EndpointError::Rejected { .. }
            | EndpointError::Displaced
            | EndpointError::Kicked
            | EndpointError::Refused(_) => ExitCode::Refused,
            EndpointError::Downgraded => ExitCode::Trust,
            // What the user has named is wrong, not what the relay has shown.
            EndpointError::Untrusted(
                DialError::Trust(TrustError::ReadCa(..) | TrustError::NoCertificate(_))
                | DialError::ServerName(_),
            ) => ExitCode::Usage,
            EndpointError::Untrusted(_) => ExitCode::Trust,
            EndpointError::Device(_) | EndpointError::State(_) => ExitCode::Host,
        };
        Failure::new(code, error)
    }
}

/// Says that nobody has vouched for the relay's key yet.
pub fn say_first_use(pin: &Pin) {
    say(&format!(
        "This relay is new to this machine. Its key is kept from now on, compare it with what the relay prints: {pin}"
    ));
}
