//! A relay under attack: ten thousand handshakes a second from addresses that do not exist, and garbage; and strangers who do exist
//! and come and go as fast as they can.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::{
    lab::{GAME_SERVER, Lab, Machine, Party, RELAY, Who, flood::Flood, frame::mac_text, wait_for},
    member::{BareMember, Join},
};
use lanparty_wire::{Mac, control::Role};

const LENGTH: Duration = Duration::from_secs(60);
const STRANGERS: Duration = Duration::from_secs(20);
const ADDRESSES: u8 = 32;
/// More than the lab's machines have cores, so that none of them idles.
const AT_ONCE: u8 = 4;
const PORT: u16 = 27_960;

#[test]
fn rooms_play_on_and_memory_stays_flat_while_the_relay_is_flooded() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    let lease = party.wait_for_lease(0, Duration::from_secs(5)).unwrap();
    let flood = Flood::start(&party.lab.internet, 10_000, 2_000).unwrap();
    let start = Instant::now();
    let game = Game::play(&party);

    // What the relay needs to defend itself it has after the first seconds.
    thread::sleep(Duration::from_secs(10));
    let early = party.process(Who::Relay).unwrap().resident_kib().unwrap();
    thread::sleep(LENGTH - start.elapsed());
    let late = party.process(Who::Relay).unwrap().resident_kib().unwrap();
    let packets = flood.sent();
    drop(flood);
    let (asked, answered) = game.end();

    let sockets = party
        .machine(Who::Relay)
        .run("nstat -az UdpInDatagrams UdpRcvbufErrors")
        .unwrap();
    println!("{packets} packets; {answered} of {asked} answers; {early} KiB then {late} KiB; {sockets}");
    assert!(
        packets >= 12_000 * LENGTH.as_secs() * 9 / 10,
        "the flood was a trickle: {packets}"
    );
    // There and back, so each way loses less.
    assert!(answered * 100 >= asked * 99, "{answered} of {asked} answers");
    assert!(late < early + 8 * 1024, "{early} KiB have become {late} KiB");
    assert!(party.process(Who::Relay).unwrap().is_running());

    // Half of the shortest lease that dnsmasq gives has passed meanwhile: the client renews it as if nothing were.
    let mac = mac_text(party.player_mac(0).unwrap());
    let renewed = || {
        party
            .lab
            .lan
            .dhcp_log()
            .matches(&format!("DHCPACK(eth0) {lease} {mac}"))
            .count()
            >= 2
    };
    wait_for("the lease to be renewed", Duration::from_secs(15), || {
        renewed().then_some(())
    })
    .unwrap();
    assert_eq!(party.wait_for_lease(0, Duration::from_secs(1)).unwrap(), lease);
    let words = party.log(Who::Player(0));
    assert!(
        !words.contains("DHCP client ended") && !words.contains("no longer valid"),
        "{words}"
    );
}

#[test]
fn rooms_play_on_and_memory_stays_flat_while_strangers_come_and_go() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    let game = Game::play(&party);
    strangers_join(&party, Duration::from_secs(5));
    let early = party.process(Who::Relay).unwrap().resident_kib().unwrap();
    let joined = strangers_join(&party, STRANGERS);
    let late = party.process(Who::Relay).unwrap().resident_kib().unwrap();
    let (asked, answered) = game.end();

    println!("{joined} joined; {answered} of {asked} answers; {early} KiB then {late} KiB");
    assert!(
        joined >= 10 * STRANGERS.as_secs(),
        "the relay kept them waiting: {joined}"
    );
    assert!(answered * 100 >= asked * 99, "{answered} of {asked} answers");
    assert!(late < early + 8 * 1024, "{early} KiB have become {late} KiB");
}

/// Joins a room of its own and vanishes, from one address after another, as fast as handshakes can be completed: what no
/// address validation and no certificate keeps off. Gives how often.
fn strangers_join(party: &Party, length: Duration) -> u64 {
    let router = &party.lab.internet.router;
    for host in 1..=ADDRESSES {
        router
            .run(&format!("ip address replace 192.0.2.{host}/32 dev lo"))
            .unwrap();
    }
    let start = Instant::now();
    let one_after_another = &|number: u8| {
        let state_dir = router.directory().join(format!("stranger{number}"));
        fs::create_dir_all(&state_dir).unwrap();
        let certificate = party.certificate();
        let join = Join {
            relay: (RELAY, 443).into(),
            certificate: certificate.as_ref(),
            state_dir: &state_dir,
            room: "STRANGERS",
            role: Role::Client,
            mac: Some(Mac([2, 0x77, 0, 0, 0, number])),
            token: None,
        };
        let mut joined = 0;
        let mut addresses = (1..=ADDRESSES).filter(|host| host % AT_ONCE == number).cycle();
        while start.elapsed() < length {
            let address = Ipv4Addr::new(192, 0, 2, addresses.next().unwrap());
            let socket = UdpSocket::bind((address, 0)).unwrap();
            BareMember::join(socket, &join).unwrap();
            joined += 1;
        }
        joined
    };
    let all = || -> u64 {
        thread::scope(|scope| {
            let strangers: Vec<_> = (0..AT_ONCE)
                .map(|number| scope.spawn(move || one_after_another(number)))
                .collect();
            strangers
                .into_iter()
                .map(|stranger| stranger.join().unwrap())
                .sum()
        })
    };
    router.inside(all).unwrap()
}

/// A player who asks a hundred times a second, as games do.
struct Game {
    stop: Arc<AtomicBool>,
    threads: [thread::JoinHandle<()>; 3],
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

impl Game {
    fn play(party: &Party) -> Self {
        let lease = party.wait_for_lease(0, Duration::from_secs(5)).unwrap();
        let bind = |who: &Machine, address: Ipv4Addr, port: u16| {
            who.inside(|| UdpSocket::bind((address, port)).unwrap()).unwrap()
        };
        let server = bind(&party.lab.lan.games, GAME_SERVER, PORT);
        let client = bind(party.machine(Who::Player(0)), lease, 0);
        let stop = Arc::new(AtomicBool::new(false));
        let [asked, answered] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        }
        let sender = client.try_clone().unwrap();
        let echo = until(&stop, move || {
            let mut buffer = [0; 256];
            if let Ok((length, from)) = server.recv_from(&mut buffer) {
                server.send_to(&buffer[..length], from).unwrap();
            }
        });
        let asking = until(&stop, {
            let asked = Arc::clone(&asked);
            move || {
                sender.send_to(&[7; 120], (GAME_SERVER, PORT)).unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let hearing = until(&stop, {
            let answered = Arc::clone(&answered);
            move || {
                if client.recv_from(&mut [0; 256]).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            threads: [asking, echo, hearing],
            asked,
            answered,
        }
    }

    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        (
            self.asked.load(Ordering::Relaxed),
            self.answered.load(Ordering::Relaxed),
        )
    }
}

/// Does `action` over and over on a thread until `stop`.
fn until(stop: &Arc<AtomicBool>, mut action: impl FnMut() + Send + 'static) -> thread::JoinHandle<()> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            action();
        }
    })
}
