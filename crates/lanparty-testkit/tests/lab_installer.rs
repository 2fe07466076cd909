//! The installer under Wine, as `cargo xtask dist windows` makes it: silent installation, an invite that is clicked, an upgrade while the
//! window is open, and an uninstallation that leaves nothing but what the documentation says.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lanparty_testkit::{
    lab::{Machine, Screen, wait_for},
    wine::{CLIENT, WINDOW, Wine, WineCopy, target_with},
};

/// For one program under Wine, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);
const XTASK: &str = "debug/xtask";
const FOLDER: &str = "Program Files/lanparty";
const MENU: &str = "ProgramData/Microsoft/Windows/Start Menu/Programs/lanparty.lnk";
/// Rooms, settings and identity: kept, as docs/windows.md says. Wine's services have this for `C:\ProgramData`.
const KEPT: &str = "users/Public/lanparty";
const FILES: [&str; 6] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "lanparty-client.exe",
    "lanparty.exe",
    "lanparty.ico",
    "uninstall.exe",
];
const CLASS: &str = r"HKLM\Software\Classes\lanparty";
const LISTED: &str = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall\lanparty";
const SERVICE: &str = r"HKLM\System\CurrentControlSet\Services\lanparty";

#[test]
fn a_player_installs_clicks_an_invite_upgrades_and_uninstalls() {
    let pc = Pc::new();
    let before = pc.files();
    let signed = pc.installer("1.2.3", &["--sign", &pc.signer()]);
    assert_eq!(
        pc.signatures(),
        [
            "lanparty-client.exe",
            "lanparty.exe",
            "the uninstaller",
            "1.2.3.exe"
        ]
    );
    pc.run(&signed, &["/S"]);
    pc.is_installed("1.2.3");
    let old = fs::read(pc.path(FOLDER).join("lanparty-client.exe")).unwrap();

    // The handler in the registry opens the window, which finds the service that was installed, and asks.
    pc.run(Path::new("start"), &["lanparty://nonsense"]);
    pc.wait_for_title("lanparty: You have opened an invite");

    let newer = pc.installer("1.2.4", &[]);
    pc.run(&newer, &["/S"]);
    pc.is_installed("1.2.4");
    let new = fs::read(pc.path(FOLDER).join("lanparty-client.exe")).unwrap();
    assert!(new != old, "the client was not replaced");
    // The old window has lost the old service, and found the new one.
    pc.wait_for_title("lanparty: You have opened an invite");
    pc.run(Path::new("taskkill"), &["/f", "/im", "lanparty.exe"]);

    pc.run(&pc.path(FOLDER).join("uninstall.exe"), &["/S"]);
    let gone = wait_for("the end of the uninstallation", LIMIT, || {
        (!pc.path(FOLDER).exists() && pc.key(LISTED).is_none()).then_some(())
    });
    gone.unwrap_or_else(|error| panic!("{error}: {:?}", pc.list(FOLDER)));
    pc.leaves_only_what_is_documented(&before);
}

#[test]
fn an_installer_that_cannot_be_made_says_what_to_do() {
    let pc = Pc::new();
    let other = pc.machine.directory().join("driver.zip");
    fs::write(&other, "not the driver").unwrap();
    let lazy = pc.script("lazy.sh", "exit 0");
    for (flags, told) in [
        (["--tap", other.to_str().unwrap()], "has to be 36e2609b"),
        (["--sign", &lazy], "has to sign the file in place"),
        (["--sign", "/nobody"], "no such program"),
        (["--version", "1.2"], "three numbers"),
    ] {
        let output = pc.dist("9.9.9.exe", &flags).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(told), "{words}");
        assert!(!pc.machine.directory().join("9.9.9.exe").exists());
    }
}

/// A PC with Windows, as far as Wine is that. Its processes end with it.
struct Pc {
    wine: WineCopy,
    screen: Screen,
    machine: Machine,
    target: PathBuf,
    _directory: tempfile::TempDir,
}

impl Pc {
    fn new() -> Pc {
        let target = target_with(XTASK).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine::boot("windows-pc", directory.path()).unwrap();
        machine.run("ip link set lo up").unwrap();
        let pc = Pc {
            wine: Wine::prepare(&target).unwrap().copy().unwrap(),
            screen: Screen::new(&machine).unwrap(),
            machine,
            target,
            _directory: directory,
        };
        // Wine calls itself Windows 7 otherwise, which the installer refuses.
        let version = [r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"];
        pc.run(Path::new("reg"), &[&["add"], &version[..]].concat());
        pc
    }

    fn dist(&self, out: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(self.target.join(XTASK));
        command
            .args(["dist", "windows", "--profile", "dev", "--client"])
            .arg(self.target.join(CLIENT))
            .arg("--window")
            .arg(self.target.join(WINDOW))
            .arg("--out")
            .arg(self.machine.directory().join(out))
            .args(flags);
        command
    }

    fn installer(&self, version: &str, flags: &[&str]) -> PathBuf {
        let out = format!("{version}.exe");
        let output = self
            .dist(&out, &["--version", version])
            .args(flags)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.machine.directory().join(out)
    }

    fn script(&self, name: &str, line: &str) -> String {
        let file = self.machine.directory().join(name);
        fs::write(&file, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file.display().to_string()
    }

    /// In the place of a certificate: what was signed has something more at its end.
    fn signer(&self) -> String {
        let log = self.machine.directory().join("signed");
        let line = format!("printf signed >> \"$1\"; basename \"$1\" >> '{}'", log.display());
        self.script("sign.sh", &line)
    }

    fn signatures(&self) -> Vec<String> {
        let log = fs::read_to_string(self.machine.directory().join("signed")).unwrap();
        let ours = ["lanparty-client.exe", "lanparty.exe", "1.2.3.exe"];
        let name = |line: &str| match ours.contains(&line) {
            true => line.to_owned(),
            // makensis gives it a name of the moment.
            false => "the uninstaller".to_owned(),
        };
        log.lines().map(name).collect()
    }

    /// Runs a program to its end, and gives what it prints. Whether it did its work is seen by what it leaves.
    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let mut words = self.wine.words(program, arguments);
        // Behind `env`.
        words.splice(1..1, self.screen.environment());
        // Into a file, because what it starts and leaves running would hold a pipe open.
        let said = self.machine.directory().join("said");
        let script = format!("exec \"$@\" > '{}' 2>&1", said.display());
        let mut all = vec!["sh", "-c", &script, "sh"];
        all.extend(words.iter().map(String::as_str));
        self.machine.output(&all, LIMIT).unwrap();
        let bytes = fs::read(said).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the registry says below a key, if it is there.
    fn key(&self, key: &str) -> Option<String> {
        let text = self.run(Path::new("reg"), &["query", key, "/s"]);
        text.contains("REG_").then_some(text)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.wine.drive().join(path)
    }

    fn list(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn is_installed(&self, version: &str) {
        let is_there = wait_for("the files", LIMIT, || self.path(MENU).exists().then_some(()));
        is_there.unwrap_or_else(|error| panic!("{error}: {:?}", self.list(FOLDER)));
        let found = self.list(FOLDER);
        for file in FILES {
            assert!(found.contains(file), "{file} is not in {found:?}");
        }
        for (key, told) in [
            (CLASS, r#""C:\Program Files\lanparty\lanparty.exe" -- "%1""#),
            (CLASS, "URL Protocol"),
            (LISTED, &format!("DisplayVersion    REG_SZ    {version}")),
            (LISTED, r#""C:\Program Files\lanparty\uninstall.exe" /S"#),
            // In quotes, or Windows would look for C:\Program first.
            (SERVICE, r#""C:\Program Files\lanparty\lanparty-client.exe""#),
        ] {
            let text = self.key(key).unwrap_or_default();
            assert!(text.contains(told), "{told} is not in {key}: {text}");
        }
    }

    fn wait_for_title(&self, title: &str) {
        self.screen.wait_for_title(&self.machine, title).unwrap();
    }

    /// Everything on the C: drive but what Windows keeps for itself.
    fn files(&self) -> BTreeSet<String> {
        let listing = Command::new("find")
            .current_dir(self.wine.drive())
            .args([".", "-path", "./windows", "-prune", "-o", "-path", "*/Temp/*"])
            .args(["-prune", "-o", "-printf", "%P\n"])
            .output()
            .unwrap();
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        listing.lines().map(str::to_owned).collect()
    }

    fn leaves_only_what_is_documented(&self, before: &BTreeSet<String>) {
        for key in [CLASS, LISTED, SERVICE] {
            assert_eq!(self.key(key), None);
        }
        let after = self.files();
        let left: Vec<&String> = after.difference(before).collect();
        assert!(left.iter().any(|path| *path == KEPT), "{left:?}");
        assert!(left.iter().all(|path| path.starts_with(KEPT)), "{left:?}");
        // What the registry has is written when Wine ends.
        self.wine.end().unwrap();
        let registry = self.wine.drive().with_file_name("system.reg");
        let text = fs::read_to_string(registry).unwrap();
        // What was in use at the upgrade is noted, to be deleted when Windows starts.
        let is_ours = |line: &&str| line.contains("lanparty") && !line.contains("PendingFileRename");
        let left: Vec<&str> = text.lines().filter(is_ours).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
