//! What is agreed with one other member, and how it comes about past a relay that loses, delays, repeats and invents.
//!
//! The member with the lower identity begins every handshake, so two never cross. It repeats its message until an answer comes; the other
//! repeats its answer to the same message. An answer alone proves nothing about who reads it, so the responder goes on with
//! the keys it has until something sealed under the new ones arrives. Who has no keys and may not begin, hails. All of it is repeated with growing
//! pauses, so that whatever is lost, and whoever starts anew, it heals by itself; and nothing that fails changes what is agreed.

use std::time::{Duration, Instant};

use lanparty_wire::{
    Destination, DropReason, Header, MemberId, TAG_LEN,
    seal::{Letter, Parcel, Purpose},
};

use super::{
    MemberRole, OVERLAP,
    handshake::{Context, Handshake},
    next_id,
    pace::{Allowance, FIRST_PAUSE, LONGEST_PAUSE, Repeat},
    sealing::{Shared, Told},
    sender::HeardKeys,
    session::Session,
};

/// So many times in vain, and somebody should know.
const PATIENCE: u32 = 5;
/// A hail that comes sooner after a handshake was overtaken by it.
const SETTLED: Duration = Duration::from_secs(2);

/// One other member that is admitted and there.
#[derive(Debug)]
pub struct Link {
    peer: MemberId,
    role: MemberRole,
    context: Context,
    is_initiator: bool,
    current: Option<Session>,
    previous: Option<(Session, Instant)>,
    /// The responder's, until the initiator has used it.
    unconfirmed: Option<Session>,
    attempt: Option<Attempt>,
    /// The last message that was answered, and the answer.
    answered: Option<(Vec<u8>, Vec<u8>)>,
    last_id: u8,
    agreed_at: Option<Instant>,
    hail: Repeat,
    /// Telling our sender keys: up to which one, and up to which it was acknowledged.
    tell: Repeat,
    telling: u8,
    acknowledged: Option<u8>,
    heard: HeardKeys,
    allowance: Allowance,
    told_secured: bool,
    told_unproven: bool,
}

/// A handshake of ours that has no answer yet.
#[derive(Debug)]
struct Attempt {
    id: u8,
    handshake: Handshake,
    parcel: Vec<u8>,
    repeat: Repeat,
}

impl Link {
    /// With this member, from now on. `context` names the lower identity as initiator.
    pub fn new(now: Instant, peer: MemberId, role: MemberRole, context: Context, is_initiator: bool) -> Link {
        Link {
            peer,
            role,
            context,
            is_initiator,
            current: None,
            previous: None,
            unconfirmed: None,
            attempt: None,
            answered: None,
            last_id: 0,
            agreed_at: None,
            // The initiator is given the time to begin by itself.
            hail: Repeat::starting(if is_initiator { now } else { now + FIRST_PAUSE }),
            tell: Repeat::starting(now),
            telling: 0,
            acknowledged: None,
            heard: HeardKeys::default(),
            allowance: Allowance::new(now),
            told_secured: false,
            told_unproven: false,
        }
    }

    pub fn role(&self) -> MemberRole {
        self.role
    }

    pub fn set_role(&mut self, role: MemberRole) {
        self.role = role;
    }

    /// True if there are keys to send it something under.
    pub fn is_secured(&self) -> bool {
        self.current.is_some()
    }

    /// True if it is not known to have our sender key `newest`, and could have it.
    pub fn misses(&self, newest: u8) -> bool {
        self.current.is_some() && self.acknowledged != Some(newest)
    }

    /// When to call [`Link::handle_timeout`]. `newest` is our newest sender key.
    pub fn due(&self, newest: u8) -> Option<Instant> {
        let begin = match (&self.attempt, &self.current) {
            (Some(attempt), _) => attempt.repeat.next,
            (None, _) if !self.is_initiator => self.hail_at(),
            (None, Some(current)) => current.worn_at(),
            (None, None) => self.hail.next,
        };
        // A key that has not been told at all is due since the two have agreed.
        let tell = match self.telling == newest {
            true => Some(self.tell.next),
            false => self.agreed_at,
        };
        let tell = tell.filter(|_| self.misses(newest));
        let forget = self.previous.as_ref().map(|&(_, until)| until);
        [Some(begin), tell, forget, self.heard.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        self.previous.take_if(|(_, until)| *until <= now);
        self.heard.expire(now);
        if self.is_initiator {
            self.begin_or_repeat(now, shared);
        } else if self.hail_at() <= now {
            self.hail.again(now);
            shared.send(self.peer, Parcel::Hail.encode());
            self.complain(self.hail.count, shared);
        }
        self.tell_keys(now, shared);
    }

    /// Takes a parcel that the relay says is this member's.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn handle_parcel(
        &mut self,
        now: Instant,
        parcel: Parcel<'_>,
        shared: &mut Shared,
    ) -> Result<(), DropReason> {
        match parcel {
            Parcel::Hail => self.hailed(now, shared),
            Parcel::Initiate { noise, .. } => self.answer(now, noise, shared),
            Parcel::Respond { noise, .. } => self.finish(now, noise, shared),
            Parcel::Letter {
                key_id,
                counter,
                sealed,
            } => self.read(now, key_id, counter, sealed, shared),
        }
    }

    /// Seals a unicast payload in place.
    ///
    /// # Errors
    /// [`DropReason::NoSession`].
    pub fn seal(&mut self, header: &mut Header, payload: &mut [u8]) -> Result<[u8; TAG_LEN], DropReason> {
        let current = self.current.as_mut().ok_or(DropReason::NoSession)?;
        current.seal(header, payload)
    }

    /// When the keys in use should be replaced; `None` without any.
    pub fn worn_at(&self) -> Option<Instant> {
        self.current.as_ref().map(Session::worn_at)
    }

    /// Writes to the member.
    ///
    /// # Errors
    /// [`DropReason::NoSession`].
    pub fn write(&mut self, letter: &Letter, shared: &mut Shared) -> Result<(), DropReason> {
        let current = self.current.as_mut().ok_or(DropReason::NoSession)?;
        shared.send(self.peer, current.write(letter));
        Ok(())
    }

    /// Whether a datagram is sealed under a key that we have, and may be new.
    ///
    /// # Errors
    /// [`DropReason::Unsealed`], [`DropReason::WrongKey`], or what the replay window says.
    pub fn check(&self, header: &Header) -> Result<(), DropReason> {
        if header.key_id == 0 {
            return Err(DropReason::Unsealed);
        }
        match header.destination {
            Destination::Member(_) => {
                let mut sessions = self.sessions();
                let session = sessions.find(|session| session.id == header.key_id);
                session.ok_or(DropReason::WrongKey)?.check(header.sequence)
            }
            Destination::Flood | Destination::Group(_) => self.heard.check(header),
        }
    }

    /// Opens a payload in place, tag and all. True if that has settled on new keys, so that there is something to do.
    ///
    /// # Errors
    /// [`DropReason::BadSeal`], or as [`Link::check`].
    pub fn open(&mut self, now: Instant, header: &Header, payload: &mut [u8]) -> Result<bool, DropReason> {
        if !matches!(header.destination, Destination::Member(_)) {
            return self.heard.open(header, payload).map(|()| false);
        }
        let mut sessions = self.sessions_mut();
        let session = sessions.find(|session| session.id == header.key_id);
        session.ok_or(DropReason::WrongKey)?.open(header, payload)?;
        drop(sessions);
        Ok(self.confirm(now, header.key_id))
    }

    /// The sessions that may open something, the one in use first.
    fn sessions(&self) -> impl Iterator<Item = &Session> {
        let previous = self.previous.as_ref().map(|(session, _)| session);
        [self.current.as_ref(), previous, self.unconfirmed.as_ref()]
            .into_iter()
            .flatten()
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        let previous = self.previous.as_mut().map(|(session, _)| session);
        [self.current.as_mut(), previous, self.unconfirmed.as_mut()]
            .into_iter()
            .flatten()
    }

    /// Something sealed under session `id` has opened. True if that was the one that waited for it.
    fn confirm(&mut self, now: Instant, id: u8) -> bool {
        let is_other = self.current.as_ref().is_none_or(|current| current.id != id);
        if !is_other {
            return false;
        }
        match self.unconfirmed.take_if(|session| session.id == id) {
            Some(session) => {
                self.agree(now, session);
                true
            }
            None => false,
        }
    }

    /// Both sides have these keys now.
    fn agree(&mut self, now: Instant, session: Session) {
        self.previous = self.current.replace(session).map(|old| (old, now + OVERLAP));
        self.agreed_at = Some(now);
        self.acknowledged = None;
        self.tell = Repeat::starting(now);
        self.hail = Repeat::starting(now);
    }

    fn begin_or_repeat(&mut self, now: Instant, shared: &mut Shared) {
        let Some(attempt) = &mut self.attempt else {
            let is_due = match &self.current {
                Some(current) => current.worn_at() <= now,
                None => self.hail.next <= now,
            };
            if is_due {
                self.begin(now, shared);
            }
            return;
        };
        if attempt.repeat.next <= now {
            attempt.repeat.again(now);
            shared.send(self.peer, attempt.parcel.clone());
            let count = attempt.repeat.count;
            self.complain(count, shared);
        }
    }

    fn begin(&mut self, now: Instant, shared: &mut Shared) {
        self.last_id = next_id(self.last_id);
        let seed = shared.random();
        let begun = Handshake::initiate(&self.context, &shared.identity, &[self.last_id], &seed);
        let Ok((handshake, noise)) = begun else {
            // No key that a secret can be shared with: it stays as it is, at the longest pause.
            self.hail.count = u32::MAX;
            self.hail.again(now);
            self.complain(PATIENCE, shared);
            return;
        };
        let purpose = Purpose::Member;
        let parcel = Parcel::Initiate {
            purpose,
            noise: &noise,
        }
        .encode();
        shared.send(self.peer, parcel.clone());
        let mut repeat = Repeat::starting(now);
        repeat.again(now);
        self.attempt = Some(Attempt {
            id: self.last_id,
            handshake,
            parcel,
            repeat,
        });
    }

    /// The member has no keys with us, or says so. It costs one handshake, and no faster than [`SETTLED`].
    fn hailed(&mut self, now: Instant, shared: &mut Shared) -> Result<(), DropReason> {
        if !self.is_initiator {
            return Err(DropReason::BadHandshake);
        }
        self.allowance.take(now)?;
        match &mut self.attempt {
            Some(attempt) => {
                attempt.repeat = Repeat::starting(now);
                self.begin_or_repeat(now, shared);
            }
            None if self.agreed_at.is_none_or(|at| now >= at + SETTLED) => self.begin(now, shared),
            None => {}
        }
        Ok(())
    }

    fn answer(&mut self, now: Instant, noise: &[u8], shared: &mut Shared) -> Result<(), DropReason> {
        if self.is_initiator {
            return Err(DropReason::BadHandshake);
        }
        self.allowance.take(now)?;
        if let Some((question, answer)) = &self.answered
            && question == noise
        {
            shared.send(self.peer, answer.clone());
            return Ok(());
        }
        let seed = shared.random();
        let (handshake, payload) = Handshake::respond(&self.context, &shared.identity, noise, &seed)
            .map_err(|_| DropReason::BadHandshake)?;
        let &[id @ 1..=31] = payload.as_slice() else {
            return Err(DropReason::Malformed);
        };
        let (secrets, message) = handshake.answer(&[]).map_err(|_| DropReason::BadHandshake)?;
        self.unconfirmed = Some(Session::new(now, id, &secrets, false));
        let purpose = Purpose::Member;
        let answer = Parcel::Respond {
            purpose,
            noise: &message,
        }
        .encode();
        shared.send(self.peer, answer.clone());
        self.answered = Some((noise.to_vec(), answer));
        Ok(())
    }

    fn finish(&mut self, now: Instant, noise: &[u8], shared: &mut Shared) -> Result<(), DropReason> {
        let attempt = self.attempt.as_mut().ok_or(DropReason::BadHandshake)?;
        self.allowance.take(now)?;
        let finished = attempt.handshake.finish(noise);
        let (secrets, _) = finished.map_err(|_| DropReason::BadHandshake)?;
        let session = Session::new(now, attempt.id, &secrets, true);
        self.attempt = None;
        self.agree(now, session);
        // This letter is also what tells the responder that we have the keys.
        self.tell_keys(now, shared);
        Ok(())
    }

    fn read(
        &mut self,
        now: Instant,
        key_id: u8,
        counter: u64,
        sealed: &[u8],
        shared: &mut Shared,
    ) -> Result<(), DropReason> {
        let mut result = Err(DropReason::WrongKey);
        for session in self.sessions_mut().filter(|session| session.id == key_id) {
            result = session.read(counter, sealed);
            if result.is_ok() {
                break;
            }
        }
        let letter = result?;
        if self.confirm(now, key_id) {
            self.tell_keys(now, shared);
        }
        match letter {
            Letter::SenderKeys(keys) => {
                self.heard.learn(now, &keys);
                let newest = keys.last().map_or(0, |key| key.id);
                self.write(&Letter::Ack(newest), shared)
            }
            Letter::Ack(id) => {
                self.acknowledged = Some(id);
                Ok(())
            }
            Letter::Leases(leases) => {
                let from = self.peer;
                shared.tell(Told::Leases { from, leases });
                Ok(())
            }
            Letter::Note(bytes) => {
                shared.tell(Told::Note {
                    from: self.peer,
                    bytes,
                });
                Ok(())
            }
        }
    }

    /// Tells our sender keys if they are not known to have come, and it is time.
    fn tell_keys(&mut self, now: Instant, shared: &mut Shared) {
        if self.is_secured() && !std::mem::replace(&mut self.told_secured, true) {
            shared.tell(Told::Secured(self.peer));
        }
        let newest = shared.sender.newest();
        if !self.misses(newest) {
            return;
        }
        if self.telling != newest {
            self.telling = newest;
            self.tell = Repeat::starting(now);
        }
        if self.tell.next > now {
            return;
        }
        self.tell.again(now);
        let letter = shared.sender.letter();
        // There is a session, or nothing would be missed.
        let _ = self.write(&letter, shared);
        if self.tell.count > PATIENCE && self.is_initiator && self.attempt.is_none() {
            // Whoever does not acknowledge has other keys than we believe.
            self.begin(now, shared);
        }
    }

    /// When to ask the initiator for a handshake.
    fn hail_at(&self) -> Instant {
        match &self.current {
            None => self.hail.next,
            // Beginning anew is the initiator's, which has the same clock; this is for when it does not.
            Some(current) => self.hail.next.max(current.worn_at() + LONGEST_PAUSE),
        }
    }

    fn complain(&mut self, count: u32, shared: &mut Shared) {
        if count >= PATIENCE && self.current.is_none() && !std::mem::replace(&mut self.told_unproven, true) {
            shared.tell(Told::Unproven(self.peer));
        }
    }
}
