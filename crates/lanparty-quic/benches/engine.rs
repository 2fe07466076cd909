//! What one datagram costs: a dialler's engine and a relay's in one thread, over real sockets on loopback, one way.
//!
//! `cargo bench -p lanparty-quic --bench engine`; prints nanoseconds and allocations per datagram, of both ends together. Half
//! of what a relay does for a datagram, and all of what its sender and its receiver do, is in here.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lanparty_quic::{
    DialConfig, Dialer, EndpointKeys, Engine, Identity, Inbound, Link, LinkId, ListenConfig, Listener,
    RelayCertificate, SegmentationOffload, Traffic, Trust,
};
use lanparty_wire::{
    Incarnation, MemberId, RejectReason,
    control::{Hello, Message, Mode, Role, Welcome},
};

const LENGTH: Duration = Duration::from_secs(2);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (offload, name) in [
        (SegmentationOffload::On, "trains"),
        (SegmentationOffload::Off, "one by one"),
    ] {
        for size in [64, 1350] {
            runtime.block_on(async {
                let (mut dialler, mut relay) = pair(offload).await;
                let (nanoseconds, allocations, mbits) = measure(&mut dialler, &mut relay, size).await;
                println!(
                    "{name:>10} {size:>5} bytes {nanoseconds:>6.0} ns {allocations:>5.2} allocations {mbits:>6.0} Mbit/s"
                );
            });
        }
    }
}

/// Sends for a while, as fast as the path takes it.
async fn measure(dialler: &mut End, relay: &mut End, size: usize) -> (f64, f64, f64) {
    dialler.traffic.datagram = Bytes::from(vec![7; size]);
    for length in [LENGTH / 4, LENGTH] {
        let (begun, cpu, allocated) = (Instant::now(), cpu_time(), ALLOCATIONS.load(Ordering::Relaxed));
        relay.traffic.received = 0;
        while begun.elapsed() < length {
            tokio::select! {
                () = dialler.engine.ready() => {}
                () = relay.engine.ready() => {}
            }
            for end in [&mut *dialler, &mut *relay] {
                end.engine.drive(Instant::now(), &mut end.traffic);
            }
        }
        if length == LENGTH {
            let received = relay.traffic.received as f64;
            let cost = (cpu_time() - cpu).as_nanos() as f64 / received;
            let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - allocated) as f64 / received;
            let mbits = received * size as f64 * 8e-6 / begun.elapsed().as_secs_f64();
            return (cost, allocations, mbits);
        }
    }
    unreachable!("the loop ends with the longer round")
}

struct End {
    engine: Engine,
    traffic: Flood,
    _link: Link,
}

/// Always has the same datagram to send, if it has any.
struct Flood {
    link: LinkId,
    datagram: Bytes,
    received: u64,
}

impl Traffic for Flood {
    fn received(&mut self, _now: Instant, _link: LinkId, _datagram: Bytes) {
        self.received += 1;
    }

    fn next(&mut self, _now: Instant, _link: LinkId, _budget: u16) -> Option<Bytes> {
        (!self.datagram.is_empty()).then(|| self.datagram.clone())
    }

    fn wanting(&mut self, links: &mut Vec<LinkId>) {
        if !self.datagram.is_empty() {
            links.push(self.link);
        }
    }
}

async fn pair(offload: SegmentationOffload) -> (End, End) {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let config = ListenConfig {
        certificate: RelayCertificate::load_or_create(directory.path()).unwrap(),
        keys: EndpointKeys::load_or_create(directory.path()).unwrap(),
        segmentation_offload: offload,
    };
    let (listener, mut engine) = Listener::new(socket, config).unwrap();
    let greeting = async {
        let incoming = listener.knock().await.unwrap();
        let inbound = Inbound::accept(incoming, Duration::from_secs(5), nobody)
            .await
            .unwrap();
        let (link, mut sender, receiver) = inbound.split();
        sender.send(&Message::Welcome(welcome())).await.unwrap();
        // Until the path is as wide as it gets.
        tokio::time::sleep(Duration::from_millis(200)).await;
        (link, sender, receiver)
    };
    let identity = Identity::load_or_create(&directory.path().join("identity.pem")).unwrap();
    let trust = Trust {
        pin: None,
        ca_cert: None,
        server_name: None,
        store: directory.path().join("known.json"),
    };
    let dialler = Dialer::new(DialConfig {
        segmentation_offload: offload,
        ..DialConfig::new(identity, trust, address.to_string().parse().unwrap())
    })
    .unwrap();
    let hello = hello();
    let dialling = async {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (path, _) = dialler.dial(socket, address, &hello).await.unwrap();
        let (mut engine, link, ..) = path.split();
        engine
            .drive_until(tokio::time::sleep(Duration::from_millis(200)))
            .await;
        (engine, link)
    };
    let ((dialling, dialled), (link, _sender, _receiver)) =
        tokio::join!(dialling, engine.drive_until(greeting));
    (End::new(dialling, dialled), End::new(engine, link))
}

impl End {
    fn new(engine: Engine, link: Link) -> End {
        let traffic = Flood {
            link: link.id(),
            datagram: Bytes::new(),
            received: 0,
        };
        End {
            engine,
            traffic,
            _link: link,
        }
    }
}

fn hello() -> Hello {
    Hello {
        min_version: 1,
        max_version: 1,
        room: "ABCD".parse().unwrap(),
        role: Role::Client,
        mac: Some(lanparty_wire::Mac([2, 0, 0, 0, 0, 1])),
        budget: 1200,
        name: "bench".into(),
        session: 1,
        token: None,
        capabilities: vec![],
        software: String::new(),
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        member: MemberId::new(7).unwrap(),
        incarnation: Incarnation(1),
        mode: Mode::Relay,
        sealed: false,
        gateway: None,
        members: 1,
    }
}

/// What this process has used of the processor.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

#[allow(unsafe_code, reason = "a counting allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Here no short code leads anywhere.
fn nobody(_: SocketAddr, _: lanparty_wire::ShortNumber) -> Result<lanparty_wire::SealedRoom, RejectReason> {
    Err(RejectReason::UnknownCode)
}
