//! Groups across the tunnel: switches that listen to IGMP and MLD go on forwarding what members have joined, and members get what they
//! have joined and no more.
//!
//! A switch that snoops forwards a group only to ports that have reported it since its querier asked last. Members' reports pass and make
//! the LAN gateway's port such a port, but a question or its answer may be lost, or come too late from afar. So what members listen to is kept
//! in a [`Table`], and when the LAN's querier asks, whatever no member has named in half to three quarters of the time for answers is
//! reported here in the name of one that is in the group: by its MAC, which the switch knows on this port, and by the address that it reports
//! from itself (RFC 4541, section 2.1.1, and RFC 4605 in spirit). When the last one leaves or departs, that is said in the same way.
//!
//! Toward the room, frames to a group go to those who have joined it. Not so what stays on a link, and what is for finding each other
//! ([`is_for_everybody`]). What stations of the LAN report goes to no member: one that hears another's report keeps its own back
//! (RFC 2236, section 3), and would be thought to have left.

mod message;
mod routes;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lanparty_wire::{Destination, DropReason, Frame, Mac, MemberId};

use super::{Effect, Effects, Pass, Station, concern::Concern};
use crate::guard::Packet;
use message::{Family, Message, Query, Version, Wish, destination_of, mld};
use routes::{Route, Routes};
use table::{Table, earlier};
use write::{Saying, Speaker, link_local, question, reports};

pub(crate) use message::{is_report, is_report_frame};
pub use routes::{GRACE, Registration};
pub use table::{ANSWERED, EXPIRY, INTERVAL, MAX_GROUPS, STARTUP};

/// After this time whoever the relay has not named again is gone.
const NAMED: Duration = Duration::from_secs(5);
/// Until a group that one member has left is reported again by another one: the frame that says the former goes first.
const AFTER_LEAVE: Duration = Duration::from_millis(100);
/// Questions about single groups that wait for an answer at once. A querier asks about those that somebody leaves.
const MAX_PENDING: usize = 256;

/// What the LAN gateway knows and does about groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    table: Table,
    routes: Routes,
    station: Station,
    /// What the LAN's querier speaks, by family.
    versions: [Option<Version>; 2],
    pending: Vec<Pending>,
    /// When those are gone who were not named again.
    named: Option<Instant>,
    /// Changes what part of the time for answers is waited.
    answers: u32,
    due: Option<Instant>,
}

/// An answer to the LAN's querier that is to be given unless members give it.
#[derive(Clone, Copy, Debug)]
struct Pending {
    family: Family,
    /// `None`: all of them.
    group: Option<IpAddr>,
    /// Reports after it are answers.
    since: Instant,
    due: Instant,
}

/// What a report says its sender listens to, written anew in frames of ours, for fuzzing; `None` for any other frame.
pub fn rewrite_report(frame: Frame<'_>) -> Option<Vec<Vec<u8>>> {
    let packet = Packet::parse(frame).ok()?;
    let Message::Report(report) = Message::parse(&packet)? else {
        return None;
    };
    let speaker = Speaker {
        mac: packet.source,
        v4: Ipv4Addr::UNSPECIFIED,
        v6: link_local(packet.source),
    };
    let listens = report.records.iter().filter(|record| record.wish != Wish::Left);
    let groups: Vec<IpAddr> = listens.map(|record| record.group).collect();
    Some(reports(&speaker, report.version, Saying::Listens, &groups))
}

/// Whether frames to a group reach every member whatever anybody has joined: what stays on the link (RFC 5771, section 4; RFC 4291,
/// section 2.7), the blocks in which games and discovery have settled without much asking, and SSDP, WS-Discovery, SLP, mDNS and LLMNR.
fn is_for_everybody(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => {
            let block = [group.octets()[0], group.octets()[1], group.octets()[2]];
            // Minecraft's 224.0.2.60 is in the second one.
            block == [224, 0, 0]
                || block == [224, 0, 2]
                || [
                    Ipv4Addr::new(239, 255, 255, 250),
                    Ipv4Addr::new(239, 255, 255, 253),
                ]
                .contains(&group)
        }
        IpAddr::V6(group) => {
            const PERMANENT: u16 = 0;
            const LINK_LOCAL: u16 = 2;
            let [first, rest @ ..] = group.segments();
            let (flags, scope) = (first >> 4 & 0xf, first & 0xf);
            let is_discovery = flags == PERMANENT
                && matches!(
                    rest,
                    [0, 0, 0, 0, 0, 0, 0xc | 0xfb | 0x116] | [0, 0, 0, 0, 0, 1, 3]
                );
            scope <= LINK_LOCAL || is_discovery
        }
    }
}

impl Groups {
    /// What this machine's own interface on the LAN is, from which members are asked.
    pub(super) fn set_station(&mut self, now: Instant, station: &Station) {
        let could_ask = self.station.mac.is_some();
        self.station = station.clone();
        if !could_ask {
            self.table.ask_all_anew(now);
            self.changed();
        }
    }

    /// A member is there, or has come anew.
    pub(super) fn member_came(&mut self, now: Instant, id: MemberId, mac: Mac) {
        self.table.came(now, id, mac);
        self.changed();
    }

    /// Frames reach the member from now on; what it was asked before was perhaps lost.
    pub(super) fn member_secured(&mut self, now: Instant, id: MemberId) {
        self.table.ask_anew(now, id);
        self.changed();
    }

    /// A member is gone, and what nobody else listens to is said to be left.
    pub(super) fn member_left(&mut self, id: MemberId, effects: &mut Effects) {
        let Some(gone) = self.table.left(id) else {
            return;
        };
        for family in Family::ALL {
            let groups: Vec<IpAddr> = gone.groups(family).collect();
            self.say_left(&gone.speaker, family, &groups, effects);
        }
        self.changed();
    }

    /// We are in the room, perhaps again: the relay knows no handles, and who is still there is named soon.
    pub(super) fn room_entered(&mut self, now: Instant) {
        self.table.doubt();
        self.named = (!self.table.is_empty()).then_some(now + NAMED);
        self.routes.forget_handles();
        self.changed();
    }

    /// The LAN's switches know nothing of us: we are the active one from now on, or the cable was in another one. What is known is reported
    /// at once, and everybody is asked.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.table.is_empty() {
            return;
        }
        self.table.ask_all_anew(now);
        self.pending = Family::ALL
            .map(|family| Pending {
                family,
                group: None,
                since: now,
                due: now,
            })
            .to_vec();
        self.changed();
    }

    /// A frame from the LAN, which may be a question that we see to, and goes to those who have joined its group.
    ///
    /// # Errors
    /// [`DropReason::MembershipReport`], or [`DropReason::NotJoined`].
    pub(super) fn toward_room(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        concern: Concern,
        destination: &mut Destination,
        effects: &mut Effects,
    ) -> Result<(), DropReason> {
        // Of other VLANs' queriers and groups members know nothing, and nothing is known of them there.
        if *destination != Destination::Flood || packet.tags > 0 {
            return Ok(());
        }
        if concerns_groups(concern) {
            match Message::parse(packet) {
                Some(Message::Query(query)) => self.hear_query(now, &query),
                Some(Message::Report(_)) => return Err(DropReason::MembershipReport),
                None => {}
            }
        }
        match destination_of(packet).filter(|group| group.is_multicast() && !is_for_everybody(*group)) {
            Some(group) => self.route(now, group, destination, effects),
            None => Ok(()),
        }
    }

    fn route(
        &mut self,
        now: Instant,
        group: IpAddr,
        destination: &mut Destination,
        effects: &mut Effects,
    ) -> Result<(), DropReason> {
        let route = self.routes.get(now, group).unwrap_or_else(|| {
            let audience = self.table.audience(now, group);
            let (route, told) = self.routes.decide(now, group, audience);
            effects.extend(told.map(Effect::Register));
            route
        });
        match route {
            Route::Nobody => Err(DropReason::NotJoined),
            Route::To(chosen) => {
                *destination = chosen;
                Ok(())
            }
        }
    }

    fn hear_query(&mut self, now: Instant, query: &Query) {
        self.versions[query.family as usize] = Some(query.version);
        self.answers = self.answers.wrapping_add(1);
        let spread = self.answers.wrapping_mul(2_654_435_761) >> 24;
        let part = query.max_response / 2 + query.max_response / 4 * spread / 256;
        let due = now + part;
        if query.group.is_none() {
            self.table.asked(now, query.family);
        } else if query
            .group
            .is_some_and(|group| self.table.listeners(group).next().is_none())
        {
            return;
        }
        let is_same = |pending: &&mut Pending| (pending.family, pending.group) == (query.family, query.group);
        if let Some(pending) = self.pending.iter_mut().find(is_same) {
            // Who asks again and again is answered all the same.
            pending.due = pending.due.min(due);
        } else if self.pending.len() < MAX_PENDING {
            self.pending.push(Pending {
                family: query.family,
                group: query.group,
                since: now,
                due,
            });
        }
        self.find_next();
    }

    /// A member's frame, which may say what it listens to.
    pub(super) fn toward_lan(
        &mut self,
        now: Instant,
        from: MemberId,
        packet: &Packet<'_>,
        concern: Concern,
    ) -> Pass {
        if !concerns_groups(concern) {
            return Pass::AsItIs;
        }
        let Some(Message::Report(report)) = Message::parse(packet) else {
            return Pass::AsItIs;
        };
        let change = self.table.hear(now, from, &report);
        let (wanted, left): (Vec<IpAddr>, Vec<IpAddr>) = change
            .left
            .into_iter()
            .partition(|&group| self.table.listeners(group).next().is_some());
        if change.is_any {
            self.routes.forget();
        }
        if wanted.len() == report.records.len() && left.is_empty() && !wanted.is_empty() {
            // Others listen here, and a switch that drops the port at once would cut them off.
            return Pass::Taken;
        }
        let again = wanted.into_iter().map(|group| Pending {
            family: Family::of(group),
            group: Some(group),
            since: now,
            due: now + AFTER_LEAVE,
        });
        let room = MAX_PENDING.saturating_sub(self.pending.len());
        self.pending.extend(again.take(room));
        self.find_next();
        Pass::AsItIs
    }

    /// When [`Groups::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Answers, asks, and forgets. Only the active LAN gateway asks.
    pub(super) fn handle_timeout(&mut self, now: Instant, is_active: bool, effects: &mut Effects) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        if self.named.is_some_and(|named| named <= now) {
            self.named = None;
            for id in self.table.doubted() {
                self.member_left(id, effects);
            }
        }
        let due: Vec<Pending> = self.pending.iter().copied().filter(|p| p.due <= now).collect();
        self.pending.retain(|pending| pending.due > now);
        for pending in due {
            self.answer(&pending, effects);
        }
        let can_ask = self.station.mac.is_some();
        for family in Family::ALL.into_iter().filter(|_| can_ask) {
            while let Some((id, change)) = self.table.next_question(now, family) {
                if change.is_any {
                    self.routes.forget();
                }
                if let Some(speaker) = self.table.speaker(id) {
                    self.say_left(&speaker, family, &change.left, effects);
                }
                let asked = self.asker().filter(|_| is_active);
                effects.extend(asked.map(|asker| Effect::ToMember(id, question(&asker, family))));
            }
        }
        self.find_next();
    }

    /// Reports what members listen to and have not said themselves since the question.
    fn answer(&self, pending: &Pending, effects: &mut Effects) {
        let version = self.version(pending.family);
        let unreported = self.table.unreported(pending.family, pending.since, version);
        let asked = |group: IpAddr| pending.group.is_none_or(|asked| asked == group);
        let mut by_speaker: Vec<(Speaker, Vec<IpAddr>)> = Vec::new();
        for (group, speaker) in unreported.into_iter().filter(|&(group, _)| asked(group)) {
            match by_speaker.iter_mut().find(|(known, _)| *known == speaker) {
                Some((_, groups)) => groups.push(group),
                None => by_speaker.push((speaker, vec![group])),
            }
        }
        for (speaker, groups) in by_speaker {
            let frames = reports(&speaker, version, Saying::Listens, &groups);
            effects.extend(frames.into_iter().map(Effect::ToLan));
        }
    }

    /// Says to the LAN that nobody listens to these any more, as far as nobody does.
    fn say_left(&self, speaker: &Speaker, family: Family, groups: &[IpAddr], effects: &mut Effects) {
        let is_over = |group: &IpAddr| self.table.listeners(*group).next().is_none();
        let over: Vec<IpAddr> = groups.iter().copied().filter(is_over).collect();
        let frames = reports(speaker, self.version(family), Saying::Left, &over);
        effects.extend(frames.into_iter().map(Effect::ToLan));
    }

    /// What is spoken on the LAN. The second version is what every switch understands, whether or not it knows the third.
    fn version(&self, family: Family) -> Version {
        self.versions[family as usize].unwrap_or(Version::V2)
    }

    /// Who asks members: this machine as the LAN knows it; nobody until that is told.
    fn asker(&self) -> Option<Speaker> {
        let mac = self.station.mac?;
        let own = self.station.addresses.iter().map(|prefix| prefix.address());
        let v4 = own.filter_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        Some(Speaker {
            mac,
            v4: v4.min().unwrap_or(Ipv4Addr::UNSPECIFIED),
            v6: link_local(mac),
        })
    }

    fn changed(&mut self) {
        self.routes.forget();
        self.find_next();
    }

    fn find_next(&mut self) {
        let answer = self.pending.iter().map(|pending| pending.due).min();
        // Without an address nobody can be asked.
        let question = self.station.mac.and_then(|_| self.table.poll_timeout());
        self.due = earlier(earlier(answer, self.named), question);
    }
}

/// True for what speaks IGMP or MLD.
fn concerns_groups(concern: Concern) -> bool {
    match concern {
        Concern::Igmp | Concern::Icmpv6(mld::QUERY..=mld::DONE | mld::REPORT_V2) => true,
        Concern::None
        | Concern::Arp
        | Concern::Dhcp
        | Concern::Dhcpv6
        | Concern::Icmp(_)
        | Concern::Icmpv6(_)
        | Concern::Hidden => false,
    }
}
