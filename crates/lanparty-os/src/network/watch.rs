//! A listener for changes of the network.
//!
//! Moving from one Wi-Fi to another makes dozens of messages within a second: link down, up, addresses, routes. Who
//! re-binds a socket wants to know once, when it is over; therefore messages are collected until they pause. Their
//! content is not used: after a change the truth is asked for anew, so a lost message costs nothing.

use std::{
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

use super::{
    NetworkChange,
    settle::{QUIET, Settle},
};
use crate::syscall;

/// A stream of changes.
pub struct Watch {
    fd: AsyncFd<OwnedFd>,
    settle: Settle,
}

impl Watch {
    /// Reports a change 200 ms after its last message, or a second after its first. Must be called within a tokio
    /// runtime, and hears of everything from now on.
    ///
    /// # Errors
    /// When the system gives us no socket for it.
    pub fn new() -> io::Result<Watch> {
        Watch::with_quiet(QUIET)
    }

    /// Reports each change at once.
    ///
    /// # Errors
    /// When the system gives us no socket for it.
    pub fn immediate() -> io::Result<Watch> {
        Watch::with_quiet(Duration::ZERO)
    }

    fn with_quiet(quiet: Duration) -> io::Result<Watch> {
        Ok(Watch {
            fd: syscall::register(open()?)?,
            settle: Settle::new(quiet),
        })
    }

    /// Waits for the next change. Cancel safe.
    ///
    /// # Errors
    /// When the socket fails, which is not expected.
    pub async fn changed(&mut self) -> io::Result<NetworkChange> {
        loop {
            if let Some(change) = self.settle.poll(Instant::now()) {
                return Ok(change);
            }
            let due = self.settle.due();
            // Without a change there is nothing to be due; the arm below is then off.
            let wake = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(wake), if due.is_some() => {}
                guard = syscall::readable(&self.fd) => {
                    let mut guard = guard?;
                    match receive(self.fd.get_ref()) {
                        Ok(change) => self.settle.note(Instant::now(), change),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let fd = syscall::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // SAFETY: `sockaddr_nl` is plain data, for which zeros are valid.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = (libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE) as u32;
    let len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is live and of the stated length.
    syscall::check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) })?;
    Ok(fd)
}

/// One datagram of messages, by their types.
fn receive(fd: &OwnedFd) -> io::Result<NetworkChange> {
    // The kernel's messages are at most a page; only the headers matter here, so a cut one would do no harm.
    let mut buffer = [0u8; 8192];
    // SAFETY: the buffer is live, writable and as long as stated.
    let len = unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    match usize::try_from(len) {
        Ok(len) => Ok(classify(&buffer[..len])),
        Err(_) => match io::Error::last_os_error() {
            // The kernel had more to tell than the socket holds: anything may have changed.
            error if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(NetworkChange {
                links: true,
                addresses: true,
                routes: true,
            }),
            error => Err(error),
        },
    }
}

/// Walks the message headers: length (4 bytes), type (2 bytes), and more that is not needed.
fn classify(mut messages: &[u8]) -> NetworkChange {
    let mut change = NetworkChange::default();
    while let [a, b, c, d, e, f, ..] = *messages {
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        match u16::from_ne_bytes([e, f]) {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => change.links = true,
            libc::RTM_NEWADDR | libc::RTM_DELADDR => change.addresses = true,
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => change.routes = true,
            _ => {}
        }
        // Messages are aligned to four bytes; a length below the header's would never end.
        match messages.get(len.next_multiple_of(4).max(16)..) {
            Some(rest) => messages = rest,
            None => break,
        }
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_a_datagram_counts() {
        let mut datagram = message(libc::RTM_NEWADDR, 21);
        datagram.extend(message(libc::RTM_DELLINK, 32));
        assert_eq!(
            classify(&datagram),
            NetworkChange {
                links: true,
                addresses: true,
                routes: false
            }
        );
    }

    #[test]
    fn nonsense_ends() {
        assert_eq!(classify(&[]), NetworkChange::default());
        assert_eq!(classify(&[0; 64]), NetworkChange::default());
        assert_eq!(classify(&[0xff; 64]), NetworkChange::default());
    }

    fn message(kind: u16, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.next_multiple_of(4)];
        bytes[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes
    }
}
