//! The window on a screen of its own, with the real service, relay and LAN gateway behind it, worked by keyboard.
//!
//! With LANPARTY_PICTURES=FOLDER the pictures for the documentation are taken on the way.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{env, time::Duration};

use lanparty_testkit::lab::{GAME_SERVER, Lab, Party, Process, Screen, TAP, Who, probe::wait_for_ping};

const LIMIT: Duration = Duration::from_secs(60);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_link_is_asked_about_and_one_key_later_games_are_at_the_party() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party
        .launch_with(Who::Gateway, &["--name", "Ada's house"])
        .unwrap();
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    let link = party.invite().unwrap();
    let desk = Desk::new(&party);

    // Without a service the window says so, and finds it when it comes.
    let _window = desk.open(&party, &[&link]);
    desk.wait_for_title(&party, "lanparty: The lanparty service is not running");
    desk.picture(&party, "no-service");
    let mut service = desk.service(&party);
    desk.wait_for_title(&party, "lanparty: You have opened an invite");
    desk.picture(&party, "invite");
    let status = party.status(PLAYER).unwrap();
    assert_eq!(
        status["service"]["phase"], "idle",
        "joined before anybody said yes: {status}"
    );

    // Past the two pages and the colours to the one button.
    let keys = ["Tab", "Tab", "Tab", "Tab", "space"];
    desk.screen.keys(party.machine(PLAYER), &keys).unwrap();
    party.wait_for_lease(0, LIMIT).unwrap();
    desk.wait_for_title(&party, "lanparty: You are at the party");
    wait_for_ping(party.machine(PLAYER), &GAME_SERVER.to_string(), LIMIT).unwrap();
    party
        .wait_for_status(PLAYER, "an answer of the LAN", LIMIT, |status| {
            status["endpoint"]["lan_answers"].as_u64() > Some(0)
        })
        .unwrap();
    desk.picture(&party, "playing");

    // Somebody else's order is seen here.
    let (program, socket) = (party.binary(PLAYER), desk.socket.clone());
    let left = party
        .machine(PLAYER)
        .output(&[&program, "disconnect", "--socket", &socket], LIMIT)
        .unwrap();
    assert!(left.status.success(), "{}", left.stderr);
    desk.wait_for_title(&party, "lanparty: Not connected");
    desk.picture(&party, "start");
    assert!(service.is_running(), "{}", service.log());
}

/// The player's screen, and where his service listens.
struct Desk {
    screen: Screen,
    socket: String,
}

impl Desk {
    fn new(party: &Party) -> Desk {
        let machine = party.machine(PLAYER);
        let socket = machine.directory().join("service/service.sock");
        Desk {
            screen: Screen::new(machine).unwrap(),
            socket: socket.display().to_string(),
        }
    }

    fn open(&self, party: &Party, words: &[&str]) -> Process {
        let program = window();
        let [display, software] = self.screen.environment();
        let head = ["env", &display, &software, &program, "--socket", &self.socket];
        party
            .machine(PLAYER)
            .spawn("window", &[&head, words].concat())
            .unwrap()
    }

    fn service(&self, party: &Party) -> Process {
        let (program, state) = (party.binary(PLAYER), party.state_dir(PLAYER));
        let words = [
            &program,
            "--state-dir",
            &state,
            "--tap-name",
            TAP,
            "service",
            "--socket",
            &self.socket,
        ];
        party.machine(PLAYER).spawn("service", &words).unwrap()
    }

    fn wait_for_title(&self, party: &Party, title: &str) {
        self.screen.wait_for_title(party.machine(PLAYER), title).unwrap();
    }

    fn picture(&self, party: &Party, name: &str) {
        self.screen.picture(party.machine(PLAYER), name).unwrap();
    }
}

/// `cargo xtask test` builds it.
fn window() -> String {
    let program = env::current_exe().unwrap();
    let window = program
        .ancestors()
        .map(|ancestor| ancestor.join("window/debug/lanparty"))
        .find(|window| window.is_file());
    let window = window
        .expect("cargo build --manifest-path crates/lanparty-gui/Cargo.toml --target-dir target/window");
    window.display().to_string()
}
