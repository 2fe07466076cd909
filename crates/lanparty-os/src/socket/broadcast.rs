//! Broadcasts that programs of this machine send, heard and sent.
//!
//! Raw sockets for UDP, which need an administrator's rights and no driver. Windows gives those that are bound to 127.0.0.1 each broadcast
//! that a program of this machine sends, by whatever interface; other systems give what is sent to that address alone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::bind_to_interface;

/// As long as an IPv4 packet can be.
const LONGEST: usize = 65_535;

/// Hears what programs of this machine send to all.
#[derive(Debug)]
pub struct LocalBroadcasts {
    socket: tokio::net::UdpSocket,
    packet: Vec<u8>,
}

impl LocalBroadcasts {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Without an administrator's rights, or where the system has no raw sockets.
    pub fn listen() -> io::Result<LocalBroadcasts> {
        let socket = raw(Ipv4Addr::LOCALHOST)?;
        socket.set_nonblocking(true)?;
        Ok(LocalBroadcasts {
            socket: tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?,
            packet: vec![0; LONGEST],
        })
    }

    /// The next IPv4 packet with UDP in it, from its IP header on. May be dropped at any time.
    ///
    /// # Errors
    /// When the socket is of no use any more.
    pub async fn next(&mut self) -> io::Result<&[u8]> {
        let len = self.socket.recv(&mut self.packet).await?;
        Ok(self.packet.get(..len).unwrap_or_default())
    }
}

/// Sends broadcasts by one interface.
#[derive(Debug)]
pub struct BroadcastSender {
    socket: Socket,
}

impl BroadcastSender {
    /// From this address of this interface.
    ///
    /// # Errors
    /// Without an administrator's rights; when the interface or its address is gone.
    pub fn open(interface: &str, from: Ipv4Addr) -> io::Result<BroadcastSender> {
        let socket = raw(from)?;
        socket.set_broadcast(true)?;
        bind_to_interface(&socket, interface)?;
        Ok(BroadcastSender { socket })
    }

    /// Sends a UDP datagram, header and payload, to 255.255.255.255.
    ///
    /// # Errors
    /// As the system says; it is not sent then.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let to_all = SocketAddr::from((Ipv4Addr::BROADCAST, 0));
        self.socket.send_to(datagram, &to_all.into()).map(drop)
    }
}

fn raw(address: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// On Linux a raw socket gets what is sent to its address, so that stands for a broadcast.
    async fn a_datagram_is_heard_from_its_ip_header_on() {
        let mut heard = LocalBroadcasts::listen().unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let payload = b"who hosts the game?";
        sender.send_to(payload, receiver.local_addr().unwrap()).unwrap();
        let port = sender.local_addr().unwrap().port().to_be_bytes();
        let ours = async {
            loop {
                let packet = heard.next().await.unwrap();
                // Other programs of this machine may be talking too.
                if packet.get(20..22) == Some(&port) {
                    return packet.to_vec();
                }
            }
        };
        let packet = tokio::time::timeout(Duration::from_secs(10), ours).await.unwrap();
        assert_eq!(packet[0], 0x45);
        assert_eq!(packet[12..20], [127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(packet[28..], payload[..]);
    }

    #[cfg(windows)]
    #[tokio::test]
    async fn what_this_machine_sends_is_heard() {
        a_datagram_is_heard_from_its_ip_header_on().await;
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_this_machine_sends_is_heard() {
        crate::testing::in_namespace(|| async { a_datagram_is_heard_from_its_ip_header_on().await });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_broadcast_leaves_by_the_interface_and_from_the_address_that_were_named() {
        use crate::testing::{Machine, in_namespace, ip, wait_for_link};
        in_namespace(|| async {
            let far = Machine::new();
            ip("link add home type veth peer name home-far");
            ip(&format!(
                "link add party type veth peer name lan0 netns {}",
                far.path
            ));
            for name in ["home-far", "home", "party"] {
                ip(&format!("link set {name} up"));
            }
            ip("address add 10.73.42.17/24 dev party");
            ip("address add 192.168.1.20/24 dev home");
            // Where a broadcast would go by itself.
            ip("route add default dev home");
            let (heard, hear) = std::sync::mpsc::channel();
            far.run(|| {
                ip("link set lan0 up");
                ip("address add 10.73.42.1/24 dev lan0");
            });
            wait_for_link("party");
            let (ready, wait) = std::sync::mpsc::channel();
            far.start(move || {
                let socket = UdpSocket::bind("0.0.0.0:6112").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                ready.send(()).unwrap();
                let mut payload = [0; 64];
                let (len, from) = socket.recv_from(&mut payload).unwrap();
                heard.send((payload[..len].to_vec(), from)).unwrap();
            });
            wait.recv().unwrap();
            let sender = BroadcastSender::open("party", Ipv4Addr::new(10, 73, 42, 17)).unwrap();
            // Ports 6111 and 6112, 8 + 5 bytes, no checksum.
            let datagram = [&[0x17, 0xdf, 0x17, 0xe0, 0, 13, 0, 0][..], b"hosts"].concat();
            sender.send(&datagram).unwrap();
            let (payload, from) = hear.recv().unwrap();
            assert_eq!(
                (&payload[..], from),
                (&b"hosts"[..], "10.73.42.17:6111".parse().unwrap())
            );
        });
    }
}
