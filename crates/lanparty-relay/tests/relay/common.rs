//! A real relay process on loopback, and members that join it.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use lanparty_api::Status;
use lanparty_testkit::member::{BareMember, Join};
use lanparty_wire::{
    Class, Destination, Header, Kind, Mac, MemberId, PeerId,
    control::{Member, Message, Role},
};
use tempfile::TempDir;

pub const SOON: Duration = Duration::from_secs(5);

pub struct Relay {
    child: Child,
    pub address: SocketAddr,
    state: TempDir,
    flags: Vec<String>,
    /// The only CA that it trusts, if that is not the system's.
    trusted: Option<PathBuf>,
}

impl Relay {
    pub fn start(flags: &[&str]) -> Relay {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        Relay::run(TempDir::new().unwrap(), "127.0.0.1:0", flags, None)
    }

    pub fn start_on(listen: &str) -> Relay {
        Relay::run(TempDir::new().unwrap(), listen, Vec::new(), None)
    }

    /// One that trusts no CA but this.
    pub fn start_trusting(ca: &Path, flags: &[&str]) -> Relay {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        Relay::run(TempDir::new().unwrap(), "127.0.0.1:0", flags, Some(ca.to_owned()))
    }

    fn run(state: TempDir, listen: &str, flags: Vec<String>, trusted: Option<PathBuf>) -> Relay {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lanparty-relay"))
            .envs(trusted.iter().map(|ca| ("SSL_CERT_FILE", ca)))
            .args(["--listen", listen, "--state-dir"])
            .arg(state.path().join("relay"))
            .arg("--dev-cert-der-out")
            .arg(state.path().join("cert.der"))
            .args(&flags)
            .stdout(Stdio::piped())
            .stderr(log())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let address = line
            .strip_prefix("Listening on ")
            .unwrap()
            .strip_suffix("/udp")
            .unwrap();
        Relay {
            address: address.parse().unwrap(),
            child,
            state,
            flags,
            trusted,
        }
    }

    /// As a crash does it, and again on the same port.
    pub fn kill_and_restart(mut self) -> Relay {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let state = std::mem::replace(&mut self.state, TempDir::new().unwrap());
        Relay::run(
            state,
            &self.address.to_string(),
            self.flags.clone(),
            self.trusted.clone(),
        )
    }

    /// Asks it to stop, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }

    /// Runs a command of the relay's program on its state.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_lanparty-relay"))
            .args(arguments)
            .arg("--state-dir")
            .arg(self.state.path().join("relay"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    pub fn certificate(&self) -> PathBuf {
        self.state.path().join("cert.der")
    }

    pub fn status(&self) -> Status {
        let output = Command::new(env!("CARGO_BIN_EXE_lanparty-relay"))
            .args(["status", "--json", "--state-dir"])
            .arg(self.state.path().join("relay"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The status is refreshed every second.
    pub fn wait_status(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let until = Instant::now() + SOON;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < until, "{what}: {status:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn memory_kib(&self) -> u64 {
        self.line_of_proc("VmRSS:").parse().unwrap()
    }

    /// In all threads, from the start.
    pub fn processor_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        Duration::from_nanos(tasks.map(of).sum())
    }

    pub fn capabilities(&self) -> u64 {
        u64::from_str_radix(&self.line_of_proc("CapEff:"), 16).unwrap()
    }

    fn line_of_proc(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to the relay that carries no packet above a size, as a tunnel on a home's uplink does. It ends with the test process.
pub fn narrow_way(relay: SocketAddr, largest: usize) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.connect(relay).unwrap();
    let address = near.local_addr().unwrap();
    let member = Arc::new(Mutex::new(None));
    let (near_back, far_back, member_back) = (
        near.try_clone().unwrap(),
        far.try_clone().unwrap(),
        member.clone(),
    );
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = near.recv_from(&mut buffer) {
            *member.lock().unwrap() = Some(from);
            if length <= largest {
                let _ = far.send(&buffer[..length]);
            }
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(length) = far_back.recv(&mut buffer) {
            let to = *member_back.lock().unwrap();
            if let Some(to) = to.filter(|_| length <= largest) {
                let _ = near_back.send_to(&buffer[..length], to);
            }
        }
    });
    address
}

/// The relay's log is for whoever looks for a fault: LANPARTY_LOG=info.
fn log() -> Stdio {
    match std::env::var_os("LANPARTY_LOG") {
        Some(_) => Stdio::inherit(),
        None => Stdio::null(),
    }
}

/// A machine with an identity of its own.
pub struct Machine(TempDir);

impl Machine {
    pub fn new() -> Machine {
        Machine(TempDir::new().unwrap())
    }

    pub fn try_join(&self, relay: &Relay, role: Role, mac: Option<Mac>) -> anyhow::Result<BareMember> {
        let local = if relay.address.is_ipv6() {
            "[::1]:0"
        } else {
            "127.0.0.1:0"
        };
        self.join_from(relay, relay.address, UdpSocket::bind(local).unwrap(), role, mac)
    }

    pub fn join_from(
        &self,
        relay: &Relay,
        address: SocketAddr,
        socket: UdpSocket,
        role: Role,
        mac: Option<Mac>,
    ) -> anyhow::Result<BareMember> {
        BareMember::join(
            socket,
            &Join {
                relay: address,
                certificate: &relay.certificate(),
                state_dir: self.0.path(),
                room: "abcd",
                role,
                mac,
                token: None,
            },
        )
    }

    /// Into another room than everybody's, perhaps with a token.
    pub fn join_room(
        &self,
        relay: &Relay,
        room: &str,
        mac: Option<Mac>,
        token: Option<&str>,
    ) -> anyhow::Result<BareMember> {
        let role = match mac {
            Some(_) => Role::Client,
            None => Role::Gateway,
        };
        BareMember::join(
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            &Join {
                relay: relay.address,
                certificate: &relay.certificate(),
                state_dir: self.0.path(),
                room,
                role,
                mac,
                token: token.map(|token| token.parse().unwrap()),
            },
        )
    }

    /// A machine with the identity of this seed.
    pub fn of_seed(seed: [u8; 32]) -> Machine {
        let machine = Machine::new();
        // PKCS#8 of an Ed25519 key (RFC 8410, section 7).
        let prefix = [
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        let der = BASE64.encode([&prefix[..], &seed].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        let path = machine.0.path().join("identity.pem");
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        machine
    }

    pub fn state_dir(&self) -> &Path {
        self.0.path()
    }

    pub fn player(&self, relay: &Relay, last: u8) -> BareMember {
        self.try_join(relay, Role::Client, Some(mac(last))).unwrap()
    }

    pub fn gateway(&self, relay: &Relay) -> BareMember {
        self.try_join(relay, Role::Gateway, None).unwrap()
    }

    pub fn identity(&self) -> PeerId {
        lanparty_quic::Identity::load_or_create(&self.0.path().join("identity.pem"))
            .unwrap()
            .peer_id()
    }
}

pub fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

/// A frame (of IPX) that every guard lets through, with a mark to know it by.
pub fn frame(source: u8, destination: Mac, mark: u8) -> Vec<u8> {
    let mut frame = destination.0.to_vec();
    frame.extend(mac(source).0);
    frame.extend([0x81, 0x37]);
    frame.resize(60, mark);
    frame
}

pub fn datagram(source: MemberId, destination: Destination, sequence: u64, frame: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Interactive,
        key_id: 0,
        flow: 0,
        source,
        destination,
        sequence,
    };
    [&header.encode()[..], frame].concat()
}

/// The marks of the frames that have come.
pub fn marks(member: &BareMember, limit: Duration) -> Vec<u8> {
    member
        .datagrams(limit)
        .iter()
        .map(|datagram| *datagram.last().unwrap())
        .collect()
}

pub fn joined(member: &mut BareMember, id: MemberId, limit: Duration) -> Member {
    member
        .wait_control(limit, |message| match message {
            Message::Joined { member } if member.id == id => Some(member.clone()),
            _ => None,
        })
        .unwrap()
}
