//! Buckets in virtual time.

use std::num::NonZeroU32;

use lanparty_wire::{DropReason::*, Mac, Offload, ethertype};

use super::{
    super::{Bandwidth, Rate},
    *,
};

fn shout() -> Vec<u8> {
    ether(
        Mac::BROADCAST,
        ethertype::IPV4,
        &ipv4(17, &[], &udp(27015, 27015, &[0xff; 25])),
    )
}

fn arp() -> Vec<u8> {
    ether(Mac::BROADCAST, ethertype::ARP, &[0; 46])
}

fn mdns(which: usize) -> Vec<u8> {
    let question = [&which.to_be_bytes()[..], &[0; 32]].concat();
    ether(
        Mac::BROADCAST,
        ethertype::IPV4,
        &ipv4(17, &[], &udp(5353, 5353, &question)),
    )
}

/// How many of `count` different questions pass at once.
fn questions_passing(guard: &mut Guard, now: Instant, count: usize) -> usize {
    (0..count)
        .filter(|which| guard.admit(now, Frame::plain(&mdns(*which))).is_ok())
        .count()
}

/// How many of `count` frames pass at once.
fn passing(guard: &mut Guard, now: Instant, frame: &[u8], count: usize) -> usize {
    (0..count)
        .filter(|_| guard.admit(now, Frame::plain(frame)).is_ok())
        .count()
}

#[test]
fn a_burst_passes_then_the_rate() {
    let limits = Limits::default();
    let mut guard = of_member();
    let (rate, burst) = (
        limits.flood.per_second.get() as usize,
        limits.flood.burst.get() as usize,
    );
    assert_eq!(passing(&mut guard, start(), &shout(), 5000), burst);
    assert_eq!(guard.admit(start(), Frame::plain(&shout())), Err(FloodRate));
    assert_eq!(passing(&mut guard, after(500), &shout(), 5000), rate / 2);
    // However long it was silent, no more than the burst.
    assert_eq!(passing(&mut guard, after(3_600_000), &shout(), 5000), burst);
}

#[test]
fn time_that_goes_back_refills_nothing() {
    let mut guard = of_member();
    passing(&mut guard, after(1000), &shout(), 5000);
    assert_eq!(passing(&mut guard, start(), &shout(), 5000), 0);
}

#[test]
fn a_flood_touches_no_other_class() {
    let mut guard = of_member();
    for now in (0..10_000).step_by(10).map(after) {
        passing(&mut guard, now, &shout(), 500);
        questions_passing(&mut guard, now, 50);
    }
    assert_eq!(questions_passing(&mut guard, after(10_000), 50), 1);
    assert_eq!(
        questions_passing(&mut guard, after(10_001), 50),
        0,
        "chatter is used up"
    );
    assert_eq!(passing(&mut guard, after(10_001), &arp(), 300), 300);
    assert_eq!(
        guard.admit(after(10_001), Frame::plain(&arp())),
        Err(NeighborRate)
    );
    let ping = v4(&ipv4(1, &[], &[8, 0, 0, 0]));
    assert_eq!(passing(&mut guard, after(10_001), &ping, 300), 300);
}

#[test]
fn a_flooding_member_stays_below_a_thousand_frames_a_second() {
    let mut guard = of_member();
    let frames = [shout(), arp()];
    let passed: usize = (1_000..11_000)
        .map(|ms| {
            let shouted: usize = frames
                .iter()
                .map(|frame| passing(&mut guard, after(ms), frame, 17))
                .sum();
            shouted + questions_passing(&mut guard, after(ms), 17)
        })
        .sum();
    let bursts = 500 + 300 + 300;
    assert!(passed <= 10 * 1_000 + bursts, "{passed}");
    assert!(passed >= 10 * 600, "{passed}: a game night would suffer");
}

#[test]
fn bytes_are_limited_and_neighbors_are_not_in_them() {
    let limits = Limits {
        bandwidth: Bandwidth::new(1_000_000, 200_000),
        ..Limits::default()
    };
    let mut guard = Guard::new(Origin::Member { mac: MEMBER }, 1500, &limits, start());
    let full = ether(STATION, 0x1234, &[0; 1486]);
    assert_eq!(passing(&mut guard, start(), &full, 1000), 200_000 / 1500);
    assert_eq!(guard.admit(start(), Frame::plain(&full)), Err(BandwidthRate));
    assert_eq!(passing(&mut guard, start(), &arp(), 300), 300);
    let passed: usize = (1..=10_000)
        .map(|ms| passing(&mut guard, after(ms), &full, 3))
        .sum();
    assert!(
        (6_650..=6_667).contains(&passed),
        "{passed} frames of 1500 bytes in 10 s"
    );
}

#[test]
fn odd_lengths_are_counted_to_the_byte() {
    let limits = Limits {
        bandwidth: Bandwidth::new(64_000, 128 << 10),
        ..Limits::default()
    };
    let mut guard = Guard::new(Origin::Member { mac: MEMBER }, 1500, &limits, start());
    let odd = ether(STATION, 0x1234, &[0; 65 - 14]);
    let passed: usize = (0..100_000)
        .map(|ms| passing(&mut guard, after(ms), &odd, 2))
        .sum();
    let expected = (64_000 * 100 + (128 << 10)) / 65;
    assert!(passed.abs_diff(expected) < 10, "{passed} instead of {expected}");
}

#[test]
fn segments_are_counted_and_not_super_frames() {
    let payload = vec![7; 20 * 100];
    let bytes = ether(
        Mac::BROADCAST,
        ethertype::IPV4,
        &ipv4(17, &[], &udp(9, 9, &payload)),
    );
    let offload = Offload::UdpSegments {
        size: 100,
        header_len: 42,
    };
    let frame = Frame {
        bytes: &bytes,
        offload,
    };
    let mut guard = of_member();
    let passed = (0..100).filter(|_| guard.admit(start(), frame).is_ok()).count();
    assert_eq!(passed, 500 / 20);
    let passed = (0..100)
        .filter(|_| guard.admit_unknown_unicast(start(), frame).is_ok())
        .count();
    assert_eq!(passed, 300 / 20);
}

#[test]
fn the_headers_of_segments_are_bytes_too() {
    let limits = Limits {
        bandwidth: Bandwidth::new(1_000_000, 1),
        ..Limits::default()
    };
    let mut guard = Guard::new(Origin::Member { mac: MEMBER }, 1500, &limits, start());
    let bytes = v4(&ipv4(6, &[], &tcp((5000, 80), ACK, &[], &[7; 50_000])));
    let offload = Offload::TcpSegments {
        size: 50,
        header_len: 54,
    };
    // 104,000 bytes of the least burst of 131,072, which a burst of one counts as.
    assert!(
        guard
            .admit(
                start(),
                Frame {
                    bytes: &bytes,
                    offload
                }
            )
            .is_ok()
    );
    let rest = v4(&ipv4(6, &[], &tcp((5000, 80), ACK, &[], &[7; 1446])));
    assert_eq!(
        passing(&mut guard, start(), &rest, 100),
        (131_072 - 104_000) / 1500
    );
}

#[test]
fn frames_for_unknown_stations_have_a_bucket_of_their_own() {
    let mut guard = of_member();
    let frame = ether(STATION, 0x1234, &[0; 46]);
    let mut asked = |now| guard.admit_unknown_unicast(now, Frame::plain(&frame));
    assert_eq!((0..1000).filter(|_| asked(start()).is_ok()).count(), 300);
    assert_eq!(asked(start()), Err(UnknownUnicastRate));
    assert_eq!((0..1000).filter(|_| asked(after(1000)).is_ok()).count(), 100);
    assert_eq!(passing(&mut guard, after(1000), &frame, 1000), 1000);
}

#[test]
fn refused_frames_cost_nothing() {
    let mut guard = of_member();
    let offer = ether(
        Mac::BROADCAST,
        ethertype::IPV4,
        &ipv4(17, &[], &udp(67, 68, &[2])),
    );
    assert_eq!(passing(&mut guard, start(), &offer, 10_000), 0);
    assert_eq!(passing(&mut guard, start(), &arp(), 300), 300);
}

#[test]
fn a_question_that_is_asked_over_and_over_passes_now_and_then_and_leaves_others_their_room() {
    let mut guard = of_member();
    let passed: usize = (0..1000)
        .map(|ms| passing(&mut guard, after(ms), &mdns(0), 50))
        .sum();
    assert_eq!(passed, 25, "once in 40 ms");
    assert_eq!(
        guard.admit(after(999), Frame::plain(&mdns(0))),
        Err(RepeatedChatter)
    );
    let left = questions_passing(&mut guard, after(999), 1000);
    assert!(left > 250, "{left} of the burst of 300");
}

#[test]
fn what_somebody_waits_for_may_be_said_again_at_once() {
    let dhcp = ether(
        Mac::BROADCAST,
        ethertype::IPV4,
        &ipv4(17, &[], &udp(68, 67, &[1; 240])),
    );
    let report = v6(&ipv6(0, &extension(58, 0, &[143, 0, 0, 0, 0, 0, 0, 0])));
    // A question to one station is answered by that one alone.
    let asked_one = v4(&ipv4(17, &[], &udp(137, 137, &[0; 50])));
    for frame in [shout(), arp(), dhcp, report, asked_one] {
        assert_eq!(passing(&mut of_member(), start(), &frame, 10), 10);
    }
}

#[test]
fn sixty_phones_on_the_lan_are_no_storm() {
    let mut guard = Guard::new(
        Origin::Lan,
        1500,
        &Limits {
            chatter: Rate::new(1, 1),
            ..Limits::default()
        },
        start(),
    );
    assert_eq!(questions_passing(&mut guard, start(), 60 * 50), 60 * 50);
    assert!(passing(&mut guard, start(), &shout(), 50_000) < 20_000);
}

#[test]
fn the_largest_limits_overflow_nothing() {
    let rate = Rate {
        per_second: NonZeroU32::MIN,
        burst: NonZeroU32::MAX,
    };
    let limits = Limits {
        neighbor: rate,
        chatter: rate,
        flood: rate,
        unknown_unicast: rate,
        bandwidth: Bandwidth::new(u64::MAX, u64::MAX),
    };
    let mut guard = Guard::new(Origin::Member { mac: MEMBER }, 1500, &limits, start());
    for years in [0, 1, 50] {
        let now = start() + Duration::from_secs(years * 365 * 86_400);
        assert_eq!(passing(&mut guard, now, &shout(), 100), 100);
        assert!(guard.admit_unknown_unicast(now, Frame::plain(&shout())).is_ok());
    }
}
