//! A spectator whose client was changed: it has real keys and sends as any player does, and those who receive it hold it to its role.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{fs, net::UdpSocket, thread, time::Duration};

use lanparty_testkit::{
    lab::{
        Capture, Frame, GAME_SERVER, Lab, Party, RELAY, TAP, Who, frame::BROADCAST, junk::EXPERIMENT,
        wait_for,
    },
    member::Join,
    rebel::Rebel,
};
use lanparty_wire::{Invite, Mac, control::Role};

const LIMIT: Duration = Duration::from_secs(30);
const PLAYER: Who = Who::Player(0);
/// Whose home it is in.
const HOME: Who = Who::Player(1);
const MALLORY: [u8; 6] = [2, 0x66, 0, 0, 0, 1];
/// Bytes that nothing else sends.
const AS_PLAYER: [u8; 8] = *b"\xa7 player";
const IN_BETWEEN: [u8; 8] = *b"\xa7between";
const AS_SPECTATOR: [u8; 8] = *b"\xa7 looker";
const ARP: u16 = 0x0806;
/// Frames of another class may come later; nothing in the lab takes this long.
const LATE: Duration = Duration::from_millis(700);

#[test]
fn a_spectator_that_takes_itself_for_a_player_reaches_neither_lan_nor_players() {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.seal();
    for who in [Who::Relay, Who::Gateway, PLAYER] {
        party.launch(who).unwrap();
    }
    party.wait_for_lease(0, LIMIT).unwrap();
    let mut mallory = join(&mut party);
    mallory
        .run_until(LIMIT, |rebel| rebel.secured().count() == 2)
        .unwrap();
    let sights = [
        Capture::start(party.machine(PLAYER), TAP).unwrap(),
        Capture::start(&party.lab.lan.games, "eth0").unwrap(),
    ];
    let targets = [
        BROADCAST,
        party.player_mac(0).unwrap(),
        party.lab.lan.games_mac().unwrap(),
    ];
    let seen = |mark: [u8; 8]| {
        sights
            .each_ref()
            .map(|sight| sight.count(|frame| frame.contains(&mark)))
    };

    wait_for("a player's frames", LIMIT, || {
        attempt(&mut mallory, targets, AS_PLAYER);
        seen(AS_PLAYER).iter().all(|count| *count >= 2).then_some(())
    })
    .unwrap();

    party.order("role mallory spectator").unwrap();
    let before = dropped(&party);
    assert_eq!(before, [0, 0]);
    wait_for("both to know of its role", LIMIT, || {
        attempt(&mut mallory, targets, IN_BETWEEN);
        dropped(&party).iter().all(|count| *count > 0).then_some(())
    })
    .unwrap();
    (0..5).for_each(|_| attempt(&mut mallory, targets, AS_SPECTATOR));
    // It is still in, and what a spectator may send comes after all that.
    mallory.send(question().bytes()).unwrap();
    mallory.run(LATE).unwrap();
    for sight in &sights {
        sight
            .wait_for("its ARP", LIMIT, |frame| {
                frame.kind() == ARP && frame.source() == MALLORY
            })
            .unwrap();
    }
    thread::sleep(LATE);
    assert_eq!(seen(AS_SPECTATOR), [0, 0], "player, LAN");
    assert!(
        dropped(&party).iter().all(|count| *count >= 10),
        "{:?}",
        dropped(&party)
    );
}

fn join(party: &mut Party) -> Rebel {
    let invite: Invite = party.invite().unwrap().parse().unwrap();
    let (certificate, room) = (party.certificate(), invite.room().to_string());
    let home = party.machine(HOME);
    let state_dir = home.directory().join("mallory");
    fs::create_dir_all(&state_dir).unwrap();
    let socket = home.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let join = Join {
        relay: (RELAY, 443).into(),
        certificate: certificate.as_ref(),
        state_dir: &state_dir,
        room: &room,
        role: Role::Client,
        mac: Some(Mac(MALLORY)),
        token: None,
    };
    Rebel::join(socket, &invite, "mallory", &join).unwrap()
}

/// One frame to everybody, one to the player and one to the LAN's station, and some time for them.
fn attempt(mallory: &mut Rebel, targets: [[u8; 6]; 3], mark: [u8; 8]) {
    for target in targets {
        let frame = Frame::new(target, MALLORY, EXPERIMENT, &[&mark[..], &[0; 40]].concat());
        mallory.send(frame.bytes()).unwrap();
    }
    mallory.run(Duration::from_millis(100)).unwrap();
}

fn question() -> Frame {
    let asked = GAME_SERVER.octets();
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let payload = [&head[..], &MALLORY, &[0; 4], &[0; 6], &asked].concat();
    Frame::new(BROADCAST, MALLORY, ARP, &payload)
}

/// How often the player and the LAN gateway have dropped something because a spectator has sent it.
fn dropped(party: &Party) -> [u64; 2] {
    [PLAYER, Who::Gateway].map(|who| {
        let status = party.status(who).unwrap();
        status["drops"]["spectator"].as_u64().unwrap_or(0)
    })
}
