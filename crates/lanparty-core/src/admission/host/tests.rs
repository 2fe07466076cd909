use lanparty_wire::{AdmissionRefusal, InviteSecret, Mac, Profile, Proof};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{super::*, *};

const NOW: UnixTime = UnixTime(1_000_000);
const DAY: u64 = 24 * 3600;

#[test]
fn a_newcomer_with_an_invite_is_in_the_next_roster() {
    let mut party = Party::new();
    let invite = party.invite(Some(1));
    let before = party.host.roster().unwrap().content().number;
    let (membership, number) = admitted(party.ask(1, &invite));
    assert_eq!(membership.member().identity, peer(1));
    assert!(number > before);
    let roster = party.host.roster().unwrap();
    assert_eq!(roster.content().number, number);
    assert_eq!(roster.member(&peer(1), NOW), Some(membership.member()));
    let host = roster.member(&party.host.key.peer_id(), NOW).unwrap();
    assert_eq!(host.standing, Standing::Gateway);
    let events = party.events();
    assert!(
        matches!(events[..], [.., HostEvent::Save, HostEvent::Roster(_)]),
        "{events:?}"
    );
}

#[test]
fn each_invite_lets_in_as_many_as_it_says() {
    let mut party = Party::new();
    let two = party.invite(Some(2));
    admitted(party.ask(1, &two));
    admitted(party.ask(1, &two));
    admitted(party.ask(2, &two));
    assert_eq!(refused(party.ask(3, &two)), AdmissionRefusal::UsedUp);
    let many = party.invite(None);
    for who in 4..40 {
        admitted(party.ask(who, &many));
    }
}

#[test]
fn every_no_has_its_reason() {
    let mut party = Party::with(HostConfig {
        max_members: 3,
        lifetime: DAY,
    });
    let invite = party.invite(None);
    let other_secret = Proof::Secret {
        invite: invite.id,
        secret: InviteSecret::new([0; 16]),
    };
    assert_eq!(
        refused(party.ask_with(1, other_secret)),
        AdmissionRefusal::WrongSecret
    );
    let revoked = party.invite(None);
    assert!(party.host.revoke_invite(revoked.id) && !party.host.revoke_invite(revoked.id));
    assert_eq!(refused(party.ask(1, &revoked)), AdmissionRefusal::Revoked);
    let personal = party.make(NewInvite {
        only_for: Some(peer(5)),
        ..new_invite(Some(1))
    });
    assert_eq!(refused(party.ask(1, &personal)), AdmissionRefusal::WrongSecret);
    let later = |request: AdmissionRequest| AdmissionRequest {
        min_version: 2,
        max_version: 9,
        ..request
    };
    let global = |request: AdmissionRequest| AdmissionRequest {
        mac: Mac([0; 6]),
        ..request
    };
    let proof = secret(&invite);
    for (request, refusal) in [
        (later(request(1, proof.clone())), AdmissionRefusal::Version),
        (global(request(1, proof.clone())), AdmissionRefusal::InvalidMac),
    ] {
        let answer = party.host.handle_request(NOW, peer(1), &request);
        assert_eq!(refused(answer), refusal);
    }
    admitted(party.ask(1, &invite));
    let same_mac = AdmissionRequest {
        member: id(2),
        ..request(1, proof)
    };
    let answer = party.host.handle_request(NOW, peer(2), &same_mac);
    assert_eq!(refused(answer), AdmissionRefusal::DuplicateMac);
    admitted(party.ask(2, &invite));
    assert_eq!(refused(party.ask(3, &invite)), AdmissionRefusal::RoomFull);
    assert!(party.host.ban(NOW, peer(4)));
    assert_eq!(refused(party.ask(4, &invite)), AdmissionRefusal::Banned);
    let expired = party
        .host
        .handle_request(NOW.after(2 * DAY), peer(9), &request(9, secret(&invite)));
    assert_eq!(refused(expired), AdmissionRefusal::Expired);
}

#[test]
fn a_member_comes_back_by_its_membership_until_that_is_over() {
    let mut party = Party::new();
    let once = party.invite(Some(1));
    let (membership, _) = admitted(party.ask(1, &once));
    let proof = Proof::Membership(membership.bytes().to_vec());
    admitted(party.ask_with(1, proof.clone()));
    assert_eq!(
        refused(party.ask_with(2, proof.clone())),
        AdmissionRefusal::MembershipOver,
        "stolen"
    );
    let over = membership.member().expires;
    let answer = party.host.handle_request(over, peer(1), &request(1, proof));
    assert_eq!(refused(answer), AdmissionRefusal::MembershipOver);
}

#[test]
fn who_is_put_out_needs_a_new_invite() {
    let mut party = Party::new();
    let many = party.invite(None);
    let (membership, _) = admitted(party.ask(1, &many));
    assert!(party.host.kick(NOW, &peer(1)) && !party.host.kick(NOW, &peer(1)));
    assert_eq!(party.host.roster().unwrap().member(&peer(1), NOW), None);
    let old = Proof::Membership(membership.bytes().to_vec());
    assert_eq!(refused(party.ask_with(1, old.clone())), AdmissionRefusal::Kicked);
    assert_eq!(
        refused(party.ask(1, &many)),
        AdmissionRefusal::Kicked,
        "a request said again"
    );
    let new = party.invite(Some(1));
    admitted(party.ask(1, &new));
}

#[test]
fn a_ban_holds_until_it_is_taken_back() {
    let mut party = Party::new();
    let invite = party.invite(None);
    admitted(party.ask(1, &invite));
    assert!(party.host.ban(NOW, peer(1)));
    assert_eq!(party.host.roster().unwrap().member(&peer(1), NOW), None);
    let new = party.invite(None);
    assert_eq!(refused(party.ask(1, &new)), AdmissionRefusal::Banned);
    assert!(party.host.unban(&peer(1)));
    admitted(party.ask(1, &new));
    assert!(!party.host.ban(NOW, party.host.key.peer_id()), "the host stays");
}

#[test]
fn with_approval_newcomers_wait_for_the_hosts_word() {
    let mut party = Party::new();
    party.host.set_approval(true);
    let invite = party.invite(None);
    party.events();
    assert_eq!(party.ask(1, &invite), AdmissionAnswer::Wait);
    assert_eq!(party.ask(1, &invite), AdmissionAnswer::Wait);
    assert_eq!(party.ask(2, &invite), AdmissionAnswer::Wait);
    assert_eq!(
        party.events(),
        [HostEvent::Waiting(peer(1)), HostEvent::Waiting(peer(2))]
    );
    assert!(party.host.approve(NOW, &peer(1)) && party.host.deny(&peer(2)));
    let answers = party.answers();
    assert!(
        matches!(answers[..], [
        (one, AdmissionAnswer::Admitted { .. }),
        (two, AdmissionAnswer::Refused(AdmissionRefusal::Denied)),
    ] if one == peer(1) && two == peer(2)),
        "{answers:?}"
    );
    admitted(party.ask(1, &invite));
    assert!(!party.host.approve(NOW, &peer(1)), "nobody waits");
}

#[test]
fn those_present_are_renewed_and_the_others_drop_out() {
    let mut party = Party::new();
    let invite = party.invite(None);
    admitted(party.ask(1, &invite));
    admitted(party.ask(2, &invite));
    party.host.set_present(peer(2), false);
    party.events();
    let half = NOW.after(DAY / 2);
    assert_eq!(party.host.next_timeout(), Some(half));
    party.host.handle_timeout(half);
    let answers = party.answers();
    assert!(
        matches!(&answers[..], [(one, AdmissionAnswer::Admitted { .. })] if *one == peer(1)),
        "{answers:?}"
    );
    party.host.handle_timeout(NOW.after(DAY));
    let roster = party.host.roster().unwrap();
    assert!(roster.member(&peer(1), NOW.after(DAY)).is_some());
    assert_eq!(roster.content().members.len(), 2, "the host and one player");
}

#[test]
fn standing_and_name_stay_with_an_identity() {
    let mut party = Party::new();
    let invite = party.invite(None);
    admitted(party.ask(1, &invite));
    assert!(party.host.set_standing(NOW, peer(1), Standing::Spectator));
    assert!(!party.host.set_standing(NOW, peer(1), Standing::Gateway));
    party.host.set_name(NOW, peer(1), "Ada\u{7}");
    let answers = party.answers();
    let (membership, _) = admitted(answers.last().unwrap().1.clone());
    let member = membership.member();
    assert_eq!(
        (member.standing, member.name.as_str()),
        (Standing::Spectator, "Ada")
    );
    let (again, _) = admitted(party.ask(1, &invite));
    assert_eq!(again.member().standing, Standing::Spectator);
}

#[test]
fn a_restart_forgets_nothing_and_counts_on() {
    let mut party = Party::new();
    let invite = party.invite(Some(1));
    admitted(party.ask(1, &invite));
    party.host.ban(NOW, peer(9));
    let number = party.host.state().roster_number;
    let stored = serde_json::to_string(party.host.state()).unwrap();
    let state = serde_json::from_str(&stored).unwrap();
    // The clock was set back meanwhile.
    let mut after = Party {
        host: Host::new(key(), HostConfig::default(), state).unwrap(),
        random: ChaCha20Rng::seed_from_u64(9),
    };
    after.host.enter(UnixTime(5), id(501));
    assert!(after.host.state().roster_number > number);
    assert!(after.host.roster().unwrap().member(&peer(1), NOW).is_some());
    assert_eq!(refused(after.ask(2, &invite)), AdmissionRefusal::UsedUp);
    assert_eq!(refused(after.ask(9, &invite)), AdmissionRefusal::Banned);
    let later = HostState {
        version: 2,
        ..HostState::default()
    };
    assert_eq!(
        Host::new(key(), HostConfig::default(), later).unwrap_err(),
        StateError(2)
    );
}

#[test]
fn a_host_that_lost_its_state_is_not_taken_for_an_older_one() {
    let mut party = Party::new();
    let number = party.host.state().roster_number;
    let mut again = Party::new();
    again.host.enter(NOW.after(60), id(500));
    assert!(again.host.state().roster_number > number);
    party.events();
}

#[test]
fn a_member_believes_the_newest_roster_only() {
    let mut party = Party::new();
    let invite = party.invite(None);
    let mut keeper = RosterKeeper::new(party.host.room(), 0);
    admitted(party.ask(1, &invite));
    let with_one = party.host.roster().unwrap().clone();
    party.host.kick(NOW, &peer(1));
    let without = party.host.roster().unwrap().clone();
    assert_eq!(keeper.offer(with_one.bytes()), Ok(RosterNews::Newer));
    assert!(keeper.member(&peer(1), NOW).is_some());
    assert_eq!(keeper.offer(without.bytes()), Ok(RosterNews::Newer));
    assert_eq!(keeper.offer(without.bytes()), Ok(RosterNews::Same));
    assert!(keeper.member(&peer(1), NOW).is_none());
    assert!(matches!(
        keeper.offer(with_one.bytes()),
        Err(RosterRefusal::Older { .. })
    ));
    let mut other = without.content().clone();
    other.profile = Profile::Strangers;
    let other = Roster::sign(&key(), other).unwrap();
    assert!(matches!(
        keeper.offer(other.bytes()),
        Err(RosterRefusal::Equivocation(_))
    ));
    let foreign = Roster::sign(&HostKey::from_seed(&[2; 32]), without.content().clone()).unwrap();
    assert!(matches!(
        keeper.offer(foreign.bytes()),
        Err(RosterRefusal::Paper(_))
    ));
    let counted = RosterCounters {
        invalid: 1,
        older: 1,
        equivocation: 1,
    };
    assert_eq!(keeper.counters(), counted);
}

#[test]
fn what_the_host_says_of_its_roster_outdates_what_the_relay_has() {
    let mut party = Party::new();
    let old = party.host.roster().unwrap().clone();
    let mut keeper = RosterKeeper::new(party.host.room(), 0);
    keeper.offer(old.bytes()).unwrap();
    let invite = party.invite(None);
    let (membership, number) = admitted(party.ask(1, &invite));
    keeper.require(number);
    assert_eq!(keeper.newest(), None);
    assert!(matches!(
        keeper.offer(old.bytes()),
        Err(RosterRefusal::Older { .. })
    ));
    keeper.offer(party.host.roster().unwrap().bytes()).unwrap();
    let saved = SavedMembership::new(&membership, &keeper);
    let saved: SavedMembership = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
    let (restored, mut keeper) = saved.restore(&peer(1), NOW).unwrap();
    assert_eq!(restored, membership);
    assert!(keeper.offer(old.bytes()).is_err());
    assert!(saved.restore(&peer(2), NOW).is_none());
    assert!(saved.restore(&peer(1), NOW.after(DAY)).is_none());
}

struct Party {
    host: Host,
    random: ChaCha20Rng,
}

impl Party {
    fn new() -> Party {
        Party::with(HostConfig::default())
    }

    fn with(config: HostConfig) -> Party {
        let mut host = Host::new(key(), config, HostState::default()).unwrap();
        host.enter(NOW, id(500));
        let random = ChaCha20Rng::seed_from_u64(7);
        Party { host, random }
    }

    fn invite(&mut self, uses: Option<u16>) -> HostInvite {
        self.make(new_invite(uses))
    }

    fn make(&mut self, new: NewInvite) -> HostInvite {
        self.host.create_invite(NOW, &mut self.random, &new).unwrap()
    }

    fn ask(&mut self, who: u8, invite: &HostInvite) -> AdmissionAnswer {
        self.ask_with(who, secret(invite))
    }

    fn ask_with(&mut self, who: u8, proof: Proof) -> AdmissionAnswer {
        self.host.handle_request(NOW, peer(who), &request(who, proof))
    }

    fn events(&mut self) -> Vec<HostEvent> {
        let events = std::iter::from_fn(|| self.host.poll_event());
        events.collect()
    }

    fn answers(&mut self) -> Vec<(PeerId, AdmissionAnswer)> {
        let answer = |event| match event {
            HostEvent::Answer { identity, answer, .. } => Some((identity, answer)),
            HostEvent::Save | HostEvent::Roster(_) | HostEvent::Waiting(_) => None,
        };
        self.events().into_iter().filter_map(answer).collect()
    }
}

#[test]
fn an_address_that_the_lan_has_puts_out_and_keeps_out_and_another_one_brings_back() {
    let mut party = Party::new();
    let invite = party.invite(Some(1));
    let (membership, _) = admitted(party.ask(1, &invite));
    let mac = membership.member().mac.unwrap();
    party.host.refuse_mac(NOW, mac);
    assert!(party.host.roster().unwrap().member(&peer(1), NOW).is_none());
    let by_membership = Proof::Membership(membership.bytes().to_vec());
    assert_eq!(
        refused(party.ask_with(1, by_membership.clone())),
        AdmissionRefusal::OnLan
    );
    let elsewhere = AdmissionRequest {
        mac: Mac([2, 9, 9, 9, 9, 9]),
        ..request(1, by_membership)
    };
    admitted(party.host.handle_request(NOW, peer(1), &elsewhere));
}

#[test]
fn a_profile_is_in_the_next_roster_and_in_the_first() {
    let mut party = Party::new();
    party.host.set_profile(NOW, Profile::Strangers);
    let profile = |host: &Host| host.roster().unwrap().content().profile;
    assert_eq!(profile(&party.host), Profile::Strangers);
    let state = HostState {
        profile: Profile::Friends,
        ..party.host.state().clone()
    };
    let mut host = Host::new(key(), HostConfig::default(), state).unwrap();
    host.set_profile(NOW, Profile::Strangers);
    assert_eq!(host.poll_event(), Some(HostEvent::Save));
    assert!(host.roster().is_none(), "not in its room yet");
    host.enter(NOW, id(9));
    assert_eq!(profile(&host), Profile::Strangers);
}

fn admitted(answer: AdmissionAnswer) -> (Membership, u64) {
    match answer {
        AdmissionAnswer::Admitted { membership, roster } => (membership, roster),
        other => panic!("{other:?}"),
    }
}

fn refused(answer: AdmissionAnswer) -> AdmissionRefusal {
    match answer {
        AdmissionAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn new_invite(uses: Option<u16>) -> NewInvite {
    NewInvite {
        uses,
        lifetime: Some(DAY),
        standing: Standing::Player,
        only_for: None,
    }
}

fn secret(invite: &HostInvite) -> Proof {
    Proof::Secret {
        invite: invite.id,
        secret: invite.secret,
    }
}

fn request(who: u8, proof: Proof) -> AdmissionRequest {
    AdmissionRequest {
        member: id(u16::from(who)),
        mac: Mac([2, 0, 0, 0, 0, who]),
        name: format!("player {who}"),
        software: String::new(),
        min_version: 1,
        max_version: 1,
        proof,
    }
}

fn key() -> HostKey {
    HostKey::from_seed(&[1; 32])
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn id(n: u16) -> MemberId {
    MemberId::new(n).unwrap()
}
