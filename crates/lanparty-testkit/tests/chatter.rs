//! Thirty members who come or wake at the same moment, against the limits: what everybody says by itself gets through, a storm does not.

use std::time::{Duration, Instant};

use lanparty_core::guard::{Guard, Limits, Origin};
use lanparty_testkit::chatter::{self, Machine};
use lanparty_wire::{Class, DropReason, Frame, Mac, mtu};

const MEMBERS: u8 = 30;
/// A bound for everything that a LAN may hear from one member, in frames to everybody each second.
const MOST: usize = 1_000;

/// What was said in a moment and what became of it.
struct Outcome {
    said: usize,
    refused: Vec<(Class, DropReason)>,
}

/// Members are Windows machines and Macs by turns, and every fifth one shares the line with a phone.
fn machine(number: u8) -> Machine {
    match number % 5 {
        0 => Machine::Phone,
        1 | 3 => Machine::Mac,
        _ => Machine::Windows,
    }
}

fn mac(number: u8) -> [u8; 6] {
    [2, 0x73, 0, 0, 0, number]
}

/// Sends what a machine says through `guard`, as if its game and its discovery began at the same moment.
fn come(guard: &mut Guard, start: Instant, said: &[(Duration, Vec<u8>)]) -> Outcome {
    let refused = said.iter().filter_map(|(at, frame)| {
        let class = lanparty_core::guard::class_of(frame);
        let refused = guard.admit(start + *at, Frame::plain(frame)).err()?;
        Some((class, refused))
    });
    Outcome {
        refused: refused.collect(),
        said: said.len(),
    }
}

fn guard_of(number: u8, now: Instant) -> Guard {
    let origin = Origin::Member {
        mac: Mac(mac(number)),
    };
    Guard::new(origin, mtu::DEFAULT_MTU, &Limits::default(), now)
}

#[test]
fn what_thirty_members_say_when_they_come_at_once_all_gets_through() {
    let start = Instant::now();
    let mut said = 0;
    for number in 1..=MEMBERS {
        // Client, relay and LAN gateway have one each with the same limits; who passes one passes all.
        let mut guard = guard_of(number, start);
        let outcome = come(
            &mut guard,
            start,
            &chatter::arrival(machine(number), number, mac(number)),
        );
        said += outcome.said;
        assert_eq!(
            outcome.refused,
            [],
            "of {} frames of {:?}",
            outcome.said,
            machine(number)
        );
    }
    println!("{said} frames of {MEMBERS} members, none refused");
}

#[test]
fn what_a_lan_full_of_machines_says_all_gets_through() {
    const STATIONS: u8 = 90;
    let start = Instant::now();
    let mut guard = Guard::new(Origin::Lan, mtu::DEFAULT_MTU, &Limits::lan(), start);
    let mut said: Vec<(Duration, Vec<u8>)> = (1..=STATIONS)
        .flat_map(|number| {
            // Sixty phones, and thirty of all kinds.
            let machine = if number > MEMBERS {
                Machine::Phone
            } else {
                machine(number)
            };
            chatter::arrival(machine, number, mac(number))
        })
        .collect();
    said.sort_by_key(|(at, _)| *at);
    let outcome = come(&mut guard, start, &said);
    println!(
        "{} frames of {STATIONS} stations, {} refused",
        outcome.said,
        outcome.refused.len()
    );
    assert_eq!(outcome.refused, []);
}

#[test]
fn a_member_that_says_it_all_again_and_again_is_held_to_a_thousand_a_second() {
    const SECONDS: u64 = 10;
    let start = Instant::now();
    let mut guard = guard_of(1, start);
    let said: Vec<Vec<u8>> = [Machine::Windows, Machine::Mac]
        .iter()
        .flat_map(|&machine| chatter::arrival(machine, 1, mac(1)))
        .map(|(_, frame)| frame)
        .collect();
    // Fifty thousand a second.
    let every = Duration::from_micros(20);
    let all = (SECONDS * 50_000) as u32;
    let mut passed = vec![0; SECONDS as usize + 1];
    for number in 0..all {
        let at = every * number;
        // Each a little different, as a storm of a program may be.
        let mut frame = said[number as usize % said.len()].clone();
        let end = frame.len() - 4;
        frame[end..].copy_from_slice(&number.to_be_bytes());
        if guard.admit(start + at, Frame::plain(&frame)).is_ok() {
            passed[at.as_secs() as usize] += 1;
        }
    }
    println!("{passed:?} of 50,000 each second passed");
    // The first second has the bursts in it.
    let later = &passed[2..SECONDS as usize];
    assert!(later.iter().all(|&count| count <= MOST), "{passed:?}");
    assert!(
        later.iter().all(|&count| count > 0),
        "a limit, not a wall: {passed:?}"
    );
}

#[test]
fn the_page_shows_the_table_as_it_is() {
    let page = include_str!("../../../docs/chatter.md");
    let table = chatter::markdown();
    assert!(page.contains(&table), "docs/chatter.md should show:\n{table}");
}
