//! What the host orders while the room is open: lines on standard input, each answered on standard output.
//!
//! A line from a script is the same as one that was typed. Members are named as `who` lists them: by name, by number, or by the
//! beginning of their identity.

use std::fmt::Write;

use lanparty_core::admission::{Host, InviteStatus, NewInvite};
use lanparty_wire::{Admitted, InviteId, PeerId, Profile, Standing, UnixTime};

const BANNED: &str = "banned; whoever has a link or code that is still good can come back under another identity: take it back \
    (`invites`, `revoke ID`, `code new`), or have everybody ask (`ask on`)";
const HELP: &str = "\
who                              members, and who is banned
waiting                          who waits to be let in
approve NAME|all                 lets somebody in who waits
deny NAME|all                    does not
kick NAME                        puts a member out; a new invite brings it back
ban NAME, unban IDENTITY         puts somebody out for good, or takes that back
role NAME player|spectator       what a member may do: play, or only look on
name NAME NEW NAME               what a member is called
profile friends|strangers        how far members are trusted: strangers only play with each other
ask on|off                       whether newcomers wait for your word
invite [USES|all] [HOURS]        a new link: for one player, unless you say for how many
invites, revoke ID               the links, and takes one back
code [new [USES|all]]            the short code for the phone; or another one instead, for so many players
save-discovery FILE              the last minute of discovery frames, for Wireshark
help                             this";

/// What an order has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// To be said.
    Text(String),
    /// A new link is wanted for this.
    Invite(NewInvite),
    /// The short code is to be said.
    Code,
    /// Another short code is wanted, for so many players; `None` for any number.
    NewCode(Option<u16>),
}

/// The file that the last minute of discovery frames is wanted in: an order that is the endpoint's and not the host's.
pub fn discovery_file(line: &str) -> Option<&str> {
    line.trim().strip_prefix("save-discovery ").map(str::trim)
}

/// Carries out one line.
pub fn obey(host: &mut Host, now: UnixTime, line: &str) -> Reply {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => Reply::Text(String::new()),
        ["invite", rest @ ..] => new_invite(rest),
        ["code"] => Reply::Code,
        ["code", "new"] => Reply::NewCode(None),
        ["code", "new", uses] => match parse_uses(uses) {
            Some(uses) => Reply::NewCode(uses),
            None => Reply::Text("say for how many players: code new 3, code new all".to_owned()),
        },
        words => Reply::Text(carry_out(host, now, words).unwrap_or_else(|error| error)),
    }
}

fn carry_out(host: &mut Host, now: UnixTime, words: &[&str]) -> Result<String, String> {
    match words {
        ["help"] => Ok(HELP.to_owned()),
        ["save-discovery"] => Err("say which file: save-discovery FILE".to_owned()),
        ["who"] => Ok(who(host, now)),
        ["waiting"] => Ok(waiting(host)),
        ["invites"] => Ok(invites(host, now)),
        ["approve", "all"] => Ok(for_all(host, |host, identity| host.approve(now, identity))),
        ["deny", "all"] => Ok(for_all(host, |host, identity| host.deny(identity))),
        ["approve", name] => {
            let identity = who_waits(host, name)?;
            Ok(done(host.approve(now, &identity), "let in"))
        }
        ["deny", name] => {
            let identity = who_waits(host, name)?;
            Ok(done(host.deny(&identity), "not let in"))
        }
        ["kick", name] => {
            let identity = member(host, name)?;
            Ok(done(host.kick(now, &identity), "put out"))
        }
        ["ban", name] => {
            let identity = member(host, name).or_else(|error| who_waits(host, name).map_err(|_| error))?;
            Ok(done(host.ban(now, identity), BANNED))
        }
        ["unban", text] => {
            let banned = host.state().bans.iter().copied();
            let identity = one(banned.filter(|identity| begins(identity, text)), text)?;
            Ok(done(host.unban(&identity), "no longer banned"))
        }
        ["role", name, role @ ("player" | "spectator")] => {
            let identity = member(host, name)?;
            let standing = if *role == "player" {
                Standing::Player
            } else {
                Standing::Spectator
            };
            Ok(done(
                host.set_standing(now, identity, standing),
                &format!("a {role} now"),
            ))
        }
        ["name", name, new @ ..] if !new.is_empty() => {
            let identity = member(host, name)?;
            host.set_name(now, identity, &new.join(" "));
            Ok(done(true, &format!("called {} now", new.join(" "))))
        }
        ["profile", profile] => {
            let profile: Profile = profile
                .parse()
                .map_err(|error| format!("{profile:?} is no profile: {error}"))?;
            host.set_profile(now, profile);
            Ok(match profile {
                Profile::Friends => "members are friends now, as on any LAN".to_owned(),
                Profile::Strangers => {
                    "members are strangers now: they find and play games with each other, and nothing else"
                        .to_owned()
                }
            })
        }
        ["ask", answer @ ("on" | "off")] => {
            host.set_approval(*answer == "on");
            Ok(match *answer {
                "on" => "newcomers wait for your word from now on".to_owned(),
                _ => "who has an invite comes in without asking".to_owned(),
            })
        }
        ["revoke", id] => {
            let id = id
                .parse()
                .map_err(|_| format!("{id:?} is no invite's number; `invites` lists them"))?;
            if host.revoke_invite(InviteId(id)) {
                Ok("taken back; who has come by it stays".to_owned())
            } else {
                Err("no open invite has this number; `invites` lists them".to_owned())
            }
        }
        _ => Err(misunderstood(words)),
    }
}

/// `all`, or a number from 1 on; `None` for anything else.
fn parse_uses(word: &str) -> Option<Option<u16>> {
    match word {
        "all" => Some(None),
        number => number.parse::<u16>().ok().filter(|uses| *uses > 0).map(Some),
    }
}

fn new_invite(words: &[&str]) -> Reply {
    let (uses, hours) = match words {
        [] => (Some("1"), None),
        [uses] => (Some(*uses), None),
        [uses, hours] => (Some(*uses), Some(*hours)),
        _ => (None, None),
    };
    let uses = match uses {
        Some(uses) => parse_uses(uses),
        None => None,
    };
    let hours = match hours {
        None => Some(u64::from(crate::invitation::DEFAULT_HOURS)),
        Some(hours) => hours
            .parse::<u64>()
            .ok()
            .filter(|hours| (1..=8760).contains(hours)),
    };
    match (uses, hours) {
        (Some(uses), Some(hours)) => Reply::Invite(NewInvite {
            uses,
            lifetime: Some(hours * 3600),
            standing: Standing::Player,
            only_for: None,
        }),
        _ => Reply::Text(
            "say for how many players, and for how many hours: invite 3 24, invite all 168".to_owned(),
        ),
    }
}

/// How the order goes that was perhaps meant.
fn misunderstood(words: &[&str]) -> String {
    let is_meant = |line: &&str| {
        let mut orders = line.split("  ").next().unwrap_or_default().split(", ");
        orders.any(|order| order.split_whitespace().next() == words.first().copied())
    };
    match HELP.lines().find(is_meant) {
        Some(line) => format!("it goes like this:\n{line}"),
        None => format!("{:?} is no order; `help` lists them", words.join(" ")),
    }
}

fn done(happened: bool, what: &str) -> String {
    if happened {
        what.to_owned()
    } else {
        "that changes nothing".to_owned()
    }
}

fn for_all(host: &mut Host, act: impl Fn(&mut Host, &PeerId) -> bool) -> String {
    let all: Vec<PeerId> = host.waiting().map(|waiting| waiting.identity).collect();
    let count = all.iter().filter(|identity| act(host, identity)).count();
    match count {
        0 => "nobody waits".to_owned(),
        1 => "done for 1".to_owned(),
        count => format!("done for {count}"),
    }
}

fn begins(identity: &PeerId, text: &str) -> bool {
    text.len() >= 4 && identity.to_string().starts_with(&text.to_lowercase())
}

/// The one that is meant.
fn one(mut found: impl Iterator<Item = PeerId>, text: &str) -> Result<PeerId, String> {
    match (found.next(), found.next()) {
        (Some(identity), None) => Ok(identity),
        (Some(_), Some(_)) => Err(format!(
            "{text:?} is more than one; say it by number or identity, as `who` lists them"
        )),
        (None, _) => Err(format!(
            "nobody here is {text:?}; `who` and `waiting` list everybody"
        )),
    }
}

fn member(host: &Host, text: &str) -> Result<PeerId, String> {
    let is_meant = |member: &&Admitted| {
        member.name.eq_ignore_ascii_case(text)
            || member.id.to_string() == text
            || begins(&member.identity, text)
    };
    let players = host
        .state()
        .members
        .iter()
        .filter(|member| member.standing != Standing::Gateway);
    one(players.filter(is_meant).map(|member| member.identity), text)
}

fn who_waits(host: &Host, text: &str) -> Result<PeerId, String> {
    let found = host.waiting().filter(|waiting| {
        let request = &waiting.request;
        request.name.eq_ignore_ascii_case(text)
            || request.member.to_string() == text
            || begins(&waiting.identity, text)
    });
    one(found.map(|waiting| waiting.identity), text)
}

fn who(host: &Host, now: UnixTime) -> String {
    let mut text = String::new();
    for member in host.state().members.iter().filter(|member| now < member.expires) {
        let role = match member.standing {
            Standing::Player => "player",
            Standing::Spectator => "spectator",
            Standing::Gateway => "LAN gateway",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<6} {role:<11} {}  {}",
            member.id,
            member.identity,
            shown(&member.name)
        );
    }
    let _ = writeln!(text, "profile {}", host.state().profile.name());
    for identity in &host.state().bans {
        let _ = writeln!(text, "banned {identity}");
    }
    text.trim_end().to_owned()
}

fn waiting(host: &Host) -> String {
    let lines: Vec<String> = host
        .waiting()
        .map(|w| {
            format!(
                "{:<6} {}  {}",
                w.request.member,
                w.identity,
                shown(&w.request.name)
            )
        })
        .collect();
    if lines.is_empty() {
        "nobody waits".to_owned()
    } else {
        lines.join("\n")
    }
}

fn invites(host: &Host, now: UnixTime) -> String {
    let lines: Vec<String> = host
        .invites(now)
        .map(|(invite, status)| {
            let status = match status {
                InviteStatus::Open => "open",
                InviteStatus::UsedUp => "used up",
                InviteStatus::Expired => "expired",
                InviteStatus::Revoked => "taken back",
            };
            let uses = invite
                .uses
                .map_or_else(|| "any number".to_owned(), |uses| uses.to_string());
            let hours = invite.expires.map_or(0, |at| at.since(now).div_ceil(3600));
            format!(
                "{:<10} {status:<10} {} of {uses} came, {hours} h left",
                invite.id,
                invite.used.len()
            )
        })
        .collect();
    lines.join("\n")
}

/// A name from the network as it may reach a terminal.
pub fn shown(name: &str) -> String {
    if name.is_empty() {
        "without a name".to_owned()
    } else {
        lanparty_api::status::printable(name)
    }
}

#[cfg(test)]
mod tests {
    use lanparty_core::admission::{HostConfig, HostState};
    use lanparty_wire::{HostKey, MemberId};

    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);

    fn host() -> Host {
        let mut state = HostState::default();
        for (number, name) in [(1_u8, "ada"), (2, "Bob"), (3, "bob")] {
            state.members.push(Admitted {
                identity: HostKey::from_seed(&[number; 32]).peer_id(),
                id: MemberId::new(u16::from(number)).unwrap(),
                mac: Some(lanparty_wire::Mac([2, 0, 0, 0, 0, number])),
                standing: Standing::Player,
                expires: NOW.after(3600),
                name: name.to_owned(),
            });
        }
        let mut host = Host::new(HostKey::from_seed(&[9; 32]), HostConfig::default(), state).unwrap();
        host.enter(NOW, MemberId::new(9).unwrap());
        host
    }

    fn told(host: &mut Host, line: &str) -> String {
        match obey(host, NOW, line) {
            Reply::Text(text) => text,
            reply => format!("{reply:?}"),
        }
    }

    #[test]
    fn members_are_meant_by_name_number_or_identity_and_never_by_guess() {
        let mut host = host();
        assert!(told(&mut host, "kick bob").contains("more than one"));
        assert_eq!(told(&mut host, "kick 2"), "put out");
        assert_eq!(told(&mut host, "kick bob"), "put out");
        let ada = host.state().members[0].identity.to_string();
        assert_eq!(told(&mut host, &format!("ban {}", &ada[..8])), BANNED);
        assert!(told(&mut host, "who").contains(&format!("banned {ada}")));
        assert_eq!(told(&mut host, &format!("unban {ada}")), "no longer banned");
        assert!(told(&mut host, "kick ada").contains("nobody here is"));
    }

    #[test]
    fn orders_change_what_they_say() {
        let mut host = host();
        assert_eq!(told(&mut host, "role ada spectator"), "a spectator now");
        assert!(told(&mut host, "who").ends_with("profile friends"));
        assert!(told(&mut host, "profile strangers").starts_with("members are strangers now"));
        assert!(told(&mut host, "who").ends_with("profile strangers"));
        assert_eq!(host.roster().unwrap().content().profile, Profile::Strangers);
        assert!(told(&mut host, "profile foes").contains("neither friends nor strangers"));
        assert_eq!(told(&mut host, "name ada Lady Ada"), "called Lady Ada now");
        assert!(
            told(&mut host, "who").contains("spectator"),
            "{}",
            told(&mut host, "who")
        );
        assert!(told(&mut host, "who").contains("Lady Ada"));
        told(&mut host, "ask on");
        assert!(host.state().approval);
        assert_eq!(told(&mut host, "approve all"), "nobody waits");
    }

    #[test]
    fn invites_are_made_for_whom_the_host_says() {
        let mut host = host();
        let uses = |reply| match reply {
            Reply::Invite(new) => (new.uses, new.lifetime),
            reply => panic!("{reply:?}"),
        };
        assert_eq!(uses(obey(&mut host, NOW, "invite")), (Some(1), Some(24 * 3600)));
        assert_eq!(uses(obey(&mut host, NOW, "invite all 2")), (None, Some(7200)));
        for wrong in ["invite 0", "invite 1 0", "invite 1 2 3", "invite many"] {
            assert!(matches!(obey(&mut host, NOW, wrong), Reply::Text(_)), "{wrong}");
        }
    }

    #[test]
    fn codes_are_for_as_many_as_the_host_says() {
        let mut host = host();
        assert_eq!(obey(&mut host, NOW, "code"), Reply::Code);
        assert_eq!(obey(&mut host, NOW, "code new"), Reply::NewCode(None));
        assert_eq!(obey(&mut host, NOW, "code new all"), Reply::NewCode(None));
        assert_eq!(obey(&mut host, NOW, "code new 2"), Reply::NewCode(Some(2)));
        for wrong in ["code new 0", "code new many", "code old"] {
            assert!(matches!(obey(&mut host, NOW, wrong), Reply::Text(_)), "{wrong}");
        }
    }

    #[test]
    fn a_file_to_save_is_the_rest_of_the_line() {
        assert_eq!(discovery_file("save-discovery a b.pcapng "), Some("a b.pcapng"));
        for line in ["save-discovery", " save-discovery  ", "who"] {
            assert_eq!(discovery_file(line), None, "{line:?}");
        }
    }

    #[test]
    fn every_order_of_the_help_is_one() {
        let mut host = host();
        for line in HELP.lines() {
            let order = line.split_whitespace().next().unwrap().trim_end_matches(',');
            if order == "save-discovery" {
                // `run` sees to it, because it needs the endpoint.
                continue;
            }
            let arguments = match order {
                "ask" => "off",
                "role" => "ada player",
                "profile" => "strangers",
                "name" => "ada eve",
                "approve" | "deny" | "kick" | "ban" => "nobody",
                "revoke" | "unban" => "7777",
                _ => "",
            };
            let answer = told(&mut host, &format!("{order} {arguments}"));
            assert!(!answer.contains("is no order"), "{order}: {answer}");
        }
        assert!(told(&mut host, "dance").contains("is no order"));
        for (wrong, right) in [
            ("role ada boss", "role NAME player|spectator"),
            ("kick", "kick NAME"),
            ("unban", "unban IDENTITY"),
            ("ask maybe", "ask on|off"),
            ("name ada", "name NAME NEW NAME"),
            ("revoke", "revoke ID"),
        ] {
            let answer = told(&mut host, wrong);
            assert!(
                answer.contains("like this") && answer.contains(right),
                "{wrong}: {answer}"
            );
        }
        assert!(told(&mut host, "revoke 7").contains("`invites` lists them"));
    }
}
