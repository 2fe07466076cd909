//! The DHCP client against a real server, dnsmasq, in namespaces. With a `main` of its own, because the client runs
//! this very program as its hook.

#![allow(clippy::unwrap_used)]

#[path = "../src/testing.rs"]
mod testing;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lanparty_os::{
    dhcp::{self, DhcpClient, DhcpEvent, DhcpOptions, Lease},
    network::Network,
    privileges::{Privilege, keep},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testing::{Machine, in_namespace, ip, run, wait_for_link};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    dhcp::dispatch_hook();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, state_dir] = arguments.as_slice()
        && mode == "orphan"
    {
        return orphan(Path::new(state_dir));
    }
    let tests: [(&str, fn()); 5] = [
        (
            "a_lease_comes_from_the_real_server_and_changes_nothing_by_itself",
            lease,
        ),
        ("a_lease_is_renewed_on_demand", renewal),
        (
            "a_client_that_dies_is_started_again_and_gets_the_same_address",
            restart,
        ),
        ("a_lan_without_a_server_is_reported", no_server),
        ("the_client_dies_with_its_parent", parent_death),
    ];
    let filter = arguments.iter().skip(1).find(|word| !word.starts_with('-'));
    if arguments.iter().any(|word| word == "--list") {
        // A runner asks for the ignored ones too, and there are none.
        if arguments.iter().any(|word| word == "--ignored") {
            return;
        }
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let mut count = 0;
    for (name, test) in tests
        .into_iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
    {
        test();
        println!("test {name} ... ok");
        count += 1;
    }
    println!("test result: ok. {count} passed; 0 failed");
}

fn lease() {
    in_namespace(|| async {
        let party = Party::new(true);
        let mut client = party.client();
        assert_eq!(next(&mut client).await, DhcpEvent::Deconfig);
        let lease = bound(&mut client).await;
        assert_eq!(lease.address.to_string(), "10.73.42.51/24");
        assert_eq!(lease.seconds, 120);
        assert_eq!(lease.server, Some([10, 73, 42, 1].into()));
        assert_eq!(lease.routers, [std::net::Ipv4Addr::new(10, 73, 42, 1)]);
        assert_eq!(lease.dns, [std::net::Ipv4Addr::new(10, 73, 42, 1)]);
        let routes = run("ip", "route show table all dev lan0");
        assert!(
            !routes.contains("default") && !routes.contains("10.73.42"),
            "{routes}"
        );
        client.stop();
        assert!(party.leases().contains("10.73.42.51"), "the lease was given back");
        assert!(!party.state.path().join("dhcp.sock").exists());
    });
}

fn renewal() {
    in_namespace(|| async {
        let party = Party::new(true);
        let mut client = party.client();
        let lease = bound(&mut client).await;
        // Renewal is a conversation between two hosts, so ours has to have the address.
        Network::open()
            .unwrap()
            .add_address("lan0", lease.address)
            .await
            .unwrap();
        client.renew();
        // dhclient begins anew for it.
        let renewed = loop {
            match next(&mut client).await {
                DhcpEvent::Renewed(lease) | DhcpEvent::Bound(lease) => break lease,
                DhcpEvent::Deconfig | DhcpEvent::NoLease => {}
            }
        };
        assert_eq!(renewed, lease);
    });
}

fn restart() {
    in_namespace(|| async {
        let party = Party::new(true);
        let mut client = party.client();
        let lease = bound(&mut client).await;
        let first = client.pid().unwrap();
        kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).unwrap();
        assert_eq!(bound(&mut client).await, lease);
        assert_ne!(client.pid().unwrap(), first);
    });
}

fn no_server() {
    in_namespace(|| async {
        let party = Party::new(false);
        let mut client = party.client();
        assert_eq!(next(&mut client).await, DhcpEvent::Deconfig);
        assert_eq!(next(&mut client).await, DhcpEvent::NoLease);
    });
}

fn parent_death() {
    in_namespace(|| async {
        let party = Party::new(true);
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .arg("orphan")
            .arg(party.state.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line = BufReader::new(parent.stdout.take().unwrap())
            .lines()
            .next()
            .unwrap()
            .unwrap();
        let child: u32 = line.parse().unwrap();
        assert!(is_running(child));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while is_running(child) {
            assert!(Instant::now() < deadline, "the DHCP client outlived its parent");
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// A parent that is about to be killed: tells its client's process id and waits for its end.
/// With no more privileges than a client keeps, which have to be enough for the DHCP client too.
fn orphan(state_dir: &Path) {
    keep(&[
        Privilege::ConfigureNetwork,
        Privilege::RawFrames,
        Privilege::LowPorts,
    ])
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = DhcpOptions {
            interface: "lan0".into(),
            state_dir: state_dir.to_owned(),
        };
        let mut client = DhcpClient::start(&options).unwrap();
        bound(&mut client).await;
        println!("{}", client.pid().unwrap());
        std::future::pending::<()>().await;
    });
}

/// `lan0` here, and at the other end of its cable a LAN with a DHCP server that offers far too much.
struct Party {
    state: tempfile::TempDir,
    server: Option<Child>,
    _machine: Machine,
}

impl Party {
    fn new(with_server: bool) -> Party {
        let state = tempfile::tempdir().unwrap();
        let machine = Machine::new();
        ip("link add lan0 type veth peer name host0");
        ip(&format!("link set host0 netns {}", machine.path));
        ip("link set lan0 address 02:00:00:00:00:51 up");
        let leases = state.path().join("leases");
        let (send, receive) = std::sync::mpsc::channel();
        machine.run(move || {
            ip("link set host0 up");
            ip("addr add 10.73.42.1/24 dev host0");
            wait_for_link("host0");
            let server = with_server.then(|| {
                let arguments = "--no-daemon --conf-file=/dev/null --port=0 --interface=host0 --bind-interfaces --no-ping \
                    --dhcp-range=10.73.42.51,10.73.42.60,2m --dhcp-option=3,10.73.42.1 --dhcp-option=6,10.73.42.1 \
                    --dhcp-option=15,example.org --dhcp-option=121,0.0.0.0/1,10.73.42.1 --dhcp-authoritative \
                    --dhcp-host=02:00:00:00:00:51,10.73.42.51";
                let mut command = Command::new("dnsmasq");
                command.args(arguments.split_whitespace());
                command.arg(format!("--dhcp-leasefile={}", leases.display()));
                command.arg("--user=root").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            });
            send.send(server).unwrap();
        });
        wait_for_link("lan0");
        Party {
            state,
            server: receive.recv().unwrap(),
            _machine: machine,
        }
    }

    fn client(&self) -> DhcpClient {
        let options = DhcpOptions {
            interface: "lan0".into(),
            state_dir: self.state.path().to_owned(),
        };
        DhcpClient::start(&options).unwrap()
    }

    fn leases(&self) -> String {
        fs::read_to_string(self.state.path().join("leases")).unwrap()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

async fn next(client: &mut DhcpClient) -> DhcpEvent {
    timeout(PATIENCE, client.event())
        .await
        .expect("an event")
        .expect("a client")
}

async fn bound(client: &mut DhcpClient) -> Lease {
    loop {
        if let DhcpEvent::Bound(lease) = next(client).await {
            return lease;
        }
    }
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')').next().unwrap().trim().chars().next(),
            Some('Z' | 'X')
        )
    })
}
