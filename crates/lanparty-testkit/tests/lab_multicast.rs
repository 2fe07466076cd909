//! Groups across the tunnel, with the kernel's own IGMP and MLD on both sides: a switch that listens to them goes on forwarding what a
//! remote player has joined, and players get what they have joined and no more.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    Capture, Lab, MEMBERSHIP, Machine, Party, TAP, Who,
    frame::{Frame, IPV6},
    groups::{Listener, PORT, Sender},
    wait_for,
};

const SOON: Duration = Duration::from_secs(20);
/// Players are asked thrice, and have 11 s for the last answer; what is left is for a loaded machine.
const SETTLED: Duration = Duration::from_secs(60);
/// Longer than the switch remembers a report twice.
const LONG: Duration = Duration::from_millis(MEMBERSHIP.as_millis() as u64 * 2 + 2000);

fn group4(last: u8) -> IpAddr {
    Ipv4Addr::new(239, 73, 42, last).into()
}

fn group6(last: u8) -> IpAddr {
    Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x73, last.into()).into()
}

/// The players' kernels say nothing of groups from now on, and not that they leave.
fn silence(machine: &Machine) {
    let rules = format!(
        "table netdev quiet {{
            chain out {{
                type filter hook egress device {TAP} priority 0;
                ip protocol igmp drop
                icmpv6 type {{ mld-listener-report, mld-listener-done, mld2-listener-report }} drop
            }}
         }}"
    );
    machine.feed(&["nft", "-f", "-"], &rules).unwrap();
}

fn party(players: u8, is_sealed: bool) -> Party {
    let mut party = Party::prepare(&Lab::builder().players(players)).unwrap();
    if is_sealed {
        party.seal();
    }
    party.begin().unwrap();
    party
}

/// Three players whose kernels speak IGMPv1 and MLDv1, IGMPv2 and MLDv1, IGMPv3 and MLDv2, on a switch that asks in these versions.
fn a_snooping_switch_forwards_what_was_joined(is_sealed: bool, igmp: u8, mld: u8) {
    let party = party(3, is_sealed);
    for (player, versions) in [(0, (1, 1)), (1, (2, 1)), (2, (3, 2))] {
        let machine = party.machine(Who::Player(player));
        for (path, version) in [
            (format!("net/ipv4/conf/{TAP}/force_igmp_version"), versions.0),
            (format!("net/ipv6/conf/{TAP}/force_mld_version"), versions.1),
        ] {
            machine.sysctl(&path, &version.to_string()).unwrap();
        }
    }
    let lan = &party.lab.lan;
    lan.snoop(igmp, mld).unwrap();
    let groups: Vec<IpAddr> = (0..3)
        .flat_map(|player| [group4(player), group6(player)])
        .collect();
    let sender = Sender::start(&lan.games, &groups);
    let listeners: Vec<Listener> = groups
        .iter()
        .zip([0, 0, 1, 1, 2, 2])
        .map(|(&group, player)| Listener::join(&party, player, group))
        .collect();
    let wait_for_all = |from: u32, what: &str| {
        for listener in &listeners {
            listener.wait_for(from, SOON);
            let forwards = lan.forwards_to("p-gateway", listener.group).unwrap();
            assert!(forwards, "{} {what}", listener.group);
        }
    };
    for listener in &listeners {
        let what = format!("the switch to forward {}", listener.group);
        let forwards = || {
            lan.forwards_to("p-gateway", listener.group)
                .unwrap()
                .then_some(())
        };
        wait_for(&what, SOON, forwards).unwrap();
    }
    let since = Instant::now();
    while since.elapsed() < LONG {
        wait_for_all(sender.next(), "while its player answers");
    }

    let players = [0, 1, 2].map(|player| party.machine(Who::Player(player)));
    players.into_iter().for_each(silence);
    let since = Instant::now();
    while since.elapsed() < LONG {
        wait_for_all(sender.next(), "although its player is silent");
    }

    for machine in players {
        machine.run("nft delete table netdev quiet").unwrap();
    }
    drop(listeners);
    // Who speaks IGMPv1 leaves without a word.
    for group in groups.into_iter().filter(|&group| group != group4(0)) {
        let what = format!("the switch to forget {group}");
        let forgets = || (!lan.forwards_to("p-gateway", group).unwrap()).then_some(());
        wait_for(&what, SOON, forgets).unwrap();
    }
}

#[test]
fn a_snooping_switch_forwards_what_only_a_remote_player_has_joined() {
    a_snooping_switch_forwards_what_was_joined(false, 3, 2);
}

#[test]
fn an_older_snooping_switch_does_so_for_a_sealed_room() {
    a_snooping_switch_forwards_what_was_joined(true, 2, 1);
}

fn is_to(group: IpAddr) -> impl FnMut(&Frame) -> bool {
    move |frame| match group {
        IpAddr::V4(group) => frame.udp().is_some_and(|udp| udp.to == (group, PORT)),
        IpAddr::V6(group) => frame.kind() == IPV6 && frame.bytes().get(38..54) == Some(&group.octets()[..]),
    }
}

/// Two of three players have joined a group of each family. Every player has joined something, and so has been heard to answer.
fn players_get_what_they_have_joined(is_sealed: bool) {
    let party = party(3, is_sealed);
    let (joined4, joined6, nobodys4, nobodys6) = (group4(10), group6(10), group4(11), group6(11));
    let found: Vec<IpAddr> = [
        "224.0.0.251",
        "239.255.255.250",
        "224.0.2.60",
        "ff02::fb",
        "ff05::c",
    ]
    .map(|group| group.parse().unwrap())
    .to_vec();
    let mut listeners = Vec::new();
    for player in 0..3 {
        for group in [group4(100), group6(100)] {
            listeners.push(Listener::join(&party, player, group));
        }
    }
    for player in 0..2 {
        for group in [joined4, joined6] {
            listeners.push(Listener::join(&party, player, group));
        }
    }
    let taps = [0, 1, 2].map(|player| Capture::start(party.machine(Who::Player(player)), TAP).unwrap());
    let groups = [&[joined4, joined6, nobodys4, nobodys6][..], &found].concat();
    let sender = Sender::start(&party.lab.lan.games, &groups);
    let is_new = |listener: &&Listener| [joined4, joined6].contains(&listener.group);
    let more = || {
        let from = sender.next() + 10;
        let joined = listeners.iter().filter(is_new);
        joined.for_each(|listener| listener.wait_for(from, SOON));
    };
    let unwanted = |seen: &[Capture; 3]| {
        let nobodys = [nobodys4, nobodys6];
        let for_none: usize = seen
            .iter()
            .flat_map(|tap| nobodys.map(|group| tap.count(is_to(group))))
            .sum();
        for_none + seen[2].count(is_to(joined4)) + seen[2].count(is_to(joined6))
    };
    wait_for(
        "players to get what they have joined and no more",
        SETTLED,
        || {
            taps.iter().for_each(Capture::clear);
            more();
            (unwanted(&taps) == 0).then_some(())
        },
    )
    .unwrap();
    // From here on it stays so.
    taps.iter().for_each(Capture::clear);
    more();
    more();
    assert_eq!(unwanted(&taps), 0);
    for (player, tap) in taps.iter().enumerate() {
        for &group in &found {
            let what = format!("{group} for player {player}, who has not joined it");
            tap.wait_for(&what, SOON, is_to(group)).unwrap();
        }
    }
    let status = party.status(Who::Gateway).unwrap();
    assert!(status["drops"]["not_joined"].as_u64() > Some(0), "{status}");
}

#[test]
fn players_get_the_groups_that_they_have_joined_and_no_others() {
    players_get_what_they_have_joined(false);
}

#[test]
fn players_of_a_sealed_room_get_the_groups_that_they_have_joined_and_no_others() {
    players_get_what_they_have_joined(true);
}
