//! Moments of an evening for tests and pictures.

use lanparty_api::{
    Program, Status,
    order::{Ended, Phase, RecentRoom, ServiceStatus},
    status::{BroadcastFlow, Dhcp, EndpointStatus, GatewayStatus, InterfaceStatus, MemberStatus, Redundancy},
};
use lanparty_wire::{Mac, MemberId, control::Role};

pub fn idle() -> Status {
    Status {
        service: Some(ServiceStatus::default()),
        ..Status::new(Program::Client)
    }
}

pub fn preparing() -> Status {
    in_phase(Phase::Preparing)
}

pub fn calling() -> Status {
    let mut status = in_phase(Phase::Playing);
    status.endpoint = Some(endpoint());
    status
}

pub fn blocked() -> Status {
    let mut status = calling();
    edit(&mut status).relay.unanswered_ms = 12_000;
    status
}

pub fn playing() -> Status {
    let mut status = calling();
    let endpoint = edit(&mut status);
    endpoint.relay.connected = true;
    endpoint.relay.rtt_us = Some(23_400);
    endpoint.member = Some(MemberId::new(7).unwrap());
    endpoint.joined_ms = 60_000;
    endpoint.sealed = true;
    endpoint.interface = Some(InterfaceStatus {
        up: true,
        carrier: true,
        index: 7,
        ..InterfaceStatus::absent("lanparty0")
    });
    endpoint.dhcp = Dhcp::Bound {
        address: "10.73.42.51/24".parse().unwrap(),
        server: None,
        lease_s: None,
    };
    endpoint.gateway = Some(GatewayStatus {
        member: MemberId::new(1).unwrap(),
        name: "Ada's house".into(),
        lan_link: Some(true),
        rtt_us: Some(31_000),
    });
    endpoint.lan_answers = 12;
    endpoint.broadcast = BroadcastFlow {
        to_lan: 4,
        from_lan: 9,
    };
    endpoint.redundancy = Some(Redundancy {
        mode: "auto".into(),
        active: false,
        loss_percent: 0.4,
    });
    endpoint.members = vec![
        member(1, Role::Gateway, "Ada's house", Some(31_000)),
        member(2, Role::Client, "Grace", None),
        member(3, Role::Client, "Linus", None),
    ];
    status
}

pub fn ended() -> Status {
    let mut status = idle();
    status.service = Some(ServiceStatus {
        ended: Some(Ended {
            exit_code: 4,
            reason: "this short code is over".into(),
            advice: Some("ask the host for the one on the screen now".into()),
        }),
        ..ServiceStatus::default()
    });
    status
}

pub fn all() -> [Status; 6] {
    [idle(), preparing(), calling(), blocked(), playing(), ended()]
}

pub fn rooms() -> Vec<RecentRoom> {
    let room = |id: &str, sealed, title: &str, host: &str| RecentRoom {
        id: id.into(),
        sealed,
        title: title.into(),
        host: host.into(),
        relay: "relay.example.org".parse().unwrap(),
        joined_unix: 1_795_000_000,
    };
    vec![
        room("a", true, "3k9f02ab", "Ada's house"),
        room("b", false, "FRIDAY", ""),
    ]
}

fn in_phase(phase: Phase) -> Status {
    let mut status = idle();
    status.service = Some(ServiceStatus {
        phase,
        ..ServiceStatus::default()
    });
    status
}

fn endpoint() -> EndpointStatus {
    let room = "FRIDAY".parse::<lanparty_wire::RoomCode>().unwrap();
    EndpointStatus::new("relay.example.org".parse().unwrap(), room.into())
}

fn edit(status: &mut Status) -> &mut EndpointStatus {
    status.endpoint.as_mut().unwrap()
}

fn member(id: u16, role: Role, name: &str, rtt_us: Option<u64>) -> MemberStatus {
    MemberStatus {
        name: name.into(),
        mac: Some(Mac([2, 0, 0, 0, 0, id as u8])),
        rtt_us,
        ..MemberStatus::new(MemberId::new(id).unwrap(), role)
    }
}
