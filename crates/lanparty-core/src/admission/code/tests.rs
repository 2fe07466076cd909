use lanparty_wire::{
    AdmissionRefusal, CodeMessage, HostKey, Invite, InviteId, InviteSecret, ShortCode, UnixTime,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    desk::{ATTEMPT, LIFETIME, MAX_TRIES, MAX_TRIES_PER_HOUR},
    *,
};

const NOW: UnixTime = UnixTime(1_000_000);

#[test]
fn who_knows_the_words_gets_the_hosts_invite() {
    let mut table = Table::new();
    let code = table.desk.code();
    assert_eq!(table.try_code(1, code, relay()), Ok(invite()));
    assert_eq!((table.desk.tries(), table.desk.code()), (0, code));
}

#[test]
fn a_wrong_word_fails_and_is_counted() {
    let mut table = Table::new();
    let wrong = wrong(table.desk.code());
    assert_eq!(
        table.try_code(1, wrong, relay()),
        Err(AdmissionRefusal::WrongCode)
    );
    assert_eq!(table.desk.tries(), 1);
}

#[test]
fn a_relay_in_the_middle_fails_and_is_counted() {
    let mut table = Table::new();
    let code = table.desk.code();
    let other = Pin::from_bytes([9; 32]);
    assert_eq!(table.try_code(1, code, other), Err(AdmissionRefusal::WrongCode));
    assert_eq!(table.desk.tries(), 1);
}

#[test]
fn another_host_than_the_newcomers_fails() {
    let mut table = Table::new();
    let code = table.desk.code();
    let stranger = HostKey::from_seed(&[8; 32]).peer_id();
    let (mut newcomer, start) = CodeTry::start(&mut table.random, code, peer(1), stranger, relay());
    let CodeOutcome::Reply(reply) = table.tell(1, &start) else {
        panic!("no reply")
    };
    assert_eq!(newcomer.handle(&reply), Err(AdmissionRefusal::WrongCode));
}

#[test]
fn what_one_newcomer_said_is_of_no_use_to_another() {
    let mut table = Table::new();
    let (mut newcomer, start) = table.start(1, table.desk.code());
    let CodeOutcome::Reply(reply) = table.tell(1, &start) else {
        panic!("no reply")
    };
    let Ok(CodeStep::Send(confirm)) = newcomer.handle(&reply) else {
        panic!("no confirmation")
    };
    // The relay repeats both messages as another member's, and later once more as the same one's.
    assert!(matches!(table.tell(2, &start), CodeOutcome::Reply(_)));
    assert!(matches!(
        table.tell(2, &confirm),
        CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::WrongCode))
    ));
    assert!(matches!(table.tell(1, &confirm), CodeOutcome::Proven(_)));
    assert!(matches!(table.tell(1, &confirm), CodeOutcome::Ignored));
    assert!(matches!(table.tell(1, &start), CodeOutcome::Reply(_)));
    assert!(matches!(
        table.tell(1, &confirm),
        CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::WrongCode))
    ));
}

#[test]
fn five_wrong_tries_void_the_code() {
    let mut table = Table::new();
    let code = table.desk.code();
    for who in 1..=MAX_TRIES {
        assert_eq!(table.desk.code(), code);
        let refusal = table.try_code(who, wrong(code), relay()).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::WrongCode);
    }
    assert_ne!(table.desk.code(), code);
    assert_eq!(
        (table.desk.tries(), table.desk.last_end()),
        (0, Some(CodeEnd::Voided))
    );
    assert_eq!(table.try_code(9, code, relay()), Err(AdmissionRefusal::CodeOver));
}

#[test]
fn who_never_confirms_has_used_a_try() {
    let mut table = Table::new();
    let code = table.desk.code();
    for who in 1..=MAX_TRIES {
        let (_, start) = table.start(who, code);
        assert!(matches!(
            table.tell(who, &start),
            CodeOutcome::Reply(CodeMessage::Reply { .. })
        ));
    }
    let (_, sixth) = table.start(6, code);
    assert!(matches!(
        table.tell(6, &sixth),
        CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::Busy))
    ));
    assert!(table.desk.handle_timeout(NOW.after(ATTEMPT), &mut table.random));
    assert_ne!(table.desk.code(), code);
}

#[test]
fn who_goes_away_in_the_middle_has_used_a_try_and_holds_nothing_up() {
    let mut table = Table::new();
    let code = table.desk.code();
    for who in 1..=MAX_TRIES {
        let (_, start) = table.start(who, code);
        table.tell(who, &start);
        table.desk.leave(&peer(who));
    }
    assert!(table.desk.handle_timeout(NOW, &mut table.random));
    assert_ne!(table.desk.code(), code);
}

#[test]
fn one_identity_has_one_try_at_a_time() {
    let mut table = Table::new();
    let (_, start) = table.start(1, table.desk.code());
    assert!(matches!(
        table.tell(1, &start),
        CodeOutcome::Reply(CodeMessage::Reply { .. })
    ));
    assert!(matches!(
        table.tell(1, &start),
        CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::Busy))
    ));
    assert_eq!(table.desk.tries(), 1);
}

#[test]
fn burning_codes_gives_no_more_guesses() {
    let mut table = Table::new();
    let mut guesses = 0;
    for round in 0..200_u8 {
        let code = wrong(table.desk.code());
        match table.try_code(round, code, relay()) {
            Err(AdmissionRefusal::WrongCode) => guesses += 1,
            refused => assert_eq!(refused, Err(AdmissionRefusal::Busy)),
        }
    }
    assert_eq!(guesses, MAX_TRIES_PER_HOUR);
}

#[test]
fn a_code_lives_half_an_hour() {
    let mut table = Table::new();
    let code = table.desk.code();
    let end = NOW.after(LIFETIME);
    assert_eq!(table.desk.next_timeout(), end);
    assert!(!table.desk.handle_timeout(UnixTime(end.0 - 1), &mut table.random));
    assert!(table.desk.handle_timeout(end, &mut table.random));
    assert_ne!(table.desk.code(), code);
}

#[test]
fn a_changed_grant_is_refused() {
    let mut table = Table::new();
    let (mut newcomer, start) = table.start(1, table.desk.code());
    let CodeOutcome::Reply(reply) = table.tell(1, &start) else {
        panic!("no reply")
    };
    let Ok(CodeStep::Send(confirm)) = newcomer.handle(&reply) else {
        panic!("no confirmation")
    };
    let CodeOutcome::Proven(grant) = table.tell(1, &confirm) else {
        panic!("not proven")
    };
    let CodeMessage::Grant { mut sealed } = grant.seal(&invite()) else {
        panic!("no grant")
    };
    assert!(!sealed.windows(8).any(|bytes| bytes == b"lanparty"), "readable");
    sealed[3] ^= 1;
    assert_eq!(
        newcomer.handle(&CodeMessage::Grant { sealed }),
        Err(AdmissionRefusal::WrongCode)
    );
}

#[test]
fn the_keys_of_the_protocol_page_hold() {
    let host = HostKey::from_seed(&[1; 32]).peer_id();
    let context = Context {
        number: ShortNumber::new(4711).unwrap(),
        host: &host,
        newcomer: &peer(2),
        pin: &relay(),
    };
    let keys = Keys::derive(&[5; 32], &context, &[b'A'; 33], &[b'B'; 33]);
    let page = include_str!("../../../../../docs/protocol.md");
    for (name, key) in [
        ("host confirms", &keys.host_confirms),
        ("newcomer confirms", &keys.newcomer_confirms),
        ("grant", &*keys.grant),
    ] {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(page.contains(&format!("{name:<17} {hex}")), "{name:<17} {hex}");
    }
    let link = page.split("```invite\n").nth(1).unwrap().lines().next().unwrap();
    let grant = Grant {
        context: context.bytes(),
        keys,
        newcomer: peer(2),
    };
    let block = page.split("```hex code-grant\n").nth(1).unwrap();
    let said: String = block.split("```").next().unwrap().split_whitespace().collect();
    let sealed = grant.seal(&link.parse().unwrap()).encode();
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(said, hex);
}

#[test]
fn a_code_for_one_ends_with_the_first_who_comes() {
    let mut table = Table::new();
    table.desk.set_uses(Some(1));
    let code = table.desk.code();
    // Both know the words; the second proves it too late.
    let (mut late, start) = table.start(2, code);
    let CodeOutcome::Reply(reply) = table.tell(2, &start) else {
        panic!("no reply")
    };
    let Ok(CodeStep::Send(confirm)) = late.handle(&reply) else {
        panic!("no confirmation")
    };
    assert_eq!(table.try_code(1, code, relay()), Ok(invite()));
    assert_ne!(table.desk.code().number, code.number);
    assert_eq!(table.desk.last_end(), Some(CodeEnd::UsedUp));
    assert_eq!(table.desk.uses_left(), Some(1));
    assert!(matches!(
        table.tell(2, &confirm),
        CodeOutcome::Reply(CodeMessage::Refused(AdmissionRefusal::CodeOver))
    ));
    assert_eq!(table.try_code(3, code, relay()), Err(AdmissionRefusal::CodeOver));
}

#[test]
fn a_code_that_was_taken_back_lets_nobody_in_who_still_tries_it() {
    for (end, is_over) in [(CodeEnd::Wished, true), (CodeEnd::Expired, false)] {
        let mut table = Table::new();
        let (mut newcomer, start) = table.start(1, table.desk.code());
        let CodeOutcome::Reply(reply) = table.tell(1, &start) else {
            panic!("no reply")
        };
        let Ok(CodeStep::Send(confirm)) = newcomer.handle(&reply) else {
            panic!("no confirmation")
        };
        table.desk.renew(NOW, &mut table.random, end);
        let outcome = table.tell(1, &confirm);
        assert_eq!(matches!(outcome, CodeOutcome::Reply(_)), is_over, "{outcome:?}");
        assert_eq!(matches!(outcome, CodeOutcome::Proven(_)), !is_over, "{outcome:?}");
    }
}

struct Table {
    desk: CodeDesk,
    random: ChaCha20Rng,
}

impl Table {
    fn new() -> Table {
        let mut random = ChaCha20Rng::seed_from_u64(7);
        let desk = CodeDesk::open(NOW, &mut random, host(), relay());
        Table { desk, random }
    }

    fn start(&mut self, who: u8, code: ShortCode) -> (CodeTry, CodeMessage) {
        CodeTry::start(&mut self.random, code, peer(who), host(), relay())
    }

    fn tell(&mut self, who: u8, message: &CodeMessage) -> CodeOutcome {
        let bytes = message.encode();
        let message = CodeMessage::decode(&bytes).unwrap();
        self.desk.handle(NOW, &mut self.random, peer(who), &message)
    }

    /// A whole try, through a relay that shows the newcomer `pin`.
    fn try_code(&mut self, who: u8, code: ShortCode, pin: Pin) -> Result<Invite, AdmissionRefusal> {
        let (mut newcomer, mut message) = CodeTry::start(&mut self.random, code, peer(who), host(), pin);
        loop {
            let answer = match self.tell(who, &message) {
                CodeOutcome::Reply(answer) => answer,
                CodeOutcome::Proven(grant) => grant.seal(&invite()),
                CodeOutcome::Ignored => panic!("no answer to {message:?}"),
            };
            match newcomer.handle(&answer) {
                Ok(CodeStep::Send(next)) => message = next,
                Ok(CodeStep::Invited(invite)) => return Ok(*invite),
                Err(refusal) => {
                    self.tell(who, &CodeMessage::Refused(refusal));
                    return Err(refusal);
                }
            }
        }
    }
}

/// The same number and other words.
fn wrong(code: ShortCode) -> ShortCode {
    let other = ShortCode::from_random(code.number, 0);
    assert_ne!(other, code);
    other
}

fn host() -> PeerId {
    HostKey::from_seed(&[1; 32]).peer_id()
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn relay() -> Pin {
    Pin::from_bytes([2; 32])
}

fn invite() -> Invite {
    Invite {
        relay: "relay.example.org".parse().unwrap(),
        host: host(),
        pin: Some(relay()),
        id: InviteId(7),
        secret: InviteSecret::new([3; 16]),
        expires: Some(UnixTime(2_000_000)),
        one_use: true,
        approval: false,
    }
}
