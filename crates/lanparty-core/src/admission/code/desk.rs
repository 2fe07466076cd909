//! The host's side of short codes: the one on the screen, and those who try it.

use std::collections::BTreeMap;

use lanparty_wire::{AdmissionRefusal, CodeMessage, Invite, PeerId, Pin, ShortCode, ShortNumber, UnixTime};
use rand::{CryptoRng, Rng};
use spake2::{Ed25519Group, Password, Spake2};
use subtle::ConstantTimeEq;

use super::{Context, Keys, NONCE, Source, share_of};
use crate::seal::aead::Key;

/// Tries of one code; with 33 secret bits, a chance of one in 1.7 thousand million that all of them together find it.
pub(super) const MAX_TRIES: u8 = 5;
/// Seconds for which a code lives.
pub(super) const LIFETIME: u64 = 30 * 60;
/// Tries in an hour over all codes, so that a relay that burns one code after the other does not get more guesses by it.
pub(super) const MAX_TRIES_PER_HOUR: u16 = 60;
/// Seconds that a try may take.
pub(super) const ATTEMPT: u64 = 60;

/// A newcomer has proven that it knows the words: seal an invite for it.
pub struct Grant {
    pub(super) keys: Keys,
    pub(super) context: Vec<u8>,
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

/// Why a code is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeEnd {
    /// Its half hour is.
    Expired,
    /// It was tried wrongly five times.
    Voided,
    /// As many as it was for have come by it.
    UsedUp,
    /// Another room has its number at the relay.
    NumberTaken,
    /// The relay shows another key than the one that it was bound to.
    OtherKey,
    /// The host wished so.
    Wished,
}

struct Attempt {
    number: ShortNumber,
    since: UnixTime,
    keys: Keys,
    /// Its code was for others, or was taken back.
    is_void: bool,
}

/// The host's side: the code on its screen, and those who try it.
pub struct CodeDesk {
    host: PeerId,
    /// What the relay showed the host.
    pin: Pin,
    code: ShortCode,
    since: UnixTime,
    /// How many may come by a code; `None` for any number.
    uses: Option<u16>,
    /// How many have come by this one.
    used: u16,
    tries: u8,
    ended: Option<CodeEnd>,
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
            uses: None,
            used: 0,
            tries: 0,
            ended: None,
            hour: now,
            tries_in_hour: 0,
            attempts: BTreeMap::new(),
        }
    }

    /// The code to show, and whose number the relay is to know.
    pub fn code(&self) -> ShortCode {
        self.code
    }

    /// When the code is over, unless something ends it before.
    pub fn expires(&self) -> UnixTime {
        self.since.after(LIFETIME)
    }

    /// How many may still come by it; `None` for any number.
    pub fn uses_left(&self) -> Option<u16> {
        self.uses.map(|uses| uses.saturating_sub(self.used))
    }

    /// Why the code before this one is over; `None` if this is the first.
    pub fn last_end(&self) -> Option<CodeEnd> {
        self.ended
    }

    /// How often it was tried in vain, tries that still run included.
    pub fn tries(&self) -> u8 {
        self.tries
    }

    /// When [`CodeDesk::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> UnixTime {
        let attempts = self.attempts.values().map(|attempt| attempt.since.after(ATTEMPT));
        attempts.chain([self.expires()]).min().unwrap_or(self.since)
    }

    /// Ends tries that take too long, and a code that is over. True if there is a new code.
    pub fn handle_timeout(&mut self, now: UnixTime, random: &mut (impl Rng + CryptoRng)) -> bool {
        self.attempts
            .retain(|_, attempt| now < attempt.since.after(ATTEMPT));
        let end = if self.uses_left() == Some(0) {
            CodeEnd::UsedUp
        } else if self.is_spent() {
            CodeEnd::Voided
        } else if now >= self.expires() {
            CodeEnd::Expired
        } else {
            return false;
        };
        self.renew(now, random, end);
        true
    }

    /// Shows another code, for as many as the one before.
    pub fn renew(&mut self, now: UnixTime, random: &mut (impl Rng + CryptoRng), end: CodeEnd) {
        let before = self.code.number;
        // A number stands for one code: tries of the one before are told apart by it.
        while self.code.number == before {
            self.code = new_code(random);
        }
        self.since = now;
        self.used = 0;
        self.tries = 0;
        self.ended = Some(end);
        if matches!(end, CodeEnd::UsedUp | CodeEnd::Wished) {
            self.attempts
                .values_mut()
                .for_each(|attempt| attempt.is_void = true);
        }
    }

    /// Somebody has gone. A try that it leaves stays counted, and is over.
    pub fn leave(&mut self, newcomer: &PeerId) {
        self.attempts.remove(newcomer);
    }

    /// The relay shows another key now: what was tried so far, and the code, are of no use any more.
    pub fn rebind(&mut self, now: UnixTime, random: &mut (impl Rng + CryptoRng), pin: Pin) {
        self.pin = pin;
        self.attempts.clear();
        self.renew(now, random, CodeEnd::OtherKey);
    }

    /// Codes are for so many newcomers from the next one on; `None` for any number. 0 is taken for 1.
    pub fn set_uses(&mut self, uses: Option<u16>) {
        self.uses = uses.map(|uses| uses.max(1));
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
        let attempt = Attempt {
            number,
            since,
            keys,
            is_void: false,
        };
        self.attempts.insert(from, attempt);
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
        if attempt.is_void {
            return CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::CodeOver));
        }
        if attempt.number == self.code.number {
            self.tries = self.tries.saturating_sub(1);
            self.used = self.used.saturating_add(1);
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
