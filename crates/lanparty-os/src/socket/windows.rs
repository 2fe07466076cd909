//! Windows: an interface for what leaves (`IP_UNICAST_IF`). What arrives is taken from any, as answers to it come by the same.

use std::{io, net::UdpSocket, os::windows::io::AsRawSocket, ptr};

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock::{
    IP_UNICAST_IF, IPPROTO_IP, IPPROTO_IPV6, IPV6_UNICAST_IF, SOCKET, WSAENOPROTOOPT, WSAEOPNOTSUPP,
    WSAGetLastError, getsockopt, setsockopt,
};

use crate::network;

pub(super) fn bind_to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    let snapshot = network::snapshot().map_err(io::Error::other)?;
    let link = snapshot.link_named(interface).ok_or(io::ErrorKind::NotFound)?;
    let is_v6 = socket.local_addr()?.is_ipv6();
    let raw = socket.as_raw_socket() as SOCKET;
    let set = |level: i32, option: i32, value: u32| {
        // SAFETY: the value is live and of the stated length.
        let result = unsafe {
            setsockopt(
                raw,
                level,
                option,
                ptr::from_ref(&value).cast(),
                size_of::<u32>() as i32,
            )
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    };
    // A number that IPv4 has in the network's order, and IPv6 in the machine's.
    if is_v6 {
        set(IPPROTO_IPV6, IPV6_UNICAST_IF, link.index)?;
    }
    match set(IPPROTO_IP, IP_UNICAST_IF, link.index.to_be()) {
        // A socket of IPv6 alone has none of the other's options.
        Err(_) if is_v6 => Ok(()),
        set => set,
    }
}

pub(super) fn interface_of(socket: &UdpSocket) -> io::Result<Option<String>> {
    let is_v6 = socket.local_addr()?.is_ipv6();
    let (level, option) = if is_v6 {
        (IPPROTO_IPV6, IPV6_UNICAST_IF)
    } else {
        (IPPROTO_IP, IP_UNICAST_IF)
    };
    let (mut value, mut len) = (0_u32, size_of::<u32>() as i32);
    // SAFETY: the value is written where there is room for it.
    let result = unsafe {
        getsockopt(
            socket.as_raw_socket() as SOCKET,
            level,
            option,
            ptr::from_mut(&mut value).cast(),
            &mut len,
        )
    };
    if result != 0 {
        return Err(last_error());
    }
    let index = if is_v6 { value } else { u32::from_be(value) };
    let snapshot = network::snapshot().map_err(io::Error::other)?;
    Ok(snapshot.link(index).map(|link| link.name.clone()))
}

/// What a system does not know is told from what went wrong.
fn last_error() -> io::Error {
    // SAFETY: no pointers are involved.
    match unsafe { WSAGetLastError() } {
        WSAENOPROTOOPT | WSAEOPNOTSUPP => io::ErrorKind::Unsupported.into(),
        code => io::Error::from_raw_os_error(code),
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::host::LinkKind;

    use crate::{network, socket::*};

    #[test]
    fn a_socket_is_bound_to_an_interface_or_the_system_is_said_not_to_do_it() {
        let snapshot = network::snapshot().unwrap();
        let loopback = snapshot.links.iter().find(|link| link.kind == LinkKind::Loopback);
        let name = loopback.unwrap().name.as_str();
        match bind_udp("0.0.0.0:0".parse().unwrap(), Some(name)) {
            Ok(socket) => assert_eq!(bound_interface(&socket).unwrap().as_deref(), Some(name)),
            Err(error) => assert!(error.is_forbidden(), "{error}"),
        }
    }

    #[test]
    fn a_missing_interface_is_named() {
        let error = bind_udp("0.0.0.0:0".parse().unwrap(), Some("eth9")).unwrap_err();
        assert!(
            error.to_string().contains("eth9") && !error.is_forbidden(),
            "{error}"
        );
    }
}
