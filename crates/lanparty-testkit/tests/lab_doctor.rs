//! Each finding of the doctors, provoked on real machines as far as namespaces can; the others are provoked by recorded machines and
//! by facts, in `lanparty-os` and `lanparty-core`.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::time::Duration;

use lanparty_testkit::lab::{
    Fault, LAN_NIC, Lab, Machine, Party, RELAY_NAME, Who, end, mac_of, plug, set_carrier, wait_for,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
const PLAYER: Who = Who::Player(0);
/// A key that no relay has.
const STRANGE_PIN: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_good_lan_and_a_good_line_have_nothing_to_do() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    let certificate = party.certificate();
    let report = examine(
        &party,
        LAN_NIC,
        &["--relay", RELAY_NAME, "--relay-ca-cert", &certificate],
    );
    for name in [
        "privileges",
        "tun",
        "interface",
        "carrier",
        "mtu",
        "offloads",
        "br-netfilter",
        "dhcp",
        "foreign-macs",
        "large-frames",
        "multicast",
        "subnet",
        "relay",
        "line",
    ] {
        assert_eq!(report.light(name), "green", "{report:?}");
    }
    assert_eq!(report.code, 0, "{report:?}");
    assert!(report.found("dhcp").contains("10.73.42.1 ("), "{report:?}");
    assert!(report.found("subnet").contains("10.73.42.0/24"), "{report:?}");
    assert!(report.found("line").contains("Mbit/s"), "{report:?}");
}

#[test]
fn a_lan_without_dhcp_is_yellow_and_names_the_address_helper() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    silence_dhcp(&party.lab.lan.dhcp);
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("dhcp"), "yellow", "{report:?}");
    assert!(report.advice("dhcp").contains("--addresses auto"), "{report:?}");
    assert_eq!(report.code, 0, "yellow is no failure");
}

#[test]
fn two_dhcp_servers_are_both_named() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let rogue = party.lab.lan.add_host("rogue").unwrap();
    rogue.run("ip address add 10.73.42.3/24 dev eth0").unwrap();
    let mut server = rogue
        .spawn(
            "dnsmasq",
            &[
                "dnsmasq",
                "--keep-in-foreground",
                "--log-facility=-",
                "--user=root",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--port=0",
                "--interface=eth0",
                "--no-ping",
                "--leasefile-ro",
                "--dhcp-range=10.73.42.210,10.73.42.220,255.255.255.0,120s",
            ],
        )
        .unwrap();
    server.wait_for_log("started", LIMIT).unwrap();
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("dhcp"), "yellow", "{report:?}");
    for server in ["10.73.42.1 (", "10.73.42.3 ("] {
        assert!(report.found("dhcp").contains(server), "{report:?}");
    }
}

#[test]
fn a_port_that_takes_one_address_only_is_red() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let [a, b, c, d, e, f] = mac_of(party.machine(Who::Gateway), LAN_NIC).unwrap();
    let own = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let secured = format!(
        "table netdev security {{
            chain port {{ type filter hook ingress device \"p-gateway\" priority 0; ether saddr != {own} drop; }}
         }}"
    );
    party.lab.lan.switch.feed(&["nft", "-f", "-"], &secured).unwrap();
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("foreign-macs"), "red", "{report:?}");
    assert!(
        report.found("foreign-macs").contains("port security"),
        "{report:?}"
    );
    // The server is found by our own address.
    assert_eq!(report.light("dhcp"), "green", "{report:?}");
    assert_eq!(report.code, 1);
}

#[test]
fn a_switch_that_loses_large_frames_is_red() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    for port in ["p-dhcp", "p-games"] {
        party
            .lab
            .lan
            .switch
            .run(&format!("ip link set {port} mtu 1400"))
            .unwrap();
    }
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("large-frames"), "red", "{report:?}");
    assert_eq!(
        report.light("foreign-macs"),
        "green",
        "small frames pass: {report:?}"
    );
    assert_eq!(report.light("mtu"), "green", "ours is right: {report:?}");
}

#[test]
fn an_interface_with_a_small_mtu_is_red() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let gateway = party.machine(Who::Gateway);
    gateway.run(&format!("ip link set {LAN_NIC} mtu 1400")).unwrap();
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("mtu"), "red", "{report:?}");
    assert!(report.advice("mtu").contains("mtu 1500"), "{report:?}");
}

#[test]
fn a_bridge_that_snoops_without_a_querier_is_yellow_until_there_is_one() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    bridge_the_gateway(party.machine(Who::Gateway));
    let report = examine(&party, "brl", &[]);
    assert_eq!(report.light("multicast"), "yellow", "{report:?}");
    assert!(
        report.advice("multicast").contains("mcast_querier 1"),
        "{report:?}"
    );

    party
        .lab
        .lan
        .switch
        .run("ip link set br0 type bridge mcast_snooping 1 mcast_querier 1")
        .unwrap();
    let report = examine(&party, "brl", &[]);
    assert_eq!(report.light("multicast"), "green", "{report:?}");
    assert!(report.found("multicast").contains("IGMP querier"), "{report:?}");
}

#[test]
fn a_firewall_on_the_bridge_is_yellow_and_with_docker_red() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let gateway = party.machine(Who::Gateway);
    bridge_the_gateway(gateway);
    if gateway
        .run("ls /proc/sys/net/bridge/bridge-nf-call-iptables")
        .is_err()
    {
        eprintln!("this kernel has no br_netfilter; recorded machines stand for it in lanparty-os");
        return;
    }
    gateway.sysctl("net/bridge/bridge-nf-call-iptables", "1").unwrap();
    assert_eq!(examine(&party, "brl", &[]).light("br-netfilter"), "yellow");
    gateway.run("ip link add docker0 type bridge").unwrap();
    assert_eq!(examine(&party, "brl", &[]).light("br-netfilter"), "red");
}

#[test]
fn a_network_that_homes_have_is_yellow_also_at_the_gateways_start() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party
        .machine(Who::Gateway)
        .run(&format!("ip address add 192.168.1.5/24 dev {LAN_NIC}"))
        .unwrap();
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("subnet"), "yellow", "{report:?}");
    assert!(report.advice("subnet").contains("10.73.42.0/24"), "{report:?}");

    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party
        .process(Who::Gateway)
        .unwrap()
        .wait_for_log("Doctor: the LAN uses 192.168.1.0/24", LIMIT)
        .unwrap();
    // It has not waited for that.
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
}

#[test]
fn a_relay_that_is_not_there_is_red() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    let report = examine(&party, LAN_NIC, &["--relay", RELAY_NAME]);
    assert_eq!(report.light("relay"), "red", "{report:?}");
    assert!(!report.has("line"), "{report:?}");
    assert_eq!(report.code, 1);
}

#[test]
fn a_relay_with_another_key_is_red_and_a_new_one_yellow() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    let wrong = ["--relay", RELAY_NAME, "--relay-pin", STRANGE_PIN];
    let report = examine(&party, LAN_NIC, &wrong);
    assert_eq!(report.light("relay"), "red", "{report:?}");
    assert!(report.found("relay").contains("not trusted"), "{report:?}");
    let report = examine(&party, LAN_NIC, &["--relay", RELAY_NAME]);
    assert_eq!(report.light("relay"), "yellow", "{report:?}");
    assert!(report.found("relay").contains("sha256:"), "{report:?}");
}

#[test]
fn a_line_that_loses_packets_is_red() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    let certificate = party.certificate();
    let _loss = Fault::loss(&party.lab.gateway.router, 8).unwrap();
    let report = examine(
        &party,
        LAN_NIC,
        &["--relay", RELAY_NAME, "--relay-ca-cert", &certificate],
    );
    assert_eq!(report.light("line"), "red", "{report:?}");
    assert_eq!(report.code, 1);
}

#[test]
fn a_cable_that_is_out_is_red_and_nothing_is_asked() {
    let party = Party::prepare(&Lab::builder()).unwrap();
    set_carrier(party.lab.lan.gateway_port(), false).unwrap();
    let report = examine(&party, LAN_NIC, &[]);
    assert_eq!(report.light("carrier"), "red", "{report:?}");
    assert!(!report.has("dhcp"), "{report:?}");
    assert_eq!(report.code, 1);
    let report = examine(&party, "no-such-if", &[]);
    assert_eq!(report.light("interface"), "red", "{report:?}");
}

#[test]
fn people_read_lines_and_players_have_a_doctor_too() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    let (program, state) = (party.binary(PLAYER), party.state_dir(PLAYER));
    let certificate = party.certificate();
    let words = [
        &program,
        "doctor",
        "--relay",
        RELAY_NAME,
        "--relay-ca-cert",
        &certificate,
        "--state-dir",
        &state,
    ];
    let output = party.machine(PLAYER).output(&words, LIMIT).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for line in [
        "green   tun ",
        "green   home-network ",
        "green   party-lan ",
        "green   relay ",
        "green   line ",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
}

#[test]
fn a_player_who_is_on_the_partys_lan_already_is_told_and_may_insist() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    let switch = &party.lab.lan.switch;
    plug(end(switch, "p-home"), end(party.machine(PLAYER), "home0"), 1500).unwrap();
    switch.run("ip link set p-home master br0").unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    party.launch(PLAYER).unwrap();
    says(&mut party, "this machine is on the party's LAN already, at home0");
    ends(&mut party);
    party.launch_with(PLAYER, &["--anyway"]).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
}

#[test]
fn a_home_that_has_the_partys_network_is_told_before_an_address_is_taken() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party
        .machine(PLAYER)
        .shell(
            "ip link add home type veth peer name home-end; ip address add 10.73.42.77/24 dev home; \
             ip link set home up; ip link set home-end up",
        )
        .unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.launch(PLAYER).unwrap();
    says(
        &mut party,
        "the party uses 10.73.42.0/24, and so does your network at home",
    );
    ends(&mut party);
    party.launch_with(PLAYER, &["--anyway"]).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
}

/// What a doctor's JSON says.
#[derive(Debug)]
struct Report {
    code: i32,
    findings: Vec<Value>,
}

impl Report {
    fn has(&self, name: &str) -> bool {
        self.findings.iter().any(|finding| finding["name"] == name)
    }

    fn text(&self, name: &str, field: &str) -> &str {
        let finding = self.findings.iter().find(|finding| finding["name"] == name);
        let finding = finding.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        finding[field].as_str().unwrap_or("")
    }

    fn light(&self, name: &str) -> &str {
        self.text(name, "light")
    }

    fn found(&self, name: &str) -> &str {
        self.text(name, "found")
    }

    fn advice(&self, name: &str) -> &str {
        self.text(name, "advice")
    }
}

/// Runs the host's doctor.
fn examine(party: &Party, interface: &str, more: &[&str]) -> Report {
    let (program, state) = (party.binary(Who::Gateway), party.state_dir(Who::Gateway));
    let mut words = vec![
        &program,
        "doctor",
        "--iface",
        interface,
        "--json",
        "--state-dir",
        &state,
    ];
    words.extend(more);
    let output = party.machine(Who::Gateway).output(&words, LIMIT).unwrap();
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    Report {
        code: output.status.code().unwrap(),
        findings: report["findings"].as_array().unwrap().clone(),
    }
}

/// The DHCP server hears nothing any more.
fn silence_dhcp(machine: &Machine) {
    let deaf = "table netdev deaf {
        chain port { type filter hook ingress device \"eth0\" priority 0; udp dport 67 drop; }
     }";
    machine.feed(&["nft", "-f", "-"], deaf).unwrap();
}

/// Puts the LAN's cable into a bridge of the LAN gateway's box, as hosts of virtual machines have it.
fn bridge_the_gateway(gateway: &Machine) {
    gateway
        .shell(&format!(
            "ip link add brl type bridge stp_state 0 forward_delay 0 mcast_snooping 1 mcast_querier 0; \
             ip link set {LAN_NIC} master brl; ip link set brl up"
        ))
        .unwrap();
    let forwards = || {
        let state = gateway
            .run(&format!("cat /sys/class/net/{LAN_NIC}/brport/state"))
            .ok()?;
        (state.trim() == "3").then_some(())
    };
    wait_for("the bridge to forward", LIMIT, forwards).unwrap();
}

fn says(party: &mut Party, words: &str) {
    party.process(PLAYER).unwrap().wait_for_log(words, LIMIT).unwrap();
}

/// The player's client ends by itself, as something on this machine forbids to go on.
fn ends(party: &mut Party) {
    let status = party.process(PLAYER).unwrap().wait(LIMIT).unwrap();
    assert_eq!(status.code(), Some(3));
}
