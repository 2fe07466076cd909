//! The Windows build of the window under Wine, on a screen of its own: over the named pipe to the Windows build of the service, and by
//! that to a relay and a party that run natively. The adapter is the one in memory, as Wine has no drivers.
//!
//! With LANPARTY_PICTURES=FOLDER the pictures for the documentation are taken on the way.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{path::PathBuf, time::Duration};

use lanparty_testkit::{
    lab::{Lab, Party, Process, Screen, Who, wait_for},
    wine::{CLIENT, WINDOW, Wine, WineCopy, target_with},
};

/// Wine starts its servers first, which takes a busy machine some time.
const LIMIT: Duration = Duration::from_secs(90);
const PLAYER: Who = Who::Player(0);
/// A blank screen has one colour, and a window that draws nothing a few more.
const COLOURS: u32 = 50;

#[test]
fn the_windows_window_asks_about_a_link_and_its_service_joins_the_party() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    party.seal();
    party.launch(Who::Relay).unwrap();
    party
        .launch_with(Who::Gateway, &["--name", "Ada's house"])
        .unwrap();
    party.wait_until_joined(Who::Gateway, LIMIT).unwrap();
    let link = party.invite().unwrap();
    let desk = Desk::new(&party);

    let mut window = desk.open(&party, &link);
    desk.wait_for_title(
        &party,
        &mut window,
        "lanparty: The lanparty service is not running",
    );
    desk.picture(&party, "windows-no-service");
    let mut service = desk.service(&party);
    desk.wait_for_title(&party, &mut window, "lanparty: You have opened an invite");
    desk.picture(&party, "windows-invite");
    let drawn = wait_for("a picture", LIMIT, || {
        let colours = desk.screen.colours(party.machine(PLAYER)).unwrap();
        (colours > COLOURS).then_some(())
    });
    drawn.unwrap();
    assert!(!service.log().contains("joined"), "{}", service.log());

    // Past the two pages and the colours to the one button.
    let keys = ["Tab", "Tab", "Tab", "Tab", "space"];
    desk.screen.keys(party.machine(PLAYER), &keys).unwrap();
    desk.wait_for_title(&party, &mut window, "lanparty: You are at the party");
    desk.picture(&party, "windows-playing");
    assert!(service.is_running(), "{}", service.log());
}

/// The player's screen, and what he has installed.
struct Desk {
    screen: Screen,
    wine: WineCopy,
    target: PathBuf,
}

impl Desk {
    fn new(party: &Party) -> Desk {
        let target = target_with(WINDOW).unwrap();
        Desk {
            screen: Screen::new(party.machine(PLAYER)).unwrap(),
            wine: Wine::prepare(&target).unwrap().copy().unwrap(),
            target,
        }
    }

    fn open(&self, party: &Party, link: &str) -> Process {
        self.start(party, "window", WINDOW, &["--", link])
    }

    fn service(&self, party: &Party) -> Process {
        let state = Wine::path(&party.state_dir(PLAYER));
        let words = ["--adapter", "memory", "--state-dir", &state, "service"];
        self.start(party, "service", CLIENT, &words)
    }

    fn start(&self, party: &Party, label: &str, program: &str, words: &[&str]) -> Process {
        let mut all = self.wine.words(&self.target.join(program), words);
        // Behind `env`.
        all.splice(1..1, self.screen.environment());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        party.machine(PLAYER).spawn(label, &all).unwrap()
    }

    fn wait_for_title(&self, party: &Party, window: &mut Process, title: &str) {
        let found = self.screen.wait_for_title(party.machine(PLAYER), title);
        found.unwrap_or_else(|error| panic!("{error}; running: {}, {}", window.is_running(), window.log()));
    }

    fn picture(&self, party: &Party, name: &str) {
        self.screen.picture(party.machine(PLAYER), name).unwrap();
    }
}
