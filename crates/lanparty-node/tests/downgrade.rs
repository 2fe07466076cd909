//! A relay that says of a sealed room that it is open: it could read what is sent there, so nobody stays.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod common;

use std::{
    future::pending,
    time::{Duration, SystemTime},
};

use common::{HOST, Open, newcomer, open, welcome};
use lanparty_api::{
    Program, Status,
    cli::{ExitCode, Failure},
};
use lanparty_core::admission::{Host, HostConfig, HostState, NewInvite};
use lanparty_node::{EndpointError, SealedConfig, endpoint, first_status};
use lanparty_os::device::{Medium, memory};
use lanparty_quic::{Inbound, Listener};
use lanparty_wire::{HostKey, Invite, LeaveReason, Pin, RejectReason, Standing, UnixTime, control::Message};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

const NOW: UnixTime = UnixTime(1_700_000_000);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_room_that_is_said_to_be_open_is_not_joined() {
    assert_leaves(meet(&[false]).await);
}

#[tokio::test]
async fn a_room_that_is_said_to_be_open_after_all_is_left() {
    assert_leaves(meet(&[true, false]).await);
}

fn assert_leaves(end: EndpointError) {
    assert!(matches!(end, EndpointError::Downgraded), "{end:?}");
    let failure = Failure::from(end);
    assert_eq!(failure.code(), ExitCode::Trust);
    assert!(failure.to_string().contains("tell the host"), "{failure}");
}

/// Why a guest with a link has ended, at a relay that says at each connection whether the room is sealed, and ends all but the last.
async fn meet(says: &'static [bool]) -> EndpointError {
    let state = TempDir::new().unwrap();
    let Open {
        address,
        pin,
        listener,
        mut engine,
    } = open(state.path());
    let relay = tokio::spawn(async move { engine.drive_until(serve(listener, says)).await });
    let mut config = newcomer(&address, state.path().join("known-relays.json"));
    let invite = invite(&address, pin);
    config.room = invite.room().into();
    config.trust.pin = invite.pin;
    let sealed = SealedConfig::Guest {
        invite,
        file: state.path().join("membership.json"),
    };
    let (device, _far_end) = memory::pair(Medium::Ethernet, 64);
    let first: Status = first_status(Program::Client, &config, SystemTime::now());
    let (guest, _handle) =
        endpoint(config, Some(sealed), device, pending, watch::Sender::new(first)).unwrap();
    let end = timeout(PATIENCE, guest.run()).await.unwrap().unwrap_err();
    relay.abort();
    end
}

async fn serve(listener: Listener, says: &[bool]) {
    for (at, &sealed) in says.iter().enumerate() {
        let incoming = listener.knock().await.unwrap();
        let nobody = |_, _| Err(RejectReason::UnknownCode);
        let inbound = Inbound::accept(incoming, PATIENCE, nobody).await.unwrap();
        let (link, mut sender, _receiver) = inbound.split();
        let mut welcome = welcome(HOST + 2);
        welcome.sealed = sealed;
        sender.send(&Message::Welcome(welcome)).await.unwrap();
        if at + 1 < says.len() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            link.close(LeaveReason::RelayShutdown);
        }
    }
    pending().await
}

fn invite(relay: &str, pin: Pin) -> Invite {
    let mut host = Host::new(
        HostKey::from_seed(&[1; 32]),
        HostConfig::default(),
        HostState::default(),
    )
    .unwrap();
    let new = NewInvite {
        uses: None,
        lifetime: None,
        standing: Standing::Player,
        only_for: None,
    };
    let made = host.create_invite(NOW, &mut rand::rng(), &new).unwrap();
    Invite {
        relay: relay.parse().unwrap(),
        host: host.identity(),
        pin: Some(pin),
        id: made.id,
        secret: made.secret,
        expires: None,
        one_use: false,
        approval: false,
    }
}
