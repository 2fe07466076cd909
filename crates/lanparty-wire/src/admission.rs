//! Asking the host for admission, and its answer. Both travel sealed between newcomer and host; the relay sees neither.

use serde::{Deserialize, Serialize};

use crate::{
    InviteId, InviteSecret, Mac, MemberId, Membership, SealedRoom,
    pack::{Reader, put_text},
};

const VERSION: u8 = 1;
/// Bytes of a name and of a program's name.
const MAX_WORDS: u8 = 96;

/// Why somebody may ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// It has an invite.
    Secret { invite: InviteId, secret: InviteSecret },
    /// It was a member; the bytes of its membership, which the host verifies.
    Membership(Vec<u8>),
}

/// What a newcomer asks. Its identity is proven by the handshake that carries this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdmissionRequest {
    /// The id that the relay has given it.
    pub member: MemberId,
    pub mac: Mac,
    /// What it wants to be called.
    pub name: String,
    /// Program and version, for logs.
    pub software: String,
    /// The lowest and the highest protocol version spoken.
    pub min_version: u8,
    pub max_version: u8,
    pub proof: Proof,
}

/// The bytes are no request, or no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is no message about admission of a version that this program knows")]
pub struct AdmissionFormError;

impl AdmissionRequest {
    /// Version (1), lowest and highest protocol version (1 each), member id (2), MAC (6), name and program behind their lengths (1 each), and
    /// the proof: 1, invite id (4) and secret (16); or 2 and the membership up to the end.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.min_version, self.max_version];
        out.extend_from_slice(&self.member.value().to_be_bytes());
        out.extend_from_slice(&self.mac.0);
        put_text(&mut out, &self.name, MAX_WORDS);
        put_text(&mut out, &self.software, MAX_WORDS);
        match &self.proof {
            Proof::Secret { invite, secret } => {
                out.push(1);
                out.extend_from_slice(&invite.0.to_be_bytes());
                out.extend_from_slice(secret.bytes());
            }
            Proof::Membership(bytes) => {
                out.push(2);
                out.extend_from_slice(bytes);
            }
        }
        out
    }

    /// Reads a request.
    ///
    /// # Errors
    /// It is of a later version, cut off, or too long.
    pub fn decode(bytes: &[u8]) -> Result<AdmissionRequest, AdmissionFormError> {
        AdmissionRequest::read(Reader::new(bytes)).ok_or(AdmissionFormError)
    }

    fn read(mut reader: Reader<'_>) -> Option<AdmissionRequest> {
        if reader.u8()? != VERSION {
            return None;
        }
        let (min_version, max_version) = (reader.u8()?, reader.u8()?);
        let member = MemberId::new(reader.u16()?)?;
        let mac = Mac(reader.array()?);
        let name = reader.text()?.to_owned();
        let software = reader.text()?.to_owned();
        let proof = match reader.u8()? {
            1 => Proof::Secret {
                invite: InviteId(reader.u32()?),
                secret: InviteSecret::new(reader.array()?),
            },
            2 => Proof::Membership(reader.bytes(reader.remaining())?.to_vec()),
            _ => return None,
        };
        reader.end()?;
        Some(AdmissionRequest {
            member,
            mac,
            name,
            software,
            min_version,
            max_version,
            proof,
        })
    }
}

/// What the host says to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdmissionAnswer {
    /// It is in. Rosters with a lower number than this are old.
    Admitted {
        membership: Membership,
        roster: u64,
    },
    /// The host has to be asked; another answer follows.
    Wait,
    Refused(AdmissionRefusal),
}

impl AdmissionAnswer {
    /// Version (1), and: 1, roster number (8) and membership; or 2; or 3 and the refusal (1).
    pub fn encode(&self) -> Vec<u8> {
        match self {
            AdmissionAnswer::Admitted { membership, roster } => {
                [&[VERSION, 1][..], &roster.to_be_bytes(), membership.bytes()].concat()
            }
            AdmissionAnswer::Wait => vec![VERSION, 2],
            AdmissionAnswer::Refused(refusal) => vec![VERSION, 3, *refusal as u8],
        }
    }

    /// Reads an answer of the host of `room`.
    ///
    /// # Errors
    /// It is of a later version, cut off or too long, or its membership is not valid.
    pub fn decode(room: &SealedRoom, bytes: &[u8]) -> Result<AdmissionAnswer, AdmissionFormError> {
        match *bytes {
            [VERSION, 1, ref rest @ ..] => {
                let (roster, membership) = rest.split_first_chunk().ok_or(AdmissionFormError)?;
                Ok(AdmissionAnswer::Admitted {
                    membership: Membership::verify(room, membership).map_err(|_| AdmissionFormError)?,
                    roster: u64::from_be_bytes(*roster),
                })
            }
            [VERSION, 2] => Ok(AdmissionAnswer::Wait),
            [VERSION, 3, reason] => Ok(AdmissionAnswer::Refused(AdmissionRefusal::from_wire(reason))),
            _ => Err(AdmissionFormError),
        }
    }
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $sentence:literal;)+) => {
        /// Why a newcomer is not let in.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum AdmissionRefusal {
            $($(#[doc = $doc])+ $variant = $number,)+
            /// A reason that this version does not know.
            #[serde(other)]
            Unknown = 255,
        }

        impl AdmissionRefusal {
            /// Every reason that this version knows.
            pub const ALL: &'static [AdmissionRefusal] = &[$(AdmissionRefusal::$variant),+];

            /// The reason with this number.
            pub const fn from_wire(number: u8) -> AdmissionRefusal {
                match number { $($number => AdmissionRefusal::$variant,)+ _ => AdmissionRefusal::Unknown }
            }

            /// What the player reads, and what to do.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(AdmissionRefusal::$variant => $sentence,)+
                    AdmissionRefusal::Unknown => "the host refused for a reason that this version does not know; update it",
                }
            }
        }
    };
}

refusals! {
    /// The invite's time is over.
    Expired = 1, "this invite has expired; ask the host for a new one";
    /// The host has taken the invite back.
    Revoked = 2, "the host has taken this invite back; ask for a new one";
    /// As many as it was for have come by it.
    UsedUp = 3, "this invite was used already; ask the host for another one";
    /// No invite has this id, or its secret is another.
    WrongSecret = 4, "the host does not know this invite; copy the link again, or ask the host for a new one";
    /// The words of a short code, or what both sides see of the relay, differ.
    WrongCode = 5, "the words are not those of the host's code, or somebody is between you and the relay; ask the host to read the code again";
    /// The short code is over, or was tried too often.
    CodeOver = 6, "this short code is over; ask the host for the one that is on the screen now";
    /// The identity is banned.
    Banned = 7, "the host has banned this computer from the room; ask the host to take that back";
    /// The identity was put out, and asks by what it had.
    Kicked = 8, "the host has put you out of the room; ask for a new invite to come back";
    /// There are as many members as there may be.
    RoomFull = 9, "the room is full; ask the host to make room";
    /// No protocol version in common.
    Version = 10, "this version and the host's have no protocol in common; update the older one";
    /// Another member has the MAC.
    DuplicateMac = 11, "another member of the room has this MAC address; remove --virtual-mac, or give another one";
    /// The MAC is no member's address.
    InvalidMac = 12, "this MAC address cannot be used; give a locally administered one such as 02:12:34:56:78:9a";
    /// The host has said no.
    Denied = 13, "the host has not let you in; ask, and try again";
    /// The membership shown is over, or not the asker's.
    MembershipOver = 14, "your membership of the room is over; ask the host for an invite";
    /// The host is not there.
    HostAway = 15, "the host is away, and only the host can let you in; try again when the host is back";
    /// Too many wait for the host's word, or try codes.
    Busy = 16, "the host takes no more newcomers just now; try again in a few minutes, or ask the host for a link";
    /// The host could not read the request.
    Malformed = 17, "the host did not understand this client; update the older one";
    /// A station of the host's LAN has the MAC.
    OnLan = 18, "a device on the host's LAN has this MAC address; remove --virtual-mac, or give another one";
}

impl AdmissionRefusal {
    /// True if trying again by itself may help, without anybody doing anything about it.
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            AdmissionRefusal::RoomFull
                | AdmissionRefusal::DuplicateMac
                | AdmissionRefusal::HostAway
                | AdmissionRefusal::Busy
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Admitted, HostKey, PeerId, Standing, UnixTime};

    #[test]
    fn requests_are_read_as_they_were_written() {
        let secret = Proof::Secret {
            invite: InviteId(7),
            secret: InviteSecret::new([3; 16]),
        };
        for proof in [secret, Proof::Membership(vec![1, 2, 3])] {
            let request = request(proof);
            let bytes = request.encode();
            assert_eq!(AdmissionRequest::decode(&bytes), Ok(request));
        }
    }

    #[test]
    fn answers_are_read_as_they_were_written() {
        let key = HostKey::from_seed(&[1; 32]);
        let member = Admitted {
            identity: PeerId([4; 32]),
            id: MemberId::new(9).unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            standing: Standing::Spectator,
            expires: UnixTime(9),
            name: "ada".into(),
        };
        let admitted = AdmissionAnswer::Admitted {
            membership: Membership::sign(&key, UnixTime(3), &member),
            roster: 12,
        };
        let refusals = AdmissionRefusal::ALL.iter().map(|r| AdmissionAnswer::Refused(*r));
        for answer in [admitted, AdmissionAnswer::Wait].into_iter().chain(refusals) {
            let bytes = answer.encode();
            assert_eq!(AdmissionAnswer::decode(&key.room(), &bytes), Ok(answer));
        }
        let elsewhere = HostKey::from_seed(&[2; 32]).room();
        assert!(AdmissionAnswer::decode(&elsewhere, &[1, 1]).is_err());
        let later = AdmissionAnswer::decode(&key.room(), &[1, 3, 200]);
        assert_eq!(later, Ok(AdmissionAnswer::Refused(AdmissionRefusal::Unknown)));
    }

    #[test]
    fn every_refusal_tells_the_player_what_to_do() {
        for refusal in AdmissionRefusal::ALL {
            assert!(refusal.sentence().contains("; "), "{refusal:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = AdmissionRequest::decode(&bytes) {
                prop_assert_eq!(AdmissionRequest::decode(&request.encode()).is_ok(), true);
            }
            let _ = AdmissionAnswer::decode(&SealedRoom::from_bytes([0; 25]), &bytes);
        }
    }

    fn request(proof: Proof) -> AdmissionRequest {
        AdmissionRequest {
            member: MemberId::new(513).unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            name: "ada".into(),
            software: "lanparty-client 0.1.0".into(),
            min_version: 1,
            max_version: 1,
            proof,
        }
    }
}
