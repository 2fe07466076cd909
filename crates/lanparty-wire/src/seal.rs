//! What members of a sealed room say to each other in envelopes, past a relay that cannot read it (`docs/protocol.md`, "Sealing").
//!
//! Two layers. A [`Parcel`] is what an envelope carries and the relay sees: a handshake message or a letter that is sealed. A
//! [`Letter`] is what is inside. Both are binary, because they are sealed and hashed and must have one form only.

use std::net::Ipv4Addr;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{MAX_SEQUENCE, MemberId, TAG_LEN, control::Message};

/// The largest parcel in bytes: an envelope carries 4096 characters of base64.
pub const MAX_PARCEL: usize = 4096 / 4 * 3;
/// Bytes in front of a letter's ciphertext.
pub const LETTER_HEAD_LEN: usize = 10;
/// The largest [`Letter::Note`] in bytes.
pub const MAX_NOTE: usize = MAX_PARCEL - LETTER_HEAD_LEN - TAG_LEN - 1;
/// Sender keys in one letter: the one in use, and the next.
pub const MAX_SENDER_KEYS: usize = 2;

const SENDER_KEY_LEN: usize = 1 + 5 + 32;

/// Which handshake it is. Part of what both sides must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// Between two members, for the keys of their datagrams.
    Member = 1,
    /// From a newcomer to the host, for being let in.
    Admission = 2,
}

impl Purpose {
    /// `None` for a purpose of a later version.
    pub const fn from_wire(value: u8) -> Option<Purpose> {
        match value {
            1 => Some(Purpose::Member),
            2 => Some(Purpose::Admission),
            _ => None,
        }
    }
}

/// What an envelope carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parcel<'a> {
    /// "I have no keys with you; begin a handshake." Proves nothing and changes nothing but that.
    Hail,
    /// The first message of a handshake.
    Initiate { purpose: Purpose, noise: &'a [u8] },
    /// The second and last.
    Respond { purpose: Purpose, noise: &'a [u8] },
    /// A letter under the pair's keys. `counter` never repeats under a key.
    Letter {
        key_id: u8,
        counter: u64,
        sealed: &'a [u8],
    },
}

/// Why bytes are no parcel, or no letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is no message between members of a sealed room")]
pub struct ParcelError;

const HAIL: u8 = 1;
const INITIATE: u8 = 2;
const RESPOND: u8 = 3;
const LETTER: u8 = 4;

impl<'a> Parcel<'a> {
    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Parcel::Hail => vec![HAIL],
            Parcel::Initiate { purpose, noise } => [&[INITIATE, purpose as u8], noise].concat(),
            Parcel::Respond { purpose, noise } => [&[RESPOND, purpose as u8], noise].concat(),
            Parcel::Letter {
                key_id,
                counter,
                sealed,
            } => [&letter_head(key_id, counter)[..], sealed].concat(),
        }
    }

    /// Reads a parcel.
    ///
    /// # Errors
    /// Too long or too short, a kind or purpose of a later version, or a key id outside `1..=31`.
    pub fn decode(bytes: &'a [u8]) -> Result<Parcel<'a>, ParcelError> {
        if bytes.len() > MAX_PARCEL {
            return Err(ParcelError);
        }
        let handshake = |noise: &'a [u8]| {
            let (&purpose, noise) = noise.split_first().ok_or(ParcelError)?;
            Ok((Purpose::from_wire(purpose).ok_or(ParcelError)?, noise))
        };
        match bytes.split_first().ok_or(ParcelError)? {
            (&HAIL, []) => Ok(Parcel::Hail),
            (&INITIATE, rest) => handshake(rest).map(|(purpose, noise)| Parcel::Initiate { purpose, noise }),
            (&RESPOND, rest) => handshake(rest).map(|(purpose, noise)| Parcel::Respond { purpose, noise }),
            (&LETTER, rest) => {
                let (&key_id, rest) = rest.split_first().ok_or(ParcelError)?;
                let (counter, sealed) = rest.split_first_chunk::<8>().ok_or(ParcelError)?;
                if !(1..=31).contains(&key_id) || sealed.len() <= TAG_LEN {
                    return Err(ParcelError);
                }
                Ok(Parcel::Letter {
                    key_id,
                    counter: u64::from_be_bytes(*counter),
                    sealed,
                })
            }
            _ => Err(ParcelError),
        }
    }
}

/// What stands in front of a letter's ciphertext, and is authenticated with it.
pub fn letter_head(key_id: u8, counter: u64) -> [u8; LETTER_HEAD_LEN] {
    let mut head = [LETTER; LETTER_HEAD_LEN];
    head[1] = key_id;
    head[2..].copy_from_slice(&counter.to_be_bytes());
    head
}

/// The envelope that carries `parcel` to `to`.
pub fn envelope(to: MemberId, parcel: &[u8]) -> Message {
    Message::Envelope {
        from: None,
        to,
        data: BASE64_STANDARD.encode(parcel),
    }
}

/// The bytes in an envelope's `data`.
///
/// # Errors
/// It is too long, or no base64.
pub fn envelope_bytes(data: &str) -> Result<Vec<u8>, ParcelError> {
    if data.len() > MAX_PARCEL / 3 * 4 {
        return Err(ParcelError);
    }
    BASE64_STANDARD.decode(data).map_err(|_| ParcelError)
}

/// A key that one member seals under for many.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderKey {
    /// What datagrams name it by, `1..=31`.
    pub id: u8,
    /// Datagrams with a lower sequence number are not for this receiver.
    pub floor: u64,
    pub key: [u8; 32],
}

impl std::fmt::Debug for SenderKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SenderKey({}, from {})", self.id, self.floor)
    }
}

/// What members write to each other under their keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// The keys that the writer's floods and groups are sealed under, the newest last; one or two.
    SenderKeys(Vec<SenderKey>),
    /// The keys up to this id have come.
    Ack(u8),
    /// Bytes that are not about keys. They may be lost, and come in order.
    Note(Vec<u8>),
    /// The host's: which IPv4 addresses the LAN's DHCP server has given to which members. May be lost.
    Leases(Vec<(MemberId, Ipv4Addr)>),
}

const SENDER_KEYS: u8 = 1;
const ACK: u8 = 2;
const NOTE: u8 = 3;
const LEASES: u8 = 4;

const LEASE_LEN: usize = 2 + 4;
/// Entries of one [`Letter::Leases`], so that it fits one parcel.
pub const MAX_LEASES: usize = MAX_NOTE / LEASE_LEN;

impl Letter {
    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Letter::SenderKeys(keys) => {
                let mut out = vec![SENDER_KEYS];
                for key in keys {
                    out.push(key.id);
                    out.extend_from_slice(&key.floor.min(MAX_SEQUENCE).to_be_bytes()[3..]);
                    out.extend_from_slice(&key.key);
                }
                out
            }
            Letter::Ack(id) => vec![ACK, *id],
            Letter::Note(bytes) => [&[NOTE], &bytes[..]].concat(),
            Letter::Leases(leases) => {
                let mut out = vec![LEASES];
                for (member, address) in leases {
                    out.extend_from_slice(&member.value().to_be_bytes());
                    out.extend_from_slice(&address.octets());
                }
                out
            }
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// A kind of a later version, none or too many keys, or a key id outside `1..=31`.
    pub fn decode(bytes: &[u8]) -> Result<Letter, ParcelError> {
        let is_id = |id: u8| (1..=31).contains(&id);
        match bytes.split_first().ok_or(ParcelError)? {
            (&SENDER_KEYS, rest) => {
                let (entries, []) = rest.as_chunks::<SENDER_KEY_LEN>() else {
                    return Err(ParcelError);
                };
                let keys: Vec<SenderKey> = entries.iter().map(sender_key).collect();
                if keys.is_empty() || keys.len() > MAX_SENDER_KEYS || !keys.iter().all(|key| is_id(key.id)) {
                    return Err(ParcelError);
                }
                Ok(Letter::SenderKeys(keys))
            }
            (&ACK, &[id]) if is_id(id) => Ok(Letter::Ack(id)),
            (&NOTE, bytes) => Ok(Letter::Note(bytes.to_vec())),
            (&LEASES, bytes) => {
                let (entries, []) = bytes.as_chunks::<LEASE_LEN>() else {
                    return Err(ParcelError);
                };
                let leases = entries.iter().map(lease).collect::<Option<_>>();
                leases.map(Letter::Leases).ok_or(ParcelError)
            }
            _ => Err(ParcelError),
        }
    }
}

fn lease(entry: &[u8; LEASE_LEN]) -> Option<(MemberId, Ipv4Addr)> {
    let [high, low, address @ ..] = *entry;
    let member = MemberId::new(u16::from_be_bytes([high, low]))?;
    Some((member, Ipv4Addr::from(address)))
}

fn sender_key(entry: &[u8; SENDER_KEY_LEN]) -> SenderKey {
    let mut floor = [0; 8];
    floor[3..].copy_from_slice(&entry[1..6]);
    let mut key = [0; 32];
    key.copy_from_slice(&entry[6..]);
    SenderKey {
        id: entry[0],
        floor: u64::from_be_bytes(floor),
        key,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parcels_and_letters_read_as_they_were_written() {
        let noise = &[7; 96][..];
        for parcel in [
            Parcel::Hail,
            Parcel::Initiate {
                purpose: Purpose::Member,
                noise,
            },
            Parcel::Respond {
                purpose: Purpose::Admission,
                noise,
            },
            Parcel::Letter {
                key_id: 31,
                counter: u64::MAX,
                sealed: noise,
            },
        ] {
            assert_eq!(Parcel::decode(&parcel.encode()), Ok(parcel));
        }
        let key = |id| SenderKey {
            id,
            floor: MAX_SEQUENCE,
            key: [id; 32],
        };
        for letter in [
            Letter::SenderKeys(vec![key(31), key(1)]),
            Letter::Ack(3),
            Letter::Note(b"roster".to_vec()),
            Letter::Leases(vec![(MemberId::new(513).unwrap(), Ipv4Addr::new(10, 0, 0, 7))]),
        ] {
            assert_eq!(Letter::decode(&letter.encode()), Ok(letter));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for bytes in [&[][..], &[HAIL, 0], &[INITIATE], &[INITIATE, 3, 1], &[9, 9]] {
            assert_eq!(Parcel::decode(bytes), Err(ParcelError), "{bytes:?}");
        }
        let letter = |key_id, length| [&letter_head(key_id, 1)[..], &vec![0; length][..]].concat();
        assert!(Parcel::decode(&letter(1, 17)).is_ok());
        for (key_id, length) in [(0, 17), (32, 17), (1, 16), (1, MAX_PARCEL)] {
            assert_eq!(Parcel::decode(&letter(key_id, length)), Err(ParcelError));
        }
        for bytes in [&[][..], &[ACK, 0], &[ACK, 32], &[SENDER_KEYS], &[SENDER_KEYS; 39]] {
            let fine = bytes == [SENDER_KEYS; 39];
            assert_eq!(Letter::decode(bytes).is_ok(), fine, "{bytes:?}");
        }
        let three = [&[SENDER_KEYS][..], &[1; 3 * SENDER_KEY_LEN]].concat();
        assert_eq!(Letter::decode(&three), Err(ParcelError));
    }

    #[test]
    fn the_largest_parcel_fits_an_envelope() {
        let to = MemberId::new(1).unwrap();
        let Message::Envelope { data, .. } = envelope(to, &[1; MAX_PARCEL]) else {
            panic!("it is an envelope")
        };
        assert_eq!(data.len(), 4096);
        assert_eq!(envelope_bytes(&data).unwrap(), [1; MAX_PARCEL]);
        assert!(envelope_bytes("not base64").is_err());
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(parcel) = Parcel::decode(&bytes) {
                prop_assert_eq!(parcel.encode(), bytes.clone());
            }
            if let Ok(letter) = Letter::decode(&bytes) {
                prop_assert_eq!(letter.encode(), bytes);
            }
        }
    }
}
