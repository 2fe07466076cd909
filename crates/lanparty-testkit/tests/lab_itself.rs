//! The lab is what it says: before anybody trusts a test that stands on it, the lab is tested with plain programs.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    Capture, Fault, Frame, GAME_SERVER, HostSnapshot, LAN_NIC, Lab, Machine, Process, RELAY, RELAY_NAME,
    RELAY6, RawPort,
    frame::BROADCAST,
    game::{self, DoomClient, DoomServer},
    mac_of, wait_for,
};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_player_reaches_the_relay_by_name_and_is_seen_with_his_routers_address() {
    let lab = Lab::builder().players(2).build().unwrap();
    let [one, two] = &lab.players[..] else {
        panic!("two players")
    };
    one.host.run(&format!("ping -c1 -W2 {RELAY_NAME}")).unwrap();
    assert!(
        two.host
            .run(&format!("ping -c1 -W1 {}", one.host_address()))
            .is_err(),
        "homes are apart"
    );

    let server = lab
        .internet
        .relay
        .inside(|| UdpSocket::bind((RELAY, 443)).unwrap())
        .unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let client = one
        .host
        .inside(|| UdpSocket::bind("0.0.0.0:5000").unwrap())
        .unwrap();
    client.send_to(b"hello", (RELAY, 443)).unwrap();
    let (_, before) = server.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(before.ip(), one.public_address());

    one.forget_mappings().unwrap();
    client.send_to(b"again", (RELAY, 443)).unwrap();
    let (_, after) = server.recv_from(&mut [0; 16]).unwrap();
    assert_ne!(
        before.port(),
        after.port(),
        "a forgotten mapping comes back with another port"
    );
}

#[test]
fn a_small_line_is_small_and_a_silent_line_is_silent_until_the_fault_ends() {
    let lab = Lab::builder().player_mtu(1280).build().unwrap();
    let player = &lab.players[0];
    let ping = |size: u16| {
        player
            .host
            .run(&format!("ping -c1 -W1 -M do -s {} {RELAY}", size - 28))
    };
    ping(1280).unwrap();
    assert!(ping(1281).is_err());

    let fault = Fault::silence(&player.router).unwrap();
    assert!(ping(100).is_err());
    fault.end().unwrap();
    ping(100).unwrap();

    let loss = Fault::loss(&player.router, 50).unwrap();
    let report = player
        .host
        .output(&["ping", "-c40", "-i0.01", "-W1", &RELAY.to_string()], SOON)
        .unwrap();
    loss.end().unwrap();
    let received = (1..40).any(|count| report.stdout.contains(&format!(" {count} received")));
    assert!(received, "half of the packets get lost: {}", report.stdout);
}

#[test]
fn lines_with_ipv6_reach_the_relay_and_let_nobody_in() {
    let lab = Lab::builder().players(2).ipv6().build().unwrap();
    let [one, two] = &lab.players[..] else {
        panic!("two players")
    };
    let ask = |socket: &UdpSocket, target: &str| socket.send_to(b"?", target).unwrap();
    let server = lab
        .internet
        .relay
        .inside(|| UdpSocket::bind((RELAY6, 443)).unwrap())
        .unwrap();
    let [client, stranger] = [one, two].map(|site| {
        site.host
            .inside(|| UdpSocket::bind("[::]:5000").unwrap())
            .unwrap()
    });
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(SOON)).unwrap();
    }
    ask(&client, &format!("[{RELAY6}]:443"));
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(from.to_string(), "[2001:db8:1::20]:5000");
    ask(&stranger, "[2001:db8:1::20]:5000");
    server.send_to(b"!", from).unwrap();
    assert_eq!(
        client.recv_from(&mut [0; 8]).unwrap().1,
        format!("[{RELAY6}]:443").parse().unwrap()
    );
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.recv_from(&mut [0; 8]).is_err(), "the stranger came in");
}

#[test]
fn crafted_frames_cross_the_switch_and_its_table_learns_and_forgets() {
    let lab = Lab::builder().two_switches().build().unwrap();
    let port = RawPort::open(&lab.gateway.host, LAN_NIC).unwrap();
    let capture = Capture::start(&lab.lan.games, "eth0").unwrap();
    let stranger = [2, 0, 0, 0, 0, 0x77];
    port.send(Frame::new(BROADCAST, stranger, 0x88b5, &[7; 46]).bytes())
        .unwrap();

    capture
        .wait_for("the crafted frame", SOON, |frame| {
            frame.kind() == 0x88b5 && frame.carries(&[7; 46])
        })
        .unwrap();
    lab.lan.wait_for_port("br0", stranger, "p-gateway", SOON).unwrap();
    lab.lan.wait_for_port("br1", stranger, "trunk1", SOON).unwrap();
    lab.lan.set_ageing(Duration::from_secs(1)).unwrap();
    wait_for("the switch to forget", SOON, || {
        lab.lan.port_of("br0", stranger).unwrap().is_none().then_some(())
    })
    .unwrap();
}

#[test]
fn a_saved_capture_is_one_that_tcpdump_reads() {
    let lab = Lab::builder().players(0).build().unwrap();
    let capture = Capture::start(&lab.lan.games, "eth0").unwrap();
    lab.lan
        .dhcp
        .run(&format!("ping -c1 -s 333 {GAME_SERVER}"))
        .unwrap();
    capture
        .wait_for("the ping", SOON, |frame| frame.bytes().len() == 333 + 42)
        .unwrap();
    let file = lab.file(&lab.lan.games, "saved.pcap");
    capture.save(&file).unwrap();
    let text = lab
        .lan
        .games
        .run(&format!("tcpdump -n -r {}", file.display()))
        .unwrap();
    assert!(
        text.contains("ICMP echo request") && text.contains("length 341"),
        "{text}"
    );
}

#[test]
fn a_snapshot_sees_what_was_changed() {
    let lab = Lab::builder().build().unwrap();
    let host = &lab.players[0].host;
    let before = HostSnapshot::take(host).unwrap();
    assert_eq!(before.difference(&HostSnapshot::take(host).unwrap()), "");
    host.run("ip tuntap add dev tap7 mode tap").unwrap();
    host.run("ip route add 10.9.9.0/24 via 192.168.101.1").unwrap();
    host.run("nft add table inet left_over").unwrap();
    host.sysctl("net/ipv4/conf/eth0/rp_filter", "2").unwrap();
    host.shell("echo 'nameserver 10.0.0.1' > /etc/resolv.conf")
        .unwrap();
    let difference = before.difference(&HostSnapshot::take(host).unwrap());
    for sign in [
        "tap7",
        "10.9.9.0/24",
        "left_over",
        "rp_filter = 2",
        "nameserver 10.0.0.1",
    ] {
        assert!(difference.contains(sign), "{sign} is missing in\n{difference}");
    }
    assert!(
        !std::fs::read_to_string("/etc/resolv.conf")
            .unwrap()
            .contains("10.0.0.1"),
        "the lab has its own /etc"
    );
}

#[test]
fn nothing_of_a_machine_survives_it() {
    let directory = std::env::temp_dir().join("lanparty-lab-itself");
    let machine = Machine::boot("mortal", &directory).unwrap();
    let sleeper = machine.spawn("sleeper", &["sleep", "1000"]).unwrap();
    let init = machine.init_pid();
    let path = format!("/proc/{}", sleeper.pid());
    assert!(std::path::Path::new(&path).exists());
    drop(machine);
    wait_for("the program to end with its machine", SOON, || {
        (!std::path::Path::new(&path).exists()).then_some(())
    })
    .unwrap_or_else(|_| assert!(is_zombie(&path), "{path} lives on"));
    assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
    drop(sleeper);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_program_that_ends_early_is_an_error_with_its_last_words() {
    let lab = Lab::builder().players(0).build().unwrap();
    let mut process: Process = lab
        .internet
        .relay
        .spawn("broken", &["sh", "-c", "sleep 0.2; echo why not; exit 3"])
        .unwrap();
    let start = Instant::now();
    let error = process
        .wait_for_log("never", Duration::from_secs(30))
        .unwrap_err()
        .to_string();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(error.contains("why not") && error.contains('3'), "{error}");
}

#[test]
fn the_game_finds_its_server_by_broadcast_on_a_plain_lan() {
    let lab = Lab::builder().players(0).build().unwrap();
    let guest = lab.lan.add_host("guest").unwrap();
    guest
        .run("ip address add 10.73.42.50/24 broadcast + dev eth0")
        .unwrap();
    guest.run("ip route add 255.255.255.255/32 dev eth0").unwrap();
    let capture = Capture::start(&lab.lan.games, "eth0").unwrap();
    let mut server = DoomServer::start(&lab.lan.games).unwrap();
    let mut client = DoomClient::start(&guest, 1).unwrap();

    client.wait_for_connection(Duration::from_secs(20)).unwrap();
    server
        .wait_for_player("10.73.42.50".parse().unwrap(), SOON)
        .unwrap();
    let question = capture.wait_for("the question", SOON, game::is_question).unwrap();
    assert_eq!(question.frame.source(), mac_of(&guest, "eth0").unwrap());
    let answer = capture.wait_for("the answer", SOON, game::is_answer).unwrap();
    assert_eq!(answer.frame.udp().unwrap().from.0, GAME_SERVER);
    assert!(client.is_running() && server.is_running() && server.players_lost() == 0);
}

fn is_zombie(path: &str) -> bool {
    std::fs::read_to_string(format!("{path}/status")).is_ok_and(|text| text.contains("State:\tZ"))
}
