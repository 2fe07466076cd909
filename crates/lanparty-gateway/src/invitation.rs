//! What a sealed room's host sees and types: the invite as a link and a QR code, who waits, and orders.

use std::io::{IsTerminal, stdin, stdout};

use lanparty_core::admission::{
    CodeEnd, Host, HostInvite, InviteStatus, NewInvite, ShownCode, TooManyInvites,
};
use lanparty_node::{EndpointHandle, say, unix_now};
use lanparty_wire::{Invite, InvitePage, PeerId, Pin, RelayAddress, Standing, UnixTime};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use tokio::sync::mpsc;

use crate::orders::{self, Reply, shown};

/// For how long an invite is good if nobody says otherwise: the evening, and the day after it.
pub const DEFAULT_HOURS: u32 = 24;
/// An invite that ends sooner is not shown again at a restart.
const WORTH_SHOWING: u64 = 3600;

/// Short codes are off, or the relay has not answered yet.
const NO_CODE: &str = "there is no short code now: short codes are switched off (--short-code=false), or the relay has not taken its number yet";

/// How the host invites.
#[derive(Debug, Clone)]
pub struct Inviting {
    pub relay: RelayAddress,
    /// For how long new links are good, if the host has said it.
    pub hours: Option<u32>,
    /// Where links that chats make clickable lead to.
    pub page: Option<InvitePage>,
    /// Draw the QR code even where no terminal is.
    pub qr: bool,
}

impl Inviting {
    /// Shows a link for everybody: the one of before if it is still good, so that a restart makes no link in a chat worthless.
    /// `pin` is what the relay's key hashes to, unless every player's system trusts the relay anyway.
    pub async fn show(&self, handle: &EndpointHandle, pin: Option<Pin>) {
        let (relay, hours) = (self.relay.clone(), self.hours);
        let made = handle.with_host(move |host, now| {
            let invite = open_invite(host, now, hours)?;
            Ok::<Invite, TooManyInvites>(link(host, relay, &invite, pin))
        });
        match made.await {
            Some(Ok(invite)) => self.print(&invite),
            Some(Err(error)) => say(&format!("No invite could be made: {error}")),
            // The endpoint has stopped, and says why.
            None => {}
        }
    }

    /// Carries out what the host has typed, and says what came of it.
    pub async fn obey(&self, handle: &EndpointHandle, pin: Option<Pin>, line: String) {
        let inviting = self.clone();
        let done = handle.with_door(move |door, now| match orders::obey(door.host_mut(), now, &line) {
            Reply::Text(text) => Err(text),
            Reply::Invite(new) => match door.host_mut().create_invite(now, &mut rand::rng(), &new) {
                Ok(invite) => Ok(link(door.host(), inviting.relay, &invite, pin)),
                Err(error) => Err(error.to_string()),
            },
            Reply::Code => Err(match door.short_code() {
                Some(code) => inviting.code_text(&code),
                None => NO_CODE.to_owned(),
            }),
            // The code is said when the relay has taken its number.
            Reply::NewCode(uses) if door.renew_short_code(now, uses) => Err(String::new()),
            Reply::NewCode(_) => Err(NO_CODE.to_owned()),
        });
        match done.await {
            Some(Ok(invite)) => self.print(&invite),
            Some(Err(text)) if !text.is_empty() => say(&text),
            Some(Err(_)) | None => {}
        }
    }

    /// What the host reads about a short code.
    pub fn code_text(&self, shown: &ShownCode) -> String {
        let code = &shown.code;
        let why = match shown.instead {
            None | Some(CodeEnd::Wished) => "",
            Some(CodeEnd::Expired) => "The short code's half hour is over. ",
            Some(CodeEnd::Voided) => "The short code was tried wrongly five times and is void. ",
            Some(CodeEnd::UsedUp) => "The short code has been used up. ",
            Some(CodeEnd::NumberTaken) => "Another room has the short code's number now. ",
            Some(CodeEnd::OtherKey) => "The relay has another key now, so the short code is void. ",
        };
        let whom = match shown.uses_left {
            None => "whoever calls".to_owned(),
            Some(1) => "one player".to_owned(),
            Some(uses) => format!("{uses} players"),
        };
        format!(
            "{why}To invite {whom} over the phone, read this short code, which is good for half an hour:\n\n  {code}\n\n\
             They start: lanparty-client {code} --relay {}\n",
            self.relay
        )
    }

    fn print(&self, invite: &Invite) {
        let whom = if invite.one_use {
            "Invite a player with this link, which is good for whoever uses it first"
        } else {
            "Invite your players with this link; whoever has it can join"
        };
        let left = invite.expires.map(|expires| expires.since(unix_now()));
        let until = left.map(|left| format!(", for {} hours from now on", left.div_ceil(3600)));
        say(&format!("{whom}{}:\n\n  {invite}\n", until.unwrap_or_default()));
        // One on the relay was refused at the start.
        if let Some(Ok(link)) = self.page.as_ref().map(|page| invite.on_page(page)) {
            say(&format!(
                "The same for a chat, which makes it clickable:\n\n  {link}\n"
            ));
        }
        if (self.qr || stdout().is_terminal())
            && let Ok(code) = QrCode::with_error_correction_level(invite.to_string(), EcLevel::L)
        {
            // Light on dark, as most terminals are; the quiet zone is part of the picture.
            let picture = code
                .render::<Dense1x2>()
                .dark_color(Dense1x2::Light)
                .light_color(Dense1x2::Dark)
                .build();
            say(&picture);
        }
    }
}

/// Says who waits for the host's word.
pub async fn announce(handle: &EndpointHandle, identity: PeerId) {
    let found = handle.with_host(move |host, _| {
        let waiting = host.waiting().find(|waiting| waiting.identity == identity)?;
        Some((shown(&waiting.request.name), waiting.request.member))
    });
    if let Some(Some((name, member))) = found.await {
        say(&format!(
            "{name} waits to be let in: type `approve {member}` or `deny {member}`"
        ));
    }
}

/// The lines that are typed or piped in; none where nobody could.
pub fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    if is_in_background() {
        return lines;
    }
    // Standard input cannot be waited for without a thread, which ends with the process.
    let reader = std::thread::Builder::new().name("orders".to_owned());
    let started = reader.spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "orders on standard input are not read");
    }
    lines
}

/// A job in the background that reads from its terminal is stopped for it.
fn is_in_background() -> bool {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return false;
    };
    // proc_pid_stat(5): behind the name in parentheses state, parent, group, session, terminal, and the terminal's group.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    stdin().is_terminal() && fields.get(2) != fields.get(5)
}

/// The newest invite for everybody that is still worth showing, and good for no longer than the host has said; or a new one.
fn open_invite(host: &mut Host, now: UnixTime, hours: Option<u32>) -> Result<HostInvite, TooManyInvites> {
    let lifetime = u64::from(hours.unwrap_or(DEFAULT_HOURS)) * 3600;
    let is_for_all = |invite: &HostInvite| {
        let lasts = match invite.expires.map(|expires| expires.since(now)) {
            Some(left) => left >= WORTH_SHOWING.min(lifetime / 2) && (hours.is_none() || left <= lifetime),
            None => hours.is_none(),
        };
        invite.uses.is_none() && invite.only_for.is_none() && invite.standing == Standing::Player && lasts
    };
    let known = host
        .invites(now)
        .filter(|(invite, status)| *status == InviteStatus::Open && is_for_all(invite))
        .last();
    if let Some((invite, _)) = known {
        return Ok(invite.clone());
    }
    let new = NewInvite {
        uses: None,
        lifetime: Some(lifetime),
        standing: Standing::Player,
        only_for: None,
    };
    host.create_invite(now, &mut rand::rng(), &new)
}

/// The invite as players get it.
fn link(host: &Host, relay: RelayAddress, invite: &HostInvite, pin: Option<Pin>) -> Invite {
    Invite {
        relay,
        host: host.identity(),
        pin,
        id: invite.id,
        secret: invite.secret,
        expires: invite.expires,
        one_use: invite.uses == Some(1),
        approval: host.state().approval,
    }
}

#[cfg(test)]
mod tests {
    use lanparty_core::admission::{HostConfig, HostState};
    use lanparty_wire::HostKey;

    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);
    const HOUR: u64 = 3600;

    #[test]
    fn a_link_of_before_is_shown_again_unless_it_is_good_for_longer_than_was_said() {
        let key = HostKey::from_seed(&[9; 32]);
        let mut host = Host::new(key, HostConfig::default(), HostState::default()).unwrap();
        let mut shown = |now, hours| {
            let invite = open_invite(&mut host, now, hours).unwrap();
            (invite.id, invite.expires.map(|expires| expires.since(now)))
        };
        let (first, left) = shown(NOW, None);
        assert_eq!(left, Some(24 * HOUR));
        assert_eq!(shown(NOW.after(HOUR), None), (first, Some(23 * HOUR)));
        // The host wants an hour, and gets no day.
        let (second, left) = shown(NOW.after(HOUR), Some(1));
        assert_ne!(second, first);
        assert_eq!(left, Some(HOUR));
        assert_eq!(shown(NOW.after(HOUR + 60), Some(1)), (second, Some(HOUR - 60)));
        // What ends soon is not worth showing.
        assert_ne!(shown(NOW.after(23 * HOUR + 1800), None).0, first);
    }
}
