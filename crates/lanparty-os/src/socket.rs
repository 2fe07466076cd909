//! UDP sockets of the tunnel.
//!
//! A socket bound to an interface keeps the tunnel out of the tunnel, whatever routes the party's network or
//! another program sets up (`SO_BINDTODEVICE`, on Windows `IP_UNICAST_IF`; a route alone can be overridden by a more specific one). Buffers are
//! large, because QUIC bursts are.

pub mod broadcast;
#[cfg(windows)]
mod windows;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

/// 25 ms of 2.5 Gbit/s: the longest that the reading task is expected to be away while the machine is busy.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Enough for the largest bursts that segmentation offload makes, and small enough that latency stays with our own
/// scheduler.
const SEND_BUFFER: usize = 2 << 20;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("could not open a UDP socket on {local}")]
    Bind { local: SocketAddr, source: io::Error },
    #[error("could not bind the UDP socket to the interface {interface}")]
    Interface { interface: String, source: io::Error },
}

impl SocketError {
    /// True if this system or its rules for us never let a socket be bound to an interface, so that asking again is no use.
    pub fn is_forbidden(&self) -> bool {
        let kind = match self {
            SocketError::Interface { source, .. } => source.kind(),
            SocketError::Bind { .. } => return false,
        };
        matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
    }
}

/// Opens a UDP socket. `[::]` means both families, or IPv4 alone where the system has no IPv6. With an interface,
/// packets leave and arrive by it only. The socket does not block.
///
/// # Errors
/// [`SocketError::Bind`], for a taken port above all; [`SocketError::Interface`] if the interface is gone.
pub fn bind_udp(local: SocketAddr, interface: Option<&str>) -> Result<UdpSocket, SocketError> {
    let socket = match open(local) {
        Err(error) if local.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, local.port())))
        }
        other => other,
    };
    let socket = socket.map_err(|source| SocketError::Bind { local, source })?;
    if let Some(interface) = interface {
        let failed = |source| SocketError::Interface {
            interface: interface.to_owned(),
            source,
        };
        bind_to_interface(&socket, interface).map_err(failed)?;
    }
    Ok(socket.into())
}

/// The interface that the system says a socket is bound to; `None` if it is bound to none, or the interface is gone.
///
/// # Errors
/// When the system does not tell.
pub fn bound_interface(socket: &UdpSocket) -> io::Result<Option<String>> {
    interface_of(socket)
}

/// Opens UDP sockets that share one address (`SO_REUSEPORT`): the kernel gives each remote address to one of them. An
/// address that another program has is refused, even one that would share it. Only Linux has more than one.
///
/// # Errors
/// As [`bind_udp`].
pub fn bind_udp_shared(local: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, SocketError> {
    let first = bind_udp(local, None)?;
    if count < 2 {
        return Ok(vec![first]);
    }
    let failed = |source| SocketError::Bind { local, source };
    let taken = first.local_addr().map_err(failed)?;
    // It has shown that nobody else is there, and was not made to share.
    drop(first);
    let shared = |_| open_sharing(taken, true).map(UdpSocket::from);
    (0..count).map(shared).collect::<io::Result<_>>().map_err(failed)
}

fn open(local: SocketAddr) -> io::Result<Socket> {
    open_sharing(local, false)
}

fn open_sharing(local: SocketAddr, shares: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(local.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_nonblocking(true)?;
    set_buffers(&socket)?;
    if shares {
        share_port(&socket)?;
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || matches!(error.raw_os_error(), Some(code) if code == ADDRESS_FAMILY_NOT_SUPPORTED)
}

#[cfg(target_os = "linux")]
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = libc::EAFNOSUPPORT;
#[cfg(not(target_os = "linux"))]
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 10047;

#[cfg(target_os = "linux")]
fn set_buffers(socket: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    crate::syscall::set_buffers(
        socket.as_raw_fd(),
        RECEIVE_BUFFER as libc::c_int,
        SEND_BUFFER as libc::c_int,
    )
}

#[cfg(not(target_os = "linux"))]
fn set_buffers(socket: &Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)
}

#[cfg(target_os = "linux")]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(target_os = "linux"))]
fn share_port(_socket: &Socket) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(target_os = "linux")]
fn bind_to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(target_os = "linux")]
fn interface_of(socket: &UdpSocket) -> io::Result<Option<String>> {
    let name = socket2::SockRef::from(socket).device()?;
    Ok(name.and_then(|name| String::from_utf8(name).ok()))
}

#[cfg(windows)]
use windows::{bind_to_interface, interface_of};

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::Duration};

    use super::*;
    use crate::testing::{Machine, in_namespace, ip};

    #[test]
    fn the_unspecified_address_is_both_families() {
        in_namespace(|| async {
            let socket = bind_udp("[::]:0".parse().unwrap(), None).unwrap();
            let port = socket.local_addr().unwrap().port();
            for (from, to) in [
                ("127.0.0.1:0", format!("127.0.0.1:{port}")),
                ("[::1]:0", format!("[::1]:{port}")),
            ] {
                UdpSocket::bind(from).unwrap().send_to(b"hello", to).unwrap();
                let mut buffer = [0; 10];
                assert_eq!(socket.recv_from(&mut buffer).unwrap().0, 5);
            }
            assert_eq!(
                socket.recv(&mut [0; 10]).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
        });
    }

    #[test]
    fn a_bound_socket_ignores_a_route_that_points_elsewhere() {
        in_namespace(|| async {
            let relay = Machine::new();
            ip("link add wan0 type veth peer name relay0");
            ip(&format!("link set relay0 netns {}", relay.path));
            ip("link set wan0 up");
            ip("addr add 192.0.2.1/24 dev wan0");
            ip("link add lan0 type veth peer name host0");
            ip("link set lan0 up");
            ip("addr add 10.9.0.1/24 dev lan0");
            relay.run(|| {
                ip("link set relay0 up");
                ip("addr add 192.0.2.2/24 dev relay0");
            });
            // The party's network claims the relay's address.
            ip("route add 192.0.2.2/32 dev lan0");
            relay.start(|| {
                let socket = UdpSocket::bind("192.0.2.2:443").unwrap();
                let mut buffer = [0; 10];
                loop {
                    let (len, from) = socket.recv_from(&mut buffer).unwrap();
                    socket.send_to(&buffer[..len], from).unwrap();
                }
            });
            let answered = |interface| {
                let socket = bind_udp("[::]:0".parse().unwrap(), interface).unwrap();
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                (0..5).any(|_| {
                    let sent = socket.send_to(b"hello", "[::ffff:192.0.2.2]:443");
                    sent.is_ok() && socket.recv(&mut [0; 10]).is_ok()
                })
            };
            assert!(!answered(None));
            let said = |interface| {
                let socket = bind_udp("[::]:0".parse().unwrap(), interface).unwrap();
                bound_interface(&socket).unwrap()
            };
            assert_eq!(said(None), None);
            assert_eq!(said(Some("wan0")).as_deref(), Some("wan0"));
            assert!(answered(Some("wan0")));
        });
    }

    #[test]
    fn a_missing_interface_and_a_taken_port_are_named() {
        in_namespace(|| async {
            let error = bind_udp("[::]:0".parse().unwrap(), Some("eth9")).unwrap_err();
            assert!(!error.is_forbidden(), "it may come");
            assert!(error.to_string().contains("eth9"), "{error}");
            let _taken = bind_udp("[::]:443".parse().unwrap(), None).unwrap();
            let error = bind_udp("[::]:443".parse().unwrap(), None).unwrap_err();
            assert!(
                matches!(error, SocketError::Bind { .. }) && error.to_string().contains("443"),
                "{error}"
            );
        });
    }
}
