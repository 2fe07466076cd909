//! A real game of Debian's packages: Chocolate Doom with the levels of FreeDM.
//!
//! Its client asks `255.255.255.255:2342` who has a game and joins whoever answers (`-autojoin`); it is given no
//! address. That is what the games of LAN parties do, and what a tunnel without Ethernet cannot do. It runs without a
//! screen on SDL's dummy driver, needs no OpenGL and next to no processor.

use std::{fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use super::{
    error::{Attempt, LabError},
    frame::{BROADCAST, Frame},
    machine::Machine,
    process::Process,
    raw::Seen,
    wait::wait_for,
};

/// The port on which Doom servers listen for questions.
pub const PORT: u16 = 2342;

const CLIENT: &str = "/usr/games/chocolate-doom";
const SERVER: &str = "/usr/games/chocolate-server";
const LEVELS: &str = "/usr/share/games/doom/freedm.wad";

/// How long a server may take until its port is open.
const START_LIMIT: Duration = Duration::from_secs(10);

/// True for a client's question "who has a game?".
pub fn is_question(frame: &Frame) -> bool {
    frame.destination() == BROADCAST
        && frame
            .udp()
            .is_some_and(|udp| udp.to == (Ipv4Addr::BROADCAST, PORT) && udp.payload == [0, 13])
}

/// True for a server's answer to that question.
pub fn is_answer(frame: &Frame) -> bool {
    frame
        .udp()
        .is_some_and(|udp| udp.from.1 == PORT && udp.payload.starts_with(&[0, 14]))
}

/// A dedicated server.
#[derive(Debug)]
pub struct DoomServer {
    process: Process,
    log: PathBuf,
}

impl DoomServer {
    /// Starts a server on `machine`.
    pub fn start(machine: &Machine) -> Result<Self, LabError> {
        let log = machine.directory().join("doom-server.events");
        let log_text = log.display().to_string();
        let process = machine.spawn("doom-server", &[SERVER, "-privateserver", "-netlog", &log_text])?;
        let port = format!(":{PORT}");
        wait_for("the Doom server's port", START_LIMIT, || {
            machine
                .run("ss -uln")
                .ok()
                .filter(|sockets| sockets.contains(&port))
        })?;
        Ok(Self { process, log })
    }

    /// Waits until a player at `address` has joined, by the server's own log.
    pub fn wait_for_player(&self, address: Ipv4Addr, limit: Duration) -> Result<(), LabError> {
        let line = format!("initialized new client from {address}:");
        wait_for(&format!("the Doom server to log {line:?}"), limit, || {
            self.events().contains(&line).then_some(())
        })
    }

    /// How often the server has given a player up. (That a *resend request* timed out is its everyday.)
    pub fn players_lost(&self) -> usize {
        let lost = |line: &&str| {
            (line.contains("server: client at") && line.contains("timed out"))
                || line.contains("no player clients left")
        };
        self.events().lines().filter(lost).count()
    }

    /// True while the server runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The server's log of the network game.
    pub fn events(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// A player's game.
#[derive(Debug)]
pub struct DoomClient {
    process: Process,
    log: PathBuf,
}

impl DoomClient {
    /// Starts a game on `machine` that looks for a server on the LAN and begins when `players` have joined.
    pub fn start(machine: &Machine, players: u8) -> Result<Self, LabError> {
        let home = machine.directory().join("doom-home");
        fs::create_dir_all(&home).attempt(|| format!("create {}", home.display()))?;
        let log = machine.directory().join("doom-client.events");
        let words = [
            "env",
            &format!("HOME={}", home.display()),
            "SDL_VIDEODRIVER=dummy",
            "SDL_AUDIODRIVER=dummy",
            CLIENT,
            "-iwad",
            LEVELS,
            "-autojoin",
            "-nodes",
            &players.to_string(),
            "-nosound",
            "-nomouse",
            "-window",
            "-netlog",
            &log.display().to_string(),
        ];
        Ok(Self {
            process: machine.spawn("doom-client", &words)?,
            log,
        })
    }

    /// Waits until the client says that it is connected.
    pub fn wait_for_connection(&mut self, limit: Duration) -> Result<(), LabError> {
        let log = self.log.clone();
        let process = &mut self.process;
        let joined = wait_for("the Doom client to connect", limit, || {
            let text = fs::read(&log).unwrap_or_default();
            let connected = String::from_utf8_lossy(&text).contains("client: connected successfully");
            (connected || !process.is_running()).then_some(connected)
        })?;
        if joined {
            return Ok(());
        }
        Err(LabError::Unreadable {
            what: "why the Doom client ended before it had joined".to_owned(),
            text: self.process.log(),
        })
    }

    /// True while the game runs; it ends by itself when it loses its server.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

/// Frames of a running game between `player` and the server, in both directions.
pub fn frames_of_game(seen: &[Seen], player: Ipv4Addr) -> (usize, usize) {
    let datagrams = seen.iter().filter_map(|seen| seen.frame.udp());
    datagrams.fold((0, 0), |(to, from), udp| {
        (
            to + usize::from(udp.to.1 == PORT && udp.from.0 == player),
            from + usize::from(udp.from.1 == PORT && udp.to.0 == player),
        )
    })
}
