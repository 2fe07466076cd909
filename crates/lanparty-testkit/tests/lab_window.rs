//! The window on a screen of its own, with the real service, relay and LAN gateway behind it, worked by keyboard.
//!
//! With LANPARTY_PICTURES=FOLDER the pictures for the documentation are taken on the way.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{env, path::PathBuf, time::Duration};

use lanparty_testkit::lab::{GAME_SERVER, Lab, Party, Process, TAP, Who, probe::wait_for_ping, wait_for};

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
    desk.wait_for_title(&party, "lanparty: Not connected");
    desk.picture(&party, "invite");
    let status = party.status(PLAYER).unwrap();
    assert_eq!(
        status["service"]["phase"], "idle",
        "joined before anybody said yes: {status}"
    );

    // Past the two pages and the colours to the one button.
    desk.keys(&party, &["Tab", "Tab", "Tab", "Tab", "space"]);
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
    display: String,
    socket: String,
    _screen: Process,
}

impl Desk {
    fn new(party: &Party) -> Desk {
        let machine = party.machine(PLAYER);
        let words = [
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            "520x900x24",
            "-nolisten",
            "tcp",
        ];
        let mut screen = machine.spawn("screen", &words).unwrap();
        let display = wait_for("a screen", LIMIT, || {
            assert!(screen.is_running(), "{}", screen.log());
            let log = screen.log();
            log.lines().find_map(|line| line.trim().parse::<u32>().ok())
        });
        Desk {
            display: format!("DISPLAY=:{}", display.unwrap()),
            socket: machine
                .directory()
                .join("service/service.sock")
                .display()
                .to_string(),
            _screen: screen,
        }
    }

    fn open(&self, party: &Party, words: &[&str]) -> Process {
        let program = window();
        let head = [
            "env",
            &self.display,
            "LIBGL_ALWAYS_SOFTWARE=1",
            &program,
            "--socket",
            &self.socket,
        ];
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

    /// What a tool of the screen prints; nothing if it finds nothing.
    fn tool(&self, party: &Party, script: &str) -> String {
        let script = format!("export {}; {script}", self.display);
        let output = party
            .machine(PLAYER)
            .output(&["sh", "-c", &script], LIMIT)
            .unwrap();
        output.stdout
    }

    fn wait_for_title(&self, party: &Party, title: &str) {
        let mut last = String::new();
        let found = wait_for(title, LIMIT, || {
            last = self.tool(
                party,
                "xdotool search --onlyvisible --name lanparty getwindowname",
            );
            last.lines().any(|line| line == title).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{error}; the title is {last}"));
    }

    fn keys(&self, party: &Party, keys: &[&str]) {
        let window = "$(xdotool search --onlyvisible --name lanparty | head -1)";
        self.tool(party, &format!("xdotool windowfocus --sync {window}"));
        for key in keys {
            self.tool(party, &format!("xdotool key {key}; sleep 0.3"));
        }
    }

    fn picture(&self, party: &Party, name: &str) {
        if let Some(folder) = env::var_os("LANPARTY_PICTURES") {
            let file = PathBuf::from(folder).join(name).with_extension("png");
            // What has just been told is drawn a moment later.
            self.tool(
                party,
                &format!("sleep 2; import -window root '{}'", file.display()),
            );
        }
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
