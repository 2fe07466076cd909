//! Hearing a LAN gateway on an ordinary interface.
//!
//! A LAN gateway shows the switches where remote players are by small broadcasts of a type that nobody else uses. Whoever hears one
//! by cable or Wi-Fi is on that LAN, and a player who hears his own address is joined to it twice.

use std::{
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
};

use lanparty_wire::{EtherView, ethertype};
use tokio::io::unix::AsyncFd;

use super::Heard;
use crate::syscall;

/// Longer than the header of a broadcast, of which no more is looked at.
const LEN: usize = 64;

/// Listens on all interfaces at once, for this one type only.
pub struct Overhear(AsyncFd<OwnedFd>);

impl Overhear {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn open() -> io::Result<Overhear> {
        let protocol = ethertype::LOCAL_EXPERIMENTAL.to_be();
        let fd = syscall::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol))?;
        Ok(Overhear(syscall::register(fd)?))
    }

    /// The next one that came from outside. Cancel safe.
    ///
    /// # Errors
    /// When the system gives nothing more.
    pub async fn next(&self) -> io::Result<Heard> {
        loop {
            let mut guard = syscall::readable(&self.0).await?;
            match receive(self.0.get_ref()) {
                Ok(Some(heard)) => return Ok(heard),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // An interface went away; the others are still there.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn receive(fd: &OwnedFd) -> io::Result<Option<Heard>> {
    let mut buffer = [0_u8; LEN];
    // SAFETY: `sockaddr_ll` is plain data, for which zeros are valid.
    let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut from_len = mem::size_of_val(&from) as libc::socklen_t;
    // SAFETY: buffer and address are live, writable and of the stated lengths.
    let result = unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            LEN,
            0,
            std::ptr::from_mut(&mut from).cast(),
            &mut from_len,
        )
    };
    let Ok(len) = usize::try_from(result) else {
        return Err(io::Error::last_os_error());
    };
    if from.sll_pkttype == libc::PACKET_OUTGOING {
        return Ok(None);
    }
    let (Ok(view), Some(interface)) = (
        EtherView::parse(&buffer[..len.min(LEN)]),
        interface_name(from.sll_ifindex),
    ) else {
        return Ok(None);
    };
    Ok(Some(Heard {
        interface,
        shown: view.source(),
    }))
}

fn interface_name(index: libc::c_int) -> Option<String> {
    let mut name = [0 as libc::c_char; libc::IF_NAMESIZE];
    let index = u32::try_from(index).ok()?;
    // SAFETY: the buffer has the length that the call asks for.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    let bytes: Vec<u8> = name
        .iter()
        .take_while(|&&byte| byte != 0)
        .map(|&byte| byte as u8)
        .collect();
    (!found.is_null()).then_some(String::from_utf8(bytes).ok()?)
}
