//! Writes what devices saw as a pcapng file, one interface per station, for Wireshark.
//!
//! Three block types of the format are all that a capture of Ethernet frames needs
//! (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3).

use std::{io, path::Path, time::Duration};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const LINK_ETHERNET: u16 = 1;
const OPTION_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_FLAGS: u16 = 2;

/// Which way a frame went, as the station sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    In = 1,
    Out = 2,
}

/// A capture in memory.
#[derive(Debug, Default)]
pub struct Capture {
    interfaces: Vec<String>,
    packets: Vec<(Duration, u32, Direction, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
}

impl Capture {
    /// A station's interface; its number.
    pub fn interface(&mut self, name: impl Into<String>) -> u32 {
        self.interfaces.push(name.into());
        self.interfaces.len() as u32 - 1
    }

    /// A frame at an interface.
    pub fn frame(&mut self, at: Duration, interface: u32, direction: Direction, frame: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.packets
            .push((at, interface, direction, start..self.bytes.len()));
    }

    /// Frames captured.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend(1_u16.to_le_bytes());
        section.extend(0_u16.to_le_bytes());
        section.extend((-1_i64).to_le_bytes());
        block(&mut out, SECTION, &section);
        for name in &self.interfaces {
            let mut body = Vec::new();
            body.extend(LINK_ETHERNET.to_le_bytes());
            body.extend([0; 6]);
            option(&mut body, OPTION_NAME, name.as_bytes());
            // Timestamps count nanoseconds.
            option(&mut body, OPTION_RESOLUTION, &[9]);
            option(&mut body, 0, &[]);
            block(&mut out, INTERFACE, &body);
        }
        for (at, interface, direction, range) in &self.packets {
            let frame = &self.bytes[range.clone()];
            let nanos = at.as_nanos() as u64;
            let mut body = Vec::new();
            body.extend(interface.to_le_bytes());
            body.extend(((nanos >> 32) as u32).to_le_bytes());
            body.extend((nanos as u32).to_le_bytes());
            body.extend((frame.len() as u32).to_le_bytes());
            body.extend((frame.len() as u32).to_le_bytes());
            padded(&mut body, frame);
            option(&mut body, OPTION_FLAGS, &(*direction as u32).to_le_bytes());
            option(&mut body, 0, &[]);
            block(&mut out, PACKET, &body);
        }
        out
    }
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() + 12) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend(length.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_chain_of_blocks_that_closes() {
        let mut capture = Capture::default();
        let first = capture.interface("player 1");
        let second = capture.interface("host 1");
        capture.frame(Duration::from_millis(1), first, Direction::Out, &[7; 61]);
        capture.frame(Duration::from_secs(9), second, Direction::In, &[8; 60]);
        let bytes = capture.encode();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < bytes.len() {
            let length = word(at + 4) as usize;
            assert_eq!(word(at + length - 4) as usize, length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION, INTERFACE, INTERFACE, PACKET, PACKET]);
        assert_eq!(at, bytes.len());
    }
}
