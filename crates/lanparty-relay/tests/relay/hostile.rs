//! A member that wants to spoil another's evening by what the relay passes on for it.

use std::time::{Duration, Instant};

use crate::common::{Machine, Relay, datagram, frame, mac};
use lanparty_testkit::member::BareMember;
use lanparty_wire::{Destination, DropReason, MemberId, control::Message};

const FLOOD: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_millis(2);

#[test]
fn a_flood_of_the_largest_envelopes_neither_evicts_nor_starves_its_victim() {
    let relay = Relay::start(&[]);
    let machines = [Machine::new(), Machine::new(), Machine::new(), Machine::new()];
    let ada = machines[0].player(&relay, 1);
    let mut bob = machines[1].player(&relay, 2);
    let (eve, mallory) = (machines[2].player(&relay, 3), machines[3].player(&relay, 4));
    let (victim, eve_id) = (bob.id(), eve.id());
    let until = Instant::now() + FLOOD;
    let (sent, received) = std::thread::scope(|scope| {
        scope.spawn(move || flood(eve, victim, 60 * 1024, until));
        scope.spawn(move || flood(mallory, victim, 4 * 1024, until));
        let sender = scope.spawn(|| play(&ada, victim, until));
        let arrivals = bob.arrivals();
        let receiver = scope.spawn(move || arrivals.until(until + Duration::from_millis(200)).len());
        // A victim that reads what it is told: only then does the relay go on sending it.
        let none = bob.wait_control(FLOOD, |message| {
            matches!(message, Message::Goodbye { .. }).then_some(())
        });
        assert!(none.is_err(), "the victim was put out");
        let received = receiver.join().unwrap();
        let status = relay.wait_status("drops", |status| status.drops.of(DropReason::DatagramBudget) > 0);
        let room = &status.relay.as_ref().unwrap().rooms[0];
        let of = |id| room.members.iter().find(|member| member.id == id);
        assert!(of(victim).is_some(), "the victim was put out");
        if let Some(eve) = of(eve_id) {
            assert!(eve.drops.of(DropReason::DatagramBudget) > 0);
        }
        (sender.join().unwrap(), received)
    });
    assert!(bob.link().close_reason().is_none());
    assert!(sent > 300, "{sent}");
    assert!(received * 10 >= sent * 9, "{received} of {sent}");
}

#[test]
fn an_envelope_of_the_largest_size_is_passed_on_and_one_byte_more_is_not() {
    let relay = Relay::start(&[]);
    let (ada, bob) = (Machine::new(), Machine::new());
    let mut ada = ada.player(&relay, 1);
    let mut bob = bob.player(&relay, 2);
    for size in [4097, 4096] {
        ada.send_control(&envelope(bob.id(), size)).unwrap();
    }
    let first = bob.wait_control(Duration::from_secs(5), |message| match message {
        Message::Envelope { data, .. } => Some(data.len()),
        _ => None,
    });
    assert_eq!(first.unwrap(), 4096);
    let status = relay.wait_status("the drop", |status| status.drops.total() > 0);
    assert_eq!(status.drops.of(DropReason::DatagramBudget), 1);
    let room = &status.relay.as_ref().unwrap().rooms[0];
    let blamed = room.members.iter().find(|member| member.id == ada.id()).unwrap();
    assert_eq!(blamed.drops.total(), 1);
}

/// Sends envelopes as fast as the relay takes them.
fn flood(mut member: BareMember, to: MemberId, size: usize, until: Instant) {
    let message = envelope(to, size);
    while Instant::now() < until && member.send_control(&message).is_ok() {}
}

/// Sends a game's packets, and returns how many.
fn play(member: &BareMember, to: MemberId, until: Instant) -> usize {
    let mut sent = 0;
    while Instant::now() < until {
        let packet = datagram(
            member.id(),
            Destination::Member(to),
            sent as u64,
            &frame(1, mac(2), 1),
        );
        member.send_datagram(packet).unwrap();
        sent += 1;
        std::thread::sleep(ROUND);
    }
    sent
}

fn envelope(to: MemberId, size: usize) -> Message {
    Message::Envelope {
        from: None,
        to,
        data: "A".repeat(size),
    }
}
