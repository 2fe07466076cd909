//! `cargo xtask demo`: a LAN party on one machine, to see before one believes.
//!
//! Two players sit behind different NATs, a relay has a public address, a LAN gateway stands on a wired LAN with a real
//! DHCP server and a game server. Everything is the real program; only the machines are namespaces.

use std::{
    io::{IsTerminal, Write, stdout},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use lanparty_testkit::lab::{
    GAME_SERVER, Lab, LabError, Party, Who,
    frame::mac_text,
    game::{DoomClient, DoomServer},
    probe::{Beacon, ask_everybody, ping},
};

use crate::{binaries, interrupt::Interrupt, setup};

#[derive(Args)]
pub struct Options {
    /// End by itself after everything was seen once (also when the output is not a terminal)
    #[arg(long)]
    once: bool,
    /// How many players
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    players: u8,
}

/// A slow machine may need this; two seconds are usual.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long the demo waits for all rows to be good before it says that they are not.
const GOOD_LIMIT: Duration = Duration::from_secs(30);

pub fn run(options: &Options) -> Result<()> {
    setup::need_root("demo", "")?;
    setup::lab_packages()?;
    let interrupt = Interrupt::install()?;
    let shown = step("building relay, LAN gateway and client", binaries::build)
        .and_then(|()| show(options, &interrupt));
    if interrupt.requested() {
        // What was under way when somebody pressed Ctrl-C may have failed for that reason alone.
        println!("\nEverything is gone again.");
        return Ok(());
    }
    shown
}

/// The demo as a test, with the binaries that there are: everything in its table has been good once, or it fails.
pub fn once(interrupt: &Interrupt) -> Result<()> {
    let options = Options {
        once: true,
        players: 2,
    };
    show(&options, interrupt)
}

fn show(options: &Options, interrupt: &Interrupt) -> Result<()> {
    let mut party = step("building a LAN, the internet, and homes behind NATs", || {
        Ok(Party::prepare(
            &Lab::builder().players(options.players).two_switches(),
        )?)
    })?;
    let beacon = Beacon::start(&party.lab.lan.games)?;
    let server = step("a game server on the LAN", || {
        Ok(DoomServer::start(&party.lab.lan.games)?)
    })?;
    step("lanparty-relay on a public address", || {
        party.launch(Who::Relay)?;
        Ok(party
            .wait_for_status(Who::Relay, "to answer", JOIN_LIMIT, |_| true)
            .map(drop)?)
    })?;
    step("lanparty-gateway on the LAN's switch", || {
        party.launch(Who::Gateway)?;
        Ok(party.wait_until_joined(Who::Gateway, JOIN_LIMIT).map(drop)?)
    })?;
    let mut players = Vec::new();
    for player in 0..usize::from(options.players) {
        let title = format!(
            "lanparty-client of player {}: lease from the LAN, game by broadcast",
            player + 1
        );
        players.push(step(&title, || {
            Player::join(&mut party, player, options.players)
        })?);
    }
    let result = watch(options, interrupt, &party, &mut players, &server);
    drop((players, server, beacon, party));
    result
}

/// Says what happens, does it, and says how long it took.
fn step<T>(title: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("→ {title}");
    let start = Instant::now();
    let value = action().with_context(|| format!("this did not work: {title}"))?;
    println!("  ok, {:.1} s", start.elapsed().as_secs_f64());
    Ok(value)
}

/// A player who has joined.
struct Player {
    number: usize,
    lease: Ipv4Addr,
    mac: [u8; 6],
    game: DoomClient,
}

impl Player {
    fn join(party: &mut Party, number: usize, players: u8) -> Result<Self> {
        party.launch(Who::Player(number))?;
        let lease = party.wait_for_lease(number, JOIN_LIMIT)?;
        let mac = party.player_mac(number)?;
        let game = DoomClient::start(party.machine(Who::Player(number)), players)?;
        Ok(Self {
            number,
            lease,
            mac,
            game,
        })
    }

    /// One line of the table, and whether everything in it is as it should be.
    fn row(&mut self, party: &Party, server: &DoomServer) -> (String, bool) {
        let site = &party.lab.players[self.number];
        let ping = ping(&site.host, &GAME_SERVER.to_string(), &[]);
        let broadcast = ask_everybody(&site.host, self.lease).map(|(_, time)| time);
        let port = party.lab.lan.port_of("br0", self.mac).ok().flatten();
        let playing = server
            .events()
            .contains(&format!("new client from {}:", self.lease))
            && self.game.is_running();
        let good = ping.is_ok() && broadcast.is_ok() && port.as_deref() == Some("p-gateway") && playing;
        let line = format!(
            "  {:<9} {:<15} {:<15} {:<18} {:>9} {:>10}  {:<12} {}",
            site.host.name(),
            site.public_address().to_string(),
            self.lease.to_string(),
            mac_text(self.mac),
            milliseconds(&ping),
            milliseconds(&broadcast),
            port.unwrap_or_else(|| "unknown".to_owned()),
            if playing { "joined" } else { "looking" },
        );
        (line, good)
    }
}

fn milliseconds(time: &Result<Duration, LabError>) -> String {
    time.as_ref().map_or_else(
        |_| "no answer".to_owned(),
        |time| format!("{:.2} ms", time.as_secs_f64() * 1000.0),
    )
}

/// Shows the table until Ctrl-C, or until all of it has been good once.
fn watch(
    options: &Options,
    interrupt: &Interrupt,
    party: &Party,
    players: &mut [Player],
    server: &DoomServer,
) -> Result<()> {
    let live = stdout().is_terminal() && !options.once;
    let start = Instant::now();
    let mut lines = 0;
    println!();
    loop {
        let rows: Vec<(String, bool)> = players
            .iter_mut()
            .map(|player| player.row(party, server))
            .collect();
        let good = rows.iter().all(|(_, good)| *good);
        let in_vain = start.elapsed() > GOOD_LIMIT;
        if live || good || in_vain {
            if lines > 0 {
                // Back to the first line of the table.
                print!("\x1b[{lines}A");
            }
            lines = print_table(&rows, live)?;
        }
        if !live && good {
            println!("\nEverything was seen. It is taken down now and leaves nothing.");
            return Ok(());
        }
        if !live && in_vain {
            anyhow::bail!("after {GOOD_LIMIT:?} the table is still not as it should be");
        }
        if interrupt.wait(Duration::from_secs(1)) {
            return Ok(());
        }
    }
}

fn print_table(rows: &[(String, bool)], live: bool) -> Result<usize> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "  {:<9} {:<15} {:<15} {:<18} {:>9} {:>10}  {:<12} game",
        "player", "seen from", "lease", "MAC on the LAN", "ping", "broadcast", "switch port"
    )?;
    for (row, _) in rows {
        // The rest of the line may be left from a longer one.
        writeln!(out, "{row}{}", if live { "\x1b[K" } else { "" })?;
    }
    if live {
        writeln!(out, "\n  Ctrl-C ends the party and leaves nothing.")?;
    }
    out.flush()?;
    Ok(rows.len() + if live { 3 } else { 1 })
}
