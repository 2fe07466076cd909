//! What goes through is what was sent: streams whole, datagrams in their order, with the kernel's offloads on as they are on real machines,
//! over IPv4 and IPv6.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    GAME_SERVER, Lab, Machine, Party, RELAY6, TAP, Who,
    copy::{content, copy},
    probe::ping,
};

const LIMIT: Duration = Duration::from_secs(30);
const PLAYER: Who = Who::Player(0);
const PORT: u16 = 27_970;

static PARTY: LazyLock<Mutex<Party>> =
    LazyLock::new(|| Mutex::new(Party::start(&Lab::builder().player_mtu(1400)).unwrap()));

fn party() -> MutexGuard<'static, Party> {
    PARTY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_file_copy_arrives_whole_in_both_directions() {
    let party = party();
    let lease = party.wait_for_lease(0, LIMIT).unwrap();
    let (player, games) = (party.machine(PLAYER), &party.lab.lan.games);
    copy_file((player, lease), (games, GAME_SERVER));
    copy_file((games, GAME_SERVER), (player, lease));
}

#[test]
fn datagrams_of_a_flow_arrive_once_and_in_their_order() {
    const COUNT: u32 = 6_000;
    let party = party();
    let lease = party.wait_for_lease(0, LIMIT).unwrap();
    let ends = [
        (party.machine(PLAYER), lease),
        (&party.lab.lan.games, GAME_SERVER),
    ];
    for ((from, source), (to, target)) in [(ends[0], ends[1]), (ends[1], ends[0])] {
        let receiver = to.inside(|| UdpSocket::bind((target, PORT)).unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let sender = from.inside(|| UdpSocket::bind((source, 0)).unwrap()).unwrap();
        let sending = thread::spawn(move || {
            let start = Instant::now();
            for number in 0..COUNT {
                // Sizes of games, some too large for one datagram of the tunnel.
                let size = [64, 300, 1000, 1472][number as usize % 4];
                let mut datagram = vec![0; size];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                sender.send_to(&datagram, (target, PORT)).unwrap();
                let due = Duration::from_micros(500) * number;
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
        });
        let mut numbers = Vec::new();
        let mut buffer = [0; 1500];
        while let Ok(length) = receiver.recv(&mut buffer) {
            assert!(length >= 64);
            numbers.push(u32::from_be_bytes(buffer[..4].try_into().unwrap()));
        }
        sending.join().unwrap();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "from {}: out of order or twice",
            from.name()
        );
        assert!(
            numbers.len() > COUNT as usize * 98 / 100,
            "{} of {COUNT} came",
            numbers.len()
        );
    }
}

#[test]
fn a_player_with_a_small_mtu_of_his_own_choice_plays_on_a_full_size_lan() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.launch_with(PLAYER, &["--mtu", "1200"]).unwrap();
    let lease = party.wait_for_lease(0, LIMIT).unwrap();
    let (player, games) = (party.machine(PLAYER), &party.lab.lan.games);
    assert_eq!(
        player
            .run(&format!("cat /sys/class/net/{TAP}/mtu"))
            .unwrap()
            .trim(),
        "1200"
    );
    ping(player, &GAME_SERVER.to_string(), &["-M", "do", "-s", "1172"]).unwrap();
    copy_file((player, lease), (games, GAME_SERVER));
    copy_file((games, GAME_SERVER), (player, lease));
}

#[test]
fn everybody_meets_over_ipv6() {
    let mut party = Party::prepare(&Lab::builder().ipv6()).unwrap();
    party.meet_at(&format!("[{RELAY6}]"));
    for who in party.everybody() {
        party.launch(who).unwrap();
    }
    party.wait_for_lease(0, LIMIT).unwrap();
    ping(
        party.machine(PLAYER),
        &GAME_SERVER.to_string(),
        &["-M", "do", "-s", "1472"],
    )
    .unwrap();
    let status = party.status(PLAYER).unwrap();
    let remote = status["endpoint"]["relay"]["remote"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(remote.contains(&RELAY6.to_string()), "{remote}");
}

/// Copies a file, which comes from the address that its sender has.
fn copy_file((from, source): (&Machine, Ipv4Addr), (to, target): (&Machine, Ipv4Addr)) {
    let seen = copy(from, to, target, &content(20_000_000)).unwrap();
    assert_eq!(seen, source);
}
