//! Frames to send.

use lanparty_wire::{Mac, ethertype};

/// IPX by Ethernet II, filled with a pattern.
pub fn ipx(source: Mac, destination: Mac, length: usize) -> Vec<u8> {
    let mut frame = ethernet(source, destination, ethertype::IPX);
    frame.extend((frame.len()..length).map(|at| at as u8));
    frame
}

/// A TCP SYN over IPv4 that offers `mss`.
pub fn syn(source: Mac, destination: Mac, mss: u16) -> Vec<u8> {
    let mut frame = ethernet(source, destination, ethertype::IPV4);
    frame.extend([
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    frame.extend([
        0x10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4,
    ]);
    frame.extend(mss.to_be_bytes());
    frame
}

/// The MSS that a SYN of [`syn`] offers.
pub fn offered_mss(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[56], frame[57]])
}

/// A TCP super-frame over IPv4 with `payload` bytes.
pub fn tcp_super_frame(source: Mac, destination: Mac, payload: usize) -> Vec<u8> {
    let mut frame = ethernet(source, destination, ethertype::IPV4);
    let total = (40 + payload) as u16;
    frame.extend([
        0x45,
        0,
        total.to_be_bytes()[0],
        total.to_be_bytes()[1],
        0,
        0,
        0x40,
        0,
        64,
        6,
    ]);
    frame.extend([0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([
        0x10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    frame.extend((0..payload).map(|at| (at / 7) as u8));
    frame
}

/// A UDP datagram over IPv4 without checksum.
pub fn udp(source: Mac, destination: Mac, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(source, destination, ethertype::IPV4);
    let total = (28 + payload.len()) as u16;
    frame.extend([
        0x45,
        0,
        total.to_be_bytes()[0],
        total.to_be_bytes()[1],
        0,
        0,
        0,
        0,
        64,
        17,
    ]);
    frame.extend([0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

fn ethernet(source: Mac, destination: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1514);
    frame.extend(destination.0);
    frame.extend(source.0);
    frame.extend(ethertype.to_be_bytes());
    frame
}
