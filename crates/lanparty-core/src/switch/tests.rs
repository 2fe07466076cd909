use proptest::prelude::*;

use super::*;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const STATION: Mac = Mac([0, 1, 2, 3, 4, 5]);

#[test]
fn a_player_reaches_members_directly_and_the_lan_through_its_gateway() {
    let mut switch = player();
    let mut out = |destination| switch.forward(start(), Port::Device, Frame::plain(&frame(OWN, destination)));
    assert_eq!(out(OTHER), Ok(Egress::Member(id(2))));
    assert_eq!(out(Mac::BROADCAST), Ok(Egress::Flood));
    assert_eq!(out(STATION), Ok(Egress::UnknownVia(id(9))));
    assert_eq!(out(OWN), Err(DropReason::Reflection));
}

#[test]
fn a_station_that_was_heard_is_known_until_it_ages() {
    let now = start();
    let mut switch = player();
    let heard = frame(STATION, OWN);
    let gateway = Port::Member(id(9));
    assert_eq!(
        switch.forward(now, gateway, Frame::plain(&heard)),
        Ok(Egress::Device)
    );
    let mut out = |now| switch.forward(now, Port::Device, Frame::plain(&frame(OWN, STATION)));
    assert_eq!(out(now), Ok(Egress::Member(id(9))));
    assert_eq!(out(now + AGEING), Ok(Egress::UnknownVia(id(9))));
}

#[test]
fn without_a_lan_gateway_the_lan_is_out_of_reach_and_forgotten() {
    let now = start();
    let mut switch = player();
    switch
        .forward(now, Port::Member(id(9)), Frame::plain(&frame(STATION, OWN)))
        .unwrap();
    switch.remove(id(9), None);
    let out = switch.forward(now, Port::Device, Frame::plain(&frame(OWN, STATION)));
    assert_eq!(out, Err(DropReason::NoGateway));
    assert_eq!(switch.stations(), 0);
    switch.remove(id(2), Some(OTHER));
    let out = switch.forward(now, Port::Device, Frame::plain(&frame(OWN, Mac::BROADCAST)));
    assert_eq!(out, Err(DropReason::NoGateway), "alone, a player misses the host");
}

#[test]
fn nobody_but_the_lan_gateway_teaches_stations() {
    let now = start();
    let mut switch = player();
    switch
        .forward(now, Port::Member(id(2)), Frame::plain(&frame(STATION, OWN)))
        .unwrap();
    assert_eq!(switch.stations(), 0);
}

#[test]
fn a_remote_address_is_never_the_lans() {
    let now = start();
    let mut player = player();
    let spoofed = frame(OTHER, OWN);
    let drop = player.forward(now, Port::Member(id(9)), Frame::plain(&spoofed));
    assert_eq!(drop, Err(DropReason::SourceIsRemote));
    let own = player.forward(
        now,
        Port::Member(id(9)),
        Frame::plain(&frame(OWN, Mac::BROADCAST)),
    );
    assert_eq!(own, Err(DropReason::Reflection));
    let mut gateway = gateway();
    let looped = frame(OTHER, Mac::BROADCAST);
    let drop = gateway.forward(now, Port::Device, Frame::plain(&looped));
    assert_eq!(drop, Err(DropReason::SourceIsRemote));
    assert_eq!((player.stations(), gateway.stations()), (0, 0));
}

#[test]
fn the_lan_gateway_keeps_members_traffic_off_the_lan() {
    let now = start();
    let mut switch = gateway();
    let mut lan_in = |destination| {
        let frame = frame(OWN, destination);
        switch.forward(now, Port::Member(id(1)), Frame::plain(&frame))
    };
    assert_eq!(lan_in(OTHER), Err(DropReason::Misdirected));
    assert_eq!(lan_in(OWN), Err(DropReason::Reflection));
    assert_eq!(lan_in(Mac::BROADCAST), Ok(Egress::Device));
    assert_eq!(lan_in(STATION), Ok(Egress::UnknownOnLan));
}

#[test]
fn most_of_what_a_lan_says_is_between_others() {
    let switch = gateway();
    let concerns = |destination| switch.concerns_room(Frame::plain(&frame(STATION, destination)));
    assert_eq!(concerns(STATION), Err(DropReason::NotRemote));
    assert_eq!(concerns(OTHER), Ok(()));
    assert_eq!(concerns(Mac([1, 0, 0x5e, 0, 0, 251])), Ok(()));
    assert_eq!(
        switch.concerns_room(Frame::plain(&[0; 13])),
        Err(DropReason::Runt)
    );
}

#[test]
fn a_lan_full_of_addresses_costs_bounded_memory_and_still_reaches_everybody() {
    let now = start();
    let mut switch = player();
    let station = |n: u32| {
        Mac([
            0,
            0,
            n.to_be_bytes()[0],
            n.to_be_bytes()[1],
            n.to_be_bytes()[2],
            n.to_be_bytes()[3],
        ])
    };
    for n in 1..20_000 {
        let frame = frame(station(n), OWN);
        let delivered = switch.forward(now, Port::Member(id(9)), Frame::plain(&frame));
        assert_eq!(delivered, Ok(Egress::Device));
        assert!(switch.stations() <= MAX_STATIONS);
    }
    let later = now + AGEING;
    let frame = frame(STATION, OWN);
    switch
        .forward(later, Port::Member(id(9)), Frame::plain(&frame))
        .unwrap();
    assert_eq!(switch.stations(), 1, "the aged make room");
}

/// One thing that happens to a switch.
#[derive(Clone, Debug)]
enum Step {
    Join(u16),
    Leave(u16),
    Wait(u64),
    Frame { from: u16, source: u8, destination: u8 },
}

/// The switch as a list of facts, without tables.
struct Model {
    role: Role,
    present: Vec<u16>,
    heard: Vec<(Mac, Instant)>,
}

impl Model {
    fn is_remote(&self, mac: Mac) -> Option<u16> {
        self.present
            .iter()
            .copied()
            .find(|&member| member != 9 && address(member as u8) == mac)
    }

    fn is_known(&self, now: Instant, mac: Mac) -> bool {
        self.heard
            .iter()
            .any(|&(station, at)| station == mac && now - at < AGEING)
    }

    fn has_gateway(&self) -> bool {
        self.present.contains(&9)
    }

    fn decide(&mut self, now: Instant, from: u16, source: Mac, to: Mac) -> Result<Egress, DropReason> {
        match (self.role, from) {
            (Role::Client, 0) => self.player_out(now, to),
            (Role::Client, from) => self.player_in(now, from, source, to),
            (Role::Gateway, 0) => self.lan_out(now, source, to),
            (Role::Gateway, from) => match self.is_remote(to) {
                Some(member) if member == from => Err(DropReason::Reflection),
                Some(_) => Err(DropReason::Misdirected),
                None if to.is_multicast() || self.is_known(now, to) => Ok(Egress::Device),
                None => Ok(Egress::UnknownOnLan),
            },
        }
    }

    fn player_out(&self, now: Instant, to: Mac) -> Result<Egress, DropReason> {
        if to.is_multicast() {
            let alone = self.present.is_empty();
            return if alone {
                Err(DropReason::NoGateway)
            } else {
                Ok(Egress::Flood)
            };
        }
        if to == OWN {
            return Err(DropReason::Reflection);
        }
        if let Some(member) = self.is_remote(to) {
            return Ok(Egress::Member(id(member)));
        }
        match (self.has_gateway(), self.is_known(now, to)) {
            (false, _) => Err(DropReason::NoGateway),
            (true, true) => Ok(Egress::Member(id(9))),
            (true, false) => Ok(Egress::UnknownVia(id(9))),
        }
    }

    fn player_in(&mut self, now: Instant, from: u16, source: Mac, to: Mac) -> Result<Egress, DropReason> {
        if source == OWN {
            return Err(DropReason::Reflection);
        }
        if from == 9 && self.has_gateway() {
            if self.is_remote(source).is_some() {
                return Err(DropReason::SourceIsRemote);
            }
            self.heard.push((source, now));
        }
        if to.is_multicast() || to == OWN {
            Ok(Egress::Device)
        } else {
            Err(DropReason::Misdirected)
        }
    }

    fn lan_out(&mut self, now: Instant, source: Mac, to: Mac) -> Result<Egress, DropReason> {
        let target = self.is_remote(to);
        if target.is_none() && !to.is_multicast() {
            return Err(DropReason::NotRemote);
        }
        if self.is_remote(source).is_some() {
            return Err(DropReason::SourceIsRemote);
        }
        self.heard.push((source, now));
        match target {
            Some(member) => Ok(Egress::Member(id(member))),
            None if self.present.is_empty() => Err(DropReason::UnknownDestination),
            None => Ok(Egress::Flood),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let member = prop_oneof![2_u16..6, Just(9)];
    let step = prop_oneof![
        2 => member.clone().prop_map(Step::Join),
        1 => member.clone().prop_map(Step::Leave),
        1 => (0_u64..200).prop_map(Step::Wait),
        8 => (prop_oneof![Just(0), member], 1_u8..14, 1_u8..15)
            .prop_map(|(from, source, destination)| Step::Frame { from, source, destination }),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn it_decides_as_a_plain_list_of_facts_would(client in any::<bool>(), steps in steps()) {
        let role = if client { Role::Client } else { Role::Gateway };
        let mut switch = Switch::new(role, client.then_some(OWN));
        let mut model = Model { role, present: Vec::new(), heard: Vec::new() };
        let mut now = start();
        for step in steps {
            match step {
                Step::Join(9) if !client => {}
                Step::Join(member) if !model.present.contains(&member) => {
                    switch.add(id(member), member_role(member), member_mac(member));
                    model.present.push(member);
                    if member == 9 {
                        model.heard.clear();
                    }
                    model.heard.retain(|&(mac, _)| Some(mac) != member_mac(member));
                }
                Step::Join(_) => {}
                Step::Leave(member) => {
                    if model.present.contains(&member) {
                        switch.remove(id(member), member_mac(member));
                        model.present.retain(|&other| other != member);
                        if member == 9 {
                            model.heard.clear();
                        }
                    }
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Frame { from, source, destination } => {
                    if from != 0 && !model.present.contains(&from) {
                        continue;
                    }
                    let (source, to) = (address(source), address(destination));
                    let port = MemberId::new(from).map_or(Port::Device, Port::Member);
                    let frame = frame(source, to);
                    let decided = switch.forward(now, port, Frame::plain(&frame));
                    prop_assert_eq!(decided, model.decide(now, from, source, to));
                    match decided {
                        Ok(Egress::Member(target)) => prop_assert_ne!(port, Port::Member(target)),
                        Ok(Egress::Device | Egress::UnknownOnLan) => prop_assert_ne!(port, Port::Device),
                        Ok(Egress::Flood | Egress::UnknownVia(_)) => prop_assert_eq!(port, Port::Device),
                        Err(_) => {}
                    }
                }
            }
        }
    }
}

/// 1 is our own, 2 to 5 are players', 14 is broadcast, the others are the LAN's.
fn address(n: u8) -> Mac {
    match n {
        14 => Mac::BROADCAST,
        1..=5 => Mac([2, 0, 0, 0, 0, n]),
        n => Mac([0, 0, 0, 0, 1, n]),
    }
}

fn member_role(member: u16) -> Role {
    if member == 9 { Role::Gateway } else { Role::Client }
}

fn member_mac(member: u16) -> Option<Mac> {
    (member != 9).then(|| address(member as u8))
}

fn player() -> Switch {
    let mut switch = Switch::new(Role::Client, Some(OWN));
    switch.add(id(9), Role::Gateway, None);
    switch.add(id(2), Role::Client, Some(OTHER));
    switch
}

fn gateway() -> Switch {
    let mut switch = Switch::new(Role::Gateway, None);
    switch.add(id(1), Role::Client, Some(OWN));
    switch.add(id(2), Role::Client, Some(OTHER));
    switch
}

fn id(value: u16) -> MemberId {
    MemberId::new(value).unwrap()
}

fn frame(source: Mac, destination: Mac) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&[0x81, 0x37]);
    frame
}

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
