//! The handshake that carries a request for admission to the host, and the answer back.

use lanparty_wire::{
    DropReason, SealedRoom,
    seal::{Parcel, Purpose},
};
use rand_chacha::{ChaCha20Rng, rand_core::RngCore};

use crate::seal::{
    IdentityKey,
    handshake::{Context, Handshake, Party},
};

/// Who asks whom, and where.
pub(super) struct Asking {
    pub room: SealedRoom,
    pub newcomer: Party,
    pub host: Party,
}

impl Asking {
    fn context(&self) -> Context {
        Context {
            purpose: Purpose::Admission,
            room: self.room,
            initiator: self.newcomer,
            responder: self.host,
        }
    }

    /// The newcomer's handshake, and the parcel that begins it. `None` if the host's identity is of no use.
    pub fn begin(
        &self,
        random: &mut ChaCha20Rng,
        own: &IdentityKey,
        request: &[u8],
    ) -> Option<(Handshake, Vec<u8>)> {
        let begun = Handshake::initiate(&self.context(), own, request, &seed(random));
        let (handshake, noise) = begun.ok()?;
        let purpose = Purpose::Admission;
        let parcel = Parcel::Initiate {
            purpose,
            noise: &noise,
        };
        Some((handshake, parcel.encode()))
    }

    /// The host's handshake, and the request that a newcomer's message carries.
    pub fn hear(
        &self,
        random: &mut ChaCha20Rng,
        own: &IdentityKey,
        noise: &[u8],
    ) -> Result<(Handshake, Vec<u8>), DropReason> {
        Handshake::respond(&self.context(), own, noise, &seed(random)).map_err(|_| DropReason::BadHandshake)
    }
}

/// The parcel that ends the host's handshake with its answer.
pub(super) fn end(handshake: Handshake, answer: &[u8]) -> Result<Vec<u8>, DropReason> {
    let (_, noise) = handshake.answer(answer).map_err(|_| DropReason::BadHandshake)?;
    let purpose = Purpose::Admission;
    let parcel = Parcel::Respond {
        purpose,
        noise: &noise,
    };
    Ok(parcel.encode())
}

/// What a newcomer's first message carries, if the bytes of an envelope are one; others are members' business.
pub(super) fn request_in(bytes: &[u8]) -> Option<&[u8]> {
    match Parcel::decode(bytes) {
        Ok(Parcel::Initiate {
            purpose: Purpose::Admission,
            noise,
        }) => Some(noise),
        Ok(_) | Err(_) => None,
    }
}

/// What the host's message carries, if the bytes of an envelope are one; others are members' business.
pub(super) fn answer_in(bytes: &[u8]) -> Option<&[u8]> {
    match Parcel::decode(bytes) {
        Ok(Parcel::Respond {
            purpose: Purpose::Admission,
            noise,
        }) => Some(noise),
        Ok(_) | Err(_) => None,
    }
}

fn seed(random: &mut ChaCha20Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    seed
}
