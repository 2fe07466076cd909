//! The invites of a host.

use lanparty_wire::{AdmissionRefusal, InviteId, InviteSecret, PeerId, Standing, UnixTime};
use serde::{Deserialize, Serialize};

/// Invites that a host keeps, those that are over included: whoever asks by one of them is told why it is over.
const MAX_INVITES: usize = 256;
/// Identities that are remembered of an invite for many.
const MAX_USED: usize = 1024;

/// What an invite is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewInvite {
    /// How many may come by it; `None` for any number.
    pub uses: Option<u16>,
    /// Seconds for which it is good; `None` until it is revoked.
    pub lifetime: Option<u64>,
    /// As what they come.
    pub standing: Standing,
    /// The one identity that it is for.
    pub only_for: Option<PeerId>,
}

/// An invite as the host keeps it. It holds the secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostInvite {
    pub id: InviteId,
    pub secret: InviteSecret,
    #[serde(default)]
    pub uses: Option<u16>,
    /// Who has come by it, the earliest first.
    #[serde(default)]
    pub used: Vec<PeerId>,
    #[serde(default)]
    pub expires: Option<UnixTime>,
    pub standing: Standing,
    #[serde(default)]
    pub only_for: Option<PeerId>,
    #[serde(default)]
    pub revoked: bool,
}

/// What has become of an invite, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InviteStatus {
    Open,
    UsedUp,
    Expired,
    Revoked,
}

/// Every invite that is kept is still good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there are {MAX_INVITES} open invites; revoke one first")]
pub struct TooManyInvites;

impl HostInvite {
    /// What has become of it.
    pub fn status(&self, now: UnixTime) -> InviteStatus {
        if self.revoked {
            InviteStatus::Revoked
        } else if self.expires.is_some_and(|expires| now >= expires) {
            InviteStatus::Expired
        } else if self.uses.is_some_and(|uses| self.used.len() >= usize::from(uses)) {
            InviteStatus::UsedUp
        } else {
            InviteStatus::Open
        }
    }
}

/// The host's invites, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Invites(Vec<HostInvite>);

impl Invites {
    pub(super) fn create(
        &mut self,
        now: UnixTime,
        id: InviteId,
        secret: InviteSecret,
        new: &NewInvite,
    ) -> Result<&HostInvite, TooManyInvites> {
        if self.0.len() >= MAX_INVITES {
            let over = |invite: &HostInvite| invite.status(now) != InviteStatus::Open;
            let oldest = self.0.iter().position(over).ok_or(TooManyInvites)?;
            self.0.remove(oldest);
        }
        self.0.push(HostInvite {
            id,
            secret,
            uses: new.uses,
            used: Vec::new(),
            expires: new.lifetime.map(|seconds| now.after(seconds)),
            standing: new.standing,
            only_for: new.only_for,
            revoked: false,
        });
        self.0.last().ok_or(TooManyInvites)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HostInvite> {
        self.0.iter()
    }

    pub(super) fn contains(&self, id: InviteId) -> bool {
        self.0.iter().any(|invite| invite.id == id)
    }

    /// True if it was good until now.
    pub(super) fn revoke(&mut self, id: InviteId) -> bool {
        let open = self
            .0
            .iter_mut()
            .find(|invite| invite.id == id && !invite.revoked);
        open.map(|invite| invite.revoked = true).is_some()
    }

    /// As what the asker may come in. Who has come by it before may do so again: the answer may have been lost.
    pub(super) fn judge(
        &self,
        now: UnixTime,
        asker: &PeerId,
        id: InviteId,
        secret: &InviteSecret,
    ) -> Result<Standing, AdmissionRefusal> {
        // Whoever does not know the secret learns nothing of the invite.
        let known = self
            .0
            .iter()
            .find(|invite| invite.id == id && invite.secret == *secret);
        let invite = known.ok_or(AdmissionRefusal::WrongSecret)?;
        if invite.only_for.is_some_and(|only| only != *asker) {
            return Err(AdmissionRefusal::WrongSecret);
        }
        match invite.status(now) {
            InviteStatus::Open => Ok(invite.standing),
            InviteStatus::UsedUp if invite.used.contains(asker) => Ok(invite.standing),
            InviteStatus::UsedUp => Err(AdmissionRefusal::UsedUp),
            InviteStatus::Expired => Err(AdmissionRefusal::Expired),
            InviteStatus::Revoked => Err(AdmissionRefusal::Revoked),
        }
    }

    pub(super) fn was_used_by(&self, id: InviteId, asker: &PeerId) -> bool {
        self.0
            .iter()
            .any(|invite| invite.id == id && invite.used.contains(asker))
    }

    pub(super) fn mark_used(&mut self, id: InviteId, by: PeerId) {
        let Some(invite) = self.0.iter_mut().find(|invite| invite.id == id) else {
            return;
        };
        if !invite.used.contains(&by) {
            if invite.uses.is_none() && invite.used.len() >= MAX_USED {
                invite.used.remove(0);
            }
            invite.used.push(by);
        }
    }
}
