//! A status is understood by whoever reads it.

use super::*;

#[test]
fn a_status_survives_json_and_an_older_one_is_understood() {
    let mut status = Status::new(Program::Client);
    status.drops.count(lanparty_wire::DropReason::Jumbo);
    let mut endpoint = EndpointStatus::new("relay.example".parse().unwrap(), "ABCD".parse().unwrap());
    endpoint.dhcp = Dhcp::Bound {
        address: "10.73.42.51/24".parse().unwrap(),
        server: None,
        lease_s: Some(60),
    };
    endpoint
        .members
        .push(MemberStatus::new(MemberId::new(7).unwrap(), Role::Gateway));
    status.endpoint = Some(endpoint);
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);

    let old = r#"{"version":1,"program":"relay","relay":{"listen":"[::]:443"},"colour":"red"}"#;
    assert_eq!(
        serde_json::from_str::<Status>(old).unwrap().relay.unwrap().rooms,
        []
    );
}

#[test]
fn a_routable_ipv4_address_is_shown_first() {
    let mut interface: InterfaceStatus = serde_json::from_str(r#"{"name":"lanparty0"}"#).unwrap();
    assert_eq!(interface.preferred_address(), None);
    let addresses = ["fe80::1/64", "2001:db8::1/64", "169.254.3.4/16", "10.73.42.51/24"];
    for text in addresses {
        interface.addresses.push(text.parse().unwrap());
    }
    for expected in addresses.iter().rev().take(2) {
        assert_eq!(interface.preferred_address().unwrap().to_string(), *expected);
        interface.addresses.pop();
    }
    assert_eq!(
        interface.preferred_address().unwrap().to_string(),
        "2001:db8::1/64"
    );
}

#[test]
fn names_cannot_steer_a_terminal() {
    assert_eq!(printable("ada\u{1b}[31m\nroot\u{202e}"), "ada[31mroot");
    assert_eq!(printable(&"x".repeat(500)).len(), 64);
}
