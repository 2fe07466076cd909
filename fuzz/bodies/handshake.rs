//! Bytes as either message of a handshake: none passes that the peer has not made, and none spoils a handshake that is under way.

use lanparty_core::seal::{
    IdentityKey,
    handshake::{Context, Handshake, Party},
};
use lanparty_wire::{Incarnation, MemberId, SealedRoom, seal::Purpose};

pub fn run(data: &[u8]) {
    let (ours, theirs) = (IdentityKey::from_seed(&[1; 32]), IdentityKey::from_seed(&[2; 32]));
    let party = |key: &IdentityKey, member, incarnation| Party {
        identity: key.peer_id(),
        member: MemberId::new(member).expect("it is an id"),
        incarnation: Incarnation(incarnation),
    };
    let context = Context {
        purpose: Purpose::Member,
        room: SealedRoom::of(&theirs.peer_id()),
        initiator: party(&ours, 258, 3),
        responder: party(&theirs, 515, 1),
    };
    let (mut handshake, first) =
        Handshake::initiate(&context, &ours, &[1], &[3; 32]).expect("the keys are sound");
    let answered = Handshake::respond(&context, &theirs, data, &[4; 32]);
    assert_eq!(answered.is_ok(), data == first);
    let (responder, _) = Handshake::respond(&context, &theirs, &first, &[4; 32]).expect("it is genuine");
    let (_, second) = responder.answer(&[]).expect("it is the responder's turn");
    assert_eq!(handshake.finish(data).is_ok(), data == second);
    if data != second {
        assert!(handshake.finish(&second).is_ok(), "what fails spoils nothing");
    }
}
