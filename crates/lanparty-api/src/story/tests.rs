//! One test for each sentence.

use lanparty_wire::{Mac, MemberId, PortFault};

use super::*;
use crate::status::{InterfaceStatus, RouteStatus};

#[test]
fn a_usual_evening_is_told_word_for_word() {
    let mut moments = vec![joined(|_| {})];
    let mut next = |change: fn(&mut EndpointStatus)| {
        let mut status = moments.last().unwrap().clone();
        change(status.endpoint.as_mut().unwrap());
        moments.push(status);
    };
    next(|e| e.joined_ms = ROSTER_MS);
    next(|e| e.gateway = Some(gateway(5)));
    next(|e| {
        e.dhcp = Dhcp::Bound {
            address: "10.73.42.51/24".parse().unwrap(),
            server: None,
            lease_s: None,
        }
    });
    next(|e| e.gateway.as_mut().unwrap().rtt_us = Some(22_100));
    next(|e| e.broadcast.to_lan = 1);
    next(|e| e.broadcast.from_lan = 1);
    next(|e| e.default_route_offered = true);
    next(|e| e.broadcast.from_lan = 2);
    let told: Vec<String> = (0..moments.len())
        .flat_map(|i| story(i.checked_sub(1).map(|before| &moments[before]), &moments[i]))
        .map(|line| line.text)
        .collect();
    assert_eq!(
        told,
        [
            "Connected to relay",
            "No LAN gateway in room ABCD yet: waiting for the host",
            "Connected to LAN gateway",
            "DHCP received: 10.73.42.51",
            "Gateway latency: 23 ms",
            "Broadcast traffic flowing",
            "Warning: TAP received default route, adjusted metric",
        ]
    );
}

#[test]
fn a_gateway_that_was_there_first_is_told_with_the_relay() {
    let now = joined(|e| {
        e.gateway = Some(GatewayStatus {
            rtt_us: Some(400),
            ..gateway(5)
        });
    });
    assert_eq!(
        texts(None, &now),
        [
            "Connected to relay",
            "Connected to LAN gateway",
            "Gateway latency: 1 ms"
        ]
    );
}

#[test]
fn a_hosts_cable_is_told_out_and_in() {
    let linked = |lan_link| {
        joined(|e| {
            e.gateway = Some(GatewayStatus {
                lan_link,
                ..gateway(5)
            })
        })
    };
    let out = texts(Some(&linked(Some(true))), &linked(Some(false)));
    assert_eq!(out, ["No LAN for now: the host's LAN cable is out"]);
    assert_eq!(texts(Some(&linked(Some(false))), &linked(Some(false))), [""; 0]);
    let back = texts(Some(&linked(Some(false))), &linked(Some(true)));
    assert_eq!(back, ["The host's LAN cable is in again"]);
    assert!(
        texts(None, &linked(Some(false))).contains(&"No LAN for now: the host's LAN cable is out".into())
    );
}

#[test]
fn a_gateway_that_leaves_makes_the_player_wait() {
    let with = joined(|e| e.gateway = Some(gateway(5)));
    let without = joined(|_| {});
    assert_eq!(
        texts(Some(&with), &without),
        [
            "LAN gateway left",
            "No LAN gateway in room ABCD yet: waiting for the host"
        ]
    );
    let another = joined(|e| e.gateway = Some(gateway(6)));
    assert_eq!(texts(Some(&with), &another), ["Connected to LAN gateway"]);
}

#[test]
fn nobody_waits_for_a_host_whom_the_relay_is_about_to_name() {
    let early = joined(|e| e.joined_ms = ROSTER_MS - 1);
    assert_eq!(texts(None, &early), ["Connected to relay"]);
    let late = joined(|e| e.joined_ms = ROSTER_MS);
    let waiting = "No LAN gateway in room ABCD yet: waiting for the host";
    assert_eq!(texts(Some(&early), &late), [waiting]);
    assert_eq!(texts(Some(&late), &late), [""; 0]);
    assert_eq!(texts(None, &late), ["Connected to relay", waiting]);
}

#[test]
fn five_seconds_without_any_answer_make_udp_the_suspect() {
    let silent = |ms| status(|e| e.relay.unanswered_ms = ms);
    assert_eq!(texts(Some(&silent(4_000)), &silent(4_999)), [""; 0]);
    assert_eq!(
        texts(Some(&silent(4_999)), &silent(5_000)),
        ["No answer from relay.example:443 for 5 s: this network seems to block UDP, or the relay is down"]
    );
    assert_eq!(texts(Some(&silent(5_000)), &silent(60_000)), [""; 0]);
}

#[test]
fn broadcasts_one_way_are_told_apart_once_there_was_time_for_an_answer() {
    let flow = |ms, to_lan, from_lan| {
        joined(|e| {
            e.joined_ms = ms;
            e.gateway = Some(gateway(5));
            e.broadcast.to_lan = to_lan;
            e.broadcast.from_lan = from_lan;
        })
    };
    assert_eq!(texts(Some(&flow(100, 0, 0)), &flow(9_999, 5, 0)), [""; 0]);
    assert_eq!(
        texts(Some(&flow(9_999, 5, 0)), &flow(10_000, 6, 0)),
        ["Broadcast traffic goes to the LAN, but none has come back from it yet"]
    );
    assert_eq!(
        texts(Some(&flow(9_999, 0, 5)), &flow(10_000, 0, 6)),
        ["Broadcast traffic comes from the LAN, but none was sent to it yet"]
    );
    assert_eq!(
        texts(Some(&flow(11_000, 6, 0)), &flow(12_000, 6, 1)),
        ["Broadcast traffic flowing"]
    );
}

#[test]
fn a_lost_relay_is_told_and_after_it_everything_that_is_true_again() {
    let before = joined(|e| e.gateway = Some(gateway(5)));
    let lost = status(|e| {
        e.joins = 1;
        e.member = Some(member(7));
    });
    assert_eq!(
        texts(Some(&before), &lost),
        ["Connection to relay lost; reconnecting"]
    );
    let again = joined(|e| {
        e.joins = 2;
        e.gateway = Some(gateway(5));
    });
    let expected = ["Connected to relay", "Connected to LAN gateway"];
    assert_eq!(texts(Some(&lost), &again), expected);
    assert_eq!(
        texts(Some(&before), &again),
        expected,
        "even if nobody looked in between"
    );
}

#[test]
fn a_problem_is_told_once() {
    let problem = |text: &str| Status {
        problem: Some(text.into()),
        ..status(|_| {})
    };
    assert_eq!(texts(None, &problem("no route")), ["No route"]);
    assert_eq!(texts(Some(&problem("no route")), &problem("no route")), [""; 0]);
    assert_eq!(
        texts(Some(&problem("no route")), &problem("no name")),
        ["No name"]
    );
    assert_eq!(texts(Some(&problem("no route")), &status(|_| {})), [""; 0]);
}

#[test]
fn another_address_that_does_not_answer_is_no_other_problem() {
    let problem = |text: &str| Status {
        problem: Some(text.into()),
        ..status(|_| {})
    };
    let (v4, v6) = (
        problem("the relay 192.0.2.1:443 does not answer"),
        problem("the relay [2001:db8::1]:443 does not answer"),
    );
    assert_eq!(texts(Some(&v4), &v6), [""; 0]);
}

#[test]
fn a_storyteller_repeats_no_worry_until_things_were_good_again() {
    let problem = |text: &str| Status {
        problem: Some(text.into()),
        ..status(|_| {})
    };
    let mut teller = Storyteller::default();
    let mut told = |status: &Status| {
        teller
            .tell(status)
            .into_iter()
            .map(|l| l.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&problem("no route")), ["No route"]);
    assert_eq!(told(&problem("no name")), ["No name"]);
    assert_eq!(told(&problem("no route")), [""; 0]);
    assert!(told(&joined(|_| {})).contains(&"Connected to relay".into()));
    let lost = "Connection to relay lost: no route; reconnecting";
    assert_eq!(told(&problem("no route")), [lost]);
}

#[test]
fn a_warning_about_the_host_is_told_once() {
    let warned = |texts: &[&str]| status(|e| e.warnings = texts.iter().map(|&t| t.into()).collect());
    assert_eq!(texts(None, &warned(&["a", "b"])), ["a", "b"]);
    assert_eq!(texts(Some(&warned(&["a"])), &warned(&["a", "b"])), ["b"]);
}

#[test]
fn an_unpinned_route_and_an_idle_tap_are_warned_of() {
    let unpinned = |reason: Option<&str>| {
        joined(|e| {
            e.route = Some(RouteStatus {
                pinned: false,
                reason: reason.map(str::to_owned),
                interface: None,
            })
        })
    };
    let line = "Warning: relay route is not pinned, the tunnel could run through itself";
    assert_eq!(texts(Some(&joined(|_| {})), &unpinned(None)), [line]);
    assert_eq!(
        texts(Some(&joined(|_| {})), &unpinned(Some("not allowed"))),
        [format!("{line}: not allowed")]
    );
    assert_eq!(texts(Some(&unpinned(None)), &unpinned(None)), [""; 0]);
    let idle = |ms| {
        joined(|e| {
            e.joined_ms = ms;
            e.gateway = Some(gateway(5));
            e.interface.as_mut().unwrap().carrier = false;
        })
    };
    assert_eq!(texts(Some(&idle(100)), &idle(2_999)), [""; 0]);
    assert_eq!(
        texts(Some(&idle(2_999)), &idle(3_000)),
        ["Warning: TAP is not ready, games cannot see the LAN"]
    );
    assert_eq!(texts(Some(&idle(3_000)), &idle(9_000)), [""; 0]);
}

#[test]
fn players_are_told_when_they_come_and_go_and_counted_when_they_were_there() {
    let with = |ids: &[u16]| {
        joined(|e| {
            e.members = ids
                .iter()
                .map(|&id| MemberStatus::new(member(id), Role::Client))
                .collect();
            e.members
                .iter_mut()
                .for_each(|m| m.name = format!("p{}", m.id.value()));
            e.members.push(MemberStatus::new(member(99), Role::Gateway));
        })
    };
    assert_eq!(
        texts(Some(&with(&[1, 2])), &with(&[2, 3])),
        ["p3 joined", "p1 left"]
    );
    assert!(texts(None, &with(&[1, 2, 3])).contains(&"3 other players are here".into()));
    assert!(texts(None, &with(&[1])).contains(&"Another player is here: p1".into()));
}

#[test]
fn a_hosts_own_cable_is_told_to_the_host_who_hears_nothing_of_gateways() {
    let cable = |carrier| {
        let mut status = joined(|e| e.interface.as_mut().unwrap().carrier = carrier);
        status.program = Program::Gateway;
        status
    };
    assert_eq!(texts(None, &cable(true)), ["Connected to relay"]);
    assert_eq!(
        texts(Some(&cable(true)), &cable(false)),
        ["The LAN cable of lanparty0 is out, players are told so"]
    );
    assert_eq!(
        texts(Some(&cable(false)), &cable(true)),
        ["The LAN cable of lanparty0 is in again"]
    );
}

#[test]
fn a_lease_that_ends_and_another_address_are_told() {
    let lease = |text: &str| {
        let address = text.parse().unwrap();
        joined(|e| {
            e.dhcp = Dhcp::Bound {
                address,
                server: None,
                lease_s: None,
            }
        })
    };
    assert_eq!(
        texts(Some(&lease("10.0.0.1/24")), &lease("10.0.0.2/24")),
        ["DHCP received: 10.0.0.2"]
    );
    assert_eq!(
        texts(Some(&lease("10.0.0.1/24")), &joined(|e| e.dhcp = Dhcp::Asking)),
        ["DHCP address 10.0.0.1 is no longer valid, asking again"]
    );
}

fn texts(before: Option<&Status>, now: &Status) -> Vec<String> {
    story(before, now).into_iter().map(|line| line.text).collect()
}

fn status(change: impl FnOnce(&mut EndpointStatus)) -> Status {
    let mut endpoint = EndpointStatus::new("relay.example".parse().unwrap(), "ABCD".parse().unwrap());
    endpoint.mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    endpoint.interface = Some(InterfaceStatus {
        name: "lanparty0".into(),
        index: 3,
        mac: endpoint.mac,
        mtu: 1500,
        up: true,
        carrier: true,
        addresses: Vec::new(),
    });
    change(&mut endpoint);
    Status {
        endpoint: Some(endpoint),
        ..Status::new(Program::Client)
    }
}

fn joined(change: impl FnOnce(&mut EndpointStatus)) -> Status {
    status(|endpoint| {
        endpoint.member = Some(member(7));
        endpoint.relay.connected = true;
        endpoint.joins = 1;
        endpoint.joined_ms = 1;
        change(endpoint);
    })
}

fn member(id: u16) -> MemberId {
    MemberId::new(id).unwrap()
}

fn gateway(id: u16) -> GatewayStatus {
    GatewayStatus {
        member: member(id),
        name: String::new(),
        lan_link: None,
        rtt_us: None,
    }
}

#[test]
fn a_stopped_port_is_told_to_both_and_so_is_its_end() {
    let free = joined(|e| e.gateway = Some(gateway(5)));
    let stopped = joined(|e| {
        e.gateway = Some(gateway(5));
        e.port_fault = Some(PortFault::LanLoop);
    });
    assert_eq!(texts(Some(&free), &stopped), [PortFault::LanLoop.sentence()]);
    assert_eq!(texts(Some(&stopped), &stopped), [""; 0]);
    assert_eq!(texts(Some(&stopped), &free), ["Your port is open again"]);

    let host = |fault| {
        let mut status = joined(|_| {});
        status.program = Program::Gateway;
        status.endpoint.as_mut().unwrap().members = vec![MemberStatus {
            name: "ada".into(),
            port_fault: fault,
            ..MemberStatus::new(MemberId::new(7).unwrap(), Role::Client)
        }];
        status
    };
    let told = texts(Some(&host(None)), &host(Some(PortFault::LanLoop)));
    assert_eq!(told, [format!("ada {}", PortFault::LanLoop.host_sentence())]);
    let told = texts(Some(&host(Some(PortFault::LanLoop))), &host(None));
    assert_eq!(told, ["The port of ada is open again"]);
}

#[test]
fn who_floods_the_room_is_named_to_the_host_once() {
    let host = |broadcasts_per_s| {
        let mut status = joined(|_| {});
        status.program = Program::Gateway;
        status.endpoint.as_mut().unwrap().members = vec![MemberStatus {
            name: "ada".into(),
            broadcasts_per_s,
            ..MemberStatus::new(MemberId::new(7).unwrap(), Role::Client)
        }];
        status
    };
    let told = texts(Some(&host(STORM_PER_S - 1)), &host(STORM_PER_S));
    assert_eq!(
        told,
        ["ada floods the room: 350 broadcasts a second; what is over the limits is dropped"]
    );
    assert_eq!(texts(Some(&host(STORM_PER_S)), &host(9_000)), [""; 0]);
}
