//! The relay stops, dies and comes back; and what it needs to run.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::common::{Machine, Relay, SOON, mac};
use lanparty_quic::PathClosed;
use lanparty_wire::{
    LeaveReason,
    control::{Message, Role},
};

#[test]
fn a_killed_relay_is_noticed_at_the_next_packet_and_gives_everybody_his_id_back() {
    let relay = Relay::start(&[]);
    let (ada, bob, eve) = (Machine::new(), Machine::new(), Machine::new());
    let before = ada.player(&relay, 1);
    let other = bob.player(&relay, 2);
    let relay = relay.kill_and_restart();
    let sent = Instant::now();
    before.send_datagram(vec![0; 100]).unwrap();
    assert_eq!(closed(&before), PathClosed::Reset);
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());

    let stolen = eve
        .try_join(&relay, Role::Client, Some(mac(1)))
        .map(drop)
        .unwrap_err();
    assert!(stolen.to_string().contains("held for the member"), "{stolen}");
    let after = ada.player(&relay, 1);
    assert_eq!(after.id(), before.id());
    assert!(after.welcome().incarnation > before.welcome().incarnation);
    assert_eq!(bob.player(&relay, 2).id(), other.id());
}

#[test]
fn a_relay_that_stops_says_so_and_ends_well() {
    let mut relay = Relay::start(&[]);
    let ada = Machine::new();
    let mut ada = ada.player(&relay, 1);
    assert_eq!(relay.terminate(), Some(0));
    let reason = ada.wait_control(SOON, |message| match message {
        Message::Goodbye { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.unwrap(), LeaveReason::RelayShutdown);
    assert_eq!(closed(&ada), PathClosed::Peer(LeaveReason::RelayShutdown));
}

#[test]
fn a_serving_relay_has_no_capability() {
    let relay = Relay::start(&[]);
    assert_eq!(relay.capabilities(), 0);
}

#[test]
fn two_relays_do_not_share_a_state_dir_and_a_wrong_command_line_is_explained() {
    let relay = Relay::start(&[]);
    let state = relay.certificate().with_file_name("relay");
    let run = |arguments: &[&str]| {
        let output = Command::new("timeout")
            .args(["10", env!("CARGO_BIN_EXE_lanparty-relay")])
            .arg("--state-dir")
            .arg(&state)
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(6), "{text}");
    let (code, text) = run(&["--listen", "443/tcp"]);
    assert!(code == Some(2) && text.contains("443/udp"), "{text}");
    let (code, text) = run(&["--cert", "a.pem"]);
    assert!(code == Some(2) && text.contains("--key"), "{text}");
}

#[test]
fn a_taken_port_is_named_with_advice() {
    let relay = Relay::start(&[]);
    let state = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["10", env!("CARGO_BIN_EXE_lanparty-relay")])
        .args(["--listen", &relay.address.to_string(), "--state-dir"])
        .arg(state.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(3) && text.contains("what to do"),
        "{text}"
    );
}

fn closed(member: &lanparty_testkit::member::BareMember) -> PathClosed {
    let until = Instant::now() + SOON;
    loop {
        if let Some(closed) = member.link().close_reason() {
            return closed;
        }
        assert!(Instant::now() < until, "the connection lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
