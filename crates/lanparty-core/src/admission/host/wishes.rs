//! What the person at the host wants: members out, named or changed, and invites made and taken back.

use lanparty_wire::{Admitted, InviteId, InviteSecret, Mac, PeerId, Profile, Standing, UnixTime};
use rand::{CryptoRng, Rng};

use super::{Host, HostEvent};
use crate::{
    admission::{HostInvite, NewInvite, TooManyInvites, invites::InviteStatus},
    relay::plain_words,
};

/// Identities that are remembered as put out; of more, the earliest are forgotten.
const MAX_KICKED: usize = 1024;

/// Addresses that are refused because the LAN has them: more than that, and somebody tries them out.
const MAX_ON_LAN: usize = 1024;

impl Host {
    /// Puts somebody out, who needs a new invite to come back. False if it was no member.
    pub fn kick(&mut self, now: UnixTime, identity: &PeerId) -> bool {
        let before = self.state.members.len();
        let host = self.key.peer_id();
        self.state
            .members
            .retain(|member| member.identity != *identity || member.identity == host);
        if self.state.members.len() == before {
            return false;
        }
        if self.state.kicked.len() >= MAX_KICKED {
            let earliest = self.state.kicked.iter().min_by_key(|(_, at)| **at);
            if let Some(earliest) = earliest.map(|(identity, _)| *identity) {
                self.state.kicked.remove(&earliest);
            }
        }
        self.state.kicked.insert(*identity, now);
        self.publish(now);
        true
    }

    /// A station of the LAN has this address: nobody comes in with it while the host runs, and who is in with it is put out. With another
    /// address he may come back as before.
    pub fn refuse_mac(&mut self, now: UnixTime, mac: Mac) {
        if self.on_lan.len() < MAX_ON_LAN {
            self.on_lan.insert(mac);
        }
        let before = self.state.members.len();
        self.state.members.retain(|member| member.mac != Some(mac));
        if self.state.members.len() != before {
            self.publish(now);
        }
    }

    /// Puts somebody out for good, whether it is a member or not. The host itself cannot be banned.
    pub fn ban(&mut self, now: UnixTime, identity: PeerId) -> bool {
        if identity == self.key.peer_id() || !self.state.bans.insert(identity) {
            return false;
        }
        self.deny(&identity);
        if !self.kick(now, &identity) {
            self.events.push_back(HostEvent::Save);
        }
        true
    }

    /// Takes a ban back; coming in needs a new invite all the same.
    pub fn unban(&mut self, identity: &PeerId) -> bool {
        let was_banned = self.state.bans.remove(identity);
        if was_banned {
            self.events.push_back(HostEvent::Save);
        }
        was_banned
    }

    /// Makes somebody a player or a spectator, now and whenever it comes. False for a LAN gateway, which nobody else can be.
    pub fn set_standing(&mut self, now: UnixTime, identity: PeerId, standing: Standing) -> bool {
        if standing == Standing::Gateway || identity == self.key.peer_id() {
            return false;
        }
        self.state.standings.insert(identity, standing);
        self.change_member(now, &identity, |member| member.standing = standing);
        true
    }

    /// Gives somebody a name, now and whenever it comes.
    pub fn set_name(&mut self, now: UnixTime, identity: PeerId, name: &str) {
        let name = plain_words(name);
        self.state.names.insert(identity, name.clone());
        self.change_member(now, &identity, |member| member.name = name);
    }

    /// Sets the safety profile.
    pub fn set_profile(&mut self, now: UnixTime, profile: Profile) {
        if self.state.profile == profile {
            return;
        }
        self.state.profile = profile;
        if self.roster.is_some() {
            self.publish(now);
        } else {
            // Not in its room yet: the first roster says it.
            self.events.push_back(HostEvent::Save);
        }
    }

    /// Whether newcomers wait for the host's word.
    pub fn set_approval(&mut self, approval: bool) {
        if self.state.approval != approval {
            self.state.approval = approval;
            self.events.push_back(HostEvent::Save);
        }
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// There are too many that are still good.
    pub fn create_invite(
        &mut self,
        now: UnixTime,
        random: &mut (impl Rng + CryptoRng),
        new: &NewInvite,
    ) -> Result<HostInvite, TooManyInvites> {
        let mut id = InviteId(random.random());
        while self.state.invites.contains(id) {
            id = InviteId(random.random());
        }
        let secret = InviteSecret::new(random.random());
        let invite = self.state.invites.create(now, id, secret, new)?.clone();
        self.events.push_back(HostEvent::Save);
        Ok(invite)
    }

    /// The invites, the oldest first, with what has become of them.
    pub fn invites(&self, now: UnixTime) -> impl Iterator<Item = (&HostInvite, InviteStatus)> {
        self.state
            .invites
            .iter()
            .map(move |invite| (invite, invite.status(now)))
    }

    /// Takes an invite back. Who has come by it stays. False if it was not good any more.
    pub fn revoke_invite(&mut self, id: InviteId) -> bool {
        let was_open = self.state.invites.revoke(id);
        if was_open {
            self.events.push_back(HostEvent::Save);
        }
        was_open
    }

    fn change_member(&mut self, now: UnixTime, identity: &PeerId, change: impl FnOnce(&mut Admitted)) {
        let Some(member) = self
            .state
            .members
            .iter_mut()
            .find(|member| member.identity == *identity)
        else {
            self.events.push_back(HostEvent::Save);
            return;
        };
        change(member);
        self.publish(now);
        self.send_membership(now, identity);
    }
}
