//! Short codes: a newcomer and the host prove to each other, through the relay, that they know the same three words.
//!
//! SPAKE2 (RFC 9382 describes the family; the bytes are those of the `spake2` crate) gives both a key that depends on the words and on
//! everything that both must see alike: number, room, host key, newcomer, and the relay's pin. Whoever sits between them, the relay
//! included, gets one guess per try, and the *host* counts the tries: [`MAX_TRIES`], then the code is over and another one is shown.
//! Then the host sends an invite under the key, and everything goes on as with a link.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use lanparty_wire::{
    AdmissionRefusal, CodeMessage, Invite, PeerId, Pin, SealedRoom, ShortCode, ShortNumber, TAG_LEN, UnixTime,
};
use rand::{CryptoRng, Rng};
use sha2::{Digest, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::seal::aead::{Key, NONCE_LEN};

/// Tries of one code; with 33 secret bits, a chance of one in 1.7 thousand million that all of them together find it.
pub const MAX_TRIES: u8 = 5;
/// Seconds for which a code lives.
pub const LIFETIME: u64 = 30 * 60;
/// Tries in an hour over all codes, so that a relay that burns one code after the other does not get more guesses by it.
const MAX_TRIES_PER_HOUR: u16 = 60;
/// Seconds that a try may take.
const ATTEMPT: u64 = 60;
/// A nonce is used once under a grant's key, because the key is.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// What both sides must see alike, besides the words.
#[derive(Clone, Copy)]
struct Context<'a> {
    number: ShortNumber,
    host: &'a PeerId,
    newcomer: &'a PeerId,
    pin: &'a Pin,
}

impl Context<'_> {
    fn bytes(&self) -> Vec<u8> {
        [
            &b"lanparty short code v1\0"[..],
            &self.number.value().to_be_bytes(),
            SealedRoom::of(self.host).bytes(),
            &self.host.0,
            &self.newcomer.0,
            self.pin.bytes(),
        ]
        .concat()
    }

    fn identities(&self) -> (Identity, Identity) {
        let side = |name: &[u8]| Identity::new(&[name, &self.bytes()].concat());
        (side(b"newcomer\0"), side(b"host\0"))
    }
}

/// What both sides have once they have each other's share.
struct Keys {
    host_confirms: [u8; 32],
    newcomer_confirms: [u8; 32],
    grant: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// Keys of the library's shared key and of all that was said.
    fn derive(shared: &[u8], context: &Context<'_>, newcomer: &[u8], host: &[u8]) -> Keys {
        let digest = Sha256::new()
            .chain_update(context.bytes())
            .chain_update(newcomer)
            .chain_update(host)
            .finalize();
        let keys = Hkdf::<Sha256>::new(Some(&digest), shared);
        let expand = |label: &[u8]| {
            let mut key = [0; 32];
            keys.expand(label, &mut key)
                .expect("32 bytes are within HKDF's length");
            key
        };
        Keys {
            host_confirms: expand(b"host confirms"),
            newcomer_confirms: expand(b"newcomer confirms"),
            grant: Zeroizing::new(expand(b"grant")),
        }
    }
}

/// The library wants an older kind of random source; it gets the same bytes.
struct Source<'a, R>(&'a mut R);

impl<R: Rng> spake2_rand::RngCore for Source<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), spake2_rand::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> spake2_rand::CryptoRng for Source<'_, R> {}

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

fn share_of(bytes: &[u8]) -> [u8; lanparty_wire::PAKE_LEN] {
    bytes
        .try_into()
        .expect("a share of SPAKE2 on edwards25519 has 33 bytes")
}

/// A newcomer has proven that it knows the words: seal an invite for it.
pub struct Grant {
    keys: Keys,
    context: Vec<u8>,
    /// Who it is.
    pub newcomer: PeerId,
}

impl Grant {
    /// The message that carries `invite`, which should be for one use, for this newcomer only, and short-lived.
    pub fn seal(self, invite: &Invite) -> CodeMessage {
        let mut sealed = invite.to_string().into_bytes();
        let tag = Key::new(&self.keys.grant).seal(NONCE, &self.context, &mut sealed);
        sealed.extend_from_slice(&tag);
        CodeMessage::Grant { sealed }
    }
}

impl std::fmt::Debug for Grant {
    /// Without its keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grant").field(&self.newcomer).finish()
    }
}

/// What the host does with a message.
#[derive(Debug)]
pub enum CodeOutcome {
    /// Send this back.
    Reply(CodeMessage),
    /// Make an invite and send it back, sealed.
    Proven(Grant),
    /// Nothing.
    Ignored,
}

struct Attempt {
    number: ShortNumber,
    since: UnixTime,
    keys: Keys,
}

/// The host's side: the code on its screen, and those who try it.
pub struct CodeDesk {
    host: PeerId,
    /// What the relay showed the host.
    pin: Pin,
    code: ShortCode,
    since: UnixTime,
    tries: u8,
    hour: UnixTime,
    tries_in_hour: u16,
    attempts: BTreeMap<PeerId, Attempt>,
}

impl CodeDesk {
    /// A desk with a new code, at a relay that shows `pin`.
    pub fn open(now: UnixTime, random: &mut (impl Rng + CryptoRng), host: PeerId, pin: Pin) -> CodeDesk {
        CodeDesk {
            host,
            pin,
            code: new_code(random),
            since: now,
            tries: 0,
            hour: now,
            tries_in_hour: 0,
            attempts: BTreeMap::new(),
        }
    }

    /// The code to show, and whose number the relay is to know.
    pub fn code(&self) -> ShortCode {
        self.code
    }

    /// How often it was tried in vain, tries that still run included.
    pub fn tries(&self) -> u8 {
        self.tries
    }

    /// When [`CodeDesk::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> UnixTime {
        let attempts = self.attempts.values().map(|attempt| attempt.since.after(ATTEMPT));
        attempts
            .chain([self.since.after(LIFETIME)])
            .min()
            .unwrap_or(self.since)
    }

    /// Ends tries that take too long, and a code whose time is over. True if there is a new code.
    pub fn handle_timeout(&mut self, now: UnixTime, random: &mut (impl Rng + CryptoRng)) -> bool {
        self.attempts
            .retain(|_, attempt| now < attempt.since.after(ATTEMPT));
        let is_over = now >= self.since.after(LIFETIME) || self.is_spent();
        if is_over {
            self.renew(now, random);
        }
        is_over
    }

    /// Shows another code: the relay has given the number to another room, or the host wishes so.
    pub fn renew(&mut self, now: UnixTime, random: &mut (impl Rng + CryptoRng)) {
        self.code = new_code(random);
        self.since = now;
        self.tries = 0;
    }

    /// `from` has sent this, in an envelope of a member with that identity. Afterwards compare [`CodeDesk::code`]: it may be a new one.
    pub fn handle(
        &mut self,
        now: UnixTime,
        random: &mut (impl Rng + CryptoRng),
        from: PeerId,
        message: &CodeMessage,
    ) -> CodeOutcome {
        self.handle_timeout(now, random);
        match message {
            CodeMessage::Start { number, share } => self.begin(now, random, from, *number, share),
            CodeMessage::Confirm { confirmation } => {
                let outcome = self.finish(from, confirmation);
                self.handle_timeout(now, random);
                outcome
            }
            CodeMessage::Refused(_) => {
                self.attempts.remove(&from);
                self.handle_timeout(now, random);
                CodeOutcome::Ignored
            }
            CodeMessage::Reply { .. } | CodeMessage::Grant { .. } => CodeOutcome::Ignored,
        }
    }

    /// A try counts from its first message on: what the host answers already tells a guesser whether the guess was right.
    fn begin(
        &mut self,
        now: UnixTime,
        random: &mut (impl Rng + CryptoRng),
        from: PeerId,
        number: ShortNumber,
        share: &[u8],
    ) -> CodeOutcome {
        let refuse = |refusal| CodeOutcome::Reply(CodeMessage::Refused(refusal));
        if number != self.code.number {
            return refuse(AdmissionRefusal::CodeOver);
        }
        if self.attempts.contains_key(&from) || self.tries >= MAX_TRIES {
            return refuse(AdmissionRefusal::Busy);
        }
        if now.since(self.hour) >= 3600 {
            self.hour = now;
            self.tries_in_hour = 0;
        }
        if self.tries_in_hour >= MAX_TRIES_PER_HOUR {
            return refuse(AdmissionRefusal::Busy);
        }
        self.tries += 1;
        self.tries_in_hour += 1;
        let context = Context {
            number,
            host: &self.host,
            newcomer: &from,
            pin: &self.pin,
        };
        let (newcomer_side, host_side) = context.identities();
        let words = Password::new(self.code.secret());
        let (pake, mine) =
            Spake2::<Ed25519Group>::start_b_with_rng(&words, &newcomer_side, &host_side, Source(random));
        let Ok(shared) = pake.finish(share) else {
            self.handle_timeout(now, random);
            return refuse(AdmissionRefusal::WrongCode);
        };
        let keys = Keys::derive(&shared, &context, share, &mine);
        let reply = CodeMessage::Reply {
            share: share_of(&mine),
            confirmation: keys.host_confirms,
        };
        let since = now;
        self.attempts.insert(from, Attempt { number, since, keys });
        CodeOutcome::Reply(reply)
    }

    fn finish(&mut self, from: PeerId, confirmation: &[u8; 32]) -> CodeOutcome {
        let Some(attempt) = self.attempts.remove(&from) else {
            return CodeOutcome::Ignored;
        };
        if !bool::from(attempt.keys.newcomer_confirms.ct_eq(confirmation)) {
            return CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::WrongCode));
        }
        self.tries_in_hour = self.tries_in_hour.saturating_sub(1);
        if attempt.number == self.code.number {
            self.tries = self.tries.saturating_sub(1);
        }
        let context = Context {
            number: attempt.number,
            host: &self.host,
            newcomer: &from,
            pin: &self.pin,
        };
        CodeOutcome::Proven(Grant {
            context: context.bytes(),
            keys: attempt.keys,
            newcomer: from,
        })
    }

    /// No try is left, and none that runs can give one back.
    fn is_spent(&self) -> bool {
        self.tries >= MAX_TRIES && self.attempts.is_empty()
    }
}

impl std::fmt::Debug for CodeDesk {
    /// Without the words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeDesk")
            .field("code", &self.code)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

fn new_code(random: &mut (impl Rng + CryptoRng)) -> ShortCode {
    let number = random.random_range(0..ShortNumber::COUNT);
    let number = ShortNumber::new(number).expect("the range is that of numbers");
    ShortCode::from_random(number, random.random())
}

#[cfg(test)]
mod tests;
