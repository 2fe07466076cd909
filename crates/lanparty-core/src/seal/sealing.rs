//! What of sealing belongs to the node and not to one of its peers: who we are, who is admitted, and our own sender keys.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use lanparty_wire::{
    Destination, DropReason, Header, MemberId, PeerId, Profile, SealedRoom, TAG_LEN,
    control::{Member, Role},
    seal::Purpose,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::{
    IdentityKey, MemberRole, Roster, SealingConfig,
    handshake::{Context, Party},
    link::Link,
    next_id,
    sender::SenderKeys,
};
use crate::{
    hole::{Hole, is_open},
    node::peers::{Peer, Peers},
};

/// Members that leave together cost one new key.
const ROTATION_DELAY: Duration = Duration::from_secs(1);

/// A node's part in a sealed room.
#[derive(Debug)]
pub struct Sealing {
    host: PeerId,
    room: SealedRoom,
    me: Option<Party>,
    roster: Option<Roster>,
    pub shared: Shared,
    /// When our sender key is replaced because somebody has left who knows it.
    rotate_at: Option<Instant>,
    /// When [`Sealing`] or a link has something to do.
    pub due: Option<Instant>,
    /// Whether anybody can have our sender key.
    pub is_heard: bool,
    /// Whether anybody who is admitted has no keys with us yet.
    pub is_agreeing: bool,
    /// A worn key has been noticed on the frame path; so once is enough.
    is_replacing: bool,
}

/// What a node tells its shell.
#[derive(Debug)]
pub enum Told {
    /// Keys are agreed with this member.
    Secured(MemberId),
    /// This member does not prove who it is.
    Unproven(MemberId),
    /// A member has written.
    Note { from: MemberId, bytes: Vec<u8> },
    /// A member says which addresses are whose.
    Leases {
        from: MemberId,
        leases: Vec<(MemberId, Ipv4Addr)>,
    },
}

/// What all links need.
#[derive(Debug)]
pub struct Shared {
    pub identity: IdentityKey,
    pub sender: SenderKeys,
    random: ChaCha20Rng,
    /// Drained after each input; one input makes a few for each member.
    outgoing: Vec<(MemberId, Vec<u8>)>,
    told: Vec<Told>,
}

impl Shared {
    /// Fresh secret bytes.
    pub fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        if !is_open(Hole::Freshness) {
            self.random.fill_bytes(&mut bytes);
        }
        bytes
    }

    pub fn send(&mut self, to: MemberId, parcel: Vec<u8>) {
        self.outgoing.push((to, parcel));
    }

    pub fn tell(&mut self, told: Told) {
        self.told.push(told);
    }

    /// What was said and told since the last time.
    pub fn take(&mut self) -> (Vec<(MemberId, Vec<u8>)>, Vec<Told>) {
        (std::mem::take(&mut self.outgoing), std::mem::take(&mut self.told))
    }

    fn rotate(&mut self, now: Instant) {
        let raw = self.random();
        self.sender.rotate(now, raw);
    }
}

impl Sealing {
    /// Nobody is admitted yet.
    pub fn new(config: &SealingConfig, now: Instant) -> Sealing {
        let mut random = ChaCha20Rng::from_seed(config.seed);
        let mut raw = [0; 32];
        random.fill_bytes(&mut raw);
        Sealing {
            host: config.host,
            room: SealedRoom::of(&config.host),
            me: None,
            roster: None,
            shared: Shared {
                identity: config.identity.clone(),
                sender: SenderKeys::new(now, 1, raw),
                random,
                outgoing: Vec::new(),
                told: Vec::new(),
            },
            rotate_at: None,
            due: None,
            is_heard: false,
            is_agreeing: false,
            is_replacing: false,
        }
    }

    /// The relay has said who we are. True if that is news: then nothing that was agreed as somebody else holds.
    pub fn welcomed(&mut self, now: Instant, me: Party) -> bool {
        if self.me == Some(me) {
            return false;
        }
        self.me = Some(me);
        let raw = self.shared.random();
        let id = next_id(self.shared.sender.newest());
        self.shared.sender = SenderKeys::new(now, id, raw);
        true
    }

    /// Takes a roster that is newer than the last.
    ///
    /// # Errors
    /// [`DropReason::OldRoster`].
    pub fn set_roster(&mut self, roster: Roster) -> Result<(), DropReason> {
        if self
            .roster
            .as_ref()
            .is_some_and(|mine| roster.number < mine.number)
            && !is_open(Hole::RosterNumber)
        {
            return Err(DropReason::OldRoster);
        }
        self.roster = Some(roster);
        Ok(())
    }

    /// What the host lets a member do that the relay names; `None` if the host does not name it, or names it otherwise.
    pub fn admitted(&self, member: &Member) -> Option<MemberRole> {
        if is_open(Hole::Admission) {
            let is_gateway = member.role == Role::Gateway;
            return Some(if is_gateway {
                MemberRole::Gateway
            } else {
                MemberRole::Player
            });
        }
        let entries = &self.roster.as_ref()?.members;
        let entry = entries.iter().find(|entry| entry.identity == member.identity)?;
        let is_gateway = entry.role == MemberRole::Gateway;
        let role = if is_gateway { Role::Gateway } else { Role::Client };
        let agrees = entry.id == member.id
            && entry.mac == member.mac
            && member.role == role
            && (is_gateway || member.identity != self.host);
        agrees.then_some(entry.role)
    }

    /// How far members are trusted with each other; `None` before there is a roster.
    pub fn profile(&self) -> Option<Profile> {
        Some(self.roster.as_ref()?.profile)
    }

    /// What we ourselves may do; `None` if no roster names us.
    pub fn own_role(&self) -> Option<MemberRole> {
        let own = self.shared.identity.peer_id();
        let members = &self.roster.as_ref()?.members;
        members
            .iter()
            .find(|entry| entry.identity == own)
            .map(|entry| entry.role)
    }

    /// A link with an admitted member; `None` before we know who we are.
    pub fn link(&self, now: Instant, member: &Member, role: MemberRole) -> Option<Link> {
        let me = self.me?;
        let they = Party {
            identity: member.identity,
            member: member.id,
            incarnation: member.incarnation,
        };
        let is_initiator = me.identity < they.identity;
        let (initiator, responder) = if is_initiator { (me, they) } else { (they, me) };
        let context = Context {
            purpose: Purpose::Member,
            room: self.room,
            initiator,
            responder,
        };
        Some(Link::new(now, member.id, role, context, is_initiator))
    }

    /// Numbers and seals a payload in place, under the keys for its destination. Returns the tag that is to follow it.
    ///
    /// # Errors
    /// [`DropReason::NoSession`] if nobody could open it.
    pub fn seal(
        &mut self,
        now: Instant,
        peers: &mut Peers,
        header: &mut Header,
        payload: &mut [u8],
    ) -> Result<[u8; TAG_LEN], DropReason> {
        let (tag, worn_at) = match header.destination {
            Destination::Member(id) => {
                let link = peers.get_mut(id).and_then(|peer| peer.link.as_mut());
                let link = link.ok_or(DropReason::NoSession)?;
                (link.seal(header, payload)?, link.worn_at())
            }
            Destination::Flood | Destination::Group(_) if !self.is_heard => {
                return Err(DropReason::NoSession);
            }
            Destination::Flood | Destination::Group(_) => {
                let sender = &mut self.shared.sender;
                (sender.seal(header, payload)?, sender.worn_at())
            }
        };
        // A key that has just sealed its share is replaced at once, if that is not under way.
        if worn_at.is_some_and(|at| at <= now) && self.due.is_none_or(|due| due > now) && !self.is_replacing {
            self.is_replacing = true;
            self.due = Some(now);
        }
        Ok(tag)
    }

    /// Opens a payload in place and cuts its tag off.
    ///
    /// # Errors
    /// Why it is not what an admitted member has sent to us just now.
    pub fn open(
        &mut self,
        now: Instant,
        peer: &mut Peer,
        header: &Header,
        payload: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let link = peer.link.as_mut().ok_or(DropReason::NotAdmitted)?;
        if link.open(now, header, payload)? {
            // New keys are agreed on, and our own are to be told.
            self.due = Some(now);
        }
        payload.truncate(payload.len().saturating_sub(TAG_LEN));
        Ok(())
    }

    /// Somebody who may know our sender key is gone.
    pub fn someone_left(&mut self, now: Instant) {
        if !is_open(Hole::Rotation) {
            self.rotate_at.get_or_insert(now + ROTATION_DELAY);
        }
    }

    /// Does what is due, links first.
    pub fn handle_timeout<'a>(&mut self, now: Instant, links: impl Iterator<Item = &'a mut Link>) {
        // First what waits longest: however often somebody leaves, a key that is on its way comes into use.
        self.shared.sender.hand_over(now, false);
        let worn = self.shared.sender.worn_at().is_some_and(|at| at <= now);
        if worn || self.rotate_at.is_some_and(|at| at <= now) {
            self.rotate_at = None;
            self.shared.rotate(now);
        }
        for link in links {
            link.handle_timeout(now, &mut self.shared);
        }
    }

    /// To be called after anything that may have changed a link: hands over to the next sender key, and finds what is due next.
    pub fn refresh<'a>(&mut self, now: Instant, links: impl Iterator<Item = &'a Link>) {
        let newest = self.shared.sender.newest();
        self.is_heard = false;
        self.is_agreeing = false;
        self.is_replacing = false;
        let (mut all, mut due) = (true, self.rotate_at);
        let mut sooner = |at: Option<Instant>| due = [due, at].into_iter().flatten().min();
        for link in links {
            self.is_heard |= link.is_secured();
            self.is_agreeing |= !link.is_secured();
            all &= !link.misses(newest);
            sooner(link.due(newest));
        }
        self.shared.sender.hand_over(now, all);
        sooner(self.shared.sender.hand_over_at());
        sooner(self.shared.sender.worn_at().filter(|_| self.is_heard));
        self.due = due;
    }
}
