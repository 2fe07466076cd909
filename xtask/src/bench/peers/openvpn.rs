//! OpenVPN in tap mode: clients on the player's and the LAN gateway's machine, a server between them.

use anyhow::{Context, Result};
use lanparty_testkit::lab::{Lab, Machine, Party, Process, TAP};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::{bridge, launch, relay_address, write_config, write_file};
use crate::bench::tunnel::{Program, Role, Tunnel, address_player};

const RELAY_CONFIG: &str = include_str!("openvpn-relay.conf");
const MEMBER_CONFIG: &str = include_str!("openvpn-member.conf");
/// In the log of a member that is connected.
pub const READY: &str = "Initialization Sequence Completed";

/// Key and certificate of one side, and the certificates that it trusts, as PEM.
pub struct Credentials {
    key: String,
    certificate: String,
    trusted: String,
}

pub fn start() -> Result<Tunnel> {
    let party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    let (mut programs, member) = start_middle(&party.lab)?;
    let player = &party.lab.players[0].host;
    let words = words(player, &member, TAP)?;
    let (role, mut process) = launch(
        player,
        Role::Client,
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    process.wait_for_log(READY, super::LIMIT)?;
    programs.push((role, process));
    address_player(player)?;
    let program = Program {
        words,
        ready: Some(READY),
    };
    Tunnel::finish(party, programs, Some(program))
}

/// The server and the LAN gateway's client, and what players need to join them.
pub fn start_middle(lab: &Lab) -> Result<(Vec<(Role, Process)>, Credentials)> {
    let (server, member) = create_pair()?;
    let relay = &lab.internet.relay;
    let config = configure(relay, RELAY_CONFIG, &server, "bench-tap")?;
    let mut programs = vec![launch(relay, Role::Relay, &["openvpn", "--config", &config])?];
    programs[0].1.wait_for_log(READY, super::LIMIT)?;
    let gateway = &lab.gateway.host;
    let config = configure(gateway, MEMBER_CONFIG, &member, TAP)?;
    let (role, mut process) = launch(gateway, Role::Gateway, &["openvpn", "--config", &config])?;
    process.wait_for_log(READY, super::LIMIT)?;
    programs.push((role, process));
    bridge(lab)?;
    Ok((programs, member))
}

/// What starts a player's client with an adapter of this name.
pub fn words(player: &Machine, member: &Credentials, device: &str) -> Result<Vec<String>> {
    let config = configure(player, MEMBER_CONFIG, member, device)?;
    Ok(["openvpn", "--config", &config].map(str::to_owned).to_vec())
}

fn configure(machine: &Machine, template: &str, own: &Credentials, device: &str) -> Result<String> {
    let certificates = write_file(machine, "trusted.pem", &own.trusted)?;
    let certificate = write_file(machine, "certificate.pem", &own.certificate)?;
    let key = write_file(machine, "key.pem", &own.key)?;
    let relay = relay_address();
    let values = [
        ("relay", relay.as_str()),
        ("device", device),
        ("certificates", &certificates),
        ("certificate", &certificate),
        ("key", &key),
    ];
    write_config(machine, &format!("openvpn-{device}.conf"), template, &values)
}

/// Server and members. Each certificate is its own authority, so both together are all that anybody trusts.
fn create_pair() -> Result<(Credentials, Credentials)> {
    let ((server_key, server), (member_key, member)) = (create("server")?, create("member")?);
    let trusted = format!("{server}{member}");
    let credentials = |key, certificate| Credentials {
        key,
        certificate,
        trusted: trusted.clone(),
    };
    Ok((credentials(server_key, server), credentials(member_key, member)))
}

/// Key and certificate. OpenVPN takes no two authorities of one name.
fn create(name: &str) -> Result<(String, String)> {
    let make = || -> Result<(String, String), rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok((key.serialize_pem(), certificate.pem()))
    };
    make().context("could not make a certificate for OpenVPN")
}
