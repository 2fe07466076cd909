//! The Windows build of the client, under Wine, on a player's machine of the lab: by QUIC to a relay that runs natively, and through it to
//! the party's LAN. Its adapter is the one in memory, as Wine has no drivers.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    env,
    fs::{self, File},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanparty_testkit::{
    lab::{
        GAME_SERVER, Lab, Machine, Output, Party, Process, RELAY_NAME, ROOM, Who, probe::wait_for_ping,
        wait_for,
    },
    wine::{LOADER, Wine, WineCopy},
};
use serde_json::Value;

/// Wine starts its servers first, which takes a busy machine some time.
const START_LIMIT: Duration = Duration::from_secs(90);
const STATUS_LIMIT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);
const SERVICE_STATE: &str = r"C:\party";
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

#[test]
fn the_service_manager_starts_the_service_and_stops_it_and_takes_it_off() {
    let windows = Windows::new();
    let _session = windows.log_on();
    // What stands beside the order is what the service is started with.
    let install = || windows.run(&["--state-dir", SERVICE_STATE, "service", "install"]);
    let installed = install();
    assert!(
        installed.stdout.contains("is installed"),
        "{installed:?}\n{}",
        windows.service_log()
    );
    // Started by its installation, and asked as any program on this machine would.
    assert_eq!(
        windows.service_phase().as_deref(),
        Some("idle"),
        "{}",
        windows.service_log()
    );
    let again = install();
    assert!(again.stdout.contains("is installed"), "{again:?}");
    assert_eq!(windows.service_phase().as_deref(), Some("idle"));

    // By somebody else's hands.
    let net = |order: &str| windows.output(&["net", order, "lanparty"]);
    // Wine says that it has failed when a service ends before its answer is out.
    let stopped = || {
        net("stop");
        windows.service_phase().is_none().then_some(())
    };
    wait_for("its end", START_LIMIT, stopped).unwrap();
    let log = windows.service_log();
    assert_eq!(log.matches("ready for orders").count(), 2, "{log}");
    assert_eq!(log.matches("asks the service to stop").count(), 2, "{log}");
    // Wine takes a service for a running one until its process has gone.
    wait_for("its next start", START_LIMIT, || {
        net("start").status.success().then_some(())
    })
    .unwrap();
    assert_eq!(windows.service_phase().as_deref(), Some("idle"));

    let gone = windows.run(&["service", "uninstall"]);
    assert!(gone.stdout.contains("is gone"), "{gone:?}");
    assert_eq!(windows.service_phase(), None);
    let missing = windows.run(&["service", "uninstall"]);
    assert!(missing.stdout.contains("no service"), "{missing:?}");
    assert!(!net("start").status.success());
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
        let answer = format!("{state}/answer.json");
        let words = self.words(&["status", "--json", "--state-dir", &Wine::path(state)]);
        // Into a file: whichever program comes first starts Wine's servers, and they would hold a pipe open for ever.
        let into_file = ["sh", "-c", r#"exec "$@" > "$0" 2> /dev/null"#, &answer];
        let words: Vec<&str> = into_file
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        machine.output(&words, STATUS_LIMIT).unwrap();
        let status: Value = serde_json::from_str(&fs::read_to_string(answer).ok()?).ok()?;
        let address = status["endpoint"]["dhcp"]["address"].as_str()?;
        address.split('/').next()?.parse().ok()
    }

    /// Somebody who is there until this is dropped. Wine takes a machine without any program for one that is switched off, and ends its
    /// services.
    fn log_on(&self) -> Session {
        let mut command = self.wine.command();
        command.arg("cmd").stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Session(command.spawn().unwrap())
    }

    /// The client, without a network of its own.
    fn run(&self, arguments: &[&str]) -> Output {
        self.output(&[&[self.program.to_str().unwrap()], arguments].concat())
    }

    /// A program of Windows.
    fn output(&self, words: &[&str]) -> Output {
        let limit = START_LIMIT.as_secs().to_string();
        // Into files, because services that are started and go on would hold a pipe open.
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.wine.drive().join(name));
        let status = Command::new("timeout")
            .args(["--kill-after=5", &limit, LOADER])
            .args(words)
            .envs(self.wine.environment())
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .status()
            .unwrap();
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Output {
            status,
            stdout: read(stdout),
            stderr: read(stderr),
        }
    }

    /// What the service does; `None` if nobody answers.
    fn service_phase(&self) -> Option<String> {
        let status: Value = serde_json::from_str(&self.run(&["status", "--json"]).stdout).ok()?;
        Some(status["service"]["phase"].as_str()?.to_owned())
    }

    fn service_log(&self) -> String {
        fs::read_to_string(self.wine.drive().join("party/service.log")).unwrap_or_default()
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

/// Ends when it hears nothing more.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
