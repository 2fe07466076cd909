//! What a person sees, line by line.

use lanparty_wire::{DropReason, Mac, MemberId};

use super::*;
use crate::status::{Program, RouteStatus};

#[test]
fn a_client_reads_from_top_to_bottom() {
    let mut status = Status::new(Program::Client);
    status.software = "lanparty-client 0.1.0".into();
    (status.process, status.since_unix) = (4321, 1_000);
    status.traffic = Traffic {
        frames_out: 5,
        bytes_out: 3 << 20,
        ..Traffic::default()
    };
    status.drops.add(DropReason::ForgedSource, 3);
    status.endpoint = Some(endpoint());
    assert_eq!(
        text(&status, 8_260),
        "\
lanparty-client 0.1.0, process 4321, running for 2 h 1 min
Relay         relay.example:443 (203.0.113.5:443), connected, RTT 12 ms, 1414 bytes a datagram
Room          ABCD (open: the relay's operator could read frames), joined as member 7, through the relay
Adapter       lanparty0, 02:00:00:00:00:01, MTU 1500, up, index 3
Address       10.73.42.51/24, by DHCP from the LAN
Relay route   pinned to wlan0
LAN gateway   member 5 host, latency 23 ms, LAN cable in
Broadcasts    2 to the LAN, 3 from the LAN: flowing
Frames        5 out, 0 in
Datagrams     0 out (3.0 MiB), 0 in (0 bytes)
Drops         forged_source 3
  Member      5      LAN gateway host
"
    );
}

#[test]
fn a_relay_lists_its_rooms() {
    let mut status = Status::new(Program::Relay);
    status.relay = serde_json::from_str(
        r#"{"listen":"[::]:443","pin":"abc","connections":1,
            "rooms":[{"room":"ABCD","members":[{"id":9,"role":"client","name":"a\u001bda","mac":"02:00:00:00:00:02","last_seen_s":4}]}]}"#,
    )
    .unwrap();
    let text = text(&status, 0);
    assert!(
        text.contains("Listening     [::]:443/udp, 1 connection\n"),
        "{text}"
    );
    assert!(text.contains("Room          ABCD, 1 member\n"), "{text}");
    assert!(
        text.contains("  Member      9      player      ada, 02:00:00:00:00:02, heard 4 s ago\n"),
        "{text}"
    );
}

#[test]
fn sizes_and_times_are_short() {
    assert_eq!(
        [0, 1023, 1024, 5 << 30].map(bytes),
        ["0 bytes", "1023 bytes", "1.0 KiB", "5.0 GiB"]
    );
    assert_eq!(
        [59, 61, 3_700, 90_000].map(duration),
        ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
    );
    assert!(bytes(u64::MAX).ends_with(" TiB"));
}

fn endpoint() -> EndpointStatus {
    let mut endpoint = EndpointStatus::new("relay.example".parse().unwrap(), "ABCD".parse().unwrap());
    endpoint.relay.remote = Some("203.0.113.5:443".parse().unwrap());
    endpoint.relay.connected = true;
    endpoint.relay.rtt_us = Some(11_900);
    endpoint.relay.budget = Some(1414);
    endpoint.mode = Some(Mode::Relay);
    endpoint.member = MemberId::new(7);
    endpoint.mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    endpoint.interface = serde_json::from_str(
        r#"{"name":"lanparty0","index":3,"mac":"02:00:00:00:00:01","mtu":1500,"up":true,"carrier":true}"#,
    )
    .unwrap();
    endpoint.dhcp = Dhcp::Bound {
        address: "10.73.42.51/24".parse().unwrap(),
        server: None,
        lease_s: None,
    };
    endpoint.route = Some(RouteStatus {
        pinned: true,
        reason: None,
        interface: Some("wlan0".into()),
    });
    let gateway = MemberId::new(5).unwrap();
    endpoint.gateway = Some(GatewayStatus {
        member: gateway,
        name: "host".into(),
        lan_link: Some(true),
        rtt_us: Some(23_000),
    });
    (endpoint.broadcast.to_lan, endpoint.broadcast.from_lan) = (2, 3);
    endpoint.members = vec![MemberStatus {
        name: "host".into(),
        ..MemberStatus::new(gateway, Role::Gateway)
    }];
    endpoint
}
