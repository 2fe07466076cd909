//! Short codes at the host's door: the number is registered at the relay, and who knows the words gets an invite for itself alone.

use lanparty_wire::{
    AdmissionRefusal, CodeMessage, DropReason, Invite, MemberId, PeerId, Pin, RelayAddress, ShortCode,
    ShortNumber, Standing, UnixTime, control::Message, seal,
};

use super::{CodeDesk, CodeEnd, CodeOutcome, Grant, NewInvite, Reception, ReceptionOutput};

/// Seconds for which the invite is good that a code leads to: the newcomer asks by it at once.
const GRANTED: u64 = 600;

/// The relay, as the host has met it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Venue {
    pub relay: RelayAddress,
    /// The key that it has shown. Codes are bound to it.
    pub shown: Pin,
    /// What invites say of its key; `None` where every system trusts the relay anyway.
    pub pin: Option<Pin>,
}

/// A code for the host's screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShownCode {
    pub code: ShortCode,
    /// When it is over at the latest.
    pub expires: UnixTime,
    /// How many may still come by it; `None` for any number.
    pub uses_left: Option<u16>,
    /// Why the one that was shown before is over; `None` if this is the first.
    pub instead: Option<CodeEnd>,
}

/// Where codes are tried.
#[derive(Debug)]
pub(super) struct Counter {
    desk: CodeDesk,
    venue: Venue,
    /// The code that was shown last.
    shown: Option<ShortCode>,
    /// Who types this number is told that its code is over.
    before: Option<ShortNumber>,
    /// Answers of the relay that are still to come; only the last one says how it is now.
    unanswered: u32,
    /// The number is to be registered at the next look at the clock.
    is_due: bool,
}

impl Counter {
    fn number(&self) -> ShortNumber {
        self.desk.code().number
    }
}

impl Reception {
    /// Shows short codes from now on. To be called whenever a relay was joined.
    pub fn open_counter(&mut self, unix: UnixTime, venue: Venue) {
        match &mut self.counter {
            Some(counter) => {
                if counter.venue.shown != venue.shown {
                    counter.desk.rebind(unix, &mut self.random, venue.shown);
                    counter.before = None;
                }
                counter.venue = venue;
                // What was asked on an older connection is not answered any more.
                counter.unanswered = 0;
            }
            None => {
                let desk = CodeDesk::open(unix, &mut self.random, self.host.identity(), venue.shown);
                self.counter = Some(Counter {
                    desk,
                    venue,
                    shown: None,
                    before: None,
                    unanswered: 0,
                    is_due: false,
                });
            }
        }
        self.register_number();
    }

    /// The code that newcomers can use now; `None` until the relay has taken its number.
    pub fn short_code(&self) -> Option<ShownCode> {
        let counter = self.counter.as_ref()?;
        (counter.shown == Some(counter.desk.code())).then(|| shown(&counter.desk, counter.desk.last_end()))
    }

    /// Takes the code back and shows another one, for so many newcomers; `None` for any number. False if no codes are shown.
    pub fn renew_short_code(&mut self, unix: UnixTime, uses: Option<u16>) -> bool {
        let Some(counter) = &mut self.counter else {
            return false;
        };
        let before = counter.number();
        counter.desk.set_uses(uses);
        counter.desk.renew(unix, &mut self.random, CodeEnd::Wished);
        counter.before = Some(before);
        self.register_number();
        true
    }

    /// The relay says which numbers lead to us. One that does not is another room's.
    pub(super) fn numbered(&mut self, unix: UnixTime, numbers: &[ShortNumber]) {
        let Some(counter) = &mut self.counter else { return };
        counter.unanswered = counter.unanswered.saturating_sub(1);
        if counter.unanswered > 0 {
            return;
        }
        let code = counter.desk.code();
        if !numbers.contains(&code.number) {
            // Not at once: a relay that always refuses must not keep us busy.
            counter.desk.renew(unix, &mut self.random, CodeEnd::NumberTaken);
            counter.is_due = true;
            return;
        }
        let instead = counter.shown.and_then(|_| counter.desk.last_end());
        if counter.shown.replace(code) != Some(code) {
            let code = shown(&counter.desk, instead);
            self.outputs.push_back(ReceptionOutput::Code(code));
        }
    }

    /// Takes codes back whose time is over.
    pub(super) fn look_at_code(&mut self, unix: UnixTime) {
        let Some(counter) = &mut self.counter else { return };
        let before = counter.number();
        let is_over = counter.desk.handle_timeout(unix, &mut self.random);
        if is_over {
            counter.before = Some(before);
        }
        if is_over || counter.is_due {
            self.register_number();
        }
    }

    /// Who has gone tries no code any more.
    pub(super) fn gone(&mut self, identity: &PeerId) {
        if let Some(counter) = &mut self.counter {
            counter.desk.leave(identity);
        }
    }

    /// Somebody tries a code.
    pub(super) fn tried(&mut self, unix: UnixTime, from: MemberId, bytes: &[u8]) -> Result<(), DropReason> {
        let message = CodeMessage::decode(bytes).map_err(|_| DropReason::Malformed)?;
        let identity = self.identity_of(from).ok_or(DropReason::UnknownSource)?;
        let Some(counter) = &mut self.counter else {
            return Ok(());
        };
        let before = counter.number();
        let outcome = counter.desk.handle(unix, &mut self.random, identity, &message);
        let is_another = counter.number() != before;
        if is_another {
            counter.before = Some(before);
        }
        let answer = match outcome {
            CodeOutcome::Reply(message) => Some(message),
            CodeOutcome::Ignored => None,
            CodeOutcome::Proven(grant) => Some(self.grant(unix, identity, grant)),
        };
        let wrong = CodeMessage::Refused(AdmissionRefusal::WrongCode);
        if answer.as_ref() == Some(&wrong) || message == wrong {
            tracing::warn!(newcomer = %identity, code = %before, "somebody has tried the short code in vain");
        }
        // An invite is stored before it is given away.
        self.collect();
        if let Some(answer) = answer {
            self.send(seal::envelope(from, &answer.encode()));
        }
        if is_another {
            self.register_number();
        }
        Ok(())
    }

    /// An invite for who has proven that it knows the words.
    fn grant(&mut self, unix: UnixTime, identity: PeerId, grant: Grant) -> CodeMessage {
        let new = NewInvite {
            uses: Some(1),
            lifetime: Some(GRANTED),
            standing: Standing::Player,
            only_for: Some(identity),
        };
        let made = self.host.create_invite(unix, &mut self.random, &new);
        let (Ok(invite), Some(counter)) = (made, &self.counter) else {
            return CodeMessage::Refused(AdmissionRefusal::Busy);
        };
        grant.seal(&Invite {
            relay: counter.venue.relay.clone(),
            host: self.host.identity(),
            pin: counter.venue.pin,
            id: invite.id,
            secret: invite.secret,
            expires: invite.expires,
            one_use: true,
            approval: self.host.state().approval,
        })
    }

    /// Tells the relay our numbers.
    fn register_number(&mut self) {
        let Some(counter) = &mut self.counter else { return };
        counter.unanswered = counter.unanswered.saturating_add(1);
        counter.is_due = false;
        let mut numbers = vec![counter.number()];
        numbers.extend(counter.before.filter(|before| *before != counter.number()));
        self.send(Message::ShortNumbers { numbers });
    }
}

fn shown(desk: &CodeDesk, instead: Option<CodeEnd>) -> ShownCode {
    ShownCode {
        code: desk.code(),
        expires: desk.expires(),
        uses_left: desk.uses_left(),
        instead,
    }
}

#[cfg(test)]
mod tests;
