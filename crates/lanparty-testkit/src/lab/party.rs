//! The real binaries in the lab: relay, LAN gateway, and a client for each player.
//!
//! Everything is spoken to as a person would: command lines, signals, `status --json`.

use std::{
    env,
    fs::File,
    io::Write,
    iter,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;

use super::{
    Lab, LabBuilder,
    error::{Attempt, LabError},
    frame::parse_mac,
    internet::RELAY_NAME,
    machine::{Machine, tail},
    process::Process,
    wait::wait_for,
};
use crate::lab::LAN_NIC;

/// The player's interface on the party's LAN.
pub const TAP: &str = "party0";
/// The room that the lab's binaries meet in.
pub const ROOM: &str = "LAB-PARTY";

/// How long a party may take from nothing to a lease; a few seconds are usual.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a clean end may take.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// `status` answers at once or not at all.
const STATUS_LIMIT: Duration = Duration::from_secs(5);

/// One of the processes of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// `lanparty-relay`.
    Relay,
    /// `lanparty-gateway`.
    Gateway,
    /// `lanparty-client` of a player, counted from 0.
    Player(usize),
}

impl Who {
    fn program(self) -> &'static str {
        match self {
            Who::Relay => "lanparty-relay",
            Who::Gateway => "lanparty-gateway",
            Who::Player(_) => "lanparty-client",
        }
    }
}

/// How the party's members meet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Room {
    /// Under [`ROOM`].
    Open,
    /// By the link that the LAN gateway prints.
    Sealed,
    /// By this link.
    Link(String),
    /// By this short code.
    Code(String),
}

/// A lab with lanparty in it.
#[derive(Debug)]
pub struct Party {
    // The processes stand before the lab, so that they end before their machines do.
    relay: Option<Process>,
    gateway: Option<Process>,
    players: Vec<Option<Process>>,
    binaries: PathBuf,
    /// Another build of the relay than the one for people.
    relay_build: Option<&'static str>,
    room: Room,
    /// What endpoints are given as `--relay`.
    meeting_point: String,
    /// The machines.
    pub lab: Lab,
}

impl Party {
    /// Builds the lab and starts nothing.
    pub fn prepare(builder: &LabBuilder) -> Result<Self, LabError> {
        let binaries = find_binaries(builder.binaries)?;
        let lab = builder.build()?;
        let players = lab.players.iter().map(|_| None).collect();
        Ok(Self {
            relay: None,
            gateway: None,
            players,
            binaries,
            relay_build: None,
            room: Room::Open,
            meeting_point: RELAY_NAME.to_owned(),
            lab,
        })
    }

    /// Uses from now on a relay that was built for tests: `unguarded` forwards whatever members send, so that a test sees what the LAN
    /// gateway stops alone; `hostile` attacks its members.
    pub fn use_relay(&mut self, build: &'static str) -> Result<(), LabError> {
        self.relay_build = Some(build);
        let program = self.binary(Who::Relay);
        if Path::new(&program).is_file() {
            return Ok(());
        }
        Err(LabError::Missing {
            program,
            remedy: format!(
                "`cargo xtask test` builds it: lanparty-relay with --features test-{build}, kept under this name"
            ),
        })
    }

    /// Endpoints that are started from now on find the relay at this name or address.
    pub fn meet_at(&mut self, relay: &str) {
        relay.clone_into(&mut self.meeting_point);
    }

    /// From now on the LAN gateway opens a sealed room, and players join by the link that it prints.
    pub fn seal(&mut self) {
        self.room = Room::Sealed;
    }

    /// Players that are started from now on join by this link.
    pub fn join_by(&mut self, link: &str) {
        self.room = Room::Link(link.to_owned());
    }

    /// Players that are started from now on join by this short code, and trust the relay because of it.
    pub fn join_by_code(&mut self, code: &str) {
        self.room = Room::Code(code.to_owned());
    }

    /// The short code that the LAN gateway shows, once it is another one than `before`.
    pub fn short_code(&mut self, before: Option<&str>) -> Result<String, LabError> {
        let gateway = self.process(Who::Gateway)?;
        let found = wait_for("a short code on the host's screen", START_LIMIT, || {
            let log = gateway.log();
            let shown = log.lines().rev().find_map(|line| {
                let rest = line.strip_prefix("They start: lanparty-client ")?;
                rest.split_whitespace().next().map(str::to_owned)
            })?;
            (Some(shown.as_str()) != before).then_some(shown)
        });
        found.map_err(|error| match error {
            LabError::Timeout { what, waited, .. } => {
                let detail = format!("; its log:\n{}", tail(&self.log(Who::Gateway)));
                LabError::Timeout { what, waited, detail }
            }
            other => other,
        })
    }

    /// The link that the LAN gateway has printed. It stays good while the gateway is away.
    pub fn invite(&mut self) -> Result<String, LabError> {
        if let Room::Link(link) = &self.room {
            return Ok(link.clone());
        }
        let line = self
            .process(Who::Gateway)?
            .wait_for_log("lanparty://", START_LIMIT)?;
        let link = line.trim().to_owned();
        self.room = Room::Link(link.clone());
        Ok(link)
    }

    /// Builds the lab, starts everything, and waits until every player has his lease.
    pub fn start(builder: &LabBuilder) -> Result<Self, LabError> {
        let mut party = Self::prepare(builder)?;
        party.begin()?;
        Ok(party)
    }

    /// Starts everything, and waits until every player has his lease.
    pub fn begin(&mut self) -> Result<(), LabError> {
        self.launch(Who::Relay)?;
        self.launch(Who::Gateway)?;
        for player in 0..self.players.len() {
            self.launch(Who::Player(player))?;
        }
        self.wait_until_joined(Who::Gateway, START_LIMIT)?;
        for player in 0..self.players.len() {
            self.wait_for_lease(player, START_LIMIT)?;
        }
        Ok(())
    }

    /// Starts one process as the lab usually does.
    pub fn launch(&mut self, who: Who) -> Result<(), LabError> {
        self.launch_with(who, &[])
    }

    /// Starts one process with more arguments than usual. An older process in this role is killed.
    pub fn launch_with(&mut self, who: Who, more: &[&str]) -> Result<(), LabError> {
        let program = self.binary(who);
        let state = self.state_dir(who);
        let certificate = self.certificate();
        let relay = self.meeting_point.clone();
        let ticket = match (who, &self.room) {
            (Who::Relay | Who::Gateway, _) | (Who::Player(_), Room::Open) => None,
            (Who::Player(_), Room::Code(code)) => {
                Some(vec![code.clone(), "--relay".to_owned(), relay.clone()])
            }
            (Who::Player(_), Room::Sealed | Room::Link(_)) => Some(vec![self.invite()?]),
        };
        let mut words: Vec<&str> = vec![&program, "--state-dir", &state];
        match who {
            Who::Relay => words.extend(["--listen", "443/udp", "--dev-cert-der-out", &certificate]),
            Who::Gateway | Who::Player(_) => match &ticket {
                Some(ticket) => words.extend(ticket.iter().map(String::as_str)),
                None => words.extend(["--relay", &relay, "--relay-ca-cert", &certificate]),
            },
        }
        if who != Who::Relay && self.room == Room::Open {
            words.extend(["--room", ROOM]);
        }
        match who {
            Who::Relay => {}
            Who::Gateway if more.contains(&"--attach") => {}
            Who::Gateway => words.extend(["--iface", LAN_NIC]),
            Who::Player(_) => words.extend(["--tap-name", TAP, "--dhcp"]),
        }
        words.extend(more);
        let orders = self.orders().display().to_string();
        if who == Who::Gateway && self.room != Room::Open {
            if !Path::new(&orders).exists() {
                let mode = Mode::S_IRUSR | Mode::S_IWUSR;
                mkfifo(Path::new(&orders), mode).attempt(|| format!("make {orders}"))?;
            }
            // Opened for both: the end of one who writes is not the end of all orders.
            let script = [
                "sh",
                "-c",
                "orders=$1; shift; exec \"$@\" <>\"$orders\"",
                "sh",
                &orders,
            ];
            words.splice(0..0, script);
        }
        *self.slot(who) = None;
        let mut process = self.machine(who).spawn(who.program(), &words)?;
        if who == Who::Relay {
            // The others read the certificate when they start.
            wait_for("the relay's certificate", START_LIMIT, || {
                (Path::new(&certificate).exists() || !process.is_running()).then_some(())
            })?;
        }
        *self.slot(who) = Some(process);
        Ok(())
    }

    /// The process in a role.
    pub fn process(&mut self, who: Who) -> Result<&mut Process, LabError> {
        let missing = || LabError::Missing {
            program: format!("{who:?}"),
            remedy: "the test has not started it, or has stopped it".to_owned(),
        };
        self.slot(who).as_mut().ok_or_else(missing)
    }

    /// The process in a role, which is the caller's from here on.
    pub fn take(&mut self, who: Who) -> Option<Process> {
        self.slot(who).take()
    }

    /// The process id in a role, if it was started.
    pub fn pid(&self, who: Who) -> Option<i32> {
        let process = match who {
            Who::Relay => self.relay.as_ref(),
            Who::Gateway => self.gateway.as_ref(),
            Who::Player(player) => self.players.get(player)?.as_ref(),
        };
        process.map(Process::pid)
    }

    /// `kill -9`.
    pub fn crash(&mut self, who: Who) {
        if let Some(process) = self.slot(who).take() {
            process.crash();
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self, who: Who) -> Result<ExitStatus, LabError> {
        let missing = LabError::Missing {
            program: format!("{who:?}"),
            remedy: "it does not run".to_owned(),
        };
        self.slot(who).take().ok_or(missing)?.stop(STOP_LIMIT)
    }

    /// The machine of a role.
    pub fn machine(&self, who: Who) -> &Machine {
        match who {
            Who::Relay => &self.lab.internet.relay,
            Who::Gateway => &self.lab.gateway.host,
            Who::Player(player) => &self.lab.players[player].host,
        }
    }

    /// Gives the LAN gateway of a sealed room an order, as if the host had typed it.
    pub fn order(&self, line: &str) -> Result<(), LabError> {
        let path = self.orders();
        // A pipe that is opened for both waits for nobody.
        let mut pipe = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .attempt(|| format!("open {}", path.display()))?;
        writeln!(pipe, "{line}").attempt(|| format!("order {line:?}"))
    }

    fn orders(&self) -> PathBuf {
        self.machine(Who::Gateway).directory().join("orders")
    }

    /// What a running process says about itself.
    pub fn status(&self, who: Who) -> Result<Value, LabError> {
        let (program, state) = (self.binary(who), self.state_dir(who));
        let words = [&program, "status", "--json", "--state-dir", &state];
        let output = self.machine(who).output(&words, STATUS_LIMIT)?;
        if !output.status.success() {
            return Err(LabError::Command {
                machine: self.machine(who).name().to_owned(),
                command: words.join(" "),
                status: output.status.to_string(),
                output: tail(&output.stderr),
            });
        }
        serde_json::from_str(&output.stdout).map_err(|_| LabError::Unreadable {
            what: format!("the status of {who:?}"),
            text: output.stdout,
        })
    }

    /// Waits until a process says something about itself.
    pub fn wait_for_status(
        &self,
        who: Who,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, LabError> {
        let mut last = String::new();
        let found = wait_for(&format!("{who:?}: {what}"), limit, || match self.status(who) {
            Ok(status) if wanted(&status) => Some(status),
            Ok(status) => {
                last = status.to_string();
                None
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        found.map_err(|error| match error {
            LabError::Timeout { what, waited, .. } => {
                let log = self.log(who);
                let detail = format!("; its last status: {last}\nits log:\n{}", tail(&log));
                LabError::Timeout { what, waited, detail }
            }
            other => other,
        })
    }

    /// Waits until an endpoint is a member of the room.
    pub fn wait_until_joined(&self, who: Who, limit: Duration) -> Result<Value, LabError> {
        self.wait_for_status(who, "to be a member of the room", limit, |status| {
            !status["endpoint"]["member"].is_null()
        })
    }

    /// Waits for a player's lease and gives the address.
    pub fn wait_for_lease(&self, player: usize, limit: Duration) -> Result<Ipv4Addr, LabError> {
        let bound = |status: &Value| lease_in(status).is_some();
        let status = self.wait_for_status(Who::Player(player), "a lease", limit, bound)?;
        lease_in(&status).ok_or_else(|| LabError::Unreadable {
            what: format!("the lease of player {player}"),
            text: status.to_string(),
        })
    }

    /// A player's hardware address on the party's LAN.
    pub fn player_mac(&self, player: usize) -> Result<[u8; 6], LabError> {
        let status = self.status(Who::Player(player))?;
        status["endpoint"]["mac"]
            .as_str()
            .and_then(parse_mac)
            .ok_or_else(|| LabError::Unreadable {
                what: format!("the MAC of player {player}"),
                text: status.to_string(),
            })
    }

    /// What a process has printed, as far as it still runs.
    pub fn log(&self, who: Who) -> String {
        let process = match who {
            Who::Relay => self.relay.as_ref(),
            Who::Gateway => self.gateway.as_ref(),
            Who::Player(player) => self.players[player].as_ref(),
        };
        process.map(Process::log).unwrap_or_default()
    }

    /// Everybody, in the order in which they are started.
    pub fn everybody(&self) -> impl Iterator<Item = Who> + use<> {
        let players = (0..self.players.len()).map(Who::Player);
        iter::once(Who::Relay)
            .chain(iter::once(Who::Gateway))
            .chain(players)
    }

    /// Where a process keeps its identity and its status socket.
    pub fn state_dir(&self, who: Who) -> String {
        self.machine(who).directory().join("state").display().to_string()
    }

    /// The path of the binary for a role.
    pub fn binary(&self, who: Who) -> String {
        let program = who.program();
        let name = match (who, self.relay_build) {
            (Who::Relay, Some(build)) => format!("{program}-{build}"),
            (Who::Relay | Who::Gateway | Who::Player(_), _) => program.to_owned(),
        };
        self.binaries.join(name).display().to_string()
    }

    /// The relay's own certificate, once it runs.
    pub fn certificate(&self) -> String {
        self.lab
            .internet
            .relay
            .directory()
            .join("relay.der")
            .display()
            .to_string()
    }

    fn slot(&mut self, who: Who) -> &mut Option<Process> {
        match who {
            Who::Relay => &mut self.relay,
            Who::Gateway => &mut self.gateway,
            Who::Player(player) => &mut self.players[player],
        }
    }
}

/// The IPv4 address that a client's status shows as leased.
fn lease_in(status: &Value) -> Option<Ipv4Addr> {
    let dhcp = &status["endpoint"]["dhcp"];
    let address = (dhcp["state"] == "bound")
        .then(|| dhcp["address"].as_str())
        .flatten()?;
    address.split('/').next()?.parse().ok()
}

/// The binaries stand in a folder of `target`; the program that asks stands somewhere else in `target`.
fn find_binaries(folder: &str) -> Result<PathBuf, LabError> {
    let missing = || LabError::Missing {
        program: format!("target/{folder}/lanparty-relay"),
        remedy: "build it with `cargo build`, for the bench with `cargo build --release` (cargo xtask does)"
            .to_owned(),
    };
    let program = env::current_exe().map_err(|_| missing())?;
    program
        .ancestors()
        .map(|ancestor| ancestor.join(folder))
        .find(|place| place.join("lanparty-relay").is_file())
        .ok_or_else(missing)
}
