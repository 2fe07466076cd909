//! Keeping on: whatever goes wrong on the way, the session is back by itself, as the same member with the same MAC and the same lease,
//! in the same processes, and the game never notices.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    Capture, Fault, GAME_SERVER, LAN_NIC, Lab, Machine, Party, Who,
    game::{DoomClient, DoomServer, frames_of_game},
    probe::ping,
    set_carrier, unplug, wait_for,
};
use serde_json::Value;

/// How long after the end of a fault the session may take.
const BACK: Duration = Duration::from_secs(3);
const BACK_AFTER_RELAY: Duration = Duration::from_secs(5);
const BACK_AFTER_CRASH: Duration = Duration::from_secs(8);
/// What was said during a fault is repeated by TCP in growing intervals; after 2 s of fault the last is below this.
const HEAR_LIMIT: Duration = Duration::from_secs(8);
const PLAYER: Who = Who::Player(0);

/// The LAN host that answers by TCP what it hears.
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(GAME_SERVER), 27_961);

struct Scene {
    party: Party,
    server: DoomServer,
    game: DoomClient,
}

static SCENE: LazyLock<Mutex<Scene>> = LazyLock::new(|| {
    let party = Party::start(&Lab::builder().players(2).two_switches()).unwrap();
    let server = DoomServer::start(&party.lab.lan.games).unwrap();
    answer_by_tcp(&party.lab.lan.games);
    let mut game = DoomClient::start(party.machine(PLAYER), 1).unwrap();
    game.wait_for_connection(Duration::from_secs(20)).unwrap();
    Mutex::new(Scene { party, server, game })
});

fn scene() -> MutexGuard<'static, Scene> {
    let mut scene = SCENE.lock().unwrap_or_else(PoisonError::into_inner);
    scene.recover();
    scene
}

#[test]
fn a_pulled_lan_cable() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let port = scene.party.lab.lan.gateway_port();
    set_carrier(port, false).unwrap();
    assert!(
        ping(scene.player(), &GAME_SERVER.to_string(), &[]).is_err(),
        "the cable is out"
    );
    before.connection.say();
    thread::sleep(Duration::from_secs(2));
    set_carrier(port, true).unwrap();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn a_lan_interface_that_goes_and_comes_as_another() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let party = &scene.party;
    unplug(&party.lab.lan.switch, "p-gateway").unwrap();
    before.connection.say();
    thread::sleep(Duration::from_secs(2));
    party
        .lab
        .lan
        .connect_gateway(&party.lab.gateway.host, LAN_NIC)
        .unwrap();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn a_killed_relay() {
    let mut scene = scene();
    let before = Session::of(&mut scene).but_for(Who::Relay);
    scene.party.crash(Who::Relay);
    before.connection.say();
    thread::sleep(Duration::from_secs(2));
    scene.party.launch(Who::Relay).unwrap();
    before.is_back(&mut scene, Instant::now(), BACK_AFTER_RELAY, Game::GoesOn);
}

#[test]
fn a_killed_lan_gateway() {
    let mut scene = scene();
    let before = Session::of(&mut scene).but_for(Who::Gateway);
    scene.party.crash(Who::Gateway);
    before.connection.say();
    thread::sleep(Duration::from_secs(2));
    scene.party.launch(Who::Gateway).unwrap();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn a_killed_client() {
    let mut scene = scene();
    let before = Session::of(&mut scene).but_for(PLAYER);
    scene.party.crash(PLAYER);
    before.connection.say();
    scene.party.launch(PLAYER).unwrap();
    // It is another process now, and its DHCP client has to ask again.
    before.is_back(&mut scene, Instant::now(), BACK_AFTER_CRASH, Game::MayHaveGivenUp);
}

#[test]
fn another_address_of_the_players_line() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let site = &scene.party.lab.players[0];
    let (old, new) = other_address(&scene, site.host_address());
    site.host
        .run(&format!("ip address del {old}/24 dev {}", site.uplink))
        .unwrap();
    before.connection.say();
    thread::sleep(Duration::from_secs(1));
    site.configure_host(new).unwrap();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn another_interface_of_the_players_line() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let site = &scene.party.lab.players[0];
    unplug(&site.host, site.uplink).unwrap();
    before.connection.say();
    thread::sleep(Duration::from_secs(1));
    site.reconnect_house().unwrap();
    site.configure_host(site.host_address()).unwrap();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn a_nat_that_forgets_its_mappings() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    for site in scene.party.lab.players.iter().chain([&scene.party.lab.gateway]) {
        site.forget_mappings().unwrap();
    }
    before.connection.say();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn the_way_moves_to_another_interface_while_the_first_stays_up() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let site = &scene.party.lab.players[0];
    site.move_to_second_line("wlan0").unwrap();
    before.connection.say();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);

    let site = &scene.party.lab.players[0];
    site.move_to_first_line("wlan0").unwrap();
    before.connection.say();
    before.is_back(&mut scene, Instant::now(), BACK, Game::GoesOn);
}

#[test]
fn thirty_seconds_of_silence_on_the_players_line() {
    let mut scene = scene();
    let before = Session::of(&mut scene);
    let fault = Fault::silence(&scene.party.lab.players[0].router).unwrap();
    thread::sleep(Duration::from_millis(29_500));
    // Late, because TCP itself waits twice as long before each repetition: what is said at the beginning comes after 50 s.
    before.connection.say();
    thread::sleep(Duration::from_millis(500));
    fault.end().unwrap();
    // Doom itself gives up after ten seconds without an answer.
    before.is_back(&mut scene, Instant::now(), BACK, Game::MayHaveGivenUp);
}

/// What the game may do in a fault.
#[derive(PartialEq)]
enum Game {
    GoesOn,
    MayHaveGivenUp,
}

/// What has to survive.
struct Session {
    processes: Vec<(Who, i32)>,
    members: Vec<(Who, Value)>,
    macs: Vec<[u8; 6]>,
    leases: Vec<Ipv4Addr>,
    lost: usize,
    /// What the fault itself starts again.
    restarted: Vec<Who>,
    connection: Connection,
}

impl Session {
    fn of(scene: &mut Scene) -> Self {
        let party = &mut scene.party;
        let everybody: Vec<Who> = party.everybody().collect();
        let members = everybody[1..]
            .iter()
            .map(|&who| (who, member(party, who)))
            .collect();
        Self {
            members,
            macs: (0..2).map(|player| party.player_mac(player).unwrap()).collect(),
            leases: (0..2)
                .map(|player| party.wait_for_lease(player, BACK).unwrap())
                .collect(),
            processes: everybody
                .iter()
                .map(|&who| (who, party.process(who).unwrap().pid()))
                .collect(),
            lost: scene.server.players_lost(),
            restarted: Vec::new(),
            connection: Connection::open(party.machine(PLAYER)),
        }
    }

    fn but_for(mut self, who: Who) -> Self {
        self.restarted.push(who);
        self
    }

    /// Everything is as it was, at most `limit` after `end`.
    fn is_back(&self, scene: &mut Scene, end: Instant, limit: Duration, game: Game) {
        let target = GAME_SERVER.to_string();
        let reach = || ping(scene.player(), &target, &["-W0.3"]).ok();
        wait_for(
            "the player to reach the game server",
            limit.saturating_sub(end.elapsed()),
            reach,
        )
        .unwrap();
        for (player, lease) in self.leases.iter().enumerate() {
            // The LAN's hosts and the other player find him too.
            let lease = lease.to_string();
            let games = &scene.party.lab.lan.games;
            let rest = limit.saturating_sub(end.elapsed());
            wait_for(&format!("the LAN to reach player {player}"), rest, || {
                ping(games, &lease, &["-W0.3"]).ok()
            })
            .unwrap();
        }
        let took = end.elapsed();
        assert!(took <= limit, "it took {took:?}");
        println!("back after {took:?}");
        self.is_the_same(scene);
        self.connection.is_alive();
        if game == Game::GoesOn {
            assert_eq!(
                scene.server.players_lost(),
                self.lost,
                "the server has lost a player"
            );
            let traffic = Capture::start(&scene.party.lab.lan.games, "eth0").unwrap();
            thread::sleep(Duration::from_secs(1));
            let (to, from) = frames_of_game(&traffic.seen(), self.leases[0]);
            assert!(
                to > 10 && from > 10 && scene.game.is_running(),
                "the game has stopped: {to} to, {from} from"
            );
        }
    }

    fn is_the_same(&self, scene: &mut Scene) {
        let party = &mut scene.party;
        let mut same = |who: Who, pid: i32| {
            let process = party.process(who).unwrap();
            process.pid() == pid && process.is_running()
        };
        let strangers: Vec<Who> = self
            .processes
            .iter()
            .filter(|(who, pid)| !same(*who, *pid))
            .map(|(who, _)| *who)
            .collect();
        assert_eq!(strangers, self.restarted, "which processes are others now");
        for (who, before) in &self.members {
            assert_eq!(member(party, *who), *before, "member id of {who:?}");
        }
        for player in 0..2 {
            assert_eq!(party.player_mac(player).unwrap(), self.macs[player]);
            assert_eq!(party.wait_for_lease(player, BACK).unwrap(), self.leases[player]);
        }
    }
}

/// A TCP connection between the player and a LAN host, as games have that give up later than Doom.
struct Connection {
    stream: TcpStream,
    said: AtomicU64,
    heard: AtomicU64,
}

impl Connection {
    fn open(player: &Machine) -> Self {
        let stream = player
            .inside(|| TcpStream::connect_timeout(&ECHO, BACK).unwrap())
            .unwrap();
        stream.set_read_timeout(Some(HEAR_LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = Self {
            stream,
            said: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        };
        connection.is_alive();
        connection
    }

    /// Says a number that was not said before.
    fn say(&self) {
        let number = self.said.fetch_add(1, Ordering::Relaxed);
        (&self.stream).write_all(&number.to_be_bytes()).unwrap();
    }

    /// All that was said comes back in order, and then what is said now.
    fn is_alive(&self) {
        self.say();
        while self.heard.load(Ordering::Relaxed) < self.said.load(Ordering::Relaxed) {
            let mut number = [0; 8];
            (&self.stream)
                .read_exact(&mut number)
                .expect("the TCP connection goes on");
            assert_eq!(
                u64::from_be_bytes(number),
                self.heard.fetch_add(1, Ordering::Relaxed)
            );
        }
    }
}

/// Answers each TCP connection with what it says, for as long as the test's process lives.
fn answer_by_tcp(machine: &Machine) {
    let listener = machine.inside(|| TcpListener::bind(ECHO).unwrap()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

impl Scene {
    fn player(&self) -> &lanparty_testkit::lab::Machine {
        self.party.machine(PLAYER)
    }

    /// A fault that was not survived must not fail the tests after it: what is not running is started again.
    fn recover(&mut self) {
        for who in self.party.everybody() {
            if !self.party.process(who).is_ok_and(|process| process.is_running()) {
                self.party.launch(who).unwrap();
            }
        }
        let reach = |scene: &Self| ping(scene.player(), &GAME_SERVER.to_string(), &["-W0.3"]).ok();
        wait_for(
            "the party to be whole before the fault",
            Duration::from_secs(40),
            || reach(self),
        )
        .unwrap();
        if !self.game.is_running() {
            self.game = DoomClient::start(self.party.machine(PLAYER), 1).unwrap();
            self.game.wait_for_connection(Duration::from_secs(20)).unwrap();
        }
    }
}

fn member(party: &Party, who: Who) -> Value {
    let status = party.wait_until_joined(who, BACK).unwrap();
    status["endpoint"]["member"].clone()
}

/// The address that the host has now and one that it has not.
fn other_address(scene: &Scene, usual: Ipv4Addr) -> (Ipv4Addr, Ipv4Addr) {
    let other = Ipv4Addr::from(u32::from(usual) + 57);
    let held = scene.player().run("ip -4 -o address show dev eth0").unwrap();
    if held.contains(&format!("inet {usual}/")) {
        (usual, other)
    } else {
        (other, usual)
    }
}
