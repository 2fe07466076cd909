//! Membership and roster: the host's signed word on who is in.
//!
//! A *membership* is one member's own paper. A *roster* is the numbered list of all of them; members deal only with identities in
//! the newest one they have seen. Both name the host's key, of which the room's name is a hash, so anybody who knows the room can verify
//! them, wherever they come from. The bytes are packed by hand because what is signed has one form only (`docs/protocol.md`).

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    HostKey, Mac, MemberId, PeerId, SealedRoom, UnixTime,
    host_key::verified,
    pack::{Reader, clip, put_text},
};

/// Bytes of a member's name in a roster, which keeps 250 members within one control message.
pub const MAX_NAME: u8 = 96;
/// Members of a roster, so that it fits one control message.
pub const MAX_ROSTER: usize = 250;

const VERSION: u8 = 1;
const MEMBERSHIP: &[u8] = b"lanparty membership v1\0";
const ROSTER: &[u8] = b"lanparty roster v1\0";

/// What a member of a sealed room may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Plays.
    Player,
    /// Receives, and sends no more than ARP, DHCP and reports of groups.
    Spectator,
    /// Speaks for the LAN, and has no address of its own in the room.
    Gateway,
}

impl Standing {
    const fn to_wire(self) -> u8 {
        match self {
            Standing::Player => 1,
            Standing::Spectator => 2,
            Standing::Gateway => 3,
        }
    }

    const fn from_wire(value: u8) -> Option<Standing> {
        match value {
            1 => Some(Standing::Player),
            2 => Some(Standing::Spectator),
            3 => Some(Standing::Gateway),
            _ => None,
        }
    }
}

/// How far members are trusted with each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Like a LAN among friends.
    #[default]
    Friends,
    /// Members reach each other for discovery and games only.
    Strangers,
}

impl Profile {
    /// The name on command lines, in files and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Friends => "friends",
            Profile::Strangers => "strangers",
        }
    }
}

/// A profile has another name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is neither friends nor strangers")]
pub struct ParseProfileError;

impl FromStr for Profile {
    type Err = ParseProfileError;

    fn from_str(text: &str) -> Result<Profile, ParseProfileError> {
        match text {
            "friends" => Ok(Profile::Friends),
            "strangers" => Ok(Profile::Strangers),
            _ => Err(ParseProfileError),
        }
    }
}

/// One member, as the host knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Admitted {
    pub identity: PeerId,
    pub id: MemberId,
    /// `None` for a LAN gateway, and only for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    pub standing: Standing,
    /// The first second in which it is no member any more.
    pub expires: UnixTime,
    /// What the host calls it; at most [`MAX_NAME`] bytes are signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Admitted {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity.0);
        out.extend_from_slice(&self.id.value().to_be_bytes());
        out.extend_from_slice(&self.mac.unwrap_or(Mac::ZERO).0);
        out.push(self.standing.to_wire());
        out.extend_from_slice(&self.expires.0.to_be_bytes());
        put_text(out, &self.name, MAX_NAME);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Admitted> {
        let admitted = Admitted {
            identity: PeerId(reader.array()?),
            id: MemberId::new(reader.u16()?)?,
            mac: Some(Mac(reader.array()?)).filter(|mac| *mac != Mac::ZERO),
            standing: Standing::from_wire(reader.u8()?)?,
            expires: UnixTime(reader.u64()?),
            name: reader.text()?.to_owned(),
        };
        admitted.is_sound().then_some(admitted)
    }

    /// A name that fits and steers no terminal, and an address of its own exactly if it speaks for itself.
    fn is_sound(&self) -> bool {
        let has_its_mac = match (self.standing, self.mac) {
            (Standing::Gateway, mac) => mac.is_none(),
            (Standing::Player | Standing::Spectator, mac) => mac.is_some_and(Mac::is_identity),
        };
        has_its_mac && self.name.len() <= usize::from(MAX_NAME) && !self.name.chars().any(char::is_control)
    }
}

/// Why bytes are no membership or roster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PaperError {
    #[error("it is not signed by the host of this room")]
    Signature,
    #[error("it is of another room")]
    OtherRoom,
    #[error("it is of a version that this program does not know; update it")]
    Version,
    #[error("it is signed, but not in the form that the protocol asks for")]
    Form,
}

/// What the host gives one member. Only a valid one can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    host: PeerId,
    issued: UnixTime,
    member: Admitted,
    bytes: Arc<[u8]>,
}

impl Membership {
    /// Signs a membership.
    ///
    /// # Layout
    /// Version (1), host key (32), time of issue (8), member, signature (64) of `lanparty membership v1`, a zero byte and all before.
    /// A member is identity (32), member id (2), MAC (6, zeros for a LAN gateway), standing (1), expiry (8), name behind its length (1).
    pub fn sign(key: &HostKey, issued: UnixTime, member: &Admitted) -> Membership {
        let host = key.peer_id();
        let mut out = vec![VERSION];
        out.extend_from_slice(&host.0);
        out.extend_from_slice(&issued.0.to_be_bytes());
        member.put(&mut out);
        let member = Admitted {
            name: clip(&member.name, MAX_NAME).to_owned(),
            ..member.clone()
        };
        Membership {
            host,
            issued,
            member,
            bytes: key.sign(MEMBERSHIP, out).into(),
        }
    }

    /// Reads a membership of this room.
    ///
    /// # Errors
    /// What is wrong with it. Whether it is over, and whose it is, is for the caller to ask.
    pub fn verify(room: &SealedRoom, bytes: &[u8]) -> Result<Membership, PaperError> {
        let (host, mut reader) = open(room, MEMBERSHIP, bytes)?;
        let mut read = || {
            let issued = UnixTime(reader.u64()?);
            let member = Admitted::read(&mut reader)?;
            reader.end()?;
            Some((issued, member))
        };
        let (issued, member) = read().ok_or(PaperError::Form)?;
        Ok(Membership {
            host,
            issued,
            member,
            bytes: bytes.into(),
        })
    }

    /// The host's key.
    pub fn host(&self) -> PeerId {
        self.host
    }

    /// When the host signed it.
    pub fn issued(&self) -> UnixTime {
        self.issued
    }

    /// Who is a member, as what and until when.
    pub fn member(&self) -> &Admitted {
        &self.member
    }

    /// As it is stored and shown.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

/// What a roster says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterContent {
    /// Grows with every roster of the room.
    pub number: u64,
    pub issued: UnixTime,
    pub profile: Profile,
    /// Bits for what the host wishes of all members. Version 1 defines none; who does not know a bit ignores it.
    pub wishes: u8,
    /// In the order of their identities, which are unique like their ids and MACs.
    pub members: Vec<Admitted>,
}

/// A roster that the host has signed. Only a valid one can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
    host: PeerId,
    content: RosterContent,
    bytes: Arc<[u8]>,
}

impl Roster {
    /// Signs a roster; members are put in order. `None` if there are more than [`MAX_ROSTER`], two share an identity, id or MAC, or one
    /// of them is not what its standing asks for.
    ///
    /// # Layout
    /// Version (1), host key (32), number (8), time of issue (8), profile (1: 0 friends, 1 strangers), wishes (1), number of members (2),
    /// members as in a membership, signature (64) of `lanparty roster v1`, a zero byte and all before.
    pub fn sign(key: &HostKey, mut content: RosterContent) -> Option<Roster> {
        let host = key.peer_id();
        content.members.sort_unstable_by_key(|member| member.identity);
        for member in &mut content.members {
            member.name.truncate(clip(&member.name, MAX_NAME).len());
        }
        if !content.is_sound() {
            return None;
        }
        let mut out = vec![VERSION];
        out.extend_from_slice(&host.0);
        out.extend_from_slice(&content.number.to_be_bytes());
        out.extend_from_slice(&content.issued.0.to_be_bytes());
        out.push(match content.profile {
            Profile::Friends => 0,
            Profile::Strangers => 1,
        });
        out.push(content.wishes);
        // At most `MAX_ROSTER`.
        out.extend_from_slice(&(content.members.len() as u16).to_be_bytes());
        content.members.iter().for_each(|member| member.put(&mut out));
        Some(Roster {
            host,
            content,
            bytes: key.sign(ROSTER, out).into(),
        })
    }

    /// Reads a roster of this room.
    ///
    /// # Errors
    /// What is wrong with it. Whether a newer one is known is for the caller to ask.
    pub fn verify(room: &SealedRoom, bytes: &[u8]) -> Result<Roster, PaperError> {
        let (host, reader) = open(room, ROSTER, bytes)?;
        let content = RosterContent::read(reader).ok_or(PaperError::Form)?;
        Ok(Roster {
            host,
            content,
            bytes: bytes.into(),
        })
    }

    /// The host's key.
    pub fn host(&self) -> PeerId {
        self.host
    }

    /// What it says.
    pub fn content(&self) -> &RosterContent {
        &self.content
    }

    /// The member of that identity, if it has not expired.
    pub fn member(&self, identity: &PeerId, now: UnixTime) -> Option<&Admitted> {
        let members = &self.content.members;
        let at = members
            .binary_search_by_key(identity, |member| member.identity)
            .ok()?;
        Some(&members[at]).filter(|member| now < member.expires)
    }

    /// As it is stored and passed on.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl RosterContent {
    fn read(mut reader: Reader<'_>) -> Option<RosterContent> {
        let number = reader.u64()?;
        let issued = UnixTime(reader.u64()?);
        let profile = match reader.u8()? {
            0 => Profile::Friends,
            1 => Profile::Strangers,
            _ => return None,
        };
        let wishes = reader.u8()?;
        let count = usize::from(reader.u16()?);
        if count > MAX_ROSTER {
            return None;
        }
        let members: Option<Vec<Admitted>> = (0..count).map(|_| Admitted::read(&mut reader)).collect();
        reader.end()?;
        let content = RosterContent {
            number,
            issued,
            profile,
            wishes,
            members: members?,
        };
        content.is_sound().then_some(content)
    }

    fn is_sound(&self) -> bool {
        let members = &self.members;
        let mut ids: Vec<MemberId> = members.iter().map(|member| member.id).collect();
        let mut macs: Vec<Mac> = members.iter().filter_map(|member| member.mac).collect();
        ids.sort_unstable();
        macs.sort_unstable();
        members.len() <= MAX_ROSTER
            && members.iter().all(Admitted::is_sound)
            && members.is_sorted_by(|a, b| a.identity < b.identity)
            && ids.is_sorted_by(|a, b| a < b)
            && macs.is_sorted_by(|a, b| a < b)
    }
}

/// Checks version, room and signature, and returns the host and what follows it.
fn open<'a>(room: &SealedRoom, label: &[u8], bytes: &'a [u8]) -> Result<(PeerId, Reader<'a>), PaperError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8().ok_or(PaperError::Form)?;
    if version != VERSION {
        return Err(PaperError::Version);
    }
    let host = PeerId(reader.array().ok_or(PaperError::Form)?);
    if !room.belongs_to(&host) {
        return Err(PaperError::OtherRoom);
    }
    let content = verified(&host, label, bytes).ok_or(PaperError::Signature)?;
    let content = content.get(33..).ok_or(PaperError::Form)?;
    Ok((host, Reader::new(content)))
}

#[cfg(test)]
mod tests;
