//! Sealed rooms: whom the relay lets do what, by the host's roster.

use lanparty_wire::{
    Admitted, HostKey, Profile, RoomId, Roster as SignedRoster, RosterContent, Standing, TAG_LEN,
    control::{Member, Tenure},
};

use super::*;

const FOREVER: UnixTime = UnixTime(u64::MAX);

struct Party {
    relay: Relay,
    key: HostKey,
}

impl Party {
    fn new() -> Party {
        Party::with(RoomLimits::default())
    }

    fn with(limits: RoomLimits) -> Party {
        Party {
            relay: Relay::with(limits),
            key: HostKey::from_seed(&[1; 32]),
        }
    }

    fn room(&self) -> RoomId {
        self.key.room().into()
    }

    fn gateway(&mut self) -> Result<Admission<u32>, Refusal> {
        self.join_as(self.key.peer_id(), 0, gateway())
    }

    fn player(&mut self, who: u8) -> Result<Admission<u32>, Refusal> {
        self.join_as(identity(u32::from(who)), u32::from(who), player(who))
    }

    fn join_as(&mut self, identity: PeerId, handle: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        let hello = Hello {
            room: self.room(),
            ..hello
        };
        let join = Join {
            identity,
            hello: &hello,
            address: "192.0.2.1".parse().unwrap(),
            may_open: true,
            leg_budget: 1300,
            clock: self.relay.instant,
        };
        self.relay.rooms.join(NOW, &mut self.relay.random, &join, handle)
    }

    fn roster(&self, number: u64, members: &[&Admission<u32>]) -> SignedRoster {
        let papers = members.iter().map(|admission| paper(&admission.member, FOREVER));
        self.signed(number, papers.collect())
    }

    fn signed(&self, number: u64, members: Vec<Admitted>) -> SignedRoster {
        let content = RosterContent {
            number,
            issued: NOW,
            profile: Profile::Friends,
            wishes: 0,
            members,
        };
        SignedRoster::sign(&self.key, content).unwrap()
    }

    fn take(
        &mut self,
        from: &Admission<u32>,
        roster: SignedRoster,
    ) -> Result<Option<RosterChange<u32>>, RosterRefusal> {
        self.relay.rooms.take_roster(NOW, &from.seat, roster)
    }

    fn flood(&self, from: &Admission<u32>) -> Result<Vec<MemberId>, DropReason> {
        let bytes = sealed(from, Destination::Flood, &[0; 60]);
        self.relay.forward(&mut self.relay.ingress(from), from, &bytes)
    }
}

#[test]
fn newcomers_reach_nobody_until_the_host_lets_them_in() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    let eve = party.player(2).unwrap();
    assert_eq!(party.flood(&ada), Err(DropReason::NotAdmitted));
    assert_eq!(party.flood(&host), Ok(vec![]));
    let change = party.take(&host, party.roster(1, &[&ada])).unwrap().unwrap();
    assert!(change.expelled.is_empty());
    assert_eq!(party.flood(&ada), Ok(vec![host.member.id]));
    assert_eq!(party.flood(&host), Ok(vec![ada.member.id]));
    let to_eve = sealed(&ada, Destination::Member(eve.member.id), &[0; 60]);
    let relay = &party.relay;
    assert_eq!(
        relay.forward(&mut relay.ingress(&ada), &ada, &to_eve),
        Err(DropReason::NotAdmitted)
    );
    let roster = relay.roster();
    assert!(roster.addressee(eve.member.id, host.member.id).is_ok());
    assert!(roster.addressee(host.member.id, eve.member.id).is_ok());
    assert!(roster.addressee(eve.member.id, ada.member.id).is_err());
}

#[test]
fn who_is_not_in_hears_of_the_host_alone() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party.take(&host, party.roster(1, &[&ada])).unwrap();
    let eve = party.player(2).unwrap();
    assert_eq!(eve.others, std::slice::from_ref(&host.member));
    assert_eq!(eve.welcome.members, 0, "nor how many there are");
    let before = party.relay.roster();
    let knows = |id, role| before.entry(id).unwrap().may_know(role);
    assert!(!knows(eve.member.id, Role::Client) && knows(eve.member.id, Role::Gateway));
    assert!(knows(ada.member.id, Role::Client) && knows(host.member.id, Role::Client));
    let change = party
        .take(&host, party.roster(2, &[&ada, &eve]))
        .unwrap()
        .unwrap();
    let let_in: Vec<u32> = change
        .roster
        .let_in_since(&before, |a, b| a == b)
        .map(|entry| entry.handle)
        .collect();
    assert_eq!(let_in, [2]);
    let again = party.player(2).unwrap();
    assert_eq!((again.others.len(), again.welcome.members), (2, 3));
}

#[test]
fn only_who_was_in_and_is_not_any_more_has_to_go() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let (ada, bob, eve) = (
        party.player(1).unwrap(),
        party.player(2).unwrap(),
        party.player(3).unwrap(),
    );
    party.take(&host, party.roster(1, &[&ada, &bob])).unwrap();
    let change = party.take(&ada, party.roster(2, &[&ada])).unwrap().unwrap();
    assert_eq!(change.expelled, [2]);
    assert_eq!(party.flood(&bob), Err(DropReason::NotAdmitted));
    let change = party
        .take(&host, party.roster(3, &[&ada, &eve]))
        .unwrap()
        .unwrap();
    assert!(change.expelled.is_empty(), "bob is known to be out");
}

#[test]
fn an_older_roster_and_a_second_one_with_the_same_number_change_nothing() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party.take(&host, party.roster(5, &[&ada])).unwrap();
    assert!(
        party.take(&ada, party.roster(5, &[&ada])).unwrap().is_none(),
        "the same"
    );
    let older = party.take(&ada, party.roster(4, &[])).unwrap_err();
    assert_eq!(older, RosterRefusal::Older { number: 4, newest: 5 });
    let second = party.take(&ada, party.roster(5, &[])).unwrap_err();
    assert_eq!(second, RosterRefusal::Equivocation(5));
    let stranger = HostKey::from_seed(&[9; 32]);
    let forged = SignedRoster::sign(&stranger, party.roster(6, &[]).content().clone()).unwrap();
    assert!(matches!(party.take(&ada, forged), Err(RosterRefusal::Paper(_))));
    assert_eq!(party.flood(&ada), Ok(vec![host.member.id]));
}

#[test]
fn a_roster_outlives_an_empty_room_and_its_host() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let (ada, bob) = (party.player(1).unwrap(), party.player(2).unwrap());
    assert!(ada.paper.is_none());
    party.take(&host, party.roster(1, &[&ada, &bob])).unwrap();
    for member in [&host, &ada, &bob] {
        party
            .relay
            .rooms
            .leave(NOW, party.relay.instant, &member.seat, LeaveReason::TimedOut);
    }
    let ada = party.player(1).unwrap();
    assert_eq!(
        ada.paper.as_deref(),
        Some(&**party.roster(1, &[&ada, &bob]).bytes())
    );
    let bob = party.player(2).unwrap();
    assert_eq!(party.flood(&bob), Ok(vec![ada.member.id]));
    assert!(
        party.player(3).unwrap().paper.is_none(),
        "a newcomer is told of nobody's paper"
    );
}

#[test]
fn a_membership_ends_by_itself_and_without_a_kick() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    let ends = UnixTime(NOW.0 + 10);
    let roster = party.signed(1, vec![paper(&ada.member, ends)]);
    party.take(&host, roster).unwrap();
    assert!(party.relay.rooms.settle(UnixTime(NOW.0 + 9)).is_empty());
    assert_eq!(party.relay.rooms.settle(ends).len(), 1);
    assert_eq!(party.flood(&ada), Err(DropReason::NotAdmitted));
    let change = party
        .relay
        .rooms
        .take_roster(ends, &host.seat, party.roster(2, &[&ada]));
    assert!(change.unwrap().unwrap().expelled.is_empty());
    assert_eq!(party.flood(&ada), Ok(vec![host.member.id]));
}

#[test]
fn strangers_cannot_fill_a_room_nor_keep_its_host_out() {
    let mut party = Party::with(RoomLimits {
        max_members: 4,
        ..RoomLimits::default()
    });
    for who in 10..12 {
        party.player(who).unwrap();
    }
    assert_eq!(party.player(12).unwrap_err().reason, RejectReason::RoomFull);
    let host = party.gateway().unwrap();
    let mut ada = party.relay.three().0;
    ada.member.identity = identity(1);
    ada.member.mac = player(1).mac;
    party.take(&host, party.roster(1, &[&ada])).unwrap();
    let ada_back = party.player(1).unwrap();
    assert_eq!(ada_back.member.id, ada.member.id, "the id of the roster");
    assert!(ada_back.paper.is_some());
    assert_eq!(party.gateway().unwrap().displaced, Some(0), "his own place only");
}

#[test]
fn nobody_takes_an_address_that_the_roster_gives_to_another() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party.take(&host, party.roster(1, &[&ada])).unwrap();
    party
        .relay
        .rooms
        .leave(NOW, party.relay.instant, &ada.seat, LeaveReason::Goodbye);
    let thief = party.join_as(identity(9), 9, player(1)).unwrap_err();
    assert_eq!(thief.reason, RejectReason::DuplicateMac);
    party.player(1).unwrap();
}

#[test]
fn a_sealed_datagram_is_judged_by_its_header_and_length_alone() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party.take(&host, party.roster(1, &[&ada])).unwrap();
    let relay = &party.relay;
    let mut ingress = relay.ingress(&ada);
    let to_host = Destination::Member(host.member.id);
    // A bridge's frame in the clear, which no open room would carry: here it is ciphertext like any other.
    let mut bpdu = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 39, 0x42, 0x42, 3];
    bpdu.resize(60, 0);
    let mut judge = |bytes: &[u8]| relay.forward(&mut ingress, &ada, bytes);
    assert_eq!(judge(&sealed(&ada, to_host, &bpdu)), Ok(vec![host.member.id]));
    let plain = datagram(&ada, to_host, Class::Bulk, &bpdu);
    assert_eq!(judge(&plain), Err(DropReason::Unsealed));
    let short = sealed(&ada, to_host, &[0; TAG_LEN - 1]);
    assert_eq!(judge(&short), Err(DropReason::Malformed));
    let mut long = sealed(&ada, to_host, &[]);
    long[0] |= 2;
    let part = FragmentHeader {
        offset: 0,
        total: 4000,
    };
    long.extend(part.encode());
    long.extend([0; 1000]);
    assert_eq!(judge(&long), Err(DropReason::OverMtu));
}

#[test]
fn a_sealed_room_is_held_to_the_flood_budget_by_class() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party.take(&host, party.roster(1, &[&ada])).unwrap();
    let mut ingress = party.relay.ingress(&ada);
    let mut refused = 0;
    for sequence in 0..400_u64 {
        let mut bytes = datagram(&ada, Destination::Flood, Class::Neighbor, &[0; 60]);
        bytes[1] |= 1;
        bytes[7..12].copy_from_slice(&sequence.to_be_bytes()[3..]);
        if party.relay.forward(&mut ingress, &ada, &bytes) == Err(DropReason::NeighborRate) {
            refused += 1;
        }
    }
    assert_eq!(refused, 100);
}

#[test]
fn who_may_not_open_rooms_joins_those_that_are_there() {
    let mut relay = Relay::new();
    let ask = |relay: &mut Relay, who: u32, hello: &Hello, may_open: bool| {
        let join = Join {
            identity: identity(who),
            hello,
            address: "192.0.2.1".parse().unwrap(),
            may_open,
            leg_budget: 1300,
            clock: relay.instant,
        };
        relay.rooms.join(NOW, &mut relay.random, &join, who)
    };
    let refused = |result: Result<Admission<u32>, Refusal>| result.unwrap_err().reason;
    assert_eq!(
        refused(ask(&mut relay, 2, &player(2), false)),
        RejectReason::RoomNotOpen
    );
    assert_eq!(
        refused(ask(&mut relay, 1, &gateway(), false)),
        RejectReason::TokenRequired
    );
    assert!(relay.rooms.save().rooms.is_empty());
    let host = ask(&mut relay, 1, &gateway(), true).unwrap();
    ask(&mut relay, 2, &player(2), false).unwrap();
    relay
        .rooms
        .leave(NOW, relay.instant, &host.seat, LeaveReason::Goodbye);
    assert_eq!(
        refused(ask(&mut relay, 3, &gateway(), false)),
        RejectReason::TokenRequired
    );
    ask(&mut relay, 4, &player(4), false).unwrap();
}

fn paper(member: &control::Member, expires: UnixTime) -> Admitted {
    Admitted {
        identity: member.identity,
        id: member.id,
        mac: member.mac,
        standing: Standing::Player,
        expires,
        name: String::new(),
    }
}

/// A bulk datagram under key 1.
fn sealed(from: &Admission<u32>, destination: Destination, payload: &[u8]) -> Vec<u8> {
    let mut bytes = datagram(from, destination, Class::Bulk, payload);
    bytes[1] |= 1;
    bytes
}

/// The identity that the host names, and its papers under the id that the relay has given it.
const SECOND: u8 = 9;

fn second(party: &mut Party) -> Result<Admission<u32>, Refusal> {
    party.join_as(identity(SECOND.into()), SECOND.into(), gateway())
}

fn of_gateway(member: &Member, expires: UnixTime) -> Admitted {
    Admitted {
        mac: None,
        standing: Standing::Gateway,
        ..paper(member, expires)
    }
}

#[test]
fn only_the_host_names_who_may_take_over() {
    let mut party = Party::new();
    let refused = |party: &mut Party| second(party).unwrap_err();
    assert_eq!(refused(&mut party).reason, RejectReason::NotTheHost);
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    let refusal = refused(&mut party);
    assert_eq!(refusal.reason, RejectReason::NotTheHost);
    assert!(refusal.detail.contains("--standby"), "{}", refusal.detail);
    let named = [identity(SECOND.into())];
    party.relay.rooms.name_standbys(&ada.seat, &named);
    assert_eq!(refused(&mut party).reason, RejectReason::NotTheHost);
    party.relay.rooms.name_standbys(&host.seat, &named);
    // While the host is there to put it on the roster.
    let clock = party.relay.instant;
    party
        .relay
        .rooms
        .leave(NOW, clock, &host.seat, LeaveReason::ConnectionLost);
    assert_eq!(refused(&mut party).reason, RejectReason::NotTheHost);
    party.gateway().unwrap();
    assert!(second(&mut party).unwrap().member.standby);
}

#[test]
fn who_is_named_takes_over_once_the_roster_has_it_and_not_before() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    let ada = party.player(1).unwrap();
    party
        .relay
        .rooms
        .name_standbys(&host.seat, &[identity(SECOND.into())]);
    let waiting = second(&mut party).unwrap();
    let clock = party.relay.instant;
    assert_eq!(
        party.relay.rooms.renew(clock, &host.seat).unwrap().1,
        Tenure::Unlimited
    );
    assert_eq!(
        party.relay.rooms.renew(clock, &waiting.seat).unwrap().1,
        Tenure::Waiting
    );

    let members = vec![of_gateway(&waiting.member, FOREVER), paper(&ada.member, FOREVER)];
    party.take(&host, party.signed(1, members)).unwrap();
    assert_eq!(
        party.relay.rooms.renew(clock, &host.seat).unwrap().1,
        Tenure::Milliseconds(1000)
    );
    assert_eq!(party.flood(&waiting), Err(DropReason::Standby));
    let left = party
        .relay
        .rooms
        .leave(NOW, clock, &host.seat, LeaveReason::ConnectionLost);
    assert_eq!(left.unwrap().successor.unwrap().gateway, waiting.member.id);
    assert_eq!(party.flood(&waiting), Ok(vec![ada.member.id]));
    // The host comes back, and waits in its own room; its word counts all the same.
    let host = party.gateway().unwrap();
    assert!(host.member.standby);
    let change = party
        .take(&host, party.signed(2, vec![paper(&ada.member, FOREVER)]))
        .unwrap();
    assert_eq!(change.unwrap().expelled, [u32::from(SECOND)]);
    let left = party
        .relay
        .rooms
        .leave(NOW, clock, &waiting.seat, LeaveReason::Kicked);
    assert_eq!(left.unwrap().successor.unwrap().gateway, host.member.id);
}

#[test]
fn one_on_the_roster_comes_back_without_the_host_and_one_whose_membership_ends_loses_the_lease() {
    let mut party = Party::new();
    let host = party.gateway().unwrap();
    party
        .relay
        .rooms
        .name_standbys(&host.seat, &[identity(SECOND.into())]);
    let waiting = second(&mut party).unwrap();
    let until = NOW.after(100);
    party
        .take(&host, party.signed(1, vec![of_gateway(&waiting.member, until)]))
        .unwrap();
    let clock = party.relay.instant;
    let rooms = &mut party.relay.rooms;
    rooms.leave(NOW, clock, &host.seat, LeaveReason::ConnectionLost);
    rooms.leave(NOW, clock, &waiting.seat, LeaveReason::ConnectionLost);
    let back = second(&mut party).unwrap();
    assert_eq!(back.member.id, waiting.member.id);
    assert!(!back.member.standby);
    assert_eq!(back.welcome.gateway, Some(back.member.id));

    party.gateway().unwrap();
    party.relay.rooms.settle(until);
    assert_eq!(
        party.relay.rooms.renew(clock, &back.seat).unwrap().1,
        Tenure::Waiting
    );
    let end = party.relay.rooms.next_lease_end().unwrap();
    let passed = party.relay.rooms.pass_leases(NOW, end);
    assert_eq!(passed[0].gateway, host.member.id);
}
