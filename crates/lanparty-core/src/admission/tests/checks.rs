//! What a malicious relay tries at the door: each attack fails and has a reason while its check is there, and succeeds once that is taken out.

use base64::{Engine, prelude::BASE64_STANDARD};
use lanparty_wire::{
    AdmissionRequest, Admitted, DropReason, Proof, Roster, RosterContent, SealedRoom,
    seal::{self, Parcel, Purpose},
};

use super::*;
use crate::{
    hole::{Hole, without},
    seal::handshake::{Context, Handshake, Party},
};

const ROOM_OF: u8 = 1;
const MALLORY: u8 = 66;

type Attack = fn(&mut World) -> (bool, Result<(), DropReason>);

#[test]
fn each_attack_fails_and_succeeds_without_the_check_that_it_tries() {
    let attacks: [(&str, Hole, DropReason, Attack); 3] = [
        (
            "an old roster",
            Hole::RosterNumber,
            DropReason::OldRoster,
            show_old_roster,
        ),
        (
            "a roster of the relay's own",
            Hole::RosterHost,
            DropReason::BadRoster,
            forge_roster,
        ),
        (
            "posing as the host",
            Hole::HostIdentity,
            DropReason::NotAdmitted,
            pose_as_host,
        ),
    ];
    for (name, check, reason, attack) in attacks {
        let (succeeded, result) = attack(&mut World::new());
        assert!(!succeeded, "{name} succeeds");
        assert_eq!(result, Err(reason), "{name}");
        let (succeeded, _) = without(&[check], || attack(&mut World::new()));
        assert!(succeeded, "{name} has not tried {check:?}");
    }
}

/// One that still names the guest, after the host has put it out.
fn show_old_roster(world: &mut World) -> (bool, Result<(), DropReason>) {
    world.meet();
    let old = world.reception.host().roster().unwrap().bytes().to_vec();
    let unix = world.unix;
    world.reception.host_mut().kick(unix, &key(2).peer_id());
    world.tell_host(&Message::Unknown);
    assert_ne!(world.state(), GuestState::Admitted);
    let result = show(world, &old);
    (world.state() == GuestState::Admitted, result)
}

/// One that names the guest, before the host has let it in.
fn forge_roster(world: &mut World) -> (bool, Result<(), DropReason>) {
    world.deaf = true;
    world.meet();
    let (unix, member) = (world.unix, guest_member());
    let content = RosterContent {
        number: unix.0 + 1000,
        issued: unix,
        members: vec![Admitted {
            identity: member.identity,
            id: member.id,
            mac: member.mac,
            standing: Standing::Player,
            expires: unix.after(3600),
            name: "ada".into(),
        }],
        ..world.reception.host().roster().unwrap().content().clone()
    };
    let forged = Roster::sign(&HostKey::from_seed(&[MALLORY; 32]), content).unwrap();
    let result = show(world, forged.bytes());
    (world.state() == GuestState::Admitted, result)
}

/// Says that somebody is the host who is not, and reads what the guest would tell only the host.
fn pose_as_host(world: &mut World) -> (bool, Result<(), DropReason>) {
    let mallory = key(MALLORY);
    let mut posing = host_member();
    posing.identity = mallory.peer_id();
    world.tell_guest(&welcome(GUEST));
    let result = world.guest.handle_control(world.now, world.unix, &joined(posing));
    let mut read = false;
    while let Some(output) = world.guest.poll_output() {
        if let GuestOutput::Send(message) = output
            && let Message::Envelope { data, .. } = *message
        {
            read |= reads_secret(&mallory, &data);
        }
    }
    (read, result)
}

fn reads_secret(mallory: &IdentityKey, data: &str) -> bool {
    let bytes = seal::envelope_bytes(data).unwrap();
    let Ok(Parcel::Initiate { noise, .. }) = Parcel::decode(&bytes) else {
        return false;
    };
    let side = |identity, member| Party {
        identity,
        member: id(member),
        incarnation: Incarnation(1),
    };
    let context = Context {
        purpose: Purpose::Admission,
        room: SealedRoom::of(&key(ROOM_OF).peer_id()),
        initiator: side(key(2).peer_id(), GUEST),
        responder: side(mallory.peer_id(), HOST),
    };
    let request = Handshake::respond(&context, mallory, noise, &[7; 32]);
    let request = request
        .ok()
        .and_then(|(_, bytes)| AdmissionRequest::decode(&bytes).ok());
    request.is_some_and(|request| matches!(request.proof, Proof::Secret { .. }))
}

fn show(world: &mut World, roster: &[u8]) -> Result<(), DropReason> {
    let data = BASE64_STANDARD.encode(roster);
    let result = world
        .guest
        .handle_control(world.now, world.unix, &Message::Roster { data });
    world.drain_guest();
    result
}
