//! Programs that send to groups and listen to them, with the kernel's own IGMP and MLD.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{IpAddr, Ipv6Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{GAME_SERVER, Machine, Party, TAP, Who, wait_for};

/// The port that both use.
pub const PORT: u16 = 27_961;
const SOON: Duration = Duration::from_secs(20);

/// A host of the LAN that sends a number to groups twenty times a second.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts to send from a host that has the lab's game server's address.
    pub fn start(machine: &Machine, groups: &[IpAddr]) -> Sender {
        let sockets = machine.inside(|| {
            let v4 = UdpSocket::bind((GAME_SERVER, 0)).unwrap();
            (v4, UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap())
        });
        let (v4, v6) = sockets.unwrap();
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (told, counter, groups) = (Arc::clone(&stop), Arc::clone(&number), groups.to_vec());
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let number = counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                for &group in &groups {
                    let socket = if group.is_ipv4() { &v4 } else { &v6 };
                    socket.send_to(&number, (group, PORT)).unwrap();
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Sender {
            stop,
            number,
            thread: Some(thread),
        }
    }

    /// The number that is sent next.
    pub fn next(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A program of a player that has joined a group on the TAP.
#[derive(Debug)]
pub struct Listener {
    pub group: IpAddr,
    socket: UdpSocket,
}

impl Listener {
    /// Joins `group` as a program of this player's would.
    pub fn join(party: &Party, player: usize, group: IpAddr) -> Listener {
        let machine = party.machine(Who::Player(player));
        let socket = machine.inside(|| match group {
            IpAddr::V4(v4) => {
                let socket = UdpSocket::bind((v4, PORT)).unwrap();
                let own = party.wait_for_lease(player, SOON).unwrap();
                socket.join_multicast_v4(&v4, &own).unwrap();
                socket
            }
            IpAddr::V6(v6) => {
                let socket = UdpSocket::bind((v6, PORT)).unwrap();
                socket.join_multicast_v6(&v6, index_of_tap(machine)).unwrap();
                socket
            }
        });
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Listener { group, socket }
    }

    /// Waits for a number that is at least this one.
    pub fn wait_for(&self, number: u32, limit: Duration) {
        let what = format!("number {number} to {}", self.group);
        wait_for(&what, limit, || {
            let mut buffer = [0; 4];
            while let Ok(4) = self.socket.recv(&mut buffer) {
                if u32::from_be_bytes(buffer) >= number {
                    return Some(());
                }
            }
            None
        })
        .unwrap();
    }
}

fn index_of_tap(machine: &Machine) -> u32 {
    let line = machine.run(&format!("ip -oneline link show dev {TAP}")).unwrap();
    line.split(':').next().unwrap().trim().parse().unwrap()
}
