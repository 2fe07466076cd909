//! The host's door and guests, with a relay between them that passes on what it is given.

mod checks;

use std::time::{Duration, Instant};

use lanparty_wire::{
    AdmissionRefusal, HostKey, Incarnation, InviteId, InviteSecret, Mac, MemberId, Standing, UnixTime,
    control::{Member, Message, Mode, Role, Welcome},
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::*;
use crate::seal::IdentityKey;

pub(super) const UNIX: UnixTime = UnixTime(1_700_000_000);
pub(super) const HOST: u16 = 7;
pub(super) const GUEST: u16 = 9;

/// One host and one guest, and everything that the relay has carried.
struct World {
    now: Instant,
    unix: UnixTime,
    reception: Reception,
    guest: Guest,
    refused: Option<AdmissionRefusal>,
    saved: Option<SavedMembership>,
    rosters: Vec<crate::seal::Roster>,
    /// Lose what the host says.
    deaf: bool,
}

impl World {
    fn new() -> World {
        World::with_state(HostState::default(), invite)
    }

    #[allow(clippy::disallowed_methods)]
    fn with_state(state: HostState, secret: impl FnOnce(&mut Host) -> (InviteId, InviteSecret)) -> World {
        let mut host = Host::new(HostKey::from_seed(&[1; 32]), HostConfig::default(), state).unwrap();
        let secret = secret(&mut host);
        let guest = guest(&host, secret, None);
        let mut world = World {
            now: Instant::now(),
            unix: UNIX,
            reception: Reception::new(host, IdentityKey::from_seed(&[1; 32]), [3; 32]),
            guest,
            refused: None,
            saved: None,
            rosters: Vec::new(),
            deaf: false,
        };
        world.tell_host(&welcome(HOST));
        world
    }

    /// The guest comes, and the relay names both to each other.
    fn meet(&mut self) {
        self.tell_host(&joined(guest_member()));
        self.tell_guest(&welcome(GUEST));
        self.tell_guest(&joined(host_member()));
    }

    fn tell_host(&mut self, message: &Message) {
        let _ = self.reception.handle_control(self.now, self.unix, message);
        while let Some(output) = self.reception.poll_output() {
            match output {
                ReceptionOutput::Roster(roster) => self.answer_guest(&Message::Roster {
                    data: base64::Engine::encode(&base64::prelude::BASE64_STANDARD, roster.bytes()),
                }),
                ReceptionOutput::Send(message) => self.answer_guest(&from(HOST, *message)),
                ReceptionOutput::Note { bytes, .. } => {
                    self.guest.handle_note(self.now, self.unix, id(HOST), &bytes);
                    self.drain_guest();
                }
                ReceptionOutput::Save | ReceptionOutput::Waiting(_) | ReceptionOutput::Code(_) => {}
            }
        }
    }

    fn answer_guest(&mut self, message: &Message) {
        if !self.deaf {
            self.tell_guest(message);
        }
    }

    fn tell_guest(&mut self, message: &Message) {
        let _ = self.guest.handle_control(self.now, self.unix, message);
        self.drain_guest();
    }

    fn drain_guest(&mut self) {
        while let Some(output) = self.guest.poll_output() {
            match output {
                GuestOutput::Send(message) => self.tell_host(&from(GUEST, *message)),
                GuestOutput::Refused(refusal) => self.refused = Some(refusal),
                GuestOutput::Save(saved) => self.saved = Some(saved),
                GuestOutput::Roster(roster) => self.rosters.push(roster),
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.unix = self.unix.after(time.as_secs());
        self.guest.handle_timeout(self.now, self.unix);
        self.guest.handle_clock(self.now, self.unix);
        self.drain_guest();
    }

    fn state(&self) -> GuestState {
        self.guest.state(self.unix)
    }
}

#[test]
fn who_has_an_invite_is_let_in_and_is_in_the_roster() {
    let mut world = World::new();
    world.meet();
    assert_eq!(world.state(), GuestState::Admitted);
    assert!(world.saved.is_some());
    let newest = world.rosters.last().unwrap();
    assert!(newest.members.iter().any(|member| member.id == id(GUEST)));
}

#[test]
fn a_request_that_is_lost_is_made_again() {
    let mut world = World::new();
    world.deaf = true;
    world.meet();
    assert_eq!(world.state(), GuestState::Asking);
    world.deaf = false;
    world.pass(Duration::from_millis(300));
    // The answer comes again; the roster is the relay's to give.
    let roster = world.reception.host().roster().unwrap().bytes().to_vec();
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, roster);
    world.tell_guest(&Message::Roster { data });
    assert_eq!(world.state(), GuestState::Admitted);
}

#[test]
fn a_wrong_secret_is_refused_for_good() {
    let mut world = World::with_state(HostState::default(), |host| {
        (invite(host).0, InviteSecret::new([8; 16]))
    });
    world.meet();
    assert_eq!(world.refused, Some(AdmissionRefusal::WrongSecret));
}

#[test]
fn who_must_wait_comes_in_with_the_hosts_word() {
    for is_welcome in [true, false] {
        let mut world = World::new();
        world.reception.host_mut().set_approval(true);
        world.meet();
        assert_eq!(world.state(), GuestState::Waiting);
        let identity = key(2).peer_id();
        let (unix, host) = (world.unix, world.reception.host_mut());
        assert!(if is_welcome {
            host.approve(unix, &identity)
        } else {
            host.deny(&identity)
        });
        world.tell_host(&Message::Unknown);
        world.pass(Duration::from_secs(3));
        if is_welcome {
            assert_eq!(world.state(), GuestState::Admitted);
        } else {
            assert_eq!(world.refused, Some(AdmissionRefusal::Denied));
        }
    }
}

#[test]
fn who_is_put_out_learns_it_from_the_roster_and_the_host() {
    let mut world = World::new();
    world.meet();
    let unix = world.unix;
    world.reception.host_mut().kick(unix, &key(2).peer_id());
    world.tell_host(&Message::Unknown);
    assert_eq!(world.refused, Some(AdmissionRefusal::Kicked));
    assert_ne!(world.state(), GuestState::Admitted);
}

#[test]
fn a_membership_brings_back_who_has_lost_the_invite() {
    let mut world = World::new();
    world.meet();
    let saved = world.saved.clone().unwrap();
    let host = world.reception.host();
    world.guest = guest(host, (InviteId(1), InviteSecret::new([8; 16])), Some(&saved));
    world.meet();
    assert_eq!((world.state(), world.refused), (GuestState::Admitted, None));
}

#[test]
fn without_the_host_there_is_nobody_to_ask() {
    let mut world = World::new();
    world.tell_guest(&welcome(GUEST));
    assert_eq!(world.state(), GuestState::HostAway);
    let mut impostor = host_member();
    impostor.identity = key(4).peer_id();
    world.tell_guest(&joined(impostor));
    assert_eq!(world.state(), GuestState::HostAway);
}

#[test]
fn a_request_for_another_seat_is_not_heard() {
    let mut world = World::new();
    // The relay says that the guest sits elsewhere than it has told the guest.
    let mut elsewhere = guest_member();
    elsewhere.id = id(10);
    world.tell_host(&joined(elsewhere));
    world.tell_guest(&welcome(GUEST));
    world.tell_guest(&joined(host_member()));
    assert_eq!(world.state(), GuestState::Asking);
}

pub(super) fn key(seed: u8) -> IdentityKey {
    IdentityKey::from_seed(&[seed; 32])
}

pub(super) fn id(value: u16) -> MemberId {
    MemberId::new(value).unwrap()
}

fn invite(host: &mut Host) -> (InviteId, InviteSecret) {
    let new = NewInvite {
        uses: None,
        lifetime: None,
        standing: Standing::Player,
        only_for: None,
    };
    let made = host.create_invite(UNIX, &mut ChaCha20Rng::from_seed([5; 32]), &new);
    made.map(|invite| (invite.id, invite.secret)).unwrap()
}

fn guest(host: &Host, invite: (InviteId, InviteSecret), saved: Option<&SavedMembership>) -> Guest {
    let config = GuestConfig {
        host: host.identity(),
        identity: key(2),
        mac: Mac([2, 0, 0, 0, 0, 9]),
        name: "ada".into(),
        software: String::new(),
        invite,
        seed: [4; 32],
    };
    Guest::new(UNIX, config, saved)
}

pub(super) fn welcome(member: u16) -> Message {
    Message::Welcome(Welcome {
        version: 1,
        member: id(member),
        incarnation: Incarnation(1),
        mode: Mode::Relay,
        sealed: true,
        gateway: Some(id(HOST)),
        members: 2,
    })
}

pub(super) fn joined(member: Member) -> Message {
    Message::Joined { member }
}

fn from(member: u16, message: Message) -> Message {
    match message {
        Message::Envelope { to, data, .. } => Message::Envelope {
            from: Some(id(member)),
            to,
            data,
        },
        other => other,
    }
}

fn host_member() -> Member {
    Member {
        id: id(HOST),
        incarnation: Incarnation(1),
        role: Role::Gateway,
        identity: key(1).peer_id(),
        mac: None,
        budget: 1200,
        name: String::new(),
        lan_link: None,
        standby: false,
    }
}

pub(super) fn guest_member() -> Member {
    Member {
        id: id(GUEST),
        role: Role::Client,
        identity: key(2).peer_id(),
        mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        ..host_member()
    }
}
