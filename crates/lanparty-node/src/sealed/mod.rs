//! An endpoint's part in a sealed room: what the core decides about admission, brought to the control stream, the node and the disk.
//!
//! Control messages go to both the node and the host's door or the guest; what these want done is done in their order. What is to
//! be stored is stored off the loop, and what follows it waits.

mod code;
mod guest;
mod host;
mod standby;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use lanparty_api::status::Admission;
use lanparty_core::{
    admission::{Guest, Host, Reception, Standby, Venue},
    seal::{IdentityKey, SealingConfig},
};
use lanparty_os::{
    device::{Device, DeviceError},
    dirs::{DirError, write_private},
};
use lanparty_quic::TrustOutcome;
use lanparty_wire::{CodeMessage, Invite, PeerId, Pin, UnixTime, control::Message, seal::envelope_bytes};
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinHandle;

pub use code::redeem;
pub use host::{HostFileError, load_host};

use crate::{
    EndpointConfig,
    endpoint::{Endpoint, EndpointError},
};

/// What a sealed room needs to know besides.
#[derive(Debug)]
pub enum SealedConfig {
    /// We are the host. `file` is where [`load_host`] has read it from.
    Host {
        host: Box<Host>,
        file: PathBuf,
        /// Whether newcomers may come by short codes.
        short_codes: bool,
    },
    /// We come by an invite, and keep our membership in `file`.
    Guest { invite: Invite, file: PathBuf },
    /// We are a LAN gateway that may take over from this host, and keep in `file` which roster we have seen.
    Standby { host: PeerId, file: PathBuf },
}

impl SealedConfig {
    /// Whose room it is.
    fn host(&self, own: PeerId) -> PeerId {
        match self {
            SealedConfig::Host { .. } => own,
            SealedConfig::Guest { invite, .. } => invite.host,
            SealedConfig::Standby { host, .. } => *host,
        }
    }
}

/// A host's door, somebody who is or wants to be a member, or a LAN gateway that waits.
pub(crate) enum Part {
    Host {
        reception: Box<Reception>,
        short_codes: bool,
    },
    Guest(Box<Guest>),
    Standby(Box<Standby>),
}

/// An endpoint's part in a sealed room.
pub(crate) struct Sealed {
    part: Part,
    file: PathBuf,
    /// The file is being written; what follows it waits.
    storing: Option<JoinHandle<Result<(), DirError>>>,
}

/// Seconds since 1970; 0 on a machine whose clock is before that.
pub fn unix_now() -> UnixTime {
    UnixTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

/// What the node is made with, and our part beside it.
pub(crate) fn prepare(
    config: &EndpointConfig,
    sealed: SealedConfig,
) -> Result<(SealingConfig, Sealed), DirError> {
    let identity = IdentityKey::from_seed(config.identity.seed());
    let sealing = SealingConfig {
        host: sealed.host(identity.peer_id()),
        identity: identity.clone(),
        seed: rand::random(),
    };
    let (part, file) = match sealed {
        SealedConfig::Host {
            host,
            file,
            short_codes,
        } => {
            let reception = Box::new(Reception::new(*host, identity, rand::random()));
            let part = Part::Host {
                reception,
                short_codes,
            };
            (part, file)
        }
        SealedConfig::Guest { invite, file } => {
            let guest = guest::guest(config, identity, &invite, read_saved(&file)?.as_ref());
            (Part::Guest(Box::new(guest)), file)
        }
        SealedConfig::Standby { host, file } => {
            let standby = Standby::new(host, read_saved(&file)?);
            (Part::Standby(Box::new(standby)), file)
        }
    };
    let sealed = Sealed {
        part,
        file,
        storing: None,
    };
    Ok((sealing, sealed))
}

/// What a room has left in its file. A guest whose file is damaged asks the host again; a LAN gateway that waits believes the first roster it is shown.
fn read_saved<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, DirError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(file = %file.display(), %error, "what was kept of this room is damaged"),
            )
            .ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirError::Io {
            attempt: "read",
            path: file.to_owned(),
            source,
        }),
    }
}

impl Sealed {
    /// When there is something to do that no message announces.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.part {
            Part::Host { .. } | Part::Standby(_) => None,
            Part::Guest(guest) => guest.poll_timeout(),
        }
    }

    /// What the status shows; the host is in its own room.
    pub(crate) fn admission(&self) -> Option<Admission> {
        match &self.part {
            Part::Host { .. } | Part::Standby(_) => None,
            Part::Guest(guest) => Some(guest::shown(guest.state(unix_now()))),
        }
    }

    /// The file is written, whatever has become of it.
    pub(crate) fn storing(&mut self) -> Option<&mut JoinHandle<Result<(), DirError>>> {
        self.storing.as_mut()
    }

    /// A party is worth more than a file: what could not be stored is lost at the next start, and said.
    pub(crate) fn stored(&mut self, result: Result<Result<(), DirError>, tokio::task::JoinError>) {
        self.storing = None;
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "what was decided in this room is lost at the next start")
            }
            Err(error) => tracing::error!(%error, "the room's file was not written"),
        }
    }

    fn store(&mut self, content: &impl Serialize) {
        let file = self.file.clone();
        match serde_json::to_vec(content) {
            Ok(bytes) => {
                self.storing = Some(tokio::task::spawn_blocking(move || write_private(&file, &bytes)));
            }
            Err(error) => tracing::error!(%error, "the room's state cannot be written down"),
        }
    }
}

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// Shows a control message to the room's host or guest. True if it is for the node as well.
    pub(crate) fn show_sealed(&mut self, now: Instant, message: &Message) -> bool {
        let Some(sealed) = &mut self.sealed else {
            return true;
        };
        let taken = match &mut sealed.part {
            Part::Host { reception, .. } => reception.handle_control(now, unix_now(), message),
            Part::Guest(guest) => guest.handle_control(now, unix_now(), message),
            Part::Standby(standby) => standby.handle_control(unix_now(), message),
        };
        if let Err(reason) = taken {
            self.node.count_drop(reason, 1);
        }
        !is_about_code(message)
    }

    /// We are in the room, by a relay that has shown this key.
    pub(crate) fn met_relay(&mut self, shown: Pin, trust: TrustOutcome) {
        if let Some(Part::Host {
            reception,
            short_codes: true,
        }) = self.sealed.as_mut().map(|sealed| &mut sealed.part)
        {
            let venue = Venue {
                relay: self.uplinks.relay().clone(),
                shown,
                // What the system's CAs vouch for may change its key without notice.
                pin: Some(shown).filter(|_| trust != TrustOutcome::System),
            };
            reception.open_counter(unix_now(), venue);
        }
    }

    /// What only a clock can tell, once a second.
    pub(crate) fn tick_sealed(&mut self, now: Instant) {
        match self.sealed.as_mut().map(|sealed| &mut sealed.part) {
            Some(Part::Host { reception, .. }) => reception.handle_timeout(unix_now()),
            Some(Part::Guest(guest)) => guest.handle_clock(now, unix_now()),
            Some(Part::Standby(standby)) => standby.handle_clock(unix_now()),
            None => {}
        }
    }

    /// Does what the room's host or guest wants done, as far as nothing has to be stored first.
    pub(crate) fn drain_sealed(&mut self, now: Instant) -> Result<(), EndpointError> {
        if let Some(Part::Guest(guest)) = self.sealed.as_mut().map(|sealed| &mut sealed.part)
            && guest.poll_timeout().is_some_and(|due| due <= now)
        {
            guest.handle_timeout(now, unix_now());
        }
        while let Some(sealed) = self.sealed.as_mut().filter(|sealed| sealed.storing.is_none()) {
            let more = match &mut sealed.part {
                Part::Host { reception, .. } => match reception.poll_output() {
                    Some(output) => self.do_for_host(now, output),
                    None => false,
                },
                Part::Guest(guest) => match guest.poll_output() {
                    Some(output) => self.do_for_guest(now, output)?,
                    None => false,
                },
                Part::Standby(standby) => match standby.poll_output() {
                    Some(output) => self.do_for_standby(now, output),
                    None => false,
                },
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Lets the binary speak to the room's host. Nothing happens in other rooms.
    pub(crate) fn with_door(&mut self, task: DoorTask) {
        if let Some(Part::Host { reception, .. }) = self.sealed.as_mut().map(|sealed| &mut sealed.part) {
            (task.0)(reception, unix_now());
        }
    }
}

/// Short codes are between newcomer and host; a node would take them for noise.
fn is_about_code(message: &Message) -> bool {
    match message {
        Message::Envelope { data, .. } => envelope_bytes(data).is_ok_and(|bytes| CodeMessage::is_one(&bytes)),
        _ => false,
    }
}

/// What the binary wants at the host's door.
pub(crate) struct DoorTask(pub Box<Speak>);

type Speak = dyn FnOnce(&mut Reception, UnixTime) + Send;

impl std::fmt::Debug for DoorTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DoorTask")
    }
}
