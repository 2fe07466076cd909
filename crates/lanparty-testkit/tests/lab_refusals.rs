//! Every refused join with the real binaries: the words that tell the player what to do, and how the client ends. Short codes have
//! tests of their own; a wrong secret, kick, ban and a host that is away stand in `lab_sealed`.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{fs, path::Path, time::Duration};

use lanparty_testkit::{
    lab::{Lab, Party, Who, mac_of},
    later::LaterRelay,
    member::{BareMember, Join},
};
use lanparty_wire::{Invite, Mac, RejectReason, control::Role};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
const ADA: Who = Who::Player(0);
const BOB: Who = Who::Player(1);

#[test]
fn an_invite_that_is_over_says_why_and_what_to_ask_for() {
    let mut party = sealed(2, &[]);
    let link = party.invite().unwrap();
    let invite: Invite = link.parse().unwrap();

    party.order("invite 1").unwrap();
    let for_one = second_link(&mut party, &link);
    party.join_by(&for_one);
    party.launch(ADA).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    party
        .launch_refused(
            BOB,
            &[],
            "this invite was used already; ask the host for another one",
            LIMIT,
        )
        .unwrap();

    party.join_by(&link);
    party.order(&format!("revoke {}", invite.id)).unwrap();
    told(&mut party, Who::Gateway, "taken back; who has come by it stays");
    party
        .launch_refused(
            BOB,
            &[],
            "the host has taken this invite back; ask for a new one",
            LIMIT,
        )
        .unwrap();

    party.stop(Who::Gateway).unwrap();
    let file = format!("{}/room.json", party.state_dir(Who::Gateway));
    let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    end_invites(&mut state["invites"]);
    fs::write(&file, state.to_string()).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.join_by(&for_one);
    party
        .launch_refused(
            BOB,
            &[],
            "this invite has expired; ask the host for a new one",
            LIMIT,
        )
        .unwrap();
}

#[test]
fn who_is_not_let_in_is_told_to_ask() {
    let mut party = sealed(1, &["--approve"]);
    party.launch_with(ADA, &["--name", "ada"]).unwrap();
    told(&mut party, Who::Gateway, "ada waits to be let in");
    party.order("deny ada").unwrap();
    party
        .wait_for_refusal(ADA, "the host has not let you in; ask, and try again", LIMIT)
        .unwrap();
}

#[test]
fn a_full_room_is_named_and_tried_again_until_there_is_room() {
    for is_sealed in [true, false] {
        let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
        if is_sealed {
            party.seal();
        }
        party.launch_with(Who::Relay, &["--max-members", "2"]).unwrap();
        party.launch(Who::Gateway).unwrap();
        party.launch(ADA).unwrap();
        party.wait_for_lease(0, LIMIT).unwrap();
        party.launch(BOB).unwrap();
        told(&mut party, BOB, "room is full; ask the host to make room");
        party.stop(ADA).unwrap();
        party.wait_for_lease(1, LIMIT).unwrap();
    }
}

#[test]
fn a_mac_address_that_another_member_has_is_named() {
    for is_sealed in [true, false] {
        let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
        if is_sealed {
            party.seal();
        }
        party.launch(Who::Relay).unwrap();
        party.launch(Who::Gateway).unwrap();
        let same = ["--virtual-mac", "02:00:00:00:00:07"];
        party.launch_with(ADA, &same).unwrap();
        party.wait_for_lease(0, LIMIT).unwrap();
        party.launch_with(BOB, &same).unwrap();
        told(
            &mut party,
            BOB,
            "already has this MAC address; remove --virtual-mac, or give another one",
        );
        party.launch(BOB).unwrap();
        party.wait_for_lease(1, LIMIT).unwrap();
    }
}

#[test]
fn a_mac_address_that_the_lan_has_is_refused_by_the_host() {
    let mut party = sealed(2, &[]);
    party.launch(BOB).unwrap();
    party.wait_for_lease(1, LIMIT).unwrap();
    let station = Mac(mac_of(&party.lab.lan.games, "eth0").unwrap());
    assert!(station.is_identity(), "the lab gives locally administered ones");
    // The LAN gateway has heard it since there is a room.
    let _ = party.lab.lan.games.run("ping -c2 -i0.2 -W1 10.73.42.250");
    let same = &["--virtual-mac", &station.to_string()];
    let words = "a device on the host's LAN has this MAC address; remove --virtual-mac";
    party.launch_refused(ADA, same, words, LIMIT).unwrap();
    party.launch(ADA).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
}

#[test]
fn another_version_is_refused_with_what_to_do() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    let machine = party.machine(ADA);
    let (certificate, state_dir) = (party.certificate(), machine.directory().join("later"));
    let join = Join {
        relay: "203.0.113.10:443".parse().unwrap(),
        certificate: certificate.as_ref(),
        state_dir: &state_dir,
        room: "ABCD",
        role: Role::Client,
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        token: None,
    };
    fs::create_dir_all(&state_dir).unwrap();
    let socket = machine
        .inside(|| std::net::UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    let Err(error) = BareMember::join_speaking(socket, &join, 2..=3) else {
        panic!("the relay speaks version 1");
    };
    let words = format!("{error:#}");
    assert!(words.contains(RejectReason::Version.sentence()), "{words}");
    assert!(words.contains("update the older one"), "{words}");
}

#[test]
fn who_is_too_old_for_an_updated_relay_reads_what_to_do() {
    for is_sealed in [true, false] {
        let mut party = Party::prepare(&Lab::builder()).unwrap();
        if is_sealed {
            party.seal();
        }
        party.begin().unwrap();
        party.stop(Who::Relay).unwrap();
        let machine = party.machine(Who::Relay);
        let socket = machine.inside(|| std::net::UdpSocket::bind("[::]:443").unwrap());
        let state = party.state_dir(Who::Relay);
        let _updated = LaterRelay::start(socket.unwrap(), Path::new(&state)).unwrap();
        let words = "this version and the relay's have no protocol in common; update the older one";
        // Who was in when it was updated, and who comes then.
        party.wait_for_refusal(ADA, words, LIMIT).unwrap();
        party.launch_refused(ADA, &[], words, LIMIT).unwrap();
    }
}

#[test]
fn a_second_lan_gateway_is_told_that_there_is_one() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    let gateway = party.machine(Who::Gateway);
    let state = gateway.directory().join("second").display().to_string();
    let (program, certificate) = (party.binary(Who::Gateway), party.certificate());
    let words = [
        &program,
        "--state-dir",
        &state,
        "--relay",
        "relay.lanparty.test",
        "--relay-ca-cert",
        &certificate,
        "--room",
        lanparty_testkit::lab::ROOM,
        "--iface",
        "lan0",
    ];
    let mut second = gateway.spawn("second", &words).unwrap();
    second
        .wait_for_log(
            "room already has a LAN gateway; stop the other one, or choose another room code",
            LIMIT,
        )
        .unwrap();
}

/// A relay, and the host of a sealed room with these options, who has shown its link.
fn sealed(players: u8, options: &[&str]) -> Party {
    let mut party = Party::prepare(&Lab::builder().players(players)).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, options).unwrap();
    party.invite().unwrap();
    party
}

#[track_caller]
fn told(party: &mut Party, who: Who, words: &str) {
    party.process(who).unwrap().wait_for_log(words, LIMIT).unwrap();
}

/// The link that the LAN gateway has printed besides the first.
fn second_link(party: &mut Party, first: &str) -> String {
    told(party, Who::Gateway, "good for whoever uses it first");
    let found = lanparty_testkit::lab::wait_for("another link", LIMIT, || {
        let log = party.log(Who::Gateway);
        let mut links = log
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("lanparty://"));
        links.find(|line| *line != first).map(str::to_owned)
    });
    found.unwrap()
}

/// As if their time had passed.
fn end_invites(state: &mut Value) {
    match state {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "expires" && value.is_number() {
                    *value = 1.into();
                } else {
                    end_invites(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(end_invites),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
