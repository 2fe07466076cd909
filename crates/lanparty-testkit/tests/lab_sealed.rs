//! Sealed rooms with the real binaries: a link is all that a player needs, the relay reads nothing, and whatever breaks heals by itself.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, GAME_SERVER, Lab, LabBuilder, LabError, Party, TAP, Who,
    copy::{copy, marked_content},
    probe::{Beacon, ask_everybody, ping, wait_for_ping},
    wait_for,
};
use lanparty_wire::{Invite, InviteSecret};
use memchr::memmem;

const LIMIT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
const PLAYER: Who = Who::Player(0);
const BOB: Who = Who::Player(1);
/// What is sent, and must not be found: 16 bytes that nothing else sends.
const PATTERN: [u8; 16] = *b"\xa7lanparty-secret";

#[test]
fn a_link_is_all_that_a_player_needs() {
    let party = sealed(&Lab::builder().players(2));
    let (player, games) = (party.machine(PLAYER), &party.lab.lan.games);
    let lease = party.wait_for_lease(0, SOON).unwrap();
    ping(player, &GAME_SERVER.to_string(), &[]).unwrap();
    ping(games, &lease.to_string(), &[]).unwrap();
    let other = party.wait_for_lease(1, SOON).unwrap();
    // The first one comes, whether or not keys are agreed by then.
    ping(player, &other.to_string(), &[]).unwrap();

    let beacon = Beacon::start(games).unwrap();
    ask_everybody(player, lease).unwrap();
    drop(beacon);
    let _beacon = Beacon::start(player).unwrap();
    ask_everybody(games, GAME_SERVER).unwrap();

    for who in [Who::Gateway, PLAYER] {
        let log = party.log(who);
        assert!(
            log.contains("a sealed room (the relay cannot read frames)"),
            "{log}"
        );
        assert_eq!(party.status(who).unwrap()["endpoint"]["sealed"], true, "{who:?}");
    }
    let log = party.log(PLAYER);
    assert!(log.contains("Admitted by the host: the room is sealed"), "{log}");
    let status = party.status(PLAYER).unwrap();
    assert_eq!(status["endpoint"]["admission"]["state"], "admitted", "{status}");
    assert_eq!(status["endpoint"]["relay"]["trust"], "pin", "{status}");
}

#[test]
fn the_relay_holds_what_is_copied_in_an_open_room_and_nothing_of_it_in_a_sealed_one() {
    let mut open = Party::start(&Lab::builder().players(2)).unwrap();
    let found = leaks(&mut open);
    assert!(
        found.in_memory > 0,
        "the search finds nothing where there is something"
    );
    assert_eq!(found.on_relays_wire, 0, "QUIC encrypts");
    drop(open);

    // One comes by the link, one by the short code.
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.invite().unwrap();
    party.launch(PLAYER).unwrap();
    let code = party.short_code(None).unwrap();
    party.join_by_code(&code);
    party.launch(BOB).unwrap();
    let found = leaks(&mut party);
    assert_eq!((found.in_memory, found.on_relays_wire), (0, 0));
}

#[test]
fn whatever_crashes_comes_back_without_a_person() {
    let mut party = sealed(&Lab::builder());
    let target = GAME_SERVER.to_string();
    for who in [PLAYER, Who::Relay, Who::Gateway] {
        party.crash(who);
        party.launch(who).unwrap();
        wait_for_ping(party.machine(PLAYER), &target, LIMIT).unwrap_or_else(|error| {
            panic!(
                "after {who:?} had crashed: {error}\nplayer:\n{}\nhost:\n{}",
                party.log(PLAYER),
                party.log(Who::Gateway)
            )
        });
    }
}

#[test]
fn while_the_host_is_away_members_play_on_and_newcomers_are_told() {
    let mut party = Party::prepare(&Lab::builder().players(3)).unwrap();
    party.seal();
    for who in [Who::Relay, Who::Gateway, Who::Player(0), Who::Player(1)] {
        party.launch(who).unwrap();
    }
    party.wait_for_lease(0, LIMIT).unwrap();
    let other = party.wait_for_lease(1, LIMIT).unwrap().to_string();
    wait_for_ping(party.machine(PLAYER), &other, SOON).unwrap();
    party.invite().unwrap();
    party.stop(Who::Gateway).unwrap();
    ping(party.machine(PLAYER), &other, &[]).unwrap();

    // Another process of a known member, with the membership that it has kept.
    party.crash(PLAYER);
    party.launch(PLAYER).unwrap();
    party
        .wait_for_status(PLAYER, "to be a member again", LIMIT, |status| {
            status["endpoint"]["admission"]["state"] == "admitted"
        })
        .unwrap();
    party.launch(Who::Player(2)).unwrap();
    let told = party
        .process(Who::Player(2))
        .unwrap()
        .wait_for_log("The host is away, and only the host can let you in", LIMIT);
    told.unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_for_lease(2, LIMIT).unwrap();
}

#[test]
fn each_refusal_is_a_sentence_and_ends_with_4() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    let invite: Invite = party.invite().unwrap().parse().unwrap();
    let unknown = Invite {
        secret: InviteSecret::new([7; 16]),
        ..invite
    };
    party.join_by(&unknown.to_string());
    let words = "the host does not know this invite; copy the link again";
    party.launch_refused(PLAYER, &[], words, LIMIT).unwrap();
}

#[test]
fn the_host_lets_in_and_puts_out_by_orders() {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, &["--approve"]).unwrap();
    party.launch_with(PLAYER, &["--name", "ada"]).unwrap();
    let told =
        |party: &mut Party, who, text: &str| party.process(who).unwrap().wait_for_log(text, LIMIT).unwrap();
    told(&mut party, PLAYER, "Waiting for the host to let you in");
    told(&mut party, Who::Gateway, "ada waits to be let in");
    party.order("approve ada").unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();

    party.order("ask off").unwrap();
    party.launch_with(Who::Player(1), &["--name", "bob"]).unwrap();
    party.wait_for_lease(1, LIMIT).unwrap();

    for (order, who, sentence) in [
        ("kick ada", PLAYER, "the host has put"),
        ("ban bob", Who::Player(1), "the host has"),
    ] {
        party.order(order).unwrap();
        party.wait_for_refusal(who, sentence, LIMIT).unwrap();
    }
    // The link brought them in before; it does not do so again.
    for (who, sentence) in [
        (PLAYER, "ask for a new invite to come back"),
        (Who::Player(1), "the host has banned this computer"),
    ] {
        party.launch_refused(who, &[], sentence, LIMIT).unwrap();
    }
}

#[test]
fn strangers_play_with_each_other_and_share_nothing_until_they_are_friends() {
    let mut party = Party::prepare(&Lab::builder().players(2)).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party
        .launch_with(Who::Gateway, &["--profile", "strangers"])
        .unwrap();
    party.launch(PLAYER).unwrap();
    party.launch(BOB).unwrap();
    let leases = [0, 1].map(|player| party.wait_for_lease(player, LIMIT).unwrap());
    let other = leases[1].to_string();
    for who in [PLAYER, BOB] {
        wait_for_ping(party.machine(who), &GAME_SERVER.to_string(), SOON).unwrap();
        assert_eq!(party.status(who).unwrap()["endpoint"]["profile"], "strangers");
    }
    ping(&party.lab.lan.games, &other, &[]).unwrap();

    // A game is found by broadcast and answers.
    let beacon = Beacon::start(party.machine(BOB)).unwrap();
    let found = wait_for("the other player's game", SOON, || {
        ask_everybody(party.machine(PLAYER), leases[0]).ok()
    });
    assert_eq!(found.unwrap().0.ip(), leases[1]);
    drop(beacon);
    // Nothing else does, although each knows the other's MAC by now.
    assert!((0..3).all(|_| ping(party.machine(PLAYER), &other, &[]).is_err()));
    assert!(dropped(&party, PLAYER, "stranger") >= 3);

    // The LAN's shares are closed, and nobody poses as another there.
    let share = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{GAME_SERVER}/445' || true");
    party.machine(PLAYER).shell(&share).unwrap();
    assert!(dropped(&party, Who::Gateway, "closed_service") > 0);
    let forged = "10.73.42.251";
    let machine = party.machine(PLAYER);
    machine
        .run(&format!("ip address add {forged}/24 dev party0"))
        .unwrap();
    machine.run("ip neigh flush dev party0").unwrap();
    assert!(ping(machine, &GAME_SERVER.to_string(), &["-I", forged]).is_err());
    assert!(dropped(&party, Who::Gateway, "forged_address") > 0);
    machine
        .run(&format!("ip address del {forged}/24 dev party0"))
        .unwrap();

    // A LAN gateway that was restarted still knows whose address is whose.
    party.crash(Who::Gateway);
    party
        .launch_with(Who::Gateway, &["--profile", "strangers"])
        .unwrap();
    wait_for_ping(party.machine(PLAYER), &GAME_SERVER.to_string(), LIMIT).unwrap();

    party.order("profile friends").unwrap();
    wait_for_ping(party.machine(PLAYER), &other, SOON).unwrap();
    party.order("profile strangers").unwrap();
    let apart = wait_for("the two to be apart again", SOON, || {
        ping(party.machine(PLAYER), &other, &[]).is_err().then_some(())
    });
    apart.unwrap();
    party.order("who").unwrap();
    let gateway = party.process(Who::Gateway).unwrap();
    gateway.wait_for_log("profile strangers", SOON).unwrap();
}

/// How often a process has dropped something for this reason.
fn dropped(party: &Party, who: Who, reason: &str) -> u64 {
    party.status(who).unwrap()["drops"][reason].as_u64().unwrap_or(0)
}

/// Everybody in a sealed room, with leases.
fn sealed(builder: &LabBuilder) -> Party {
    let mut party = Party::prepare(builder).unwrap();
    party.seal();
    party.begin().unwrap();
    party
}

/// How often the pattern was found where.
struct Found {
    in_memory: usize,
    on_relays_wire: usize,
}

/// Looks for the pattern in the relay's memory and on its wire, while a player copies a file to the LAN and another to a player.
fn leaks(party: &mut Party) -> Found {
    let leases = [0, 1].map(|player| party.wait_for_lease(player, LIMIT).unwrap());
    let (player, games) = (party.machine(PLAYER), &party.lab.lan.games);
    wait_for_ping(player, &leases[1].to_string(), LIMIT).unwrap();
    let relay = party.pid(Who::Relay).unwrap();
    let wire = Capture::start(&party.lab.internet.relay, "eth0").unwrap();
    let file = marked_content(16 << 20, &PATTERN);
    let mut found = Found {
        in_memory: 0,
        on_relays_wire: 0,
    };
    for (target, address, interface) in [(games, GAME_SERVER, "eth0"), (party.machine(BOB), leases[1], TAP)] {
        let arriving = Capture::start(target, interface).unwrap();
        found.in_memory += looks_while(relay, &arriving, || copy(player, target, address, &file));
        let mut carried = 0;
        wire.count(|frame| {
            carried += frame.bytes().len();
            true
        });
        assert!(carried > file.len() / 4, "{carried} bytes were seen at the relay");
        found.on_relays_wire += wire.count(|frame| contains(frame.bytes()) > 0);
        wire.clear();
    }
    found
}

/// Makes a copy again and again, until the memory of a process was searched five times since pieces of it arrive, because what is freed is
/// soon written over; gives what was found there.
fn looks_while<T>(pid: i32, arriving: &Capture, copy: impl Fn() -> Result<T, LabError> + Sync) -> usize {
    let is_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                copy().unwrap();
                if is_enough.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let arrived = arriving.wait_for("a piece of the file", LIMIT, |frame| contains(frame.bytes()) > 0);
        let found = (0..5).map(|_| memory_holds(pid)).sum();
        is_enough.store(true, Ordering::Relaxed);
        // Only now, because the copies must have an end.
        arrived.unwrap();
        found
    })
}

/// How often the pattern stands in what a process can write to.
fn memory_holds(pid: i32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = u64::from_str_radix(end, 16).unwrap() - start;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        // What the process has given back since cannot be read.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            found += contains(&bytes);
        }
    }
    found
}

fn contains(bytes: &[u8]) -> usize {
    memmem::find_iter(bytes, &PATTERN).count()
}
