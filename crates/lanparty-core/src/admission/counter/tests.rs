use std::time::Instant;

use lanparty_wire::HostKey;

use super::{
    super::{
        CodeStep, CodeTry, Host, HostConfig, HostState,
        tests::{GUEST, HOST, UNIX as NOW, guest_member, id, joined, key, welcome},
    },
    *,
};
use crate::seal::IdentityKey;

#[test]
fn a_code_is_shown_once_the_relay_has_taken_its_number() {
    let mut door = Door::new();
    assert_eq!(door.reception.short_code(), None);
    let code = door.confirm();
    assert_eq!((code.instead, code.uses_left), (None, None));
    assert_eq!(code.expires, NOW.after(1800));
    assert_eq!(door.reception.short_code(), Some(code));
}

#[test]
fn a_number_of_another_room_is_given_up_and_not_asked_for_in_a_hurry() {
    let mut door = Door::new();
    let first = door.asked().unwrap();
    door.answer(&[]);
    assert_eq!(door.asked(), None);
    door.reception.handle_timeout(NOW.after(1));
    let second = door.asked().unwrap();
    assert_ne!(first, second);
    door.answer(&second);
    assert_eq!(door.shown().unwrap().instead, None, "none was shown before");
}

#[test]
fn an_answer_that_is_late_changes_nothing() {
    let mut door = Door::new();
    let first = door.asked().unwrap();
    assert!(door.reception.renew_short_code(NOW, None));
    let second = door.asked().unwrap();
    door.answer(&first);
    assert_eq!(door.shown(), None);
    door.answer(&second);
    assert_eq!(door.shown().unwrap().code.number, second[0]);
}

#[test]
fn who_types_the_code_of_before_finds_us_and_is_told() {
    let mut door = Door::new();
    let before = door.confirm();
    door.reception.handle_timeout(NOW.after(1800));
    let numbers = door.asked().unwrap();
    assert_eq!(numbers[1], before.code.number);
    door.answer(&numbers);
    assert_eq!(door.shown().unwrap().instead, Some(CodeEnd::Expired));
    assert_eq!(door.redeem(before.code), Err(AdmissionRefusal::CodeOver));
}

#[test]
fn an_invite_by_code_is_for_one_use_of_one_identity_and_stored_before_it_is_given() {
    let mut door = Door::new();
    let code = door.confirm().code;
    let invite = door.redeem(code).unwrap();
    assert_eq!((invite.one_use, invite.pin), (true, Some(relay().shown)));
    let host = door.reception.host();
    let (kept, _) = host.invites(NOW).find(|(kept, _)| kept.id == invite.id).unwrap();
    assert_eq!((kept.only_for, kept.uses), (Some(newcomer()), Some(1)));
    assert!(door.was_saved_first);
}

#[test]
fn five_wrong_tries_bring_another_code_to_the_screen() {
    let mut door = Door::new();
    let code = door.confirm().code;
    let wrong = ShortCode::from_random(code.number, 0);
    for _ in 0..5 {
        assert_eq!(door.redeem(wrong), Err(AdmissionRefusal::WrongCode));
    }
    let numbers = door.asked().unwrap();
    door.answer(&numbers);
    let next = door.shown().unwrap();
    assert_eq!(next.instead, Some(CodeEnd::Voided));
    assert_eq!(door.redeem(code), Err(AdmissionRefusal::CodeOver));
    assert!(door.redeem(next.code).is_ok());
}

#[test]
fn another_key_of_the_relay_is_another_code() {
    let mut door = Door::new();
    let before = door.confirm().code;
    door.reception.open_counter(NOW, relay());
    assert_eq!(door.asked().unwrap(), [before.number], "the same relay again");
    let moved = Venue {
        shown: Pin::from_bytes([3; 32]),
        ..relay()
    };
    door.reception.open_counter(NOW, moved);
    let numbers = door.asked().unwrap();
    door.answer(&numbers);
    assert_eq!(door.shown().unwrap().instead, Some(CodeEnd::OtherKey));
}

/// A host's door with one visitor before it.
struct Door {
    reception: Reception,
    was_saved_first: bool,
}

impl Door {
    fn new() -> Door {
        let host = Host::new(
            HostKey::from_seed(&[1; 32]),
            HostConfig::default(),
            HostState::default(),
        );
        let reception = Reception::new(host.unwrap(), IdentityKey::from_seed(&[1; 32]), [3; 32]);
        let mut door = Door {
            reception,
            was_saved_first: false,
        };
        door.tell(&welcome(HOST));
        door.tell(&joined(guest_member()));
        door.reception.open_counter(NOW, relay());
        door
    }

    #[allow(clippy::disallowed_methods)]
    fn tell(&mut self, message: &Message) {
        self.reception
            .handle_control(Instant::now(), NOW, message)
            .unwrap();
    }

    /// The relay takes the number.
    fn confirm(&mut self) -> ShownCode {
        let numbers = self.asked().unwrap();
        self.answer(&numbers);
        self.shown().unwrap()
    }

    fn answer(&mut self, numbers: &[ShortNumber]) {
        self.tell(&Message::ShortNumbers {
            numbers: numbers.to_vec(),
        });
    }

    /// Which numbers the relay was asked for last.
    fn asked(&mut self) -> Option<Vec<ShortNumber>> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                ReceptionOutput::Send(message) => match *message {
                    Message::ShortNumbers { numbers } => Some(numbers),
                    _ => None,
                },
                _ => None,
            })
            .last()
    }

    fn shown(&mut self) -> Option<ShownCode> {
        self.outputs().into_iter().find_map(|output| match output {
            ReceptionOutput::Code(code) => Some(code),
            _ => None,
        })
    }

    fn outputs(&mut self) -> Vec<ReceptionOutput> {
        std::iter::from_fn(|| self.reception.poll_output()).collect()
    }

    /// A whole try of the visitor's. What the host wants besides stays in the queue.
    fn redeem(&mut self, code: ShortCode) -> Result<Invite, AdmissionRefusal> {
        let host = self.reception.host().identity();
        let mut random = self.reception.random.clone();
        let (mut guest, mut message) = CodeTry::start(&mut random, code, newcomer(), host, relay().shown);
        loop {
            let mut envelope = seal::envelope(id(HOST), &message.encode());
            if let Message::Envelope { from, .. } = &mut envelope {
                *from = Some(id(GUEST));
            }
            self.tell(&envelope);
            let answer = self.envelope();
            match guest.handle(&answer) {
                Ok(CodeStep::Send(next)) => message = next,
                Ok(CodeStep::Invited(invite)) => return Ok(*invite),
                Err(refusal) => {
                    let refused = CodeMessage::Refused(refusal).encode();
                    self.reception.tried(NOW, id(GUEST), &refused).unwrap();
                    return Err(refusal);
                }
            }
        }
    }

    /// What the host has answered the visitor.
    fn envelope(&mut self) -> CodeMessage {
        let mut is_saved = false;
        while let Some(output) = self.reception.poll_output() {
            match output {
                ReceptionOutput::Save => is_saved = true,
                ReceptionOutput::Send(message) => {
                    if let Message::Envelope { data, .. } = *message {
                        self.was_saved_first = is_saved;
                        return CodeMessage::decode(&seal::envelope_bytes(&data).unwrap()).unwrap();
                    }
                }
                _ => {}
            }
        }
        panic!("no answer")
    }
}

fn relay() -> Venue {
    let shown = Pin::from_bytes([2; 32]);
    Venue {
        relay: "relay.example.org".parse().unwrap(),
        shown,
        pin: Some(shown),
    }
}

fn newcomer() -> PeerId {
    key(2).peer_id()
}
