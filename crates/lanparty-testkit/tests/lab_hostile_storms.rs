//! A hostile member that sends harmless frames, too many of them, through a relay without a guard: the LAN gateway alone holds it to
//! its limits, and nobody else in the room notices.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod hostile;

use std::{
    fs,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hostile::{
    Captures, Hostile, How, SOON,
    drops::wait_for_cut,
    forgeries::MARK,
    padded,
    party::{known_station, start},
    pieces,
    storm::{self, GAME},
};
use lanparty_testkit::lab::{
    Capture, GAME_SERVER, Lab, Machine, Party, RawPort, TAP, Who,
    frame::{Frame, mac_text},
    junk::decent,
    probe::{Pinging, Times, ping, wait_for_ping},
};
use lanparty_wire::{Class, Destination, DropReason};

/// What a player's machine is made to say each second.
const FLOOD: u32 = 50_000;
/// What of it may reach the LAN each second.
const MOST: f64 = 1_000.0;
/// What others' answers may take longer meanwhile.
const LATER: Duration = Duration::from_millis(20);
/// Measurements of that: a machine that does other things as well has bad moments.
const WINDOWS: usize = 5;

/// Frames of another class may come later than the decent one; nothing in the lab takes this long.
const LATE: Duration = Duration::from_millis(700);
/// How long storms last.
const STORM: Duration = Duration::from_secs(3);

/// One player and a hostile member; only the LAN gateway guards. It does not look at its LAN when it starts, which takes some
/// memory for a while: what storms cost is to be seen.
static PARTY: LazyLock<Mutex<Party>> = LazyLock::new(|| Mutex::new(start(true, &["--doctor=false"])));

fn enter() -> MutexGuard<'static, Party> {
    PARTY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_lan_gateway_alone_cuts_a_storm_of_broadcasts() {
    const RATE: u32 = 20_000;
    let party = enter();
    let mut hostile = Hostile::join(&party, 5);
    let captures = Captures::start(&party);
    let player = party.machine(Who::Player(0));
    let frames = storm::to_everybody(hostile.mac);
    let mut made = frames.clone();
    let start = Instant::now();
    // To the LAN gateway as if it were unicast, under a class that is none of theirs: the relay sees no broadcast.
    let sent = thread::scope(|scope| {
        let storm = scope.spawn(|| {
            hostile.storm(RATE, STORM, |hostile, number| {
                hostile.send_to_gateway(Class::Interactive, storm::nth(&mut made, number));
            })
        });
        let mut rounds = 0;
        while !storm.is_finished() {
            player.run(&format!("ip neigh flush dev {TAP}")).unwrap();
            wait_for_ping(player, &GAME_SERVER.to_string(), SOON).unwrap();
            rounds += 1;
        }
        assert!(rounds > 1, "a player has asked for addresses meanwhile");
        storm.join().unwrap()
    });
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(LATE);
    let mut arrived = 0;
    for ((mark, _), (burst, rate)) in frames
        .iter()
        .zip([(500, 500), (300, 100), (300, 100), (500, 500)])
    {
        let of_kind = captures.gateway.count(|frame| frame.contains(mark));
        let most = f64::from(burst) + f64::from(rate) * (seconds + 1.0);
        assert!((of_kind as f64) < most, "{of_kind} of {mark:?} in {seconds:.1} s");
        assert!(of_kind > 50, "{of_kind} of {mark:?}: a limit, not a wall");
        arrived += of_kind;
    }
    println!("{sent} broadcasts in {seconds:.1} s, {arrived} arrived");
    assert!(
        (arrived as f64) < 1_000.0 * (seconds + 1.0),
        "{arrived} in {seconds:.1} s"
    );
    let reasons = [
        DropReason::FloodRate,
        DropReason::NeighborRate,
        DropReason::ChatterRate,
    ];
    // What the machine itself loses under such a load does not count.
    let cut = wait_for_cut(&party, &hostile, &reasons, u64::from(sent) / 4);
    println!("the LAN gateway cut {cut}");
    assert!(
        party.log(Who::Gateway).contains("rate-limited"),
        "and its log says so"
    );
}

#[test]
fn fifty_thousand_broadcasts_a_second_of_a_player_harm_nobody_and_are_his() {
    let party = Party::start(&Lab::builder().players(2)).unwrap();
    let (plays, floods) = (party.machine(Who::Player(0)), party.machine(Who::Player(1)));
    let mac = party.player_mac(1).unwrap();
    let tap = RawPort::open(floods, TAP).unwrap();
    let nowhere = cable_to_nowhere(floods);
    let ask = || Pinging::often(plays, &GAME_SERVER.to_string()).map(Pinging::times);
    let capture = Capture::start(&party.lab.lan.games, "eth0").unwrap();
    let (mut sent, mut lasted, mut windows) = (0, Duration::ZERO, Vec::new());
    while windows.len() < WINDOWS && !windows.last().is_some_and(is_harmless) {
        // What the storm itself takes of a machine that carries both sides is not the tunnel's doing.
        let (_, before) = while_flooding(&nowhere, mac, ask);
        let start = Instant::now();
        let (count, during) = while_flooding(&tap, mac, ask);
        lasted += start.elapsed();
        sent += count;
        windows.push((before.unwrap(), during.unwrap()));
    }
    // Named while it lasts, by its own status.
    let named = |status: &serde_json::Value| {
        let members = status["endpoint"]["members"].as_array().into_iter().flatten();
        let mut flooding = members.filter(|member| member["broadcasts_per_s"].as_u64() >= Some(350));
        flooding.any(|member| member["mac"] == mac_text(mac).as_str())
    };
    let start = Instant::now();
    let (count, told) = while_flooding(&tap, mac, || {
        party.wait_for_status(Who::Gateway, "who floods the room", SOON, named)
    });
    told.unwrap();
    sent += count;
    let seconds = (lasted + start.elapsed()).as_secs_f64();
    thread::sleep(LATE);
    let arrived = capture.count(|frame| frame.source() == mac);
    println!("{sent} sent in {seconds:.1} s, {arrived} arrived; before and during: {windows:?}");
    assert!(
        f64::from(sent) > 5.0 * MOST * seconds,
        "the storm was a trickle: {sent}"
    );
    // Each storm begins with bursts of all classes, a thousand frames.
    let storms = windows.len() as f64 + 1.0;
    assert!(
        (arrived as f64) < MOST * (seconds + storms),
        "{arrived} in {seconds:.1} s"
    );
    assert!(windows.last().is_some_and(is_harmless), "{windows:?}");
    let log = party.log(Who::Gateway);
    assert!(log.contains("floods the room"), "{log}");
}

/// Whether others hardly notice: one answer in a hundred comes no later than [`LATER`], and fewer are lost.
fn is_harmless((before, during): &(Times, Times)) -> bool {
    during.slowest_hundredth <= before.slowest_hundredth + LATER && during.lost * 100 < during.sent
}

/// An interface that takes frames and leads to nobody.
fn cable_to_nowhere(machine: &Machine) -> RawPort {
    machine
        .run("ip link add nowhere0 type veth peer name nowhere1")
        .unwrap();
    for end in ["nowhere0", "nowhere1"] {
        machine.run(&format!("ip link set {end} up")).unwrap();
    }
    RawPort::open(machine, "nowhere0").unwrap()
}

/// Sends [`FLOOD`] frames to everybody each second while something else happens, which must not panic, and gives how many there were.
fn while_flooding<T>(port: &RawPort, mac: [u8; 6], meanwhile: impl FnOnce() -> T) -> (u32, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = scope.spawn(|| flood(port, mac, &stop));
        let outcome = meanwhile();
        stop.store(true, Ordering::Relaxed);
        (storm.join().unwrap(), outcome)
    })
}

/// Sends frames to everybody by turns until `stop`, [`FLOOD`] a second if the machine can, and gives how many there were.
fn flood(port: &RawPort, mac: [u8; 6], stop: &AtomicBool) -> u32 {
    const TURNS: u32 = 100;
    let start = Instant::now();
    let mut frames = storm::to_everybody(mac);
    let (mut sent, mut turn) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..FLOOD / TURNS {
            // A full queue of the adapter is the machine's own limit.
            let _ = port.send(storm::nth(&mut frames, sent));
            sent += 1;
        }
        turn += 1;
        let due = Duration::from_secs(1) * turn / TURNS;
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    sent
}

#[test]
fn the_lan_gateway_alone_cuts_a_storm_for_stations_that_do_not_exist() {
    const RATE: u32 = 2_000;
    let party = enter();
    let mut hostile = Hostile::join(&party, 6);
    let captures = Captures::start(&party);
    let (mac, station) = (hostile.mac, known_station(&party));
    let start = Instant::now();
    let sent = hostile.storm(RATE, STORM, |hostile, number| {
        let [_, a, b, c] = number.to_be_bytes();
        let (to, mark) = if number % 40 == 0 {
            (station, b"known to")
        } else {
            ([2, 0xde, 0xad, a, b, c], b"unknown!")
        };
        let frame = Frame::new(to, mac, GAME, &[&mark[..], &[0; 46]].concat());
        hostile.send_to_gateway(Class::Interactive, frame.bytes());
    });
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(LATE);
    let unknown = captures.gateway.count(|frame| frame.contains(b"unknown!"));
    let known = captures.gateway.count(|frame| frame.contains(b"known to"));
    println!("{sent} frames in {seconds:.1} s, {unknown} for nobody, {known} for a station");
    assert!(unknown >= 300, "{unknown}: a limit, not a wall");
    assert!(
        (unknown as f64) < 300.0 + 100.0 * (seconds + 1.0),
        "{unknown} in {seconds:.1} s"
    );
    let wanted = sent.div_ceil(40) as usize;
    assert!(known * 20 >= wanted * 19, "{known} of {wanted} for somebody");
    wait_for_cut(
        &party,
        &hostile,
        &[DropReason::UnknownUnicastRate],
        u64::from(sent) / 2,
    );
}

#[test]
fn the_lan_gateway_alone_holds_a_member_to_its_bandwidth() {
    const RATE: u32 = 5_000;
    const LENGTH: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.toml");
    fs::write(
        &limits,
        "[limits.bandwidth]\nbytes_per_second = 1000000\nburst_bytes = 200000\n",
    )
    .unwrap();
    let party = start(true, &["--config", &limits.display().to_string()]);
    let mut hostile = Hostile::join(&party, 7);
    let captures = Captures::start(&party);
    let station = known_station(&party);
    let frame = Frame::new(
        station,
        hostile.mac,
        GAME,
        &[&b"too much"[..], &[0x55; LENGTH - 22]].concat(),
    );
    let start = Instant::now();
    let sent = hostile.storm(RATE, STORM, |hostile, _| {
        hostile.send_to_gateway(Class::Bulk, frame.bytes());
    });
    let seconds = start.elapsed().as_secs_f64();
    // ARP and the like are not held up by it, nor is another member.
    hostile.send_decent(
        "a copy",
        Destination::Flood,
        Class::Bulk,
        How::Whole,
        &captures.gateway,
    );
    wait_for_ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), SOON).unwrap();
    thread::sleep(LATE);
    let bytes = captures.gateway.count(|frame| frame.contains(b"too much")) * LENGTH;
    println!(
        "{} bytes sent in {seconds:.1} s, {bytes} arrived",
        sent as usize * LENGTH
    );
    let most = 200_000.0 + 1_000_000.0 * (seconds + 1.0);
    assert!((bytes as f64) < most, "{bytes} bytes");
    assert!(
        (bytes as f64) > 500_000.0 * seconds,
        "{bytes} bytes: a limit, not a wall"
    );
    // A busy machine sends fewer, and loses some of the rest by itself.
    let beyond = u64::from(sent).saturating_sub(most as u64 / LENGTH as u64);
    assert!(beyond > 0, "the storm was a trickle: {sent}");
    wait_for_cut(&party, &hostile, &[DropReason::BandwidthRate], beyond / 2);
}

#[test]
fn pieces_that_nothing_follows_cost_the_lan_gateway_little_and_others_nothing() {
    const RATE: u32 = 5_000;
    let mut party = enter();
    let mut hostile = Hostile::join(&party, 9);
    let captures = Captures::start(&party);
    let before = party.process(Who::Gateway).unwrap().resident_kib().unwrap();
    let player = party.machine(Who::Player(0));
    let frame = padded(decent(hostile.mac, MARK).bytes());
    // As long as a frame can be, so that each claims the most.
    let (total, (_, first)) = (1514, pieces(&frame).next().unwrap());
    thread::scope(|scope| {
        let storm = scope.spawn(|| {
            hostile.storm(RATE, STORM, |hostile, _| {
                let header = hostile.header(Destination::Member(hostile.gateway), Class::Interactive);
                hostile.send_piece(&header, total, 0, first);
            })
        });
        let mut rounds = 0;
        while !storm.is_finished() {
            // Travels in pieces itself, there and back.
            ping(player, &GAME_SERVER.to_string(), &["-s", "1472", "-M", "do"]).unwrap();
            rounds += 1;
        }
        assert!(rounds > 1, "a player has sent pieces meanwhile");
    });
    let beside = "pieces that nothing follows";
    hostile.send_decent(
        beside,
        Destination::Flood,
        Class::Bulk,
        How::Pieces,
        &captures.gateway,
    );
    captures.assert_absent(beside, &MARK);
    let given_up = |status: &serde_json::Value| {
        let of = |reason| status["drops"][reason].as_u64().unwrap_or_default();
        of("reassembly_full") + of("reassembly_timeout")
    };
    let status = party
        .wait_for_status(Who::Gateway, "to have given up pieces", SOON, |status| {
            given_up(status) > u64::from(RATE)
        })
        .unwrap();
    let after = party.process(Who::Gateway).unwrap().resident_kib().unwrap();
    println!("{} given up, {before} KiB then {after} KiB", given_up(&status));
    assert!(after < before + 4 * 1024, "{before} KiB have become {after} KiB");
}
