//! A relay whose operator wants a token of those who open rooms.

use lanparty_quic::DialError;
use lanparty_testkit::member::BareMember;
use lanparty_wire::{HostKey, RejectReason};

use crate::common::{Machine, Relay, mac};

#[test]
fn rooms_are_opened_with_a_token_until_it_is_revoked() {
    let relay = Relay::start(&["--require-token"]);
    let (host, ada) = (Machine::of_seed([1; 32]), Machine::new());
    let sealed = HostKey::from_seed(&[1; 32]).room().to_string();
    for room in [sealed.as_str(), "abcd"] {
        assert_eq!(
            reason(ada.join_room(&relay, room, Some(mac(1)), None)),
            RejectReason::RoomNotOpen
        );
        assert_eq!(
            reason(host.join_room(&relay, room, None, None)),
            RejectReason::TokenRequired
        );
        let guess = Some("aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(
            reason(host.join_room(&relay, room, None, guess)),
            RejectReason::TokenRequired
        );
    }
    let (created, text) = relay.command(&["token", "create", "--label", "ada's party"]);
    assert!(created, "{text}");
    let token = text.lines().next().unwrap();
    // The running relay has noticed.
    let gateway = host.join_room(&relay, &sealed, None, Some(token)).unwrap();
    let player = ada.join_room(&relay, &sealed, Some(mac(1)), None).unwrap();
    assert_eq!(player.welcome().gateway, Some(gateway.id()));
    assert_eq!(
        reason(ada.join_room(&relay, "abcd", Some(mac(1)), None)),
        RejectReason::RoomNotOpen,
        "another room is not open"
    );
    let (_, listed) = relay.command(&["token", "list"]);
    assert!(
        listed.contains("ada's party") && !listed.contains("never"),
        "{listed}"
    );
    assert!(!listed.contains(token));
    let id = listed.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert!(relay.command(&["token", "revoke", id]).0);
    assert!(!relay.command(&["token", "revoke", id]).0, "it is gone");
    assert!(gateway.link().close_reason().is_none());
    drop(gateway);
    assert_eq!(
        reason(host.join_room(&relay, &sealed, None, Some(token))),
        RejectReason::TokenRequired
    );
}

#[test]
fn nobody_is_asked_for_a_token_unless_the_operator_wants_one() {
    let relay = Relay::start(&[]);
    let host = Machine::new();
    host.join_room(&relay, "abcd", None, None).unwrap();
    host.join_room(&relay, "abcd", None, Some("any")).unwrap();
}

fn reason(joined: anyhow::Result<BareMember>) -> RejectReason {
    match joined
        .map(|member| member.id())
        .unwrap_err()
        .downcast::<DialError>()
    {
        Ok(DialError::Rejected(reason, _)) => reason,
        other => panic!("{other:?}"),
    }
}
