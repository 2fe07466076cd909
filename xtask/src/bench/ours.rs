//! lanparty, in an open room and in a sealed one.

use std::time::Duration;

use anyhow::{Context, Result};
use lanparty_testkit::lab::{LAN_NIC, Lab, Party, Process, RELAY_NAME, ROOM, TAP, Who};

use super::tunnel::{Program, Role, Tunnel};

/// How long a program may take to join; a second is usual.
const LIMIT: Duration = Duration::from_secs(20);

/// A room whose frames the relay could read.
pub fn open_room() -> Result<Tunnel> {
    let mut party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    party.launch(Who::Relay)?;
    party.launch(Who::Gateway)?;
    party.wait_until_joined(Who::Gateway, LIMIT)?;
    let programs = Vec::new();
    let words = ["--room", ROOM, "--relay", RELAY_NAME].map(str::to_owned);
    join(party, programs, &words)
}

/// A room whose frames the relay cannot read. The LAN gateway opens one when it is given no code, and prints an invite.
pub fn sealed_room() -> Result<Tunnel> {
    const LINK: &str = "lanparty://";
    let mut party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    party.launch(Who::Relay)?;
    let (program, state) = (party.binary(Who::Gateway), party.state_dir(Who::Gateway));
    let certificate = party.certificate();
    let words = [
        &program,
        "--state-dir",
        &state,
        "--relay",
        RELAY_NAME,
        "--relay-ca-cert",
        &certificate,
        "--iface",
        LAN_NIC,
    ];
    let mut gateway = party.lab.gateway.host.spawn(Role::Gateway.name(), &words)?;
    let line = gateway.wait_for_log(LINK, LIMIT)?;
    let link = line
        .split_whitespace()
        .find(|word| word.starts_with(LINK))
        .with_context(|| format!("no invite stands alone in {line:?}"))?;
    join(party, vec![(Role::Gateway, gateway)], &[link.to_owned()])
}

fn join(party: Party, mut programs: Vec<(Role, Process)>, room: &[String]) -> Result<Tunnel> {
    let player = Who::Player(0);
    let own = [
        party.binary(player),
        "--state-dir".to_owned(),
        party.state_dir(player),
        "--relay-ca-cert".to_owned(),
        party.certificate(),
        "--tap-name".to_owned(),
        TAP.to_owned(),
        "--dhcp".to_owned(),
    ];
    let program = Program {
        words: own.iter().chain(room).cloned().collect(),
        ready: None,
    };
    let words: Vec<&str> = program.words.iter().map(String::as_str).collect();
    programs.push((
        Role::Client,
        party.machine(player).spawn(Role::Client.name(), &words)?,
    ));
    Tunnel::finish(party, programs, Some(program))
}
