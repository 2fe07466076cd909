//! The newcomer's side of a short code.

use lanparty_wire::{AdmissionRefusal, CodeMessage, Invite, PeerId, Pin, ShortCode, TAG_LEN};
use rand::{CryptoRng, Rng};
use spake2::{Ed25519Group, Password, Spake2};
use subtle::ConstantTimeEq;

use super::{Context, Keys, NONCE, Source, share_of};
use crate::seal::aead::Key;

/// The newcomer's side.
pub struct CodeTry {
    code: ShortCode,
    me: PeerId,
    host: PeerId,
    pin: Pin,
    stage: Stage,
}

enum Stage {
    Started {
        pake: Spake2<Ed25519Group>,
        share: Vec<u8>,
    },
    Confirmed(Keys),
    Over,
}

/// What the newcomer does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeStep {
    /// Send this to the host.
    Send(CodeMessage),
    /// The host is the code's, and this is its invite.
    Invited(Box<Invite>),
}

impl CodeTry {
    /// A try with the host that the relay names, over the relay that shows `pin`, and the first message.
    pub fn start(
        random: &mut (impl Rng + CryptoRng),
        code: ShortCode,
        me: PeerId,
        host: PeerId,
        pin: Pin,
    ) -> (CodeTry, CodeMessage) {
        let context = Context {
            number: code.number,
            host: &host,
            newcomer: &me,
            pin: &pin,
        };
        let (newcomer_side, host_side) = context.identities();
        let words = Password::new(code.secret());
        let (pake, share) = Spake2::start_a_with_rng(&words, &newcomer_side, &host_side, Source(random));
        let message = CodeMessage::Start {
            number: code.number,
            share: share_of(&share),
        };
        let stage = Stage::Started { pake, share };
        (
            CodeTry {
                code,
                me,
                host,
                pin,
                stage,
            },
            message,
        )
    }

    /// The host has sent this.
    ///
    /// # Errors
    /// Why there will be no invite. The try is over; tell the host with [`CodeMessage::Refused`], so that it need not wait.
    pub fn handle(&mut self, message: &CodeMessage) -> Result<CodeStep, AdmissionRefusal> {
        match (std::mem::replace(&mut self.stage, Stage::Over), message) {
            (Stage::Started { pake, share: mine }, CodeMessage::Reply { share, confirmation }) => {
                let shared = pake.finish(share).map_err(|_| AdmissionRefusal::WrongCode)?;
                let keys = Keys::derive(&shared, &self.context(), &mine, share);
                if !bool::from(keys.host_confirms.ct_eq(confirmation)) {
                    return Err(AdmissionRefusal::WrongCode);
                }
                let confirmation = keys.newcomer_confirms;
                self.stage = Stage::Confirmed(keys);
                Ok(CodeStep::Send(CodeMessage::Confirm { confirmation }))
            }
            (Stage::Confirmed(keys), CodeMessage::Grant { sealed }) => self.take_grant(&keys, sealed),
            (_, CodeMessage::Refused(refusal)) => Err(*refusal),
            (Stage::Started { .. } | Stage::Confirmed(_) | Stage::Over, _) => {
                Err(AdmissionRefusal::WrongCode)
            }
        }
    }

    fn take_grant(&self, keys: &Keys, sealed: &[u8]) -> Result<CodeStep, AdmissionRefusal> {
        let mut bytes = sealed.to_vec();
        let key = Key::new(&keys.grant);
        key.open(NONCE, &self.context().bytes(), &mut bytes)
            .map_err(|_| AdmissionRefusal::WrongCode)?;
        bytes.truncate(bytes.len().saturating_sub(TAG_LEN));
        let text = std::str::from_utf8(&bytes).map_err(|_| AdmissionRefusal::Malformed)?;
        let invite: Invite = text.parse().map_err(|_| AdmissionRefusal::Malformed)?;
        if invite.host != self.host || invite.pin.is_some_and(|pin| pin != self.pin) {
            return Err(AdmissionRefusal::WrongCode);
        }
        Ok(CodeStep::Invited(Box::new(invite)))
    }

    fn context(&self) -> Context<'_> {
        Context {
            number: self.code.number,
            host: &self.host,
            newcomer: &self.me,
            pin: &self.pin,
        }
    }
}
