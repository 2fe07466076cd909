//! A room's members at one moment.

use std::sync::Arc;

use lanparty_wire::{
    Destination, DropReason, GroupHandle, MemberId,
    control::{Member, Role},
};

/// The members of a room, immutable, sorted by id. `H` is what the caller needs to reach one.
#[derive(Debug)]
pub struct Roster<H> {
    entries: Box<[Entry<H>]>,
}

/// One member of a roster.
#[derive(Clone, Debug)]
pub struct Entry<H> {
    /// As other members are told; its budget is the smaller one of what the member takes and what the leg to it carries.
    pub member: Member,
    /// The largest datagram that may come from it.
    pub ingress_budget: u16,
    /// Whether it may do more than ask the host: always in an open room, and in a sealed one by the host's roster.
    pub admitted: bool,
    /// Its own groups.
    pub groups: Arc<Groups>,
    pub handle: H,
}

impl<H> Entry<H> {
    /// Whether it is told of a member of this role: who is not in knows of the host and of nobody else.
    pub fn may_know(&self, role: Role) -> bool {
        self.admitted || role == Role::Gateway
    }
}

/// The groups that one member has registered for itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Groups(Vec<(GroupHandle, Box<[MemberId]>)>);

impl Groups {
    /// The members behind a handle.
    pub fn members(&self, handle: GroupHandle) -> Option<&[MemberId]> {
        let index = self.0.binary_search_by_key(&handle, |(known, _)| *known).ok()?;
        Some(&self.0[index].1)
    }

    /// These groups with one put in, replaced, or (with no members) taken out.
    pub fn with(&self, handle: GroupHandle, members: &[MemberId]) -> Groups {
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        let mut groups = self.0.clone();
        match (
            groups.binary_search_by_key(&handle, |(known, _)| *known),
            members.is_empty(),
        ) {
            (Ok(index), true) => drop(groups.remove(index)),
            (Ok(index), false) => groups[index].1 = members.into(),
            (Err(_), true) => {}
            (Err(index), false) => groups.insert(index, (handle, members.into())),
        }
        Groups(groups)
    }
}

impl<H> Roster<H> {
    /// A roster of these members.
    pub fn new(entries: impl IntoIterator<Item = Entry<H>>) -> Roster<H> {
        let mut entries: Vec<Entry<H>> = entries.into_iter().collect();
        entries.sort_unstable_by_key(|entry| entry.member.id);
        Roster {
            entries: entries.into(),
        }
    }

    /// All members, by ascending id.
    pub fn entries(&self) -> &[Entry<H>] {
        &self.entries
    }

    /// The member with this id.
    pub fn entry(&self, id: MemberId) -> Option<&Entry<H>> {
        let index = self
            .entries
            .binary_search_by_key(&id, |entry| entry.member.id)
            .ok()?;
        Some(&self.entries[index])
    }

    /// Those who are in and were not in an earlier roster of the room, where they were already: they are to be told of everybody now.
    pub fn let_in_since<'a>(
        &'a self,
        before: &'a Roster<H>,
        is_same: impl Fn(&H, &H) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Entry<H>> {
        self.entries.iter().filter(move |entry| {
            let was = before.entry(entry.member.id);
            entry.admitted && was.is_some_and(|was| !was.admitted && is_same(&was.handle, &entry.handle))
        })
    }

    /// Whom a datagram of `source`, an entry of this roster, reaches.
    ///
    /// # Errors
    /// Nobody has that id or handle, it is the sender itself, or one of them is not in.
    pub fn targets<'a>(
        &'a self,
        source: &'a Entry<H>,
        destination: Destination,
    ) -> Result<Targets<'a, H>, DropReason> {
        let sender = source.member.id;
        if !source.admitted {
            return Err(DropReason::NotAdmitted);
        }
        if source.member.standby {
            return Err(DropReason::Standby);
        }
        match destination {
            Destination::Member(id) if id == sender => Err(DropReason::Reflection),
            Destination::Member(id) => match self.entry(id) {
                Some(entry) if entry.admitted => Ok(Targets::One(entry)),
                Some(_) => Err(DropReason::NotAdmitted),
                None => Err(DropReason::UnknownDestination),
            },
            Destination::Group(handle) => match source.groups.members(handle) {
                Some(members) => Ok(Targets::Group {
                    roster: self,
                    sender,
                    members,
                }),
                None => Err(DropReason::UnknownDestination),
            },
            Destination::Flood => Ok(Targets::Others { roster: self, sender }),
        }
    }
}

impl<H> Roster<H> {
    /// Who takes an envelope of `from`'s for `to`. The host writes to everybody and everybody to the host.
    ///
    /// # Errors
    /// One of them is not there, or not in.
    pub fn addressee(&self, from: MemberId, to: MemberId) -> Result<&Entry<H>, DropReason> {
        let sender = self.entry(from).ok_or(DropReason::UnknownSource)?;
        let target = self.entry(to).ok_or(DropReason::UnknownDestination)?;
        let has_host = [sender, target]
            .iter()
            .any(|entry| entry.member.role == Role::Gateway);
        if has_host || sender.admitted && target.admitted {
            return Ok(target);
        }
        Err(DropReason::NotAdmitted)
    }
}

/// The members that a datagram goes to, never its sender.
#[derive(Debug)]
pub enum Targets<'a, H> {
    One(&'a Entry<H>),
    /// Everybody else who is in.
    Others {
        roster: &'a Roster<H>,
        sender: MemberId,
    },
    /// Those of the sender's group that are there and in.
    Group {
        roster: &'a Roster<H>,
        sender: MemberId,
        members: &'a [MemberId],
    },
}

impl<'a, H> Targets<'a, H> {
    /// Hands each target to `each`, and returns how many there were.
    pub fn for_each(&self, mut each: impl FnMut(&'a Entry<H>)) -> usize {
        let mut count = 0;
        let mut reach = |entry: &'a Entry<H>| {
            count += 1;
            each(entry);
        };
        match *self {
            Targets::One(entry) => reach(entry),
            Targets::Others { roster, sender } => roster
                .entries
                .iter()
                .filter(|entry| entry.member.id != sender && entry.admitted)
                .for_each(reach),
            Targets::Group {
                roster,
                sender,
                members,
            } => members
                .iter()
                .filter(|id| **id != sender)
                .filter_map(|id| roster.entry(*id))
                .filter(|entry| entry.admitted)
                .for_each(reach),
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::{Incarnation, PeerId};

    use super::*;

    #[test]
    fn nobody_gets_his_own_datagram() {
        let roster = roster(&[1, 2, 3], &[(0xff00, &[1, 3, 9])]);
        let from_one = |destination| reached(&roster, 1, destination);
        assert_eq!(from_one(Destination::Flood), Ok(vec![2, 3]));
        assert_eq!(from_one(Destination::Member(id(2))), Ok(vec![2]));
        assert_eq!(from_one(Destination::Group(handle(0xff00))), Ok(vec![3]));
        assert_eq!(from_one(Destination::Member(id(1))), Err(DropReason::Reflection));
    }

    #[test]
    fn unknown_destinations_are_named() {
        let roster = roster(&[1, 2], &[]);
        for destination in [Destination::Member(id(9)), Destination::Group(handle(0xff00))] {
            assert_eq!(
                reached(&roster, 1, destination),
                Err(DropReason::UnknownDestination)
            );
        }
    }

    #[test]
    fn a_group_is_replaced_and_taken_back() {
        let groups = Groups::default().with(handle(0xff01), &[id(3), id(1), id(3)]);
        assert_eq!(groups.members(handle(0xff01)), Some(&[id(1), id(3)][..]));
        let groups = groups
            .with(handle(0xff01), &[id(2)])
            .with(handle(0xff00), &[id(1)]);
        assert_eq!(groups.members(handle(0xff01)), Some(&[id(2)][..]));
        let groups = groups.with(handle(0xff01), &[]);
        assert_eq!(groups.members(handle(0xff01)), None);
        assert_eq!(groups.members(handle(0xff00)), Some(&[id(1)][..]));
    }

    #[test]
    fn who_is_not_in_reaches_nobody_and_is_reached_by_nobody() {
        let roster = roster(&[1, 2, STRANGER], &[(0xff00, &[1, 2, STRANGER])]);
        let not_in = Err(DropReason::NotAdmitted);
        for destination in [
            Destination::Flood,
            Destination::Member(id(1)),
            Destination::Group(handle(0xff00)),
        ] {
            assert_eq!(reached(&roster, STRANGER, destination), not_in);
        }
        assert_eq!(reached(&roster, 1, Destination::Member(id(STRANGER))), not_in);
        assert_eq!(reached(&roster, 1, Destination::Flood), Ok(vec![2]));
        assert_eq!(
            reached(&roster, 1, Destination::Group(handle(0xff00))),
            Ok(vec![2])
        );
        let write = |from, to| roster.addressee(id(from), id(to)).map(|entry| entry.member.id);
        assert_eq!(write(1, STRANGER), Err(DropReason::NotAdmitted));
        assert_eq!(write(STRANGER, 1), Err(DropReason::NotAdmitted));
        assert_eq!(write(1, 2), Ok(id(2)));
    }

    /// Of [`roster`]'s members the one that is not in.
    const STRANGER: u16 = 66;

    fn reached(roster: &Roster<()>, source: u16, destination: Destination) -> Result<Vec<u16>, DropReason> {
        let source = roster.entry(id(source)).unwrap();
        let mut reached = Vec::new();
        let targets = roster.targets(source, destination)?;
        let count = targets.for_each(|entry| reached.push(entry.member.id.value()));
        assert_eq!(count, reached.len());
        Ok(reached)
    }

    /// All members have the same groups.
    fn roster(ids: &[u16], groups: &[(u16, &[u16])]) -> Roster<()> {
        let groups = groups.iter().fold(Groups::default(), |groups, (value, members)| {
            let members: Vec<MemberId> = members.iter().map(|value| id(*value)).collect();
            groups.with(handle(*value), &members)
        });
        let groups = Arc::new(groups);
        Roster::new(ids.iter().rev().map(|value| Entry {
            member: Member {
                id: id(*value),
                incarnation: Incarnation(1),
                role: Role::Client,
                identity: PeerId([0; 32]),
                mac: None,
                budget: 1200,
                name: String::new(),
                lan_link: None,
                standby: false,
            },
            ingress_budget: 1200,
            admitted: *value != STRANGER,
            groups: groups.clone(),
            handle: (),
        }))
    }

    fn id(value: u16) -> MemberId {
        MemberId::new(value).unwrap()
    }

    fn handle(value: u16) -> GroupHandle {
        GroupHandle::new(value).unwrap()
    }
}
