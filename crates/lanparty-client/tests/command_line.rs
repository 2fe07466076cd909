//! The real binary as a shell sees it: words, sentences, exit codes, and what is left of it after it was killed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio, id},
    time::{Duration, Instant},
};

/// An address that no host has (RFC 5737).
const NOBODY: &str = "192.0.2.1";

#[test]
fn help_and_version_are_no_errors() {
    let help = client(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for word in [
        "--relay <HOST[:PORT]>",
        "--virtual-mac <MAC>",
        "--state-dir <DIR>",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(client(&["--version"]).status.code(), Some(0));
}

#[test]
fn what_is_wrong_with_the_wishes_is_said_in_one_sentence_and_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "relay = 'r.example'\nrom = 'ABCD'\n").unwrap();
    let file = file.to_str().unwrap();
    for (words, expected) in [
        (vec!["--room", "ABCD"], "no relay was given"),
        (vec!["--relay", "r.example"], "no room was given"),
        (
            vec!["--relay", "r.example:0", "--room", "ABCD"],
            "\"0\" is not a port",
        ),
        (
            vec!["--relay", "r.example", "--room", "a_b"],
            "a room code has only letters, digits and dashes",
        ),
        (
            vec!["--relay-pin", "sha256:12"],
            "a pin has 64 hexadecimal digits",
        ),
        (
            vec!["--config", file],
            "line 2: there is no setting \"rom\"; did you mean \"room\"?",
        ),
        (
            vec!["--config", "/nowhere.toml"],
            "could not read the settings file /nowhere.toml",
        ),
    ] {
        let output = client(&words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
        assert!(text.contains(expected), "{words:?}: {text}");
    }
}

#[test]
fn a_wrong_value_from_the_environment_is_named() {
    let output = command(&["--relay", NOBODY, "--room", "ABCD"])
        .env("LANPARTY_MTU", "9000")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("environment variable LANPARTY_MTU"), "{text}");
}

#[test]
fn status_of_nobody_ends_with_7() {
    let dir = tempfile::tempdir().unwrap();
    let output = client(&["status", "--json", "--state-dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_killed_client_leaves_nothing_that_its_next_start_does_not_clean() {
    let place = Namespace::new("kill");
    let state = tempfile::tempdir().unwrap();
    let state = state.path();
    let before = place.host();

    let mut killed = place.start(state);
    let adapter = place.wait_for(|host| host.contains("party0"));
    assert!(
        !adapter.contains("party0: <BROADCAST,MULTICAST,UP"),
        "the link is down until the room is joined"
    );
    assert!(
        state.join("host-changes.json").exists(),
        "the way back is on the disk"
    );
    // The socket comes a moment after the adapter.
    for _ in 0..50 {
        if state.join("lanparty-client.sock").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let running = place.run(&["status", "--json", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(
        running.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&running.stderr)
    );
    let second = place.run(&[
        "--relay",
        NOBODY,
        "--room",
        "ABCD",
        "--state-dir",
        state.to_str().unwrap(),
    ]);
    assert_eq!(
        second.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    killed.kill().unwrap();
    killed.wait().unwrap();

    let mut next = place.start(state);
    place.wait_for(|host| host.contains("party0"));
    terminate(&next);
    assert_eq!(next.wait().unwrap().code(), Some(0));

    assert_eq!(place.host(), before);
    let mut left: Vec<String> = fs::read_dir(state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["lanparty-client-identity.json", "lock"]);
}

#[test]
fn a_relay_that_is_not_there_is_one_line() {
    let place = Namespace::new("line");
    let state = tempfile::tempdir().unwrap();
    let mut waiting = place.start(state.path());
    let out = BufReader::new(waiting.stdout.take().unwrap());
    std::thread::sleep(Duration::from_secs(4));
    terminate(&waiting);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    let lines: Vec<String> = out.lines().map(Result::unwrap).collect();
    let [joining, problem, leaving] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(joining.starts_with("Joining room ABCD (open: "), "{joining}");
    assert!(problem.contains("no route to 192.0.2.1"), "{problem}");
    assert_eq!(leaving, "Leaving the room");
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    command
}

fn client(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_lanparty-client"))
}

fn terminate(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
}

/// A machine without a network of its own making.
struct Namespace(String);

impl Namespace {
    fn new(test: &str) -> Namespace {
        let name = format!("lp-client-{test}-{}", id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Namespace(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0])
            .arg(binary())
            .args(words)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// `ip netns exec` becomes the program that it runs, so the child is the client.
    fn start(&self, state: &Path) -> Child {
        let words = [
            "--relay",
            NOBODY,
            "--room",
            "ABCD",
            "--tap-name",
            "party0",
            "--state-dir",
            state.to_str().unwrap(),
        ];
        self.command(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn host(&self) -> String {
        [
            "-o link",
            "-o addr",
            "route show table all",
            "-6 route show table all",
            "rule",
        ]
        .map(|words| {
            let words: Vec<&str> = ["-n", &self.0].into_iter().chain(words.split(' ')).collect();
            ip(&words)
        })
        .join("\n")
    }

    fn wait_for(&self, seen: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let host = self.host();
            if seen(&host) {
                return host;
            }
            assert!(Instant::now() < deadline, "{host}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(words: &[&str]) -> String {
    let output = Command::new("ip").args(words).output().unwrap();
    assert!(
        output.status.success(),
        "ip {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
