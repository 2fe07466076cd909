use super::*;

const SECRET: [u8; 32] = [7; 32];
const TAG: RoomTag = *b"some-tag";

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn id(value: u16) -> MemberId {
    MemberId::new(value).unwrap()
}

/// Loops with members 1 and 2 there, and what it has done.
struct Watch {
    now: Instant,
    loops: Loops,
    effects: Effects,
}

impl Watch {
    fn new() -> Watch {
        let now = start();
        let mut loops = Loops::new(SECRET, TAG);
        loops.member_came(now, id(1));
        loops.member_came(now, id(2));
        Watch {
            now,
            loops,
            effects: Effects::new(),
        }
    }

    /// Lets time go by; the tokens that were sent, and to whom.
    fn pass(&mut self, time: Duration) -> Vec<Token> {
        let end = self.now + time;
        while let Some(due) = self.loops.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.loops.handle_timeout(self.now, true, &mut self.effects);
        }
        self.now = end;
        self.tokens()
    }

    fn tokens(&mut self) -> Vec<Token> {
        let frame = |effect: &Effect| match effect {
            Effect::ToLan(frame) | Effect::ToMember(_, frame) => Some(frame.clone()),
            _ => None,
        };
        let frames: Vec<Vec<u8>> = self.effects.iter().filter_map(frame).collect();
        self.effects.retain(|effect| frame(effect).is_none());
        let token = |frame: &Vec<u8>| match Signal::parse(frame) {
            Some((TAG, Signal::Probe(token))) => token,
            other => panic!("{other:?}"),
        };
        frames.iter().map(token).collect()
    }

    fn question(&mut self, target: Option<MemberId>) -> Token {
        let found = self
            .pass(INTERVAL)
            .into_iter()
            .rfind(|token| token.target == target);
        found.unwrap()
    }

    fn news(&mut self) -> Vec<News> {
        let told = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Tell(Event::Port(news)) => Some(news),
            _ => None,
        });
        told.collect()
    }
}

#[test]
fn everybody_and_the_lan_are_asked_every_few_seconds() {
    let mut watch = Watch::new();
    let asked = watch.pass(INTERVAL * 10);
    for target in [None, Some(id(1)), Some(id(2))] {
        let count = asked.iter().filter(|token| token.target == target).count();
        assert_eq!(count, 10, "{target:?}");
    }
    watch.loops.member_left(id(1));
    watch.loops.member_left(id(2));
    assert_eq!(
        watch.pass(INTERVAL * 10),
        [],
        "nobody to be asked, nobody to be asked about"
    );
    assert_eq!(watch.loops.poll_timeout(), None);
}

#[test]
fn a_members_token_on_the_lan_stops_that_member_until_it_comes_no_more() {
    let mut watch = Watch::new();
    let token = watch.question(Some(id(1)));
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    assert_eq!(watch.loops.fault(id(1)), Some(PortFault::LanLoop));
    assert_eq!(watch.loops.fault(id(2)), None);
    let stopped = News::Stopped {
        member: id(1),
        fault: PortFault::LanLoop,
        hold: HOLD,
    };
    assert_eq!(watch.news(), [stopped]);
    // It comes again, and the hold begins anew.
    let token = watch.question(Some(id(1)));
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    watch.pass(HOLD - Duration::from_millis(1));
    assert!(watch.loops.any_stopped());
    watch.pass(Duration::from_millis(1));
    assert!(!watch.loops.any_stopped());
    assert_eq!(watch.news(), [News::Opened { member: id(1) }]);
}

#[test]
fn each_relapse_is_held_twice_as_long_until_it_is_forgiven() {
    let mut watch = Watch::new();
    let mut holds = Vec::new();
    for round in 0..8 {
        if round == 7 {
            watch.pass(FORGIVEN);
        }
        let token = watch.question(Some(id(1)));
        watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
        let stopped = watch.news().into_iter().find_map(|news| match news {
            News::Stopped { hold, .. } => Some(hold),
            News::Opened { .. } | News::LanReflects => None,
        });
        holds.push(stopped.unwrap().as_secs());
        watch.pass(stopped.unwrap());
    }
    assert_eq!(holds, [10, 20, 40, 80, 160, 300, 300, 10]);
}

#[test]
fn who_goes_and_comes_back_is_not_forgiven_for_that() {
    let mut watch = Watch::new();
    let token = watch.question(Some(id(1)));
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    watch.loops.member_left(id(1));
    watch.loops.member_came(watch.now, id(1));
    assert_eq!(watch.loops.fault(id(1)), Some(PortFault::LanLoop));
}

#[test]
fn the_lans_token_from_a_member_names_who_returned_it() {
    let mut watch = Watch::new();
    let token = watch.question(None);
    watch.loops.returned(watch.now, id(2), &token, &mut watch.effects);
    assert_eq!(watch.loops.fault(id(2)), Some(PortFault::LanLoop));
}

#[test]
fn of_two_members_that_are_joined_one_is_stopped() {
    let mut watch = Watch::new();
    let first = watch.question(Some(id(1)));
    watch.loops.returned(watch.now, id(2), &first, &mut watch.effects);
    assert_eq!(watch.loops.fault(id(2)), Some(PortFault::MemberLoop));
    // The other direction keeps the same one stopped.
    let second = watch.question(Some(id(2)));
    watch
        .loops
        .returned(watch.now, id(1), &second, &mut watch.effects);
    assert_eq!(watch.loops.fault(id(1)), None);
    watch.pass(HOLD - Duration::from_secs(1));
    assert!(watch.loops.fault(id(2)).is_some());
}

#[test]
fn tokens_that_are_forged_or_old_mean_nothing() {
    let mut watch = Watch::new();
    let token = watch.question(Some(id(1)));
    let mut forged = token.encode();
    forged[1] = 2;
    let forged = Token::decode(&forged).unwrap();
    watch.loops.heard_on_lan(watch.now, &forged, &mut watch.effects);
    let foreign = Loops::new([8; 32], TAG).minter.token(watch.now, Some(id(1)));
    watch.loops.heard_on_lan(watch.now, &foreign, &mut watch.effects);
    let late = watch.now + FRESH + Duration::from_secs(1);
    watch.loops.heard_on_lan(late, &token, &mut watch.effects);
    assert!(!watch.loops.any_stopped());
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    assert!(watch.loops.any_stopped(), "and the genuine one does");
}

#[test]
fn hints_bring_the_next_question_forward_and_not_too_often() {
    let mut watch = Watch::new();
    watch.pass(INTERVAL * 2);
    for _ in 0..1000 {
        watch.loops.hint(watch.now, id(1));
        watch.pass(Duration::from_millis(1));
    }
    let asked = watch.pass(Duration::ZERO);
    assert_eq!(asked, []);
    watch.loops.hint(watch.now, id(1));
    watch.pass(INTERVAL);
    let mut watch = Watch::new();
    watch.pass(INTERVAL * 2);
    let mut asked = 0;
    for _ in 0..1000 {
        watch.loops.hint(watch.now, id(1));
        asked += watch
            .pass(Duration::from_millis(1))
            .iter()
            .filter(|t| t.target == Some(id(1)))
            .count();
    }
    assert!((4..=5).contains(&asked), "{asked} in a second");
}

#[test]
fn a_frame_of_the_lan_that_comes_again_and_again_is_a_hint() {
    let mut watch = Watch::new();
    watch.pass(INTERVAL * 2);
    for round in 0..Echoes::MANY {
        assert_eq!(watch.pass(Duration::from_millis(5)), [], "{round}");
        watch
            .loops
            .heard_flood(watch.now, &[round.is_multiple_of(1000) as u8; 60]);
        watch.loops.heard_flood(watch.now, &[0x55; 60]);
    }
    assert_eq!(
        watch.pass(Duration::from_millis(5)).len(),
        3,
        "everybody and the LAN"
    );
}

#[test]
fn an_address_that_moves_too_often_is_stopped_for_a_while() {
    let mut watch = Watch::new();
    for _ in 0..=MAX_FLIPS / 2 {
        assert_eq!(watch.loops.fault(id(1)), None);
        watch
            .loops
            .heard_member_on_lan(watch.now, id(1), &mut watch.effects);
        watch
            .loops
            .heard_from_member(watch.now, id(1), &mut watch.effects);
        watch.pass(Duration::from_millis(100));
    }
    assert_eq!(watch.loops.fault(id(1)), Some(PortFault::MacFlapping));
    watch.pass(HOLD);
    assert_eq!(watch.loops.fault(id(1)), None);
}

#[test]
fn an_address_that_moves_now_and_then_is_let_be() {
    let mut watch = Watch::new();
    for _ in 0..MAX_FLIPS * 4 {
        watch
            .loops
            .heard_member_on_lan(watch.now, id(1), &mut watch.effects);
        watch
            .loops
            .heard_from_member(watch.now, id(1), &mut watch.effects);
        watch.pass(FLIP_WINDOW / (MAX_FLIPS / 2) + Duration::from_millis(100));
    }
    assert_eq!(watch.loops.fault(id(1)), None);
}

#[test]
fn a_lan_that_sends_our_frames_back_moves_nobodys_address() {
    let mut watch = Watch::new();
    let token = watch.question(None);
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    assert_eq!(watch.news(), [News::LanReflects]);
    for _ in 0..MAX_FLIPS * 4 {
        watch
            .loops
            .heard_member_on_lan(watch.now, id(1), &mut watch.effects);
        watch
            .loops
            .heard_from_member(watch.now, id(1), &mut watch.effects);
    }
    assert_eq!(watch.loops.fault(id(1)), None);
}

#[test]
fn one_that_waits_asks_nobody_and_stops_nobody() {
    let mut watch = Watch::new();
    let token = watch.question(Some(id(1)));
    watch.loops.heard_on_lan(watch.now, &token, &mut watch.effects);
    watch.effects.clear();
    let now = watch.now + INTERVAL_BLOCKED;
    watch.loops.handle_timeout(now, false, &mut watch.effects);
    assert!(!watch.loops.any_stopped());
    assert_eq!(watch.tokens(), []);
    assert!(watch.loops.poll_timeout().is_some_and(|due| due > now));
}

#[test]
fn what_goes_into_the_room_and_onto_the_lan_has_an_address_each() {
    let loops = Loops::new(SECRET, TAG);
    let (room, lan) = (loops.source(Some(id(1))), loops.source(None));
    assert_ne!(room, lan);
    assert!(room.is_identity() && lan.is_identity());
}
