//! Which member listens to what, as far as it has said so, and whether it would have said so.
//!
//! The timers are those of a querier (RFC 3376, section 8) with an interval of its own: a member is asked, and what it has not named for
//! [`EXPIRY`] it has left. But only of a member that answers questions is silence about a group taken for an answer. One that does not hear
//! them, or whose answers do not come (any more), keeps what it has joined until it leaves, and is taken to listen to everything.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lanparty_wire::{Mac, MemberId};

use super::{
    message::{Family, Report, Version, Wish},
    write::{Speaker, link_local},
};

/// Between two questions to a member.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// Between the questions to one that has not answered yet.
pub const STARTUP: Duration = Duration::from_secs(3);
/// How many of these there are (RFC 3376, section 8.7, and one more: it may not have keys or an address yet).
const STARTUP_ROUNDS: u8 = 3;
/// Until who was asked has said everything. Hosts that speak IGMPv1 take 10 s whatever they are told (RFC 2236, section 4).
pub const ANSWERED: Duration = Duration::from_secs(11);
/// A member that has not named a group for so long, and has answered, has left it: three questions, and the time for the last answer.
pub const EXPIRY: Duration = Duration::from_secs(3 * INTERVAL.as_secs() + ANSWERED.as_secs());
/// Groups of one family that a member can be in. Linux lets a host join 20 of IPv4 unless told otherwise
/// (`igmp_max_memberships`), and each address of IPv6 is one.
pub const MAX_GROUPS: usize = 64;

/// What is known of all members.
#[derive(Debug, Default)]
pub(super) struct Table {
    members: BTreeMap<MemberId, Listener>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) speaker: Speaker,
    /// When it has named the group last, and in what version.
    groups: BTreeMap<IpAddr, (Instant, Version)>,
    asking: [Asking; 2],
    /// False while we do not know whether it is still there; see [`Table::doubt`].
    is_present: bool,
}

/// How one family of one member is asked.
#[derive(Debug)]
struct Asking {
    due: Instant,
    rounds: u8,
    /// When it was asked last.
    last: Option<Instant>,
    /// When it has answered last.
    heard: Option<Instant>,
    /// From when on it is known to what it listens; `None` if it has not answered.
    known: Option<Instant>,
}

/// Whom frames to a group must reach.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) members: Vec<MemberId>,
    /// Whether there is nobody else.
    pub(super) is_everybody: bool,
    /// When it may change by itself.
    pub(super) until: Option<Instant>,
}

/// What a report has changed, or that none came.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Somebody listens to something else than before.
    pub(super) is_any: bool,
    /// Groups that the member has left.
    pub(super) left: Vec<IpAddr>,
}

impl Asking {
    fn from(now: Instant) -> Asking {
        Asking {
            due: now,
            rounds: 0,
            last: None,
            heard: None,
            known: None,
        }
    }
}

impl Listener {
    fn new(now: Instant, mac: Mac) -> Listener {
        Listener {
            speaker: Speaker {
                mac,
                v4: Ipv4Addr::UNSPECIFIED,
                v6: link_local(mac),
            },
            groups: BTreeMap::new(),
            asking: [Asking::from(now), Asking::from(now)],
            is_present: true,
        }
    }

    /// The groups that it is in, of one family.
    pub(super) fn groups(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.groups
            .keys()
            .copied()
            .filter(move |&group| Family::of(group) == family)
    }

    /// Whether frames to the group must reach it, and when that may change by itself.
    fn wants(&self, now: Instant, group: IpAddr) -> (bool, Option<Instant>) {
        match self.asking[Family::of(group) as usize].known {
            Some(known) if known <= now => (self.groups.contains_key(&group), None),
            known => (true, known),
        }
    }

    /// It says something of itself.
    fn hear(&mut self, now: Instant, report: &Report) -> Change {
        match report.source {
            IpAddr::V4(source) if !source.is_unspecified() && !source.is_multicast() => {
                self.speaker.v4 = source;
            }
            IpAddr::V6(source) if source.is_unicast_link_local() => self.speaker.v6 = source,
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        let mut change = Change::default();
        for record in &report.records {
            let family = Family::of(record.group);
            match record.wish {
                Wish::Left => {
                    let was_in = self.groups.remove(&record.group).is_some();
                    change.is_any |= was_in;
                    change.left.extend(was_in.then_some(record.group));
                }
                Wish::Joined | Wish::Listens => {
                    let is_full = self.groups(family).count() >= MAX_GROUPS;
                    if !self.groups.contains_key(&record.group) && is_full {
                        continue;
                    }
                    let before = self.groups.insert(record.group, (now, report.version));
                    change.is_any |= before.is_none();
                }
            }
            if record.wish == Wish::Listens {
                change.is_any |= self.asking[family as usize].answered(now);
            }
        }
        change
    }

    /// What it has not named for too long, although it has answered, it has left. If it has not answered either, nothing is known of it any
    /// more.
    fn expire(&mut self, now: Instant, family: Family) -> Change {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= EXPIRY;
        let asking = &mut self.asking[family as usize];
        let mut change = Change::default();
        if asking.known.is_none() {
            return change;
        }
        if asking.heard.is_none_or(is_over) {
            asking.known = None;
            change.is_any = true;
            return change;
        }
        self.groups.retain(|&group, &mut (last, _)| {
            let is_left = Family::of(group) == family && is_over(last);
            change.left.extend(is_left.then_some(group));
            !is_left
        });
        change.is_any = !change.left.is_empty();
        change
    }
}

impl Asking {
    /// It has said to what it listens; true if it is news that it does so when it is asked.
    fn answered(&mut self, now: Instant) -> bool {
        let end = self.last.map(|asked| asked + ANSWERED);
        let Some(all_said) = end.filter(|&end| now < end) else {
            return false;
        };
        self.heard = Some(now);
        let is_news = self.known.is_none();
        if is_news {
            self.known = Some(all_said);
        }
        is_news
    }

    /// It is asked now, by us or by the LAN's querier.
    fn ask(&mut self, now: Instant) {
        self.last = Some(now);
        self.rounds = self.rounds.saturating_add(1);
        let is_startup = self.known.is_none() && self.rounds < STARTUP_ROUNDS;
        self.due = now + if is_startup { STARTUP } else { INTERVAL };
    }
}

impl Table {
    /// Whether no member is known.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member is there, perhaps again: what it listens to may have changed, and it is asked.
    pub(super) fn came(&mut self, now: Instant, id: MemberId, mac: Mac) {
        let is_known = self
            .members
            .get(&id)
            .is_some_and(|known| known.speaker.mac == mac);
        if !is_known {
            self.members.insert(id, Listener::new(now, mac));
        }
        self.ask_anew(now, id);
    }

    /// What is known of the member may be out of date, and it can be asked from now on.
    pub(super) fn ask_anew(&mut self, now: Instant, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.is_present = true;
            member.asking = [Asking::from(now), Asking::from(now)];
        }
    }

    /// The same for all of them.
    pub(super) fn ask_all_anew(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.asking = [Asking::from(now), Asking::from(now)];
        }
    }

    /// A member is gone.
    pub(super) fn left(&mut self, id: MemberId) -> Option<Listener> {
        self.members.remove(&id)
    }

    /// Nobody is known to be there until he is named again.
    pub(super) fn doubt(&mut self) {
        self.members
            .values_mut()
            .for_each(|member| member.is_present = false);
    }

    /// Those who were not named again.
    pub(super) fn doubted(&self) -> Vec<MemberId> {
        let doubted = self.members.iter().filter(|(_, member)| !member.is_present);
        doubted.map(|(&id, _)| id).collect()
    }

    /// A member reports.
    pub(super) fn hear(&mut self, now: Instant, from: MemberId, report: &Report) -> Change {
        let member = self.members.get_mut(&from);
        member.map_or_else(Change::default, |member| member.hear(now, report))
    }

    /// The LAN's querier asks all members, as it asks everybody.
    pub(super) fn asked(&mut self, now: Instant, family: Family) {
        for member in self.members.values_mut() {
            member.asking[family as usize].ask(now);
        }
    }

    /// Who is to be asked now, and what has changed about him without a word.
    pub(super) fn next_question(&mut self, now: Instant, family: Family) -> Option<(MemberId, Change)> {
        let is_due = |member: &Listener| member.asking[family as usize].due <= now;
        let (&id, member) = self.members.iter_mut().find(|(_, member)| is_due(member))?;
        let change = member.expire(now, family);
        member.asking[family as usize].ask(now);
        Some((id, change))
    }

    /// When somebody is to be asked.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asking = self.members.values().flat_map(|member| &member.asking);
        asking.map(|asking| asking.due).min()
    }

    /// How the member speaks.
    pub(super) fn speaker(&self, id: MemberId) -> Option<Speaker> {
        self.members.get(&id).map(|member| member.speaker)
    }

    /// Everybody who is in the group.
    pub(super) fn listeners(&self, group: IpAddr) -> impl Iterator<Item = &Listener> {
        self.members
            .values()
            .filter(move |member| member.groups.contains_key(&group))
    }

    /// Groups of one family that somebody is in, each with the first of them, but not those that were reported since `since` in a version
    /// that a querier of `version` understands.
    pub(super) fn unreported(
        &self,
        family: Family,
        since: Instant,
        version: Version,
    ) -> BTreeMap<IpAddr, Speaker> {
        let mut unreported = BTreeMap::new();
        let mut reported = Vec::new();
        for member in self.members.values() {
            for (&group, &(last, spoken)) in &member.groups {
                if Family::of(group) != family {
                    continue;
                }
                unreported.entry(group).or_insert(member.speaker);
                if last > since && spoken <= version {
                    reported.push(group);
                }
            }
        }
        for group in reported {
            unreported.remove(&group);
        }
        unreported
    }

    /// Whom frames to the group must reach.
    pub(super) fn audience(&self, now: Instant, group: IpAddr) -> Audience {
        let mut audience = Audience {
            members: Vec::new(),
            is_everybody: true,
            until: None,
        };
        for (&id, member) in self.members.iter().filter(|(_, member)| member.is_present) {
            let (wants, change) = member.wants(now, group);
            audience.members.extend(wants.then_some(id));
            audience.is_everybody &= wants;
            audience.until = earlier(audience.until, change);
        }
        audience
    }
}

/// The earlier one of those that there are.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
