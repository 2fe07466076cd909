//! The system calls that several modules need, with their results as `io::Error`.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

/// Turns -1 into the error that the kernel left.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A socket that neither blocks nor survives `exec`.
pub(crate) fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved.
    let fd =
        check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a descriptor to the current tokio runtime, which tells when it is ready. Errors are asked for too: an
/// interface that goes away announces itself by nothing else.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: an `OwnedFd` names one open descriptor for as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// Waits until there is something to read, an error included.
pub(crate) async fn readable(fd: &AsyncFd<OwnedFd>) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
    fd.ready(Interest::READABLE | Interest::ERROR).await
}

/// Sets a socket option to a value of plain data.
pub(crate) fn set_option<T: Copy>(
    fd: RawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of a live value.
    check(unsafe { libc::setsockopt(fd, level, option, std::ptr::from_ref(value).cast(), len) })?;
    Ok(())
}

/// Gives a socket big buffers: beyond the system's limit where we may, up to it where not.
pub(crate) fn set_buffers(fd: RawFd, receive: libc::c_int, send: libc::c_int) -> io::Result<()> {
    let pairs = [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, receive),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, send),
    ];
    for (force, ordinary, bytes) in pairs {
        if set_option(fd, libc::SOL_SOCKET, force, &bytes).is_err() {
            set_option(fd, libc::SOL_SOCKET, ordinary, &bytes)?;
        }
    }
    Ok(())
}

/// An interface request of the kernel's `ifreq` with the name filled in.
///
/// # Errors
/// `InvalidInput` for names that do not fit.
pub(crate) fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The kernel wants a zero behind the name.
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// An `ioctl` about one interface on any socket or TAP descriptor.
pub(crate) fn interface_ioctl(
    fd: &impl AsRawFd,
    request: libc::Ioctl,
    argument: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: callers pass requests whose argument is an `ifreq`, and this one is live and writable.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(argument)) })?;
    Ok(())
}

/// The index of an interface of this network namespace.
///
/// # Errors
/// `ENODEV` if there is none of this name.
pub(crate) fn interface_index(name: &str) -> io::Result<libc::c_int> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = interface_request(name)?;
    interface_ioctl(&socket, libc::SIOCGIFINDEX as libc::Ioctl, &mut request)?;
    // SAFETY: this request fills in the index.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}
