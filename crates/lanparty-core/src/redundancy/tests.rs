use lanparty_wire::{Kind, MemberId};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn copies_begin_and_end_at_different_losses() {
    let mut leg = Leg::new();
    leg.run(10, 1000, 4);
    assert!(!leg.redundancy.is_on(), "0.4 %");
    leg.run(10, 1000, 6);
    assert!(leg.redundancy.is_on(), "0.5 % of the window");
    leg.run(40, 1000, 3);
    assert!(leg.redundancy.is_on(), "0.3 % does not end it");
    leg.run(40, 1000, 2);
    assert!(!leg.redundancy.is_on(), "0.2 % does");
}

#[test]
fn a_single_loss_is_chance_and_silence_proves_nothing() {
    let mut leg = Leg::new();
    leg.run(3, 60, 1);
    leg.redundancy.note_stats(leg.now, 180, 2);
    assert!(!leg.redundancy.is_on());
    leg.sent = 200;
    leg.lost = 6;
    leg.redundancy.note_stats(leg.now, 200, 6);
    assert!(leg.redundancy.is_on());
    leg.run(120, 1, 0);
    assert!(
        leg.redundancy.is_on(),
        "a machine at rest has not shown that its leg is sound"
    );
}

#[test]
fn a_sparse_flow_after_a_sound_download_is_protected_soon() {
    let mut leg = Leg::new();
    leg.run(60, 5000, 0);
    let mut seconds = 0;
    while !leg.redundancy.is_on() {
        // Thirty packets a second, of which 2 % are lost.
        let lost = (seconds + 1) * 30 / 50 - seconds * 30 / 50;
        leg.run(1, 30, lost);
        seconds += 1;
        assert!(seconds <= 25, "still off");
    }
}

#[test]
fn second_copies_come_before_third_ones() {
    let mut leg = Leg::new();
    leg.run(10, 1000, 20);
    let (mut firsts, mut copies) = (0, 0);
    for number in 0..20_000_u16 {
        // 200 kB a second in many flows: second copies can be paid, third ones cannot.
        leg.now += MS / 2;
        leg.redundancy
            .push(leg.now, Class::Interactive, flow(number), 100, &1);
        firsts += 1;
        while leg.redundancy.poll(leg.now).is_some() {
            copies += 1;
        }
    }
    assert!(
        copies > firsts - 50,
        "{copies} of {firsts}: each has its second copy"
    );
    let most = (f64::from(firsts) * COST * 100.0 + 10.0 * FLOOR + SAVED) / 100.0;
    assert!(f64::from(copies) <= most, "{copies}");
}

#[test]
fn another_connection_starts_afresh() {
    let mut leg = Leg::new();
    leg.run(10, 1000, 20);
    assert!(leg.redundancy.is_on());
    leg.redundancy.note_stats(leg.now, 5, 0);
    assert!(!leg.redundancy.is_on());
}

#[test]
fn a_copy_leaves_later_and_a_third_after_that() {
    let mut redundancy = Redundancy::new(Mode::Always);
    let now = start();
    redundancy.push(now, Class::Interactive, flow(1), 100, &1);
    assert_eq!(redundancy.poll_timeout(), Some(now + SPACING));
    assert_eq!(redundancy.poll(now + SPACING - MS), None);
    assert_eq!(redundancy.poll(now + SPACING), Some(1));
    assert_eq!(redundancy.poll(now + 9 * SPACING), None, "two are enough");
    let mut leg = Leg::new();
    leg.run(10, 1000, 20);
    let now = leg.now;
    leg.redundancy.push(now, Class::Neighbor, flow(1), 100, &7);
    let left: Vec<u128> = (0..40)
        .filter_map(|ms| leg.redundancy.poll(now + ms * MS).map(|_| u128::from(ms)))
        .collect();
    assert_eq!(left, [SPACING.as_millis(), 2 * SPACING.as_millis()]);
}

#[test]
fn what_is_patient_and_what_is_heavy_is_sent_once() {
    let mut redundancy = Redundancy::new(Mode::Always);
    let mut now = start();
    for class in [Class::Bulk, Class::Chatter] {
        redundancy.push(now, class, flow(1), 100, &0);
    }
    assert!(!redundancy.has_waiting());
    // The acknowledgements of a download beside a game of sixty packets a second.
    let mut copies = [0, 0];
    for tick in 0..10_000 {
        now += MS;
        for _ in 0..2 {
            redundancy.push(now, Class::Interactive, flow(1), 90, &0);
        }
        if tick % 16 == 0 {
            redundancy.push(now, Class::Interactive, flow(2), 200, &1);
        }
        while let Some(kind) = redundancy.poll(now) {
            copies[kind] += 1;
        }
    }
    assert!(copies[0] < 200, "{copies:?} of 20000");
    assert!(copies[1] > 600, "{copies:?} of 625");
}

#[test]
fn copies_cost_a_tenth_or_what_a_game_needs() {
    let mut redundancy = Redundancy::new(Mode::Always);
    let mut now = start();
    let (mut sent, mut copied) = (0, 0);
    for tick in 0..10_000_u16 {
        now += MS;
        // 2.5 MB/s of bulk, and a megabyte of small flows that would all be copied.
        for _ in 0..2 {
            redundancy.push(now, Class::Bulk, flow(999), 1250, &0);
            sent += 1250;
        }
        for number in 0..5 {
            redundancy.push(
                now,
                Class::Interactive,
                flow(tick.wrapping_mul(7).wrapping_add(number)),
                200,
                &200,
            );
            sent += 200;
        }
        while let Some(bytes) = redundancy.poll(now) {
            copied += bytes;
        }
    }
    let most = f64::from(sent) * COST + 10.0 * FLOOR + SAVED;
    assert!(f64::from(copied) <= most, "{copied} of {sent}");
    assert!(
        f64::from(copied) > most * 0.8,
        "{copied} of {sent}: it is a bound and no ban"
    );
}

#[test]
fn a_leg_without_room_is_not_woken_for_again_and_sheds_copies() {
    let mut redundancy = Redundancy::new(Mode::Always);
    let now = start();
    redundancy.push(now, Class::Interactive, flow(1), 100, &1);
    redundancy.push(now + MS, Class::Interactive, flow(1), 100, &2);
    redundancy.handle_timeout(now + SPACING);
    assert_eq!(
        redundancy.poll_timeout(),
        Some(now + MS + SPACING),
        "only for the second"
    );
    redundancy.handle_timeout(now + MS + SPACING);
    assert_eq!(redundancy.poll_timeout(), None);
    assert_eq!(
        redundancy.poll(now + SPACING + STALE + MS),
        Some(2),
        "the first is too old"
    );
}

#[test]
fn off_is_off() {
    let mut leg = Leg::new();
    leg.redundancy.set_mode(Mode::Off);
    leg.run(10, 1000, 50);
    leg.redundancy.push(leg.now, Class::Neighbor, flow(1), 100, &1);
    assert!(!leg.redundancy.is_on() && !leg.redundancy.has_waiting());
    for mode in [Mode::Auto, Mode::Off, Mode::Always] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert_eq!("twice".parse::<Mode>(), Err(UnknownMode));
}

#[test]
fn a_relay_knows_a_copy_of_a_moment_ago() {
    let mut seen = Seen::default();
    let mut header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Interactive,
        key_id: 0,
        flow: 1,
        source: MemberId::new(1).unwrap(),
        destination: Destination::Flood,
        sequence: 0,
    };
    let mut copies = 0;
    for sequence in 0..10_000 {
        header.sequence = sequence;
        assert!(!seen.is_copy(&header), "{sequence} is new");
        header.sequence = sequence.saturating_sub(5);
        copies += usize::from(seen.is_copy(&header));
    }
    assert!(copies > 9_500, "{copies}");
    header.class = Class::Bulk;
    assert!(!seen.is_copy(&header) && !seen.is_copy(&header));
}

/// A leg whose packets are counted.
struct Leg {
    redundancy: Redundancy<i32>,
    now: Instant,
    sent: u64,
    lost: u64,
}

impl Leg {
    fn new() -> Leg {
        let mut redundancy = Redundancy::new(Mode::Auto);
        redundancy.note_stats(start(), 0, 0);
        Leg {
            redundancy,
            now: start(),
            sent: 0,
            lost: 0,
        }
    }

    fn run(&mut self, seconds: usize, sent: u64, lost: u64) {
        for _ in 0..seconds {
            self.now += SECOND;
            self.sent += sent;
            self.lost += lost;
            self.redundancy.note_stats(self.now, self.sent, self.lost);
        }
    }
}

fn flow(number: u16) -> FlowId {
    FlowId::to(Destination::Flood, number)
}

/// The same for a whole test.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}
