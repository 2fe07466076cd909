//! Bytes as a message about a short code: what is read is read the same again, nobody is let in by it, and neither side is spoiled.

use lanparty_core::admission::{CodeDesk, CodeOutcome, CodeStep, CodeTry};
use lanparty_wire::{CodeMessage, HostKey, PeerId, Pin, UnixTime, seal::Parcel};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const NOW: UnixTime = UnixTime(1_000_000);

pub fn run(data: &[u8]) {
    let Ok(message) = CodeMessage::decode(data) else {
        return;
    };
    assert!(CodeMessage::is_one(data));
    assert!(Parcel::decode(data).is_err(), "it could be meant for a member");
    assert_eq!(CodeMessage::decode(&message.encode()).as_ref(), Ok(&message));

    let mut random = ChaCha20Rng::from_seed([7; 32]);
    let (host, newcomer) = (HostKey::from_seed(&[1; 32]).peer_id(), PeerId([2; 32]));
    let pin = Pin::from_bytes([3; 32]);
    let mut desk = CodeDesk::open(NOW, &mut random, host, pin);
    let code = desk.code();
    // Whatever comes before, between and after, the host proves itself to who knows the words and to nobody else.
    assert!(!matches!(
        desk.handle(NOW, &mut random, newcomer, &message),
        CodeOutcome::Proven(_)
    ));
    let (mut attempt, start) = CodeTry::start(&mut random, code, PeerId([4; 32]), host, pin);
    let CodeOutcome::Reply(reply) = desk.handle(NOW, &mut random, PeerId([4; 32]), &start) else {
        panic!("the host does not answer");
    };
    assert!(!matches!(
        desk.handle(NOW, &mut random, newcomer, &message),
        CodeOutcome::Proven(_)
    ));
    let (mut other, _) = CodeTry::start(&mut random, code, PeerId([5; 32]), host, pin);
    assert!(
        other.handle(&message).is_err(),
        "no message of the host's is known"
    );
    assert!(matches!(attempt.handle(&reply), Ok(CodeStep::Send(_))));
    assert!(attempt.handle(&message).is_err());
}
