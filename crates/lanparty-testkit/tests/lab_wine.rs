//! The Windows build of the client, under Wine, on a player's machine of the lab: by QUIC to a relay that runs natively, and through it to
//! the party's LAN. Its adapter is the one in memory, as Wine has no drivers.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{env, net::Ipv4Addr, path::PathBuf, time::Duration};

use lanparty_testkit::{
    lab::{GAME_SERVER, Lab, Machine, Party, Process, RELAY_NAME, ROOM, Who, probe::wait_for_ping, wait_for},
    wine::{LOADER, Wine, WineCopy},
};
use serde_json::Value;

/// Wine starts its servers first, which takes a busy machine some time.
const START_LIMIT: Duration = Duration::from_secs(90);
const STATUS_LIMIT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);
const PROGRAM: &str = "x86_64-pc-windows-gnu/debug/lanparty-client.exe";

#[test]
fn the_windows_client_takes_a_lease_of_the_party_and_answers_its_pings() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    let windows = Windows::new();
    let machine = party.machine(Who::Player(0));
    let mut client = windows.join(machine, &party.certificate(), &party.state_dir(Who::Player(0)));

    let lease = wait_for("a lease", START_LIMIT, || {
        assert!(client.is_running(), "{}", client.log());
        windows.lease(machine, &party.state_dir(Who::Player(0)))
    });
    let lease = lease.unwrap_or_else(|error| panic!("{error}\n{}", client.log()));
    assert_eq!(lease.octets()[..3], GAME_SERVER.octets()[..3]);
    wait_for_ping(&party.lab.lan.games, &lease.to_string(), SOON).unwrap();
    // Nothing of the player's machine leads to the party.
    assert!(!machine.run("ip -4 route").unwrap().contains("10.73.42."));
}

/// What the player has installed.
struct Windows {
    wine: WineCopy,
    program: PathBuf,
}

impl Windows {
    fn new() -> Windows {
        let test = env::current_exe().unwrap();
        let target = test
            .ancestors()
            .find(|folder| folder.join(PROGRAM).is_file())
            .unwrap_or_else(|| {
                panic!("{PROGRAM} is missing in the target folder; `cargo xtask test` builds it")
            });
        Windows {
            wine: Wine::prepare(target).unwrap().copy().unwrap(),
            program: target.join(PROGRAM),
        }
    }

    fn join(&self, machine: &Machine, certificate: &str, state: &str) -> Process {
        let (certificate, state) = (Wine::path(certificate), Wine::path(state));
        let words = self.words(&[
            "--adapter",
            "memory",
            "--dhcp",
            "--relay",
            RELAY_NAME,
            "--relay-ca-cert",
            &certificate,
            "--room",
            ROOM,
            "--state-dir",
            &state,
        ]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        machine.spawn("lanparty-client", &words).unwrap()
    }

    /// Asked as a player would, by the client's own pipe.
    fn lease(&self, machine: &Machine, state: &str) -> Option<Ipv4Addr> {
        let words = self.words(&["status", "--json", "--state-dir", &Wine::path(state)]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = machine.output(&words, STATUS_LIMIT).unwrap();
        let status: Value = serde_json::from_str(&output.stdout).ok()?;
        let address = status["endpoint"]["dhcp"]["address"].as_str()?;
        address.split('/').next()?.parse().ok()
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let environment = self.wine.environment().into_iter();
        let environment = environment.map(|(name, value)| format!("{name}={}", value.to_string_lossy()));
        let program = [LOADER.to_owned(), self.program.display().to_string()];
        std::iter::once("env".to_owned())
            .chain(environment)
            .chain(program)
            .chain(arguments.iter().map(|&word| word.to_owned()))
            .collect()
    }
}
