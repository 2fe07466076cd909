//! Sealed rooms: what members send each other is encrypted and proven between them, past a relay that can only drop, delay and reorder.
//!
//! Each two members agree on keys by a [`handshake`]; unicast is sealed under the pair's keys, floods and groups under the sender's own,
//! which it hands to each member under the pair's. The chapter "Sealing" of `docs/protocol.md` has the bytes, ADR 11 the reasons. Who is a
//! member is the host's to say: a [`Roster`] comes from whoever has checked its signature.

pub mod aead;
pub mod handshake;
mod identity;
pub(crate) mod link;
pub(crate) mod pace;
mod sealing;
mod sender;
pub(crate) mod session;
#[cfg(test)]
mod vectors;

use std::time::Duration;

use lanparty_wire::{Mac, MemberId, PeerId, Profile, Standing, UnixTime};

pub use self::identity::IdentityKey;
pub(crate) use self::sealing::{Sealing, Told};

/// After so many bytes another key takes a key's place. By then an attacker's advantage is below 2^-60 (2^32 blocks of AES-GCM; RFC 8446,
/// section 5.5, stops at 2^38.5 bytes).
pub const KEY_BYTES: u64 = 1 << 36;
/// Nothing is sealed under a key beyond this, if no other could be agreed on.
pub const KEY_BYTES_MAX: u64 = 1 << 37;
/// Two members agree on new keys this often.
pub const KEY_LIFE: Duration = Duration::from_secs(3600);
/// A sender takes a new key for its floods this often: who joins can read back no further.
pub const SENDER_KEY_LIFE: Duration = Duration::from_secs(600);
/// How long a receiver goes on taking what is sealed under the key before.
pub const OVERLAP: Duration = Duration::from_secs(10);

/// What makes a node one of a sealed room. It never sends or takes anything unsealed then, whatever the relay says.
#[derive(Clone, Debug)]
pub struct SealingConfig {
    /// The host's public key, which the room is named by.
    pub host: PeerId,
    /// Our own install's key.
    pub identity: IdentityKey,
    /// Random, secret, and another one in every process: all keys come from it.
    pub seed: [u8; 32],
}

/// Who is in, as the host has signed it. To be made from a roster whose signature was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
    /// Grows with every change.
    pub number: u64,
    /// How far members are trusted with each other.
    pub profile: Profile,
    pub members: Vec<SealedMember>,
}

impl Roster {
    /// What a signed roster says at this time.
    pub fn of(signed: &lanparty_wire::Roster, now: UnixTime) -> Roster {
        let content = signed.content();
        let members = content.members.iter().filter(|member| now < member.expires);
        let members = members.map(|member| SealedMember {
            identity: member.identity,
            id: member.id,
            mac: member.mac,
            role: match member.standing {
                Standing::Player => MemberRole::Player,
                Standing::Spectator => MemberRole::Spectator,
                Standing::Gateway => MemberRole::Gateway,
            },
        });
        Roster {
            number: content.number,
            profile: content.profile,
            members: members.collect(),
        }
    }
}

/// One admitted member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedMember {
    pub identity: PeerId,
    pub id: MemberId,
    /// Its address; a LAN gateway has none.
    pub mac: Option<Mac>,
    pub role: MemberRole,
}

/// What an admitted member may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemberRole {
    /// Speaks for the LAN while it is the active one: the host, or one that the host has named to take over.
    Gateway,
    Player,
    /// Receives everything, and sends nothing but ARP, DHCP and reports of groups. Receivers see to it.
    Spectator,
}

/// The key id after `id`: 1 to 31, round and round.
fn next_id(id: u8) -> u8 {
    id % 31 + 1
}
