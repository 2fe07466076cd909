//! A relay under attack: ten thousand handshakes a second from addresses that do not exist, and garbage.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{GAME_SERVER, Lab, Party, Who, flood::Flood, frame::mac_text, wait_for};

const LENGTH: Duration = Duration::from_secs(60);
const PORT: u16 = 27_960;

#[test]
fn rooms_play_on_and_memory_stays_flat_while_the_relay_is_flooded() {
    let mut party = Party::start(&Lab::builder()).unwrap();
    let lease = party.wait_for_lease(0, Duration::from_secs(5)).unwrap();
    let server = party
        .lab
        .lan
        .games
        .inside(|| UdpSocket::bind((GAME_SERVER, PORT)).unwrap())
        .unwrap();
    let client = party
        .machine(Who::Player(0))
        .inside(|| UdpSocket::bind((lease, 0)).unwrap())
        .unwrap();
    let flood = Flood::start(&party.lab.internet, 10_000, 2_000).unwrap();
    let start = Instant::now();
    let game = Game::play(server, client);

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

/// A player who asks a hundred times a second, as games do.
struct Game {
    stop: Arc<AtomicBool>,
    threads: [thread::JoinHandle<()>; 3],
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

impl Game {
    fn play(server: UdpSocket, client: UdpSocket) -> Self {
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
