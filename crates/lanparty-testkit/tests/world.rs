//! Thirty members behind bad lines, in virtual time, on many seeds; and worlds with a switch broken on purpose, which must not pass.

mod world_party;

use std::time::Duration;

use lanparty_testkit::world::{
    World, WorldConfig,
    ledger::{Summary, Target},
    link::LinkConfig,
};
use world_party::{
    Party,
    broken::{FloodsUnicast, ForgetsWhoIsRemote, SwallowsBroadcast},
};

const SEEDS: u64 = 120;

#[test]
fn every_copy_of_every_frame_is_accounted_for() {
    let summaries = on_all_seeds(|seed| {
        let mut party = Party::new(World::new(WorldConfig::seeded(seed)));
        party.play(60);
        party.finish()
    });
    let total = summaries.iter().fold(Summary::default(), |sum, one| sum + *one);
    println!("{total:?}");
    assert!(total.arrived > 300 * SEEDS as usize, "{total:?}");
    assert!(total.lost > total.due / 50, "2 % up and 2 % down: {total:?}");
    assert!(
        total.excused < total.due / 20,
        "too much is excused to prove anything: {total:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut party = Party::new(World::new(WorldConfig::seeded(seed)));
        party.play(60);
        party.world.trace()
    };
    let first = trace(7);
    assert_eq!(first, trace(7));
    assert_ne!(first, trace(8));
}

#[test]
fn a_switch_that_floods_unicast_is_found() {
    let mut party = Party::new(World::with_forwarding(WorldConfig::seeded(1), FloodsUnicast::new));
    party.play(40);
    let failure = party.finish().unwrap_err();
    assert!(failure.what.contains("for One"), "{failure}");
    let capture = failure.capture.expect("the capture is written");
    assert!(std::fs::metadata(&capture).unwrap().len() > 10_000);
    std::fs::remove_file(capture).unwrap();
}

#[test]
fn a_switch_that_swallows_broadcast_is_found() {
    let mut party = Party::new(World::with_forwarding(
        WorldConfig::seeded(1),
        SwallowsBroadcast::new,
    ));
    party.play(40);
    let failure = party.finish().unwrap_err();
    assert!(failure.what.contains("never got"), "{failure}");
    std::fs::remove_file(failure.capture.unwrap()).unwrap();
}

#[test]
fn a_looped_lan_brings_nothing_back_unless_the_switch_reflects() {
    let looped = WorldConfig {
        looped_lan: true,
        ..WorldConfig::seeded(3)
    };
    let mut sound = Party::new(World::new(looped));
    sound.play(40);
    let result = sound.finish();
    assert!(result.is_ok(), "{result:?}");
    let mut broken = Party::new(World::with_forwarding(looped, ForgetsWhoIsRemote::new));
    broken.play(40);
    let failure = broken.finish().unwrap_err();
    assert!(failure.what.contains("came back to"), "{failure}");
    std::fs::remove_file(failure.capture.unwrap()).unwrap();
}

#[test]
fn a_line_that_is_full_delays_the_patient_and_not_the_urgent() {
    let slow = WorldConfig {
        link: LinkConfig {
            latency: Duration::from_millis(10),
            bytes_per_second: Some(250_000),
            ..LinkConfig::PERFECT
        },
        ..WorldConfig::seeded(5)
    };
    let mut party = Party::with_players(World::new(slow), 2);
    let (from, to) = (party.players[0], party.players[1]);
    let world = &mut party.world;
    for _ in 0..100 {
        world.send(from, Target::One(to), 1, 1400);
    }
    world.send(from, Target::One(to), 2, 100);
    let sent = world.now();
    world.run_for(Duration::from_millis(50));
    let urgent = world.arrived_at(to, 2).expect("it has passed what waits");
    // 10 ms twice, one full datagram that is being sent on each line, and itself.
    assert!(urgent - sent < Duration::from_millis(35), "{:?}", urgent - sent);
    world.run_for(Duration::from_secs(3));
    assert!(world.arrived_at(to, 1).unwrap() - sent > Duration::from_millis(500));
    let result = party.finish();
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_restarted_relay_gives_everybody_his_place_back() {
    let mut party = Party::new(World::new(WorldConfig::seeded(9)));
    party.play(20);
    party.come_all_back();
    party.world.settle();
    let before = party.members();
    party.world.restart_relay();
    for player in party.seats() {
        party.world.connect(player);
    }
    party.world.settle();
    assert_eq!(party.members(), before, "the same ids, and the same lives");
    party.play(20);
    let result = party.finish();
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn flooders_do_not_delay_a_player_on_somebodys_downlink() {
    let slow = WorldConfig {
        link: LinkConfig {
            latency: Duration::from_millis(10),
            bytes_per_second: Some(500_000),
            ..LinkConfig::PERFECT
        },
        ..WorldConfig::seeded(11)
    };
    let mut party = Party::with_players(World::new(slow), 5);
    let [flooder, other_flooder, copier, player, target] = party.players[..] else {
        panic!("five players");
    };
    // A copy would fill the target's line alone, and so would two floods of the player's own class.
    for round in 0..100 {
        for _ in 0..6 {
            party.world.send(copier, Target::One(target), 1, 1400);
        }
        for _ in 0..14 {
            party.world.send(flooder, Target::One(target), 2, 300);
            party.world.send(other_flooder, Target::One(target), 3, 300);
        }
        if round % 10 == 0 {
            party.world.send(player, Target::One(target), 100 + round, 90);
            party.world.run_for(Duration::from_millis(40));
            let arrived = party.world.arrived_at(target, 100 + round);
            assert!(arrived.is_some(), "round {round}: it still waits");
        } else {
            party.world.run_for(Duration::from_millis(10));
        }
    }
}

#[test]
fn small_packets_survive_a_last_mile_that_loses_two_percent() {
    let lossy = WorldConfig {
        link: LinkConfig {
            latency: Duration::from_millis(15),
            loss: 0.02,
            bytes_per_second: Some(2_500_000),
            ..LinkConfig::PERFECT
        },
        ..WorldConfig::seeded(13)
    };
    let mut party = Party::with_players(World::new(lossy), 2);
    let (host, player) = (party.hosts[0], party.players[0]);
    for round in 0..12_000 {
        // A game of sixty updates a second each way, a minute to get warm, then two that count.
        let flow = 1 + u16::from(round >= 4_000);
        party.world.send(player, Target::One(host), flow, 120);
        party.world.send(host, Target::One(player), flow, 260);
        party.world.run_for(Duration::from_micros(16_667));
    }
    party.world.settle();
    for station in [host, player] {
        let (due, got) = party.world.delivered(station, 2);
        assert!(due > 7_900, "{due}");
        let lost = (due - got) as f64 / due as f64;
        assert!(lost <= 0.0002, "{station:?} misses {} of {due}", due - got);
        let (due, got) = party.world.delivered(station, 1);
        assert!(
            got < due,
            "without copies it would lose 4 %, and at first there are none"
        );
    }
    let result = party.world.verdict();
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_sparse_flow_is_protected_within_half_a_minute() {
    let lossy = WorldConfig {
        link: LinkConfig {
            latency: Duration::from_millis(15),
            loss: 0.02,
            ..LinkConfig::PERFECT
        },
        ..WorldConfig::seeded(14)
    };
    let mut party = Party::with_players(World::new(lossy), 2);
    let (host, player) = (party.hosts[0], party.players[0]);
    for round in 0..9_900 {
        // Thirty packets a second each way, for half a minute and then for five minutes that count.
        let flow = 1 + u16::from(round >= 900);
        party.world.send(player, Target::One(host), flow, 90);
        party.world.send(host, Target::One(player), flow, 90);
        party.world.run_for(Duration::from_micros(33_333));
    }
    party.world.settle();
    for station in [host, player] {
        let (due, got) = party.world.delivered(station, 2);
        assert!(due >= 8_990, "{due}");
        let lost = (due - got) as f64 / due as f64;
        assert!(lost < 0.001, "{station:?} misses {} of {due}", due - got);
    }
    let result = party.world.verdict();
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_busy_lan_is_not_held_to_what_one_player_may_send() {
    let perfect = WorldConfig {
        link: LinkConfig::PERFECT,
        ..WorldConfig::seeded(6)
    };
    let mut party = Party::with_players(World::new(perfect), 2);
    let (host, player) = (party.hosts[0], party.players[0]);
    for _ in 0..900 {
        party.world.send(host, Target::Everybody, 1, 200);
    }
    party.world.run_for(Duration::from_secs(1));
    let result = party.world.verdict();
    assert!(result.is_ok(), "{result:?}");
    for _ in 0..900 {
        party.world.send(player, Target::Everybody, 1, 200);
    }
    party.world.run_for(Duration::from_secs(1));
    let failure = party.world.verdict().unwrap_err();
    assert!(failure.what.contains("flood_rate"), "{failure}");
    std::fs::remove_file(failure.capture.unwrap()).unwrap();
}

/// Runs `scenario` for every seed, on all processors.
fn on_all_seeds<T: Send>(
    scenario: impl Fn(u64) -> Result<T, lanparty_testkit::world::Failure> + Sync,
) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let run = |thread: u64| {
        let seeds = (thread..SEEDS).step_by(threads as usize);
        seeds.map(&scenario).collect::<Result<Vec<T>, _>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| match thread.join().expect("a scenario has panicked") {
                Ok(results) => results,
                Err(failure) => panic!("{failure}"),
            })
            .collect()
    })
}
