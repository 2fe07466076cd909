//! A newcomer with a short code against a real host's door, and a relay between them that can lie: over QUIC on this machine.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod common;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use lanparty_api::cli::{ExitCode, Failure};
use lanparty_core::{
    admission::{Host, HostConfig, HostState, Reception, ReceptionOutput, Venue},
    seal::IdentityKey,
};
use lanparty_node::{EndpointError, redeem};
use lanparty_quic::{ControlReceiver, ControlSender, Inbound, Listener};
use lanparty_wire::{
    AdmissionRefusal, HostKey, Incarnation, Invite, Mac, MemberId, PeerId, Pin, RejectReason, RoomId,
    ShortCode, UnixTime,
    control::{Member, Message, Role},
};
use tempfile::TempDir;

use common::{HOST, Open, newcomer, open, welcome};

const NOW: UnixTime = UnixTime(1_700_000_000);
const GUEST: u16 = 9;

#[tokio::test]
async fn who_knows_the_words_gets_an_invite_and_the_relays_key() {
    let scene = Scene::default();
    let (invite, relay) = scene.play(|code| code).await;
    let invite = invite.unwrap();
    assert_eq!(invite.pin, Some(relay.pin), "what the words have vouched for");
    assert_eq!(invite.relay.to_string(), relay.address, "as we have reached it");
    assert!(invite.one_use);
}

#[tokio::test]
async fn a_man_in_the_middle_at_the_relay_fails_and_nothing_of_his_is_kept() {
    let scene = Scene {
        // The host has met the real relay.
        host_saw: Some(Pin::from_bytes([9; 32])),
        ..Scene::default()
    };
    let (invite, relay) = scene.play(|code| code).await;
    assert!(
        matches!(invite, Err(EndpointError::Refused(AdmissionRefusal::WrongCode))),
        "{invite:?}"
    );
    assert!(
        !relay.known_relays.exists(),
        "the real relay would be refused from now on"
    );
}

#[tokio::test]
async fn a_wrong_word_is_a_refusal_with_4() {
    let (invite, _) = Scene::default()
        .play(|code| ShortCode::from_random(code.number, 1))
        .await;
    assert_refused(invite, "the words are not those of the host's code");
}

#[tokio::test]
async fn what_the_relay_refuses_is_said_and_not_tried_again() {
    for (reason, sentence) in [
        (RejectReason::UnknownCode, "ask the host to start the LAN gateway"),
        (RejectReason::TooManyConnections, "wait a minute"),
    ] {
        let scene = Scene {
            refuses: Some(reason),
            ..Scene::default()
        };
        assert_refused(scene.play(|code| code).await.0, sentence);
    }
}

#[tokio::test]
async fn a_host_that_has_gone_meanwhile_is_away() {
    let scene = Scene {
        is_host_there: false,
        ..Scene::default()
    };
    assert_refused(scene.play(|code| code).await.0, "the host is away");
}

#[tokio::test]
async fn a_code_never_leads_into_an_open_room() {
    let scene = Scene {
        is_sealed: false,
        ..Scene::default()
    };
    let refusal = Failure::from(scene.play(|code| code).await.0.unwrap_err());
    assert_eq!(refusal.code(), ExitCode::Trust);
}

fn assert_refused(invite: Result<Invite, EndpointError>, sentence: &str) {
    let refusal = Failure::from(invite.unwrap_err());
    assert_eq!(refusal.code(), ExitCode::Refused, "{refusal}");
    assert!(refusal.to_string().contains(sentence), "{refusal}");
}

/// What the relay does.
struct Scene {
    /// The key that the relay has shown the host, if it is not the one that it shows the newcomer.
    host_saw: Option<Pin>,
    refuses: Option<RejectReason>,
    is_host_there: bool,
    is_sealed: bool,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene {
            host_saw: None,
            refuses: None,
            is_host_there: true,
            is_sealed: true,
        }
    }
}

/// What is left of a relay.
struct Remains {
    pin: Pin,
    address: String,
    known_relays: PathBuf,
    _state: TempDir,
}

impl Scene {
    /// A newcomer comes with what it has heard of the host's code.
    async fn play(
        self,
        heard: impl FnOnce(ShortCode) -> ShortCode,
    ) -> (Result<Invite, EndpointError>, Remains) {
        let state = TempDir::new().unwrap();
        let Open {
            address,
            pin,
            listener,
            mut engine,
        } = open(state.path());
        let (door, code) = open_door(self.host_saw.unwrap_or(pin), &address);
        let relay = tokio::spawn(async move { engine.drive_until(self.serve(listener, door)).await });
        let known_relays = state.path().join("known-relays.json");
        let config = newcomer(&address, known_relays.clone());
        let invite = redeem(config, heard(code), |problem| panic!("{problem}"));
        let invite = tokio::time::timeout(Duration::from_secs(30), invite)
            .await
            .unwrap();
        relay.abort();
        let remains = Remains {
            pin,
            address,
            known_relays,
            _state: state,
        };
        (invite, remains)
    }

    async fn serve(self, listener: Listener, mut door: Reception) {
        let incoming = listener.knock().await.unwrap();
        let look_up = |_, _| match self.refuses {
            Some(reason) => Err(reason),
            None => Ok(door.host().room()),
        };
        let Ok(inbound) = Inbound::accept(incoming, Duration::from_secs(5), look_up).await else {
            return std::future::pending().await;
        };
        assert_eq!(inbound.hello.room, RoomId::from(door.host().room()));
        let peer = inbound.peer;
        let (_link, mut sender, receiver) = inbound.split();
        let mut welcome = welcome(GUEST);
        welcome.sealed = self.is_sealed;
        sender.send(&Message::Welcome(welcome)).await.unwrap();
        if self.is_host_there {
            let host = member(HOST, Role::Gateway, door.host().identity());
            sender.send(&Message::Joined { member: host }).await.unwrap();
        }
        let guest = member(GUEST, Role::Client, peer);
        tell(&mut door, &Message::Joined { member: guest });
        carry(&mut door, sender, receiver).await;
        std::future::pending().await
    }
}

/// Passes envelopes on between the newcomer and the host's door, until the newcomer goes.
async fn carry(door: &mut Reception, mut sender: ControlSender, mut receiver: ControlReceiver) {
    while let Ok(Some(message)) = receiver.recv().await {
        let Message::Envelope { to, data, .. } = message else {
            continue;
        };
        assert_eq!(to.value(), HOST);
        let from = MemberId::new(GUEST);
        for answer in tell(door, &Message::Envelope { from, to, data }) {
            if let Message::Envelope { to, data, .. } = answer {
                let from = MemberId::new(HOST);
                let answer = Message::Envelope { from, to, data };
                // Who has gone hears nothing.
                let _ = sender.send(&answer).await;
            }
        }
    }
}

/// The door of a host who has met the relay as `shown`, and the code on his screen.
fn open_door(shown: Pin, address: &str) -> (Reception, ShortCode) {
    let host = Host::new(
        HostKey::from_seed(&[1; 32]),
        HostConfig::default(),
        HostState::default(),
    );
    let mut door = Reception::new(host.unwrap(), IdentityKey::from_seed(&[1; 32]), [3; 32]);
    tell(&mut door, &Message::Welcome(welcome(HOST)));
    let venue = Venue {
        relay: address.parse().unwrap(),
        shown,
        pin: Some(shown),
    };
    door.open_counter(NOW, venue);
    let outputs = drain(&mut door);
    let numbers = outputs
        .into_iter()
        .find(|message| matches!(message, Message::ShortNumbers { .. }));
    tell(&mut door, &numbers.unwrap());
    let code = door.short_code().unwrap().code;
    (door, code)
}

fn tell(door: &mut Reception, message: &Message) -> Vec<Message> {
    door.handle_control(Instant::now(), NOW, message).unwrap();
    drain(door)
}

fn drain(door: &mut Reception) -> Vec<Message> {
    std::iter::from_fn(|| door.poll_output())
        .filter_map(|output| match output {
            ReceptionOutput::Send(message) => Some(*message),
            _ => None,
        })
        .collect()
}

fn member(id: u16, role: Role, identity: PeerId) -> Member {
    Member {
        id: MemberId::new(id).unwrap(),
        incarnation: Incarnation(1),
        role,
        identity,
        mac: (role == Role::Client).then_some(Mac([2, 0, 0, 0, 0, 9])),
        budget: 1200,
        name: String::new(),
        lan_link: None,
        standby: false,
    }
}
