//! Control messages: length-prefixed JSON on the first reliable stream of a connection.
//!
//! A message is a 4-byte big-endian length and that many bytes of JSON, at most [`MAX_MESSAGE`]. Values are validated while
//! they are decoded; unknown fields are ignored and unknown messages read as [`Message::Unknown`], so that a later version may
//! add both.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    DropReason, GroupHandle, Incarnation, LeaveReason, Mac, MemberId, PeerId, RejectReason, RelayToken,
    RoomId, SealedRoom, ShortNumber, VERSION, mtu,
};

/// The largest message in bytes, without its length prefix.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// What a connection negotiates as its application protocol (RFC 7301).
pub const ALPN: &[u8] = b"lanparty/1";

/// What a member is in its room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A player, with one MAC of its own.
    Client,
    /// The LAN gateway: every station behind it is the LAN's.
    Gateway,
}

/// How the members of a room reach each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything goes through the relay.
    Relay,
    /// Members have direct paths.
    DirectP2p,
    /// Direct paths were tried and failed.
    DirectFailedRelayFallback,
    /// A mode that this version does not know; the relay path always works.
    #[serde(other)]
    Unknown,
}

/// The first message of a connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest and the highest protocol version spoken.
    pub min_version: u8,
    pub max_version: u8,
    pub room: RoomId,
    pub role: Role,
    /// A client's own address. A LAN gateway has none in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Bytes of datagram that this leg can take now.
    pub budget: u16,
    /// What the member is called on others' screens; at most 64 characters are shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Random per process: another one means that the process has started anew.
    pub session: u64,
    /// What a LAN gateway shows to a relay whose operator wants a token of those who open rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<RelayToken>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Program and version, for logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub software: String,
}

/// A member as others see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub id: MemberId,
    pub incarnation: Incarnation,
    pub role: Role,
    pub identity: PeerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    pub budget: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether a LAN gateway's cable has a link; `None` for others and until it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan_link: Option<bool>,
    /// A LAN gateway that waits to take over from the active one: it carries no frames.
    #[serde(default, skip_serializing_if = "is_false")]
    pub standby: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How long a LAN gateway may carry frames, counted from when it asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenure {
    /// As long as its connection lasts: nobody waits to take over.
    Unlimited,
    /// So long, unless it asks again.
    Milliseconds(u32),
    /// Not at all: another one does.
    Waiting,
}

/// The relay's yes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u8,
    pub member: MemberId,
    pub incarnation: Incarnation,
    pub mode: Mode,
    /// Whether payloads are sealed end to end.
    #[serde(default)]
    pub sealed: bool,
    /// The room's LAN gateway, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<MemberId>,
    /// How many members there are, this one included; a joined message follows for each other. 0 for who is not in a sealed room yet, and hears
    /// of the host alone until it is.
    #[serde(default)]
    pub members: u16,
}

/// Counters that a member reports.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    #[serde(default)]
    pub frames_out: u64,
    #[serde(default)]
    pub frames_in: u64,
    #[serde(default)]
    pub datagrams_out: u64,
    #[serde(default)]
    pub datagrams_in: u64,
    #[serde(default)]
    pub bytes_out: u64,
    #[serde(default)]
    pub bytes_in: u64,
    /// Reasons that this version does not know are left out.
    #[serde(default, deserialize_with = "known_drops")]
    pub drops: BTreeMap<DropReason, u64>,
}

fn known_drops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<DropReason, u64>, D::Error> {
    let named = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let known = |(name, count): (String, u64)| Some((DropReason::named(&name)?, count));
    Ok(named.into_iter().filter_map(known).collect())
}

/// One control message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Hello(Hello),
    Welcome(Welcome),
    Reject {
        reason: RejectReason,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    Joined {
        member: Member,
    },
    Left {
        member: MemberId,
        incarnation: Incarnation,
        reason: LeaveReason,
    },
    /// A leg's budget has changed. Members send it without `member`; the relay adds whose it is.
    Budget {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<MemberId>,
        bytes: u16,
    },
    /// A LAN gateway's cable was plugged or pulled. `member` as in `Budget`.
    LanLink {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<MemberId>,
        up: bool,
    },
    /// Registers a group of the sender's; an empty list takes it back.
    Group {
        handle: GroupHandle,
        members: Vec<MemberId>,
    },
    /// Opaque bytes from one member to another (handshakes, path offers), base64. The relay fills `from`.
    Envelope {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<MemberId>,
        to: MemberId,
        data: String,
    },
    /// A sealed room's roster in base64: from its host to the relay, from the relay to every member, and from a member that knows
    /// a newer one than the relay. Whoever gets it verifies it.
    Roster {
        data: String,
    },
    /// A LAN gateway asks for its lease again; the number comes back in the answer.
    Renew {
        number: u64,
    },
    /// The answer to [`Message::Renew`]. Of two leases of a room the one with the higher term is the later one.
    Lease {
        number: u64,
        term: u64,
        tenure: Tenure,
    },
    /// This member is the room's active LAN gateway from here on, and any other waits. The new one asks for its lease before it
    /// carries anything.
    Gateway {
        member: MemberId,
        term: u64,
    },
    /// The active LAN gateway of an open room says which identities may wait to take over from it.
    Standbys {
        identities: Vec<PeerId>,
    },
    /// The numbers of a host's short codes, all of them each time; the relay answers with those that it now has.
    ShortNumbers {
        numbers: Vec<ShortNumber>,
    },
    /// Asks the relay, instead of a hello, which room a short code's number leads to.
    Lookup {
        number: ShortNumber,
    },
    /// The answer to a lookup; a hello may follow. The other answer is a reject.
    Found {
        number: ShortNumber,
        room: SealedRoom,
    },
    Stats(Stats),
    Goodbye {
        reason: LeaveReason,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

/// Why bytes are no control message. All of them end the connection.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("a control message of {0} bytes is over the limit of {MAX_MESSAGE}")]
    TooLong(usize),
    #[error("a control message is not valid")]
    Json(#[from] serde_json::Error),
    #[error("a budget of {0} bytes is below the least that QUIC guarantees")]
    Budget(u16),
    #[error("a client must announce a MAC address, and a LAN gateway must not")]
    RoleMac,
}

impl Message {
    /// The message behind its length.
    ///
    /// # Errors
    /// [`ControlError::TooLong`] if it would be over [`MAX_MESSAGE`].
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let mut out = vec![0; 4];
        serde_json::to_writer(&mut out, self)?;
        let length = out.len() - 4;
        if length > MAX_MESSAGE {
            return Err(ControlError::TooLong(length));
        }
        out[..4].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(out)
    }

    /// Takes the first whole message out of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// A length over [`MAX_MESSAGE`], JSON that is no message, or a value out of its range.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Message>, ControlError> {
        let Some(prefix) = buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MAX_MESSAGE {
            return Err(ControlError::TooLong(length));
        }
        if buffer.len() < 4 + length {
            return Ok(None);
        }
        buffer.advance(4);
        let body = buffer.split_to(length);
        let message: Message = serde_json::from_slice(&body)?;
        message.check()?;
        Ok(Some(message))
    }

    /// What JSON's types alone do not say.
    fn check(&self) -> Result<(), ControlError> {
        let budget = |bytes: u16| {
            if bytes < mtu::MIN_BUDGET {
                Err(ControlError::Budget(bytes))
            } else {
                Ok(())
            }
        };
        match self {
            Message::Hello(hello) => {
                budget(hello.budget)?;
                if (hello.role == Role::Client) == hello.mac.is_some() {
                    Ok(())
                } else {
                    Err(ControlError::RoleMac)
                }
            }
            Message::Joined { member } => {
                budget(member.budget)?;
                let has_mac = member.mac.is_some_and(Mac::is_identity);
                // A LAN gateway speaks for many addresses, a client for one that can be nobody else's.
                match (member.role, member.mac) {
                    (Role::Client, _) if has_mac => Ok(()),
                    (Role::Gateway, None) => Ok(()),
                    (Role::Client | Role::Gateway, _) => Err(ControlError::RoleMac),
                }
            }
            Message::Budget { bytes, .. } => budget(*bytes),
            Message::Welcome(_)
            | Message::Reject { .. }
            | Message::Left { .. }
            | Message::LanLink { .. }
            | Message::Group { .. }
            | Message::Envelope { .. }
            | Message::Roster { .. }
            | Message::Renew { .. }
            | Message::Lease { .. }
            | Message::Gateway { .. }
            | Message::Standbys { .. }
            | Message::ShortNumbers { .. }
            | Message::Lookup { .. }
            | Message::Found { .. }
            | Message::Stats(_)
            | Message::Goodbye { .. }
            | Message::Unknown => Ok(()),
        }
    }
}

impl Hello {
    /// The version to speak with the sender of this hello; `None` if there is none in common.
    pub fn common_version(&self) -> Option<u8> {
        (self.min_version..=self.max_version)
            .contains(&VERSION)
            .then_some(VERSION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Hello {
        Hello {
            min_version: 1,
            max_version: 1,
            room: "ABCD".parse().unwrap(),
            role: Role::Client,
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            budget: 1162,
            name: "ada".into(),
            session: 7,
            token: None,
            capabilities: vec![],
            software: String::new(),
        }
    }

    fn decode(json: &str) -> Result<Option<Message>, ControlError> {
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&(json.len() as u32).to_be_bytes());
        buffer.extend_from_slice(json.as_bytes());
        Message::decode(&mut buffer)
    }

    #[test]
    fn messages_come_out_whole_and_in_order() {
        let first = Message::Hello(hello());
        let second = Message::Goodbye {
            reason: LeaveReason::Goodbye,
        };
        let bytes: Vec<u8> = [first.encode().unwrap(), second.encode().unwrap()].concat();
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            messages.extend(Message::decode(&mut buffer).unwrap());
        }
        assert_eq!(messages, [first, second]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn later_versions_may_add_fields_and_messages() {
        let message = decode(r#"{"type":"budget","bytes":1200,"colour":"red"}"#).unwrap();
        assert_eq!(
            message,
            Some(Message::Budget {
                member: None,
                bytes: 1200
            })
        );
        assert_eq!(
            decode(r#"{"type":"moonrise","at":3}"#).unwrap(),
            Some(Message::Unknown)
        );
    }

    #[test]
    fn a_drop_reason_of_a_later_version_is_left_out() {
        let stats = r#"{"type":"stats","drops":{"jumbo":3,"moonlight":4}}"#;
        let Some(Message::Stats(stats)) = decode(stats).unwrap() else {
            panic!("no stats")
        };
        assert_eq!(stats.drops, BTreeMap::from([(DropReason::Jumbo, 3)]));
    }

    #[test]
    fn a_member_has_the_address_of_its_role_or_is_refused() {
        let joined = |role: &str, mac: &str| {
            let identity = "00".repeat(32);
            let json = format!(
                r#"{{"type":"joined","member":{{"id":7,"incarnation":1,"role":"{role}","identity":"{identity}","budget":1200,"mac":{mac}}}}}"#
            );
            decode(&json)
        };
        assert!(joined("client", "\"02:00:00:00:00:07\"").is_ok());
        assert!(joined("gateway", "null").is_ok());
        for (role, mac) in [
            ("client", "null"),
            ("client", "\"00:11:22:33:44:55\""),
            ("client", "\"ff:ff:ff:ff:ff:ff\""),
            ("gateway", "\"02:00:00:00:00:07\""),
        ] {
            assert!(
                matches!(joined(role, mac), Err(ControlError::RoleMac)),
                "{role} {mac}"
            );
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(matches!(
            decode(r#"{"type":"budget","bytes":3}"#),
            Err(ControlError::Budget(3))
        ));
        let headless = Message::Hello(Hello { mac: None, ..hello() });
        let mut buffer = BytesMut::from(&headless.encode().unwrap()[..]);
        assert!(matches!(Message::decode(&mut buffer), Err(ControlError::RoleMac)));
        let mut long = BytesMut::from(&[0xff; 8][..]);
        assert!(matches!(
            Message::decode(&mut long),
            Err(ControlError::TooLong(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Message::decode(&mut buffer) {}
        }
    }
}
