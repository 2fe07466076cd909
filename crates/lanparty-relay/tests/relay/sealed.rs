//! Sealed rooms: the relay serves the host, keeps who is not in away from who is, and passes on whom the host has let in.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use lanparty_quic::{DialConfig, DialError, Dialer, Identity, Trust};
use lanparty_testkit::member::BareMember;
use lanparty_wire::{
    Admitted, Destination, DropReason, HostKey, LeaveReason, Mac, MemberId, PeerId, Profile, RejectReason,
    Roster, RosterContent, SealedRoom, ShortNumber, Standing, UnixTime, VERSION,
    control::{Hello, Message, Mode, Role},
    mtu,
};

use crate::common::{Machine, Relay, SOON, datagram, frame, mac, marks};

const LATE: Duration = Duration::from_millis(300);
const SEED: [u8; 32] = [1; 32];

/// A host and its room.
struct Party {
    relay: Relay,
    machine: Machine,
    key: HostKey,
}

/// A player's machine and what it is in the room.
struct Player {
    member: BareMember,
    paper: Admitted,
}

impl Party {
    fn new() -> Party {
        Party {
            relay: Relay::start(&[]),
            machine: Machine::of_seed(SEED),
            key: HostKey::from_seed(&SEED),
        }
    }

    fn room(&self) -> String {
        self.key.room().to_string()
    }

    fn host(&self) -> BareMember {
        self.machine
            .join_room(&self.relay, &self.room(), None, None)
            .unwrap()
    }

    fn player(&self, machine: &Machine, last: u8) -> Player {
        let room = self.room();
        let member = machine
            .join_room(&self.relay, &room, Some(mac(last)), None)
            .unwrap();
        let paper = Admitted {
            identity: machine.identity(),
            id: member.id(),
            mac: Some(mac(last)),
            standing: Standing::Player,
            expires: UnixTime(u64::MAX),
            name: String::new(),
        };
        Player { member, paper }
    }

    fn roster(&self, number: u64, members: &[&Player]) -> Message {
        signed(&self.key, number, members)
    }

    fn count(&self, reason: DropReason) -> u64 {
        self.relay.status().drops.of(reason)
    }

    fn wait_count(&self, reason: DropReason, least: u64) {
        self.relay
            .wait_status(reason.name(), |status| status.drops.of(reason) >= least);
    }

    fn look_up(&self, number: u16) -> Result<SealedRoom, DialError> {
        let machine = Machine::new();
        let trust = Trust {
            pin: None,
            ca_cert: Some(self.relay.certificate()),
            server_name: None,
            store: machine.state_dir().join("known-relays.json"),
        };
        let relay = self.relay.address.to_string().parse().unwrap();
        let config = DialConfig::new(Identity::ephemeral().unwrap(), trust, relay);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dialer = Dialer::new(config).unwrap();
        let number = ShortNumber::new(number).unwrap();
        let hello = Hello {
            min_version: VERSION,
            max_version: VERSION,
            room: self.room().parse().unwrap(),
            role: Role::Client,
            mac: machine.identity().0.first_chunk().copied().map(Mac::from_random),
            budget: mtu::MIN_BUDGET,
            name: String::new(),
            session: 1,
            token: None,
            capabilities: Vec::new(),
            software: String::new(),
        };
        let dial = dialer.dial_number(socket, self.relay.address, number, &hello);
        runtime.block_on(dial).map(|(_, _, room)| room)
    }
}

#[test]
fn nobody_but_the_host_is_the_lan_gateway_before_it_comes_and_after() {
    let party = Party::new();
    let squatter = Machine::new();
    let squat = || refusal(squatter.join_room(&party.relay, &party.room(), None, None));
    assert_eq!(squat(), RejectReason::NotTheHost);
    let ada = Machine::new();
    let ada = party.player(&ada, 1);
    let host = party.host();
    assert!(host.welcome().sealed && ada.member.welcome().sealed);
    assert_eq!(host.welcome().mode, Mode::Relay);
    assert_eq!(squat(), RejectReason::NotTheHost);
    let mut ghost = host;
    let host = party.host();
    assert_eq!(host.id(), ghost.id());
    let goodbye = |message: &Message| match message {
        Message::Goodbye { reason } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(ghost.wait_control(SOON, goodbye).unwrap(), LeaveReason::Displaced);
    assert!(ada.member.link().close_reason().is_none());
    let open = Machine::new().player(&party.relay, 9);
    assert!(!open.welcome().sealed);
}

#[test]
fn who_waits_hears_of_the_host_alone_and_of_everybody_once_it_is_in() {
    let party = Party::new();
    let machines = [Machine::new(), Machine::new(), Machine::new()];
    let mut host = party.host();
    let ada = party.player(&machines[0], 1);
    host.send_control(&party.roster(1, &[&ada])).unwrap();
    let mut eve = party.player(&machines[1], 2);
    assert_eq!(eve.member.welcome().members, 0);
    // What others do in the meantime is none of its business either.
    ada.member.link().close(LeaveReason::Goodbye);
    let ada = party.player(&machines[0], 1);
    let late = party.player(&machines[2], 3);
    let mut told = Vec::new();
    let nothing_more = eve.member.wait_control(LATE, |message| {
        told.push(message.clone());
        None::<()>
    });
    assert!(nothing_more.is_err());
    let is_host = |message: &Message| match message {
        Message::Joined { member } => member.id == host.id(),
        Message::Budget { member, .. } => *member == Some(host.id()),
        _ => false,
    };
    assert!(told.iter().all(is_host), "{told:?}");

    host.send_control(&party.roster(2, &[&ada, &eve, &late])).unwrap();
    // In whatever order.
    let mut unknown = vec![ada.member.id(), late.member.id()];
    let all_named = eve.member.wait_control(SOON, |message| {
        if let Message::Joined { member } = message {
            unknown.retain(|other| *other != member.id);
        }
        unknown.is_empty().then_some(())
    });
    all_named.unwrap();
}

#[test]
fn a_roster_reaches_those_who_are_in_and_those_who_come_back() {
    let party = Party::new();
    let machines = [Machine::new(), Machine::new(), Machine::new()];
    let mut host = party.host();
    let mut ada = party.player(&machines[0], 1);
    let bob = party.player(&machines[1], 2);
    let mut eve = party.player(&machines[2], 3);
    let roster = party.roster(1, &[&ada, &bob]);
    host.send_control(&roster).unwrap();
    assert_eq!(next_roster(&mut ada.member, SOON), Some(roster.clone()));
    assert_eq!(
        next_roster(&mut eve.member, LATE),
        None,
        "who is not in is told of nobody"
    );
    drop(bob);
    let mut bob = party.player(&machines[1], 2);
    assert_eq!(next_roster(&mut bob.member, SOON), Some(roster));
    // A member's newer one is as good as the host's.
    let newer = party.roster(2, &[&ada, &bob, &eve]);
    ada.member.send_control(&newer).unwrap();
    assert_eq!(next_roster(&mut bob.member, SOON), Some(newer.clone()));
    assert_eq!(next_roster(&mut eve.member, SOON), Some(newer));
}

#[test]
fn a_relay_that_has_forgotten_the_roster_takes_it_from_any_member() {
    let mut party = Party::new();
    let machine = Machine::new();
    let mut host = party.host();
    let ada = party.player(&machine, 1);
    let roster = party.roster(1, &[&ada]);
    host.send_control(&roster).unwrap();
    drop((host, ada));
    party.relay = party.relay.kill_and_restart();
    let mut ada = party.player(&machine, 1);
    assert_eq!(next_roster(&mut ada.member, LATE), None);
    ada.member.send_control(&roster).unwrap();
    let mut bob = party.player(&Machine::new(), 2);
    flood(&ada.member, 7);
    assert!(marks(&bob.member, LATE).is_empty());
    let newer = party.roster(2, &[&ada, &bob]);
    bob.member.send_control(&newer).unwrap();
    assert_eq!(next_roster(&mut ada.member, SOON), Some(newer));
    flood(&ada.member, 8);
    assert_eq!(marks(&bob.member, LATE), [8]);
}

#[test]
fn rosters_that_are_old_forged_or_contradict_the_newest_change_nothing_and_are_counted() {
    let party = Party::new();
    let machines = [Machine::new(), Machine::new()];
    let mut host = party.host();
    let mut ada = party.player(&machines[0], 1);
    let bob = party.player(&machines[1], 2);
    host.send_control(&party.roster(5, &[&ada, &bob])).unwrap();
    assert!(next_roster(&mut ada.member, SOON).is_some());
    let stranger = HostKey::from_seed(&[9; 32]);
    let garbage = Message::Roster { data: "?".to_owned() };
    for roster in [
        party.roster(4, &[&ada]),
        party.roster(5, &[&ada]),
        signed(&stranger, 6, &[&ada]),
        garbage,
        party.roster(5, &[&ada, &bob]),
    ] {
        ada.member.send_control(&roster).unwrap();
    }
    party.wait_count(DropReason::BadRoster, 2);
    assert_eq!(party.count(DropReason::OldRoster), 1);
    assert_eq!(party.count(DropReason::RosterConflict), 1);
    flood(&ada.member, 7);
    assert_eq!(marks(&bob.member, LATE), [7]);
}

#[test]
fn who_is_not_in_exchanges_envelopes_with_the_host_and_nothing_else() {
    let party = Party::new();
    let machines = [Machine::new(), Machine::new()];
    let mut host = party.host();
    let mut ada = party.player(&machines[0], 1);
    let mut eve = party.player(&machines[1], 2);
    host.send_control(&party.roster(1, &[&ada])).unwrap();
    assert!(next_roster(&mut ada.member, SOON).is_some());
    // Both ways, to one and to all.
    flood(&eve.member, 1);
    send(&eve.member, Destination::Member(ada.member.id()), 2);
    send(&eve.member, Destination::Member(host.id()), 3);
    send(&ada.member, Destination::Member(eve.member.id()), 4);
    flood(&ada.member, 5);
    assert_eq!(marks(&host, LATE), [5]);
    assert_eq!(
        (marks(&ada.member, LATE), marks(&eve.member, LATE)),
        (vec![], vec![])
    );
    party.wait_count(DropReason::NotAdmitted, 4);
    write(&mut eve.member, ada.member.id(), "to ada");
    write(&mut ada.member, eve.member.id(), "to eve");
    write(&mut eve.member, host.id(), "to the host");
    write(&mut host, eve.member.id(), "from the host");
    assert_eq!(next_envelope(&mut host), Some("to the host".to_owned()));
    assert_eq!(next_envelope(&mut eve.member), Some("from the host".to_owned()));
    assert_eq!(next_envelope(&mut ada.member), None);
    party.wait_count(DropReason::NotAdmitted, 6);
}

#[test]
fn whom_the_host_puts_out_is_cut_off_and_told() {
    let party = Party::new();
    let machines = [Machine::new(), Machine::new()];
    let mut host = party.host();
    let mut ada = party.player(&machines[0], 1);
    let mut bob = party.player(&machines[1], 2);
    host.send_control(&party.roster(1, &[&ada, &bob])).unwrap();
    assert!(next_roster(&mut bob.member, SOON).is_some());
    host.send_control(&party.roster(2, &[&ada])).unwrap();
    let goodbye = bob.member.wait_control(SOON, |message| match message {
        Message::Goodbye { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(goodbye.unwrap(), LeaveReason::Kicked);
    let id = bob.member.id();
    let left = ada.member.wait_control(SOON, |message| match message {
        Message::Left { member, reason, .. } if *member == id => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(left.unwrap(), LeaveReason::Kicked);
    let bob = party.player(&machines[1], 2);
    flood(&bob.member, 9);
    assert!(marks(&ada.member, LATE).is_empty());
}

#[test]
fn what_is_sealed_is_not_looked_into_and_what_is_not_sealed_goes_nowhere() {
    let party = Party::new();
    let mut host = party.host();
    let mut ada = party.player(&Machine::new(), 1);
    host.send_control(&party.roster(1, &[&ada])).unwrap();
    assert!(next_roster(&mut ada.member, SOON).is_some());
    // In an open room the guard would drop it: its source is nobody's.
    let strange = frame(99, mac(7), 6);
    let mut bytes = datagram(ada.member.id(), Destination::Member(host.id()), 1, &strange);
    ada.member.send_datagram(bytes.clone()).unwrap();
    bytes[1] |= 1;
    ada.member.send_datagram(bytes).unwrap();
    assert_eq!(marks(&host, LATE), [6]);
    party.wait_count(DropReason::Unsealed, 1);
}

#[test]
fn a_short_codes_number_leads_to_its_room_while_the_host_is_there() {
    let party = Party::new();
    let mut host = party.host();
    let numbers = |values: &[u16]| Message::ShortNumbers {
        numbers: values
            .iter()
            .filter_map(|value| ShortNumber::new(*value))
            .collect(),
    };
    host.send_control(&numbers(&[4711])).unwrap();
    assert_eq!(next_numbers(&mut host), [4711]);
    let mut other = Machine::of_seed([2; 32])
        .join_room(
            &party.relay,
            &HostKey::from_seed(&[2; 32]).room().to_string(),
            None,
            None,
        )
        .unwrap();
    other.send_control(&numbers(&[4711, 12])).unwrap();
    assert_eq!(next_numbers(&mut other), [12], "the other one is taken");
    // Of a player nobody expects numbers.
    let mut eve = party.player(&Machine::new(), 3);
    eve.member.send_control(&numbers(&[])).unwrap();
    assert_eq!(party.look_up(4711).unwrap(), party.key.room());
    assert_eq!(rejected(party.look_up(4712)), RejectReason::UnknownCode);
    let goodbye = Message::Goodbye {
        reason: LeaveReason::Goodbye,
    };
    host.send_control(&goodbye).unwrap();
    let until = Instant::now() + SOON;
    while party.look_up(4711).is_ok() {
        assert!(Instant::now() < until, "the number is not free");
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..25 {
        let _ = party.look_up(1);
    }
    assert_eq!(rejected(party.look_up(12)), RejectReason::TooManyConnections);
}

fn signed(key: &HostKey, number: u64, members: &[&Player]) -> Message {
    let content = RosterContent {
        number,
        issued: UnixTime(1),
        profile: Profile::Friends,
        wishes: 0,
        members: members.iter().map(|player| player.paper.clone()).collect(),
    };
    let roster = Roster::sign(key, content).unwrap();
    Message::Roster {
        data: BASE64.encode(roster.bytes()),
    }
}

/// Under key 1, and unreadable for the relay as far as it knows.
fn send(from: &BareMember, to: Destination, mark: u8) {
    let mut bytes = datagram(from.id(), to, u64::from(mark), &[mark; 60]);
    bytes[1] |= 1;
    from.send_datagram(bytes).unwrap();
}

fn flood(from: &BareMember, mark: u8) {
    send(from, Destination::Flood, mark);
}

fn write(from: &mut BareMember, to: MemberId, data: &str) {
    let envelope = Message::Envelope {
        from: None,
        to,
        data: data.to_owned(),
    };
    from.send_control(&envelope).unwrap();
}

fn next_envelope(member: &mut BareMember) -> Option<String> {
    let envelope = member.wait_control(LATE, |message| match message {
        Message::Envelope { data, .. } => Some(data.clone()),
        _ => None,
    });
    envelope.ok()
}

fn next_roster(member: &mut BareMember, limit: Duration) -> Option<Message> {
    let roster = member.wait_control(limit, |message| match message {
        Message::Roster { .. } => Some(message.clone()),
        _ => None,
    });
    roster.ok()
}

fn next_numbers(member: &mut BareMember) -> Vec<u16> {
    let numbers = member.wait_control(SOON, |message| match message {
        Message::ShortNumbers { numbers } => Some(numbers.iter().map(|number| number.value()).collect()),
        _ => None,
    });
    numbers.unwrap()
}

fn refusal(joined: Result<BareMember>) -> RejectReason {
    match joined
        .map(|member| member.id())
        .unwrap_err()
        .downcast::<DialError>()
    {
        Ok(DialError::Rejected(reason, _)) => reason,
        other => panic!("{other:?}"),
    }
}

fn rejected(found: Result<SealedRoom, DialError>) -> RejectReason {
    match found {
        Err(DialError::Rejected(reason, _)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_test_has_the_hosts_key() {
    assert_eq!(
        Machine::of_seed(SEED).identity(),
        HostKey::from_seed(&SEED).peer_id()
    );
    assert_ne!(Machine::new().identity(), PeerId([0; 32]));
}
