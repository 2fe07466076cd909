//! Invites: a link that carries everything a player needs to ask for admission to a sealed room.
//!
//! `lanparty://host[:port]/ROOM#…` or `https://page/…#host[:port]/ROOM/…`. What stands behind the last `#` or `/` is a
//! [fragment](Invite#fragment) in base64url, which no program sends to the relay. Parsing is total: whatever is wrong, one sentence says
//! in which part, and what to do.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    AddressError, PeerId, Pin, RelayAddress, RoomCode, SealedRoom, SealedRoomError, UnixTime,
    host_key::{HostKeyError, check_key},
    pack::Reader,
};

/// The version of the fragment.
const VERSION: u8 = 1;
/// Longer texts are no invite of ours.
const MAX_TEXT: usize = 2048;
const SCHEME: &str = "lanparty://";
const PAGE_SCHEME: &str = "https://";

const HAS_PIN: u8 = 1;
const ONE_USE: u8 = 2;
const APPROVAL: u8 = 4;

/// Bytes of the fragment without a pin and its checksum.
const LEAST: usize = 1 + 1 + 32 + 4 + InviteSecret::LEN + 8;
const PIN_LEN: usize = 32;
const SUM_LEN: usize = 4;

/// What authorises one thing: to ask the host for admission.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InviteSecret([u8; InviteSecret::LEN]);

impl InviteSecret {
    /// Bytes of a secret: 128 bits cannot be tried out.
    pub const LEN: usize = 16;

    /// A secret of random bytes.
    pub const fn new(random: [u8; InviteSecret::LEN]) -> InviteSecret {
        InviteSecret(random)
    }

    /// The bytes, for those who may see them.
    pub const fn bytes(&self) -> &[u8; InviteSecret::LEN] {
        &self.0
    }
}

impl PartialEq for InviteSecret {
    /// Takes the same time whatever the difference is.
    fn eq(&self, other: &InviteSecret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for InviteSecret {}

impl fmt::Debug for InviteSecret {
    /// Secrets never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret")
    }
}

impl From<InviteSecret> for String {
    fn from(secret: InviteSecret) -> String {
        BASE64URL_NOPAD.encode(&secret.0)
    }
}

impl TryFrom<String> for InviteSecret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<InviteSecret, &'static str> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(InviteSecret)
            .ok_or("an invite's secret is 16 bytes in base64url")
    }
}

/// Which of its invites the host is asked by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InviteId(pub u32);

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An invite to a sealed room.
///
/// # Fragment
/// Numbers are big-endian: version (1), flags (1), host key (32), relay pin (32, if flag 1 is set), invite id (4), secret (16), expiry
/// in seconds since 1970 (8, 0 for never), and the first 4 bytes of a SHA-256 over relay and room as the link has them and all
/// bytes before. Flag 2 says that the invite is for one use, flag 4 that the host is asked about each newcomer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invite {
    pub relay: RelayAddress,
    /// The key that the room's name is a hash of.
    pub host: PeerId,
    /// What the relay's key must hash to; `None` if the relay is trusted by its certificate.
    pub pin: Option<Pin>,
    pub id: InviteId,
    pub secret: InviteSecret,
    /// When it ends; `None` if it does not.
    pub expires: Option<UnixTime>,
    /// It is good for one newcomer. Told for display; the host decides.
    pub one_use: bool,
    /// The host is asked about each newcomer. Told for display.
    pub approval: bool,
}

impl Invite {
    /// The room that it invites to.
    pub fn room(&self) -> SealedRoom {
        SealedRoom::of(&self.host)
    }

    /// True from its last second on.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// The invite as a link that a browser opens: the page's address followed by `#…`.
    ///
    /// # Errors
    /// The page lies on the relay itself, which could then read the invite.
    pub fn on_page(&self, page: &InvitePage) -> Result<String, PageError> {
        page.check_beside(&self.relay)?;
        let (place, code) = self.parts();
        Ok(format!("{}#{place}/{code}", page.address))
    }

    /// `host[:port]/room`, and the fragment in base64url.
    fn parts(&self) -> (String, String) {
        let place = format!("{}/{}", shortest(&self.relay), self.room());
        let mut out = vec![VERSION, self.flags()];
        out.extend_from_slice(&self.host.0);
        if let Some(pin) = &self.pin {
            out.extend_from_slice(pin.bytes());
        }
        out.extend_from_slice(&self.id.0.to_be_bytes());
        out.extend_from_slice(&self.secret.0);
        out.extend_from_slice(&self.expires.map_or(0, |at| at.0.max(1)).to_be_bytes());
        let sum = checksum(&place, &out);
        out.extend_from_slice(&sum);
        (place, BASE64URL_NOPAD.encode(&out))
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        flag(self.pin.is_some(), HAS_PIN) | flag(self.one_use, ONE_USE) | flag(self.approval, APPROVAL)
    }

    fn from_parts(relay: &str, room: &str, code: &str) -> Result<Invite, InviteError> {
        let relay: RelayAddress = relay.parse().map_err(InviteError::Relay)?;
        let room: SealedRoom = room.parse().map_err(|error| match room.parse::<RoomCode>() {
            Ok(code) => InviteError::OpenRoom(code),
            Err(_) => InviteError::Room(error),
        })?;
        let bytes = decode_base64(code)?;
        let invite = Invite::from_fragment(relay, &bytes)?;
        let (place, _) = invite.parts();
        // The room first: it is what everything else is judged by.
        if invite.room() != room {
            return Err(InviteError::OtherRoom);
        }
        let (content, sum) = bytes.split_at(bytes.len() - SUM_LEN);
        if checksum(&place, content) != sum {
            return Err(InviteError::Checksum);
        }
        check_key(&invite.host).map_err(|HostKeyError| InviteError::HostKey)?;
        Ok(invite)
    }

    fn from_fragment(relay: RelayAddress, bytes: &[u8]) -> Result<Invite, InviteError> {
        let [version, flags, ..] = *bytes else {
            return Err(InviteError::Short);
        };
        if version != VERSION {
            return Err(InviteError::Version(version));
        }
        if flags & !(HAS_PIN | ONE_USE | APPROVAL) != 0 {
            return Err(InviteError::Flags);
        }
        let has_pin = flags & HAS_PIN != 0;
        let wanted = LEAST + if has_pin { PIN_LEN } else { 0 } + SUM_LEN;
        match bytes.len() {
            len if len < wanted => return Err(InviteError::Short),
            len if len > wanted => return Err(InviteError::Long),
            _ => {}
        }
        let mut reader = Reader::new(&bytes[2..]);
        let mut read = || -> Option<Invite> {
            Some(Invite {
                relay: relay.clone(),
                host: PeerId(reader.array()?),
                pin: if has_pin {
                    Some(Pin::from_bytes(reader.array()?))
                } else {
                    None
                },
                id: InviteId(reader.u32()?),
                secret: InviteSecret(reader.array()?),
                expires: Some(reader.u64()?).filter(|at| *at != 0).map(UnixTime),
                one_use: flags & ONE_USE != 0,
                approval: flags & APPROVAL != 0,
            })
        };
        read().ok_or(InviteError::Short)
    }
}

/// Without the port that everybody assumes.
fn shortest(relay: &RelayAddress) -> String {
    let full = relay.to_string();
    match full.strip_suffix(&format!(":{}", crate::DEFAULT_RELAY_PORT)) {
        Some(host) => host.to_owned(),
        None => full,
    }
}

fn checksum(place: &str, content: &[u8]) -> [u8; SUM_LEN] {
    let digest = Sha256::new()
        .chain_update("lanparty invite v1\0")
        .chain_update(place)
        .chain_update([0])
        .chain_update(content)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn decode_base64(code: &str) -> Result<Vec<u8>, InviteError> {
    if code.is_empty() {
        return Err(InviteError::NoFragment);
    }
    let is_digit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if let Some(bad) = code.chars().find(|c| !is_digit(c)) {
        return Err(InviteError::Character(bad));
    }
    BASE64URL_NOPAD
        .decode(code.as_bytes())
        .map_err(|_| InviteError::Short)
}

/// Why a page cannot carry invites.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("an invite page is an address that begins with https://")]
    Scheme,
    #[error("an invite page's address has no # and no space; the invite is what comes behind a #")]
    Fragment,
    #[error("the invite page's host is not valid")]
    Host(#[source] AddressError),
    #[error("{0} is the relay itself, which could read invites there; use a static page elsewhere")]
    OnRelay(String),
}

/// A static web page that hands invites to the program: chats make its address clickable, and a browser keeps what stands behind the `#`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvitePage {
    address: String,
    host: String,
}

impl InvitePage {
    /// # Errors
    /// The page lies on this relay, which could then read the invites.
    pub fn check_beside(&self, relay: &RelayAddress) -> Result<(), PageError> {
        if self.host == relay.host {
            return Err(PageError::OnRelay(self.host.clone()));
        }
        Ok(())
    }
}

impl FromStr for InvitePage {
    type Err = PageError;

    fn from_str(text: &str) -> Result<InvitePage, PageError> {
        let address = text.trim();
        let rest = strip_scheme(address, PAGE_SCHEME).ok_or(PageError::Scheme)?;
        if address.contains(['#', ' ']) {
            return Err(PageError::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host: RelayAddress = authority.parse().map_err(PageError::Host)?;
        Ok(InvitePage {
            address: address.to_owned(),
            host: host.host,
        })
    }
}

impl TryFrom<String> for InvitePage {
    type Error = PageError;

    fn try_from(text: String) -> Result<InvitePage, PageError> {
        text.parse()
    }
}

impl From<InvitePage> for String {
    fn from(page: InvitePage) -> String {
        page.address
    }
}

/// Why a text is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    #[error("the invite is empty; paste the whole link that the host sent")]
    Empty,
    #[error("the invite is longer than any invite; paste only the link that the host sent")]
    TooLong,
    #[error(
        "the invite does not begin with lanparty:// or https://; paste the whole link that the host sent"
    )]
    Scheme,
    #[error(
        "the part of the invite behind # is missing; copy the whole link, or ask the host to send it again"
    )]
    NoFragment,
    #[error(
        "the invite names no room behind the relay; copy the whole link, or ask the host to send it again"
    )]
    NoRoom,
    #[error("the relay in the invite is wrong: {0}")]
    Relay(AddressError),
    #[error("the room in the invite is wrong: {0}")]
    Room(SealedRoomError),
    #[error("{0} is an open room and needs no invite; join it with --relay and --room {0}")]
    OpenRoom(RoomCode),
    #[error("the part of the invite behind # has a {0:?}, which no invite has; copy the link again")]
    Character(char),
    #[error("the end of the invite is missing; copy the whole link, or ask the host to send it again")]
    Short,
    #[error("something follows the invite's end; copy the link again, without what stands behind it")]
    Long,
    #[error("the invite is of version {0}, which this program does not know; update it")]
    Version(u8),
    #[error("the invite has a flag that this program does not know; update it")]
    Flags,
    #[error(
        "the room in the invite is not that of the host's key in it; ask the host for a new link, and do not trust who changed it"
    )]
    OtherRoom,
    #[error("the invite is damaged: a character of it was changed; copy the link again")]
    Checksum,
    #[error("the host's key in the invite is no key; ask the host for a new link")]
    HostKey,
}

impl FromStr for Invite {
    type Err = InviteError;

    /// Takes either form. White space is ignored wherever it stands, because mail programs break lines; so are `<` and `>` around it.
    fn from_str(text: &str) -> Result<Invite, InviteError> {
        if text.len() > MAX_TEXT {
            return Err(InviteError::TooLong);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let text = text.trim_start_matches('<').trim_end_matches('>');
        if text.is_empty() {
            return Err(InviteError::Empty);
        }
        if let Some(rest) = strip_scheme(text, SCHEME) {
            let (place, code) = rest.split_once('#').ok_or(InviteError::NoFragment)?;
            let (relay, room) = place.split_once('/').ok_or(InviteError::NoRoom)?;
            // Browsers and mail programs like to add one.
            return Invite::from_parts(relay, room.strip_suffix('/').unwrap_or(room), code);
        }
        let rest = strip_scheme(text, PAGE_SCHEME).ok_or(InviteError::Scheme)?;
        let (_, fragment) = rest.split_once('#').ok_or(InviteError::NoFragment)?;
        let (relay, rest) = fragment.split_once('/').ok_or(InviteError::NoRoom)?;
        let (room, code) = rest.split_once('/').ok_or(InviteError::NoFragment)?;
        Invite::from_parts(relay, room, code)
    }
}

/// Schemes are the same in either case (RFC 3986, section 3.1).
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

impl fmt::Display for Invite {
    /// The link. It holds the secret: show it to people, never to a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, code) = self.parts();
        write!(f, "{SCHEME}{place}#{code}")
    }
}

#[cfg(test)]
mod tests;
