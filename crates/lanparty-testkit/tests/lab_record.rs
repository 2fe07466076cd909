//! What passed and what was dropped stands in a file: everything in one that was asked for before, and the last minute of discovery
//! frames in one that is asked for when a game has not appeared.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, thread, time::Duration};

use lanparty_testkit::lab::{
    Capture, Frame, GAME_SERVER, Lab, Party, RawPort, TAP, Who, frame::BROADCAST, probe::wait_for_ping,
    wait_for,
};

const SOON: Duration = Duration::from_secs(10);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_rogue_dhcp_offer_stands_in_every_file_with_its_verdict() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    let file =
        |who: Who, name: &str, party: &Party| party.machine(who).directory().join(name).display().to_string();
    let (everything, of_gateway) = (
        file(PLAYER, "player.pcapng", &party),
        file(Who::Gateway, "gateway.pcapng", &party),
    );
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, &["--pcap", &of_gateway]).unwrap();
    party.launch_with(PLAYER, &["--pcap", &everything]).unwrap();
    let lease = party.wait_for_lease(0, Duration::from_secs(60)).unwrap();
    let player = party.machine(PLAYER);
    wait_for_ping(player, &GAME_SERVER.to_string(), SOON).unwrap();

    let offer = rogue_offer(party.player_mac(0).unwrap());
    let lan = Capture::start(&party.lab.lan.games, "eth0").unwrap();
    let port = RawPort::open(player, TAP).unwrap();
    port.send(offer.bytes()).unwrap();
    let is_offer = |packet: &&Packet| packet.frame == offer.bytes();
    let dropped = "from the device to the room: dropped, dhcp_server";

    // The last minute, as somebody asks for it whose game does not appear.
    let mut attempt = 0;
    let found = wait_for("the offer in the last minute", SOON, || {
        attempt += 1;
        let name = file(PLAYER, &format!("minute{attempt}.pcapng"), &party);
        let (program, state) = (party.binary(PLAYER), party.state_dir(PLAYER));
        let words = [&program, "save-discovery", &name, "--state-dir", &state];
        player.run_words(&words).unwrap();
        let minute = read(Path::new(&name));
        minute.iter().find(is_offer).cloned().map(|packet| (packet, name))
    });
    let (packet, minute) = found.unwrap();
    assert_eq!((packet.comment.as_str(), packet.direction), (dropped, 1));
    let printed = tcpdump(&minute);
    assert!(printed.contains("BOOTP/DHCP, Reply"), "{printed}");
    // And what has passed, both ways.
    let minute = read(Path::new(&minute));
    let arp = |packet: &&Packet| packet.frame[12..14] == [8, 6];
    assert!(minute.iter().any(|packet| packet.comment.ends_with(": passed")));
    assert!(
        minute.iter().any(|packet| packet.direction == 2),
        "from the room too"
    );
    assert!(minute.iter().filter(arp).count() > 0);
    assert_eq!(lan.count(|frame| *frame == offer), 0, "{}", lan.summary());

    thread::sleep(Duration::from_secs(2));
    assert!(party.stop(PLAYER).unwrap().success());
    assert!(party.stop(Who::Gateway).unwrap().success());
    let all = read(Path::new(&everything));
    assert_eq!(all.iter().find(is_offer).unwrap().comment, dropped);
    // Pings are no discovery; they are in the file of everything, on both sides.
    for (path, from) in [
        (&everything, "from the device to the room: passed"),
        (&of_gateway, "from member"),
    ] {
        let echo = read(Path::new(path)).into_iter().find(|packet| {
            packet.frame[12..14] == [8, 0] && packet.frame[23] == 1 && packet.frame[26..30] == lease.octets()
        });
        let comment = echo.unwrap_or_else(|| panic!("no echo in {path}")).comment;
        assert!(
            comment.starts_with(from) && comment.ends_with("passed"),
            "{comment}"
        );
    }
    let mode = fs::metadata(&everything).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A packet as it stands in a file.
#[derive(Clone, Debug)]
struct Packet {
    frame: Vec<u8>,
    comment: String,
    /// 1 from the device, 2 to it.
    direction: u32,
}

/// Reads the enhanced packet blocks of a pcapng file of this machine's byte order.
fn read(path: &Path) -> Vec<Packet> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut packets) = (&bytes[..], Vec::new());
    while rest.len() >= 12 {
        let length = word(rest, 4) as usize;
        // A recording that goes on may end amid a block.
        let Some(block) = rest.get(..length) else { break };
        if word(block, 0) == 6 {
            packets.push(packet(block));
        }
        rest = &rest[length..];
    }
    packets
}

fn packet(block: &[u8]) -> Packet {
    let length = word(block, 20) as usize;
    let frame = block[28..28 + length].to_vec();
    let (mut comment, mut direction) = (String::new(), 0);
    let mut options = &block[28 + length.next_multiple_of(4)..block.len() - 4];
    while let [c0, c1, l0, l1, value @ ..] = options {
        let (code, length) = (
            u16::from_ne_bytes([*c0, *c1]),
            usize::from(u16::from_ne_bytes([*l0, *l1])),
        );
        match code {
            0 => break,
            1 => comment = String::from_utf8(value[..length].to_vec()).unwrap(),
            2 => direction = word(value, 0),
            _ => {}
        }
        options = &value[length.next_multiple_of(4)..];
    }
    Packet {
        frame,
        comment,
        direction,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A reader that shares nothing with what wrote.
fn tcpdump(path: &str) -> String {
    let output = Command::new("tcpdump").args(["-n", "-r", path]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// An offer of an address, from a member that is no server.
fn rogue_offer(source: [u8; 6]) -> Frame {
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, 2, 255]);
    let from = (lanparty_testkit::lab::ROUTER, 67);
    Frame::udp4(
        (BROADCAST, source),
        from,
        (std::net::Ipv4Addr::BROADCAST, 68),
        &message,
    )
}
