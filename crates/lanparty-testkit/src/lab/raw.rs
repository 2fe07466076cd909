//! Raw Ethernet on an interface of a machine: send any bytes, see every frame.
//!
//! A capture is an ordinary thread with a packet socket, not a `tcpdump` whose file would have to be flushed and
//! parsed: a test can wait for a frame and go on at once. What was seen can be saved as pcap when a test fails.

use std::{
    fs,
    io::{self, IoSlice},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, sendmsg,
            setsockopt, socket, sockopt,
        },
        time::TimeVal,
    },
};

use super::{
    error::{Attempt, LabError},
    frame::Frame,
    machine::Machine,
    wait::wait_for,
};

/// Kernel buffer of a capture: a flood of a test must not push out the frame that it looks for.
const CAPTURE_BUFFER: usize = 64 << 20;

/// A super-frame (GRO, GSO) is up to 64 KiB and its headers.
const LARGEST_FRAME: usize = (64 << 10) + 256;

/// `PACKET_OUTGOING` of packet(7).
const OUTGOING: u8 = 4;

/// A packet socket on one interface of one machine.
#[derive(Debug)]
pub struct RawPort {
    socket: OwnedFd,
    address: LinkAddr,
}

impl RawPort {
    /// Opens the interface `name` of `machine`.
    pub fn open(machine: &Machine, name: &str) -> Result<Self, LabError> {
        let attempt = || format!("open a packet socket on {name} of {}", machine.name());
        machine.inside(|| open_here(name))?.attempt(attempt)
    }

    /// The hardware address of the interface when it was opened.
    pub fn mac(&self) -> [u8; 6] {
        self.address.addr().unwrap_or_default()
    }

    /// Sends one frame as it is, header included.
    pub fn send(&self, frame: &[u8]) -> Result<(), LabError> {
        let parts = [IoSlice::new(frame)];
        sendmsg(
            self.socket.as_raw_fd(),
            &parts,
            &[],
            MsgFlags::empty(),
            Some(&self.address),
        )
        .attempt(|| format!("send a frame of {} bytes", frame.len()))
        .map(drop)
    }

    /// Receives one frame with the direction the kernel gives it, or nothing after the socket's timeout.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, bool)>> {
        match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer) {
            Ok((length, from)) => Ok(Some((
                length,
                from.is_some_and(|from| from.pkttype() == OUTGOING),
            ))),
            // ENETDOWN and ENXIO are reported once when the link goes; the socket works again when it is back.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN | Errno::ENXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn open_here(name: &str) -> io::Result<RawPort> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == name)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such interface"))?;
    // The address names the interface and no protocol, so the socket keeps "all protocols".
    bind(socket.as_raw_fd(), &address)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000))?;
    setsockopt(&socket, sockopt::RcvBufForce, &CAPTURE_BUFFER)?;
    Ok(RawPort { socket, address })
}

/// A frame as a capture saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Since the start of the capture.
    pub at: Duration,
    /// The machine itself sent it (as opposed to: it arrived on the interface).
    pub outgoing: bool,
    /// Its bytes.
    pub frame: Frame,
}

/// Everything that passes an interface, from the call on.
#[derive(Debug)]
pub struct Capture {
    what: String,
    /// Where the frames go when a test fails.
    pcap: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts to capture on interface `name` of `machine`. No frame that comes after the return is missed.
    pub fn start(machine: &Machine, name: &str) -> Result<Self, LabError> {
        let port = RawPort::open(machine, name)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || record(&port, &seen, &stop)
        });
        Ok(Self {
            what: format!("{name} of {}", machine.name()),
            pcap: machine.directory().join(format!("{name}.pcap")),
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// A copy of what was seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// Forgets what was seen so far.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many frames answer to `wanted` so far.
    pub fn count(&self, mut wanted: impl FnMut(&Frame) -> bool) -> usize {
        self.lock().iter().filter(|seen| wanted(&seen.frame)).count()
    }

    /// The first frame that answers to `wanted`, at most `limit` from now.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Frame) -> bool,
    ) -> Result<Seen, LabError> {
        let label = format!("{what} on {}", self.what);
        let mut next = 0;
        let found = wait_for(&label, limit, || {
            let seen = self.lock();
            let fresh = seen.get(next..).unwrap_or_default();
            let hit = fresh.iter().find(|seen| wanted(&seen.frame)).cloned();
            next = seen.len();
            hit
        });
        found.map_err(|error| match error {
            LabError::Timeout { what, waited, .. } => {
                let detail = format!("; {} frames were seen:\n{}", self.count(|_| true), self.summary());
                LabError::Timeout { what, waited, detail }
            }
            other => other,
        })
    }

    /// The newest frames in one line each, for the message of a failing test.
    pub fn summary(&self) -> String {
        const LINES: usize = 25;
        let seen = self.lock();
        let from = seen.len().saturating_sub(LINES);
        let line = |seen: &Seen| {
            let direction = if seen.outgoing { "out" } else { "in " };
            format!("  {:>9.3} s {direction} {}", seen.at.as_secs_f64(), seen.frame)
        };
        seen[from..].iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Writes what was seen as a pcap file (link type Ethernet).
    pub fn save(&self, path: &Path) -> Result<(), LabError> {
        let mut file = Vec::new();
        // The libpcap file header: magic of microseconds, version 2.4, zone, accuracy, snap length, link type.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, 1] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        for seen in self.lock().iter() {
            let length = u32::try_from(seen.frame.bytes().len()).unwrap_or(u32::MAX);
            let seconds = u32::try_from(seen.at.as_secs()).unwrap_or(u32::MAX);
            for word in [seconds, seen.at.subsec_micros(), length, length] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(seen.frame.bytes());
        }
        fs::write(path, file).attempt(|| format!("write {}", path.display()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        // A panicking predicate cannot leave the list half changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if thread::panicking() {
            match self.save(&self.pcap) {
                Ok(()) => eprintln!("what was captured is in {}", self.pcap.display()),
                Err(error) => eprintln!("{error}"),
            }
        }
    }
}

fn record(port: &RawPort, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    let start = Instant::now();
    let mut buffer = vec![0; LARGEST_FRAME];
    while !stop.load(Ordering::Relaxed) {
        match port.receive(&mut buffer) {
            Ok(Some((length, outgoing))) => {
                let frame = Frame::from(&buffer[..length.min(buffer.len())]);
                let seen_now = Seen {
                    at: start.elapsed(),
                    outgoing,
                    frame,
                };
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen_now);
            }
            Ok(None) => {}
            // The interface is gone for good; what was seen stays.
            Err(_) => return,
        }
    }
}
