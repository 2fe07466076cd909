//! A file copy between two machines, over TCP as every program makes it, of which every byte is compared.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{
    error::{Attempt, LabError},
    machine::Machine,
};

/// How long a copy may stand still.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes among which a wrong offset shows: they repeat with a period that is no power of two.
pub fn content(length: usize) -> Vec<u8> {
    let byte = |index: usize| (index % 251) as u8 ^ (index / 65_521) as u8;
    (0..length).map(byte).collect()
}

/// The same, and in every 64 bytes the first are `marker`, so that whoever holds a piece of it holds a marker.
pub fn marked_content(length: usize, marker: &[u8]) -> Vec<u8> {
    let mut bytes = content(length);
    for piece in bytes.chunks_exact_mut(64) {
        piece[..marker.len()].copy_from_slice(marker);
    }
    bytes
}

/// Sends `content` to `address` of another machine, compares what arrives there with it, and gives the address that it came from.
pub fn copy(from: &Machine, to: &Machine, address: Ipv4Addr, content: &[u8]) -> Result<IpAddr, LabError> {
    let attempt = || {
        let (from, to, length) = (from.name(), to.name(), content.len());
        format!("copy {length} bytes from {from} to {address} of {to}")
    };
    let listener = to.inside(|| TcpListener::bind((address, 0)))?.attempt(attempt)?;
    let target = listener.local_addr().attempt(attempt)?;
    let sender = from
        .inside(|| TcpStream::connect_timeout(&target, PATIENCE))?
        .attempt(attempt)?;
    // The kernel has let it in by now.
    let (receiver, peer) = listener.accept().attempt(attempt)?;
    transfer(sender, receiver, content).attempt(attempt)?;
    Ok(peer.ip())
}

fn transfer(mut sender: TcpStream, mut receiver: TcpStream, content: &[u8]) -> io::Result<()> {
    sender.set_write_timeout(Some(PATIENCE))?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let received = thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).map(|_| received)
        });
        let sent = sender.write_all(content);
        drop(sender);
        let received = receiving
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sent.map(|()| received)
    })?;
    if received == content {
        return Ok(());
    }
    let same = received.iter().zip(content).take_while(|(a, b)| a == b).count();
    let arrived = received.len();
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{arrived} bytes arrived, and only the first {same} are as they were sent"),
    ))
}
