//! What a guest wants done, and how the status shows how far it has come.

use std::{future::Future, time::Instant};

use lanparty_api::status::Admission;
use lanparty_core::{
    admission::{Guest, GuestConfig, GuestOutput, GuestState, SavedMembership},
    seal::IdentityKey,
};
use lanparty_os::device::{Device, DeviceError};
use lanparty_wire::{Invite, Mac, MemberId};

use super::{Part, unix_now};
use crate::{
    EndpointConfig,
    endpoint::{Endpoint, EndpointError},
};

pub(super) fn guest(
    config: &EndpointConfig,
    identity: IdentityKey,
    invite: &Invite,
    saved: Option<&SavedMembership>,
) -> Guest {
    let config = GuestConfig {
        host: invite.host,
        identity,
        // The host refuses a client without an address, as the relay does.
        mac: config.mac.unwrap_or(Mac::ZERO),
        name: config.name.clone(),
        software: config.software.clone(),
        invite: (invite.id, invite.secret),
        seed: rand::random(),
    };
    Guest::new(unix_now(), config, saved)
}

pub(super) fn shown(state: GuestState) -> Admission {
    match state {
        GuestState::Asking => Admission::Asking,
        GuestState::Waiting => Admission::Waiting,
        GuestState::HostAway => Admission::HostAway,
        GuestState::Refused(reason) => Admission::Refused { reason },
        GuestState::Admitted => Admission::Admitted,
    }
}

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// True: there may be more to do.
    pub(super) fn do_for_guest(&mut self, now: Instant, output: GuestOutput) -> Result<bool, EndpointError> {
        match output {
            GuestOutput::Send(message) => self.send_control(*message),
            GuestOutput::Roster(roster) => {
                // Counted there if it is old.
                let _ = self.node.set_roster(now, roster);
            }
            GuestOutput::Save(membership) => {
                if let Some(sealed) = &mut self.sealed {
                    sealed.store(&membership);
                }
            }
            GuestOutput::Refused(reason) => return Err(EndpointError::Refused(reason)),
        }
        Ok(true)
    }

    /// What another member has written under the keys that we share with it.
    pub(crate) fn note(&mut self, now: Instant, from: MemberId, bytes: &[u8]) {
        if let Some(Part::Guest(guest)) = self.sealed.as_mut().map(|sealed| &mut sealed.part) {
            guest.handle_note(now, unix_now(), from, bytes);
        }
    }
}
