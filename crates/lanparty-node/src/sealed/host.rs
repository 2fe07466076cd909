//! What a host wants done, and where it is kept.

use std::{future::Future, io, path::Path, path::PathBuf, time::Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use lanparty_core::{
    admission::{Host, HostConfig, HostState, ReceptionOutput, StateError},
    seal,
};
use lanparty_os::device::{Device, DeviceError};
use lanparty_quic::Identity;
use lanparty_wire::{HostKey, Mac, Roster, control::Message};

use super::{Part, unix_now};
use crate::endpoint::{Endpoint, EndpointEvent};

/// Why a host's file cannot be used. It is never overwritten then.
#[derive(Debug, thiserror::Error)]
pub enum HostFileError {
    #[error("could not read the room's state {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "the room's state {} is damaged; restore it from a backup, or move it away to begin anew: then all invites and bans are gone",
        .0.display()
    )]
    Damaged(PathBuf, #[source] serde_json::Error),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The host with this identity, as `file` keeps it; a new one if there is no file.
///
/// # Errors
/// See [`HostFileError`].
pub fn load_host(identity: &Identity, file: &Path) -> Result<Host, HostFileError> {
    let state = match std::fs::read(file) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| HostFileError::Damaged(file.to_owned(), error))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => HostState::default(),
        Err(error) => return Err(HostFileError::Read(file.to_owned(), error)),
    };
    let key = HostKey::from_seed(identity.seed());
    Ok(Host::new(key, HostConfig::default(), state)?)
}

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// True: there may be more to do.
    pub(super) fn do_for_host(&mut self, now: Instant, output: ReceptionOutput) -> bool {
        match output {
            ReceptionOutput::Save => self.save_host(),
            ReceptionOutput::Roster(roster) => self.publish_roster(now, &roster),
            ReceptionOutput::Send(message) => self.send_control(*message),
            ReceptionOutput::Note { to, bytes } => {
                // Who has no keys with us yet asks again by itself.
                let _ = self.node.write_note(now, to, &bytes);
            }
            ReceptionOutput::Code(code) => self.tell(EndpointEvent::Code(code)),
            ReceptionOutput::Waiting(identity) => self.tell(EndpointEvent::Waiting(identity)),
        }
        true
    }

    /// A station of our LAN has an address that a member has come with. In an open room he is ignored, and nothing else can be done.
    pub(crate) fn refuse_mac(&mut self, mac: Mac) {
        tracing::warn!(%mac, "somebody has come with the MAC address of a device on this LAN");
        if let Some(Part::Host { reception, .. }) = self.sealed.as_mut().map(|sealed| &mut sealed.part) {
            reception.host_mut().refuse_mac(unix_now(), mac);
        }
    }

    fn save_host(&mut self) {
        let Some(sealed) = &mut self.sealed else { return };
        if let Part::Host { reception, .. } = &sealed.part {
            let state = reception.host().state().clone();
            sealed.store(&state);
        }
    }

    fn publish_roster(&mut self, now: Instant, roster: &Roster) {
        if let Err(reason) = self.node.set_roster(now, seal::Roster::of(roster, unix_now())) {
            tracing::warn!(reason = reason.name(), "our own node does not take our roster");
        }
        let data = BASE64_STANDARD.encode(roster.bytes());
        self.send_control(Message::Roster { data });
    }
}
