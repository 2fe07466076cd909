//! A flood against a relay from addresses that do not exist: first packets of real QUIC handshakes, and garbage.
//!
//! The handshakes are made beforehand by quinn's own state machine, so that they decrypt and the relay has to decide about each;
//! only the source address changes from packet to packet. Nobody answers what the relay sends back.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quinn_proto::{ClientConfig, Endpoint, EndpointConfig};

use super::{
    cable::mac_of,
    error::LabError,
    frame::Frame,
    internet::{Internet, RELAY},
    raw::RawPort,
};

/// So many different handshakes; with them in turn none comes again before the relay has forgotten it.
const HANDSHAKES: usize = 10_000;
const GARBAGE: usize = 256;

/// Sources are taken from 198.18.0.0/15, which is kept for such measurements (RFC 2544).
const SOURCES: u32 = 0xc612_0000;
const SOURCE_COUNT: u32 = 1 << 17;

/// How often a second a batch is sent.
const BATCHES: u32 = 100;

/// A flood that goes on until it is stopped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Starts to send `handshakes` first packets and `garbage` datagrams a second to the relay.
    pub fn start(internet: &Internet, handshakes: u32, garbage: u32) -> Result<Self, LabError> {
        // Answers end here, without an "unreachable" that would double the flood.
        internet.router.run("ip route replace blackhole 198.18.0.0/15")?;
        let port = RawPort::open(&internet.router, "relay")?;
        let target = mac_of(&internet.relay, "eth0")?;
        let (good, bad) = (handshake_packets()?, garbage_packets());
        let macs = (target, port.mac());
        let frames = |packets: &[Vec<u8>]| -> Vec<Vec<u8>> {
            packets.iter().map(|packet| frame_of(macs, packet)).collect()
        };
        let mut sources = [
            Stream {
                frames: frames(&good),
                next: 0,
                batch: handshakes / BATCHES,
            },
            Stream {
                frames: frames(&bad),
                next: 0,
                batch: garbage / BATCHES,
            },
        ];
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = thread::spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || run(&port, &mut sources, &stop, &sent)
        });
        Ok(Self {
            stop,
            sent,
            thread: Some(thread),
        })
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Prepared frames that are sent in turn.
struct Stream {
    frames: Vec<Vec<u8>>,
    next: u32,
    batch: u32,
}

fn run(port: &RawPort, streams: &mut [Stream], stop: &AtomicBool, sent: &AtomicU64) {
    let start = Instant::now();
    for round in 1_u32.. {
        for stream in streams.iter_mut() {
            for _ in 0..stream.batch {
                let count = u32::try_from(stream.frames.len()).unwrap_or(u32::MAX);
                let frame = &mut stream.frames[(stream.next % count) as usize];
                set_source(frame, stream.next);
                stream.next = stream.next.wrapping_add(1);
                if port.send(frame).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let due = Duration::from_secs(1) / BATCHES * round;
        thread::sleep(due.saturating_sub(start.elapsed()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn frame_of(macs: ([u8; 6], [u8; 6]), packet: &[u8]) -> Vec<u8> {
    let frame = Frame::udp4(macs, (Ipv4Addr::from(SOURCES), 1024), (RELAY, 443), packet);
    let mut bytes = frame.bytes().to_vec();
    // No UDP checksum, so that the source can be changed cheaply.
    bytes[40..42].fill(0);
    bytes
}

/// Writes source address and port number `number`, and the IPv4 header's checksum.
fn set_source(frame: &mut [u8], number: u32) {
    let address = SOURCES + number % SOURCE_COUNT;
    frame[26..30].copy_from_slice(&address.to_be_bytes());
    frame[34..36].copy_from_slice(&(1024 + (number >> 17) as u16).to_be_bytes());
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

fn handshake_packets() -> Result<Vec<Vec<u8>>, LabError> {
    let failure = |text: String| LabError::Unreadable {
        what: "how to make a QUIC handshake".to_owned(),
        text,
    };
    let certificate =
        rcgen::generate_simple_self_signed(["relay".to_owned()]).map_err(|e| failure(e.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(certificate.cert.der().clone())
        .map_err(|e| failure(e.to_string()))?;
    let config = ClientConfig::with_root_certificates(Arc::new(roots)).map_err(|e| failure(e.to_string()))?;
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
    let relay = SocketAddr::V4(SocketAddrV4::new(RELAY, 443));
    let mut packets = Vec::with_capacity(HANDSHAKES);
    for _ in 0..HANDSHAKES {
        let now = Instant::now();
        let (_, mut connection) = endpoint
            .connect(now, config.clone(), relay, "relay")
            .map_err(|e| failure(e.to_string()))?;
        let mut packet = Vec::with_capacity(1500);
        let transmit = connection.poll_transmit(now, 1, &mut packet);
        packet.truncate(transmit.map_or(0, |transmit| transmit.size));
        packets.push(packet);
    }
    Ok(packets)
}

/// Datagrams of all lengths with bytes from a fixed sequence; a quarter begins like a short header, a quarter like a long one.
fn garbage_packets() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let packet = |number: usize| {
        let mut packet: Vec<u8> = (0..1 + number * 5).map(|_| random()).collect();
        match number % 4 {
            0 => packet[0] = 0x40 | packet[0] & 0x3f,
            1 => packet[0] |= 0xc0,
            _ => {}
        }
        packet
    };
    (0..GARBAGE).map(packet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_the_source_keeps_the_header_right() {
        let mut frame = frame_of(([2; 6], [4; 6]), b"payload");
        for number in [0, 1, 70_000, 200_000] {
            set_source(&mut frame, number);
            let packet = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else {
                panic!("not IPv4")
            };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(header.source[0], 198);
        }
    }

    #[test]
    fn handshakes_are_initial_packets_of_full_size() {
        let packets = handshake_packets().unwrap();
        assert_eq!(packets.len(), HANDSHAKES);
        assert!(
            packets
                .iter()
                .all(|packet| packet.len() >= 1200 && packet[0] & 0xf0 == 0xc0)
        );
        assert_ne!(packets[0][6..14], packets[1][6..14], "connection ids differ");
    }
}
