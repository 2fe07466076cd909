use proptest::prelude::*;

use super::*;
use crate::HostKey;

#[test]
fn a_link_has_the_relay_the_room_and_nothing_else_in_the_clear() {
    let invite = invite();
    let link = invite.to_string();
    let (clear, fragment) = link.split_once('#').unwrap();
    assert_eq!(clear, format!("lanparty://relay.example.org/{}", invite.room()));
    assert!(
        fragment.len() < 140,
        "a QR code gets too dense: {}",
        fragment.len()
    );
    assert_eq!(link.parse(), Ok(invite));
}

#[test]
fn what_mail_does_to_a_link_is_forgiven() {
    let invite = invite();
    let link = invite.to_string();
    let broken = format!(" <{}\r\n  {}>\n", &link[..60], &link[60..]);
    assert_eq!(broken.parse(), Ok(invite.clone()));
    assert_eq!(link.replace("lanparty:", "LANParty:").parse(), Ok(invite.clone()));
    assert_eq!(link.replace('#', "/#").parse(), Ok(invite));
}

#[test]
fn a_page_carries_an_invite_but_not_one_on_the_relay() {
    let invite = invite();
    let link = invite.on_page(&page("https://play.example.net/join/")).unwrap();
    assert!(link.starts_with("https://play.example.net/join/#relay.example.org/"));
    assert_eq!(link.parse(), Ok(invite.clone()));
    for on_relay in ["https://relay.example.org/", "HTTPS://RELAY.example.org:8443/x"] {
        assert_eq!(
            invite.on_page(&page(on_relay)),
            Err(PageError::OnRelay("relay.example.org".into()))
        );
    }
    let refusal = |text: &str| text.parse::<InvitePage>().unwrap_err();
    assert_eq!(refusal("http://a.example/"), PageError::Scheme);
    assert_eq!(refusal("https://a.example/#x"), PageError::Fragment);
    assert!(matches!(refusal("https:///x"), PageError::Host(_)));
}

#[test]
fn each_refusal_names_its_part() {
    let refusal = |text: &str| text.parse::<Invite>().unwrap_err();
    let link = invite().to_string();
    let room = invite().room();
    let other = SealedRoom::of(&PeerId([9; 32]));
    let (clear, code) = link.split_once('#').unwrap();
    let with = |edit: fn(&mut Vec<u8>)| {
        let mut bytes = BASE64URL_NOPAD.decode(code.as_bytes()).unwrap();
        edit(&mut bytes);
        refusal(&format!("{clear}#{}", BASE64URL_NOPAD.encode(&bytes)))
    };
    assert_eq!(refusal(" \n"), InviteError::Empty);
    assert_eq!(refusal(&"a".repeat(3000)), InviteError::TooLong);
    assert_eq!(refusal("http://example.org/#x"), InviteError::Scheme);
    assert_eq!(refusal(clear), InviteError::NoFragment);
    assert_eq!(refusal(&format!("{clear}#")), InviteError::NoFragment);
    assert_eq!(
        refusal(&format!("lanparty://relay.example.org#{code}")),
        InviteError::NoRoom
    );
    assert!(matches!(
        refusal(&link.replace("relay.example.org", "")),
        InviteError::Relay(_)
    ));
    assert!(matches!(
        refusal(&link.replace(&room.to_string(), "short!")),
        InviteError::Room(_)
    ));
    assert!(matches!(
        refusal(&link.replace(&room.to_string(), "LAN-2026")),
        InviteError::OpenRoom(_)
    ));
    assert_eq!(
        refusal(&link.replace(&room.to_string(), &other.to_string())),
        InviteError::OtherRoom
    );
    assert_eq!(refusal(&format!("{link}.")), InviteError::Character('.'));
    assert_eq!(refusal(&format!("{link}AAAA")), InviteError::Long);
    assert_eq!(
        refusal(&link.replace("relay.example", "relax.example")),
        InviteError::Checksum
    );
    assert_eq!(with(|bytes| bytes[0] = 2), InviteError::Version(2));
    assert_eq!(with(|bytes| bytes[1] |= 0x80), InviteError::Flags);
    assert_eq!(with(|bytes| bytes[80] ^= 1), InviteError::Checksum);
    for cut in clear.len() + 2..link.len() {
        assert_eq!(refusal(&link[..cut]), InviteError::Short, "cut at {cut}");
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let link = invite().to_string();
    for (at, old) in link.char_indices().filter(|(at, _)| *at > "lanparty://".len()) {
        let new = if old.eq_ignore_ascii_case(&'x') { "y" } else { "x" };
        let changed = format!("{}{new}{}", &link[..at], &link[at + 1..]);
        assert!(changed.parse::<Invite>().is_err(), "{changed}");
    }
}

#[test]
fn an_invite_ends_with_its_last_second() {
    let invite = invite();
    assert!(!invite.is_expired(UnixTime(1_999_999_999)));
    assert!(invite.is_expired(UnixTime(2_000_000_000)));
}

#[test]
fn a_secret_reaches_no_log() {
    let secret = format!("{:?}", invite());
    assert!(!secret.contains("3, 3, 3"));
}

proptest! {
    #[test]
    fn every_invite_prints_and_parses(
        seed: [u8; 32], pin: Option<[u8; 32]>, id: u32, secret: [u8; 16], expires in proptest::option::of(1_u64..),
        one_use: bool, approval: bool, port in 1_u16.., host in "[a-z]{1,20}(\\.[a-z]{2,9}){0,2}|192\\.0\\.2\\.7|2001:db8::7",
    ) {
        let invite = Invite {
            relay: RelayAddress { host, port },
            host: HostKey::from_seed(&seed).peer_id(),
            pin: pin.map(Pin::from_bytes),
            id: InviteId(id),
            secret: InviteSecret::new(secret),
            expires: expires.map(UnixTime),
            one_use,
            approval,
        };
        prop_assert_eq!(invite.to_string().parse::<Invite>(), Ok(invite.clone()));
        let page = invite.on_page(&page("https://page.example/")).unwrap();
        prop_assert_eq!(page.parse::<Invite>(), Ok(invite));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,300}", prefix in "(lanparty://|https://)?") {
        let _ = format!("{prefix}{text}").parse::<Invite>();
    }
}

fn page(address: &str) -> InvitePage {
    address.parse().unwrap()
}

fn invite() -> Invite {
    Invite {
        relay: "relay.example.org".parse().unwrap(),
        host: HostKey::from_seed(&[1; 32]).peer_id(),
        pin: Some(Pin::from_bytes([2; 32])),
        id: InviteId(7),
        secret: InviteSecret::new([3; 16]),
        expires: Some(UnixTime(2_000_000_000)),
        one_use: true,
        approval: false,
    }
}
