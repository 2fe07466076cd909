//! A certificate from a CA: Let's Encrypt's own test server (Debian's `pebble`) asks the relay, signs, and signs again.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, AtomicU16, Ordering},
    time::{Duration, Instant},
};

use lanparty_quic::{DialConfig, Dialer, Identity, Trust, TrustOutcome};
use lanparty_wire::{
    VERSION,
    control::{Hello, Message, Role},
    mtu,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::common::{Machine, Relay, SOON, mac};

const DOMAIN: &str = "relay.lanparty.test";
/// How long a certificate is good; two thirds of it until the next one. A busy machine needs some seconds to look at it.
const VALIDITY: Duration = Duration::from_secs(36);
const PATIENCE: Duration = Duration::from_secs(90);
static NEXT: AtomicU8 = AtomicU8::new(10);

#[test]
fn a_certificate_comes_from_the_ca_and_is_renewed_while_members_stay() {
    let ca = Ca::start();
    let relay = ca.relay(ca.http);
    let mut member = Machine::new().player(&relay, 1);
    let root = ca.root();
    assert_eq!(wait_for_trust(&relay, &root), TrustOutcome::Ca);
    // By then the first certificate has ended.
    std::thread::sleep(VALIDITY);
    assert_eq!(wait_for_trust(&relay, &root), TrustOutcome::Ca);
    let second = Machine::new().player(&relay, 2);
    let joined = member.wait_control(SOON, |message| match message {
        Message::Joined { member } if member.id == second.id() => Some(()),
        _ => None,
    });
    joined.unwrap();

    // On a busy machine the one that is kept may have ended by the time that it is looked at; the next one has not.
    let is_kept = |relay: &Relay| dial(relay, &root).is_ok();
    let mut again = relay.kill_and_restart();
    for _ in 0..2 {
        if is_kept(&again) {
            break;
        }
        wait_for_trust(&again, &root);
        again = again.kill_and_restart();
    }
    assert!(is_kept(&again), "the kept certificate is there from the start");
}

#[test]
fn what_the_ca_has_against_it_is_told_with_advice() {
    let ca = Ca::start();
    // The CA asks at another port, where nobody is.
    let relay = ca.relay(free_port());
    // Whoever is in has met a relay that also answers for its status.
    let _member = Machine::new().player(&relay, 1);
    let until = Instant::now() + PATIENCE;
    let problem = loop {
        match relay.status().problem {
            Some(problem) => break problem,
            None => assert!(Instant::now() < until, "no problem is told"),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(
        problem.contains("no certificate for relay.lanparty.test") && problem.contains("TCP/80 reaches"),
        "{problem}"
    );
}

#[test]
fn a_port_in_use_is_told_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = TempDir::new().unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lanparty-relay"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--acme-domain",
            DOMAIN,
            "--acme-listen",
            &port,
            "--state-dir",
        ])
        .arg(state.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("ss -tlnp"), "{said}");
}

/// A CA, its DNS, and what the relay must trust to talk to it.
struct Ca {
    folder: TempDir,
    http: u16,
    api: u16,
    management: u16,
    _processes: [Daemon; 2],
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ca {
    fn start() -> Ca {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        certify_localhost(folder.path());
        let [http, api, management, dns, dns_management] = [(); 5].map(|()| free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("api.pem"), "privateKey": path("api.key"),
            "httpPort": http, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": VALIDITY.as_secs(),
        }});
        fs::write(path("pebble.json"), config.to_string()).unwrap();
        let names = spawn(Command::new("pebble-challtestsrv").args([
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-dns01",
            &format!("127.0.0.1:{dns}"),
            "-management",
            &format!("127.0.0.1:{dns_management}"),
        ]));
        let ca = spawn(
            Command::new("pebble")
                .arg("-config")
                .arg(path("pebble.json"))
                .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        let ca = Ca {
            http,
            api,
            management,
            _processes: [names, ca],
            folder,
        };
        ca.root();
        ca
    }

    /// A relay that lets this CA ask at a port.
    fn relay(&self, port: u16) -> Relay {
        let directory = format!("https://localhost:{}/dir", self.api);
        let listen = format!("127.0.0.1:{port}");
        let trusted = self.folder.path().join("ca.pem");
        Relay::start_trusting(
            &trusted,
            &[
                "--acme-domain",
                DOMAIN,
                "--acme-directory",
                &directory,
                "--acme-listen",
                &listen,
            ],
        )
    }

    /// What the CA's certificates end in; another one at each start.
    fn root(&self) -> PathBuf {
        let file = self.folder.path().join("root.pem");
        let url = format!("https://localhost:{}/roots/0", self.management);
        let until = Instant::now() + PATIENCE;
        loop {
            let ca = self.folder.path().join("ca.pem");
            let mut asking = Command::new("curl");
            asking.arg("-sSf").arg("--cacert").arg(ca);
            asking.arg("-o").arg(&file).arg(&url);
            let asked = asking.output().unwrap();
            if asked.status.success() {
                return file;
            }
            assert!(Instant::now() < until, "pebble does not answer: {asked:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn spawn(command: &mut Command) -> Daemon {
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Daemon(
        spawned.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; install Debian's pebble (cargo xtask setup)")
        }),
    )
}

/// The certificate of the CA's own server, and what vouches for it.
fn certify_localhost(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the certificate's, which would pass for one that has signed itself.
    params
        .distinguished_name
        .push(DnType::CommonName, "a CA for a test");
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    fs::write(
        folder.join("api.pem"),
        params.signed_by(&key, &issuer).unwrap().pem(),
    )
    .unwrap();
    fs::write(folder.join("api.key"), key.serialize_pem()).unwrap();
}

/// A port that nobody has, and that no connection is given before it is used: those come from 32768 on.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() % 1000 * 10;
    loop {
        let offset = (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % 12_000;
        let port = 20_000 + offset as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn wait_for_trust(relay: &Relay, root: &Path) -> TrustOutcome {
    let until = Instant::now() + PATIENCE;
    loop {
        match dial(relay, root) {
            Ok(outcome) => return outcome,
            Err(error) => assert!(Instant::now() < until, "{error:#}: {:?}", relay.status().problem),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Joins as somebody who trusts the CA and knows the relay by its name.
fn dial(relay: &Relay, root: &Path) -> anyhow::Result<TrustOutcome> {
    let folder = TempDir::new()?;
    let trust = Trust {
        pin: None,
        ca_cert: Some(root.to_owned()),
        server_name: Some(DOMAIN.into()),
        store: folder.path().join("known-relays.json"),
    };
    let hello = Hello {
        min_version: VERSION,
        max_version: VERSION,
        room: "abcd".parse()?,
        role: Role::Client,
        // Who has left in a hurry keeps its address for a while.
        mac: Some(mac(NEXT.fetch_add(1, Ordering::Relaxed))),
        budget: mtu::MIN_BUDGET,
        name: String::new(),
        session: 1,
        token: None,
        capabilities: Vec::new(),
        software: String::new(),
    };
    let address: SocketAddr = relay.address;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let config = DialConfig::new(Identity::ephemeral()?, trust, address.to_string().parse()?);
        let (path, _) = Dialer::new(config)?
            .dial(UdpSocket::bind("127.0.0.1:0")?, address, &hello)
            .await?;
        Ok(path.trust())
    })
}
